//! Every mistake in a policy is found, with its file and line; the twin without the mistake passes.

#![allow(missing_docs, clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use lockdown_policy::{Overlay, Policy, Problems};
use tempfile::TempDir;

const BOUNDARY: &str = "# The boundary\n\n## B1: One\nText.\n\n## B2: Two\nText.\n";
const REASONS: &str = r#"
[[reason]]
id = "unknown-option"
level = "integrity"
rule = "B1"
text = "is unknown"
explain = "Why."

[[reason]]
id = "unaudited"
level = "integrity"
rule = "B2"
text = "is unaudited"
explain = "Why."
"#;

/// An option that is fine: line 1 of its file is the header of the entry.
const OPTION: &str = r#"[[option]]
name = "example"
kind = ["custom"]
xen = ["4.17", "4.20"]
arch = ["x86"]
class = "values"
syntax = "<bool>"
source = ["xen/a.c:1"]
audited = ["4.20"]
reason = "unknown-option"
mechanism = "Does something."
advice = "example=on"
separator = ","
items = [
  { bool = "on" },
  { flag = "force", allow = "on" },
  { word = "verbose" },
  { number = ["0..=127", "0x200"] },
]
"#;

fn policy(option: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("boundary.md", BOUNDARY);
    write("reasons.toml", REASONS);
    write("options/a.toml", option);
    write("dom0-options/a.toml", "");
    write("hypercalls/.keep", "");
    write("privcmd.toml", "");
    folder
}

/// Loads the good option with one text replaced and returns what is said, without the folder's name.
fn load_with(from: &str, to: &str) -> Result<(), String> {
    assert!(OPTION.contains(from), "{from:?} does not stand in the good option");
    load(&OPTION.replace(from, to))
}

fn load(option: &str) -> Result<(), String> {
    let folder = policy(option);
    let result = Policy::load(folder.path()).and_then(|policy| policy.compile()).map(|_| ());
    result.map_err(|problems| relative(&problems, folder.path()))
}

fn relative(problems: &Problems, folder: &Path) -> String {
    problems.to_string().replace(&format!("{}/", folder.display()), "")
}

#[track_caller]
fn assert_says(result: Result<(), String>, expected: &str) {
    let said = result.expect_err("the mistake was not found");
    assert!(said.contains(expected), "expected {expected:?} in:\n{said}");
}

#[test]
fn the_good_option_loads() {
    load(OPTION).unwrap();
}

#[test]
fn an_unknown_key_is_named_with_its_line() {
    assert_says(load_with("syntax =", "sintax ="), "options/a.toml:7: unknown field `sintax`");
}

#[test]
fn an_unknown_key_of_an_item_is_named_with_its_line() {
    assert_says(
        load_with("{ word = \"verbose\" }", "{ wird = \"verbose\" }"),
        "options/a.toml:17: unknown field `wird`",
    );
}

#[test]
fn a_reason_that_does_not_exist() {
    assert_says(
        load_with("reason = \"unknown-option\"", "reason = \"no-such\""),
        "options/a.toml:1: example: reason \"no-such\" does not stand in reasons.toml",
    );
}

#[test]
fn a_reason_of_an_item_that_does_not_exist() {
    assert_says(
        load_with("{ word = \"verbose\" }", "{ word = \"verbose\", refuse = \"no-such\" }"),
        "options/a.toml:17: example: reason \"no-such\" does not stand in reasons.toml",
    );
}

#[test]
fn a_class_without_an_audit() {
    assert_says(load_with("audited = [\"4.20\"]", "audited = []"), "class values without an audit");
}

#[test]
fn an_option_nobody_audited_is_refused_and_says_so() {
    let refused = OPTION.split("separator").next().unwrap().to_owned();
    let refused = refused
        .replace("audited = [\"4.20\"]", "audited = []")
        .replace("class = \"values\"", "class = \"refused\"")
        .replace("reason = \"unknown-option\"", "reason = \"unaudited\"");
    load(&refused).unwrap();
    assert_says(load(&refused.replace("audited = []", "audited = [\"4.20\"]")), "reason unaudited, but");
}

#[test]
fn an_audit_on_a_version_that_lacks_the_option() {
    assert_says(
        load_with("audited = [\"4.20\"]", "audited = [\"HEAD\"]"),
        "audited on HEAD, which does not have it",
    );
}

#[test]
fn overlapping_items() {
    assert_says(
        load_with("{ word = \"verbose\" }", "{ word = \"force\" }"),
        "example: the items overlap: \"force\" is decided by the earlier force[=<boolean>]",
    );
    assert_says(
        load_with("{ word = \"verbose\" }", "{ word = \"off\" }"),
        "example: the items overlap: \"off\" is decided by the earlier <boolean>",
    );
    assert_says(
        load_with("{ word = \"verbose\" }", "{ number = [\"1\"] }"),
        "example: the items overlap: one `number` or `size` takes every number",
    );
}

#[test]
fn two_entries_for_one_name() {
    assert_says(load(&format!("{OPTION}\n{OPTION}")), "options/a.toml:21: \"example\" has an entry already, at");
}

#[test]
fn ranges_that_are_none() {
    for range in ["127..=0", "12x", "1-5", "..=3", "99999999999999999999999"] {
        assert_says(load_with("0..=127", range), &format!("options/a.toml:18: example: range {range:?}"));
    }
    for range in ["0..=0x7f", "-128..=127", "4G", "1K..=1M"] {
        load_with("0..=127", range).unwrap();
    }
}

#[test]
fn kinds_and_what_belongs_to_them() {
    assert_says(load_with("[\"custom\"]", "[\"costum\"]"), "kind \"costum\" is not one of custom");
    assert_says(load_with("[\"custom\"]", "[\"string\"]"), "`capacity` belongs to kind string");
    assert_says(load_with("[\"custom\"]", "[\"integer\"]"), "`width` belongs to kinds integer and size");
    load_with("[\"custom\"]", "[\"string\"]\ncapacity = 30").unwrap();
}

#[test]
fn a_boolean_that_is_registered_twice_has_no_rule_for_values() {
    assert_says(load_with("[\"custom\"]", "[\"boolean\", \"boolean\"]"), "registered twice as boolean");
}

#[test]
fn a_range_wider_than_the_variable() {
    let narrow = |range: &str| {
        OPTION.replace("[\"custom\"]", "[\"integer\"]\nwidth = 8").replace("\"0..=127\", \"0x200\"", range)
    };
    assert_says(load(&narrow("\"0..=256\"")), "does not fit into 8 bits");
    load(&narrow("\"0..=255\"")).unwrap();
}

#[test]
fn a_safe_option_has_no_reason_and_no_items() {
    assert_says(load_with("class = \"values\"", "class = \"safe\""), "class safe refuses nothing");
    assert_says(load_with("class = \"values\"", "class = \"safe\""), "only class values has items");
}

#[test]
fn a_class_that_is_none() {
    assert_says(load_with("class = \"values\"", "class = \"fine\""), "class \"fine\" is not one of safe, values");
}

#[test]
fn a_reason_without_a_rule_of_the_boundary() {
    let folder = policy(OPTION);
    fs::write(folder.path().join("reasons.toml"), REASONS.replace("rule = \"B2\"", "rule = \"B7\"")).unwrap();
    let said = Policy::load(folder.path()).unwrap_err();
    assert_eq!(relative(&said, folder.path()), "reasons.toml:9: rule \"B7\" does not stand in boundary.md");
}

#[test]
fn text_that_is_no_toml() {
    assert_says(load_with("name = \"example\"", "name = \"example"), "options/a.toml:2: ");
}

#[test]
fn a_folder_that_is_not_there() {
    let folder = TempDir::new().unwrap();
    let said = Policy::load(&folder.path().join("none")).unwrap_err().to_string();
    assert!(said.contains("boundary.md: cannot be read"), "{said}");
}

const OVERLAY: &str = r#"name = "distribution"
[[allow]]
option = "example"
who = "somebody"
why = "it is safe here"
values = ["quick"]
items = [{ word = "odd" }]
"#;

fn merge(overlay: &str) -> Result<(), String> {
    let folder = policy(OPTION);
    let file = folder.path().join("overlay.toml");
    fs::write(&file, overlay).unwrap();
    let mut compiled = Policy::load(folder.path()).unwrap().compile().unwrap();
    let merged = Overlay::load(&file).and_then(|overlay| overlay.merge_into(&mut compiled));
    merged.map_err(|problems| relative(&problems, folder.path()))
}

#[test]
fn an_overlay_merges() {
    merge(OVERLAY).unwrap();
}

#[test]
fn an_overlay_names_an_option_that_no_rule_speaks_of() {
    assert_says(
        merge(&OVERLAY.replace("\"example\"", "\"exampel\"")),
        "overlay.toml:2: \"exampel\" is not an option",
    );
}

#[test]
fn an_overlay_says_who_and_why() {
    assert_says(
        merge(&OVERLAY.replace("somebody", " ")),
        "overlay.toml:2: example: say who declares it safe, and why",
    );
}

#[test]
fn an_overlay_that_declares_nothing() {
    let nothing = OVERLAY.replace("values = [\"quick\"]\n", "").replace("items = [{ word = \"odd\" }]\n", "");
    assert_says(merge(&nothing), "overlay.toml:2: example: declares nothing");
}

#[test]
fn an_overlay_with_an_unknown_key() {
    assert_says(merge(&OVERLAY.replace("who =", "whom =")), "overlay.toml:4: unknown field `whom`");
}

/// A hypercall that is fine: its operations begin in lines 13 and 31.
const HYPERCALL: &str = r#"# An example.
[hypercall]
number = 3
name = "example"
constant = "__HYPERVISOR_example"
header = "example.h"
prefix = "EXAMPLE_"
selector = { register = 1 }
registers = [{ role = "operation" }, { role = "structure" }]
structure = "struct example"
size = 24

[[operation]]
number = 1
name = "start"
xen = ["4.17", "4.20"]
arch = ["x86"]
class = "control-plane"
door = "none"
self = "refused"
self-door = "gate"
self-reason = "is-refused"
audited = ["4.20"]
source = ["xen/example.c:do_example"]
used-by = ["toolstack"]
mechanism = "Does something."
target = { path = "domain", offset = 4, width = 2 }
handles = [
  { path = "list", offset = 8, element = "struct pair", size = 8, count = { path = "number", offset = 16, width = 4 }, direction = "in" },
]
values = [
  { path = "flags", offset = 20, width = 4, allow = ["0..=3"], door = "gate", reason = "is-refused", why = "Why." },
]

[[operation]]
number = 2
name = "log"
xen = ["4.20"]
arch = ["x86"]
class = "read-leak"
door = "gate"
reason = "is-secret"
self = "none"
audited = ["4.20"]
source = ["xen/example.c:do_example"]
used-by = []
mechanism = "Shows something."
"#;

fn load_hypercalls(files: &[&str]) -> Result<(), String> {
    let folder = policy(OPTION);
    let more = "\n[[reason]]\nid = \"is-refused\"\nlevel = \"integrity\"\nrule = \"B1\"\ntext = \"t\"\nexplain = \"e\"\n\
                \n[[reason]]\nid = \"is-secret\"\nlevel = \"confidentiality\"\nrule = \"B1\"\ntext = \"t\"\nexplain = \"e\"\n";
    fs::write(folder.path().join("reasons.toml"), format!("{REASONS}{more}")).unwrap();
    for (index, text) in files.iter().enumerate() {
        fs::write(folder.path().join(format!("hypercalls/{index}.toml")), text).unwrap();
    }
    let loaded = Policy::load(folder.path()).map_err(|problems| relative(&problems, folder.path()))?;
    loaded.compile().map(drop).map_err(|problems| problems.to_string())
}

fn hypercall_with(old: &str, new: &str) -> Result<(), String> {
    assert!(HYPERCALL.contains(old), "{old}");
    load_hypercalls(&[&HYPERCALL.replacen(old, new, 1)])
}

#[test]
fn a_hypercall_that_is_fine() {
    load_hypercalls(&[HYPERCALL]).unwrap();
}

#[test]
fn unknown_keys_of_a_hypercall() {
    assert_says(hypercall_with("mechanism =", "mekanism ="), "hypercalls/0.toml:26: unknown field `mekanism`");
    assert_says(hypercall_with("prefix =", "prefiks ="), "hypercalls/0.toml:7: unknown field `prefiks`");
    assert_says(hypercall_with("offset = 8,", "ofset = 8,"), "hypercalls/0.toml:29: unknown field `ofset`");
}

#[test]
fn a_hypercall_twice() {
    let twice = load_hypercalls(&[HYPERCALL, HYPERCALL]);
    assert_says(twice, "hypercalls/1.toml:2: hypercall 3 has a file already");
    let other = HYPERCALL.replace("number = 3", "number = 4");
    let twice = load_hypercalls(&[HYPERCALL, &other]);
    assert_says(twice, "hypercalls/1.toml:13: \"example.start\" has an entry already, at");
    assert_says(hypercall_with("number = 2", "number = 1"), "its number has an entry already, at");
}

#[test]
fn reasons_of_hypercalls_exist() {
    for (old, new) in [
        ("reason = \"is-secret\"", "reason = \"no-such\""),
        ("self-reason = \"is-refused\"", "self-reason = \"no-such\""),
        ("door = \"gate\", reason = \"is-refused\"", "door = \"gate\", reason = \"no-such\""),
    ] {
        assert_says(hypercall_with(old, new), "reason \"no-such\" does not stand in reasons.toml");
    }
}

#[test]
fn a_hypercalls_class_needs_an_audit() {
    let unaudited = |text: &str| {
        text.replace("audited = [\"4.20\"]\nsource = [\"xen/example.c:do_example\"]\n", "audited = []\n")
    };
    let plain = unaudited(HYPERCALL);
    assert_says(
        load_hypercalls(&[&plain]),
        "hypercalls/0.toml:13: example.start: class control-plane without an audit",
    );
    assert_says(load_hypercalls(&[&plain]), "example.log: class read-leak without an audit");
    let marked = plain
        .replace("door = \"none\"", "door = \"guard\"\nreason = \"unaudited\"")
        .replace("door = \"gate\"\nreason = \"is-secret\"", "door = \"guard\"\nreason = \"unaudited\"");
    load_hypercalls(&[&marked]).unwrap();
    let read = marked.replacen("audited = []", "audited = [\"4.20\"]\nsource = [\"a.c:b\"]", 1);
    assert_says(load_hypercalls(&[&read]), "reason unaudited, but `audited` says that it was read");
}

#[test]
fn audits_of_hypercalls_say_where_and_of_what() {
    assert_says(hypercall_with("source = [\"xen/example.c:do_example\"]\n", ""), "both or none");
    assert_says(hypercall_with("audited = [\"4.20\"]", "audited = [\"HEAD\"]"), "audited on HEAD, which does not");
    assert_says(hypercall_with("Does something.", " "), "`mechanism` is empty");
}

#[test]
fn doors_and_classes_of_hypercalls() {
    assert_says(hypercall_with("door = \"none\"", "door = \"gate\""), "door gate needs a reason");
    assert_says(
        hypercall_with("door = \"none\"", "door = \"wall\""),
        "door \"wall\" is not one of gate, guard, none",
    );
    assert_says(
        hypercall_with("door = \"none\"", "door = \"none\"\nreason = \"is-refused\""),
        "door none refuses nothing",
    );
    assert_says(hypercall_with("control-plane", "kernel-only"), "class kernel-only is not for userspace");
    assert_says(hypercall_with("control-plane", "fine"), "class \"fine\" is not one of query, control-plane");
    assert_says(
        hypercall_with("reason = \"is-secret\"", "reason = \"is-refused\""),
        "class read-leak has a reason of",
    );
    assert_says(
        hypercall_with("door = \"none\"", "door = \"guard\"\nreason = \"is-secret\""),
        "class read-leak has a reason of level confidentiality, and no other class has",
    );
}

#[test]
fn the_rule_for_oneself_is_complete() {
    assert_says(hypercall_with("self-door = \"gate\"\n", ""), "self is refused: say by whom and why");
    assert_says(hypercall_with("self-door = \"gate\"", "self-door = \"none\""), "`self-door` is gate or guard");
    assert_says(
        hypercall_with("self = \"refused\"", "self = \"allowed\""),
        "`self-door` and `self-reason` belong to",
    );
    assert_says(hypercall_with("self = \"none\"", "self = \"allowed\""), "and there is none: give `target`");
    assert_says(
        hypercall_with("self = \"none\"", "self = \"none\"\nother-door = \"gate\"\nother-reason = \"is-refused\""),
        "`other-door` speaks of a target",
    );
}

#[test]
fn layouts_of_hypercalls_fit() {
    assert_says(hypercall_with("offset = 8,", "offset = 20,"), "list: does not fit into the structure");
    assert_says(hypercall_with("width = 2 }", "width = 3 }"), "domain: `width` is 1, 2, 4 or 8");
    assert_says(hypercall_with("offset = 16, width = 4 }", "offset = 16 }"), "a count is one of");
    assert_says(hypercall_with("direction = \"in\"", "direction = \"up\""), "direction \"up\" is not one of");
    assert_says(hypercall_with("\"0..=3\"", "\"3..=0\""), "flags: range \"3..=0\"");
    assert_says(hypercall_with("\"0..=3\"", "\"0x100000000\""), "flags: a range does not fit into 4 bytes");
    assert_says(hypercall_with("size = 24\n", ""), "`structure` and `size` come together");
    assert_says(
        hypercall_with("role = \"structure\"", "role = \"stricture\""),
        "register \"stricture\": say operation",
    );
}

#[test]
fn userspace_gets_only_what_can_be_walked() {
    let count = "count = { path = \"number\", offset = 16, width = 4 }";
    let implicit = "count = { implicit = \"as it likes\" }";
    assert_says(hypercall_with(count, implicit), "example.start: nobody can tell the size of a buffer");
    hypercall_with(count, "count = { implicit = \"as it likes\", most = 4096 }").unwrap();
    assert_says(hypercall_with("direction = \"in\"", "direction = \"retained\""), "Xen keeps an address");
    let behind = "direction = \"in\", handles = [{ path = \"p\", offset = 0, element = \"void\", size = 1, count = { constant = 1 }, direction = \"in\" }]";
    assert_says(hypercall_with("direction = \"in\"", behind), "does not follow a pointer behind a pointer");
    let hidden = "hidden = [\n  { path = \"a\", offset = 8, width = 8, is = \"an address\" },\n]\nvalues = [";
    assert_says(hypercall_with("values = [", hidden), "hides addresses in numbers");
    let closed = HYPERCALL.replace("values = [", hidden).replacen(
        "door = \"none\"",
        "door = \"guard\"\nreason = \"is-refused\"",
        1,
    );
    load_hypercalls(&[&closed]).unwrap();
}

#[test]
fn what_a_filter_is_told_beside_the_layout() {
    let other = |text: &str| {
        let others = format!("others = [\n  {{ path = \"friend\", offset = 6, width = 2{text} }},\n]\nvalues = [");
        hypercall_with("values = [", &others)
    };
    other("").unwrap();
    other(", self = \"allowed\"").unwrap();
    assert_says(other(", self = \"refused\""), "self \"refused\": say \"allowed\", or nothing");
    hypercall_with("values = [", "output = \"none\"\nvalues = [").unwrap();
    assert_says(hypercall_with("values = [", "output = \"all\"\nvalues = ["), "output \"all\": say \"none\"");
    assert_says(hypercall_with("values = [", "null = \"yes\"\nvalues = ["), "null \"yes\": say \"allowed\"");
    assert_says(
        hypercall_with("values = [", "null = \"allowed\"\nvalues = ["),
        "a null pointer cannot stand for a structure that is looked into",
    );
    hypercall_with("self = \"none\"", "self = \"none\"\nnull = \"allowed\"").unwrap();
}
