//! `xen-lockdown lint` on text: the interface that other programs build on.

#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use serde_json::{Value, json};
use support::{lint_json, run};

/// `(text, verdict, reason)` of each token, in order of parsing.
fn verdicts(input: &Value) -> Vec<(String, String, Option<String>)> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    input["tokens"]
        .as_array()
        .unwrap()
        .iter()
        .map(|token| (text(&token["text"]).unwrap(), text(&token["verdict"]).unwrap(), text(&token["reason"])))
        .collect()
}

#[test]
fn the_document_has_the_promised_shape() {
    let (code, document) = lint_json(&[
        "--secure-boot",
        "--signed",
        "smep=off -- quiet",
        "--runtime",
        "com1=1,8n1,0x100000 -- init=/x",
    ]);
    assert_eq!(code, 1);
    assert_eq!(document["schema"], "xen-lockdown/lint/1");
    assert_eq!(document["xen"], "4.20");
    assert_eq!(document["summary"], json!({ "honoured": 2, "refused": 2 }));
    let input = &document["inputs"][0];
    assert_eq!(input["name"], "cmdline");
    assert_eq!(input["locked_at_start"], true);
    assert_eq!(input["locked_at_end"], true);
    assert_eq!(input["passes"], json!({ "xen": "smep=off", "dom0": "quiet lockdown=integrity" }));
    let token = &input["tokens"][1];
    assert_eq!(token["segment"], "runtime");
    assert_eq!(token["for"], "xen");
    assert_eq!(token["text"], "com1=1,8n1,0x100000");
    assert_eq!((token["line"].as_u64(), token["column"].as_u64()), (Some(1), Some(1)));
    assert_eq!(token["option"], "com1");
    assert_eq!(token["verdict"], "refused");
    assert!(token["message"].as_str().unwrap().len() > 20);
    let last = &input["tokens"][3];
    assert_eq!((last["for"].as_str(), last["option"].as_str()), (Some("dom0"), Some("init")));
    assert_eq!(last["column"], 24);
}

#[test]
fn tokens_stand_in_order_of_parsing() {
    let (_, document) = lint_json(&["--runtime", "r -- rd", "--signed", "s -- sd", "--builtin", "b -- bd"]);
    let input = &document["inputs"][0];
    let order: Vec<_> = verdicts(input).into_iter().map(|(text, _, _)| text).collect();
    // Xen does not split its built-in text; dom0's text comes after all of Xen's.
    assert_eq!(order, ["b", "--", "bd", "s", "r", "sd", "rd"]);
    let segments: Vec<_> = input["tokens"].as_array().unwrap().iter().map(|token| &token["segment"]).collect();
    assert_eq!(segments, ["builtin", "builtin", "builtin", "signed", "runtime", "signed", "runtime"]);
}

#[test]
fn nothing_is_refused_while_nothing_is_locked() {
    let (code, document) = lint_json(&["--runtime", "com1=1,8n1,0x100000 nosuch -- init=/bin/sh"]);
    assert_eq!(code, 0);
    assert_eq!(document["inputs"][0]["locked_at_end"], false);
    assert_eq!(document["inputs"][0]["passes"]["dom0"], "init=/bin/sh");
}

#[test]
fn the_lock_holds_from_its_token_on() {
    let (code, document) = lint_json(&["--runtime", "mem=4G lockdown mem=4G -- rdinit=/x"]);
    assert_eq!(code, 1);
    let input = &document["inputs"][0];
    assert_eq!(input["locked_at_start"], false);
    assert_eq!(input["locked_at_end"], true);
    let reasons: Vec<_> = verdicts(input).into_iter().map(|(_, verdict, reason)| (verdict, reason)).collect();
    let honoured = || ("honoured".to_owned(), None);
    let refused = |reason: &str| ("refused".to_owned(), Some(reason.to_owned()));
    assert_eq!(reasons, [honoured(), honoured(), refused("memory-map"), refused("dom0-code")]);
}

#[test]
fn an_unknown_option_has_no_option_but_a_reason() {
    let (_, document) = lint_json(&["--secure-boot", "--runtime", "nosuch=1"]);
    let token = &document["inputs"][0]["tokens"][0];
    assert_eq!(token["option"], Value::Null);
    assert_eq!(token["reason"], "unknown-option");
}

#[test]
fn the_lock_option_reaches_dom0_where_linux_reads_it() {
    let dom0 = |signed: &str| {
        let (_, document) = lint_json(&["--secure-boot", "--signed", signed]);
        document["inputs"][0]["passes"]["dom0"].as_str().unwrap().to_owned()
    };
    assert_eq!(dom0("x -- quiet"), "quiet lockdown=integrity");
    // Behind a lone -- it would be process 1's argument, in an open quote a part of the value.
    assert_eq!(dom0("x -- quiet -- single"), "lockdown=integrity quiet -- single");
    // The blank that Xen puts behind the text is then part of it, too.
    assert_eq!(dom0("x -- name=\"open"), "lockdown=integrity name=\"open ");
    // Xen keeps 1023 bytes of the line: what fits goes behind, what does not cannot push the option off the end.
    // Xen puts a blank behind the text.
    let long = "q".repeat(1023 - "  lockdown=integrity".len());
    assert!(dom0(&format!("x -- {long}")).ends_with(" lockdown=integrity"));
    // Nor is the beginning of a token a token that anybody allowed.
    assert_eq!(dom0(&format!("x -- ro {long}q")), "lockdown=integrity ro");
}

#[test]
fn what_is_refused_takes_its_place_in_dom0s_line() {
    let line = format!("x -- ro nosuch={} quiet", "q".repeat(1023 - " lockdown=integrity".len()));
    let (_, document) = lint_json(&["--secure-boot", "--runtime", &line]);
    assert_eq!(document["inputs"][0]["passes"]["dom0"], "lockdown=integrity ro");
    assert!(document["inputs"][0]["notes"][0]["message"].as_str().unwrap().contains("blanks"));
}

#[test]
fn dashes_at_the_beginning_separate_behind_configured_text() {
    let passes = |arguments: &[&str]| {
        let (_, document) = lint_json(&[&["--secure-boot", "--runtime", "-- hap=off quiet"], arguments].concat());
        document["inputs"][0]["passes"].clone()
    };
    assert_eq!(passes(&[]), json!({ "xen": "hap=off", "dom0": "lockdown=integrity" }));
    assert_eq!(passes(&["--signed", ""]), json!({ "xen": "hap=off", "dom0": "lockdown=integrity" }));
    assert_eq!(
        passes(&["--signed", "smep=off"]),
        json!({ "xen": "smep=off", "dom0": "quiet lockdown=integrity" })
    );
    // What is built in stands apart.
    assert_eq!(passes(&["--builtin", "x"]), json!({ "xen": "x hap=off", "dom0": "lockdown=integrity" }));
}

#[test]
fn text_for_dom0_is_what_every_reader_of_it_takes_it_for() {
    let verdict = |text: &str| {
        let (_, document) = lint_json(&["--secure-boot", "--runtime", &format!("x -- {text}")]);
        let last = document["inputs"][0]["tokens"].as_array().unwrap().last().unwrap().clone();
        last["reason"].as_str().unwrap_or("honoured").to_owned()
    };
    // A shell in the initramfs would see more than a name.
    assert_eq!(verdict("root=/dev/x&sh</dev/sda3&#\\"), "dom0-unlisted");
    assert_eq!(verdict("root=LABEL=x\\0044\\0050id"), "dom0-unlisted");
    assert_eq!(verdict("root=/dev/mapper/vg-root"), "honoured");
    assert_eq!(verdict("root=UUID=1234-ab"), "honoured");
    // Linux's early reader takes a control character for a space.
    assert_eq!(verdict("rootwait=1\u{1}nospectre_v2"), "text-form");
    assert_eq!(verdict("root=\"/dev/sda1\""), "text-form");
    assert_eq!(verdict("root=LABEL=gr\u{fc}n"), "text-form");
    assert_eq!(verdict("root=/dev/nfs"), "dom0-code");
    assert_eq!(verdict("fbcon=rotate:1"), "honoured");
    assert_eq!(verdict("fbcon=rotate:4"), "dom0-unlisted");
}

#[test]
fn the_release_chooses_the_option_set() {
    let verdict = |version: &str| {
        let (_, document) = lint_json(&["--secure-boot", "--xen", version, "--runtime", "pku=on"]);
        verdicts(&document["inputs"][0])[0].1.clone()
    };
    assert_eq!(verdict("4.17"), "honoured");
    assert_eq!(verdict("4.20"), "refused");
}

#[test]
fn fail_on_never_keeps_zero() {
    let (code, document) = lint_json(&["--secure-boot", "--fail-on", "never", "--runtime", "nosuch"]);
    assert_eq!(code, 0);
    assert_eq!(document["summary"]["refused"], 1);
}

#[test]
fn usage_errors_exit_with_two() {
    for arguments in
        [&["lint"][..], &["lint", "--xen", "3.0", "--runtime", "x"], &["lint", "--nosuch"], &["explain"]]
    {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty());
        assert!(!output.stderr.is_empty());
    }
}

#[test]
fn an_overlay_is_shown_in_every_answer_that_rests_on_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("overlay.toml");
    std::fs::write(
        &file,
        "name = \"shop\"\n[[allow]]\noption = \"com1\"\nwho = \"ops\"\nwhy = \"one port only\"\nvalues = [\"115200,8n1,0x2e0,5\"]\n\
         [[allow]]\noption = \"iommu\"\nwho = \"ops\"\nwhy = \"no devices\"\nitems = [{ flag = \"snoop\", allow = \"any\" }]\n",
    )
    .unwrap();
    let overlay = file.to_str().unwrap();
    let text = "com1=115200,8n1,0x2e0,5 com1=115200,8n1,0x2e0,6 iommu=verbose,no-snoop iommu=no-intremap";
    let (_, with) = lint_json(&["--secure-boot", "--overlay", overlay, "--runtime", text]);
    let tokens = with["inputs"][0]["tokens"].as_array().unwrap();
    assert_eq!(tokens[0]["verdict"], "honoured");
    assert_eq!(tokens[0]["message"], "overlay shop declares it safe: one port only (ops)");
    assert_eq!(tokens[1]["verdict"], "refused");
    assert_eq!(tokens[2]["message"], "overlay shop declares it safe: no devices (ops)");
    assert_eq!(tokens[3]["verdict"], "refused");
    let (_, without) = lint_json(&["--secure-boot", "--runtime", text]);
    assert_eq!(without["summary"], json!({ "honoured": 0, "refused": 4 }));
}

#[test]
fn a_broken_overlay_is_named_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("overlay.toml");
    std::fs::write(&file, "name = \"shop\"\n[[allow]]\noption = \"com1\"\nwhom = \"ops\"\n").unwrap();
    let output = run(&["lint", "--overlay", file.to_str().unwrap(), "--runtime", "x"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("overlay.toml:4: unknown field `whom`"));
}

#[test]
fn people_see_the_line_a_caret_the_reason_and_what_to_do() {
    let output = run(&["lint", "--secure-boot", "--runtime", "loglvl=all iommu=verbose,no-intremap"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    for line in [
        "error[dma-protection]: iommu=verbose,no-intremap: weakens the protection against DMA and forged interrupts",
        " --> --runtime:1:26",
        "1 | loglvl=all iommu=verbose,no-intremap",
        "  |                          ^^^^^^^^^^^ a locked Xen does not honour this runtime text",
        "  = help: ",
        "cmdline: 1 honoured, 1 refused (locked from the start)",
    ] {
        assert!(text.contains(line), "{line:?} is missing in:\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "colours belong on a terminal only");
}

#[test]
fn control_characters_do_not_reach_the_terminal() {
    let output = run(&["lint", "--secure-boot", "--verbose", "--runtime", "a\u{1b}[31m loglvl=\u{7}"]);
    assert!(!output.stdout.contains(&0x1b) && !output.stdout.contains(&7));
}

#[test]
fn sarif_carries_each_refusal() {
    let output = run(&["lint", "--secure-boot", "--format", "sarif", "--runtime", "loglvl=all mem=4G"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["version"], "2.1.0");
    let results = document["runs"][0]["results"].as_array().unwrap();
    assert_eq!(results.len(), 1);
    assert_eq!(results[0]["ruleId"], "memory-map");
    let region = &results[0]["locations"][0]["physicalLocation"]["region"];
    assert_eq!(*region, json!({ "startLine": 1, "startColumn": 12, "endColumn": 18 }));
    let rules = document["runs"][0]["tool"]["driver"]["rules"].as_array().unwrap();
    assert!(rules.iter().any(|rule| rule["id"] == "memory-map"));
}

#[test]
fn explain_knows_options_reasons_and_rules() {
    for (name, expected) in [
        ("com1", "com1 (option of Xen)"),
        ("no-smep", "smep (option of Xen)"),
        ("iommu=off", "iommu (option of Xen)"),
        ("dom0:console", "option of dom0's Linux"),
        ("net-ifnames", "did you mean \"net.ifnames\"?"),
        ("io-address", "rule B3"),
        ("b8", "B8: The lock is a latch"),
        ("xen.cfg:chain", "signed-selection"),
        ("domctl", "domctl.createdomain "),
        ("domctl.createdomain", "u.createdomain.max_grant_frames"),
        ("domctl.hypercall_init", "oneself   refused by the gate: own-target"),
        ("sysctl.livepatch_op", "sysctl.livepatch_op.upload (operation of a hypercall)"),
        ("livepatch", "Hypercalls: sysctl.livepatch_op.upload"),
        ("mmu_update", "dom0's kernel keeps its userspace from it"),
        ("domctl.createdoman", "did you mean \"domctl.createdomain\"?"),
        ("no-such-thing", "is no option, hypercall, request, reason, rule or advisory"),
        ("xsa-309", "XSA-309: Linear page table count reset"),
        ("xsa-514", "XSA-514: nothing is known of it here"),
        ("xsa-9999", "is no option, hypercall, request, reason, rule or advisory"),
        ("j2.4", "J2.4 (rule of judgement, J2: "),
        ("grant-v2", "gnttab=max-ver:1 on the signed command line"),
    ] {
        let output = run(&["explain", name]);
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(text.contains(expected), "{name}: {text}");
        assert_eq!(output.status.code(), Some(if text.starts_with("error") { 2 } else { 0 }), "{name}");
    }
}
