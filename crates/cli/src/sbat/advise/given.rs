//! What is known of the build: from options, an image, a changelog, a record.

use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use flate2::read::GzDecoder;
use lockdown_advisories::{Arch, Changelog, Component, Corpus, History, LastBump, Side, Version};
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
        let history = arguments.history.as_deref().map(history).transpose()?;
        let mut fixed = arguments.fixed.iter().map(|text| advisory(text)).collect::<Result<Vec<_>>>()?;
        fixed.extend(changelog.iter().flat_map(|changelog| &changelog.fixed));
        for xsa in &fixed {
            if arguments.changelog.is_none() && corpus.record(*xsa).is_none() {
                bail!("XSA-{xsa} is no advisory that is known here: they run from XSA-300 to {}", last(corpus));
            }
        }
        let version = |text: &str| Version::read(text);
        let xen = match &arguments.xen {
            Some(text) => Some(version(text).context("--xen")?),
            None => image.xen,
        };
        let xen = match (xen, &changelog, &arguments.changelog) {
            (None, Some(changelog), Some(path)) => match changelog.first_version() {
                Some(version) => Some(version.with_context(|| path.display().to_string())?),
                None if arguments.linux.is_some() => None,
                None => {
                    bail!("{}: its first entry says no version, as Debian's do: say --xen VERSION", path.display())
                }
            },
            (xen, _, _) => xen,
        };
        let linux = match &arguments.linux {
            Some(text) => Some(version(text).context("--linux")?),
            None => image.linux,
        };
        let skipped: Vec<u16> =
            history.iter().flat_map(|history| &history.skipped).map(|skipped| skipped.xsa).collect();
        let since = arguments.since.as_deref().map(|text| last_bump(text).context("--since")).transpose()?;
        let linux_since = match &arguments.linux_since {
            Some(text) => Some(last_bump(text).context("--linux-since")?),
            // A version of Xen is none of Linux.
            None => since.clone().filter(|since| matches!(since, LastBump::Date(_))),
        };
        let mut sides = Vec::new();
        for (component, version, generation, since, fixed, is_complete) in [
            (
                Component::Xen,
                xen,
                arguments.generation.or(image.xen_generation),
                since,
                fixed,
                changelog.is_some(),
            ),
            (Component::LinuxDom0, linux, image.linux_generation, linux_since, Vec::new(), false),
        ] {
            let Some(version) = version else { continue };
            let mut generation = generation;
            let mut last = since;
            if let (Some(history), Some(path)) = (&history, &arguments.history) {
                match history.began(component, generation) {
                    Some(began) => {
                        generation = Some(began.number);
                        last = Some(match &began.version {
                            Some(version) => LastBump::Version(version.clone()),
                            None => LastBump::Date(began.date),
                        });
                    }
                    None if generation.is_some() && component == Component::Xen => bail!(
                        "{}: no generation {} of {component} stands in it",
                        path.display(),
                        generation.unwrap_or_default()
                    ),
                    None => {}
                }
            }
            let side = Side { component, version, fixed, is_complete, last, skipped: skipped.clone() };
            sides.push((side, generation));
        }
        Ok(Self { sides, arch: image.arch })
    }
}

fn last(corpus: &Corpus) -> String {
    corpus.last().map_or_else(String::new, lockdown_advisories::Description::name)
}

/// `500`, `XSA-500`
fn advisory(text: &str) -> Result<u16> {
    let number = text.strip_prefix("XSA-").or_else(|| text.strip_prefix("xsa-")).unwrap_or(text);
    number.parse().with_context(|| format!("--fixed {text}: write it as 500 or XSA-500"))
}

fn last_bump(text: &str) -> Result<LastBump> {
    // A day has two dashes between numbers, a version begins with two numbers and a dot between.
    if let Some(date) = Corpus::day(text) {
        return Ok(LastBump::Date(date));
    }
    let version =
        Version::read(text).with_context(|| format!("{text:?} is neither a day, as 2026-07-28, nor a version"))?;
    Ok(LastBump::Version(version))
}

fn changelog(path: &Path) -> Result<Changelog> {
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
    if changelog.fixed.is_empty() && changelog.left_out.is_empty() {
        bail!("{}: names no advisory (XSA-309): it is no changelog of Xen's", path.display());
    }
    Ok(changelog)
}

fn history(path: &Path) -> Result<History> {
    let bytes = files::read(path, LONGEST)?;
    let text = String::from_utf8(bytes).with_context(|| format!("{} is no text", path.display()))?;
    Ok(History::read(path, &text)?)
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
        (Some(release), _) => Some(Version::read(release).with_context(|| format!("{name}:.kernel"))?),
        (None, Some(row)) => Some(version(row)?),
        (None, None) => None,
    };
    Ok(FromImage {
        xen: if arguments.xen.is_some() { None } else { Some(version(xen)?) },
        xen_generation: Some(xen.generation),
        linux: linux_version.filter(|_| arguments.linux.is_none()),
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
