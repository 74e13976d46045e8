//! Writes what is generated from the policy: the tables of `lockdown-core`, the catalogue of this crate, and the
//! reference documentation.

mod c_header;
mod documents;
mod hypercall_tables;
mod hypercalls;
mod layout_tables;
mod privcmd;
mod rust;

use std::path::PathBuf;

use crate::{Policy, Problems};

/// A generated file: its path below the project's root, and its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generated {
    /// The path.
    pub path: PathBuf,
    /// The content.
    pub text: String,
}

/// Everything that is generated. Rust files still have to pass rustfmt.
///
/// # Errors
/// What [`Policy::compile`] finds, and what the guard's walk over arguments cannot describe.
pub fn all(policy: &Policy) -> Result<Vec<Generated>, Problems> {
    let compiled = policy.compile()?;
    let file = |path: &str, text: String| Generated { path: PathBuf::from(path), text };
    Ok(vec![
        file("crates/core/src/tables/generated.rs", rust::tables(policy, &compiled)),
        file("crates/policy/src/catalogue/generated.rs", rust::catalogue(policy, &compiled)),
        file("crates/core/src/tables/hypercalls.rs", hypercall_tables::tables(policy)),
        file("crates/core/src/tables/layouts.rs", layout_tables::tables(policy)?),
        file("crates/policy/src/catalogue/hypercalls.rs", hypercall_tables::catalogue(policy)),
        file("crates/core/src/tables/privcmd.rs", privcmd::table(policy)),
        file("crates/policy/src/catalogue/privcmd.rs", privcmd::catalogue(policy)),
        file("linux/ioctls.h", privcmd::header(policy)),
        file("xen/include/lockdown-reasons.h", c_header::reasons(policy)),
        file("docs/reference/options.md", documents::options(policy)),
        file("docs/reference/dom0-options.md", documents::dom0_options(policy)),
        file("docs/reference/hypercalls.md", hypercalls::hypercalls(policy)),
        file("docs/reference/privcmd.md", privcmd::document(policy)),
        file("docs/reference/reasons.md", documents::reasons(policy)),
    ])
}
