//! The whole run: every column, every attack, one report.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest as _, Sha256};

use crate::boot::{Boot, End};
use crate::console::{Event, Line, Verdict};
use crate::hammer;
use crate::image::Parts;
use crate::inside::{self, Inside};
use crate::lab::{Lab, Scenario, Xen, config};
use crate::machine::Dom0;
use crate::outside::{self, Attack, Stage};
use crate::plan::Plan;
use crate::queue;
use crate::report::{BootSeconds, Column, Declared, Entry, Kind, Report, Unanswered};
use crate::root::hex;
use crate::toolstack;
use crate::watch::Watch;

/// What is declared for Debian's own Xen.
const STOCK: &str = include_str!("../expected/stock.toml");

/// What is declared for the same Xen with lockdown.
const LOCKED_XEN: &str = include_str!("../expected/locked-xen.toml");

/// What is declared for it with the guard in dom0's kernel.
const LOCKED: &str = include_str!("../expected/locked.toml");

/// How long dom0 may say nothing beyond what its longest step may take.
const SILENCE: Duration = Duration::from_secs(60);

/// How many random calls the guard gets in every run, and what they are made from; `lockdown-lab hammer` makes more.
const HAMMER_CALLS: u64 = 10_000;
const HAMMER_SEED: u64 = 1;

/// The step of the toolstack that makes and destroys ten guests.
const CYCLES: &str = "xl-cycles";

/// What is to be run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Only these; nothing: all.
    pub only: Vec<String>,
    /// Only these columns, `stock`, `stock-pv`, `stock-pvh`, `locked-xen` and so on; nothing: all.
    pub columns: Vec<String>,
    /// A folder with further attacks.
    pub extra_attacks: Option<PathBuf>,
    /// Keep the machines' files.
    pub keep: bool,
    /// How many machines run at once; nothing: as many as there are processors.
    pub jobs: Option<usize>,
}

/// The names of all columns.
pub const COLUMNS: &[(&str, Dom0)] = &[
    ("stock", Dom0::Pv),
    ("stock", Dom0::Pvh),
    ("locked-xen", Dom0::Pv),
    ("locked-xen", Dom0::Pvh),
    ("locked", Dom0::Pv),
    ("locked", Dom0::Pvh),
];

/// What is declared for a column.
///
/// # Errors
/// Where there is no such column.
pub fn declared(column: &str) -> Result<Declared> {
    match column {
        "stock" => Declared::read(STOCK).context("what is declared for stock"),
        "locked-xen" => Declared::read(LOCKED_XEN).context("what is declared for locked-xen"),
        "locked" => Declared::read(LOCKED).context("what is declared for locked"),
        _ => bail!("there is no column {column}"),
    }
}

/// The folder of this project's source, for what is built from it.
#[must_use]
pub fn project() -> PathBuf {
    let this = Path::new(env!("CARGO_MANIFEST_DIR"));
    this.ancestors().nth(2).unwrap_or(this).to_owned()
}

/// Where the lab keeps its files where nothing else is said.
#[must_use]
pub fn default_folder() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR");
    target.map_or_else(|| project().join("target"), PathBuf::from).join("lab")
}

/// Runs what `options` ask for, in a lab below `folder`. `watch` is told what happens.
///
/// # Errors
/// Where the lab fails as a whole: a column whose machine does not start under Secure Boot counts for nothing.
pub fn run(folder: &Path, options: &Options, watch: &dyn Watch) -> Result<Report> {
    let chosen = chosen(&options.columns)?;
    let mut lab = Lab::open(folder, &project(), &|text| watch.says(text))?;
    let mut inside = inside::own(&lab.guest.attacks)?;
    if let Some(folder) = &options.extra_attacks {
        let extra = inside::extra(folder, &inside)?;
        inside.extend(extra);
    }
    let mut toolstack = toolstack::plan(&lab)?;
    // The guard is also hammered on, last in the boot: it destroys what guests there are.
    let mut guarded = toolstack.clone();
    guarded.steps.push(hammer::step(HAMMER_CALLS, HAMMER_SEED));
    // What guests leave behind is the guard's matter; elsewhere it takes minutes and is asked for by name.
    toolstack.steps.retain(|step| step.id != CYCLES || options.only.contains(&step.id));
    check_only(&options.only, &inside, &guarded)?;
    if options.keep {
        watch.says(&format!("the machines' files are kept in {}", lab.keep().display()));
    }

    let wants = |id: &str| options.only.is_empty() || options.only.iter().any(|only| only == id);
    let inside: Vec<&Inside> = inside.iter().filter(|attack| wants(&attack.id)).collect();
    let outside: Vec<&Attack> = outside::ALL.iter().filter(|attack| wants(attack.id)).collect();
    let asked = guarded.steps.iter().any(|step| wants(&step.id));
    let kinds: BTreeMap<&str, Xen> = chosen
        .iter()
        .map(|(name, _)| Ok((*name, hypervisor(&lab, name, &|text| watch.says(text))?)))
        .collect::<Result<_>>()?;
    let runs: Vec<ColumnRun<'_>> = chosen
        .into_iter()
        .filter_map(|(name, dom0)| Some((kinds.get(name)?, dom0)))
        .map(|(xen, dom0)| ColumnRun {
            lab: &lab,
            watch,
            xen,
            dom0,
            outside: &outside,
            inside: &inside,
            toolstack: asked.then_some(if xen.guard.is_some() { &guarded } else { &toolstack }),
            stage: OnceLock::new(),
            found: Mutex::default(),
        })
        .collect();
    // What takes longest comes first, so that nobody is waited for at the end; the machine as it is signed before all.
    let mut jobs: Vec<Job<'_, '_>> = runs.iter().flat_map(ColumnRun::jobs).collect();
    jobs.sort_by_key(Job::order);
    watch.machines(jobs.len());
    let seats = options.jobs.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
    queue::run(seats, jobs, &Job::is_ready, &|seat, job| {
        let column = job.run.title();
        watch.begins(seat, &column, &job.work.name());
        let more = job.carry_out(seat).with_context(|| format!("column {column}"))?;
        watch.ends(seat);
        watch.machines(more.len());
        Ok(more)
    })?;
    let mut report = Report::new();
    for run in runs {
        report.columns.push(run.into_column()?);
    }
    Ok(report)
}

fn chosen(names: &[String]) -> Result<Vec<(&'static str, Dom0)>> {
    let matches = |name: &str, column: &(&'static str, Dom0)| {
        name == column.0 || name == format!("{}-{}", column.0, column.1.name())
    };
    for name in names {
        ensure!(
            COLUMNS.iter().any(|column| matches(name, column)),
            "there is no column {name}; there are {}",
            COLUMNS.iter().map(|(name, dom0)| format!("{name}-{}", dom0.name())).collect::<Vec<_>>().join(", ")
        );
    }
    let wanted =
        |column: &&(&'static str, Dom0)| names.is_empty() || names.iter().any(|name| matches(name, column));
    Ok(COLUMNS.iter().filter(wanted).copied().collect())
}

/// The Xen of the columns called `name`, built where it has to be.
///
/// # Errors
/// Where there is no such column, or it cannot be built.
pub fn hypervisor(lab: &Lab, name: &str, say: &(dyn Fn(&str) + Sync)) -> Result<Xen> {
    match name {
        "stock" => Ok(lab.stock.clone()),
        "locked-xen" | "locked" => {
            let folder = lab.root.folder().parent().context("the root has no parent folder")?;
            let built = crate::hypervisor::build(&lab.root, folder, say)?;
            let image = fs::read(&built.efi).with_context(|| built.efi.display().to_string())?;
            let guard = if name == "locked" { Some(lab.guard(say)?) } else { None };
            Ok(Xen { name: if guard.is_some() { "locked" } else { "locked-xen" }, image, guard })
        }
        _ => bail!("there is no column {name}"),
    }
}

fn check_only(only: &[String], inside: &[Inside], toolstack: &Plan) -> Result<()> {
    let inside = inside.iter().map(|attack| attack.id.as_str());
    let toolstack = toolstack.steps.iter().map(|step| step.id.as_str());
    let known: BTreeSet<&str> =
        outside::ALL.iter().map(|attack| attack.id).chain(inside).chain(toolstack).collect();
    for id in only {
        ensure!(
            known.contains(id.as_str()),
            "there is no attack {id}; there are {}",
            known.iter().copied().collect::<Vec<_>>().join(", ")
        );
    }
    Ok(())
}

/// One column, while its machines run.
struct ColumnRun<'a> {
    lab: &'a Lab,
    watch: &'a dyn Watch,
    xen: &'a Xen,
    dom0: Dom0,
    outside: &'a [&'a Attack],
    inside: &'a [&'a Inside],
    toolstack: Option<&'a Plan>,
    /// The machine as it is signed; what comes from outside begins with it.
    stage: OnceLock<Stage<'a>>,
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    results: Vec<Entry>,
    unanswered: Vec<Unanswered>,
    consoles: Vec<(String, String)>,
}

/// One machine, or a few for one answer.
struct Job<'r, 'a> {
    run: &'r ColumnRun<'a>,
    work: Work<'a>,
}

enum Work<'a> {
    /// The machine as it is signed.
    AsSigned,
    /// Attacks that share a boot.
    Inside(Vec<&'a Inside>),
    /// The toolstack's commands, all in one boot, because they build on each other.
    Toolstack(&'a Plan),
    /// An attack from outside, or its twin.
    Outside { id: String, act: fn(&Stage<'_>) -> Result<outside::Answer> },
}

impl Work<'_> {
    fn name(&self) -> String {
        match self {
            Self::AsSigned => "as-signed".to_owned(),
            Self::Inside(group) => match group.as_slice() {
                [attack] => attack.id.clone(),
                _ => "inside".to_owned(),
            },
            Self::Toolstack(_) => "toolstack".to_owned(),
            Self::Outside { id, .. } => id.clone(),
        }
    }
}

impl<'r, 'a> Job<'r, 'a> {
    /// Smaller is earlier.
    fn order(&self) -> (u8, bool) {
        let place = match &self.work {
            Work::AsSigned => 0,
            Work::Inside(group) if group.len() > 1 => 1,
            Work::Toolstack(_) => 2,
            Work::Inside(_) => 3,
            Work::Outside { .. } => 4,
        };
        // A PV dom0 is the first to be ready for attacks from outside, and a PVH dom0 is slower in everything else.
        (place, if place == 0 { self.run.dom0 != Dom0::Pv } else { self.run.dom0 == Dom0::Pv })
    }

    fn is_ready(&self) -> bool {
        !matches!(self.work, Work::Outside { .. }) || self.run.stage.get().is_some()
    }

    fn carry_out(self, seat: usize) -> Result<Vec<Self>> {
        let run = self.run;
        match self.work {
            Work::AsSigned => {
                let stage = Stage::new(run.lab, run.xen, run.dom0)?;
                // Nobody else sets it.
                let _ = run.stage.set(stage);
                Ok(Vec::new())
            }
            Work::Outside { id, act } => {
                run.try_outside(&id, act)?;
                Ok(Vec::new())
            }
            Work::Inside(group) => {
                let again = run.try_inside(&group, seat);
                Ok(again.into_iter().map(|attack| Job { run, work: Work::Inside(vec![attack]) }).collect())
            }
            Work::Toolstack(plan) => {
                run.try_toolstack(plan, seat);
                Ok(Vec::new())
            }
        }
    }
}

impl<'a> ColumnRun<'a> {
    fn title(&self) -> String {
        format!("{} {}", self.xen.name, self.dom0.name())
    }

    fn jobs<'r>(&'r self) -> Vec<Job<'r, 'a>> {
        let job = |work| Job { run: self, work };
        let mut jobs = vec![job(Work::AsSigned)];
        let (shared, alone): (Vec<&Inside>, Vec<&Inside>) = self.inside.iter().partition(|attack| attack.healthy);
        if !shared.is_empty() {
            jobs.push(job(Work::Inside(shared)));
        }
        jobs.extend(alone.into_iter().map(|attack| job(Work::Inside(vec![attack]))));
        jobs.extend(self.toolstack.map(|plan| job(Work::Toolstack(plan))));
        for attack in self.outside {
            if self.dom0 == Dom0::Pvh {
                self.answer(Entry {
                    id: attack.id.to_owned(),
                    kind: Kind::Outside,
                    verdict: Verdict::NotApplicable,
                    evidence: "the kind of dom0 does not matter for it: tried in the column with a PV dom0"
                        .to_owned(),
                    seconds: 0.0,
                });
                continue;
            }
            let twin = attack.twin.map(|twin| (format!("{}/twin", attack.id), twin));
            for (id, act) in [(attack.id.to_owned(), attack.run)].into_iter().chain(twin) {
                jobs.push(job(Work::Outside { id, act }));
            }
        }
        jobs
    }

    fn answer(&self, entry: Entry) {
        self.watch.answered(&self.title(), &entry);
        self.found().results.push(entry);
    }

    fn no_answer(&self, id: String, message: String) {
        self.watch.unanswered(&self.title(), &id);
        self.found().unanswered.push(Unanswered { id, message });
    }

    fn found(&self) -> std::sync::MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_outside(&self, id: &str, act: fn(&Stage<'_>) -> Result<outside::Answer>) -> Result<()> {
        let stage = self.stage.get().context("the machine as it is signed has not run")?;
        let started = Instant::now();
        let answer = act(stage);
        let seconds = started.elapsed().as_secs_f64();
        match answer {
            Ok(outside::Answer { verdict, evidence }) => {
                self.answer(Entry { id: id.to_owned(), kind: Kind::Outside, verdict, evidence, seconds });
            }
            Err(error) => self.no_answer(id.to_owned(), format!("{error:#}")),
        }
        Ok(())
    }

    /// Tries attacks in one boot. What a crash cut off has to be tried again, in a machine of its own, and has no
    /// answer if that ends without one, too.
    fn try_inside(&self, group: &[&'a Inside], seat: usize) -> Vec<&'a Inside> {
        let name = match group {
            [attack] => attack.id.as_str(),
            _ => "inside",
        };
        let boot = self.boot_inside(name, group, seat);
        let mut again = Vec::new();
        for attack in group {
            let answers = attack.ids().map(|id| answer_to(&boot, &id));
            if group.len() > 1 && answers.iter().any(Result::is_err) {
                again.push(*attack);
                continue;
            }
            for (id, answer) in attack.ids().into_iter().zip(answers) {
                self.take(id, Kind::Inside, answer);
            }
        }
        self.keep_console(name, &boot);
        again
    }

    fn boot_inside(&self, name: &str, group: &[&Inside], seat: usize) -> Result<Boot> {
        let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for attack in group {
            if let Some(file) = &attack.file {
                let bytes = fs::read(file).with_context(|| file.display().to_string())?;
                files.insert(attack.program(), bytes);
            }
        }
        let files: Vec<(String, Vec<u8>)> = files.into_iter().collect();
        let plan = Plan::new(group.iter().flat_map(|attack| attack.steps()).collect());
        self.boot_plan(name, &plan, "console_to_ring guest_loglvl=all", &files, seat)
    }

    fn try_toolstack(&self, plan: &Plan, seat: usize) {
        let boot =
            toolstack::files(self.lab).and_then(|files| self.boot_plan("toolstack", plan, "", &files, seat));
        for step in &plan.steps {
            self.take(step.id.clone(), Kind::Toolstack, answer_to(&boot, &step.id));
        }
        self.keep_console("toolstack", &boot);
    }

    /// Boots a machine that carries out `plan`, and sees to it that Secure Boot is on.
    fn boot_plan(
        &self,
        name: &str,
        plan: &Plan,
        xen: &str,
        files: &[(String, Vec<u8>)],
        seat: usize,
    ) -> Result<Boot> {
        let parts = Parts {
            config: Some(config(self.dom0, xen, "")),
            kernel: Some(self.lab.kernel.clone()),
            ramdisk: Some(self.lab.initramfs_for(self.xen, plan, files)?),
            ..Parts::default()
        };
        let image = self.lab.signed(&self.lab.unified(self.xen, &parts)?, &self.lab.keys.trusted)?;
        let longest = plan.steps.iter().map(|step| step.timeout_s).max().unwrap_or_default();
        let mut scenario = Scenario::new(name, self.dom0, image.bytes);
        scenario.silence = SILENCE.saturating_add(Duration::from_secs(longest.into()));
        let boot = self.lab.boot_and_look(&scenario, &mut |line, _| {
            if let Line::Event(Event::Step { id }) = line {
                self.watch.at(seat, id);
            }
            Ok(())
        })?;
        Lab::ensure_secure(&boot, self.dom0)?;
        Ok(boot)
    }

    fn take(&self, id: String, kind: Kind, answer: Result<(Verdict, String, f64), String>) {
        match answer {
            Ok((verdict, evidence, seconds)) => self.answer(Entry { id, kind, verdict, evidence, seconds }),
            Err(message) => self.no_answer(id, message),
        }
    }

    fn keep_console(&self, name: &str, boot: &Result<Boot>) {
        if let Ok(boot) = boot {
            self.found().consoles.push((name.to_owned(), boot.console()));
        }
    }

    /// The column, once all jobs are done.
    fn into_column(self) -> Result<Column> {
        let stage = self.stage.get().context("the machine as it is signed has not run")?;
        let [firmware_s, xen_s, dom0_s] = stage.base.times.seconds();
        let versions = self.versions(stage)?;
        let mut consoles = stage.consoles();
        let secure_boot = stage.base.booted.as_ref().is_some_and(|booted| booted.secure_boot);
        let mut order: Vec<String> =
            self.outside.iter().flat_map(|attack| [attack.id.to_owned(), format!("{}/twin", attack.id)]).collect();
        order.extend(self.inside.iter().flat_map(|attack| attack.ids()));
        order.extend(self.toolstack.iter().flat_map(|plan| plan.steps.iter().map(|step| step.id.clone())));
        let place = |id: &str| order.iter().position(|other| other == id);
        let mut found = self.found.into_inner().unwrap_or_else(PoisonError::into_inner);
        found.results.sort_by_key(|entry| place(&entry.id));
        found.unanswered.sort_by_key(|it| place(&it.id));
        consoles.append(&mut found.consoles);
        let mut declared = declared(self.xen.name)?;
        for attack in self.inside {
            if let Some(verdict) = attack.declared(self.xen.name) {
                declared.add(&attack.id, verdict);
            }
        }
        Ok(Column {
            name: self.xen.name.to_owned(),
            dom0: self.dom0,
            versions,
            secure_boot,
            results: found.results,
            boot: BootSeconds { firmware_s, xen_s, dom0_s },
            unanswered: found.unanswered,
            consoles,
            declared,
        })
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
        versions.insert("xen.efi".to_owned(), sha256(&self.xen.image));
        versions.insert("vmlinuz".to_owned(), sha256(&self.lab.kernel));
        versions.insert("initramfs".to_owned(), sha256(&stage.ramdisk));
        versions.insert("image".to_owned(), sha256(&stage.image.bytes));
        Ok(versions)
    }
}

/// What a boot says to a step: its verdict, evidence and seconds, or why there is none.
fn answer_to(boot: &Result<Boot>, id: &str) -> Result<(Verdict, String, f64), String> {
    let boot = boot.as_ref().map_err(|error| format!("{error:#}"))?;
    if let Some(result) = boot.results.iter().find(|result| result.id == id) {
        return Ok((result.verdict, result.evidence.clone(), result.seconds));
    }
    let trouble = boot.trouble.iter().find(|(of, _)| of == id);
    Err(match trouble {
        Some((_, message)) => message.clone(),
        None if boot.end == End::Done => "dom0 was not asked".to_owned(),
        None => format!("the machine ended before it: {:?}", boot.end),
    })
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
        assert_eq!(chosen(&[]).unwrap().len(), COLUMNS.len());
        assert_eq!(chosen(&["stock".into(), "locked-xen".into()]).unwrap().len(), 4);
        assert_eq!(chosen(&["stock".into()]).unwrap().len(), 2);
        assert_eq!(chosen(&["stock-pvh".into()]).unwrap(), [("stock", Dom0::Pvh)]);
        let error = chosen(&["stock-hvm".into()]).unwrap_err().to_string();
        assert!(error.starts_with("there is no column stock-hvm; there are stock-pv, stock-pvh"), "{error}");
    }

    #[test]
    fn every_attack_from_outside_is_declared_for_every_column() {
        for (name, text) in [("stock", STOCK), ("locked-xen", LOCKED_XEN), ("locked", LOCKED)] {
            let declared: BTreeMap<String, toml::Value> = toml::from_str(text).unwrap();
            for attack in outside::ALL {
                assert!(declared.contains_key(attack.id), "{name}: {}", attack.id);
            }
            assert!(super::declared(name).is_ok());
        }
    }

    #[test]
    fn only_known_attacks_can_be_asked_for() {
        assert!(check_only(&["image-unsigned".into()], &[], &Plan::new(Vec::new())).is_ok());
        let error = check_only(&["nosuch".into()], &[], &Plan::new(Vec::new())).unwrap_err().to_string();
        assert!(error.contains("there are bare-xen, "), "{error}");
    }
}
