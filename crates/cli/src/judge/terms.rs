//! What a judgement depends on beside the issue: choices, and the build.

use std::path::Path;

use anyhow::{Result, bail};
use lockdown_advisories::{Build, Choices, Kconfig, Rules};

use crate::arguments::JudgementTerms;
use crate::files;

/// No `.config` is longer: one of Linux's has some 300 KiB.
const LONGEST: u64 = 4 << 20;

/// Choices, and what is known of the build.
pub(crate) struct Terms {
    pub(crate) choices: Choices,
    pub(crate) build: Build,
}

impl Terms {
    pub(crate) fn of(arguments: &JudgementTerms, rules: &Rules) -> Result<Self> {
        let mut choices = Choices::of(rules);
        for (name, verdict) in [
            ("not-ruled-out", arguments.not_ruled_out),
            ("passthrough", arguments.passthrough),
            ("hardware-flaws", arguments.hardware_flaws),
            ("arm", arguments.arm),
        ] {
            if let Some(verdict) = verdict {
                choices.set(name, verdict);
            }
        }
        for name in &arguments.without {
            if rules.condition(name).is_none() {
                let known: Vec<_> = rules.conditions.iter().map(|condition| condition.name.as_str()).collect();
                bail!("--without {name}: there is no such condition; there are {}", known.join(", "));
            }
        }
        let build = Build {
            xen: arguments.config.as_deref().map(|path| kconfig(path, "Xen")).transpose()?,
            linux: arguments.linux_config.as_deref().map(|path| kconfig(path, "Linux")).transpose()?,
            arch: None,
            without: arguments.without.iter().cloned().collect(),
            has_gate: arguments.gate,
        };
        Ok(Self { choices, build })
    }
}

fn kconfig(path: &Path, wanted: &str) -> Result<Kconfig> {
    let config = Kconfig::read(path, &files::read_text(path, LONGEST)?)?;
    if let Some(program) = config.program().filter(|program| *program != wanted) {
        bail!("{}: is a configuration of {program}, and not of {wanted}", path.display());
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use lockdown_advisories::Corpus;

    #[test]
    fn each_choice_of_the_rules_has_an_option() {
        let corpus = Corpus::embedded().unwrap_or_else(|problems| panic!("{problems}"));
        let names: Vec<_> = corpus.rules().choices.iter().map(|choice| choice.name.as_str()).collect();
        assert_eq!(names, ["not-ruled-out", "passthrough", "hardware-flaws", "arm"]);
    }
}
