//! The object that Xen links: core and `xen/object`, compiled by the root's own rustc for a machine without an operating
//! system, together with Rust's library from its source.
//!
//! The library that comes compiled is for Linux programs: it uses vector registers and a red zone.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::hypervisor::{Key, Say, folder, gate};
use crate::root::{Root, SHARED};

/// Changes with how the object is made.
const RECIPE: &str = "1";

/// What is compiled, below the project's folder.
const SOURCES: [&str; 2] = ["crates/core/src", "xen/object/src"];

/// Why each is there:
/// - `pic` and small, hidden and direct: nothing goes through a GOT. The PE link does not resolve it and says nothing.
/// - no red zone: interrupts use the stack. Without jump tables, with external thunks for calls and returns, and with
///   endbr64: as Xen's own C is compiled.
/// - one codegen unit and no paths: the same bytes wherever it is built.
const FLAGS: &[&str] = &[
    "--target=x86_64-unknown-none",
    "--sysroot=/dev/null",
    "-Copt-level=2",
    "-Cpanic=abort",
    "-Crelocation-model=pic",
    "-Ccode-model=small",
    "-Cno-redzone=y",
    "-Ccodegen-units=1",
    "-Cembed-bitcode=no",
    "-Cdebuginfo=0",
    "-Cforce-unwind-tables=no",
    "-Coverflow-checks=off",
    "-Ctarget-feature=+retpoline-external-thunk,+retpoline-indirect-branches,+retpoline-indirect-calls",
    "-Zdefault-visibility=hidden",
    "-Zplt=yes",
    "-Zdirect-access-external-data=yes",
    "-Zfunction-return=thunk-extern",
    "-Zcf-protection=branch",
    "-Zfunction-sections=y",
    "-Zno-jump-tables",
];

/// rustc links every library with one of this name; what it would hold Xen has.
const BUILTINS: &str = "#![feature(compiler_builtins)]\n#![allow(internal_features)]\n#![compiler_builtins]\n\
                        #![no_builtins]\n#![no_std]\n";

/// All of a kind in one section, by names that Xen's own linker script places: tables that only relocation writes belong
/// to what Xen makes read-only.
const LAYOUT: &str = "SECTIONS {\n\
    .text 0 : { *(.text .text.*) }\n\
    .rodata 0 : { *(.rodata .rodata.*) }\n\
    .data.rel.ro 0 : { *(.data.rel.ro .data.rel.ro.*) }\n\
    .data 0 : { *(.data .data.*) }\n\
    .bss 0 : { *(.bss .bss.*) }\n\
    /DISCARD/ : { *(.eh_frame .eh_frame.* .comment .note.*) }\n}\n";

/// The finished object.
#[derive(Clone, Debug)]
pub struct Object {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What it was made from.
    pub key: String,
}

/// The object, built below `lab` or found there; it has passed the gate either way.
///
/// # Errors
/// Where it cannot be compiled, or what the gate refuses.
pub fn object(root: &Root, lab: &Path, project: &Path, say: Say<'_>) -> Result<Object> {
    let folder = folder(lab)?;
    let rust = Rust::find(root)?;
    let mut key = Key::default();
    for part in [RECIPE, BUILTINS, LAYOUT, &rust.name].iter().chain(FLAGS) {
        key.add("", part.as_bytes());
    }
    for source in SOURCES {
        key.add_folder(&project.join(source))?;
    }
    let key = key.finish();
    let header = fs::read_to_string(project.join("xen/include/lockdown.h")).context("xen/include/lockdown.h")?;
    let place = folder.join(format!("object-{key}.o"));
    if !place.is_file() {
        let work = tempfile::Builder::new().prefix(".object-").tempdir_in(&folder)?;
        rust.library(root, &folder, say)?;
        say("compiling the object");
        rust.compile(root, &folder, work.path(), project)?;
        fs::rename(work.path().join("object.o"), &place)?;
    }
    let bytes = fs::read(&place).with_context(|| place.display().to_string())?;
    let problems = gate::check(&bytes, &gate::functions(&header));
    if !problems.is_empty() {
        let list: Vec<String> = problems.iter().map(|problem| format!("\n  {problem}")).collect();
        bail!("the object must not go into Xen:{}", list.concat());
    }
    Ok(Object { bytes, key })
}

/// The root's Rust.
struct Rust {
    /// `rustc-1.85.1`.
    name: String,
    key: String,
}

impl Rust {
    fn find(root: &Root) -> Result<Self> {
        let mut names = Vec::new();
        for entry in fs::read_dir(root.file("/usr/src")?)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name.starts_with("rustc-") && root.file(&format!("/usr/src/{name}/library/core")).is_ok() {
                names.push(name);
            }
        }
        names.sort();
        let name = names.pop().context("the root has no rust-src")?;
        let mut key = Key::default();
        for part in [RECIPE, BUILTINS, &name].iter().chain(FLAGS) {
            key.add("", part.as_bytes());
        }
        Ok(Self { name, key: key.finish() })
    }

    fn library_name(&self) -> String {
        format!("library-{}", self.key)
    }

    /// Rust's own library, compiled once.
    fn library(&self, root: &Root, folder: &Path, say: Say<'_>) -> Result<()> {
        let place = folder.join(self.library_name());
        if place.is_dir() {
            return Ok(());
        }
        say("compiling Rust's library for Xen");
        let work = tempfile::Builder::new().prefix(".library-").tempdir_in(folder)?;
        fs::write(work.path().join("builtins.rs"), BUILTINS)?;
        let inside = inside(folder, work.path())?;
        let source = format!("/usr/src/{}", self.name);
        let core = format!("{source}/library/core/src/lib.rs");
        let remap = format!("--remap-path-prefix={source}=rust");
        let common = ["--crate-type=rlib", "--edition=2021", "--cap-lints=allow", &remap];
        self.rustc(root, folder, &inside, "core", &common, &core)?;
        let builtins = format!("{inside}/builtins.rs");
        self.rustc(root, folder, &inside, "compiler_builtins", &common, &builtins)?;
        let made = work.keep();
        fs::rename(&made, &place)?;
        Ok(())
    }

    fn compile(&self, root: &Root, folder: &Path, work: &Path, project: &Path) -> Result<()> {
        for source in SOURCES {
            copy_folder(&project.join(source), &work.join(source))?;
        }
        fs::write(work.join("layout"), LAYOUT)?;
        let inside = inside(folder, work)?;
        let library = format!("-L{SHARED}/{}", self.library_name());
        let remap = format!("--remap-path-prefix={inside}=lockdown");
        let engine = format!("lockdown_core={inside}/liblockdown_core.rlib");
        let common = ["--edition=2024", "--cap-lints=allow", &library, &remap];
        let source = |index: usize| SOURCES.get(index).map(|source| format!("{inside}/{source}/lib.rs"));
        let (Some(core), Some(object)) = (source(0), source(1)) else { bail!("nothing to compile") };
        let rlib = [&common[..], &["--crate-type=rlib"]].concat();
        self.rustc(root, folder, &inside, "lockdown_core", &rlib, &core)?;
        let staticlib = [&common[..], &["--crate-type=staticlib", "--extern", &engine]].concat();
        self.rustc(root, folder, &inside, "lockdown_xen", &staticlib, &object)?;

        let header = fs::read_to_string(project.join("xen/include/lockdown.h"))?;
        let archive = format!("{inside}/liblockdown_xen.a");
        let linked = format!("{inside}/linked.o");
        let layout = format!("{inside}/layout");
        let mut ld = vec!["-r".to_owned(), "--gc-sections".to_owned(), "-T".to_owned(), layout];
        ld.extend(gate::functions(&header).iter().map(|name| format!("--undefined={name}")));
        ld.extend(["-o".to_owned(), linked.clone(), archive]);
        let ld: Vec<&str> = ld.iter().map(String::as_str).collect();
        root.run("ld", &ld, Some(folder)).context("the object cannot be linked")?;
        let object = format!("{inside}/object.o");
        let arguments = ["--wildcard", "--keep-global-symbol=lockdown_rs_*", "--strip-unneeded", &linked, &object];
        root.run("objcopy", &arguments, Some(folder)).context("the object cannot be stripped")?;
        ensure!(work.join("object.o").is_file(), "objcopy wrote nothing");
        Ok(())
    }

    fn rustc(
        &self,
        root: &Root,
        folder: &Path,
        out: &str,
        name: &str,
        arguments: &[&str],
        source: &str,
    ) -> Result<()> {
        let mut command = root.command("rustc", Some(folder));
        // Building the library needs what only the compiler's own developers may use.
        command.env("RUSTC_BOOTSTRAP", "1");
        command.args(FLAGS).args(arguments).args(["--crate-name", name, "--out-dir", out]).arg(format!("-L{out}"));
        let output = command.arg(source).output().context("unshare cannot be started: install util-linux")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            // Its warnings about features of the processor that it does not know by name are no help.
            let from = said.find("error").unwrap_or(0);
            bail!("{name} cannot be compiled for Xen: {}", said.get(from..).unwrap_or_default().trim());
        }
        Ok(())
    }
}

/// Where a folder below the shared one appears inside the root.
fn inside(shared: &Path, folder: &Path) -> Result<String> {
    let below = folder.strip_prefix(shared)?.to_str().context("a temporary folder's name is not text")?;
    Ok(format!("{SHARED}/{below}"))
}

pub(super) fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    for path in super::files_below(from)? {
        let place: PathBuf = to.join(path.strip_prefix(from)?);
        if let Some(folder) = place.parent() {
            fs::create_dir_all(folder)?;
        }
        let copied = match fs::read_link(&path) {
            Ok(target) => std::os::unix::fs::symlink(target, &place),
            Err(_) => fs::copy(&path, &place).map(drop),
        };
        copied.with_context(|| format!("{} cannot be copied", path.display()))?;
    }
    Ok(())
}
