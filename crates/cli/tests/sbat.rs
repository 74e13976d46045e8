//! `xen-lockdown sbat`: what it says of tables and of revocations, and what it writes; each refusal has a twin.

#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../../image/tests/builder/mod.rs"]
#[allow(dead_code)]
mod builder;
mod support;

use std::fs;
use std::path::PathBuf;

use builder::Pe;
use lockdown_image::sbat::{HEADER, Table};
use serde_json::Value;
use support::run;
use tempfile::TempDir;

const XEN: &str = "xen,2,Xen Project,xen,4.20.0,https://xenproject.org";
const LEVEL: &str = "sbat,1,2026010100\nshim,4\nxen,3\n";
const OLD_LEVEL: &str = "sbat,1,2021030218\n";

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        let table = format!("{HEADER}\n{XEN}\n");
        folder.write("sbat.csv", table.as_bytes());
        folder.write("wrong.csv", table.replace("xen,2", "xen,two").as_bytes());
        folder.write("unified.efi", &image(".sbat", table.as_bytes()));
        folder.write("no-table.efi", &image(".config", b"[xen]"));
        folder.write("level.csv", LEVEL.as_bytes());
        folder.write("SbatLevelRT", &[b"\x06\0\0\0", LEVEL.as_bytes()].concat());
        folder.write("fine.csv", LEVEL.replace("xen,3", "xen,2").as_bytes());
        let at = u32::try_from(8 + OLD_LEVEL.len() + 1).unwrap();
        let levels = [&[0; 4], &8u32.to_le_bytes(), &at.to_le_bytes(), OLD_LEVEL.as_bytes(), b"\0"].concat();
        folder.write("shim.efi", &image(".sbatlev", &[levels.as_slice(), LEVEL.as_bytes(), b"\0"].concat()));
        folder
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs a command; words with a dot or without dashes in front name files of the folder.
    fn run(&self, command: &str, words: &[&str]) -> (i32, String, String) {
        let words = words.iter().map(|word| {
            if word.starts_with('-') { (*word).to_owned() } else { self.path(word).to_str().unwrap().to_owned() }
        });
        let all: Vec<String> = ["sbat".to_owned(), command.to_owned()].into_iter().chain(words).collect();
        let output = run(&all.iter().map(String::as_str).collect::<Vec<_>>());
        (
            output.status.code().unwrap(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    }

    fn json(&self, command: &str, words: &[&str]) -> (i32, Value) {
        let (code, out, error) = self.run(command, &[&["--format=json"], words].concat());
        (code, serde_json::from_str(&out).unwrap_or_else(|_| panic!("{error}")))
    }
}

/// The builder fills sections up with bytes that are not zeros, which a table may not have behind it.
fn image(name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.resize(bytes.len().next_multiple_of(0x20), 0);
    Pe::new().with(".text", &[0x90; 0x20]).with(name, &bytes).build()
}

fn ids(document: &Value) -> Vec<(String, Option<u64>)> {
    let findings = document["findings"].as_array().unwrap().iter();
    findings.map(|it| (it["id"].as_str().unwrap().to_owned(), it["line"].as_u64())).collect()
}

#[test]
fn a_table_is_shown_from_a_file_and_from_an_image() {
    let folder = Folder::new();
    for file in ["sbat.csv", "unified.efi"] {
        let (code, document) = folder.json("show", &[file]);
        assert_eq!((code, &document["schema"]), (0, &Value::from("xen-lockdown/sbat-show/1")));
        assert_eq!(document["rows"][1]["component"], "xen");
        assert_eq!(document["rows"][1]["generation"], 2);
        assert_eq!(document["rows"][1]["line"], 2);
        let (code, out, error) = folder.run("show", &[file]);
        assert_eq!((code, error.as_str()), (0, ""));
        assert!(out.contains("xen   2  Xen Project   xen   4.20.0  https://xenproject.org\n"), "{out}");
    }
    let (code, document) = folder.json("show", &["no-table.efi"]);
    assert_eq!((code, ids(&document)), (1, vec![("sbat-missing".to_owned(), None)]));
    assert_eq!(folder.run("show", &["nosuch"]).0, 2);
    folder.write("text.efi", b"MZ and no more");
    assert_eq!(folder.run("show", &["text.efi"]).0, 2);
}

#[test]
fn a_check_says_what_is_wrong_and_where() {
    let folder = Folder::new();
    let (code, document) = folder.json("check", &["sbat.csv"]);
    assert_eq!((code, &document["well_formed"], ids(&document)), (0, &Value::from(true), vec![]));
    let (code, document) = folder.json("check", &["wrong.csv"]);
    assert_eq!((code, &document["well_formed"]), (1, &Value::from(false)));
    assert_eq!(ids(&document), [("sbat-generation".to_owned(), Some(2))]);
    let (code, out, error) = folder.run("check", &["wrong.csv"]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(error.starts_with("error[sbat-generation]: the generation \"two\""), "{error}");
    assert!(error.contains("wrong.csv:2:5\n"), "{error}");
    folder.write("alone.csv", format!("{HEADER}\n").as_bytes());
    let (code, document) = folder.json("check", &["alone.csv"]);
    assert_eq!((code, ids(&document)), (0, vec![("sbat-alone".to_owned(), None)]));
}

#[test]
fn revocations_are_taken_from_whoever_has_them() {
    let folder = Folder::new();
    for (file, from) in [("level.csv", "file"), ("SbatLevelRT", "variable")] {
        let (code, document) = folder.json("check", &["unified.efi", "--revocations", file]);
        assert_eq!((code, ids(&document)), (1, vec![("revoked".to_owned(), Some(2))]), "{file}");
        let level = &document["revocations"][0];
        assert_eq!((&level["from"], &level["date"]), (&Value::from(from), &Value::from("2026010100")));
        assert_eq!(level["revoked"][0]["wanted"], 3);
        assert_eq!(level["revoked"][0]["revocation_line"], 3);
    }
    let (code, document) = folder.json("check", &["unified.efi", "--revocations", "fine.csv"]);
    assert_eq!((code, ids(&document)), (0, vec![]));
    // A shim has two: only one of them revokes.
    let (code, document) = folder.json("check", &["sbat.csv", "--revocations", "shim.efi"]);
    let counts: Vec<_> = document["revocations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|level| (level["from"].as_str().unwrap(), level["revoked"].as_array().unwrap().len()))
        .collect();
    assert_eq!((code, counts), (1, vec![("automatic", 0), ("latest", 1)]));
    let (_, out, error) = folder.run("check", &["sbat.csv", "--revocations", "shim.efi"]);
    assert!(
        error.contains("xen has generation 2, and the revocations of 2026010100 (latest, line 3 in"),
        "{error}"
    );
    assert!(out.contains("by revocations of 2021030218 (automatic): nothing is revoked\n"), "{out}");
    assert!(out.contains("by revocations of 2026010100 (latest): 1 row is revoked: shim refuses it\n"), "{out}");
}

#[test]
fn revocations_that_cannot_be_read_are_status_2() {
    let folder = Folder::new();
    folder.write("broken.csv", LEVEL.replace("xen,3", "xen").as_bytes());
    for (file, text) in [
        ("broken.csv", "line 3: the row has 1 fields"),
        ("sbat.csv", "revocations begin with"),
        ("unified.efi", "has no section .sbatlevel"),
        ("nosuch", "cannot be read"),
    ] {
        let (code, _, error) = folder.run("check", &["sbat.csv", "--revocations", file]);
        assert_eq!(code, 2, "{file}: {error}");
        assert!(error.contains(text), "{file}: {error}");
    }
}

#[test]
fn a_generation_that_falls_is_found() {
    let folder = Folder::new();
    let table = format!("{HEADER}\n{XEN}\n");
    folder.write("up.csv", table.replace("xen,2", "xen,3").as_bytes());
    folder.write("text.csv", table.replace("4.20.0", "4.20.1").as_bytes());
    folder.write("more.csv", format!("{table}xen.example,1,a,b,c,d\n").as_bytes());
    for (before, now, code, text) in [
        ("sbat.csv", "unified.efi", 0, "the two have the same rows\n"),
        ("sbat.csv", "up.csv", 0, "xen: the generation rises from 2 to 3\n"),
        ("up.csv", "sbat.csv", 1, "xen: the generation falls from 3 to 2\n"),
        ("sbat.csv", "text.csv", 0, "xen: the same generation 2; "),
        ("sbat.csv", "more.csv", 0, "xen.example: new, generation 1\n"),
        ("more.csv", "sbat.csv", 1, "xen.example: gone, and was at generation 1\n"),
    ] {
        let (status, out, error) = folder.run("compare", &[before, now]);
        assert_eq!((status, error.as_str()), (code, ""), "{before} {now}: {out}");
        assert!(out.contains(text), "{before} {now}: {out}");
        let (status, document) = folder.json("compare", &[before, now]);
        assert_eq!((status, document["goes_down"].as_bool()), (code, Some(code == 1)));
    }
    assert_eq!(folder.run("compare", &["sbat.csv", "wrong.csv"]).0, 1);
    assert_eq!(folder.run("compare", &["sbat.csv", "nosuch"]).0, 2);
}

const GIVEN: &[&str] =
    &["--vendor=Example", "--package=xen", "--version=4.20.0+68-1", "--url=mail:a@example.org", "--generation=2"];

#[test]
fn what_is_written_passes() {
    let folder = Folder::new();
    let (code, out, error) = folder.run("write", GIVEN);
    assert_eq!((code, error.as_str()), (0, ""));
    assert_eq!(out, format!("{HEADER}\nxen.example,2,Example,xen,4.20.0+68-1,mail:a@example.org\n"));
    Table::read(out.as_bytes()).unwrap();
    let (code, document) =
        folder.json("write", &[GIVEN, &["--upstream-generation=4", "--output", "out.csv"]].concat());
    assert_eq!((code, &document["rows"][1]["version"]), (0, &Value::from("4.20.0")));
    let written = fs::read_to_string(folder.path("out.csv")).unwrap();
    assert_eq!(written.lines().nth(1).unwrap(), "xen,4,Xen Project,xen,4.20.0,https://xenproject.org");
    assert_eq!(folder.run("check", &["out.csv"]).0, 0);
}

#[test]
fn what_would_be_wrong_is_not_written() {
    let folder = Folder::new();
    let (code, document) = folder
        .json("write", &[GIVEN, &["--component=xen", "--upstream-generation=1", "--output", "out.csv"]].concat());
    assert_eq!((code, ids(&document)), (1, vec![("sbat-duplicate".to_owned(), Some(3))]));
    assert!(!folder.path("out.csv").exists());
    for wrong in
        ["--vendor=A,B", "--vendor=", "--vendor= a", "--vendor=\"a\"", "--vendor=B\u{f6}b", "--generation=0"]
    {
        let option = wrong.split('=').next().unwrap();
        let others = GIVEN.iter().copied().filter(|word| !word.starts_with(option));
        let (code, _, error) = folder.run("write", &others.chain([wrong]).collect::<Vec<_>>());
        assert_eq!(code, 2, "{wrong}: {error}");
    }
    let others: Vec<_> = GIVEN.iter().copied().filter(|word| !word.starts_with("--vendor")).collect();
    let (code, _, error) = folder.run("write", &[others.as_slice(), &["--vendor=-"]].concat());
    assert_eq!(code, 2);
    assert!(error.contains("--component"), "{error}");
    assert_eq!(folder.run("write", &[others.as_slice(), &["--vendor=-", "--component=xen.x"]].concat()).0, 0);
}
