//! The command line of `xen-lockdown image`.

mod sign;

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};

pub(crate) use self::sign::{
    ImageAttachArguments, ImagePrepareArguments, ImageSignArguments, ImageUnsignArguments, SignatureTerms,
};

const IMAGE_BUILD_EXAMPLES: &str = "\
Examples:
  xen-lockdown image build --xen xen.efi --config xen.cfg --kernel vmlinuz --ramdisk initrd.img \\
      --output unified.efi
      one file to sign, in place of four of which nothing signs three
  xen-lockdown image build --xen xen.efi --config xen.cfg --kernel vmlinuz --ramdisk initrd.img \\
      --guard xen-privcmd.ko --output unified.efi
      the same, and dom0 starts the guard before anything in the ramdisk
  xen-lockdown image build --from image.toml --output test.efi
      what a file says (keys xen, config, kernel, ramdisk, xsm, ucode, sbat, guard, output), under another name

The image is not signed. The same input gives the same bytes. Debug sections are left out.

Exit status: 0 built, 1 not built because of what the configuration or a file says, 2 not built because of
anything else (usage, a file that cannot be read, no room).";

#[derive(Debug, Subcommand)]
pub(crate) enum ImageCommand {
    /// Make one image of Xen and what it boots
    Build(ImageBuildArguments),
    /// Sign an image for Secure Boot
    Sign(ImageSignArguments),
    /// Write what a key that is elsewhere has to sign
    Prepare(ImagePrepareArguments),
    /// Sign an image with a signature that was made elsewhere, of what prepare wrote
    Attach(ImageAttachArguments),
    /// Remove the signatures of an image
    Unsign(ImageUnsignArguments),
    /// Show all that an image says, and what is wrong with it
    Inspect(ImageInspectArguments),
    /// Say whether firmware and shim would start an image
    Verify(ImageVerifyArguments),
}

#[derive(Debug, Args)]
#[command(after_help = IMAGE_BUILD_EXAMPLES)]
pub(crate) struct ImageBuildArguments {
    /// A file that says what to build (TOML): each option below is a key, and stands above it; its files are looked for beside it
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Option<PathBuf>,
    /// Xen: a xen.efi that is not signed and has none of these sections
    #[arg(long, value_name = "FILE", required_unless_present = "from")]
    pub(crate) xen: Option<PathBuf>,
    /// Xen's configuration (xen.cfg): becomes .config
    #[arg(long, value_name = "FILE", required_unless_present = "from")]
    pub(crate) config: Option<PathBuf>,
    /// dom0's kernel: becomes .kernel
    #[arg(long, value_name = "FILE")]
    pub(crate) kernel: Option<PathBuf>,
    /// dom0's initramfs: becomes .ramdisk; more than one are put one behind the other
    #[arg(long, value_name = "FILE")]
    pub(crate) ramdisk: Vec<PathBuf>,
    /// The access-control policy (FLASK): becomes .xsm
    #[arg(long, value_name = "FILE")]
    pub(crate) xsm: Option<PathBuf>,
    /// Microcode: becomes .ucode
    #[arg(long, value_name = "FILE")]
    pub(crate) ucode: Option<PathBuf>,
    /// The table by which the image is revoked: becomes .sbat
    #[arg(long, value_name = "FILE")]
    pub(crate) sbat: Option<PathBuf>,
    /// The guard, a signed xen-privcmd.ko: dom0 starts nothing before it is loaded, and nothing without it
    #[arg(long, value_name = "FILE")]
    pub(crate) guard: Option<PathBuf>,
    /// The image that is made
    #[arg(long, value_name = "FILE", required_unless_present = "from")]
    pub(crate) output: Option<PathBuf>,
    /// What to print
    #[arg(long, value_name = "FORMAT", default_value = "human", value_parser = PossibleValuesParser::new(["human", "json"]))]
    pub(crate) format: String,
}

const IMAGE_INSPECT_EXAMPLES: &str = "\
Examples:
  xen-lockdown image inspect unified.efi
      headers, sections, signatures, configuration, kernel, ramdisk and SBAT; only beginnings are read
  xen-lockdown image inspect --hashes --format json unified.efi
      with a digest of each section, for a program

Exit status: 0 no error found (warnings and notes do not count), 1 an error, 2 the file is no image or cannot be read.";

#[derive(Debug, Args)]
#[command(after_help = IMAGE_INSPECT_EXAMPLES)]
pub(crate) struct ImageInspectArguments {
    /// The image
    #[arg(value_name = "IMAGE")]
    pub(crate) image: PathBuf,
    /// Read all of it: the SHA-256 of each section, and whether the checksum is right
    #[arg(long)]
    pub(crate) hashes: bool,
    /// What to print
    #[arg(long, value_name = "FORMAT", default_value = "human", value_parser = PossibleValuesParser::new(["human", "json"]))]
    pub(crate) format: String,
}

const IMAGE_VERIFY_EXAMPLES: &str = "\
Examples:
  xen-lockdown image verify --cert db.pem unified.efi
      is it signed by this certificate, and unchanged since
  xen-lockdown image verify --varstore OVMF_VARS.fd --shim shimx64.efi unified.efi
      would a machine with these variables start it, by itself and through shim
  xen-lockdown image verify --varstore OVMF_VARS.fd --boot-entry unified.efi
      the same for each of its boot entries, and what a locked Xen makes of their options
  xen-lockdown image verify --efivars /sys/firmware/efi/efivars unified.efi
      would this machine start it
  xen-lockdown image verify --db db.auth --dbx DBXUpdate.bin --sbat-level SbatLevel.csv unified.efi
      with databases from files

Databases are read as signature lists (.esl), updates (.auth), variables as efivarfs shows them, and certificates (PEM or DER).
--cert, --db, --dbx and --mok add to what --varstore or --efivars says.

Exit status: 0 it boots by at least one of the paths, 1 every path refuses it, 2 could not judge.";

#[derive(Debug, Args)]
#[command(after_help = IMAGE_VERIFY_EXAMPLES)]
pub(crate) struct ImageVerifyArguments {
    /// The image
    #[arg(value_name = "IMAGE")]
    pub(crate) image: PathBuf,
    /// A certificate that firmware trusts, as if it stood in db; can be given more than once
    #[arg(long, value_name = "FILE")]
    pub(crate) cert: Vec<PathBuf>,
    /// The variables of a machine: OVMF's flash image (OVMF_VARS.fd)
    #[arg(long, value_name = "FILE", conflicts_with = "efivars")]
    pub(crate) varstore: Option<PathBuf>,
    /// The variables of a running machine: /sys/firmware/efi/efivars, or a copy of it
    #[arg(long, value_name = "FOLDER")]
    pub(crate) efivars: Option<PathBuf>,
    /// What firmware trusts; can be given more than once
    #[arg(long, value_name = "FILE")]
    pub(crate) db: Vec<PathBuf>,
    /// What firmware refuses; can be given more than once
    #[arg(long, value_name = "FILE")]
    pub(crate) dbx: Vec<PathBuf>,
    /// What the machine's owner enrolled in shim (MokList); can be given more than once
    #[arg(long, value_name = "FILE")]
    pub(crate) mok: Vec<PathBuf>,
    /// The shim on the way: its certificates, its revocations, and whether firmware starts it
    #[arg(long, value_name = "FILE")]
    pub(crate) shim: Option<PathBuf>,
    /// Which generations are revoked: text, or the variable SbatLevel as efivarfs shows it
    #[arg(long, value_name = "FILE")]
    pub(crate) sbat_level: Option<PathBuf>,
    /// Only this path [default: both]
    #[arg(long, value_name = "PATH", value_parser = PossibleValuesParser::new(["firmware", "shim"]))]
    pub(crate) via: Option<String>,
    /// Judge the boot entries of the variables too, with their options; with a number (0001) only that one
    #[arg(long, value_name = "NUMBER", num_args = 0..=1, default_missing_value = "all", require_equals = true)]
    pub(crate) boot_entry: Option<String>,
    /// What to print
    #[arg(long, value_name = "FORMAT", default_value = "human", value_parser = PossibleValuesParser::new(["human", "json"]))]
    pub(crate) format: String,
}
