//! `xen-lockdown image sign`, `prepare`, `attach` and `unsign`.

mod key;
mod pass_phrase;
mod report;
mod token;
mod uri;

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::{Context as _, Result};
use lockdown_image::HashFunction;
use lockdown_image::sign::{self, Certificate, Terms, Validity};
use serde_json::json;

use self::key::Key;
use self::pass_phrase::PassPhrase;
use self::report::Report;
use crate::arguments::{
    ImageAttachArguments, ImagePrepareArguments, ImageSignArguments, ImageUnsignArguments, SignatureTerms,
};
use crate::files::{self, Input};

/// Certificates, keys, pass phrases and signatures have some kilobytes.
const LONGEST: u64 = 1 << 20;

pub(super) fn sign(arguments: &ImageSignArguments) -> Result<ExitCode> {
    let (terms, output) = (&arguments.terms, arguments.output.as_path());
    let mut inputs = Inputs::default();
    let image = inputs.image(&arguments.image)?;
    let certificates = inputs.certificates(terms)?;
    let pass_phrase = PassPhrase { file: arguments.passphrase_file.as_deref() };
    inputs.secret(&arguments.key);
    arguments.passphrase_file.iter().for_each(|file| inputs.secret(file));
    files::refuse_output(output, &inputs.0)?;
    let terms = certificates.terms(terms);
    let report = Report {
        schema: "image-sign",
        format: &arguments.format,
        terms: Some(terms),
        image: &arguments.image,
        output,
    };
    // Before anybody is asked for a pass phrase.
    if let Err(error) = terms.check() {
        return report.failed(error.into());
    }
    let key = Key::open(&arguments.key, &pass_phrase)?;
    let mut signed = None;
    let written = files::write(output, |file| {
        signed = Some(terms.sign(&image, key.signer(), file)?);
        Ok(())
    });
    report.signed(written.map(|()| signed))
}

pub(super) fn prepare(arguments: &ImagePrepareArguments) -> Result<ExitCode> {
    let output = arguments.output.as_path();
    let mut inputs = Inputs::default();
    let image = inputs.image(&arguments.image)?;
    let certificates = inputs.certificates(&arguments.terms)?;
    files::refuse_output(output, &inputs.0)?;
    let terms = certificates.terms(&arguments.terms);
    let report = Report {
        schema: "image-prepare",
        format: &arguments.format,
        terms: Some(terms),
        image: &arguments.image,
        output,
    };
    let prepared = match terms.prepare(&image) {
        Ok(prepared) => prepared,
        Err(error) => return report.failed(error.into()),
    };
    files::write(output, |file| Ok(file.write_all(&prepared.message)?))?;
    let name = output.display();
    let human = format!(
        "{name}: {} bytes to sign\n  {:11} {:?}\n  {:11} openssl dgst -{} -sign KEY -out SIGNATURE {name}\n  {:11} xen-lockdown \
         image attach, with --signature SIGNATURE and what was given here\n",
        prepared.message.len(),
        "digest",
        prepared.digest,
        "sign it by",
        terms.function,
        "and then",
    );
    report.done(
        &human,
        "prepared",
        &json!({
            "file": name.to_string(),
            "size": prepared.message.len(),
            "digest": report::digest(&prepared.digest),
        }),
    )
}

pub(super) fn attach(arguments: &ImageAttachArguments) -> Result<ExitCode> {
    let output = arguments.output.as_path();
    let mut inputs = Inputs::default();
    let image = inputs.image(&arguments.image)?;
    let certificates = inputs.certificates(&arguments.terms)?;
    let signature = inputs.read(&arguments.signature)?;
    files::refuse_output(output, &inputs.0)?;
    let terms = certificates.terms(&arguments.terms);
    let report = Report {
        schema: "image-sign",
        format: &arguments.format,
        terms: Some(terms),
        image: &arguments.image,
        output,
    };
    let mut signed = None;
    let written = files::write(output, |file| {
        signed = Some(terms.attach(&image, &signature, file)?);
        Ok(())
    });
    report.signed(written.map(|()| signed))
}

pub(super) fn unsign(arguments: &ImageUnsignArguments) -> Result<ExitCode> {
    let output = arguments.output.as_path();
    let mut inputs = Inputs::default();
    let image = inputs.image(&arguments.image)?;
    files::refuse_output(output, &inputs.0)?;
    let report =
        Report { schema: "image-unsign", format: &arguments.format, terms: None, image: &arguments.image, output };
    let mut removed = None;
    let written = files::write(output, |file| {
        removed = Some(sign::unsign(&image, file)?);
        Ok(())
    });
    match written.map(|()| removed) {
        Ok(Some(removed)) => {
            let (name, size, signatures) = (output.display(), removed.length, removed.signatures);
            let human = format!("{name}: {size} bytes, not signed; {signatures} bytes of signatures removed\n");
            let image = json!({ "file": name.to_string(), "size": size, "removed": signatures });
            report.done(&human, "image", &image)
        }
        Ok(None) => Ok(ExitCode::SUCCESS),
        Err(error) => report.failed(error),
    }
}

/// Who each input is, so that none of them is written over.
#[derive(Default)]
struct Inputs(Vec<Input>);

impl Inputs {
    fn image(&mut self, path: &Path) -> Result<File> {
        let file = files::open(path)?;
        self.0.push(Input::of(path)?);
        Ok(file)
    }

    fn read(&mut self, path: &Path) -> Result<Vec<u8>> {
        let bytes = files::read(path, LONGEST)?;
        self.0.push(Input::of(path)?);
        Ok(bytes)
    }

    /// May be a pipe, or no file at all.
    fn secret(&mut self, path: &Path) {
        self.0.extend(Input::of(path).ok());
    }

    fn certificates(&mut self, terms: &SignatureTerms) -> Result<Certificates> {
        let bytes = self.read(&terms.cert)?;
        let own = Certificate::read(&bytes).with_context(|| terms.cert.display().to_string())?;
        let mut chain = Vec::new();
        for path in &terms.chain {
            let bytes = self.read(path)?;
            chain.extend(Certificate::read_all(&bytes).with_context(|| path.display().to_string())?);
        }
        Ok(Certificates { own, chain })
    }
}

struct Certificates {
    own: Certificate,
    chain: Vec<Certificate>,
}

impl Certificates {
    fn terms(&self, arguments: &SignatureTerms) -> Terms<'_> {
        let named = |function: &HashFunction| function.name() == arguments.hash;
        Terms {
            certificate: &self.own,
            chain: &self.chain,
            function: HashFunction::ALL.into_iter().find(named).unwrap_or(HashFunction::Sha256),
            validity: if arguments.ignore_validity { Validity::Ignored } else { Validity::At(SystemTime::now()) },
            append: arguments.append,
        }
    }
}
