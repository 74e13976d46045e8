//! What a locked Xen does with a command line, row by row: the numbers are those of the list that the project
//! started from.
//!
//! Each row says what becomes of each token of unsigned text under Secure Boot, and on a machine without it. Rows
//! that the engine cannot express, because they are about what happens to the text before Xen's parser sees it:
//!
//! - 46, 47, 48: how Xen's EFI stub makes a command line of its load options. Xen itself, in QEMU.
//! - 49, 50, 51: how Xen reads xen.cfg. The crate `lockdown-bootconfig`.
//! - 52, 53: how Xen strips a boot loader's image name. The crate `lockdown-bootconfig`.
//! - 56: what a build with `CONFIG_CMDLINE_OVERRIDE` does with the part for dom0. Xen itself, in QEMU.
//! - 57: what Xen keeps of its command line for its report, which no verdict comes from. Xen itself, in QEMU.
//!
//! The list has no rows 13, 19, 22, 28, 29, 33, 40, 44 and 45.

use lockdown_core::{Ground, Level, Lockdown, Segment, Token, Verdict, XenVersion, tables, xen_text};

/// What should become of one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
    /// Refused, with this reason.
    Refused(&'static str),
    /// Honoured although Xen is locked: the rules allow it.
    Allowed,
    /// Honoured because it was signed.
    Trusted,
    /// Honoured because nothing is locked yet.
    NotLocked,
    /// Honoured: it turns the lock on.
    Locks,
    /// Something else, which no row wants.
    Unexpected,
}

use Want::{Allowed, Locks, NotLocked, Refused, Trusted};

impl From<Verdict> for Want {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Refused(refusal) => Refused(refusal.reason.id()),
            Verdict::Honoured(Ground::Allowed) => Allowed,
            Verdict::Honoured(Ground::Trusted) => Trusted,
            Verdict::Honoured(Ground::NotLocked) => NotLocked,
            Verdict::Honoured(Ground::Locks) => Locks,
            Verdict::Honoured(Ground::Overlay(_)) => Self::Unexpected,
        }
    }
}

/// A command line, as Xen gets it.
#[derive(Clone, Copy)]
struct Line {
    builtin: &'static str,
    runtime: &'static str,
}

/// Unsigned text alone.
fn runtime(text: &'static str) -> Line {
    Line { builtin: "", runtime: text }
}

/// Text compiled into Xen, and unsigned text.
fn builtin_and_runtime(builtin: &'static str, runtime: &'static str) -> Line {
    Line { builtin, runtime }
}

impl Line {
    /// Under Secure Boot the lock is on from the start, and stays on.
    fn secure_boot(self, wanted: &[Want]) -> Self {
        let (verdicts, level) = self.judge(Some(Level::Integrity));
        assert_eq!(verdicts, wanted, "{:?} under Secure Boot", self.runtime);
        assert!(level >= Some(Level::Integrity), "{:?} unlocks", self.runtime);
        self
    }

    /// Without Secure Boot the lock is off at the start; this line does not turn it on.
    fn stays_unlocked(self, wanted: &[Want]) -> Self {
        let (verdicts, level) = self.judge(None);
        assert_eq!(verdicts, wanted, "{:?} without Secure Boot", self.runtime);
        assert_eq!(level, None, "{:?} locks", self.runtime);
        self
    }

    /// Without Secure Boot the lock is off at the start; this line turns it on.
    fn gets_locked(self, wanted: &[Want]) -> Self {
        let (verdicts, level) = self.judge(None);
        assert_eq!(verdicts, wanted, "{:?} without Secure Boot", self.runtime);
        assert_eq!(level, Some(Level::Integrity), "{:?} does not lock", self.runtime);
        self
    }

    /// Parses as Xen does: the built-in text first and whole, then the loader's up to ` -- `.
    fn judge(self, locked: Option<Level>) -> (Vec<Want>, Option<Level>) {
        let mut lockdown = Lockdown::new(&tables::TABLE, XenVersion::V4_20, locked);
        let want = |token: Token<'_>| Want::from(token.verdict);
        let mut verdicts: Vec<_> =
            lockdown.xen_tokens(Segment::Builtin, self.builtin.as_bytes()).map(want).collect();
        let runtime = self.runtime.as_bytes();
        let end = xen_text::split_dom0(runtime).map_or(runtime.len(), |(end, _)| end);
        verdicts.extend(lockdown.xen_tokens(Segment::Runtime, &runtime[..end]).map(want));
        (verdicts, lockdown.level())
    }
}

#[test]
fn row_01_the_bare_option_locks() {
    runtime("lockdown").secure_boot(&[Locks]).gets_locked(&[Locks]);
}

#[test]
fn row_02_no_value_turns_the_lock_off() {
    for text in ["lockdown=no", "lockdown=off", "lockdown=0", "lockdown=false", "lockdown=disable"] {
        runtime(text).secure_boot(&[Refused("latch")]).stays_unlocked(&[NotLocked]);
    }
}

#[test]
fn row_03_nor_does_the_negated_option() {
    runtime("no-lockdown").secure_boot(&[Refused("latch")]).stays_unlocked(&[NotLocked]);
}

#[test]
fn row_04_a_double_negation_changes_nothing() {
    runtime("no-lockdown=no").secure_boot(&[Refused("latch")]).stays_unlocked(&[NotLocked]);
}

#[test]
fn row_05_nothing_after_it_unlocks() {
    let both = [Locks, Refused("latch")];
    runtime("lockdown lockdown=no").secure_boot(&both).gets_locked(&both);
}

#[test]
fn row_06_what_comes_before_the_lock_is_honoured_unless_secure_boot_locked_first() {
    runtime("com1=115200,8n1,0x100000 lockdown")
        .secure_boot(&[Refused("io-address"), Locks])
        .gets_locked(&[NotLocked, Locks]);
}

#[test]
fn row_07_what_comes_after_the_lock_is_refused() {
    let both = [Locks, Refused("io-address")];
    runtime("lockdown com1=115200,8n1,0x100000").secure_boot(&both).gets_locked(&both);
}

#[test]
fn row_08_a_tab_does_not_end_an_option() {
    runtime("lockdown\tcom1=115200,8n1,0x100000")
        .secure_boot(&[Refused("unknown-option")])
        .stays_unlocked(&[NotLocked]);
}

#[test]
fn row_09_nor_does_a_line_feed() {
    runtime("lockdown\ncom1=1").secure_boot(&[Refused("unknown-option")]).stays_unlocked(&[NotLocked]);
}

#[test]
fn row_10_builtin_text_is_trusted_and_what_replaces_it_is_judged_on_its_own() {
    builtin_and_runtime("com1=115200,8n1,0x100000", "com1=115200")
        .secure_boot(&[Trusted, Allowed])
        .stays_unlocked(&[Trusted, NotLocked]);
    builtin_and_runtime("com1=115200", "com1=115200,8n1,0x100000")
        .secure_boot(&[Trusted, Refused("io-address")])
        .stays_unlocked(&[Trusted, NotLocked]);
}

#[test]
fn row_11_builtin_text_cannot_unlock_either() {
    builtin_and_runtime("lockdown=no", "tboot=0x1000")
        .secure_boot(&[Trusted, Refused("unsigned-code")])
        .stays_unlocked(&[Trusted, NotLocked]);
}

#[test]
fn row_12_a_lock_in_builtin_text_comes_before_all_unsigned_text() {
    let both = [Locks, Refused("io-address"), Allowed];
    builtin_and_runtime("lockdown", "com1=115200,8n1,0x100000 hap").secure_boot(&both).gets_locked(&both);
}

#[test]
fn row_14_a_bracketed_name_is_found() {
    runtime("ivrs_ioapic[7]=00:14.0").secure_boot(&[Refused("dma-protection")]).stays_unlocked(&[NotLocked]);
    runtime("ivrs_hpet[0]=00:14.0").secure_boot(&[Refused("dma-protection")]).stays_unlocked(&[NotLocked]);
}

#[test]
fn row_15_so_is_one_without_an_index() {
    runtime("ivrs_ioapic[=x").secure_boot(&[Refused("dma-protection")]).stays_unlocked(&[NotLocked]);
}

#[test]
fn row_16_a_negated_bracketed_name_is_unknown_to_xen() {
    runtime("no-ivrs_ioapic[7]=x").secure_boot(&[Refused("unknown-option")]).stays_unlocked(&[NotLocked]);
}

#[test]
fn row_17_a_negated_text_option_is_stored_all_the_same() {
    runtime("no-com1=115200,8n1,0x100000").secure_boot(&[Refused("io-address")]).stays_unlocked(&[NotLocked]);
}

#[test]
fn row_18_so_is_a_negated_number() {
    runtime("no-tboot=0x1000").secure_boot(&[Refused("unsigned-code")]).stays_unlocked(&[NotLocked]);
}

#[test]
fn row_20_a_number_with_text_behind_it_is_refused_before_xen_stores_the_number() {
    runtime("tboot=4096junk").secure_boot(&[Refused("unsigned-code")]).stays_unlocked(&[NotLocked]);
}

#[test]
fn row_21_so_is_a_size() {
    for text in ["mem=50%", "mem=4GB"] {
        runtime(text).secure_boot(&[Refused("memory-map")]).stays_unlocked(&[NotLocked]);
    }
}

#[test]
fn row_23_each_repetition_is_judged() {
    runtime("iommu=verbose iommu=off")
        .secure_boot(&[Allowed, Refused("dma-protection")])
        .stays_unlocked(&[NotLocked, NotLocked]);
}

#[test]
fn row_24_a_named_boolean_may_not_weaken() {
    runtime("iommu=force=off").secure_boot(&[Refused("dma-protection")]).stays_unlocked(&[NotLocked]);
}

#[test]
fn row_25_a_serial_address_by_name_is_refused() {
    runtime("com1=115200,io-base=0x100000").secure_boot(&[Refused("io-address")]).stays_unlocked(&[NotLocked]);
}

#[test]
fn row_26_so_is_a_serial_device_by_its_pci_address() {
    runtime("com1=115200,8n1,0x3f8,4,port=00:1f.3")
        .secure_boot(&[Refused("io-address")])
        .stays_unlocked(&[NotLocked]);
}

#[test]
fn row_27_so_is_a_search_for_pci_serial_devices() {
    runtime("com1=115200,8n1,pci").secure_boot(&[Refused("io-address")]).stays_unlocked(&[NotLocked]);
}

#[test]
fn row_30_a_token_is_judged_after_the_cut() {
    let text = format!("com1={},0x3f8", "a".repeat(123)).leak();
    runtime(text).secure_boot(&[Refused("value-not-listed")]).stays_unlocked(&[NotLocked]);
    // The 127 bytes end behind the 1; Xen never sees the rest.
    let text = format!("iommu={}1,off", "verbose,".repeat(15)).leak();
    runtime(text).secure_boot(&[Allowed]);
    // Here they leave "force=o", which is no boolean.
    let text = format!("iommu=1,{}force=on", "verbose,".repeat(14)).leak();
    runtime(text).secure_boot(&[Refused("dma-protection")]);
}

#[test]
fn row_31_a_long_console_list_is_cut_without_harm() {
    let text = format!("console=vga,com1,{},com2", ",".repeat(22)).leak();
    runtime(text).secure_boot(&[Allowed]).stays_unlocked(&[NotLocked]);
}

#[test]
fn row_32_so_is_a_long_nmi_word() {
    runtime("nmi=fatal_and_more").secure_boot(&[Allowed]).stays_unlocked(&[NotLocked]);
}

#[test]
fn row_34_quotes_mean_nothing() {
    runtime("console=\"vga com1\"")
        .secure_boot(&[Allowed, Refused("unknown-option")])
        .stays_unlocked(&[NotLocked, NotLocked]);
}

#[test]
fn row_35_booleans_are_exact_words() {
    for text in ["hap=OFF", "hap=2", "hap=,off", "hap=off"] {
        runtime(text).secure_boot(&[Allowed]).stays_unlocked(&[NotLocked]);
    }
    // Where only one of the two is allowed, a word that is neither is refused.
    runtime("noapic=off noapic=OFF noapic=2").secure_boot(&[
        Allowed,
        Refused("dma-protection"),
        Refused("dma-protection"),
    ]);
}

#[test]
fn row_36_an_empty_boolean_is_true() {
    for text in ["hap=", "hap"] {
        runtime(text).secure_boot(&[Allowed]).stays_unlocked(&[NotLocked]);
    }
    runtime("noapic= noapic").secure_boot(&[Refused("dma-protection"), Refused("dma-protection")]);
}

#[test]
fn row_37_only_one_negation_is_stripped() {
    runtime("no-no-hap").secure_boot(&[Refused("unknown-option")]).stays_unlocked(&[NotLocked]);
}

#[test]
fn row_38_a_name_that_begins_with_no_is_not_a_negation() {
    runtime("no-noapic").secure_boot(&[Allowed]).stays_unlocked(&[NotLocked]);
    runtime("noapic no-noapic=off").secure_boot(&[Refused("dma-protection"), Refused("dma-protection")]);
}

#[test]
fn row_39_an_option_with_two_handlers_is_refused_once() {
    runtime("no-dbgp").secure_boot(&[Refused("io-address")]).stays_unlocked(&[NotLocked]);
}

#[test]
fn row_41_dashes_at_the_start_do_not_begin_dom0s_part() {
    runtime("-- hap=off tboot=0x1000")
        .secure_boot(&[Refused("unknown-option"), Allowed, Refused("unsigned-code")])
        .stays_unlocked(&[NotLocked, NotLocked, NotLocked]);
}

#[test]
fn row_42_nor_do_dashes_at_the_end() {
    runtime("hap=off --")
        .secure_boot(&[Allowed, Refused("unknown-option")])
        .stays_unlocked(&[NotLocked, NotLocked]);
}

#[test]
fn row_43_nor_dashes_between_tabs() {
    runtime("a\t--\tlockdown").secure_boot(&[Refused("unknown-option")]).stays_unlocked(&[NotLocked]);
}

#[test]
fn row_54_a_value_that_nobody_knows_locks() {
    for text in ["lockdown=maybe", "lockdown=1x"] {
        runtime(text).secure_boot(&[Locks]).gets_locked(&[Locks]);
    }
}

#[test]
fn row_55_builtin_text_is_never_split() {
    builtin_and_runtime("a -- b", "hap -- tboot=1")
        .secure_boot(&[Trusted, Trusted, Trusted, Allowed])
        .stays_unlocked(&[Trusted, Trusted, Trusted, NotLocked]);
}

#[test]
fn row_58_control_bytes_belong_to_the_name_and_nul_ends_the_text() {
    runtime("hap\x01=off").secure_boot(&[Refused("unknown-option")]).stays_unlocked(&[NotLocked]);
    runtime("hap\0 tboot=0x1000").secure_boot(&[Allowed]).stays_unlocked(&[NotLocked]);
}

#[test]
fn row_59_odd_numbers_for_a_safe_option_are_xens_own_affair() {
    for text in ["maxcpus=-1", "maxcpus=08", "maxcpus=0x100000000"] {
        runtime(text).secure_boot(&[Allowed]).stays_unlocked(&[NotLocked]);
    }
}

#[test]
fn row_60_a_number_that_wraps_is_refused_like_any_other() {
    runtime("tboot=0xfffffffffffffffff").secure_boot(&[Refused("unsigned-code")]).stays_unlocked(&[NotLocked]);
    assert_eq!(xen_text::strtoull(b"0xfffffffffffffffff", 0), (u64::MAX, 19));
}
