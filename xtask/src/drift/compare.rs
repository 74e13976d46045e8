//! Holds the registrations of a tree against the entries of the policy.

use std::collections::BTreeMap;
use std::path::Path;

use lockdown_policy::{ClassName, Entry, Policy};

use super::extract::{Hypfs, Registration, Storage};
use super::tree::Area;

/// Lines of code move without meaning anything; only a move beyond this is worth a note.
const LINE_TOLERANCE: u32 = 40;

/// One difference, or in [`Comparison::notes`] something that is none.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Difference {
    pub(super) option: String,
    pub(super) what: What,
    pub(super) policy: Option<Said>,
    pub(super) tree: Vec<Said>,
}

/// What one side says, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Said {
    pub(super) file: String,
    pub(super) line: u32,
    pub(super) says: String,
}

/// What differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    /// The policy has no entry, or none for this version or x86.
    Lacking,
    /// The policy has an entry, and nothing registers it.
    TooMuch,
    /// The registrations are of other kinds, or more, or fewer.
    Kind,
    Capacity,
    /// Another number.
    Number,
    Width,
    /// Registered in another file.
    Source,
    /// Said to be foreign, and built for x86.
    Foreign,
    /// A note: the line is far off.
    Line,
    /// A note: width or capacity could not be read.
    Unseen,
    /// A note: registered for other architectures only, and not in the policy.
    Elsewhere,
    /// A note: can be set at run time, but is no option of the command line.
    RuntimeOnly,
}

impl What {
    /// The word in JSON.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Lacking => "lacking",
            Self::TooMuch => "too-much",
            Self::Kind => "kind",
            Self::Capacity => "capacity",
            Self::Number => "number",
            Self::Width => "width",
            Self::Source => "source",
            Self::Foreign => "foreign",
            Self::Line => "line",
            Self::Unseen => "unseen",
            Self::Elsewhere => "elsewhere",
            Self::RuntimeOnly => "runtime-only",
        }
    }
}

/// The result.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    /// Sorted by option.
    pub(super) drift: Vec<Difference>,
    pub(super) notes: Vec<Difference>,
    /// Options of the command line on x86 in the tree.
    pub(super) options: usize,
}

/// Compares for one version of Xen.
pub(super) fn compare(policy: &Policy, version: &str, root: &Path, registrations: &[Registration]) -> Comparison {
    let mut by_name: BTreeMap<&str, Vec<&Registration>> = BTreeMap::new();
    for registration in registrations {
        by_name.entry(&registration.name).or_default().push(registration);
    }
    let mut result = Comparison::default();
    for (name, all) in &by_name {
        let (options, runtime_only): (Vec<_>, Vec<_>) =
            all.iter().copied().partition(|one| one.hypfs != Hypfs::Only);
        let here: Vec<_> = options.iter().copied().filter(|one| one.holds != Some(false)).collect();
        let entry = policy.xen_option(name).filter(|entry| entry.class != ClassName::Latch);
        let mut judge = Judge { version, root, name, entry, result: &mut result };
        if entry.is_some_and(|entry| entry.class == ClassName::Foreign) {
            judge.foreign(&options);
        } else if !here.is_empty() {
            judge.result.options += 1;
            judge.option(&here);
        } else if entry.is_none() && !options.is_empty() {
            judge.note(What::Elsewhere, &options);
        }
        if !runtime_only.is_empty() {
            judge.note(What::RuntimeOnly, &runtime_only);
        }
    }
    for entry in policy.xen.iter().filter(|entry| entry.class != ClassName::Latch && has(entry, version)) {
        let all = by_name.get(entry.name.as_str()).map_or(&[][..], Vec::as_slice);
        let foreign = entry.class == ClassName::Foreign;
        let counts = |one: &&&Registration| one.hypfs != Hypfs::Only && (foreign || one.holds != Some(false));
        if !all.iter().any(|one| counts(&one)) {
            let mut judge = Judge { version, root, name: &entry.name, entry: Some(entry), result: &mut result };
            judge.differ(What::TooMuch, &format!("xen = {:?}", entry.xen), &[], |_| String::new());
        }
    }
    result.drift.sort();
    result.notes.sort();
    result
}

fn has(entry: &Entry, version: &str) -> bool {
    entry.xen.iter().any(|known| known == version)
}

/// The version whose lines `source` names: the newest audited one, else the newest that is a release.
fn source_version(entry: &Entry) -> Option<&str> {
    let newest = |versions: &[String]| {
        let position = |version: &String| lockdown_policy::XEN_VERSIONS.iter().position(|known| known == version);
        versions.iter().filter_map(position).max().and_then(|at| lockdown_policy::XEN_VERSIONS.get(at).copied())
    };
    let releases: Vec<String> = entry.xen.iter().filter(|version| *version != "HEAD").cloned().collect();
    newest(&entry.audited).or_else(|| newest(&releases)).or_else(|| newest(&entry.xen))
}

struct Judge<'a> {
    version: &'a str,
    root: &'a Path,
    name: &'a str,
    entry: Option<&'a Entry>,
    result: &'a mut Comparison,
}

impl Judge<'_> {
    /// A name that the tree registers for x86.
    fn option(&mut self, here: &[&Registration]) {
        let kind = |one: &Registration| one.kind.to_owned();
        let Some(entry) = self.entry.filter(|entry| has(entry, self.version)) else {
            let says = self.entry.map_or_else(String::new, |entry| format!("xen = {:?}", entry.xen));
            return self.differ(What::Lacking, &says, here, kind);
        };
        if !entry.arch.iter().any(|arch| arch == "x86") {
            self.differ(What::Lacking, &format!("arch = {:?}", entry.arch), here, kind);
        }
        let mut kinds: Vec<_> = here.iter().map(|one| one.kind).collect();
        let mut said: Vec<_> = entry.kinds.iter().map(String::as_str).collect();
        kinds.sort_unstable();
        said.sort_unstable();
        if kinds != said {
            self.differ(What::Kind, &format!("kind = {:?}", entry.kinds), here, kind);
        }
        self.storage(entry, here);
        self.source(entry, here);
    }

    fn foreign(&mut self, options: &[&Registration]) {
        let Some(entry) = self.entry else { return };
        if !has(entry, self.version) && !options.is_empty() {
            self.differ(What::Lacking, &format!("xen = {:?}", entry.xen), options, |one| one.kind.to_owned());
            return;
        }
        // Common code is expected to hold it under something that x86 never selects. What x86 selects is not read
        // here, so any condition will do; none at all will not.
        let built = |one: &&Registration| match one.area {
            Area::X86 => one.holds != Some(false),
            Area::Common => one.holds == Some(true),
            Area::Other(_) => false,
        };
        let here: Vec<_> = options.iter().copied().filter(built).collect();
        if !here.is_empty() {
            self.differ(What::Foreign, "class = \"foreign\"", &here, |one| one.kind.to_owned());
        }
        let said = |one: &&Registration| entry.kinds.iter().any(|kind| kind == one.kind);
        if !options.iter().all(said) {
            self.differ(What::Kind, &format!("kind = {:?}", entry.kinds), options, |one| one.kind.to_owned());
        }
        self.storage(entry, options);
        self.source(entry, options);
    }

    fn storage(&mut self, entry: &Entry, here: &[&Registration]) {
        for one in here {
            let string = one.kind == "string";
            let says = match &one.storage {
                Storage::Bytes(bytes) if entry.capacity.map(u64::from) != Some(*bytes) => format!("{bytes} bytes"),
                Storage::Bits(bits) if one.kind != "boolean" && entry.width != Some(*bits) => {
                    format!("{bits} bits")
                }
                Storage::Unseen(why) if one.kind != "boolean" => {
                    let what = if string { "capacity" } else { "width" };
                    self.note_saying(What::Unseen, one, format!("{what} not seen: {why}"));
                    continue;
                }
                _ => continue,
            };
            let (what, said) = if string {
                (
                    What::Capacity,
                    entry.capacity.map_or("no capacity".to_owned(), |size| format!("capacity = {size}")),
                )
            } else {
                (What::Width, entry.width.map_or("no width".to_owned(), |width| format!("width = {width}")))
            };
            self.differ(what, &said, &[one], |_| says.clone());
        }
    }

    fn source(&mut self, entry: &Entry, here: &[&Registration]) {
        if source_version(entry) != Some(self.version) {
            return;
        }
        let sources: Vec<(&str, u32)> = entry.source.iter().map(|source| split_place(source)).collect();
        let unnamed = |one: &&&Registration| !sources.iter().any(|(file, _)| *file == one.file);
        // A foreign option may stand in several architectures; naming one is enough.
        let foreign = entry.class == ClassName::Foreign && !here.iter().all(|one| unnamed(&one));
        let mut missing: Vec<&Registration> = here.iter().filter(unnamed).copied().collect();
        if foreign {
            missing.clear();
        }
        let gone = sources.iter().any(|(file, _)| !here.iter().any(|one| one.file == *file));
        if !missing.is_empty() || gone || sources.is_empty() {
            self.differ(What::Source, &format!("source = {:?}", entry.source), here, |one| one.kind.to_owned());
            return;
        }
        for (source, (file, line)) in entry.source.iter().zip(&sources) {
            let near = here.iter().filter(|one| one.file == *file).map(|one| one.line.abs_diff(*line)).min();
            if near.is_some_and(|distance| distance > LINE_TOLERANCE) {
                let there: Vec<_> = here.iter().copied().filter(|one| one.file == *file).collect();
                let difference = self
                    .difference(What::Line, &format!("source = {source:?}"), &there, |one| one.kind.to_owned());
                self.result.notes.push(difference);
            }
        }
    }

    fn differ(
        &mut self,
        what: What,
        says: &str,
        tree: &[&Registration],
        tree_says: impl Fn(&Registration) -> String,
    ) {
        let difference = self.difference(what, says, tree, tree_says);
        self.result.drift.push(difference);
    }

    fn note(&mut self, what: What, tree: &[&Registration]) {
        let difference = self.difference(what, "", tree, |one| one.kind.to_owned());
        self.result.notes.push(difference);
    }

    fn note_saying(&mut self, what: What, one: &Registration, says: String) {
        let difference = self.difference(what, "", &[one], |_| says.clone());
        self.result.notes.push(difference);
    }

    fn difference(
        &self,
        what: What,
        says: &str,
        tree: &[&Registration],
        tree_says: impl Fn(&Registration) -> String,
    ) -> Difference {
        let policy = self.entry.map(|entry| {
            let file = entry.place.file.strip_prefix(self.root).unwrap_or(&entry.place.file);
            let line = u32::try_from(entry.place.line).unwrap_or(u32::MAX);
            Said { file: file.display().to_string(), line, says: says.to_owned() }
        });
        let tree = tree.iter().map(|one| {
            let mut says = tree_says(one);
            if !one.conditions.is_empty() {
                says.push_str(&format!(" (under {})", one.conditions.join(", ")));
            }
            Said { file: one.file.clone(), line: one.line, says }
        });
        Difference { option: self.name.to_owned(), what, policy, tree: tree.collect() }
    }
}

/// `FILE:LINE`; some sources name no line.
fn split_place(source: &str) -> (&str, u32) {
    let split = source.rsplit_once(':').and_then(|(file, line)| Some((file, line.parse().ok()?)));
    split.unwrap_or((source, 0))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use lockdown_policy::{Domain, Place};

    use super::*;

    fn entry(name: &str, kinds: &[&str]) -> Entry {
        Entry {
            domain: Domain::Xen,
            place: Place { file: PathBuf::from("/r/policy/options/a.toml"), line: 3 },
            name: name.to_owned(),
            kinds: kinds.iter().map(|kind| (*kind).to_owned()).collect(),
            capacity: None,
            width: None,
            xen: vec!["4.17".to_owned(), "4.20".to_owned()],
            arch: vec!["x86".to_owned()],
            class: ClassName::Safe,
            syntax: String::new(),
            source: vec!["xen/common/a.c:7".to_owned()],
            audited: vec!["4.20".to_owned()],
            reason: None,
            mechanism: String::new(),
            advice: None,
            shape: None,
        }
    }

    fn registration(name: &str, kind: &'static str) -> Registration {
        Registration {
            name: name.to_owned(),
            kind,
            hypfs: Hypfs::No,
            file: "xen/common/a.c".to_owned(),
            line: 7,
            area: Area::Common,
            conditions: Vec::new(),
            holds: Some(true),
            storage: Storage::None,
        }
    }

    fn run(entries: Vec<Entry>, registrations: &[Registration]) -> Comparison {
        let policy = Policy {
            boundary: vec![],
            reasons: vec![],
            xen: entries,
            dom0: vec![],
            boot: vec![],
            hypercalls: Vec::new(),
            privcmd: Vec::new(),
            overlays: vec![],
        };
        compare(&policy, "4.20", Path::new("/r"), registrations)
    }

    fn drift(entries: Vec<Entry>, registrations: &[Registration]) -> Vec<What> {
        run(entries, registrations).drift.iter().map(|difference| difference.what).collect()
    }

    fn notes(entries: Vec<Entry>, registrations: &[Registration]) -> Vec<What> {
        run(entries, registrations).notes.iter().map(|difference| difference.what).collect()
    }

    #[test]
    fn what_agrees_is_no_drift() {
        let result = run(vec![entry("a", &["custom"])], &[registration("a", "custom")]);
        assert_eq!((result.drift.len(), result.notes.len(), result.options), (0, 0, 1));
    }

    #[test]
    fn lacking_and_too_much() {
        assert_eq!(drift(vec![], &[registration("a", "custom")]), [What::Lacking]);
        assert_eq!(drift(vec![entry("a", &["custom"])], &[]), [What::TooMuch]);
        let old = Entry { xen: vec!["4.17".to_owned()], ..entry("a", &["custom"]) };
        assert_eq!(drift(vec![old.clone()], &[registration("a", "custom")]), [What::Lacking]);
        assert_eq!(drift(vec![old], &[]), []);
        let latch = Entry { class: ClassName::Latch, ..entry("a", &["custom"]) };
        assert_eq!(drift(vec![latch], &[]), []);
    }

    #[test]
    fn kinds_are_counted_with_both_places() {
        let double = [registration("a", "custom"), registration("a", "custom")];
        assert_eq!(drift(vec![entry("a", &["custom", "custom"])], &double), []);
        let result = run(vec![entry("a", &["custom"])], &double);
        assert_eq!(result.drift.len(), 1);
        let difference = result.drift.first();
        assert_eq!(difference.map(|one| (one.what, one.tree.len())), Some((What::Kind, 2)));
        let said = difference.and_then(|one| one.policy.clone());
        assert_eq!(said.map(|said| (said.file, said.line)), Some(("policy/options/a.toml".to_owned(), 3)));
    }

    #[test]
    fn sizes_are_compared_where_they_were_seen() {
        let string = |capacity| Entry { capacity: Some(capacity), ..entry("a", &["string"]) };
        let seen = |storage| [Registration { storage, ..registration("a", "string") }];
        assert_eq!(drift(vec![string(30)], &seen(Storage::Bytes(30))), []);
        assert_eq!(drift(vec![string(31)], &seen(Storage::Bytes(30))), [What::Capacity]);
        assert_eq!(drift(vec![string(31)], &seen(Storage::Unseen(String::new()))), []);
        assert_eq!(notes(vec![string(31)], &seen(Storage::Unseen(String::new()))), [What::Unseen]);
        let number = Entry { width: Some(32), ..entry("a", &["integer"]) };
        let seen = [Registration { storage: Storage::Bits(8), ..registration("a", "integer") }];
        assert_eq!(drift(vec![number], &seen), [What::Width]);
        let boolean = [Registration { storage: Storage::Bits(8), ..registration("a", "boolean") }];
        assert_eq!(drift(vec![entry("a", &["boolean"])], &boolean), []);
    }

    #[test]
    fn the_file_counts_and_a_line_only_when_far() {
        let at = |file: &str, line| [Registration { file: file.to_owned(), line, ..registration("a", "custom") }];
        assert_eq!(drift(vec![entry("a", &["custom"])], &at("xen/common/b.c", 7)), [What::Source]);
        assert_eq!(notes(vec![entry("a", &["custom"])], &at("xen/common/a.c", 47)), []);
        assert_eq!(notes(vec![entry("a", &["custom"])], &at("xen/common/a.c", 48)), [What::Line]);
        // The places are those of 4.20, so they say nothing of another version.
        let newer = Entry { audited: vec!["HEAD".to_owned()], ..entry("a", &["custom"]) };
        assert_eq!(drift(vec![newer], &at("xen/common/b.c", 7)), []);
    }

    #[test]
    fn foreign_options_stay_outside_x86() {
        let foreign = || vec![Entry { class: ClassName::Foreign, audited: vec![], ..entry("a", &["custom"]) }];
        let at = |area, holds| [Registration { area, holds, ..registration("a", "custom") }];
        assert_eq!(drift(foreign(), &at(Area::Other("arm".to_owned()), Some(false))), []);
        assert_eq!(drift(foreign(), &at(Area::Common, None)), []);
        assert_eq!(drift(foreign(), &at(Area::Common, Some(true))), [What::Foreign]);
        assert_eq!(drift(foreign(), &at(Area::X86, None)), [What::Foreign]);
        assert_eq!(drift(foreign(), &[]), [What::TooMuch]);
        assert_eq!(notes(vec![], &at(Area::Other("arm".to_owned()), Some(false))), [What::Elsewhere]);
    }

    #[test]
    fn run_time_only_is_no_option() {
        let only = [Registration { hypfs: Hypfs::Only, ..registration("a", "custom") }];
        assert_eq!((drift(vec![], &only), notes(vec![], &only)), (vec![], vec![What::RuntimeOnly]));
        assert_eq!(drift(vec![entry("a", &["custom"])], &only), [What::TooMuch]);
    }
}
