//! Reads the files of `policy/` and holds them against the rules of `policy/README.md`.

use std::fs;
use std::path::{Path, PathBuf};

use lockdown_core::{Level, Polarity, linux_text};
use serde::de::DeserializeOwned;
use toml::Spanned;

use crate::compile;
use crate::hypercall;
use crate::model::{
    BoundaryRule, ClassName, Domain, Entry, ItemRule, PatternRule, Place, Policy, ReasonEntry, ShapeRule,
};
use crate::overlay::Overlay;
use crate::privcmd;
use crate::problem::{Problem, Problems, line_of};
use crate::raw::{Dom0File, OptionFile, RawDom0, RawItem, RawOption, RawReason, ReasonFile};

/// The releases that the policy may name, oldest first.
pub const XEN_VERSIONS: [&str; 3] = ["4.17", "4.20", "HEAD"];

const OPTION_KINDS: [&str; 6] = ["custom", "boolean", "integer", "size", "string", "ignore"];
const BOOT_KINDS: [&str; 5] = ["early", "efi-argument", "config-key", "boot-loader", "separator"];
const ARCHITECTURES: [&str; 3] = ["x86", "arm", "riscv"];

pub(crate) fn load(folder: &Path) -> Result<Policy, Problems> {
    let mut problems = Problems::default();
    let boundary = load_boundary(&folder.join("boundary.md"), &mut problems);
    let reasons = load_reasons(&folder.join("reasons.toml"), &boundary, &mut problems);
    let mut entries = Vec::new();
    for file in files_in(&folder.join("options"), &mut problems) {
        load_options(&file, &reasons, &mut entries, &mut problems);
    }
    let mut dom0 = Vec::new();
    for file in files_in(&folder.join("dom0-options"), &mut problems) {
        load_dom0_options(&file, &reasons, &mut dom0, &mut problems);
    }
    let mut hypercalls = Vec::new();
    for file in files_in(&folder.join("hypercalls"), &mut problems) {
        hypercall::load(&file, &reasons, &mut hypercalls, &mut problems);
    }
    hypercalls.sort_by_key(|hypercall: &hypercall::Hypercall| hypercall.number);
    hypercall::check_unique(&hypercalls, &mut problems);
    let privcmd = privcmd::load(&folder.join("privcmd.toml"), &reasons, &hypercalls, &mut problems);
    let (mut boot, mut xen): (Vec<_>, Vec<_>) =
        entries.into_iter().partition(|entry| entry.domain == Domain::Boot);
    xen.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
    boot.sort_by(|a, b| a.name.cmp(&b.name));
    dom0.sort_by(|a, b| linux_text::compare_names(a.name.as_bytes(), b.name.as_bytes()));
    for list in [&xen, &boot] {
        check_unique(list, |a, b| a == b, &mut problems);
    }
    check_unique(&dom0, |a, b| linux_text::compare_names(a.as_bytes(), b.as_bytes()).is_eq(), &mut problems);
    let mut overlays = Vec::new();
    let folder = folder.join("overlays");
    if folder.is_dir() {
        for file in files_in(&folder, &mut problems) {
            match Overlay::load(&file) {
                Ok(overlay) => overlays.push(overlay),
                Err(found) => problems.0.extend(found.0),
            }
        }
    }
    problems.into_result(Policy { boundary, reasons, xen, dom0, boot, hypercalls, privcmd, overlays })
}

/// The TOML files of a folder, by name.
pub fn files_in(folder: &Path, problems: &mut Problems) -> Vec<PathBuf> {
    let listed = fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>());
    match listed {
        Ok(mut files) => {
            files.retain(|file| file.extension().is_some_and(|extension| extension == "toml"));
            files.sort();
            files
        }
        Err(error) => {
            problems.push(Problem::new(folder, 0, format!("cannot be listed: {error}")));
            Vec::new()
        }
    }
}

/// The text of a file.
pub fn read(file: &Path, problems: &mut Problems) -> Option<String> {
    match fs::read_to_string(file) {
        Ok(text) => Some(text),
        Err(error) => {
            problems.push(Problem::new(file, 0, format!("cannot be read: {error}")));
            None
        }
    }
}

/// What a text of TOML says.
pub fn parse<T: DeserializeOwned>(file: &Path, text: &str, problems: &mut Problems) -> Option<T> {
    toml::from_str(text).map_err(|error| problems.push(Problem::from_toml(file, text, &error))).ok()
}

fn load_boundary(file: &Path, problems: &mut Problems) -> Vec<BoundaryRule> {
    let Some(text) = read(file, problems) else { return Vec::new() };
    let mut rules: Vec<BoundaryRule> = Vec::new();
    let mut open = false;
    for (index, line) in text.lines().enumerate() {
        let heading = line.strip_prefix("## ");
        if let Some((id, title)) = heading
            .and_then(|heading| heading.split_once(": "))
            .filter(|(id, _)| id.strip_prefix('B').is_some_and(|number| number.parse::<u32>().is_ok()))
        {
            if rules.iter().any(|rule| rule.id == id) {
                problems.push(Problem::new(file, index + 1, format!("rule {id} stands twice")));
            }
            rules.push(BoundaryRule { id: id.to_owned(), title: title.to_owned(), text: String::new() });
            open = true;
        } else if heading.is_some() {
            open = false;
        } else if let Some(rule) = rules.last_mut().filter(|_| open) {
            rule.text.push_str(line);
            rule.text.push('\n');
        }
    }
    for rule in &mut rules {
        rule.text = rule.text.trim().to_owned();
    }
    rules
}

fn load_reasons(file: &Path, boundary: &[BoundaryRule], problems: &mut Problems) -> Vec<ReasonEntry> {
    let Some(text) = read(file, problems) else { return Vec::new() };
    let Some(raw) = parse::<ReasonFile>(file, &text, problems) else { return Vec::new() };
    let mut reasons: Vec<ReasonEntry> = Vec::new();
    for spanned in raw.reason {
        let line = line_of(&text, &spanned.span());
        let reason = spanned.into_inner();
        let mut complain = |message: String| problems.push(Problem::new(file, line, message));
        let level = match reason.level.as_str() {
            "integrity" => Level::Integrity,
            "confidentiality" => Level::Confidentiality,
            other => {
                complain(format!("level {other:?}: say \"integrity\" or \"confidentiality\""));
                Level::Integrity
            }
        };
        if !boundary.iter().any(|rule| rule.id == reason.rule) {
            complain(format!("rule {:?} does not stand in boundary.md", reason.rule));
        }
        if reasons.iter().any(|known| known.id == reason.id) {
            complain(format!("reason {:?} stands twice", reason.id));
        }
        if reasons.last().is_some_and(|last| last.level > level) {
            complain("reasons of level integrity come before those of level confidentiality".to_owned());
        }
        let RawReason { id, rule, text, explain, .. } = reason;
        reasons.push(ReasonEntry { id, level, rule, text, explain });
    }
    reasons
}

fn load_options(file: &Path, reasons: &[ReasonEntry], entries: &mut Vec<Entry>, problems: &mut Problems) {
    let Some(text) = read(file, problems) else { return };
    let Some(raw) = parse::<OptionFile>(file, &text, problems) else { return };
    for spanned in raw.option {
        let place = Place { file: file.to_owned(), line: line_of(&text, &spanned.span()) };
        let mut reader = Reader { file, text: &text, line: place.line, reasons, problems };
        let entry = reader.option(place, spanned.into_inner());
        entries.extend(entry);
    }
}

fn load_dom0_options(file: &Path, reasons: &[ReasonEntry], entries: &mut Vec<Entry>, problems: &mut Problems) {
    let Some(text) = read(file, problems) else { return };
    let Some(raw) = parse::<Dom0File>(file, &text, problems) else { return };
    for spanned in raw.option {
        let place = Place { file: file.to_owned(), line: line_of(&text, &spanned.span()) };
        let mut reader = Reader { file, text: &text, line: place.line, reasons, problems };
        let entry = reader.dom0_option(place, spanned.into_inner());
        entries.extend(entry);
    }
}

fn check_unique(entries: &[Entry], same: impl Fn(&str, &str) -> bool, problems: &mut Problems) {
    for pair in entries.windows(2) {
        let [first, second] = pair else { continue };
        if same(&first.name, &second.name) {
            problems.push(second.problem(format!(
                "{:?} has an entry already, at {}:{}",
                second.name,
                first.place.file.display(),
                first.place.line
            )));
        }
    }
}

/// Turns the entries of one file into the model and notes what is wrong with them.
pub(crate) struct Reader<'a> {
    pub(crate) file: &'a Path,
    pub(crate) text: &'a str,
    pub(crate) line: usize,
    pub(crate) reasons: &'a [ReasonEntry],
    pub(crate) problems: &'a mut Problems,
}

impl Reader<'_> {
    pub(crate) fn complain(&mut self, message: impl Into<String>) {
        self.problems.push(Problem::new(self.file, self.line, message));
    }

    fn option(&mut self, place: Place, raw: RawOption) -> Option<Entry> {
        let name = raw.name.clone();
        let boot = raw.kind.iter().any(|kind| BOOT_KINDS.contains(&kind.as_str()));
        let domain = if boot { Domain::Boot } else { Domain::Xen };
        let known_kinds: &[&str] = if boot { &BOOT_KINDS } else { &OPTION_KINDS };
        self.check_words(&name, "kind", &raw.kind, known_kinds);
        self.check_words(&name, "xen", &raw.xen, &XEN_VERSIONS);
        self.check_words(&name, "audited", &raw.audited, &XEN_VERSIONS);
        self.check_words(&name, "arch", &raw.arch, &ARCHITECTURES);
        for (what, list) in [("kind", &raw.kind), ("xen", &raw.xen), ("arch", &raw.arch)] {
            if list.is_empty() {
                self.complain(format!("{name}: `{what}` is empty"));
            }
        }
        for version in raw.audited.iter().filter(|version| !raw.xen.contains(version)) {
            self.complain(format!("{name}: audited on {version}, which does not have it"));
        }
        let class = self.class(&name, &raw.class)?;
        self.check_reason(&name, class, raw.reason.as_deref(), raw.audited.is_empty() && !boot);
        let has = |kind: &str| raw.kind.iter().any(|known| known == kind);
        if has("string") != raw.capacity.is_some() {
            self.complain(format!("{name}: `capacity` belongs to kind string, and only to it"));
        }
        if (has("integer") || has("size")) != raw.width.is_some() {
            self.complain(format!("{name}: `width` belongs to kinds integer and size, and only to them"));
        }
        if raw.width.is_some_and(|width| ![8, 16, 32, 64].contains(&width)) {
            self.complain(format!("{name}: `width` is 8, 16, 32 or 64"));
        }
        let booleans = raw.kind.iter().filter(|kind| *kind == "boolean").count();
        if booleans > 1 && class == ClassName::Values {
            // Xen's parser turns the value round at each registration.
            self.complain(format!("{name}: registered twice as boolean, so no value has one meaning"));
        }
        let shape = self.shape(&name, class, raw.separator, raw.items, raw.fields, raw.named);
        if let (Some(width), Some(shape)) = (raw.width, &shape) {
            self.check_width(&name, width, shape);
        }
        Some(Entry {
            domain,
            place,
            name,
            kinds: raw.kind,
            capacity: raw.capacity,
            width: raw.width,
            xen: raw.xen,
            arch: raw.arch,
            class,
            syntax: raw.syntax,
            source: raw.source,
            audited: raw.audited,
            reason: raw.reason,
            mechanism: raw.mechanism,
            advice: raw.advice,
            shape,
        })
    }

    fn dom0_option(&mut self, place: Place, raw: RawDom0) -> Option<Entry> {
        let class = self.class(&raw.name, &raw.class)?;
        if !matches!(class, ClassName::Safe | ClassName::Values | ClassName::Refused) {
            self.complain(format!("{}: class {} has no meaning for dom0", raw.name, class.name()));
        }
        self.check_reason(&raw.name, class, raw.reason.as_deref(), false);
        let shape = self.shape(&raw.name, class, raw.separator, raw.items, None, None);
        Some(Entry {
            domain: Domain::Dom0,
            place,
            name: raw.name,
            kinds: vec!["custom".to_owned()],
            capacity: None,
            width: None,
            xen: XEN_VERSIONS.map(str::to_owned).to_vec(),
            arch: vec!["x86".to_owned()],
            class,
            syntax: raw.syntax,
            source: raw.source,
            audited: Vec::new(),
            reason: raw.reason,
            mechanism: raw.mechanism,
            advice: raw.advice,
            shape,
        })
    }

    fn check_words(&mut self, name: &str, what: &str, words: &[String], known: &[&str]) {
        for word in words.iter().filter(|word| !known.contains(&word.as_str())) {
            self.complain(format!("{name}: {what} {word:?} is not one of {}", known.join(", ")));
        }
    }

    fn class(&mut self, name: &str, class: &str) -> Option<ClassName> {
        Some(match class {
            "safe" => ClassName::Safe,
            "values" => ClassName::Values,
            "refused" => ClassName::Refused,
            "latch" => ClassName::Latch,
            "foreign" => ClassName::Foreign,
            other => {
                self.complain(format!(
                    "{name}: class {other:?} is not one of safe, values, refused, latch, foreign"
                ));
                return None;
            }
        })
    }

    fn check_reason(&mut self, name: &str, class: ClassName, reason: Option<&str>, unaudited: bool) {
        let needs = matches!(class, ClassName::Values | ClassName::Refused | ClassName::Latch);
        match reason {
            None if needs => self.complain(format!("{name}: class {} needs a reason", class.name())),
            Some(_) if !needs => {
                self.complain(format!("{name}: class {} refuses nothing, so it has no reason", class.name()));
            }
            Some(reason) => self.check_reason_exists(name, reason),
            None => {}
        }
        let judged = matches!(class, ClassName::Safe | ClassName::Values)
            || (class == ClassName::Refused && reason != Some("unaudited"));
        if unaudited && judged {
            self.complain(format!(
                "{name}: class {} without an audit: read its handler, or say class refused, reason unaudited",
                class.name()
            ));
        }
        if !unaudited && reason == Some("unaudited") {
            self.complain(format!("{name}: reason unaudited, but `audited` says that it was read"));
        }
    }

    pub(crate) fn check_reason_exists(&mut self, name: &str, reason: &str) {
        if !self.reasons.iter().any(|known| known.id == reason) {
            self.complain(format!("{name}: reason {reason:?} does not stand in reasons.toml"));
        }
    }

    fn shape(
        &mut self,
        name: &str,
        class: ClassName,
        separator: Option<String>,
        items: Option<Vec<Spanned<RawItem>>>,
        fields: Option<Vec<Vec<Spanned<RawItem>>>>,
        named: Option<Vec<Spanned<RawItem>>>,
    ) -> Option<ShapeRule> {
        if class != ClassName::Values {
            if separator.is_some() || items.is_some() || fields.is_some() || named.is_some() {
                self.complain(format!("{name}: only class values has items, fields or a separator"));
            }
            return None;
        }
        match (items, fields, separator) {
            (Some(items), None, separator) if named.is_none() => {
                let items = self.items(name, items);
                self.check_overlap(name, &items);
                Some(match separator {
                    None => ShapeRule::Whole(items),
                    Some(separator) => ShapeRule::List(self.separator(name, &separator)?, items),
                })
            }
            (None, Some(fields), None) => {
                let fields = fields.into_iter().map(|items| self.items(name, items)).collect();
                let named = self.items(name, named.unwrap_or_default());
                self.check_overlap(name, &named);
                Some(ShapeRule::Fields(fields, named))
            }
            _ => {
                self.complain(format!(
                    "{name}: class values has either `items` (with or without `separator`) or `fields` and `named`"
                ));
                None
            }
        }
    }

    fn separator(&mut self, name: &str, separator: &str) -> Option<u8> {
        match separator.as_bytes() {
            [byte] => Some(*byte),
            _ => {
                self.complain(format!("{name}: separator {separator:?} is not one ASCII character"));
                None
            }
        }
    }

    pub(crate) fn items(&mut self, name: &str, items: Vec<Spanned<RawItem>>) -> Vec<ItemRule> {
        let outer = self.line;
        let items = items
            .into_iter()
            .filter_map(|item| {
                self.line = line_of(self.text, &item.span());
                self.item(name, item.into_inner())
            })
            .collect();
        self.line = outer;
        items
    }

    fn item(&mut self, name: &str, raw: RawItem) -> Option<ItemRule> {
        if let Some(reason) = &raw.refuse {
            self.check_reason_exists(name, reason);
        }
        if (raw.without.is_some() && raw.text.is_none()) || (raw.base.is_some() && raw.number.is_none()) {
            self.complain(format!("{name}: `without` belongs to `text`, `base` to `number`"));
        }
        let allow = raw.allow.as_deref();
        let is_allowed = allow != Some("no");
        let pattern = match &raw {
            RawItem { boolean: Some(allow), .. } => PatternRule::Bool(self.polarity(name, Some(allow))),
            RawItem { flag: Some(flag), .. } => PatternRule::Flag(flag.clone(), self.polarity(name, allow)),
            RawItem { word: Some(word), .. } => PatternRule::Words(vec![word.clone()], is_allowed),
            RawItem { words: Some(words), .. } => PatternRule::Words(words.clone(), is_allowed),
            RawItem { number: Some(ranges), .. } => PatternRule::Number {
                base: raw.base.unwrap_or(0),
                ranges: self.ranges(name, ranges, is_allowed),
                written: ranges.clone(),
            },
            RawItem { size: Some(ranges), .. } => {
                PatternRule::Size { ranges: self.ranges(name, ranges, is_allowed), written: ranges.clone() }
            }
            RawItem { prefix: Some(prefix), .. } => {
                let inner = raw.items.clone().unwrap_or_default();
                if inner.is_empty() && is_allowed {
                    self.complain(format!(
                        "{name}: prefix {prefix:?} needs `items`, or allow = \"no\" where nothing is allowed"
                    ));
                }
                let inner = self.items(name, inner);
                self.check_overlap(name, &inner);
                PatternRule::Prefix(prefix.clone(), if is_allowed { inner } else { Vec::new() })
            }
            RawItem { text: Some(text), .. } => PatternRule::Text {
                prefix: text.clone(),
                without: raw.without.clone().unwrap_or_default(),
                allow: is_allowed,
            },
            RawItem { plain: Some(prefix), .. } => PatternRule::Plain(prefix.clone()),
            RawItem { empty: Some(true), .. } => PatternRule::Empty(is_allowed),
            _ => {
                self.complain(format!("{name}: an item without a pattern"));
                return None;
            }
        };
        let patterns = [
            raw.boolean.is_some(),
            raw.flag.is_some(),
            raw.word.is_some(),
            raw.words.is_some(),
            raw.number.is_some(),
            raw.size.is_some(),
            raw.prefix.is_some(),
            raw.text.is_some(),
            raw.plain.is_some(),
            raw.empty.is_some(),
        ];
        if patterns.iter().filter(|given| **given).count() != 1 {
            self.complain(format!("{name}: an item has exactly one pattern"));
        }
        if raw.items.is_some() && raw.prefix.is_none() {
            self.complain(format!("{name}: only a prefix has inner items"));
        }
        let has_polarity = raw.flag.is_some();
        if !has_polarity && allow.is_some_and(|allow| allow != "no") {
            self.complain(format!("{name}: `allow` is \"no\" here, or left out"));
        }
        Some(ItemRule { pattern, refuse: raw.refuse, why: raw.why })
    }

    fn polarity(&mut self, name: &str, allow: Option<&str>) -> Polarity {
        match allow {
            Some("on") => Polarity::On,
            Some("off") => Polarity::Off,
            Some("any") => Polarity::Any,
            Some("no") => Polarity::No,
            other => {
                self.complain(format!(
                    "{name}: a boolean allows \"on\", \"off\", \"any\" or \"no\", not {:?}",
                    other.unwrap_or("nothing")
                ));
                Polarity::No
            }
        }
    }

    fn ranges(&mut self, name: &str, written: &[String], is_allowed: bool) -> Vec<(u64, u64)> {
        if !is_allowed {
            return Vec::new();
        }
        if written.is_empty() {
            return vec![(0, u64::MAX)];
        }
        let mut ranges = Vec::new();
        for text in written {
            match parse_range(text) {
                Some(parts) => ranges.extend(parts),
                None => self.complain(format!(
                    "{name}: range {text:?}: write \"LOW..=HIGH\" or a number, in decimal or 0x, with K, M, G or T"
                )),
            }
        }
        ranges
    }

    fn check_width(&mut self, name: &str, width: u8, shape: &ShapeRule) {
        let max = u64::MAX >> (64 - u32::from(width.clamp(8, 64)));
        let (ShapeRule::Whole(items) | ShapeRule::List(_, items)) = shape else { return };
        for item in items {
            let (PatternRule::Number { ranges, written, .. } | PatternRule::Size { ranges, written }) =
                &item.pattern
            else {
                continue;
            };
            let too_wide = ranges.iter().any(|&(_, high)| high > max && high < !(max >> 1));
            if too_wide && !written.is_empty() {
                self.complain(format!("{name}: a range does not fit into {width} bits"));
            }
        }
    }

    /// An item that an earlier one always takes the place of is a rule that does nothing.
    pub(crate) fn check_overlap(&mut self, name: &str, items: &[ItemRule]) {
        for (index, item) in items.iter().enumerate() {
            let samples = samples(&item.pattern);
            let decided: Vec<_> = samples
                .iter()
                .filter_map(|sample| {
                    let earlier = items.iter().take(index);
                    let mut earlier =
                        earlier.map(|earlier| (earlier, compile::item(earlier, &mut compile::Words::default())));
                    earlier.find(|(_, item)| item.matches(sample.as_bytes())).map(|(rule, _)| (sample, rule))
                })
                .collect();
            // A word has one meaning; of a boolean or a flag, a part may be decided more exactly before.
            let whole = matches!(item.pattern, PatternRule::Bool(_) | PatternRule::Flag(..));
            let overlaps = !whole || decided.len() == samples.len();
            if let Some((sample, earlier)) = decided.first().filter(|_| overlaps) {
                let message =
                    format!("{name}: the items overlap: {sample:?} is decided by the earlier {}", earlier.pattern);
                self.complain(message);
            }
        }
        let numbers = items
            .iter()
            .filter(|item| matches!(item.pattern, PatternRule::Number { .. } | PatternRule::Size { .. }));
        if numbers.count() > 1 {
            self.complain(format!("{name}: the items overlap: one `number` or `size` takes every number"));
        }
    }
}

/// Texts that an item is there to match.
fn samples(pattern: &PatternRule) -> Vec<String> {
    match pattern {
        PatternRule::Bool(_) => vec!["on".to_owned(), "no".to_owned()],
        PatternRule::Flag(name, _) => vec![name.clone(), format!("no-{name}"), format!("{name}=on")],
        PatternRule::Words(words, _) => words.clone(),
        // What follows the prefix is the item's point; the bare prefix may be an earlier word.
        PatternRule::Prefix(prefix, _) => vec![format!("{prefix}\u{1}")],
        PatternRule::Plain(prefix) => vec![format!("{prefix}x")],
        PatternRule::Text { prefix, .. } if !prefix.is_empty() => vec![format!("{prefix}\u{1}")],
        PatternRule::Empty(_) => vec![String::new()],
        PatternRule::Text { .. } | PatternRule::Number { .. } | PatternRule::Size { .. } => Vec::new(),
    }
}

/// `"5"`, `"0..=127"`, `"-1"`, `"0..=4G"` as ranges of 64-bit numbers; one that crosses zero becomes two.
pub(crate) fn parse_range(text: &str) -> Option<Vec<(u64, u64)>> {
    let (low, high) = match text.split_once("..=") {
        Some((low, high)) => (parse_number(low)?, parse_number(high)?),
        None => (parse_number(text)?, parse_number(text)?),
    };
    if low > high {
        return None;
    }
    // Negative numbers stand in two's complement, as Xen reads them.
    let wrap = |number: i128| u64::try_from(number.rem_euclid(1 << 64)).ok();
    Some(if low < 0 && high >= 0 {
        vec![(0, wrap(high)?), (wrap(low)?, u64::MAX)]
    } else {
        vec![(wrap(low)?, wrap(high)?)]
    })
}

fn parse_number(text: &str) -> Option<i128> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (digits, factor) = match text.as_bytes().last()? {
        b'K' => (text.strip_suffix('K')?, 1i128 << 10),
        b'M' => (text.strip_suffix('M')?, 1 << 20),
        b'G' => (text.strip_suffix('G')?, 1 << 30),
        b'T' => (text.strip_suffix('T')?, 1 << 40),
        _ => (text, 1),
    };
    let number = match digits.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok()?,
        None => digits.parse::<u64>().ok()?,
    };
    let number = i128::from(number).checked_mul(factor)?;
    let number = if negative { -number } else { number };
    (i128::from(i64::MIN) <= number && number <= i128::from(u64::MAX)).then_some(number)
}
