//! An image for people.

use std::path::Path;

use lockdown_image::verify::{Certificate, Signature};
use lockdown_image::{Characteristics, HeaderFacts};
use lockdown_unify::Finding;
use lockdown_unify::inspect::{ConfigFacts, Inspected, SignatureFacts};
use lockdown_unify::ramdisk::Ramdisk;

use crate::findings;
use crate::image::inspect::{key_name, rights};
use crate::sbat::row_lines;

pub(super) fn print(path: &Path, inspected: &Inspected, said: &[(String, Finding)]) {
    let mut lines = vec![format!("{}: {} bytes", path.display(), inspected.length)];
    headers(&mut lines, &inspected.headers, inspected.checksum_is_good);
    sections(&mut lines, inspected);
    lines.push("signatures".to_owned());
    for signature in &inspected.signatures {
        signature_lines(&mut lines, signature);
    }
    if inspected.signatures.is_empty() {
        lines.push("  none".to_owned());
    }
    if let Some(config) = &inspected.config {
        configuration(&mut lines, config);
    }
    if let Some(kernel) = &inspected.kernel {
        let version = kernel.version.as_deref().unwrap_or("it does not tell its version without being unpacked");
        lines.push(format!("kernel\n  {}: {version}", kernel.format));
    }
    if let Some(ramdisk) = &inspected.ramdisk {
        ramdisk_lines(&mut lines, ramdisk);
    }
    if let Some((table, _)) = &inspected.sbat {
        lines.push("SBAT".to_owned());
        lines.extend(row_lines(&table.rows).into_iter().map(|row| format!("  {row}")));
    }
    for line in lines {
        anstream::println!("{}", plain(&line));
    }
    findings::print(said);
}

fn headers(lines: &mut Vec<String>, headers: &HeaderFacts, checksum_is_good: Option<bool>) {
    let (major, minor) = headers.image_version;
    let checksum = match checksum_is_good {
        _ if headers.checksum == 0 => "none",
        None => "not compared",
        Some(true) => "right",
        Some(false) => "wrong",
    };
    lines.push("headers".to_owned());
    let mut line = |name: &str, value: String| lines.push(format!("  {name:17} {value}"));
    line("image version", format!("{major}.{minor}"));
    line("machine", format!("{:#06x} (x86-64)", headers.machine));
    let subsystem = if headers.subsystem == 10 { " (EFI application)" } else { "" };
    line("subsystem", format!("{}{subsystem}", headers.subsystem));
    line(
        "linked at",
        match headers.timestamp {
            0 => "not told".to_owned(),
            seconds => format!("{seconds} (seconds since 1970)"),
        },
    );
    line("base", format!("{:#x}", headers.image_base));
    line("entry", format!("{:#x}", headers.entry_point));
    line("size in memory", format!("{:#x}, headers {:#x}", headers.image_size, headers.headers_size));
    line(
        "alignment",
        format!("{:#x} in memory, {:#x} in the file", headers.section_alignment, headers.file_alignment),
    );
    let nx = if headers.is_nx_compatible() { ", NX_COMPAT" } else { "" };
    line("characteristics", format!("{:#06x}{nx}", headers.dll_characteristics));
    line("checksum", format!("{:#010x}, {checksum}", headers.checksum));
}

fn sections(lines: &mut Vec<String>, inspected: &Inspected) {
    let width = inspected.sections.iter().map(|facts| facts.name.len()).max().unwrap_or(0).clamp(8, 24);
    lines.push("sections".to_owned());
    lines.push(format!(
        "  {:width$} {:>10} {:>10} {:>10} {:>10}  rights",
        "name", "address", "size", "file at", "size"
    ));
    for facts in &inspected.sections {
        let section = &facts.section;
        let in_file = section.file_range.end.saturating_sub(section.file_range.start);
        let mut line = format!(
            "  {:width$} {:#10x} {:>10} {:#10x} {in_file:>10}  {}",
            facts.name,
            section.virtual_address,
            section.virtual_size,
            section.file_range.start,
            rights(section)
        );
        if section.characteristics.has(Characteristics::DISCARDABLE) {
            line.push_str(" discardable");
        }
        if let Some(digest) = &facts.digest {
            line.push_str(&format!("  {digest}"));
        }
        lines.push(line);
    }
}

fn signature_lines(lines: &mut Vec<String>, facts: &SignatureFacts) {
    let SignatureFacts { offset, kind, signature } = facts;
    match signature {
        None => lines.push(format!("  at {offset:#x}: of kind {kind:#06x}")),
        Some(Err(error)) => lines.push(format!("  at {offset:#x}: not to be read: {error}")),
        Some(Ok(signature)) => {
            lines.push(format!(
                "  at {offset:#x}: of the image with {} {}",
                signature.digest.function(),
                signature.digest
            ));
            for certificate in &signature.certificates {
                certificate_lines(lines, certificate, signature);
            }
        }
    }
}

fn certificate_lines(lines: &mut Vec<String>, certificate: &Certificate, signature: &Signature) {
    let signs = signature.signers().any(|signer| signer == certificate);
    let (from, until) = certificate.validity();
    lines.push(format!("    {} {}", if signs { "signed by" } else { "with" }, certificate.subject()));
    lines.push(format!("      issued by   {}", certificate.issuer()));
    lines.push(format!("      serial      {}", certificate.serial()));
    lines.push(format!("      valid       {from} to {until}"));
    lines.push(format!("      key         {}", key_name(certificate.kind())));
    lines.push(format!("      SHA-256     {}", certificate.fingerprint()));
}

fn configuration(lines: &mut Vec<String>, config: &ConfigFacts) {
    lines.push("configuration".to_owned());
    lines.push(format!("  default  {}", config.default.as_deref().unwrap_or("none")));
    for section in &config.sections {
        lines.push(format!("  [{}]", section.name));
        let kernel = match (&section.kernel, &section.arguments) {
            (Some(kernel), Some(arguments)) => Some(format!("{kernel} {arguments}")),
            (kernel, _) => kernel.clone(),
        };
        let values = [
            ("options", &section.options),
            ("kernel", &kernel),
            ("ramdisk", &section.ramdisk),
            ("xsm", &section.xsm),
            ("ucode", &section.ucode),
        ];
        for (key, value) in values {
            lines.extend(value.as_ref().map(|value| format!("    {key:8} {value}")));
        }
    }
    lines.push(format!("  Xen gets   {}", config.xen_line));
    lines.push(format!("  dom0 gets  {}", config.dom0_line));
}

fn ramdisk_lines(lines: &mut Vec<String>, ramdisk: &Ramdisk) {
    lines.push("ramdisk".to_owned());
    for archive in &ramdisk.archives {
        let what = match (archive.packing, archive.entries) {
            ("none", Some(entries)) => format!("not packed, {entries} entries"),
            ("none", None) => "not packed, its end was not looked for".to_owned(),
            ("unknown", _) => "no archive".to_owned(),
            (packing, _) => format!("packed with {packing}, its end cannot be seen"),
        };
        lines.push(format!("  at {:#x}: {what}", archive.offset));
    }
    lines.push(match &ramdisk.guard {
        None => "  no guard".to_owned(),
        Some(guard) => {
            let kernel = match &guard.module {
                Ok(Some(kernel)) => format!(" for Linux {kernel}"),
                _ => String::new(),
            };
            format!("  the guard: a module of {} bytes{kernel}", guard.module_size)
        }
    });
}

/// What a terminal may safely show.
fn plain(line: &str) -> String {
    let escaped =
        |c: char| if c.is_control() && c != '\n' { c.escape_default().to_string() } else { c.to_string() };
    line.chars().map(escaped).collect()
}
