//! Finds the variables that a file declares.

use super::token::{Kind, Token};
use super::unit::{Item, Unit};

/// A variable or a typedef.
#[derive(Clone, Debug)]
pub(super) struct Declaration {
    pub(super) name: String,
    /// The words of its type, without storage and attributes.
    pub(super) words: Vec<String>,
    pub(super) pointer: bool,
    /// What stands between the brackets of an array, one for each dimension.
    pub(super) dimensions: Vec<Vec<Token>>,
    /// The string literal that it begins with.
    pub(super) initial: Option<String>,
    pub(super) scope: usize,
    pub(super) is_static: bool,
    pub(super) is_typedef: bool,
}

/// Every declaration in `items` that an x86 build may see.
pub(super) fn declarations(unit: &Unit, items: &[Item]) -> Vec<Declaration> {
    let built =
        |item: &&Item| unit.conditions.get(item.condition).is_none_or(|condition| condition.holds != Some(false));
    let items: Vec<&Item> = items.iter().filter(built).collect();
    let mut reader = Reader { items: &items, at: 0, found: Vec::new() };
    while reader.at < items.len() {
        reader.statement();
    }
    reader.found
}

/// Words that begin a statement, never a declaration.
const KEYWORDS: [&str; 12] =
    ["return", "goto", "case", "else", "break", "continue", "do", "default", "if", "while", "for", "sizeof"];

struct Reader<'a> {
    items: &'a [&'a Item],
    at: usize,
    found: Vec<Declaration>,
}

impl Reader<'_> {
    fn token(&self) -> Option<&Token> {
        self.items.get(self.at).map(|item| &item.token)
    }

    /// Reads from the beginning of a statement to behind its end.
    fn statement(&mut self) {
        let mut words: Vec<String> = Vec::new();
        let (mut is_static, mut is_typedef, mut pointer) = (false, false, false);
        while let Some(token) = self.token() {
            if token.kind == Kind::Word {
                let word = token.text.clone();
                self.at += 1;
                match word.as_str() {
                    "static" => is_static = true,
                    "typedef" => is_typedef = true,
                    "extern" | "const" | "volatile" | "register" | "inline" | "always_inline" => {}
                    // Attributes: __initdata, __section("x"), cf_check.
                    _ if word.starts_with("__") && !is_type(&word) || word == "cf_check" => self.skip_brackets(),
                    _ if self.token().is_some_and(|next| next.is("(")) => {
                        self.skip_brackets();
                        // A macro without a semicolon, before a declaration; else a call or a function.
                        if self.token().is_none_or(|next| next.kind != Kind::Word) {
                            return self.skip_statement();
                        }
                        words.clear();
                    }
                    _ if KEYWORDS.contains(&word.as_str()) => return self.skip_statement(),
                    _ => words.push(word),
                }
            } else if token.is("*") {
                pointer = true;
                self.at += 1;
            } else if [";", ",", "=", "["].iter().any(|sign| token.is(sign)) {
                let Some(name) = words.pop().filter(|_| !words.is_empty()) else { return self.skip_statement() };
                let scope = self.items.get(self.at).map_or(0, |item| item.scope);
                let mut declaration = Declaration {
                    name,
                    words: words.clone(),
                    pointer,
                    dimensions: Vec::new(),
                    initial: None,
                    scope,
                    is_static,
                    is_typedef,
                };
                let more = self.rest_of_declarator(&mut declaration);
                self.found.push(declaration);
                if !more {
                    return;
                }
                pointer = false;
            } else {
                return self.skip_statement();
            }
        }
    }

    /// Dimensions, attributes, initialiser; true if another declarator follows.
    fn rest_of_declarator(&mut self, declaration: &mut Declaration) -> bool {
        let mut depth = 0_u32;
        let mut dimension = None;
        let mut initialiser = false;
        while let Some(item) = self.items.get(self.at) {
            let token = &item.token;
            self.at += 1;
            if depth == 0 && token.is(";") {
                return false;
            } else if depth == 0 && token.is(",") {
                return true;
            } else if depth == 0 && token.is("=") {
                initialiser = true;
                declaration.initial =
                    self.token().filter(|next| next.kind == Kind::Text).map(|next| next.text.clone());
            } else if depth == 0 && token.is("[") && !initialiser {
                dimension = Some(Vec::new());
                depth += 1;
            } else if ["(", "[", "{"].iter().any(|sign| token.is(sign)) {
                depth += 1;
            } else if [")", "]", "}"].iter().any(|sign| token.is(sign)) {
                let Some(outer) = depth.checked_sub(1) else { return false };
                depth = outer;
                if depth == 0 {
                    declaration.dimensions.extend(dimension.take());
                    continue;
                }
            }
            if let Some(dimension) = dimension.as_mut().filter(|_| depth > 1 || !token.is("[")) {
                dimension.push(token.clone());
            }
        }
        false
    }

    fn skip_brackets(&mut self) {
        if !self.token().is_some_and(|token| token.is("(")) {
            return;
        }
        let mut depth = 0_u32;
        while let Some(token) = self.token() {
            if token.is("(") {
                depth += 1;
            } else if token.is(")") {
                depth -= 1;
            } else if token.is(";") {
                // Nothing in brackets here has one: the brackets do not match.
                return;
            }
            self.at += 1;
            if depth == 0 {
                return;
            }
        }
    }

    fn skip_statement(&mut self) {
        while let Some(token) = self.token() {
            let end = [";", "{", "}"].iter().any(|sign| token.is(sign));
            self.at += 1;
            if end {
                return;
            }
        }
    }
}

/// Names of types that look like attributes.
fn is_type(word: &str) -> bool {
    word.starts_with("__u") || word.starts_with("__s") && word.bytes().any(|byte| byte.is_ascii_digit())
}

/// Bits of a plain type on x86; `None` for a name that has to be looked up.
pub(super) fn bits(words: &[String]) -> Option<u8> {
    let has = |word: &str| words.iter().any(|known| known == word);
    if has("struct") || has("union") || has("enum") || has("double") || has("float") {
        return None;
    }
    if has("char") {
        return Some(8);
    }
    if has("short") {
        return Some(16);
    }
    if has("long") {
        return Some(64);
    }
    if has("int") || has("unsigned") || has("signed") {
        return Some(32);
    }
    let [word] = words else { return None };
    Some(match word.as_str() {
        "bool" | "bool_t" | "_Bool" | "int8_t" | "uint8_t" | "u8" | "s8" | "__u8" | "__s8" => 8,
        "int16_t" | "uint16_t" | "u16" | "s16" | "__u16" | "__s16" => 16,
        "int32_t" | "uint32_t" | "u32" | "s32" | "__u32" | "__s32" => 32,
        "int64_t" | "uint64_t" | "u64" | "s64" | "__u64" | "__s64" | "paddr_t" | "size_t" | "ssize_t" => 64,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::token::tokens;
    use super::*;

    fn declared(text: &str) -> Vec<(String, String, usize)> {
        let unit = Unit::read(&tokens(text.as_bytes()), true);
        let found = declarations(&unit, &unit.items);
        found.into_iter().map(|found| (found.name, found.words.join(" "), found.dimensions.len())).collect()
    }

    fn one(name: &str, words: &str, dimensions: usize) -> (String, String, usize) {
        (name.to_owned(), words.to_owned(), dimensions)
    }

    #[test]
    fn storage_and_attributes_are_no_part_of_the_type() {
        assert_eq!(declared("static unsigned int __initdata a = 3;"), [one("a", "unsigned int", 0)]);
        assert_eq!(declared("bool b __read_mostly;"), [one("b", "bool", 0)]);
        assert_eq!(declared("static char __section(\"x\") c[3 + 4] = \"abc\";"), [one("c", "char", 1)]);
        assert_eq!(declared("long d, *e, f[2][3], g = MAX(1, 2);").len(), 4);
        assert_eq!(declared("MACRO(x)\nuint8_t h;"), [one("h", "uint8_t", 0)]);
    }

    #[test]
    fn statements_and_functions_declare_nothing() {
        for text in
            ["return a;", "else b = 1;", "int f(void);", "call(a);", "a = b;", "goto out;", "a[1] = 2;", "}"]
        {
            assert_eq!(declared(text), [], "{text}");
        }
        assert_eq!(
            declared("#ifdef CONFIG_ARM\nint a;\n#endif\nint f(int b)\n{ short c; }"),
            [one("c", "short", 0)]
        );
    }

    #[test]
    fn widths_are_those_of_x86() {
        let bits = |text: &str| bits(&text.split(' ').map(str::to_owned).collect::<Vec<_>>());
        for (text, expected) in
            [("bool", 8), ("unsigned", 32), ("unsigned long", 64), ("u16", 16), ("paddr_t", 64)]
        {
            assert_eq!(bits(text), Some(expected), "{text}");
        }
        for text in ["struct x", "domid_t", "enum y"] {
            assert_eq!(bits(text), None, "{text}");
        }
    }
}
