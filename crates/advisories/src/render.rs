//! What is generated from the advisories and the rules: the feed for other tools, the reference, a chart of the years, and the
//! boundary as a security team can adopt it.

mod boundary;
mod chart;
mod feed;
mod paragraph;
mod reference;
mod statistics;

use std::path::PathBuf;

use crate::corpus::Corpus;
use crate::second::SecondReading;

pub use chart::Bar;
pub use feed::feed;
pub use paragraph::paragraph;
pub use statistics::{Counts, Statistics, Year};

/// A generated file: its path below the project's root, and its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generated {
    /// The path.
    pub path: PathBuf,
    /// The content.
    pub text: String,
}

/// Everything that is generated. Rust files still have to pass rustfmt.
///
/// `boundary` is the text of `policy/boundary.md`, `procedure` that of `policy/judgement/procedure.md`, `second` what is read from
/// `policy/judgement/second-reading.toml`; `chart` draws bars as SVG.
///
/// # Errors
/// Those of `chart`.
pub fn all<E>(
    corpus: &Corpus,
    boundary: &str,
    procedure: &str,
    second: &SecondReading,
    chart: impl FnOnce(&[Bar]) -> Result<String, E>,
) -> Result<Vec<Generated>, E> {
    let file = |path: &str, text: String| Generated { path: PathBuf::from(path), text };
    let statistics = Statistics::of(corpus);
    Ok(vec![
        file("crates/advisories/src/corpus/embedded.rs", embedded(corpus)),
        file("docs/reference/advisories.json", feed(corpus)),
        file("docs/reference/advisories.svg", chart(&chart::bars(&statistics))?),
        file("docs/reference/advisories.md", reference::advisories(corpus, &statistics, second)),
        file("docs/boundary.md", boundary::document(corpus, boundary, procedure)),
    ])
}

/// The files of the corpus, as this crate carries them.
fn embedded(corpus: &Corpus) -> String {
    let mut out = "//! Generated from policy/ by `cargo xtask generate`. Do not edit.\n\n".to_owned();
    for (name, file) in [("RULES", "rules"), ("CONDITIONS", "conditions"), ("RELEASES", "releases")] {
        out.push_str(&format!(
            "pub(super) const {name}: &str = include_str!(\"../../../../policy/judgement/{file}.toml\");\n"
        ));
    }
    out.push_str("\npub(super) const ADVISORIES: &[(&str, &str)] = &[\n");
    for xsa in corpus.numbers() {
        let name = format!("policy/advisories/xsa-{xsa}.toml");
        out.push_str(&format!("    (\"{name}\", include_str!(\"../../../../{name}\")),\n"));
    }
    out.push_str("];\n");
    out
}
