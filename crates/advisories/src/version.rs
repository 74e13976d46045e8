//! Versions of Xen and of Linux: three numbers, and whether a build stands before or behind that release.

use std::fmt;
use std::str::FromStr;

/// A release: `4.20.4`, `6.12.117`. `5.11` is `5.11.0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Release {
    /// `4.20`, `6.12`: the branch.
    pub branch: (u16, u16),
    /// The number on the branch.
    pub point: u16,
}

/// What a build says its version is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The newest release that it says it holds.
    pub release: Release,
    /// It says that it is made before that release: a candidate, or an unstable tree.
    pub is_before: bool,
    /// It says that it holds more than that release: a snapshot (`4.20.3+127-gc42374a105`).
    pub is_snapshot: bool,
    /// As it was written.
    pub text: String,
}

/// Why a text is no version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadVersion {
    /// It does not begin as one.
    #[error("{0:?} is no version: it begins with two or three numbers, as 4.20.4 does")]
    Form(String),
    /// The number on the branch is missing.
    #[error("{0:?} names a branch and no release: say which, as in {0}.1")]
    Branch(String),
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.branch.0, self.branch.1, self.point)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Release {
    type Err = BadVersion;

    fn from_str(text: &str) -> Result<Self, BadVersion> {
        match numbers(text) {
            Some((release, "")) => Ok(release),
            _ => Err(BadVersion::Form(text.to_owned())),
        }
    }
}

impl Version {
    /// Reads what a package, a row of SBAT or a kernel calls itself. An epoch in front is passed over.
    ///
    /// # Errors
    /// [`BadVersion`]: nothing is guessed. `4.20` alone does not say which release it is, unless it is marked as one to come.
    pub fn read(text: &str) -> Result<Self, BadVersion> {
        let form = || BadVersion::Form(text.to_owned());
        let bare = match text.split_once(':') {
            Some((epoch, rest)) if !epoch.is_empty() && epoch.bytes().all(|byte| byte.is_ascii_digit()) => rest,
            _ => text,
        };
        let (release, rest) = numbers(bare).ok_or_else(form)?;
        if !rest.is_empty() && !rest.starts_with(['-', '+', '~', '_', '.']) {
            return Err(form());
        }
        if rest.starts_with('.')
            && !rest.get(1..).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_alphabetic()))
        {
            return Err(form());
        }
        let lower = rest.to_ascii_lowercase();
        let candidate = |mark: char| {
            lower.split(mark).skip(1).any(|part| {
                part.strip_prefix("rc")
                    .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()) || rest.starts_with('.'))
            })
        };
        let is_before =
            candidate('-') || candidate('~') || lower.starts_with("-unstable") || lower.starts_with("~pre");
        let has_point = bare.starts_with(&release.to_string());
        if !has_point && !is_before {
            return Err(BadVersion::Branch(text.to_owned()));
        }
        let is_snapshot = rest.strip_prefix('+').is_some_and(|rest| {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            digits > 0 && rest.get(digits..).is_some_and(|rest| rest.starts_with("-g"))
        }) || rest.strip_prefix('-').is_some_and(|rest| {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let behind = rest.get(digits..).and_then(|rest| rest.strip_prefix("-g"));
            digits > 0 && behind.is_some_and(|hash| hash.bytes().take_while(u8::is_ascii_hexdigit).count() >= 7)
        });
        Ok(Self { release, is_before, is_snapshot, text: text.to_owned() })
    }
}

/// Two or three numbers with dots between them, and what is behind.
pub(crate) fn numbers(text: &str) -> Option<(Release, &str)> {
    let number = |text: &str| -> Option<(u16, usize)> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let written = text.get(..digits)?;
        // A zero in front is no way to write a release.
        let is_plain = digits == 1 || !written.starts_with('0');
        written.parse().ok().filter(|_| is_plain).map(|number| (number, digits))
    };
    let (major, length) = number(text)?;
    let rest = text.get(length..)?.strip_prefix('.')?;
    let (minor, length) = number(rest)?;
    let rest = rest.get(length..)?;
    let third = rest.strip_prefix('.').and_then(|rest| number(rest).map(|(point, length)| (point, rest, length)));
    match third {
        Some((point, behind, length)) => Some((Release { branch: (major, minor), point }, behind.get(length..)?)),
        // A third number that is too large is no missing one.
        None if rest.strip_prefix('.').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit())) => None,
        None => Some((Release { branch: (major, minor), point: 0 }, rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::{BadVersion, Release, Version};

    fn read(text: &str) -> (String, bool, bool) {
        let version = Version::read(text).unwrap_or_else(|error| panic!("{error}"));
        (version.release.to_string(), version.is_before, version.is_snapshot)
    }

    #[test]
    fn versions_as_packages_write_them() {
        for (text, release, is_before, is_snapshot) in [
            ("4.20.4", "4.20.4", false, false),
            ("4.20.4-1", "4.20.4", false, false),
            ("4.20.3+127-gc42374a105-0+deb13u1", "4.20.3", false, true),
            ("4.17.5+72-g01140da4e8-1", "4.17.5", false, true),
            ("4.20.3-127-gc42374a105", "4.20.3", false, true),
            ("4.20.0~rc2+1-gfcde5e0de8-1~exp1", "4.20.0", true, false),
            ("4.21.0-rc1", "4.21.0", true, false),
            ("4.21-unstable", "4.21.0", true, false),
            ("4.17.0+24-g2f8851c37f-2~exp1", "4.17.0", false, true),
            ("2:4.19.1-3.fc41", "4.19.1", false, false),
            ("4.18.2_04-150600.3.3.1", "4.18.2", false, false),
            ("6.12.117+deb13-amd64", "6.12.117", false, false),
            ("6.12.117-1", "6.12.117", false, false),
            ("4.20.1-0ubuntu2", "4.20.1", false, false),
            ("4.19.3.fc41", "4.19.3", false, false),
        ] {
            assert_eq!(read(text), (release.to_owned(), is_before, is_snapshot), "{text}");
        }
    }

    #[test]
    fn what_is_no_version_is_refused() {
        for text in
            ["", "xen", "4", "4.", "4..1", "4.20.1x", "4.20.99999", "99999.1.1", "4.20.1.", "-1.2.3", ":4.20.1"]
        {
            assert_eq!(Version::read(text), Err(BadVersion::Form(text.to_owned())), "{text}");
        }
        assert!(Version::read("4.20.x").is_err());
        assert_eq!(Version::read("4.20"), Err(BadVersion::Branch("4.20".to_owned())));
        assert_eq!("4.20.1-1".parse::<Release>(), Err(BadVersion::Form("4.20.1-1".to_owned())));
    }

    #[test]
    fn releases_are_ordered_by_number_and_not_by_text() {
        let release = |text: &str| text.parse::<Release>().unwrap_or_else(|error| panic!("{error}"));
        assert!(release("4.9.4") < release("4.17.0"));
        assert!(release("6.12.9") < release("6.12.117"));
        assert_eq!(release("5.11"), release("5.11.0"));
    }
}
