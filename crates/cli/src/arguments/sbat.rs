//! The command line of `xen-lockdown sbat`.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand, value_parser};

use super::judge::JudgementTerms;

const SBAT_SHOW_EXAMPLES: &str = "\
Examples:
  xen-lockdown sbat show unified.efi
      the rows of an image's section .sbat
  xen-lockdown sbat show --format json sbat.csv
      the same of a file, for a program

Exit status: 0 shown, 1 there is no table or something is wrong with it, 2 the file cannot be read.";

const SBAT_CHECK_EXAMPLES: &str = "\
Examples:
  xen-lockdown sbat check sbat.csv
      before it goes into an image
  xen-lockdown sbat check unified.efi --revocations /sys/firmware/efi/efivars/SbatLevelRT-605dab50-e046-4300-abb6-3dd810dd8b23
      would this machine's shim refuse the image?
  xen-lockdown sbat check unified.efi --revocations shimx64.efi
      would it, once this shim was started: by what it sets itself (automatic), and by what its owner can ask for (latest)?

Exit status: 0 nothing found, 1 something is wrong with the table or a row is revoked, 2 a file cannot be read.";

const SBAT_COMPARE_EXAMPLES: &str = "\
Examples:
  xen-lockdown sbat compare released.efi candidate.efi
      did every generation stay or rise?

Exit status: 0 no generation fell, 1 one did, or a component is gone, or something is wrong with a table, 2 a file cannot be
read.";

const SBAT_WRITE_EXAMPLES: &str = "\
Examples:
  xen-lockdown sbat write --vendor Example --package xen --version 4.20.0-1 \\
      --url mail:security@example.org --generation 1 --output sbat.csv
      the table of a vendor's first release; its component is xen.example
  xen-lockdown sbat write --vendor Example --package xen --version 4.20.0-1 \\
      --url mail:security@example.org --generation 1 --upstream-generation 1
      with a row of Xen's own, once Xen has generations

Exit status: 0 written, 1 not written because the table would be wrong, 2 not written because of anything else.";

#[derive(Debug, Subcommand)]
pub(crate) enum SbatCommand {
    /// Print the rows of a table
    Show(SbatShowArguments),
    /// Say what is wrong with a table, and which of its rows are revoked
    Check(SbatCheckArguments),
    /// Say what is different between two tables, and whether a generation fell
    Compare(SbatCompareArguments),
    /// Make a table for a vendor's Xen
    Write(SbatWriteArguments),
    /// Say which advisories a build still has, which were fixed in it, and whether its generation has to rise
    Advise(SbatAdviseArguments),
}

const SBAT_ADVISE_EXAMPLES: &str = "\
Examples:
  xen-lockdown sbat advise --xen 4.20.1 --config /boot/xen-4.20-amd64.config --since 2025-03-05
      a version, how it was built, and the day on which the generation last rose
  xen-lockdown sbat advise --changelog /usr/share/doc/xen-hypervisor-common/changelog.Debian.gz --since 4.20.2
      a package: its version and what it fixed stand in its changelog
  xen-lockdown sbat advise unified.efi --history generations.toml
      an image: its version, its generation and its kernel are read from it, and the record says when that generation began
  xen-lockdown sbat advise --linux 6.12.117 --since 2026-01-01 --format json
      the kernel of dom0, for a program

What counts is judged by the rules of docs/boundary.md. Versions are those of Xen and of Linux's stable releases; what a
distribution fixed beyond its version is known from --changelog and --fixed only.

Exit status: 0 nothing is open and no generation has to rise, 1 something is, or has to, or may, 2 it could not be judged.";

#[derive(Debug, Args)]
#[command(after_help = SBAT_ADVISE_EXAMPLES)]
pub(crate) struct SbatAdviseArguments {
    /// A unified image: version and generation are those of its SBAT rows, dom0's kernel is the one in it
    #[arg(required_unless_present_any = ["xen", "linux", "changelog"])]
    pub(crate) image: Option<PathBuf>,
    /// The version of Xen, as its package says it
    #[arg(long, value_name = "VERSION")]
    pub(crate) xen: Option<String>,
    /// The version of dom0's kernel, as its package or `uname -r` says it
    #[arg(long, value_name = "VERSION")]
    pub(crate) linux: Option<String>,
    /// The changelog of the Xen package, plain or gzip: what it names as fixed is fixed, and nothing else beyond its version
    #[arg(long, value_name = "FILE")]
    pub(crate) changelog: Option<PathBuf>,
    /// Advisories that are fixed in it beyond its version, as 500 or XSA-500; can be given more than once
    #[arg(long, value_name = "XSA", value_delimiter = ',')]
    pub(crate) fixed: Vec<String>,
    /// When the generation last rose: a day, with everything fixed that was published by then, or a version of Xen
    #[arg(long, value_name = "DAY|VERSION")]
    pub(crate) since: Option<String>,
    /// The same of dom0's kernel [default: the day of --since]
    #[arg(long, value_name = "DAY|VERSION")]
    pub(crate) linux_since: Option<String>,
    /// The record of generations (docs/sbat.md): when each began, and which advisories were passed over
    #[arg(long, value_name = "FILE", conflicts_with_all = ["since", "linux_since"])]
    pub(crate) history: Option<PathBuf>,
    /// Xen's generation [default: that of the image, or the newest of the record]
    #[arg(long, value_name = "N", requires = "history", value_parser = value_parser!(u16).range(1..))]
    pub(crate) generation: Option<u16>,
    #[command(flatten)]
    pub(crate) terms: JudgementTerms,
    /// Judge a version that is newer than the data: what was published since is not known
    #[arg(long)]
    pub(crate) allow_stale: bool,
    /// List too what cannot happen with this build
    #[arg(long)]
    pub(crate) all: bool,
    /// What to print
    #[arg(long, value_name = "FORMAT", default_value = "human", value_parser = PossibleValuesParser::new(["human", "json"]))]
    pub(crate) format: String,
}

#[derive(Debug, Args)]
#[command(after_help = SBAT_SHOW_EXAMPLES)]
pub(crate) struct SbatShowArguments {
    /// An image, or a table in a file of its own
    pub(crate) file: PathBuf,
    /// What to print
    #[arg(long, value_name = "FORMAT", default_value = "human", value_parser = PossibleValuesParser::new(["human", "json"]))]
    pub(crate) format: String,
}

#[derive(Debug, Args)]
#[command(after_help = SBAT_CHECK_EXAMPLES)]
pub(crate) struct SbatCheckArguments {
    /// An image, or a table in a file of its own
    pub(crate) file: PathBuf,
    /// What revokes: rows of text, the variable SbatLevelRT as efivarfs has it, or a shim
    #[arg(long, value_name = "FILE")]
    pub(crate) revocations: Option<PathBuf>,
    /// What to print
    #[arg(long, value_name = "FORMAT", default_value = "human", value_parser = PossibleValuesParser::new(["human", "json"]))]
    pub(crate) format: String,
}

#[derive(Debug, Args)]
#[command(after_help = SBAT_COMPARE_EXAMPLES)]
pub(crate) struct SbatCompareArguments {
    /// The older one: an image, or a table
    pub(crate) before: PathBuf,
    /// The newer one
    pub(crate) now: PathBuf,
    /// What to print
    #[arg(long, value_name = "FORMAT", default_value = "human", value_parser = PossibleValuesParser::new(["human", "json"]))]
    pub(crate) format: String,
}

#[derive(Debug, Args)]
#[command(after_help = SBAT_WRITE_EXAMPLES)]
pub(crate) struct SbatWriteArguments {
    /// Who makes this Xen
    #[arg(long, value_name = "NAME", value_parser = field)]
    pub(crate) vendor: String,
    /// What it is called there
    #[arg(long, value_name = "NAME", value_parser = field)]
    pub(crate) package: String,
    /// Its version
    #[arg(long, value_name = "TEXT", value_parser = field)]
    pub(crate) version: String,
    /// Where to ask about its security
    #[arg(long, value_name = "URL", value_parser = field)]
    pub(crate) url: String,
    /// The vendor's generation: 1 at first, one more with each revocation
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..))]
    pub(crate) generation: u16,
    /// The component that the vendor's generation counts for [default: xen and the vendor's name, as in xen.example]
    #[arg(long, value_name = "NAME", value_parser = field)]
    pub(crate) component: Option<String>,
    /// Xen's own generation, for a row of the component xen: Xen itself has published none yet
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..))]
    pub(crate) upstream_generation: Option<u16>,
    /// The file that is made [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// What to print
    #[arg(long, value_name = "FORMAT", default_value = "human", value_parser = PossibleValuesParser::new(["human", "json"]))]
    pub(crate) format: String,
}

/// A field of a table.
fn field(text: &str) -> Result<String, &'static str> {
    let plain = |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b',' | b'"');
    if text.is_empty() {
        Err("a field of the table cannot be empty")
    } else if !text.bytes().all(plain) {
        Err("a field of the table is printable ASCII without commas and quotation marks")
    } else if text.trim_ascii() != text {
        Err("a field of the table does not begin or end with a space")
    } else {
        Ok(text.to_owned())
    }
}
