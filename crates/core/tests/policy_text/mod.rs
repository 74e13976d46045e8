//! A reading of `policy/hypercalls/` of its own: as much of TOML as stands there, and nothing of what it means.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// What stands behind a key.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Text(String),
    Number(u64),
    Flag,
    List(Vec<Value>),
    Table(BTreeMap<String, Value>),
}

impl Value {
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        match self {
            Self::Table(table) => table.get(key),
            _ => None,
        }
    }

    pub(crate) fn number(&self, key: &str) -> Option<u64> {
        self.get(key).map(Value::as_number)
    }

    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.get(key).map(Value::as_text)
    }

    pub(crate) fn list(&self, key: &str) -> &[Value] {
        match self.get(key) {
            Some(Self::List(list)) => list,
            _ => &[],
        }
    }

    pub(crate) fn as_number(&self) -> u64 {
        match self {
            Self::Number(number) => *number,
            other => panic!("{other:?} is no number"),
        }
    }

    pub(crate) fn as_text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            other => panic!("{other:?} is no text"),
        }
    }
}

/// An operation, with what it has from its hypercall.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) hypercall: u64,
    pub(crate) name: String,
    pub(crate) selector: Option<Value>,
    keys: Value,
}

impl std::ops::Deref for Operation {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.keys
    }
}

impl Operation {
    /// The guard lets it through to somebody, at level integrity.
    pub(crate) fn is_for_userspace(&self) -> bool {
        self.text("door") == Some("none") || self.text("class") == Some("read-leak")
    }
}

pub(crate) fn operations() -> Vec<Operation> {
    let mut all = Vec::new();
    for text in files("../../policy/hypercalls") {
        let mut parts = text.split("[[operation]]\n");
        let family = table(parts.next().unwrap());
        let name = family.text("name").unwrap().to_owned();
        for part in parts {
            let Value::Table(mut keys) = table(part) else { unreachable!() };
            let own = keys.remove("name").map(|own| format!("{name}.{}", own.as_text()));
            for key in ["registers", "structure", "size", "target", "version"] {
                if let (false, Some(value)) = (keys.contains_key(key), family.get(key)) {
                    keys.insert(key.to_owned(), value.clone());
                }
            }
            all.push(Operation {
                hypercall: family.number("number").unwrap(),
                name: own.unwrap_or_else(|| name.clone()),
                selector: family.get("selector").cloned(),
                keys: Value::Table(keys),
            });
        }
    }
    all
}

/// For each reason, whether it refuses at level integrity.
pub(crate) fn reason_levels() -> BTreeMap<String, bool> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policy/reasons.toml");
    let text = fs::read_to_string(file).unwrap();
    let tables: Vec<_> = text.split("[[reason]]\n").skip(1).map(table).collect();
    tables.iter().map(|one| (one.text("id").unwrap().to_owned(), one.text("level") == Some("integrity"))).collect()
}

pub(crate) fn number(text: &str) -> u64 {
    text.strip_prefix("0x").map_or_else(|| text.parse().unwrap(), |hex| u64::from_str_radix(hex, 16).unwrap())
}

fn files(folder: &str) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| fs::read_to_string(file).unwrap()).collect()
}

/// `key = value` lines; a value may take several.
fn table(text: &str) -> Value {
    let mut keys = BTreeMap::new();
    let mut rest = text;
    loop {
        rest = skip(rest);
        if let Some(after) = rest.strip_prefix('[') {
            rest = after.split_once('\n').unwrap().1;
            continue;
        }
        if rest.is_empty() {
            return Value::Table(keys);
        }
        let (key, after) = rest.split_once(" = ").unwrap();
        let (value, after) = value(after);
        keys.insert(key.trim_matches('"').to_owned(), value);
        rest = after;
    }
}

/// Over spaces, ends of lines and comments.
fn skip(mut rest: &str) -> &str {
    loop {
        rest = rest.trim_start();
        match rest.strip_prefix('#') {
            Some(comment) => rest = comment.split_once('\n').map_or("", |(_, after)| after),
            None => return rest,
        }
    }
}

fn value(rest: &str) -> (Value, &str) {
    let rest = skip(rest);
    if let Some(rest) = rest.strip_prefix('"') {
        let mut text = String::new();
        let mut characters = rest.char_indices();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => return (Value::Text(text), &rest[at + 1..]),
                '\\' => text.push(characters.next().unwrap().1),
                _ => text.push(character),
            }
        }
        panic!("text does not end: {rest}");
    }
    if let Some(mut rest) = rest.strip_prefix('[') {
        let mut list = Vec::new();
        loop {
            rest = skip(rest);
            if let Some(rest) = rest.strip_prefix(']') {
                return (Value::List(list), rest);
            }
            let (one, after) = value(rest);
            list.push(one);
            rest = skip(after);
            rest = rest.strip_prefix(',').unwrap_or(rest);
        }
    }
    if let Some(mut rest) = rest.strip_prefix('{') {
        let mut table = BTreeMap::new();
        loop {
            rest = skip(rest);
            if let Some(rest) = rest.strip_prefix('}') {
                return (Value::Table(table), rest);
            }
            let (key, after) = rest.split_once(" = ").unwrap();
            let (one, after) = value(after);
            table.insert(key.trim_matches('"').to_owned(), one);
            rest = skip(after);
            rest = rest.strip_prefix(',').unwrap_or(rest);
        }
    }
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
    let (word, rest) = rest.split_at(end);
    (if word == "true" { Value::Flag } else { Value::Number(number(word)) }, rest)
}
