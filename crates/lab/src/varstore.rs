//! The firmware's variables, written before the machine starts: writing them here needs no machine to enrol keys, and each run
//! begins with a store that nobody wrote to.

use anyhow::{Context as _, Result};
use lockdown_firmware::load_option::LoadOption;
use lockdown_firmware::varstore::Store;
use lockdown_firmware::{Attributes, Guid, Variable, signature_list};

/// Who put the lab's keys there: a name of the lab's own.
const OWNER: Guid = Guid(*b"xen-lockdown-lab");

/// Outlives the boot, for what runs before the operating system.
const STORED: Attributes = Attributes::NON_VOLATILE.and(Attributes::BOOT_SERVICE);
/// The same, and for the operating system too.
const SHOWN: Attributes = STORED.and(Attributes::RUNTIME);

/// What firmware is to know before its first start.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The keys of Secure Boot; without, it is off.
    pub keys: Option<SecureBoot>,
    /// What to start, in this order.
    pub boot: Vec<LoadOption>,
    /// Further variables.
    pub variables: Vec<Variable>,
}

/// The keys of Secure Boot, which is on where they are there.
#[derive(Clone, Debug, Default)]
pub struct SecureBoot {
    /// The platform's key (DER).
    pub platform_key: Vec<u8>,
    /// The key exchange key (DER).
    pub exchange_key: Vec<u8>,
    /// What firmware trusts and refuses.
    pub databases: Databases,
}

/// What firmware trusts and refuses, as signature lists.
#[derive(Clone, Debug, Default)]
pub struct Databases {
    /// db.
    pub db: Vec<u8>,
    /// dbx; empty: there is no such variable.
    pub dbx: Vec<u8>,
}

/// One signature list for each certificate (DER): their lengths differ.
#[must_use]
pub fn certificates(certificates: &[Vec<u8>]) -> Vec<u8> {
    let list = |certificate: &Vec<u8>| entry(Guid::CERT_X509, certificate);
    certificates.iter().flat_map(list).collect()
}

/// A signature list with one entry.
#[must_use]
pub fn entry(kind: Guid, data: &[u8]) -> Vec<u8> {
    signature_list::write(kind, OWNER, &[data])
}

/// A flash image with `settings`, made from the firmware's own empty one.
///
/// # Errors
/// Where `template` is no such image, or has no room left.
pub fn write(template: &[u8], settings: &Settings) -> Result<Vec<u8>> {
    let mut store = Store::open(template.to_vec())?;
    let mut add = |name: &str, vendor: Guid, attributes: Attributes, data: Vec<u8>| {
        store.add(&Variable { name: name.to_owned(), vendor, attributes, data })
    };
    if let Some(keys) = &settings.keys {
        let key = SHOWN.and(Attributes::TIME_AUTHENTICATED);
        add("PK", Guid::GLOBAL, key, entry(Guid::CERT_X509, &keys.platform_key))?;
        add("KEK", Guid::GLOBAL, key, entry(Guid::CERT_X509, &keys.exchange_key))?;
        add("db", Guid::SECURITY, key, keys.databases.db.clone())?;
        if !keys.databases.dbx.is_empty() {
            add("dbx", Guid::SECURITY, key, keys.databases.dbx.clone())?;
        }
        add("SecureBootEnable", Guid::SECURE_BOOT_ENABLE, STORED, vec![1])?;
    }
    let mut order = Vec::new();
    for (entry, number) in settings.boot.iter().zip(1_u16..) {
        order.extend_from_slice(&number.to_le_bytes());
        let value = entry.write().with_context(|| format!("the path of {:?} is too long", entry.title))?;
        add(&format!("Boot{number:04X}"), Guid::GLOBAL, SHOWN, value)?;
    }
    add("BootOrder", Guid::GLOBAL, SHOWN, order)?;
    for variable in &settings.variables {
        store.add(variable)?;
    }
    Ok(store.image().to_vec())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn names(settings: &Settings) -> Vec<String> {
        let mut template = vec![0xff; 4096];
        template[40..44].copy_from_slice(b"_FVH");
        template[48..50].copy_from_slice(&72_u16.to_le_bytes());
        // An authenticated store, to the end.
        template[72..88].copy_from_slice(&[
            0x78, 0x2c, 0xf3, 0xaa, 0x7b, 0x94, 0x9a, 0x43, 0xa1, 0x80, 0x2e, 0x14, 0x4e, 0xc3, 0x77, 0x92,
        ]);
        template[88..92].copy_from_slice(&4024_u32.to_le_bytes());
        let store = Store::open(write(&template, settings).unwrap()).unwrap();
        store.variables().unwrap().0.into_iter().map(|variable| variable.name).collect()
    }

    #[test]
    fn with_keys_secure_boot_is_on_and_without_nothing_is_enforced() {
        let keys = SecureBoot {
            platform_key: vec![1; 5],
            exchange_key: vec![2; 5],
            databases: Databases { db: certificates(&[vec![3; 5], vec![4; 7]]), dbx: certificates(&[vec![5; 9]]) },
        };
        let settings = Settings {
            keys: Some(keys),
            boot: vec![LoadOption::file("x", r"\a.efi", "a.efi -- smep=0")],
            variables: vec![Variable {
                name: "MokSBState".to_owned(),
                vendor: Guid::SHIM,
                attributes: STORED,
                data: vec![1],
            }],
        };
        let all = ["PK", "KEK", "db", "dbx", "SecureBootEnable", "Boot0001", "BootOrder", "MokSBState"];
        assert_eq!(names(&settings), all);
        assert_eq!(names(&Settings { keys: None, ..settings }), all[5..]);
    }
}
