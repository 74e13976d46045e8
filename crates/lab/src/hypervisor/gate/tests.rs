//! Objects that are right but for one thing.

use object::write::{Object, Relocation, StandardSection, Symbol, SymbolId, SymbolSection};
use object::{BinaryFormat, SectionKind, SymbolFlags, SymbolKind, SymbolScope};

use super::*;

const HEADER: &str = "/* lockdown_rs_* */ uint8_t lockdown_rs_a(int); const char *lockdown_rs_b_c(void);";
/// endbr64; jmp to what a relocation names.
const CODE: [u8; 9] = [0xf3, 0x0f, 0x1e, 0xfa, 0xe9, 0, 0, 0, 0];

struct Made {
    object: Object<'static>,
    text: object::write::SectionId,
}

impl Made {
    /// An object with the two functions of the header; `code` is the first one's, before its jump.
    fn new(code: &[u8]) -> Self {
        let mut object = Object::new(BinaryFormat::Elf, Architecture::X86_64, object::Endianness::Little);
        let text = object.section_id(StandardSection::Text);
        let mut made = Self { object, text };
        let thunk = made.wanted("__x86_return_thunk");
        for (name, before) in [("lockdown_rs_a", code), ("lockdown_rs_b_c", &[][..])] {
            let bytes = [&CODE[..4], before, &CODE[4..]].concat();
            let at = made.object.append_section_data(text, &bytes, 16);
            made.symbol(name, at, bytes.len(), SymbolScope::Dynamic);
            made.relocation(text, at + u64::try_from(before.len()).unwrap() + 5, thunk, elf::R_X86_64_PLT32);
        }
        made
    }

    fn symbol(&mut self, name: &str, at: u64, size: usize, scope: SymbolScope) -> SymbolId {
        self.object.add_symbol(Symbol {
            name: name.into(),
            value: at,
            size: size.try_into().unwrap(),
            kind: SymbolKind::Text,
            scope,
            weak: false,
            section: SymbolSection::Section(self.text),
            flags: SymbolFlags::None,
        })
    }

    fn wanted(&mut self, name: &str) -> SymbolId {
        self.object.add_symbol(Symbol {
            name: name.into(),
            value: 0,
            size: 0,
            kind: SymbolKind::Text,
            scope: SymbolScope::Unknown,
            weak: false,
            section: SymbolSection::Undefined,
            flags: SymbolFlags::None,
        })
    }

    fn relocation(
        &mut self,
        section: object::write::SectionId,
        offset: u64,
        symbol: SymbolId,
        kind: elf::RelocationType,
    ) {
        let flags = RelocationFlags::Elf { r_type: kind };
        self.object.add_relocation(section, Relocation { offset, symbol, addend: -4, flags }).unwrap();
    }

    /// What the gate says, in one line.
    fn said(&self) -> String {
        let problems = check(&XEN, &self.object.write().unwrap(), &functions(HEADER));
        problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("; ")
    }
}

#[test]
fn functions_come_from_the_header() {
    let names: Vec<String> = functions(HEADER).into_iter().collect();
    assert_eq!(names, ["lockdown_rs_a", "lockdown_rs_b_c"]);
}

#[test]
fn what_is_right_passes() {
    // push rbx; mov eax, edi; cmovne eax, ecx; pause; pop rbx
    let code = [0x53, 0x89, 0xf8, 0x0f, 0x45, 0xc1, 0xf3, 0x90, 0x5b];
    assert_eq!(Made::new(&code).said(), "");
}

#[test]
fn every_instruction_is_looked_at() {
    let cases: [(&[u8], &str); 9] = [
        (&[0x0f, 0x57, 0xc0], "SSE"),               // xorps xmm0, xmm0
        (&[0xc5, 0xfc, 0x77], "AVX"),               // vzeroall
        (&[0xd9, 0xe8], "FPU"),                     // fld1, without an operand
        (&[0x0f, 0xef, 0xc0], "MMX"),               // pxor mm0, mm0
        (&[0xff, 0xe0], "without a thunk"),         // jmp rax
        (&[0xff, 0x10], "without a thunk"),         // call [rax]
        (&[0xc3], "returns without a thunk"),       // ret
        (&[0x0f, 0x01, 0xd9], "uses vmmcall"),      // vmmcall
        (&[0x06], "bytes that are no instruction"), // push es, gone in 64 bit
    ];
    for (code, wanted) in cases {
        let said = Made::new(code).said();
        assert!(said.contains(wanted), "{code:02x?}: {said}");
        assert!(wanted == "uses vmmcall" || said.contains("lockdown_rs_a"), "{said}");
    }
}

#[test]
fn only_relocations_that_both_links_resolve_pass() {
    for (kind, name) in [
        (elf::R_X86_64_GOTPCREL, "R_X86_64_GOTPCREL"),
        (elf::R_X86_64_REX_GOTPCRELX, "R_X86_64_REX_GOTPCRELX"),
        (elf::R_X86_64_32S, "R_X86_64_32S"),
        (elf::R_X86_64_64, "R_X86_64_64"),
    ] {
        // mov rax, [rip + 0]
        let mut made = Made::new(&[0x48, 0x8b, 0x05, 0, 0, 0, 0]);
        let symbol = made.wanted("memcpy");
        let text = made.text;
        made.relocation(text, 7, symbol, kind);
        let said = made.said();
        assert!(said.contains(name) && said.contains(".text+0x7"), "{said}");
    }
}

#[test]
fn only_what_xen_offers_may_be_wanted() {
    let mut made = Made::new(&[]);
    made.wanted("malloc");
    assert!(made.said().contains("it wants malloc"));
}

#[test]
fn a_panic_is_found_by_its_name() {
    let mut made = Made::new(&[]);
    made.symbol("_ZN4core9panicking9panic_fmt17h0E", 0, 4, SymbolScope::Compilation);
    assert!(made.said().contains("a panic can be reached"));
}

#[test]
fn what_is_offered_is_what_is_declared() {
    let mut made = Made::new(&[]);
    made.symbol("lockdown_rs_more", 0, 4, SymbolScope::Dynamic);
    assert_eq!(made.said(), "lockdown_rs_more is offered and not declared");
    let names = functions("int lockdown_rs_a(int); int lockdown_rs_b_c(int); int lockdown_rs_d(int);");
    let said = check(&XEN, &Made::new(&[]).object.write().unwrap(), &names);
    assert_eq!(said, [Problem("lockdown_rs_d is declared and not there".to_owned())]);
}

#[test]
fn entries_begin_with_endbr64() {
    let mut made = Made::new(&[]);
    let text = made.text;
    // What a table points to is an entry too: 5 bytes into the first function it is none.
    let table = made.object.add_section(Vec::new(), b".data.rel.ro".to_vec(), SectionKind::Data);
    made.object.append_section_data(table, &[0; 8], 8);
    let function = made.symbol("shim", 5, 4, SymbolScope::Compilation);
    made.relocation(table, 0, function, elf::R_X86_64_64);
    assert!(made.said().contains("the function behind .data.rel.ro+0x0 does not begin with endbr64"));

    let mut made = Made::new(&[]);
    let at = made.object.append_section_data(text, &[0x90; 4], 16);
    made.symbol("lockdown_rs_d", at, 4, SymbolScope::Dynamic);
    assert!(made.said().contains("lockdown_rs_d does not begin with endbr64"));
}

#[test]
fn nothing_writable_and_nothing_unknown_goes_into_xen() {
    for (name, kind) in [
        (".data", SectionKind::Data),
        (".init_array", SectionKind::Data),
        (".eh_frame", SectionKind::ReadOnlyData),
    ] {
        let mut made = Made::new(&[]);
        let section = made.object.add_section(Vec::new(), name.as_bytes().to_vec(), kind);
        made.object.append_section_data(section, &[1; 8], 8);
        assert!(made.said().contains(&format!("section {name} has no place in Xen")), "{}", made.said());
    }
}

#[test]
fn what_is_no_object_is_told() {
    let said =
        |bytes: &[u8]| check(&XEN, bytes, &functions(HEADER)).iter().map(Problem::to_string).collect::<String>();
    assert!(said(b"").contains("no ELF object"));
    assert!(said(&[0x7f; 100]).contains("no ELF object"));
    let arm = Object::new(BinaryFormat::Elf, Architecture::Aarch64, object::Endianness::Little);
    assert!(said(&arm.write().unwrap()).contains("no relocatable x86-64 object"));
}
