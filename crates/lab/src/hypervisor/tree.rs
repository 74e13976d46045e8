//! A Xen source tree: which release it is, and what of it the hypervisor is built from.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use lockdown_core::tables::XEN_VERSIONS;

/// What the hypervisor is built from; the rest of a tree is the toolstack.
pub(super) const PARTS: &[&str] = &["xen", "config", "Config.mk"];

/// An unpacked Xen tree.
#[derive(Clone, Debug)]
pub struct Tree {
    folder: PathBuf,
    version: (u32, u32),
}

impl Tree {
    /// Looks at a folder.
    ///
    /// # Errors
    /// Where it is no Xen tree, is one whose options nobody audited, or is patched already.
    pub fn open(folder: &Path) -> Result<Self> {
        let place = folder.display();
        let makefile = fs::read_to_string(folder.join("xen/Makefile"))
            .with_context(|| format!("{place} is no Xen source tree: it has no xen/Makefile"))?;
        let number = |name: &str| {
            let value = makefile.lines().find_map(|line| {
                let line = line.trim().strip_prefix("export ").unwrap_or(line.trim());
                line.strip_prefix(name)?.trim().strip_prefix('=')?.trim().parse().ok()
            });
            value.with_context(|| format!("{place}: xen/Makefile does not set {name} to a number"))
        };
        let version = (number("XEN_VERSION")?, number("XEN_SUBVERSION")?);
        let name = format!("{}.{}", version.0, version.1);
        if !XEN_VERSIONS.contains(&name.as_str()) {
            let known: Vec<_> = XEN_VERSIONS.iter().copied().filter(|name| name.contains('.')).collect();
            bail!(
                "{place} is Xen {name}, whose options and hypercalls nobody has audited: known are {}. \
                 Audit it first (policy/README.md)",
                known.join(" and ")
            );
        }
        ensure!(
            !folder.join("xen/include/xen/lockdown.h").exists(),
            "{place} has lockdown already: start from an unmodified tree"
        );
        Ok(Self { folder: folder.to_owned(), version })
    }

    /// Where it lies.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// `4.20`.
    #[must_use]
    pub fn version(&self) -> String {
        format!("{}.{}", self.version.0, self.version.1)
    }

    /// Whether the tree is of this release or a newer one.
    pub(super) fn is_since(&self, version: (u32, u32)) -> bool {
        self.version >= version
    }

    pub(super) fn read(&self, path: &str) -> Result<String> {
        let file = self.folder.join(path);
        let bytes = fs::read(&file).with_context(|| format!("{} cannot be read", file.display()))?;
        String::from_utf8(bytes).with_context(|| format!("{} is not text", file.display()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn tree(makefile: &str) -> (tempfile::TempDir, Result<Tree>) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("xen")).unwrap();
        fs::write(folder.path().join("xen/Makefile"), makefile).unwrap();
        let tree = Tree::open(folder.path());
        (folder, tree)
    }

    #[test]
    fn only_audited_releases_are_taken() {
        let (_folder, known) = tree("export XEN_VERSION       = 4\nexport XEN_SUBVERSION    = 20\n");
        let known = known.unwrap();
        assert_eq!(known.version(), "4.20");
        assert!(known.is_since((4, 20)) && known.is_since((4, 17)) && !known.is_since((4, 21)));
        let said = |text| format!("{:#}", tree(text).1.unwrap_err());
        assert!(said("XEN_VERSION = 4\nXEN_SUBVERSION = 19\n").contains("4.17 and 4.20"));
        assert!(said("XEN_VERSION = 4\n").contains("XEN_SUBVERSION"));
        assert!(format!("{:#}", Tree::open(Path::new("/nosuch")).unwrap_err()).contains("no Xen source tree"));
    }
}
