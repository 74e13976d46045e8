//! Kernel modules with what they depend on.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::console::Console;

/// `MODULE_INIT_COMPRESSED_FILE` of Linux's include/uapi/linux/module.h: the kernel unpacks the file.
const COMPRESSED: std::ffi::c_int = 4;

/// Loads `names` in their order, each after what it depends on. Whatever does not load is told and left out.
pub(crate) fn load(names: &[String], console: &mut Console) {
    if names.is_empty() {
        return;
    }
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let folder = Path::new("/lib/modules").join(release.trim());
    let table = match fs::read_to_string(folder.join("modules.dep")) {
        Ok(text) => Dependencies::parse(&text),
        Err(error) => {
            console.trouble("modules", &format!("{}/modules.dep: {error}", folder.display()));
            return;
        }
    };
    for name in names {
        let Some(order) = table.order(name) else {
            // A module that is built in has no file, and needs none.
            if !built_in(&folder, name) {
                console.trouble("modules", &format!("{name}: not in modules.dep"));
            }
            continue;
        };
        for file in order {
            if let Err(message) = insert(&folder.join(file)) {
                console.trouble("modules", &format!("{file}: {message}"));
            }
        }
    }
}

/// What the guard counted: its mode, and each reason that refused or would have.
pub(crate) fn guard_counts() -> Vec<String> {
    let folder = Path::new("/sys/kernel/xen-lockdown");
    let read = |file: &Path| fs::read_to_string(file).unwrap_or_default().trim().to_owned();
    let mut found =
        vec![format!("guard: mode {}, strict {}", read(&folder.join("mode")), read(&folder.join("strict")))];
    for kind in ["refused", "audited"] {
        let entries = fs::read_dir(folder.join(kind)).into_iter().flatten().flatten();
        let mut counts: Vec<String> = entries
            .map(|entry| (entry.file_name().to_string_lossy().into_owned(), read(&entry.path())))
            .filter(|(_, count)| count != "0")
            .map(|(reason, count)| format!("guard: {kind} {reason} {count}"))
            .collect();
        counts.sort();
        found.append(&mut counts);
    }
    found
}

/// What the guard said in the kernel's log, which is kept off the console while steps run.
pub(crate) fn guard_lines() -> Vec<String> {
    use std::io::Read as _;
    use std::os::unix::fs::OpenOptionsExt as _;

    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    let Ok(mut log) = fs::OpenOptions::new().read(true).custom_flags(flags).open("/dev/kmsg") else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let mut record = [0; 8192];
    loop {
        match log.read(&mut record) {
            Ok(length) => {
                let text = String::from_utf8_lossy(record.get(..length).unwrap_or_default()).into_owned();
                // After the semicolon comes what was said.
                let said = text.split_once(';').map_or("", |(_, said)| said).lines().next().unwrap_or_default();
                if said.starts_with("lockdown-guard: ") {
                    found.push(said.to_owned());
                }
            }
            // A record that was overwritten before it was read.
            Err(error) if error.raw_os_error() == Some(Errno::PIPE.raw_os_error()) => {}
            Err(_) => return found,
        }
    }
}

fn built_in(folder: &Path, name: &str) -> bool {
    let list = fs::read_to_string(folder.join("modules.builtin")).unwrap_or_default();
    list.lines().any(|line| key(line) == spelled(name))
}

fn insert(path: &Path) -> Result<(), String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let packed = path.extension().is_some_and(|end| end != "ko");
    match rustix::system::finit_module(&file, c"", if packed { COMPRESSED } else { 0 }) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

/// `modules.dep`: for each module its file and the files that it needs.
struct Dependencies {
    by_name: BTreeMap<String, (String, Vec<String>)>,
}

impl Dependencies {
    fn parse(text: &str) -> Self {
        let mut by_name = BTreeMap::new();
        for line in text.lines() {
            let Some((file, needs)) = line.split_once(':') else { continue };
            let needs = needs.split_whitespace().map(str::to_owned).collect();
            by_name.insert(key(file), (file.to_owned(), needs));
        }
        Self { by_name }
    }

    /// The files of `name` and of all that it needs, what is needed first. `None`: no such module.
    fn order(&self, name: &str) -> Option<Vec<&str>> {
        let (file, _) = self.by_name.get(&spelled(name))?;
        let mut order = Vec::new();
        self.append(file, &mut order, &mut BTreeSet::new());
        Some(order)
    }

    fn append<'a>(&'a self, file: &'a str, order: &mut Vec<&'a str>, seen: &mut BTreeSet<&'a str>) {
        if !seen.insert(file) {
            return;
        }
        if let Some((_, needs)) = self.by_name.get(&key(file)) {
            for need in needs {
                self.append(need, order, seen);
            }
        }
        order.push(file);
    }
}

/// The name under which the kernel knows the module in `file`.
fn key(file: &str) -> String {
    let name = PathBuf::from(file).file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    spelled(name.split('.').next().unwrap_or_default())
}

/// Names are the same with a dash and with an underscore.
fn spelled(name: &str) -> String {
    name.replace('-', "_")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_comes_first() {
        let table = Dependencies::parse(
            "kernel/a/xenfs.ko.xz: kernel/a/xen-privcmd.ko.xz kernel/b/base.ko.xz\n\
             kernel/a/xen-privcmd.ko.xz: kernel/b/base.ko.xz\nkernel/b/base.ko.xz:\n",
        );
        assert_eq!(
            table.order("xenfs").unwrap(),
            ["kernel/b/base.ko.xz", "kernel/a/xen-privcmd.ko.xz", "kernel/a/xenfs.ko.xz"]
        );
        assert_eq!(table.order("xen_privcmd").unwrap().len(), 2);
        assert!(table.order("nothing").is_none());
    }

    #[test]
    fn a_ring_of_modules_ends() {
        let table = Dependencies::parse("a.ko: b.ko\nb.ko: a.ko\n");
        assert_eq!(table.order("a").unwrap(), ["b.ko", "a.ko"]);
    }
}
