//! Xen's configuration file, rule by rule. `NN` in `vector_NN` is the number in the list of lockdown vectors.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use lockdown_bootconfig::Located;
use lockdown_bootconfig::xen_cfg::{Config, RemarkKind, Selection};
use proptest::prelude::*;

const USUAL: &[u8] = b"[global]\ndefault=xen\n\n[xen]\noptions=console=vga smep=1\n\
    kernel=vmlinuz root=/dev/sda1 ro\nramdisk=initrd.img\nxsm=policy\nucode=ucode.bin\nvideo=gfx-1024x768\n";

#[test]
fn the_usual_file() {
    let selection = select(USUAL);
    assert_eq!(selection.section.as_deref(), Some(&b"xen"[..]));
    assert_eq!(text(selection.default), "xen");
    assert_eq!(text(selection.header), "xen");
    assert_eq!(text(selection.options), "console=vga smep=1");
    let kernel = selection.kernel.unwrap();
    assert_eq!(text(Some(kernel.file)), "vmlinuz");
    assert_eq!(text(kernel.arguments), "root=/dev/sda1 ro");
    assert_eq!(text(selection.ramdisk), "initrd.img");
    assert_eq!(text(selection.xsm), "policy");
    assert_eq!(text(selection.ucode), "ucode.bin");
    assert_eq!(text(selection.video), "gfx-1024x768");
    assert_eq!(selection.chain, None);
}

#[test]
fn values_know_their_place() {
    let options = select(USUAL).options.unwrap();
    assert_eq!((options.line, options.column), (5, 9));
    assert_eq!(&USUAL[options.offset..][..options.text.len()], options.text);
    let arguments = select(USUAL).kernel.unwrap().arguments.unwrap();
    assert_eq!((arguments.line, arguments.column), (6, 16));
    let ro = arguments.tail(15);
    assert_eq!((text(Some(ro)), ro.line, ro.column), ("ro".into(), 6, 31));
}

mod lines {
    use super::*;

    #[test]
    fn end_in_lf_in_crlf_in_cr_or_with_the_text() {
        for file in
            [&b"options=a\noptions=b"[..], b"options=a\r\noptions=b", b"options=a\roptions=b", b"options=a"]
        {
            assert_eq!(options(file), "a", "{}", file.escape_ascii());
        }
    }

    #[test]
    fn end_at_any_control_byte() {
        for byte in (0..0x20).chain([0x7f]) {
            let file = [b"options=a", &[byte][..], b"kernel=b"].concat();
            let selection = Config::as_xen(&file).select(None);
            assert_eq!(text(selection.options), "a", "{byte:#x}");
            assert_eq!(text(selection.kernel.map(|kernel| kernel.file)), "b", "{byte:#x}");
        }
        assert_eq!(options(b"options=a\x80b"), "a\u{fffd}b");
    }

    #[test]
    fn may_be_indented() {
        assert_eq!(options(b"  \t options=a\n"), "a");
        assert_eq!(options(b"\xa0options=a\n"), "a");
        assert_eq!(options(b"\xc2\xa0options=a\n"), "", "0xc2 is no white space");
    }

    #[test]
    fn a_comment_goes_on_to_the_next_control_byte() {
        assert_eq!(options(b"# options=a\noptions=b\n"), "b");
        assert_eq!(options(b"# a comment\toptions=evil\noptions=b\n"), "evil");
    }

    #[test]
    fn a_semicolon_is_a_comment_at_the_start_alone() {
        assert_eq!(options(b" ;options=a\noptions=b;c\n"), "b;c");
    }

    /// `options=x #y`: `#` starts a comment anywhere, and the space before it stays.
    #[test]
    fn vector_49() {
        assert_eq!(options(b"options=x #y\n"), "x ");
        assert_eq!(options(b"options=x#y z\n"), "x");
        assert_eq!(options(b"options=#y\n"), "");
    }

    #[test]
    fn of_megabytes() {
        let file = [b"options=".to_vec(), vec![b'x'; 8 << 20], b"\nkernel=k\n".to_vec()].concat();
        let selection = select(&file);
        assert_eq!(selection.options.unwrap().text.len(), 8 << 20);
        assert_eq!(selection.kernel.unwrap().file.line, 2);
    }
}

mod values {
    use super::*;

    #[test]
    fn the_first_one_wins() {
        assert_eq!(options(b"options=a\noptions=b\n"), "a");
    }

    #[test]
    fn nothing_stands_between_key_and_equals_and_case_matters() {
        assert_eq!(options(b"options =a\nOptions=b\nxoptions=c\noptions=d\n"), "d");
    }

    #[test]
    fn white_space_counts_behind_the_value_but_not_before_it() {
        assert_eq!(options(b"options= \xa0 a b  \n"), "a b  ");
        let options = select(b"options=  a\n").options.unwrap();
        assert_eq!((options.offset, options.column), (10, 11));
    }

    #[test]
    fn an_empty_value_is_a_value() {
        let options = select(b"options=\noptions=b\n").options.unwrap();
        assert_eq!((options.text, options.line, options.column), (&b""[..], 1, 9));
    }

    #[test]
    fn are_bytes_not_utf_8() {
        assert_eq!(select(b"options=\xff\xfe\n").options.unwrap().text, b"\xff\xfe");
    }

    #[test]
    fn the_kernel_line_is_cut_at_its_first_white_space() {
        let kernel = |file| select(file).kernel.map(|kernel| (text(Some(kernel.file)), kernel.arguments));
        let (file, arguments) = kernel(b"kernel=k  a  b \n").unwrap();
        assert_eq!((file.as_str(), text(arguments)), ("k", " a  b ".into()));
        assert_eq!(kernel(b"kernel=k\n").unwrap().1, None);
        assert_eq!(kernel(b"kernel=k \n").unwrap().1.map(|arguments| arguments.text), Some(&b""[..]));
        assert_eq!(kernel(b"kernel=\n").unwrap().0, "");
        assert_eq!(kernel(b"options=o\n"), None);
    }

    #[test]
    fn of_the_other_files_only_ucode_is_cut() {
        let selection = select(b"kernel=k\nramdisk=r x\nxsm=p x\nucode=u x\n");
        assert_eq!(text(selection.ramdisk), "r x");
        assert_eq!(text(selection.xsm), "p x");
        assert_eq!(text(selection.ucode), "u");
    }

    /// Xen cuts the line in place and looks for the other keys in what came of it.
    #[test]
    fn the_kernels_first_argument_can_be_a_key() {
        assert_eq!(options(b"kernel=k options=evil x\noptions=good\n"), "evil x");
        assert_eq!(options(b"kernel=k  options=evil x\noptions=good\n"), "good", "two spaces");
        assert_eq!(options(b"kernel=k x options=evil\noptions=good\n"), "good", "the second argument");
        assert_eq!(options(b"[xen]\nkernel=k [x]\noptions=good\n"), "good", "no section is asked for");
        let lost = Config::read(b"[xen]\nkernel=k [x]\noptions=good\n").unwrap().select(Some(b"xen"));
        assert_eq!(lost.options, None, "the argument is a header");
    }
}

mod sections {
    use super::*;

    const TWO: &[u8] = b"[global]\ndefault=b\n[a]\noptions=of a\nkernel=k\n[b]\noptions=of b\nkernel=k\n";

    #[test]
    fn the_boot_entry_comes_before_default() {
        let config = Config::read(TWO).unwrap();
        assert_eq!(text(config.select(None).options), "of b");
        assert_eq!(text(config.select(Some(b"a")).options), "of a");
        assert_eq!(config.select(Some(b"a")).default, None);
    }

    /// Two sections of a name: the first one counts, and ends at the next header.
    #[test]
    fn vector_50() {
        let file = b"[xen]\nkernel=k\n[other]\n[xen]\noptions=second\n";
        let selection = Config::read(file).unwrap().select(Some(b"xen"));
        assert_eq!(text(selection.kernel.map(|kernel| kernel.file)), "k");
        assert_eq!(selection.options, None);
        assert_eq!(selection.header.unwrap().line, 1);
    }

    /// No `default=` and no argument: the first value in the text, whatever its section.
    #[test]
    fn vector_51() {
        let selection = select(b"[a]\noptions=of a\n[b]\noptions=of b\nkernel=of-b\n");
        assert_eq!(text(selection.options), "of a");
        assert_eq!(text(selection.kernel.map(|kernel| kernel.file)), "of-b");
        assert_eq!((selection.section, selection.header), (None, None));
    }

    /// The boot entry names a section that is not there: the signed options and the arguments of dom0's kernel
    /// are gone, and what follows `--` is Xen's whole command line.
    #[test]
    fn vector_46() {
        let config = Config::read(USUAL).unwrap();
        let selection = config.select(Some(b"nosuch"));
        assert_eq!((selection.header, selection.options, selection.kernel), (None, None, None));
        assert_eq!(selection.command_line(b"flask=permissive"), b"flask=permissive");
        let twin = config.select(Some(b"xen"));
        assert_eq!(twin.command_line(b"flask=permissive"), b"console=vga smep=1 flask=permissive");
    }

    #[test]
    fn a_default_that_does_not_exist_takes_no_other_section() {
        let selection = select(b"[global]\ndefault=nosuch\n[xen]\noptions=a\nkernel=k\n");
        assert_eq!(text(selection.default), "nosuch");
        assert_eq!((selection.header, selection.options, selection.kernel), (None, None, None));
    }

    #[test]
    fn an_empty_default_is_none() {
        assert_eq!(options(b"[global]\ndefault=\n[a]\noptions=of a\n"), "of a");
    }

    #[test]
    fn a_comment_behind_default_spoils_it() {
        let spoilt = select(b"[global]\ndefault=xen # mine\n[xen]\noptions=a\n");
        assert_eq!((spoilt.section.as_deref(), spoilt.options), (Some(&b"xen "[..]), None));
        assert_eq!(options(b"[global]\ndefault=xen# mine\n[xen]\noptions=a\n"), "a");
    }

    #[test]
    fn a_header_is_exact_up_to_its_bracket_and_no_further() {
        for header in [&b"[xen ]"[..], b"[ xen]", b"[xe]", b"[xenx]", b"[xen", b"[XEN]", b"["] {
            let file = [header, b"\noptions=a\n"].concat();
            let selection = Config::read(&file).unwrap().select(Some(b"xen"));
            assert_eq!((selection.header, selection.options), (None, None), "{}", header.escape_ascii());
        }
        let trailing = Config::read(b"[xen] options=a\noptions=b\n").unwrap().select(Some(b"xen"));
        assert_eq!(text(trailing.options), "b", "the rest of the line is lost");
    }

    #[test]
    fn a_section_without_options_borrows_none() {
        let selection = Config::read(b"[global]\noptions=g\n[xen]\nkernel=k\n[b]\noptions=b\n").unwrap();
        assert_eq!(selection.select(Some(b"xen")).options, None);
    }

    #[test]
    fn video_and_ucode_are_looked_for_in_global_too() {
        let file =
            b"[global]\nvideo=gv\nucode=gu x\nramdisk=gr\nxsm=gx\n[xen]\nkernel=k\n[own]\nvideo=v\nucode=u\n";
        let config = Config::read(file).unwrap();
        let selection = config.select(Some(b"xen"));
        assert_eq!((text(selection.video), text(selection.ucode)), ("gv".into(), "gu".into()));
        assert_eq!((selection.ramdisk, selection.xsm), (None, None));
        let selection = config.select(Some(b"own"));
        assert_eq!((text(selection.video), text(selection.ucode)), ("v".into(), "u".into()));
    }

    #[test]
    fn all_names_can_be_listed() {
        let names: Vec<_> = Config::read(TWO).unwrap().sections().map(|name| text(Some(name))).collect();
        assert_eq!(names, ["global", "a", "b"]);
    }
}

mod chain {
    use super::*;

    const LEAVES: &[u8] = b"[global]\nchain=other.cfg x\n[xen]\noptions=lost\n";

    #[test]
    fn is_followed_where_the_section_has_no_kernel() {
        let selection = Config::read(LEAVES).unwrap().select(Some(b"xen"));
        let chain = selection.chain.unwrap();
        assert!(chain.followed && !chain.section_lost);
        assert_eq!(text(Some(chain.file)), "other.cfg x", "the name goes on to the end of the line");
        assert_eq!(selection.options, None, "the other file decides");
        assert_eq!(selection.section.as_deref(), Some(&b"xen"[..]));
    }

    #[test]
    fn is_not_followed_where_it_has_one() {
        let selection =
            Config::read(b"[global]\nchain=c\n[xen]\nkernel=k\noptions=o\n").unwrap().select(Some(b"xen"));
        assert!(!selection.chain.unwrap().followed);
        assert_eq!(text(selection.options), "o");
    }

    #[test]
    fn stands_in_global_alone_and_the_first_one_counts() {
        assert_eq!(Config::read(b"[xen]\nchain=c\n").unwrap().select(Some(b"xen")).chain, None);
        let two = Config::read(b"[global]\nchain=first\nchain=second\n").unwrap().select(None);
        assert_eq!(text(two.chain.map(|chain| chain.file)), "first");
    }

    #[test]
    fn keeps_the_section_and_does_not_read_default_again() {
        let second =
            Config::read(b"[global]\ndefault=b\n[a]\noptions=of a\nkernel=k\n[b]\noptions=of b\nkernel=k\n");
        let second = second.unwrap();
        assert_eq!(text(second.select_chained(Some(b"a")).options), "of a");
        assert_eq!(text(second.select_chained(None).options), "of a", "no name: the first in the text");
        assert_eq!(second.select_chained(None).default, None);
        assert_eq!(text(second.select(None).options), "of b", "its twin, read first");
    }

    #[test]
    fn loses_a_section_that_default_named() {
        let selection = select(b"[global]\ndefault=xen\nchain=c\n");
        assert!(selection.chain.unwrap().section_lost);
        let empty = select(b"[global]\ndefault=\nchain=c\n");
        assert!(!empty.chain.unwrap().section_lost, "there is no name to lose");
        let kept = select(b"[global]\ndefault=xen\nchain=c\n[xen]\nkernel=k\n");
        assert!(!kept.chain.unwrap().section_lost, "nothing is read");
    }
}

mod refused {
    use super::*;

    #[test]
    fn a_nul_with_text_behind_it() {
        let file = b"[xen]\noptions=a\n# b\0options=c\n";
        let problem = Config::read(file).unwrap_err();
        assert_eq!((problem.line, problem.column, problem.offset), (3, 4, 19));
        assert!(problem.to_string().starts_with("line 3, column 4: a NUL byte"), "{problem}");
        assert_eq!(options(&file[..problem.offset]), "a", "what stands before can be read");
        assert_eq!(text(Config::as_xen(file).select(None).options), "a");
        assert_eq!(text(Config::as_xen(&file[16..]).select(None).options), "c", "Xen does not stop at it");
    }

    #[test]
    fn twin_nuls_at_the_end_are_padding() {
        assert_eq!(options(b"options=a\n\0\0\0\0"), "a");
        assert_eq!(options(b"options=a\0\0"), "a");
        assert_eq!(options(b"\0"), "");
    }

    #[test]
    fn a_utf_8_mark() {
        let file = b"\xef\xbb\xbf[xen]\noptions=a\n";
        let problem = Config::read(file).unwrap_err();
        assert_eq!((problem.line, problem.column), (1, 1));
        assert!(problem.message.contains("UTF-8"), "{problem}");
        assert_eq!(Config::as_xen(file).select(Some(b"xen")).header, None, "Xen does not see the header");
    }

    #[test]
    fn twin_the_same_without_a_mark() {
        assert_eq!(
            text(Config::read(b"[xen]\noptions=\xef\xbb\xbfa\n").unwrap().select(None).options),
            "\u{feff}a"
        );
    }

    #[test]
    fn utf_16_with_and_without_a_mark() {
        let little: Vec<u8> = "options=a\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = "options=a\n".encode_utf16().flat_map(u16::to_be_bytes).collect();
        let files = [[b"\xff\xfe", &little[..]].concat(), [b"\xfe\xff", &big[..]].concat(), little, big];
        for file in files {
            let problem = Config::read(&file).unwrap_err();
            assert!(problem.message.contains("UTF-16"), "{problem}");
            assert_eq!(Config::as_xen(&file).select(None).options, None, "Xen finds nothing");
        }
    }

    #[test]
    fn twin_the_same_in_ascii() {
        assert_eq!(options(b"options=a\n"), "a");
    }
}

mod remarks {
    use super::*;

    #[test]
    fn a_tab_in_a_line_makes_two_of_it() {
        assert_eq!(remarks(b"options=a\tb\n"), [("b".into(), 1, RemarkKind::LineOfItsOwn)]);
        assert_eq!(remarks(b"x\n# c\toptions=b\n"), [("options=b".into(), 2, RemarkKind::LineOfItsOwn)]);
    }

    #[test]
    fn twin_white_space_and_comments_around_a_line_are_nothing_special() {
        assert_eq!(remarks(b"\toptions=a \t \r\n\t# c\n\n[xen]\t# c\n\tkernel=k\n"), []);
    }

    #[test]
    fn a_last_line_without_end() {
        assert_eq!(remarks(b"a\noptions=a"), [("options=a".into(), 2, RemarkKind::LineWithoutEnd)]);
        assert_eq!(remarks(b"a\noptions=a\n"), []);
    }

    fn remarks(file: &[u8]) -> Vec<(String, usize, RemarkKind)> {
        let config = Config::read(file).unwrap();
        config.remarks().map(|remark| (text(Some(remark.at)), remark.at.line, remark.kind)).collect()
    }
}

#[test]
fn the_command_line_has_one_space_between_its_parts() {
    let line = |file, entry| String::from_utf8(select(file).command_line(entry)).unwrap();
    assert_eq!(line(b"options=a \n", b" b"), "a   b");
    assert_eq!(line(b"options=a\n", b""), "a");
    assert_eq!(line(b"options=\n", b"b"), "b");
    assert_eq!(line(b"", b""), "");
}

proptest! {
    /// Whatever the bytes, values are pieces of the text at the place that they name.
    #[test]
    fn values_are_pieces_of_the_text(file in "(\\[xe?n?\\]|options=|kernel=|[a #;\\[\\]\0\n\t\u{a0}]){0,40}") {
        let file = file.as_bytes();
        let config = Config::as_xen(file);
        for selection in [config.select(None), config.select(Some(b"xen"))] {
            let kernel = selection.kernel;
            let arguments = kernel.and_then(|kernel| kernel.arguments);
            for value in [selection.options, kernel.map(|kernel| kernel.file), arguments].into_iter().flatten() {
                prop_assert_eq!(&file[value.offset..][..value.text.len()], value.text);
                prop_assert!(!value.text.contains(&b'\n'));
                let lines: Vec<&[u8]> = file.split(|&byte| byte == b'\n').collect();
                prop_assert!(lines[value.line - 1][value.column - 1..].starts_with(value.text));
            }
        }
    }
}

fn select(file: &[u8]) -> Selection<'_> {
    Config::read(file).unwrap().select(None)
}

fn options(file: &[u8]) -> String {
    text(select(file).options)
}

fn text(value: Option<Located<'_>>) -> String {
    value.map(|value| String::from_utf8_lossy(value.text).into_owned()).unwrap_or_default()
}
