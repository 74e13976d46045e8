//! Builds a unified image and signs it:
//! `unify XEN.EFI OUTPUT KEY CERTIFICATE [--drop-debug] [SECTION=FILE]...`, the key's pass phrase in `PASS_PHRASE`.
//! Measurements use it; it looks at no certificate's time, so that they can be repeated with an old one.

use std::error::Error;
use std::fs::File;
use std::path::Path;

use lockdown_image::Image;
use lockdown_image::build::Build;
use lockdown_image::sign::{Certificate, FileKey, Validity, sign};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [xen, output, key, certificate, rest @ ..] = arguments.as_slice() else {
        return Err("usage: unify XEN.EFI OUTPUT KEY CERTIFICATE [--drop-debug] [SECTION=FILE]...".into());
    };
    let pass_phrase = std::env::var("PASS_PHRASE").ok();
    let key = FileKey::read(&std::fs::read(key)?, pass_phrase.as_deref().map(str::as_bytes))?;
    let certificate = Certificate::read(&std::fs::read(certificate)?)?;
    let mut files = Vec::new();
    for argument in rest.iter().filter(|argument| *argument != "--drop-debug") {
        let (name, path) = argument.split_once('=').ok_or("a section is NAME=FILE")?;
        files.push((name, File::open(path)?));
    }

    let xen = Image::open(Path::new(xen))?;
    let mut build = Build::on(&xen)?.drop_debug(rest.iter().any(|argument| argument == "--drop-debug"));
    for (name, file) in &files {
        build = build.section(name, file)?;
    }
    let mut out = File::create(output)?;
    let signed = sign(&build.finish()?, &key, &certificate, Validity::Ignored, &mut out)?;
    println!("{} {output} ({} bytes)", signed.digest, signed.length);
    Ok(())
}
