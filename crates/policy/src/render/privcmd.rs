//! What is made of the rules for requests to privcmd: a table, texts, a header and a document.

use std::fmt::Write as _;

use super::documents::{NOTICE, cell};
use super::rust::{HEADER, constant_name};
use crate::model::Policy;
use crate::privcmd::Ioctl;

/// `crates/core/src/tables/privcmd.rs`.
pub(super) fn table(policy: &Policy) -> String {
    let mut out = String::from(HEADER);
    out.push_str(
        "// Which of these a table needs depends on the rules.\n#[allow(unused_imports)]\n\
         use crate::Reason;\n#[allow(unused_imports)]\nuse crate::hypercall::HypercallNumber;\n#[allow(unused_imports)]\n\
         use crate::ioctl::{Ioctl, IoctlNumber};\n\n\
         /// What a process may ask of privcmd, and what refuses it.\npub static PRIVCMD: &[Ioctl<'static>] = &[\n",
    );
    let reason = |id: &Option<String>| {
        id.as_ref().map_or_else(|| "None".to_owned(), |id| format!("Some(Reason::{})", constant_name(id)))
    };
    for ioctl in &policy.privcmd {
        let hypercall = ioctl.hypercall.map(|number| format!("Some(HypercallNumber({number}))"));
        let _ = writeln!(
            out,
            "Ioctl {{ number: IoctlNumber({:#x}), name: c{:?}, hypercall: {}, strict: {}, own: {}, privileged: {}, io: {}, xen: {}, special: {} }},",
            ioctl.command,
            ioctl.name,
            hypercall.as_deref().unwrap_or("None"),
            reason(&ioctl.strict),
            reason(&ioctl.own),
            reason(&ioctl.privileged),
            reason(&ioctl.io),
            reason(&ioctl.xen),
            reason(&ioctl.special),
        );
    }
    out.push_str("];\n");
    out
}

/// `crates/policy/src/catalogue/privcmd.rs`.
pub(super) fn catalogue(policy: &Policy) -> String {
    let mut out = String::from(HEADER);
    out.push_str(
        "#[allow(unused_imports)]\nuse super::IoctlText;\n\n/// The requests to privcmd.\npub static PRIVCMD: &[IoctlText] = &[\n",
    );
    for ioctl in &policy.privcmd {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let _ = writeln!(
            out,
            "IoctlText {{ name: {:?}, command: {:#x}, hypercall: {:?}, strict: {:?}, own: {:?}, privileged: {:?}, io: {:?}, xen: {:?}, special: {:?}, mechanism: {:?} }},",
            ioctl.name,
            ioctl.command,
            ioctl.hypercall,
            text(&ioctl.strict),
            text(&ioctl.own),
            text(&ioctl.privileged),
            text(&ioctl.io),
            text(&ioctl.xen),
            text(&ioctl.special),
            ioctl.mechanism,
        );
    }
    out.push_str("];\n");
    out
}

/// `linux/ioctls.h`: the numbers that the rules speak of are those of the kernel at hand.
pub(super) fn header(policy: &Policy) -> String {
    let mut out = String::from(
        "/* SPDX-License-Identifier: GPL-2.0-only */\n\
         /* Generated from policy/ by `cargo xtask generate`. Do not edit. */\n\
         #ifndef XEN_PRIVCMD_IOCTLS_H\n#define XEN_PRIVCMD_IOCTLS_H\n\n\
         #include <linux/build_bug.h>\n#include <uapi/xen/privcmd.h>\n\n\
         /* The rules speak of these numbers. A kernel may not know all of the requests. */\n",
    );
    for ioctl in &policy.privcmd {
        let Ioctl { constant, command, .. } = ioctl;
        let _ = writeln!(out, "#ifdef {constant}\nstatic_assert({constant} == {command:#x});\n#endif");
    }
    out.push_str("\n#endif /* XEN_PRIVCMD_IOCTLS_H */\n");
    out
}

/// `docs/reference/privcmd.md`.
pub(super) fn document(policy: &Policy) -> String {
    let mut out = format!("{NOTICE}# Requests to privcmd under lockdown\n\n");
    out.push_str(
        "What a process of dom0 may ask of `/dev/xen/privcmd`, and which reason refuses it while dom0's kernel is locked down. \
         *Own*: it names dom0 itself, by its number or by `DOMID_SELF`; *privileged*: another privileged domain; *special*: a reserved \
         number; *strict*: the guard was loaded with `strict=1`. What is not here the driver does not know (`ENOTTY`).\n\n\
         | request | number | own | privileged | `DOMID_IO` | `DOMID_XEN` | special | strict |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    let reason = |id: &Option<String>| {
        id.as_ref().map_or_else(|| "-".to_owned(), |id| format!("[`{id}`](reasons.md#{id})"))
    };
    for ioctl in &policy.privcmd {
        let _ = writeln!(
            out,
            "| `{}` | `{:#x}` | {} | {} | {} | {} | {} | {} |",
            cell(&ioctl.name),
            ioctl.command,
            reason(&ioctl.own),
            reason(&ioctl.privileged),
            reason(&ioctl.io),
            reason(&ioctl.xen),
            reason(&ioctl.special),
            reason(&ioctl.strict)
        );
    }
    for ioctl in &policy.privcmd {
        let _ = write!(out, "\n## `{}`\n\n{}\n", ioctl.name, ioctl.mechanism);
    }
    out
}
