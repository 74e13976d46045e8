//! What a package's changelog says was fixed in it.

use std::collections::BTreeSet;

use crate::advice::Said;

/// A changelog: what each upload of a package fixed, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changelog {
    /// Its entries. A text that is no changelog of Debian's is one entry without a version.
    pub uploads: Vec<Upload>,
}

/// An entry of a changelog: the advisories that it names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Upload {
    /// The package.
    pub package: Option<String>,
    /// The version.
    pub version: Option<String>,
    /// What it says it fixed.
    pub fixed: BTreeSet<u16>,
    /// What it names only to say why it is not there.
    pub left_out: BTreeSet<u16>,
    /// What it names with a word that may mean the contrary.
    pub doubtful: BTreeSet<u16>,
}

/// A line with one of these does not say that something is fixed.
const CONTRARY: [&str; 6] = ["revert", "not fixed", "not yet", "unfixed", "does not fix", "still "];

impl Changelog {
    /// Reads a changelog of Debian's, of RPM's, or any other text that names what was fixed as `XSA-309` or `XSA309`.
    ///
    /// Debian's Xen packages end such a list with *Note that the following XSA are not listed, because...*; what stands in that
    /// item was not fixed there.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let mut uploads: Vec<Upload> = Vec::new();
        let mut is_left_out = false;
        for line in text.lines() {
            let is_indented = line.starts_with(char::is_whitespace);
            if let Some((package, version)) = heading(line) {
                uploads.push(Upload { package: Some(package), version: Some(version), ..Upload::default() });
            } else if uploads.is_empty() {
                uploads.push(Upload::default());
            }
            // An item of the first order ends the one before it, and so does what is not indented.
            if line.trim_start().starts_with('*') || !is_indented && !line.is_empty() {
                is_left_out = line.contains("not listed");
            }
            let Some(upload) = uploads.last_mut() else { continue };
            let lower = line.to_lowercase();
            let is_contrary = CONTRARY.iter().any(|word| lower.contains(word));
            let list = match (is_left_out, is_contrary) {
                (true, _) => &mut upload.left_out,
                (false, true) => &mut upload.doubtful,
                (false, false) => &mut upload.fixed,
            };
            list.extend(advisories(line));
        }
        Self { uploads }
    }

    /// Whether it names any advisory.
    #[must_use]
    pub fn names_any(&self) -> bool {
        self.uploads
            .iter()
            .any(|upload| !(upload.fixed.is_empty() && upload.left_out.is_empty() && upload.doubtful.is_empty()))
    }

    /// Whether its entries have versions.
    #[must_use]
    pub fn has_versions(&self) -> bool {
        self.uploads.first().is_some_and(|upload| upload.version.is_some())
    }

    /// What it says of the package of a version: what that entry and the older ones fixed. Nothing if no entry has that version.
    #[must_use]
    pub fn at(&self, version: &str) -> Option<Said> {
        let from = self.uploads.iter().position(|upload| upload.version.as_deref() == Some(version))?;
        Some(said(self.uploads.get(from..).unwrap_or_default()))
    }

    /// What all of it says.
    #[must_use]
    pub fn whole(&self) -> Said {
        said(&self.uploads)
    }
}

fn said(uploads: &[Upload]) -> Said {
    let mut said = Said { is_complete: true, ..Said::default() };
    // The oldest first, so that what a later one takes back is taken back.
    for upload in uploads.iter().rev() {
        let entry = upload
            .version
            .as_ref()
            .map_or_else(|| "the changelog".to_owned(), |version| format!("entry {version}"));
        for xsa in &upload.fixed {
            said.fixed.entry(*xsa).or_insert_with(|| format!("by {entry}"));
            said.doubtful.remove(xsa);
        }
        for xsa in &upload.doubtful {
            said.fixed.remove(xsa);
            said.doubtful.insert(*xsa);
        }
    }
    said
}

/// `xen (4.20.3+127-gc42374a105-0+deb13u1) trixie-security; urgency=medium`
fn heading(line: &str) -> Option<(String, String)> {
    let (name, rest) = line.split_once(" (")?;
    let (version, rest) = rest.split_once(')')?;
    let is_heading = !name.is_empty() && !name.contains(char::is_whitespace) && rest.contains(';');
    is_heading.then(|| (name.to_owned(), version.to_owned()))
}

/// The advisories that a line names. `XSA-437/CVE-2023-34321` is one, `XSA-326, XSA-414` are two.
fn advisories(line: &str) -> Vec<u16> {
    let mut found = Vec::new();
    let mut rest = line;
    while let Some(at) = rest.find("XSA").or_else(|| rest.find("xsa")) {
        rest = rest.get(at.saturating_add(3)..).unwrap_or_default();
        let number = rest.strip_prefix(['-', ' ']).unwrap_or(rest);
        let digits = number.bytes().take_while(u8::is_ascii_digit).count();
        if let Some(xsa) = number.get(..digits).and_then(|number| number.parse().ok()) {
            found.push(xsa);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{Changelog, Said};

    const DEBIAN: &str = "\
xen (4.20.4-1) trixie; urgency=medium

  * XSA-481 is NOT FIXED in this upload.
  * Revert the fix of XSA-477, for now.

xen (4.20.3+127-gc42374a105-0+deb13u1) trixie-security; urgency=medium

  * Update to new upstream version, which also contains
    security fixes for the following issues:
    - something
      XSA-480 CVE-2026-23554
    - more (XSA-481, XSA482)
  * Note that the following XSA are not listed, because...
    - XSA-483 has patches for the Linux kernel
  * Apply XSA-484.

 -- Somebody <somebody@example.org>  Fri, 31 Jul 2026 23:59:26 +0200

xen (4.20.2-1) trixie; urgency=medium

  * Fixes XSA-477.
";

    fn fixed(said: &Said) -> Vec<u16> {
        said.fixed.keys().copied().collect()
    }

    #[test]
    fn an_entry_has_what_it_and_the_older_ones_fixed() {
        let changelog = Changelog::read(DEBIAN);
        let at = |version| changelog.at(version).map(|said| fixed(&said));
        assert_eq!(at("4.20.2-1"), Some(vec![477]));
        assert_eq!(at("4.20.3+127-gc42374a105-0+deb13u1"), Some(vec![477, 480, 481, 482, 484]));
        assert_eq!(at("4.20.3"), None);
    }

    #[test]
    fn what_is_said_not_to_be_fixed_is_not() {
        let whole = Changelog::read(DEBIAN).whole();
        assert_eq!(fixed(&whole), [480, 482, 484]);
        assert_eq!(whole.doubtful.iter().copied().collect::<Vec<_>>(), [477, 481]);
    }

    #[test]
    fn a_changelog_of_rpm_has_no_version_that_is_read() {
        let text = "* Tue Jul 28 2026 Somebody <somebody@example.org> - 4.19.5-2\n- fix grant copy [XSA-500, CVE-2026-62428]\n- xsa501\n";
        let found = Changelog::read(text);
        assert_eq!((fixed(&found.whole()), found.has_versions()), (vec![500, 501], false));
    }

    #[test]
    fn a_text_without_advisories_names_none() {
        assert!(!Changelog::read("XSA-, XSA-x, XSA-99999999, xs-1\n").names_any());
        assert!(Changelog::read("XSA-1").names_any());
    }
}
