//! The configuration that goes into an image: whether it says what it seems to say once it is there, and what dom0's command
//! line must say for the guard.

use std::collections::BTreeMap;

use lockdown_bootconfig::Located;
use lockdown_bootconfig::xen_cfg::{Config, RemarkKind, Selection};
use lockdown_core::{linux_text, xen_text};

use crate::finding::{Finding, Level};
use crate::guard::{INITIALISATIONS, NAME, OPTIONS};

/// Which sections the image has beside `.config`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a section")]
pub struct Has {
    /// `.kernel`.
    pub kernel: bool,
    /// `.ramdisk`.
    pub ramdisk: bool,
    /// `.xsm`.
    pub xsm: bool,
    /// `.ucode`.
    pub ucode: bool,
}

/// Holds a configuration against the sections that the image will have. Where there is a section, Xen takes it whatever the
/// configuration names (`efi_start` in `xen/common/efi/boot.c` and `efi_arch_cfg_file_late` in `efi-boot.h`, 4.20).
#[must_use]
pub fn check(text: &[u8], has: Has) -> Vec<Finding> {
    let config = Config::as_xen(text);
    let mut findings = Vec::new();
    let chosen = config.select(None);
    if let Some(chain) = chosen.chain {
        findings.push(fatal(
            "chained",
            Some(chain.file),
            format!(
                "chain={} would read another configuration from the disk, which nothing covers",
                show(chain.file.text)
            ),
            "put what it says into this file, and take chain= out",
        ));
    }
    match (&chosen.default, &chosen.header) {
        (None, _) => findings.push(fatal(
            "no-default",
            None,
            "[global] has no default=: Xen takes values from wherever they stand in the text".to_owned(),
            "name the section that boots: [global], and below it default=NAME",
        )),
        (Some(default), None) => findings.push(fatal(
            "no-section",
            Some(*default),
            format!("there is no section [{}]: Xen boots without options then", show(default.text)),
            "the name ends with the line, spaces and all; correct it, or add the section",
        )),
        (Some(default), Some(_)) if chosen.kernel.is_none() && chosen.chain.is_none() => {
            findings.push(fatal(
                "no-kernel-line",
                chosen.header,
                format!("[{}] has no kernel=: dom0's kernel gets no command line then", show(default.text)),
                "add kernel=NAME OPTIONS; the name can be any word where the image has a kernel",
            ));
        }
        (Some(_), Some(_)) => {}
    }
    findings.extend(from_disk(&chosen, has));
    findings.extend(ignored_names(&config, has));
    findings.extend(config.remarks().filter(|remark| remark.kind == RemarkKind::LineOfItsOwn).map(|remark| {
        warning(
            "line-of-its-own",
            Some(remark.at),
            "a tab or another control byte stands before this: for Xen it is a line of its own".to_owned(),
            "write a space",
        )
    }));
    findings.sort_by_key(|finding| (finding.line, finding.column));
    findings
}

/// What the section that boots names, and the image does not have.
fn from_disk(chosen: &Selection<'_>, has: Has) -> Vec<Finding> {
    let stops = "a locked Xen does not take it from the disk and ends the boot";
    let kernel = chosen.kernel.map(|kernel| kernel.file);
    let rows = [
        (true, "ramdisk", has.ramdisk, chosen.ramdisk, "ramdisk-on-disk", stops),
        (true, "xsm", has.xsm, chosen.xsm, "xsm-on-disk", stops),
        (
            false,
            "kernel",
            has.kernel,
            kernel,
            "kernel-on-disk",
            "a locked Xen takes it from the disk, if shim verifies it",
        ),
        (
            false,
            "ucode",
            has.ucode,
            chosen.ucode,
            "ucode-on-disk",
            "Xen takes it from the disk; the processor verifies it",
        ),
    ];
    let mut findings = Vec::new();
    for (stops_boot, key, there, named, id, then) in rows {
        if let Some(named) = named.filter(|_| !there) {
            let message = format!("{key}={} is not in the image: {then}", show(named.text));
            let advice = format!("give the file with --{key}, or take the line out");
            let level = if stops_boot { Level::Error } else { Level::Warning };
            findings.push(Finding::at(id, level, Some(named), message, &advice));
        }
    }
    findings
}

/// Sections that name different files for what the image has once.
fn ignored_names(config: &Config<'_>, has: Has) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut first: BTreeMap<&str, Located<'_>> = BTreeMap::new();
    for selection in selections(config) {
        let kernel = selection.kernel.map(|kernel| kernel.file);
        let named = [
            ("kernel", has.kernel, kernel),
            ("ramdisk", has.ramdisk, selection.ramdisk),
            ("xsm", has.xsm, selection.xsm),
            ("ucode", has.ucode, selection.ucode),
        ];
        for (key, _, named) in named.into_iter().filter(|(_, there, _)| *there) {
            let Some(named) = named else { continue };
            let before = *first.entry(key).or_insert(named);
            if before.text != named.text {
                findings.push(warning(
                    "one-for-all",
                    Some(named),
                    format!(
                        "{key}={} is another name than {} in line {}, and Xen takes the image's section .{key} for both",
                        show(named.text),
                        show(before.text),
                        before.line
                    ),
                    "an image has one of each: build one for each section, or name the same",
                ));
            }
        }
    }
    findings
}

/// What Xen takes from each section; of sections with the same name it knows the first only.
fn selections<'a>(config: &Config<'a>) -> Vec<Selection<'a>> {
    let mut seen: Vec<&[u8]> = Vec::new();
    let mut selections = Vec::new();
    for name in config.sections() {
        if !seen.contains(&name.text) {
            seen.push(name.text);
            selections.push(config.select(Some(name.text)));
        }
    }
    selections
}

/// The text with what the guard wants on the line of each kernel, or why the guard would be kept out.
///
/// What is added stands in front of the line's other options: there no quote that is left open and no ` -- ` is before it, and
/// what does not fit, which Xen cuts off at the end, is something else.
///
/// # Errors
/// Everything that says otherwise.
pub fn complete(text: &[u8]) -> Result<Vec<u8>, Vec<Finding>> {
    let mut completed = Vec::new();
    let mut from = 0;
    for (at, addition) in additions(text)? {
        completed.extend_from_slice(text.get(from..at).unwrap_or_default());
        completed.extend_from_slice(addition.as_bytes());
        from = at;
    }
    completed.extend_from_slice(text.get(from..).unwrap_or_default());
    // What stood behind the kernel's name may have been a line of its own for Xen, and now another one takes its place.
    additions(&completed)?;
    Ok(completed)
}

/// What is to be added, by its place.
fn additions(text: &[u8]) -> Result<BTreeMap<usize, String>, Vec<Finding>> {
    let config = Config::as_xen(text);
    let mut additions: BTreeMap<usize, String> = BTreeMap::new();
    let mut findings = Vec::new();
    for selection in selections(&config) {
        let Some(kernel) = selection.kernel else { continue };
        let mut there = [false; OPTIONS.len()];
        if let Some(arguments) = kernel.arguments {
            judge(arguments, &mut there, &mut findings);
        }
        // Xen hands what stands behind the separator of its own options to dom0's kernel too, and behind the line.
        if let Some((options, (_, range))) =
            selection.options.and_then(|options| Some((options, xen_text::split_dom0(options.text)?)))
        {
            judge(options.tail(range.start), &mut [false; OPTIONS.len()], &mut findings);
        }
        let missing = OPTIONS.iter().zip(there).filter(|(_, there)| !there);
        let addition: String = missing.map(|((name, value), _)| format!(" {name}={value}")).collect();
        additions.insert(kernel.file.offset.saturating_add(kernel.file.text.len()), addition);
    }
    findings.sort_by_key(|finding| (finding.line, finding.column));
    findings.dedup();
    if findings.is_empty() { Ok(additions) } else { Err(findings) }
}

/// Looks through options of dom0's kernel. Marks which of ours are there; tells what keeps the guard out.
fn judge(line: Located<'_>, there: &mut [bool; OPTIONS.len()], findings: &mut Vec<Finding>) {
    let mut at = 0;
    while let Some(range) = linux_text::next_token(line.text, at) {
        at = range.end;
        let place = line.tail(range.start).head(range.len());
        // What follows is for process 1.
        if place.text == b"--" {
            return;
        }
        // Linux takes quotes off; where they stand does not matter to any of these options.
        let token: Vec<u8> = place.text.iter().copied().filter(|&byte| byte != b'"').collect();
        let (name, value, _) = linux_text::split(&token);
        let value = value.unwrap_or_default();
        let is = |option: &str| linux_text::compare_names(name, option.as_bytes()).is_eq();
        let ours = OPTIONS.iter().position(|(option, _)| is(option));
        if let Some((number, (option, wanted))) = ours.and_then(|number| Some((number, OPTIONS.get(number)?))) {
            if value == wanted.as_bytes() {
                if let Some(there) = there.get_mut(number) {
                    *there = true;
                }
            } else {
                findings.push(fatal(
                    if *option == "rdinit" { "other-rdinit" } else { "other-taint" },
                    Some(place),
                    format!("{} takes the place of {option}={wanted}, which the guard needs", show(place.text)),
                    "take it out; what is needed is added",
                ));
            }
        } else if let Some(message) = kept_out(&is, value) {
            findings.push(fatal(
                "guard-kept-out",
                Some(place),
                format!("{} {message}: the machine would only go off", show(place.text)),
                "take it out",
            ));
        }
    }
}

/// How an option keeps the guard from being loaded, if it does.
fn kept_out(is: &dyn Fn(&str) -> bool, value: &[u8]) -> Option<&'static str> {
    let lists = |names: &[&str]| {
        let mut values = value.split(|&byte| byte == b',');
        values.any(|value| names.iter().any(|name| linux_text::compare_names(value, name.as_bytes()).is_eq()))
    };
    if is("module_blacklist") && lists(&[NAME]) {
        return Some("keeps the guard from being loaded");
    }
    if is("initcall_blacklist") && lists(&INITIALISATIONS) {
        return Some("keeps the guard from being started");
    }
    let off = is("nomodule") || is("sysctl.kernel.modules_disabled") || is("sysctl/kernel/modules_disabled");
    (off && value != b"0").then_some("keeps every module from being loaded")
}

fn fatal(id: &'static str, at: Option<Located<'_>>, message: String, advice: &str) -> Finding {
    Finding::at(id, Level::Error, at, message, advice)
}

fn warning(id: &'static str, at: Option<Located<'_>>, message: String, advice: &str) -> Finding {
    Finding::at(id, Level::Warning, at, message, advice)
}

fn show(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]
mod tests {
    use super::*;

    const ALL: Has = Has { kernel: true, ramdisk: true, xsm: true, ucode: true };
    const ADDED: &str = "rdinit=/xen-lockdown/init panic_on_taint=0x8,nousertaint";

    fn of(kernel: &str) -> String {
        format!("[global]\ndefault=xen\n[xen]\noptions=loglvl=all\nkernel={kernel}\nramdisk=initrd\n")
    }

    fn completed(kernel: &str) -> String {
        let text = String::from_utf8(complete(of(kernel).as_bytes()).unwrap()).unwrap();
        text.lines().find_map(|line| line.strip_prefix("kernel=")).unwrap().to_owned()
    }

    fn ids(findings: &[Finding]) -> Vec<(&'static str, usize, usize)> {
        findings.iter().map(|finding| (finding.id, finding.line, finding.column)).collect()
    }

    #[track_caller]
    fn assert_kept_out(kernel: &str, id: &'static str, column: usize) {
        assert_eq!(ids(&complete(of(kernel).as_bytes()).unwrap_err()), [(id, 5, column)], "{kernel}");
    }

    #[test]
    fn what_the_guard_needs_comes_first() {
        assert_eq!(completed("vmlinuz"), format!("vmlinuz {ADDED}"));
        assert_eq!(completed("vmlinuz quiet -- single"), format!("vmlinuz {ADDED} quiet -- single"));
        assert_eq!(completed("vmlinuz \"open"), format!("vmlinuz {ADDED} \"open"));
        assert_eq!(completed("vmlinuz # what for"), format!("vmlinuz {ADDED} # what for"));
    }

    #[test]
    fn what_is_there_is_not_added() {
        assert_eq!(completed(&format!("vmlinuz quiet {ADDED}")), format!("vmlinuz quiet {ADDED}"));
        assert_eq!(
            completed("vmlinuz \"rdinit=/xen-lockdown/init\""),
            "vmlinuz panic_on_taint=0x8,nousertaint \"rdinit=/xen-lockdown/init\""
        );
        // Behind the separator it is process 1's.
        assert!(completed(&format!("vmlinuz -- {ADDED}")).starts_with(&format!("vmlinuz {ADDED} --")));
        let once = complete(of("vmlinuz quiet").as_bytes()).unwrap();
        assert_eq!(complete(&once).unwrap(), once);
    }

    #[test]
    fn every_section_gets_it() {
        let text = "[global]\ndefault=a\n[a]\nkernel=one\n[b]\nkernel=two x\n[a]\nkernel=never\n";
        let text = String::from_utf8(complete(text.as_bytes()).unwrap()).unwrap();
        assert_eq!(
            text,
            format!(
                "[global]\ndefault=a\n[a]\nkernel=one {ADDED}\n[b]\nkernel=two {ADDED} x\n[a]\nkernel=never\n"
            )
        );
    }

    #[test]
    fn what_keeps_the_guard_out_is_told_with_its_place() {
        assert_kept_out("vmlinuz rdinit=/bin/sh", "other-rdinit", 16);
        assert_kept_out("vmlinuz quiet \"rdinit=/bin/sh\"", "other-rdinit", 22);
        assert_kept_out("vmlinuz panic-on-taint=0x1", "other-taint", 16);
        assert_kept_out("vmlinuz panic_on_taint=0x8", "other-taint", 16);
        assert_kept_out("vmlinuz module-blacklist=a,xen_privcmd", "guard-kept-out", 16);
        assert_kept_out("vmlinuz module_blacklist=xen-privcmd", "guard-kept-out", 16);
        assert_kept_out("vmlinuz initcall_blacklist=x,privcmd_init", "guard-kept-out", 16);
        assert_kept_out("vmlinuz nomodule", "guard-kept-out", 16);
        assert_kept_out("vmlinuz sysctl.kernel.modules_disabled=1", "guard-kept-out", 16);
        assert_kept_out("vmlinuz sysctl/kernel/modules_disabled=1", "guard-kept-out", 16);
        for fine in [
            "vmlinuz module_blacklist=nouveau",
            "vmlinuz initcall_blacklist=sysfb_init",
            "vmlinuz sysctl.kernel.modules_disabled=0",
            "vmlinuz nomodule=0",
            "vmlinuz rdinit=/xen-lockdown/init",
            "vmlinuz -- rdinit=/bin/sh",
        ] {
            assert!(complete(of(fine).as_bytes()).is_ok(), "{fine}");
        }
    }

    #[test]
    fn options_for_dom0_in_xens_own_line_count_too() {
        let text = of("vmlinuz").replace("options=loglvl=all", "options=loglvl=all -- quiet rdinit=/x");
        assert_eq!(ids(&complete(text.as_bytes()).unwrap_err()), [("other-rdinit", 4, 29)]);
        // Before, the kernel's arguments were what Xen took for its options; with ours in front the line above counts.
        let text = of("vmlinuz options=x").replace("options=loglvl=all\n", "");
        let text = format!("{text}options=x -- rdinit=/x\n");
        assert_eq!(ids(&complete(text.as_bytes()).unwrap_err()), [("other-rdinit", 6, 14)]);
        let text = of("vmlinuz").replace("options=loglvl=all", "options=rdinit=/x -- quiet");
        assert!(complete(text.as_bytes()).is_ok());
    }

    #[test]
    fn a_configuration_is_held_against_the_sections() {
        let found = |text: &str, has| ids(&check(text.as_bytes(), has));
        assert_eq!(found(&of("vmlinuz"), ALL), []);
        assert_eq!(found(&of("vmlinuz"), Has { ramdisk: false, ..ALL }), [("ramdisk-on-disk", 6, 9)]);
        assert_eq!(found(&of("vmlinuz"), Has { kernel: false, ..ALL }), [("kernel-on-disk", 5, 8)]);
        let more = format!("{}xsm=policy\nucode=ucode.bin\n", of("vmlinuz"));
        assert_eq!(found(&more, ALL), []);
        assert_eq!(found(&more, Has { xsm: false, ..ALL }), [("xsm-on-disk", 7, 5)]);
        assert_eq!(found(&more, Has { ucode: false, ..ALL }), [("ucode-on-disk", 8, 7)]);
        assert!(!check(more.as_bytes(), Has { ucode: false, ..ALL })[0].is_error());
        assert_eq!(found("[xen]\nkernel=vmlinuz\n", ALL), [("no-default", 1, 1)]);
        assert_eq!(found("[global]\ndefault=xen \n[xen]\nkernel=vmlinuz\n", ALL), [("no-section", 2, 9)]);
        assert_eq!(found("[global]\ndefault=xen\n[xen]\noptions=x\n", ALL), [("no-kernel-line", 3, 2)]);
        assert_eq!(found(&of("vmlinuz").replace("[xen]", "chain=x.cfg\n[xen]"), ALL), [("chained", 3, 7)]);
        assert_eq!(found("[global]\ndefault=a\nchain=x.cfg\n[a]\noptions=x\n", ALL), [("chained", 3, 7)]);
        assert_eq!(found(&of("vmlinuz\tquiet"), ALL), [("line-of-its-own", 5, 16)]);
        let two = "[global]\ndefault=a\n[a]\nkernel=one\n[b]\nkernel=two\n";
        assert_eq!(found(two, ALL), [("one-for-all", 6, 8)]);
        assert_eq!(found(two, Has { kernel: false, ..ALL }), [("kernel-on-disk", 4, 8)]);
    }
}
