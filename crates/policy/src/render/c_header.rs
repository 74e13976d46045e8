//! What C has to call by its name.

use std::fmt::Write as _;

use super::rust::constant_name;
use crate::model::Policy;

/// `xen/include/lockdown-reasons.h`: macros, so that they can be pasted into wide texts too.
pub(super) fn reasons(policy: &Policy) -> String {
    let mut out = String::from(
        "/* SPDX-License-Identifier: GPL-2.0-only */\n\
         /* Generated from policy/ by `cargo xtask generate`. Do not edit. */\n\
         #ifndef XEN_LOCKDOWN_REASONS_H\n#define XEN_LOCKDOWN_REASONS_H\n\n\
         /* The ids of the reasons, for what the glue itself refuses. */\n",
    );
    for reason in &policy.reasons {
        let _ = writeln!(out, "#define LOCKDOWN_REASON_{} {:?}", constant_name(&reason.id), reason.id);
    }
    out.push_str("\n#endif /* XEN_LOCKDOWN_REASONS_H */\n");
    out
}
