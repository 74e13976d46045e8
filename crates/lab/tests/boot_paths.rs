//! Every way into a locked Xen, booted for real: what locks it, what it refuses, how the boot ends.
//!
//! It builds Xen in several ways (kept) and then boots a machine for each row, so it runs only where it is asked for:
//! `cargo test --release -p lockdown-lab --test boot_paths -- --ignored --nocapture`. `BOOT_PATHS='TEXT|TEXT'` takes the
//! rows whose names hold one of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a test may panic and print")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use lockdown_debian::fetch::{self, Release};
use lockdown_firmware::{Attributes, Guid, Variable};
use lockdown_lab::boot::{Boot, End};
use lockdown_lab::hypervisor::{self, BuiltXen, Settings, Tree};
use lockdown_lab::image::Parts;
use lockdown_lab::initramfs::Initramfs;
use lockdown_lab::lab::{IMAGE, Lab, Scenario, Xen, config};
use lockdown_lab::loader;
use lockdown_lab::machine::{Dom0, Firmware};
use lockdown_lab::plan::{Plan, Step};
use lockdown_lab::prove;
use lockdown_lab::root::SHARED;
use lockdown_lab::toolstack;

/// What every boot says to Xen; a locked one honours it too.
const USUAL: &str = "console=com1 com1=115200,8n1 loglvl=all dom0_mem=512M,max:512M";

/// And to dom0's kernel.
const USUAL_DOM0: &str = "console=hvc0 loglevel=6";

/// What unsigned text says beside: a refused token on each side of the lock, a refused one for dom0.
const PLAIN: &str = "efi=no-rs smep=off";
const LATCH: &str = "efi=no-rs lockdown smep=off";
const FOR_DOM0: &str = "module_blacklist=dummy";

/// Where a boot is over that is asked for nothing behind Xen's own words. It is the first line behind the refusals.
const COMMAND_LINE: &str = "(XEN) Command line:";

/// One row of the table.
struct Row {
    name: &'static str,
    way: Way,
    build: Build,
    /// Unsigned options for Xen, beside [`USUAL`].
    says: &'static str,
    seen: &'static [Seen],
    ends: Ends,
}

/// How Xen is started.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// GRUB on UEFI by multiboot2, which leaves Xen the boot services; Xen and its modules are inside GRUB's image.
    Multiboot2Efi { secure_boot: bool },
    /// GRUB on a BIOS by multiboot2: there are no boot services.
    Multiboot2Bios,
    /// GRUB on a BIOS by multiboot1.
    Multiboot1Bios,
    /// QEMU itself by multiboot1.
    Multiboot1,
    /// The unified image; what is said comes from the boot entry.
    Unified { secure_boot: bool, variable: Option<Stored> },
    /// The unified image, on firmware that knows nothing of Secure Boot.
    Plain(Option<Stored>),
    /// The unified image with another configuration, and a file on the disk.
    Names { line: &'static str, xsm: bool, ramdisk: bool, disk: Content },
    /// As a guest of Debian's own Xen, by PVH: that entry exists for nothing else.
    Pvh,
    /// Xen alone, everything else on the disk; what is said comes from xen.cfg.
    Files { secure_boot: bool, shim: bool, ramdisk: On },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum On {
    Disk,
    Image,
}

/// What lies on the disk as [`ON_DISK`].
#[derive(Clone, Copy, PartialEq, Eq)]
enum Content {
    /// An access-control policy that Xen would take.
    Policy,
    /// An initramfs.
    Ramdisk,
    /// Nothing that anybody understands.
    Junk,
}

/// The file on the disk that a signed configuration names.
const ON_DISK: &str = "file";

/// A variable that somebody stored: name, owner, attributes beside those of every variable, value.
type Stored = (&'static str, Guid, Attributes, &'static [u8]);

/// For the operating system too.
const SHOWN: Attributes = Attributes::BOOT_SERVICE.and(Attributes::RUNTIME);

/// How Xen is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Build {
    Firmware,
    Blind,
    Always,
    Xsm,
    Bookworm,
}

impl Build {
    /// The tree, and the lines of its configuration. What is only booted here needs nothing for a debugger.
    const fn recipe(self) -> (Release, &'static [&'static str]) {
        const SMALL: &str = "CONFIG_DEBUG_INFO=n";
        const GUEST: &str = "CONFIG_XEN_GUEST=y";
        match self {
            // The default, and so the build of the column `locked-xen`.
            Self::Firmware => (Release::Trixie, &[]),
            Self::Blind => (Release::Trixie, &["CONFIG_LOCKDOWN_DEFAULT_BLIND=y", GUEST, SMALL]),
            Self::Always => (Release::Trixie, &["CONFIG_LOCKDOWN_DEFAULT_ALWAYS=y", SMALL]),
            Self::Xsm => (Release::Trixie, &["CONFIG_XSM=y", "CONFIG_XSM_FLASK_POLICY=n", GUEST, SMALL]),
            Self::Bookworm => (Release::Bookworm, &[SMALL]),
        }
    }
}

/// Something that the console must show.
enum Seen {
    /// `lockdown: locked (integrity) by ...`.
    LockedBy(&'static str),
    /// Nothing of lockdown at all.
    NotLocked,
    /// This token was refused.
    Refused(&'static str),
    /// This one was not, and Xen parsed it.
    Honoured(&'static str),
    /// dom0's kernel got this.
    Dom0Got(&'static str),
    /// And not this.
    Dom0GotNo(&'static str),
    /// A line with this.
    Line(&'static str),
}

/// How the boot ends.
enum Ends {
    /// dom0 comes up, its kernel locked down so far.
    Dom0(&'static str),
    /// Xen stops, and says this.
    Stops(&'static str),
    /// Xen goes on; what it does then was seen in another row.
    GoesOn,
}

use Ends::{Dom0 as Dom0Up, GoesOn, Stops};
use Seen::{Dom0Got, Dom0GotNo, Honoured, Line, LockedBy, NotLocked, Refused};

const UNVERIFIED: Seen = Line("Xen cannot verify dom0's kernel and ramdisk, which the boot loader read");

const MULTIBOOT2_EFI: Way = Way::Multiboot2Efi { secure_boot: false };
const SECURE: Way = Way::Unified { secure_boot: true, variable: None };

const fn stored(name: &'static str, vendor: Guid, attributes: Attributes, value: &'static [u8]) -> Way {
    Way::Unified { secure_boot: true, variable: Some((name, vendor, attributes, value)) }
}

const ROWS: &[Row] = &[
    // The unified image.
    Row {
        name: "unified, Secure Boot",
        way: SECURE,
        build: Build::Firmware,
        says: PLAIN,
        seen: &[LockedBy("secure-boot"), Refused("efi=no-rs"), Refused("smep=off")],
        ends: GoesOn,
    },
    Row {
        name: "unified, no Secure Boot",
        way: Way::Unified { secure_boot: false, variable: None },
        build: Build::Firmware,
        says: PLAIN,
        seen: &[NotLocked, Honoured("efi=no-rs"), Honoured("smep=off")],
        ends: GoesOn,
    },
    Row {
        name: "unified, no Secure Boot, always",
        way: Way::Unified { secure_boot: false, variable: None },
        build: Build::Always,
        says: PLAIN,
        seen: &[LockedBy("build"), Refused("efi=no-rs"), Refused("smep=off")],
        ends: GoesOn,
    },
    Row {
        name: "unified, Secure Boot, Xen 4.17",
        way: SECURE,
        build: Build::Bookworm,
        says: PLAIN,
        seen: &[LockedBy("secure-boot"), Refused("efi=no-rs"), Refused("smep=off"), Dom0Got("lockdown=integrity")],
        ends: Dom0Up("integrity"),
    },
    // What the firmware's variables say.
    Row {
        name: "shim does not verify, says its own variable",
        way: stored("MokSBState", Guid::SHIM, Attributes::BOOT_SERVICE, &[1]),
        build: Build::Firmware,
        says: PLAIN,
        seen: &[NotLocked, Honoured("efi=no-rs")],
        ends: GoesOn,
    },
    Row {
        name: "shim verifies, says its own variable",
        way: stored("MokSBState", Guid::SHIM, Attributes::BOOT_SERVICE, &[0]),
        build: Build::Firmware,
        says: PLAIN,
        seen: &[LockedBy("secure-boot"), Refused("efi=no-rs")],
        ends: GoesOn,
    },
    Row {
        name: "MokSBState written by an operating system",
        way: stored("MokSBState", Guid::SHIM, SHOWN, &[1]),
        build: Build::Firmware,
        says: PLAIN,
        seen: &[LockedBy("secure-boot"), Refused("efi=no-rs")],
        ends: GoesOn,
    },
    Row {
        name: "MokSBState of two bytes",
        way: stored("MokSBState", Guid::SHIM, Attributes::BOOT_SERVICE, &[1, 0]),
        build: Build::Firmware,
        says: PLAIN,
        seen: &[LockedBy("secure-boot"), Refused("efi=no-rs")],
        ends: GoesOn,
    },
    Row {
        name: "MokSBStateRT that outlived a boot",
        way: stored("MokSBStateRT", Guid::SHIM, SHOWN, &[1]),
        build: Build::Firmware,
        says: PLAIN,
        seen: &[LockedBy("secure-boot"), Refused("efi=no-rs")],
        ends: GoesOn,
    },
    Row {
        name: "firmware without Secure Boot",
        way: Way::Plain(None),
        build: Build::Firmware,
        says: PLAIN,
        seen: &[NotLocked, Honoured("efi=no-rs")],
        ends: GoesOn,
    },
    Row {
        name: "SecureBoot=0 that somebody stored",
        way: Way::Plain(Some(("SecureBoot", Guid::GLOBAL, SHOWN, &[0]))),
        build: Build::Firmware,
        says: PLAIN,
        seen: &[LockedBy("secure-boot"), Refused("efi=no-rs")],
        ends: GoesOn,
    },
    Row {
        name: "SecureBoot of two bytes",
        way: Way::Plain(Some(("SecureBoot", Guid::GLOBAL, SHOWN, &[0, 0]))),
        build: Build::Firmware,
        says: PLAIN,
        seen: &[LockedBy("secure-boot"), Refused("efi=no-rs")],
        ends: GoesOn,
    },
    // multiboot2 with boot services.
    Row {
        name: "multiboot2 on UEFI, Secure Boot",
        way: Way::Multiboot2Efi { secure_boot: true },
        build: Build::Firmware,
        says: PLAIN,
        seen: &[LockedBy("secure-boot"), Refused("efi=no-rs"), Refused("smep=off")],
        ends: Stops("lockdown: refused the boot loader's modules: unsigned-file"),
    },
    Row {
        name: "multiboot2 on UEFI, no Secure Boot",
        way: MULTIBOOT2_EFI,
        build: Build::Firmware,
        says: PLAIN,
        seen: &[NotLocked, Honoured("efi=no-rs"), Honoured("smep=off"), Dom0Got(FOR_DOM0)],
        ends: Dom0Up("none"),
    },
    Row {
        name: "multiboot2 on UEFI, lockdown",
        way: MULTIBOOT2_EFI,
        build: Build::Firmware,
        says: LATCH,
        seen: &[
            LockedBy("command-line"),
            Honoured("efi=no-rs"),
            Refused("smep=off"),
            UNVERIFIED,
            Dom0GotNo(FOR_DOM0),
            Dom0Got("lockdown=integrity"),
        ],
        ends: Dom0Up("integrity"),
    },
    Row {
        name: "multiboot2 on UEFI, no Secure Boot, blind",
        way: MULTIBOOT2_EFI,
        build: Build::Blind,
        says: PLAIN,
        seen: &[NotLocked, Honoured("efi=no-rs")],
        ends: GoesOn,
    },
    Row {
        name: "multiboot2 on UEFI, no Secure Boot, always",
        way: MULTIBOOT2_EFI,
        build: Build::Always,
        says: PLAIN,
        seen: &[LockedBy("build"), Refused("efi=no-rs"), Refused("smep=off"), UNVERIFIED],
        ends: GoesOn,
    },
    // multiboot2 without boot services.
    Row {
        name: "multiboot2 on a BIOS",
        way: Way::Multiboot2Bios,
        build: Build::Firmware,
        says: PLAIN,
        seen: &[NotLocked, Honoured("efi=no-rs"), Honoured("smep=off")],
        ends: GoesOn,
    },
    Row {
        name: "multiboot2 on a BIOS, lockdown",
        way: Way::Multiboot2Bios,
        build: Build::Firmware,
        says: LATCH,
        seen: &[LockedBy("command-line"), Honoured("efi=no-rs"), Refused("smep=off"), UNVERIFIED],
        ends: GoesOn,
    },
    Row {
        name: "multiboot2 on a BIOS, blind",
        way: Way::Multiboot2Bios,
        build: Build::Blind,
        says: PLAIN,
        seen: &[
            LockedBy("build"),
            Refused("efi=no-rs"),
            Refused("smep=off"),
            UNVERIFIED,
            Dom0GotNo(FOR_DOM0),
            Dom0Got("lockdown=integrity"),
        ],
        ends: Dom0Up("integrity"),
    },
    Row {
        name: "multiboot2 on a BIOS, always",
        way: Way::Multiboot2Bios,
        build: Build::Always,
        says: PLAIN,
        seen: &[LockedBy("build"), Refused("efi=no-rs"), Refused("smep=off"), UNVERIFIED],
        ends: GoesOn,
    },
    // multiboot1.
    Row {
        name: "multiboot1 by GRUB, blind",
        way: Way::Multiboot1Bios,
        build: Build::Blind,
        says: PLAIN,
        seen: &[LockedBy("build"), Refused("efi=no-rs"), Refused("smep=off"), UNVERIFIED],
        ends: GoesOn,
    },
    Row {
        name: "multiboot1",
        way: Way::Multiboot1,
        build: Build::Firmware,
        says: PLAIN,
        seen: &[NotLocked, Honoured("efi=no-rs"), Honoured("smep=off"), Dom0Got(FOR_DOM0)],
        ends: Dom0Up("none"),
    },
    Row {
        name: "multiboot1, lockdown",
        way: Way::Multiboot1,
        build: Build::Firmware,
        says: LATCH,
        seen: &[LockedBy("command-line"), Honoured("efi=no-rs"), Refused("smep=off"), UNVERIFIED],
        ends: GoesOn,
    },
    Row {
        name: "multiboot1, blind",
        way: Way::Multiboot1,
        build: Build::Blind,
        says: PLAIN,
        seen: &[
            LockedBy("build"),
            Refused("efi=no-rs"),
            Refused("smep=off"),
            UNVERIFIED,
            Dom0GotNo(FOR_DOM0),
            Dom0Got("lockdown=integrity"),
        ],
        ends: Dom0Up("integrity"),
    },
    Row {
        name: "multiboot1, always",
        way: Way::Multiboot1,
        build: Build::Always,
        says: PLAIN,
        seen: &[LockedBy("build"), Refused("efi=no-rs"), Refused("smep=off"), UNVERIFIED],
        ends: GoesOn,
    },
    // PVH.
    Row {
        name: "PVH",
        way: Way::Pvh,
        build: Build::Xsm,
        says: PLAIN,
        seen: &[NotLocked, Honoured("efi=no-rs"), Honoured("smep=off")],
        ends: GoesOn,
    },
    Row {
        name: "PVH, lockdown",
        way: Way::Pvh,
        build: Build::Xsm,
        says: LATCH,
        seen: &[LockedBy("command-line"), Honoured("efi=no-rs"), Refused("smep=off"), UNVERIFIED],
        ends: GoesOn,
    },
    Row {
        name: "PVH, blind",
        way: Way::Pvh,
        build: Build::Blind,
        says: PLAIN,
        seen: &[LockedBy("build"), Refused("efi=no-rs"), Refused("smep=off"), UNVERIFIED],
        ends: GoesOn,
    },
    // Files that a signed configuration names.
    Row {
        name: "an XSM policy on the disk",
        way: Way::Names { line: "xsm=file", xsm: false, ramdisk: true, disk: Content::Policy },
        build: Build::Xsm,
        says: "",
        seen: &[],
        ends: Stops("lockdown: refused the file file: unsigned-file"),
    },
    Row {
        name: "an XSM policy in the image",
        way: Way::Names { line: "", xsm: true, ramdisk: true, disk: Content::Junk },
        build: Build::Xsm,
        says: "",
        seen: &[LockedBy("secure-boot"), Line("Policy len "), Line("Flask:  Starting in enforcing mode.")],
        ends: Dom0Up("integrity"),
    },
    Row {
        name: "microcode on the disk",
        way: Way::Names { line: "ucode=file", xsm: true, ramdisk: true, disk: Content::Junk },
        build: Build::Xsm,
        says: "",
        seen: &[LockedBy("secure-boot")],
        ends: Dom0Up("integrity"),
    },
    Row {
        name: "an XSM policy that is called microcode",
        way: Way::Names { line: "ucode=file", xsm: false, ramdisk: true, disk: Content::Policy },
        build: Build::Xsm,
        says: "",
        seen: &[],
        ends: Stops("lockdown: refused what is called microcode: unsigned-file"),
    },
    Row {
        name: "a ramdisk that is called microcode",
        way: Way::Names { line: "ucode=file", xsm: false, ramdisk: false, disk: Content::Ramdisk },
        build: Build::Xsm,
        says: "",
        seen: &[],
        ends: Stops("lockdown: refused what is called microcode: unsigned-file"),
    },
    // xen.cfg on the disk.
    Row {
        name: "xen.cfg, no Secure Boot",
        way: Way::Files { secure_boot: false, shim: false, ramdisk: On::Disk },
        build: Build::Firmware,
        says: PLAIN,
        seen: &[NotLocked, Honoured("efi=no-rs"), Honoured("smep=off"), Dom0Got(FOR_DOM0)],
        ends: Dom0Up("none"),
    },
    Row {
        name: "xen.cfg, lockdown",
        way: Way::Files { secure_boot: false, shim: false, ramdisk: On::Disk },
        build: Build::Firmware,
        says: LATCH,
        seen: &[LockedBy("command-line"), Honoured("efi=no-rs"), Refused("smep=off")],
        ends: GoesOn,
    },
    Row {
        name: "xen.cfg, no Secure Boot, always",
        way: Way::Files { secure_boot: false, shim: false, ramdisk: On::Disk },
        build: Build::Always,
        says: PLAIN,
        seen: &[],
        ends: Stops("lockdown: refused the file initrd: unsigned-file"),
    },
    Row {
        name: "xen.cfg, Secure Boot, kernel that nobody verified",
        way: Way::Files { secure_boot: true, shim: false, ramdisk: On::Image },
        build: Build::Firmware,
        says: PLAIN,
        seen: &[],
        ends: Stops("lockdown: refused dom0's kernel: unsigned-file"),
    },
    Row {
        name: "xen.cfg, Secure Boot, shim, ramdisk on the disk",
        way: Way::Files { secure_boot: true, shim: true, ramdisk: On::Disk },
        build: Build::Firmware,
        says: PLAIN,
        seen: &[],
        ends: Stops("lockdown: refused the file initrd: unsigned-file"),
    },
    Row {
        name: "xen.cfg, Secure Boot, shim, ramdisk in the image",
        way: Way::Files { secure_boot: true, shim: true, ramdisk: On::Image },
        build: Build::Firmware,
        says: PLAIN,
        seen: &[
            LockedBy("secure-boot"),
            Refused("efi=no-rs"),
            Refused("smep=off"),
            Dom0GotNo(FOR_DOM0),
            Dom0Got("lockdown=integrity"),
        ],
        ends: Dom0Up("integrity"),
    },
];

#[test]
#[ignore = "builds Xen five times and boots 40 machines, too much for `make test`: `make boot-paths` runs it"]
fn every_boot_path_is_locked_as_it_should_be() {
    let say = |text: &str| println!("{text}");
    let lab = Lab::open(&prove::default_folder(), &prove::project(), &say).unwrap();
    let only = std::env::var("BOOT_PATHS").unwrap_or_default();
    let rows: Vec<&Row> = ROWS.iter().filter(|row| only.split('|').any(|only| row.name.contains(only))).collect();
    let mut bench =
        Bench { ramdisk: lab.small_initramfs(&lab.stock).unwrap(), lab: &lab, builds: BTreeMap::new() };
    for row in &rows {
        bench.build(row.build).unwrap_or_else(|error| panic!("{:?}: {error:#}", row.build));
    }
    let started = Instant::now();
    let mut wrong = String::new();
    for row in &rows {
        let began = Instant::now();
        match bench.boot(row) {
            Ok(boot) => {
                let found = row.judge(&boot);
                let verdict = if found.is_empty() { "as it should be" } else { "WRONG" };
                println!("{:6.1} s  {:<60} {verdict}", began.elapsed().as_secs_f64(), row.name);
                if !found.is_empty() {
                    let _ = writeln!(wrong, "{}: {}\n{}", row.name, found.join("; "), boot.console());
                }
            }
            Err(error) => {
                println!("{:6.1} s  {:<60} no answer", began.elapsed().as_secs_f64(), row.name);
                let _ = writeln!(wrong, "{}: {error:#}", row.name);
            }
        }
    }
    println!("{} machines in {:.0} s", rows.len(), started.elapsed().as_secs_f64());
    assert!(!rows.is_empty(), "no row is called {only:?}");
    assert!(wrong.is_empty(), "{wrong}");
}

impl Row {
    /// What is not as it should be.
    fn judge(&self, boot: &Boot) -> Vec<String> {
        let mut found = Vec::new();
        let mut want = |holds: bool, what: String| {
            if !holds {
                found.push(what);
            }
        };
        let line =
            |words: &[&str]| boot.lines.iter().any(|line| words.iter().all(|word| line.text.contains(word)));
        for seen in self.seen {
            match seen {
                LockedBy(by) => {
                    want(line(&[&format!("lockdown: locked (integrity) by {by}")]), format!("not locked by {by}"));
                }
                NotLocked => want(!line(&["lockdown: "]), "lockdown says something".to_owned()),
                Refused(token) => {
                    want(
                        line(&[&format!("lockdown: refused \"{token}\" (runtime): ")]),
                        format!("{token} was not refused"),
                    );
                    want(!line(&[COMMAND_LINE, token]), format!("{token} was parsed"));
                }
                Honoured(token) => {
                    want(!line(&[&format!("lockdown: refused \"{token}\"")]), format!("{token} was refused"));
                    want(line(&[COMMAND_LINE, token]), format!("{token} was not parsed"));
                }
                Dom0Got(token) => {
                    want(line(&["Kernel command line:", token]), format!("dom0 did not get {token}"));
                }
                Dom0GotNo(token) => {
                    want(!line(&["Kernel command line:", token]), format!("dom0 got {token}"));
                    want(
                        line(&[&format!("lockdown: refused \"{token}\" (runtime, for dom0): ")]),
                        format!("{token} was not refused"),
                    );
                }
                Line(text) => want(line(&[text]), format!("no line says {text:?}")),
            }
        }
        match (&self.ends, &boot.end) {
            (Dom0Up(level), end) => {
                let level_seen = boot.booted.as_ref().map(|booted| booted.kernel_lockdown.as_str());
                want(
                    level_seen == Some(level),
                    format!("dom0's kernel lockdown is {level_seen:?}, not {level}: {end:?}"),
                );
            }
            (Stops(text), End::XenStopped(said)) => {
                want(said.contains(text), format!("Xen stopped otherwise: {said}"));
            }
            (GoesOn, End::Seen(said)) => want(said.contains(COMMAND_LINE), format!("it ended at {said}")),
            (_, end) => want(false, format!("it ended otherwise: {end:?}")),
        }
        found
    }

    fn options(&self) -> String {
        format!("{USUAL} {}", self.says)
    }
}

/// What all rows share.
struct Bench<'a> {
    lab: &'a Lab,
    ramdisk: Vec<u8>,
    builds: BTreeMap<Build, BuiltXen>,
}

impl Bench<'_> {
    fn build(&mut self, build: Build) -> Result<()> {
        if self.builds.contains_key(&build) {
            return Ok(());
        }
        let say = |text: &str| println!("{text}");
        let folder = self.lab.root.folder().parent().context("the root has no parent folder")?;
        let (release, lines) = build.recipe();
        let target = folder.parent().context("the lab's folder has no parent")?;
        let tree = Tree::open(&fetch::source(target, release, "xen", false, &say)?)?;
        let settings = Settings { lines: words(lines), ..Settings::default() };
        let built = hypervisor::build_tree(&self.lab.root, folder, &tree, &settings, &say)?;
        self.builds.insert(build, built);
        Ok(())
    }

    fn file(&self, build: Build, place: impl Fn(&BuiltXen) -> &PathBuf) -> Result<Vec<u8>> {
        let place = place(self.builds.get(&build).context("it was not built")?);
        fs::read(place).with_context(|| place.display().to_string())
    }

    fn boot(&self, row: &Row) -> Result<Boot> {
        let mut scenario = self.scenario(row)?;
        scenario.name = row.name.replace([' ', '/', ','], "-");
        if matches!(row.ends, GoesOn) {
            // The host's Xen says the same, with another console.
            let whose = if row.way == Way::Pvh { " console=pv" } else { "" };
            scenario.stop_at.push(format!("{COMMAND_LINE}{whose}"));
        }
        self.lab.boot(&scenario)
    }

    fn scenario(&self, row: &Row) -> Result<Scenario> {
        match row.way {
            Way::Multiboot2Efi { secure_boot } => {
                let xen = self.file(row.build, |built| &built.gz)?;
                let files = [("xen.gz", xen.as_slice()), ("vmlinuz", &self.lab.kernel), ("initrd", &self.ramdisk)];
                let grub = loader::efi(&self.lab.root, &files, &grub_config("(memdisk)", "2", &row.options()))?;
                let image = self.lab.signed(&grub, &self.lab.keys.trusted)?.bytes;
                Ok(Scenario { secure_boot, ..Scenario::new("", Dom0::Pv, image) })
            }
            Way::Multiboot2Bios | Way::Multiboot1Bios => {
                let version = if row.way == Way::Multiboot2Bios { "2" } else { "" };
                let mut scenario = Scenario::new("", Dom0::Pv, Vec::new());
                scenario.firmware = Firmware::Bios;
                scenario.disk = vec![
                    ("grub.cfg".to_owned(), grub_config("", version, &row.options()).into_bytes()),
                    ("xen.gz".to_owned(), self.file(row.build, |built| &built.gz)?),
                    ("vmlinuz".to_owned(), self.lab.kernel.clone()),
                    ("initrd".to_owned(), self.ramdisk.clone()),
                ];
                scenario.extra.files = vec![("grub".to_owned(), loader::bios(&self.lab.root)?)];
                scenario.extra.arguments = words(&[
                    "-drive",
                    &format!("if=none,id=grub,format=raw,file={SHARED}/grub"),
                    "-device",
                    "virtio-blk-pci,drive=grub,bootindex=0",
                ]);
                Ok(scenario)
            }
            Way::Multiboot1 => {
                let mut scenario = Scenario::new("", Dom0::Pv, Vec::new());
                scenario.firmware = Firmware::Bios;
                scenario.extra.files = vec![
                    ("xen".to_owned(), self.unpacked(row)?),
                    ("vmlinuz".to_owned(), self.lab.kernel.clone()),
                    ("initrd".to_owned(), self.ramdisk.clone()),
                ];
                scenario.extra.arguments = words(&[
                    "-kernel",
                    &format!("{SHARED}/xen"),
                    "-append",
                    &row.options(),
                    "-initrd",
                    &format!("{SHARED}/vmlinuz {USUAL_DOM0} {FOR_DOM0},{SHARED}/initrd"),
                ]);
                Ok(scenario)
            }
            Way::Unified { secure_boot, variable } => {
                Ok(Scenario { secure_boot, variables: variables(variable), ..self.unified(row)? })
            }
            Way::Plain(variable) => Ok(Scenario {
                firmware: Firmware::Plain,
                secure_boot: false,
                variables: variables(variable),
                ..self.unified(row)?
            }),
            Way::Names { line, xsm, ramdisk, disk } => self.names(row, line, xsm, ramdisk, disk),
            Way::Pvh => self.pvh(row),
            Way::Files { secure_boot, shim, ramdisk } => self.files(row, secure_boot, shim, ramdisk),
        }
    }

    /// Everything signed, and the boot entry says more.
    fn unified(&self, row: &Row) -> Result<Scenario> {
        let parts = Parts {
            config: Some(xen_config(USUAL, USUAL_DOM0)),
            kernel: Some(self.lab.kernel.clone()),
            ramdisk: Some(self.ramdisk.clone()),
            ..Parts::default()
        };
        let mut scenario = Scenario::new("", Dom0::Pv, self.image(row, &parts)?);
        scenario.options = format!("xen.efi -- {}", row.says);
        Ok(scenario)
    }

    /// Xen, perhaps with the ramdisk, signed; everything else is not covered by that signature.
    fn files(&self, row: &Row, secure_boot: bool, shim: bool, ramdisk: On) -> Result<Scenario> {
        let ramdisk = (ramdisk == On::Image).then(|| self.ramdisk.clone());
        let parts = Parts { ramdisk, ..Parts::default() };
        let image = self.image(row, &parts)?;
        let mut scenario = Scenario { secure_boot, ..Scenario::new("", Dom0::Pv, image) };
        let config = xen_config(&row.options(), &format!("{USUAL_DOM0} {FOR_DOM0}"));
        scenario.disk = vec![
            ("EFI/xen/xen.cfg".to_owned(), config.into_bytes()),
            ("EFI/xen/vmlinuz".to_owned(), self.lab.kernel.clone()),
            ("EFI/xen/initrd".to_owned(), self.ramdisk.clone()),
        ];
        if shim {
            // By way of GRUB: shim's own loader leaves out the relocations that Xen reads. shim trusts what firmware
            // trusts, and Debian's key, which Debian's GRUB and kernel are signed with.
            let shim = fs::read(self.lab.root.file("/usr/lib/shim/shimx64.efi")?)?;
            let grub = fs::read(self.lab.root.file("/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed")?)?;
            let text = format!("search --no-floppy --file --set=root /{IMAGE}\nchainloader /{IMAGE}\nboot\n");
            scenario.starts = "EFI/debian/shimx64.efi".to_owned();
            scenario.disk.extend([
                (scenario.starts.clone(), self.lab.signed(&shim, &self.lab.keys.trusted)?.bytes),
                ("EFI/debian/grubx64.efi".to_owned(), grub),
                ("EFI/debian/grub.cfg".to_owned(), text.into_bytes()),
            ]);
        }
        Ok(scenario)
    }

    fn names(&self, row: &Row, line: &str, xsm: bool, ramdisk: bool, disk: Content) -> Result<Scenario> {
        let config = xen_config(USUAL, USUAL_DOM0);
        let config = if ramdisk { config } else { config.replace("ramdisk=initrd\n", "") };
        let parts = Parts {
            config: Some(format!("{config}{line}\n")),
            kernel: Some(self.lab.kernel.clone()),
            ramdisk: ramdisk.then(|| self.ramdisk.clone()),
            xsm: if xsm { Some(self.policy()?) } else { None },
        };
        let content = match disk {
            Content::Policy => self.policy()?,
            Content::Ramdisk => self.ramdisk.clone(),
            Content::Junk => vec![0x5a; 4096],
        };
        let mut scenario = Scenario::new("", Dom0::Pv, self.image(row, &parts)?);
        scenario.disk = vec![(format!("EFI/xen/{ON_DISK}"), content)];
        Ok(scenario)
    }

    /// Debian's Xen as the host; a guest whose kernel is the Xen that is tried, and whose console is the machine's.
    fn pvh(&self, row: &Row) -> Result<Scenario> {
        let options = USUAL.replace("com1 com1=115200,8n1", "pv");
        let guest = format!(
            "name=\"xen\"\ntype=\"pvh\"\nkernel=\"/lab/xen\"\nramdisk=\"/lab/dom0\"\nmemory=256\nvcpus=1\n\
             cmdline=\"{options} {}\"\non_crash=\"destroy\"\non_reboot=\"destroy\"\n",
            row.says
        );
        let mut files = toolstack::files(self.lab)?;
        files.push(("/lab/xen.cfg".to_owned(), guest.into_bytes()));
        files.push(("/lab/xen".to_owned(), self.unpacked(row)?));
        files.push(("/lab/dom0".to_owned(), vec![0; 4096]));
        // It stays with the guest until the time is up; the boot is over before.
        let step = Step {
            id: "xen".to_owned(),
            program: "/usr/lib/xen-4.20/bin/xl".to_owned(),
            arguments: words(&["create", "-F", "/lab/xen.cfg"]),
            timeout_s: 90,
        };
        let mut ramdisk = self.lab.initramfs(&Plan::new(vec![step]), &files)?;
        let mut console = Initramfs::new();
        console.add_link("/var/log/xen/console/guest-xen.log", "/dev/hvc0");
        ramdisk.extend(console.to_bytes()?);
        let parts = Parts {
            config: Some(config(Dom0::Pv, "", "")),
            kernel: Some(self.lab.kernel.clone()),
            ramdisk: Some(ramdisk),
            ..Parts::default()
        };
        let image = self.lab.signed(&self.lab.unified(&self.lab.stock, &parts)?, &self.lab.keys.trusted)?;
        Ok(Scenario::new("", Dom0::Pv, image.bytes))
    }

    /// Xen as multiboot1 and a toolstack take it.
    fn unpacked(&self, row: &Row) -> Result<Vec<u8>> {
        let gz = &self.builds.get(&row.build).context("it was not built")?.gz;
        let inside = format!("{SHARED}/{}", gz.file_name().unwrap_or_default().to_string_lossy());
        self.lab.root.run("gzip", &["-dc", &inside], gz.parent())
    }

    /// Xen's own policy, compiled.
    fn policy(&self) -> Result<Vec<u8>> {
        let folder = self.lab.root.folder().parent().context("the root has no parent folder")?;
        let tree = Tree::open(&hypervisor::debian_tree(folder, &|text| println!("{text}"))?)?;
        hypervisor::xsm_policy(&self.lab.root, folder, &tree)
    }

    fn image(&self, row: &Row, parts: &Parts) -> Result<Vec<u8>> {
        let xen = Xen { name: "locked-xen", image: self.file(row.build, |built| &built.efi)?, guard: None };
        Ok(self.lab.signed(&self.lab.unified(&xen, parts)?, &self.lab.keys.trusted)?.bytes)
    }
}

fn variables(stored: Option<Stored>) -> Vec<Variable> {
    let variable = |(name, vendor, attributes, value): Stored| Variable {
        name: name.to_owned(),
        vendor,
        attributes: attributes.and(Attributes::NON_VOLATILE),
        data: value.to_vec(),
    };
    stored.map(variable).into_iter().collect()
}

fn grub_config(folder: &str, version: &str, options: &str) -> String {
    format!(
        "multiboot{version} {folder}/xen.gz {options}\n\
         module{version} {folder}/vmlinuz {USUAL_DOM0} {FOR_DOM0}\n\
         module{version} --nounzip {folder}/initrd\n\
         boot\n"
    )
}

fn xen_config(options: &str, dom0: &str) -> String {
    format!("[global]\ndefault=xen\n\n[xen]\noptions={options}\nkernel=vmlinuz {dom0}\nramdisk=initrd\n")
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
