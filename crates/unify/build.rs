//! Compiles `crates/guard-init/src/init.rs`, the guard's process 1, which this crate puts into images.
//!
//! It is a program for a machine without libraries, whatever this crate is built for, and so no dependency that cargo could build:
//! the compiler that cargo uses is called for it, with none of the flags of whoever builds.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What dom0 is. Nothing of the C library that the name speaks of is linked.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

/// As small as it gets, and the same bytes wherever it is built.
const FLAGS: &[&str] = &[
    "--edition=2024",
    "--crate-name=init",
    "--crate-type=bin",
    "-Dwarnings",
    "-Copt-level=z",
    "-Cpanic=abort",
    "-Clto=fat",
    "-Ccodegen-units=1",
    "-Cdebuginfo=0",
    "-Cstrip=symbols",
    "-Cforce-unwind-tables=no",
    "-Crelocation-model=static",
    "-Ctarget-feature=+crt-static",
    "-Clink-arg=-nostdlib",
    "-Clink-arg=-nostartfiles",
    "-Clink-arg=-static",
    "-Clink-arg=-Wl,--build-id=none,-z,noexecstack",
];

fn main() -> Result<(), String> {
    let variable = |name: &str| env::var_os(name).ok_or_else(|| format!("cargo sets no {name}"));
    let source = Path::new(&variable("CARGO_MANIFEST_DIR")?).join("../guard-init/src");
    let program = PathBuf::from(variable("OUT_DIR")?).join("init");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={}", source.display());
    let mut command = Command::new(variable("RUSTC")?);
    command.args(FLAGS).arg(format!("--target={PLATFORM}"));
    // Nothing of this machine's folders goes into it.
    command.arg(format!("--remap-path-prefix={}=guard-init", source.display()));
    if env::var("TARGET").as_deref() == Ok(PLATFORM) {
        if let Some(linker) = env::var_os("RUSTC_LINKER") {
            command.arg("-C").arg({
                let mut flag = std::ffi::OsString::from("linker=");
                flag.push(linker);
                flag
            });
        }
    }
    let output = command.arg(source.join("init.rs")).arg("-o").arg(&program).output();
    let output = output.map_err(|error| format!("the compiler cannot be started: {error}"))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(format!(
            "the guard's process 1 cannot be built; it takes Rust's library for {PLATFORM} and a C compiler to link with:\n{}",
            String::from_utf8_lossy(&output.stderr)
        ))
    }
}
