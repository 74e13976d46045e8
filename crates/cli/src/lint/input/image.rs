//! A unified image as an input: its section `.config` is signed text.

use std::path::Path;

use lockdown_image::Image;

use crate::lint::input::xen_cfg;
use crate::lint::input::{Findings, Note, Place, Trouble};

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
    let Some(files) = xen_cfg::signed(format!("{name}:.config"), text, findings) else { return };
    let Some(input) = findings.inputs.get_mut(files.input) else { return };
    let named = [
        (files.kernel, ".kernel", "kernel="),
        (files.ramdisk, ".ramdisk", "ramdisk="),
        (files.xsm, ".xsm", "xsm="),
    ];
    for (place, section, key) in named {
        let missing = place.filter(|_| image.find(section).is_none());
        input.notes.extend(missing.map(|place: Place| Note {
            origin: input.name.clone(),
            place: Some(place),
            reason: Some("unsigned-file"),
            message: format!(
                "{key} is named, but the image has no section {section}: the file would come from the disk"
            ),
        }));
    }
}
