//! Numbers of hypercalls and of their operations: the tree's public headers and its table of hypercalls against
//! `policy/hypercalls/`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use lockdown_core::hypercall::OperationClass;
use lockdown_policy::hypercall::{Operation, Version};
use lockdown_policy::{Hypercall, Policy};

use super::compare::{Difference, Said, What};

/// Where the public headers stand in a tree.
pub(crate) const HEADERS: &str = "xen/include/public";
/// Xen's own table of hypercalls, from 4.17 on.
const TABLE: &str = "xen/include/hypercall-defs.c";
/// The columns of that table for callers on 64-bit x86.
const CALLERS: [&str; 2] = ["pv64", "hvm64"];
/// Headers that number hypercalls.
const NUMBERS: [&str; 2] = ["xen.h", "arch-x86/xen-mca.h"];

/// What was compared.
#[derive(Debug, Default)]
pub(super) struct Hypercalls {
    pub(super) drift: Vec<Difference>,
    /// Operations that both sides have.
    pub(super) operations: usize,
}

/// Compares for one version of Xen.
pub(super) fn compare(policy: &Policy, version: &str, root: &Path, xen_tree: &Path) -> Result<Hypercalls> {
    let mut found = Hypercalls::default();
    let numbers = NUMBERS.iter().map(|header| Header::read(xen_tree, header)).collect::<Result<Vec<_>>>()?;
    let table = table(xen_tree)?;
    for hypercall in &policy.hypercalls {
        let mut comparison = Against { found: &mut found, version, root, hypercall };
        comparison.number(&numbers);
        comparison.handler(&table);
        comparison.operations(xen_tree)?;
    }
    let known: BTreeSet<_> = policy.hypercalls.iter().map(|hypercall| hypercall.name.as_str()).collect();
    for (name, line) in table.iter().filter(|(name, _)| !known.contains(name.as_str())) {
        let tree = vec![Said { file: TABLE.to_owned(), line: *line, says: "has a handler".to_owned() }];
        found.drift.push(Difference {
            option: format!("hypercall {name}"),
            what: What::Lacking,
            policy: None,
            tree,
        });
    }
    found.drift.sort();
    Ok(found)
}

struct Against<'a> {
    found: &'a mut Hypercalls,
    version: &'a str,
    root: &'a Path,
    hypercall: &'a Hypercall,
}

impl Against<'_> {
    fn number(&mut self, headers: &[Header]) {
        let constant = &self.hypercall.constant;
        let said = headers.iter().find_map(|header| Some((header, header.number(headers, constant)?)));
        let expected = u64::from(self.hypercall.number);
        match said {
            Some((_, (number, _))) if number == expected => {}
            Some((header, (number, line))) => {
                let tree = header.said(line, format!("{constant} is {number}"));
                self.differs(None, What::Number, vec![tree]);
            }
            None if self.exists() => self.differs(None, What::TooMuch, vec![]),
            None => {}
        }
    }

    /// Some release that this is has an operation of it.
    fn exists(&self) -> bool {
        self.hypercall.operations.iter().any(|operation| operation.xen.iter().any(|xen| xen == self.version))
    }

    /// What the policy calls absent has no handler, and everything else has one.
    fn handler(&mut self, table: &BTreeMap<String, u32>) {
        let handled = table.get(&self.hypercall.name);
        let operations = &self.hypercall.operations;
        let is_absent = operations.iter().all(|operation| operation.class == OperationClass::Absent);
        match handled {
            Some(&line) if is_absent || !self.exists() => {
                let says = "has a handler".to_owned();
                self.differs(None, What::Lacking, vec![Said { file: TABLE.to_owned(), line, says }]);
            }
            None if !is_absent && self.exists() => self.differs(None, What::TooMuch, vec![]),
            _ => {}
        }
    }

    fn operations(&mut self, xen_tree: &Path) -> Result<()> {
        let Some(name) = &self.hypercall.header else { return Ok(()) };
        let header = Header::read(xen_tree, name)?;
        let all = std::slice::from_ref(&header);
        let mut known: BTreeSet<&str> = self.hypercall.beside.iter().map(String::as_str).collect();
        for operation in &self.hypercall.operations {
            let expected = match (operation.selector, operation.number) {
                (Some(selector), _) => u64::from(selector),
                (None, number) => u64::from(number.unwrap_or_default()),
            };
            let family = operation.family_constant.as_deref().zip(operation.number.map(u64::from));
            let pairs = [Some((operation.constant.as_str(), expected)), family];
            for (constant, expected) in pairs.into_iter().flatten() {
                known.insert(constant);
                self.operation(operation, constant, expected, &header, all);
            }
            if let Some(version) = &operation.version {
                known.extend(version.constant.as_deref());
                self.version(operation, version, &header, all);
            }
        }
        let mut new: Vec<_> = header.constants.iter().filter(|(name, _)| !known.contains(name.as_str())).collect();
        new.retain(|(name, constant)| {
            name.starts_with(&self.hypercall.prefix) && matches!(constant.is, Is::Number(_))
        });
        for (name, constant) in new {
            let tree = vec![header.said(constant.line, String::new())];
            self.found.drift.push(Difference {
                option: format!("hypercall {}, {name}", self.hypercall.name),
                what: What::Lacking,
                policy: None,
                tree,
            });
        }
        Ok(())
    }

    fn version(&mut self, operation: &Operation, version: &Version, header: &Header, all: &[Header]) {
        let Some(constant) = &version.constant else { return };
        if !operation.xen.iter().any(|xen| xen == self.version) {
            return;
        }
        let expected = version.numbers.iter().find(|(xen, _)| xen == self.version).map(|(_, number)| *number);
        let is = header.number(all, constant);
        if is.map(|(number, _)| number) == expected.map(u64::from) {
            return;
        }
        let line = is.map_or(0, |(_, line)| line);
        let says = match is {
            Some((number, _)) => format!("{constant} is {number:#x}"),
            None => format!("{constant} is not there"),
        };
        self.differs(Some(operation), What::Number, vec![header.said(line, says)]);
    }

    fn operation(
        &mut self,
        operation: &Operation,
        constant: &str,
        expected: u64,
        header: &Header,
        all: &[Header],
    ) {
        let has = operation.xen.iter().any(|xen| xen == self.version);
        match (has, header.number(all, constant)) {
            (true, Some((number, _))) if number == expected => self.found.operations += 1,
            (true, Some((number, line))) => {
                let tree = header.said(line, format!("{constant} is {number}"));
                self.differs(Some(operation), What::Number, vec![tree]);
            }
            (true, None) => self.differs(Some(operation), What::TooMuch, vec![]),
            (false, Some((_, line))) => {
                let tree = header.said(line, constant.to_owned());
                self.differs(Some(operation), What::Lacking, vec![tree]);
            }
            (false, None) => {}
        }
    }

    fn differs(&mut self, operation: Option<&Operation>, what: What, tree: Vec<Said>) {
        let place = operation.map_or(&self.hypercall.place, |operation| &operation.place);
        let name = operation.map_or(&self.hypercall.name, |operation| &operation.name);
        let number = operation.map_or(Some(u16::from(self.hypercall.number)), |operation| operation.number);
        let selector = operation.and_then(|operation| operation.selector);
        let says =
            [number.map(|number| format!("number {number}")), selector.map(|one| format!("selector {one}"))];
        let file = place.file.strip_prefix(self.root).unwrap_or(&place.file).display().to_string();
        let policy = Some(Said {
            file,
            line: u32::try_from(place.line).unwrap_or(0),
            says: says.into_iter().flatten().collect::<Vec<_>>().join(", "),
        });
        self.found.drift.push(Difference { option: format!("hypercall {name}"), what, policy, tree });
    }
}

/// The constants that a header defines.
struct Header {
    /// Relative to the tree.
    path: String,
    constants: BTreeMap<String, Constant>,
}

struct Constant {
    line: u32,
    is: Is,
}

enum Is {
    Number(u64),
    Other(String),
}

impl Header {
    fn read(xen_tree: &Path, name: &str) -> Result<Self> {
        let path = format!("{HEADERS}/{name}");
        let file = xen_tree.join(&path);
        let bytes = fs::read(&file).with_context(|| format!("{} cannot be read", file.display()))?;
        Ok(Self { path, constants: constants(&String::from_utf8_lossy(&bytes)) })
    }

    /// A constant's number, by its other name if it has one, and its line.
    fn number(&self, all: &[Self], name: &str) -> Option<(u64, u32)> {
        let constant = self.constants.get(name)?;
        match &constant.is {
            Is::Number(number) => Some((*number, constant.line)),
            Is::Other(other) => all.iter().find_map(|header| match header.constants.get(other)?.is {
                Is::Number(number) => Some((number, constant.line)),
                Is::Other(_) => None,
            }),
        }
    }

    fn said(&self, line: u32, says: String) -> Said {
        Said { file: self.path.clone(), line, says }
    }
}

/// `#define NAME NUMBER` and `#define NAME OTHER`, comments left out. What is defined twice counts once, as it is first:
/// the older form of a structure stands below the newer one.
fn constants(text: &str) -> BTreeMap<String, Constant> {
    let mut found = BTreeMap::new();
    let text = without_comments(text);
    for (index, line) in text.lines().enumerate() {
        let mut words = line.trim().strip_prefix('#').unwrap_or("").split_whitespace();
        let (Some("define"), Some(name), Some(value), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            continue;
        };
        let is = number(value).map_or_else(|| Is::Other(value.to_owned()), Is::Number);
        let line = u32::try_from(index + 1).unwrap_or(0);
        found.entry(name.to_owned()).or_insert(Constant { line, is });
    }
    found
}

fn number(text: &str) -> Option<u64> {
    let text = text.trim_end_matches(['u', 'U', 'l', 'L']);
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

/// Comments become spaces; lines stay lines.
fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, comment)) = rest.split_once("/*") {
        out.push_str(before);
        let (inside, after) = comment.split_once("*/").unwrap_or((comment, ""));
        out.extend(inside.chars().filter(|&c| c == '\n'));
        out.push(' ');
        rest = after;
    }
    out.push_str(rest);
    out
}

/// The names in Xen's table that have a handler for 64-bit callers on x86, and their lines.
fn table(xen_tree: &Path) -> Result<BTreeMap<String, u32>> {
    let file = xen_tree.join(TABLE);
    let text = fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?;
    let found = handlers(&without_comments(&text));
    if found.is_empty() {
        bail!("{} holds no table of hypercalls that could be read", file.display());
    }
    Ok(found)
}

fn handlers(text: &str) -> BTreeMap<String, u32> {
    let mut columns = Vec::new();
    let mut found = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        if let Some(title) = line.strip_prefix("table:") {
            let place = |caller| title.split_whitespace().position(|word| word == caller);
            columns = CALLERS.iter().filter_map(|caller| place(*caller)).collect();
            continue;
        }
        let words: Vec<_> = line.split_whitespace().collect();
        let [name, handlers @ ..] = words.as_slice() else { continue };
        if columns.is_empty() || line.starts_with('#') {
            continue;
        }
        if columns.iter().any(|&column| handlers.get(column).is_some_and(|handler| *handler != "-")) {
            found.insert((*name).to_owned(), u32::try_from(index + 1).unwrap_or(0));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_read_past_comments() {
        let text = "#define A 5 /* five\nmore */\n/* #define B 6 */\n# define C 0x10U\n#define D A\n#define E(x) 1\n#define A 7\n";
        let found = constants(text);
        assert!(matches!(found["A"].is, Is::Number(5)));
        assert!(!found.contains_key("B"));
        assert!(matches!(found["C"].is, Is::Number(16)));
        assert_eq!(found["C"].line, 4);
        assert!(matches!(&found["D"].is, Is::Other(name) if name == "A"));
        assert!(!found.contains_key("E(x)") || matches!(found["E(x)"].is, Is::Number(1)));
    }

    #[test]
    fn handlers_are_those_of_64_bit_callers() {
        let text = "x(int)\ntable: pv32 pv64 hvm32 hvm64 arm\none compat do - -\n#ifdef X\ntwo do - - -\nthree - - - do do\n#endif\n";
        let found: Vec<_> = handlers(text).into_keys().collect();
        assert_eq!(found, ["one", "three"]);
    }
}
