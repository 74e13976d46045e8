//! `xen-lockdown xen`: makes a locked Xen from an unmodified source tree.

use std::fs;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use lockdown_lab::hypervisor::{self, Settings, Tree};
use lockdown_lab::prove;
use lockdown_lab::root::Root;

use crate::arguments::XenCommand;

pub(crate) fn run(command: &XenCommand) -> Result<ExitCode> {
    match command {
        XenCommand::Patch { tree, output, folder } => {
            // Before anything is made for it.
            let tree = Tree::open(tree)?;
            let (root, lab) = open(folder.as_deref())?;
            patch(&root, &lab, &tree, output.as_deref())?;
        }
        XenCommand::Build { tree, output, config, set, stock, again, folder } => {
            let given = tree.as_deref().map(Tree::open).transpose()?;
            let config = config.as_deref().map(read).transpose()?;
            let epoch = match std::env::var("SOURCE_DATE_EPOCH") {
                Ok(text) => text.parse().context("SOURCE_DATE_EPOCH is no number of seconds")?,
                Err(_) => 0,
            };
            let settings = Settings { config, lines: set.clone(), stock: *stock, epoch, again: *again };
            let (root, lab) = open(folder.as_deref())?;
            let tree = match given {
                Some(tree) => tree,
                None => Tree::open(&hypervisor::debian_tree(&lab, &say)?)?,
            };
            build(&root, &lab, &tree, &settings, output.as_deref())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The lab's root and folder, made if they are not there.
pub(crate) fn open(folder: Option<&Path>) -> Result<(Root, PathBuf)> {
    let folder = folder.map_or_else(prove::default_folder, Path::to_owned);
    let root = Root::get(&folder, &say)?;
    let lab = fs::canonicalize(&folder).with_context(|| folder.display().to_string())?;
    Ok((root, lab))
}

fn patch(root: &Root, lab: &Path, tree: &Tree, output: Option<&Path>) -> Result<()> {
    let project = prove::project();
    let series = hypervisor::series(root, lab, &project, tree, &say)?;
    let Some(output) = output else {
        let mut out = std::io::stdout().lock();
        for step in &series.steps {
            out.write_all(step.patch.as_bytes())?;
        }
        return Ok(());
    };
    let object = hypervisor::object(root, lab, &project, &say)?;
    fs::create_dir_all(output).with_context(|| format!("{} cannot be made", output.display()))?;
    let write = |name: &str, bytes: &[u8]| {
        let file = output.join(name);
        fs::write(&file, bytes).with_context(|| format!("{} cannot be written", file.display()))?;
        anstream::println!("{}", file.display());
        anyhow::Ok(())
    };
    let mut list = String::new();
    for step in &series.steps {
        write(&step.name, step.patch.as_bytes())?;
        list.push_str(&step.name);
        list.push('\n');
    }
    write("series", list.as_bytes())?;
    write("object.bin", &object.bytes)
}

fn build(root: &Root, lab: &Path, tree: &Tree, settings: &Settings, output: Option<&Path>) -> Result<()> {
    let built = hypervisor::build_tree(root, lab, tree, settings, &say)?;
    for file in [&built.efi, &built.gz, &built.syms, &built.config] {
        let place = match output {
            None => file.clone(),
            Some(output) => {
                fs::create_dir_all(output).with_context(|| format!("{} cannot be made", output.display()))?;
                let place = output.join(file.file_name().unwrap_or_default());
                fs::copy(file, &place).with_context(|| format!("{} cannot be written", place.display()))?;
                place
            }
        };
        anstream::println!("{}", place.display());
    }
    Ok(())
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))
}

/// A line for whoever watches; a log gets none.
pub(crate) fn say(message: &str) {
    if std::io::stderr().is_terminal() {
        anstream::eprintln!("{message}");
    }
}
