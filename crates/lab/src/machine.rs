//! One machine: QEMU with firmware that enforces Secure Boot, its own variables, its own disk.
//!
//! The serial line, the firmware's log and QEMU's control socket are kept apart. A machine ends with the value that
//! stands for it. Every wait has a limit; where the limit passes, that is an error and no answer.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};

use crate::esp::{self, DiskFile};
use crate::root::{Root, SHARED};
use crate::varstore::{self, Settings};

/// What QEMU emulates, without what it emulates too badly for Xen: RDTSCP does not work in PVH guests, SMAP not in
/// dom0, and with all of the others memory of dom0's programs is corrupted as soon as `xl` makes a guest (seen as
/// wrong sums, crashes of `xl` and of process 1).
pub(crate) const PROCESSOR: &str = "max,-smap,-rdtscp,-xsave,-avx,-avx2,-fsgsbase";

/// How dom0 runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dom0 {
    /// Paravirtualised.
    Pv,
    /// In a container of the processor's.
    Pvh,
}

impl Dom0 {
    /// As it stands in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pv => "pv",
            Self::Pvh => "pvh",
        }
    }

    /// The processor, the memory and the devices that this kind of dom0 needs from QEMU.
    const fn hardware(self) -> &'static [&'static str] {
        match self {
            Self::Pv => &["-cpu", PROCESSOR, "-m", "1024"],
            // Xen wants an IOMMU for it.
            Self::Pvh => &["-cpu", PROCESSOR, "-m", "3072", "-device", "amd-iommu"],
        }
    }
}

/// What a machine starts with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Firmware {
    /// UEFI that enforces Secure Boot where it has keys.
    #[default]
    Secure,
    /// UEFI that knows nothing of Secure Boot: a variable of that name is what somebody stored.
    Plain,
    /// A PC's BIOS. It starts what QEMU is told to, or its first disk.
    Bios,
}

/// A machine to be started.
#[derive(Clone, Debug)]
pub struct Setup {
    /// What it starts with.
    pub firmware: Firmware,
    /// The kind of dom0 that will run.
    pub dom0: Dom0,
    /// What the firmware knows.
    pub settings: Settings,
    /// What its disk holds.
    pub disk: Vec<DiskFile>,
    /// What QEMU gets beside.
    pub extra: Extra,
}

/// What QEMU gets beside what every machine has.
#[derive(Clone, Debug, Default)]
pub struct Extra {
    /// Further arguments.
    pub arguments: Vec<String>,
    /// Files that they name, below [`SHARED`].
    pub files: Vec<(String, Vec<u8>)>,
}

/// A line of the serial port.
#[derive(Clone, Debug)]
pub struct Heard {
    /// How long after the start.
    pub after: Duration,
    /// The line, without its end.
    pub text: String,
}

/// A running machine; it is killed when this goes.
#[derive(Debug)]
pub struct Machine {
    child: Child,
    /// The keyboard on the serial line. Held open: QEMU would read its end as a closed terminal.
    stdin: Option<ChildStdin>,
    lines: Receiver<io::Result<Heard>>,
    folder: PathBuf,
    errors: Option<thread::JoinHandle<String>>,
}

/// What comes next from a machine.
#[derive(Debug)]
pub enum Next {
    /// A line.
    Line(Heard),
    /// The machine is off.
    Off,
}

impl Setup {
    /// Starts the machine. `folder` takes its files; it must be empty.
    ///
    /// # Errors
    /// Where its files cannot be written or QEMU does not start.
    pub fn start(&self, root: &Root, folder: &Path) -> Result<Machine> {
        fs::create_dir_all(folder)?;
        let code = match self.firmware {
            Firmware::Secure => Some("OVMF_CODE_4M.secboot.fd"),
            Firmware::Plain => Some("OVMF_CODE_4M.fd"),
            Firmware::Bios => None,
        };
        if code.is_some() {
            fs::write(folder.join("variables"), variables(root, &self.settings)?)
                .context("the firmware's variables cannot be written")?;
        }
        esp::write(&folder.join("disk"), &self.disk)?;
        for (name, bytes) in &self.extra.files {
            fs::write(folder.join(name), bytes).with_context(|| format!("{name} cannot be written"))?;
        }
        let mut command = root.command("qemu-system-x86_64", Some(folder));
        command.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
        command.args(["-accel", "tcg,thread=single"]).args(self.dom0.hardware());
        if self.firmware == Firmware::Secure {
            command.args(["-machine", "q35,smm=on"]);
            command.args(["-global", "driver=cfi.pflash01,property=secure,value=on"]);
        } else {
            command.args(["-machine", "q35"]);
        }
        command.args(["-global", "ICH9-LPC.disable_s3=1"]);
        if let Some(code) = code {
            let code = format!("if=pflash,format=raw,unit=0,readonly=on,file=/usr/share/OVMF/{code}");
            command.args(["-drive", &code]);
            command.args(["-drive", &format!("if=pflash,format=raw,unit=1,file={SHARED}/variables")]);
        }
        command.args(["-drive", &format!("if=none,id=disk,format=raw,file={SHARED}/disk")]);
        command.args(["-device", "virtio-blk-pci,drive=disk"]);
        command.args(["-chardev", "stdio,id=serial,signal=off", "-serial", "chardev:serial"]);
        command.args(["-chardev", &format!("file,id=firmware,path={SHARED}/firmware.log")]);
        command.args(["-device", "isa-debugcon,iobase=0x402,chardev=firmware"]);
        command.args(["-qmp", &format!("unix:{SHARED}/qmp,server=on,wait=off")]);
        command.args(&self.extra.arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let started = Instant::now();
        let mut child = command.spawn().context("QEMU cannot be started inside the root")?;
        let stdout = child.stdout.take();
        let stderr = child.stderr.take();
        let (sender, lines) = mpsc::channel();
        let log = File::create(folder.join("serial.log"))?;
        let stdin = child.stdin.take();
        let mut machine = Machine { child, stdin, lines, folder: folder.to_owned(), errors: None };
        machine.errors = stderr.map(|pipe| thread::spawn(move || everything(pipe)));
        let stdout = stdout.ok_or_else(|| anyhow!("QEMU has no output"))?;
        thread::spawn(move || listen(stdout, log, started, &sender));
        Ok(machine)
    }
}

/// The firmware's flash image with `settings`.
pub(crate) fn variables(root: &Root, settings: &Settings) -> Result<Vec<u8>> {
    varstore::write(&fs::read(root.file("/usr/share/OVMF/OVMF_VARS_4M.fd")?)?, settings)
}

impl Machine {
    /// The folder with its files: `serial.log` has every byte that it said so far.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The next line, or that the machine is off.
    ///
    /// # Errors
    /// Where `until` passes, or QEMU failed.
    pub fn next(&mut self, until: Instant) -> Result<Next> {
        match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(Ok(line)) => Ok(Next::Line(line)),
            Ok(Err(error)) => Err(error).context("the log of the serial line cannot be written"),
            Err(RecvTimeoutError::Timeout) => {
                let state = self.ask("query-status").unwrap_or_else(|error| format!("{error:#}"));
                bail!("time is up; the machine says {state}; {}", self.last_lines())
            }
            Err(RecvTimeoutError::Disconnected) => {
                let status = self.child.wait()?;
                let said = self.errors.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
                if !status.success() {
                    bail!("QEMU failed ({status}): {}; {}", said.trim(), self.last_lines());
                }
                Ok(Next::Off)
            }
        }
    }

    /// Types `text` on the serial line.
    ///
    /// # Errors
    /// Where QEMU does not take it.
    pub fn types(&self, text: &str) -> Result<()> {
        let mut keyboard = self.stdin.as_ref().context("QEMU has no input")?;
        keyboard.write_all(text.as_bytes()).context("QEMU takes no input")
    }

    /// Puts a question without arguments to QEMU.
    ///
    /// # Errors
    /// Where QEMU does not answer within seconds.
    pub fn ask(&self, command: &str) -> Result<String> {
        self.control(&serde_json::json!({ "execute": command }))
    }

    /// `size` bytes of the machine's physical memory.
    ///
    /// # Errors
    /// Where QEMU does not answer, or has no such memory.
    pub fn memory(&self, address: u64, size: u64) -> Result<Vec<u8>> {
        let name = format!("memory-{address:x}");
        let inside = format!("{SHARED}/{name}");
        let arguments = serde_json::json!({ "val": address, "size": size, "filename": inside });
        self.control(&serde_json::json!({ "execute": "pmemsave", "arguments": arguments }))?;
        Ok(fs::read(self.folder.join(name))?)
    }

    fn control(&self, command: &serde_json::Value) -> Result<String> {
        const PATIENCE: Duration = Duration::from_secs(5);
        // By way of the folder's descriptor, because the path of a socket must be short.
        let folder = File::open(&self.folder)?;
        let socket = UnixStream::connect(format!("/proc/self/fd/{}/qmp", folder.as_raw_fd()))
            .context("QEMU's control socket")?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let mut reader = BufReader::new(socket.try_clone()?);
        let mut answer = |command: Option<&serde_json::Value>| -> Result<serde_json::Value> {
            if let Some(command) = command {
                writeln!(&socket, "{command}")?;
            }
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line)? == 0 {
                    bail!("QEMU's control socket was closed");
                }
                let said: serde_json::Value = serde_json::from_str(&line)?;
                // Events come in between.
                if said.get("event").is_none() {
                    return Ok(said);
                }
            }
        };
        answer(None)?;
        answer(Some(&serde_json::json!({ "execute": "qmp_capabilities" })))?;
        let said = answer(Some(command))?;
        match said.get("return") {
            Some(value) => Ok(value.to_string()),
            None => bail!("QEMU refused {command}: {said}"),
        }
    }

    /// The last words on the serial line, for an error.
    pub(crate) fn last_lines(&self) -> String {
        let log = fs::read(self.folder.join("serial.log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
        let last = lines.get(lines.len().saturating_sub(8)..).unwrap_or_default().join("\n  ");
        format!("its last lines:\n  {last}")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It may have ended by itself; either way nothing is left to do about an error.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn everything(mut pipe: impl Read) -> String {
    let mut bytes = Vec::new();
    // What came before an error is still worth reading.
    let _ = pipe.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Copies what comes to the log at once, and hands on whole lines. Without the log there is no evidence: what comes
/// after an error is not handed on.
fn listen(mut pipe: impl Read, mut log: impl Write, started: Instant, sender: &mpsc::Sender<io::Result<Heard>>) {
    let mut line = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = match pipe.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(count) => count,
        };
        let bytes = buffer.get(..count).unwrap_or_default();
        if let Err(error) = log.write_all(bytes) {
            // Nobody listens any more where this fails.
            let _ = sender.send(Err(error));
            return;
        }
        for byte in bytes {
            if *byte != b'\n' {
                line.push(*byte);
                continue;
            }
            let heard = Heard { after: started.elapsed(), text: plain(&line) };
            line.clear();
            if sender.send(Ok(heard)).is_err() {
                return;
            }
        }
    }
    if !line.is_empty() {
        let _ = sender.send(Ok(Heard { after: started.elapsed(), text: plain(&line) }));
    }
}

/// A line without the sequences by which firmware paints its screen.
fn plain(line: &[u8]) -> String {
    let mut text = String::new();
    let line = String::from_utf8_lossy(line);
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        if character == '\u{1b}' {
            if characters.next_if_eq(&'[').is_some() {
                while characters.next().is_some_and(|inner| !inner.is_ascii_alphabetic()) {}
            }
        } else if character != '\r' {
            text.push(character);
        }
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cleared_of_the_firmwares_painting() {
        let painted =
            b"\x1b[2J\x1b[01;01H\x1b[=3hBdsDxe: failed to load Boot0001 \"x\" from \\x.efi: Access Denied\r";
        assert_eq!(plain(painted), "BdsDxe: failed to load Boot0001 \"x\" from \\x.efi: Access Denied");
        assert_eq!(plain(b"\x1b["), "");
        assert_eq!(plain(b"a\xffb"), "a\u{fffd}b");
    }

    #[test]
    fn whole_lines_arrive_and_the_log_has_every_byte() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("log");
        let (sender, lines) = mpsc::channel();
        listen(b"one\r\ntwo\nthr".as_slice(), File::create(&place).unwrap(), Instant::now(), &sender);
        drop(sender);
        let texts: Vec<String> = lines.iter().map(|heard| heard.unwrap().text).collect();
        assert_eq!(texts, ["one", "two", "thr"]);
        assert_eq!(fs::read(place).unwrap(), b"one\r\ntwo\nthr");
    }

    #[test]
    fn a_log_that_cannot_be_written_is_an_error() {
        let (sender, lines) = mpsc::channel();
        let full: &mut [u8] = &mut [0; 4];
        listen(b"one\ntwo\n".as_slice(), full, Instant::now(), &sender);
        drop(sender);
        assert!(lines.recv().unwrap().is_err());
        assert!(lines.recv().is_err());
    }
}
