//! Compiles the engine with `panic_free/roots.rs` and looks for what is left of the panic machinery after the
//! linker dropped everything that the roots do not reach.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::xen_parser;

/// The functions of `roots.rs`.
const ROOTS: &[&str] = &[
    "root_tokens",
    "root_filters",
    "root_xen_text",
    "root_linux_text",
    "root_dom0_line",
    "root_reasons",
    "root_hypercalls",
];
/// Linux compiles Rust with overflow checks unless it is told not to, so they have to be unreachable too.
const FLAGS: &[&str] = &[
    "--edition=2024",
    "--cap-lints=allow",
    "-Copt-level=3",
    "-Cpanic=abort",
    "-Ccodegen-units=1",
    "-Coverflow-checks=on",
];

/// Fails if a panic is reachable, and names the functions that refer to it.
pub(crate) fn run(root: &Path) -> Result<ExitCode> {
    let folder = xen_parser::temporary_folder(root)?;
    let folder = folder.path();
    let engine = folder.join("liblockdown_core.rlib");
    let archive = folder.join("libroots.a");
    let linked = folder.join("linked.o");

    let rustc = || {
        let mut rustc = Command::new("rustc");
        rustc.args(FLAGS);
        rustc
    };
    output(
        rustc()
            .args(["--crate-name=lockdown_core", "--crate-type=rlib", "-o"])
            .arg(&engine)
            .arg(root.join("crates/core/src/lib.rs")),
    )?;
    output(
        rustc()
            .args(["--crate-name=roots", "--crate-type=staticlib", "--extern"])
            .arg(format!("lockdown_core={}", engine.display()))
            .arg("-o")
            .arg(&archive)
            .arg(root.join("xtask/src/panic_free/roots.rs")),
    )?;
    let roots = ROOTS.iter().map(|name| format!("--undefined={name}"));
    output(Command::new("ld").args(["-r", "--gc-sections"]).args(roots).arg("-o").arg(&linked).arg(&archive))?;

    let code = output(Command::new("objdump").args(["--disassemble", "--reloc", "--demangle"]).arg(&linked))?;
    for name in ROOTS {
        if !code.contains(&format!("<{name}>:")) {
            bail!("the linked object lacks {name}");
        }
    }
    // The undefined symbol itself stays in the list when nothing refers to it any more; the handler does not.
    let symbols = output(Command::new("objdump").arg("--syms").arg(&linked))?;
    let callers = panicking(&code);
    if callers.is_empty() && !symbols.contains("rust_begin_unwind") {
        println!("no panic is reachable from {} roots", ROOTS.len());
        return Ok(ExitCode::SUCCESS);
    }
    println!("a panic is reachable; what refers to it:");
    for caller in callers {
        println!("  {caller}");
    }
    Ok(ExitCode::FAILURE)
}

/// The functions of a disassembly that refer to the panic machinery, but for the machinery itself.
fn panicking(code: &str) -> BTreeSet<String> {
    // Parts of names as they are mangled too: a reference may go by the section of a function.
    let parts =
        ["panicking", "panic_is_reachable", "rust_begin_unwind", "unwrap_failed", "expect_failed", "_fail"];
    let is_machinery = |name: &str| parts.iter().any(|part| name.contains(part));
    let mut function = "";
    let mut callers = BTreeSet::new();
    for line in code.lines() {
        if let Some((_, name)) = line.strip_suffix(">:").and_then(|line| line.split_once(" <")) {
            function = name;
        } else if let Some((_, target)) = line.split_once(": R_") {
            // "R_X86_64_PLT32  core::panicking::panic_fmt-0x4"
            let target = target.split_once(char::is_whitespace).map_or("", |(_, target)| target.trim());
            if is_machinery(target) && !is_machinery(function) {
                let (target, _) = target.rsplit_once("-0x").unwrap_or((target, ""));
                callers.insert(format!("{function} refers to {target}"));
            }
        }
    }
    callers
}

fn output(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("{program} cannot be started"))?;
    if !output.status.success() {
        bail!("{program} failed:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::panicking;

    #[test]
    fn names_what_refers_to_the_machinery_but_not_the_machinery() {
        let code = "0000000000000000 <core::panicking::panic>:\n\
            \t\t\t3: R_X86_64_PLT32\tcore::panicking::panic_fmt-0x4\n\
            0000000000000000 <engine::judge>:\n\
            \t\t\t7: R_X86_64_PLT32\tmemcmp-0x4\n\
            \t\t\t9: R_X86_64_PLT32\tcore::panicking::panic-0x4\n";
        let callers: Vec<_> = panicking(code).into_iter().collect();
        assert_eq!(callers, ["engine::judge refers to core::panicking::panic"]);
    }
}
