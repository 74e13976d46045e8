//! The firmware's variables, written before the machine starts.
//!
//! OVMF keeps them in a flash image: a firmware volume, in it a store, in it one record after another (edk2,
//! `MdeModulePkg/Include/Guid/VariableFormat.h`). Writing the records here needs no machine to enrol keys, and each
//! run begins with a store that nobody wrote to. The crates that know variables (virtfw-varstore) write another
//! format, and need a newer compiler than the project does.

use anyhow::{Context, Result, bail, ensure};

/// A GUID as it lies in memory.
pub type Guid = [u8; 16];

/// `EFI_GLOBAL_VARIABLE`: PK, KEK, the boot entries.
pub const GLOBAL: Guid = guid(0x8be4_df61, 0x93ca, 0x11d2, [0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c]);
/// `EFI_IMAGE_SECURITY_DATABASE`: db and dbx.
pub const SECURITY: Guid = guid(0xd719_b2cb, 0x3d3a, 0x4596, [0xa3, 0xbc, 0xda, 0xd0, 0x0e, 0x67, 0x65, 0x6f]);
/// edk2's own switch for Secure Boot.
const SECURE_BOOT_ENABLE: Guid =
    guid(0xf0a3_0bc7, 0xaf08, 0x4556, [0x99, 0xc4, 0x00, 0x10, 0x09, 0xc9, 0x3a, 0x44]);
const CERT_X509: Guid = guid(0xa5c0_59a1, 0x94e4, 0x4aa7, [0x87, 0xb5, 0xab, 0x15, 0x5c, 0x2b, 0xf0, 0x72]);
const CERT_SHA256: Guid = guid(0xc1c4_1626, 0x504c, 0x4092, [0xac, 0xa9, 0x41, 0xf9, 0x36, 0x93, 0x43, 0x28]);
/// The store whose records carry a time, as Secure Boot needs it.
const AUTHENTICATED_STORE: Guid =
    guid(0xaaf3_2c78, 0x947b, 0x439a, [0xa1, 0x80, 0x2e, 0x14, 0x4e, 0xc3, 0x77, 0x92]);
/// Who put the lab's keys there: a name of the lab's own.
const OWNER: Guid = guid(0x6c61_6278, 0x656e, 0x4c6b, [0x9d, 0x6c, 0x6f, 0x63, 0x6b, 0x64, 0x6f, 0x77]);

/// shim's own variables.
pub const SHIM: Guid = guid(0x605d_ab50, 0xe046, 0x4300, [0xab, 0xb6, 0x3d, 0xd8, 0x10, 0xdd, 0x8b, 0x23]);

/// Outlives the boot.
pub const NON_VOLATILE: u32 = 1;
/// For what runs before the operating system.
pub const BOOT_SERVICE: u32 = 2;
/// For the operating system too.
pub const RUNTIME: u32 = 4;
const TIME_AUTHENTICATED: u32 = 0x20;

const STORE_HEADER: usize = 28;
const RECORD_HEADER: usize = 60;
const RECORD_START: u16 = 0x55aa;
const RECORD_ADDED: u8 = 0x3f;

const fn guid(first: u32, second: u16, third: u16, rest: [u8; 8]) -> Guid {
    let (a, b, c, d) = (first.to_le_bytes(), second.to_le_bytes(), third.to_le_bytes(), rest);
    [a[0], a[1], a[2], a[3], b[0], b[1], c[0], c[1], d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7]]
}

/// What firmware is to know before its first start.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The keys of Secure Boot; without, it is off.
    pub keys: Option<SecureBoot>,
    /// What to start, in this order.
    pub boot: Vec<BootEntry>,
    /// Further variables.
    pub variables: Vec<Variable>,
}

/// A variable that somebody stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// Whose it is.
    pub vendor: Guid,
    /// [`NON_VOLATILE`] and the like.
    pub attributes: u32,
    /// Its value.
    pub data: Vec<u8>,
}

/// The keys of Secure Boot, which is on where they are there.
#[derive(Clone, Debug, Default)]
pub struct SecureBoot {
    /// The platform's key (DER).
    pub platform_key: Vec<u8>,
    /// The key exchange key (DER).
    pub exchange_key: Vec<u8>,
    /// Whose signatures are good (DER).
    pub trusted: Vec<Vec<u8>>,
    /// Authenticode hashes (SHA-256) of images that are good no more.
    pub revoked: Vec<[u8; 32]>,
}

/// `Boot####`: what firmware starts, and with which text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootEntry {
    /// The name in firmware's menu and messages.
    pub title: String,
    /// The file on the boot partition, with backslashes.
    pub path: String,
    /// What the image finds as its LoadOptions. Xen takes the first word for its own name.
    pub options: String,
}

/// A flash image with `settings`, made from the firmware's own empty one.
///
/// # Errors
/// Where `template` is no such image, or has no room left.
pub fn write(template: &[u8], settings: &Settings) -> Result<Vec<u8>> {
    let mut store = Store::open(template)?;
    let key_attributes = NON_VOLATILE | BOOT_SERVICE | RUNTIME | TIME_AUTHENTICATED;
    let key = |key: &Vec<u8>| x509_lists(std::slice::from_ref(key));
    if let Some(keys) = &settings.keys {
        store.add("PK", &GLOBAL, key_attributes, &key(&keys.platform_key)?)?;
        store.add("KEK", &GLOBAL, key_attributes, &key(&keys.exchange_key)?)?;
        store.add("db", &SECURITY, key_attributes, &x509_lists(&keys.trusted)?)?;
        if !keys.revoked.is_empty() {
            store.add("dbx", &SECURITY, key_attributes, &sha256_list(&keys.revoked)?)?;
        }
        store.add("SecureBootEnable", &SECURE_BOOT_ENABLE, NON_VOLATILE | BOOT_SERVICE, &[1])?;
    }
    let mut order = Vec::new();
    for (entry, number) in settings.boot.iter().zip(1_u16..) {
        order.extend_from_slice(&number.to_le_bytes());
        let name = format!("Boot{number:04X}");
        store.add(&name, &GLOBAL, NON_VOLATILE | BOOT_SERVICE | RUNTIME, &load_option(entry)?)?;
    }
    store.add("BootOrder", &GLOBAL, NON_VOLATILE | BOOT_SERVICE | RUNTIME, &order)?;
    for variable in &settings.variables {
        store.add(variable.name, &variable.vendor, variable.attributes, &variable.data)?;
    }
    Ok(store.image)
}

struct Store {
    image: Vec<u8>,
    /// Where the next record goes.
    next: usize,
    /// Where the store ends.
    end: usize,
}

impl Store {
    fn open(template: &[u8]) -> Result<Self> {
        let volume_header = u16_at(template, 48).context("the variable store is cut off")?;
        let start = usize::from(volume_header);
        let kind = template.get(start..start.saturating_add(16)).context("the variable store is cut off")?;
        ensure!(template.get(40..44) == Some(b"_FVH"), "this is no firmware volume");
        ensure!(kind == AUTHENTICATED_STORE, "the firmware's variable store is of another format");
        let size = u32_at(template, start.saturating_add(16)).context("the variable store is cut off")?;
        let end = start.saturating_add(usize::try_from(size)?);
        ensure!(end <= template.len(), "the variable store is cut off");
        let mut next = start.saturating_add(STORE_HEADER);
        while u16_at(template, next) == Some(RECORD_START) {
            let length = |offset: usize| u32_at(template, next.saturating_add(offset));
            let name = usize::try_from(length(36).context("a variable is cut off")?)?;
            let data = usize::try_from(length(40).context("a variable is cut off")?)?;
            let after = next.saturating_add(RECORD_HEADER).saturating_add(name).saturating_add(data);
            next = after.next_multiple_of(4);
            ensure!(next < end, "a variable is longer than the store");
        }
        Ok(Self { image: template.to_vec(), next, end })
    }

    fn add(&mut self, name: &str, vendor: &Guid, attributes: u32, data: &[u8]) -> Result<()> {
        let name_bytes = utf16(name);
        let mut record = Vec::new();
        record.extend_from_slice(&RECORD_START.to_le_bytes());
        record.extend_from_slice(&[RECORD_ADDED, 0]);
        record.extend_from_slice(&attributes.to_le_bytes());
        // The count of changes, the time, and the index of a key: nobody changed it yet.
        record.extend_from_slice(&[0; 8]);
        record.extend_from_slice(&[0; 16]);
        record.extend_from_slice(&[0; 4]);
        record.extend_from_slice(&u32::try_from(name_bytes.len())?.to_le_bytes());
        record.extend_from_slice(&u32::try_from(data.len())?.to_le_bytes());
        record.extend_from_slice(vendor);
        record.extend_from_slice(&name_bytes);
        record.extend_from_slice(data);
        let after = self.next.saturating_add(record.len());
        // A header's worth stays free: what follows the last record must read as empty.
        if after.saturating_add(RECORD_HEADER) > self.end {
            bail!("the firmware's variable store has no room for {name}");
        }
        let place = self.image.get_mut(self.next..after).context("the variable store is cut off")?;
        place.copy_from_slice(&record);
        self.next = after.next_multiple_of(4);
        Ok(())
    }
}

/// One signature list for each certificate: their lengths differ.
fn x509_lists(certificates: &[Vec<u8>]) -> Result<Vec<u8>> {
    let mut lists = Vec::new();
    for certificate in certificates {
        lists.extend(signature_list(&CERT_X509, &[certificate.as_slice()])?);
    }
    Ok(lists)
}

fn sha256_list(hashes: &[[u8; 32]]) -> Result<Vec<u8>> {
    let hashes: Vec<&[u8]> = hashes.iter().map(<[u8; 32]>::as_slice).collect();
    signature_list(&CERT_SHA256, &hashes)
}

/// `EFI_SIGNATURE_LIST`; every element has the length of the first.
fn signature_list(kind: &Guid, elements: &[&[u8]]) -> Result<Vec<u8>> {
    let element = elements.first().map_or(0, |first| first.len()).saturating_add(OWNER.len());
    let size = element.saturating_mul(elements.len()).saturating_add(28);
    let mut list = kind.to_vec();
    list.extend_from_slice(&u32::try_from(size)?.to_le_bytes());
    list.extend_from_slice(&0_u32.to_le_bytes());
    list.extend_from_slice(&u32::try_from(element)?.to_le_bytes());
    for data in elements {
        list.extend_from_slice(&OWNER);
        list.extend_from_slice(data);
    }
    Ok(list)
}

/// `EFI_LOAD_OPTION`; the path is a short one, which firmware completes to the disk that has the file.
fn load_option(entry: &BootEntry) -> Result<Vec<u8>> {
    let path = utf16(&entry.path);
    let mut nodes = vec![4, 4];
    nodes.extend_from_slice(&u16::try_from(path.len().saturating_add(4))?.to_le_bytes());
    nodes.extend_from_slice(&path);
    nodes.extend_from_slice(&[0x7f, 0xff, 4, 0]);
    let mut option = 1_u32.to_le_bytes().to_vec();
    option.extend_from_slice(&u16::try_from(nodes.len())?.to_le_bytes());
    option.extend_from_slice(&utf16(&entry.title));
    option.extend_from_slice(&nodes);
    if !entry.options.is_empty() {
        option.extend_from_slice(&utf16(&entry.options));
    }
    Ok(option)
}

/// UTF-16, little-endian, with its end.
fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
}

fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    bytes.get(offset..)?.first_chunk().map(|chunk| u16::from_le_bytes(*chunk))
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes.get(offset..)?.first_chunk().map(|chunk| u32::from_le_bytes(*chunk))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn template(size: usize) -> Vec<u8> {
        let mut image = vec![0xff; size];
        image[40..44].copy_from_slice(b"_FVH");
        image[48..50].copy_from_slice(&72_u16.to_le_bytes());
        image[72..88].copy_from_slice(&AUTHENTICATED_STORE);
        let store = u32::try_from(size - 72).unwrap();
        image[88..92].copy_from_slice(&store.to_le_bytes());
        image
    }

    fn settings() -> Settings {
        Settings {
            keys: Some(SecureBoot {
                platform_key: vec![1; 5],
                exchange_key: vec![2; 5],
                trusted: vec![vec![3; 5], vec![4; 7]],
                revoked: vec![[9; 32], [8; 32]],
            }),
            boot: vec![BootEntry { title: "x".into(), path: r"\a.efi".into(), options: "a.efi -- smep=0".into() }],
            variables: vec![Variable { name: "MokSBState", vendor: SHIM, attributes: 3, data: vec![1] }],
        }
    }

    /// Name, attributes and data of each record.
    fn records(image: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let mut found = Vec::new();
        let mut at = 72 + STORE_HEADER;
        while u16_at(image, at) == Some(RECORD_START) {
            assert_eq!(image[at + 2], RECORD_ADDED);
            let name = usize::try_from(u32_at(image, at + 36).unwrap()).unwrap();
            let data = usize::try_from(u32_at(image, at + 40).unwrap()).unwrap();
            let units: Vec<u16> = (0..name / 2 - 1).map(|i| u16_at(image, at + 60 + 2 * i).unwrap()).collect();
            let start = at + 60 + name;
            found.push((
                String::from_utf16(&units).unwrap(),
                u32_at(image, at + 4).unwrap(),
                image[start..start + data].to_vec(),
            ));
            at = (start + data).next_multiple_of(4);
        }
        found
    }

    #[test]
    fn every_variable_can_be_found_again() {
        let image = write(&template(4096), &settings()).unwrap();
        let records = records(&image);
        let names: Vec<&str> = records.iter().map(|(name, _, _)| name.as_str()).collect();
        assert_eq!(names, ["PK", "KEK", "db", "dbx", "SecureBootEnable", "Boot0001", "BootOrder", "MokSBState"]);
        assert_eq!(records[0].1, 0x27);
        assert_eq!(records[4].2, [1]);
        assert_eq!(records[6].2, [1, 0]);
        // Two lists, each with a header of 28 bytes and an owner of 16.
        assert_eq!(records[2].2.len(), 28 + 16 + 5 + 28 + 16 + 7);
        assert_eq!(records[3].2.len(), 28 + 2 * (16 + 32));
    }

    #[test]
    fn without_keys_nothing_is_enforced() {
        let image = write(&template(4096), &Settings { keys: None, ..settings() }).unwrap();
        let names: Vec<String> = records(&image).into_iter().map(|(name, _, _)| name).collect();
        assert_eq!(names, ["Boot0001", "BootOrder", "MokSBState"]);
    }

    #[test]
    fn a_written_store_takes_more_records() {
        let first = write(&template(8192), &settings()).unwrap();
        let mut store = Store::open(&first).unwrap();
        store.add("More", &GLOBAL, 3, &[1, 2, 3]).unwrap();
        assert_eq!(records(&store.image).last().unwrap().0, "More");
    }

    #[test]
    fn what_is_no_store_is_an_error() {
        assert!(write(&[], &settings()).is_err());
        assert!(write(&vec![0; 4096], &settings()).is_err());
        assert!(write(&template(300), &settings()).is_err());
        let mut cut = template(4096);
        cut.truncate(2000);
        assert!(write(&cut, &settings()).is_err());
    }

    #[test]
    fn a_load_option_ends_with_its_text() {
        let option = load_option(&settings().boot[0]).unwrap();
        assert_eq!(option[..4], [1, 0, 0, 0]);
        assert!(option.ends_with(&utf16("a.efi -- smep=0")));
        let plain = BootEntry { options: String::new(), ..settings().boot[0].clone() };
        assert!(load_option(&plain).unwrap().ends_with(&[0x7f, 0xff, 4, 0]));
    }

    #[test]
    fn guids_are_stored_as_firmware_stores_them() {
        assert_eq!(GLOBAL[..8], [0x61, 0xdf, 0xe4, 0x8b, 0xca, 0x93, 0xd2, 0x11]);
    }
}
