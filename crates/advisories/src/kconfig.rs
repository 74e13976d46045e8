//! The configuration that Xen or Linux was built with: a `.config`.

use std::collections::BTreeMap;
use std::path::Path;

use lockdown_policy::{Problem, Problems};

use crate::version;

/// What options are set to. What does not stand in it is not known: older trees do not have every option.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kconfig {
    options: BTreeMap<String, String>,
    program: Option<String>,
    branch: Option<(u16, u16)>,
}

impl Kconfig {
    /// Reads a `.config`.
    ///
    /// # Errors
    /// Lines that Kconfig does not write, an option that stands twice, a file without any option.
    pub fn read(file: &Path, text: &str) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let mut options = BTreeMap::new();
        for (index, line) in text.lines().enumerate() {
            let mut complain =
                |message: String| problems.push(Problem::new(file, index.saturating_add(1), message));
            let line = line.trim_end();
            let unset = line.strip_prefix("# CONFIG_").and_then(|rest| rest.strip_suffix(" is not set"));
            let (name, value) = match (unset, line.strip_prefix("CONFIG_")) {
                (Some(name), _) => (name, "n"),
                (None, Some(rest)) => match rest.split_once('=') {
                    Some(pair) => pair,
                    None => {
                        complain(format!("{line:?} sets nothing"));
                        continue;
                    }
                },
                (None, None) if line.is_empty() || line.starts_with('#') => continue,
                (None, None) => {
                    complain(format!("{line:?} is no line of a .config"));
                    continue;
                }
            };
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                complain(format!("{name:?} is no name of an option"));
            }
            if options.insert(name.to_owned(), value.to_owned()).is_some() {
                complain(format!("CONFIG_{name} stands twice"));
            }
        }
        if problems.0.is_empty() && options.is_empty() {
            problems.push(Problem::new(file, 0, "sets no option: it is something else"));
        }
        // `# Xen/x86 4.20.5-pre Configuration`, `# Linux/x86 6.12.117 Kernel Configuration`
        let head = text.lines().take(6).filter_map(|line| line.strip_prefix("# "));
        let title = head.filter(|line| line.ends_with(" Configuration")).find_map(|line| line.split_once('/'));
        let version = title.and_then(|(_, rest)| version::numbers(rest.split(' ').nth(1)?));
        let program = title.map(|(program, _)| program.to_owned());
        problems.into_result(Self { options, program, branch: version.map(|(release, _)| release.branch) })
    }

    /// Whose configuration it says it is, where its head does: `Linux`, `Xen`.
    #[must_use]
    pub fn program(&self) -> Option<&str> {
        self.program.as_deref()
    }

    /// Of which branch its head says it is.
    #[must_use]
    pub fn branch(&self) -> Option<(u16, u16)> {
        self.branch
    }

    /// What an option is set to, without `CONFIG_` in its name; a module counts as set.
    #[must_use]
    pub fn is_set(&self, name: &str) -> Option<bool> {
        self.options.get(name).map(|value| matches!(value.as_str(), "y" | "m"))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::Kconfig;

    #[test]
    fn options_are_set_not_set_or_not_known() {
        let text = "#\n# Xen\n#\nCONFIG_PV=y\n# CONFIG_PV32 is not set\nCONFIG_NETBACK=m\nCONFIG_CMDLINE=\"\"\n\n";
        let config = Kconfig::read(Path::new(".config"), text).unwrap_or_else(|error| panic!("{error}"));
        let found = ["PV", "PV32", "NETBACK", "SHADOW_PAGING"].map(|name| config.is_set(name));
        assert_eq!(found, [Some(true), Some(false), Some(true), None]);
    }

    #[test]
    fn its_head_says_whose_it_is() {
        let of = |head: &str| {
            let text = format!("#\n# Automatically generated file; DO NOT EDIT.\n{head}\n#\nCONFIG_X86=y\n");
            let config = Kconfig::read(Path::new(".config"), &text).unwrap_or_else(|error| panic!("{error}"));
            (config.program().map(str::to_owned), config.branch())
        };
        assert_eq!(of("# Xen/x86 4.20.5-pre Configuration"), (Some("Xen".to_owned()), Some((4, 20))));
        assert_eq!(of("# Linux/x86 6.12.117 Kernel Configuration"), (Some("Linux".to_owned()), Some((6, 12))));
        assert_eq!(of("# Xen/x86  Configuration"), (Some("Xen".to_owned()), None));
        assert_eq!(of("# Configuration"), (None, None));
    }

    #[test]
    fn what_kconfig_does_not_write_is_named_with_its_line() {
        for (text, message) in [
            ("CONFIG_PV=y\nPV=n\n", ".config:2: \"PV=n\" is no line of a .config"),
            ("CONFIG_PV\n", ".config:1: \"CONFIG_PV\" sets nothing"),
            ("CONFIG_PV=y\nCONFIG_PV=n\n", ".config:2: CONFIG_PV stands twice"),
            ("CONFIG_A B=y\n", ".config:1: \"A B\" is no name of an option"),
            ("# nothing\n", ".config: sets no option: it is something else"),
        ] {
            let found = Kconfig::read(Path::new(".config"), text).expect_err(text);
            assert_eq!(found.to_string(), message);
        }
    }
}
