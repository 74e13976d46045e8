//! The decision about hypercalls, held against another reading of the same policy: this file reads `policy/` itself,
//! line by line, and restates the rules as the documents state them.

#![allow(missing_docs, clippy::unwrap_used, clippy::cast_possible_truncation)]

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::fs;
use std::path::Path;

use lockdown_core::hypercall::{
    Answer, Call, Door, HypercallNumber, OperationNumber, Relation, Rules, Selector, decide,
};
use lockdown_core::{Level, tables};

const LEVELS: [Option<Level>; 3] = [None, Some(Level::Integrity), Some(Level::Confidentiality)];
const DOORS: [Door; 2] = [Door::Gate, Door::Guard];
const RELATIONS: [u8; 8] = [0, 1, 2, 3, 4, 5, 6, 255];

/// A row as it is written.
#[derive(Debug, Default)]
struct Row {
    hypercall: u32,
    name: String,
    keys: BTreeMap<String, String>,
    values: Vec<String>,
}

impl Row {
    fn get(&self, key: &str) -> Option<&str> {
        self.keys.get(key).map(|value| value.trim_matches('"'))
    }

    fn number(&self, key: &str) -> u32 {
        self.get(key).map_or(u32::MAX, |text| text.parse().unwrap())
    }

    fn has_target(&self) -> bool {
        !matches!(self.get("self"), Some("none" | "implicit"))
    }

    fn call<'a>(&self, relation: u8, argument: &'a [u8]) -> Call<'a> {
        Call {
            hypercall: HypercallNumber(self.hypercall),
            operation: OperationNumber(self.number("number")),
            selector: Selector(self.number("selector")),
            relation: Relation(relation),
            argument,
        }
    }
}

/// Reads `key = value` lines; lists of tables stand in lines of their own.
fn rows() -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for text in files("../../policy/hypercalls") {
        let mut hypercall = (0, String::new());
        let mut list = String::new();
        let mut in_operation = false;
        for line in text.lines() {
            if line == "[[operation]]" {
                in_operation = true;
                rows.push(Row { hypercall: hypercall.0, name: hypercall.1.clone(), ..Row::default() });
            } else if line == "]" {
                list.clear();
            } else if let Some(key) = line.strip_suffix(" = [") {
                key.clone_into(&mut list);
            } else if !list.is_empty() {
                if list == "values" {
                    rows.last_mut().unwrap().values.push(line.to_owned());
                }
            } else if let Some((key, value)) = line.split_once(" = ") {
                match (in_operation, key) {
                    (false, "number") => hypercall.0 = value.parse().unwrap(),
                    (false, "name") => value.trim_matches('"').clone_into(&mut hypercall.1),
                    (false, _) => {}
                    (true, _) => {
                        let row = rows.last_mut().unwrap();
                        if key == "name" {
                            row.name = format!("{}.{}", row.name, value.trim_matches('"'));
                        }
                        row.keys.insert(key.to_owned(), value.to_owned());
                    }
                }
            }
        }
    }
    rows
}

fn files(folder: &str) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| fs::read_to_string(file).unwrap()).collect()
}

/// For each reason, whether it refuses at level integrity.
fn reasons() -> BTreeMap<String, bool> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policy/reasons.toml");
    let text = fs::read_to_string(file).unwrap();
    let parts = text.split("[[reason]]").skip(1);
    let id = |part: &str| part.split('"').nth(1).unwrap().to_owned();
    parts.map(|part| (id(part), part.contains("level = \"integrity\""))).collect()
}

/// `offset = 52` in a line.
fn key(line: &str, key: &str) -> Option<u64> {
    let rest = line.split_once(&format!(" {key} = "))?.1;
    let text: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
    Some(number(&text))
}

fn number(text: &str) -> u64 {
    text.strip_prefix("0x").map_or_else(|| text.parse().unwrap(), |hex| u64::from_str_radix(hex, 16).unwrap())
}

fn word<'a>(line: &'a str, key: &str) -> &'a str {
    line.split_once(&format!(" {key} = \"")).unwrap().1.split('"').next().unwrap()
}

/// What the rule in that line makes of a structure: kept or not.
fn kept(line: &str, structure: &[u8]) -> bool {
    assert!(!line.contains("when ="), "this reading does not know conditions: {line}");
    let (offset, width) = (key(line, "offset").unwrap() as usize, key(line, "width").unwrap() as usize);
    let Some(bytes) = structure.get(offset..offset + width) else { return false };
    let mut whole = [0; 8];
    whole[..width].copy_from_slice(bytes);
    let value = u64::from_le_bytes(whole) & key(line, "mask").unwrap_or(u64::MAX);
    let allow = line.split_once("allow = [").unwrap().1.split_once(']').unwrap().0;
    allow.split(", ").map(|range| range.trim_matches('"')).any(|range| match range.split_once("..=") {
        Some((low, high)) => (number(low)..=number(high)).contains(&value),
        None => number(range) == value,
    })
}

/// The rules in prose. The gate refuses to everybody what says `gate`; the guard keeps userspace from that and from
/// what says `guard`. A reason of confidentiality refuses at that level only. An operation that is refused is refused
/// whatever it is aimed at; then the target counts; then what stands in the structure.
fn expected(
    row: &Row,
    reasons: &BTreeMap<String, bool>,
    (relation, level, door): (u8, Option<Level>, Door),
    structure: &[u8],
) -> Option<String> {
    let level = level?;
    let stops = |by: Option<&str>, why: Option<&str>| {
        let mine = by == Some("gate") || (by == Some("guard") && door == Door::Guard);
        let now = why.is_some_and(|why| reasons[why] || level == Level::Confidentiality);
        (mine && now).then(|| why.unwrap().to_owned())
    };
    if let Some(reason) = stops(row.get("door"), row.get("reason")) {
        return Some(reason);
    }
    if row.has_target() && relation != 0 {
        let own = stops(row.get("self-door"), row.get("self-reason"));
        let other = stops(row.get("other-door"), row.get("other-reason"));
        let is_query = row.get("class") == Some("query");
        let reserved = (door == Door::Guard && !is_query && row.get("special").is_none())
            .then(|| "special-target".to_owned());
        let privileged = own.clone().map(|reason| match reason.as_str() {
            "own-target" | "own-memory" => "privileged-target".to_owned(),
            _ => reason,
        });
        let refused = match relation {
            1 => own,
            2 => other,
            3 => privileged.or(other),
            4 => reserved.or(other),
            5 => stops(row.get("bare-door"), row.get("bare-reason")).or(other),
            _ => own.or(other),
        };
        if refused.is_some() {
            return refused;
        }
    }
    row.values.iter().find_map(|line| {
        stops(Some(word(line, "door")), Some(word(line, "reason"))).filter(|_| !kept(line, structure))
    })
}

fn answered(rules: &Rules<'_>, call: &Call<'_>, level: Option<Level>, door: Door) -> Option<String> {
    match decide(rules, call, level, door) {
        Answer::Admitted => None,
        Answer::Refused(reason) => Some(reason.id().to_owned()),
    }
}

/// Structures that keep and break each rule of a row, at each end of each range, and too short ones.
fn structures(row: &Row) -> Vec<Vec<u8>> {
    let mut all = vec![vec![], vec![0; 10], vec![0; 192], vec![0xff; 192]];
    for line in &row.values {
        let (offset, width) = (key(line, "offset").unwrap() as usize, key(line, "width").unwrap() as usize);
        let allow = line.split_once("allow = [").unwrap().1.split_once(']').unwrap().0;
        let ends = allow.split(", ").flat_map(|range| range.trim_matches('"').split("..="));
        for end in ends.map(number).collect::<Vec<_>>() {
            for value in [end.wrapping_sub(1), end, end.wrapping_add(1), end | 0x4000_0040] {
                let mut structure = vec![0; 192];
                structure[offset..offset + width].copy_from_slice(&value.to_le_bytes()[..width]);
                structure.truncate(if value % 5 == 4 { offset + width - 1 } else { 192 });
                all.push(structure);
            }
        }
    }
    all
}

#[test]
fn every_row_is_decided_as_the_documents_say() {
    let (rows, reasons) = (rows(), reasons());
    assert_eq!(rows.len(), 425);
    let mut compared = 0;
    for row in &rows {
        for structure in structures(row) {
            for relation in RELATIONS {
                for level in LEVELS {
                    for door in DOORS {
                        let want = expected(row, &reasons, (relation, level, door), &structure);
                        let call = row.call(relation, &structure);
                        let is = answered(&tables::HYPERCALLS, &call, level, door);
                        assert_eq!(is, want, "{} {relation} {level:?} {door:?} {structure:x?}", row.name);
                        if door == Door::Gate {
                            // What Xen links answers as the whole does.
                            let gate = answered(&tables::GATE, &call, level, door);
                            assert_eq!(gate, want, "the gate's table: {} {relation} {level:?}", row.name);
                        }
                        compared += 1;
                    }
                }
            }
        }
    }
    assert!(compared > 425 * 4 * RELATIONS.len() * LEVELS.len() * DOORS.len() - 1, "{compared}");
}

/// The short cut of the gate: whatever passes the tests of a row, no value of it is a reason to refuse.
#[test]
fn what_passes_the_quick_tests_breaks_no_rule() {
    let rows = tables::GATE.families.iter().flat_map(|family| family.operations);
    let mut state = 1_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 24
    };
    let (mut passed, mut with_tests) = (0, 0);
    for row in rows.filter(|row| !row.quick.is_empty()) {
        with_tests += 1;
        for _ in 0..2000 {
            let mut structure = [0_u8; 192];
            structure.fill_with(|| random() as u8);
            for test in row.quick {
                // Now and then one that does not hold.
                let low = test.low.wrapping_add(if random() % 16 == 0 { u64::MAX } else { 0 });
                let value = low.wrapping_add(random() % test.span.saturating_add(1)) & test.mask;
                let place = &mut structure[usize::from(test.offset)..][..8];
                let whole = u64::from_le_bytes(place.try_into().unwrap()) & !test.mask | value;
                place.copy_from_slice(&whole.to_le_bytes());
            }
            if row.quick.iter().all(|test| test.holds(&structure)) {
                passed += 1;
                assert!(row.values.iter().all(|rule| rule.holds(&structure)), "{:?}: {structure:x?}", row.name);
            }
        }
    }
    assert!(with_tests >= 6 && passed >= with_tests * 1000, "{with_tests} rows, {passed} structures");
}

#[test]
fn rows_have_their_names() {
    for row in rows() {
        let call = row.call(0, &[]);
        let found = tables::HYPERCALLS.find(call.hypercall, call.operation, call.selector).unwrap();
        assert_eq!(found.name.to_str().unwrap(), row.name);
    }
}

#[test]
fn what_no_rule_speaks_of_is_xens_to_answer_and_not_userspaces_to_ask() {
    let known: Vec<_> =
        rows().iter().map(|row| (row.hypercall, row.number("number"), row.number("selector"))).collect();
    let numbers = |most: u32| (0..most).chain([999, 1004, 0xffff, 0x1_0000, u32::MAX - 1, u32::MAX]);
    for hypercall in numbers(70) {
        for operation in numbers(120) {
            for selector in [0, 1, 17, 254, 255, 256, u32::MAX] {
                let mut call = Call::new(HypercallNumber(hypercall), OperationNumber(operation));
                call.selector = Selector(selector);
                let speaks = known.iter().any(|&(h, o, s)| {
                    h == hypercall && (o == u32::MAX || (o == operation && (s == u32::MAX || s == selector)))
                });
                if !speaks {
                    for level in [Level::Integrity, Level::Confidentiality] {
                        let gate = answered(&tables::GATE, &call, Some(level), Door::Gate);
                        assert_eq!(gate, None, "{call:?}");
                        let guard = answered(&tables::HYPERCALLS, &call, Some(level), Door::Guard);
                        assert_eq!(guard.as_deref(), Some("unknown-hypercall"), "{call:?}");
                    }
                }
            }
        }
    }
}

fn named(name: &str) -> Row {
    rows().into_iter().find(|row| row.name == name).unwrap_or_else(|| panic!("no row {name}"))
}

/// What breaches an unlocked host, and the door that has to hold it: the lab's own attacks, as calls.
#[test]
fn every_attack_is_refused_by_its_door() {
    use Door::{Gate, Guard};
    for (name, relation, door) in [
        ("grant_table_op.copy", 0, Guard),
        ("console_io.write", 0, Guard),
        ("multicall", 0, Guard),
        ("update_va_mapping", 0, Guard),
        ("sched_op_compat", 0, Guard),
        ("event_channel_op_compat", 0, Guard),
        ("physdev_op_compat", 0, Guard),
        ("paging_domctl_cont", 2, Guard),
        ("platform_op.efi_runtime_call", 0, Guard),
        ("platform_op.set_processor_pminfo", 0, Guard),
        ("memory_op.exchange", 1, Guard),
        ("memory_op.add_to_physmap", 1, Guard),
        ("memory_op.remove_from_physmap", 1, Guard),
        ("memory_op.decrease_reservation", 1, Guard),
        ("platform_op.add_memtype", 0, Gate),
        ("platform_op.mem_hotadd", 0, Gate),
        ("sysctl.debug_keys", 0, Gate),
        ("sysctl.livepatch_op.upload", 0, Gate),
        ("sysctl.livepatch_op.action", 0, Gate),
        ("kexec_op.kexec_load", 0, Gate),
        ("kexec_op.kexec", 0, Gate),
        ("mca.msrinject", 0, Gate),
        ("mca.inject_v2", 0, Gate),
        ("xsm_op.LOAD", 0, Gate),
        ("xsm_op.SETENFORCE", 0, Gate),
        ("xsm_op.SETBOOL", 0, Gate),
        ("hypfs_op.write_contents", 0, Gate),
        ("domctl.gdbsx_guestmemio", 1, Gate),
        ("domctl.gdbsx_guestmemio", 2, Gate),
        ("domctl.hypercall_init", 1, Gate),
        ("domctl.iomem_permission", 1, Gate),
        ("domctl.memory_mapping", 1, Gate),
        ("domctl.memory_mapping", 2, Gate),
        ("domctl.assign_device", 4, Gate),
        ("domctl.gethvmcontext", 5, Gate),
        ("domctl.gethvmcontext_partial", 5, Gate),
        ("domctl.sethvmcontext", 5, Gate),
        ("domctl.setvcpucontext", 3, Gate),
        ("physdev_op.map_pirq", 2, Gate),
    ] {
        let row = named(name);
        let call = row.call(relation, &[0; 192]);
        let gate = answered(&tables::GATE, &call, Some(Level::Integrity), Gate);
        assert_eq!(gate.is_some(), door == Gate, "{name}: {gate:?}");
        assert!(answered(&tables::HYPERCALLS, &call, Some(Level::Integrity), Guard).is_some(), "{name}");
    }
}

/// dom0's kernel, and what xl does on domain 0: the gate has nothing against it.
#[test]
fn the_gate_leaves_kernels_and_the_host_alone() {
    for name in [
        "domctl.setvcpuaffinity",
        "domctl.getvcpuaffinity",
        "domctl.scheduler_op",
        "domctl.max_mem",
        "domctl.getdomaininfo",
        "domctl.getvcpuinfo",
        "domctl.setdomainhandle",
        "domctl.unpausedomain",
        "domctl.setnodeaffinity",
        "domctl.psr_alloc",
        "memory_op.set_pod_target",
        "memory_op.claim_pages",
        "memory_op.add_to_physmap",
        "memory_op.add_to_physmap_batch",
        "memory_op.decrease_reservation",
        "memory_op.populate_physmap",
        "memory_op.exchange",
        "mmuext_op.PIN_L4_TABLE",
        "mmu_update",
        "physdev_op.map_pirq",
        "physdev_op.unmap_pirq",
        "hvm_op.set_param",
        "event_channel_op.alloc_unbound",
        "event_channel_op.reset",
        "grant_table_op.setup_table",
        "platform_op.efi_runtime_call",
        "platform_op.set_processor_pminfo",
        "platform_op.enter_acpi_sleep",
        "platform_op.settime64",
        "vcpu_op.initialise",
        "xenpmu_op.init",
        "mca.fetch",
    ] {
        let call = named(name);
        let call = call.call(1, &[0; 192]);
        for level in [Level::Integrity, Level::Confidentiality] {
            assert_eq!(answered(&tables::GATE, &call, Some(level), Door::Gate), None, "{name}");
        }
    }
    for name in
        ["domctl.soft_reset_cont", "domctl.set_target", "paging_domctl_cont", "event_channel_op.reset_cont"]
    {
        let row = named(name);
        let mut structure = [0; 192];
        structure[16] = 11;
        let call = row.call(2, &structure);
        assert_eq!(answered(&tables::GATE, &call, Some(Level::Integrity), Door::Gate), None, "{name}");
    }
}

/// The life of a guest, as Debian's toolstack drives it; found by looking at what it calls.
const TOOLSTACK: &str = "
    memory_op.populate_physmap memory_op.get_sharing_freed_pages memory_op.get_sharing_shared_pages memory_op.claim_pages
    memory_op.get_vnumainfo xen_version.version xen_version.capabilities xen_version.commandline xsm_op.CONTEXT_TO_SID
    xsm_op.SID_TO_CONTEXT event_channel_op.alloc_unbound sysctl.physinfo sysctl.sched_id sysctl.getdomaininfolist
    sysctl.cputopoinfo sysctl.numainfo sysctl.cpupool_op sysctl.get_cpu_featureset sysctl.get_cpu_policy domctl.createdomain
    domctl.unpausedomain domctl.getdomaininfo domctl.setvcpuaffinity domctl.max_mem domctl.getvcpuinfo domctl.max_vcpus
    domctl.scheduler_op domctl.settimeoffset domctl.getvcpuaffinity domctl.settscinfo domctl.setnodeaffinity
    domctl.getnodeaffinity domctl.setvnumainfo domctl.get_cpu_policy domctl.set_cpu_policy domctl.set_paging_mempool_size
    sched_op.remote_shutdown hvm_op.set_param hvm_op.get_param dm_op.create_ioreq_server dm_op.get_ioreq_server_info
    dm_op.map_io_range_to_ioreq_server dm_op.set_ioreq_server_state dm_op.track_dirty_vram dm_op.set_isa_irq_level
    dm_op.modified_memory dm_op.set_mem_type dm_op.inject_msi dm_op.nr_vcpus memory_op.add_to_physmap
    memory_op.remove_from_physmap grant_table_op.setup_table memory_op.set_memory_map memory_op.set_pod_target
    memory_op.reserved_device_memory_map domctl.gethvmcontext domctl.sethvmcontext domctl.hypercall_init
    mmuext_op.PIN_L4_TABLE domctl.setvcpucontext domctl.set_address_size domctl.get_address_size xen_version.extraversion
    xen_version.compile_info xen_version.changeset xen_version.platform_parameters xen_version.pagesize xen_version.build_id
    sysctl.pcitopoinfo domctl.destroydomain domctl.pausedomain domctl.sendtrigger event_channel_op.status
    domctl.setdomainhandle domctl.shadow_op domctl.getpageframeinfo3 domctl.getvcpucontext domctl.getvcpuextstate";

#[test]
fn the_toolstack_works_at_both_levels() {
    for name in TOOLSTACK.split_whitespace() {
        let row = named(name);
        let call = row.call(2, &[0; 192]);
        for level in [Level::Integrity, Level::Confidentiality] {
            let said = answered(&tables::HYPERCALLS, &call, Some(level), Door::Guard);
            assert_eq!(said, None, "{name} at {level:?}");
        }
    }
    // Xen's log is what confidentiality takes away.
    let row = named("sysctl.readconsole");
    let call = row.call(0, &[0; 192]);
    assert_eq!(answered(&tables::HYPERCALLS, &call, Some(Level::Integrity), Door::Guard), None);
    let refused = answered(&tables::HYPERCALLS, &call, Some(Level::Confidentiality), Door::Guard);
    assert_eq!(refused.as_deref(), Some("log-read"));
}

#[test]
fn createdomain_has_its_numbers_checked() {
    let row = named("domctl.createdomain");
    let refused = |offset: usize, value: u32| {
        let mut structure = [0; 144];
        structure[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
        answered(&tables::GATE, &row.call(0, &structure), Some(Level::Integrity), Door::Gate)
    };
    for (offset, value, reason) in [
        (52, 0xf_ffff, None),
        (52, 0x10_0000, Some("out-of-bounds")),
        (52, u32::MAX, None),
        (56, 0xff_ffff, None),
        (56, 0x100_0000, Some("out-of-bounds")),
        (36, 0x2f, None),
        (36, 0x40, Some("unsupported")),
        (36, 0x8000_0000, Some("value-not-listed")),
    ] {
        assert_eq!(refused(offset, value).as_deref(), reason, "{value:#x} at {offset}");
    }
    let short = answered(&tables::GATE, &row.call(0, &[0; 55]), Some(Level::Integrity), Door::Gate);
    assert_eq!(short.as_deref(), Some("out-of-bounds"), "what is not there is not allowed");
}

#[test]
fn names_are_text() {
    for family in tables::HYPERCALLS.families.iter().chain(tables::GATE.families) {
        for operation in family.operations {
            assert!(!CStr::to_bytes(operation.name).is_empty());
        }
    }
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    fn calls() -> impl Strategy<Value = (u32, u32, u32, u8, Vec<u8>)> {
        let number = || prop_oneof![4 => 0..130_u32, 1 => 995..1010_u32, 1 => any::<u32>()];
        (
            prop_oneof![4 => 0..64_u32, 1 => any::<u32>()],
            number(),
            prop_oneof![0..20_u32, any::<u32>()],
            prop_oneof![4 => 0..5_u8, 1 => any::<u8>()],
            proptest::collection::vec(any::<u8>(), 0..160),
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        /// A higher level, and the inner door, refuse at least as much; without a lock nothing is refused.
        #[test]
        fn more_is_never_less((hypercall, operation, selector, relation, argument) in calls()) {
            let call = Call {
                hypercall: HypercallNumber(hypercall),
                operation: OperationNumber(operation),
                selector: Selector(selector),
                relation: Relation(relation),
                argument: &argument,
            };
            let refused = |level, door| decide(&tables::HYPERCALLS, &call, level, door) != Answer::Admitted;
            for door in DOORS {
                prop_assert!(!refused(None, door));
                prop_assert!(refused(Some(Level::Confidentiality), door) || !refused(Some(Level::Integrity), door));
            }
            for level in [Level::Integrity, Level::Confidentiality] {
                prop_assert!(refused(Some(level), Door::Guard) || !refused(Some(level), Door::Gate));
            }
        }

        /// Handing over less is never a way round.
        #[test]
        fn a_shorter_structure_is_not_admitted_sooner(
            (hypercall, operation, selector, relation, argument) in calls(),
            cut in 0..160_usize,
        ) {
            let call = |argument| Call {
                hypercall: HypercallNumber(hypercall),
                operation: OperationNumber(operation),
                selector: Selector(selector),
                relation: Relation(relation),
                argument,
            };
            let level = Some(Level::Integrity);
            let short = argument.get(..cut).unwrap_or(&argument);
            if decide(&tables::GATE, &call(&argument), level, Door::Gate) != Answer::Admitted {
                prop_assert!(decide(&tables::GATE, &call(short), level, Door::Gate) != Answer::Admitted);
            }
        }
    }
}
