//! What a machine trusts and refuses, gathered from variables and files.

use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use lockdown_firmware::load_option::LoadOption;
use lockdown_firmware::varstore::Store;
use lockdown_firmware::{Guid, Variables, efivarfs, signature_list};
use lockdown_image::Image;
use lockdown_image::sbat::{Level, Levels};
use lockdown_image::verify::{Answer, Certificate, Database, Evidence, Firmware, Shim, Vendor};

use crate::arguments::ImageVerifyArguments;
use crate::files;

/// Larger than any database, and than the flash image of any OVMF.
const LONGEST: u64 = 64 << 20;

/// What is read of a running machine.
const VARIABLES: &[(&str, Guid)] = &[
    ("SecureBoot", Guid::GLOBAL),
    ("db", Guid::SECURITY),
    ("dbx", Guid::SECURITY),
    ("MokListRT", Guid::SHIM),
    ("MokListXRT", Guid::SHIM),
    ("MokSBStateRT", Guid::SHIM),
    ("SbatLevelRT", Guid::SHIM),
    ("BootOrder", Guid::GLOBAL),
];

/// What is asked.
pub(super) struct Trust {
    pub(super) firmware: Firmware,
    pub(super) shim: Shim,
    /// Whether firmware starts the shim on the way; `None` if none was given.
    pub(super) shim_itself: Option<Answer>,
    pub(super) entries: Vec<Entry>,
    /// What the user should know of what was read.
    pub(super) notes: Vec<String>,
}

/// A boot entry.
pub(super) struct Entry {
    pub(super) number: u16,
    /// Whether firmware tries it by itself: it is active and in BootOrder.
    pub(super) in_order: bool,
    pub(super) option: LoadOption,
}

impl Trust {
    pub(super) fn gather(arguments: &ImageVerifyArguments) -> Result<Self> {
        let mut firmware = Firmware::default();
        let mut shim = Shim::default();
        let mut entries = Vec::new();
        let mut notes = Vec::new();
        let variables = variables(arguments)?;
        if let Some(variables) = &variables {
            let database = |name: &str, vendor: Guid| -> Result<Database> {
                let lists = variables.value(name, vendor).unwrap_or_default();
                let entries = signature_list::read(lists).with_context(|| format!("the variable {name}"))?;
                Ok(Database::from_entries(&entries))
            };
            firmware.off = is_off(variables, arguments.efivars.is_some());
            firmware.db = database("db", Guid::SECURITY)?;
            firmware.dbx = database("dbx", Guid::SECURITY)?;
            // A running machine shows copies of what only shim may see.
            let (mok, mokx, state) = if arguments.efivars.is_some() {
                ("MokListRT", "MokListXRT", "MokSBStateRT")
            } else {
                ("MokList", "MokListX", "MokSBState")
            };
            shim.mok = database(mok, Guid::SHIM)?;
            shim.mokx = database(mokx, Guid::SHIM)?;
            shim.off = variables.value(state, Guid::SHIM) == Some(&[1]);
            shim.ignores_db = variables.value("MokDBState", Guid::SHIM) == Some(&[1]);
            entries = boot_entries(variables)?;
        }
        for path in arguments.cert.iter().chain(&arguments.db) {
            firmware.db.extend(&database(path)?);
        }
        for path in &arguments.dbx {
            firmware.dbx.extend(&database(path)?);
        }
        for path in &arguments.mok {
            shim.mok.extend(&database(path)?);
        }
        ensure!(
            variables.is_some() || !firmware.db.is_empty() || !shim.mok.is_empty(),
            "nothing to judge by: give --cert, --db or --mok, or a machine's variables with --varstore or --efivars (see --help)"
        );
        for (name, database) in
            [("db", &firmware.db), ("dbx", &firmware.dbx), ("MokList", &shim.mok), ("MokListX", &shim.mokx)]
        {
            if !database.unread.is_empty() {
                notes.push(format!(
                    "{name} has {} entries that cannot be read here, and count for nothing",
                    database.unread.len()
                ));
            }
        }
        shim.level = variables
            .as_ref()
            .map(|variables| stored_level(variables, arguments.efivars.is_some()))
            .transpose()?
            .flatten();
        if let Some(path) = &arguments.sbat_level {
            shim.level = newer(shim.level, Some(level(path)?));
        }
        shim.off |= firmware.off;
        shim.db.extend(&firmware.db);
        shim.dbx.extend(&firmware.dbx);
        let mut trust = Self { firmware, shim, shim_itself: None, entries, notes };
        match &arguments.shim {
            Some(path) => trust.add_shim(path)?,
            None if arguments.via.as_deref() != Some("firmware") => trust.notes.push(
                "no --shim: which certificates are built into it, and whether firmware starts it, is not known"
                    .to_owned(),
            ),
            None => {}
        }
        Ok(trust)
    }

    fn add_shim(&mut self, path: &Path) -> Result<()> {
        let name = || path.display().to_string();
        let image = Image::read(files::open(path)?).with_context(name)?;
        let vendor = Vendor::read(&image).with_context(name)?;
        let evidence = Evidence::gather(&image, &self.firmware.functions()).with_context(name)?;
        if let Some(section) = image.sbat_levels().with_context(name)? {
            // It writes this into the variable before it looks at what it is to start.
            self.shim.level =
                newer(self.shim.level.take(), Some(Levels::read(&section).with_context(name)?.automatic));
        }
        self.shim_itself = Some(self.firmware.judge(&evidence));
        self.shim.vendor = vendor.trusted;
        self.shim.vendorx = vendor.revoked;
        Ok(())
    }
}

fn variables(arguments: &ImageVerifyArguments) -> Result<Option<Variables>> {
    if let Some(path) = &arguments.varstore {
        let image = files::read(path, LONGEST)?;
        let store = Store::open(image).with_context(|| path.display().to_string())?;
        return Ok(Some(store.variables().with_context(|| path.display().to_string())?));
    }
    let Some(folder) = &arguments.efivars else { return Ok(None) };
    let variables = efivarfs::read(folder, VARIABLES)?;
    ensure!(
        variables.find("SecureBoot", Guid::GLOBAL).is_some(),
        "{} has no variable SecureBoot-{}: it is no folder of UEFI variables, or this machine did not boot by UEFI",
        folder.display(),
        Guid::GLOBAL
    );
    Ok(Some(variables))
}

/// What shim stored as revoked, and shows to a running system under another name.
fn stored_level(variables: &Variables, running: bool) -> Result<Option<Level>> {
    let name = if running { "SbatLevelRT" } else { "SbatLevel" };
    let value = variables.value(name, Guid::SHIM);
    value.map(|value| Level::read(value).with_context(|| format!("the variable {name}"))).transpose()
}

/// Revocations from a file: text, or the variable as efivarfs shows it.
fn level(path: &Path) -> Result<Level> {
    let bytes = files::read(path, LONGEST)?;
    let level = if bytes.starts_with(b"sbat,") { Level::read(&bytes) } else { Level::read_variable(&bytes) };
    level.with_context(|| path.display().to_string())
}

/// What counts of two: shim only ever goes forward.
fn newer(one: Option<Level>, other: Option<Level>) -> Option<Level> {
    one.into_iter().chain(other).max_by_key(Level::date)
}

/// Whether firmware verifies nothing. Stored variables tell by the platform's key and EDK2's own switch; a running machine says it.
fn is_off(variables: &Variables, running: bool) -> bool {
    if running {
        return variables.value("SecureBoot", Guid::GLOBAL) != Some(&[1]);
    }
    let has_key = variables.value("PK", Guid::GLOBAL).is_some_and(|key| !key.is_empty());
    !has_key || variables.value("SecureBootEnable", Guid::SECURE_BOOT_ENABLE) == Some(&[0])
}

fn boot_entries(variables: &Variables) -> Result<Vec<Entry>> {
    let order = variables.value("BootOrder", Guid::GLOBAL).unwrap_or_default();
    let order: Vec<u16> =
        order.chunks_exact(2).filter_map(|pair| pair.first_chunk().copied()).map(u16::from_le_bytes).collect();
    let mut entries = Vec::new();
    for variable in variables.0.iter().filter(|variable| variable.vendor == Guid::GLOBAL) {
        let digits = variable.name.strip_prefix("Boot").filter(|digits| digits.len() == 4);
        let Some(number) = digits.and_then(|digits| u16::from_str_radix(digits, 16).ok()) else { continue };
        let option =
            LoadOption::read(&variable.data).with_context(|| format!("the variable {}", variable.name))?;
        entries.push(Entry { number, in_order: option.active && order.contains(&number), option });
    }
    let place = |entry: &Entry| order.iter().position(|number| *number == entry.number).unwrap_or(usize::MAX);
    entries.sort_by_key(|entry| (place(entry), entry.number));
    Ok(entries)
}

/// A database from a file: signature lists, an update, or a certificate.
fn database(path: &Path) -> Result<Database> {
    let bytes = files::read(path, LONGEST)?;
    let first = match signature_list::from_file(&bytes) {
        Ok(entries) if !bytes.is_empty() => return Ok(Database::from_entries(&entries)),
        Ok(_) => bail!("{} is empty", path.display()),
        Err(error) => error,
    };
    match Certificate::read_all(&bytes) {
        Ok(certificates) => Ok(Database { certificates, ..Database::default() }),
        Err(_) if !bytes.starts_with(b"-----BEGIN") && bytes.first() != Some(&0x30) => {
            Err(first).with_context(|| path.display().to_string())
        }
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}
