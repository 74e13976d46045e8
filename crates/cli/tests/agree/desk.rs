//! What lint says of a case, in the words in which Xen would say it.

use std::process::Command;

use lockdown_core::linux_text;
use serde_json::{Value, json};

use crate::cases::Case;

/// Bytes of its command line that Xen's log shows: 1023 are printed at once, and "Command line: " is among them.
pub(crate) const SHOWN: usize = 1009;

/// A refused token, as a line of Xen's log says it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Refused {
    pub(crate) text: String,
    pub(crate) segment: String,
    pub(crate) dom0: bool,
    pub(crate) reason: String,
}

#[derive(Debug)]
pub(crate) struct Answer {
    /// How many tokens were judged.
    pub(crate) tokens: usize,
    /// In order.
    pub(crate) refused: Vec<Refused>,
    /// The same as `xen-lockdown status` would tell it.
    told: Vec<Value>,
    /// The level of the lock in the end; nothing where it is open.
    pub(crate) level: Option<String>,
    /// The line that Xen's parser gets, blanks where something was refused, as far as the log shows it.
    pub(crate) xen: String,
    /// dom0's tokens.
    pub(crate) dom0: Vec<String>,
}

pub(crate) fn ask(case: &Case) -> Answer {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xen-lockdown"));
    command.args(["lint", "--format", "json", "--fail-on", "never"]);
    if !case.builtin.is_empty() {
        command.args(["--builtin", case.builtin]);
    }
    let (options, dom0) = case.signed();
    command.args(["--signed", &format!("{options} -- {dom0}"), "--runtime", &case.runtime]);
    if case.secure_boot {
        command.arg("--secure-boot");
    }
    let output = command.output().unwrap();
    let document: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{case:?}: {error}: {}", String::from_utf8_lossy(&output.stderr)));
    let input = &document["inputs"][0];
    let tokens = input["tokens"].as_array().unwrap();
    let word = |token: &Value, key: &str| token[key].as_str().unwrap_or_default().to_owned();
    let refused = || tokens.iter().filter(|token| token["verdict"] == "refused");
    let told = refused().map(|token| {
        let text = word(token, "text");
        let kept = &text.as_bytes()[..text.len().min(127)];
        json!({
            "segment": token["segment"],
            "for": token["for"],
            "reason": token["reason"],
            "whole": kept.len() == text.len(),
            "text": kept.iter().map(|byte| escaped(*byte)).collect::<String>(),
        })
    });
    let logged = refused().map(|token| Refused {
        text: shown(&word(token, "text")),
        segment: word(token, "segment"),
        dom0: token["for"] == "dom0",
        reason: word(token, "reason"),
    });

    let mut signed = vec![b' '; options.len()];
    let mut runtime = vec![b' '; case.runtime.len()];
    for token in tokens.iter().filter(|token| token["for"] == "xen" && token["verdict"] == "honoured") {
        let line = match token["segment"].as_str().unwrap() {
            "signed" => &mut signed,
            "runtime" => &mut runtime,
            _ => continue,
        };
        let (text, column) = (word(token, "text"), token["column"].as_u64().unwrap());
        let at = usize::try_from(column).unwrap() - 1;
        line[at..at + text.len()].copy_from_slice(text.as_bytes());
    }
    let xen = [signed, runtime].join(&b' ');
    Answer {
        tokens: tokens.len(),
        refused: logged.collect(),
        told: told.collect(),
        level: level(input),
        xen: printed(&String::from_utf8(xen).unwrap()),
        dom0: linux_words(input["passes"]["dom0"].as_str().unwrap()),
    }
}

impl Answer {
    /// What `xen-lockdown status` would tell, as far as it is about the command line.
    pub(crate) fn status(&self) -> Value {
        let (kept, lost) = what_xen_keeps(&self.refused);
        let level = self.level.as_deref().unwrap_or("none");
        json!({ "level": level, "tokens": self.told[..kept.len()], "tokens_lost": lost })
    }
}

/// A byte of a token as hypfs has it.
fn escaped(byte: u8) -> String {
    match byte {
        b'\\' => "\\x5c".to_owned(),
        b' '..=b'~' => char::from(byte).to_string(),
        _ => format!("\\x{byte:02x}"),
    }
}

/// What a locked Xen gives dom0 tells the level.
fn level(input: &Value) -> Option<String> {
    let dom0 = linux_words(input["passes"]["dom0"].as_str().unwrap());
    let locked = input["locked_at_end"] == true;
    let is = |level: &str| dom0.iter().any(|word| word == &format!("lockdown={level}"));
    let level = if is("confidentiality") { "confidentiality" } else { "integrity" };
    locked.then(|| level.to_owned())
}

/// A line of Xen's, as its log shows it: cut, up to the first line break, without the blanks at the end.
pub(crate) fn printed(line: &str) -> String {
    let line = line.get(..SHOWN).unwrap_or(line);
    line.split('\n').next().unwrap().trim_end_matches(' ').to_owned()
}

/// A token as Xen's log shows it.
fn shown(token: &str) -> String {
    let visible = token.bytes().take(127).map(|byte| if byte.is_ascii_graphic() { char::from(byte) } else { '?' });
    visible.chain((token.len() > 127).then_some("...").into_iter().flat_map(str::chars)).collect()
}

pub(crate) fn linux_words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut at = 0;
    while let Some(range) = linux_text::next_token(line.as_bytes(), at) {
        at = range.end;
        words.push(line[range].to_owned());
    }
    words
}

/// Xen keeps 64 refused tokens and 4096 bytes of them, each with a byte behind it; how many more there were is told.
pub(crate) fn what_xen_keeps(refused: &[Refused]) -> (Vec<Refused>, usize) {
    let (mut kept, mut bytes) = (Vec::new(), 0);
    for token in refused {
        let size = token.text.trim_end_matches("...").len() + 1;
        if kept.len() < 64 && bytes + size <= 4096 {
            bytes += size;
            kept.push(token.clone());
        }
    }
    let lost = refused.len() - kept.len();
    (kept, lost)
}
