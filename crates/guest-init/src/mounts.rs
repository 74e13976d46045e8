//! What Linux offers as file systems.

use std::fs;

use rustix::mount::{MountFlags, mount};

use crate::console::Console;

struct Mount {
    source: &'static str,
    target: &'static str,
    kind: &'static str,
    /// Whether the machine may lack it.
    optional: bool,
}

const EARLY: [Mount; 7] = [
    Mount { source: "devtmpfs", target: "/dev", kind: "devtmpfs", optional: false },
    Mount { source: "proc", target: "/proc", kind: "proc", optional: false },
    Mount { source: "sysfs", target: "/sys", kind: "sysfs", optional: false },
    Mount { source: "securityfs", target: "/sys/kernel/security", kind: "securityfs", optional: false },
    Mount { source: "devpts", target: "/dev/pts", kind: "devpts", optional: false },
    Mount { source: "tmpfs", target: "/run", kind: "tmpfs", optional: false },
    Mount { source: "tmpfs", target: "/tmp", kind: "tmpfs", optional: false },
];

const LATE: [Mount; 2] = [
    Mount { source: "efivarfs", target: "/sys/firmware/efi/efivars", kind: "efivarfs", optional: true },
    Mount { source: "xenfs", target: "/proc/xen", kind: "xenfs", optional: true },
];

/// Mounts what needs no module.
pub(crate) fn early(console: &mut Console) {
    all(&EARLY, console);
}

/// Mounts what needs modules.
pub(crate) fn late(console: &mut Console) {
    all(&LATE, console);
}

/// Keeps the kernel's messages off the console; they stay in its log.
pub(crate) fn quiet_kernel() {
    // Only a line that is not written is lost where this fails.
    drop(fs::write("/proc/sys/kernel/printk", "1"));
}

fn all(mounts: &[Mount], console: &mut Console) {
    for it in mounts {
        // Folders of sysfs and procfs exist or cannot be made; mount tells which.
        drop(fs::create_dir_all(it.target));
        let result = mount(it.source, it.target, it.kind, MountFlags::empty(), None);
        match result {
            // Busy: the kernel mounted it before process 1 ran.
            Ok(()) | Err(rustix::io::Errno::BUSY) => {}
            Err(_) if it.optional => {}
            Err(error) => console.trouble("mount", &format!("{}: {error}", it.target)),
        }
    }
}
