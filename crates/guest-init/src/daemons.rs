//! Xen's daemons, run from where Debian keeps the real programs (its `/usr/sbin` has shell scripts).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::console::Console;

/// How long a daemon may take until it answers.
const PATIENCE: Duration = Duration::from_secs(90);

/// Starts `names` in their order, each in the foreground as a child of process 1.
pub(crate) fn start(names: &[String], console: &mut Console) {
    for folder in
        ["/run/xen", "/run/xenstored", "/run/lock", "/var/log/xen/console", "/var/lib/xen", "/var/lib/xenstored"]
    {
        drop(fs::create_dir_all(folder));
    }
    // Debian's programs look below /var/run, which is /run.
    drop(std::os::unix::fs::symlink("/run", "/var/run"));
    drop(std::os::unix::fs::symlink("/run/lock", "/var/lock"));
    for name in names {
        let result = match name.as_str() {
            "xenstored" => xenstored(),
            "xenconsoled" => spawn("xenconsoled", &["-i", "--log=guest", "--log-dir=/var/log/xen/console"]),
            other => spawn(other, &[]),
        };
        if let Err(message) = result {
            console.trouble("daemons", &format!("{name}: {message}"));
        }
    }
}

fn xenstored() -> Result<(), String> {
    spawn("xenstored", &["-N"])?;
    let begin = Instant::now();
    while !Path::new("/run/xenstored/socket").exists() {
        if begin.elapsed() > PATIENCE {
            return Err("its socket does not appear".to_owned());
        }
        thread::sleep(Duration::from_millis(20));
    }
    // Writes what the toolstack expects of domain 0 into xenstore.
    let program = find("xen-init-dom0").ok_or("xen-init-dom0 is not in the initramfs")?;
    let mut child = Command::new(program)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("xen-init-dom0: {error}"))?;
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("xen-init-dom0: {status}")),
            Ok(None) if begin.elapsed() > PATIENCE => {
                drop(child.kill());
                return Err("xen-init-dom0 does not end".to_owned());
            }
            Ok(None) => thread::sleep(Duration::from_millis(20)),
            Err(error) => return Err(format!("xen-init-dom0: {error}")),
        }
    }
}

fn spawn(name: &str, arguments: &[&str]) -> Result<(), String> {
    let program = find(name).ok_or("not in the initramfs")?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // The handle is not kept: process 1 never waits for a daemon.
    command.spawn().map(drop).map_err(|error| error.to_string())
}

/// The program `name` of the newest Xen in the initramfs, or of the system.
fn find(name: &str) -> Option<PathBuf> {
    let mut folders: Vec<PathBuf> = Vec::new();
    if let Ok(entries) = fs::read_dir("/usr/lib") {
        folders.extend(
            entries
                .flatten()
                .filter(|entry| entry.file_name().to_string_lossy().starts_with("xen-"))
                .map(|entry| entry.path().join("bin")),
        );
    }
    folders.sort();
    folders.reverse();
    folders.extend(["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from));
    folders.into_iter().map(|folder| folder.join(name)).find(|path| path.is_file())
}
