//! Makes one unified Xen image of its parts, for the command `xen-lockdown image build` and for the lab, so that what is shipped
//! is what is attacked.
//!
//! [`kind`] sees to it that a file is what it is given for, [`config`] holds the configuration against the sections and puts
//! into it what the guard wants, [`guard`] makes the archive that stands in front of the ramdisk, [`Joined`] puts archives one
//! behind the other. [`unify`] makes the image; nothing is copied before it is written.

#![forbid(unsafe_code)]
#![warn(clippy::arithmetic_side_effects, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

pub mod config;
pub mod cpio;
mod finding;
pub mod guard;
pub mod inspect;
mod joined;
pub mod kernel;
pub mod kind;
pub mod lines;
pub mod ramdisk;

pub use finding::{Finding, Level};
pub use joined::Joined;

use lockdown_image::build::{Build, Error, Unified};
use lockdown_image::{Image, Source};

/// What an image gets beside Xen. Each becomes a section of its name.
#[derive(Clone, Copy, Default)]
pub struct Parts<'a> {
    /// `.config`: Xen's configuration.
    pub config: Option<&'a dyn Source>,
    /// `.kernel`: dom0's kernel.
    pub kernel: Option<&'a dyn Source>,
    /// `.ramdisk`: dom0's initramfs.
    pub ramdisk: Option<&'a dyn Source>,
    /// `.xsm`: the access-control policy.
    pub xsm: Option<&'a dyn Source>,
    /// `.ucode`: microcode.
    pub ucode: Option<&'a dyn Source>,
    /// `.sbat`: generations, by which an image is revoked.
    pub sbat: Option<&'a dyn Source>,
}

impl<'a> Parts<'a> {
    /// The names of the sections and what is in them, in the order in which they stand in the image.
    pub fn sections(&self) -> impl Iterator<Item = (&'static str, &'a dyn Source)> + use<'a> {
        let Self { config, kernel, ramdisk, xsm, ucode, sbat } = *self;
        let all = [
            (".config", config),
            (".kernel", kernel),
            (".ramdisk", ramdisk),
            (".xsm", xsm),
            (".ucode", ucode),
            (".sbat", sbat),
        ];
        all.into_iter().filter_map(|(name, part)| Some((name, part?)))
    }
}

/// `xen` with `parts`, and without its debug sections, which no machine needs; shim loads all of it. Not signed, and not written yet.
///
/// # Errors
/// Where `xen` is signed, has one of the sections already, or has no room.
pub fn unify<'a, S: Source>(xen: &'a Image<S>, parts: &Parts<'a>) -> Result<Unified<'a>, Error> {
    let mut build = Build::on(xen)?.drop_debug(true).load_relocations(true);
    for (name, part) in parts.sections() {
        build = build.section(name, part)?;
    }
    build.finish()
}
