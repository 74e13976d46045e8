//! The command line of what signs images.

use std::path::PathBuf;

use clap::Args;
use clap::builder::PossibleValuesParser;

const SIGN_EXAMPLES: &str = "\
Examples:
  xen-lockdown image sign --key db.key --cert db.crt --output signed.efi unified.efi
      with a key in a file
  xen-lockdown image sign --key 'pkcs11:token=signing;object=db' --passphrase-file pin \\
      --cert db.crt --output signed.efi unified.efi
      with a key in a token
  xen-lockdown image sign --append --key new.key --cert new.crt --output both.efi signed.efi
      for firmware that knows one of two keys

The key: PEM or DER; PKCS#8, also encrypted, PKCS#1 or SEC1; RSA with 2048 to 4096 bits, or ECDSA
with P-256 or P-384, which not all firmware takes (OVMF does not). Or a token, by its URI (RFC
7512); module-path= in it or XEN_LOCKDOWN_PKCS11_MODULE names the module, otherwise p11-kit finds
it. A pass phrase, or the token's PIN, comes from --passphrase-file, from XEN_LOCKDOWN_PASSPHRASE,
or is asked for at the terminal. pin-source=file:/PATH in the URI names a file, too. pin-value=
holds the PIN itself, and whoever lists processes can read it.

Exit status: 0 signed, 1 refused because of what the image or a certificate is, 2 anything else
(usage, a file that cannot be read or is something else, a pass phrase, a token).";

const PREPARE_EXAMPLES: &str = "\
Examples:
  xen-lockdown image prepare --cert db.crt --output unified.tbs unified.efi
      here, where the key is not
  openssl dgst -sha256 -sign db.key -out unified.sig unified.tbs
      where the key is
  xen-lockdown image attach --cert db.crt --signature unified.sig --output signed.efi unified.efi
      here again

What is written are the signature's signed attributes in DER, which hold a digest of the image's
digest; `openssl asn1parse -inform DER -in unified.tbs` shows them.

Exit status: 0 written, 1 refused because of what the image or a certificate is, 2 anything else
(usage, a file that cannot be read or is something else).";

const ATTACH_EXAMPLES: &str = "\
Examples:
  xen-lockdown image attach --cert db.crt --signature unified.sig --output signed.efi unified.efi
      after `xen-lockdown image prepare`, whose examples show the whole way

What had to be signed is made anew from the image. --chain, --append and --hash are as for
prepare.

Exit status: 0 signed, 1 refused because of what the image, a certificate or the signature is, 2
anything else (usage, a file that cannot be read or is something else).";

const UNSIGN_EXAMPLES: &str = "\
Examples:
  xen-lockdown image unsign --output unsigned.efi signed.efi
      to build on it, or to sign it with another key instead

Exit status: 0 written, 1 refused because the image is not signed or its signatures stand
elsewhere than at its end, 2 anything else (usage, a file that cannot be read or is no image).";

#[derive(Debug, Args)]
#[command(after_help = SIGN_EXAMPLES)]
pub(crate) struct ImageSignArguments {
    /// The private key: a file, or a token's key by its URI
    #[arg(long, value_name = "FILE|pkcs11:URI")]
    pub(crate) key: PathBuf,
    #[command(flatten)]
    pub(crate) terms: SignatureTerms,
    /// A file with the key's pass phrase or the token's PIN in its first line
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// The signed image
    #[arg(long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// What to print
    #[arg(long, value_name = "FORMAT", default_value = "human", value_parser = PossibleValuesParser::new(["human", "json"]))]
    pub(crate) format: String,
    /// The image to sign
    #[arg(value_name = "IMAGE")]
    pub(crate) image: PathBuf,
}

/// What the signature is to be.
#[derive(Debug, Args)]
pub(crate) struct SignatureTerms {
    /// The key's certificate (PEM or DER)
    #[arg(long, value_name = "FILE")]
    pub(crate) cert: PathBuf,
    /// Certificates to put beside it, up to one that the firmware knows; can be given more than once
    #[arg(long, value_name = "FILE")]
    pub(crate) chain: Vec<PathBuf>,
    /// The hash function; all firmware knows sha256
    #[arg(long, value_name = "FUNCTION", default_value = "sha256", value_parser = PossibleValuesParser::new(["sha256", "sha384", "sha512"]))]
    pub(crate) hash: String,
    /// Add a signature to those that the image has
    #[arg(long)]
    pub(crate) append: bool,
    /// Sign although a certificate has ended or has not begun; firmware does not look at it
    #[arg(long)]
    pub(crate) ignore_validity: bool,
}

#[derive(Debug, Args)]
#[command(after_help = PREPARE_EXAMPLES)]
pub(crate) struct ImagePrepareArguments {
    #[command(flatten)]
    pub(crate) terms: SignatureTerms,
    /// The file to be signed
    #[arg(long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// What to print
    #[arg(long, value_name = "FORMAT", default_value = "human", value_parser = PossibleValuesParser::new(["human", "json"]))]
    pub(crate) format: String,
    /// The image to sign
    #[arg(value_name = "IMAGE")]
    pub(crate) image: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = ATTACH_EXAMPLES)]
pub(crate) struct ImageAttachArguments {
    #[command(flatten)]
    pub(crate) terms: SignatureTerms,
    /// The signature: of RSA (PKCS#1), or of ECDSA (in DER, or its two numbers)
    #[arg(long, value_name = "FILE")]
    pub(crate) signature: PathBuf,
    /// The signed image
    #[arg(long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// What to print
    #[arg(long, value_name = "FORMAT", default_value = "human", value_parser = PossibleValuesParser::new(["human", "json"]))]
    pub(crate) format: String,
    /// The image to sign, the same as for prepare
    #[arg(value_name = "IMAGE")]
    pub(crate) image: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = UNSIGN_EXAMPLES)]
pub(crate) struct ImageUnsignArguments {
    /// The image without signatures
    #[arg(long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// What to print
    #[arg(long, value_name = "FORMAT", default_value = "human", value_parser = PossibleValuesParser::new(["human", "json"]))]
    pub(crate) format: String,
    /// The signed image
    #[arg(value_name = "IMAGE")]
    pub(crate) image: PathBuf,
}
