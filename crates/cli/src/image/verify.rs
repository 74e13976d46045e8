//! `xen-lockdown image verify`: would this image boot?

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail, ensure};
use lockdown_image::Image;
use lockdown_image::verify::{Answer, Evidence, Judge};
use serde_json::{Value, json};

use crate::arguments::ImageVerifyArguments;
use crate::files;
use crate::image::trust::{Entry, Trust};
use crate::lint::BootEntry;

/// A way into the machine.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Via {
    Firmware,
    Shim,
}

impl Via {
    const fn name(self) -> &'static str {
        match self {
            Self::Firmware => "firmware",
            Self::Shim => "shim",
        }
    }
}

struct Report<'a> {
    arguments: &'a ImageVerifyArguments,
    evidence: Evidence,
    notes: Vec<String>,
    paths: Vec<(Via, Answer)>,
    entries: Vec<Judged>,
}

/// A boot entry, and what becomes of it.
struct Judged {
    entry: Entry,
    via: Via,
    /// `None` if it starts something else.
    answer: Option<Answer>,
    options: Option<BootEntry>,
    notes: Vec<&'static str>,
}

pub(super) fn run(arguments: &ImageVerifyArguments) -> Result<ExitCode> {
    let wanted = wanted_entry(arguments)?;
    let trust = Trust::gather(arguments)?;
    let image =
        Image::read(files::open(&arguments.image)?).with_context(|| arguments.image.display().to_string())?;
    let mut functions = trust.firmware.functions();
    functions.extend(trust.shim.functions());
    let through_shim = arguments.via.as_deref() != Some(Via::Firmware.name()) || wanted.is_some();
    let gathered = if through_shim {
        Evidence::gather_for_shim(&image, &functions)
    } else {
        Evidence::gather(&image, &functions)
    };
    let evidence = gathered.with_context(|| arguments.image.display().to_string())?;

    let through_shim = match &trust.shim_itself {
        Some(answer) if !matches!(answer, Answer::Boots(_)) => Answer::of_shim(answer),
        _ => trust.shim.judge(&evidence),
    };
    let both = [(Via::Firmware, trust.firmware.judge(&evidence)), (Via::Shim, through_shim)];
    let mut entries = Vec::new();
    for entry in trust.entries {
        if wanted.is_some_and(|wanted| wanted.is_none_or(|number| number == entry.number)) {
            entries.push(judge_entry(&arguments.image, entry, &both)?);
        }
    }
    if let Some(Some(number)) = wanted {
        ensure!(!entries.is_empty(), "there is no boot entry Boot{number:04X} in these variables");
    }
    let asked = |via: &Via| arguments.via.as_deref().is_none_or(|name| name == via.name());
    let paths = both.into_iter().filter(|(via, _)| asked(via)).collect();
    let report = Report { arguments, evidence, notes: trust.notes, paths, entries };
    report.print()?;
    Ok(report.status())
}

/// Whether boot entries are asked for, and which.
fn wanted_entry(arguments: &ImageVerifyArguments) -> Result<Option<Option<u16>>> {
    let Some(text) = &arguments.boot_entry else { return Ok(None) };
    ensure!(
        arguments.varstore.is_some() || arguments.efivars.is_some(),
        "--boot-entry needs a machine's variables: give --varstore or --efivars"
    );
    if text == "all" {
        return Ok(Some(None));
    }
    let digits = text.strip_prefix("Boot").unwrap_or(text);
    match u16::from_str_radix(digits, 16) {
        Ok(number) if digits.len() <= 4 => Ok(Some(Some(number))),
        _ => bail!(
            "--boot-entry={text}: write the entry's number as firmware does, in four hexadecimal digits, such as 0001"
        ),
    }
}

/// What an entry starts: the image itself, or shim, which is known by its name.
fn judge_entry(image: &Path, entry: Entry, both: &[(Via, Answer); 2]) -> Result<Judged> {
    let base = |path: &str| path.rsplit(['\\', '/']).next().unwrap_or_default().to_ascii_lowercase();
    let file = entry.option.path.as_deref().map(base);
    let name = image.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    let text = entry.option.text();
    let mut notes = Vec::new();
    let [(_, direct), (_, through_shim)] = both;
    let (via, answer, xen_text) = match file.as_deref() {
        Some(file) if file == name => (Via::Firmware, Some(direct.clone()), text.clone()),
        Some(file) if file.starts_with("shim") => {
            // The first word is what shim loads, the rest is for that; without one it loads GRUB.
            let text = text.clone().unwrap_or_default();
            let (loader, rest) = text.trim_start().split_once([' ', '\t']).unwrap_or((text.trim(), ""));
            let ours = base(loader) == name || (loader.is_empty() && name == "grubx64.efi");
            (Via::Shim, ours.then(|| through_shim.clone()), ours.then(|| format!("{loader} {rest}")))
        }
        _ => (Via::Firmware, None, None),
    };
    if file.is_none() {
        notes.push("it names no file on a disk");
    } else if answer.is_none() {
        notes.push("it starts another file");
    } else if !entry.option.data.is_empty() && !entry.option.data.ends_with(&[0, 0]) {
        notes.push("Xen takes no options from it: its text does not end with a NUL");
    } else if text.is_none() {
        notes.push("Xen takes no options from it: they are not UTF-16");
    }
    let judged = xen_text.filter(|text| answer.is_some() && notes.is_empty() && !text.trim().is_empty());
    let title = format!("Boot{:04X}", entry.number);
    let options = judged.map(|text| BootEntry::judge(image, &title, &text)).transpose()?;
    Ok(Judged { entry, via, answer, options, notes })
}

impl Report<'_> {
    /// What was asked: a boot entry by its number, or the image's paths.
    fn status(&self) -> ExitCode {
        let numbered = self.arguments.boot_entry.as_deref().is_some_and(|text| text != "all");
        let entry = self.entries.first().filter(|_| numbered);
        let answers: Vec<Option<&Answer>> = match entry {
            Some(entry) => vec![entry.answer.as_ref()],
            None => self.paths.iter().map(|(_, answer)| Some(answer)).collect(),
        };
        if answers.iter().any(|answer| matches!(answer, Some(Answer::Boots(_)))) {
            ExitCode::SUCCESS
        } else if answers.iter().all(|answer| matches!(answer, Some(Answer::Refused { .. }))) {
            ExitCode::from(1)
        } else {
            ExitCode::from(2)
        }
    }

    fn print(&self) -> Result<()> {
        if self.arguments.format == "json" {
            anstream::println!("{}", serde_json::to_string_pretty(&self.json()?)?);
            return Ok(());
        }
        anstream::println!("{}", self.arguments.image.display());
        for digest in self.evidence.digests() {
            anstream::println!("  {}: {digest}", digest.function());
        }
        for (via, answer) in &self.paths {
            anstream::println!("  {}: {}", path_name(*via), sentence(answer));
        }
        for judged in &self.entries {
            let option = &judged.entry.option;
            let state = if judged.entry.in_order { "" } else { ", not tried by itself" };
            anstream::println!(
                "  Boot{:04X} {:?} {}{state}: {}",
                judged.entry.number,
                option.title,
                option.path.as_deref().unwrap_or("(no file)"),
                judged.answer.as_ref().map_or_else(|| "not judged".to_owned(), sentence)
            );
            for note in &judged.notes {
                anstream::println!("    {note}");
            }
            if let Some(options) = &judged.options {
                options.print()?;
            }
        }
        for note in &self.notes {
            anstream::eprintln!("note: {note}");
        }
        Ok(())
    }

    fn json(&self) -> Result<Value> {
        let digests: serde_json::Map<String, Value> = self
            .evidence
            .digests()
            .iter()
            .map(|digest| (digest.function().name().to_owned(), json!(digest.to_string())))
            .collect();
        let mut entries = Vec::new();
        for judged in &self.entries {
            entries.push(json!({
                "number": format!("{:04X}", judged.entry.number),
                "title": judged.entry.option.title,
                "path": judged.entry.option.path,
                "in_order": judged.entry.in_order,
                "judged": judged.answer.as_ref().map(|answer| answer_json(judged.via, answer)),
                "options": judged.options.as_ref().map(BootEntry::json).transpose()?,
                "notes": judged.notes,
            }));
        }
        let mut document = json!({
            "schema": "xen-lockdown/verify/1",
            "image": self.arguments.image.display().to_string(),
            "digests": digests,
            "paths": self.paths.iter().map(|(via, answer)| answer_json(*via, answer)).collect::<Vec<_>>(),
            "notes": self.notes,
        });
        if let (Some(object), true) = (document.as_object_mut(), self.arguments.boot_entry.is_some()) {
            object.insert("boot_entries".to_owned(), Value::Array(entries));
        }
        Ok(document)
    }
}

const fn path_name(via: Via) -> &'static str {
    match via {
        Via::Firmware => "by firmware",
        Via::Shim => "through shim",
    }
}

fn sentence(answer: &Answer) -> String {
    match answer {
        Answer::Boots(_) => format!("boots [{}]: {answer}", answer.id()),
        Answer::Refused { by, .. } => format!("refused by {} [{}]: {answer}", judge_name(*by), answer.id()),
        Answer::Unknown(_) => format!("cannot be judged [{}]: {answer}", answer.id()),
    }
}

const fn judge_name(judge: Judge) -> &'static str {
    match judge {
        Judge::Firmware => "firmware",
        Judge::Shim => "shim",
        Judge::Xen => "Xen",
    }
}

fn answer_json(via: Via, answer: &Answer) -> Value {
    let (boots, by) = match answer {
        Answer::Boots(_) => (Some(true), None),
        Answer::Refused { by, .. } => (Some(false), Some(by.name())),
        Answer::Unknown(_) => (None, None),
    };
    json!({
        "via": via.name(),
        "boots": boots,
        "refused_by": by,
        "reason": answer.id(),
        "message": answer.to_string(),
    })
}
