//! One file of C, with its preprocessor directives understood as far as an x86 build settles them.

use std::collections::HashMap;

use super::arithmetic;
use super::token::{Kind, Token};

/// A file without its directives.
#[derive(Debug, Default)]
pub(super) struct Unit {
    pub(super) items: Vec<Item>,
    pub(super) macros: HashMap<String, Vec<Macro>>,
    /// What items stand under; the first is "always".
    pub(super) conditions: Vec<Condition>,
    /// The scope around each scope; the first is the file.
    parents: Vec<usize>,
}

/// A token with what surrounds it.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) token: Token,
    /// Index into [`Unit::conditions`].
    pub(super) condition: usize,
    pub(super) scope: usize,
}

/// A macro's definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Macro {
    /// `None`: it takes no arguments.
    pub(super) parameters: Option<Vec<String>>,
    pub(super) body: Vec<Token>,
}

/// The `#if`s around a token.
#[derive(Clone, Debug, Default)]
pub(super) struct Condition {
    /// As text, from the outermost.
    pub(super) texts: Vec<String>,
    /// Whether they hold on x86, where that is plain.
    pub(super) holds: Option<bool>,
}

/// Whether a build for x86 sets a symbol, where the symbol's name says so.
pub(super) fn known_on_x86(symbol: &str) -> Option<bool> {
    if matches!(symbol, "CONFIG_X86" | "CONFIG_X86_64" | "CONFIG_64BIT" | "__x86_64__" | "__XEN__") {
        return Some(true);
    }
    if matches!(symbol, "__aarch64__" | "__arm__" | "__riscv" | "__ASSEMBLY__" | "CONFIG_PPC64") {
        return Some(false);
    }
    let other =
        ["CONFIG_ARM", "CONFIG_RISCV", "CONFIG_PPC"].into_iter().filter_map(|name| symbol.strip_prefix(name));
    other.into_iter().any(|rest| rest.is_empty() || rest.starts_with('_')).then_some(false)
}

impl Unit {
    /// Takes the directives out. With `x86`, conditions are judged as a build for x86 would.
    pub(super) fn read(tokens: &[Token], x86: bool) -> Self {
        let mut reader = Reader {
            unit: Self { conditions: vec![Condition { texts: Vec::new(), holds: Some(true) }], ..Self::default() },
            frames: Vec::new(),
            scopes: Vec::new(),
            condition: 0,
            x86,
        };
        reader.unit.parents.push(0);
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            if token.first && token.is("#") {
                let length = tokens.iter().skip(at + 1).take_while(|token| !token.first).count();
                reader.directive(tokens.get(at + 1..=at + length).unwrap_or_default());
                at += length + 1;
            } else {
                reader.item(token);
                at += 1;
            }
        }
        reader.unit
    }

    /// `inner` lies in `outer`, or is it.
    pub(super) fn encloses(&self, outer: usize, inner: usize) -> bool {
        let mut scope = inner;
        while scope != outer && scope != 0 {
            scope = self.parents.get(scope).copied().unwrap_or_default();
        }
        scope == outer
    }

    /// How deep a scope lies.
    pub(super) fn depth(&self, mut scope: usize) -> usize {
        let mut depth = 0;
        while scope != 0 {
            scope = self.parents.get(scope).copied().unwrap_or_default();
            depth += 1;
        }
        depth
    }
}

/// An open `#if`.
struct Frame {
    text: String,
    /// The current branch is the one that is built.
    holds: Option<bool>,
    /// One of the branches before it was.
    taken: Option<bool>,
    /// The scopes that were open at the `#if`: each branch starts there, so that braces opened in two branches
    /// and closed once do not add up.
    scopes: Vec<usize>,
}

struct Reader {
    unit: Unit,
    frames: Vec<Frame>,
    scopes: Vec<usize>,
    condition: usize,
    x86: bool,
}

impl Reader {
    fn item(&mut self, token: &Token) {
        if token.is("}") {
            self.scopes.pop();
        }
        let scope = self.scopes.last().copied().unwrap_or_default();
        self.unit.items.push(Item { token: token.clone(), condition: self.condition, scope });
        if token.is("{") {
            self.scopes.push(self.unit.parents.len());
            self.unit.parents.push(scope);
        }
    }

    fn directive(&mut self, tokens: &[Token]) {
        let Some((name, rest)) = tokens.split_first().filter(|(name, _)| name.kind == Kind::Word) else { return };
        match name.text.as_str() {
            "if" => self.open(spell(rest), self.judge(rest)),
            "ifdef" => self.open(spell(rest), self.is_defined(rest)),
            "ifndef" => self.open(format!("!{}", spell(rest)), not(self.is_defined(rest))),
            "elif" => {
                let holds = self.judge(rest);
                self.next_branch(&spell(rest), holds);
            }
            "else" => self.next_branch("else", Some(true)),
            "endif" => {
                self.frames.pop();
                self.settle();
            }
            "define" => self.define(rest),
            _ => {}
        }
    }

    fn open(&mut self, text: String, holds: Option<bool>) {
        self.frames.push(Frame { text, holds, taken: holds, scopes: self.scopes.clone() });
        self.settle();
    }

    fn next_branch(&mut self, text: &str, holds: Option<bool>) {
        let Some(frame) = self.frames.last_mut() else { return };
        frame.text = match text {
            "else" => format!("not {}", frame.text),
            _ => text.to_owned(),
        };
        frame.holds = and(holds, not(frame.taken));
        frame.taken = not(and(not(frame.taken), not(holds)));
        self.scopes.clone_from(&frame.scopes);
        self.settle();
    }

    fn settle(&mut self) {
        let texts: Vec<_> = self.frames.iter().map(|frame| frame.text.clone()).collect();
        let mut holds = Some(true);
        for frame in &self.frames {
            holds = and(holds, frame.holds);
        }
        self.condition = if texts.is_empty() { 0 } else { self.unit.conditions.len() };
        if !texts.is_empty() {
            self.unit.conditions.push(Condition { texts, holds });
        }
    }

    fn judge(&self, tokens: &[Token]) -> Option<bool> {
        let known = |symbol: &str| if self.x86 { known_on_x86(symbol) } else { None };
        arithmetic::value(tokens, &|symbol| known(symbol).map(i64::from), &known).map(|value| value != 0)
    }

    fn is_defined(&self, tokens: &[Token]) -> Option<bool> {
        let name = tokens.first().filter(|_| self.x86)?;
        known_on_x86(&name.text)
    }

    fn define(&mut self, tokens: &[Token]) {
        if self.unit.conditions.get(self.condition).is_some_and(|condition| condition.holds == Some(false)) {
            return;
        }
        let Some((name, rest)) = tokens.split_first().filter(|(name, _)| name.kind == Kind::Word) else { return };
        let (parameters, body) = match parameters(rest) {
            Some((parameters, body)) => (Some(parameters), body),
            None => (None, rest),
        };
        let definition = Macro { parameters, body: body.to_vec() };
        let known = self.unit.macros.entry(name.text.clone()).or_default();
        if !known.iter().any(|other| other.same(&definition)) {
            known.push(definition);
        }
    }
}

impl Macro {
    /// The same but for the lines.
    pub(super) fn same(&self, other: &Self) -> bool {
        let texts =
            |tokens: &[Token]| tokens.iter().map(|token| (token.kind, token.text.clone())).collect::<Vec<_>>();
        self.parameters == other.parameters && texts(&self.body) == texts(&other.body)
    }
}

/// `(a, b, ...)` and what follows it.
fn parameters(tokens: &[Token]) -> Option<(Vec<String>, &[Token])> {
    let (_, mut rest) = tokens.split_first().filter(|(bracket, _)| bracket.is("(") && !bracket.spaced)?;
    let mut names = Vec::new();
    let mut name = String::new();
    loop {
        let (token, after) = rest.split_first()?;
        rest = after;
        if token.is(")") || token.is(",") {
            if !name.is_empty() {
                names.push(std::mem::take(&mut name));
            }
            if token.is(")") {
                break;
            }
        } else if token.kind == Kind::Word || token.is(".") {
            name.push_str(&token.text);
        } else {
            return None;
        }
    }
    Some((names, rest))
}

pub(super) fn and(left: Option<bool>, right: Option<bool>) -> Option<bool> {
    match (left, right) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

fn not(value: Option<bool>) -> Option<bool> {
    value.map(|value| !value)
}

/// Tokens as text again, for messages and for `#parameter`.
pub(super) fn spell(tokens: &[Token]) -> String {
    let mut text = String::new();
    let mut glue = true;
    for token in tokens {
        let word = token.kind != Kind::Sign;
        if word && !glue {
            text.push(' ');
        }
        match token.kind {
            Kind::Text => {
                text.push('"');
                text.push_str(&token.text);
                text.push('"');
            }
            Kind::Character => {
                text.push('\'');
                text.push_str(&token.text);
                text.push('\'');
            }
            _ => {
                if !word && token.text.len() > 1 {
                    text.push(' ');
                }
                text.push_str(&token.text);
            }
        }
        glue = !word && token.text.len() == 1;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::token::tokens;
    use super::*;

    fn read(text: &str) -> Unit {
        Unit::read(&tokens(text.as_bytes()), true)
    }

    fn holds(text: &str, word: &str) -> Vec<Option<bool>> {
        let unit = read(text);
        let items = unit.items.iter().filter(|item| item.token.text == word);
        items.map(|item| unit.conditions.get(item.condition).and_then(|condition| condition.holds)).collect()
    }

    #[test]
    fn branches_are_judged_for_x86() {
        let text = "#ifdef CONFIG_ARM\na\n#elif defined(CONFIG_X86)\na\n#else\na\n#endif\na";
        assert_eq!(holds(text, "a"), [Some(false), Some(true), Some(false), Some(true)]);
        let text = "#ifdef CONFIG_PV\na\n#else\na\n#endif\n#if 0\na\n#endif\n#ifndef CONFIG_X86\na\n#endif";
        assert_eq!(holds(text, "a"), [None, None, Some(false), Some(false)]);
        assert_eq!(known_on_x86("CONFIG_ARMOUR"), None);
    }

    #[test]
    fn braces_of_two_branches_do_not_add_up() {
        let unit = read("#ifdef A\nif (x) {\n#else\nif (y) {\n#endif\n}\nlast");
        assert_eq!(unit.items.last().map(|item| item.scope), Some(0));
    }

    #[test]
    fn macros_keep_their_parameters_and_their_several_meanings() {
        let unit =
            read("#define A(x, ...) x\n#define B (z)\n#define C 1\n#ifdef Q\n#define C 2\n#endif\n#define D() y");
        let parameters = |name: &str| unit.macros.get(name).and_then(|all| all.first()?.parameters.clone());
        assert_eq!(parameters("A"), Some(vec!["x".to_owned(), "...".to_owned()]));
        assert_eq!(parameters("B"), None);
        assert_eq!(parameters("D"), Some(Vec::new()));
        assert_eq!(unit.macros.get("C").map(Vec::len), Some(2));
        assert!(unit.items.is_empty());
    }
}
