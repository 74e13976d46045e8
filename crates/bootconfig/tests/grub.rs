//! What a grub.cfg means. Most expectations on quoting, splitting, `$?`, loops and on what follows a
//! syntax error were seen in grub-emu 2.06; the rest is from reading its grammar.

#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic,
    clippy::unwrap_used
)]

use lockdown_bootconfig::grub::{self, Config, Entry, Environment, Kind, Problem, Severity};

fn read(text: &str) -> Config {
    grub::read(text.as_bytes(), &Environment::default())
}

/// The arguments of the first command of the first entry.
fn arguments(text: &str) -> Vec<String> {
    let config = read(text);
    let words = config.entries.first().and_then(|entry| entry.commands.first());
    words
        .into_iter()
        .flat_map(|command| &command.arguments)
        .map(|word| String::from_utf8_lossy(&word.text).into_owned())
        .collect()
}

/// What an entry whose body is `lines` gives to Xen.
fn xen(before: &str, lines: &str) -> Vec<String> {
    arguments(&format!("{before}\nmenuentry t {{\n{lines}\n}}\n"))
}

fn entry(before: &str, lines: &str) -> Entry {
    let config = read(&format!("{before}\nmenuentry t {{\n{lines}\n}}\n"));
    config.entries.into_iter().next().unwrap()
}

fn errors(problems: &[Problem]) -> Vec<(usize, &str)> {
    problems
        .iter()
        .filter(|problem| problem.severity == Severity::Error)
        .map(|problem| (problem.line, problem.message.as_str()))
        .collect()
}

fn handed(entry: &Entry, index: usize) -> String {
    let pieces = entry.commands[index].handed_over();
    let text = pieces.into_iter().flat_map(|piece| piece.text).collect();
    String::from_utf8(text).unwrap()
}

#[test]
fn an_entry_tells_what_it_loads() {
    let config = read(
        "set menuentry_id_option=--id\n\
         menuentry 'Xen' --class xen $menuentry_id_option 'xen-1' {\n\
         \tmultiboot2 /boot/xen.gz placeholder dom0_mem=1G \\\n\
         \t  console=vga\n\
         \tmodule2 /boot/vmlinuz placeholder root=UUID=1 ro\n\
         \tmodule2 --nounzip /boot/initrd.img\n\
         }\n",
    );
    assert_eq!(config.problems, []);
    let entry = &config.entries[0];
    assert_eq!(entry.title, "Xen");
    assert_eq!(entry.id.as_deref(), Some("xen-1"));
    assert_eq!((entry.line, entry.commands.len()), (2, 3));
    assert_eq!(entry.problems, []);
    assert_eq!(entry.commands[0].kind, Kind::Xen);
    assert_eq!(handed(entry, 0), "placeholder dom0_mem=1G console=vga");
    let last = &entry.commands[0].arguments[2];
    assert_eq!((last.line, last.column), (4, 4));
    assert_eq!(entry.commands[1].name, "module2");
    assert_eq!(entry.commands[2].options, ["--nounzip"]);
    assert_eq!(entry.commands[2].file.as_ref().unwrap().text, b"/boot/initrd.img");
    assert!(entry.commands[2].arguments.is_empty());
}

#[test]
fn every_loader_has_its_kind() {
    let entry = entry(
        "",
        "xen_hypervisor /x\nxen_module /v a\nmultiboot --quirk-bad-kludge /x b\nchainloader /xen.efi c\nlinux /v d",
    );
    let kinds: Vec<_> = entry.commands.iter().map(|c| c.kind).collect();
    assert_eq!(kinds, [Kind::Xen, Kind::Module, Kind::Xen, Kind::Chainloader, Kind::Linux]);
    assert_eq!(entry.commands[2].options, ["--quirk-bad-kludge"]);
}

#[test]
fn submenus_are_flattened() {
    let config = read(
        "submenu 'A' {\n submenu B {\n  menuentry C --id=c { multiboot2 /x a; }\n }\n menuentry D { echo; }\n}\n",
    );
    let titles: Vec<_> = config.entries.iter().map(|e| e.title.as_str()).collect();
    assert_eq!(titles, ["A > B > C", "A > D"]);
    assert_eq!(config.entries[0].id.as_deref(), Some("c"));
}

#[test]
fn commands_outside_of_entries_make_an_entry_of_their_own() {
    let config = read("multiboot2 /xen.gz a\nboot\n");
    assert_eq!(config.entries[0].title, Entry::TOP_LEVEL);
}

#[test]
fn quotes_and_escapes() {
    assert_eq!(
        xen("", r#"multiboot2 /x a\ b 'it'\''s' "q\"\$\\ \n x" \q a\*b *x q* "" ''"#),
        ["a b", "it's", "q\"$\\ \\n x", "q", "a*b", "*x", "q*", "", ""]
    );
    assert_eq!(xen("", "multiboot2 /x a#b #c"), ["a#b"]);
    assert_eq!(xen("", "multiboot2 /x 'a\nb' c"), ["a\nb", "c"]);
    assert_eq!(xen("", "multiboot2 /x a\\\nb \\\n c if fi"), ["ab", "c", "if", "fi"]);
    assert_eq!(xen("", "multiboot2 /x a;echo b"), ["a"]);
}

#[test]
fn unquoted_variables_are_split_and_quoted_ones_are_not() {
    let set = "set v=\" b c \"";
    assert_eq!(xen(set, "multiboot2 /x a$v"), ["ab", "c"]);
    assert_eq!(xen(set, "multiboot2 /x $v"), ["b", "c"]);
    assert_eq!(xen(set, "multiboot2 /x a${v}c"), ["ab", "cc"]);
    assert_eq!(xen(set, "multiboot2 /x \"a$v\""), ["a b c "]);
    assert_eq!(xen("unset v", "multiboot2 /x x$v\"$v\"y $v \"$v\""), ["xy", ""]);
    assert_eq!(
        xen("set w='a*b \\x41 \\\\ z'", "multiboot2 /x $w \"$w\""),
        ["a*b", "\\x41", "\\\\", "z", "a*b \\x41 \\\\ z"]
    );
}

#[test]
fn assignments() {
    assert_eq!(xen("set a=b c", "multiboot2 /x $a"), ["b"]);
    assert_eq!(xen("v='1 2'\na=$v", "multiboot2 /x \"$a\""), ["1"]);
    assert_eq!(xen("a=1\nset a=$a$a\nunset b", "multiboot2 /x $a$b"), ["11"]);
}

#[test]
fn entries_run_with_what_the_whole_file_set() {
    assert_eq!(arguments("a=1\nmenuentry t { multiboot2 /x $a\n }\na=2\n"), ["2"]);
}

#[test]
fn a_submenu_sees_exported_variables_only() {
    let text = "a=1\nb=2\nexport b\nsubmenu s { menuentry t { multiboot2 /x a$a b$b\n }\n }\n";
    assert_eq!(arguments(text), ["a", "b2"]);
}

#[test]
fn functions_and_their_parameters() {
    let function = "function f { multiboot2 /x $1 $# \"$@\" \"$*\"; shift; a=$1; return; a=no; }";
    assert_eq!(xen(function, "f 'p q' r"), ["p", "q", "2", "p q", "r", "p q r"]);
    assert_eq!(arguments("menuentry 'T 1' two { multiboot2 /x \"$1\" $2\n }\n"), ["T 1", "two"]);
}

#[test]
fn conditions() {
    for (condition, holds) in [
        ("[ \"$grub_platform\" = \"pc\" -o \"$grub_platform\" = \"\" ]", false),
        ("[ x$grub_platform = xefi ]", true),
        ("[ a == a -a b != c ]", true),
        ("[ ! a = a ]", false),
        ("! [ a = b ]", true),
        ("[ -n \"\" ]", false),
        ("[ -n ]", true),
        ("[ -z \"\" ]", true),
        ("[ 010 -eq 8 -a 0x10 -eq 16 ]", true),
        ("[ -1 -lt 0 ]", true),
        ("[ a '<' b ]", true),
        ("test ( a = b ) -o c", true),
        ("[ '(' a = b ')' -o c ]", true),
        ("[ x$feature_menuentry_id = xy ]", true),
        ("[ -f /x -a a = b ]", false),
        ("true", true),
        ("false", false),
        ("set a=b", true),
    ] {
        let lines = format!("if {condition}; then o=yes; else o=no; fi; multiboot2 /x $o");
        let expected = if holds { "yes" } else { "no" };
        assert_eq!(xen("", &lines), [expected], "{condition}");
    }
    assert_eq!(xen("", "if false; then a=1; elif true; then a=2; else a=3; fi\nmultiboot2 /x $a"), ["2"]);
}

#[test]
fn loops() {
    let lines = "for i in 1 2 3; do if [ $i = 2 ]; then continue; fi; a=$a$i; done; multiboot2 /x $a";
    assert_eq!(xen("", lines), ["13"]);
    let lines = "for i in 1 2 3; do if [ $i = 2 ]; then break; fi; a=$a$i; done; multiboot2 /x $a";
    assert_eq!(xen("", lines), ["1"]);
    let lines = "while [ x$a != xbbb ]; do a=${a}b; done; multiboot2 /x $a $?";
    assert_eq!(xen("", lines), ["bbb", "1"]);
    let lines = "until [ x$a = xb ]; do a=${a}b; done; multiboot2 /x $a";
    assert_eq!(xen("", lines), ["b"]);
}

#[test]
fn what_debian_writes_has_no_problem() {
    let config = read(
        r#"
if [ -s $prefix/grubenv ]; then
  set have_grubenv=true
  load_env
fi
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
   set next_entry=
   save_env next_entry
else
   set default="0"
fi
if [ x"${feature_menuentry_id}" = xy ]; then
  menuentry_id_option="--id"
else
  menuentry_id_option=""
fi
export menuentry_id_option
function load_video {
  if [ x$feature_all_video_module = xy ]; then
    insmod all_video
  else
    insmod efi_gop
  fi
}
if loadfont $font ; then
  set gfxmode=auto
  load_video
fi
submenu 'Advanced' $menuentry_id_option 'adv' {
	menuentry 'Xen' $menuentry_id_option 'xen-a' {
		if [ x$feature_platform_search_hint = xy ]; then
		  search --no-floppy --fs-uuid --set=root --hint-efi=hd0,gpt2  1111
		else
		  search --no-floppy --fs-uuid --set=root 1111
		fi
		if [ "$grub_platform" = "pc" -o "$grub_platform" = "" ]; then
		    xen_rm_opts=
		else
		    xen_rm_opts="no-real-mode edd=off"
		fi
		multiboot2	($root)/boot/xen.gz placeholder ucode=scan ${xen_rm_opts}
		module2	/boot/vmlinuz placeholder root=UUID=1 ro  quiet
	}
}
if [ -f  ${config_directory}/custom.cfg ]; then
  source ${config_directory}/custom.cfg
fi
"#,
    );
    let [note] = config.problems.as_slice() else { panic!("{:?}", config.problems) };
    assert_eq!((note.severity, note.line), (Severity::Note, 47));
    assert!(note.message.contains("${config_directory}/custom.cfg"));
    let entry = &config.entries[0];
    assert_eq!(entry.problems, []);
    assert_eq!(entry.id.as_deref(), Some("xen-a"));
    assert_eq!(entry.commands[0].file.as_ref().unwrap().text, b"($root)/boot/xen.gz");
    assert_eq!(handed(entry, 0), "placeholder ucode=scan no-real-mode edd=off");
    assert!(entry.commands.iter().all(|command| command.certain));
}

#[test]
fn the_environment_decides_what_is_known_of_the_platform() {
    let text = b"menuentry t { multiboot2 /x $grub_platform\n }\n";
    let mut environment = Environment::default();
    environment.variables.insert("grub_platform".into(), "pc".into());
    let config = grub::read(text, &environment);
    assert_eq!(config.entries[0].commands[0].arguments[0].text, b"pc");
    environment.variables.remove("grub_platform");
    let config = grub::read(text, &environment);
    assert_eq!(errors(&config.entries[0].problems).len(), 1);
}

#[test]
fn a_value_decided_at_boot_is_a_problem_with_its_place_and_cause() {
    for (before, lines, cause) in [
        ("load_env", "multiboot2 /x ${kopts}", "`load_env` on line 1"),
        ("", "search --set=kopts -f /x\nmultiboot2 /x ${kopts}", "`search` on line 3"),
        ("", "probe --set kopts -u hd0\nmultiboot2 /x ${kopts}", "`probe` on line 3"),
        ("", "regexp --set=1:kopts a b\nmultiboot2 /x ${kopts}", "`regexp` on line 3"),
        ("read kopts", "multiboot2 /x ${kopts}", "`read` on line 1"),
        ("source /y", "multiboot2 /x ${kopts}", "`source` on line 1"),
        ("if [ -e /y ]; then kopts=a; fi", "multiboot2 /x ${kopts}", "`if` on line 1"),
        ("while [ -e /y ]; do kopts=a; done", "multiboot2 /x ${kopts}", "`while` on line 1"),
        ("kopts=$cmdpath", "multiboot2 /x ${kopts}", "GRUB or the firmware"),
        ("insmod a\nkopts=$?", "multiboot2 /x ${kopts}", "`insmod` on line 1"),
    ] {
        let entry = entry(before, lines);
        let [(line, message)] = errors(&entry.problems)[..] else {
            panic!("{before} {lines}: {:?}", entry.problems)
        };
        assert!(message.contains("`${kopts}` is decided at boot"), "{message}");
        assert!(message.contains(cause), "{message}");
        assert_eq!(line, entry.commands[0].line);
        assert_eq!(entry.commands[0].arguments[0].text[0], b'$', "as written");
    }
}

#[test]
fn a_value_set_again_is_known_again() {
    assert_eq!(entry("load_env\nk=a", "multiboot2 /x $k").problems, []);
    assert_eq!(entry("load_env k", "multiboot2 /x $j").problems, []);
    assert_eq!(entry("load_env\nunset k", "multiboot2 /x $k").problems, []);
    assert_eq!(entry("k=a\nsource /y", "multiboot2 /x $k").problems, []);
    let same = "if [ -e /y ]; then k=a; else k=a; fi";
    assert_eq!(entry(same, "multiboot2 /x $k").problems, []);
}

#[test]
fn a_line_that_may_not_be_reached_is_a_problem() {
    let differs = entry("", "if [ -e /y ]; then\nmultiboot2 /x a\nelse\nmultiboot2 /x b\nfi");
    let lines: Vec<_> = errors(&differs.problems).iter().map(|e| e.0).collect();
    assert_eq!(lines, [4, 6]);
    assert!(differs.commands.iter().all(|command| !command.certain));
    let message = differs.problems[0].message.as_str();
    assert_eq!(message, "whether this `multiboot2` is reached is decided at boot: `[` on line 3 looks at files");

    let same = entry("", "if [ -e /y ]; then\nmultiboot2 /x a\nelse\nmultiboot2 /x a\nfi");
    assert_eq!(same.problems, []);
    assert_eq!(same.commands.len(), 1);

    let looped = entry("", "while [ -e /y ]; do multiboot2 /x a; done");
    assert_eq!(errors(&looped.problems).len(), 1);

    let left = entry("function f { if [ -e /y ]; then return; fi; multiboot2 /x a; }", "f");
    assert_eq!(errors(&left.problems).len(), 1);

    let broken = entry("", "for i in 1 2; do if [ -e /y ]; then break; fi; multiboot2 /x a; done");
    assert!(!errors(&broken.problems).is_empty());

    let linux = entry("", "if [ -e /y ]; then linux /v a; fi");
    assert_eq!(linux.problems[0].severity, Severity::Note);
}

#[test]
fn an_entry_that_may_not_be_there_is_listed_with_a_note() {
    let config = read("if [ -e /y ]; then\nmenuentry a { multiboot2 /x b\n }\nfi\n");
    assert_eq!(config.entries[0].problems[0].severity, Severity::Note);
    let config = read("if fwsetup --is-supported; then\nmenuentry a { fwsetup; }\nfi\n");
    assert_eq!(config.entries[0].problems, []);
}

#[test]
fn a_command_or_file_decided_at_boot_is_a_problem() {
    assert_eq!(errors(&entry("load_env", "$loader /x a").problems).len(), 1);
    assert_eq!(errors(&entry("load_env", "multi$x /x a").problems).len(), 1);
    assert_eq!(entry("load_env", "insmod$x /x a").problems, []);
    assert_eq!(errors(&entry("load_env", "multiboot2 $file a").problems).len(), 1);
    assert_eq!(entry("load_env", "multiboot2 \"$file\" a").problems, []);
    assert_eq!(entry("load_env", "multiboot2 ($root)/x a").problems, []);
    assert_eq!(errors(&entry("", "multiboot2").problems).len(), 1);
}

#[test]
fn what_builds_of_grub_or_disks_decide_is_a_problem() {
    assert_eq!(errors(&entry("", "multiboot2 /x /a*").problems).len(), 1);
    assert_eq!(entry("", "multiboot2 /x a=* '/a*'").problems, []);
    assert_eq!(errors(&entry("", "multiboot2 /x \\x41").problems).len(), 1);
    assert_eq!(errors(&entry("", "multiboot2 /x $\"text\"").problems).len(), 1);
}

#[test]
fn files_that_are_not_followed_are_notes() {
    for command in ["source /a", ". /a", "configfile /a", "normal /a", "blscfg", "eval 'a b'"] {
        let config = read(command);
        assert_eq!(config.problems.len(), 1, "{command}");
        assert_eq!(config.problems[0].severity, Severity::Note);
        assert_eq!(entry("", command).problems[0].severity, Severity::Note);
    }
}

#[test]
fn a_syntax_error_drops_the_command_around_it() {
    for line in [
        "foo | bar",
        "foo && bar",
        "foo }",
        "{ foo; }",
        "menuentry x { }",
        "echo $",
        "echo \"5$\"",
        "foo; ; bar",
        "fi",
        "if true; then fi",
        "for 1 in a; do b; done",
        "[[ a ]]",
        "foo ;; bar",
        "function a-b { c; }",
        "foo > bar",
    ] {
        let config = read(&format!("a=1; {line}\nmenuentry t {{ multiboot2 /x a$a\n }}\n"));
        assert_eq!(errors(&config.problems).len(), 1, "{line}: {:?}", config.problems);
        assert_eq!(config.problems[0].line, 1, "{line}");
        let words = &config.entries[0].commands[0].arguments;
        assert_eq!(words[0].text, b"a", "{line}");
    }
}

#[test]
fn after_a_syntax_error_grub_goes_on_with_the_next_line() {
    let config = read("if true; then\n a=1\n foo | bar\n b=2\nfi\nmenuentry t { multiboot2 /x a$a b$b\n }\n");
    let lines: Vec<_> = errors(&config.problems).iter().map(|e| e.0).collect();
    assert_eq!(lines, [3, 5]);
    let words: Vec<_> = config.entries[0].commands[0].arguments.iter().map(|w| w.text.as_slice()).collect();
    assert_eq!(words, [&b"a"[..], b"b2"]);
}

#[test]
fn what_is_not_closed_is_reported_where_it_begins() {
    let good = "menuentry t { multiboot2 /x a\n }\n";
    for (bad, message) in [
        ("\n echo 'abc\n\n", "quote"),
        ("\n echo \"abc\n\n", "quote"),
        ("\nmenuentry b {\n echo\n", "block"),
        ("\nif true; then\n echo\n", "if"),
        ("\nwhile true; do\n echo\n", "while"),
        ("\nfor a in b; do\n echo\n", "for"),
        ("\nfunction f {\n echo\n", "function"),
        ("\necho \\", "continued"),
    ] {
        let config = read(&format!("{good}{bad}"));
        let [(line, text)] = errors(&config.problems)[..] else { panic!("{bad}: {:?}", config.problems) };
        assert_eq!(line, 4, "{bad}");
        assert!(text.contains(message), "{bad}: {text}");
        assert_eq!(config.entries.len(), 1);
        assert_eq!(config.entries[0].commands[0].arguments[0].text, b"a");
    }
}

#[test]
fn nul_bytes_carriage_returns_and_other_bytes() {
    let config = grub::read(
        b"menuentry t {\r\n multiboot2 /x a\xff\r\n module2 /y b\0c d\r\n}\r\n",
        &Environment::default(),
    );
    assert_eq!(errors(&config.problems), [(3, "a NUL byte: GRUB ignores the rest of this line")]);
    let entry = &config.entries[0];
    assert_eq!(entry.commands[0].arguments[0].text, b"a\xff");
    assert_eq!(entry.commands[1].arguments[0].text, b"b");
    assert_eq!(entry.commands[1].arguments.len(), 1);
}

#[test]
fn limits_are_problems_and_not_crashes() {
    let deep = |depth: usize| format!("{}a=b\n{}", "if true; then\n".repeat(depth), "fi\n".repeat(depth));
    assert_eq!(errors(&read(&deep(100)).problems), []);
    for text in [
        deep(101),
        "a {".repeat(100_000),
        "while true; do a=b; done\n".to_owned(),
        "function f { f; }\nf\n".to_owned(),
        "function f { f; }\nmenuentry t { f\n }\n".to_owned(),
        "function f {\n submenu x { f\n }\n}\nf\n".to_owned(),
        format!("a=aaaa\n{}", "a=$a$a\n".repeat(60)),
        format!("if [ -f /x ]; then a\n{}fi\n", "elif [ -f /x ]; then a\n".repeat(10_000)),
        format!("{}multiboot2 /x y{}\n", "for i in 1 2 3 4 5 6 7 8 9 10; do ".repeat(9), "; done".repeat(9)),
    ] {
        let config = read(&text);
        let entries: Vec<_> = config.entries.iter().flat_map(|e| errors(&e.problems)).collect();
        assert!(!errors(&config.problems).is_empty() || !entries.is_empty(), "{}", &text[..20]);
    }
}

#[test]
fn an_entry_that_was_not_run_to_its_end_says_so() {
    let config = read("menuentry a { while true; do b=c; done\n }\nmenuentry b { multiboot2 /x a\n }\n");
    assert_eq!(config.entries.len(), 2);
    for entry in &config.entries {
        assert_eq!(errors(&entry.problems).len(), 1, "{}", entry.title);
    }
}

#[test]
fn random_bytes_do_not_crash() {
    let alphabet = b"if then fi;\n{}\"'$\\ax =[]do for in while done menuentry multiboot2 load_env -o ! #\0\r";
    let mut state = 1_u64;
    for _ in 0..3000 {
        let mut text = Vec::new();
        for _ in 0..200 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            text.push(alphabet[(state >> 33) as usize % alphabet.len()]);
        }
        let config = grub::read(&text, &Environment::default());
        for command in config.entries.iter().flat_map(|entry| &entry.commands) {
            let _ = command.handed_over();
        }
    }
}

#[test]
fn the_loader_gets_one_string() {
    let xen = entry("v='a b'", r#"multiboot2 /x 'p "q' \\ "$v" x\'y '\x41\'"#);
    assert_eq!(handed(&xen, 0), r#""p \"q" \\ "a b" x\'y \x41\\"#);
    let chained = entry("", "chainloader /x 'p q' '\"'");
    assert_eq!(handed(&chained, 0), "p q \"");
}

#[test]
fn every_byte_handed_over_has_its_place() {
    let entry = entry("v='a b'", "multiboot2 /x one 'two t' $v");
    let pieces = entry.commands[0].handed_over();
    let shown: Vec<_> = pieces
        .iter()
        .map(|p| (String::from_utf8_lossy(&p.text).into_owned(), p.line, p.column, p.literal))
        .collect();
    let piece = |text: &str, column, literal| (text.to_owned(), 3, column, literal);
    assert_eq!(
        shown,
        [
            piece("one", 15, true),
            piece(" \"", 19, false),
            piece("two t", 20, true),
            piece("\"", 19, false),
            piece(" a b", 27, false),
        ]
    );
}
