//! What is said of a signature, in words and in JSON.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use lockdown_image::sign::{Certificate, Error, Signed, Terms};
use lockdown_image::{Digest, HashFunction, KeyKind};
use serde_json::{Value, json};

pub(super) struct Report<'a> {
    pub(super) schema: &'static str,
    pub(super) format: &'a str,
    pub(super) terms: Option<Terms<'a>>,
    pub(super) image: &'a Path,
    pub(super) output: &'a Path,
}

/// Why something is refused, and what to do.
struct Refusal {
    id: &'static str,
    advice: &'static str,
}

impl Report<'_> {
    pub(super) fn signed(&self, result: Result<Option<Signed>>) -> Result<ExitCode> {
        let signed = match result {
            Ok(Some(signed)) => signed,
            Ok(None) => return Ok(ExitCode::SUCCESS),
            Err(error) => return self.failed(error),
        };
        let name = self.output.display();
        let mut human = format!("{name}: {} bytes, signed\n", signed.length);
        let mut line = |name: &str, value: &str| human.push_str(&format!("  {name:11} {value}\n"));
        line("digest", &format!("{:?}", signed.digest));
        if let Some(terms) = self.terms {
            let certificate = terms.certificate;
            line("certificate", &certificate.subject());
            line("issued by", &format!("{}, number {}", certificate.issuer(), certificate.serial()));
            let (from, until) = certificate.validity();
            line("valid", &format!("{from} to {until}"));
            line("fingerprint", &format!("{:?}", certificate.fingerprint()));
        }
        if let Some(note) = self.note() {
            line("note", note);
        }
        if signed.signatures > 1 {
            line("signatures", &signed.signatures.to_string());
        }
        self.done(
            &human,
            "image",
            &json!({
                "file": name.to_string(),
                "size": signed.length,
                "digest": digest(&signed.digest),
                "signatures": signed.signatures,
            }),
        )
    }

    pub(super) fn done(&self, human: &str, name: &str, made: &Value) -> Result<ExitCode> {
        if self.format == "json" {
            let mut document = self.document();
            document[name] = made.clone();
            anstream::println!("{}", serde_json::to_string_pretty(&document)?);
        } else {
            anstream::print!("{human}");
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Says why something is refused; any other error stays one.
    pub(super) fn failed(&self, error: anyhow::Error) -> Result<ExitCode> {
        // What is wrong with the image is not said as if the output were at fault.
        let error = error.downcast::<Error>()?;
        let Some(Refusal { id, advice }) = refusal(&error) else {
            return match error {
                Error::Image(error) => Err(error).with_context(|| self.image.display().to_string()),
                Error::Write(error) => {
                    Err(error).with_context(|| format!("{} cannot be written", self.output.display()))
                }
                other => Err(other.into()),
            };
        };
        if self.format == "json" {
            let mut document = self.document();
            document["refused"] = json!({ "id": id, "message": error.to_string(), "advice": advice });
            anstream::println!("{}", serde_json::to_string_pretty(&document)?);
        } else {
            anstream::eprintln!("error[{id}]: {error}\n --> {}\n  = {advice}", self.image.display());
        }
        Ok(ExitCode::from(1))
    }

    /// What makes a signature less useful than it looks.
    fn note(&self) -> Option<&'static str> {
        let terms = self.terms?;
        match (terms.certificate.kind()?, terms.function) {
            (KeyKind::P256 | KeyKind::P384, _) => Some(
                "shim and OVMF take no signature by ECDSA, other firmware may not: try it where it is to boot",
            ),
            (KeyKind::Rsa(_), HashFunction::Sha384 | HashFunction::Sha512) => Some("shim takes SHA-256 only"),
            (KeyKind::Rsa(_), HashFunction::Sha256) => None,
        }
    }

    fn document(&self) -> Value {
        let mut document = json!({ "schema": format!("xen-lockdown/{}/1", self.schema), "refused": null });
        if let Some(terms) = self.terms {
            document["certificate"] = certificate(terms.certificate);
            document["chain"] = terms.chain.iter().map(certificate).collect();
            document["notes"] = self.note().into_iter().collect();
        }
        document[if self.schema == "image-prepare" { "prepared" } else { "image" }] = Value::Null;
        document
    }
}

pub(super) fn digest(digest: &Digest) -> Value {
    json!({ "function": digest.function().name(), "value": digest.to_string() })
}

fn certificate(certificate: &Certificate) -> Value {
    let (from, until) = certificate.validity();
    let key = match certificate.kind() {
        Some(KeyKind::Rsa(bits)) => Some(format!("RSA {bits}")),
        Some(KeyKind::P256) => Some("P-256".to_owned()),
        Some(KeyKind::P384) => Some("P-384".to_owned()),
        None => None,
    };
    json!({
        "subject": certificate.subject(),
        "issuer": certificate.issuer(),
        "serial": certificate.serial(),
        "fingerprint": digest(&certificate.fingerprint()),
        "valid_from": from,
        "valid_until": until,
        "key": key,
    })
}

/// What is refused because of what the image, a certificate or a signature is.
fn refusal(error: &Error) -> Option<Refusal> {
    let (id, advice) = match error {
        Error::Signed => (
            "signed",
            "--append adds a signature to those that are there; `xen-lockdown image unsign` removes them",
        ),
        Error::NotSigned => ("not-signed", "use it as it is"),
        Error::Twice => ("signed-twice", "use the image as it is"),
        Error::Table { .. } => (
            "misplaced-signatures",
            "remove them with the tool that wrote them, or build the image anew and sign that",
        ),
        Error::NoPlace => ("no-place", "sign an image whose headers have all 16 data directories"),
        Error::Gap { .. } => ("gap", "`xen-lockdown image build` leaves none"),
        Error::TooBig => ("too-large", "make the ramdisk smaller"),
        Error::Expired { .. } => (
            "not-valid-now",
            "take another certificate, or see that the clock is right; --ignore-validity signs all the same",
        ),
        Error::Unrelated { .. } => ("unrelated-certificate", "leave it out, or give what stands between them"),
        Error::OtherKey | Error::BadSignature => {
            ("other-key", "give the certificate of this key, or the key of this certificate")
        }
        Error::Algorithm => ("key-kind", "firmware verifies no other; take such a key"),
        Error::Function(_) => ("hash-function", "take --hash sha256 or sha384, or an RSA key"),
        Error::OtherSignature(_) => (
            "other-signature",
            "sign what prepare wrote for this very image, with this --hash and the key of this certificate",
        ),
        Error::Image(_) | Error::Key(_) | Error::Encoding(_) | Error::Write(_) => return None,
    };
    Some(Refusal { id, advice })
}
