//! Certificates in files.

use der::Document;

use crate::verify::Certificate;

/// Why a file holds no certificates.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not PEM.
    #[error("the certificate is no PEM: {0}")]
    Pem(#[source] der::Error),
    /// It is PEM, and something else.
    #[error("the file holds {0:?}, not a certificate")]
    Label(String),
    /// It is not X.509.
    #[error("this is no X.509 certificate: {0}")]
    Malformed(#[from] der::Error),
}

/// Reads one certificate in DER, or one or more in PEM.
///
/// # Errors
/// If one of them is none, or there is something else.
pub fn read_all(bytes: &[u8]) -> Result<Vec<Certificate>, Error> {
    /// How a certificate in DER begins.
    const SEQUENCE: u8 = 0x30;
    const END: &str = "-----END CERTIFICATE-----";
    if bytes.first() == Some(&SEQUENCE) {
        return Ok(vec![Certificate::from_der(bytes)?]);
    }
    let mut rest = core::str::from_utf8(bytes).map_err(|error| Error::Pem(error.into()))?;
    let mut certificates = Vec::new();
    while certificates.is_empty() || !rest.trim().is_empty() {
        let end = rest.find(END).map_or(rest.len(), |at| at.saturating_add(END.len()));
        let (one, next) = rest.split_at(end);
        let (label, document) = Document::from_pem(one.trim_start()).map_err(Error::Pem)?;
        if label != "CERTIFICATE" {
            return Err(Error::Label(label.to_owned()));
        }
        certificates.push(Certificate::from_der(document.as_bytes())?);
        rest = next;
    }
    Ok(certificates)
}
