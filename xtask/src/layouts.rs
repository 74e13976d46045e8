//! Compares the layouts that `policy/hypercalls/` gives with what a C compiler makes of Xen's public headers.
//!
//! The program is made from the policy when it is needed, and compiled against the headers of a source tree: every
//! structure, field and pointer that the policy names is measured. One line of it stands for one thing, so that the
//! compiler's own errors name it too.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use lockdown_policy::hypercall::{Arg, Buffer, Count, Field, Operation, Pointer, Role};
use lockdown_policy::{Policy, XEN_VERSIONS};

use crate::drift::hypercalls::HEADERS;
use crate::xen_parser;

/// What to compare.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The folder of Xen's source
    #[arg(long, value_name = "DIR")]
    xen_tree: PathBuf,
    /// The version that policy/ knows the tree as
    #[arg(long, value_name = "VERSION")]
    xen: String,
}

/// Exit 0: all agree; 1: something does not; 2: could not judge.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> Result<ExitCode> {
    if !XEN_VERSIONS.contains(&arguments.xen.as_str()) {
        bail!("policy/ does not know Xen {}, only {}", arguments.xen, XEN_VERSIONS.join(", "));
    }
    let policy = match Policy::load(&root.join("policy")) {
        Ok(policy) => policy,
        Err(problems) => bail!("policy/ cannot be read\n{problems}"),
    };
    let folder = xen_parser::temporary_folder(root)?;
    let compared = compare(&policy, &arguments.xen, &arguments.xen_tree, folder.path())?;
    for difference in &compared.differences {
        println!("{difference}");
    }
    if compared.differences.is_empty() {
        println!("Xen {}: {} things are where policy/ says", arguments.xen, compared.measured);
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::FAILURE)
}

#[derive(Debug)]
struct Compared {
    differences: Vec<String>,
    measured: usize,
}

/// One thing to measure.
#[derive(Debug)]
struct Check<'a> {
    operation: &'a Operation,
    /// What is measured, for people.
    what: String,
    /// For the compiler.
    expression: String,
    expected: u64,
}

fn compare(policy: &Policy, version: &str, xen_tree: &Path, folder: &Path) -> Result<Compared> {
    let mut checks = Checks { list: Vec::new(), operation: None };
    for operation in policy.hypercalls.iter().flat_map(|hypercall| &hypercall.operations) {
        // What x86 does not have is not in its headers.
        let is_here = operation.arch.iter().any(|arch| arch == "x86");
        let has = |releases: &[String]| is_here && releases.iter().any(|xen| xen == version);
        if has(&operation.layout) {
            checks.operation(operation);
        } else if has(&operation.xen) {
            // The rest is laid out in another way there, but the gate reads these wherever the operation is.
            checks.decisive(operation);
        }
    }
    let checks = checks.list;
    if checks.is_empty() {
        bail!("policy/ has no layout for Xen {version}");
    }
    let headers: BTreeSet<_> =
        policy.hypercalls.iter().filter_map(|hypercall| hypercall.header.as_deref()).collect();
    // The folder above: one of the headers has the name of one of the C library's.
    let include = xen_tree.join(HEADERS).join("..");
    if !include.join("public/xen.h").is_file() {
        bail!("{} has no public headers of Xen", xen_tree.display());
    }
    let mut differences = BTreeMap::new();
    let measured = loop {
        let skipped: BTreeSet<usize> = differences.keys().copied().collect();
        let source = folder.join("layouts.c");
        fs::write(&source, program(&headers, &checks, &skipped))
            .with_context(|| format!("{} cannot be written", source.display()))?;
        match measure(&source, &include)? {
            Ok(measured) => break measured,
            Err(errors) => {
                let mut named = false;
                for (index, message) in messages(&errors) {
                    named |= !differences.contains_key(&index);
                    let message = format!("the compiler says: {message}");
                    differences.entry(index).or_insert(message);
                }
                if !named {
                    bail!("the program cannot be compiled:\n{errors}");
                }
            }
        }
    };
    for (index, is) in &measured {
        if let Some(check) = checks.get(*index).filter(|check| check.expected != *is) {
            differences.insert(*index, format!("is {is}, policy/ says {}", check.expected));
        }
    }
    if measured.len() + differences.len() < checks.len() {
        bail!("the program measured {} of {} things", measured.len(), checks.len());
    }
    let differences = differences.iter().filter_map(|(index, message)| {
        let check = checks.get(*index)?;
        let place = &check.operation.place;
        Some(format!(
            "{}:{}: {}: {}: {message}",
            place.file.display(),
            place.line,
            check.operation.name,
            check.what
        ))
    });
    Ok(Compared { differences: differences.collect(), measured: measured.len() })
}

fn program(headers: &BTreeSet<&str>, checks: &[Check<'_>], skipped: &BTreeSet<usize>) -> String {
    // The toolstack's view, which has everything.
    let mut text =
        String::from("#define __XEN_TOOLS__ 1\n#include <stddef.h>\n#include <stdint.h>\n#include <stdio.h>\n");
    text.push_str("#include \"public/xen.h\"\n");
    for header in headers {
        let _ = writeln!(text, "#include \"public/{header}\"");
    }
    text.push_str("int main(void)\n{\n");
    for (index, check) in checks.iter().enumerate().filter(|(index, _)| !skipped.contains(index)) {
        let _ = writeln!(text, "#line {} \"check\"", index + 1);
        let _ = writeln!(text, "printf(\"%u %zu\\n\", {index}u, (size_t)({}));", check.expression);
    }
    text.push_str("return 0;\n}\n");
    text
}

/// What the program measured, by number of the check; or the compiler's errors.
fn measure(source: &Path, include: &Path) -> Result<std::result::Result<BTreeMap<usize, u64>, String>> {
    let program = source.with_extension("");
    let compiled = Command::new("cc")
        .args(["-m64", "-w", "-fmax-errors=0", "-iquote"])
        .arg(include)
        .arg("-o")
        .arg(&program)
        .arg(source)
        .env("LC_ALL", "C")
        .output()
        .context("cc cannot be started")?;
    if !compiled.status.success() {
        return Ok(Err(String::from_utf8_lossy(&compiled.stderr).into_owned()));
    }
    let ran = Command::new(&program).output().with_context(|| format!("{} cannot be run", program.display()))?;
    if !ran.status.success() {
        bail!("the program ended with {}", ran.status);
    }
    let text = String::from_utf8(ran.stdout)?;
    let pairs = text.lines().map(|line| {
        let (index, is) = line.split_once(' ').context("the program prints something else")?;
        Ok((index.parse()?, is.parse()?))
    });
    Ok(Ok(pairs.collect::<Result<_>>()?))
}

/// `check:12:34: error: ...` as the number of the check and the message.
fn messages(errors: &str) -> impl Iterator<Item = (usize, &str)> {
    errors.lines().filter_map(|line| {
        let rest = line.strip_prefix("check:")?;
        let (number, rest) = rest.split_once(':')?;
        let message = rest.split_once("error: ")?.1;
        Some((number.parse::<usize>().ok()?.checked_sub(1)?, message))
    })
}

struct Checks<'a> {
    list: Vec<Check<'a>>,
    operation: Option<&'a Operation>,
}

impl<'a> Checks<'a> {
    fn operation(&mut self, operation: &'a Operation) {
        self.operation = Some(operation);
        for register in &operation.registers {
            match &register.role {
                Role::Buffer(buffer) => self.buffer(buffer),
                Role::Buffers(_, buffers) => buffers.iter().for_each(|(_, buffer)| self.buffer(buffer)),
                _ => {}
            }
        }
        let Some((structure, size)) = &operation.structure else { return };
        self.add(format!("size of {structure}"), format!("sizeof({structure})"), u64::from(*size));
        if let Some(payload) = &operation.payload {
            self.place(structure, &payload.path, payload.offset, Some(payload.size));
        }
        self.decisive(operation);
        for hidden in &operation.hidden {
            self.field(structure, &hidden.field);
        }
        for pointer in &operation.handles {
            self.pointer(structure, pointer, true);
        }
        if let Some(pointer) = &operation.tail {
            self.pointer(structure, pointer, false);
        }
    }

    /// What a decision reads.
    fn decisive(&mut self, operation: &'a Operation) {
        self.operation = Some(operation);
        let Some((structure, _)) = &operation.structure else { return };
        let mut fields: Vec<&Field> = operation.selector_at.iter().collect();
        fields.extend(operation.version.iter().map(|version| &version.field));
        if let Some(Arg::Field(field) | Arg::InElement(field) | Arg::InBuffer(_, field)) = &operation.target {
            fields.push(field);
        }
        for other in &operation.others {
            fields.push(&other.field);
            fields.extend(other.when.iter().map(|condition| &condition.field));
        }
        for value in &operation.values {
            fields.push(&value.field);
            fields.extend(value.when.iter().map(|condition| &condition.field));
        }
        for field in fields {
            self.field(structure, field);
        }
    }

    fn add(&mut self, what: String, expression: String, expected: u64) {
        let Some(operation) = self.operation else { return };
        self.list.push(Check { operation, what, expression, expected });
    }

    fn place(&mut self, structure: &str, path: &str, offset: u32, size: Option<u32>) {
        let member = format!("offsetof({structure}, {path})");
        self.add(format!("offset of {path}"), member, u64::from(offset));
        if let Some(size) = size {
            let member = format!("sizeof((({structure} *)0)->{path})");
            self.add(format!("size of {path}"), member, u64::from(size));
        }
    }

    fn field(&mut self, structure: &str, field: &Field) {
        self.place(structure, &field.path, field.offset, Some(u32::from(field.width)));
    }

    fn pointer(&mut self, structure: &str, pointer: &Pointer, is_handle: bool) {
        self.place(structure, &pointer.path, pointer.offset, is_handle.then_some(8));
        for condition in &pointer.when {
            self.field(structure, &condition.field);
        }
        if let Count::Field { field, minus, .. } = &pointer.buffer.count {
            self.field(structure, field);
            if let Some(field) = minus {
                self.field(structure, field);
            }
        }
        self.buffer(&pointer.buffer);
    }

    fn buffer(&mut self, buffer: &Buffer) {
        if buffer.element != "void" {
            let what = format!("size of {}", buffer.element);
            self.add(what, format!("sizeof({})", buffer.element), u64::from(buffer.size));
        }
        for pointer in &buffer.handles {
            self.pointer(&buffer.element, pointer, true);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    const HYPERCALL: &str = r#"# An example.
[hypercall]
number = 3
name = "example"
constant = "__HYPERVISOR_example"
registers = [{ role = "structure" }]
structure = "struct example"
size = 24

[[operation]]
xen = ["4.20"]
arch = ["x86"]
class = "query"
door = "none"
self = "allowed"
audited = ["4.20"]
source = ["xen/example.c:do_example"]
used-by = []
mechanism = "Does something."
target = { path = "domain", offset = 4, width = 2 }
handles = [
  { path = "list", offset = 8, element = "struct pair", size = 8, count = { path = "number", offset = 16, width = 4 }, direction = "in" },
]
"#;
    const HEADER: &str = "struct pair { int a, b; };\n\
        struct example { int cmd; short domain; struct pair *list; unsigned int number; };\n";

    fn differences(hypercall: &str) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("policy/boundary.md", "## B1: One\n");
        write("policy/reasons.toml", "reason = []\n");
        write("policy/privcmd.toml", "");
        write("policy/options/.keep", "");
        write("policy/dom0-options/.keep", "");
        write("policy/hypercalls/a.toml", hypercall);
        write("tree/xen/include/public/xen.h", HEADER);
        write("work/.keep", "");
        let policy = Policy::load(&folder.path().join("policy")).unwrap();
        let (tree, work) = (folder.path().join("tree"), folder.path().join("work"));
        compare(&policy, "4.20", &tree, &work).unwrap().differences
    }

    #[test]
    fn a_right_layout_agrees() {
        assert_eq!(differences(HYPERCALL), Vec::<String>::new());
    }

    #[test]
    fn every_wrong_number_is_found() {
        for (right, wrong, says) in [
            ("size = 24", "size = 32", "size of struct example: is 24, policy/ says 32"),
            ("offset = 4, width = 2", "offset = 6, width = 2", "offset of domain: is 4, policy/ says 6"),
            ("offset = 4, width = 2", "offset = 4, width = 4", "size of domain: is 2, policy/ says 4"),
            ("path = \"list\", offset = 8", "path = \"list\", offset = 0", "offset of list: is 8, policy/ says 0"),
            (
                "element = \"struct pair\", size = 8",
                "element = \"struct pair\", size = 4",
                "size of struct pair: is 8",
            ),
            ("\"number\", offset = 16", "\"number\", offset = 20", "offset of number: is 16, policy/ says 20"),
            ("path = \"domain\"", "path = \"domian\"", "offset of domian: the compiler says:"),
        ] {
            let found = differences(&HYPERCALL.replace(right, wrong));
            assert!(found.iter().any(|line| line.contains(says)), "{wrong}: {found:?}");
            assert!(found[0].contains("hypercalls/a.toml:10: example: "), "{found:?}");
        }
    }
}
