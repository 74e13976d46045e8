//! Everything that a run needs, at hand: the root, the keys, Xen, the kernel, the guest's programs.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Error, Result, ensure};
use fs4::FileExt;
use lockdown_firmware::load_option::LoadOption;
use lockdown_firmware::{Guid, Variable};

use crate::boot::{self, Boot, Limits};
use crate::console::Line;
use crate::esp::DiskFile;
use crate::guard;
use crate::guest::{self, Guest};
use crate::image::{self, Parts, Signed};
use crate::initramfs::Initramfs;
use crate::keys::{Key, Keys, NEW_KEYS};
use crate::machine::{self, Dom0, Extra, Firmware, Machine, Setup};
use crate::plan::{MODULES, Plan, Step};
use crate::root::{self, Root};
use crate::varstore::{self, Databases, SecureBoot, Settings};

/// Xen's programs that dom0 gets, from the folder of Debian's Xen.
const XEN_PROGRAMS: &[&str] = &[
    "libxl-save-helper",
    "xen-hptool",
    "xen-init-dom0",
    "xen-livepatch",
    "xenconsole",
    "xenconsoled",
    "xenstored",
    "xl",
];

/// Where Debian keeps them.
const XEN_FOLDER: &str = "/usr/lib/xen-4.20/bin";

/// Debian's Xen as the firmware starts it.
const XEN_IMAGE: &str = "/boot/xen-4.20-amd64.efi";

/// What the C library loads by itself when a thread of theirs is cancelled.
const UNWINDER: &str = "/usr/lib/x86_64-linux-gnu/libgcc_s.so.1";

/// Modules that lie in the initramfs and are loaded by nobody: attacks take them.
const FOR_ATTACKS: &[&str] = &["dummy"];

/// What the guest's programs take while they are built, and then a few machines, in bytes.
const SPACE: u64 = 512 << 20;

/// What the folder of a run is called.
const RUN: &str = "run-";

/// What the crate `tempfile` calls a folder that is named by nobody.
const TEMPORARY: &str = ".tmp";

/// Marks the folder of a run that is kept.
const KEPT: &str = "kept";

/// Where the image lies on the machine's disk.
pub const IMAGE: &str = "EFI/xen/xen.efi";

/// The first word of an image's LoadOptions is its own name.
pub const IMAGE_NAME: &str = "xen.efi";

/// A program in the initramfs that is not process 1.
pub const OTHER_PROGRAM: &str = "/lab/attacks";

/// A lab that is ready.
#[derive(Debug)]
pub struct Lab {
    /// The Debian root.
    pub root: Root,
    /// The keys.
    pub keys: Keys,
    /// Debian's Xen.
    pub stock: Xen,
    /// Debian's kernel with Debian's signature.
    pub kernel: Vec<u8>,
    /// The kernel's release.
    pub release: String,
    /// The guest's programs.
    pub guest: Guest,
    /// Where this run keeps its files.
    runs: tempfile::TempDir,
    /// Held as long as the lab is in use.
    _in_use: File,
    keep: bool,
    count: AtomicU32,
}

/// A Xen to be tried.
#[derive(Clone, Debug)]
pub struct Xen {
    /// What its columns are called.
    pub name: &'static str,
    /// `xen.efi`, not signed.
    pub image: Vec<u8>,
    /// The guard that dom0 loads first, signed.
    pub guard: Option<Vec<u8>>,
}

/// One machine to boot.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What its logs are called.
    pub name: String,
    /// The kind of dom0.
    pub dom0: Dom0,
    /// The image that firmware starts.
    pub image: Vec<u8>,
    /// What it gets as LoadOptions, its own name first; empty: nothing at all.
    pub options: String,
    /// The file that firmware starts: the image itself, or a boot loader on the disk.
    pub starts: String,
    /// What else lies on the disk.
    pub disk: Vec<DiskFile>,
    /// What the machine starts with.
    pub firmware: Firmware,
    /// Whether the firmware has keys, and so enforces Secure Boot.
    pub secure_boot: bool,
    /// What firmware trusts and refuses, instead of the lab's key and `revoked`.
    pub databases: Option<Databases>,
    /// What somebody stored in the firmware beside.
    pub variables: Vec<Variable>,
    /// Hashes of images that firmware is told to refuse.
    pub revoked: Vec<[u8; 32]>,
    /// Further texts at which the boot is over.
    pub stop_at: Vec<String>,
    /// What is typed on the serial line, once each, when a line holds the first text.
    pub types: Vec<(String, String)>,
    /// How long dom0 may say nothing.
    pub silence: Duration,
    /// What QEMU gets beside.
    pub extra: Extra,
    /// How many times longer than usual everything may take.
    pub patience: u32,
}

impl Scenario {
    /// A machine that starts `image` without options.
    #[must_use]
    pub fn new(name: &str, dom0: Dom0, image: Vec<u8>) -> Self {
        Self {
            name: name.to_owned(),
            dom0,
            image,
            options: String::new(),
            starts: IMAGE.to_owned(),
            disk: Vec::new(),
            firmware: Firmware::default(),
            secure_boot: true,
            databases: None,
            variables: Vec::new(),
            revoked: Vec::new(),
            stop_at: Vec::new(),
            types: Vec::new(),
            silence: Duration::from_secs(120),
            extra: Extra::default(),
            patience: 1,
        }
    }
}

impl Lab {
    /// Makes ready what is not. `folder` is the lab's own, `project` the source.
    ///
    /// # Errors
    /// What is missing.
    pub fn open(folder: &Path, project: &Path, say: &(dyn Fn(&str) + Sync)) -> Result<Self> {
        Self::open_root(Root::get(folder, say)?, project, say)
    }

    /// As [`Lab::open`], with Debian's programs and kernel from `root`.
    ///
    /// # Errors
    /// What is missing.
    pub fn open_root(root: Root, project: &Path, say: &(dyn Fn(&str) + Sync)) -> Result<Self> {
        let folder = root.folder().parent().context("the root has no parent folder")?.to_owned();
        Self::with_root(root, &folder, project, say).map_err(|error| name_disk(error, &folder))
    }

    fn with_root(root: Root, folder: &Path, project: &Path, say: &(dyn Fn(&str) + Sync)) -> Result<Self> {
        let in_use = begin(folder)?;
        root::ensure_space(folder, SPACE)?;
        let keys = Keys::get(&root, folder)?;
        let guest = guest::build(project, folder, say)?;
        let stock = Xen { name: "stock", image: fs::read(root.file(XEN_IMAGE)?)?, guard: None };
        let release = root.kernel_release()?;
        let kernel = fs::read(root.file(&format!("/boot/vmlinuz-{release}"))?)?;
        let runs = tempfile::Builder::new().prefix(RUN).tempdir_in(folder)?;
        let count = AtomicU32::new(0);
        Ok(Self { root, keys, stock, kernel, release, guest, runs, _in_use: in_use, keep: false, count })
    }

    /// Keeps the machines' files after the end; tells where.
    pub fn keep(&mut self) -> PathBuf {
        self.runs.disable_cleanup(true);
        self.keep = true;
        // A later run removes what has no such mark.
        let _ = fs::write(self.runs.path().join(KEPT), "");
        self.runs.path().to_owned()
    }

    /// The guard for the kernel, built where it is not there, and signed with the key that firmware trusts.
    ///
    /// # Errors
    /// Where it cannot be built or signed.
    pub fn guard(&self, say: &(dyn Fn(&str) + Sync)) -> Result<Vec<u8>> {
        let folder = self.root.folder().parent().context("the root has no parent folder")?;
        let built = guard::build(&self.root, folder, &self.release, say)?;
        let module = fs::read(&built).with_context(|| built.display().to_string())?;
        guard::sign(&self.root, folder, &module, &self.keys.trusted)
    }

    /// dom0's initramfs with `plan`, and `more` files in it.
    ///
    /// # Errors
    /// Where the root lacks something.
    pub fn initramfs(&self, plan: &Plan, more: &[(String, Vec<u8>)]) -> Result<Vec<u8>> {
        let mut archive = Initramfs::new();
        archive.add_file("/init", fs::read(&self.guest.init)?, true);
        archive.add_file(OTHER_PROGRAM, fs::read(&self.guest.attacks)?, true);
        archive.add_file("/lab/plan.json", serde_json::to_vec(plan)?, false);
        for program in XEN_PROGRAMS {
            archive.add_program(&self.root, &format!("{XEN_FOLDER}/{program}"))?;
        }
        archive.add_program(&self.root, UNWINDER)?;
        let mut modules: Vec<&str> = MODULES.to_vec();
        modules.extend(FOR_ATTACKS);
        modules.extend(plan.modules.iter().map(String::as_str));
        archive.add_modules(&self.root, &self.release, &modules)?;
        for (path, bytes) in more {
            archive.add_file(path, bytes.clone(), true);
        }
        archive.to_bytes()
    }

    /// As [`Lab::initramfs`], for a dom0 whose image has the guard that goes with `xen`.
    ///
    /// # Errors
    /// Where the root lacks something.
    pub fn initramfs_for(&self, xen: &Xen, plan: &Plan, more: &[(String, Vec<u8>)]) -> Result<Vec<u8>> {
        self.initramfs(&Plan { guard: xen.guard.is_some(), ..plan.clone() }, more)
    }

    /// An initramfs that only says how dom0 sees the machine, and loads what the guard will replace.
    ///
    /// # Errors
    /// Where the root lacks something.
    pub fn small_initramfs(&self, xen: &Xen) -> Result<Vec<u8>> {
        self.small_initramfs_with(xen, Vec::new())
    }

    /// As [`Lab::small_initramfs`], and then carries out `steps`, without Xen's daemons and tools.
    ///
    /// # Errors
    /// Where the root lacks something.
    pub fn small_initramfs_with(&self, xen: &Xen, steps: Vec<Step>) -> Result<Vec<u8>> {
        let modules = ["efivarfs", "xen-privcmd"];
        let plan = Plan {
            guard: xen.guard.is_some(),
            modules: modules.map(str::to_owned).to_vec(),
            daemons: Vec::new(),
            ..Plan::new(steps)
        };
        let mut archive = Initramfs::new();
        archive.add_file("/init", fs::read(&self.guest.init)?, true);
        archive.add_file(OTHER_PROGRAM, fs::read(&self.guest.attacks)?, true);
        archive.add_file("/lab/plan.json", serde_json::to_vec(&plan)?, false);
        archive.add_modules(&self.root, &self.release, &modules)?;
        archive.to_bytes()
    }

    /// `xen` with `parts`, not signed. Where it has a guard, that comes before the ramdisk, and what it needs into the
    /// configuration.
    ///
    /// # Errors
    /// Where it cannot be built.
    pub fn unified(&self, xen: &Xen, parts: &Parts) -> Result<Vec<u8>> {
        match &xen.guard {
            Some(module) => image::unify(&xen.image, &image::guarded(module, parts)?),
            None => image::unify(&xen.image, parts),
        }
    }

    /// `image`, signed with `key`.
    ///
    /// # Errors
    /// Where it cannot be signed.
    pub fn signed(&self, image: &[u8], key: &Key) -> Result<Signed> {
        image::sign(image, key)
    }

    /// What a machine's firmware knows at its start.
    fn settings(&self, scenario: &Scenario) -> Settings {
        let databases = || match &scenario.databases {
            Some(databases) => databases.clone(),
            None => Databases {
                db: varstore::certificates(std::slice::from_ref(&self.keys.trusted.der)),
                dbx: scenario.revoked.iter().flat_map(|hash| varstore::entry(Guid::CERT_SHA256, hash)).collect(),
            },
        };
        Settings {
            keys: scenario.secure_boot.then(|| SecureBoot {
                platform_key: self.keys.platform.der.clone(),
                exchange_key: self.keys.exchange.der.clone(),
                databases: databases(),
            }),
            boot: vec![LoadOption::file(
                "xen",
                &format!("\\{}", scenario.starts.replace('/', "\\")),
                &scenario.options,
            )],
            variables: scenario.variables.clone(),
        }
    }

    /// The flash image that a machine's firmware begins with.
    ///
    /// # Errors
    /// Where there is no room for its variables.
    pub fn variables(&self, scenario: &Scenario) -> Result<Vec<u8>> {
        machine::variables(&self.root, &self.settings(scenario))
    }

    /// Boots a machine and watches it to its end.
    ///
    /// # Errors
    /// Where a limit passes or QEMU fails: then there is no answer.
    pub fn boot(&self, scenario: &Scenario) -> Result<Boot> {
        self.boot_and_look(scenario, &mut |_, _| Ok(()))
    }

    /// As [`Lab::boot`]; `look` sees every line with the running machine.
    ///
    /// # Errors
    /// As [`Lab::boot`], and what `look` returns.
    pub fn boot_and_look(
        &self,
        scenario: &Scenario,
        look: &mut dyn FnMut(&Line, &Machine) -> Result<()>,
    ) -> Result<Boot> {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let folder = self.runs.path().join(format!("{number:03}-{}", scenario.name));
        let mut disk = scenario.disk.clone();
        disk.push((IMAGE.to_owned(), scenario.image.clone()));
        let setup = Setup {
            firmware: scenario.firmware,
            dom0: scenario.dom0,
            settings: self.settings(scenario),
            disk,
            extra: scenario.extra.clone(),
        };
        let limits = Limits {
            boot: Duration::from_secs(480) * scenario.patience,
            all: Duration::from_secs(2400) * scenario.patience,
            silence: scenario.silence * scenario.patience,
            stop_at: scenario.stop_at.clone(),
            types: scenario.types.clone(),
            logs: folder.clone(),
        };
        let mut machine = setup.start(&self.root, &folder).map_err(|error| self.name_disk(error))?;
        let boot = boot::watch(&mut machine, &limits, look).map_err(|error| self.name_disk(error));
        let boot = boot.with_context(|| format!("the boot {}", scenario.name))?;
        drop(machine);
        if !self.keep {
            // The disk and the variables are large; the logs are asked for later.
            let _ = fs::remove_file(folder.join("disk"));
            let _ = fs::remove_file(folder.join("variables"));
        }
        Ok(boot)
    }

    fn name_disk(&self, error: Error) -> Error {
        name_disk(error, self.root.folder().parent().unwrap_or(self.root.folder()))
    }

    /// Sees to it that dom0 came up under enforced Secure Boot, as dom0 and the firmware say.
    ///
    /// # Errors
    /// Where it did not.
    pub fn ensure_secure(boot: &Boot, dom0: Dom0) -> Result<()> {
        let booted = boot.booted.as_ref();
        let booted = booted.with_context(|| format!("dom0 did not start: {:?}", boot.end))?;
        ensure!(booted.secure_boot, "Secure Boot is not on: nothing that this machine shows counts");
        ensure!(booted.dom0 == dom0.name(), "dom0 is {:?}, and {} was asked for", booted.dom0, dom0.name());
        Ok(())
    }
}

/// Marks the lab as in use. Whoever is alone removes first what runs left that were killed.
fn begin(folder: &Path) -> Result<File> {
    let in_use = File::create(folder.join("in-use"))?;
    if FileExt::try_lock(&in_use).is_ok() {
        for entry in fs::read_dir(folder)? {
            let place = entry?.path();
            if left_behind(&place) {
                fs::remove_dir_all(&place)
                    .with_context(|| format!("{} was left behind and cannot be removed", place.display()))?;
            }
        }
        FileExt::unlock(&in_use)?;
    }
    FileExt::lock_shared(&in_use)?;
    Ok(in_use)
}

fn left_behind(place: &Path) -> bool {
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    let ours = [RUN, NEW_KEYS, TEMPORARY].iter().any(|prefix| name.starts_with(prefix));
    ours && place.is_dir() && !place.join(KEPT).exists()
}

/// Says which disk is full, where that is why something failed.
fn name_disk(error: Error, place: &Path) -> Error {
    let full = |cause: &(dyn std::error::Error + 'static)| {
        let kind = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        matches!(kind, Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    };
    // What runs inside the root only says it.
    if error.chain().any(full) || format!("{error:#}").contains(root::FULL) {
        error.context(format!("the disk of {} is full: make room, then start again", place.display()))
    } else {
        error
    }
}

/// Xen's configuration for the lab, with further options for Xen and for dom0's kernel.
#[must_use]
pub fn config(dom0: Dom0, xen: &str, linux: &str) -> String {
    let kind = match dom0 {
        Dom0::Pv => "",
        Dom0::Pvh => " dom0=pvh",
    };
    let memory = match dom0 {
        Dom0::Pv => "512M,max:512M",
        Dom0::Pvh => "1024M,max:1024M",
    };
    let options = format!("console=com1 com1=115200,8n1 loglvl=all dom0_mem={memory}{kind} {xen}");
    let kernel = format!("vmlinuz console=hvc0 loglevel=6 {linux}");
    format!(
        "[global]\ndefault=xen\n\n[xen]\noptions={}\nkernel={}\nramdisk=initrd\n",
        options.trim(),
        kernel.trim()
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_run_left_is_removed_and_what_is_kept_or_in_use_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        for name in ["run-dead", "run-asked", ".tmpdead", ".new-keys-dead", "keys", "guest", "report"] {
            fs::create_dir(place(name)).unwrap();
            fs::write(place(name).join("file"), "x").unwrap();
        }
        fs::write(place("run-asked").join(KEPT), "").unwrap();
        let first = begin(folder.path()).unwrap();
        for name in ["run-dead", ".tmpdead", ".new-keys-dead"] {
            assert!(!place(name).exists(), "{name}");
        }
        for name in ["run-asked", "keys", "guest", "report"] {
            assert!(place(name).join("file").exists(), "{name}");
        }
        fs::create_dir(place("run-alive")).unwrap();
        let second = begin(folder.path()).unwrap();
        assert!(place("run-alive").exists());
        drop((first, second));
        drop(begin(folder.path()).unwrap());
        assert!(!place("run-alive").exists());
    }

    #[test]
    fn a_full_disk_is_named() {
        let said = |error: Error| format!("{:#}", name_disk(error, Path::new("/lab")));
        let full = Error::from(io::Error::from(io::ErrorKind::StorageFull)).context("the disk image");
        assert!(said(full).starts_with("the disk of /lab is full"));
        let inside = anyhow::anyhow!("objcopy failed inside the root: x: No space left on device");
        assert!(said(inside).starts_with("the disk of /lab is full"));
        assert_eq!(said(anyhow::anyhow!("other")), "other");
    }

    #[test]
    fn the_configuration_ends_lines_where_xen_expects_it() {
        let text = config(Dom0::Pvh, "smep=1", "quiet");
        assert!(text.contains("dom0=pvh smep=1\n"), "{text}");
        assert!(text.contains("\nkernel=vmlinuz console=hvc0 loglevel=6 quiet\n"), "{text}");
    }
}
