//! Would this image boot? Firmware's and shim's rules, applied to an image and to what a machine trusts and refuses.
//!
//! [`Evidence::gather`] reads an image once; [`Firmware::judge`] and [`Shim::judge`] answer without reading anything. Everything in it is
//! untrusted: signatures and certificates are parsed as DER, strictly, and what is searched in has an end.
//!
//! What the judges do not do, because firmware and shim do not: look at the time a certificate is valid. What is not known here is
//! an answer of its own ([`Answer::Unknown`]).

mod answer;
mod database;
mod evidence;
mod firmware;
mod part;
mod shim;
mod signature;
mod vendor;

pub use crate::certificate::Certificate;
pub use answer::{Answer, Doubt, Ground, Judge, Place, Reason};
pub use database::Database;
pub use evidence::{Evidence, Row};
pub use firmware::Firmware;
pub use shim::Shim;
pub use signature::{Malformed, Signature};
pub use vendor::{Vendor, VendorError};

use crate::digest::Digest;
