//! Counts instructions per option: the engine, which also judges each option, against Xen's own parser, which has
//! a table of all of Xen's options and handlers that do nothing.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use lockdown_core::xen_text;
use lockdown_policy::catalogue;

use crate::xen_parser;

/// The goal: the engine takes at most one instruction where Xen takes five.
const GOAL: f64 = 0.2;
const LINES: usize = 200;
/// How often each line is parsed; a run with twice as many is subtracted, which leaves start-up out.
const TIMES: u32 = 5;

/// What people write, in about the proportions of distributions' manuals and forums.
const TYPICAL: &[&str] = &[
    "placeholder",
    "dom0_mem=4G,max:4G",
    "dom0_mem=2048M",
    "dom0_max_vcpus=4",
    "dom0_max_vcpus=1-8",
    "dom0_vcpus_pin",
    "console=com1,vga",
    "console=vga",
    "com1=115200,8n1",
    "com2=57600,8n1",
    "loglvl=all",
    "guest_loglvl=all",
    "loglvl=warning",
    "guest_loglvl=none/warning",
    "noreboot",
    "noreboot=1",
    "sync_console",
    "console_timestamps=boot",
    "console_to_ring",
    "conring_size=64k",
    "vga=current",
    "vga=gfx-1024x768x32,keep",
    "ucode=scan",
    "ucode=no-digest-check",
    "iommu=on",
    "iommu=verbose,debug",
    "iommu=no-igfx",
    "iommu=force,required",
    "smt=off",
    "no-smt",
    "smt",
    "hap=1",
    "no-hap",
    "hap_1gb=on",
    "hap_2mb",
    "spec-ctrl=no",
    "spec-ctrl=xen",
    "spec-ctrl=gds-mit=no",
    "xpti=dom0=false",
    "pv-l1tf=off",
    "sched=credit",
    "sched=credit2",
    "sched-gran=core",
    "cpufreq=xen:performance,verbose",
    "cpufreq=xen,ondemand",
    "max_cstate=1",
    "max_cstate=2",
    "cpuidle",
    "nospec",
    "maxcpus=8",
    "mem=8G",
    "nosmp",
    "crashkernel=256M",
    "crashkernel=0-:256M",
    "watchdog",
    "watchdog_timeout=30",
    "nmi=dom0",
    "nmi=fatal",
    "acpi=force",
    "apic_verbosity=debug",
    "e820-verbose",
    "lapic",
    "x2apic=off",
    "tsc=unstable",
    "clocksource=hpet",
    "gnttab_max_frames=256",
    "gnttab_max_maptrack_frames=1024",
    "flask=enforcing",
    "flask=permissive",
    "altp2m=1",
    "ept=exec-sp",
    "vpmu=bts",
    "pku",
    "smep=hvm",
    "smap=1",
    "cet=no-shstk",
    "dom0=pvh",
    "dom0=pv,shadow",
    "dom0-iommu=map-inclusive",
    "reboot=acpi",
    "tickle_one_idle_cpu",
    "unrestricted_guest=0",
    "msi",
    "pci=serr",
    "efi=no-rs",
    "efi=attr=uc",
    "ioapic_ack=new",
    "xsave=1",
    "invpcid=off",
    "pcid=xpti",
    "psr=cmt",
    "mce=off",
    "lockdown",
    "lockdown=integrity",
];

/// Prints the table; fails if the goal is missed.
pub(crate) fn run(root: &Path, tree: &Path) -> Result<ExitCode> {
    let folder = xen_parser::temporary_folder(root)?;
    let lines = lines();
    let path = folder.path().join("lines");
    fs::write(&path, lines.join("\n") + "\n").context("the lines cannot be written")?;
    let options: usize = lines.iter().map(|line| count_options(line.as_bytes())).sum();

    xen_parser::extract(tree, folder.path())?;
    let (registrations, text) = registrations()?;
    fs::write(folder.path().join("options.c"), text).context("options.c cannot be written")?;
    let bench = root.join(xen_parser::OUR_FOLDER).join("bench.c");
    let xen = xen_parser::compile(root, tree, folder.path(), &[bench])?;
    let engine = build("xen_tokens", root)?;

    let per_option = |program: &Path| -> Result<f64> {
        let line = path.as_os_str();
        let once = instructions(program, line, TIMES, folder.path())?;
        let twice = instructions(program, line, 2 * TIMES, folder.path())?;
        let more = twice.checked_sub(once).context("twice the work took fewer instructions")?;
        Ok(as_float(more)? / (f64::from(TIMES) * as_float(u64::try_from(options)?)?))
    };
    let xen = per_option(&xen)?;
    let engine = per_option(&engine)?;
    let ratio = engine / xen;
    println!("{} lines, {options} options, {registrations} registrations", lines.len());
    println!("                      instructions per option");
    println!("Xen's parse_params    {xen:>10.0}");
    println!("engine, with verdict  {engine:>10.0}");
    println!("ratio                 {ratio:>10.3}  (goal: at most {GOAL})");
    Ok(if ratio <= GOAL { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Lines of 1 to 12 options, the same at every run.
fn lines() -> Vec<String> {
    // Two steps without a common divisor with the number of options, so that each comes up about as often.
    let mut at = 0;
    let mut next = || {
        at = (at + 37) % TYPICAL.len();
        TYPICAL.get(at).copied().unwrap_or_default()
    };
    (0..LINES).map(|line| (0..=line * 7 % 12).map(|_| next()).collect::<Vec<_>>().join(" ")).collect()
}

fn count_options(line: &[u8]) -> usize {
    let mut at = 0;
    std::iter::from_fn(|| {
        let range = xen_text::next_token(line, at)?;
        at = range.end;
        Some(())
    })
    .count()
}

/// A registration in C for each of Xen 4.20's options on x86, and how many there are.
fn registrations() -> Result<(usize, String)> {
    let mut text = String::new();
    let mut count = 0;
    for option in catalogue::XEN {
        if !option.xen.contains(&"4.20") || !option.arch.contains(&"x86") {
            continue;
        }
        for kind in option.kinds {
            let name = option.name;
            text += &match *kind {
                "custom" => format!(
                    "static int option_{count}(const char *s) {{ return 0; }}\ncustom_param(\"{name}\", option_{count});\n"
                ),
                "boolean" => format!("static bool option_{count};\nboolean_param(\"{name}\", option_{count});\n"),
                "integer" => {
                    format!("static unsigned int option_{count};\ninteger_param(\"{name}\", option_{count});\n")
                }
                "size" => format!("static uint64_t option_{count};\nsize_param(\"{name}\", option_{count});\n"),
                "string" => {
                    format!("static char option_{count}[128];\nstring_param(\"{name}\", option_{count});\n")
                }
                "ignore" => format!("ignore_param(\"{name}\");\n"),
                other => bail!("the option {name} is of a kind that is not known: {other}"),
            };
            count += 1;
        }
    }
    Ok((count, text))
}

/// Builds a program of `benches/` and says where it is.
pub(crate) fn build(name: &str, root: &Path) -> Result<PathBuf> {
    let output = Command::new("cargo")
        .args(["bench", "--quiet", "--package", "lockdown-core", "--bench", name, "--no-run"])
        .arg("--message-format=json")
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()
        .context("cargo cannot be started")?;
    if !output.status.success() {
        bail!("the benchmark {name} does not build");
    }
    let messages = String::from_utf8(output.stdout)?;
    let executable = |line: &str| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        Some(PathBuf::from(message.get("executable")?.as_str()?))
    };
    messages.lines().find_map(executable).context("cargo does not say where the benchmark is")
}

/// How many instructions a program takes for so many rounds of what its argument says.
pub(crate) fn instructions(program: &Path, argument: &OsStr, times: u32, folder: &Path) -> Result<u64> {
    let out = folder.join("callgrind.out");
    let output = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(program)
        .arg(argument)
        .arg(times.to_string())
        .output()
        .context("valgrind cannot be started")?;
    if !output.status.success() {
        bail!("{} failed under valgrind:\n{}", program.display(), String::from_utf8_lossy(&output.stderr));
    }
    let profile = fs::read_to_string(&out).context("callgrind wrote no profile")?;
    let total = profile.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok());
    total.context("callgrind's profile has no total")
}

/// Counts here are far below the 52 bits that a float holds exactly.
fn as_float(count: u64) -> Result<f64> {
    Ok(f64::from(u32::try_from(count).context("too many instructions to count")?))
}
