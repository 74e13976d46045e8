//! A paragraph on the boundary, ready for an advisory.

use crate::judgement::{Issue, Judgement};
use crate::rules::{About, Component, Verdict};

/// What an advisory can say of the boundary, in plain text.
#[must_use]
pub fn paragraph(judgement: &Judgement<'_>) -> String {
    let mut sentences = Vec::new();
    let applied = judgement.rules().join(", ");
    let reasons = |verdict: Verdict| -> String {
        let steps = judgement.steps.iter().filter(|step| step.verdict == verdict && step.about != About::Issue);
        steps.map(|step| format!(" {}", step.row.why)).collect()
    };
    match (&judgement.overridden, judgement.breach) {
        (Some(overridden), _) => {
            sentences.push(format!("This is a decision against the rules ({applied}): {}", overridden.reason));
        }
        (None, Verdict::No) => sentences.push(format!(
            "This issue does not breach the Secure Boot boundary (rules {applied}).{}",
            reasons(Verdict::No)
        )),
        (None, Verdict::Conditional) => sentences.push(format!(
            "This issue may breach the Secure Boot boundary (rules {applied}).{}",
            reasons(Verdict::Conditional)
        )),
        (None, Verdict::Yes) => {
            sentences.push(format!("This issue breaches the Secure Boot boundary (rules {applied})."));
        }
    }
    if judgement.is_rule && judgement.answer > Verdict::No {
        let text = "No change of code closes it, so there is nothing to revoke and no SBAT generation rises; it has to be closed by \
                    configuration or by lockdown itself.";
        sentences.push(text.to_owned());
    }
    let is_partial = judgement.answer == Verdict::Conditional && judgement.breach == Verdict::Yes;
    for component in &judgement.bump {
        let (whose, name) = match component {
            Component::Xen => ("Downstreams that sign Xen", "Xen"),
            Component::LinuxDom0 => ("Downstreams that sign a Linux kernel for dom0", "Linux"),
        };
        let when =
            if judgement.breach == Verdict::Yes { "should" } else { "should, if their builds are affected," };
        let release = if is_partial {
            "the first release that closes it; what is published so far does not"
        } else {
            "the release that contains this fix"
        };
        sentences
            .push(format!("{whose} {when} raise the SBAT generation of their {name} component in {release}."));
    }
    if judgement.answer == Verdict::No {
        sentences.push("No SBAT generation needs to rise for it.".to_owned());
    } else {
        let applies: Vec<_> = judgement.applies_if.iter().chain(&judgement.versions).map(String::as_str).collect();
        if !applies.is_empty() {
            sentences.push(format!("It applies only with: {}.", applies.join("; ")));
        }
        if !judgement.not_if.is_empty() {
            sentences.push(format!("Any one of these makes it moot: {}.", judgement.not_if.join("; ")));
        }
    }
    if judgement.issue == Issue::AsBreach {
        sentences.push("Without this boundary it is no security issue.".to_owned());
    }
    sentences.join(" ")
}
