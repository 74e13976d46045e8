//! Images that `image build --guard` makes of initramfs archives as Debian's own programs make them: the guard stands before the first
//! of their shells is there, and where it cannot stand, no shell comes.
//!
//! It makes a Debian root and boots machines for minutes, so it runs only where it is asked for: `make initramfs-images`.
//! `INITRAMFS_ONLY` says which, by the beginning of their names; with `KEEP` their logs are kept.

#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use lockdown_lab::boot::{Boot, End};
use lockdown_lab::distribution::Maker;
use lockdown_lab::lab::{Lab, Scenario, Xen};
use lockdown_lab::machine::Dom0;
use lockdown_lab::prove;

/// One machine.
struct Row {
    name: &'static str,
    maker: Maker,
    /// What the signed line of dom0's kernel asks for beside.
    asks: &'static str,
    /// What is on the console where the shell is there.
    shell: &'static str,
    /// What is typed when a line says so.
    types: &'static [(&'static str, &'static str)],
    /// Whether the guard was changed after it was signed.
    changed: bool,
}

/// Asked in the shell.
const ASK: &str = "cat /proc/modules\n";

/// Where dracut has a shell, sulogin stands before it, and is told to let everybody in.
const LOG_IN: &[(&str, &str)] = &[("Press Enter for system maintenance", "\n"), ("(or press Control-D", ASK)];

const ROWS: &[Row] = &[
    Row {
        name: "initramfs-tools break=top",
        maker: Maker::InitramfsTools,
        asks: "break=top",
        shell: "Enter 'help' for a list of built-in commands",
        types: &[("Enter 'help' for a list", ASK)],
        changed: false,
    },
    Row {
        name: "initramfs-tools break=premount",
        maker: Maker::InitramfsTools,
        asks: "break=premount",
        shell: "Enter 'help' for a list of built-in commands",
        types: &[("Enter 'help' for a list", ASK)],
        changed: false,
    },
    Row {
        name: "initramfs-tools break=top, guard changed",
        maker: Maker::InitramfsTools,
        asks: "break=top",
        shell: "Enter 'help' for a list of built-in commands",
        types: &[("Enter 'help' for a list", ASK)],
        changed: true,
    },
    Row {
        name: "dracut rd.break=pre-udev",
        maker: Maker::Dracut,
        asks: "rd.shell rd.break=pre-udev SYSTEMD_SULOGIN_FORCE=1",
        shell: "Entering emergency mode",
        types: LOG_IN,
        changed: false,
    },
    Row {
        name: "dracut rd.break=cmdline",
        maker: Maker::Dracut,
        asks: "rd.shell rd.break=cmdline SYSTEMD_SULOGIN_FORCE=1",
        shell: "Entering emergency mode",
        types: LOG_IN,
        changed: false,
    },
    Row {
        name: "dracut rd.break=cmdline, guard changed",
        maker: Maker::Dracut,
        asks: "rd.shell rd.break=cmdline SYSTEMD_SULOGIN_FORCE=1",
        shell: "Entering emergency mode",
        types: LOG_IN,
        changed: true,
    },
];

/// The guard's own word in the kernel's log.
const STANDS: &str = "lockdown-guard: the guard stands";

/// What `/proc/modules` says of it, in the shell.
const LISTED: &str = "xen_privcmd,[permanent], Live";

#[test]
#[ignore = "makes a Debian root and boots machines for minutes: `make initramfs-images` runs it"]
fn the_guard_stands_before_any_shell_of_an_initramfs() {
    let say = |text: &str| println!("{text}");
    let mut lab = Lab::open(&prove::default_folder(), &prove::project(), &say).unwrap();
    if std::env::var_os("KEEP").is_some() {
        println!("kept in {}", lab.keep().display());
    }
    let only = std::env::var("INITRAMFS_ONLY").unwrap_or_default();
    let xen = prove::hypervisor(&lab, "locked", &say).unwrap();
    let mut initramfs: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
    let mut wrong = Vec::new();
    for row in ROWS.iter().filter(|row| row.name.starts_with(&only)) {
        let archive = initramfs.entry(row.maker.name()).or_insert_with(|| {
            let started = Instant::now();
            let archive = row.maker.make(&lab, &say).unwrap();
            println!("{:6.1} s  {}: {} bytes", started.elapsed().as_secs_f64(), row.maker.name(), archive.len());
            archive
        });
        let started = Instant::now();
        let found = boot(&lab, &xen, row, archive).and_then(|boot| Ok((judge(row, &boot)?, boot)));
        let seconds = started.elapsed().as_secs_f64();
        match found {
            Ok((seen, _)) => println!("{seconds:6.1} s  {}: {seen}", row.name),
            Err(error) => {
                println!("{seconds:6.1} s  {}: WRONG", row.name);
                wrong.push(format!("{}: {error:#}", row.name));
            }
        }
    }
    assert!(!initramfs.is_empty(), "no name begins with {only}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn boot(lab: &Lab, xen: &Xen, row: &Row, archive: &[u8]) -> Result<Boot> {
    let folder = tempfile::tempdir()?;
    let mut guard = xen.guard.clone().context("the lab has no guard")?;
    if row.changed {
        let middle = guard.len() / 2;
        guard[middle] ^= 1;
    }
    let config = format!(
        "[global]\ndefault=xen\n[xen]\noptions=console=com1 com1=115200,8n1 loglvl=all dom0_mem=1536M,max:1536M\n\
         kernel=vmlinuz console=hvc0 loglevel=7 {}\n",
        row.asks
    );
    let place = |name: &str| folder.path().join(name);
    for (name, bytes) in [
        ("xen.efi", xen.image.as_slice()),
        ("xen.cfg", config.as_bytes()),
        ("vmlinuz", &lab.kernel),
        ("initrd", archive),
        ("xen-privcmd.ko", &guard),
    ] {
        fs::write(place(name), bytes)?;
    }
    build(folder.path())?;
    let image = lab.signed(&fs::read(place("unified.efi"))?, &lab.keys.trusted)?;
    let mut scenario = Scenario::new(&row.name.replace([' ', ',', '='], "-"), Dom0::Pv, image.bytes);
    scenario.extra.arguments = vec!["-m".to_owned(), "2560".to_owned()];
    scenario.types = row.types.iter().map(|(mark, text)| ((*mark).to_owned(), (*text).to_owned())).collect();
    scenario.stop_at = vec![LISTED.to_owned()];
    lab.boot(&scenario)
}

fn build(folder: &Path) -> Result<()> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xen-lockdown"));
    command.args(["image", "build", "--xen", "xen.efi", "--config", "xen.cfg", "--kernel", "vmlinuz"]);
    command.args(["--ramdisk", "initrd", "--guard", "xen-privcmd.ko", "--output", "unified.efi"]);
    let output = command.current_dir(folder).output()?;
    ensure!(output.status.success(), "image build: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// What was seen, in one line; an error where it is not as it should be.
fn judge(row: &Row, boot: &Boot) -> Result<String> {
    let number = |text: &str| boot.lines.iter().position(|line| line.text.contains(text));
    let shell = number(row.shell);
    if row.changed {
        ensure!(shell.is_none(), "there is a shell without the guard\n{}", boot.console());
        let said = boot.line("xen-lockdown: no guard: ").context(boot.console())?;
        ensure!(boot.end == End::Off, "the machine did not go off: {:?}\n{}", boot.end, boot.console());
        return Ok(said.to_owned());
    }
    let stands = number(STANDS).with_context(|| format!("the guard does not stand\n{}", boot.console()))?;
    let shell = shell.with_context(|| format!("there is no shell\n{}", boot.console()))?;
    ensure!(stands < shell, "the shell was there before the guard\n{}", boot.console());
    let End::Seen(listed) = &boot.end else {
        anyhow::bail!("the shell does not show the guard: {:?}\n{}", boot.end, boot.console());
    };
    Ok(format!("the guard stands in line {stands}, the shell is there in line {shell}: {listed}"))
}
