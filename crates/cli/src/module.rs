//! `xen-lockdown guard`: makes the guard for dom0's kernel, as source for whoever builds kernels, or as a module.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use lockdown_lab::guard;
use lockdown_lab::root::{Contents, Root};

use crate::arguments::GuardCommand;
use crate::files::{self, parent};
use crate::xen::{open, say};

pub(crate) fn run(command: &GuardCommand) -> Result<ExitCode> {
    match command {
        GuardCommand::Source { output, folder } => {
            // Before anything is made for it.
            ensure_free(output)?;
            parent(output)?;
            let (root, lab) = open(folder.as_deref())?;
            write_source(&guard::source(&root, &lab, &say)?, output)?;
        }
        GuardCommand::Build { kernel, key, cert, output, folder } => {
            ensure!(
                !output.is_dir(),
                "{} is a folder: --output takes the module's file, such as xen-privcmd.ko",
                output.display()
            );
            parent(output)?;
            let pair = key.as_deref().zip(cert.as_deref());
            let pair = pair.map(|(key, cert)| anyhow::Ok((read(key)?, read(cert)?))).transpose()?;
            let (root, lab) = open(folder.as_deref())?;
            let (root, release) = choose(root, &lab, kernel.as_deref())?;
            let mut module = fs::read(guard::build(&root, &lab, &release, &say)?)?;
            if let Some((key, cert)) = pair {
                module = guard::sign_with(&root, &lab, &module, &key, &cert).context(
                    "the module cannot be signed: --key takes a private key (PEM, without a passphrase), --cert its certificate",
                )?;
            }
            replace(output, &module)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The root with the headers for `kernel`; without one, the lab's with its newest kernel.
fn choose(root: Root, lab: &Path, kernel: Option<&str>) -> Result<(Root, String)> {
    let Some(kernel) = kernel else {
        let release = root.kernel_release()?;
        return Ok((root, release));
    };
    let mut known = Vec::new();
    for root in [Some(root), Root::made(lab, Contents::Backports)?].into_iter().flatten() {
        let here = root.headers()?;
        if here.iter().any(|release| release == kernel) {
            return Ok((root, kernel.to_owned()));
        }
        known.extend(here);
    }
    anyhow::bail!(
        "the lab has no headers for the kernel {kernel:?}, only for {}: for another one write `xen-lockdown guard source`, and \
         build it where its headers are",
        known.join(", ")
    )
}

fn ensure_free(folder: &Path) -> Result<()> {
    match fs::read_dir(folder) {
        Ok(mut entries) => {
            ensure!(
                entries.next().is_none(),
                "{} is not empty: name another folder, or remove it",
                folder.display()
            );
        }
        // Everything else shows when it is written.
        Err(_) => ensure!(!folder.exists(), "{} is no folder: name another one", folder.display()),
    }
    Ok(())
}

/// Written beside and then renamed: what has the name is whole.
fn write_source(files: &[(String, Vec<u8>)], folder: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let written = || -> Result<()> {
        let work = tempfile::Builder::new().prefix(".guard-").tempdir_in(parent(folder)?)?;
        guard::write(files, work.path())?;
        fs::set_permissions(work.path(), fs::Permissions::from_mode(0o755))?;
        fs::rename(work.path(), folder)?;
        // It is not there any more under its first name.
        let _ = work.keep();
        Ok(())
    };
    written().with_context(|| format!("{} cannot be written", folder.display()))?;
    for (name, _) in files {
        anstream::println!("{}", folder.join(name).display());
    }
    Ok(())
}

fn replace(file: &Path, bytes: &[u8]) -> Result<()> {
    files::write(file, |out| Ok(out.write_all(bytes)?))?;
    anstream::println!("{}", file.display());
    Ok(())
}

fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("{} cannot be read", file.display()))
}
