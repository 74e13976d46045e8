//! The guard: `linux/` with its object, built as a module for a kernel of the Debian root, and signed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::hypervisor::object::{LINUX, object_for};
use crate::hypervisor::{Key, Say, folder};
use crate::keys;
use crate::prove;
use crate::root::{Root, SHARED};

/// Changes with how the module is built.
const RECIPE: &str = "2";

/// The shim's source, below the project's folder.
const SHIM: &str = "linux";

/// What another module of the kernel takes from this one.
const SHARED_SYMBOL: &str = "xen_privcmd_fops";

/// The module's file.
pub const MODULE: &str = "xen-privcmd.ko";

/// What kbuild's W=1 asks of the compiler. W=1 itself also reads comments for the documentation, by a program that wants
/// more of Perl than the root has.
pub(crate) const WARNINGS: &str =
    "-Wextra -Wunused -Wno-unused-parameter -Wno-sign-compare -Wmissing-format-attribute";

/// The module of the guard, not signed, for kernel `release` of the root; built below `lab` or found there.
///
/// # Errors
/// What cannot be built, any warning of the compiler's, or what the object gate refuses.
pub fn build(root: &Root, lab: &Path, release: &str, say: Say<'_>) -> Result<PathBuf> {
    build_from(&source(root, lab, say)?, root, lab, release, say)
}

/// The same from the files of [`source`], for a root without Rust.
pub(crate) fn build_from(
    files: &[(String, Vec<u8>)],
    root: &Root,
    lab: &Path,
    release: &str,
    say: Say<'_>,
) -> Result<PathBuf> {
    let folder = folder(lab)?;
    let mut key = Key::default();
    for part in [RECIPE, release] {
        key.add("", part.as_bytes());
    }
    key.add("root", root.folder().file_name().unwrap_or_default().as_encoded_bytes());
    for (name, bytes) in files {
        key.add(name, bytes);
    }
    let place = folder.join(format!("guard-{}", key.finish()));
    if !place.is_dir() {
        let work = tempfile::Builder::new().prefix(".guard-").tempdir_in(&folder)?;
        let build = work.path().join("build");
        fs::create_dir(&build)?;
        write(files, &build)?;
        make(root, &build, release, say)?;
        fs::rename(build.join(MODULE), work.path().join(MODULE))?;
        fs::remove_dir_all(build)?;
        fs::rename(work.keep(), &place)?;
    }
    Ok(place.join(MODULE))
}

/// Everything that kbuild and DKMS need, by name, for whoever builds the guard elsewhere. The object is compiled below
/// `lab` or found there.
///
/// # Errors
/// Where the object cannot be compiled, or what the gate refuses.
pub fn source(root: &Root, lab: &Path, say: Say<'_>) -> Result<Vec<(String, Vec<u8>)>> {
    let project = prove::project();
    let object = object_for(&LINUX, root, lab, &project, say)?;
    let mut files = Vec::new();
    let folder = project.join(SHIM);
    for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // The folder's own README is for whoever changes the guard.
        let name = match name.as_str() {
            "Kbuild" | "Kconfig" | "dkms.conf" => name,
            "BUILDING.md" => "README.md".to_owned(),
            _ if name.ends_with(".c") || name.ends_with(".h") => name,
            _ => continue,
        };
        files.push((name, fs::read(entry.path())?));
    }
    files.push(("object.bin".to_owned(), object.bytes));
    files.sort();
    Ok(files)
}

/// Writes the files of [`source`] into `folder`.
///
/// # Errors
/// Where one cannot be written.
pub fn write(files: &[(String, Vec<u8>)], folder: &Path) -> Result<()> {
    for (name, bytes) in files {
        let place = folder.join(name);
        fs::write(&place, bytes).with_context(|| format!("{} cannot be written", place.display()))?;
    }
    Ok(())
}

/// `module` with a signature that the kernel takes where firmware trusts `key`.
///
/// # Errors
/// Where it cannot be signed.
pub fn sign(root: &Root, lab: &Path, module: &[u8], key: &keys::Key) -> Result<Vec<u8>> {
    sign_with(root, lab, module, &key.private, &key.certificate)
}

/// The same with a private key (PEM) and its certificate (PEM or DER).
///
/// # Errors
/// As [`sign`].
pub fn sign_with(root: &Root, lab: &Path, module: &[u8], private: &[u8], certificate: &[u8]) -> Result<Vec<u8>> {
    let work = tempfile::Builder::new().prefix(".sign-").tempdir_in(folder(lab)?)?;
    for (name, bytes) in [("module", module), ("key", private), ("certificate", certificate)] {
        fs::write(work.path().join(name), bytes)?;
    }
    let program = sign_file(root)?;
    let [key, certificate, file] = ["key", "certificate", "module"].map(|name| format!("{SHARED}/{name}"));
    root.run(&program, &["sha256", &key, &certificate, &file], Some(work.path()))?;
    Ok(fs::read(work.path().join("module"))?)
}

fn make(root: &Root, build: &Path, release: &str, say: Say<'_>) -> Result<()> {
    say("building the guard");
    let headers = format!("/usr/src/linux-headers-{release}");
    let mut command = root.command("make", Some(build));
    command.args(["-C", &headers, &format!("M={SHARED}"), &format!("KCFLAGS={WARNINGS}"), "modules"]);
    let output = command.output().context("unshare cannot be started: install util-linux")?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() || warns(&said) {
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

/// Whether the compiler, objtool or modpost warned of something.
pub(crate) fn warns(said: &str) -> bool {
    said.to_ascii_lowercase().contains("warning")
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
