//! Debian's `xl`, run without a shell, with a limit; and what it prints, read.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::{SLOWEST, STATE};

/// What a program said until its end.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) status: ExitStatus,
    pub(super) output: String,
    pub(super) errors: String,
}

/// Runs `xl` to a good end within `seconds` of a machine that is not slowed down. What it says otherwise is the error's text.
pub(super) fn xl(arguments: &[&str], seconds: u64) -> Result<std::result::Result<String, String>> {
    let name = format!("xl {}", arguments.join(" "));
    let limit = Duration::from_secs(seconds) * SLOWEST;
    let Some(said) = run(&program()?, arguments, limit)? else {
        return Ok(Err(format!("{name}: does not end within {} s", limit.as_secs())));
    };
    if said.status.success() {
        return Ok(Ok(said.output));
    }
    Ok(Err(format!("{name}: {}: {}", said.status, first_lines(&said.errors, 8))))
}

/// The `xl` of the newest Xen in the initramfs.
pub(super) fn program() -> Result<PathBuf> {
    let entries = fs::read_dir("/usr/lib").context("/usr/lib")?;
    let mut found: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path().join("bin/xl")).filter(|path| path.is_file()).collect();
    found.sort();
    found.pop().context("no xl below /usr/lib")
}

/// Runs a program. `None`: it did not end in time and was killed.
///
/// Its output goes to files: `xl create` leaves a process behind that would hold pipes open.
fn run(program: &Path, arguments: &[&str], limit: Duration) -> Result<Option<Said>> {
    fs::create_dir_all(STATE).context(STATE)?;
    let place = |name: &str| Path::new(STATE).join(format!("{name}-{}", std::process::id()));
    let (output, errors) = (place("output"), place("errors"));
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(File::create(&output)?)
        .stderr(File::create(&errors)?)
        .spawn()
        .with_context(|| format!("{} cannot be run", program.display()))?;
    let end = Instant::now() + limit;
    let status = loop {
        match child.try_wait()? {
            Some(status) => break status,
            None if Instant::now() < end => thread::sleep(Duration::from_millis(20)),
            None => {
                // It may just have ended.
                let _ = child.kill();
                let _ = child.wait();
                return Ok(None);
            }
        }
    };
    let text = |path: &Path| -> Result<String> { Ok(String::from_utf8_lossy(&fs::read(path)?).into_owned()) };
    Ok(Some(Said { status, output: text(&output)?, errors: text(&errors)? }))
}

/// A domain, as `xl list` shows it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Domain {
    pub(super) name: String,
    pub(super) id: u32,
    /// In mebibytes.
    pub(super) memory: u64,
    pub(super) processors: u32,
    /// Letters and dashes: running, blocked, paused, shutdown, crashed, dying.
    pub(super) state: String,
    /// Seconds on a processor.
    pub(super) time: f64,
}

/// All domains, or why they cannot be listed.
pub(super) fn domains() -> Result<std::result::Result<Vec<Domain>, String>> {
    Ok(match xl(&["list"], 20)? {
        Ok(text) => read_list(&text).map_err(|error| error.to_string()),
        Err(message) => Err(message),
    })
}

/// The domain called `name`. `None`: it is not listed.
pub(super) fn domain(name: &str) -> Result<Option<Domain>> {
    match domains()? {
        Ok(all) => Ok(all.into_iter().find(|domain| domain.name == name)),
        // An unlisted domain must not be taken for a gone one.
        Err(message) => bail!(message),
    }
}

fn read_list(text: &str) -> Result<Vec<Domain>> {
    let mut lines = text.lines();
    let title = lines.next().unwrap_or_default();
    if !title.starts_with("Name ") {
        bail!("xl list prints no table: {title:?}");
    }
    lines.filter(|line| !line.trim().is_empty()).map(read_domain).collect()
}

fn read_domain(line: &str) -> Result<Domain> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let [name, id, memory, processors, state, time] = words.as_slice() else {
        bail!("xl list prints {line:?}");
    };
    let told = || format!("xl list prints {line:?}");
    Ok(Domain {
        name: (*name).to_owned(),
        id: id.parse().with_context(told)?,
        memory: memory.parse().with_context(told)?,
        processors: processors.parse().with_context(told)?,
        state: (*state).to_owned(),
        time: time.parse().with_context(told)?,
    })
}

/// What stands behind `key :` in what `xl info` prints.
pub(super) fn field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == key).then(|| value.trim())
    })
}

/// The beginning of a text, in one line: of errors the first is the cause.
fn first_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).take(count).collect();
    lines.join(" | ")
}

/// The end of a text, in one line.
pub(super) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let first = lines.len().saturating_sub(count);
    lines.get(first..).unwrap_or_default().join(" | ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_domains_is_read() {
        let text = "Name                     ID   Mem VCPUs\tState\tTime(s)\n\
                    Domain-0                  0   512     1     r-----       8.2\n\
                    lab-pv                    1   128     1     --p---       3.0\n";
        let found = read_list(text).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!((found[1].name.as_str(), found[1].memory, found[1].state.as_str()), ("lab-pv", 128, "--p---"));
        assert!(read_list("").is_err());
        assert!(read_list("Name ID\nbroken 1 2\n").is_err());
    }

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let text = "xen_minor : 20\nxen_version            : 4.20.4\n";
        assert_eq!(field(text, "xen_version"), Some("4.20.4"));
        assert_eq!(field(text, "version"), None);
    }

    #[test]
    fn long_texts_are_told_in_one_line() {
        assert_eq!(first_lines("a\n\nb\nc\n", 2), "a | b");
        assert_eq!(last_lines("a\n\nb\nc\n", 2), "b | c");
    }
}
