//! The guard on Debian's kernels, in every way in which a distribution would build it: against the headers, by DKMS, in the
//! kernel's own tree; booted on the newest kernel that Debian offers for the release; and built into a small kernel of its
//! own, which is booted.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use lockdown_debian::fetch::{self, Release};

use crate::boot::{Boot, End};
use crate::console::Verdict;
use crate::guard::{self, WARNINGS, warns};
use crate::guest;
use crate::hypervisor::{self, Key, Say};
use crate::image::Parts;
use crate::inside::{self, Inside};
use crate::lab::{Lab, OTHER_PROGRAM, Scenario, Xen, config};
use crate::machine::Dom0;
use crate::plan::{Plan, Step};
use crate::prove;
use crate::root::{Contents, Root, ensure_space};
use crate::toolstack;

const DKMS: &str = include_str!("kernels/dkms.sh");
const TREE: &str = include_str!("kernels/tree.sh");
const BUILT_IN: &str = include_str!("kernels/built-in.sh");
const BUILT_IN_CONFIG: &str = include_str!("kernels/built-in.config");

/// What the package is called, as `linux/dkms.conf` has it.
const PACKAGE: [&str; 2] = ["xen-lockdown-guard", env!("CARGO_PKG_VERSION")];

/// Where the guard stands in a kernel's tree.
const IN_TREE: &str = "drivers/xen/guard";

/// What is added to `drivers/xen/Kconfig`, before its end.
const KCONFIG_LINE: &str = "source \"drivers/xen/guard/Kconfig\"";

/// The line of `drivers/xen/Makefile` for the kernel's own driver, without its blanks, and what it is replaced by.
const MAKEFILE_LINE: [&str; 2] = [
    "obj-$(CONFIG_XEN_PRIVCMD) += xen-privcmd.o",
    "obj-$(CONFIG_XEN_PRIVCMD) += $(if $(CONFIG_XEN_PRIVCMD_GUARD),guard/,xen-privcmd.o)",
];

/// What a kernel's tree takes, with what is built in it, in bytes.
const SPACE: u64 = 4 << 30;

/// Attacks that show whether the guard stands, what the guard keeps its place by among them.
const ATTACKS: &[&str] = &[
    "version-unlocks-kernel",
    "console-reads-kernel",
    "map-self",
    "physmap-add-self",
    "driver-again",
    "driver-remove",
    "driver-remove-forced",
];

/// The same where the guard is no module, and none can be loaded: the raw write through every name of the device, and the
/// other ways to memory of one's own.
const ATTACKS_BUILT_IN: &[&str] = &[
    "second-node",
    "procfs-node",
    "console-reads-kernel",
    "race-argument",
    "multicall-write",
    "map-self",
    "physmap-add-self",
    "va-mapping-self",
    "va-mapping-otherdomain",
];

/// What `xen-lockdown status` says in dom0 of a guard that came with the kernel.
const STATUS: &[&str] = &["The guard in dom0's kernel holds root to the rules", "mode integrity, begun built-in"];

/// What it asks of dom0's signed line for that.
const FOR_STATUS: &str = "panic_on_taint=0x8,nousertaint";

/// Steps of the toolstack that need no guest.
const TOOLS: &[&str] = &["xl-info", "xl-list"];

/// What is to be done with each kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Way {
    /// Build the module against the headers
    Headers,
    /// Add, build, install and remove it with DKMS
    Dkms,
    /// Build it in the kernel's own tree, as a module and into the kernel
    Tree,
    /// Boot the newest kernel with it under a locked Xen, with a PV and with a PVH dom0
    Boot,
    /// Build a small kernel with it built in, and boot that in the same way
    BuiltIn,
}

/// All of them.
pub const WAYS: &[Way] = &[Way::Headers, Way::Dkms, Way::Tree, Way::Boot, Way::BuiltIn];

/// Does `ways` with Debian's kernels, in a lab below `lab`; `report` is told what came of each.
///
/// # Errors
/// The first that does not do what it should.
pub fn run(lab: &Path, ways: &[Way], say: Say<'_>, report: &dyn Fn(&str)) -> Result<()> {
    // What is built in needs no root but the lab's.
    if ways.contains(&Way::BuiltIn) {
        let begun = Instant::now();
        let found = built_in(lab, say).context("built in")?;
        report(&format!("{found} ({} s)", begun.elapsed().as_secs()));
    }
    let ways: Vec<Way> = ways.iter().copied().filter(|way| *way != Way::BuiltIn).collect();
    if ways.is_empty() {
        return Ok(());
    }
    for contents in [Contents::Modules, Contents::Backports] {
        let root = Root::with(lab, contents, say)?;
        let lab = fs::canonicalize(lab)?;
        let release = root.headers()?.pop().context("the root has no headers of a kernel")?;
        let compiler = root.run("gcc", &["-dumpfullversion"], None)?;
        let compiler = String::from_utf8_lossy(&compiler).trim().to_owned();
        // The object comes from the lab's root, which has Rust; it is the same for every kernel.
        let files = guard::source(&Root::get(&lab, say)?, &lab, say)?;
        for way in &ways {
            let begun = Instant::now();
            let found = match way {
                Way::Headers => {
                    guard::build_from(&files, &root, &lab, &release, say)?;
                    format!("against its headers with gcc {compiler}: no warning")
                }
                Way::Dkms => by_dkms(&files, &root, &lab, &release, say).context("by DKMS")?,
                Way::Tree => {
                    in_tree(&files, &root, &lab, &release, contents, say).context("in the kernel's tree")?
                }
                Way::Boot if contents == Contents::Backports => booted(&root, &lab, say).context("booted")?,
                Way::Boot | Way::BuiltIn => continue,
            };
            report(&format!("{release}: {found} ({} s)", begun.elapsed().as_secs()));
        }
    }
    Ok(())
}

fn by_dkms(files: &[(String, Vec<u8>)], root: &Root, lab: &Path, release: &str, say: Say<'_>) -> Result<String> {
    say(&format!("DKMS builds the guard for {release}"));
    let work = tempfile::Builder::new().prefix(".dkms-").tempdir_in(lab)?;
    guard::write(files, work.path())?;
    let [name, version] = PACKAGE;
    let mut command = root.passing_command("/bin/sh", Some(work.path()));
    command.args(["-c", DKMS, "sh", name, version, release]);
    let (said, _) = quiet(&mut command)?;
    let line = |name: &str| {
        let found = said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        found.with_context(|| format!("DKMS's part says nothing of {name}:\n{said}"))
    };
    let modules = format!("/lib/modules/{release}");
    let file = line("file")?;
    ensure!(file.starts_with(&format!("{modules}/updates/")), "modinfo finds {file}, not what DKMS installed");
    ensure!(line("description")?.contains("xen-lockdown"), "{file} is not the guard");
    ensure!(line("xenfs")?.trim() == file, "xenfs would load {}, not {file}", line("xenfs")?);
    let afterwards = line("afterwards")?;
    ensure!(
        afterwards.starts_with(&format!("{modules}/kernel/")),
        "after `dkms remove` modinfo finds {afterwards}, not the kernel's own"
    );
    Ok(format!("DKMS installed {}; modinfo and xenfs take it; removed again", file.trim_start_matches(&modules)))
}

fn in_tree(
    files: &[(String, Vec<u8>)],
    root: &Root,
    lab: &Path,
    release: &str,
    contents: Contents,
    say: Say<'_>,
) -> Result<String> {
    let tree = unpacked(lab, release, contents, say)?;
    add_guard(files, &tree)?;
    say(&format!("building the guard in the tree of {release}"));
    let mut command = root.command("/bin/sh", Some(&tree));
    let (said, _) = quiet(command.args(["-c", TREE, "sh", release, WARNINGS]))?;
    for want in [
        "module XEN_PRIVCMD_GUARD=y XEN_PRIVCMD=m XENFS=m",
        "made drivers/xen/guard/xen-privcmd.ko",
        "built-in XEN_PRIVCMD_GUARD=y XEN_PRIVCMD=y XENFS=y",
        "made drivers/xen/guard/built-in.a with ",
        "alone MODULES= IBT=",
        "made drivers/xen/guard/built-in.a without modules",
    ] {
        ensure!(said.lines().any(|line| line.starts_with(want)), "the tree's part does not say {want:?}:\n{said}");
    }
    Ok("in its tree with Debian's configuration: xen-privcmd.ko, built-in.a, drivers/xen with XENFS, built-in.a \
        without modules; no warning"
        .to_owned())
}

/// Debian's source of the kernel, unpacked below `lab` if it is not there.
fn unpacked(lab: &Path, release: &str, contents: Contents, say: Say<'_>) -> Result<PathBuf> {
    let target = lab.parent().context("the lab's folder has no parent folder")?;
    let version: Vec<&str> = release.splitn(3, '.').take(2).collect();
    let name = format!("linux-source-{}", version.join("."));
    let suite = if contents == Contents::Backports { Release::TrixieBackports } else { Release::Trixie };
    let package = fetch::binary(target, suite, &name, false, say)?;
    let tree = lab.join(format!("tree-{}", package.file_name().unwrap_or_default().to_string_lossy()));
    if tree.is_dir() {
        return Ok(tree);
    }
    ensure_space(lab, SPACE)?;
    say(&format!("unpacking {name}"));
    let work = tempfile::Builder::new().prefix(".tree-").tempdir_in(lab)?;
    let archive = package.join(format!("usr/src/{name}.tar.xz"));
    let mut command = Command::new("tar");
    command.args(["-x", "--no-same-owner", "--strip-components=1", "-f"]).arg(archive).arg("-C").arg(work.path());
    quiet(&mut command)?;
    fs::rename(work.keep(), &tree)?;
    Ok(tree)
}

/// Puts the guard into a tree, as `docs/integrating-linux.md` says; what an earlier run put there is replaced.
fn add_guard(files: &[(String, Vec<u8>)], tree: &Path) -> Result<()> {
    let place = tree.join(IN_TREE);
    if place.is_dir() {
        fs::remove_dir_all(&place)?;
    }
    fs::create_dir(&place).with_context(|| format!("{} cannot be made", place.display()))?;
    guard::write(files, &place)?;
    let change = |name: &str, change: &dyn Fn(&str) -> Result<String>| {
        let file = tree.join("drivers/xen").join(name);
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        fs::write(&file, change(&text).with_context(|| file.display().to_string())?)?;
        anyhow::Ok(())
    };
    change("Kconfig", &with_kconfig)?;
    change("Makefile", &with_makefile)
}

fn with_kconfig(text: &str) -> Result<String> {
    if text.contains(KCONFIG_LINE) {
        return Ok(text.to_owned());
    }
    let (before, after) = text.rsplit_once("endmenu").context("there is no endmenu to add a line before")?;
    Ok(format!("{before}{KCONFIG_LINE}\n\nendmenu{after}"))
}

fn with_makefile(text: &str) -> Result<String> {
    let [own, ours] = MAKEFILE_LINE;
    if text.contains(ours) {
        return Ok(text.to_owned());
    }
    let is_own = |line: &str| line.split_whitespace().eq(own.split_whitespace());
    ensure!(text.lines().any(is_own), "there is no line {own:?} to replace");
    Ok(text.lines().map(|line| format!("{}\n", if is_own(line) { ours } else { line })).collect())
}

/// Runs it to its end; what it said, and what it said of errors. A warning is an error.
fn quiet(command: &mut Command) -> Result<(String, String)> {
    let output = command.stdin(Stdio::null()).output();
    let output =
        output.with_context(|| format!("{} cannot be started", command.get_program().to_string_lossy()))?;
    let [said, errors] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    if !output.status.success() || warns(&errors) {
        bail!("{}:\n{}", output.status, errors.trim());
    }
    Ok((said, errors))
}

/// Boots the root's kernel with the guard under the lab's locked Xen, with each kind of dom0.
fn booted(root: &Root, folder: &Path, say: Say<'_>) -> Result<String> {
    // Xen does not depend on dom0's kernel: it is the one that `prove` tries.
    let built = hypervisor::build(&Root::get(folder, say)?, folder, say)?;
    let image = fs::read(&built.efi).with_context(|| built.efi.display().to_string())?;
    let lab = Lab::open_root(root.clone(), &prove::project(), say)?;
    let xen = Xen { name: "locked", image, guard: Some(lab.guard(say)?) };
    let plan = plan(&lab, ATTACKS)?;
    let ramdisk = lab.initramfs_for(&xen, &plan, &toolstack::files(&lab)?)?;
    let found = each_dom0(&lab, &xen, "", &lab.release, &lab.kernel, &ramdisk, &plan, say, &|boot| {
        ensure!(boot.line("the guard stands").is_some(), "the guard said nothing");
        Ok(())
    })?;
    Ok(format!("booted under a locked Xen: the guard stands, is its own user, and xl works; {found}"))
}

/// Boots a kernel with a PV and with a PVH dom0 and sees that every step of the plan says what it should, and that `check`
/// has nothing against the boot.
#[allow(clippy::too_many_arguments, reason = "each is something else")]
fn each_dom0(
    lab: &Lab,
    xen: &Xen,
    linux: &str,
    release: &str,
    kernel: &[u8],
    ramdisk: &[u8],
    plan: &Plan,
    say: Say<'_>,
    check: &dyn Fn(&Boot) -> Result<()>,
) -> Result<String> {
    let mut found = Vec::new();
    for dom0 in [Dom0::Pv, Dom0::Pvh] {
        say(&format!("booting {release} with a {} dom0", dom0.name()));
        let parts = Parts {
            config: Some(config(dom0, "", linux)),
            kernel: Some(kernel.to_vec()),
            ramdisk: Some(ramdisk.to_vec()),
            ..Parts::default()
        };
        let image = lab.signed(&lab.unified(xen, &parts)?, &lab.keys.trusted)?;
        let mut scenario = Scenario::new(&format!("{release}-{}", dom0.name()), dom0, image.bytes);
        scenario.silence = Duration::from_secs(240);
        let boot = lab.boot(&scenario)?;
        let tell = |what: &str| format!("{what}; the console:\n{}", boot.console());
        Lab::ensure_secure(&boot, dom0).with_context(|| tell("no secure boot"))?;
        ensure!(boot.end == End::Done, tell(&format!("the boot ended with {:?}", boot.end)));
        let booted = &boot.booted.as_ref().context("dom0 did not start")?.linux;
        ensure!(booted == release, "{booted} was booted, not {release}");
        check(&boot).with_context(|| tell("not as it should"))?;
        let mut held = 0;
        for step in &plan.steps {
            let result = boot.results.iter().find(|result| result.id == step.id);
            let result = result.with_context(|| tell(&format!("no answer of {}", step.id)))?;
            match result.verdict {
                Verdict::Held => held += 1,
                Verdict::Works => {}
                // Not every attack is for both kinds of dom0.
                Verdict::NotApplicable if dom0 == Dom0::Pvh => {}
                verdict => bail!(tell(&format!("{}: {}: {}", step.id, verdict.name(), result.evidence))),
            }
        }
        ensure!(held > 0, tell("no attack was tried"));
        found.push(format!("{}: {held} attacks held", dom0.name()));
    }
    Ok(found.join(", "))
}

/// Builds a small kernel with the guard built in, and boots it under the lab's locked Xen with each kind of dom0.
fn built_in(lab: &Path, say: Say<'_>) -> Result<String> {
    let root = Root::get(lab, say)?;
    let folder = fs::canonicalize(lab)?;
    let files = guard::source(&root, &folder, say)?;
    let (kernel, release) = kernel_with_guard(&files, &root, &folder, say)?;
    let built = hypervisor::build(&root, &folder, say)?;
    let image = fs::read(&built.efi).with_context(|| built.efi.display().to_string())?;
    let lab = Lab::open_root(root, &prove::project(), say)?;
    let xen = Xen { name: "locked", image, guard: None };
    let command = guest::build_command(&prove::project(), &folder, say)?;
    let inside = "/lab/xen-lockdown";
    let status = Step {
        id: "status".to_owned(),
        program: OTHER_PROGRAM.to_owned(),
        arguments: ["say", "run", inside, "status"].map(str::to_owned).to_vec(),
        timeout_s: 60,
    };
    let mut plan = plan(&lab, ATTACKS_BUILT_IN)?;
    // It could not load them; and what the guard counted is told.
    plan.modules.clear();
    plan.guard = true;
    plan.steps.insert(0, status);
    let mut more = toolstack::files(&lab)?;
    more.push((inside.to_owned(), fs::read(command)?));
    let ramdisk = lab.initramfs(&plan, &more)?;
    let found = each_dom0(&lab, &xen, FOR_STATUS, &release, &kernel, &ramdisk, &plan, say, &|boot| {
        for want in STATUS {
            ensure!(boot.line(want).is_some(), "xen-lockdown status does not say {want:?}");
        }
        Ok(())
    })?;
    Ok(format!(
        "{release}: a kernel of its own without modules, the guard built in: no warning; booted under a locked Xen: \
         status says that it holds root to the rules, begun built-in; xl works; {found}"
    ))
}

/// The kernel of `kernels/built-in.config` and its release; built below `lab` or found there.
fn kernel_with_guard(
    files: &[(String, Vec<u8>)],
    root: &Root,
    lab: &Path,
    say: Say<'_>,
) -> Result<(Vec<u8>, String)> {
    let tree = unpacked(lab, &root.kernel_release()?, Contents::Lab, say)?;
    let mut key = Key::default();
    for part in [&tree, root.folder()] {
        key.add("", part.file_name().unwrap_or_default().as_encoded_bytes());
    }
    for part in [BUILT_IN, BUILT_IN_CONFIG, WARNINGS] {
        key.add("", part.as_bytes());
    }
    for (name, bytes) in files {
        key.add(name, bytes);
    }
    let folder = hypervisor::folder(lab)?;
    let place = folder.join(format!("kernel-{}", key.finish()));
    let [image, named] = ["bzImage", "release"];
    if !place.is_dir() {
        add_guard(files, &tree)?;
        fs::write(tree.join(IN_TREE).join("built-in.config"), BUILT_IN_CONFIG)?;
        say("building a kernel with the guard built in");
        let mut command = root.command("/bin/sh", Some(&tree));
        let (said, _) = quiet(command.args(["-c", BUILT_IN, "sh", WARNINGS]))?;
        let release = said.lines().find_map(|line| line.strip_prefix("release "));
        let release = release.with_context(|| format!("the kernel's build names no release:\n{said}"))?;
        let work = tempfile::Builder::new().prefix(".kernel-").tempdir_in(&folder)?;
        fs::copy(tree.join("arch/x86/boot/bzImage"), work.path().join(image)).context("the kernel's image")?;
        fs::write(work.path().join(named), release)?;
        fs::rename(work.keep(), &place)?;
    }
    Ok((fs::read(place.join(image))?, fs::read_to_string(place.join(named))?))
}

fn plan(lab: &Lab, attacks: &[&str]) -> Result<Plan> {
    let known = inside::own(&lab.guest.attacks)?;
    let mut steps = toolstack::plan(lab)?.steps;
    steps.retain(|step| TOOLS.contains(&step.id.as_str()));
    ensure!(steps.len() == TOOLS.len(), "the toolstack's steps have other names than {TOOLS:?}");
    for id in attacks {
        let attack = known.iter().find(|attack| attack.id == *id);
        steps.extend(attack.map(Inside::steps).with_context(|| format!("there is no attack {id}"))?);
    }
    Ok(Plan::new(steps))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn the_documents_name_the_lines_that_are_tried() {
        let read = |name: &str| fs::read_to_string(prove::project().join(name)).unwrap();
        for name in ["docs/integrating-linux.md", "linux/BUILDING.md"] {
            let text = read(name);
            assert!(text.contains(KCONFIG_LINE) && text.contains(MAKEFILE_LINE[1]), "{name}");
        }
        let [name, version] = PACKAGE;
        let conf = read("linux/dkms.conf");
        assert!(conf.contains(&format!("PACKAGE_NAME=\"{name}\"\nPACKAGE_VERSION=\"{version}\"\n")));
    }

    #[test]
    fn a_tree_is_changed_once() {
        let kconfig = with_kconfig("menu \"a\"\nconfig B\n\nendmenu\n").unwrap();
        assert_eq!(kconfig, format!("menu \"a\"\nconfig B\n\n{KCONFIG_LINE}\n\nendmenu\n"));
        assert_eq!(with_kconfig(&kconfig).unwrap(), kconfig);
        assert!(with_kconfig("config B\n").is_err());

        let makefile = with_makefile("a\nobj-$(CONFIG_XEN_PRIVCMD)\t\t+= xen-privcmd.o\nb\n").unwrap();
        assert_eq!(makefile, format!("a\n{}\nb\n", MAKEFILE_LINE[1]));
        assert_eq!(with_makefile(&makefile).unwrap(), makefile);
        assert!(with_makefile("a\n").is_err());
    }
}
