//! What Xen takes for Secure Boot, for every combination of what firmware can say: the C that goes into Xen, compiled
//! against firmware that is faked, and held against a reading of its own.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::Path;
use std::process::Command;

/// The part of the header that asks: its beginning and the function behind it.
const FROM: &str = "enum lockdown_variable {";
const TO: &str = "static void __init lockdown_efi_firmware(";

#[test]
fn what_cannot_be_understood_counts_as_secure_boot() {
    let folder = tempfile::tempdir().unwrap();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let header = fs::read_to_string(here.join("../../xen/include/lockdown-efi.h")).unwrap();
    let asks = header.split_once(FROM).unwrap().1.split_once(TO).unwrap().0;
    fs::write(folder.path().join("variables.h"), format!("{FROM}{asks}")).unwrap();
    let program = folder.path().join("variables");
    // As Xen is compiled: its strings are of two bytes.
    let flags = ["-std=gnu99", "-Wall", "-Wextra", "-Wno-missing-field-initializers", "-Werror", "-fshort-wchar"];
    let compiled = Command::new("cc")
        .args(flags)
        .arg("-I")
        .arg(folder.path())
        .arg("-o")
        .arg(&program)
        .arg(here.join("tests/firmware_variables.c"))
        .output()
        .unwrap();
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let said = String::from_utf8(Command::new(&program).output().unwrap().stdout).unwrap();

    let mut open = 0;
    for line in said.lines() {
        let [answer, secure_boot, setup, mok_runtime, mok] =
            line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        let enforced = match secure_boot {
            // There is no such firmware, or the firmware itself says so, in a variable that only it can make.
            "absent" | "off" => false,
            // On, unless somebody says that nothing is verified, in a way that an operating system cannot.
            "on" | "on, stored" | "on, boot services" | "on, stored, boot services" | "on, no attributes" => {
                let setup = setup == "on";
                let shim = matches!(mok_runtime, "on" | "on, boot services" | "on, no attributes")
                    || matches!(mok, "on, boot services" | "on, stored, boot services" | "on, no attributes");
                !setup && !shim
            }
            _ => true,
        };
        assert_eq!(answer == "1", enforced, "{line}");
        open += u32::from(!enforced);
    }
    assert_eq!(said.lines().count(), 16_usize.pow(4));
    assert!(open > 0, "nothing was ever off");
}
