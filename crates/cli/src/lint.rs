//! `xen-lockdown lint`: what would a locked Xen do with this?

mod human;
mod input;
mod json;
mod judge;
mod sarif;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use lockdown_core::{Level, XenVersion};
use lockdown_policy::{Compiled, Overlay};
use lockdown_unify::{Finding, Level as Weight};

use crate::arguments::{DEFAULT_XEN, FailOn, Format, LintArguments};
use crate::lint::input::{Findings, Input, Trouble};
use crate::lint::judge::Judged;

/// Everything that a run has to say.
struct Report {
    xen: XenVersion,
    judged: Vec<Judged>,
    troubles: Vec<Trouble>,
}

impl Report {
    fn count(&self, refused: bool) -> usize {
        let tokens = self.judged.iter().flat_map(|judged| &judged.tokens);
        tokens.filter(|token| token.is_refused() == refused).count()
    }
}

pub(crate) fn run(arguments: &LintArguments) -> anyhow::Result<ExitCode> {
    let report = judge(arguments)?;
    match arguments.format {
        Format::Human => human::print(&report, arguments.verbose)?,
        Format::Json => json::print(&report)?,
        Format::Sarif => sarif::print(&report)?,
    }
    Ok(if !report.troubles.is_empty() {
        ExitCode::from(2)
    } else if report.count(true) > 0 && arguments.fail_on == FailOn::Refused {
        ExitCode::from(1)
    } else {
        ExitCode::SUCCESS
    })
}

/// What a locked Xen makes of the LoadOptions of a boot entry, behind what is signed in its image.
pub(crate) struct BootEntry(Report);

impl BootEntry {
    /// Judges Xen's reading of `text`.
    pub(crate) fn judge(image: &Path, entry: &str, text: &str) -> anyhow::Result<Self> {
        let xen = XenVersion::from_name(DEFAULT_XEN).context("there is no option set")?;
        let (mut inputs, mut troubles) = (Vec::new(), Vec::new());
        input::from_boot_entry(image, entry, text, &mut Findings { inputs: &mut inputs, troubles: &mut troubles });
        let compiled = Compiled::builtin();
        let locked = Some(Level::Integrity);
        let judged = inputs.into_iter().map(|input| judge::judge(input, &compiled, xen, locked)).collect();
        Ok(Self(Report { xen, judged, troubles: Vec::new() }))
    }

    /// As `lint` prints it.
    pub(crate) fn print(&self) -> anyhow::Result<()> {
        human::print(&self.0, false)
    }

    /// As `lint --format json` has its inputs.
    pub(crate) fn json(&self) -> serde_json::Result<serde_json::Value> {
        json::inputs(&self.0)
    }
}

fn judge(arguments: &LintArguments) -> anyhow::Result<Report> {
    let xen = XenVersion::from_name(&arguments.xen)
        .ok_or_else(|| anyhow::anyhow!("no option set for Xen {}", arguments.xen))?;
    let mut compiled = Compiled::builtin();
    for file in &arguments.overlay {
        Overlay::load(file)?.merge_into(&mut compiled)?;
    }
    let mut inputs = Vec::new();
    let mut troubles = Vec::new();
    inputs.extend(input::from_texts(arguments));
    let mut findings = Findings { inputs: &mut inputs, troubles: &mut troubles };
    for file in &arguments.files {
        input::from_file(file, arguments, &mut findings);
    }
    if inputs.is_empty() && troubles.is_empty() {
        anyhow::bail!("nothing to judge: name a file, or give --builtin, --signed or --runtime (see --help)");
    }
    let locked = arguments.secure_boot.then_some(Level::Integrity);
    let judged = inputs.into_iter().map(|input: Input| judge::judge(input, &compiled, xen, locked)).collect();
    Ok(Report { xen, judged, troubles })
}

/// What `lint` would say of the configuration that goes into an image, where nothing is refused: what signed text sets that
/// an unsigned source may not, because nobody else will say so.
pub(crate) fn signed_config(name: &str, text: &[u8]) -> anyhow::Result<Vec<Finding>> {
    let xen = XenVersion::from_name(DEFAULT_XEN).context("there is no option set")?;
    let (mut inputs, mut troubles) = (Vec::new(), Vec::new());
    input::from_config(name, text, &mut Findings { inputs: &mut inputs, troubles: &mut troubles });
    let compiled = Compiled::builtin();
    let mut findings = Vec::new();
    for input in inputs {
        let judged = judge::judge(input, &compiled, xen, Some(Level::Integrity));
        for token in judged.tokens {
            let Some(refused) = token.refused else { continue };
            let message =
                format!("{}: {}; it is signed, and so a locked Xen honours it", token.text, refused.title);
            let advice = format!("leave it if it is meant; xen-lockdown explain {} says more", refused.reason);
            let finding = Finding::of_file(refused.reason, Weight::Note, message, &advice);
            findings.push(Finding { line: token.place.line, column: token.place.column, ..finding });
        }
    }
    Ok(findings)
}
