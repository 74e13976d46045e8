//! The guard: `linux/` with its object, built as a module for a kernel of the Debian root, and signed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::hypervisor::object::{LINUX, copy_folder, object_for};
use crate::hypervisor::{Key, Say, folder};
use crate::keys;
use crate::prove;
use crate::root::{Root, SHARED};

/// Changes with how the module is built.
const RECIPE: &str = "1";

/// The shim's source, below the project's folder.
const SHIM: &str = "linux";

/// What another module of the kernel takes from this one.
const SHARED_SYMBOL: &str = "xen_privcmd_fops";

/// The module's file.
pub const MODULE: &str = "xen-privcmd.ko";

/// What kbuild's W=1 asks of the compiler. W=1 itself also reads comments for the documentation, by a program that wants
/// more of Perl than the root has.
const WARNINGS: &str = "-Wextra -Wunused -Wno-unused-parameter -Wno-sign-compare -Wmissing-format-attribute";

/// What was built.
#[derive(Clone, Debug)]
pub struct Built {
    /// The module, not signed.
    pub module: PathBuf,
    /// Everything that kbuild needs, for whoever builds it elsewhere: the shim and the object.
    pub source: PathBuf,
}

/// The guard for kernel `release` of the root, built below `lab` or found there.
///
/// # Errors
/// What cannot be built, any warning of the compiler's, or what the object gate refuses.
pub fn build(root: &Root, lab: &Path, release: &str, say: Say<'_>) -> Result<Built> {
    let project = prove::project();
    let folder = folder(lab)?;
    let object = object_for(&LINUX, root, lab, &project, say)?;
    let mut key = Key::default();
    for part in [RECIPE, release] {
        key.add("", part.as_bytes());
    }
    key.add("root", root.folder().file_name().unwrap_or_default().as_encoded_bytes());
    key.add("object", &object.bytes);
    let files = shim(&project)?;
    for (name, bytes) in &files {
        key.add(name, bytes);
    }
    let place = folder.join(format!("guard-{}", key.finish()));
    if !place.is_dir() {
        let work = tempfile::Builder::new().prefix(".guard-").tempdir_in(&folder)?;
        let source = work.path().join("source");
        fs::create_dir(&source)?;
        for (name, bytes) in &files {
            fs::write(source.join(name), bytes)?;
        }
        fs::write(source.join("object.bin"), &object.bytes)?;
        copy_folder(&source, &work.path().join("build"))?;
        make(root, &work.path().join("build"), release, say)?;
        fs::rename(work.path().join("build").join(MODULE), work.path().join(MODULE))?;
        fs::remove_dir_all(work.path().join("build"))?;
        fs::rename(work.keep(), &place)?;
    }
    Ok(Built { module: place.join(MODULE), source: place.join("source") })
}

/// `module` with a signature that the kernel takes where firmware trusts `key`.
///
/// # Errors
/// Where it cannot be signed.
pub fn sign(root: &Root, lab: &Path, module: &[u8], key: &keys::Key) -> Result<Vec<u8>> {
    let work = tempfile::Builder::new().prefix(".sign-").tempdir_in(folder(lab)?)?;
    for (name, bytes) in [("module", module), ("key", &key.private), ("certificate", &key.certificate)] {
        fs::write(work.path().join(name), bytes)?;
    }
    let program = sign_file(root)?;
    let [key, certificate, file] = ["key", "certificate", "module"].map(|name| format!("{SHARED}/{name}"));
    root.run(&program, &["sha256", &key, &certificate, &file], Some(work.path()))?;
    Ok(fs::read(work.path().join("module"))?)
}

/// The files that kbuild reads, by name; the object's crate is not among them.
fn shim(project: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let mut files = Vec::new();
    let folder = project.join(SHIM);
    for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == "Kbuild" || name == "Kconfig" || name.ends_with(".c") || name.ends_with(".h") {
            files.push((name, fs::read(entry.path())?));
        }
    }
    files.sort();
    Ok(files)
}

fn make(root: &Root, build: &Path, release: &str, say: Say<'_>) -> Result<()> {
    say("building the guard");
    let headers = format!("/usr/src/linux-headers-{release}");
    let mut command = root.command("make", Some(build));
    command.args(["-C", &headers, &format!("M={SHARED}"), &format!("KCFLAGS={WARNINGS}"), "modules"]);
    let output = command.output().context("unshare cannot be started: install util-linux")?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() || said.contains("warning") || said.contains("WARNING") {
        bail!("the guard cannot be built ({}):\n{}", output.status, said.trim());
    }
    ensure!(build.join(MODULE).is_file(), "kbuild made no {MODULE}");
    // The kernel's own xenfs uses it and would not load.
    let kernel = fs::read_to_string(root.file(&format!("{headers}/Module.symvers"))?)?;
    let made = fs::read_to_string(build.join("Module.symvers"))?;
    let [kernel, made] = [&kernel, &made].map(|list| version_of(list, SHARED_SYMBOL));
    ensure!(
        kernel.is_none() || kernel == made,
        "{SHARED_SYMBOL} has version {made:?}, and the kernel's xenfs wants {kernel:?}: linux/main.c includes other headers"
    );
    Ok(())
}

/// The version of a symbol in a `Module.symvers`.
fn version_of<'a>(list: &'a str, symbol: &str) -> Option<&'a str> {
    list.lines().find_map(|line| {
        let mut fields = line.split('\t');
        let version = fields.next()?;
        (fields.next()? == symbol).then_some(version)
    })
}

fn sign_file(root: &Root) -> Result<String> {
    for entry in fs::read_dir(root.file("/usr/lib")?)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let program = format!("/usr/lib/{name}/scripts/sign-file");
        if name.starts_with("linux-kbuild-") && root.file(&program).is_ok() {
            return Ok(program);
        }
    }
    bail!("the root has no sign-file: it belongs to Debian's linux-kbuild")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_a_symbol_is_found() {
        let list = "0x01\tone\tm\tEXPORT_SYMBOL\t\n0x02\ttwo\tm\tEXPORT_SYMBOL_GPL\t\n";
        assert_eq!(version_of(list, "two"), Some("0x02"));
        assert_eq!(version_of(list, "three"), None);
    }
}
