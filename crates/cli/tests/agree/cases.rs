//! What is put into machines.

use lockdown_lab::lab::config;
use lockdown_lab::machine::Dom0;

use crate::samples;

/// As much allowed text as one machine gets, so that Xen's log shows all of it.
const ROOM: usize = 880;

/// As many refused tokens as one machine gets, so that Xen keeps all of them.
const REFUSED: usize = 60;

/// What is built into a Xen: something that is seen, a value that unsigned text may not give, and a separator, which is none
/// there.
const BUILTIN: &str = "console_timestamps=boot lockdown=no com2=115200,8n1,0x2f8,5 a -- b";

/// What is built into another.
const BUILTIN_LOCK: &str = "lockdown";

/// What is not compared, and why.
pub(crate) const NOT_COMPARED: &[(&str, &str)] = &[
    (
        "values that move or silence the console (console=, com1=, loglvl=)",
        "nothing would be heard: others are tried",
    ),
    ("what an honoured option then does", "Xen's own affair; that its parser gets it is what counts"),
    ("zero bytes (row 58)", "no argument of lint can hold one"),
    (
        "a section or -cfg in a boot entry, text beyond ASCII (rows 46, 47)",
        "lint reads no boot entries; prove attacks so",
    ),
    ("xen.cfg on the disk (rows 49 to 51)", "files have their own tests, in lockdown-bootconfig"),
    ("an image's name in the text (rows 52, 53)", "a multiboot loader puts it there; the lab boots by EFI"),
    ("CONFIG_CMDLINE_OVERRIDE (row 56)", "lint knows no such Xen"),
    ("options of 4.17 and of the development branch", "the machine has 4.20"),
];

const SAME_FOR_DOM0: &str = "what dom0 gets is that of another machine";

/// How far a machine goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// Until Xen has told its own line, for this reason.
    Xen(&'static str),
    /// Until dom0's kernel has told its.
    Dom0,
    /// Until dom0's userspace has told what `xen-lockdown status` says, and the whole of its kernel's line.
    Told,
}

/// One machine.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) secure_boot: bool,
    pub(crate) builtin: &'static str,
    /// Signed beside what the lab needs: for Xen, for dom0.
    pub(crate) more: (&'static str, &'static str),
    pub(crate) runtime: String,
    pub(crate) until: Until,
    /// What Xen adds to dom0's line by itself, which lint does not say (docs/lint.md).
    pub(crate) adds: &'static [&'static str],
}

impl Case {
    /// Under Secure Boot.
    fn locked(name: &str, runtime: &str) -> Self {
        let (name, runtime) = (name.to_owned(), runtime.to_owned());
        Self { name, secure_boot: true, builtin: "", more: ("", ""), runtime, until: Until::Dom0, adds: &[] }
    }

    /// Without Secure Boot.
    fn open(name: &str, runtime: &str) -> Self {
        Self { secure_boot: false, ..Self::locked(name, runtime) }
    }

    /// The signed configuration.
    pub(crate) fn config(&self) -> String {
        // Whatever unsigned text makes of the log level, dom0's line is to be seen.
        config(Dom0::Pv, self.more.0, &format!("ignore_loglevel {}", self.more.1))
    }

    /// The same as Xen's loader makes text of it: for Xen, for dom0, which gets the name of the kernel's section in front.
    pub(crate) fn signed(&self) -> (String, String) {
        let config = self.config();
        let value = |key: &str| config.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).unwrap();
        let (_, dom0) = value("kernel").split_once(' ').unwrap();
        (value("options").to_owned(), format!("kernel {dom0}"))
    }
}

pub(crate) fn all() -> Vec<Case> {
    let mut cases = options();
    cases.extend(vectors());
    cases
}

/// Every option of Xen: what is allowed in front, where the log shows it, and what is refused behind it.
fn options() -> Vec<Case> {
    let samples = samples::xen();
    let allowed = samples.iter().flat_map(|sample| [&sample.allowed, &sample.confidential]).flatten().cloned();
    let mut refused: Vec<String> = samples.iter().filter_map(|sample| sample.refused.clone()).collect();
    refused.extend(samples::foreign());
    let mut refused = refused.into_iter();
    let mut cases = Vec::new();
    let mut add = |mut tokens: Vec<String>| {
        tokens.extend(refused.by_ref().take(REFUSED));
        let name = format!("options-{}", cases.len() + 1);
        cases.push(Case::locked(&name, &tokens.join(" ")));
    };
    let mut tokens: Vec<String> = Vec::new();
    for token in allowed {
        let used: usize = tokens.iter().map(|token| token.len() + 1).sum();
        if used + token.len() > ROOM {
            add(std::mem::take(&mut tokens));
        }
        tokens.push(token);
    }
    add(tokens);
    assert_eq!(refused.next(), None, "more machines are needed");
    cases
}

/// The list that the project started from, as far as it is about tokens (`crates/core/tests/lockdown_vectors.rs` has it,
/// with what is wanted): rows 2 to 5, 8, 9, 14 to 18, 20, 21, 23 to 27, 30 to 32, 34 to 39, 43, 58 to 60. None of them
/// locks, and each is judged by itself.
fn tokens() -> Vec<String> {
    let texts = [
        "lockdown=no lockdown=off lockdown=0 lockdown=false lockdown=disable no-lockdown no-lockdown=no",
        "lockdown\tcom1=115200,8n1,0x100000 a\t--\tlockdown hap\u{1}=off",
        "ivrs_ioapic[7]=00:14.0 ivrs_hpet[0]=00:14.0 ivrs_ioapic[=x no-ivrs_ioapic[7]=x",
        "no-com1=115200,8n1,0x100000 no-tboot=0x1000 tboot=4096junk mem=50% mem=4GB",
        "iommu=verbose iommu=off iommu=force=off",
        "com1=115200,io-base=0x100000 com1=115200,8n1,0x3f8,4,port=00:1f.3 com1=115200,8n1,pci com1=115200",
        "nmi=fatal_and_more hap=OFF hap=2 hap=,off hap=off hap= hap no-no-hap",
        "noapic=off noapic=OFF noapic=2 noapic= noapic no-noapic no-noapic=off no-dbgp",
        "maxcpus=-1 maxcpus=08 maxcpus=0x100000000 tboot=0xfffffffffffffffff",
    ];
    let mut tokens: Vec<String> = texts.iter().flat_map(|text| text.split(' ')).map(str::to_owned).collect();
    tokens.push(format!("com1={},0x3f8", "a".repeat(123)));
    tokens.push(format!("iommu={}1,off", "verbose,".repeat(15)));
    tokens.push(format!("iommu=1,{}force=on", "verbose,".repeat(14)));
    tokens.push(format!("console=vga,com1,{},com2", ",".repeat(22)));
    tokens.push("console=\"vga".to_owned());
    tokens.push("com1\"".to_owned());
    // Xen has to go on speaking.
    tokens.push("console=com1".to_owned());
    // A line break, after which the log tells no more of the line.
    tokens.push("lockdown\ncom1=1".to_owned());
    tokens
}

/// A port that unsigned text may not name, and that does no harm where it may.
const PORT: &str = "com2=115200,8n1,0x2e0";

fn vectors() -> Vec<Case> {
    let tokens = tokens();
    let (first, second) = tokens.split_at(tokens.len() / 2);
    let brief = |case: Case| Case { until: Until::Xen(SAME_FOR_DOM0), ..case };
    let stops = "honoured, mem= and tboot= stop the machine";
    // Honoured, an address in com1 would move the console.
    let open = tokens
        .join(" ")
        .replace("com1=115200", "com2=115200")
        .replace("0x100000", "0x2e0")
        .replace("com1=a", "com2=a");
    let mut cases = vec![
        Case::locked("vectors-1", &first.join(" ")),
        Case::locked("vectors-2", &second.join(" ")),
        Case { until: Until::Xen(stops), ..Case::open("vectors-open", &open) },
        // Rows 41 and 42: dashes at the beginning and at the end.
        Case::locked("dashes", "-- hap=off tboot=0x1000 --"),
        Case::locked("dashes-at-the-end", "hap=off --"),
        Case::open("dashes-open", "-- hap=off init=/init --"),
        // Rows 1, 5, 6, 7.
        Case::locked("lock-again", &format!("{PORT} lockdown {PORT} lockdown=no lockdown=maybe lockdown=1x")),
        Case::open("lock", &format!("{PORT} lockdown {PORT} lockdown=no no-lockdown {PORT} -- quiet init=/init")),
        // Row 54, and what else locks.
        brief(Case::open("lock-maybe", &format!("{PORT} lockdown=maybe {PORT}"))),
        brief(Case::open("lock-1x", &format!("{PORT} lockdown=1x {PORT}"))),
        brief(Case::open("lock-integrity", &format!("tbuf_size=1 {PORT} lockdown=integrity {PORT} tbuf_size=1"))),
        Case::open(
            "lock-confidentiality",
            &format!("tbuf_size=1 {PORT} lockdown=confidentiality {PORT} tbuf_size=1"),
        ),
        // Xen tells dom0 what it was told itself.
        Case { adds: &["acpi=force"], ..Case::locked("acpi", "acpi=force -- quiet") },
        Case::open("no-lock", "hap=off tbuf_size=1 -- module_blacklist=dummy lockdown=none"),
    ];
    cases.extend(levels());
    cases.extend(segments());
    cases.extend(dom0());
    cases.extend(many());
    cases.extend(told());
    cases
}

/// What only confidentiality refuses, before and behind the option that raises the level.
fn levels() -> Vec<Case> {
    let confidential: Vec<String> = samples::xen().into_iter().filter_map(|sample| sample.confidential).collect();
    let text = confidential.join(" ");
    vec![Case::locked(
        "confidentiality",
        &format!("{text} lockdown=confidentiality {text} lockdown=integrity {text}"),
    )]
}

/// Signed and built-in text, honoured whole, in front of the same from a boot entry.
fn segments() -> Vec<Case> {
    let unsigned = "smep=off ept=no-ad nosuch=1 lockdown=no -- quiet module_blacklist=dummy";
    let signed = ("smep=off ept=no-ad nosuch=1 lockdown=no", "module_blacklist=dummy lockdown=none rootwait=x");
    let builtin = |builtin, case: Case| Case { builtin, ..case };
    vec![
        Case { more: signed, ..Case::locked("signed", unsigned) },
        Case { more: signed, ..Case::open("signed-open", unsigned) },
        Case { more: ("lockdown", ""), ..Case::open("signed-lock", unsigned) },
        Case { more: ("lockdown=confidentiality", ""), ..Case::open("signed-confidentiality", "tbuf_size=1") },
        // Signed text that Linux reads no option behind.
        Case { more: ("", "a=\"b c"), ..Case::locked("signed-quote", "-- quiet") },
        Case { more: ("", "a -- b"), ..Case::locked("signed-dashes", "-- quiet") },
        // Rows 10, 11, 55 and 12.
        builtin(BUILTIN, Case::locked("builtin", &format!("com2=115200 {PORT} hap -- tboot=1"))),
        builtin(BUILTIN, Case::open("builtin-open", &format!("com2=115200 {PORT} tboot=0x1000 -- tboot=1"))),
        builtin(BUILTIN_LOCK, Case::open("builtin-lock", &format!("{PORT} hap lockdown=no -- tboot=1"))),
    ]
}

/// Every option of dom0's kernel that a rule speaks of, and forms that text can have there.
fn dom0() -> Vec<Case> {
    let samples = samples::dom0();
    let allowed = samples.iter().filter_map(|sample| sample.allowed.clone());
    let refused = samples.iter().filter_map(|sample| sample.refused.clone());
    let tokens: Vec<String> = allowed.chain(refused).collect();
    let forms = "quiet\tro a=\"b c\" \"d e\" rw f\u{1}g quiet=\" loglevel=7 ro";
    vec![
        Case::locked("dom0", &format!("loglvl=all -- {}", tokens.join(" "))),
        Case::locked("dom0-forms", &format!("loglvl=all --    {forms}")),
        Case::open("dom0-open", &format!("-- {forms}")),
    ]
}

/// More than Xen keeps, and than its log shows of its line (row 57).
fn many() -> Vec<Case> {
    let short: Vec<String> = (0..70).map(|number| format!("x{number}")).collect();
    let long: Vec<String> = (0..40).map(|number| format!("y{number}={}", "z".repeat(100 + number))).collect();
    vec![
        Case {
            until: Until::Xen(SAME_FOR_DOM0),
            ..Case::locked("too-many", &format!("hap=off {} hap=on", short.join(" ")))
        },
        Case {
            until: Until::Xen(SAME_FOR_DOM0),
            ..Case::locked("too-long", &format!("hap=off {} hap=on", long.join(" ")))
        },
    ]
}

/// What dom0 can say for itself: what was refused, and lines that Xen cuts.
fn told() -> Vec<Case> {
    let told = |case: Case| Case { until: Until::Told, ..case };
    let runtime =
        format!("{PORT} nosuch=a\\b hap\u{1}=off x={} lockdown=no -- quiet a=\"b c\" init=/init", "y".repeat(130));
    // Each allowed, so that the line is as long as Xen lets it be.
    let long: Vec<String> =
        (0..25).map(|number| format!("root=/dev/disk/by-label/a-name-of-some-length-{number}")).collect();
    vec![
        told(Case::locked("status", &runtime)),
        told(Case::locked("dom0-long", &format!("-- {}", long.join(" ")))),
        told(Case::open("dom0-long-open", &format!("-- {}", long.join(" ")))),
    ]
}
