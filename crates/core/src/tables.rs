//! The tables, generated from `policy/` by `cargo xtask generate`.

mod generated;

pub use generated::{REASONS, TABLE, XEN_VERSIONS};
