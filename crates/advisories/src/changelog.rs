//! What a package's changelog says was fixed in it.

use std::collections::BTreeSet;

use crate::version::{BadVersion, Version};

/// The advisories that a changelog names, and those of them that it says are not in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changelog {
    /// What it says was fixed.
    pub fixed: BTreeSet<u16>,
    /// What it names only to say why it is not there.
    pub left_out: BTreeSet<u16>,
    /// The version of its first entry, where it is a changelog of Debian's.
    pub version: Option<String>,
}

impl Changelog {
    /// Reads a changelog of Debian's, of RPM's, or any other text that names what was fixed as `XSA-309` or `XSA309`.
    ///
    /// Debian's Xen packages end such a list with *Note that the following XSA are not listed, because...*; what stands in that
    /// item was not fixed there. An advisory that stands in both kinds of lists was fixed.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let mut found = Self::default();
        let mut is_left_out = false;
        for line in text.lines() {
            if found.version.is_none() && !line.starts_with(char::is_whitespace) {
                found.version = heading(line);
            }
            let item = line.trim_start();
            // An item of the first order ends the one before it, and so does what is not indented.
            if item.starts_with('*') || !line.starts_with(char::is_whitespace) && !line.is_empty() {
                is_left_out = item.contains("not listed");
            }
            for xsa in advisories(line) {
                if is_left_out {
                    found.left_out.insert(xsa)
                } else {
                    found.fixed.insert(xsa)
                };
            }
        }
        found.left_out = found.left_out.difference(&found.fixed).copied().collect();
        found
    }

    /// The version of its first entry.
    ///
    /// # Errors
    /// [`BadVersion`]; nothing if there is no entry that says one.
    pub fn first_version(&self) -> Option<Result<Version, BadVersion>> {
        self.version.as_deref().map(Version::read)
    }
}

/// `xen (4.20.3+127-gc42374a105-0+deb13u1) trixie-security; urgency=medium`
fn heading(line: &str) -> Option<String> {
    let (name, rest) = line.split_once(" (")?;
    let (version, rest) = rest.split_once(')')?;
    let is_heading = !name.is_empty() && !name.contains(char::is_whitespace) && rest.contains(';');
    is_heading.then(|| version.to_owned())
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
    use super::Changelog;

    const DEBIAN: &str = "\
xen (4.20.3+127-gc42374a105-0+deb13u1) trixie-security; urgency=medium

  * Update to new upstream version, which also contains
    security fixes for the following issues:
    - something
      XSA-480 CVE-2026-23554
    - more (XSA-481, XSA482)
  * Note that the following XSA are not listed, because...
    - XSA-483 has patches for the Linux kernel
    - XSA-480 is not that
  * Apply XSA-484.

 -- Somebody <somebody@example.org>  Fri, 31 Jul 2026 23:59:26 +0200

xen (4.20.2-1) trixie; urgency=medium

  * Fixes XSA-477.
";

    #[test]
    fn what_is_named_is_fixed_unless_it_is_said_not_to_be_listed() {
        let found = Changelog::read(DEBIAN);
        assert_eq!(found.fixed.iter().copied().collect::<Vec<_>>(), [477, 480, 481, 482, 484]);
        assert_eq!(found.left_out.iter().copied().collect::<Vec<_>>(), [483]);
        assert_eq!(found.version.as_deref(), Some("4.20.3+127-gc42374a105-0+deb13u1"));
    }

    #[test]
    fn a_changelog_of_rpm_has_no_version_that_is_read() {
        let text = "* Tue Jul 28 2026 Somebody <somebody@example.org> - 4.19.5-2\n- fix grant copy [XSA-500, CVE-2026-62428]\n- xsa501\n";
        let found = Changelog::read(text);
        assert_eq!(found.fixed.iter().copied().collect::<Vec<_>>(), [500, 501]);
        assert_eq!(found.version, None);
    }

    #[test]
    fn a_text_without_advisories_names_none() {
        assert_eq!(Changelog::read("XSA-, XSA-x, XSA-99999999, xs-1\n"), Changelog::default());
    }
}
