//! A key in a token, through its PKCS#11 module.

use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::{Slot, TokenInfo};
use cryptoki::types::RawAuthPin;
use der::asn1::{OctetStringRef, SequenceOf, UintRef};
use der::{Decode as _, Encode as _};
use lockdown_image::HashFunction;
use lockdown_image::sign::Signer;
use zeroize::Zeroizing;

use super::pass_phrase::{self, PassPhrase};
use super::uri::{Uri, encoded};

const VARIABLE: &str = "XEN_LOCKDOWN_PKCS11_MODULE";
/// Knows the modules that the system has.
const PROXY: &str = "p11-kit-proxy.so";

pub(super) struct Token {
    session: Session,
    key: ObjectHandle,
    kind: KeyType,
    public: Option<Vec<u8>>,
    /// The PIN, where the token wants it anew for each signature.
    again: Option<Option<Zeroizing<Vec<u8>>>>,
}

impl Token {
    pub(super) fn open(uri: &Uri, pass_phrase: &PassPhrase<'_>) -> Result<Self> {
        let module = load(uri)?;
        let (slot, token) = find_token(&module, uri)?;
        let name = format!("the token {:?}", token.label());
        let session = module.open_ro_session(slot).with_context(|| format!("{name} cannot be opened"))?;
        let pin = log_in(&session, &token, &name, uri, pass_phrase)?;
        let key = find_key(&session, &name, uri)?;
        let kinds = [
            AttributeType::KeyType,
            AttributeType::Modulus,
            AttributeType::PublicExponent,
            AttributeType::AlwaysAuthenticate,
            AttributeType::Id,
        ];
        let attributes = session.get_attributes(key, &kinds).with_context(|| format!("the key in {name}"))?;
        let kind = attributes.iter().find_map(|attribute| match attribute {
            Attribute::KeyType(kind) => Some(*kind),
            _ => None,
        });
        let kind = kind.filter(|kind| [KeyType::RSA, KeyType::EC].contains(kind));
        let kind = kind.with_context(|| format!("the key in {name} is neither RSA nor ECDSA"))?;
        let public = if kind == KeyType::RSA { rsa(&attributes) } else { point(&session, &attributes) };
        let again = attributes.contains(&Attribute::AlwaysAuthenticate(true)).then_some(pin);
        Ok(Self { session, key, kind, public, again })
    }
}

impl Signer for Token {
    fn public_key(&self) -> Option<&[u8]> {
        self.public.as_deref()
    }

    fn sign(
        &self,
        function: HashFunction,
        message: &[u8],
    ) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
        let rsa = self.kind == KeyType::RSA;
        let Some(pin) = &self.again else {
            // Every token knows these mechanisms.
            let digest = function.digest(message);
            return Ok(if rsa {
                let info = [digest_info(function), digest.as_bytes()].concat();
                self.session.sign(&Mechanism::RsaPkcs, self.key, &info)?
            } else {
                self.session.sign(&Mechanism::Ecdsa, self.key, digest.as_bytes())?
            });
        };
        // The PIN goes between the beginning and the message, so that the token has to hash it.
        let mechanism = match (rsa, function) {
            (true, HashFunction::Sha256) => Mechanism::Sha256RsaPkcs,
            (true, HashFunction::Sha384) => Mechanism::Sha384RsaPkcs,
            (true, HashFunction::Sha512) => Mechanism::Sha512RsaPkcs,
            (false, HashFunction::Sha256) => Mechanism::EcdsaSha256,
            (false, HashFunction::Sha384) => Mechanism::EcdsaSha384,
            (false, HashFunction::Sha512) => Mechanism::EcdsaSha512,
        };
        self.session.sign_init(&mechanism, self.key)?;
        enter(&self.session, UserType::ContextSpecific, pin.as_ref())?;
        self.session.sign_update(message)?;
        Ok(self.session.sign_final()?)
    }
}

fn load(uri: &Uri) -> Result<Pkcs11> {
    let named = uri.module_path.clone().or_else(|| std::env::var_os(VARIABLE).map(PathBuf::from));
    let path = named.clone().unwrap_or_else(|| PROXY.into());
    // The error says twice what the loader says.
    let module = Pkcs11::new(&path).map_err(|error| match (&named, error) {
        (Some(path), Error::LibraryLoading(error)) => {
            anyhow!("{} cannot be loaded as a PKCS#11 module: {error}", path.display())
        }
        (Some(path), error) => anyhow!("{} is no PKCS#11 module: {error}", path.display()),
        (None, _) => anyhow!(
            "no PKCS#11 module is named, and p11-kit is not there to find one: install it (Debian: p11-kit-modules), or name the token's module by \
             module-path= behind a ? in the URI, or by {VARIABLE}"
        ),
    })?;
    let initialized = module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK));
    initialized.with_context(|| format!("the PKCS#11 module {} does not begin", path.display()))?;
    Ok(module)
}

fn find_token(module: &Pkcs11, uri: &Uri) -> Result<(Slot, TokenInfo)> {
    let mut all = Vec::new();
    for slot in module.get_slots_with_initialized_token().context("the tokens cannot be listed")? {
        // One that was just taken out is none.
        if let Ok(token) = module.get_token_info(slot) {
            all.push((slot, token));
        }
    }
    let listed = |tokens: &[(Slot, TokenInfo)]| {
        let names: Vec<_> = tokens
            .iter()
            .map(|(_, token)| {
                format!(
                    "token={};serial={}",
                    encoded(token.label().as_bytes()),
                    encoded(token.serial_number().as_bytes())
                )
            })
            .collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    };
    let is =
        |wanted: &Option<Vec<u8>>, there: &str| wanted.as_ref().is_none_or(|wanted| wanted == there.as_bytes());
    let fits = |(_, token): &&(Slot, TokenInfo)| {
        is(&uri.token, token.label())
            && is(&uri.manufacturer, token.manufacturer_id())
            && is(&uri.model, token.model())
            && is(&uri.serial, token.serial_number())
    };
    let found: Vec<_> = all.iter().filter(fits).cloned().collect();
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => bail!("no token is {uri}; there are: {}", listed(&all)),
        several => bail!("more than one token is {uri}: {}", listed(several)),
    }
}

/// Gives the PIN that was used.
fn log_in(
    session: &Session,
    token: &TokenInfo,
    name: &str,
    uri: &Uri,
    pass_phrase: &PassPhrase<'_>,
) -> Result<Option<Zeroizing<Vec<u8>>>> {
    if !token.login_required() {
        return Ok(None);
    }
    ensure!(!token.user_pin_locked(), "the PIN of {name} is locked");
    let pin = match (&uri.pin_value, &uri.pin_source) {
        (Some(pin), _) => Some(pin.clone()),
        (None, Some(file)) => Some(pass_phrase::first_line(file)?),
        // It has keys of its own to enter it.
        (None, None) if token.protected_authentication_path() => None,
        (None, None) => Some(pass_phrase.get(&format!("the PIN of {name}"))?),
    };
    match enter(session, UserType::User, pin.as_ref()) {
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(pin),
        Err(Error::Pkcs11(RvError::PinIncorrect, _)) => bail!("{name} does not take this PIN; each try counts"),
        Err(error) => Err(error).with_context(|| format!("{name} cannot be logged in to")),
    }
}

fn enter(session: &Session, user: UserType, pin: Option<&Zeroizing<Vec<u8>>>) -> cryptoki::error::Result<()> {
    match pin {
        Some(pin) => session.login_with_raw(user, &RawAuthPin::new(Box::new(pin.to_vec()))),
        None => session.login(user, None),
    }
}

fn find_key(session: &Session, name: &str, uri: &Uri) -> Result<ObjectHandle> {
    let keys = |template: &[Attribute]| {
        session.find_objects(template).with_context(|| format!("the keys in {name} cannot be listed"))
    };
    let listed = |keys: &[ObjectHandle]| {
        let names: Vec<_> = keys.iter().map(|&key| key_name(session, key)).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    };
    let mut template = vec![Attribute::Class(ObjectClass::PRIVATE_KEY)];
    let all = keys(&template)?;
    template.extend(uri.object.clone().map(Attribute::Label));
    template.extend(uri.id.clone().map(Attribute::Id));
    match keys(&template)?.as_slice() {
        [one] => Ok(*one),
        [] => bail!("no private key in {name} is {uri}; there are: {}", listed(&all)),
        several => bail!("more than one private key in {name} is {uri}: {}", listed(several)),
    }
}

/// As a URI has it.
fn key_name(session: &Session, key: ObjectHandle) -> String {
    let attributes = session.get_attributes(key, &[AttributeType::Label, AttributeType::Id]).unwrap_or_default();
    let parts: Vec<_> = attributes
        .iter()
        .filter_map(|attribute| match attribute {
            Attribute::Label(label) => Some(format!("object={}", encoded(label))),
            Attribute::Id(id) => {
                Some(format!("id={}", id.iter().map(|byte| format!("%{byte:02X}")).collect::<String>()))
            }
            _ => None,
        })
        .collect();
    parts.join(";")
}

/// An `RSAPublicKey` in DER.
fn rsa(attributes: &[Attribute]) -> Option<Vec<u8>> {
    let modulus = attributes.iter().find_map(|attribute| match attribute {
        Attribute::Modulus(modulus) => Some(modulus),
        _ => None,
    })?;
    let exponent = attributes.iter().find_map(|attribute| match attribute {
        Attribute::PublicExponent(exponent) => Some(exponent),
        _ => None,
    })?;
    let mut sequence = SequenceOf::<UintRef<'_>, 2>::new();
    sequence.add(UintRef::new(modulus).ok()?).ok()?;
    sequence.add(UintRef::new(exponent).ok()?).ok()?;
    sequence.to_der().ok()
}

/// The point of a curve. It is in the public key, which has the private key's id, if it is there at all.
fn point(session: &Session, attributes: &[Attribute]) -> Option<Vec<u8>> {
    let id = attributes.iter().find(|attribute| matches!(attribute, Attribute::Id(id) if !id.is_empty()))?;
    let template = [Attribute::Class(ObjectClass::PUBLIC_KEY), id.clone()];
    let keys = session.find_objects(&template).ok()?;
    let [key] = keys.as_slice() else { return None };
    let point = session.get_attributes(*key, &[AttributeType::EcPoint]).ok()?;
    let point = point.iter().find_map(|attribute| match attribute {
        Attribute::EcPoint(point) => Some(point),
        _ => None,
    })?;
    // Wrapped up, as the standard wants it; some tokens have it bare.
    Some(OctetStringRef::from_der(point).map_or_else(|_| point.clone(), |point| point.as_bytes().to_vec()))
}

/// What stands in front of a digest that RSA signs (RFC 8017, section 9.2).
const fn digest_info(function: HashFunction) -> &'static [u8] {
    match function {
        HashFunction::Sha256 => b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20",
        HashFunction::Sha384 => b"\x30\x41\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\x04\x30",
        HashFunction::Sha512 => b"\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x40",
    }
}
