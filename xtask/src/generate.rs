//! Writes what is generated from `policy/`, or checks that it is current.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use lockdown_advisories::{Corpus, SecondReading, render as advisories};
use lockdown_policy::{Policy, render};

use crate::chart;

/// Writes each file that is not current; with `check` only names them and fails.
pub(crate) fn run(root: &Path, check: bool) -> Result<ExitCode> {
    let policy = match Policy::load(&root.join("policy")) {
        Ok(policy) => policy,
        Err(problems) => {
            eprintln!("{problems}");
            return Ok(ExitCode::FAILURE);
        }
    };
    let files = match render::all(&policy) {
        Ok(files) => files,
        Err(problems) => {
            eprintln!("{problems}");
            return Ok(ExitCode::FAILURE);
        }
    };
    let corpus = match Corpus::load(&root.join("policy"), &policy) {
        Ok(corpus) => corpus,
        Err(problems) => {
            eprintln!("{problems}");
            return Ok(ExitCode::FAILURE);
        }
    };
    let read = |name: &str| fs::read_to_string(root.join(name)).with_context(|| format!("{name} cannot be read"));
    let name = "policy/judgement/second-reading.toml";
    let second = match SecondReading::read(&root.join(name), &read(name)?, &corpus) {
        Ok(second) => second,
        Err(problems) => {
            eprintln!("{problems}");
            return Ok(ExitCode::FAILURE);
        }
    };
    let judged = advisories::all(
        &corpus,
        &read("policy/boundary.md")?,
        &read("policy/judgement/procedure.md")?,
        &second,
        chart::bumps_by_year,
    )?;
    let files = files.into_iter().map(|file| (file.path, file.text));
    let judged = judged.into_iter().map(|file| (file.path, file.text));
    let mut stale = false;
    for (name, text) in files.chain(judged) {
        let is_rust = name.extension().is_some_and(|extension| extension == "rs");
        let text = if is_rust { rustfmt(root, &text)? } else { text };
        let path = root.join(&name);
        if fs::read_to_string(&path).is_ok_and(|current| current == text) {
            continue;
        }
        if check {
            eprintln!("{} is not current: run `cargo xtask generate`", name.display());
            stale = true;
        } else {
            write(&path, &text)?;
            println!("wrote {}", name.display());
        }
    }
    Ok(if stale { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn rustfmt(root: &Path, text: &str) -> Result<String> {
    let mut child = Command::new("rustfmt")
        .args(["--edition", "2024", "--config-path"])
        .arg(root.join("rustfmt.toml"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("rustfmt cannot be started")?;
    child.stdin.take().context("rustfmt has no input")?.write_all(text.as_bytes())?;
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("rustfmt does not take a generated file");
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Never leaves half a file: writes beside it and renames.
fn write(path: &Path, text: &str) -> Result<()> {
    let folder = path.parent().context("a generated file has no folder")?;
    fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.persist(path).with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(())
}
