//! `xen-lockdown lint` on files: what is read, and what is said about bad input.

#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../../image/tests/builder/mod.rs"]
#[allow(dead_code)]
mod builder;
mod support;

use std::fs;
use std::path::Path;

use builder::Pe;
use serde_json::Value;
use support::{lint_json, run};
use tempfile::TempDir;

/// A folder with these files; `lint --secure-boot` of the first one.
fn lint(files: &[(&str, &[u8])]) -> (i32, Value, TempDir) {
    lint_with(files, &[])
}

fn lint_with(files: &[(&str, &[u8])], more: &[&str]) -> (i32, Value, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        fs::write(folder.path().join(name), content).unwrap();
    }
    let first = folder.path().join(files[0].0);
    let (code, document) = lint_json(&[&["--secure-boot", first.to_str().unwrap()], more].concat());
    (code, document, folder)
}

fn texts(input: &Value, verdict: &str) -> Vec<String> {
    let tokens = input["tokens"].as_array().unwrap().iter();
    let chosen = tokens.filter(|token| token["verdict"] == verdict);
    chosen.map(|token| token["text"].as_str().unwrap().to_owned()).collect()
}

#[track_caller]
fn assert_cannot_judge(result: (i32, Value, TempDir), line: Option<u64>, expected: &str) {
    let (code, document, _folder) = result;
    assert_eq!(code, 2, "{document:#}");
    let errors = document["errors"].as_array().unwrap();
    let said = errors
        .iter()
        .any(|error| error["line"].as_u64() == line && error["message"].as_str().unwrap().contains(expected));
    assert!(said, "expected line {line:?}, {expected:?} in {errors:#?}");
}

const XEN_CFG: &[u8] = b"[global]\ndefault=xen\n\n[other]\noptions=mem=1G\n\n[xen]\noptions=loglvl=all smep=off\nkernel=vmlinuz quiet rdinit=/x\n";

#[test]
fn a_xen_cfg_is_unsigned_text_of_the_section_that_xen_chooses() {
    let (code, document, folder) = lint(&[("xen.cfg", XEN_CFG)]);
    assert_eq!(code, 1);
    let input = &document["inputs"][0];
    assert_eq!(input["name"], folder.path().join("xen.cfg").to_str().unwrap());
    assert_eq!(texts(input, "honoured"), ["loglvl=all", "quiet"]);
    assert_eq!(texts(input, "refused"), ["smep=off", "rdinit=/x"]);
    let token = &input["tokens"][1];
    assert_eq!((token["line"].as_u64(), token["column"].as_u64()), (Some(8), Some(20)));
    assert_eq!(token["segment"], "runtime");
    assert_eq!(input["passes"]["xen"], "loglvl=all");
    assert_eq!(input["passes"]["dom0"], "quiet lockdown=integrity");
}

#[test]
fn a_chained_configuration_takes_the_place_of_the_first() {
    // Named by the boot entry or by nobody: without a section, options= of the second file counts.
    let first = b"[global]\nchain=second.cfg\n";
    let second = b"options=loglvl=all\nkernel=vmlinuz quiet\n";
    let (code, document, folder) = lint(&[("xen.cfg", first), ("second.cfg", second)]);
    assert_eq!(code, 0, "{document:#}");
    let input = &document["inputs"][0];
    assert_eq!(texts(input, "honoured"), ["loglvl=all", "quiet"]);
    assert!(input["notes"][0]["message"].as_str().unwrap().contains("chain= is followed"));
    drop(folder);
}

#[test]
fn a_chain_that_comes_back_is_an_error() {
    let (first, second) = (b"[global]\nchain=second.cfg\n", b"[global]\nchain=xen.cfg\n");
    assert_cannot_judge(lint(&[("xen.cfg", first), ("second.cfg", second)]), Some(2), "for ever");
    assert_cannot_judge(lint(&[("xen.cfg", b"[global]\nchain=xen.cfg\n")]), Some(2), "for ever");
}

#[test]
fn a_chained_file_that_is_missing_is_an_error() {
    assert_cannot_judge(lint(&[("xen.cfg", b"[global]\nchain=none.cfg\n")]), Some(2), "none.cfg cannot be read");
}

#[test]
fn nul_bytes_and_other_encodings_are_named_with_their_line() {
    let nul = b"[xen]\noptions=loglvl=all\n\0smep=off\n";
    assert_cannot_judge(lint(&[("xen.cfg", nul)]), Some(3), "NUL");
    let latin = b"[xen]\noptions=loglvl=all\xe9\nkernel=v\n";
    assert_cannot_judge(lint(&[("xen.cfg", latin)]), Some(2), "not UTF-8");
    let utf16: Vec<u8> = "[xen]\noptions=x\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_cannot_judge(lint_with(&[("xen.cfg", &utf16)], &["--as", "xen-cfg"]), Some(1), "UTF-16");
}

#[test]
fn lines_of_megabytes_are_judged() {
    let mut text = b"[xen]\noptions=".to_vec();
    for _ in 0..200_000 {
        text.extend_from_slice(b"loglvl=all ");
    }
    text.extend_from_slice(b"mem=1G\nkernel=v\n");
    let (code, document, _folder) = lint(&[("xen.cfg", &text)]);
    assert_eq!(code, 1);
    assert_eq!(document["summary"]["honoured"], 200_000);
    assert_eq!(document["summary"]["refused"], 1);
}

#[test]
fn what_was_understood_stays_reported() {
    let folder = tempfile::tempdir().unwrap();
    let good = folder.path().join("xen.cfg");
    fs::write(&good, XEN_CFG).unwrap();
    let missing = folder.path().join("none.cfg");
    let (code, document) = lint_json(&["--secure-boot", missing.to_str().unwrap(), good.to_str().unwrap()]);
    assert_eq!(code, 2);
    assert_eq!(document["summary"]["refused"], 2);
    assert_eq!(document["errors"][0]["name"], missing.to_str().unwrap());
}

const GRUB_CFG: &str = "\
menuentry 'Plain Linux' {
	linux /vmlinuz root=/dev/sda1
}
menuentry 'Xen' {
	if [ \"$grub_platform\" = pc ]; then
		xen_rm_opts=
	else
		xen_rm_opts=\"no-real-mode edd=off\"
	fi
	multiboot2 /xen.gz placeholder loglvl=all iommu=off ${xen_rm_opts}
	module2 /vmlinuz placeholder root=/dev/sda1 ro quiet init=/x
	module2 --nounzip /initrd.img
}
submenu 'More' {
	menuentry 'Chained' {
		chainloader /EFI/xen/xen.efi xen.efi section -- mem=1G -- quiet
	}
}
";

#[test]
fn grub_cfg_has_one_answer_for_each_entry_that_boots_xen() {
    let (code, document, folder) = lint(&[("grub.cfg", GRUB_CFG.as_bytes())]);
    assert_eq!(code, 1);
    let name = folder.path().join("grub.cfg").to_str().unwrap().to_owned();
    let inputs = document["inputs"].as_array().unwrap();
    let names: Vec<_> = inputs.iter().map(|input| input["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(names, [format!("{name}: Xen"), format!("{name}: More > Chained")]);

    assert_eq!(texts(&inputs[0], "refused"), ["iommu=off", "init=/x"]);
    let token = &inputs[0]["tokens"][2];
    assert_eq!(
        (token["text"].as_str(), token["line"].as_u64(), token["column"].as_u64()),
        (Some("iommu=off"), Some(10), Some(44))
    );

    assert_eq!(texts(&inputs[1], "refused"), ["mem=1G"]);
    assert_eq!(texts(&inputs[1], "honoured"), ["quiet"]);
    assert_eq!(inputs[1]["notes"][0]["reason"], "signed-selection");
}

#[test]
fn quotes_reach_xen_as_grub_hands_them_on() {
    let entry = "menuentry Xen {\n multiboot2 /xen.gz placeholder \"console=vga com1\" 'loglvl=all'\n}\n";
    let (_, document, _folder) = lint(&[("grub.cfg", entry.as_bytes())]);
    // GRUB quotes the argument again, and to Xen a quote is a character like any other.
    assert_eq!(texts(&document["inputs"][0], "honoured"), ["placeholder", "loglvl=all"]);
    assert_eq!(texts(&document["inputs"][0], "refused"), ["\"console=vga", "com1\""]);
}

#[test]
fn a_variable_that_is_known_only_at_boot_is_no_guess() {
    let entry = "load_env\nmenuentry Xen {\n multiboot2 /xen.gz placeholder ${xen_options}\n}\nmenuentry 'Xen 2' {\n multiboot2 /xen.gz loglvl=all\n}\n";
    let result = lint(&[("grub.cfg", entry.as_bytes())]);
    // The other entry is judged all the same.
    assert_eq!(result.1["inputs"].as_array().unwrap().len(), 1);
    assert_cannot_judge(result, Some(3), "xen_options");
    let (code, document, _folder) =
        lint_with(&[("grub.cfg", entry.as_bytes())], &["--grub-variable", "xen_options=loglvl=all"]);
    assert_eq!(code, 0, "{document:#}");
    assert_eq!(document["inputs"].as_array().unwrap().len(), 2);
}

#[test]
fn a_condition_that_is_known_only_at_boot_is_no_guess() {
    let entry = |test: &str| {
        format!(
            "menuentry Xen {{\n if [ {test} ]; then\n  multiboot2 /xen.gz mem=1G\n else\n  multiboot2 /xen.gz loglvl=all\n fi\n}}\n"
        )
    };
    assert_cannot_judge(lint(&[("grub.cfg", entry("-f /flag").as_bytes())]), Some(3), "decided at boot");
    let (code, document, _folder) = lint(&[("grub.cfg", entry("a = b").as_bytes())]);
    assert_eq!(code, 0);
    assert_eq!(texts(&document["inputs"][0], "honoured"), ["loglvl=all"]);
}

#[test]
fn a_grub_cfg_without_xen_has_nothing_to_judge() {
    assert_cannot_judge(lint(&[("grub.cfg", b"menuentry A {\n linux /v\n}\n")]), None, "no menu entry boots Xen");
}

#[test]
fn an_open_quote_is_named_with_the_line_where_it_began() {
    let entry =
        "menuentry Xen {\n multiboot2 /xen.gz loglvl=all\n}\nmenuentry 'Second {\n multiboot2 /xen.gz mem=1G\n}\n";
    let result = lint(&[("grub.cfg", entry.as_bytes())]);
    assert_eq!(result.1["inputs"].as_array().unwrap().len(), 1);
    assert_cannot_judge(result, Some(4), "quote");
}

#[test]
fn etc_default_grub_is_put_together_as_debians_script_does_it() {
    let text = "GRUB_CMDLINE_LINUX=\"root=/dev/sda1\"\nGRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"\nGRUB_CMDLINE_XEN=\"loglvl=all\"\nGRUB_CMDLINE_XEN_DEFAULT='mem=1G'\n";
    let (code, document, _folder) = lint(&[("grub", text.as_bytes())]);
    assert_eq!(code, 1);
    let inputs = document["inputs"].as_array().unwrap();
    assert_eq!(inputs[0]["passes"]["xen"], "loglvl=all");
    assert_eq!(texts(&inputs[0], "refused"), ["mem=1G"]);
    assert_eq!(inputs[0]["passes"]["dom0"], "root=/dev/sda1 quiet lockdown=integrity");
    let token = &inputs[0]["tokens"][1];
    assert_eq!((token["line"].as_u64(), token["column"].as_u64()), (Some(4), Some(27)));
    assert_eq!(inputs[1]["passes"]["dom0"], "single root=/dev/sda1 lockdown=integrity");
    assert_eq!(texts(&inputs[1], "refused"), [] as [&str; 0]);
}

#[test]
fn etc_default_grub_with_a_command_substitution_is_no_guess() {
    let text = "GRUB_CMDLINE_XEN=\"$(cat /options)\"\n";
    assert_cannot_judge(lint(&[("grub", text.as_bytes())]), Some(1), "shell");
}

fn image(config: &[u8]) -> Vec<u8> {
    Pe::new().with(".text", b"code").with(".config", config).build()
}

#[test]
fn the_config_section_of_an_image_is_signed_text() {
    let (code, document, _folder) = lint(&[("xen.efi", &image(XEN_CFG))]);
    assert_eq!(code, 0, "{document:#}");
    let input = &document["inputs"][0];
    assert_eq!(texts(input, "honoured"), ["loglvl=all", "smep=off", "quiet", "rdinit=/x"]);
    assert_eq!(input["tokens"][1]["segment"], "signed");
    assert_eq!(input["tokens"][1]["line"], 8);
}

#[test]
fn a_signed_chain_is_not_followed_by_a_locked_xen() {
    let (code, document, folder) = lint(&[("xen.efi", &image(b"[global]\nchain=more.cfg\n"))]);
    assert_eq!(code, 0, "{document:#}");
    assert_eq!(document["inputs"][0]["notes"][0]["reason"], "signed-selection");
    drop(folder);
}

#[test]
fn an_image_without_signed_text_cannot_be_judged() {
    let bare = Pe::new().with(".text", b"code").build();
    assert_cannot_judge(lint(&[("xen.efi", &bare)]), None, "no section .config");
}

#[test]
fn a_truncated_image_cannot_be_judged() {
    let whole = image(XEN_CFG);
    for len in [2, 64, 200, 0x200, whole.len() - 0x100] {
        let (code, document, _folder) = lint(&[("xen.efi", &whole[..len])]);
        assert_eq!(code, 2, "{len}: {document:#}");
        assert!(document["errors"][0]["message"].as_str().unwrap().contains("offset"), "{document:#}");
    }
}

#[test]
fn a_file_of_no_known_kind_is_said_to_be_so() {
    assert_cannot_judge(lint(&[("notes.txt", b"hello\n")]), None, "--as");
    assert_cannot_judge(lint(&[("empty", b"")]), None, "--as");
}

#[test]
fn a_folder_is_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(&["lint", folder.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot be read"));
}

#[test]
fn the_examples_are_what_they_say() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let (code, document) = lint_json(&["--secure-boot", examples.join("xen.cfg").to_str().unwrap()]);
    assert_eq!((code, document["summary"]["refused"].as_u64()), (0, Some(0)), "{document:#}");
}
