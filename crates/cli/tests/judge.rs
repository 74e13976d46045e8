//! `xen-lockdown judge`: an issue in a file, or asked for; each answer has a twin that is another one.

#![allow(missing_docs, clippy::unwrap_used)]

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

const ISSUE: &str = "\
title = \"A call writes behind a buffer\"
component = [\"hypervisor-x86\"]
attacker = [\"guest-kernel\"]
reaches = [\"xen\"]
effect = \"write\"
claim = \"not-ruled-out\"
ways = [[\"passthrough\", \"linear-page-tables\"]]
";

/// Runs `judge` in a folder that has the issue, and a configuration; gives status, output and errors.
fn judge(text: &str, arguments: &[&str], input: &str) -> (i32, String, String, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("issue.toml"), text).unwrap();
    fs::write(folder.path().join("config"), "CONFIG_PV=y\n# CONFIG_PV_LINEAR_PT is not set\n").unwrap();
    fs::write(folder.path().join("bad-config"), "CONFIG_PV=y\nPV_LINEAR_PT=n\n").unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_xen-lockdown"))
        .current_dir(folder.path())
        .arg("judge")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Whoever reads nothing has closed it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr), folder)
}

fn answer(text: &str, arguments: &[&str]) -> (i32, Value) {
    let (status, out, err, _folder) = judge(text, &[&["issue.toml", "--format", "json"], arguments].concat(), "");
    (status, serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {err}")))
}

#[test]
fn a_breach_is_answered_with_its_rules_and_what_makes_it_moot() {
    let (status, document) = answer(ISSUE, &[]);
    assert_eq!((status, &document["schema"]), (1, &"xen-lockdown/judge/1".into()));
    assert_eq!((&document["judgement"], &document["bump"][0]), (&"yes".into(), &"xen".into()));
    assert_eq!(document["rules"], serde_json::json!(["J1.1", "J2.4", "J3.2", "J4.4", "J4.7", "J5.1", "J6.1"]));
    assert_eq!(
        document["not_if"],
        serde_json::json!([
            "a Xen that refuses domctl.assign_device",
            "CONFIG_PV_LINEAR_PT=n",
            "pv-linear-pt=off on the signed command line",
            "CONFIG_PV=n"
        ])
    );
    let (status, out, _, _) = judge(ISSUE, &["issue.toml"], "");
    assert_eq!(status, 1);
    assert!(out.contains("For an advisory:\nThis issue breaches the Secure Boot boundary"), "{out}");
}

#[test]
fn what_the_build_excludes_is_no_breach() {
    for arguments in [
        &["--config", "config"][..],
        &["--without", "linear-page-tables"],
        &["--gate"],
        &["--passthrough", "no"],
        &["--not-ruled-out", "no"],
    ] {
        let (status, document) = answer(ISSUE, arguments);
        assert_eq!((status, &document["judgement"]), (0, &"no".into()), "{arguments:?}");
        assert!(document["bump"].as_array().unwrap().is_empty());
    }
    assert_eq!(answer(ISSUE, &["--passthrough", "conditional"]).1["judgement"], "conditional");
    assert_eq!(answer(ISSUE, &["--arm", "no", "--without", "shadow"]).1["judgement"], "yes");
}

#[test]
fn a_file_of_policy_can_be_judged_too() {
    let text = include_str!("../../../policy/advisories/xsa-443.toml");
    let (status, document) = answer(text, &[]);
    assert_eq!((status, &document["judgement"], &document["name"]), (0, &"no".into(), &"XSA-443".into()));
    assert_eq!(document["security_issue"], "yes");
}

#[test]
fn an_issue_of_roots_is_one_as_a_breach_only() {
    let of_root = ISSUE.replace("guest-kernel", "dom0-root").replace("\"passthrough\", ", "");
    assert_eq!(answer(&of_root, &[]).1["security_issue"], "as-breach");
    let harmless = of_root.replace("\"write\"", "\"crash\"").replace("not-ruled-out", "silent");
    let (status, document) = answer(&harmless, &[]);
    assert_eq!((status, &document["security_issue"]), (0, &"no".into()));
}

#[test]
fn what_cannot_be_read_is_no_answer() {
    let says = |text: &str, arguments: &[&str], message: &str| {
        let (status, out, err, _) = judge(text, arguments, "");
        assert_eq!((status, out.as_str()), (2, ""), "{err}");
        assert!(err.contains(message), "{err}");
    };
    says(&ISSUE.replace("effect", "efect"), &["issue.toml"], "error: issue.toml:5: unknown field `efect`");
    says(
        &ISSUE.replace("\"write\"", "\"writes\""),
        &["issue.toml"],
        "issue.toml:5: effect \"writes\": there are enforcement,",
    );
    says(
        &ISSUE.replace("linear-page-tables", "linear"),
        &["issue.toml"],
        "issue.toml:7: \"linear\" is no condition; there are pv,",
    );
    says("\u{1}", &["issue.toml"], "issue.toml:1: ");
    says(ISSUE, &["no.toml"], "no.toml cannot be read");
    says(ISSUE, &["."], "is not a regular file");
    says(
        ISSUE,
        &["issue.toml", "--config", "bad-config"],
        "bad-config:2: \"PV_LINEAR_PT=n\" is no line of a .config",
    );
    says(
        ISSUE,
        &["issue.toml", "--without", "shadows"],
        "--without shadows: there is no such condition; there are pv,",
    );
    says(ISSUE, &["issue.toml", "--passthrough", "maybe"], "\"maybe\": say yes, no or conditional");
    says(ISSUE, &[], "required");
    says(ISSUE, &["issue.toml", "--output", "x"], "cannot be used with");
}

#[test]
fn standard_input_is_a_file_as_well() {
    let (status, out, _, _) = judge("", &["-", "--format", "json"], ISSUE);
    assert_eq!((status, out.contains("\"judgement\": \"yes\"")), (1, true));
}

#[test]
fn questions_are_asked_and_what_was_answered_is_kept() {
    // A word that is none, two where one may stand, and a number that is none are asked again.
    let answers = "\n  A title\nhypervisor\n1\nguest-kernel, device-model\nxen\nwrite read\nwrite\n99\n2\n\n\npassthrough race\n20\n\n";
    let (status, out, err, folder) = judge("", &["--ask", "--output", "new.toml", "--format", "json"], answers);
    assert_eq!(status, 1, "{err}");
    for said in
        ["it needs a title", "\"hypervisor\" is none of these", "only one of these", "\"99\" is none of these"]
    {
        assert!(err.contains(said), "{said}: {err}");
    }
    let document: Value = serde_json::from_str(&out).unwrap();
    let kept = fs::read_to_string(folder.path().join("new.toml")).unwrap();
    assert!(kept.contains("title = \"A title\"\ncomponent = [\"hypervisor-x86\"]\nattacker = [\"guest-kernel\", \"device-model\"]"), "{kept}");
    // What was kept is judged as what was answered.
    let (again, from_file) = answer(&kept, &[]);
    assert_eq!((again, &from_file["rules"]), (status, &document["rules"]));
}

#[test]
fn answers_that_end_too_early_are_no_description() {
    let (status, out, err, folder) = judge("", &["--ask", "--output", "new.toml"], "A title\n1\n");
    assert_eq!((status, out.as_str()), (2, ""));
    assert!(err.ends_with("error: the answers end before the questions do: nothing was judged\n"), "{err}");
    assert!(!folder.path().join("new.toml").exists());
}

#[test]
fn a_judgement_against_the_rules_shows_as_one() {
    let text = format!("{ISSUE}\n[override]\njudgement = \"no\"\nreason = \"Shown to be harmless.\"\n");
    let (status, document) = answer(&text, &[]);
    assert_eq!(
        (status, &document["judgement"], &document["overridden"]),
        (0, &"no".into(), &"Shown to be harmless.".into())
    );
    let (_, out, _, _) = judge(&text, &["issue.toml"], "");
    assert!(out.contains("  breach                yes\n  SBAT                  no generation rises\n"), "{out}");
    assert!(out.contains("  against the rules     Shown to be harmless.\n"), "{out}");
    assert!(out.contains("This is a decision against the rules ("), "{out}");
}

#[test]
fn what_is_published_and_closes_nothing_is_not_called_a_fix() {
    let partial = format!("{}\n[fix]\nkind = \"partial\"\n", ISSUE.replace("not-ruled-out", "stated"));
    let (status, document) = answer(&partial, &[]);
    assert_eq!((status, &document["judgement"], &document["breach"]), (1, &"conditional".into(), &"yes".into()));
    assert!(document["paragraph"].as_str().unwrap().contains("in the first release that closes it"), "{document}");
    let (_, document) = answer(&partial.replace("partial", "documentation"), &[]);
    assert_eq!((&document["becomes_rule"], &document["bump"]), (&true.into(), &serde_json::json!([])));
    assert!(document["paragraph"].as_str().unwrap().contains("nothing to revoke and no SBAT generation rises"));
}

#[test]
fn a_read_of_which_more_is_claimed_is_looked_at() {
    let read = ISSUE.replace("\"write\"", "\"read\"");
    assert_eq!(answer(&read, &[]).1["judgement"], "conditional");
    assert_eq!(answer(&read.replace("not-ruled-out", "silent"), &[]).1["judgement"], "no");
}
