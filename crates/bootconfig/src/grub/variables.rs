//! GRUB's variables, with values that may be known only at boot, and a log to take changes back.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

/// Why something is not known before boot. `start..end` is the word that makes it so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Why {
    pub(super) what: What,
    pub(super) start: usize,
    pub(super) end: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Platform,
    LoadEnv,
    SetBy,
    NotFollowed,
    Branches,
    Loop,
    Result,
    FileTest,
    Translated,
    Glob,
    HexEscape,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Value {
    /// With an unknown part in it: as written.
    pub(super) text: Rc<[u8]>,
    pub(super) unknown: Option<Why>,
}

impl Value {
    pub(super) fn known(text: &[u8]) -> Self {
        Self { text: Rc::from(text), unknown: None }
    }

    pub(super) fn unknown(why: Why) -> Self {
        Self { text: Rc::from(&b""[..]), unknown: Some(why) }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Nothing: unset.
    value: Option<Value>,
    exported: bool,
    level: usize,
    epoch: usize,
}

/// What can make all variables unknown at once.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Horizon {
    /// Variables last set before this epoch are unknown.
    cut: Option<(usize, Why)>,
    /// Variables that were never set are unknown.
    absent: Option<Why>,
}

impl Horizon {
    pub(super) fn merge(self, other: Self) -> Self {
        let epoch = |horizon: &Self| horizon.cut.map_or(0, |(epoch, _)| epoch);
        Self {
            cut: if epoch(&self) >= epoch(&other) { self.cut } else { other.cut },
            absent: self.absent.or(other.absent),
        }
    }
}

type Key = Rc<[u8]>;

pub(super) struct Variables<'a> {
    given: &'a BTreeMap<String, String>,
    map: HashMap<Key, Entry>,
    log: Vec<(Key, Option<Entry>)>,
    logging: usize,
    epoch: usize,
    pub(super) horizon: Horizon,
    /// How many submenus are open: each has a context of its own with the exported variables.
    pub(super) level: usize,
}

impl<'a> Variables<'a> {
    pub(super) fn new(given: &'a BTreeMap<String, String>) -> Self {
        Self {
            given,
            map: HashMap::new(),
            log: Vec::new(),
            logging: 0,
            epoch: 1,
            horizon: Horizon::default(),
            level: 0,
        }
    }

    pub(super) fn count(&self) -> usize {
        self.map.len()
    }

    pub(super) fn get(&self, name: &[u8]) -> Value {
        self.resolve(name, self.map.get(name), self.horizon)
    }

    pub(super) fn set(&mut self, name: &[u8], value: Option<Value>) {
        let exported = match self.map.get(name) {
            Some(entry) => self.visible(entry) && entry.exported,
            None => self.initial(name).is_some(),
        };
        let entry = self.entry(value, exported);
        match self.map.get_mut(name) {
            Some(old) if self.logging == 0 => *old = entry,
            _ => self.put(Rc::from(name), Some(entry)),
        }
    }

    pub(super) fn export(&mut self, name: &[u8]) {
        let found = self.map.get(name).filter(|entry| self.visible(entry));
        if let Some(mut entry) = found.cloned() {
            entry.exported = true;
            self.put(Rc::from(name), Some(entry));
        }
    }

    /// Every variable not in the environment may have changed.
    pub(super) fn forget_all(&mut self, why: Why) {
        self.epoch = self.epoch.saturating_add(1);
        self.horizon = Horizon { cut: Some((self.epoch, why)), absent: Some(why) };
    }

    /// Variables that were never set may have been set by something that was not read.
    pub(super) fn forget_absent(&mut self, why: Why) {
        self.horizon.absent = self.horizon.absent.or(Some(why));
    }

    /// Starts to log; ended by `keep` or `undo`.
    pub(super) fn mark(&mut self) -> usize {
        self.logging = self.logging.saturating_add(1);
        self.log.len()
    }

    pub(super) fn keep(&mut self) {
        self.logging = self.logging.saturating_sub(1);
        if self.logging == 0 {
            self.log.clear();
        }
    }

    pub(super) fn undo(&mut self, mark: usize) {
        while self.log.len() > mark {
            if let Some((key, old)) = self.log.pop() {
                match old {
                    Some(entry) => self.map.insert(key, entry),
                    None => self.map.remove(&key),
                };
            }
        }
        self.keep();
    }

    /// The variables changed since `mark`.
    pub(super) fn changed(&self, mark: usize) -> Vec<Key> {
        let mut keys: Vec<Key> =
            self.log.get(mark..).unwrap_or_default().iter().map(|(key, _)| Rc::clone(key)).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// What the variables changed since `mark` hold now.
    pub(super) fn outcome(&self, mark: usize) -> HashMap<Key, Option<Entry>> {
        self.changed(mark)
            .into_iter()
            .map(|key| {
                let entry = self.map.get(&key).cloned();
                (key, entry)
            })
            .collect()
    }

    /// Joins the present state, reached since `mark`, with the other way to get here.
    /// Returns how many variables were looked at.
    pub(super) fn join(
        &mut self,
        mark: usize,
        other: &HashMap<Key, Option<Entry>>,
        other_horizon: Horizon,
        why: Why,
    ) -> usize {
        let mut before: HashMap<Key, Option<Entry>> = HashMap::new();
        for (key, old) in self.log.get(mark..).unwrap_or_default() {
            before.entry(Rc::clone(key)).or_insert_with(|| old.clone());
        }
        let mut keys: Vec<Key> = before.keys().chain(other.keys()).cloned().collect();
        keys.sort_unstable();
        keys.dedup();
        let horizon = self.horizon;
        self.horizon = horizon.merge(other_horizon);
        for key in &keys {
            let here = self.map.get(key).cloned();
            let there = match other.get(key) {
                Some(entry) => entry.clone(),
                None => before.get(key).cloned().flatten(),
            };
            let value = self.resolve(key, here.as_ref(), horizon);
            if value != self.resolve(key, there.as_ref(), other_horizon) {
                let exported = here.or(there).is_some_and(|entry| entry.exported);
                let joined = self.entry(Some(Value::unknown(why)), exported);
                self.put(Rc::clone(key), Some(joined));
            } else if here.is_some() {
                let exported = here.is_some_and(|entry| entry.exported);
                self.put(Rc::clone(key), Some(self.entry(Some(value), exported)));
            }
        }
        keys.len()
    }

    fn entry(&self, value: Option<Value>, exported: bool) -> Entry {
        Entry { value, exported, level: self.level, epoch: self.epoch }
    }

    fn put(&mut self, key: Key, entry: Option<Entry>) {
        let logged = (self.logging > 0).then(|| Rc::clone(&key));
        let old = match entry {
            Some(entry) => self.map.insert(key, entry),
            None => self.map.remove(&key),
        };
        if let Some(key) = logged {
            self.log.push((key, old));
        }
    }

    fn visible(&self, entry: &Entry) -> bool {
        entry.exported || entry.level == self.level
    }

    fn resolve(&self, name: &[u8], entry: Option<&Entry>, horizon: Horizon) -> Value {
        match entry.filter(|entry| self.visible(entry)) {
            Some(entry) => match horizon.cut {
                Some((epoch, why)) if entry.epoch < epoch => Value::unknown(why),
                _ => entry.value.clone().unwrap_or_else(|| Value::known(b"")),
            },
            None => match (self.initial(name), horizon.absent) {
                (Some(value), _) => value,
                (None, Some(why)) => Value::unknown(why),
                (None, None) => Value::known(b""),
            },
        }
    }

    /// What a variable holds before the first line of the file is read.
    fn initial(&self, name: &[u8]) -> Option<Value> {
        let name = std::str::from_utf8(name).ok()?;
        if let Some(value) = self.given.get(name) {
            return Some(Value::known(value.as_bytes()));
        }
        if FEATURES.contains(&name) {
            return Some(Value::known(b"y"));
        }
        let platform = PLATFORM.contains(&name) || PREFIXES.iter().any(|p| name.starts_with(p));
        platform.then(|| Value::unknown(Why { what: What::Platform, start: 0, end: 0 }))
    }
}

/// Set to `y` by every GRUB since 2.02 (grub-core/normal/main.c).
const FEATURES: [&str; 10] = [
    "feature_200_final",
    "feature_all_video_module",
    "feature_chainloader_bpb",
    "feature_default_font_path",
    "feature_menuentry_id",
    "feature_menuentry_options",
    "feature_nativedisk_cmd",
    "feature_ntldr",
    "feature_platform_search_hint",
    "feature_timeout_style",
];

/// Set by GRUB or the firmware before the file is read, to something that differs by machine.
const PLATFORM: [&str; 31] = [
    "root",
    "prefix",
    "cmdpath",
    "config_directory",
    "config_file",
    "chosen",
    "grub_platform",
    "grub_cpu",
    "lang",
    "locale_dir",
    "secondary_locale_dir",
    "check_signatures",
    "check_appended_signatures",
    "lockdown",
    "shim_lock",
    "secureboot",
    "color_highlight",
    "color_normal",
    "debug",
    "fw_path",
    "grub_secureboot",
    "tpm_fail_fatal",
    "timestamp",
    "DAY",
    "HOUR",
    "MINUTE",
    "MONTH",
    "SECOND",
    "WEEKDAY",
    "YEAR",
    "biosnum",
];

const PREFIXES: [&str; 4] = ["net_", "pxe_", "feature_", "efi_"];
