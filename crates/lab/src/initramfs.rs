//! dom0's initramfs: the guest's programs, Xen's tools with their libraries, modules with what they need.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use lockdown_unify::cpio::{Archive, Kind};
use object::read::elf::{Dyn as _, ElfFile64, ProgramHeader as _};
use object::{Endianness, elf};

use crate::root::Root;

/// Where Debian's libraries lie, after the folders that a program names itself.
const LIBRARIES: [&str; 2] = ["/usr/lib/x86_64-linux-gnu", "/usr/lib"];

/// An archive in the making. Paths have no leading slash.
#[derive(Clone, Debug, Default)]
pub struct Initramfs {
    entries: BTreeMap<String, Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    kind: Kind,
    permissions: u32,
    data: Vec<u8>,
}

impl Entry {
    const FOLDER: Self = Self { kind: Kind::Folder, permissions: 0o755, data: Vec::new() };
}

impl Initramfs {
    /// An archive with the folders and links of a Debian system.
    #[must_use]
    pub fn new() -> Self {
        let mut archive = Self::default();
        for folder in ["dev", "proc", "sys", "run", "tmp", "root", "lab", "var/lib/xen", "var/log/xen"] {
            archive.add_folder(folder);
        }
        for (link, target) in [
            ("bin", "usr/bin"),
            ("sbin", "usr/sbin"),
            ("lib", "usr/lib"),
            ("lib64", "usr/lib64"),
            ("var/run", "/run"),
            ("var/lock", "/run/lock"),
        ] {
            archive.add_link(link, target);
        }
        archive
    }

    /// Adds a file, and the folders above it.
    pub fn add_file(&mut self, path: &str, data: Vec<u8>, executable: bool) {
        let path = usual(path);
        self.add_parents(&path);
        let permissions = if executable { 0o755 } else { 0o644 };
        self.entries.insert(path, Entry { kind: Kind::File, permissions, data });
    }

    /// Adds a link.
    pub fn add_link(&mut self, path: &str, target: &str) {
        let path = usual(path);
        self.add_parents(&path);
        let data = target.as_bytes().to_vec();
        self.entries.insert(path, Entry { kind: Kind::Link, permissions: 0o777, data });
    }

    fn add_folder(&mut self, path: &str) {
        self.add_parents(path);
        let known = self.entries.entry(path.to_owned());
        known.or_insert(Entry::FOLDER);
    }

    fn add_parents(&mut self, path: &str) {
        for (at, _) in path.match_indices('/') {
            if let Some(parent) = path.get(..at).filter(|parent| !parent.is_empty()) {
                let known = self.entries.entry(parent.to_owned());
                known.or_insert(Entry::FOLDER);
            }
        }
    }

    /// Whether there is something of that name.
    #[must_use]
    pub fn contains(&self, path: &str) -> bool {
        self.entries.contains_key(&usual(path))
    }

    /// Adds a program of the root's with every library that it needs.
    ///
    /// # Errors
    /// Where the program or a library is missing.
    pub fn add_program(&mut self, root: &Root, path: &str) -> Result<()> {
        let mut wanted = vec![path.to_owned()];
        while let Some(path) = wanted.pop() {
            if self.contains(&path) {
                continue;
            }
            let place = root.file(&path)?;
            let data = fs::read(&place)?;
            if data.starts_with(b"\x7fELF") {
                let needs = Needs::of(&data).with_context(|| format!("{path} of the root"))?;
                wanted.extend(needs.interpreter.clone());
                let real = root.resolve(Path::new(&path))?;
                for library in &needs.libraries {
                    wanted.push(find_library(root, &real, &needs.folders, library)?);
                }
            }
            self.add_file(&path, data, true);
        }
        Ok(())
    }

    /// Adds modules of the root's kernel, with what they need, and the list that says so.
    ///
    /// # Errors
    /// Where the kernel has no such module.
    pub fn add_modules(&mut self, root: &Root, release: &str, modules: &[&str]) -> Result<()> {
        let folder = format!("/usr/lib/modules/{release}");
        let list = fs::read_to_string(root.file(&format!("{folder}/modules.dep"))?)?;
        let builtin = fs::read_to_string(root.file(&format!("{folder}/modules.builtin"))?)?;
        let lines = needed_modules(&list, &builtin, modules)?;
        let mut kept = String::new();
        for line in lines {
            let (module, needs) = line.split_once(':').unwrap_or((line, ""));
            for path in std::iter::once(module).chain(needs.split_whitespace()) {
                let inside = format!("{folder}/{path}");
                if !self.contains(&inside) {
                    self.add_file(&inside, fs::read(root.file(&inside)?)?, false);
                }
            }
            kept.push_str(line);
            kept.push('\n');
        }
        self.add_file(&format!("{folder}/modules.dep"), kept.into_bytes(), false);
        Ok(())
    }

    /// The archive as Linux unpacks it.
    ///
    /// # Errors
    /// Where a file is larger than the format can say.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut archive = Archive::default();
        for (path, entry) in &self.entries {
            archive.add(path, entry.kind, entry.permissions, &entry.data)?;
        }
        Ok(archive.finish()?)
    }
}

/// Without the leading slash, and below `usr` what Debian keeps there.
fn usual(path: &str) -> String {
    let path = path.trim_start_matches('/');
    let moved = ["bin/", "sbin/", "lib/", "lib64/"].iter().any(|folder| path.starts_with(folder));
    if moved { format!("usr/{path}") } else { path.to_owned() }
}

/// What an ELF file asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Needs {
    interpreter: Option<String>,
    libraries: Vec<String>,
    folders: Vec<String>,
}

impl Needs {
    fn of(data: &[u8]) -> Result<Self> {
        let mut needs = Self::default();
        let file = ElfFile64::<Endianness>::parse(data)?;
        let endian = file.endian();
        let segments = file.elf_program_headers();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        for segment in segments {
            if let Some(interpreter) = segment.interpreter(endian, data)? {
                needs.interpreter = Some(text(interpreter));
            }
        }
        let Some(entries) = dynamic(segments, endian, data)? else { return Ok(needs) };
        let value = |tag: elf::DynamicTag| {
            let entry = entries.iter().find(|entry| entry.d_tag(endian) == tag);
            entry.map(|entry| entry.d_val(endian))
        };
        let (Some(place), Some(size)) = (value(elf::DT_STRTAB), value(elf::DT_STRSZ)) else { return Ok(needs) };
        let mut strings: &[u8] = &[];
        for segment in segments {
            if let Ok(Some(found)) = segment.data_range(endian, data, place, size) {
                strings = found;
            }
        }
        let string = |offset: u64| {
            let rest = usize::try_from(offset).ok().and_then(|offset| strings.get(offset..)).unwrap_or_default();
            text(rest.split(|byte| *byte == 0).next().unwrap_or_default())
        };
        for entry in entries {
            match entry.d_tag(endian) {
                elf::DT_NEEDED => needs.libraries.push(string(entry.d_val(endian))),
                elf::DT_RPATH | elf::DT_RUNPATH => {
                    needs.folders.extend(string(entry.d_val(endian)).split(':').map(str::to_owned));
                }
                _ => {}
            }
        }
        Ok(needs)
    }
}

type Segment = elf::ProgramHeader64<Endianness>;

fn dynamic<'data>(
    segments: &[Segment],
    endian: Endianness,
    data: &'data [u8],
) -> Result<Option<&'data [elf::Dyn64<Endianness>]>> {
    for segment in segments {
        if let Some(entries) = segment.dynamic(endian, data)? {
            return Ok(Some(entries));
        }
    }
    Ok(None)
}

fn find_library(root: &Root, program: &Path, folders: &[String], library: &str) -> Result<String> {
    let origin = program.parent().map(|folder| folder.display().to_string()).unwrap_or_default();
    let own = folders.iter().map(|folder| folder.replace("$ORIGIN", &origin).replace("${ORIGIN}", &origin));
    for folder in own.chain(LIBRARIES.map(str::to_owned)) {
        // The name keeps what the loader will look for; only the way there is cleared of `..` and links.
        let folder = root.resolve(Path::new(&folder))?;
        let path: PathBuf = folder.join(library);
        let path = path.display().to_string();
        if root.file(&path).is_ok() {
            return Ok(path);
        }
    }
    ensure!(library.starts_with("linux-vdso"), "{} needs {library}, which the root lacks", program.display());
    Ok(String::new())
}

/// The lines of `modules.dep` that name `modules` and what they need.
fn needed_modules<'a>(list: &'a str, builtin: &str, modules: &[&str]) -> Result<Vec<&'a str>> {
    let mut by_path = BTreeMap::new();
    let mut by_name = BTreeMap::new();
    for line in list.lines() {
        if let Some((path, _)) = line.split_once(':') {
            by_path.insert(path, line);
            by_name.insert(module_name(path), line);
        }
    }
    let builtin: BTreeSet<String> = builtin.lines().map(module_name).collect();
    let mut lines = BTreeSet::new();
    for module in modules {
        let name = module.replace('-', "_");
        let Some(line) = by_name.get(&name).copied() else {
            ensure!(builtin.contains(&name), "the root's kernel has no module {module}");
            continue;
        };
        lines.insert(line);
        let needs = line.split_once(':').map_or("", |(_, needs)| needs);
        lines.extend(needs.split_whitespace().filter_map(|path| by_path.get(path).copied()));
    }
    Ok(lines.into_iter().collect())
}

/// The name that the kernel knows a module by.
fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split(".ko").next().unwrap_or(file).replace('-', "_")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn folders_come_before_what_is_in_them() {
        let archive = Initramfs::new();
        let paths: Vec<&String> = archive.entries.keys().collect();
        let at = |path: &str| paths.iter().position(|known| *known == path).unwrap();
        assert!(at("var") < at("var/lib") && at("var/lib") < at("var/lib/xen"));
        assert_eq!(usual("/lib64/ld.so"), "usr/lib64/ld.so");
        assert_eq!(usual("/library"), "library");
    }

    #[test]
    fn modules_bring_what_they_need() {
        let list = "k/xenfs.ko.xz: k/xen-privcmd.ko.xz\nk/xen-privcmd.ko.xz:\nk/other.ko.xz:\n";
        let found = needed_modules(list, "k/xen-evtchn.ko\n", &["xenfs", "xen-evtchn"]).unwrap();
        assert_eq!(found, ["k/xen-privcmd.ko.xz:", "k/xenfs.ko.xz: k/xen-privcmd.ko.xz"]);
        assert_eq!(needed_modules(list, "", &["xen_privcmd"]).unwrap().len(), 1);
        assert!(needed_modules(list, "", &["nosuch"]).is_err());
    }

    #[test]
    fn the_running_program_names_its_libraries() {
        let own = fs::read("/proc/self/exe").unwrap();
        let needs = Needs::of(&own).unwrap();
        assert!(needs.libraries.iter().any(|name| name.starts_with("libc.so")), "{needs:?}");
        assert!(needs.interpreter.is_some());
        assert!(Needs::of(b"\x7fELF").is_err());
    }
}
