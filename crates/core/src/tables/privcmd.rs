// Generated from policy/ by `cargo xtask generate`. Do not edit.

// Which of these a table needs depends on the rules.
#[allow(unused_imports)]
use crate::Reason;
#[allow(unused_imports)]
use crate::hypercall::HypercallNumber;
#[allow(unused_imports)]
use crate::ioctl::{Ioctl, IoctlNumber};

/// What a process may ask of privcmd, and what refuses it.
pub static PRIVCMD: &[Ioctl<'static>] = &[
    Ioctl {
        number: IoctlNumber(0x305000),
        name: c"privcmd.hypercall",
        hypercall: None,
        strict: Some(Reason::RAW_PATH),
        own: None,
        privileged: None,
        special: None,
    },
    Ioctl {
        number: IoctlNumber(0x105002),
        name: c"privcmd.mmap",
        hypercall: None,
        strict: None,
        own: Some(Reason::OWN_MEMORY),
        privileged: Some(Reason::PRIVILEGED_TARGET),
        special: Some(Reason::SPECIAL_TARGET),
    },
    Ioctl {
        number: IoctlNumber(0x185003),
        name: c"privcmd.mmapbatch",
        hypercall: None,
        strict: None,
        own: Some(Reason::OWN_MEMORY),
        privileged: Some(Reason::PRIVILEGED_TARGET),
        special: Some(Reason::SPECIAL_TARGET),
    },
    Ioctl {
        number: IoctlNumber(0x205004),
        name: c"privcmd.mmapbatch-v2",
        hypercall: None,
        strict: None,
        own: Some(Reason::OWN_MEMORY),
        privileged: Some(Reason::PRIVILEGED_TARGET),
        special: Some(Reason::SPECIAL_TARGET),
    },
    Ioctl {
        number: IoctlNumber(0x105005),
        name: c"privcmd.dm-op",
        hypercall: Some(HypercallNumber(41)),
        strict: None,
        own: None,
        privileged: None,
        special: None,
    },
    Ioctl {
        number: IoctlNumber(0x25006),
        name: c"privcmd.restrict",
        hypercall: None,
        strict: None,
        own: None,
        privileged: None,
        special: None,
    },
    Ioctl {
        number: IoctlNumber(0x205007),
        name: c"privcmd.mmap-resource",
        hypercall: None,
        strict: None,
        own: Some(Reason::OWN_MEMORY),
        privileged: Some(Reason::PRIVILEGED_TARGET),
        special: Some(Reason::SPECIAL_TARGET),
    },
    Ioctl {
        number: IoctlNumber(0x40185008),
        name: c"privcmd.irqfd",
        hypercall: None,
        strict: None,
        own: None,
        privileged: None,
        special: None,
    },
    Ioctl {
        number: IoctlNumber(0x40305009),
        name: c"privcmd.ioeventfd",
        hypercall: None,
        strict: None,
        own: None,
        privileged: None,
        special: None,
    },
    Ioctl {
        number: IoctlNumber(0x8500a),
        name: c"privcmd.pcidev-get-gsi",
        hypercall: None,
        strict: None,
        own: None,
        privileged: None,
        special: None,
    },
];
