//! What the project does to itself. Run as `cargo xtask COMMAND`.

mod bench_parser;
mod bench_walker;
mod chart;
mod debian;
mod drift;
mod generate;
mod layouts;
#[path = "../../crates/core/tests/model/mod.rs"]
mod model;
mod oracle;
mod panic_free;
mod xen_parser;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

/// What the project does to itself: generated files, checks against Xen's own code.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write the tables, the catalogue and docs/reference from policy/
    Generate {
        /// Change nothing; fail if a file is not current
        #[arg(long)]
        check: bool,
    },
    /// Hold a Xen tree's command-line parameters against policy/
    Drift(drift::Arguments),
    /// Compare the layouts in policy/hypercalls with what a compiler makes of Xen's public headers
    Layouts(layouts::Arguments),
    /// Fetch and unpack the source of a Debian package; print its folder
    Source {
        /// The release of Debian
        #[arg(long, default_value = "trixie", value_enum)]
        release: debian::Name,
        /// The source package
        #[arg(long, default_value = "xen")]
        package: String,
        /// Ask the archive even if a finished folder is there
        #[arg(long)]
        refresh: bool,
    },
    /// Fetch and unpack Debian packages for amd64; print the folder of each
    Package {
        /// The release of Debian
        #[arg(long, default_value = "trixie", value_enum)]
        release: debian::Name,
        /// Ask the archive even if a finished folder is there
        #[arg(long)]
        refresh: bool,
        /// The packages
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
    /// Compare the engine's reading of a command line with Xen's own parser
    Oracle {
        /// The unpacked source of Xen 4.20
        #[arg(long, value_name = "DIR")]
        xen_tree: PathBuf,
        /// How many lines to make up
        #[arg(long, value_name = "N", default_value_t = 1_000_000)]
        lines: usize,
        /// Where the generator begins: the same seed makes the same lines
        #[arg(long, value_name = "S", default_value_t = 1)]
        seed: u64,
    },
    /// Count the instructions per option of the engine and of Xen's own parser
    BenchParser {
        /// The unpacked source of Xen 4.20
        #[arg(long, value_name = "DIR")]
        xen_tree: PathBuf,
    },
    /// Count the instructions of the guard's walk over the arguments of a call
    BenchWalker,
    /// Fail if the compiled engine can reach a panic
    PanicFree,
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    let root = root()?;
    match command {
        Command::Generate { check } => generate::run(&root, check),
        Command::Drift(arguments) => drift::run(&root, &arguments),
        Command::Layouts(arguments) => layouts::run(&root, &arguments),
        Command::Source { release, package, refresh } => debian::run_source(&root, release, &package, refresh),
        Command::Package { release, refresh, names } => debian::run_packages(&root, release, &names, refresh),
        Command::Oracle { xen_tree, lines, seed } => oracle::run(&root, &xen_tree, lines, seed),
        Command::BenchParser { xen_tree } => bench_parser::run(&root, &xen_tree),
        Command::BenchWalker => bench_walker::run(&root),
        Command::PanicFree => panic_free::run(&root),
    }
}

/// The project's root: the folder above this package.
fn root() -> Result<PathBuf> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().map(Path::to_owned).context("xtask has no parent folder")
}
