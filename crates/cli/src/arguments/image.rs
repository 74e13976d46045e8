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
}

#[derive(Debug, Args)]
#[command(after_help = IMAGE_BUILD_EXAMPLES)]
pub(crate) struct ImageBuildArguments {
    /// Xen: a xen.efi that is not signed and has none of these sections
    #[arg(long, value_name = "FILE")]
    pub(crate) xen: PathBuf,
    /// Xen's configuration (xen.cfg): becomes .config
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
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
    #[arg(long, value_name = "FILE", requires = "ramdisk")]
    pub(crate) guard: Option<PathBuf>,
    /// The image that is made
    #[arg(long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// What to print
    #[arg(long, value_name = "FORMAT", default_value = "human", value_parser = PossibleValuesParser::new(["human", "json"]))]
    pub(crate) format: String,
}
