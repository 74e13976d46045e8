//! An image for programs, schema `xen-lockdown/inspect/1`.

use std::path::Path;

use anyhow::Result;
use lockdown_image::verify::{Certificate, Signature};
use lockdown_image::{Characteristics, HeaderFacts};
use lockdown_unify::Finding;
use lockdown_unify::inspect::{ConfigFacts, ConfigSection, Inspected, SectionFacts, SignatureFacts};
use lockdown_unify::ramdisk::Ramdisk;
use serde_json::{Value, json};

use crate::findings;
use crate::image::inspect::key_name;
use crate::sbat::row_json;

pub(super) fn print(path: &Path, inspected: &Inspected, said: &[(String, Finding)]) -> Result<()> {
    let not_covered: Vec<_> =
        inspected.not_covered.iter().map(|range| json!({ "start": range.start, "end": range.end })).collect();
    let sbat = inspected.sbat.as_ref().map(|(table, _)| table.rows.iter().map(row_json).collect::<Vec<_>>());
    let document = json!({
        "schema": "xen-lockdown/inspect/1",
        "file": path.display().to_string(),
        "size": inspected.length,
        "headers": headers(&inspected.headers, inspected.checksum_is_good),
        "sections": inspected.sections.iter().map(section).collect::<Vec<_>>(),
        "signatures": inspected.signatures.iter().map(signature).collect::<Vec<_>>(),
        "not_covered": not_covered,
        "config": inspected.config.as_ref().map(config),
        "kernel": inspected.kernel.as_ref().map(|kernel| json!({ "format": kernel.format, "version": kernel.version })),
        "ramdisk": inspected.ramdisk.as_ref().map(ramdisk),
        "sbat": sbat,
        "findings": findings::json(said),
    });
    anstream::println!("{}", serde_json::to_string_pretty(&document)?);
    Ok(())
}

fn headers(headers: &HeaderFacts, checksum_is_good: Option<bool>) -> Value {
    let (major, minor) = headers.image_version;
    json!({
        "image_version": format!("{major}.{minor}"),
        "machine": headers.machine,
        "subsystem": headers.subsystem,
        "timestamp": headers.timestamp,
        "image_base": headers.image_base,
        "entry_point": headers.entry_point,
        "image_size": headers.image_size,
        "headers_size": headers.headers_size,
        "section_alignment": headers.section_alignment,
        "file_alignment": headers.file_alignment,
        "dll_characteristics": headers.dll_characteristics,
        "nx_compatible": headers.is_nx_compatible(),
        "checksum": headers.checksum,
        "checksum_is_good": checksum_is_good,
    })
}

fn section(facts: &SectionFacts) -> Value {
    let section = &facts.section;
    let has = |flag| section.characteristics.has(flag);
    json!({
        "name": facts.name,
        "address": section.virtual_address,
        "size": section.virtual_size,
        "file_offset": section.file_range.start,
        "file_size": section.file_range.end.saturating_sub(section.file_range.start),
        "readable": has(Characteristics::READ),
        "writable": has(Characteristics::WRITE),
        "executable": has(Characteristics::EXECUTE),
        "discardable": has(Characteristics::DISCARDABLE),
        "characteristics": section.characteristics.0,
        "sha256": facts.digest.map(|digest| digest.to_string()),
    })
}

fn signature(facts: &SignatureFacts) -> Value {
    let read = facts.signature.as_ref();
    let good = read.and_then(|read| read.as_ref().ok());
    json!({
        "offset": facts.offset,
        "kind": facts.kind,
        "function": good.map(|signature| signature.digest.function().name()),
        "digest": good.map(|signature| signature.digest.to_string()),
        "certificates": good.map(|signature| {
            signature.certificates.iter().map(|it| certificate(it, signature)).collect::<Vec<_>>()
        }),
        "malformed": read.and_then(|read| read.as_ref().err()).map(ToString::to_string),
    })
}

fn certificate(certificate: &Certificate, signature: &Signature) -> Value {
    let (from, until) = certificate.validity();
    json!({
        "subject": certificate.subject(),
        "issuer": certificate.issuer(),
        "serial": certificate.serial(),
        "not_before": from,
        "not_after": until,
        "key": key_name(certificate.kind()),
        "sha256": certificate.fingerprint().to_string(),
        "signs": signature.signers().any(|signer| signer == certificate),
    })
}

fn config(config: &ConfigFacts) -> Value {
    let section = |section: &ConfigSection| {
        json!({
            "name": section.name,
            "options": section.options,
            "kernel": section.kernel,
            "arguments": section.arguments,
            "ramdisk": section.ramdisk,
            "xsm": section.xsm,
            "ucode": section.ucode,
        })
    };
    json!({
        "default": config.default,
        "sections": config.sections.iter().map(section).collect::<Vec<_>>(),
        "xen_line": config.xen_line,
        "dom0_line": config.dom0_line,
    })
}

fn ramdisk(ramdisk: &Ramdisk) -> Value {
    let archives: Vec<_> = ramdisk
        .archives
        .iter()
        .map(|it| json!({ "offset": it.offset, "packing": it.packing, "entries": it.entries }))
        .collect();
    let guard = ramdisk.guard.as_ref().map(|guard| {
        json!({
            "module_size": guard.module_size,
            "built_for": guard.module.as_ref().ok().and_then(Option::as_ref),
            "own_loader": guard.is_own_loader,
        })
    });
    json!({ "archives": archives, "guard": guard })
}
