//! The whole run: every column, every attack, one report.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::boot::{Boot, End};
use crate::console::Verdict;
use crate::image::Parts;
use crate::lab::{Lab, OTHER_PROGRAM, Scenario, config};
use crate::machine::Dom0;
use crate::outside::{self, Stage};
use crate::plan::{Plan, Step};
use crate::report::{BootSeconds, Column, Declared, Entry, Kind, Report, Unanswered};
use crate::root::hex;
use crate::toolstack;

/// What is declared for Debian's own Xen.
const STOCK: &str = include_str!("../expected/stock.toml");

/// How long one step may take in dom0.
const STEP_LIMIT: u32 = 60;

/// What is to be run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Only these; nothing: all.
    pub only: Vec<String>,
    /// Only these columns, `stock`, `stock-pv`, `stock-pvh`; nothing: all.
    pub columns: Vec<String>,
    /// A folder with further attacks.
    pub extra_attacks: Option<PathBuf>,
    /// Keep the machines' files.
    pub keep: bool,
}

/// The names of all columns.
pub const COLUMNS: &[(&str, Dom0)] = &[("stock", Dom0::Pv), ("stock", Dom0::Pvh)];

/// What is declared for a column.
///
/// # Errors
/// Where there is no such column.
pub fn declared(column: &str) -> Result<Declared> {
    match column {
        "stock" => Declared::read(STOCK).context("what is declared for stock"),
        _ => bail!("there is no column {column}"),
    }
}

/// The folder of this project's source, for what is built from it.
#[must_use]
pub fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Where the lab keeps its files where nothing else is said.
#[must_use]
pub fn default_folder() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR");
    target.map_or_else(|| project().join("target"), PathBuf::from).join("lab")
}

/// Runs what `options` ask for, in a lab below `folder`. `say` is told what happens.
///
/// # Errors
/// Where the lab fails as a whole: a column whose machine does not start under Secure Boot counts for nothing.
pub fn run(folder: &Path, options: &Options, say: &(dyn Fn(&str) + Sync)) -> Result<Report> {
    let columns = chosen(&options.columns)?;
    let extra = options.extra_attacks.as_deref().map(extra_attacks).transpose()?.unwrap_or_default();
    let mut lab = Lab::open(folder, &project(), say)?;
    let inside = inside_attacks(&lab.guest.attacks)?;
    let toolstack = toolstack::plan(&lab)?.steps;
    check_only(&options.only, &inside, &extra, &toolstack)?;
    if options.keep {
        say(&format!("the machines' files are kept in {}", lab.keep().display()));
    }
    let mut report = Report::new();
    for (name, dom0) in columns {
        let run = ColumnRun { lab: &lab, name, dom0, only: &options.only, say };
        report.columns.push(run.run(&inside, &extra).with_context(|| format!("column {name} {}", dom0.name()))?);
    }
    Ok(report)
}

fn chosen(names: &[String]) -> Result<Vec<(&'static str, Dom0)>> {
    let matches = |name: &str, column: &(&'static str, Dom0)| {
        name == column.0 || name == format!("{}-{}", column.0, column.1.name())
    };
    for name in names {
        ensure!(COLUMNS.iter().any(|column| matches(name, column)), "there is no column {name}");
    }
    let wanted =
        |column: &&(&'static str, Dom0)| names.is_empty() || names.iter().any(|name| matches(name, column));
    Ok(COLUMNS.iter().filter(wanted).copied().collect())
}

/// What `attacks list` says about one attack; there is more that is not needed here.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Inside {
    id: String,
    /// Whether others can follow in the same boot.
    #[serde(default = "yes")]
    healthy: bool,
    #[serde(default)]
    kind: Option<String>,
    /// The program in the initramfs; nothing: the lab's own.
    #[serde(skip)]
    program: Option<String>,
    /// The program's file.
    #[serde(skip)]
    file: Option<PathBuf>,
}

const fn yes() -> bool {
    true
}

impl Inside {
    /// How the attack itself or its twin is asked for (docs/attacks.md).
    fn arguments(&self, twin: bool) -> Vec<String> {
        match (&self.program, twin) {
            (None, false) => vec!["run".to_owned(), self.id.clone()],
            (None, true) => vec!["twin".to_owned(), self.id.clone()],
            (Some(_), false) => Vec::new(),
            (Some(_), true) => vec!["--twin".to_owned()],
        }
    }

    fn program(&self) -> &str {
        self.program.as_deref().unwrap_or(OTHER_PROGRAM)
    }

    fn kind(&self) -> Kind {
        if self.kind.as_deref() == Some("toolstack") { Kind::Toolstack } else { Kind::Inside }
    }
}

/// Asks the lab's own program which attacks it holds.
fn inside_attacks(program: &Path) -> Result<Vec<Inside>> {
    serde_json::from_slice(&said(program, "list")?).with_context(|| format!("what {} lists", program.display()))
}

fn said(program: &Path, argument: &str) -> Result<Vec<u8>> {
    let output = Command::new(program).arg(argument).stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("{} cannot be started", program.display()))?;
    ensure!(output.status.success(), "{} {argument} failed ({})", program.display(), output.status);
    Ok(output.stdout)
}

/// Programs of somebody else's that follow the attack protocol.
fn extra_attacks(folder: &Path) -> Result<Vec<Inside>> {
    let mut found = Vec::new();
    let entries = fs::read_dir(folder).with_context(|| format!("the folder {}", folder.display()))?;
    let mut files: Vec<PathBuf> =
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    files.sort();
    for file in files.into_iter().filter(|file| file.is_file()) {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let description = said(&file, "--describe")?;
        let attack: Inside = serde_json::from_slice(&description)
            .with_context(|| format!("what {} says about itself", file.display()))?;
        let program = Some(format!("/lab/extra/{name}"));
        found.push(Inside { program, file: Some(file.clone()), ..attack });
    }
    Ok(found)
}

fn check_only(only: &[String], inside: &[Inside], extra: &[Inside], toolstack: &[Step]) -> Result<()> {
    let inside = inside.iter().chain(extra).map(|attack| attack.id.as_str());
    let toolstack = toolstack.iter().map(|step| step.id.as_str());
    let known: BTreeSet<&str> =
        outside::ALL.iter().map(|attack| attack.id).chain(inside).chain(toolstack).collect();
    for id in only {
        ensure!(known.contains(id.as_str()), "there is no attack {id}");
    }
    Ok(())
}

struct ColumnRun<'a> {
    lab: &'a Lab,
    name: &'static str,
    dom0: Dom0,
    only: &'a [String],
    say: &'a (dyn Fn(&str) + Sync),
}

impl ColumnRun<'_> {
    fn run(&self, inside: &[Inside], extra: &[Inside]) -> Result<Column> {
        self.say("the machine as it is signed");
        let stage = Stage::new(self.lab, self.dom0)?;
        let [firmware_s, xen_s, dom0_s] = stage.base.times.seconds();
        let mut column = Column {
            name: self.name.to_owned(),
            dom0: self.dom0,
            versions: self.versions(&stage)?,
            secure_boot: stage.base.booted.as_ref().is_some_and(|booted| booted.secure_boot),
            results: Vec::new(),
            boot: BootSeconds { firmware_s, xen_s, dom0_s },
            unanswered: Vec::new(),
            console: console(&stage.base),
        };
        self.outside(&stage, &mut column);
        let wanted: Vec<&Inside> = inside.iter().chain(extra).filter(|attack| self.wants(&attack.id)).collect();
        self.inside(&wanted, &mut column)?;
        self.toolstack(&mut column)?;
        Ok(column)
    }

    fn say(&self, what: &str) {
        (self.say)(&format!("{} {}: {what}", self.name, self.dom0.name()));
    }

    fn wants(&self, id: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == id)
    }

    fn outside(&self, stage: &Stage<'_>, column: &mut Column) {
        for attack in outside::ALL.iter().filter(|attack| self.wants(attack.id)) {
            if self.dom0 == Dom0::Pvh {
                column.results.push(Entry {
                    id: attack.id.to_owned(),
                    kind: Kind::Outside,
                    verdict: Verdict::NotApplicable,
                    evidence: "the kind of dom0 does not matter for it: tried in the column with a PV dom0"
                        .to_owned(),
                    seconds: 0.0,
                });
                continue;
            }
            let acts = [(attack.id.to_owned(), Some(attack.run)), (format!("{}/twin", attack.id), attack.twin)];
            for (id, act) in acts {
                let Some(act) = act else { continue };
                let started = Instant::now();
                self.say(&id);
                let answer = act(stage);
                let seconds = started.elapsed().as_secs_f64();
                match answer {
                    Ok(answer) => {
                        self.say(&format!("{id}: {} ({seconds:.1} s)", answer.verdict.name()));
                        let outside::Answer { verdict, evidence } = answer;
                        column.results.push(Entry { id, kind: Kind::Outside, verdict, evidence, seconds });
                    }
                    Err(error) => {
                        self.say(&format!("{id}: no answer"));
                        column.unanswered.push(Unanswered { id, message: format!("{error:#}") });
                    }
                }
            }
        }
    }

    /// Attacks that leave the machine healthy share a boot; the others have one each. What a crash cut off is tried
    /// again in a machine of its own, and has no answer if that ends without one, too.
    fn inside(&self, attacks: &[&Inside], column: &mut Column) -> Result<()> {
        let (shared, alone): (Vec<&Inside>, Vec<&Inside>) = attacks.iter().partition(|attack| attack.healthy);
        let mut boots: Vec<Vec<&Inside>> = alone.into_iter().map(|attack| vec![attack]).collect();
        if !shared.is_empty() {
            boots.insert(0, shared);
        }
        boots.reverse();
        while let Some(group) = boots.pop() {
            let names: Vec<&str> = group.iter().map(|attack| attack.id.as_str()).collect();
            self.say(&format!("boots for {}", names.join(" ")));
            let ended = self.boot_group(&group);
            let (boot, error) = match ended {
                Ok(boot) => (Some(boot), "the machine ended before it was asked".to_owned()),
                Err(error) => (None, format!("{error:#}")),
            };
            let mut again = Vec::new();
            for attack in group.iter().copied() {
                let missing = self.collect(attack, boot.as_ref(), &error, column);
                if missing.is_empty() {
                    continue;
                }
                if group.len() > 1 {
                    again.push(attack);
                } else {
                    column.unanswered.extend(missing);
                }
            }
            for attack in again.into_iter().rev() {
                column.results.retain(|entry| entry.id != attack.id && entry.id != format!("{}/twin", attack.id));
                boots.push(vec![attack]);
            }
        }
        Ok(())
    }

    /// The commands of Debian's toolstack, all in one boot, because they build on each other: one that is asked for
    /// brings the others with it.
    fn toolstack(&self, column: &mut Column) -> Result<()> {
        let plan = toolstack::plan(self.lab)?;
        if !plan.steps.iter().any(|step| self.wants(&step.id)) {
            return Ok(());
        }
        self.say("boots for the toolstack");
        let boot = toolstack::boot(self.lab, self.dom0, &plan);
        for step in &plan.steps {
            let id = step.id.clone();
            let result = boot.as_ref().ok().and_then(|boot| boot.results.iter().find(|result| result.id == id));
            if let Some(result) = result {
                self.say(&format!("{id}: {} ({:.1} s)", result.verdict.name(), result.seconds));
                column.results.push(Entry {
                    id,
                    kind: Kind::Toolstack,
                    verdict: result.verdict,
                    evidence: result.evidence.clone(),
                    seconds: result.seconds,
                });
                continue;
            }
            let message = match &boot {
                Err(error) => format!("{error:#}"),
                Ok(boot) => {
                    let trouble = boot.trouble.iter().find(|(of, _)| *of == id);
                    trouble.map_or_else(
                        || format!("the machine ended: {:?}", boot.end),
                        |(_, message)| message.clone(),
                    )
                }
            };
            self.say(&format!("{id}: no answer"));
            column.unanswered.push(Unanswered { id, message });
        }
        Ok(())
    }

    fn boot_group(&self, group: &[&Inside]) -> Result<Boot> {
        let mut steps = Vec::new();
        let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for attack in group {
            // The twin first: it must work in a machine that nothing was done to.
            for (id, twin) in [(format!("{}/twin", attack.id), true), (attack.id.clone(), false)] {
                steps.push(Step {
                    id,
                    program: attack.program().to_owned(),
                    arguments: attack.arguments(twin),
                    timeout_s: STEP_LIMIT,
                });
            }
            if let Some(file) = &attack.file {
                files.insert(attack.program().to_owned(), fs::read(file)?);
            }
        }
        let files: Vec<(String, Vec<u8>)> = files.into_iter().collect();
        let parts = Parts {
            config: Some(config(self.dom0, "console_to_ring guest_loglvl=all", "")),
            kernel: Some(self.lab.kernel.clone()),
            ramdisk: Some(self.lab.initramfs(&Plan::new(steps), &files)?),
        };
        let image = self.lab.signed(&self.lab.unified(&parts)?, &self.lab.keys.trusted)?;
        let name =
            if group.len() == 1 { group.first().map_or("inside", |attack| attack.id.as_str()) } else { "inside" };
        let boot = self.lab.boot(&Scenario::new(name, self.dom0, image))?;
        let booted = boot.booted.as_ref().with_context(|| format!("dom0 did not start: {:?}", boot.end))?;
        ensure!(booted.secure_boot, "Secure Boot is not on: nothing that this machine shows counts");
        ensure!(booted.dom0 == self.dom0.name(), "dom0 runs as {}", booted.dom0);
        Ok(boot)
    }

    /// Takes over what a boot says about an attack and its twin; gives what it does not say.
    fn collect(&self, attack: &Inside, boot: Option<&Boot>, error: &str, column: &mut Column) -> Vec<Unanswered> {
        let mut missing = Vec::new();
        for id in [format!("{}/twin", attack.id), attack.id.clone()] {
            let result = boot.and_then(|boot| boot.results.iter().find(|result| result.id == id));
            if let Some(result) = result {
                self.say(&format!("{id}: {} ({:.1} s)", result.verdict.name(), result.seconds));
                column.results.push(Entry {
                    id,
                    kind: attack.kind(),
                    verdict: result.verdict,
                    evidence: result.evidence.clone(),
                    seconds: result.seconds,
                });
                continue;
            }
            let trouble = boot.and_then(|boot| boot.trouble.iter().find(|(of, _)| *of == id));
            let message = match (trouble, boot) {
                (Some((_, message)), _) => message.clone(),
                (None, Some(boot)) if boot.end != End::Done => format!("the machine ended: {:?}", boot.end),
                _ => error.to_owned(),
            };
            missing.push(Unanswered { id, message });
        }
        missing
    }

    /// Versions of the packages and hashes of the files that were booted.
    fn versions(&self, stage: &Stage<'_>) -> Result<BTreeMap<String, String>> {
        let root = &self.lab.root;
        let kernel = format!("linux-image-{}", self.lab.release);
        let packages =
            ["xen-hypervisor-4.20-amd64", "xen-utils-4.20", "ovmf", "qemu-system-x86", "shim-signed", &kernel];
        let mut versions: BTreeMap<String, String> = root.versions(&packages)?.into_iter().collect();
        let sha256 = |bytes: &[u8]| format!("sha256:{}", hex(&Sha256::digest(bytes)));
        let firmware = fs::read(root.file("/usr/share/OVMF/OVMF_CODE_4M.secboot.fd")?)?;
        versions.insert("firmware".to_owned(), sha256(&firmware));
        versions.insert("xen.efi".to_owned(), sha256(&self.lab.xen));
        versions.insert("vmlinuz".to_owned(), sha256(&self.lab.kernel));
        versions.insert("initramfs".to_owned(), sha256(&stage.ramdisk));
        versions.insert("image".to_owned(), sha256(&stage.image));
        Ok(versions)
    }
}

fn console(boot: &Boot) -> String {
    let lines = boot.lines.iter().map(|heard| format!("{:8.2} {}", heard.after.as_secs_f64(), heard.text));
    lines.collect::<Vec<_>>().join("\n")
}

/// Every verdict of a report, for comparing runs.
#[must_use]
pub fn verdicts(report: &Report) -> BTreeMap<(String, String), Verdict> {
    let mut verdicts = BTreeMap::new();
    for column in &report.columns {
        for entry in &column.results {
            verdicts.insert((column.title(), entry.id.clone()), entry.verdict);
        }
    }
    verdicts
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn columns_are_chosen_by_name() {
        assert_eq!(chosen(&[]).unwrap().len(), 2);
        assert_eq!(chosen(&["stock".into()]).unwrap().len(), 2);
        assert_eq!(chosen(&["stock-pvh".into()]).unwrap(), [("stock", Dom0::Pvh)]);
        assert!(chosen(&["nosuch".into()]).is_err());
    }

    #[test]
    fn every_attack_from_outside_is_declared_for_stock() {
        let declared: BTreeMap<String, toml::Value> = toml::from_str(STOCK).unwrap();
        for attack in outside::ALL {
            assert!(declared.contains_key(attack.id), "{}", attack.id);
        }
        assert!(super::declared("stock").is_ok());
    }

    #[test]
    fn only_known_attacks_can_be_asked_for() {
        assert!(check_only(&["image-unsigned".into()], &[], &[], &[]).is_ok());
        assert!(check_only(&["nosuch".into()], &[], &[], &[]).is_err());
    }
}
