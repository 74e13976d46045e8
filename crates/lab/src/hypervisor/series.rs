//! The semantic patches, applied to a tree: what changes, step by step, as ordinary patches.
//!
//! A rule that changes nothing is an error: a hook that is silently missing is a hole. So each rule of a file is applied
//! by itself, and has to leave a trace.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::hypervisor::{Key, Say, Tree, files_below, folder};
use crate::root::{Root, SHARED};

/// Changes with how a series is made.
const RECIPE: &str = "1";

/// All changes to one tree.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Series {
    /// In the order in which they apply.
    pub steps: Vec<Step>,
    /// Each changed file, below the tree, as it is in the end.
    pub files: BTreeMap<String, String>,
}

/// One patch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Step {
    /// `boot-efi`.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// The patch, as `patch -p1` takes it.
    pub patch: String,
}

/// The files that lockdown adds to a tree, and where they go.
const ADDED: [(&str, &str); 2] = [("xen/glue", "xen/common/lockdown"), ("xen/include", "xen/include/xen")];

/// Lines that make Xen build them: file, a line's beginning, and what comes in front of the last such line.
const LINES: [(&str, &str, &str); 2] = [
    ("xen/common/Makefile", "obj-$(CONFIG_LIVEPATCH)", "obj-$(CONFIG_LOCKDOWN) += lockdown/\n"),
    ("xen/common/Kconfig", "endmenu", "source \"common/lockdown/Kconfig\"\n\n"),
];

/// What the tree has to be changed by; found below `lab` where it was made from the same input.
///
/// # Errors
/// Where a rule finds nothing to hook into, or the tree lacks a file.
pub fn series(root: &Root, lab: &Path, project: &Path, tree: &Tree, say: Say<'_>) -> Result<Series> {
    let folder = folder(lab)?;
    let mut key = Key::default();
    key.add("", RECIPE.as_bytes());
    key.add("root", root.folder().file_name().unwrap_or_default().as_encoded_bytes());
    for part in [project.join("xen/glue"), project.join("xen/include"), project.join("xen/patches")] {
        key.add_folder(&part)?;
    }
    key.add_folder(&tree.folder().join("xen"))?;
    let place = folder.join(format!("series-{}.json", key.finish()));
    if let Ok(kept) = fs::read(&place) {
        return serde_json::from_slice(&kept).with_context(|| place.display().to_string());
    }
    let series = make(root, &folder, project, tree, say)?;
    // Under its name only when it is whole.
    let mut file = tempfile::NamedTempFile::new_in(&folder)?;
    serde_json::to_writer(&mut file, &series)?;
    file.persist(&place)?;
    Ok(series)
}

fn make(root: &Root, folder: &Path, project: &Path, tree: &Tree, say: Say<'_>) -> Result<Series> {
    let work = tempfile::Builder::new().prefix(".patch-").tempdir_in(folder)?;
    let spatch = Spatch { root, work: work.path(), tree };
    let mut series = Series::default();

    let mut added = BTreeMap::new();
    for (from, to) in ADDED {
        let from = project.join(from);
        for path in files_below(&from)? {
            let name = path.strip_prefix(&from)?.to_str().context("a file's name is not text")?;
            added.insert(format!("{to}/{name}"), fs::read_to_string(&path)?);
        }
    }
    spatch.step(
        &mut series,
        "lockdown",
        "Lockdown: the glue between Xen and the object, and its header.",
        added,
    )?;

    let mut lines = BTreeMap::new();
    for (path, before, line) in LINES {
        let text = tree.read(path)?;
        let at = text.match_indices(before).map(|(at, _)| at);
        let at = at.filter(|&at| at == 0 || text.as_bytes().get(at.wrapping_sub(1)) == Some(&b'\n')).last();
        let at = at.with_context(|| format!("{path} has no line that begins with {before}"))?;
        let (head, tail) = text.split_at(at);
        lines.insert(path.to_owned(), format!("{head}{line}{tail}"));
    }
    spatch.step(&mut series, "build", "Lockdown: built if CONFIG_LOCKDOWN is set.", lines)?;

    let patches = project.join("xen/patches");
    fs::copy(patches.join("macros.h"), work.path().join("macros.h")).context("xen/patches/macros.h")?;
    for path in files_below(&patches)? {
        if path.extension().is_none_or(|extension| extension != "cocci") {
            continue;
        }
        let name = path.file_stem().and_then(|name| name.to_str()).context("a file's name is not text")?;
        let semantic = Semantic::read(&fs::read_to_string(&path)?).with_context(|| path.display().to_string())?;
        if semantic.since.is_some_and(|since| !tree.is_since(since)) {
            say(&format!("{name}: not for Xen {}", tree.version()));
            continue;
        }
        say(&format!("{name}: {}", semantic.file));
        let mut text = match series.files.get(&semantic.file) {
            Some(text) => text.clone(),
            None => tree.read(&semantic.file)?,
        };
        for rule in &semantic.rules {
            if rule.since.is_some_and(|since| !tree.is_since(since)) {
                say(&format!("{name}: rule {} is not for Xen {}", rule.name, tree.version()));
                continue;
            }
            text = spatch
                .apply(rule, &text)
                .with_context(|| format!("xen/patches/{name}.cocci, rule {}, {}", rule.name, semantic.file))?;
        }
        let description = format!("Lockdown: {}", semantic.description);
        spatch.step(&mut series, name, &description, BTreeMap::from([(semantic.file, text)]))?;
    }
    Ok(series)
}

/// A semantic patch file.
#[derive(Debug, PartialEq, Eq)]
struct Semantic {
    /// Its first comment.
    description: String,
    /// The file of the tree that it is for.
    file: String,
    /// The first release that has what it hooks into.
    since: Option<(u32, u32)>,
    rules: Vec<Rule>,
}

/// One rule of it.
#[derive(Debug, PartialEq, Eq)]
struct Rule {
    name: String,
    text: String,
    since: Option<(u32, u32)>,
}

impl Semantic {
    fn read(text: &str) -> Result<Self> {
        let (mut description, mut file, mut since) = (String::new(), None, None);
        let mut rules: Vec<Rule> = Vec::new();
        let mut header = false;
        for line in text.lines() {
            let comment = line.strip_prefix("//").map(str::trim);
            let version =
                comment.and_then(|comment| comment.strip_prefix("since:")).map(parse_version).transpose()?;
            // "@name@" begins a rule, the next "@@" ends its declarations.
            let name = line.trim_end().strip_prefix('@').and_then(|line| line.strip_suffix('@'));
            match (name, rules.last_mut()) {
                (Some(""), Some(rule)) if header => {
                    header = false;
                    rule.text.push_str("@@\n");
                }
                (Some(name), _) => {
                    ensure!(
                        !name.contains(char::is_whitespace),
                        "rule {name:?}: each rule is applied by itself and cannot depend on another"
                    );
                    header = true;
                    let name = if name.is_empty() { format!("{}", rules.len() + 1) } else { name.to_owned() };
                    rules.push(Rule { name, text: "@@\n".to_owned(), since: None });
                }
                (None, Some(rule)) => {
                    rule.since = rule.since.or(version);
                    // What follows the patch itself may be a comment on the next rule.
                    if comment.is_none() {
                        rule.text.push_str(line);
                        rule.text.push('\n');
                    }
                }
                (None, None) => {
                    since = since.or(version);
                    match comment {
                        Some(comment) if comment.starts_with("SPDX") || version.is_some() => {}
                        Some(comment) => match comment.strip_prefix("file:") {
                            Some(path) => file = Some(path.trim().to_owned()),
                            None => {
                                description.push_str(if description.is_empty() { "" } else { "\n" });
                                description.push_str(comment);
                            }
                        },
                        None => {}
                    }
                }
            }
        }
        ensure!(!rules.is_empty(), "it has no rule");
        let file = file.context("it does not say which file it is for (// file: xen/...)")?;
        Ok(Self { description, file, since, rules })
    }
}

fn parse_version(text: &str) -> Result<(u32, u32)> {
    let (major, minor) = text.trim().split_once('.').context("// since: wants a release, as in 4.20")?;
    Ok((major.parse()?, minor.parse()?))
}

struct Spatch<'a> {
    root: &'a Root,
    work: &'a Path,
    tree: &'a Tree,
}

impl Spatch<'_> {
    /// `text` with one rule applied.
    fn apply(&self, rule: &Rule, text: &str) -> Result<String> {
        let write = |name: &str, text: &str| fs::write(self.work.join(name), text);
        write("rule.cocci", &rule.text)?;
        // Coccinelle takes two colons in assembler for C++ and skips the whole function. It works on a copy with spaces
        // between them, and what it changed there is changed in the original.
        write("before.c", &text.replace(":::", ": : :").replace("::", ": :"))?;
        write("text.c", text)?;
        let script = format!(
            "cd {SHARED} && rm -f after.c && \
             spatch --very-quiet --macro-file macros.h --sp-file rule.cocci before.c -o after.c >said 2>&1 && \
             if test -f after.c && ! cmp -s before.c after.c; then \
               diff --unified=0 before.c after.c >change; patch --quiet --fuzz=0 text.c change >>said 2>&1; \
             else echo unchanged >>said; false; fi"
        );
        let ran = self.root.run("sh", &["-c", &script], Some(self.work));
        if let Err(error) = ran {
            let said = fs::read_to_string(self.work.join("said")).unwrap_or_default();
            // Coccinelle warns of names that it does not know; they are the tree's.
            let lines = said.lines().filter(|line| !line.is_empty() && !line.starts_with("warning:"));
            let lines: Vec<&str> = lines.collect();
            if lines == ["unchanged"] {
                bail!(
                    "it changes nothing in Xen {}: the place that it hooks into is not there, and without the \
                     hook the lock would have a hole",
                    self.tree.version()
                );
            }
            return Err(error.context(lines.join("\n")));
        }
        Ok(fs::read_to_string(self.work.join("text.c"))?)
    }

    /// Adds a step that gives files new contents.
    fn step(
        &self,
        series: &mut Series,
        name: &str,
        description: &str,
        files: BTreeMap<String, String>,
    ) -> Result<()> {
        let mut patch = String::new();
        for (path, text) in files {
            let file = self.tree.folder().join(&path);
            let old = match series.files.get(&path) {
                Some(text) => Some(text.clone()),
                None if file.exists() => Some(self.tree.read(&path)?),
                None => None,
            };
            patch.push_str(&self.diff(&path, old.as_deref(), &text)?);
            series.files.insert(path, text);
        }
        let number = series.steps.len() + 1;
        let mut text = String::new();
        let _ = writeln!(text, "Description: {}", description.replace('\n', "\n "));
        let _ = writeln!(text, "Forwarded: no\n---");
        text.push_str(&patch);
        series.steps.push(Step {
            name: format!("{number:04}-{name}.patch"),
            description: description.to_owned(),
            patch: text,
        });
        Ok(())
    }

    fn diff(&self, path: &str, old: Option<&str>, new: &str) -> Result<String> {
        fs::write(self.work.join("old"), old.unwrap_or_default())?;
        fs::write(self.work.join("new"), new)?;
        let label = if old.is_some() { format!("a/{path}") } else { "/dev/null".to_owned() };
        let script = format!(
            "cd {SHARED} && diff --unified --show-c-function --label {label} --label b/{path} old new; test $? = 1"
        );
        let said = self.root.run("sh", &["-c", &script], Some(self.work)).context(path.to_owned())?;
        String::from_utf8(said).context("a patch is not text")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    const TEXT: &str = "// SPDX-License-Identifier: GPL-2.0-only\n// What it is\n// for.\n// file: xen/a.c\n\n\
        @one@\nexpression E;\n@@\n f(E);\n+g(E);\n\n// Only newer ones.\n@two@\n@@\n// since: 4.20\n-h();\n";

    #[test]
    fn each_rule_stands_by_itself() {
        let semantic = Semantic::read(TEXT).unwrap();
        assert_eq!((semantic.description.as_str(), semantic.file.as_str()), ("What it is\nfor.", "xen/a.c"));
        assert_eq!(semantic.since, None);
        let [one, two] = &semantic.rules[..] else { unreachable!() };
        assert_eq!((one.name.as_str(), one.since), ("one", None));
        assert_eq!(one.text, "@@\nexpression E;\n@@\n f(E);\n+g(E);\n\n");
        assert_eq!((two.name.as_str(), two.since), ("two", Some((4, 20))));
        assert_eq!(two.text, "@@\n@@\n-h();\n");
    }

    #[test]
    fn what_cannot_be_applied_is_told() {
        let said = |text: &str| format!("{:#}", Semantic::read(text).unwrap_err());
        assert!(said("@@\n@@\n-f();\n").contains("which file"));
        assert!(said("// file: a\n").contains("no rule"));
        assert!(said("// file: a\n@b depends on a@\n@@\n-f();\n").contains("cannot depend"));
        assert!(said("// file: a\n// since: new\n@@\n@@\n-f();\n").contains("release"));
    }
}
