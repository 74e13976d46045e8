//! The command line of `xen-lockdown judge`, and what it shares with `sbat advise`.

use std::path::PathBuf;

use clap::Args;
use clap::builder::PossibleValuesParser;
use lockdown_advisories::Verdict;

const JUDGE_EXAMPLES: &str = "\
Examples:
  xen-lockdown judge issue.toml
      an issue that somebody described
  xen-lockdown judge --ask --output issue.toml
      asks for the facts, and keeps them
  xen-lockdown judge issue.toml --passthrough no --config .config
      for a Xen that refuses to pass devices through, built in a certain way

The words of a description stand in docs/boundary.md, and examples in policy/advisories.

Exit status: 0 it does not breach the boundary, 1 it does or may, 2 it could not be judged.";

#[derive(Debug, Args)]
#[command(after_help = JUDGE_EXAMPLES)]
pub(crate) struct JudgeArguments {
    /// The description; - reads standard input
    #[arg(required_unless_present = "ask")]
    pub(crate) file: Option<PathBuf>,
    /// Ask for the facts instead
    #[arg(long, conflicts_with = "file")]
    pub(crate) ask: bool,
    /// Write what was answered into this file
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) terms: JudgementTerms,
    /// What to print
    #[arg(long, value_name = "FORMAT", default_value = "human", value_parser = PossibleValuesParser::new(["human", "json"]))]
    pub(crate) format: String,
}

/// What a judgement depends on beside the issue.
#[derive(Debug, Args)]
pub(crate) struct JudgementTerms {
    /// How Xen was configured: its .config
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// How dom0's kernel was configured
    #[arg(long, value_name = "FILE")]
    pub(crate) linux_config: Option<PathBuf>,
    /// Conditions that cannot be met with this build, for instance because signed text excludes them (grant-v2); can be given more than once
    #[arg(long, value_name = "CONDITION", value_delimiter = ',')]
    pub(crate) without: Vec<String>,
    /// Its Xen has the gate of this project, and refuses what that refuses
    #[arg(long)]
    pub(crate) gate: bool,
    /// Does an escalation count that is not ruled out: yes, no or conditional [default: yes]
    #[arg(long, value_name = "ANSWER")]
    pub(crate) not_ruled_out: Option<Verdict>,
    /// Can devices be passed through [default: yes]
    #[arg(long, value_name = "ANSWER")]
    pub(crate) passthrough: Option<Verdict>,
    /// Does a flaw of the processor count that Xen works around [default: conditional]
    #[arg(long, value_name = "ANSWER")]
    pub(crate) hardware_flaws: Option<Verdict>,
    /// Does a signed Xen for Arm count [default: conditional]
    #[arg(long, value_name = "ANSWER")]
    pub(crate) arm: Option<Verdict>,
}
