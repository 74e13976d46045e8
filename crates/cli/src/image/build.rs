//! `xen-lockdown image build`: makes unified images.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use lockdown_bootconfig::xen_cfg::Config;
use lockdown_image::{Image, Source};
use lockdown_unify::config::{self, Has};
use lockdown_unify::kind::{self, Part, Wrong};
use lockdown_unify::{Finding, Joined, Level, Parts, guard, unify};
use serde_json::json;

use crate::arguments::ImageBuildArguments;
use crate::files::{self, Input};
use crate::findings;

/// Xen's configuration is some lines; what is larger is something else.
const LONGEST_CONFIG: u64 = 1 << 20;

/// The guard is some tens of kilobytes; with what it needs for a debugger, some megabytes.
const LONGEST_MODULE: u64 = 64 << 20;

/// What a file is refused for that is not what it is given for.
const WRONG_KIND: &str = "wrong-kind";

pub(super) fn run(arguments: &ImageBuildArguments) -> Result<ExitCode> {
    let mut report = Report { arguments, findings: Vec::new(), files: Vec::new() };
    let xen = report.open(Part::Xen, &arguments.xen)?;
    let kernel = report.open_some(Part::Kernel, arguments.kernel.as_deref())?;
    let xsm = report.open_some(Part::Xsm, arguments.xsm.as_deref())?;
    let ucode = report.open_some(Part::Ucode, arguments.ucode.as_deref())?;
    let sbat = report.open_some(Part::Sbat, arguments.sbat.as_deref())?;
    let mut ramdisks = Vec::new();
    for path in &arguments.ramdisk {
        ramdisks.push(report.open(Part::Ramdisk, path)?);
    }
    let guard = arguments.guard.as_deref().map(|path| report.guard(path)).transpose()?;
    let has = Has {
        kernel: kernel.is_some(),
        ramdisk: !ramdisks.is_empty(),
        xsm: xsm.is_some(),
        ucode: ucode.is_some(),
    };
    let config = report.config(has, guard.is_some())?;
    files::refuse_output(&arguments.output, &report.files)?;
    if report.findings.iter().any(|(_, finding)| finding.is_error()) {
        report.print(None)?;
        return Ok(ExitCode::from(1));
    }

    let guard = guard.as_deref();
    let mut archives: Vec<&dyn Source> = guard.iter().map(|archive| archive as &dyn Source).collect();
    archives.extend(ramdisks.iter().map(|file| file as &dyn Source));
    let names: Vec<&Path> = arguments.guard.iter().chain(&arguments.ramdisk).map(PathBuf::as_path).collect();
    let ramdisk = Joined::new(&archives).map_err(|(number, error)| {
        let name = names.get(number).copied().unwrap_or(Path::new("a ramdisk"));
        anyhow::Error::new(error).context(format!("{} cannot be read", name.display()))
    })?;
    let config = config.as_slice();
    let parts = Parts {
        config: Some(&config),
        kernel: kernel.as_ref().map(|file| file as &dyn Source),
        ramdisk: has.ramdisk.then_some(&ramdisk as &dyn Source),
        xsm: xsm.as_ref().map(|file| file as &dyn Source),
        ucode: ucode.as_ref().map(|file| file as &dyn Source),
        sbat: sbat.as_ref().map(|file| file as &dyn Source),
    };
    let image = Image::read(xen).with_context(|| format!("{} is no image of Xen's", arguments.xen.display()))?;
    let unified = unify(&image, &parts).with_context(|| arguments.xen.display().to_string())?;
    files::write(&arguments.output, |file| unified.write(file).map_err(Into::into))?;
    let mut sections = Vec::new();
    for (name, part) in parts.sections() {
        sections.push((name, part.length()?));
    }
    report.print(Some(&Made { sections, size: unified.length()? }))?;
    Ok(ExitCode::SUCCESS)
}

/// What was made.
struct Made {
    sections: Vec<(&'static str, u64)>,
    size: u64,
}

struct Report<'a> {
    arguments: &'a ImageBuildArguments,
    findings: Vec<(String, Finding)>,
    /// Who each input is, so that none of them is written over.
    files: Vec<Input>,
}

impl Report<'_> {
    fn open(&mut self, part: Part, path: &Path) -> Result<File> {
        let file = files::open(path)?;
        self.files.push(Input::of(path)?);
        match kind::check(part, &file) {
            Ok(()) => {}
            Err(Wrong::Kind(fault)) => self.wrong_kind(path, fault.to_owned()),
            Err(Wrong::Io(error)) => return Err(error).with_context(|| files::unread(path)),
        }
        Ok(file)
    }

    fn open_some(&mut self, part: Part, path: Option<&Path>) -> Result<Option<File>> {
        path.map(|path| self.open(part, path)).transpose()
    }

    /// The archive with the guard.
    fn guard(&mut self, path: &Path) -> Result<Vec<u8>> {
        let module = self.read(path, LONGEST_MODULE)?;
        if let Err(error) = guard::check(&module) {
            self.wrong_kind(path, error.to_string());
        }
        guard::archive(&module).with_context(|| path.display().to_string())
    }

    /// The text of the section.
    fn config(&mut self, has: Has, guarded: bool) -> Result<Vec<u8>> {
        let path = &self.arguments.config;
        let mut text = self.read(path, LONGEST_CONFIG)?;
        if let Err(problem) = Config::read(&text) {
            bail!("{}:{}:{}: {problem}", path.display(), problem.line, problem.column);
        }
        // Padding, and a last line without an end, which Xen 4.17 reads on behind the section.
        while text.last() == Some(&0) {
            text.pop();
        }
        if text.last() != Some(&b'\n') {
            text.push(b'\n');
        }
        let mut findings = config::check(&text, has);
        if guarded {
            match config::complete(&text) {
                Ok(completed) => text = completed,
                Err(mut more) => findings.append(&mut more),
            }
        }
        findings.sort_by_key(|finding| (finding.line, finding.column));
        self.findings.extend(findings.into_iter().map(|finding| (path.display().to_string(), finding)));
        Ok(text)
    }

    fn read(&mut self, path: &Path, longest: u64) -> Result<Vec<u8>> {
        let bytes = files::read_short(path, longest)?;
        self.files.push(Input::of(path)?);
        Ok(bytes)
    }

    fn wrong_kind(&mut self, path: &Path, message: String) {
        let finding = Finding::of_file(WRONG_KIND, Level::Error, message, "give the right file");
        self.findings.push((path.display().to_string(), finding));
    }

    fn print(&self, made: Option<&Made>) -> Result<()> {
        if self.arguments.format == "json" {
            anstream::println!("{}", serde_json::to_string_pretty(&self.json(made))?);
            return Ok(());
        }
        findings::print(&self.findings);
        match made {
            Some(Made { sections, size }) => {
                anstream::println!("{}: {size} bytes, not signed", self.arguments.output.display());
                for (name, size) in sections {
                    anstream::println!("  {name:9} {size:>11}");
                }
            }
            None => anstream::eprintln!("no image was built"),
        }
        Ok(())
    }

    fn json(&self, made: Option<&Made>) -> serde_json::Value {
        let findings = findings::json(&self.findings);
        let image = made.map(|made| {
            let sections: Vec<_> =
                made.sections.iter().map(|(name, size)| json!({ "name": name, "size": size })).collect();
            json!({
                "file": self.arguments.output.display().to_string(),
                "size": made.size,
                "sections": sections,
                "guard": self.arguments.guard.is_some(),
            })
        });
        json!({ "schema": "xen-lockdown/image-build/1", "image": image, "findings": findings })
    }
}
