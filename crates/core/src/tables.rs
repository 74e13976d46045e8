//! The tables, generated from `policy/` by `cargo xtask generate`.

mod generated;
mod hypercalls;
mod layouts;
mod privcmd;

pub use generated::{REASONS, TABLE, XEN_VERSIONS};
pub use hypercalls::{GATE, HYPERCALLS};
pub use layouts::LAYOUTS;
pub use privcmd::PRIVCMD;
