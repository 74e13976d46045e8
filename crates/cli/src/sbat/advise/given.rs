//! What is known of the build: from options, an image, a changelog, a record.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use flate2::read::GzDecoder;
use lockdown_advisories::{
    Arch, Changelog, Component, Corpus, Description, History, LastBump, Said, Side, Skipped, Version, day,
};
use lockdown_image::Image;
use lockdown_image::sbat::{Row, SECTION};
use lockdown_unify::inspect::{Depth, inspect};

use crate::arguments::SbatAdviseArguments;
use crate::files;

/// No changelog is longer: Debian's has 110 KiB unpacked.
const LONGEST: u64 = 16 << 20;

/// The components that can be judged, each with its generation, and what the image is for.
pub(super) struct Given {
    pub(super) sides: Vec<(Side, Option<u16>)>,
    pub(super) arch: Option<Arch>,
}

/// What an image says.
#[derive(Default)]
struct FromImage {
    xen: Option<Version>,
    xen_generation: Option<u16>,
    linux: Option<Version>,
    linux_generation: Option<u16>,
    arch: Option<Arch>,
}

impl Given {
    pub(super) fn read(arguments: &SbatAdviseArguments, corpus: &Corpus) -> Result<Self> {
        let image = match &arguments.image {
            Some(path) => from_image(path, arguments)?,
            None => FromImage::default(),
        };
        let changelog = arguments.changelog.as_deref().map(changelog).transpose()?;
        let history = arguments.history.as_deref().map(|path| history(path, corpus)).transpose()?;
        let fixed = arguments.fixed.iter().map(|text| advisory(text, corpus)).collect::<Result<Vec<_>>>()?;
        let xen = match (&arguments.xen, image.xen) {
            (Some(text), _) => Some(Version::read(text).context("--xen")?),
            (None, Some(version)) => Some(version),
            (None, None) => changelog.as_ref().map(newest).transpose()?,
        };
        let linux = match &arguments.linux {
            Some(text) => Some(linux_version(text).context("--linux")?),
            None => image.linux,
        };
        let since = arguments.since.as_deref().map(|text| last_bump(text, Component::Xen).context("--since"));
        let since = since.transpose()?;
        let linux_since = match &arguments.linux_since {
            Some(text) => Some(last_bump(text, Component::LinuxDom0).context("--linux-since")?),
            // A version of Xen is none of Linux.
            None => since.clone().filter(|since| matches!(since, LastBump::Date(_))),
        };
        if xen.is_none() && since.is_some() && linux_since.is_none() {
            bail!("--since with a version is about Xen, and no Xen is given: say --linux-since");
        }
        let skipped: BTreeMap<u16, String> = history
            .iter()
            .flat_map(|(_, history)| &history.skipped)
            .map(|skipped| (skipped.xsa, skipped.why.clone()))
            .collect();
        let mut sides = Vec::new();
        for (component, version, generation, since, changelog) in [
            (Component::Xen, xen, arguments.generation.or(image.xen_generation), since, changelog),
            (Component::LinuxDom0, linux, image.linux_generation, linux_since, None),
        ] {
            let Some(version) = version else { continue };
            let (generation, mut last) = match &history {
                Some(history) => began(history, component, generation)?,
                None => (generation, since),
            };
            let mut said = Said::default();
            if let Some(changelog) = &changelog {
                said = entry(changelog, &version)?;
                if let Some(LastBump::Version(then, said)) = &mut last {
                    *said = changelog.1.at(&then.text);
                }
            }
            said.fixed.extend(fixed.iter().map(|xsa| (*xsa, "by --fixed".to_owned())));
            said.doubtful.retain(|xsa| !fixed.contains(xsa));
            check_last(last.as_ref(), &version, component, corpus, arguments.allow_stale)?;
            sides.push((Side { component, version, said, last, skipped: skipped.clone() }, generation));
        }
        Ok(Self { sides, arch: image.arch })
    }
}

/// What was read, with the name of its file.
type Named<'a, T> = (&'a Path, T);

/// The version of a changelog's newest entry.
fn newest((path, changelog): &Named<'_, Changelog>) -> Result<Version> {
    let name = path.display();
    let first = changelog.uploads.first().and_then(|upload| upload.version.as_deref());
    let first = first
        .with_context(|| format!("{name}: its first entry says no version, as Debian's do: say --xen VERSION"))?;
    Version::read(first).with_context(|| name.to_string())
}

/// By a record: the generation, the newest one if none is given, and when it began.
fn began(
    (path, history): &Named<'_, History>,
    component: Component,
    generation: Option<u16>,
) -> Result<(Option<u16>, Option<LastBump>)> {
    match (history.began(component, generation), generation) {
        (Some(began), _) => {
            let last = match &began.version {
                Some(version) => LastBump::Version(version.clone(), None),
                None => LastBump::Date(began.date),
            };
            Ok((Some(began.number), Some(last)))
        }
        (None, Some(number)) => bail!("{}: no generation {number} of {component} stands in it", path.display()),
        (None, None) => Ok((None, None)),
    }
}

/// What a changelog says of a version. One with versions has to have that one: another package's fixes are not this one's.
fn entry((path, changelog): &Named<'_, Changelog>, version: &Version) -> Result<Said> {
    if !changelog.has_versions() {
        return Ok(changelog.whole());
    }
    changelog.at(&version.text).with_context(|| {
        let newest = changelog.uploads.first().and_then(|upload| upload.version.as_deref()).unwrap_or_default();
        format!("{}: no entry is about {version}; its newest is about {newest}", path.display())
    })
}

/// When a generation last rose is a time that the data know, and not later than the build.
fn check_last(
    last: Option<&LastBump>,
    version: &Version,
    component: Component,
    corpus: &Corpus,
    is_allowed: bool,
) -> Result<()> {
    match last {
        Some(LastBump::Version(then, _)) if then.release > version.release => {
            bail!(
                "the generation last rose with {then}, which is later than {version}: say another version or --generation"
            )
        }
        Some(LastBump::Version(then, _))
            if component == Component::Xen && !is_allowed && !corpus.releases().has(then.release) =>
        {
            bail!("the generation last rose with {then}: there is no Xen {} in the data", then.release)
        }
        Some(LastBump::Date(day)) => {
            let first = corpus.advisories().next().and_then(|advisory| advisory.date);
            if let Some(first) = first.filter(|first| day < first) {
                bail!(
                    "the generation last rose on {day}, and the data begin on {first}: what came before is not known"
                );
            }
            let until = corpus.releases().until;
            if *day > until && !is_allowed {
                bail!(
                    "the generation last rose on {day}, and the data end on {until}: take a newer xen-lockdown, or say --allow-stale"
                );
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn known(xsa: u16, corpus: &Corpus) -> Result<u16> {
    let last = corpus.last().map_or_else(String::new, Description::name);
    ensure!(
        corpus.advisory(xsa).is_some(),
        "XSA-{xsa} is no advisory that is known here: they run from XSA-300 to {last}, with gaps"
    );
    Ok(xsa)
}

/// `500`, `XSA-500`
fn advisory(text: &str, corpus: &Corpus) -> Result<u16> {
    let number = text.strip_prefix("XSA-").or_else(|| text.strip_prefix("xsa-")).unwrap_or(text);
    let Ok(xsa) = number.parse() else { bail!("--fixed {text}: write it as 500 or XSA-500") };
    known(xsa, corpus)
}

/// A release of Linux. Distributions name their kernels after the first release of a branch and a number of their own.
fn linux_version(text: &str) -> Result<Version> {
    let version = Version::read(text)?;
    let own = text.strip_prefix(&version.release.to_string()).and_then(|rest| rest.strip_prefix('-'));
    let is_own = own.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    ensure!(
        version.release.point != 0 || !is_own,
        "{text:?} is a distribution's name for a kernel, and does not say which stable release it is: say its package's version, as 6.1.147-1"
    );
    Ok(version)
}

fn last_bump(text: &str, component: Component) -> Result<LastBump> {
    // A day has two dashes between numbers, a version begins with two numbers and a dot between.
    if let Some(date) = day::read(text) {
        return Ok(LastBump::Date(date));
    }
    let version =
        if component == Component::Xen { Version::read(text).map_err(Into::into) } else { linux_version(text) };
    let version = version.with_context(|| format!("{text:?} is neither a day, as 2026-07-28, nor a version"))?;
    Ok(LastBump::Version(version, None))
}

fn changelog(path: &Path) -> Result<Named<'_, Changelog>> {
    let bytes = files::read(path, LONGEST)?;
    let mut plain = Vec::new();
    let bytes = if bytes.starts_with(&[0x1f, 0x8b]) {
        let unpacked = GzDecoder::new(bytes.as_slice()).take(LONGEST.saturating_add(1)).read_to_end(&mut plain);
        unpacked.with_context(|| format!("{} cannot be unpacked", path.display()))?;
        if u64::try_from(plain.len()).unwrap_or(u64::MAX) > LONGEST {
            bail!("{} unpacks to more than {} MiB: it is something else", path.display(), LONGEST >> 20);
        }
        plain
    } else {
        bytes
    };
    // Old entries are not all UTF-8; what is read here is.
    let changelog = Changelog::read(&String::from_utf8_lossy(&bytes));
    let package = changelog.uploads.first().and_then(|upload| upload.package.as_deref());
    if let Some(package) = package.filter(|package| !package.starts_with("xen")) {
        bail!("{}: is the changelog of {package}, and not of Xen's package", path.display());
    }
    if !changelog.names_any() {
        bail!("{}: names no advisory (XSA-309): it is no changelog of Xen's", path.display());
    }
    Ok((path, changelog))
}

fn history<'a>(path: &'a Path, corpus: &Corpus) -> Result<Named<'a, History>> {
    let history = History::read(path, &files::read_text(path, LONGEST)?)?;
    for Skipped { xsa, .. } in &history.skipped {
        known(*xsa, corpus).with_context(|| format!("{}: a skipped advisory", path.display()))?;
    }
    Ok((path, history))
}

fn from_image(path: &Path, arguments: &SbatAdviseArguments) -> Result<FromImage> {
    let name = path.display();
    let image = Image::read(files::open(path)?).with_context(|| format!("{name} is no image"))?;
    let inspected = inspect(&image, Depth::Headers).with_context(|| files::unread(path))?;
    let rows = match &inspected.sbat {
        None => bail!("{name} has no section {SECTION}, so it says no version and no generation"),
        Some((_, mistakes)) if !mistakes.is_empty() => {
            bail!("{name}:{SECTION} is not well-formed: xen-lockdown sbat check says what is wrong")
        }
        Some((table, _)) => &table.rows,
    };
    let xen =
        row(rows, "xen").with_context(|| format!("{name}:{SECTION} has no row of xen, or of a vendor's xen"))?;
    let linux = row(rows, "linux");
    let version = |row: &Row| {
        Version::read(&row.version)
            .with_context(|| format!("{name}:{SECTION}:{}: the row of {}", row.line, row.component))
    };
    let kernel = inspected.kernel.as_ref().and_then(|kernel| kernel.release());
    let linux_version = match (kernel, linux) {
        // What is said on the command line counts, and the image's need not be one.
        _ if arguments.linux.is_some() => None,
        (Some(release), _) => Some(linux_version(release).with_context(|| format!("{name}:.kernel"))?),
        (None, row) => row.map(version).transpose()?,
    };
    Ok(FromImage {
        xen: if arguments.xen.is_some() { None } else { Some(version(xen)?) },
        xen_generation: Some(xen.generation),
        linux: linux_version,
        linux_generation: linux.map(|row| row.generation),
        arch: match inspected.headers.machine {
            0x8664 => Some(Arch::X86),
            0xaa64 => Some(Arch::Arm),
            _ => None,
        },
    })
}

/// The row whose generation is the vendor's: `xen.example`, or else `xen`.
fn row<'a>(rows: &'a [Row], component: &str) -> Option<&'a Row> {
    let vendors = |row: &&Row| row.component.strip_prefix(component).is_some_and(|rest| rest.starts_with('.'));
    rows.iter().find(vendors).or_else(|| rows.iter().find(|row| row.component == component))
}
