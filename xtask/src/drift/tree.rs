//! The files of a Xen tree, and what can be asked across them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result, bail};

use super::declaration::{self, Declaration, declarations};
use super::token::{Kind, tokens};
use super::unit::{Macro, Unit, known_on_x86};

/// The folder of the hypervisor in Xen's repository.
const HYPERVISOR: &str = "xen";

/// Programs that run while Xen is built, or against it: not part of it.
const NOT_XEN: [&str; 3] = ["xen/tools", "xen/test", "xen/scripts"];

/// More than any Xen has; a tree beyond it is something else.
const MAX_FILE: u64 = 8 << 20;

/// Who builds a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Area {
    /// `arch/x86`.
    X86,
    /// Whoever selects it.
    Common,
    /// Another architecture.
    Other(String),
}

pub(super) struct SourceFile {
    /// Relative to the tree, with `/`.
    pub(super) path: String,
    pub(super) area: Area,
    text: String,
    /// The text with continued lines joined, where a name may be broken over two of them.
    joined: Option<String>,
    unit: RefCell<Option<Rc<Unit>>>,
}

impl SourceFile {
    /// The text stands somewhere in the file: a quick look before the file is read as C.
    pub(super) fn holds(&self, text: &str) -> bool {
        self.joined.as_ref().unwrap_or(&self.text).contains(text)
    }
}

pub(super) struct Tree {
    pub(super) files: Vec<SourceFile>,
    makefiles: HashMap<String, String>,
    macros: RefCell<HashMap<String, Rc<Vec<Macro>>>>,
}

impl Tree {
    /// Reads every file of C below `folder`/xen.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let mut tree = Self { files: Vec::new(), makefiles: HashMap::new(), macros: RefCell::default() };
        if !folder.join(HYPERVISOR).join("Makefile").is_file() {
            bail!("{} is not a Xen tree: it has no {HYPERVISOR}/Makefile", folder.display());
        }
        tree.read_folder(&folder.join(HYPERVISOR), HYPERVISOR)?;
        tree.files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(tree)
    }

    /// A tree of a test's own.
    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let mut tree = Self { files: Vec::new(), makefiles: HashMap::new(), macros: RefCell::default() };
        for (path, text) in files {
            tree.add(path, (*text).to_owned());
        }
        tree
    }

    fn read_folder(&mut self, folder: &Path, name: &str) -> Result<()> {
        let unreadable = || format!("{} cannot be read", folder.display());
        for entry in fs::read_dir(folder).with_context(unreadable)? {
            let entry = entry.with_context(unreadable)?;
            let path = format!("{name}/{}", entry.file_name().to_string_lossy());
            // A link is not followed: old trees have one into themselves.
            let kind = entry.file_type()?;
            if kind.is_dir() && !NOT_XEN.contains(&path.as_str()) {
                self.read_folder(&entry.path(), &path)?;
            } else if kind.is_file()
                && (path.ends_with(".c") || path.ends_with(".h") || path.ends_with("/Makefile"))
            {
                self.add(&path, read(&entry.path())?);
            }
        }
        Ok(())
    }

    fn add(&mut self, path: &str, text: String) {
        if path.ends_with("/Makefile") {
            self.makefiles.insert(path.to_owned(), text.replace("\\\n", " "));
        } else {
            let area = area(path);
            let joined = breaks_a_name(&text).then(|| text.replace("\\\r\n", "").replace("\\\n", ""));
            self.files.push(SourceFile { path: path.to_owned(), area, text, joined, unit: RefCell::default() });
        }
    }

    /// `MAJOR.MINOR`, from the Makefile.
    pub(super) fn version(&self) -> Option<String> {
        let makefile = self.makefiles.get("xen/Makefile")?;
        let value = |name: &str| {
            makefile.lines().find_map(|line| {
                let (left, right) = line.split_once('=')?;
                let left = left.trim().trim_end_matches([':', '?']).trim();
                (left.strip_prefix("export ").unwrap_or(left).trim() == name).then(|| right.trim().to_owned())
            })
        };
        Some(format!("{}.{}", value("XEN_VERSION")?, value("XEN_SUBVERSION")?))
    }

    /// What the Makefiles on the way to a file say it depends on, and whether that holds on x86.
    pub(super) fn build_conditions(&self, path: &str) -> (Vec<String>, Option<bool>) {
        let mut texts = Vec::new();
        let mut holds = Some(true);
        let Some((mut folder, file)) = path.rsplit_once('/') else { return (texts, holds) };
        let stem = file.trim_end_matches(".c");
        let mut objects = vec![format!("{stem}.o"), format!("{stem}.init.o")];
        loop {
            let line = self.makefiles.get(&format!("{folder}/Makefile")).and_then(|text| {
                text.lines().find(|line| {
                    line.split_once('=').is_some_and(|(left, right)| {
                        left.starts_with("obj-")
                            && right.split_whitespace().any(|word| objects.iter().any(|o| o == word))
                    })
                })
            });
            let left = line.and_then(|line| line.split_once('=')).map_or("", |(left, _)| left);
            for symbol in left.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
                if symbol.starts_with("CONFIG_") {
                    let known = known_on_x86(symbol).filter(|_| !left.contains("filter"));
                    holds = super::unit::and(holds, known);
                    texts.push(symbol.to_owned());
                }
            }
            let Some((parent, name)) = folder.rsplit_once('/') else { return (texts, holds) };
            objects = vec![format!("{name}/")];
            folder = parent;
        }
    }

    /// The file's tokens and macros; read once.
    pub(super) fn unit(&self, file: &SourceFile) -> Rc<Unit> {
        let mut place = file.unit.borrow_mut();
        let x86 = !matches!(file.area, Area::Other(_));
        Rc::clone(place.get_or_insert_with(|| Rc::new(Unit::read(&tokens(file.text.as_bytes()), x86))))
    }

    /// What the headers that x86 sees define under a name.
    pub(super) fn macros(&self, name: &str) -> Rc<Vec<Macro>> {
        if let Some(known) = self.macros.borrow().get(name) {
            return Rc::clone(known);
        }
        let mut found: Vec<Macro> = Vec::new();
        for file in self.headers(name) {
            for definition in self.unit(file).macros.get(name).into_iter().flatten() {
                if !found.iter().any(|other| other.same(definition)) {
                    found.push(definition.clone());
                }
            }
        }
        let found = Rc::new(found);
        self.macros.borrow_mut().insert(name.to_owned(), Rc::clone(&found));
        found
    }

    /// Declarations of a variable that every file can see.
    pub(super) fn variables(&self, name: &str) -> Vec<Declaration> {
        let files = self.files.iter().filter(|file| !matches!(file.area, Area::Other(_)) && file.holds(name));
        let mut found = Vec::new();
        for file in files {
            let unit = self.unit(file);
            let all = declarations(&unit, &unit.items).into_iter();
            found
                .extend(all.filter(|one| one.name == name && one.scope == 0 && !one.is_static && !one.is_typedef));
        }
        found
    }

    /// Bits of a type on x86, through typedefs that the headers agree about.
    pub(super) fn bits(&self, words: &[String]) -> Option<u8> {
        self.bits_within(words, 4)
    }

    fn bits_within(&self, words: &[String], depth: u32) -> Option<u8> {
        let known = declaration::bits(words);
        let [name] = words else { return known };
        if known.is_some() || depth == 0 {
            return known;
        }
        let mut widths = Vec::new();
        for file in self.headers(name) {
            let unit = self.unit(file);
            for one in declarations(&unit, &unit.items) {
                if one.is_typedef && one.name == *name {
                    let plain = !one.pointer && one.dimensions.is_empty();
                    widths.push(if plain { self.bits_within(&one.words, depth - 1) } else { None });
                }
            }
        }
        let width = widths.first().copied().flatten();
        width.filter(|_| widths.iter().all(|other| *other == width))
    }

    fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a SourceFile> {
        self.files.iter().filter(move |file| {
            file.path.ends_with(".h") && !matches!(file.area, Area::Other(_)) && file.holds(name)
        })
    }

    /// The names of `xen/include/xen/param.h`'s macros that register something.
    pub(super) fn forms(&self) -> Option<Vec<String>> {
        let header = self.files.iter().find(|file| file.path == super::extract::FORMS_HEADER)?;
        let unit = self.unit(header);
        let defined = unit.macros.iter().filter(|(_, all)| all.iter().any(|one| one.parameters.is_some()));
        let registers = |name: &str| name.ends_with("_param") && !name.starts_with('_');
        let mut names: Vec<_> = defined.map(|(name, _)| name.clone()).filter(|name| registers(name)).collect();
        names.sort();
        Some(names)
    }
}

fn area(path: &str) -> Area {
    match path.strip_prefix("xen/arch/").and_then(|rest| rest.split('/').next()) {
        Some("x86") => Area::X86,
        Some(other) => Area::Other(other.to_owned()),
        // Before 4.17 the headers of an architecture stood here.
        None => match path.strip_prefix("xen/include/asm-").and_then(|rest| rest.split('/').next()) {
            None | Some("generic") => Area::Common,
            Some("x86") => Area::X86,
            Some(other) => Area::Other(other.to_owned()),
        },
    }
}

fn read(path: &PathBuf) -> Result<String> {
    let unreadable = || format!("{} cannot be read", path.display());
    if fs::metadata(path).with_context(unreadable)?.len() > MAX_FILE {
        bail!("{} is too large for a file of Xen's", path.display());
    }
    Ok(String::from_utf8_lossy(&fs::read(path).with_context(unreadable)?).into_owned())
}

fn breaks_a_name(text: &str) -> bool {
    text.match_indices("\\\n").any(|(at, _)| {
        let before = text.as_bytes().get(at.wrapping_sub(1));
        before.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
    })
}

/// A token stream holds that name.
pub(super) fn mentions(definition: &Macro, names: &[String]) -> bool {
    definition.body.iter().any(|token| token.kind == Kind::Word && names.contains(&token.text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_makefiles() {
        let tree = Tree::of(&[(
            "xen/Makefile",
            "# XEN_VERSION = 1\nexport XEN_VERSION       = 4\nexport XEN_SUBVERSION    = 20\n",
        )]);
        assert_eq!(tree.version().as_deref(), Some("4.20"));
        assert_eq!(Tree::of(&[("xen/Makefile", "all:\n")]).version(), None);
    }

    #[test]
    fn makefiles_say_what_a_file_depends_on() {
        let tree = Tree::of(&[
            (
                "xen/common/Makefile",
                "obj-y += a.o\nobj-$(CONFIG_LLC) += b.o \\\n c.o\nobj-$(CONFIG_ARM) += sub/\n",
            ),
            ("xen/common/sub/Makefile", "obj-y += d.init.o\n"),
        ]);
        assert_eq!(tree.build_conditions("xen/common/a.c"), (vec![], Some(true)));
        assert_eq!(tree.build_conditions("xen/common/c.c"), (vec!["CONFIG_LLC".to_owned()], None));
        assert_eq!(tree.build_conditions("xen/common/sub/d.c"), (vec!["CONFIG_ARM".to_owned()], Some(false)));
    }

    #[test]
    fn typedefs_count_where_the_headers_agree() {
        let tree = Tree::of(&[
            ("xen/include/public/x.h", "typedef uint16_t domid_t; typedef domid_t other_t;"),
            (
                "xen/include/xen/y.h",
                "#ifdef A\ntypedef int odd_t;\n#else\ntypedef long odd_t;\n#endif\ntypedef int *star_t;",
            ),
        ]);
        let bits = |word: &str| tree.bits(&[word.to_owned()]);
        assert_eq!((bits("other_t"), bits("odd_t"), bits("star_t"), bits("none_t")), (Some(16), None, None, None));
    }
}
