//! The command line of `xen-lockdown`.

mod image;
mod judge;
mod sbat;

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use lockdown_core::tables::XEN_VERSIONS;

pub(crate) use self::image::{
    ImageAttachArguments, ImageBuildArguments, ImageCommand, ImageInspectArguments, ImagePrepareArguments,
    ImageSignArguments, ImageUnsignArguments, ImageVerifyArguments, SignatureTerms,
};
pub(crate) use self::judge::{JudgeArguments, JudgementTerms};
pub(crate) use self::sbat::{
    SbatAdviseArguments, SbatCheckArguments, SbatCommand, SbatCompareArguments, SbatShowArguments,
    SbatWriteArguments,
};

/// Secure Boot lockdown for Xen: what a locked Xen does with a command line, a configuration, an image.
#[derive(Debug, Parser)]
#[command(name = "xen-lockdown", version, max_term_width = 100)]
#[command(after_help = "Exit status: 0 nothing refused, 1 something refused, 2 could not judge.")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The release of Xen that is meant where none is named.
pub(crate) const DEFAULT_XEN: &str = "4.20";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Say what a locked Xen would do with command lines, configurations and images
    Lint(LintArguments),
    /// Print everything about an option, a reason, a rule of the security boundary or an advisory
    Explain(ExplainArguments),
    /// Boot real Xen under Secure Boot in a machine of its own, attack it, report what breached
    Prove(ProveArguments),
    /// Make a locked Xen from an unmodified source tree
    #[command(subcommand)]
    Xen(XenCommand),
    /// Make unified images: one xen.efi with its configuration, dom0's kernel and its ramdisk
    #[command(subcommand)]
    Image(ImageCommand),
    /// Read, check, compare and write the tables by which images are revoked, and say when a generation rises
    #[command(subcommand)]
    Sbat(SbatCommand),
    /// Judge a security issue by the boundary: is it a breach, and whose SBAT generation rises
    Judge(JudgeArguments),
    /// Make the guard in dom0's kernel: the source for kbuild and DKMS, or a module
    #[command(subcommand)]
    Guard(GuardCommand),
    /// Explain hypercalls that a process made or would make
    #[command(subcommand)]
    Hypercall(HypercallCommand),
    /// Say whether this running host is locked, by what, and what was refused
    Status(StatusArguments),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a folder
    Manual {
        /// The folder
        folder: PathBuf,
    },
}

const LINT_EXAMPLES: &str = "\
Examples:
  xen-lockdown lint --secure-boot --runtime 'console=vga iommu=off -- quiet'
      a command line from an unsigned source, under Secure Boot
  xen-lockdown lint --builtin lockdown --signed 'smep=on' --runtime 'loglvl=all'
      the three segments, locked by the built-in text
  xen-lockdown lint --secure-boot /boot/grub/grub.cfg
      every menu entry that boots Xen
  xen-lockdown lint --format sarif /boot/efi/EFI/xen/xen.cfg xen-unified.efi
      a configuration file and an image's signed configuration, for a code scanner

Files: xen.cfg (with the files it chains to), grub.cfg, /etc/default/grub, a unified xen.efi (its
section .config, which is signed text). Their kind is found from the content; --as sets it.

Exit status: 0 nothing refused, 1 something refused, 2 could not judge (usage, unreadable input).";

#[derive(Debug, Args)]
#[command(after_help = LINT_EXAMPLES)]
pub(crate) struct LintArguments {
    /// Files to judge; - reads standard input
    pub(crate) files: Vec<PathBuf>,
    /// Text that is compiled into Xen (CONFIG_CMDLINE)
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) builtin: Option<String>,
    /// Text that is signed with the image (options= of its .config section)
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) signed: Option<String>,
    /// Text from any other source: boot entry, boot loader, a file on a disk
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) runtime: Option<String>,
    /// The machine boots with Secure Boot on, so that Xen is locked from the start
    #[arg(long)]
    pub(crate) secure_boot: bool,
    /// The release of Xen whose options count
    #[arg(long, value_name = "VERSION", default_value = DEFAULT_XEN, value_parser = PossibleValuesParser::new(XEN_VERSIONS))]
    pub(crate) xen: String,
    /// Further values that a downstream declares safe (a file as in policy/README.md)
    #[arg(long, value_name = "FILE")]
    pub(crate) overlay: Vec<PathBuf>,
    /// What to print
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    pub(crate) format: Format,
    /// When to exit with status 1
    #[arg(long, value_name = "WHEN", default_value = "refused")]
    pub(crate) fail_on: FailOn,
    /// What the files are, where their content does not tell
    #[arg(long = "as", value_name = "KIND")]
    pub(crate) kind: Option<FileKind>,
    /// A variable that GRUB or the firmware would set at boot, for grub.cfg
    #[arg(long = "grub-variable", value_name = "NAME=VALUE", value_parser = parse_variable)]
    pub(crate) grub_variables: Vec<(String, String)>,
    /// Show what is honoured too, and why
    #[arg(long, short)]
    pub(crate) verbose: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Text for people
    Human,
    /// One JSON object, schema xen-lockdown/lint/1
    Json,
    /// SARIF 2.1.0, for code scanners
    Sarif,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FailOn {
    /// When a token is refused
    Refused,
    /// Never
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FileKind {
    /// A configuration file of Xen's EFI loader
    XenCfg,
    /// A configuration file of GRUB
    GrubCfg,
    /// /etc/default/grub
    DefaultGrub,
    /// A unified xen.efi
    Image,
}

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  xen-lockdown explain com1          an option of Xen
  xen-lockdown explain dom0:console  an option of dom0's Linux
  xen-lockdown explain io-address    a reason
  xen-lockdown explain B4            a rule of the security boundary
  xen-lockdown explain J2.4          a rule by which issues are judged
  xen-lockdown explain xsa-309       an advisory, and its judgement
  xen-lockdown explain --list        the names of everything that can be explained";

#[derive(Debug, Args)]
#[command(after_help = EXPLAIN_EXAMPLES)]
pub(crate) struct ExplainArguments {
    /// An option, a hypercall (`domctl`, `domctl.createdomain`), a reason, a rule or an advisory (`xsa-309`)
    #[arg(required_unless_present = "list")]
    pub(crate) name: Option<String>,
    /// List all names instead
    #[arg(long)]
    pub(crate) list: bool,
    /// What to print
    #[arg(long, value_name = "FORMAT", default_value = "human", value_parser = PossibleValuesParser::new(["human", "json"]))]
    pub(crate) format: String,
}

const PROVE_EXAMPLES: &str = "\
Examples:
  xen-lockdown prove
      everything: Debian's Xen, a locked one, and that with the guard, each with a PV and with a PVH dom0
  xen-lockdown prove --column stock-pv --only image-unsigned --only entry-overrides-options
      two attacks
  xen-lockdown prove --extra-attacks my-attacks
      static programs of one's own beside the built-in attacks

Runs from the project's source. Needs mmdebstrap, and root or user namespaces. Attacks nothing but the machines
that it starts.

Exit status: 0 every column behaved as declared for it, 1 one did not, 2 the lab failed.";

#[derive(Debug, Args)]
#[command(after_help = PROVE_EXAMPLES)]
pub(crate) struct ProveArguments {
    /// Only this attack; can be given more than once
    #[arg(long, value_name = "ID", num_args = 1..)]
    pub(crate) only: Vec<String>,
    /// Only this column: stock, locked-xen or locked, or with one kind of dom0 stock-pv, stock-pvh and so on; can be given
    /// more than once [default: all]
    #[arg(long, value_name = "NAME")]
    pub(crate) column: Vec<String>,
    /// A folder with static programs that follow the attack protocol
    #[arg(long, value_name = "DIR")]
    pub(crate) extra_attacks: Option<PathBuf>,
    /// How many machines run at once [default: one for each processor]
    #[arg(long, short, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// Keep the machines' disks and logs
    #[arg(long)]
    pub(crate) keep: bool,
    /// Where the lab keeps its root and its machines [default: lab in cargo's target folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) folder: Option<PathBuf>,
    /// Where report.json, report.xml (JUnit) and report.html go [default: report in the lab's folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) report: Option<PathBuf>,
    /// What to print
    #[arg(long, value_name = "FORMAT", default_value = "human", value_parser = PossibleValuesParser::new(["human", "json"]))]
    pub(crate) format: String,
}

const XEN_PATCH_EXAMPLES: &str = "\
Examples:
  xen-lockdown xen patch --tree xen-4.20
      the patch series on standard output
  xen-lockdown xen patch --tree xen-4.20 --output xen-4.20/debian/patches/lockdown
      one file a patch, the list of them (series), and the object that the Makefile wants

The object goes to xen/common/lockdown/object.bin once the patches are applied.

Runs from the project's source. Needs mmdebstrap, and root or user namespaces.";

const XEN_BUILD_EXAMPLES: &str = "\
Examples:
  xen-lockdown xen build --output out
      Debian's Xen, with Debian's configuration and lockdown
  xen-lockdown xen build --tree xen-4.20 --set CONFIG_LOCKDOWN_DEFAULT_BLIND=y --output out
      another tree, locked from the start where the firmware cannot be seen

Prints where xen.efi, xen.gz and xen-syms are. The same input gives the same bytes. SOURCE_DATE_EPOCH in the
environment is the time that Xen says it was built at.

Runs from the project's source. Needs mmdebstrap, and root or user namespaces.";

#[derive(Debug, Subcommand)]
pub(crate) enum XenCommand {
    /// Print what a tree has to be changed by, as ordinary patches
    #[command(after_help = XEN_PATCH_EXAMPLES)]
    Patch {
        /// The unpacked source of Xen
        #[arg(long, value_name = "DIR")]
        tree: PathBuf,
        /// Write files here instead
        #[arg(long, value_name = "DIR")]
        output: Option<PathBuf>,
        /// Where the lab keeps its root [default: lab in cargo's target folder]
        #[arg(long, value_name = "DIR")]
        folder: Option<PathBuf>,
    },
    /// Build xen.efi, xen.gz and xen-syms
    #[command(after_help = XEN_BUILD_EXAMPLES)]
    Build {
        /// The unpacked source of Xen [default: Debian's, fetched]
        #[arg(long, value_name = "DIR")]
        tree: Option<PathBuf>,
        /// Copy what was built here
        #[arg(long, value_name = "DIR")]
        output: Option<PathBuf>,
        /// The configuration to start from [default: Debian's for that release]
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// A further line for the configuration; can be given more than once
        #[arg(long, value_name = "LINE")]
        set: Vec<String>,
        /// Leave lockdown out, for comparison
        #[arg(long)]
        stock: bool,
        /// Build even if it was built before
        #[arg(long)]
        again: bool,
        /// Where the lab keeps its root [default: lab in cargo's target folder]
        #[arg(long, value_name = "DIR")]
        folder: Option<PathBuf>,
    },
}

const GUARD_SOURCE_EXAMPLES: &str = "\
Examples:
  xen-lockdown guard source guard
      make -C /lib/modules/RELEASE/build M=$PWD/guard modules
  xen-lockdown guard source /usr/src/xen-lockdown-guard-0.1.0
      dkms install xen-lockdown-guard/0.1.0
  xen-lockdown guard source linux-6.12/drivers/xen/guard
      with two lines of the kernel's own tree, which README.md in the folder names

What is written needs no Rust and is the same for every kernel.

Runs from the project's source. Needs mmdebstrap, and root or user namespaces.

Exit status: 0 written, 2 not.";

const GUARD_BUILD_EXAMPLES: &str = "\
Examples:
  xen-lockdown guard build --output xen-privcmd.ko
      for the lab's kernel, not signed
  xen-lockdown guard build --key module.key --cert module.pem --output xen-privcmd.ko
      signed: under Secure Boot the kernel has to know the certificate
  xen-lockdown guard build --kernel 6.12.117+deb13-amd64 --output xen-privcmd.ko
      for one kernel of the lab's

The kernels are those whose headers are in the lab's Debian roots: its own, and, once it was made, that with the kernel
of Debian's backports (`lockdown-lab root --contents backports`). For other kernels there is `guard source`.

Any warning of the compiler's, of objtool's or of modpost's is an error.

Runs from the project's source. Needs mmdebstrap, and root or user namespaces.

Exit status: 0 built, 2 not.";

#[derive(Debug, Subcommand)]
pub(crate) enum GuardCommand {
    /// Write a folder with everything that kbuild and DKMS need
    #[command(after_help = GUARD_SOURCE_EXAMPLES)]
    Source {
        /// The folder; it must not be there yet, or be empty
        #[arg(value_name = "FOLDER")]
        output: PathBuf,
        /// Where the lab keeps its root [default: lab in cargo's target folder]
        #[arg(long, value_name = "DIR")]
        folder: Option<PathBuf>,
    },
    /// Build the module for a kernel of the lab's, and sign it if a key is given
    #[command(after_help = GUARD_BUILD_EXAMPLES)]
    Build {
        /// The kernel's release, as `uname -r` says it [default: the lab's]
        #[arg(long, value_name = "RELEASE")]
        kernel: Option<String>,
        /// The private key to sign with (PEM, without a passphrase)
        #[arg(long, value_name = "FILE", requires = "cert")]
        key: Option<PathBuf>,
        /// Its certificate (PEM or DER)
        #[arg(long, value_name = "FILE", requires = "key")]
        cert: Option<PathBuf>,
        /// The module's file; what is there is replaced
        #[arg(long, value_name = "FILE")]
        output: PathBuf,
        /// Where the lab keeps its root [default: lab in cargo's target folder]
        #[arg(long, value_name = "DIR")]
        folder: Option<PathBuf>,
    },
}

const STATUS_HELP: &str = "\
Asks the Xen that this host runs on. That takes root in dom0, with the module xen-privcmd.

Exit status: 0 locked, 1 not locked (an unlocked Xen, a Xen without lockdown, no Xen), 2 it could
not be found out (not root, not dom0, no answer). That is about Xen; --with-guard asks for the guard in
dom0's kernel too, and exits with 1 where it is missing or no boundary.";

#[derive(Debug, Args)]
#[command(after_help = STATUS_HELP)]
pub(crate) struct StatusArguments {
    /// What to print
    #[arg(long, value_name = "FORMAT", default_value = "human", value_parser = PossibleValuesParser::new(["human", "json"]))]
    pub(crate) format: String,
    /// Exit with 1 on a locked host whose guard in dom0's kernel is missing or no boundary
    #[arg(long)]
    pub(crate) with_guard: bool,
    /// Where /sys, /proc and /dev lie, for tests
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    pub(crate) root: PathBuf,
}

const DECODE_EXAMPLES: &str = "\
Examples:
  xen-lockdown hypercall decode --op 17 --arg 8 --arg ffff888100000000
      a process asks Xen to write the handle of its domain to an address of the kernel
  xen-lockdown hypercall decode --op 32 --arg 6 --arg 1000 --memory 1000=0700000000000000
      a port in domain 7 that domain 0 may connect to
  xen-lockdown hypercall decode --ioctl mmapbatch-v2 --domain 32752
      a process maps frames of its own domain (DOMID_SELF)
  dmesg | xen-lockdown hypercall decode --log -
      what the guard refused, from the kernel's log

Exit status: 0 all admitted, 1 one is refused, 2 one cannot be judged.";

#[derive(Debug, Subcommand)]
pub(crate) enum HypercallCommand {
    /// Say what the guard in dom0's kernel makes of a raw call, and why
    Decode(DecodeArguments),
    /// Say what a toolstack would lose, from what the guard wrote into the kernel's log
    Audit(AuditArguments),
}

const AUDIT_EXAMPLES: &str = "\
Examples:
  dmesg | xen-lockdown hypercall audit --counters /sys/kernel/xen-lockdown -
      on the host itself, with what the guard counted beside what its log has
  xen-lockdown hypercall audit --format json kern.log
      elsewhere, from a log

While nothing is locked the guard refuses nothing, counts what it would refuse, and tells of it at
debug level: `echo 'module xen_privcmd +p' >/proc/dynamic_debug/control` shows that.

Exit status: 0 nothing would be lost, 1 something would, 2 the log does not say.";

#[derive(Debug, Args)]
#[command(after_help = AUDIT_EXAMPLES)]
pub(crate) struct AuditArguments {
    /// The kernel's log; - reads standard input
    #[arg(value_name = "FILE")]
    pub(crate) log: PathBuf,
    /// The guard's counters: /sys/kernel/xen-lockdown, or a copy of it
    #[arg(long, value_name = "FOLDER")]
    pub(crate) counters: Option<PathBuf>,
    /// What to print
    #[arg(long, value_name = "FORMAT", default_value = "human", value_parser = PossibleValuesParser::new(["human", "json"]))]
    pub(crate) format: String,
}

#[derive(Debug, Args)]
#[command(after_help = DECODE_EXAMPLES)]
pub(crate) struct DecodeArguments {
    /// The number of the hypercall, in decimal or 0x
    #[arg(long, value_name = "NUMBER", required_unless_present_any = ["log", "ioctl"], conflicts_with_all = ["log", "ioctl"])]
    pub(crate) op: Option<String>,
    /// An argument, in hexadecimal, in order; those that are not given are 0
    #[arg(long, value_name = "HEX", conflicts_with_all = ["log", "ioctl"])]
    pub(crate) arg: Vec<String>,
    /// A request to privcmd that is no raw hypercall, by its name or its number in hexadecimal
    #[arg(long, value_name = "REQUEST", conflicts_with = "log", requires = "domain")]
    pub(crate) ioctl: Option<String>,
    /// The number of the domain that the request names
    #[arg(long, value_name = "DOMAIN", requires = "ioctl")]
    pub(crate) domain: Option<String>,
    /// What stands at an address of the process; can be given more than once
    #[arg(long, value_name = "ADDRESS=HEXBYTES", conflicts_with = "log")]
    pub(crate) memory: Vec<String>,
    /// A file with recorded calls, one a line; - reads standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,
    /// The release of Xen
    #[arg(long, value_name = "VERSION", default_value = DEFAULT_XEN, value_parser = PossibleValuesParser::new(XEN_VERSIONS))]
    pub(crate) xen: String,
    /// As a guard that was loaded with strict=1
    #[arg(long)]
    pub(crate) strict: bool,
    /// The number of the domain that calls
    #[arg(long, value_name = "DOMAIN", default_value_t = 0)]
    pub(crate) own: u16,
    /// The level of the lock
    #[arg(long, value_name = "LEVEL", default_value = "integrity", value_parser = PossibleValuesParser::new(["integrity", "confidentiality"]))]
    pub(crate) level: String,
    /// What to print
    #[arg(long, value_name = "FORMAT", default_value = "human", value_parser = PossibleValuesParser::new(["human", "json"]))]
    pub(crate) format: String,
}

fn parse_variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}
