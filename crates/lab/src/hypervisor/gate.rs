//! The object gate: what has to hold for an object before it may become part of Xen, or of a module of dom0's kernel.
//!
//! Each of these is a mistake that the compiler, the linker or a machine does not report: an object with the wrong kind of
//! relocation links into xen.efi without a word and hangs it, and one that uses vector registers destroys a guest's.

use std::collections::BTreeSet;
use std::fmt;

use iced_x86::{CpuidFeature, Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind};
use object::read::elf::ElfFile64;
use object::{
    Architecture, Endianness, Object as _, ObjectKind, ObjectSection as _, ObjectSymbol as _, RelocationFlags,
    RelocationTarget, SectionFlags, elf,
};

/// What differs between the homes.
#[derive(Debug)]
pub(crate) struct Rules {
    /// What becomes part of it.
    home: &'static str,
    /// What it offers to the object.
    offers: &'static [&'static str],
    /// The kinds of relocation that its loader resolves in code, and elsewhere.
    in_code: &'static [elf::RelocationType],
    elsewhere: &'static [elf::RelocationType],
}

/// Xen. A full address can be anywhere; in code it would be a write to it when the image is relocated.
pub(crate) const XEN: Rules = Rules {
    home: "Xen",
    offers: &["memcmp", "memcpy", "memmove", "memset", "strlen", "__x86_return_thunk"],
    in_code: &[elf::R_X86_64_PC32, elf::R_X86_64_PLT32],
    elsewhere: &[elf::R_X86_64_64],
};

/// dom0's kernel: what the loader of modules resolves, and functions of the shim's.
pub(crate) const LINUX: Rules = Rules {
    home: "the kernel",
    offers: &[
        "memcmp",
        "memcpy",
        "memmove",
        "memset",
        "strlen",
        "__x86_return_thunk",
        "guard_fetch",
        "guard_issue",
        "guard_store",
    ],
    in_code: &[elf::R_X86_64_PC32, elf::R_X86_64_PLT32, elf::R_X86_64_32S, elf::R_X86_64_32, elf::R_X86_64_64],
    elsewhere: &[elf::R_X86_64_64],
};

/// Thunks for calls through a register.
const THUNK: &str = "__x86_indirect_thunk_r";
/// Sections that become part of it. None is writable once it runs.
const SECTIONS: &[&str] = &[".text", ".rodata", ".data.rel.ro"];
/// Parts of names that only the panic machinery has.
const PANIC: &[&str] = &["panic", "rust_begin_unwind", "unwrap_failed", "expect_failed", "slice_index", "_fail"];
/// The instruction sets that may be used: those of the first x86-64 processors, without x87, MMX and SSE.
const INSTRUCTIONS: &[CpuidFeature] = &[
    CpuidFeature::INTEL8086,
    CpuidFeature::INTEL8086_ONLY,
    CpuidFeature::INTEL186,
    CpuidFeature::INTEL386,
    CpuidFeature::INTEL486,
    CpuidFeature::X64,
    CpuidFeature::CMOV,
    CpuidFeature::CET_IBT,
    CpuidFeature::MULTIBYTENOP,
    CpuidFeature::PAUSE,
];

/// One thing that is wrong with an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem(String);

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The functions of the object that a C header declares.
pub(super) fn functions(header: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in header.match_indices("lockdown_rs_") {
        let rest = header.get(at..).unwrap_or_default();
        let end = rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        // A comment speaks of lockdown_rs_*.
        if after.starts_with('(') {
            found.insert(name.to_owned());
        }
    }
    found
}

/// Everything that is wrong with an object which is to offer exactly `functions`; empty if it may go home.
#[must_use]
pub(crate) fn check(rules: &Rules, object: &[u8], functions: &BTreeSet<String>) -> Vec<Problem> {
    let mut problems = BTreeSet::new();
    let mut found = |text: String| {
        problems.insert(Problem(text));
    };
    match ElfFile64::<Endianness>::parse(object) {
        Ok(file) if file.kind() == ObjectKind::Relocatable && file.architecture() == Architecture::X86_64 => {
            sections(rules, &file, &mut found);
            relocations(rules, &file, &mut found);
            symbols(rules, &file, functions, &mut found);
            entries(&file, &mut found);
            instructions(&file, &mut found);
        }
        Ok(_) => found("it is no relocatable x86-64 object".to_owned()),
        Err(error) => found(format!("it is no ELF object: {error}")),
    }
    problems.into_iter().collect()
}

type File<'a> = ElfFile64<'a, Endianness>;

fn sections(rules: &Rules, file: &File<'_>, found: &mut dyn FnMut(String)) {
    for section in file.sections() {
        let SectionFlags::Elf { sh_flags, .. } = section.flags() else { continue };
        let name = section.name().unwrap_or("?");
        if !sh_flags.contains(elf::SHF_ALLOC) || section.size() == 0 {
            continue;
        }
        if !SECTIONS.contains(&name) {
            found(format!("section {name} has no place in {}", rules.home));
        }
    }
}

fn relocations(rules: &Rules, file: &File<'_>, found: &mut dyn FnMut(String)) {
    for section in file.sections() {
        let name = section.name().unwrap_or("?");
        for (offset, relocation) in section.relocations() {
            let RelocationFlags::Elf { r_type } = relocation.flags() else {
                found(format!("{name}+{offset:#x}: a relocation that is not ELF's"));
                continue;
            };
            let fit = if name == ".text" { rules.in_code } else { rules.elsewhere };
            if !fit.contains(&r_type) {
                found(format!(
                    "{name}+{offset:#x}: relocation type {} is not resolved in {}",
                    type_name(r_type),
                    rules.home
                ));
            }
        }
    }
}

fn type_name(r_type: elf::RelocationType) -> String {
    match r_type {
        elf::R_X86_64_GOTPCREL => "R_X86_64_GOTPCREL".to_owned(),
        elf::R_X86_64_GOTPCRELX => "R_X86_64_GOTPCRELX".to_owned(),
        elf::R_X86_64_REX_GOTPCRELX => "R_X86_64_REX_GOTPCRELX".to_owned(),
        elf::R_X86_64_32 => "R_X86_64_32".to_owned(),
        elf::R_X86_64_32S => "R_X86_64_32S".to_owned(),
        elf::R_X86_64_64 => "R_X86_64_64".to_owned(),
        elf::R_X86_64_PC32 => "R_X86_64_PC32".to_owned(),
        other => other.0.to_string(),
    }
}

fn symbols(rules: &Rules, file: &File<'_>, functions: &BTreeSet<String>, found: &mut dyn FnMut(String)) {
    let mut offered = BTreeSet::new();
    for symbol in file.symbols() {
        let name = symbol.name().unwrap_or("?");
        if PANIC.iter().any(|part| name.contains(part)) {
            found(format!("a panic can be reached: {name}"));
        }
        if symbol.is_undefined() {
            let thunk = name.strip_prefix(THUNK).is_some_and(|rest| !rest.is_empty());
            if !name.is_empty() && !thunk && !rules.offers.contains(&name) {
                found(format!("it wants {name}, which is not among what {} offers it", rules.home));
            }
        } else if symbol.is_global() {
            offered.insert(name.to_owned());
        }
    }
    for name in functions.difference(&offered) {
        found(format!("{name} is declared and not there"));
    }
    for name in offered.difference(functions) {
        found(format!("{name} is offered and not declared"));
    }
}

/// What may be jumped to by an address begins with endbr64: what it calls, and what a table of the object points to.
fn entries(file: &File<'_>, found: &mut dyn FnMut(String)) {
    const ENDBR64: [u8; 4] = [0xf3, 0x0f, 0x1e, 0xfa];
    let Some(text) = file.section_by_name(".text") else { return found("it has no code".to_owned()) };
    let code = text.data().unwrap_or_default();
    let mut check = |what: &str, address: u64| {
        let start = usize::try_from(address).unwrap_or(usize::MAX);
        let begins = code.get(start..).is_some_and(|code| code.starts_with(&ENDBR64));
        if !begins {
            found(format!("{what} does not begin with endbr64"));
        }
    };
    for symbol in file.symbols() {
        if symbol.is_global() && symbol.section_index() == Some(text.index()) {
            check(symbol.name().unwrap_or("?"), symbol.address());
        }
    }
    for section in file.sections().filter(|section| section.index() != text.index()) {
        for (offset, relocation) in section.relocations() {
            let RelocationTarget::Symbol(target) = relocation.target() else { continue };
            let Ok(target) = file.symbol_by_index(target) else { continue };
            if target.section_index() == Some(text.index()) {
                let name = section.name().unwrap_or("?");
                let address = target.address().wrapping_add_signed(relocation.addend());
                check(&format!("the function behind {name}+{offset:#x}"), address);
            }
        }
    }
}

fn instructions(file: &File<'_>, found: &mut dyn FnMut(String)) {
    let Some(text) = file.section_by_name(".text") else { return };
    let code = text.data().unwrap_or_default();
    let mut decoder = Decoder::with_ip(64, code, 0, DecoderOptions::NONE);
    let mut instruction = Instruction::default();
    while decoder.can_decode() {
        decoder.decode_out(&mut instruction);
        if let Some(what) = fault(&instruction) {
            found(format!("{} {what}", place(file, instruction.ip())));
        }
    }
}

fn fault(instruction: &Instruction) -> Option<String> {
    if instruction.is_invalid() {
        return Some("holds bytes that are no instruction".to_owned());
    }
    let mnemonic = format!("{:?}", instruction.mnemonic()).to_lowercase();
    let sets = instruction.cpuid_features();
    if let Some(set) = sets.iter().find(|set| !INSTRUCTIONS.contains(set)) {
        return Some(format!("uses {mnemonic}, an instruction of {set:?}"));
    }
    if instruction.is_privileged() || matches!(instruction.mnemonic(), Mnemonic::Int | Mnemonic::Syscall) {
        return Some(format!("uses {mnemonic}, which is none of its business"));
    }
    let indirect = match instruction.flow_control() {
        FlowControl::IndirectBranch | FlowControl::IndirectCall => true,
        FlowControl::Return => return Some("returns without a thunk".to_owned()),
        _ => false,
    };
    let vector = (0..instruction.op_count()).any(|operand| {
        let register = instruction.op_register(operand);
        instruction.op_kind(operand) == OpKind::Register
            && (register.is_vector_register() || register.is_mm() || register.is_st())
    });
    match (indirect, vector) {
        (true, _) => Some("jumps to an address without a thunk".to_owned()),
        (_, true) => Some(format!("uses a vector register in {mnemonic}")),
        _ => None,
    }
}

/// The function that an address lies in.
fn place(file: &File<'_>, address: u64) -> String {
    let text = file.section_by_name(".text").map(|text| text.index());
    let symbols = file.symbols().filter(|symbol| symbol.section_index() == text && symbol.address() <= address);
    let named = symbols.filter(|symbol| !symbol.name().unwrap_or_default().is_empty());
    let nearest = named.max_by_key(|symbol| symbol.address());
    let name = nearest.and_then(|symbol| symbol.name().ok().map(str::to_owned));
    format!("{} (.text+{address:#x})", name.unwrap_or_default()).trim_start().to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests;
