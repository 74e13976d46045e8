//! Builds xen.gz, xen-syms and xen.efi from a tree.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, Result, bail, ensure};

use crate::hypervisor::object::copy_folder;
use crate::hypervisor::tree::PARTS;
use crate::hypervisor::{Key, Say, Tree, folder, object, series};
use crate::prove;
use crate::root::{Root, SHARED};

/// Changes with how Xen is built.
const RECIPE: &str = "1";

/// What was built.
#[derive(Clone, Debug)]
pub struct BuiltXen {
    /// For the firmware, not signed.
    pub efi: PathBuf,
    /// For boot loaders.
    pub gz: PathBuf,
    /// With symbols.
    pub syms: PathBuf,
    /// The configuration that it was built with.
    pub config: PathBuf,
}

/// How to build.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// A configuration to start from, in place of Debian's for that release; without either Xen's own defaults.
    pub config: Option<String>,
    /// Further lines for the configuration.
    pub lines: Vec<String>,
    /// Leave lockdown out: the tree as it is. What is measured needs something to compare with.
    pub stock: bool,
    /// The time that Xen says it was built at, in seconds since 1970.
    pub epoch: u64,
    /// Build even if it was built before.
    pub again: bool,
}

/// Builds `tree` with lockdown, or finds what was built from the same input.
///
/// # Errors
/// What cannot be patched or built, or what the object gate refuses.
pub fn build_tree(root: &Root, lab: &Path, tree: &Tree, settings: &Settings, say: Say<'_>) -> Result<BuiltXen> {
    let project = prove::project();
    let folder = folder(lab)?;
    // On every build, whatever was kept.
    let object = object(root, lab, &project, say)?;
    let series = if settings.stock { None } else { Some(series(root, lab, &project, tree, say)?) };
    let config = configuration(root, tree, settings)?;

    let mut key = Key::default();
    for part in [RECIPE, &tree.version(), &config, &settings.epoch.to_string()] {
        key.add("", part.as_bytes());
    }
    key.add("root", root.folder().file_name().unwrap_or_default().as_encoded_bytes());
    for part in PARTS {
        let path = tree.folder().join(part);
        if path.is_dir() {
            key.add_folder(&path)?;
        } else {
            key.add(part, &fs::read(&path).with_context(|| path.display().to_string())?);
        }
    }
    if let Some(series) = &series {
        key.add("object", &object.bytes);
        for (path, text) in &series.files {
            key.add(path, text.as_bytes());
        }
    }
    let place = folder.join(format!("xen-{}", key.finish()));
    if place.is_dir() && settings.again {
        fs::remove_dir_all(&place)?;
    }
    if !place.is_dir() {
        let work = tempfile::Builder::new().prefix(".xen-").tempdir_in(&folder)?;
        for part in PARTS {
            let (from, to) = (tree.folder().join(part), work.path().join(part));
            if from.is_dir() {
                copy_folder(&from, &to)?;
            } else {
                fs::copy(&from, &to).with_context(|| from.display().to_string())?;
            }
        }
        if let Some(series) = &series {
            for (path, text) in &series.files {
                let file = work.path().join(path);
                if let Some(folder) = file.parent() {
                    fs::create_dir_all(folder)?;
                }
                fs::write(&file, text)?;
            }
            fs::write(work.path().join("xen/common/lockdown/object.bin"), &object.bytes)?;
        }
        fs::write(work.path().join("xen/.config"), &config)?;
        make(root, work.path(), settings, say)?;
        let made = work.path().join("made");
        fs::create_dir(&made)?;
        for (from, to) in
            [("xen.efi", "xen.efi"), ("xen.gz", "xen.gz"), ("xen-syms", "xen-syms"), (".config", "config")]
        {
            let from = work.path().join("xen").join(from);
            fs::rename(&from, made.join(to)).with_context(|| format!("{} was not built", from.display()))?;
        }
        fs::rename(&made, &place)?;
    }
    let file = |name: &str| place.join(name);
    Ok(BuiltXen { efi: file("xen.efi"), gz: file("xen.gz"), syms: file("xen-syms"), config: file("config") })
}

fn configuration(root: &Root, tree: &Tree, settings: &Settings) -> Result<String> {
    let debian = format!("/boot/xen-{}-amd64.config", tree.version());
    let mut config = match (&settings.config, root.file(&debian)) {
        (Some(config), _) => config.clone(),
        (None, Ok(file)) => fs::read_to_string(file)?,
        (None, Err(_)) => String::new(),
    };
    if !config.ends_with('\n') {
        config.push('\n');
    }
    if !settings.stock {
        config.push_str("CONFIG_LOCKDOWN=y\n");
    }
    for line in &settings.lines {
        config.push_str(line);
        config.push('\n');
    }
    Ok(config)
}

/// Nothing of the machine, its user, its time or its folders gets into what is built.
fn make(root: &Root, work: &Path, settings: &Settings, say: Say<'_>) -> Result<()> {
    let jobs = thread::available_parallelism().map_or(1, usize::from);
    say("building Xen");
    run(root, work, settings, "make olddefconfig")?;
    ensure_kept(&fs::read_to_string(work.join("xen/.config"))?, settings)?;
    run(root, work, settings, &format!("exec make --jobs={jobs}"))
}

/// Xen's own rules drop a line of a configuration without a word where it depends on another.
fn ensure_kept(config: &str, settings: &Settings) -> Result<()> {
    let has = |line: &str| config.lines().any(|other| other == line);
    ensure!(
        has("CONFIG_LOCKDOWN=y") != settings.stock,
        "Xen's configuration {} CONFIG_LOCKDOWN=y after its own rules were applied",
        if settings.stock { "has" } else { "has lost" }
    );
    // Of several lines for one name the last counts, and what is off is written as a comment, or not at all.
    let name = |line: &str| line.split('=').next().unwrap_or_default().to_owned();
    for (at, line) in settings.lines.iter().enumerate() {
        let again = settings.lines.iter().skip(at.saturating_add(1)).any(|later| name(later) == name(line));
        if again || line.starts_with('#') || line.trim().is_empty() {
            continue;
        }
        let kept = match line.strip_suffix("=n") {
            Some(name) => !config.lines().any(|other| other.starts_with(&format!("{name}="))),
            None => has(line),
        };
        ensure!(
            kept,
            "Xen's configuration has lost {line} after its own rules were applied: it depends on something else \
             (xen/**/Kconfig of the tree; CONFIG_EXPERT=y for many)"
        );
    }
    Ok(())
}

fn run(root: &Root, work: &Path, settings: &Settings, script: &str) -> Result<()> {
    let mut command = root.command("sh", Some(work));
    let epoch = settings.epoch;
    command.env("SOURCE_DATE_EPOCH", epoch.to_string()).env("TZ", "UTC");
    command.env("XEN_WHOAMI", "xen-lockdown").env("XEN_DOMAIN", "localdomain").env("XEN_BUILD_HOST", "localhost");
    command.env("XEN_BUILD_DATE", format!("@{epoch}")).env("XEN_BUILD_TIME", "00:00:00");
    let script = format!("cd {SHARED}/xen && {script}");
    let output =
        command.args(["-c", &script]).output().context("unshare cannot be started: install util-linux")?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let errors: Vec<&str> = said.lines().filter(|line| line.contains("rror")).take(20).collect();
    let last: Vec<&str> = said.lines().rev().take(10).collect();
    let shown = if errors.is_empty() { last.into_iter().rev().collect() } else { errors };
    bail!("Xen cannot be built ({}):\n{}", output.status, shown.join("\n"));
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_lost_is_named() {
        let config = "CONFIG_LOCKDOWN=y\nCONFIG_CMDLINE=\"\"\n# CONFIG_DEBUG is not set\nCONFIG_HVM=y\n";
        let lines = |lines: &[&str]| Settings {
            lines: lines.iter().map(|line| (*line).to_owned()).collect(),
            ..Settings::default()
        };
        let check = |set: &[&str]| ensure_kept(config, &lines(set)).map_err(|error| error.to_string());
        assert_eq!(check(&["CONFIG_HVM=y", "CONFIG_DEBUG=n", "CONFIG_NOSUCH=n", "# nothing", ""]), Ok(()));
        assert_eq!(check(&["CONFIG_CMDLINE=\"x\"", "CONFIG_CMDLINE=\"\""]), Ok(()));
        assert!(check(&["CONFIG_CMDLINE=\"lockdown\""]).unwrap_err().contains("has lost CONFIG_CMDLINE"));
        assert!(check(&["CONFIG_HVM=n"]).unwrap_err().contains("has lost CONFIG_HVM=n"));
        let stock = Settings { stock: true, ..Settings::default() };
        assert!(ensure_kept(config, &stock).is_err());
        assert!(ensure_kept("", &Settings::default()).is_err());
    }
}
