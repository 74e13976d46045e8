//! Where this machine gets Debian from, read from its own apt.
//!
//! No host name stands in the project: whoever fetches packages (`cargo xtask source`, the lab) asks here.

pub mod fetch;

use std::env;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where Debian's keyring package puts its keys; the newer name first.
const KEYRINGS: [&str; 2] =
    ["/usr/share/keyrings/debian-archive-keyring.pgp", "/usr/share/keyrings/debian-archive-keyring.gpg"];

/// Why Debian's archive cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// The keys that check the archive are not there.
    Keyring,
    /// `DEBIAN_MIRROR` does not hold a URI.
    BadMirror,
    /// apt knows no archive of Debian's.
    Mirror,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keyring => "Debian's signatures cannot be checked: install the package debian-archive-keyring",
            Self::BadMirror => "DEBIAN_MIRROR is not the URI of an archive",
            Self::Mirror => {
                "this machine's apt knows no archive of Debian's: set DEBIAN_MIRROR to the URI of one \
                 (the folder that holds dists/ and pool/), and install the package debian-archive-keyring"
            }
        })
    }
}

impl std::error::Error for Missing {}

/// The file with the keys that Debian's archive is checked against.
///
/// # Errors
/// [`Missing::Keyring`].
pub fn keyring() -> Result<&'static Path, Missing> {
    KEYRINGS.iter().map(Path::new).find(|path| path.is_file()).ok_or(Missing::Keyring)
}

/// The URI of Debian's main archive, as this machine reaches it.
///
/// # Errors
/// [`Missing::BadMirror`] or [`Missing::Mirror`].
pub fn mirror() -> Result<String, Missing> {
    if let Some(mirror) = env::var("DEBIAN_MIRROR").ok().filter(|mirror| !mirror.is_empty()) {
        if mirror.contains(char::is_whitespace) || !mirror.contains(":/") {
            return Err(Missing::BadMirror);
        }
        return Ok(mirror);
    }
    mirror_from_targets().or_else(mirror_from_sources).ok_or(Missing::Mirror)
}

/// The files that stand in a folder, not below it, sorted.
///
/// # Errors
/// Where the folder cannot be read.
pub fn files_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// From the lists that apt has: they say who made them.
fn mirror_from_targets() -> Option<String> {
    let mut command = Command::new("apt-get");
    command.args(["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]);
    command.args(["Origin: Debian", "Label: Debian", "Component: main"]).env("LC_ALL", "C");
    let output = command.output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with("cdrom:")).map(str::to_owned)
}

/// From apt's files, where no list was ever fetched. What is not Debian's fails later, at its signature.
fn mirror_from_sources() -> Option<String> {
    let mut command = Command::new("apt-config");
    command.args(["shell", "LIST", "Dir::Etc::sourcelist/f", "PARTS", "Dir::Etc::sourceparts/d"]);
    let output = command.output().ok().filter(|output| output.status.success())?;
    let mut files = Vec::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Some((name, value)) = line.split_once('=') else { continue };
        let path = PathBuf::from(value.trim_matches('\''));
        match name {
            "LIST" => files.push(path),
            _ => files.extend(files_in(&path).unwrap_or_default()),
        }
    }
    let mut entries = Vec::new();
    for file in files {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("sources") => entries.extend(deb822_entries(&text)),
            Some("list") => entries.extend(text.lines().filter_map(one_line_entry)),
            _ => {}
        }
    }
    let os = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let is_debian = os.lines().any(|line| matches!(line, "ID=debian" | "ID=\"debian\""));
    choose_mirror(entries, is_debian)
}

/// What an entry of apt's sources says.
#[derive(Debug, Default, PartialEq, Eq)]
struct SourceEntry {
    uris: Vec<String>,
    suites: Vec<String>,
    components: Vec<String>,
    signed_by: Option<String>,
}

/// The entries of a `.sources` file.
fn deb822_entries(text: &str) -> Vec<SourceEntry> {
    let mut entries = Vec::new();
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in text.lines().chain([""]) {
        if line.trim().is_empty() {
            entries.extend(deb822_entry(&fields));
            fields.clear();
        } else if line.starts_with('#') {
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    entries
}

fn deb822_entry(fields: &[(String, String)]) -> Option<SourceEntry> {
    let field = |name: &str| fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let words = |name: &str| field(name).unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    let enabled = !field("enabled").is_some_and(|value| matches!(value, "no" | "false" | "off" | "0"));
    let entry = SourceEntry {
        uris: words("uris"),
        suites: words("suites"),
        components: words("components"),
        signed_by: field("signed-by").map(str::to_owned),
    };
    (enabled && !entry.uris.is_empty()).then_some(entry)
}

/// An entry of a `.list` file: `deb [OPTIONS] URI SUITE COMPONENT...`.
fn one_line_entry(line: &str) -> Option<SourceEntry> {
    let line = line.split('#').next()?.trim();
    let line = line.strip_prefix("deb-src").or_else(|| line.strip_prefix("deb"))?;
    let line = line.strip_prefix([' ', '\t'])?.trim_start();
    let (options, rest) = match line.strip_prefix('[') {
        Some(line) => line.split_once(']')?,
        None => ("", line),
    };
    let signed_by = options.split_whitespace().find_map(|option| option.strip_prefix("signed-by="));
    let mut words = rest.split_whitespace().map(str::to_owned);
    Some(SourceEntry {
        uris: vec![words.next()?],
        suites: vec![words.next()?],
        components: words.collect(),
        signed_by: signed_by.map(str::to_owned),
    })
}

/// The archive that is Debian's by its key, or on Debian itself by its suite.
fn choose_mirror(entries: Vec<SourceEntry>, is_debian: bool) -> Option<String> {
    const SUITES: [&str; 10] = [
        "bullseye",
        "bookworm",
        "trixie",
        "forky",
        "sid",
        "oldstable",
        "stable",
        "testing",
        "unstable",
        "oldoldstable",
    ];
    let fits = |entry: &&SourceEntry| {
        entry.components.iter().any(|component| component == "main")
            && entry.suites.iter().any(|suite| SUITES.contains(&suite.as_str()))
    };
    let uri = |entry: &SourceEntry| entry.uris.iter().find(|uri| !uri.starts_with("cdrom:")).cloned();
    let signed = |entry: &&SourceEntry| entry.signed_by.as_ref().is_some_and(|key| key.contains("debian-archive"));
    let by_key = entries.iter().filter(fits).filter(signed).find_map(uri);
    let by_suite = || entries.iter().filter(fits).filter(|entry| entry.signed_by.is_none()).find_map(uri);
    by_key.or_else(|| if is_debian { by_suite() } else { None })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_the_entry_with_debians_key() {
        let text = "# comment\nTypes: deb\nURIs: http://other.invalid/x\nSuites: bookworm\nComponents: main\n\
                    Signed-By: /keys/other.gpg\n\nTypes: deb deb-src\nURIs:\n http://archive.invalid/debian\n\
                    Suites: bookworm bookworm-updates\nComponents: main contrib\n\
                    Signed-By: /keys/debian-archive-keyring.gpg\n";
        let entries = deb822_entries(text);
        assert_eq!(entries.len(), 2);
        assert_eq!(choose_mirror(entries, false).as_deref(), Some("http://archive.invalid/debian"));
    }

    #[test]
    fn a_disabled_entry_and_the_security_archive_are_no_mirror() {
        let text = "Types: deb\nEnabled: no\nURIs: http://a.invalid/debian\nSuites: trixie\nComponents: main\n\n\
                    Types: deb\nURIs: http://a.invalid/security\nSuites: trixie-security\nComponents: main\n";
        assert_eq!(choose_mirror(deb822_entries(text), true), None);
    }

    #[test]
    fn one_line_entries_count_on_debian_only_where_no_key_is_named() {
        let lines = [
            "# deb http://no.invalid/ trixie main",
            "deb [arch=amd64 lang=en] http://a.invalid/debian trixie main",
        ];
        let entries = || lines.iter().filter_map(|line| one_line_entry(line)).collect::<Vec<_>>();
        assert_eq!(choose_mirror(entries(), true).as_deref(), Some("http://a.invalid/debian"));
        assert_eq!(choose_mirror(entries(), false), None);
        let entry =
            one_line_entry("deb-src [signed-by=/k/debian-archive-keyring.gpg] http://b.invalid sid main # x");
        assert_eq!(choose_mirror(entry.into_iter().collect(), false).as_deref(), Some("http://b.invalid"));
        assert_eq!(one_line_entry("debian http://b.invalid sid main"), None);
        assert_eq!(
            choose_mirror(one_line_entry("deb cdrom:[disc]/ trixie main").into_iter().collect(), true),
            None
        );
    }
}
