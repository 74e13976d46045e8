//! Command lines in a configuration that Xen or Linux would take in another way than they are written.

use lockdown_bootconfig::Located;
use lockdown_bootconfig::xen_cfg::{Config, Selection};
use lockdown_core::{Level as Lock, dom0_lockdown_option, linux_text, xen_text};

use crate::finding::{Finding, Level};

/// Looks at the lines of the section that boots.
#[must_use]
pub fn check(text: &[u8]) -> Vec<Finding> {
    let chosen = Config::as_xen(text).select(None);
    let mut findings = Vec::new();
    if let Some(options) = chosen.options {
        findings.extend(long_tokens(options));
        findings.extend(open_end(options));
    }
    findings.extend(dom0(&chosen));
    findings.sort_by_key(|finding| (finding.line, finding.column));
    findings
}

/// Xen's command line and dom0's, as Xen makes them of a section.
#[must_use]
pub fn of(chosen: &Selection<'_>) -> (String, String) {
    let options = chosen.options.map(|options| options.text).unwrap_or_default();
    let xen = xen_text::split_dom0(options).map_or(options, |(end, _)| options.get(..end).unwrap_or_default());
    let shown = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
    (shown(xen), shown(&behind_the_name(chosen)))
}

/// dom0's line without the kernel's name: the kernel's arguments, and what stands behind the separator of Xen's options.
fn behind_the_name(chosen: &Selection<'_>) -> Vec<u8> {
    let arguments = chosen.kernel.and_then(|kernel| kernel.arguments).map(|arguments| arguments.text);
    let options = chosen.options.map(|options| options.text).unwrap_or_default();
    let extra = xen_text::split_dom0(options).and_then(|(_, range)| options.get(range));
    let parts = [arguments, extra].into_iter().flatten().filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join(&b' ')
}

/// Options that Xen would cut.
fn long_tokens(options: Located<'_>) -> Vec<Finding> {
    let end = xen_text::split_dom0(options.text).map_or(options.text.len(), |(end, _)| end);
    let own = options.head(end);
    let mut findings = Vec::new();
    let mut at = 0;
    while let Some(range) = xen_text::next_token(own.text, at) {
        at = range.end;
        if range.len() > xen_text::TOKEN_MAX {
            findings.push(Finding::at(
                "option-cut",
                Level::Error,
                Some(own.tail(range.start)),
                format!(
                    "the option has {} bytes; Xen keeps the first {} and drops the rest without a message",
                    range.len(),
                    xen_text::TOKEN_MAX
                ),
                "split it, where the option can be given more than once",
            ));
        }
    }
    findings
}

/// A separator with nothing behind it is one only once something is.
fn open_end(options: Located<'_>) -> Option<Finding> {
    let text = options.text.trim_ascii_end();
    let ends = text.ends_with(b" --") || text == b"--";
    (ends && xen_text::split_dom0(text).is_none()).then(|| {
        Finding::at(
            "open-separator",
            Level::Warning,
            Some(options.tail(text.len().saturating_sub(2))),
            "options= ends with --: alone Xen takes it for an option, and with a boot entry's text behind it, that text is \
             dom0's and none of it is Xen's"
                .to_owned(),
            "take it out, or write behind it what dom0's kernel gets",
        )
    })
}

/// What Xen cuts off dom0's line, and where what it adds would not be read.
fn dom0(chosen: &Selection<'_>) -> Vec<Finding> {
    let Some(kernel) = chosen.kernel else { return Vec::new() };
    let mut findings = Vec::new();
    let line = behind_the_name(chosen);
    let added = dom0_lockdown_option(Lock::Integrity).len();
    // The name, and a blank in front of each of the other two.
    let length = kernel.file.text.len().saturating_add(line.len()).saturating_add(added).saturating_add(2);
    if length > xen_text::DOM0_LINE_MAX {
        findings.push(Finding::at(
            "dom0-line-cut",
            Level::Error,
            Some(kernel.file),
            format!(
                "dom0's command line has {length} bytes, with the kernel's name and what a locked Xen adds; Xen keeps {} and \
                 drops the end",
                xen_text::DOM0_LINE_MAX
            ),
            "make it shorter",
        ));
    }
    if !linux_text::accepts_more(&line) {
        findings.push(Finding::at(
            "addition-lost",
            Level::Warning,
            Some(kernel.file),
            "dom0's kernel would not read what Xen puts behind this line (acpi=, noapic): it has a quotation mark that is not \
             closed, or a lone -- behind which all is for process 1. lockdown= goes in front of such a line"
                .to_owned(),
            "close the quotation mark; leave -- out, or write only what process 1 is to get behind it",
        ));
    }
    findings
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn of_lines(options: &str, kernel: &str) -> Vec<(&'static str, usize, usize)> {
        let text = format!("[global]\ndefault=xen\n[xen]\noptions={options}\nkernel={kernel}\n");
        check(text.as_bytes()).iter().map(|finding| (finding.id, finding.line, finding.column)).collect()
    }

    #[test]
    fn lines_that_are_cut_are_told() {
        assert_eq!(of_lines("loglvl=all", "vmlinuz quiet"), []);
        let long = "x".repeat(127);
        assert_eq!(of_lines(&format!("a {long}"), "vmlinuz"), []);
        assert_eq!(of_lines(&format!("a {long}x"), "vmlinuz"), [("option-cut", 4, 11)]);
        // What is dom0's may be longer.
        assert_eq!(of_lines(&format!("a -- {long}x"), "vmlinuz"), []);
        let added = dom0_lockdown_option(Lock::Integrity).len();
        let room = xen_text::DOM0_LINE_MAX - "vmlinuz".len() - added - 2;
        assert_eq!(of_lines("a", &format!("vmlinuz {}", "y".repeat(room))), []);
        assert_eq!(of_lines("a", &format!("vmlinuz {}", "y".repeat(room + 1))), [("dom0-line-cut", 5, 8)]);
        let half = "y".repeat(room / 2);
        assert_eq!(of_lines(&format!("a -- {half}"), &format!("vmlinuz {half}y")), [("dom0-line-cut", 5, 8)]);
    }

    #[test]
    fn an_end_that_swallows_is_told() {
        assert_eq!(of_lines("a --", "vmlinuz"), [("open-separator", 4, 11)]);
        assert_eq!(of_lines("a -- b", "vmlinuz"), []);
        assert_eq!(of_lines("a--", "vmlinuz"), []);
        assert_eq!(of_lines("a", "vmlinuz \"open"), [("addition-lost", 5, 8)]);
        assert_eq!(of_lines("a", "vmlinuz \"closed\""), []);
        assert_eq!(of_lines("a", "vmlinuz quiet -- single"), [("addition-lost", 5, 8)]);
        assert_eq!(of_lines("a -- \"open", "vmlinuz quiet"), [("addition-lost", 5, 8)]);
    }

    #[test]
    fn the_lines_are_as_xen_makes_them() {
        let text = b"[global]\ndefault=xen\n[xen]\noptions=a b -- c\nkernel=vmlinuz quiet\n";
        assert_eq!(of(&Config::as_xen(text).select(None)), ("a b".to_owned(), "quiet c".to_owned()));
    }
}
