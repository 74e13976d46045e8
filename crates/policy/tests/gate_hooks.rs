//! Every operation that the gate can refuse has a hook in Xen that asks about it.

#![allow(missing_docs, clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use lockdown_core::tables::GATE;

/// What a hook asks about: a hypercall, and one of its operations or, with none, all of them.
#[derive(Debug)]
struct Hook {
    hypercall: String,
    operation: Option<String>,
}

/// The calls of `lockdown_gate` in a text of the hooks.
fn hooks(text: &str) -> Vec<Hook> {
    let calls = text.split("lockdown_gate").skip(1).filter_map(|rest| {
        // A way of its own for every operation of a hypercall.
        if let Some((hypercall, _)) =
            rest.strip_prefix('_').and_then(|rest| rest.split_once('(')).filter(|(_, rest)| rest.starts_with("op"))
        {
            return Some(Hook { hypercall: hypercall.to_owned(), operation: None });
        }
        let rest = rest.trim_start_matches("_locked").strip_prefix("(__HYPERVISOR_")?;
        let (hypercall, rest) = rest.split_once(',')?;
        let (operation, _) = rest.split_once(',')?;
        let operation = operation.trim();
        // A name of Xen's headers is one operation; a field or a variable holds whichever it is.
        let one = operation.starts_with(|c: char| c.is_ascii_uppercase());
        Some(Hook { hypercall: hypercall.to_owned(), operation: one.then(|| operation.to_owned()) })
    });
    calls.collect()
}

#[test]
fn every_row_of_the_gate_has_a_hook() {
    let xen = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../xen");
    let mut all = Vec::new();
    for entry in fs::read_dir(xen.join("patches")).unwrap() {
        let file = entry.unwrap().path();
        if file.file_name().unwrap().to_string_lossy().starts_with("gate-") {
            all.extend(hooks(&fs::read_to_string(file).unwrap()));
        }
    }
    all.extend(hooks(&fs::read_to_string(xen.join("glue/gate.c")).unwrap()));
    assert!(all.len() > 10, "{all:?}");
    let rows = GATE.families.iter().flat_map(|family| family.operations);
    for row in rows {
        let name = row.name.to_str().unwrap();
        let (hypercall, operation) = name.split_once('.').unwrap_or((name, ""));
        // `altp2m.create_p2m`: what selects within an operation is handed over with it.
        let operation = operation.split('.').next().unwrap();
        let asked = all.iter().any(|hook| {
            hook.hypercall == hypercall
                && hook.operation.as_ref().is_none_or(|name| name.ends_with(&format!("_{operation}")))
        });
        assert!(asked, "{name}: the gate can refuse it, and no hook asks: {all:?}");
    }
}
