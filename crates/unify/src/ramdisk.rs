//! What is in a ramdisk, as far as that can be seen without unpacking.

use std::io;

use lockdown_image::Source;

use crate::guard::{self, NotTheGuard};
use crate::kind;

/// What a ramdisk holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ramdisk {
    /// Its archives, up to the first that is packed: where that ends cannot be seen.
    pub archives: Vec<Archive>,
    /// The guard, if it stands where it must: in the first archive, which is not packed.
    pub guard: Option<Guard>,
}

/// One archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Archive {
    /// Where it begins.
    pub offset: u64,
    /// How it is packed: `none`, `zstd` and the like.
    pub packing: &'static str,
    /// How many things are in it; `None` if it is packed, or was not walked to its end.
    pub entries: Option<usize>,
}

/// The guard's archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// Whether its process 1 is the one that this command carries.
    pub is_own_loader: bool,
    /// How long the module is.
    pub module_size: u64,
    /// Whether the module can be the guard, and for which kernel it was built (`vermagic`).
    pub module: Result<Option<String>, NotTheGuard>,
}

/// More things in an archive than this are not walked over: each is a read.
const MOST_ENTRIES: usize = 1024;
/// More archives than anybody puts one behind the other.
const MOST_ARCHIVES: usize = 16;
/// Between archives stand zeros up to a multiple of four, or of 512.
const MOST_ZEROS: u64 = 4096;
/// Longer than any name that is looked for.
const NAME: u64 = 64;
/// A module beyond this is not looked into, only measured.
const LARGEST_MODULE: u64 = 1 << 20;

const LOADER: &[u8] = b"xen-lockdown/init";
const MODULE: &[u8] = b"xen-lockdown/xen-privcmd.ko";

/// Looks at a ramdisk. Some kilobytes are read, however long it is.
///
/// # Errors
/// If it cannot be read.
pub fn look(ramdisk: &dyn Source) -> io::Result<Ramdisk> {
    let length = ramdisk.length()?;
    let mut found = Ramdisk::default();
    let mut offset = 0;
    while found.archives.len() < MOST_ARCHIVES {
        let Some(start) = skip_zeros(ramdisk, offset, length)? else { break };
        let head = read(ramdisk, start, kind::LONGEST_MAGIC, length)?;
        let Some(packing) = kind::packing(&head) else {
            found.archives.push(Archive { offset: start, packing: "unknown", entries: None });
            break;
        };
        if packing != "none" {
            found.archives.push(Archive { offset: start, packing, entries: None });
            break;
        }
        let walk = Walk::over(ramdisk, start, length)?;
        let entries = walk.end.map(|_| walk.entries);
        found.archives.push(Archive { offset: start, packing, entries });
        if start == 0 {
            found.guard = guard(ramdisk, &walk)?;
        }
        let Some(end) = walk.end else { break };
        offset = end;
    }
    Ok(found)
}

/// What was seen of an archive.
#[derive(Default)]
struct Walk {
    entries: usize,
    /// Where it ends; `None` if its end was not reached.
    end: Option<u64>,
    loader: Option<File>,
    module: Option<File>,
}

/// The bytes of a regular file.
#[derive(Clone, Copy)]
struct File {
    start: u64,
    size: u64,
}

impl Walk {
    fn over(ramdisk: &dyn Source, start: u64, length: u64) -> io::Result<Self> {
        let mut walk = Self::default();
        let mut at = start;
        while walk.entries < MOST_ENTRIES {
            let bytes = read(ramdisk, at, HEADER.saturating_add(NAME), length)?;
            let Some(entry) = Entry::read(&bytes, at.saturating_sub(start)) else { return Ok(walk) };
            let data = start.saturating_add(entry.data);
            let end = start.saturating_add(entry.end);
            if end > length {
                return Ok(walk);
            }
            at = end;
            if entry.name == b"TRAILER!!!" {
                walk.end = Some(end);
                return Ok(walk);
            }
            walk.entries = walk.entries.saturating_add(1);
            let file = entry.is_file.then_some(File { start: data, size: entry.size });
            // A later one of the same name takes its place.
            match entry.name {
                LOADER => walk.loader = file,
                MODULE => walk.module = file,
                _ => {}
            }
        }
        Ok(walk)
    }
}

/// The header of an entry: the magic and thirteen numbers in hexadecimal.
const HEADER: u64 = 110;

struct Entry<'a> {
    name: &'a [u8],
    is_file: bool,
    size: u64,
    /// Where its bytes begin, and where the next entry does, from the start of the archive.
    data: u64,
    end: u64,
}

impl<'a> Entry<'a> {
    /// `None` if it is none.
    fn read(bytes: &'a [u8], at: u64) -> Option<Self> {
        let (header, rest) = bytes.split_at_checked(usize::try_from(HEADER).ok()?)?;
        if !header.starts_with(b"070701") && !header.starts_with(b"070702") {
            return None;
        }
        let number = |field: usize| {
            let start = field.checked_mul(8)?.checked_add(6)?;
            let digits = core::str::from_utf8(header.get(start..start.checked_add(8)?)?).ok()?;
            u64::from_str_radix(digits, 16).ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
        };
        let (mode, size, name_size) = (number(1)?, number(6)?, number(11)?);
        let shown = usize::try_from(name_size).unwrap_or(usize::MAX).min(rest.len());
        let name = rest.get(..shown)?.split(|&byte| byte == 0).next()?;
        let data = at.checked_add(HEADER)?.checked_add(name_size)?.checked_next_multiple_of(4)?;
        let end = data.checked_add(size)?.checked_next_multiple_of(4)?;
        Some(Self { name, is_file: mode & 0o170_000 == 0o100_000, size, data, end })
    }
}

fn guard(ramdisk: &dyn Source, walk: &Walk) -> io::Result<Option<Guard>> {
    let (Some(loader), Some(module)) = (walk.loader, walk.module) else { return Ok(None) };
    let own = u64::try_from(guard::LOADER.len()).unwrap_or(u64::MAX);
    let is_own_loader = loader.size == own && bytes(ramdisk, loader)? == guard::LOADER;
    let judged = if module.size <= LARGEST_MODULE {
        let bytes = bytes(ramdisk, module)?;
        guard::check(&bytes).map(|()| guard::kernel_of(&bytes))
    } else {
        Ok(None)
    };
    Ok(Some(Guard { is_own_loader, module_size: module.size, module: judged }))
}

/// The bytes of a file, which are few.
fn bytes(ramdisk: &dyn Source, file: File) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(file.size).unwrap_or_default()];
    ramdisk.read_at(file.start, &mut bytes)?;
    Ok(bytes)
}

/// Where something begins that is no padding; `None` where nothing does, or only far behind.
fn skip_zeros(ramdisk: &dyn Source, from: u64, length: u64) -> io::Result<Option<u64>> {
    let bytes = read(ramdisk, from, MOST_ZEROS, length)?;
    let zeros = bytes.iter().position(|&byte| byte != 0);
    Ok(zeros.and_then(|zeros| from.checked_add(u64::try_from(zeros).ok()?)))
}

/// At most `size` bytes; fewer where the ramdisk ends.
fn read(ramdisk: &dyn Source, from: u64, size: u64, length: u64) -> io::Result<Vec<u8>> {
    let size = size.min(length.saturating_sub(from));
    let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];
    if !bytes.is_empty() {
        ramdisk.read_at(from, &mut bytes)?;
    }
    Ok(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::cpio::{self, Kind};

    fn of(bytes: &[u8]) -> Ramdisk {
        look(&bytes).unwrap()
    }

    fn packings(bytes: &[u8]) -> Vec<(u64, &'static str, Option<usize>)> {
        of(bytes).archives.iter().map(|it| (it.offset, it.packing, it.entries)).collect()
    }

    fn archive(names: &[&str]) -> Vec<u8> {
        let mut archive = cpio::Archive::default();
        for name in names {
            archive.add(name, Kind::File, 0o644, b"data!").unwrap();
        }
        archive.finish().unwrap()
    }

    #[test]
    fn archives_are_found_up_to_the_first_that_is_packed() {
        let plain = archive(&["a", "b"]);
        let at = u64::try_from(plain.len()).unwrap();
        assert_eq!(packings(&plain), [(0, "none", Some(2))]);
        let joined = [plain.as_slice(), &[0; 12], b"\x28\xb5\x2f\xfd and more"].concat();
        assert_eq!(packings(&joined), [(0, "none", Some(2)), (at + 12, "zstd", None)]);
        assert_eq!(packings(b"\x1f\x8bpacked"), [(0, "gzip", None)]);
        assert_eq!(packings(b"\xfd7zXZ\0packed"), [(0, "xz", None)]);
        assert_eq!(packings(b"text"), [(0, "unknown", None)]);
        assert_eq!(packings(&[0; 64]), []);
        assert_eq!(packings(b""), []);
        let again = [plain.as_slice(), &plain].concat();
        assert_eq!(packings(&again), [(0, "none", Some(2)), (at, "none", Some(2))]);
    }

    #[test]
    fn an_archive_that_is_cut_has_no_end() {
        let plain = archive(&["a", "b"]);
        for cut in [plain.len() - 4, 130, 50, 6] {
            assert_eq!(packings(&plain[..cut]), [(0, "none", None)], "{cut}");
        }
        let mut wrong = plain.clone();
        wrong[54] = b'x';
        assert_eq!(packings(&wrong), [(0, "none", None)]);
        // A size that leads out of the file.
        let mut large = plain;
        large[54..62].copy_from_slice(b"ffffffff");
        assert_eq!(packings(&large), [(0, "none", None)]);
    }

    #[test]
    fn the_guard_is_where_it_must_be() {
        let guarded = guard::archive(b"module").unwrap();
        let found = of(&guarded).guard.unwrap();
        assert!(found.is_own_loader);
        assert_eq!((found.module_size, found.module), (6, Err(NotTheGuard::NotAModule)));
        assert!(of(&[guarded.as_slice(), b"\x1f\x8b"].concat()).guard.is_some());
        // Behind another archive it comes too late.
        assert_eq!(of(&[archive(&["a"]).as_slice(), &guarded].concat()).guard, None);
        assert_eq!(of(&[&[0; 4], guarded.as_slice()].concat()).guard, None);
        assert_eq!(of(&guard::archive_of(None).unwrap()).guard, None);
        assert_eq!(of(b"\x1f\x8b").guard, None);
        let mut other = guarded;
        let at = other.windows(guard::LOADER.len()).position(|window| window == guard::LOADER).unwrap();
        other[at + 100] ^= 1;
        assert!(!of(&other).guard.unwrap().is_own_loader);
    }
}
