//! `xen-lockdown image build`: makes unified images.

mod given;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use lockdown_bootconfig::xen_cfg::Config;
use lockdown_image::sbat::{self, Table};
use lockdown_image::{Image, Source};
use lockdown_unify::config::{self, Has};
use lockdown_unify::inspect::{no_guard, no_sbat};
use lockdown_unify::kind::{self, Part, Wrong};
use lockdown_unify::{Finding, Joined, Level, Parts, guard, lines, ramdisk, unify};
use serde_json::json;

use crate::arguments::ImageBuildArguments;
use crate::files::{self, Input};
use crate::image::build::given::Given;
use crate::{findings, lint};

/// Xen's configuration is some lines; what is larger is something else.
const LONGEST_CONFIG: u64 = 1 << 20;

/// The guard is some tens of kilobytes; with what it needs for a debugger, some megabytes.
const LONGEST_MODULE: u64 = 64 << 20;

/// What a file is refused for that is not what it is given for.
const WRONG_KIND: &str = "wrong-kind";

pub(super) fn run(arguments: &ImageBuildArguments) -> Result<ExitCode> {
    let given = &Given::gather(arguments)?;
    let mut report = Report { given, findings: Vec::new(), files: Vec::new() };
    if let Some(from) = &arguments.from {
        report.files.push(Input::of(from)?);
    }
    let xen = report.xen(&given.xen)?;
    let kernel = report.open_some(Part::Kernel, given.kernel.as_deref())?;
    let xsm = report.open_some(Part::Xsm, given.xsm.as_deref())?;
    let ucode = report.open_some(Part::Ucode, given.ucode.as_deref())?;
    let sbat = report.sbat()?;
    let mut ramdisks = Vec::new();
    for path in &given.ramdisk {
        ramdisks.push(report.open(Part::Ramdisk, path)?);
    }
    let guard = given.guard.as_deref().map(|path| report.guard(path)).transpose()?;
    let has = Has {
        kernel: kernel.is_some(),
        ramdisk: !ramdisks.is_empty(),
        xsm: xsm.is_some(),
        ucode: ucode.is_some(),
    };
    if let (Some(ramdisk), None) = (ramdisks.first(), &guard) {
        report.look_for_the_guard(ramdisk)?;
    }
    let config = report.config(has, guard.is_some())?;
    files::refuse_output(&given.output, &report.files)?;
    let is_refused = report.findings.iter().any(|(_, finding)| finding.is_error());
    let Some(xen) = xen.filter(|_| !is_refused) else {
        report.print(None)?;
        return Ok(ExitCode::from(1));
    };

    let guard = guard.as_deref();
    let mut archives: Vec<&dyn Source> = guard.iter().map(|archive| archive as &dyn Source).collect();
    archives.extend(ramdisks.iter().map(|file| file as &dyn Source));
    let names: Vec<&Path> = given.guard.iter().chain(&given.ramdisk).map(PathBuf::as_path).collect();
    let ramdisk = Joined::new(&archives).map_err(|(number, error)| {
        let name = names.get(number).copied().unwrap_or(Path::new("a ramdisk"));
        anyhow::Error::new(error).context(format!("{} cannot be read", name.display()))
    })?;
    let config = config.as_slice();
    let sbat = sbat.as_deref();
    let parts = Parts {
        config: Some(&config),
        kernel: kernel.as_ref().map(|file| file as &dyn Source),
        ramdisk: has.ramdisk.then_some(&ramdisk as &dyn Source),
        xsm: xsm.as_ref().map(|file| file as &dyn Source),
        ucode: ucode.as_ref().map(|file| file as &dyn Source),
        sbat: sbat.as_ref().map(|table| table as &dyn Source),
    };
    let unified = unify(&xen, &parts).with_context(|| given.xen.display().to_string())?;
    files::write(&given.output, |file| unified.write(file).map_err(Into::into))?;
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
    given: &'a Given,
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

    /// Xen; nothing, and a finding, if it is something else.
    fn xen(&mut self, path: &Path) -> Result<Option<Image<File>>> {
        let before = self.findings.len();
        let file = self.open(Part::Xen, path)?;
        if self.findings.len() > before {
            return Ok(None);
        }
        let image = Image::read(file).with_context(|| format!("{} is no image of Xen's", path.display()))?;
        if let Err(Wrong::Kind(fault)) = kind::check_xen(&image.header_facts()?) {
            self.wrong_kind(path, fault.to_owned());
            return Ok(None);
        }
        Ok(Some(image))
    }

    fn open_some(&mut self, part: Part, path: Option<&Path>) -> Result<Option<File>> {
        path.map(|path| self.open(part, path)).transpose()
    }

    /// The table, as it goes into the image.
    fn sbat(&mut self) -> Result<Option<Vec<u8>>> {
        let Some(path) = self.given.sbat.as_deref() else {
            self.findings.push((self.given.output.display().to_string(), no_sbat()));
            return Ok(None);
        };
        let bytes = self.read(path, sbat::LONGEST)?;
        if let Err(Wrong::Kind(fault)) = kind::check(Part::Sbat, &bytes.as_slice()) {
            self.wrong_kind(path, fault.to_owned());
        } else if let Err(mistakes) = Table::read(&bytes) {
            let name = path.display().to_string();
            self.findings.extend(mistakes.iter().map(|mistake| (name.clone(), Finding::from(mistake))));
        }
        Ok(Some(bytes))
    }

    /// A ramdisk that was built with the guard before needs no other.
    fn look_for_the_guard(&mut self, ramdisk: &File) -> Result<()> {
        let Some(path) = self.given.ramdisk.first() else { return Ok(()) };
        let found = ramdisk::look(ramdisk).with_context(|| files::unread(path))?;
        if found.guard.is_none() {
            self.findings.push((path.display().to_string(), no_guard()));
        }
        Ok(())
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
        let path = &self.given.config;
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
        let linted = lint::signed_config(&path.display().to_string(), &text)?;
        if guarded {
            match config::complete(&text) {
                Ok(completed) => text = completed,
                Err(mut more) => findings.append(&mut more),
            }
        }
        // With what was added: it counts among the bytes that Xen keeps.
        findings.extend(lines::check(&text));
        findings.extend(linted);
        findings.sort_by_key(|finding| (finding.line, finding.column));
        self.findings.extend(findings.into_iter().map(|finding| (path.display().to_string(), finding)));
        Ok(text)
    }

    fn read(&mut self, path: &Path, longest: u64) -> Result<Vec<u8>> {
        let bytes = files::read(path, longest)?;
        self.files.push(Input::of(path)?);
        Ok(bytes)
    }

    fn wrong_kind(&mut self, path: &Path, message: String) {
        let finding = Finding::of_file(WRONG_KIND, Level::Error, message, "give the right file");
        self.findings.push((path.display().to_string(), finding));
    }

    fn print(&self, made: Option<&Made>) -> Result<()> {
        if self.given.format == "json" {
            anstream::println!("{}", serde_json::to_string_pretty(&self.json(made))?);
            return Ok(());
        }
        findings::print(&self.findings);
        match made {
            Some(Made { sections, size }) => {
                anstream::println!("{}: {size} bytes, not signed", self.given.output.display());
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
                "file": self.given.output.display().to_string(),
                "size": made.size,
                "sections": sections,
                "guard": self.given.guard.is_some(),
            })
        });
        json!({ "schema": "xen-lockdown/image-build/1", "image": image, "findings": findings })
    }
}
