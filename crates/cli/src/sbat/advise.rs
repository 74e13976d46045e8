//! `xen-lockdown sbat advise`: what Xen's advisories mean for one build and its generations.

mod given;
mod human;
mod json;

use std::process::ExitCode;

use anyhow::{Result, bail};
use lockdown_advisories::{Advice, Build, Component, Corpus, Kconfig, Side, Verdict, advise};

use self::given::Given;
use crate::arguments::{JudgementTerms, SbatAdviseArguments};
use crate::judge::Terms;

/// A component, what was asked of it, and the answer.
struct Answer<'c> {
    side: Side,
    /// The generation of the build that is asked about, or of the one before it.
    generation: Option<u16>,
    advice: Advice<'c>,
}

impl Answer<'_> {
    /// Whether there is something to do, or to look at.
    fn is_finding(&self) -> bool {
        let Advice { rises, open, unknown, .. } = &self.advice;
        let counts = open.iter().chain(unknown).any(|entry| entry.skipped.is_none());
        counts || rises.is_some_and(|rises| rises > Verdict::No)
    }
}

pub(super) fn run(arguments: &SbatAdviseArguments) -> Result<ExitCode> {
    let corpus = Corpus::embedded()?;
    let mut terms = Terms::of(&arguments.terms, corpus.rules())?;
    let given = Given::read(arguments, &corpus)?;
    terms.build.arch = given.arch.or_else(|| terms.build.xen.as_ref().and_then(lockdown_advisories::Arch::of));
    let mut answers = Vec::new();
    for (side, generation) in given.sides {
        if side.component == Component::Xen {
            refuse_stale(&side, &corpus, arguments.allow_stale)?;
        }
        refuse_config_of_another(&side, &terms.build, &arguments.terms)?;
        let advice = advise(&side, &corpus, &terms.choices, &terms.build);
        answers.push(Answer { side, generation, advice });
    }
    if arguments.format == "json" {
        anstream::println!("{}", serde_json::to_string_pretty(&json::document(&answers, &corpus, &terms))?);
    } else {
        anstream::print!("{}", human::text(&answers, &corpus, arguments.all));
    }
    let is_found = answers.iter().any(Answer::is_finding);
    Ok(if is_found { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

/// A configuration of another branch says nothing of this build. Between releases Xen calls itself what it will be
/// next (`4.20.5-pre`), so that the point tells nothing.
fn refuse_config_of_another(side: &Side, build: &Build, files: &JudgementTerms) -> Result<()> {
    let Side { component, version, .. } = side;
    let (config, file) = match component {
        Component::Xen => (&build.xen, &files.config),
        Component::LinuxDom0 => (&build.linux, &files.linux_config),
    };
    match (config.as_ref().and_then(Kconfig::branch), file) {
        (Some((major, minor)), Some(file)) if (major, minor) != version.release.branch => {
            bail!("{}: is of {component} {major}.{minor}, and the build is {version}", file.display())
        }
        _ => Ok(()),
    }
}

/// A Xen that is newer than the data may have flaws that they do not know, and fixes too.
fn refuse_stale(side: &Side, corpus: &Corpus, is_allowed: bool) -> Result<()> {
    let releases = corpus.releases();
    if !releases.is_beyond(&side.version) || is_allowed {
        return Ok(());
    }
    let branch = releases.newest(Some(side.version.release.branch)).or_else(|| releases.newest(None));
    let newest = branch.map_or_else(String::new, |newest| format!(", and know Xen up to {newest} there"));
    let last = corpus.last().map_or_else(String::new, |last| {
        let date = last.date.map_or_else(String::new, |date| format!(" of {date}"));
        format!("{}{date}", last.name())
    });
    bail!(
        "Xen {} is newer than the data: they end at {last}, were looked for until {}{newest}; take a newer xen-lockdown, or say --allow-stale",
        side.version,
        releases.until
    )
}
