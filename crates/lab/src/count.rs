//! What lockdown costs, in instructions: the same machine with two builds of Xen, counted by a plugin of QEMU's.
//!
//! Machines run under `-icount`: their clock is the number of instructions, so that what they do does not depend on
//! this machine's speed or load. `benches/README.md` tells what is counted from where to where, and the figures.

mod places;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::boot::{Boot, End};
use crate::console::Verdict;
use crate::hypervisor::{self, Settings, Tree};
use crate::image::Parts;
use crate::lab::{self, Lab, OTHER_PROGRAM, Scenario, Xen};
use crate::machine::{Dom0, Extra, PROCESSOR};
use crate::plan::Step;
use crate::root::{Root, SHARED};
use places::{Places, Sizes};

/// The schema of the report.
pub const SCHEMA: &str = "xen-lockdown/cost/1";

/// Boot to dom0's first instruction, with lockdown, by that without.
pub const MOST_BOOT: f64 = 1.01;
/// Instructions that a permitted domctl may take more.
pub const MOST_DOMCTL: i64 = 60;
/// Bytes that Xen's text may grow by.
pub const MOST_TEXT: i64 = 32 << 10;

/// The plugin's source, from the project's folder.
const PLUGIN: &str = "benches/count-plugin/count.c";
/// The plugin, and what it writes, in a machine's folder.
const LIBRARY: &str = "count.so";
const COUNTS: &str = "count.json";

/// An instruction takes 2 to this power nanoseconds of the machine's time. The slower the machine is, the less of a
/// boot is waiting, which is not counted as work then; a PVH dom0 is too busy with the clock to start in one that is
/// slower than this.
const fn shift(dom0: Dom0) -> u32 {
    match dom0 {
        Dom0::Pv => 6,
        Dom0::Pvh => 3,
    }
}

/// How many domctls of each kind are made.
const CALLS: u64 = 1000;

/// What names of points begin with that are functions.
const UNTIL: &str = "until-";

/// The name of the step that makes them, and of the first group, which prepares the others and is not compared.
const STEP: &str = "domctls";
const PREPARATION: &str = "preparation";

/// Where Linux's own code lies in a paravirtual dom0; Xen's lies in the half below (Xen, `asm/config.h`).
const KERNEL: &str = "ffffffff80000000:ffffffffffffffff";

/// A build of Xen.
#[derive(Clone, Debug)]
pub struct Build {
    /// What it is called in the report.
    pub name: &'static str,
    xen: Xen,
    places: Places,
    sizes: Sizes,
    config: String,
}

impl Build {
    /// The build in `folder`; where none is given, Debian's Xen, built below `lab` or found there, as it is or with
    /// lockdown.
    ///
    /// # Errors
    /// Where it cannot be built, a file is missing, or it has no symbols.
    pub fn get(
        name: &'static str,
        folder: Option<&Path>,
        stock: bool,
        root: &Root,
        lab: &Path,
        say: &(dyn Fn(&str) + Sync),
    ) -> Result<Self> {
        if let Some(folder) = folder {
            return Self::read(name, folder);
        }
        let lab = fs::canonicalize(lab)?;
        let tree = Tree::open(&hypervisor::debian_tree(&lab, say)?)?;
        let settings = Settings { stock, ..Settings::default() };
        let built = hypervisor::build_tree(root, &lab, &tree, &settings, say)?;
        Self::read(name, built.efi.parent().context("what was built lies nowhere")?)
    }

    /// Reads `xen.efi`, `xen-syms` and `config` in `folder`.
    fn read(name: &'static str, folder: &Path) -> Result<Self> {
        let file = |name: &str| -> Result<(PathBuf, Vec<u8>)> {
            let path = folder.join(name);
            let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
            Ok((path, bytes))
        };
        let (path, image) = file("xen.efi")?;
        let places = Places::of(&image).with_context(|| path.display().to_string())?;
        let (path, syms) = file("xen-syms")?;
        let sizes = Sizes::of(&syms).with_context(|| path.display().to_string())?;
        let (path, config) = file("config")?;
        let config = String::from_utf8(config).with_context(|| path.display().to_string())?;
        Ok(Self { name, xen: Xen { name, image, guard: None }, places, sizes, config })
    }
}

/// Two numbers that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Pair {
    /// Without lockdown.
    pub without: u64,
    /// With it.
    pub with: u64,
}

impl Pair {
    /// How much more it is with lockdown.
    #[must_use]
    pub fn difference(self) -> i64 {
        i64::try_from(i128::from(self.with) - i128::from(self.without)).unwrap_or(i64::MAX)
    }

    /// With lockdown, by without.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "nobody reads so many digits")]
    pub fn ratio(self) -> f64 {
        self.with as f64 / self.without as f64
    }
}

/// What one kind of dom0 gave.
#[derive(Clone, Debug, Serialize)]
pub struct Column {
    /// How dom0 runs.
    pub dom0: Dom0,
    /// From Xen's first instruction to dom0's first, without the rounds of repeated string instructions.
    pub boot: Pair,
    /// The same with them.
    pub boot_with_repeats: Pair,
    /// Of these, until the part that runs under the firmware is over.
    pub loader: Pair,
    /// From Xen's first instruction to the first execution of further functions, without the rounds.
    pub until: Vec<(String, Pair)>,
    /// The shortest domctl of each kind: the whole way from the hypercall's dispatcher, which holds do_domctl.
    pub domctl: Vec<(String, Pair)>,
    /// The same, from do_domctl's first instruction.
    pub do_domctl: Vec<(String, Pair)>,
}

/// Everything.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// By dom0.
    pub columns: Vec<Column>,
    /// Xen's code, as `size` counts it in `xen-syms`.
    pub text: Pair,
    /// What is only read, and `size` does not count as text.
    pub read_only: Pair,
    /// Every limit that was missed.
    pub missed: Vec<String>,
}

/// Boots both builds with each kind of dom0 and compares them.
///
/// # Errors
/// Where a machine did not do what was to be counted: then there is no answer.
pub fn run(
    lab: &Lab,
    project: &Path,
    without: &Build,
    with: &Build,
    kinds: &[Dom0],
    until: &[String],
    say: &(dyn Fn(&str) + Sync),
) -> Result<Report> {
    same_config(&without.config, &with.config)?;
    let plugin = compile(&lab.root, &project.join(PLUGIN))?;
    let mut columns = Vec::new();
    for dom0 in kinds {
        say(&format!("two machines with a {} dom0", dom0.name()));
        let [without, with] = thread::scope(|scope| {
            let running = [without, with].map(|build| scope.spawn(|| count(lab, build, *dom0, until, &plugin)));
            running
                .map(|thread| thread.join().unwrap_or_else(|_| Err(anyhow!("the thread of a machine panicked"))))
        });
        columns.push(compare(*dom0, until, &without?, &with?)?);
    }
    let text = Pair { without: without.sizes.text, with: with.sizes.text };
    let read_only = Pair { without: without.sizes.read_only, with: with.sizes.read_only };
    let missed = judge(&columns, text);
    Ok(Report { schema: SCHEMA, columns, text, read_only, missed })
}

impl Report {
    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut lines = Vec::new();
        let mut line = |what: &str, pair: Pair, with_ratio: bool| {
            let ratio = if with_ratio { format!("  {:.5}", pair.ratio()) } else { String::new() };
            lines.push(format!(
                "{what:<60} {:>13} {:>13} {:>+9}{ratio}",
                pair.without,
                pair.with,
                pair.difference()
            ));
        };
        for column in &self.columns {
            let name = column.dom0.name();
            line(&format!("{name}: instructions from Xen's first to dom0's first"), column.boot, true);
            line(&format!("{name}: with rounds of string instructions"), column.boot_with_repeats, true);
            line(&format!("{name}: of these, under the firmware"), column.loader, true);
            for (function, pair) in &column.until {
                line(&format!("{name}: of these, until {function}"), *pair, true);
            }
            for (kind, pair) in &column.domctl {
                line(&format!("{name}: {kind}"), *pair, false);
            }
            for (kind, pair) in &column.do_domctl {
                line(&format!("{name}: {kind}, in do_domctl"), *pair, false);
            }
        }
        line("bytes of text", self.text, false);
        line("bytes that are only read, beside", self.read_only, false);
        lines.insert(0, format!("{:<60} {:>13} {:>13} {:>9}  ratio", "", "without", "with", "more"));
        for missed in &self.missed {
            lines.push(format!("missed: {missed}"));
        }
        lines.push(String::new());
        lines.join("\n")
    }
}

/// Sees to it that two configurations of Xen differ in nothing but lockdown, the compiler's version included.
fn same_config(without: &str, with: &str) -> Result<()> {
    let lines = |config: &str| -> BTreeSet<String> {
        let lines = config.lines().filter(|line| line.contains("CONFIG_") && !line.contains("LOCKDOWN"));
        lines.map(str::to_owned).collect()
    };
    let (without, with) = (lines(without), lines(with));
    let other: Vec<&str> = without.symmetric_difference(&with).map(String::as_str).collect();
    ensure!(other.is_empty(), "the builds differ in more than lockdown: {}", other.join(", "));
    Ok(())
}

/// What the plugin writes.
#[derive(Debug, Deserialize)]
struct Counts {
    points: BTreeMap<String, Point>,
    intervals: BTreeMap<String, Interval>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct Point {
    address: u64,
    instructions: u64,
    repeats: u64,
}

#[derive(Debug, Deserialize)]
struct Interval {
    number: u64,
    groups: Vec<Group>,
}

#[derive(Debug, Deserialize)]
struct Group {
    number: u64,
    minimum: u64,
}

/// What one machine gave.
struct Counted {
    counts: Counts,
    /// The kinds of domctls, in the order in which they were made.
    kinds: Vec<String>,
}

impl Counted {
    fn point(&self, name: &str) -> Result<Point> {
        let point = self.counts.points.get(name).copied();
        point.with_context(|| {
            format!("{name} was never executed: the machine did not get so far, or the image differs")
        })
    }

    /// Instructions from one point to another: with the rounds of string instructions, and without.
    fn between(&self, from: &str, to: &str) -> Result<[u64; 2]> {
        let (from, to) = (self.point(from)?, self.point(to)?);
        let all = to.instructions.checked_sub(from.instructions).context("the points come in another order")?;
        let repeats = to.repeats.saturating_sub(from.repeats);
        Ok([all, all.saturating_sub(repeats)])
    }

    /// The shortest interval of each kind of domctl.
    fn minima(&self, interval: &str) -> Result<Vec<(&str, u64)>> {
        let interval = self.counts.intervals.get(interval).context("the plugin told nothing of a domctl")?;
        let made = CALLS * self.kinds.len() as u64;
        ensure!(
            interval.number >= made,
            "Xen was seen to answer {} domctls, and {made} were made: its dispatcher is not what was expected",
            interval.number
        );
        let groups = self.kinds.iter().zip(&interval.groups);
        let whole: Vec<_> = groups.filter(|(_, group)| group.number == CALLS).collect();
        ensure!(whole.len() == self.kinds.len(), "the plugin told less groups of domctls than there are kinds");
        Ok(whole.into_iter().map(|(kind, group)| (kind.as_str(), group.minimum)).collect())
    }
}

/// Runs one machine to its end.
fn count(lab: &Lab, build: &Build, dom0: Dom0, until: &[String], plugin: &[u8]) -> Result<Counted> {
    let step = Step {
        id: STEP.to_owned(),
        program: OTHER_PROGRAM.to_owned(),
        arguments: vec!["domctls".to_owned(), CALLS.to_string()],
        timeout_s: 600,
    };
    let parts = Parts {
        config: Some(lab::config(dom0, "", "")),
        kernel: Some(lab.kernel.clone()),
        ramdisk: Some(lab.small_initramfs_with(&build.xen, vec![step])?),
        ..Parts::default()
    };
    let image = lab.signed(&lab.unified(&build.xen, &parts)?, &lab.keys.trusted)?;
    let mut scenario = Scenario::new(&format!("count-{}-{}", build.name, dom0.name()), dom0, image.bytes);
    scenario.extra = Extra {
        arguments: arguments(&build.places, dom0, until)?,
        files: vec![(LIBRARY.to_owned(), plugin.to_vec())],
    };
    scenario.patience = 2;
    let boot = lab.boot(&scenario)?;
    let what = || format!("the machine with the {} Xen and a {} dom0", build.name, dom0.name());
    read(&boot, dom0).with_context(what)
}

/// What QEMU gets: a clock that counts instructions, and the plugin.
fn arguments(places: &Places, dom0: Dom0, until: &[String]) -> Result<Vec<String>> {
    let dispatcher = match dom0 {
        Dom0::Pv => &places.pv,
        Dom0::Pvh => &places.hvm,
    };
    let ends: String = dispatcher.returns.iter().map(|end| format!(":{end:x}")).collect();
    let first: String = places.first.iter().map(|byte| format!("{byte:02x}")).collect();
    let handover = match dom0 {
        Dom0::Pv => format!("range=dom0:{KERNEL}"),
        // dom0's first instruction is the one after it.
        Dom0::Pvh => format!("point=dom0:{:x}", places.vmrun),
    };
    let mut plugin = vec![
        format!("{SHARED}/{LIBRARY}"),
        format!("out={SHARED}/{COUNTS}"),
        format!("bytes=xen:{:x}:{first}", places.entry % 4096),
        format!("point=start:{:x}", places.start),
        handover,
        format!("interval=hypercall:{:x}{ends}", dispatcher.address),
        format!("interval=domctl:{:x}{ends}", places.domctl),
        format!("group={CALLS}"),
    ];
    for name in until {
        let address = places.symbols.get(name).with_context(|| format!("there is no {name}"))?;
        plugin.push(format!("point={UNTIL}{name}:{address:x}"));
    }
    let (clock, _) = clock(dom0);
    Ok(clock.into_iter().chain(["-plugin".to_owned(), plugin.join(",")]).collect())
}

/// What QEMU gets for a clock that counts instructions, and how many nanoseconds one takes: 2 to this power.
pub(crate) fn clock(dom0: Dom0) -> (Vec<String>, u32) {
    let clock = format!("shift={},sleep=off", shift(dom0));
    // Under -icount QEMU 10 stops with "Bad icount read" where the timer of an x2APIC is set.
    let processor = format!("{PROCESSOR},-x2apic");
    let words = ["-icount", &clock, "-rtc", "base=2026-01-01,clock=vm", "-cpu", &processor];
    (words.into_iter().map(str::to_owned).collect(), shift(dom0))
}

fn read(boot: &Boot, dom0: Dom0) -> Result<Counted> {
    ensure!(boot.end == End::Done, "it ended otherwise: {:?}", boot.end);
    Lab::ensure_secure(boot, dom0)?;
    if let Some((id, message)) = boot.trouble.first() {
        bail!("{id} gave no answer: {message}");
    }
    let result = boot.results.iter().find(|result| result.id == STEP);
    let result = result.filter(|result| result.verdict == Verdict::Works).context("the domctls were not made")?;
    let counts = boot.files.join(COUNTS);
    let counts = fs::read(&counts).with_context(|| format!("{}: the plugin wrote nothing", counts.display()))?;
    let counted = Counted {
        counts: serde_json::from_slice(&counts).context("what the plugin wrote")?,
        kinds: result.evidence.split("; ").map(str::to_owned).collect(),
    };
    // Xen says where it sends a paravirtual dom0.
    if let Some(entry) = boot.lines.iter().find_map(|heard| heard.text.split_once("ENTRY ADDRESS: ")) {
        let said = u64::from_str_radix(entry.1.trim(), 16).context("dom0's entry, as Xen says it")?;
        let seen = counted.point("dom0")?.address;
        ensure!(dom0 == Dom0::Pvh || said == seen, "dom0 begins at {seen:#x}, and Xen says {said:#x}");
    }
    Ok(counted)
}

fn compare(dom0: Dom0, until: &[String], without: &Counted, with: &Counted) -> Result<Column> {
    ensure!(without.kinds == with.kinds, "the two machines made other domctls");
    let between = |from: &str, to: &str| -> Result<[Pair; 2]> {
        let [without, with] = [without.between(from, to)?, with.between(from, to)?];
        Ok([Pair { without: without[0], with: with[0] }, Pair { without: without[1], with: with[1] }])
    };
    let domctls = |interval: &str| -> Result<Vec<(String, Pair)>> {
        let pairs = without.minima(interval)?.into_iter().zip(with.minima(interval)?);
        let pairs = pairs.filter(|((kind, _), _)| *kind != PREPARATION);
        Ok(pairs.map(|((kind, without), (_, with))| (kind.to_owned(), Pair { without, with })).collect())
    };
    let [boot_with_repeats, boot] = between("xen", "dom0")?;
    let [_, loader] = between("xen", "start")?;
    let until = until.iter().map(|name| Ok((name.clone(), between("xen", &format!("{UNTIL}{name}"))?[1])));
    Ok(Column {
        until: until.collect::<Result<_>>()?,
        dom0,
        boot,
        boot_with_repeats,
        loader,
        domctl: domctls("hypercall")?,
        do_domctl: domctls("domctl")?,
    })
}

fn judge(columns: &[Column], text: Pair) -> Vec<String> {
    let mut missed = Vec::new();
    for column in columns {
        let name = column.dom0.name();
        for boot in [column.boot, column.boot_with_repeats] {
            if boot.ratio() > MOST_BOOT {
                missed
                    .push(format!("{name}: the boot takes {:.5} of what it did, above {MOST_BOOT}", boot.ratio()));
            }
        }
        for (kind, pair) in column.domctl.iter().chain(&column.do_domctl) {
            let more = pair.difference();
            if more > MOST_DOMCTL {
                missed.push(format!("{name}: {kind} takes {more} instructions more, above {MOST_DOMCTL}"));
            }
        }
    }
    if text.difference() > MOST_TEXT {
        missed.push(format!("Xen's text grows by {} bytes, above {MOST_TEXT}", text.difference()));
    }
    missed
}

/// The plugin, compiled for the root's QEMU by the root's compiler.
fn compile(root: &Root, source: &Path) -> Result<Vec<u8>> {
    let work = tempfile::tempdir_in(root.folder().parent().context("the root has no parent folder")?)?;
    fs::copy(source, work.path().join("count.c")).with_context(|| source.display().to_string())?;
    let library = format!("{SHARED}/{LIBRARY}");
    let source = format!("{SHARED}/count.c");
    let flags = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-fvisibility=hidden"];
    let arguments: Vec<&str> = flags.into_iter().chain(["-o", &library, &source]).collect();
    root.run("gcc", &arguments, Some(work.path()))?;
    Ok(fs::read(work.path().join(LIBRARY))?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn counted(minimum: u64, boot: u64) -> Counted {
        let group = |minimum| serde_json::json!({ "number": CALLS, "minimum": minimum, "maximum": 1, "sum": 1 });
        let interval = serde_json::json!({ "number": 2 * CALLS + 1, "groups": [group(1), group(minimum)] });
        let point = |count: u64, repeats: u64| serde_json::json!({ "address": 1, "instructions": count, "repeats": repeats });
        let counts = serde_json::json!({
            "schema": "xen-lockdown/count/1", "instructions": 1, "repeats": 1,
            "points": { "xen": point(1000, 5), "start": point(2000, 5), "dom0": point(1000 + boot, 105) },
            "intervals": { "hypercall": interval, "domctl": interval },
        });
        let kinds = vec![PREPARATION.to_owned(), "a".to_owned()];
        Counted { counts: serde_json::from_value(counts).unwrap(), kinds }
    }

    #[test]
    fn limits_are_kept_to_the_last_instruction() {
        let text = |with| Pair { without: 1000, with };
        let column = |with, boot| compare(Dom0::Pv, &[], &counted(500, 1_000_100), &counted(with, boot)).unwrap();
        let good = column(560, 1_010_100);
        assert_eq!(good.boot, Pair { without: 1_000_000, with: 1_010_000 });
        assert_eq!(good.domctl, [("a".to_owned(), Pair { without: 500, with: 560 })]);
        assert_eq!(judge(&[good], text(1000 + (32 << 10))), Vec::<String>::new());
        assert_eq!(judge(&[column(561, 1_000_100)], text(1000)).len(), 2, "the hypercall, and do_domctl in it");
        assert_eq!(
            judge(&[column(400, 1_010_101)], text(0)).len(),
            1,
            "without the rounds of string instructions"
        );
        assert_eq!(judge(&[], text(1001 + (32 << 10))).len(), 1);
    }

    #[test]
    fn only_lockdown_may_differ() {
        let with = "CONFIG_GCC_VERSION=140200\nCONFIG_LOCKDOWN=y\nCONFIG_LOCKDOWN_DEFAULT_FIRMWARE=y\n";
        assert!(same_config("# A heading\nCONFIG_GCC_VERSION=140200\n", with).is_ok());
        assert!(same_config("CONFIG_GCC_VERSION=120200\n", with).is_err());
    }

    #[test]
    fn what_was_not_seen_is_no_answer() {
        let mut none = counted(1, 1000);
        none.counts.points.remove("dom0");
        assert!(none.between("xen", "dom0").unwrap_err().to_string().contains("dom0 was never executed"));
        let mut few = counted(1, 1000);
        few.kinds.push("b".to_owned());
        assert!(few.minima("domctl").is_err());
    }
}
