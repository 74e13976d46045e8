//! Runs the command.

#![allow(dead_code, clippy::unwrap_used)]

use std::process::{Command, Output};

use serde_json::Value;

/// Runs `xen-lockdown` with these arguments.
pub(crate) fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xen-lockdown")).args(arguments).output().unwrap()
}

/// Runs `xen-lockdown lint --format json` and returns the exit status and the document.
pub(crate) fn lint_json(arguments: &[&str]) -> (i32, Value) {
    let output = run(&[&["lint", "--format", "json"], arguments].concat());
    let code = output.status.code().unwrap();
    let document = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    (code, document)
}

/// An ELF file with one section, `.modinfo`, that names a module, for Linux 6.12.1-test.
pub(crate) fn module(name: &str, signed: bool) -> Vec<u8> {
    let names = b"\0.modinfo\0.shstrtab\0";
    let information = format!("license=GPL\0name={name}\0vermagic=6.12.1-test SMP mod_unload \0");
    let information = information.as_bytes();
    let mut bytes = vec![0; 64];
    bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(16, &1_u16.to_le_bytes());
    put(18, &62_u16.to_le_bytes());
    put(20, &1_u32.to_le_bytes());
    let table = 64 + names.len() + information.len();
    put(40, &u64::try_from(table).unwrap().to_le_bytes());
    put(52, &64_u16.to_le_bytes());
    put(58, &64_u16.to_le_bytes());
    put(60, &3_u16.to_le_bytes());
    put(62, &2_u16.to_le_bytes());
    bytes.extend_from_slice(names);
    bytes.extend_from_slice(information);
    for (at, kind, offset, size) in
        [(0_u32, 0_u32, 0, 0), (1, 1, 64 + names.len(), information.len()), (10, 3, 64, names.len())]
    {
        let mut row = [0; 64];
        row[..4].copy_from_slice(&at.to_le_bytes());
        row[4..8].copy_from_slice(&kind.to_le_bytes());
        row[24..32].copy_from_slice(&(offset as u64).to_le_bytes());
        row[32..40].copy_from_slice(&(size as u64).to_le_bytes());
        bytes.extend_from_slice(&row);
    }
    if signed {
        bytes.extend_from_slice(b"signature~Module signature appended~\n");
    }
    bytes
}
