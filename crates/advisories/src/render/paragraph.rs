//! A paragraph on the boundary, ready for an advisory.

use crate::judgement::{Issue, Judgement};
use crate::rules::{Component, Verdict};

/// What an advisory can say of the boundary, in plain text.
#[must_use]
pub fn paragraph(judgement: &Judgement<'_>) -> String {
    let mut sentences = Vec::new();
    let applied = judgement.rules().join(", ");
    match judgement.answer {
        Verdict::No if judgement.in_scope > Verdict::No => sentences.push(format!(
            "This issue is about something that the Secure Boot boundary guards, and does not breach it under the conditions that it needs (rules {applied})."
        )),
        Verdict::No => {
            sentences.push(format!("This issue does not breach the Secure Boot boundary (rules {applied})."));
        }
        Verdict::Conditional => sentences.push(format!(
            "This issue may breach the Secure Boot boundary, depending on the build or on further analysis (rules {applied})."
        )),
        Verdict::Yes => sentences.push(format!("This issue breaches the Secure Boot boundary (rules {applied}).")),
    }
    if judgement.is_rule && judgement.answer > Verdict::No {
        sentences.push(
            "There is no fixed image to revoke for, so no SBAT generation rises; it has to be closed by configuration or by lockdown itself."
                .to_owned(),
        );
    }
    for component in &judgement.bump {
        let (whose, name) = match component {
            Component::Xen => ("Downstreams that sign Xen", "xen"),
            Component::LinuxDom0 => ("Downstreams that sign a Linux kernel for dom0", "linux-dom0"),
        };
        let when =
            if judgement.answer == Verdict::Yes { "should" } else { "should, if their builds are affected," };
        sentences.push(format!(
            "{whose} {when} raise the SBAT generation of their component for it ({name}) with this fix."
        ));
    }
    if judgement.answer == Verdict::No {
        sentences.push("No SBAT generation needs to rise for it.".to_owned());
    } else {
        let applies: Vec<_> = judgement.applies_if.iter().chain(&judgement.versions).map(String::as_str).collect();
        if !applies.is_empty() {
            sentences.push(format!("It applies only with: {}.", applies.join("; ")));
        }
        if !judgement.not_if.is_empty() {
            sentences.push(format!(
                "It does not apply to builds with any one of these: {}.",
                judgement.not_if.join("; ")
            ));
        }
    }
    if let Some(overridden) = &judgement.overridden {
        sentences.push(format!("This is a decision against the rules: {}", overridden.reason));
    }
    if judgement.issue == Issue::AsBreach {
        sentences.push("It is a security issue because of the boundary only.".to_owned());
    }
    sentences.join(" ")
}
