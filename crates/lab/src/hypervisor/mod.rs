//! A locked Xen from an unmodified tree: the object, the gate that it has to pass, the semantic patches, the build.
//!
//! Everything foreign runs inside the lab's Debian root, at paths that are the same on every machine, so that the same
//! input gives the same bytes. What was built is kept by a hash of all that went into it.

mod gate;
pub(crate) mod object;
mod series;
mod tree;
mod xen;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use lockdown_debian::fetch::{self, Release};
use sha2::{Digest, Sha256};

pub use gate::Problem;
pub use object::{Object, object};
pub use series::{Series, Step, series};
pub use tree::Tree;
pub use xen::{BuiltXen, Settings, build_tree};

use crate::root::{Root, SHARED, hex};

/// What is told to whoever watches.
pub type Say<'a> = &'a (dyn Fn(&str) + Sync);

/// Debian's Xen with lockdown, built below `lab` or found there.
///
/// # Errors
/// What cannot be fetched, patched or built, or what the object gate refuses.
pub fn build(root: &Root, lab: &Path, say: Say<'_>) -> Result<BuiltXen> {
    let tree = Tree::open(&debian_tree(lab, say)?)?;
    build_tree(root, lab, &tree, &Settings::default(), say)
}

/// The folder with the source of Debian's Xen, fetched where it is not there.
///
/// # Errors
/// Why it cannot be had.
pub fn debian_tree(lab: &Path, say: Say<'_>) -> Result<PathBuf> {
    let target = lab.parent().context("the lab's folder has no parent")?;
    fetch::source(target, Release::Trixie, "xen", false, say)
}

/// The access-control policy that comes with Xen, compiled.
///
/// # Errors
/// Where the tree has none, or it cannot be compiled.
pub fn xsm_policy(root: &Root, lab: &Path, tree: &Tree) -> Result<Vec<u8>> {
    let work = tempfile::Builder::new().prefix(".policy-").tempdir_in(folder(lab)?)?;
    for part in ["tools/flask", "xen/xsm/flask"] {
        object::copy_folder(&tree.folder().join(part), &work.path().join(part))?;
    }
    let script = format!(
        "cd {SHARED}/tools/flask/policy && \
         make --file=Makefile.common FLASK_BUILD_DIR={SHARED} XEN_FULLVERSION=lab {SHARED}/xenpolicy-lab"
    );
    root.run("sh", &["-c", &script], Some(work.path())).context("Xen's policy cannot be compiled")?;
    Ok(fs::read(work.path().join("xenpolicy-lab"))?)
}

/// The folder below `lab` in which all of this happens.
pub(crate) fn folder(lab: &Path) -> Result<PathBuf> {
    let folder = lab.join("hypervisor");
    fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    Ok(fs::canonicalize(folder)?)
}

/// A hash over named pieces, short enough for the name of a folder.
#[derive(Default)]
pub(crate) struct Key(Sha256);

impl Key {
    pub(crate) fn add(&mut self, name: &str, bytes: &[u8]) {
        // With lengths, so that two pieces cannot be taken for one.
        for part in [name.as_bytes(), bytes] {
            self.0.update(part.len().to_le_bytes());
            self.0.update(part);
        }
    }

    pub(crate) fn add_folder(&mut self, folder: &Path) -> Result<()> {
        for path in files_below(folder)? {
            let name = path.strip_prefix(folder).unwrap_or(&path).to_string_lossy().into_owned();
            let read = || -> Result<Vec<u8>> {
                Ok(match fs::read_link(&path) {
                    Ok(target) => target.to_string_lossy().into_owned().into_bytes(),
                    Err(_) => fs::read(&path)?,
                })
            };
            self.add(&name, &read().with_context(|| path.display().to_string())?);
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> String {
        hex(&self.0.finalize()).chars().take(16).collect()
    }
}

/// All files and links below a folder, sorted.
pub(crate) fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        let entries = fs::read_dir(&next).with_context(|| format!("{} cannot be read", next.display()))?;
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                open.push(entry.path());
            } else {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}
