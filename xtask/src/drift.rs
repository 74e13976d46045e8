//! Holds a Xen tree against `policy/`: every parameter that the tree registers, found by reading its C.
//!
//! [`tree`] reads the files, [`token`] and [`mod@unit`] understand as much of C and its preprocessor as is needed,
//! [`extract`] finds the registrations, [`compare`] holds them against the policy. What could not be understood is
//! said, and makes the whole answer "could not judge": a parameter that was missed would look like agreement.

mod arithmetic;
mod compare;
mod declaration;
mod extract;
pub(crate) mod hypercalls;
mod token;
mod tree;
mod unit;

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use lockdown_policy::{Policy, XEN_VERSIONS};
use serde_json::{Value, json};

use compare::{Comparison, Difference, Said, What};
use extract::{Found, Hypfs};
use hypercalls::Hypercalls;
use tree::Tree;

/// What to compare.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The folder of Xen's source
    #[arg(long, value_name = "DIR")]
    xen_tree: PathBuf,
    /// The version that policy/ knows the tree as; read from the tree where it is not given
    #[arg(long, value_name = "VERSION")]
    xen: Option<String>,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// Also print what is no drift: lines far off, widths that were not seen, parameters of other architectures
    #[arg(long, short)]
    verbose: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people; nothing where nothing differs
    Human,
    /// One object
    Json,
}

/// Exit 0: no drift; 1: drift; 2: could not judge.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> Result<ExitCode> {
    let tree = Tree::read(&arguments.xen_tree)?;
    let version = match &arguments.xen {
        Some(version) => version.clone(),
        None => tree.version().context("the tree does not say which Xen it is: name it with --xen")?,
    };
    if !XEN_VERSIONS.contains(&version.as_str()) {
        let known = XEN_VERSIONS.join(", ");
        bail!("policy/ does not know Xen {version}, only {known}: name the one to compare with with --xen");
    }
    let policy = match Policy::load(&root.join("policy")) {
        Ok(policy) => policy,
        Err(problems) => bail!("policy/ cannot be read\n{problems}"),
    };
    let found = extract::extract(&tree);
    let compared = compare::compare(&policy, &version, root, &found.registrations);
    let calls = hypercalls::compare(&policy, &version, root, &arguments.xen_tree)?;
    let text = match arguments.format {
        Format::Human => to_text(&found, &compared, &calls, arguments.verbose)?,
        Format::Json => format!("{:#}\n", to_json(&version, &found, &compared, &calls, arguments.verbose)),
    };
    io::stdout().write_all(text.as_bytes())?;
    if arguments.verbose || io::stderr().is_terminal() {
        summarise(&version, &found, &compared, &calls);
    }
    Ok(if !found.unclear.is_empty() {
        ExitCode::from(2)
    } else if compared.drift.is_empty() && calls.drift.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn to_text(
    found: &Found,
    compared: &Comparison,
    calls: &Hypercalls,
    verbose: bool,
) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    for one in &found.unclear {
        writeln!(text, "could not judge: {}:{}: {}", one.file, one.line, one.message)?;
    }
    let notes = if verbose { compared.notes.as_slice() } else { &[] };
    for difference in compared.drift.iter().chain(&calls.drift).chain(notes) {
        writeln!(text, "{}: {}", difference.option, headline(difference))?;
        for (side, said) in difference.policy.iter().map(|said| ("policy", said)).chain(tree_side(difference)) {
            let gap = if said.says.is_empty() { "" } else { "  " };
            writeln!(text, "    {side:6}  {}:{}{gap}{}", said.file, said.line, said.says)?;
        }
    }
    Ok(text)
}

/// A line for whoever watches; a log gets one only if it asks.
fn summarise(version: &str, found: &Found, compared: &Comparison, calls: &Hypercalls) {
    let counts = Counts::of(found);
    eprintln!(
        "Xen {version}: {} registrations of {} options for x86, {} settable at run time only, {} elsewhere; {} operations of \
         hypercalls; {}",
        counts.command_line,
        compared.options,
        counts.runtime_only,
        counts.elsewhere,
        calls.operations,
        match compared.drift.len() + calls.drift.len() {
            0 => "no drift".to_owned(),
            1 => "1 difference".to_owned(),
            several => format!("{several} differences"),
        }
    );
}

fn tree_side(difference: &Difference) -> impl Iterator<Item = (&'static str, &Said)> {
    difference.tree.iter().map(|said| ("tree", said))
}

fn headline(difference: &Difference) -> &'static str {
    match difference.what {
        What::Lacking if difference.policy.is_some() => "policy/ does not have it for this version or for x86",
        What::Lacking => "policy/ lacks it",
        What::TooMuch => "policy/ has it, the tree has not",
        What::Kind => "registered as something else",
        What::Capacity => "holds another number of bytes",
        What::Number => "has another number",
        What::Width => "has another width",
        What::Source => "registered in another file",
        What::Foreign => "policy/ says that it is not built for x86",
        What::Line => "note: stands more than 40 lines away",
        What::Unseen => "note: its size was not seen",
        What::Elsewhere => "note: registered for other architectures only",
        What::RuntimeOnly => "note: settable at run time only, no option of the command line",
    }
}

fn to_json(version: &str, found: &Found, compared: &Comparison, calls: &Hypercalls, verbose: bool) -> Value {
    let said = |said: &Said| json!({ "file": said.file, "line": said.line, "says": said.says });
    let differences = |all: &[Difference]| -> Vec<Value> {
        let one = |difference: &Difference| {
            json!({
                "option": difference.option,
                "what": difference.what.name(),
                "message": headline(difference),
                "policy": difference.policy.as_ref().map(said),
                "tree": difference.tree.iter().map(said).collect::<Vec<_>>(),
            })
        };
        all.iter().map(one).collect()
    };
    let unclear = |one: &extract::Unclear| json!({ "file": one.file, "line": one.line, "message": one.message });
    let counts = Counts::of(found);
    json!({
        "schema": "xen-lockdown/drift/1",
        "xen": version,
        "options": compared.options,
        "registrations": {
            "x86": counts.command_line,
            "runtime_only": counts.runtime_only,
            "elsewhere": counts.elsewhere,
        },
        "drift": differences(&compared.drift),
        "operations": calls.operations,
        "hypercalls": differences(&calls.drift),
        "unclear": found.unclear.iter().map(unclear).collect::<Vec<_>>(),
        "notes": if verbose { differences(&compared.notes) } else { Vec::new() },
    })
}

/// Registrations of each sort.
struct Counts {
    command_line: usize,
    runtime_only: usize,
    elsewhere: usize,
}

impl Counts {
    fn of(found: &Found) -> Self {
        let count = |wanted: &dyn Fn(&extract::Registration) -> bool| {
            found.registrations.iter().filter(|one| wanted(one)).count()
        };
        let here = |one: &extract::Registration| one.holds != Some(false);
        Self {
            command_line: count(&|one| here(one) && one.hypfs != Hypfs::Only),
            runtime_only: count(&|one| here(one) && one.hypfs == Hypfs::Only),
            elsewhere: count(&|one| !here(one)),
        }
    }
}
