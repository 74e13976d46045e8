//! What /etc/default/grub means for the command lines of Xen and dom0.

#![allow(clippy::indexing_slicing, clippy::unwrap_used)]

use lockdown_bootconfig::default_grub::{self, CommandLines, Settings};
use lockdown_bootconfig::grub::Severity;

fn lines(text: &str) -> CommandLines {
    default_grub::command_lines(&default_grub::read(text.as_bytes()).assignments)
}

fn text(line: &default_grub::Line) -> String {
    String::from_utf8(line.text.clone()).unwrap()
}

fn value(text: &str) -> Option<String> {
    let settings = default_grub::read(text.as_bytes());
    let last = settings.assignments.last().unwrap();
    last.value.clone().map(|value| String::from_utf8(value).unwrap())
}

fn errors(settings: &Settings) -> Vec<(usize, usize, &str)> {
    settings
        .problems
        .iter()
        .filter(|(_, problem)| problem.severity == Severity::Error)
        .map(|(file, problem)| (*file, problem.line, problem.message.as_str()))
        .collect()
}

#[test]
fn which_setting_goes_where() {
    let all = lines(
        "GRUB_CMDLINE_XEN='x'\nGRUB_CMDLINE_XEN_DEFAULT='xd'\n\
         GRUB_CMDLINE_LINUX='l'\nGRUB_CMDLINE_LINUX_DEFAULT='ld'\n",
    );
    assert_eq!(text(&all.xen_normal), "x xd");
    assert_eq!(text(&all.dom0_normal), "l ld");
    assert_eq!(text(&all.xen_recovery), "x");
    assert_eq!(text(&all.dom0_recovery), "single l");
    assert!(all.recovery);
}

#[test]
fn replacements_replace_unless_empty() {
    let set = "GRUB_CMDLINE_LINUX=l\nGRUB_CMDLINE_LINUX_DEFAULT=ld\n";
    let replaced = lines(&format!(
        "{set}GRUB_CMDLINE_LINUX_XEN_REPLACE=r\nGRUB_CMDLINE_LINUX_XEN_REPLACE_DEFAULT=rd\n\
         GRUB_CMDLINE_LINUX_RECOVERY=s\nGRUB_DISABLE_RECOVERY=true\n"
    ));
    assert_eq!(text(&replaced.dom0_normal), "r rd");
    assert_eq!(text(&replaced.dom0_recovery), "s r");
    assert!(!replaced.recovery);
    let empty = lines(&format!("{set}GRUB_CMDLINE_LINUX_XEN_REPLACE=''\n"));
    assert_eq!(text(&empty.dom0_normal), "l ld");
}

#[test]
fn values_are_read_as_the_shell_reads_them() {
    for (line, expected) in [
        ("A=b", "b"),
        ("A=", ""),
        ("A='a \"$b\"' # c", "a \"$b\""),
        ("A=\"a \\\"b\\\" \\$c \\d\"", "a \"b\" $c \\d"),
        ("A=\"a\\\nb\"", "ab"),
        ("A=a'b'\"c\"\\ d", "abc d"),
        ("export A=x", "x"),
        ("B=1 A=2", "2"),
        ("B='1 2'; A=\"$B ${B}\"", "1 2 1 2"),
        ("A=a#b", "a#b"),
        ("A='a\nb'", "a\nb"),
    ] {
        assert_eq!(value(line).as_deref(), Some(expected), "{line}");
    }
}

#[test]
fn a_value_has_its_place() {
    let settings = default_grub::read(b"# c\n\n GRUB_CMDLINE_XEN=\"dom0_mem=1G\"\n");
    let assignment = &settings.assignments[0];
    assert_eq!((assignment.line, assignment.column), (3, 20));
    let line = default_grub::command_lines(&settings.assignments).xen_normal;
    let origin = line.origins[0];
    assert_eq!((origin.at, origin.line, origin.column, origin.literal), (0, 3, 20, true));
}

#[test]
fn files_follow_one_another() {
    let settings = default_grub::read_files(&[
        b"GRUB_CMDLINE_LINUX_DEFAULT=quiet\n",
        b"GRUB_CMDLINE_LINUX_XEN_REPLACE_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT console=hvc0\"\n",
    ]);
    assert_eq!(settings.problems, []);
    let line = default_grub::command_lines(&settings.assignments).dom0_normal;
    assert_eq!(text(&line), " quiet console=hvc0");
    assert_eq!(line.origins[0].file, 1);
    assert!(!line.origins[0].literal);
}

#[test]
fn adding_to_a_value() {
    let settings = default_grub::read(b"GRUB_CMDLINE_XEN=a\nGRUB_CMDLINE_XEN+=' b'\n");
    let line = default_grub::command_lines(&settings.assignments).xen_recovery;
    assert_eq!(text(&line), "a b");
    assert_eq!(line.origins[1].line, 2);
    assert_eq!(settings.problems[0].1.severity, Severity::Note);
}

#[test]
fn what_only_a_shell_can_tell_is_a_problem_where_it_matters() {
    for shell in ["$(date)", "`date`", "${B:-c}", "$B", "$1", "~", "\"$(echo \")\")\""] {
        let settings = default_grub::read(format!("\nGRUB_CMDLINE_XEN={shell}\n").as_bytes());
        assert_eq!(errors(&settings).len(), 1, "{shell}");
        assert_eq!(errors(&settings)[0].1, 2);
        let line = default_grub::command_lines(&settings.assignments).xen_normal;
        assert_eq!(line.unknown, ["GRUB_CMDLINE_XEN"]);
        let other = default_grub::read(format!("GRUB_DISTRIBUTOR={shell}\n").as_bytes());
        assert_eq!(other.problems, [], "{shell}");
    }
    let through = default_grub::read(b"B=$(date)\nGRUB_CMDLINE_XEN=$B\n");
    assert_eq!(errors(&through)[0].1, 2);
}

#[test]
fn what_the_script_decides_is_a_problem_where_it_matters() {
    for text in [
        "if true; then\nGRUB_CMDLINE_XEN=a\nfi\n",
        "case a in\nb) GRUB_CMDLINE_XEN=a;;\nesac\n",
        "true\ntest -f /x && GRUB_CMDLINE_XEN=a\n",
        "f() {\n GRUB_CMDLINE_XEN=a\n}\n",
        "\n(GRUB_CMDLINE_XEN=a)\n",
    ] {
        let settings = default_grub::read(text.as_bytes());
        assert_eq!(errors(&settings).len(), 1, "{text}: {settings:?}");
        assert_eq!(errors(&settings)[0].1, 2, "{text}");
    }
    let after = default_grub::read(b"if a; then\n b\nfi\nGRUB_CMDLINE_XEN=a\n");
    assert_eq!(after.problems, []);
    let command = default_grub::read(b"GRUB_CMDLINE_XEN=a command\n");
    assert_eq!(command.assignments, []);
}

#[test]
fn what_debian_ships_has_no_problem() {
    let settings = default_grub::read_files(&[
        b"GRUB_DEFAULT=0\nGRUB_DISTRIBUTOR=`( . /etc/os-release && echo ${NAME} )`\n\
          GRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"\nGRUB_CMDLINE_LINUX=\"\"\n#GRUB_TERMINAL=console\n",
        b"echo \"Including\" >&2\n#GRUB_CMDLINE_XEN=\"\"\nif [ \"$X\" = \"\" ]; then\n\tgrub_warn \"a\" \\\n\t\t\"b\"\n\tX=1\nfi\n\
          if [ \"$X\" = \"1\" ]; then\n\tGRUB_DEFAULT=$( \\\n\t\tprintf \"$(gettext \"%s, with Xen\")\" \\\n\t\t\"$D\")\nfi\n",
    ]);
    assert_eq!(settings.problems, []);
    let lines = default_grub::command_lines(&settings.assignments);
    assert_eq!(text(&lines.dom0_normal), " quiet");
}

#[test]
fn hostile_text_is_a_problem() {
    for text in ["\nA='b\n", "\nA=\"b\n", "\nA=$(b\n", "\nA=`b\n", "\ncat <<EOF\n", "\nA=b\0\n"] {
        let settings = default_grub::read(text.as_bytes());
        assert_eq!(errors(&settings).len(), 1, "{text}");
        assert_eq!(errors(&settings)[0].1, 2, "{text}");
    }
    let doubling = format!("A=aaaa\n{}GRUB_CMDLINE_XEN=$A\n", "A=$A$A\n".repeat(60));
    assert_eq!(errors(&default_grub::read(doubling.as_bytes())).len(), 1);
    let bytes = default_grub::read(b"GRUB_CMDLINE_XEN=\xff\n");
    assert_eq!(bytes.assignments[0].value.as_deref(), Some(&b"\xff"[..]));
}
