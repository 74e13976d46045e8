//! What firmware keeps: databases, a flash image, boot entries: any bytes are read or refused, and what is written is read again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use lockdown_firmware::load_option::LoadOption;
use lockdown_firmware::varstore::Store;
use lockdown_firmware::{Attributes, Guid, Variable, signature_list};
use lockdown_image::verify::Database;

fuzz_target!(|bytes: &[u8]| {
    match signature_list::from_file(bytes) {
        Ok(entries) => {
            // No memory is taken that the file does not have.
            assert!(entries.iter().map(|entry| entry.data.len() + 16).sum::<usize>() <= bytes.len());
            let database = Database::from_entries(&entries);
            let Database { certificates, images, to_be_signed, unread } = &database;
            assert_eq!(entries.len(), certificates.len() + images.len() + to_be_signed.len() + unread.len());
            for entry in &entries {
                let list = signature_list::write(entry.kind, entry.owner, &[&entry.data]);
                assert_eq!(signature_list::read(&list).as_deref(), Ok(std::slice::from_ref(entry)));
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    if let Ok(option) = LoadOption::read(bytes) {
        let _ = option.text();
        assert!(option.data.len() < bytes.len());
        if let Some(written) = option.write() {
            assert_eq!(LoadOption::read(&written), Ok(option));
        }
    }
    match Store::open(bytes.to_vec()) {
        Ok(store) => check_store(store),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});

fn check_store(mut store: Store) {
    let before = store.variables().expect("what was opened");
    assert!(before.0.iter().map(|variable| variable.data.len()).sum::<usize>() <= store.image().len());
    let length = store.image().len();
    let added = Variable {
        name: "added".to_owned(),
        vendor: Guid::SHIM,
        attributes: Attributes::NON_VOLATILE,
        data: vec![7; 9],
    };
    if store.add(&added).is_err() {
        assert_eq!(store.variables().expect("what was opened"), before, "nothing was written");
        return;
    }
    assert_eq!(store.image().len(), length);
    let again = Store::open(store.image().to_vec()).expect("what was written");
    let after = again.variables().expect("what was opened");
    assert!(after.0.contains(&added));
    assert!(before.0.iter().all(|variable| after.0.contains(variable)));
}
