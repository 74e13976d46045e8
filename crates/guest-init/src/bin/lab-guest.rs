//! All that runs in a guest of the lab: process 1, and `poweroff` where the kernel is asked to shut down.
//!
//! On its console it says who it is, tells its memory every second, and repeats every line that it reads: enough to
//! see from outside whether the guest runs, how large it is, and whether its console has two ends.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use rustix::mount::{MountFlags, mount};

const MOUNTS: [(&str, &str); 3] = [("devtmpfs", "/dev"), ("proc", "/proc"), ("sysfs", "/sys")];

fn main() -> ExitCode {
    if std::env::args().next().is_some_and(|name| name.ends_with("/poweroff")) {
        return power_off();
    }
    for (kind, target) in MOUNTS {
        // Whatever fails is missing in what is said below, and that is what the lab looks at.
        drop(fs::create_dir_all(target));
        let _ = mount(kind, target, kind, MountFlags::empty(), None);
    }
    drop(fs::write("/proc/sys/kernel/printk", "1"));
    let kind = fs::read_to_string("/sys/hypervisor/guest_type").unwrap_or_default();
    say(&format!("{} up as {}", id(), kind.trim()));

    // Without a thread nothing is repeated, which the lab sees.
    drop(thread::Builder::new().spawn(repeat));
    for count in 0_u64.. {
        say(&format!("tick {count} memory {}", memory().as_deref().unwrap_or("unknown")));
        thread::sleep(Duration::from_secs(1));
    }
    ExitCode::SUCCESS
}

/// Called by the kernel, because the toolstack asked it to.
fn power_off() -> ExitCode {
    say("poweroff was asked for");
    rustix::fs::sync();
    // The last line must be out before the guest is gone.
    thread::sleep(Duration::from_millis(500));
    match rustix::system::reboot(rustix::system::RebootCommand::PowerOff) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("poweroff failed: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn repeat() {
    let Ok(console) = console() else { return };
    for line in BufReader::new(console).lines() {
        let Ok(line) = line else { return };
        say(&format!("heard {}", line.trim()));
    }
}

/// The name that the command line gives to this guest.
fn id() -> String {
    let line = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    let id = line.split_ascii_whitespace().find_map(|word| word.strip_prefix("lab.id="));
    id.unwrap_or("nobody").to_owned()
}

/// The kernel's memory in kilobytes, as text.
fn memory() -> Option<String> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(line.split_ascii_whitespace().next()?.to_owned())
}

fn say(line: &str) {
    if let Ok(mut console) = console() {
        drop(console.write_all(format!("guest: {line}\n").as_bytes()));
    }
}

fn console() -> std::io::Result<File> {
    let flags = i32::try_from(rustix::fs::OFlags::NOCTTY.bits()).unwrap_or(0);
    OpenOptions::new().read(true).write(true).custom_flags(flags).open("/dev/hvc0")
}
