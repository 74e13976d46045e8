//! Finds every registration of a parameter in a tree.

use std::collections::HashSet;
use std::rc::Rc;

use super::arithmetic;
use super::declaration::{Declaration, declarations};
use super::token::{Kind, Token};
use super::tree::{Area, SourceFile, Tree, mentions};
use super::unit::{Item, Macro, Unit, and, spell};

/// Where Xen defines the macros that register.
pub(super) const FORMS_HEADER: &str = "xen/include/xen/param.h";

/// Names that only [`FORMS_HEADER`] uses as long as everything is registered through its macros.
const INNER: [&str; 3] = ["__kparam", "__paramfs", "__setup_str"];

/// Macros inside macros, deeper than any real one.
const MAX_EXPANSION: u32 = 16;

/// A parameter's registration.
#[derive(Clone, Debug)]
pub(super) struct Registration {
    pub(super) name: String,
    pub(super) kind: &'static str,
    pub(super) hypfs: Hypfs,
    pub(super) file: String,
    pub(super) line: u32,
    pub(super) area: Area,
    /// The `#if`s and Makefile symbols that it stands under.
    pub(super) conditions: Vec<String>,
    /// Whether those hold on x86, where that is plain.
    pub(super) holds: Option<bool>,
    pub(super) storage: Storage,
}

/// Whether a parameter can be set through hypfs, at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hypfs {
    No,
    Also,
    /// It is no option of the command line at all.
    Only,
}

/// What is known of the variable behind a registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Storage {
    /// There is none: a handler, or nothing.
    None,
    /// Bytes of an array of characters.
    Bytes(u64),
    /// Bits of a number.
    Bits(u8),
    /// Not plain, and why.
    Unseen(String),
}

/// Everything that was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) registrations: Vec<Registration>,
    /// Places that could not be understood: with any, no judgement is possible.
    pub(super) unclear: Vec<Unclear>,
}

#[derive(Debug)]
pub(super) struct Unclear {
    pub(super) file: String,
    pub(super) line: u32,
    pub(super) message: String,
}

/// Every registration in the tree, sorted by name and place.
pub(super) fn extract(tree: &Tree) -> Found {
    let mut found = Found::default();
    check_forms(tree, &mut found);
    let mut names: Vec<String> = INNER.map(str::to_owned).to_vec();
    let mut wrappers: Vec<String> = Vec::new();
    let mut read: HashSet<&str> = HashSet::new();
    // Wrappers in headers make further files register something, so until nothing is added.
    loop {
        let mut added = false;
        for file in &tree.files {
            let register = file.holds("_param") || names.iter().any(|name| file.holds(name));
            if file.path == FORMS_HEADER || !register || !read.insert(&file.path) {
                continue;
            }
            added = true;
            for wrapper in wrappers_of(&tree.unit(file)) {
                if file.path.ends_with(".h") && !wrappers.contains(&wrapper) {
                    names.push(wrapper.clone());
                    wrappers.push(wrapper);
                }
            }
        }
        if !added {
            break;
        }
    }
    for file in tree.files.iter().filter(|file| read.contains(file.path.as_str())) {
        Scanner { tree, file, unit: tree.unit(file), wrappers: &wrappers, found: &mut found }.scan();
    }
    found.registrations.sort_by(|a, b| (&a.name, &a.file, a.line).cmp(&(&b.name, &b.file, b.line)));
    found
}

/// A form that nobody here knows would be missed, so it stops everything.
fn check_forms(tree: &Tree, found: &mut Found) {
    let mut complain = |message: String| {
        found.unclear.push(Unclear { file: FORMS_HEADER.to_owned(), line: 0, message });
    };
    match tree.forms() {
        None => complain("is not there: what registers a parameter is not known".to_owned()),
        Some(forms) if forms.is_empty() => complain("defines nothing that registers a parameter".to_owned()),
        Some(forms) => {
            for name in forms.iter().filter(|name| form(name).is_none()) {
                complain(format!("defines {name}, a way to register that is not known here"));
            }
        }
    }
}

/// What a macro of [`FORMS_HEADER`] registers.
fn form(name: &str) -> Option<(&'static str, Hypfs)> {
    let name = name.strip_suffix("_param")?;
    let (name, hypfs) = match name.strip_suffix("_only").and_then(|name| name.strip_suffix("_runtime")) {
        Some(name) => (name, Hypfs::Only),
        None => name.strip_suffix("_runtime").map_or((name, Hypfs::No), |name| (name, Hypfs::Also)),
    };
    let kind = ["custom", "boolean", "integer", "size", "string"].into_iter().find(|kind| *kind == name);
    kind.map(|kind| (kind, hypfs)).or((name == "ignore" && hypfs == Hypfs::No).then_some(("ignore", hypfs)))
}

/// Macros of a file that register something, or call one that does.
fn wrappers_of(unit: &Unit) -> Vec<String> {
    let mut wrappers: Vec<String> = Vec::new();
    loop {
        let before = wrappers.len();
        for (name, definitions) in &unit.macros {
            let registers = |definition: &Macro| {
                definition.body.iter().any(|token| token.kind == Kind::Word && form(&token.text).is_some())
                    || mentions(definition, &wrappers)
            };
            if form(name).is_none() && !wrappers.contains(name) && definitions.iter().any(registers) {
                wrappers.push(name.clone());
            }
        }
        if wrappers.len() == before {
            return wrappers;
        }
    }
}

struct Scanner<'a> {
    tree: &'a Tree,
    file: &'a SourceFile,
    unit: Rc<Unit>,
    /// Those in headers.
    wrappers: &'a [String],
    found: &'a mut Found,
}

impl Scanner<'_> {
    fn scan(&mut self) {
        let mut own = wrappers_of(&self.unit);
        own.extend_from_slice(self.wrappers);
        let unit = Rc::clone(&self.unit);
        let items = self.expand_wrappers(&unit.items, &own, MAX_EXPANSION);
        let declared = declarations(&unit, &items);
        for (at, item) in items.iter().enumerate() {
            let Some(word) = Some(&item.token).filter(|token| token.kind == Kind::Word) else { continue };
            if INNER.contains(&word.text.as_str()) {
                self.unclear(
                    word.line,
                    format!("uses {}, so something is registered in a way of its own", word.text),
                );
            }
            let Some((kind, hypfs)) = form(&word.text) else { continue };
            let Some((arguments, _)) = arguments(items.get(at + 1..).unwrap_or_default()) else { continue };
            self.registration(item, kind, hypfs, &arguments, &declared);
        }
    }

    fn registration(
        &mut self,
        item: &Item,
        kind: &'static str,
        hypfs: Hypfs,
        arguments: &[Vec<Token>],
        declared: &[Declaration],
    ) {
        let name = match self.text(arguments.first().map_or(&[][..], Vec::as_slice)) {
            Ok(name) => name,
            Err(message) => return self.unclear(item.token.line, message),
        };
        let condition = self.unit.conditions.get(item.condition).cloned().unwrap_or_default();
        let (mut conditions, built) = self.tree.build_conditions(&self.file.path);
        conditions.extend(condition.texts);
        let holds = match self.file.area {
            Area::Other(_) => Some(false),
            _ => and(built, condition.holds),
        };
        let storage = match kind {
            "custom" | "ignore" => Storage::None,
            _ => self.storage(kind, item.scope, arguments.get(1).map_or(&[][..], Vec::as_slice), declared),
        };
        self.found.registrations.push(Registration {
            name,
            kind,
            hypfs,
            file: self.file.path.clone(),
            line: item.token.line,
            area: self.file.area.clone(),
            conditions,
            holds,
            storage,
        });
    }

    /// The string that the tokens make, all macros replaced.
    fn text(&self, tokens: &[Token]) -> Result<String, String> {
        let unreadable = |why: &str| format!("the name {} cannot be read: {why}", spell(tokens));
        let expanded = self.expand_all(tokens, MAX_EXPANSION).map_err(|why| unreadable(&why))?;
        let mut name = String::new();
        for token in &expanded {
            match token.kind {
                Kind::Text => name.push_str(&token.text),
                Kind::Sign if token.is("(") || token.is(")") => {}
                _ => return Err(unreadable(&format!("{} is no string", token.text))),
            }
        }
        if name.is_empty() { Err(unreadable("it is empty")) } else { Ok(name) }
    }

    fn storage(&self, kind: &str, scope: usize, variable: &[Token], declared: &[Declaration]) -> Storage {
        let words: Vec<_> = variable.iter().filter(|token| !token.is("(") && !token.is(")")).collect();
        let [name] = words.as_slice() else {
            return Storage::Unseen(format!("{} is no plain variable", spell(variable)));
        };
        let visible = declared
            .iter()
            .filter(|one| one.name == name.text && !one.is_typedef && self.unit.encloses(one.scope, scope));
        let mut candidates: Vec<Declaration> = visible.cloned().collect();
        if candidates.is_empty() {
            candidates = self.tree.variables(&name.text);
        }
        let deepest = candidates.iter().map(|one| self.unit.depth(one.scope)).max().unwrap_or_default();
        candidates.retain(|one| self.unit.depth(one.scope) == deepest);
        let mut seen: Vec<Storage> = Vec::new();
        for one in &candidates {
            let storage = if kind == "string" { self.bytes(one) } else { self.bits(one) };
            if !seen.contains(&storage) {
                seen.push(storage);
            }
        }
        match seen.len() {
            0 => Storage::Unseen(format!("no declaration of {} was found", name.text)),
            1 => seen.swap_remove(0),
            _ => Storage::Unseen(format!("{} is declared in several ways", name.text)),
        }
    }

    fn bytes(&self, declaration: &Declaration) -> Storage {
        let unseen = || Storage::Unseen(format!("the size of {} is not plain", declaration.name));
        let [dimension] = declaration.dimensions.as_slice() else { return unseen() };
        if declaration.pointer || !declaration.words.iter().any(|word| word == "char") {
            return unseen();
        }
        if dimension.is_empty() {
            let length = declaration.initial.as_ref().and_then(|text| u64::try_from(text.len() + 1).ok());
            return length.map_or_else(unseen, Storage::Bytes);
        }
        let expanded = self.expand_all(dimension, MAX_EXPANSION).ok();
        let size = expanded.and_then(|tokens| arithmetic::value(&tokens, &|_| None, &|_| None));
        size.and_then(|size| u64::try_from(size).ok()).map_or_else(unseen, Storage::Bytes)
    }

    fn bits(&self, declaration: &Declaration) -> Storage {
        let plain = !declaration.pointer && declaration.dimensions.is_empty();
        let fixed = declaration.words.iter().any(|word| word.contains("64"));
        // Elsewhere a long or an address may be narrower than on x86.
        let narrower = |bits: &u8| *bits == 64 && !fixed && matches!(self.file.area, Area::Other(_));
        let bits = if plain { self.tree.bits(&declaration.words).filter(|bits| !narrower(bits)) } else { None };
        bits.map_or_else(
            || Storage::Unseen(format!("{} is a {}", declaration.name, declaration.words.join(" "))),
            Storage::Bits,
        )
    }

    /// The items with every macro replaced that registers something. What comes of one stands on its line.
    fn expand_wrappers(&mut self, items: &[Item], wrappers: &[String], depth: u32) -> Vec<Item> {
        let mut expanded = Vec::with_capacity(items.len());
        let mut at = 0;
        while let Some(item) = items.get(at) {
            at += 1;
            let is_wrapper = item.token.kind == Kind::Word && wrappers.contains(&item.token.text);
            if !is_wrapper {
                expanded.push(item.clone());
                continue;
            }
            if depth == 0 {
                self.unclear(item.token.line, format!("{} expands without end", item.token.text));
                continue;
            }
            let definition = match self.definition(&item.token.text) {
                Ok(Some(definition)) => definition,
                Ok(None) => {
                    expanded.push(item.clone());
                    continue;
                }
                Err(message) => {
                    self.unclear(item.token.line, message);
                    continue;
                }
            };
            let mut given = Vec::new();
            if definition.parameters.is_some() {
                let Some((arguments, length)) = arguments(items.get(at..).unwrap_or_default()) else { continue };
                given = arguments;
                at += length;
            }
            let inner: Vec<Item> = substitute(&definition, &given)
                .into_iter()
                .map(|token| Item { token: Token { line: item.token.line, ..token }, ..item.clone() })
                .collect();
            let inner = self.expand_wrappers(&inner, wrappers, depth - 1);
            expanded.extend(inner);
        }
        expanded
    }

    /// The tokens with every known macro replaced.
    fn expand_all(&self, tokens: &[Token], depth: u32) -> Result<Vec<Token>, String> {
        let mut expanded = Vec::new();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            at += 1;
            let definition = if token.kind == Kind::Word { self.definition(&token.text)? } else { None };
            let Some(definition) = definition else {
                expanded.push(token.clone());
                continue;
            };
            if depth == 0 {
                return Err(format!("{} expands without end", token.text));
            }
            let mut given = Vec::new();
            if definition.parameters.is_some() {
                let rest: Vec<Item> = tokens.iter().skip(at).map(as_item).collect();
                let Some((arguments, length)) = arguments(&rest) else {
                    expanded.push(token.clone());
                    continue;
                };
                for argument in arguments {
                    given.push(if takes_apart(&definition) {
                        argument
                    } else {
                        self.expand_all(&argument, depth - 1)?
                    });
                }
                at += length;
            }
            expanded.extend(self.expand_all(&substitute(&definition, &given), depth - 1)?);
        }
        Ok(expanded)
    }

    /// What a name is defined as: in the file itself, else in a header.
    fn definition(&self, name: &str) -> Result<Option<Macro>, String> {
        let headers;
        let all = match self.unit.macros.get(name) {
            Some(own) => own,
            None => {
                headers = self.tree.macros(name);
                &*headers
            }
        };
        match all.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(one.clone())),
            _ => Err(format!("{name} has several definitions")),
        }
    }

    fn unclear(&mut self, line: u32, message: String) {
        // Another architecture's oddities are no hindrance: its options are not judged.
        if !matches!(self.file.area, Area::Other(_)) {
            self.found.unclear.push(Unclear { file: self.file.path.clone(), line, message });
        }
    }
}

fn as_item(token: &Token) -> Item {
    Item { token: token.clone(), condition: 0, scope: 0 }
}

/// The arguments in the brackets that `items` begin with, and how many items those take.
fn arguments(items: &[Item]) -> Option<(Vec<Vec<Token>>, usize)> {
    let mut arguments = vec![Vec::new()];
    let mut depth = 0_u32;
    for (at, item) in items.iter().enumerate() {
        let token = &item.token;
        if at == 0 && !token.is("(") {
            return None;
        }
        let opens = ["(", "[", "{"].iter().any(|sign| token.is(sign));
        let closes = [")", "]", "}"].iter().any(|sign| token.is(sign));
        if closes {
            depth = depth.checked_sub(1)?;
            if depth == 0 {
                return Some((arguments, at + 1));
            }
        }
        if depth == 1 && token.is(",") {
            arguments.push(Vec::new());
        } else if depth > 0 {
            arguments.last_mut()?.push(token.clone());
        }
        if opens {
            depth += 1;
        }
    }
    None
}

/// It uses `#` or `##`: its arguments must come as written.
fn takes_apart(definition: &Macro) -> bool {
    definition.body.iter().any(|token| token.is("#") || token.is("##"))
}

/// A macro's body with its arguments in place.
fn substitute(definition: &Macro, given: &[Vec<Token>]) -> Vec<Token> {
    let parameters = definition.parameters.as_deref().unwrap_or_default();
    let argument = |token: &Token| -> Option<Vec<Token>> {
        if token.kind != Kind::Word {
            return None;
        }
        if token.text == "__VA_ARGS__" && parameters.last().is_some_and(|last| last == "...") {
            return Some(joined(given.get(parameters.len() - 1..).unwrap_or_default()));
        }
        let at = parameters.iter().position(|parameter| *parameter == token.text)?;
        Some(given.get(at).cloned().unwrap_or_default())
    };
    let mut result: Vec<Token> = Vec::new();
    let mut paste = false;
    let mut body = definition.body.iter().peekable();
    while let Some(token) = body.next() {
        let mut tokens = vec![token.clone()];
        if token.is("##") {
            paste = true;
            continue;
        }
        let spelled = body.peek().filter(|_| token.is("#")).and_then(|next| argument(next));
        if let Some(spelled) = spelled {
            body.next();
            tokens = vec![Token { kind: Kind::Text, text: spell(&spelled), ..token.clone() }];
        } else if let Some(argument) = argument(token) {
            tokens = argument;
        }
        let mut tokens = tokens.into_iter();
        if std::mem::take(&mut paste) {
            // Nothing is pasted onto nothing.
            let last = result.last_mut();
            if let Some((last, first)) = last.and_then(|last| Some((last, tokens.next()?))) {
                last.text.push_str(&first.text);
            }
        }
        result.extend(tokens);
    }
    result
}

fn joined(arguments: &[Vec<Token>]) -> Vec<Token> {
    let comma = Token { kind: Kind::Sign, text: ",".to_owned(), line: 0, first: false, spaced: false };
    let mut tokens = Vec::new();
    for (at, argument) in arguments.iter().enumerate() {
        if at > 0 {
            tokens.push(comma.clone());
        }
        tokens.extend_from_slice(argument);
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "#define custom_param(n, v) struct x v = { n }\n#define boolean_param(n, v) x\n";

    fn found(files: &[(&str, &str)]) -> Found {
        let mut all = vec![(FORMS_HEADER, HEADER)];
        all.extend_from_slice(files);
        extract(&Tree::of(&all))
    }

    fn in_file(text: &str) -> Vec<Registration> {
        let found = found(&[("xen/common/a.c", text)]);
        assert!(found.unclear.is_empty(), "{:?}", found.unclear);
        found.registrations
    }

    fn one(text: &str) -> Registration {
        let mut all = in_file(text);
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }

    fn unclear(text: &str) -> String {
        found(&[("xen/common/a.c", text)]).unclear.iter().map(|one| one.message.clone()).collect()
    }

    #[test]
    fn every_form_is_known_by_its_name() {
        for kind in ["custom", "boolean", "integer", "size", "string"] {
            for (suffix, hypfs) in [("", Hypfs::No), ("_runtime", Hypfs::Also), ("_runtime_only", Hypfs::Only)] {
                let one = one(&format!("{kind}{suffix}_param(\"o\", v, f);"));
                assert_eq!((one.name.as_str(), one.kind, one.hypfs, one.line), ("o", kind, hypfs, 1));
            }
        }
        assert_eq!(one("ignore_param(\"o\");").kind, "ignore");
    }

    #[test]
    fn what_only_looks_like_a_registration_is_none() {
        for text in [
            "/* custom_param(\"o\", v); */",
            "// integer_param(\"o\", v);",
            "// size_param \\\n(\"o\", v);",
            "const char *s = \"boolean_param(\\\"o\\\", v)\";",
            "#define string_param(n, v) registers(n, v)",
            "#error don't use ignore_param(\"o\")",
            "assign_integer_param(param, 1);",
            "my_custom_param_x(\"o\", v);",
            "int integer_param;",
            "ignore_runtime_param(\"o\", v);",
            "no_config_param(\"A\", \"b\", s, e);",
        ] {
            assert_eq!(in_file(text).len(), 0, "{text}");
        }
    }

    #[test]
    fn the_header_that_defines_the_forms_registers_nothing() {
        let found =
            extract(&Tree::of(&[(FORMS_HEADER, "#define custom_param(n, v) x\ncustom_param(\"o\", v);\n")]));
        assert_eq!((found.registrations.len(), found.unclear.len()), (0, 0));
    }

    #[test]
    fn names_may_be_bracketed_concatenated_or_behind_a_macro() {
        for (text, name) in [
            ("custom_param(\"ivrs[\", f);", "ivrs["),
            ("custom_param(\"a\" \"-\"\n \"b\", f);", "a-b"),
            ("custom_param((\"a\"), f);", "a"),
            ("#define NAME \"a\"\ncustom_param(NAME \"-x\", f);", "a-x"),
            ("#define STR(x) #x\n#define NAME STR(abc)\ncustom_param(NAME, f);", "abc"),
            ("custom_param /* c */ ( // d\n \"a,b\", f);", "a,b"),
            ("custom_\\\nparam(\"a\", f);", "a"),
        ] {
            assert_eq!(one(text).name, name, "{text}");
        }
    }

    #[test]
    fn names_that_cannot_be_read_are_said_and_not_guessed() {
        assert!(unclear("custom_param(NAME, f);").contains("NAME is no string"));
        assert!(
            unclear("#ifdef A\n#define N \"a\"\n#else\n#define N \"b\"\n#endif\ncustom_param(N, f);")
                .contains("several")
        );
        assert!(unclear("#define N N2\n#define N2 N\ncustom_param(N, f);").contains("without end"));
        assert!(unclear("custom_param(\"\", f);").contains("empty"));
        assert!(unclear("__kparam p = { };").contains("way of its own"));
        assert_eq!(unclear("/* __kparam */ char *s = \"__kparam\";"), "");
    }

    #[test]
    fn wrappers_are_expanded_wherever_they_stand() {
        let text = "#define OPT(n) static bool opt_##n; boolean_param(\"x-\" #n, opt_##n)\nOPT(one);\nOPT(two);";
        let all = in_file(text);
        let names: Vec<_> = all.iter().map(|one| (one.name.as_str(), one.line, one.storage.clone())).collect();
        assert_eq!(names, [("x-one", 2, Storage::Bits(8)), ("x-two", 3, Storage::Bits(8))]);
        let found = found(&[
            (
                "xen/include/xen/w.h",
                "#define INNER_OPT(n, f) custom_param(n, f)\n#define OUTER(n) INNER_OPT(#n, parse_##n)\n",
            ),
            ("xen/drivers/d.c", "OUTER(abc);\n/* OUTER(no); */ char *s = \"OUTER(no)\";"),
        ]);
        assert!(found.unclear.is_empty());
        let names: Vec<_> = found.registrations.iter().map(|one| (one.name.as_str(), one.file.as_str())).collect();
        assert_eq!(names, [("abc", "xen/drivers/d.c")]);
    }

    #[test]
    fn double_registrations_are_all_found_with_what_they_stand_under() {
        let all = in_file("#ifdef CONFIG_Q\nignore_param(\"a\");\n#else\nboolean_param(\"a\", v);\n#endif");
        let seen: Vec<_> = all.iter().map(|one| (one.kind, one.conditions.join(" "), one.holds)).collect();
        assert_eq!(seen, [("ignore", "CONFIG_Q".to_owned(), None), ("boolean", "not CONFIG_Q".to_owned(), None)]);
        let text = "#ifdef CONFIG_ARM_64\ncustom_param(\"a\", f);\n#endif\n#if 0\ncustom_param(\"b\", f);\n#endif";
        assert!(in_file(text).iter().all(|one| one.holds == Some(false)));
        let two = found(&[
            ("xen/arch/x86/a.c", "custom_param(\"a\", f);"),
            ("xen/arch/arm/a.c", "custom_param(\"a\", f);"),
        ]);
        let areas: Vec<_> = two.registrations.iter().map(|one| (one.area.clone(), one.holds)).collect();
        assert_eq!(areas, [(Area::Other("arm".to_owned()), Some(false)), (Area::X86, Some(true))]);
    }

    #[test]
    fn the_size_of_a_string_is_read_where_it_is_plain() {
        for (text, expected) in [
            ("static char __initdata v[30] = \"\"; string_param(\"o\", v);", Some(30)),
            ("#define N 32\nstatic char v[N]; string_runtime_param(\"o\", v);", Some(32)),
            ("#define N (4 << 2)\nstatic char v[N + 1]; string_param(\"o\", v);", Some(17)),
            ("static char v[] = \"abc\"; string_param(\"o\", v);", Some(4)),
            ("/* char v[9]; */ static char v[sizeof(x)]; string_param(\"o\", v);", None),
            ("static char *v; string_param(\"o\", v);", None),
            ("static int v[3]; string_param(\"o\", v);", None),
            ("string_param(\"o\", v);", None),
            ("#ifdef A\nchar v[3];\n#else\nchar v[4];\n#endif\nstring_param(\"o\", v);", None),
            ("#ifdef CONFIG_ARM\nchar v[3];\n#else\nchar v[4];\n#endif\nstring_param(\"o\", v);", Some(4)),
        ] {
            let storage = one(text).storage;
            let seen = if let Storage::Bytes(size) = storage { Some(size) } else { None };
            assert_eq!(seen, expected, "{text}: {storage:?}");
        }
    }

    #[test]
    fn the_width_of_a_number_is_read_where_it_is_plain() {
        for (text, expected) in [
            ("static unsigned int v; integer_param(\"o\", v);", Some(32)),
            ("paddr_t __read_mostly v = ~0; size_param(\"o\", v);", Some(64)),
            ("static uint8_t a, v; integer_param(\"o\", v);", Some(8)),
            ("void f(void) { short v; } static long v; integer_param(\"o\", v);", Some(64)),
            ("void f(void) { static char v; integer_param(\"o\", v); } long v;", Some(8)),
            ("struct s v; integer_param(\"o\", v);", None),
            ("integer_param(\"o\", s.v);", None),
            ("typedef int odd; odd v; integer_param(\"o\", v);", None),
        ] {
            let storage = one(text).storage;
            let seen = if let Storage::Bits(bits) = storage { Some(bits) } else { None };
            assert_eq!(seen, expected, "{text}: {storage:?}");
        }
        let found = found(&[
            ("xen/common/a.c", "integer_param(\"o\", elsewhere);"),
            ("xen/include/xen/e.h", "extern uint16_t elsewhere;"),
            ("xen/arch/arm/e.c", "long elsewhere;"),
        ]);
        assert_eq!(found.registrations.first().map(|one| one.storage.clone()), Some(Storage::Bits(16)));
    }

    #[test]
    fn a_long_of_another_architecture_has_no_width_here() {
        let text = "unsigned long a; integer_param(\"a\", a); uint64_t b; integer_param(\"b\", b);";
        let all = found(&[("xen/arch/arm/a.c", text)]).registrations;
        let seen: Vec<_> = all.iter().map(|one| matches!(one.storage, Storage::Bits(64))).collect();
        assert_eq!(seen, [false, true]);
    }

    #[test]
    fn a_form_that_is_new_stops_the_judgement() {
        let tree = Tree::of(&[(
            FORMS_HEADER,
            "#define custom_param(n) x\n#define float_param(n, v) x\n#define a_param 1\n",
        )]);
        let found = extract(&tree);
        assert_eq!(found.unclear.len(), 1);
        assert!(found.unclear.iter().all(|one| one.message.contains("float_param")));
        assert_eq!(extract(&Tree::of(&[])).unclear.len(), 1);
    }
}
