//! What `judge` and `sbat advise` read: descriptions of issues, changelogs, configurations, records of generations, versions.

#![no_main]

use std::path::Path;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use lockdown_advisories::{
    Build, Changelog, Choices, Component, Corpus, Description, History, Kconfig, LastBump, Said, Side, Version,
    advise, judge,
};

fn corpus() -> &'static Corpus {
    static CORPUS: OnceLock<Corpus> = OnceLock::new();
    CORPUS.get_or_init(|| Corpus::embedded().expect("the corpus was checked"))
}

fuzz_target!(|bytes: &[u8]| {
    // The first byte says what it is.
    let Some((kind, rest)) = bytes.split_first() else { return };
    let Ok(text) = std::str::from_utf8(rest) else { return };
    let rules = corpus().rules();
    let choices = Choices::of(rules);
    match kind {
        b'd' => {
            if let Ok(description) = Description::read(Path::new("d"), text, rules) {
                let judgement = judge(&description, rules, &choices, &Build::default());
                assert!(judgement.answer <= judgement.in_scope || judgement.overridden.is_some());
                let _ = lockdown_advisories::render::paragraph(&judgement);
            }
        }
        b'c' => {
            let changelog = Changelog::read(text);
            let said = changelog.whole();
            assert!(said.fixed.keys().all(|xsa| !said.doubtful.contains(xsa)));
        }
        b'k' => {
            let _ = Kconfig::read(Path::new("k"), text);
        }
        b'h' => {
            let _ = History::read(Path::new("h"), text);
        }
        _ => {
            let Ok(version) = Version::read(text) else { return };
            let last = Some(LastBump::Version(version.clone(), None));
            for component in Component::ALL {
                let (version, last) = (version.clone(), last.clone());
                let side = Side { component, version, said: Said::default(), last, skipped: Default::default() };
                let advice = advise(&side, corpus(), &choices, &Build::default());
                // Nothing can be fixed since the very same version.
                assert!(advice.fixed.is_empty());
            }
        }
    }
});
