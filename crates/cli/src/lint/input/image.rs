//! A unified image as an input: its section `.config` is signed text.

use std::path::Path;

use lockdown_image::Image;

use crate::lint::input::xen_cfg;
use crate::lint::input::{Findings, Trouble};

/// More than this is no configuration.
const CONFIG_MAX: u32 = 1 << 20;

pub(super) fn read(file: &Path, name: &str, findings: &mut Findings<'_>) {
    let image = match Image::open(file) {
        Ok(image) => image,
        Err(error) => return findings.troubles.push(Trouble::new(name, error.to_string())),
    };
    let Some(section) = image.find(".config") else {
        let message =
            "the image has no section .config, so none of its text is signed: it reads a xen.cfg from the disk";
        return findings.troubles.push(Trouble::new(name, message));
    };
    if section.virtual_size > CONFIG_MAX {
        let message =
            format!("the section .config has {} bytes, which no configuration has", section.virtual_size);
        return findings.troubles.push(Trouble::new(name, message));
    }
    let text = match image.contents(section) {
        Ok(contents) => contents.bytes,
        Err(error) => return findings.troubles.push(Trouble::new(name, error.to_string())),
    };
    xen_cfg::signed(format!("{name}:.config"), text, |section| image.find(section).is_some(), findings);
}
