//! The lab by hand: makes its root, boots a machine with a plan.

use std::fs;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand, ValueEnum};

use lockdown_lab::boot::End;
use lockdown_lab::console::Verdict;
use lockdown_lab::cost;
use lockdown_lab::count::{self, Build};
use lockdown_lab::hammer;
use lockdown_lab::image::Parts;
use lockdown_lab::inside::{self, Inside};
use lockdown_lab::kernels::{self, WAYS, Way};
use lockdown_lab::lab::{self, Lab, Scenario, Xen};
use lockdown_lab::machine::Dom0;
use lockdown_lab::plan::{Plan, Step};
use lockdown_lab::prove;
use lockdown_lab::root::{Contents, Root};
use lockdown_lab::toolstack;

/// The lab by hand; `xen-lockdown prove` is what runs everything
#[derive(Parser)]
#[command(name = "lockdown-lab")]
struct Arguments {
    /// Where the lab keeps its files [default: lab in cargo's target folder]
    #[arg(long, global = true, value_name = "DIR")]
    folder: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
#[allow(clippy::large_enum_variant, reason = "there is one, for as long as the program runs")]
enum Command {
    /// Make the Debian root if it is not there; print its folder
    Root {
        /// What it is for
        #[arg(long, value_enum, default_value_t)]
        contents: Contents,
    },
    /// Build the guard for Debian's kernels, the newest in backports among them, in every way that a distribution has, and
    /// boot the newest; say what came of it
    GuardKernels {
        /// Only this; may be given more than once
        #[arg(long, value_enum, value_name = "WAY")]
        only: Vec<Way>,
    },
    /// Boot Debian's Xen and kernel under Secure Boot, carry out a plan, print what the machine says
    Boot {
        /// How dom0 runs
        #[arg(long, value_enum, default_value_t = Kind::Pv)]
        dom0: Kind,
        /// What process 1 does [default: nothing]
        #[arg(long, value_name = "FILE")]
        plan: Option<PathBuf>,
        /// What the boot entry says; the first word is the image's name
        #[arg(long, value_name = "TEXT", default_value = "")]
        options: String,
        /// More options for Xen, signed with the image
        #[arg(long, value_name = "TEXT", default_value = "")]
        xen: String,
        /// More options for dom0's kernel, signed with the image
        #[arg(long, value_name = "TEXT", default_value = "")]
        linux: String,
        /// A further file for the initramfs: PATH=FILE
        #[arg(long, value_name = "PATH=FILE")]
        add: Vec<String>,
        /// A Xen to boot instead of Debian's: a xen.efi without sections of its own
        #[arg(long, value_name = "FILE")]
        hypervisor: Option<PathBuf>,
        /// An attack to run, its twin first; may be given more than once
        #[arg(long, value_name = "ID", conflicts_with = "plan")]
        attack: Vec<String>,
        /// Run every attack from inside that leaves the machine healthy
        #[arg(long, conflicts_with_all = ["plan", "attack"])]
        attacks: bool,
        /// Run the toolstack's steps
        #[arg(long, conflicts_with_all = ["plan", "attack", "attacks"])]
        toolstack: bool,
        /// Load the guard first, as the columns called locked do
        #[arg(long)]
        guard: bool,
        /// The root that the programs and the kernel come from
        #[arg(long, value_enum, default_value_t)]
        root: Contents,
        /// Boot without Secure Boot
        #[arg(long)]
        insecure: bool,
        /// Another configuration than the lab's, in place of --xen and --linux
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Leave a section out of the image
        #[arg(long, value_enum)]
        without: Vec<Section>,
        /// A further file for the disk: PATH=FILE, or PATH=kernel or PATH=ramdisk for the image's own
        #[arg(long, value_name = "PATH=FILE")]
        disk: Vec<String>,
        /// A text on the console at which the boot is over
        #[arg(long, value_name = "TEXT")]
        stop_at: Vec<String>,
        /// Keep the machine's files
        #[arg(long)]
        keep: bool,
    },
    /// Throw random calls at the guard in a booted dom0 and see whether anything breaks
    Hammer {
        /// How many ioctls
        #[arg(long, value_name = "NUMBER", default_value_t = 1_000_000)]
        calls: u64,
        /// What they are made from: the same seed gives the same calls [default: the time]
        #[arg(long, value_name = "NUMBER")]
        seed: Option<u64>,
        /// How dom0 runs
        #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Kind::Pv, Kind::Pvh])]
        dom0: Vec<Kind>,
        /// Processors of the machine; QEMU emulates a PVH dom0 with more than one too badly
        #[arg(long, value_name = "NUMBER", default_value_t = 1)]
        processors: u32,
        /// Keep the machine's files
        #[arg(long)]
        keep: bool,
    },
    /// Count what the guard costs: the same calls with Linux's own driver and with the guard (benches/README.md)
    GuardCost {
        /// How dom0 runs
        #[arg(long, value_enum, default_value_t = Kind::Pv)]
        dom0: Kind,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Keep the machines' files
        #[arg(long)]
        keep: bool,
    },
    /// Count what lockdown costs: the same machine with two builds of Xen (benches/README.md)
    Count {
        /// The folder with xen.efi, xen-syms and config of the build without lockdown [default: built]
        #[arg(long, value_name = "DIR")]
        without: Option<PathBuf>,
        /// The folder with those of the build with it [default: built]
        #[arg(long, value_name = "DIR")]
        with: Option<PathBuf>,
        /// How dom0 runs
        #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Kind::Pv, Kind::Pvh])]
        dom0: Vec<Kind>,
        /// Also tell how many instructions it takes to this function of Xen's; may be given up to twelve times
        #[arg(long, value_name = "FUNCTION")]
        until: Vec<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Keep the machines' files
        #[arg(long)]
        keep: bool,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Section {
    Config,
    Kernel,
    Ramdisk,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    Pv,
    Pvh,
}

impl From<Kind> for Dom0 {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Pv => Self::Pv,
            Kind::Pvh => Self::Pvh,
        }
    }
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: Arguments) -> Result<ExitCode> {
    let project = prove::project();
    let folder = arguments.folder.unwrap_or_else(prove::default_folder);
    match arguments.command {
        Command::Root { contents } => {
            println!("{}", Root::with(&folder, contents, &say)?.folder().display());
            Ok(ExitCode::SUCCESS)
        }
        Command::GuardKernels { only } => {
            let ways = if only.is_empty() { WAYS } else { &only };
            kernels::run(&folder, ways, &say, &|found| println!("{found}"))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Boot {
            dom0,
            plan,
            options,
            xen,
            linux,
            add,
            hypervisor,
            attack,
            attacks,
            toolstack: tools,
            guard,
            root,
            insecure,
            config,
            without,
            disk,
            stop_at,
            keep,
        } => {
            let mut lab = Lab::open_root(Root::with(&folder, root, &say)?, &project, &say)?;
            if keep {
                println!("{}", lab.keep().display());
            }
            let dom0 = dom0.into();
            let mut more = Vec::new();
            let plan = match plan {
                Some(file) => serde_json::from_slice(&fs::read(&file)?)
                    .with_context(|| format!("the plan {}", file.display()))?,
                None if tools => {
                    more = toolstack::files(&lab)?;
                    toolstack::plan(&lab)?
                }
                None => Plan::new(steps(&lab, &attack, attacks)?),
            };
            for pair in &add {
                let (path, file) = pair.split_once('=').context("--add takes PATH=FILE")?;
                more.push((path.to_owned(), fs::read(file)?));
            }
            let guard = guard.then(|| lab.guard(&say)).transpose()?;
            let started = Instant::now();
            let tried = match hypervisor {
                Some(file) => {
                    let image = fs::read(&file).with_context(|| file.display().to_string())?;
                    Xen { name: "given", image, guard }
                }
                None => Xen { guard, ..lab.stock.clone() },
            };
            let config = match config {
                Some(file) => fs::read_to_string(&file).with_context(|| file.display().to_string())?,
                None => lab::config(dom0, &xen, &linux),
            };
            let ramdisk = lab.initramfs_for(&tried, &plan, &more)?;
            let mut files = Vec::new();
            for pair in &disk {
                let (path, file) = pair.split_once('=').context("--disk takes PATH=FILE")?;
                let bytes = match file {
                    "kernel" => lab.kernel.clone(),
                    "ramdisk" => ramdisk.clone(),
                    file => fs::read(file).with_context(|| file.to_owned())?,
                };
                files.push((path.to_owned(), bytes));
            }
            let has = |section| !without.contains(&section);
            let parts = Parts {
                config: has(Section::Config).then_some(config),
                kernel: has(Section::Kernel).then(|| lab.kernel.clone()),
                ramdisk: has(Section::Ramdisk).then_some(ramdisk),
                ..Parts::default()
            };
            let image = lab.unified(&tried, &parts)?;
            let image = lab.signed(&image, &lab.keys.trusted)?;
            say(&format!("image of {} bytes after {:.1} s", image.bytes.len(), started.elapsed().as_secs_f64()));
            let mut scenario = Scenario::new("boot", dom0, image.bytes);
            scenario.options = options;
            scenario.secure_boot = !insecure;
            scenario.disk = files;
            scenario.stop_at = stop_at;
            let boot = lab.boot(&scenario)?;
            for line in &boot.lines {
                println!("{:8.2} {}", line.after.as_secs_f64(), line.text);
            }
            let [firmware, xen, kernel] = boot.times.seconds().map(|seconds| seconds.unwrap_or(f64::NAN));
            println!("end: {:?}; firmware {firmware:.1} s, xen {xen:.1} s, dom0 {kernel:.1} s", boot.end);
            Ok(if boot.end == End::Done { ExitCode::SUCCESS } else { ExitCode::from(1) })
        }
        Command::Hammer { calls, seed, dom0, processors, keep } => {
            let mut lab = Lab::open(&folder, &project, &say)?;
            if keep {
                eprintln!("{}", lab.keep().display());
            }
            let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs());
            let seed = seed.unwrap_or_else(now);
            let xen = prove::hypervisor(&lab, "locked", &say)?;
            let mut good = true;
            for dom0 in dom0 {
                let order = hammer::Order { dom0: dom0.into(), calls, seed, processors };
                println!("{}: seed {seed}", order.dom0.name());
                let answer = hammer::run(&lab, &xen, &order, &|line| println!("{line}"))?;
                good &= answer.verdict == Verdict::Works;
                println!(
                    "{}: {:?} after {:.0} s: {}",
                    order.dom0.name(),
                    answer.verdict,
                    answer.seconds,
                    answer.evidence
                );
            }
            Ok(if good { ExitCode::SUCCESS } else { ExitCode::from(1) })
        }
        Command::GuardCost { dom0, json, keep } => {
            let mut lab = Lab::open(&folder, &project, &say)?;
            if keep {
                eprintln!("{}", lab.keep().display());
            }
            let report = cost::run(&lab, dom0.into(), &say)?;
            if json {
                println!("{}", serde_json::to_string(&report)?);
            } else {
                print!("{}", report.text());
            }
            Ok(if report.missed().next().is_none() { ExitCode::SUCCESS } else { ExitCode::from(1) })
        }
        Command::Count { without, with, dom0, until, json, keep } => {
            let mut lab = Lab::open(&folder, &project, &say)?;
            let without = Build::get("stock", without.as_deref(), true, &lab.root, &folder, &say)?;
            let with = Build::get("locked", with.as_deref(), false, &lab.root, &folder, &say)?;
            if keep {
                eprintln!("{}", lab.keep().display());
            }
            let dom0: Vec<Dom0> = dom0.into_iter().map(Into::into).collect();
            let report = count::run(&lab, &project, &without, &with, &dom0, &until, &say)?;
            if json {
                println!("{}", serde_json::to_string(&report)?);
            } else {
                print!("{}", report.text());
            }
            Ok(if report.missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
        }
    }
}

/// What the attacks `ids`, or `all` of them that others can follow, are to do.
fn steps(lab: &Lab, ids: &[String], all: bool) -> Result<Vec<Step>> {
    if ids.is_empty() && !all {
        return Ok(Vec::new());
    }
    let known = inside::own(&lab.guest.attacks)?;
    if let Some(unknown) = ids.iter().find(|id| !known.iter().any(|attack| attack.id == **id)) {
        bail!("there is no attack {unknown:?}; `attacks list` names them");
    }
    let chosen = known.iter().filter(|attack| (all && attack.healthy) || ids.contains(&attack.id));
    Ok(chosen.flat_map(Inside::steps).collect())
}

/// A line for whoever watches; a log gets none.
fn say(message: &str) {
    if std::io::stderr().is_terminal() {
        eprintln!("{message}");
    }
}
