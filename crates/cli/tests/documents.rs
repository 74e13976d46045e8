//! The examples in the documentation do what they show.

#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../../image/tests/builder/mod.rs"]
#[allow(dead_code)]
mod builder;
#[path = "support/signing.rs"]
mod signing;

use std::fs;
use std::path::Path;

use builder::Pe;
use lockdown_image::sbat::HEADER;
use signing::Folder;

#[test]
fn the_readmes_examples_are_as_shown() {
    trycmd::TestCases::new().case("../../README.md");
}

#[test]
fn status_has_an_answer_where_there_is_no_xen() {
    trycmd::TestCases::new().case("tests/status/*.toml");
}

#[test]
fn the_guard_is_not_made_from_bad_input() {
    trycmd::TestCases::new().case("tests/guard/*.toml");
}

#[test]
fn recorded_hypercalls_are_explained() {
    trycmd::TestCases::new().case("tests/hypercall/*.toml");
}

#[test]
fn images_are_signed_as_the_documentation_shows() {
    let Some(mut folder) = Folder::new() else { return };
    let token = folder.token().is_some();
    let text = include_str!("../../../docs/image.md");
    let text = text.split_once("\n## Signing\n").unwrap().1;
    let lines = text.lines().map(|line| line.strip_prefix("    ").unwrap_or_default());
    let examples: Vec<String> =
        lines.collect::<Vec<_>>().split(|line| line.is_empty()).map(|block| block.join("\n")).collect();
    let examples = examples.into_iter().filter(|block| !block.is_empty());
    assert_eq!(run_all(&folder, token, examples), 6);
}

#[test]
fn images_are_signed_as_the_command_says() {
    let Some(mut folder) = Folder::new() else { return };
    let token = folder.token().is_some();
    let mut count = 0;
    for command in ["sign", "prepare", "attach", "unsign"] {
        let help = String::from_utf8(folder.image(&[command, "--help"]).stdout).unwrap();
        let examples = help.split_once("\nExamples:\n").unwrap().1.replace("\\\n      ", "");
        let commands =
            examples.lines().filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
        count += run_all(&folder, token, commands.map(str::to_owned).collect::<Vec<_>>());
    }
    assert_eq!(count, 8);
}

/// Runs them in one folder, one after the other; gives their number.
fn run_all(folder: &Folder, token: bool, examples: impl IntoIterator<Item = String>) -> usize {
    let mut count = 0;
    for example in examples {
        count += 1;
        if example.contains("pkcs11:") && !token {
            continue;
        }
        let output = folder.shell(&example);
        assert!(output.status.success(), "{example}\n{}", String::from_utf8_lossy(&output.stderr));
    }
    count
}

#[test]
fn the_examples_of_sbat_are_as_shown() {
    let table = |generation: &str| {
        format!("{HEADER}\nxen.example,{generation},Example,xen,4.20.0-1,mail:security@example.org\n")
    };
    let mut padded = table("1").into_bytes();
    padded.resize(padded.len().next_multiple_of(0x20), 0);
    let image = Pe::new().with(".text", &[0x90; 0x20]).with(".sbat", &padded).build();
    run_examples(
        "sbat.md",
        &[
            ("unified.efi", &image),
            ("fixed.csv", table("2").as_bytes()),
            ("revocations.csv", b"sbat,1,2026090100\nshim,4\nxen.example,2\n"),
            (".config", CONFIG),
            ("generations.toml", block("sbat.md", "[[generation]]").as_bytes()),
        ],
    );
}

/// How a Xen is built that has no shadow paging, and none for Arm.
const CONFIG: &[u8] = b"CONFIG_X86=y\nCONFIG_HVM=y\n# CONFIG_SHADOW_PAGING is not set\n";

/// The text of a page that begins with a line, up to the end of its block.
fn block(page: &str, first: &str) -> String {
    let text = fs::read_to_string(Path::new("../../docs").join(page)).unwrap();
    let plain = text.lines().map(|line| line.strip_prefix("    ").unwrap_or(line));
    let lines = plain.skip_while(|line| *line != first).take_while(|line| !line.starts_with("```"));
    let lines: Vec<_> = lines.map(|line| format!("{line}\n")).collect();
    assert!(!lines.is_empty(), "{page} has no {first}");
    lines.concat()
}

#[test]
fn the_examples_of_judge_are_as_shown() {
    let page = fs::read_to_string("../../docs/judge.md").unwrap();
    // The one that is shown.
    let lines = page.lines().skip_while(|line| !line.starts_with("    title = "));
    let issue: Vec<_> =
        lines.map_while(|line| line.strip_prefix("    ")).map(|line| format!("{line}\n")).collect();
    run_examples("judge.md", &[("issue.toml", issue.concat().as_bytes()), (".config", CONFIG)]);
}

#[test]
fn the_examples_of_image_are_as_shown() {
    let xen = Pe::new()
        .with(".text", &[0x90; 0x40])
        .with(".reloc", &[7; 0x20])
        .row(0, |row| row.characteristics = 0x6000_0020)
        .row(1, |row| row.characteristics = 0x4200_0040)
        .build();
    let mut kernel = vec![0; 0x400];
    for (at, bytes) in [(0x202, b"HdrS".as_slice()), (0x20e, &[0, 1]), (0x300, b"6.12.1-example")] {
        kernel.splice(at..at + bytes.len(), bytes.iter().copied());
    }
    let table = format!("{HEADER}\nxen.example,1,Example,xen,4.20.0-1,mail:security@example.org\n");
    let page = fs::read_to_string("../../docs/image.md").unwrap();
    // The one that is shown.
    let description: String = page
        .lines()
        .skip_while(|line| !line.starts_with("    xen = "))
        .map_while(|line| line.strip_prefix("    "))
        .map(|line| format!("{line}\n"))
        .collect();
    run_examples(
        "image.md",
        &[
            ("xen.efi", &xen),
            ("vmlinuz", &kernel),
            ("initrd.img", b"\x28\xb5\x2f\xfdpacked"),
            ("sbat.csv", table.as_bytes()),
            (
                "xen.cfg",
                b"[global]\ndefault=xen\n[xen]\noptions=loglvl=all iommu=no-intremap\nkernel=vmlinuz quiet\nramdisk=initrd\n",
            ),
            ("image.toml", description.as_bytes()),
        ],
    );
}

#[test]
fn the_examples_of_verify_are_as_shown() {
    let Some(folder) = Folder::new() else { return };
    let signed =
        folder.image(&["sign", "--key", "db.key", "--cert", "db.crt", "--output", "signed.efi", "unified.efi"]);
    assert!(signed.status.success());
    let read = |name: &str| folder.read(name);
    let mut changed = read("signed.efi");
    // In its code.
    changed[0x210] ^= 1;
    let (db, other) = (read("db.crt"), read("new.crt"));
    run_examples(
        "verify.md",
        &[("unified.efi", &read("signed.efi")), ("changed.efi", &changed), ("db.pem", &db), ("other.pem", &other)],
    );
}

/// Runs the examples of a page in a folder with these files.
fn run_examples(page: &str, files: &[(&str, &[u8])]) {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join(page);
    fs::copy(Path::new("../../docs").join(page), &copy).unwrap();
    let inputs = copy.with_extension("in");
    fs::create_dir(&inputs).unwrap();
    for (name, bytes) in files {
        fs::write(inputs.join(name), bytes).unwrap();
    }
    let examples = trycmd::TestCases::new();
    examples.case(&copy);
    examples.run();
}
