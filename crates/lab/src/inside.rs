//! Attacks from inside: programs that run as root in dom0. The lab's own are in one program, which lists them; others
//! are programs of somebody else's that follow the same protocol (docs/attacks.md).

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::console::Verdict;
use crate::lab::OTHER_PROGRAM;
use crate::plan::Step;

/// How long one step may take in dom0 where it does not say.
const LIMIT_S: u32 = 120;
/// What any limit is cut to: a machine must come to its end.
const MOST_S: u32 = 300;

/// An attack from inside, as it describes itself; there is more that is not needed here.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Inside {
    /// Its name, everywhere.
    pub id: String,
    /// The rule of `policy/boundary.md` that it breaks.
    pub rule: String,
    /// Whether others can follow in the same boot.
    #[serde(default = "yes")]
    pub healthy: bool,
    /// How many seconds it may take in dom0.
    #[serde(default = "limit")]
    timeout_s: u32,
    /// What it is declared to find in a column, by the column's name.
    #[serde(default)]
    declared: BTreeMap<String, Verdict>,
    /// The program's file outside; nothing: the lab's own.
    #[serde(skip)]
    pub file: Option<PathBuf>,
}

const fn yes() -> bool {
    true
}

const fn limit() -> u32 {
    LIMIT_S
}

impl Inside {
    /// The program in the initramfs.
    #[must_use]
    pub fn program(&self) -> String {
        match &self.file {
            // By its id, which is known to be a good name.
            Some(_) => format!("/lab/extra/{}", self.id),
            None => OTHER_PROGRAM.to_owned(),
        }
    }

    /// What dom0 is to do: the twin first, because it must work in a machine that nothing was done to.
    #[must_use]
    pub fn steps(&self) -> [Step; 2] {
        let twin = match self.file {
            None => vec!["twin".to_owned(), self.id.clone()],
            Some(_) => vec!["--twin".to_owned()],
        };
        let attack = match self.file {
            None => vec!["run".to_owned(), self.id.clone()],
            Some(_) => Vec::new(),
        };
        let [twin_id, id] = self.ids();
        [(twin_id, twin), (id, attack)].map(|(id, arguments)| Step {
            id,
            program: self.program(),
            arguments,
            timeout_s: self.timeout_s.clamp(1, MOST_S),
        })
    }

    /// What somebody else's attack is declared to find in `column`: that the machine holds, where it does not say. The
    /// lab's own are declared by the lab.
    #[must_use]
    pub fn declared(&self, column: &str) -> Option<Verdict> {
        self.file.as_ref().map(|_| self.declared.get(column).copied().unwrap_or(Verdict::Held))
    }

    /// The names of the twin and of the attack.
    #[must_use]
    pub fn ids(&self) -> [String; 2] {
        [format!("{}/twin", self.id), self.id.clone()]
    }
}

/// Asks the lab's own program which attacks it holds.
///
/// # Errors
/// Where it does not say.
pub fn own(program: &Path) -> Result<Vec<Inside>> {
    serde_json::from_slice(&said(program, "list")?).with_context(|| format!("what {} lists", program.display()))
}

/// The programs in `folder`, as they describe themselves.
///
/// # Errors
/// Where one does not describe itself, its name is no name or is in use by `taken`, or there is none.
pub fn extra(folder: &Path, taken: &[Inside]) -> Result<Vec<Inside>> {
    let io = || format!("the folder of further attacks, {}", folder.display());
    let entries = fs::read_dir(folder).with_context(io)?;
    let mut files: Vec<PathBuf> =
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>().with_context(io)?;
    files.sort();
    let mut found: Vec<Inside> = Vec::new();
    for file in files {
        let metadata = file.metadata().with_context(|| file.display().to_string())?;
        // A README or a source file may lie there too.
        if !metadata.is_file() || metadata.permissions().mode() & 0o111 == 0 {
            continue;
        }
        let attack: Inside = serde_json::from_slice(&said(&file, "--describe")?)
            .with_context(|| format!("{} --describe does not print an attack's description", file.display()))?;
        let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        ensure!(
            !attack.id.is_empty() && attack.id.len() <= 64 && attack.id.bytes().all(good),
            "{}: its id {:?} is not of lower-case letters, digits and dashes",
            file.display(),
            attack.id
        );
        let in_use = taken.iter().chain(&found).any(|other| other.id == attack.id);
        ensure!(!in_use, "{}: there is another attack {}", file.display(), attack.id);
        found.push(Inside { file: Some(file), ..attack });
    }
    ensure!(!found.is_empty(), "no executable file is in {}", folder.display());
    Ok(found)
}

fn said(program: &Path, argument: &str) -> Result<Vec<u8>> {
    let output = Command::new(program).arg(argument).stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("{} cannot be started", program.display()))?;
    ensure!(
        output.status.success(),
        "{} {argument} failed ({}): {}",
        program.display(),
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(output.stdout)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn program(folder: &Path, name: &str, text: &str, mode: u32) {
        let file = folder.join(name);
        fs::write(&file, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn describing(id: &str) -> String {
        format!("echo '{{\"schema\":\"xen-lockdown/attack/1\",\"id\":\"{id}\",\"rule\":\"B3\",\"more\":1}}'")
    }

    #[test]
    fn programs_describe_themselves_and_other_files_do_not_matter() {
        let folder = tempfile::tempdir().unwrap();
        program(folder.path(), "b.bin", &describing("one"), 0o755);
        program(folder.path(), "README", "exit 1", 0o644);
        let found = extra(folder.path(), &[]).unwrap();
        let [one] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((one.id.as_str(), one.healthy, one.timeout_s), ("one", true, LIMIT_S));
        let [twin, attack] = one.steps();
        assert_eq!((twin.id.as_str(), twin.arguments.as_slice()), ("one/twin", ["--twin".to_owned()].as_slice()));
        assert_eq!((attack.id.as_str(), attack.arguments.len()), ("one", 0));
        assert_eq!(attack.program, "/lab/extra/one");
        assert_eq!(one.declared("stock"), Some(Verdict::Held));
        assert_eq!(
            extra(folder.path(), &found).unwrap_err().to_string().rsplit(": ").next().unwrap(),
            "there is another attack one"
        );
    }

    #[test]
    fn a_program_that_is_none_is_named() {
        for (text, says) in [
            ("echo no", "does not print an attack's description"),
            ("echo broken >&2; exit 3", "broken"),
            (describing("../up").as_str(), "lower-case"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            program(folder.path(), "bad", text, 0o755);
            let error = format!("{:#}", extra(folder.path(), &[]).unwrap_err());
            assert!(error.contains("bad") && error.contains(says), "{error}");
        }
        let empty = tempfile::tempdir().unwrap();
        assert!(extra(empty.path(), &[]).is_err());
        assert!(extra(&empty.path().join("nosuch"), &[]).is_err());
    }
}
