//! Variables as a running Linux shows them, in a folder such as `/sys/firmware/efi/efivars` or a copy of it.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::{Attributes, Guid, Variable, Variables};

/// More than any firmware keeps in a variable.
const MOST: u64 = 1 << 20;

/// A variable that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {source}", file = file.display())]
pub struct Error {
    /// Its file.
    pub file: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// Reads those of `names` that are there, and all boot entries.
///
/// # Errors
/// If the folder or one of them cannot be read, or it is no variable.
pub fn read(folder: &Path, names: &[(&str, Guid)]) -> Result<Variables, Error> {
    let wrap = |file: &Path| {
        let file = file.to_owned();
        move |source| Error { file, source }
    };
    let mut variables = Variables::default();
    for entry in folder.read_dir().map_err(wrap(folder))? {
        let entry = entry.map_err(wrap(folder))?;
        let Some(file) = entry.file_name().to_str().map(str::to_owned) else { continue };
        let named = |(name, vendor): &(&str, Guid)| {
            file.strip_prefix(name) == Some(&format!("-{vendor}")) && !name.is_empty()
        };
        let wanted = names.iter().find(|name| named(name)).map(|&(name, vendor)| (name.to_owned(), vendor));
        let boot = || {
            let name = file.strip_suffix(&format!("-{}", Guid::GLOBAL))?;
            (name.starts_with("Boot") && name.len() == 8).then(|| (name.to_owned(), Guid::GLOBAL))
        };
        if let Some((name, vendor)) = wanted.or_else(boot) {
            let path = entry.path();
            let (attributes, data) = value(&path).map_err(wrap(&path))?;
            variables.0.push(Variable { name, vendor, attributes, data });
        }
    }
    variables.0.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(variables)
}

/// The attributes and the value of a variable in its file.
fn value(path: &Path) -> io::Result<(Attributes, Vec<u8>)> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MOST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is longer than any variable"));
    }
    let Some((attributes, data)) = bytes.split_first_chunk() else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it has no attributes: four bytes stand in front of each value",
        ));
    };
    Ok((Attributes(u32::from_le_bytes(*attributes)), data.to_vec()))
}
