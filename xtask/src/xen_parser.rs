//! Takes Xen's option parser out of a source tree and compiles it into a test program.
//!
//! Nothing of Xen is kept: what is taken out lies in a temporary folder for as long as the program is needed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Where the parser is.
const KERNEL: &str = "xen/common/kernel.c";
/// Where the command line is split at ` -- `.
const SETUP: &str = "xen/arch/x86/setup.c";
/// The functions of [`KERNEL`], in an order that compiles.
const FUNCTIONS: &[&str] = &["assign_integer_param", "parse_bool", "parse_boolean", "parse_params"];
/// The files of Xen's library that are compiled as they are.
const LIBRARY: &[&str] = &[
    "ctype",
    "parse-size",
    "strchr",
    "strcmp",
    "strlcpy",
    "strlen",
    "strncmp",
    "strpbrk",
    "strstr",
    "strtol",
    "strtoll",
    "strtoul",
    "strtoull",
];
/// As Xen's own makefiles compile a release, as far as it bears on the parser.
const FLAGS: &[&str] = &[
    "-std=gnu99",
    "-O2",
    "-fno-builtin",
    "-fno-common",
    "-fno-strict-aliasing",
    "-fomit-frame-pointer",
    "-fno-stack-protector",
];

/// Our own C files, relative to the project's root.
pub(crate) const OUR_FOLDER: &str = "xtask/src/oracle";

/// A folder for what is made at test time, below Cargo's own.
pub(crate) fn temporary_folder(root: &Path) -> Result<tempfile::TempDir> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    fs::create_dir_all(&target).with_context(|| format!("{} cannot be made", target.display()))?;
    tempfile::Builder::new().prefix("xen-parser-").tempdir_in(&target).context("no temporary folder")
}

/// Writes `extracted.c` into a folder: Xen's functions, and the split as a function of its own.
pub(crate) fn extract(tree: &Path, folder: &Path) -> Result<()> {
    let read = |file: &str| {
        fs::read_to_string(tree.join(file))
            .with_context(|| format!("{} cannot be read", tree.join(file).display()))
    };
    let kernel = read(KERNEL)?;
    let mut text = String::new();
    for name in FUNCTIONS {
        let found = function(&kernel, name);
        text += found.with_context(|| format!("the function {name} was not found in {KERNEL}"))?;
        text += "\n\n";
    }
    let setup = read(SETUP)?;
    let block = split_block(&setup)
        .with_context(|| format!("the block that splits at \" -- \" was not found in {SETUP}"))?;
    text += &format!("void oracle_split(struct oracle_boot_info *bi)\n{{\n    char *kextra;\n\n    {block}\n}}\n");
    fs::write(folder.join("extracted.c"), text).context("extracted.c cannot be written")
}

/// Compiles our C files with Xen's library and headers.
pub(crate) fn compile(root: &Path, tree: &Path, folder: &Path, sources: &[PathBuf]) -> Result<PathBuf> {
    let ours = root.join(OUR_FOLDER);
    let program = folder.join("program");
    let mut gcc = Command::new("gcc");
    gcc.args(FLAGS).arg("-I").arg(folder).arg("-I").arg(&ours);
    // Ours stand in for some of Xen's headers, so they come first.
    gcc.arg("-I").arg(ours.join("shim")).arg("-I").arg(tree.join("xen/include"));
    for name in LIBRARY {
        let file = tree.join("xen/lib").join(name).with_extension("c");
        if !file.is_file() {
            bail!("{} is not there", file.display());
        }
        gcc.arg(file);
    }
    let output = gcc.args(sources).arg("-o").arg(&program).output().context("gcc cannot be started")?;
    if !output.status.success() {
        bail!("gcc does not take Xen's parser:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(program)
}

/// The definition of a function: from the line of its name to the end of its body.
fn function<'a>(source: &'a str, name: &str) -> Option<&'a str> {
    let call = format!("{name}(");
    source.match_indices(&call).find_map(|(at, _)| {
        let start = source.get(..at)?.rfind('\n').map_or(0, |line_end| line_end + 1);
        // A definition begins at the margin and has a type before the name; a call or a longer name does not.
        let before = source.get(start..at)?;
        if !before.starts_with(|first: char| first.is_ascii_alphabetic()) || !before.ends_with([' ', '*']) {
            return None;
        }
        let rest = source.get(start..)?;
        let open = rest.find(['{', ';'])?;
        if !rest.get(open..)?.starts_with('{') {
            return None;
        }
        rest.get(..open + block_len(rest.get(open..)?)?)
    })
}

/// The `if` statement with the only ` -- ` of the file in its condition.
fn split_block(source: &str) -> Option<&str> {
    let mut places = source.match_indices("\" -- \"");
    let (at, _) = places.next()?;
    if places.next().is_some() {
        return None;
    }
    let start = source.get(..at)?.rfind("if (")?;
    let rest = source.get(start..)?;
    let open = rest.find('{')?;
    rest.get(..open + block_len(rest.get(open..)?)?)
}

/// How long the block is that the text begins with. Braces in comments, strings and character constants do not
/// count.
fn block_len(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let rest = bytes.get(at..)?;
        at += match byte {
            b'/' if rest.starts_with(b"/*") => rest.windows(2).skip(2).position(|end| end == b"*/")? + 4,
            b'/' if rest.starts_with(b"//") => rest.iter().position(|&end| end == b'\n')?,
            b'"' | b'\'' => quoted_len(rest)?,
            _ => 1,
        };
        match byte {
            b'{' => depth += 1,
            b'}' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

/// How long the string or character constant is that the text begins with.
fn quoted_len(text: &[u8]) -> Option<usize> {
    let quote = text.first()?;
    let mut at = 1;
    loop {
        match text.get(at)? {
            b'\\' => at += 2,
            byte if byte == quote => return Some(at + 1),
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{function, split_block};

    const SOURCE: &str = "int run(void);\n\
        static int overrun(int a)\n{\n    return run();\n}\n\
        static char *run(void) /* } */\n{\n    if ( '}' ) { x(\"}\\\"\"); } // }\n    return 0;\n}\nint after;\n";

    #[test]
    fn finds_the_definition_and_its_end() {
        let run = function(SOURCE, "run").unwrap_or_default();
        assert!(run.starts_with("static char *run(void)"), "{run}");
        assert!(run.ends_with("return 0;\n}"), "{run}");
        assert!(function(SOURCE, "walk").is_none());
    }

    #[test]
    fn finds_the_split_only_if_there_is_one() {
        let source = "f(); if ( s(c, \" -- \") ) { a; { b; } } c;";
        assert_eq!(split_block(source), Some("if ( s(c, \" -- \") ) { a; { b; } }"));
        assert_eq!(split_block(&format!("{source}{source}")), None);
        assert_eq!(split_block("if ( s(c) ) { a; }"), None);
    }
}
