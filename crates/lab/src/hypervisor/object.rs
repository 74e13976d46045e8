//! The objects that Xen and dom0's kernel link: core and `xen/object` or `linux/object`, compiled by the root's own rustc
//! for a machine without an operating system, together with Rust's library from its source.
//!
//! The library that comes compiled is for Linux programs: it uses vector registers and a red zone.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::hypervisor::{Key, Say, folder, gate};
use crate::root::{Root, SHARED};

/// Changes with how the object is made.
const RECIPE: &str = "2";

/// The engine, below the project's folder.
const ENGINE: &str = "crates/core/src";

/// What both objects share where they meet C.
const FFI: &str = "crates/ffi/src";

/// Who links an object, and what it has to be for that.
#[derive(Debug)]
pub(crate) struct Home {
    /// `Xen`.
    pub(crate) name: &'static str,
    /// What its files are called.
    file: &'static str,
    /// The crate with its C functions, below the project's folder.
    source: &'static str,
    /// The header that declares them.
    header: &'static str,
    flags: &'static [&'static str],
    /// What is taken away at the end. objtool looks at Linux's code and wants every function named; what the unused
    /// parts of Rust's library wanted is not wanted any more.
    strip: &'static [&'static str],
    pub(crate) rules: gate::Rules,
}

/// Xen.
pub(crate) const XEN: Home = Home {
    name: "Xen",
    file: "xen",
    source: "xen/object/src",
    header: "xen/include/lockdown.h",
    flags: XEN_FLAGS,
    strip: &["--strip-unneeded"],
    rules: gate::XEN,
};

/// dom0's kernel, as a module.
pub(crate) const LINUX: Home = Home {
    name: "the kernel",
    file: "linux",
    source: "linux/object/src",
    header: "linux/guard.h",
    flags: LINUX_FLAGS,
    strip: &["--strip-debug", "--strip-unneeded-symbol=__*"],
    rules: gate::LINUX,
};

/// Why each is there:
/// - no red zone: interrupts use the stack. Without jump tables, with external thunks for calls and returns, and with
///   endbr64: as the C of Xen and of Linux is compiled.
/// - hidden and direct: nothing goes through a GOT. The PE link of Xen does not resolve it and says nothing; the
///   kernel's loader refuses the module, which nobody sees before.
/// - one codegen unit and no paths: the same bytes wherever it is built.
const FLAGS: &[&str] = &[
    "--target=x86_64-unknown-none",
    "--sysroot=/dev/null",
    "-Copt-level=2",
    "-Cpanic=abort",
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

/// Xen's image is moved when it starts.
const XEN_FLAGS: &[&str] = &["-Crelocation-model=pic", "-Ccode-model=small"];

/// Modules lie in the upper two gigabytes. The kernel fills the 16 bytes before a function with code that counts calls.
const LINUX_FLAGS: &[&str] =
    &["-Crelocation-model=static", "-Ccode-model=kernel", "-Zpatchable-function-entry=16,16"];

/// rustc links every library with one of this name; what it would hold Xen has.
const BUILTINS: &str = "#![feature(compiler_builtins)]\n#![allow(internal_features)]\n#![compiler_builtins]\n\
                        #![no_builtins]\n#![no_std]\n";

/// All of a kind in one section, by names that the linker scripts of both homes place: tables that only relocation writes
/// belong to what is made read-only. Where functions can be patched is left out: nobody traces these.
const LAYOUT: &str = "SECTIONS {\n\
    .text 0 : { *(.text .text.*) }\n\
    .rodata 0 : { *(.rodata .rodata.*) }\n\
    .data.rel.ro 0 : { *(.data.rel.ro .data.rel.ro.*) }\n\
    .data 0 : { *(.data .data.*) }\n\
    .bss 0 : { *(.bss .bss.*) }\n\
    /DISCARD/ : { *(.eh_frame .eh_frame.* .comment .note.* __patchable_function_entries) }\n}\n";

/// The finished object.
#[derive(Clone, Debug)]
pub struct Object {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What it was made from.
    pub key: String,
}

/// Xen's object, built below `lab` or found there; it has passed the gate either way.
///
/// # Errors
/// Where it cannot be compiled, or what the gate refuses.
pub fn object(root: &Root, lab: &Path, project: &Path, say: Say<'_>) -> Result<Object> {
    object_for(&XEN, root, lab, project, say)
}

/// The object for any home.
pub(crate) fn object_for(
    home: &'static Home,
    root: &Root,
    lab: &Path,
    project: &Path,
    say: Say<'_>,
) -> Result<Object> {
    let folder = folder(lab)?;
    let rust = Rust::find(root, home)?;
    let header = fs::read_to_string(project.join(home.header)).context(home.header)?;
    let functions = gate::functions(&header);
    let mut key = Key::default();
    for part in [RECIPE, BUILTINS, LAYOUT, &rust.name].iter().chain(FLAGS).chain(home.flags) {
        key.add("", part.as_bytes());
    }
    for source in [ENGINE, FFI, home.source] {
        key.add_folder(&project.join(source))?;
    }
    for option in home.strip {
        key.add("strip", option.as_bytes());
    }
    for function in &functions {
        key.add("function", function.as_bytes());
    }
    let key = key.finish();
    let place = folder.join(format!("object-{}-{key}.o", home.file));
    if !place.is_file() {
        let work = tempfile::Builder::new().prefix(".object-").tempdir_in(&folder)?;
        rust.library(root, &folder, say)?;
        say(&format!("compiling the object for {}", home.name));
        rust.compile(root, &folder, work.path(), project, &functions)?;
        fs::rename(work.path().join("object.o"), &place)?;
    }
    let bytes = fs::read(&place).with_context(|| place.display().to_string())?;
    let problems = gate::check(&home.rules, &bytes, &functions);
    if !problems.is_empty() {
        let list: Vec<String> = problems.iter().map(|problem| format!("\n  {problem}")).collect();
        bail!("the object must not go into {}:{}", home.name, list.concat());
    }
    Ok(Object { bytes, key })
}

/// The root's Rust.
struct Rust {
    /// `rustc-1.85.1`.
    name: String,
    key: String,
    home: &'static Home,
}

impl Rust {
    fn find(root: &Root, home: &'static Home) -> Result<Self> {
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
        for part in [RECIPE, BUILTINS, &name].iter().chain(FLAGS).chain(home.flags) {
            key.add("", part.as_bytes());
        }
        Ok(Self { name, key: key.finish(), home })
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
        say(&format!("compiling Rust's library for {}", self.home.name));
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

    fn compile(
        &self,
        root: &Root,
        folder: &Path,
        work: &Path,
        project: &Path,
        functions: &BTreeSet<String>,
    ) -> Result<()> {
        for source in [ENGINE, FFI, self.home.source] {
            copy_folder(&project.join(source), &work.join(source))?;
        }
        fs::write(work.join("layout"), LAYOUT)?;
        let inside = inside(folder, work)?;
        let library = format!("-L{SHARED}/{}", self.library_name());
        let remap = format!("--remap-path-prefix={inside}=lockdown");
        let engine = format!("lockdown_core={inside}/liblockdown_core.rlib");
        let common = ["--edition=2024", "--cap-lints=allow", &library, &remap];
        let [core, ffi, object] =
            [ENGINE, FFI, self.home.source].map(|source| format!("{inside}/{source}/lib.rs"));
        let rlib = [&common[..], &["--crate-type=rlib"]].concat();
        self.rustc(root, folder, &inside, "lockdown_core", &rlib, &core)?;
        let rlib = [&rlib[..], &["--extern", &engine]].concat();
        self.rustc(root, folder, &inside, "lockdown_ffi", &rlib, &ffi)?;
        let border = format!("lockdown_ffi={inside}/liblockdown_ffi.rlib");
        let staticlib =
            [&common[..], &["--crate-type=staticlib", "--extern", &engine, "--extern", &border]].concat();
        self.rustc(root, folder, &inside, "lockdown_object", &staticlib, &object)?;

        let archive = format!("{inside}/liblockdown_object.a");
        let linked = format!("{inside}/linked.o");
        let layout = format!("{inside}/layout");
        let mut ld = vec!["-r".to_owned(), "--gc-sections".to_owned(), "-T".to_owned(), layout];
        ld.extend(functions.iter().map(|name| format!("--undefined={name}")));
        ld.extend(["-o".to_owned(), linked.clone(), archive]);
        let ld: Vec<&str> = ld.iter().map(String::as_str).collect();
        root.run("ld", &ld, Some(folder)).context("the object cannot be linked")?;
        let object = format!("{inside}/object.o");
        let keep = &["--wildcard", "--keep-global-symbol=lockdown_rs_*"];
        let arguments = [keep, self.home.strip, &[linked.as_str(), object.as_str()]].concat();
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
        command
            .args(FLAGS)
            .args(self.home.flags)
            .args(arguments)
            .args(["--crate-name", name, "--out-dir", out])
            .arg(format!("-L{out}"));
        let output = command.arg(source).output().context("unshare cannot be started: install util-linux")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            // Its warnings about features of the processor that it does not know by name are no help.
            let from = said.find("error").unwrap_or(0);
            bail!(
                "{name} cannot be compiled for {}: {}",
                self.home.name,
                said.get(from..).unwrap_or_default().trim()
            );
        }
        Ok(())
    }
}

/// Where a folder below the shared one appears inside the root.
fn inside(shared: &Path, folder: &Path) -> Result<String> {
    let below = folder.strip_prefix(shared)?.to_str().context("a temporary folder's name is not text")?;
    Ok(format!("{SHARED}/{below}"))
}

pub(crate) fn copy_folder(from: &Path, to: &Path) -> Result<()> {
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
