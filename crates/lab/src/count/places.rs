//! Where to count in a build of Xen, from its own symbols and code.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use object::read::elf::{ElfFile64, FileHeader as _, SectionHeader as _};
use object::read::pe::{ImageNtHeaders as _, ImageOptionalHeader as _, PeFile64};
use object::{Endianness, Object as _, ObjectSection as _, ObjectSymbol as _, SymbolKind, elf};

/// Bytes by which the entry is known again in memory. Firmware loads the image where it likes, at a whole page; these
/// must not be changed by that.
const KNOWN_BY: usize = 16;

/// `call` to an address relative to the next instruction.
const CALL: u8 = 0xe8;
const CALL_LENGTH: usize = 5;
const VMRUN: [u8; 3] = [0x0f, 0x01, 0xd8];

/// A function that hands hypercalls on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Dispatcher {
    pub(super) address: u64,
    /// Where it goes on after a call of `do_domctl`.
    pub(super) returns: Vec<u64>,
}

/// Addresses in a `xen.efi`. Those of `xen-syms` differ, because the two are linked apart.
#[derive(Clone, Debug)]
pub(super) struct Places {
    /// All symbols.
    pub(super) symbols: BTreeMap<String, u64>,
    /// Where firmware begins, as linked.
    pub(super) entry: u64,
    /// The bytes there.
    pub(super) first: Vec<u8>,
    /// What comes when the firmware's services are over.
    pub(super) start: u64,
    pub(super) domctl: u64,
    /// The dispatcher for paravirtual domains.
    pub(super) pv: Dispatcher,
    /// The dispatcher for the others.
    pub(super) hvm: Dispatcher,
    /// The one instruction that enters a guest on AMD's processors, as QEMU emulates them.
    pub(super) vmrun: u64,
}

impl Places {
    pub(super) fn of(image: &[u8]) -> Result<Self> {
        let file = PeFile64::parse(image)?;
        let symbols = Symbols::of(&file)?;
        let entry = file.entry();
        let domctl = symbols.address("do_domctl")?;
        let first = code(&file, entry, KNOWN_BY as u64)?.to_vec();
        ensure!(
            !is_relocated(&file, entry)?,
            "the loader changes the first instructions: they cannot be known again"
        );
        let dispatcher = |name: &str| -> Result<Dispatcher> {
            let [address, end] = symbols.extent(name)?;
            let returns = calls(code(&file, address, end.saturating_sub(address))?, address, domctl);
            ensure!((1..=4).contains(&returns.len()), "{name} calls do_domctl {} times", returns.len());
            Ok(Dispatcher { address, returns })
        };
        let [from, to] = symbols.extent("svm_asm_do_resume")?;
        let vmrun = code(&file, from, to.saturating_sub(from))?;
        let vmrun = vmrun.windows(VMRUN.len()).position(|bytes| bytes == VMRUN).context("there is no VMRUN")?;
        Ok(Self {
            symbols: symbols.by_name.iter().map(|(name, address)| ((*name).to_owned(), *address)).collect(),
            entry,
            first,
            start: symbols.address("__start_xen")?,
            domctl,
            pv: dispatcher("pv_hypercall")?,
            hvm: dispatcher("hvm_hypercall")?,
            vmrun: from.saturating_add(vmrun as u64),
        })
    }
}

/// Where `code`, which lies at `address`, goes on after each call of `target`.
fn calls(code: &[u8], address: u64, target: u64) -> Vec<u64> {
    let after = |(at, bytes): (usize, &[u8])| -> Option<u64> {
        let (first, distance) = bytes.split_first()?;
        let distance = i32::from_le_bytes(distance.try_into().ok()?);
        let after = address.checked_add(at as u64)?.checked_add(CALL_LENGTH as u64)?;
        (*first == CALL && after.wrapping_add_signed(distance.into()) == target).then_some(after)
    };
    code.windows(CALL_LENGTH).enumerate().filter_map(after).collect()
}

/// `size` bytes of the image at `address`.
fn code<'a>(file: &PeFile64<'a>, address: u64, size: u64) -> Result<&'a [u8]> {
    let found = file.sections().find_map(|section| section.data_range(address, size).ok().flatten());
    found.with_context(|| format!("the image holds nothing at {address:#x}"))
}

/// Whether the loader changes one of the bytes by which the entry is known.
fn is_relocated(file: &PeFile64<'_>, entry: u64) -> Result<bool> {
    let base = file.nt_headers().optional_header().image_base();
    let known = entry.saturating_sub(8)..entry.saturating_add(KNOWN_BY as u64);
    let blocks = file.data_directories().relocation_blocks(file.data(), &file.section_table())?;
    let Some(mut blocks) = blocks else { return Ok(false) };
    while let Some(block) = blocks.next()? {
        for relocation in block {
            if known.contains(&base.saturating_add(relocation.virtual_address.into())) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// An image's symbols.
struct Symbols<'a> {
    by_name: Vec<(&'a str, u64)>,
    addresses: BTreeSet<u64>,
}

impl<'a> Symbols<'a> {
    fn of(file: &PeFile64<'a>) -> Result<Self> {
        let symbols = file.symbols().filter(|symbol| symbol.section_index().is_some());
        let symbols = symbols.filter(|symbol| !matches!(symbol.kind(), SymbolKind::File | SymbolKind::Section));
        let by_name: Vec<_> = symbols.filter_map(|symbol| Some((symbol.name().ok()?, symbol.address()))).collect();
        ensure!(
            !by_name.is_empty(),
            "the image has no symbols: take it as Xen's makefiles leave it, not stripped"
        );
        let addresses = by_name.iter().map(|(_, address)| *address).collect();
        Ok(Self { by_name, addresses })
    }

    fn address(&self, name: &str) -> Result<u64> {
        let found = self.by_name.iter().find(|(symbol, _)| *symbol == name);
        found.map(|(_, address)| *address).with_context(|| format!("there is no {name}"))
    }

    /// From a symbol to the next one.
    fn extent(&self, name: &str) -> Result<[u64; 2]> {
        let address = self.address(name)?;
        let next = self.addresses.range(address.saturating_add(1)..).next();
        Ok([address, *next.with_context(|| format!("nothing follows {name}"))?])
    }
}

/// How large a build is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sizes {
    /// What `size` calls text: what is loaded and not writable.
    pub(super) text: u64,
    /// Xen's tables and texts: their section counts as writable before Xen runs, and so not as text.
    pub(super) read_only: u64,
}

impl Sizes {
    pub(super) fn of(syms: &[u8]) -> Result<Self> {
        let file = ElfFile64::<Endianness>::parse(syms)?;
        let endian = file.endian();
        let sections = file.elf_header().sections(endian, syms)?;
        let mut sizes = Self { text: 0, read_only: 0 };
        for section in sections.iter() {
            let has = |flag| section.sh_flags(endian) & flag == flag;
            let loaded = has(elf::SHF_ALLOC) && section.sh_type(endian) != elf::SHT_NOBITS;
            if loaded && !has(elf::SHF_WRITE) {
                sizes.text += section.sh_size(endian);
            } else if loaded && sections.section_name(endian, section)?.starts_with(b".rodata") {
                sizes.read_only += section.sh_size(endian);
            }
        }
        ensure!(sizes.text > 0, "it has no text");
        Ok(sizes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_known_by_where_it_leads() {
        // Two calls of 0x1100, one of another function, and something that only looks like a call.
        let mut code = vec![0x90, CALL, 0xfa, 0x00, 0x00, 0x00, CALL, 0, 0, 0, 0, CALL, 0xf0, 0, 0, 0, CALL];
        assert_eq!(calls(&code, 0x1000, 0x1100), [0x1006, 0x1010]);
        code.truncate(5);
        assert!(calls(&code, 0x1000, 0x1100).is_empty());
    }
}
