//! Files that the command reads and writes.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

/// A file that is read, and who it is, so that it is not written over.
pub(crate) struct Input {
    name: PathBuf,
    real: PathBuf,
}

impl Input {
    /// # Errors
    /// If there is no such file.
    pub(crate) fn of(path: &Path) -> Result<Self> {
        let real = fs::canonicalize(path).with_context(|| unread(path))?;
        Ok(Self { name: path.to_owned(), real })
    }
}

/// What is said of a file that cannot be read.
pub(crate) fn unread(path: &Path) -> String {
    format!("{} cannot be read", path.display())
}

/// Opens a regular file.
pub(crate) fn open(path: &Path) -> Result<File> {
    // Asked before it is opened: to open a pipe is to wait for whoever writes to it.
    let found = fs::metadata(path).with_context(|| unread(path))?;
    if !found.is_file() {
        bail!("{} is not a regular file", path.display());
    }
    File::open(path).with_context(|| unread(path))
}

/// Reads a regular file that is no longer than it should be.
pub(crate) fn read(path: &Path, longest: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = open(path)?.take(longest.saturating_add(1)).read_to_end(&mut bytes);
    read.with_context(|| unread(path))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > longest {
        bail!("{} is longer than {} KiB: it is something else", path.display(), longest >> 10);
    }
    Ok(bytes)
}

/// Reads a file of text, likewise.
pub(crate) fn read_text(path: &Path, longest: u64) -> Result<String> {
    String::from_utf8(read(path, longest)?).with_context(|| format!("{} is no text", path.display()))
}

/// Refuses what may not be replaced: an input, and what is no file.
pub(crate) fn refuse_output(output: &Path, inputs: &[Input]) -> Result<()> {
    match fs::symlink_metadata(output) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| unread(output)),
        Ok(found) if found.is_file() || found.is_symlink() => {}
        Ok(_) => bail!("{} is there and is no file: name another one", output.display()),
    }
    let Ok(real) = fs::canonicalize(output) else { return Ok(()) };
    if let Some(input) = inputs.iter().find(|input| input.real == real) {
        bail!("{} is an input, {}: name another file for the output", output.display(), input.name.display());
    }
    Ok(())
}

/// The folder that `place` stands in. A name without an end is none.
pub(crate) fn parent(place: &Path) -> Result<&Path> {
    let parent = place.parent().filter(|_| place.file_name().is_some());
    let parent = parent.with_context(|| format!("{} is no name for it", place.display()))?;
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    ensure!(parent.is_dir(), "{} cannot be written: there is no folder {}", place.display(), parent.display());
    Ok(parent)
}

/// Writes a file under another name first, so that what has the right name is whole.
pub(crate) fn write(output: &Path, fill: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
    let unwritten = || format!("{} cannot be written", output.display());
    let mut file = tempfile::Builder::new()
        .prefix(".xen-lockdown-")
        // The mask of whoever runs this takes from it.
        .permissions(fs::Permissions::from_mode(0o666))
        .tempfile_in(parent(output)?)
        .with_context(unwritten)?;
    fill(file.as_file_mut()).with_context(unwritten)?;
    file.as_file().sync_all().with_context(unwritten)?;
    file.persist(output).map_err(|error| error.error).with_context(unwritten)?;
    Ok(())
}
