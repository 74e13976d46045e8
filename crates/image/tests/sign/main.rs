//! Images that are signed, what other tools say to them, and what is not signed. Keys are made here with `openssl`;
//! a tool that is not installed is reported as not run.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "../builder/mod.rs"]
#[allow(dead_code, reason = "each test uses what it needs")]
mod builder;
mod elsewhere;
mod forms;
mod keys;
mod kinds;
mod refused;
mod several;
mod tools;
mod written;

use std::time::SystemTime;

use builder::{PE_AT, Pe};
use lockdown_image::sign::Validity;

const CONFIG: &[u8] = b"[xen]\noptions=console=vga\n";
const CHECKSUM: usize = PE_AT as usize + 24 + 64;
const SECURITY: usize = PE_AT as usize + 24 + 112 + 4 * 8;

fn unsigned() -> Vec<u8> {
    let base = Pe::new().with(".text", &[0x90; 0x3000]).with(".config", CONFIG).with(".rest", &[7; 0x4_0001]);
    base.row(0, |row| row.virtual_address = 0x9_0000).but(|pe| pe.image_size = 0x10_0000).build()
}

fn now() -> Validity {
    Validity::At(SystemTime::now())
}

/// As the specification puts it.
fn checksum(file: &[u8]) -> u32 {
    let mut file = file.to_vec();
    file[CHECKSUM..CHECKSUM + 4].fill(0);
    let mut sum = 0u32;
    for word in file.chunks(2) {
        sum += u32::from(word[0]) | (u32::from(*word.get(1).unwrap_or(&0)) << 8);
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum + u32::try_from(file.len()).unwrap()
}
