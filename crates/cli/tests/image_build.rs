//! `xen-lockdown image build`: what it makes, and what it refuses, each with a twin that passes.

#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../../image/tests/builder/mod.rs"]
#[allow(dead_code)]
mod builder;
mod support;

use std::fs;
use std::path::{Path, PathBuf};

use builder::Pe;
use lockdown_image::Image;
use serde_json::Value;
use support::{module, run};
use tempfile::TempDir;

const CONFIG: &str = "[global]\ndefault=xen\n[xen]\noptions=loglvl=all\nkernel=vmlinuz quiet\nramdisk=initrd\n";
const NEEDED: &str = "rdinit=/xen-lockdown/init panic_on_taint=0x8,nousertaint";
const RAMDISK: &[u8] = b"\x1f\x8bfirst";
const SECOND: &[u8] = b"070701second";

fn xen() -> Vec<u8> {
    Pe::new()
        .with(".text", &[0x90; 0x30])
        .with(".data", b"data")
        .but(|pe| pe.section_alignment = 0x20_0000)
        .build()
}

/// A folder with inputs that are all right.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        let mut kernel = vec![0; 0x400];
        kernel[0x202..0x206].copy_from_slice(b"HdrS");
        for (name, bytes) in [
            ("xen.efi", xen().as_slice()),
            ("xen.cfg", CONFIG.as_bytes()),
            ("vmlinuz", &kernel),
            ("initrd", RAMDISK),
            ("second", SECOND),
            ("policy", b"\x8c\xff\x7c\xf9\x08\0\0\0XenFlask"),
            ("ucode", b"DMA\0\0\0\0\0"),
            ("sbat.csv", b"sbat,1,SBAT Version,sbat,1,https://github.com/rhboot/shim/blob/main/SBAT.md\n"),
            ("xen-privcmd.ko", &module("xen_privcmd", true)),
        ] {
            folder.write(name, bytes);
        }
        folder
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Builds with these options, whose values are files of the folder; the exit status, the document and standard error.
    fn build(&self, options: &[&str]) -> (i32, Value, String) {
        let mut arguments = vec!["image".to_owned(), "build".into(), "--format".into(), "json".into()];
        for pair in options.chunks(2) {
            arguments.push(pair[0].to_owned());
            arguments.push(self.path(pair[1]).to_str().unwrap().to_owned());
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let output = run(&arguments);
        let document = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        (output.status.code().unwrap(), document, String::from_utf8(output.stderr).unwrap())
    }
}

const USUAL: &[&str] = &[
    "--xen",
    "xen.efi",
    "--config",
    "xen.cfg",
    "--kernel",
    "vmlinuz",
    "--ramdisk",
    "initrd",
    "--output",
    "out.efi",
];

fn usual_with(more: &[&'static str]) -> Vec<&'static str> {
    [USUAL, more].concat()
}

/// `USUAL` with another file for one of its options.
fn usual_but(option: &str, file: &'static str) -> Vec<&'static str> {
    let mut options = USUAL.to_vec();
    let at = options.iter().position(|other| *other == option).unwrap();
    options[at + 1] = file;
    options
}

fn section(image: &Path, name: &str) -> Option<Vec<u8>> {
    Some(Image::open(image).unwrap().section(name).unwrap()?.bytes)
}

#[track_caller]
fn assert_built(folder: &Folder, options: &[&str]) {
    let (code, document, error) = folder.build(options);
    assert_eq!(code, 0, "{document:#}\n{error}");
    assert_eq!(ids(&document), Vec::<&str>::new(), "{document:#}");
    assert!(folder.path("out.efi").exists());
}

/// Errors and warnings, beside what is said of every image without a table, and without the guard.
fn ids(document: &Value) -> Vec<&str> {
    let findings = document["findings"].as_array().unwrap().iter().filter(|finding| finding["level"] != "note");
    let ids = findings.map(|finding| finding["id"].as_str().unwrap());
    ids.filter(|id| !["sbat-missing", "no-guard"].contains(id)).collect()
}

#[track_caller]
fn assert_refused(folder: &Folder, options: &[&str], id: &str, file: &str, line: Option<u64>) {
    let (code, document, error) = folder.build(options);
    assert_eq!(code, 1, "{document:#}\n{error}");
    let findings = document["findings"].as_array().unwrap();
    let named = |finding: &&Value| finding["id"] == id && finding["level"] == "error";
    let found = findings.iter().find(named).unwrap_or_else(|| panic!("no {id} in {document:#}"));
    assert_eq!(found["file"], folder.path(file).to_str().unwrap());
    assert_eq!(found["line"].as_u64(), line, "{document:#}");
    assert_eq!(document["image"], Value::Null);
    assert!(!folder.path("out.efi").exists());
}

#[test]
fn every_part_becomes_its_section() {
    let folder = Folder::new();
    let (code, document, error) =
        folder.build(&usual_with(&["--xsm", "policy", "--ucode", "ucode", "--sbat", "sbat.csv"]));
    assert_eq!(code, 0, "{document:#}\n{error}");
    assert_eq!(document["schema"], "xen-lockdown/image-build/1");
    let names: Vec<&str> =
        document["image"]["sections"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, [".config", ".kernel", ".ramdisk", ".xsm", ".ucode", ".sbat"]);
    let out = folder.path("out.efi");
    for (name, file) in
        [(".config", "xen.cfg"), (".kernel", "vmlinuz"), (".ramdisk", "initrd"), (".xsm", "policy")]
    {
        assert_eq!(section(&out, name).unwrap(), fs::read(folder.path(file)).unwrap(), "{name}");
    }
    assert_eq!(section(&out, ".sbat").unwrap(), fs::read(folder.path("sbat.csv")).unwrap());
    assert_eq!(document["image"]["size"], fs::metadata(&out).unwrap().len());
    // No other file is left beside.
    let left = fs::read_dir(folder.0.path()).unwrap();
    let left: Vec<String> = left.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(!left.iter().any(|name| name.starts_with('.')), "{left:?}");
}

#[test]
fn the_same_input_gives_the_same_bytes_and_an_image_can_be_replaced() {
    let folder = Folder::new();
    let options = usual_with(&["--guard", "xen-privcmd.ko"]);
    assert_built(&folder, &options);
    let first = fs::read(folder.path("out.efi")).unwrap();
    assert_built(&folder, &options);
    assert_eq!(first, fs::read(folder.path("out.efi")).unwrap());
}

#[test]
fn ramdisks_stand_one_behind_the_other_at_multiples_of_four() {
    let folder = Folder::new();
    assert_built(&folder, &usual_with(&["--ramdisk", "second"]));
    assert_eq!(section(&folder.path("out.efi"), ".ramdisk").unwrap(), [RAMDISK, b"\0", SECOND].concat());
}

#[test]
fn the_guard_comes_first_and_dom0s_line_starts_it() {
    let folder = Folder::new();
    assert_built(&folder, &usual_with(&["--guard", "xen-privcmd.ko"]));
    let out = folder.path("out.efi");
    let config = String::from_utf8(section(&out, ".config").unwrap()).unwrap();
    assert_eq!(config, CONFIG.replace("vmlinuz", &format!("vmlinuz {NEEDED}")));
    let ramdisk = section(&out, ".ramdisk").unwrap();
    assert!(ramdisk.starts_with(b"070701") && ramdisk.ends_with(RAMDISK));
    let place = |text: &[u8]| ramdisk.windows(text.len()).position(|window| window == text).unwrap();
    assert!(place(b"xen-lockdown/xen-privcmd.ko\0") < place(b"TRAILER!!!"));
    assert!(place(b"TRAILER!!!") < place(RAMDISK) && place(RAMDISK) % 4 == 0);
    let module = module("xen_privcmd", true);
    assert!(place(&module) % 4 == 0);
}

#[test]
fn what_would_keep_the_guard_out_is_refused() {
    for (line, id) in [
        ("vmlinuz rdinit=/bin/sh", "other-rdinit"),
        ("vmlinuz panic_on_taint=0x1", "other-taint"),
        ("vmlinuz module_blacklist=xen_privcmd", "guard-kept-out"),
        ("vmlinuz initcall_blacklist=privcmd_init", "guard-kept-out"),
        ("vmlinuz sysctl.kernel.modules_disabled=1", "guard-kept-out"),
    ] {
        let folder = Folder::new();
        folder.write("xen.cfg", CONFIG.replace("vmlinuz quiet", line).as_bytes());
        assert_refused(&folder, &usual_with(&["--guard", "xen-privcmd.ko"]), id, "xen.cfg", Some(5));
        // Without the guard it is the owner's own affair.
        assert_built(&folder, USUAL);
    }
}

#[test]
fn a_guard_is_a_signed_module_of_its_name() {
    let folder = Folder::new();
    folder.write("other.ko", &module("xenfs", true));
    folder.write("plain.ko", &module("xen_privcmd", false));
    folder.write("packed.ko", b"\xfd7zXZ\0\0");
    for (file, text) in [
        ("other.ko", "the module \"xenfs\""),
        ("plain.ko", "not signed"),
        ("packed.ko", "compressed"),
        ("vmlinuz", "no kernel module"),
    ] {
        let (_, document, _) = folder.build(&usual_with(&["--guard", file]));
        let findings = document["findings"].as_array().unwrap();
        let wrong = findings.iter().find(|finding| finding["id"] == "wrong-kind").unwrap();
        let message = wrong["message"].as_str().unwrap();
        assert!(message.contains(text), "{file}: {message}");
        assert_refused(&folder, &usual_with(&["--guard", file]), "wrong-kind", file, None);
    }
    assert_built(&folder, &usual_with(&["--guard", "xen-privcmd.ko"]));
}

#[test]
fn a_guard_takes_a_ramdisk_to_go_on_with() {
    let folder = Folder::new();
    let without: Vec<&str> = usual_with(&["--guard", "xen-privcmd.ko"])
        .into_iter()
        .filter(|word| !["--ramdisk", "initrd"].contains(word))
        .collect();
    let (code, _, error) = folder.build(&without);
    assert_eq!(code, 2);
    assert!(error.contains("--ramdisk"), "{error}");
    assert_built(&folder, &usual_with(&["--guard", "xen-privcmd.ko"]));
}

#[test]
fn one_kind_of_file_is_not_taken_for_another() {
    let folder = Folder::new();
    for option in ["--xen", "--kernel", "--ramdisk"] {
        let wrong = if option == "--kernel" { "initrd.txt" } else { "vmlinuz" };
        folder.write("initrd.txt", b"text");
        assert_refused(&folder, &usual_but(option, wrong), "wrong-kind", wrong, None);
    }
    // A boot loader, say.
    for base in [0, 0x1_4000_0000] {
        let program = Pe::new().with(".text", &[0x90]).but(|pe| pe.image_base = base);
        folder.write("program.efi", &program.build());
        assert_refused(&folder, &usual_but("--xen", "program.efi"), "wrong-kind", "program.efi", None);
    }
    for option in ["--xsm", "--ucode", "--sbat"] {
        assert_refused(&folder, &usual_with(&[option, "vmlinuz"]), "wrong-kind", "vmlinuz", None);
    }
    assert_refused(&folder, &usual_with(&["--ucode", "second"]), "wrong-kind", "second", None);
    folder.write("empty", b"");
    assert_refused(&folder, &usual_but("--ramdisk", "empty"), "wrong-kind", "empty", None);
    assert_built(&folder, USUAL);
}

#[test]
fn a_configuration_that_says_something_else_than_the_image_is_refused() {
    for (config, id, line) in [
        (CONFIG.replace("default=xen\n", ""), "no-default", 1),
        (CONFIG.replace("default=xen", "default=other"), "no-section", 2),
        (CONFIG.replace("kernel=vmlinuz quiet\n", ""), "no-kernel-line", 3),
        (CONFIG.replace("[xen]", "chain=other.cfg\n[xen]"), "chained", 3),
        (format!("{CONFIG}xsm=policy\n"), "xsm-on-disk", 7),
    ] {
        let folder = Folder::new();
        folder.write("xen.cfg", config.as_bytes());
        assert_refused(&folder, USUAL, id, "xen.cfg", Some(line));
    }
    let folder = Folder::new();
    let without: Vec<&str> =
        USUAL.iter().copied().filter(|word| !["--ramdisk", "initrd"].contains(word)).collect();
    assert_refused(&folder, &without, "ramdisk-on-disk", "xen.cfg", Some(6));
    folder.write("xen.cfg", format!("{CONFIG}xsm=policy\n").as_bytes());
    assert_built(&folder, &usual_with(&["--xsm", "policy"]));
}

#[test]
fn a_warning_is_no_refusal() {
    let folder = Folder::new();
    folder.write("xen.cfg", format!("{CONFIG}ucode=ucode.bin\n").as_bytes());
    let (code, document, _) = folder.build(USUAL);
    assert_eq!((code, ids(&document)), (0, vec!["ucode-on-disk"]));
    let findings = document["findings"].as_array().unwrap();
    let found = findings.iter().find(|finding| finding["id"] == "ucode-on-disk").unwrap();
    assert_eq!(found["level"], "warning");
    assert_built(&folder, &usual_with(&["--ucode", "ucode"]));
}

#[test]
fn what_cannot_be_judged_is_status_2_and_leaves_nothing() {
    let folder = Folder::new();
    folder.write("text", b"text");
    folder.write("utf16.cfg", b"\xff\xfe[\0");
    fs::create_dir(folder.path("folder")).unwrap();
    for (option, file, text) in [
        ("--xen", "text", "no image of Xen's"),
        ("--xen", "nosuch", "cannot be read"),
        ("--config", "folder", "not a regular file"),
        ("--config", "utf16.cfg", "utf16.cfg:1:1: "),
        ("--kernel", "nosuch", "nosuch cannot be read"),
    ] {
        let (code, _, error) = folder.build(&usual_but(option, file));
        assert_eq!(code, 2, "{option} {file}: {error}");
        assert!(error.contains(text), "{option} {file}: {error}");
        assert!(!folder.path("out.efi").exists());
    }
    for output in ["folder", "folder/nosuch/out.efi", "initrd", "xen.cfg"] {
        let (code, _, error) = folder.build(&usual_but("--output", output));
        assert_eq!(code, 2, "{output}: {error}");
    }
    assert_eq!(fs::read(folder.path("initrd")).unwrap(), RAMDISK);
    // An image with such a section already.
    assert_built(&folder, USUAL);
    fs::rename(folder.path("out.efi"), folder.path("unified.efi")).unwrap();
    let (code, _, error) = folder.build(&usual_but("--xen", "unified.efi"));
    assert_eq!(code, 2);
    assert!(error.contains("there is a section .config already"), "{error}");
}

#[test]
fn people_read_what_is_wrong_and_where() {
    let folder = Folder::new();
    folder.write("xen.cfg", CONFIG.replace("quiet", "rdinit=/bin/sh").as_bytes());
    let place = |name: &str| folder.path(name).to_str().unwrap().to_owned();
    let build = |more: &[&str]| {
        let mut arguments = vec!["image".to_owned(), "build".into()];
        for pair in usual_with(&[]).chunks(2) {
            arguments.extend([pair[0].to_owned(), place(pair[1])]);
        }
        let more: Vec<String> = more
            .iter()
            .map(|word| if word.starts_with("--") { (*word).to_owned() } else { place(word) })
            .collect();
        arguments.extend(more);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let output = run(&arguments);
        (
            output.status.code().unwrap(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, out, error) = build(&["--guard", "xen-privcmd.ko"]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(error.contains("\nerror[other-rdinit]: rdinit=/bin/sh takes the place of"), "{error}");
    assert!(error.contains(&format!(" --> {}:5:16\n", place("xen.cfg"))), "{error}");
    folder.write("xen.cfg", CONFIG.as_bytes());
    let (code, out, error) = build(&["--guard", "xen-privcmd.ko", "--sbat", "sbat.csv"]);
    assert_eq!((code, error.as_str()), (0, ""));
    assert!(out.contains("not signed") && out.contains(".ramdisk"), "{out}");
}

#[test]
fn a_table_that_is_wrong_is_not_built_in_and_none_is_told() {
    let folder = Folder::new();
    let levels = |document: &Value| -> Vec<(String, String)> {
        let text = |it: &Value| it.as_str().unwrap().to_owned();
        document["findings"].as_array().unwrap().iter().map(|it| (text(&it["id"]), text(&it["level"]))).collect()
    };
    let guarded = usual_with(&["--guard", "xen-privcmd.ko"]);
    let (code, document, _) = folder.build(&guarded);
    assert_eq!((code, levels(&document)), (0, vec![("sbat-missing".into(), "warning".into())]));
    let (code, document, _) = folder.build(&[guarded.as_slice(), &["--sbat", "sbat.csv"]].concat());
    assert_eq!((code, levels(&document)), (0, vec![]));
    fs::remove_file(folder.path("out.efi")).unwrap();
    let table = fs::read_to_string(folder.path("sbat.csv")).unwrap();
    folder.write("wrong.csv", format!("{table}xen.example,0,a,b,c,d\n").as_bytes());
    assert_refused(&folder, &usual_with(&["--sbat", "wrong.csv"]), "sbat-generation", "wrong.csv", Some(2));
}

#[test]
fn a_ramdisk_without_the_guard_is_told() {
    let folder = Folder::new();
    let has = |document: &Value| document["findings"].as_array().unwrap().iter().any(|it| it["id"] == "no-guard");
    assert!(has(&folder.build(USUAL).1));
    assert!(!has(&folder.build(&usual_with(&["--guard", "xen-privcmd.ko"])).1));
    // One that has it already.
    folder.write("guarded", &section(&folder.path("out.efi"), ".ramdisk").unwrap());
    assert!(!has(&folder.build(&usual_but("--ramdisk", "guarded")).1));
}

#[test]
fn lines_that_xen_would_cut_are_refused() {
    for (config, id, line) in [
        (CONFIG.replace("quiet", &"y".repeat(1010)), "dom0-line-cut", 5),
        (CONFIG.replace("loglvl=all", &format!("com1={}", "1".repeat(123))), "option-cut", 4),
    ] {
        let folder = Folder::new();
        folder.write("xen.cfg", config.as_bytes());
        assert_refused(&folder, USUAL, id, "xen.cfg", Some(line));
    }
    // It would fit, and not with what the guard needs.
    let folder = Folder::new();
    folder.write("xen.cfg", CONFIG.replace("quiet", &"y".repeat(990)).as_bytes());
    assert_built(&folder, USUAL);
    fs::remove_file(folder.path("out.efi")).unwrap();
    assert_refused(&folder, &usual_with(&["--guard", "xen-privcmd.ko"]), "dom0-line-cut", "xen.cfg", Some(5));
    for (config, id) in [
        (CONFIG.replace("loglvl=all", "loglvl=all --"), "open-separator"),
        (CONFIG.replace("quiet", "\"quiet"), "addition-lost"),
    ] {
        folder.write("xen.cfg", config.as_bytes());
        let (code, document, _) = folder.build(USUAL);
        assert_eq!(code, 0);
        assert!(ids(&document).contains(&id), "{document:#}");
    }
}

#[test]
fn what_signed_text_weakens_is_noted() {
    let folder = Folder::new();
    folder.write("xen.cfg", CONFIG.replace("loglvl=all", "loglvl=all iommu=off").as_bytes());
    let (code, document, _) = folder.build(&usual_with(&["--guard", "xen-privcmd.ko"]));
    assert_eq!((code, ids(&document)), (0, vec![]), "{document:#}");
    let findings = document["findings"].as_array().unwrap();
    let found = findings.iter().find(|finding| finding["id"] == "dma-protection").unwrap();
    assert_eq!((&found["level"], &found["line"], &found["column"]), (&"note".into(), &4.into(), &20.into()));
    let message = found["message"].as_str().unwrap();
    assert!(
        message.starts_with("iommu=off: ") && message.ends_with("signed, and so a locked Xen honours it"),
        "{message}"
    );
}

#[test]
fn shim_loads_the_relocations_of_what_is_built() {
    let folder = Folder::new();
    let xen = Pe::new().with(".text", &[0x90; 0x30]).with(".reloc", &[7; 0x20]);
    folder.write("xen.efi", &xen.row(1, |row| row.characteristics = 0x4200_0040).build());
    assert_built(&folder, USUAL);
    let image = Image::open(&folder.path("out.efi")).unwrap();
    assert_eq!(image.find(".reloc").unwrap().characteristics.0, 0x4000_0040);
    assert_eq!(image.section(".reloc").unwrap().unwrap().bytes, [7; 0x20]);
}

mod from_a_file {
    use super::*;

    const DESCRIPTION: &str = "xen = \"xen.efi\"\nconfig = \"xen.cfg\"\nkernel = \"vmlinuz\"\n\
                               ramdisk = [\"initrd\", \"second\"]\nsbat = \"sbat.csv\"\noutput = \"out.efi\"\n";

    fn folder(description: &str) -> Folder {
        let folder = Folder::new();
        folder.write("image.toml", description.as_bytes());
        folder
    }

    #[test]
    fn its_files_stand_beside_it() {
        let folder = folder(DESCRIPTION);
        assert_built(&folder, &["--from", "image.toml"]);
        let from_file = fs::read(folder.path("out.efi")).unwrap();
        assert_built(&folder, &usual_with(&["--ramdisk", "second", "--sbat", "sbat.csv"]));
        assert_eq!(fs::read(folder.path("out.efi")).unwrap(), from_file);
        // What is absolute is taken as it is.
        let place = folder.path("xen.efi");
        folder.write("image.toml", DESCRIPTION.replace("xen.efi", place.to_str().unwrap()).as_bytes());
        assert_built(&folder, &["--from", "image.toml"]);
    }

    #[test]
    fn the_command_line_stands_above_it() {
        let folder = folder(DESCRIPTION);
        assert_built(&folder, &["--from", "image.toml", "--ramdisk", "second", "--guard", "xen-privcmd.ko"]);
        let ramdisk = section(&folder.path("out.efi"), ".ramdisk").unwrap();
        assert!(ramdisk.ends_with(SECOND) && !ramdisk.windows(RAMDISK.len()).any(|window| window == RAMDISK));
        assert_built(&folder, &["--from", "image.toml", "--output", "other.efi"]);
        assert!(folder.path("other.efi").exists());
    }

    #[test]
    fn what_is_unknown_or_missing_is_told() {
        for (description, text) in [
            (format!("{DESCRIPTION}initrd = \"x\"\n"), "line 7"),
            (DESCRIPTION.replace("[\"initrd\", \"second\"]", "\"initrd\""), "line 4"),
            (DESCRIPTION.replace("xen = \"xen.efi\"\n", ""), "says nothing of xen"),
            (DESCRIPTION.replace("output = \"out.efi\"\n", ""), "says nothing of output"),
            (DESCRIPTION.replace("vmlinuz", "nosuch"), "nosuch cannot be read"),
            ("xen = ".to_owned(), "line 1"),
            (DESCRIPTION.replace("out.efi", "image.toml"), "is an input"),
        ] {
            let folder = folder(&description);
            let (code, _, error) = folder.build(&["--from", "image.toml"]);
            assert_eq!(code, 2, "{error}");
            assert!(error.contains(text), "{text}: {error}");
            assert!(!folder.path("out.efi").exists());
        }
        let (code, _, error) = Folder::new().build(&["--from", "nosuch.toml"]);
        assert_eq!(code, 2);
        assert!(error.contains("nosuch.toml cannot be read"), "{error}");
    }
}
