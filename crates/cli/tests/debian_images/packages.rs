//! Debian's packages with EFI binaries, fetched as the project fetches everything.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use lockdown_debian::fetch::{self, Release};
use lockdown_firmware::varstore::Store;
use lockdown_firmware::{Guid, signature_list};
use lockdown_image::verify::Database;

use crate::target;

/// All that Debian signs for amd64 in its main archive, or has signed.
const SIGNED: &[&str] = &[
    "shim-signed",
    "shim-helpers-amd64-signed",
    "grub-efi-amd64-signed",
    "fwupd-amd64-signed",
    "systemd-boot-efi-amd64-signed",
];
/// What needs the newest of each kind of kernel.
const KERNELS: &[&str] = &["linux-image-amd64", "linux-image-cloud-amd64", "linux-image-rt-amd64"];
/// EFI binaries without a signature.
const UNSIGNED: &[&str] = &[
    "xen-hypervisor-4.20-amd64",
    "systemd-boot-efi",
    "shim-unsigned",
    "fwupd-unsigned",
    "memtest86+",
    "efitools",
    "refind",
    "syslinux-efi",
    "efi-shell-x64",
];

/// What was fetched.
pub(crate) struct Debian {
    pub(crate) binaries: Vec<Binary>,
    /// OVMF's, with Microsoft's keys.
    pub(crate) variables: PathBuf,
    kernels: Vec<String>,
}

/// An EFI binary.
pub(crate) struct Binary {
    pub(crate) package: String,
    /// Its package, and where it stands in there.
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) bytes: Vec<u8>,
    /// As its name says.
    pub(crate) is_signed: bool,
}

impl Binary {
    pub(crate) fn is_shim(&self) -> bool {
        self.name.ends_with("/shimx64.efi.signed")
    }

    /// Whether there is a section .sbat, by its name alone.
    pub(crate) fn has_generations(&self) -> bool {
        self.bytes.get(..0x1000).unwrap_or_default().windows(8).any(|name| name == b".sbat\0\0\0")
    }
}

impl Debian {
    pub(crate) fn fetch() -> Self {
        let say = |what: &str| println!("{what}");
        let fetch = |package: &str| fetch::binary(target(), Release::Trixie, package, false, &say).unwrap();
        let newest = |package: &&str| {
            let needs = fetch::depends(target(), Release::Trixie, package, &say).unwrap();
            needs.into_iter().find(|name| name.starts_with("linux-image-")).unwrap()
        };
        let kernels: Vec<String> = KERNELS.iter().map(newest).collect();
        let packages = SIGNED.iter().chain(UNSIGNED).copied().chain(kernels.iter().map(String::as_str));
        let mut binaries = Vec::new();
        for package in packages {
            let folder = fetch(package);
            let before = binaries.len();
            find(package, &folder, &folder, &mut binaries);
            assert!(binaries.len() > before, "{package} has no EFI binary");
        }
        let variables = fetch("ovmf").join("usr/share/OVMF/OVMF_VARS_4M.ms.fd");
        Self { binaries, variables, kernels }
    }

    /// Which packages should have something signed.
    pub(crate) fn signed_packages(&self) -> BTreeSet<String> {
        SIGNED.iter().map(|&name| name.to_owned()).chain(self.kernels.iter().cloned()).collect()
    }

    pub(crate) fn shim(&self) -> &Binary {
        self.binaries.iter().find(|binary| binary.is_shim()).unwrap()
    }

    pub(crate) fn microsofts_database(&self, name: &str) -> Database {
        let variables = Store::open(fs::read(&self.variables).unwrap()).unwrap().variables().unwrap();
        // OVMF is delivered without revocations.
        let lists = variables.value(name, Guid::SECURITY).unwrap_or_default();
        let database = Database::from_entries(&signature_list::read(lists).unwrap());
        assert_eq!(database.unread, [], "{name}");
        database
    }
}

/// The PE files below a folder, in the order of their names.
fn find(package: &str, top: &Path, folder: &Path, binaries: &mut Vec<Binary>) {
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        let kind = path.symlink_metadata().unwrap().file_type();
        // A kernel has thousands of modules, and none is a PE file.
        if kind.is_dir() && !path.ends_with("lib/modules") {
            find(package, top, &path, binaries);
        } else if kind.is_file() {
            let file = path.file_name().unwrap().to_string_lossy().into_owned();
            let is_signed = file.ends_with(".signed") || file.starts_with("vmlinuz");
            // Others begin with the same two letters.
            if !is_signed && !file.ends_with(".efi") {
                continue;
            }
            let bytes = fs::read(&path).unwrap();
            assert!(bytes.starts_with(b"MZ"), "{}", path.display());
            let version = top.file_name().unwrap().to_string_lossy();
            let name = format!("{version}: {}", path.strip_prefix(top).unwrap().display());
            binaries.push(Binary { package: package.to_owned(), name, path, bytes, is_signed });
        }
    }
}
