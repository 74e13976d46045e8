//! The URI of a key in a token (RFC 7512).

use std::fmt;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};
use zeroize::Zeroizing;

/// What names a token and a key in it, all of it bytes.
#[derive(Default)]
pub(super) struct Uri {
    pub(super) token: Option<Vec<u8>>,
    pub(super) manufacturer: Option<Vec<u8>>,
    pub(super) model: Option<Vec<u8>>,
    pub(super) serial: Option<Vec<u8>>,
    pub(super) object: Option<Vec<u8>>,
    pub(super) id: Option<Vec<u8>>,
    pub(super) module_path: Option<PathBuf>,
    pub(super) pin_value: Option<Zeroizing<Vec<u8>>>,
    pub(super) pin_source: Option<PathBuf>,
}

impl Uri {
    /// No value is in any error: one of them may be the PIN.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let rest = text.strip_prefix("pkcs11:").context("a URI that begins with pkcs11: is wanted")?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut uri = Self::default();
        for (name, value) in attributes(path, ';')? {
            match name {
                "token" => once(name, &mut uri.token, value)?,
                "manufacturer" => once(name, &mut uri.manufacturer, value)?,
                "model" => once(name, &mut uri.model, value)?,
                "serial" => once(name, &mut uri.serial, value)?,
                "object" => once(name, &mut uri.object, value)?,
                "id" => once(name, &mut uri.id, value)?,
                "type" => {
                    ensure!(value == b"private", "the URI has a type= that is not private: a private key signs");
                }
                other => bail!(
                    "the URI has {other:?}, which cannot be used here: token=, manufacturer=, model=, serial=, object=, id= and \
                     type=private can"
                ),
            }
        }
        for (name, value) in attributes(query, '&')? {
            match name {
                "module-path" => once(name, &mut uri.module_path, path_of(value))?,
                "pin-value" => once(name, &mut uri.pin_value, Zeroizing::new(value))?,
                "pin-source" => once(name, &mut uri.pin_source, file(value)?)?,
                other => bail!(
                    "the URI has {other:?}, which cannot be used here: module-path=, pin-source= and pin-value= can"
                ),
            }
        }
        ensure!(
            uri.pin_value.is_none() || uri.pin_source.is_none(),
            "the URI has pin-value= and pin-source=: one of them says what the PIN is"
        );
        Ok(uri)
    }
}

/// Without what is secret.
impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("pkcs11:")?;
        let named = [
            ("token", &self.token),
            ("manufacturer", &self.manufacturer),
            ("model", &self.model),
            ("serial", &self.serial),
            ("object", &self.object),
            ("id", &self.id),
        ];
        let named = named.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
        for (number, (name, value)) in named.enumerate() {
            let between = if number == 0 { "" } else { ";" };
            write!(f, "{between}{name}={}", encoded(value))?;
        }
        Ok(())
    }
}

/// As a URI has it.
pub(super) fn encoded(value: &[u8]) -> String {
    let mut text = String::new();
    for &byte in value {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => text.push(char::from(byte)),
            other => text.push_str(&format!("%{other:02X}")),
        }
    }
    text
}

fn attributes(text: &str, between: char) -> Result<Vec<(&str, Vec<u8>)>> {
    let mut attributes = Vec::new();
    for part in text.split(between).filter(|part| !part.is_empty()) {
        let (name, value) =
            part.split_once('=').with_context(|| format!("part {} of the URI has no =", attributes.len() + 1))?;
        attributes.push((name, decoded(value).with_context(|| format!("{name}= in the URI"))?));
    }
    Ok(attributes)
}

fn decoded(text: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let (Some(high), Some(low)) = (digit(), digit()) else {
            bail!("two hexadecimal digits are wanted behind %");
        };
        bytes.push(u8::try_from(high << 4 | low)?);
    }
    Ok(bytes)
}

fn once<T>(name: &str, place: &mut Option<T>, value: T) -> Result<()> {
    ensure!(place.is_none(), "the URI has {name}= twice");
    *place = Some(value);
    Ok(())
}

fn path_of(value: Vec<u8>) -> PathBuf {
    std::ffi::OsString::from_vec(value).into()
}

/// `file:/run/pin`, `file:///run/pin` or `/run/pin`.
fn file(value: Vec<u8>) -> Result<PathBuf> {
    let path = value.strip_prefix(b"file:").unwrap_or(&value);
    let path = path.strip_prefix(b"//").unwrap_or(path);
    ensure!(path.starts_with(b"/"), "pin-source= in the URI takes the whole path of a file: file:/run/pin");
    Ok(path_of(path.to_vec()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_uri_as_tools_list_it() {
        let uri = Uri::parse(
            "pkcs11:model=SoftHSM%20v2;manufacturer=A%3bB;serial=01;token=my%20token;id=%01%Ff;object=db;type=private\
             ?module-path=/usr/lib/a%26b.so&pin-source=file:/run/pin",
        )
        .unwrap();
        assert_eq!(uri.model.as_deref(), Some(&b"SoftHSM v2"[..]));
        assert_eq!(uri.manufacturer.as_deref(), Some(&b"A;B"[..]));
        assert_eq!(uri.id.as_deref(), Some(&[1, 0xff][..]));
        assert_eq!(uri.module_path.as_deref(), Some("/usr/lib/a&b.so".as_ref()));
        assert_eq!(uri.pin_source.as_deref(), Some("/run/pin".as_ref()));
        let shown = "pkcs11:token=my%20token;manufacturer=A%3BB;model=SoftHSM%20v2;serial=01;object=db;id=%01%FF";
        assert_eq!(uri.to_string(), shown);
        assert_eq!(Uri::parse(shown).unwrap().to_string(), shown);
        for place in ["file:///run/pin", "/run/pin"] {
            let uri = Uri::parse(&format!("pkcs11:?pin-source={place}")).unwrap();
            assert_eq!(uri.pin_source.as_deref(), Some("/run/pin".as_ref()));
        }
    }

    #[test]
    fn mistakes_are_told_without_the_pin() {
        for (text, expected) in [
            ("pkcs11:token", "part 1 of the URI has no ="),
            ("pkcs11:token=%4", "token= in the URI: two hexadecimal digits are wanted behind %"),
            ("pkcs11:token=a;token=b", "the URI has token= twice"),
            ("pkcs11:type=cert", "type= that is not private"),
            ("pkcs11:slot-id=1", "\"slot-id\", which cannot be used here"),
            ("pkcs11:?pin=1", "\"pin\", which cannot be used here"),
            ("pkcs11:?pin-source=pin", "takes the whole path"),
            ("pkcs11:?pin-source=|cat", "takes the whole path"),
            ("pkcs11:?pin-value=secret&pin-source=/a", "pin-value= and pin-source="),
            ("pkcs11:?pin-value=secret%", "pin-value= in the URI"),
        ] {
            let error = format!("{:#}", Uri::parse(text).err().unwrap());
            assert!(error.contains(expected), "{text}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
        assert_eq!(Uri::parse("pkcs11:?pin-value=secret").unwrap().to_string(), "pkcs11:");
    }
}
