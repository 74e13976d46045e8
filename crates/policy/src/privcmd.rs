//! The rules for requests to dom0's privcmd driver: `policy/privcmd.toml`.

use std::path::Path;

use serde::Deserialize;
use toml::Spanned;

use crate::Hypercall;
use crate::check::{parse, read};
use crate::model::{Place, ReasonEntry};
use crate::problem::{Problem, Problems, line_of};

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ioctl {
    /// Where it stands.
    pub place: Place,
    /// `privcmd.mmap`.
    pub name: String,
    /// What Linux's header calls its number.
    pub constant: String,
    /// The number.
    pub command: u32,
    /// The hypercall that it makes.
    pub hypercall: Option<u8>,
    /// The reason that refuses it where the guard is strict.
    pub strict: Option<String>,
    /// The reason that refuses it where it names the caller.
    pub own: Option<String>,
    /// Where it names another privileged domain.
    pub privileged: Option<String>,
    /// Where it names `DOMID_IO`.
    pub io: Option<String>,
    /// Where it names `DOMID_XEN`.
    pub xen: Option<String>,
    /// Where it names another reserved number.
    pub special: Option<String>,
    /// What it does and what could go wrong.
    pub mechanism: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(default)]
    ioctl: Vec<Spanned<RawIoctl>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawIoctl {
    name: String,
    constant: String,
    command: u32,
    hypercall: Option<u8>,
    strict: Option<String>,
    own: Option<String>,
    privileged: Option<String>,
    io: Option<String>,
    xen: Option<String>,
    special: Option<String>,
    mechanism: String,
}

pub(crate) fn load(
    file: &Path,
    reasons: &[ReasonEntry],
    hypercalls: &[Hypercall],
    problems: &mut Problems,
) -> Vec<Ioctl> {
    let Some(text) = read(file, problems) else { return Vec::new() };
    let Some(raw) = parse::<RawFile>(file, &text, problems) else { return Vec::new() };
    let mut ioctls: Vec<Ioctl> = Vec::new();
    for spanned in raw.ioctl {
        let line = line_of(&text, &spanned.span());
        let raw = spanned.into_inner();
        let mut complain = |message: String| {
            problems.push(Problem::new(file, line, format!("{}: {message}", raw.name)));
        };
        for reason in
            [&raw.strict, &raw.own, &raw.privileged, &raw.io, &raw.xen, &raw.special].into_iter().flatten()
        {
            if !reasons.iter().any(|known| known.id == *reason) {
                complain(format!("reason {reason:?} does not stand in reasons.toml"));
            }
        }
        if let Some(number) =
            raw.hypercall.filter(|number| !hypercalls.iter().any(|known| known.number == *number))
        {
            complain(format!("hypercall {number} has no file in hypercalls/"));
        }
        if let Some(other) = ioctls.iter().find(|other| other.command == raw.command) {
            complain(format!("{} has the number {:#x} already", other.name, raw.command));
        }
        ioctls.push(Ioctl {
            place: Place { file: file.to_owned(), line },
            name: format!("privcmd.{}", raw.name),
            constant: raw.constant,
            command: raw.command,
            hypercall: raw.hypercall,
            strict: raw.strict,
            own: raw.own,
            privileged: raw.privileged,
            io: raw.io,
            xen: raw.xen,
            special: raw.special,
            mechanism: raw.mechanism,
        });
    }
    ioctls
}
