//! Xen's security issues, judged by the boundary of `policy/boundary.md`.
//!
//! [`Rules`] are read from `policy/judgement`, descriptions of issues ([`Description`]) from `policy/advisories` or from a file of
//! one's own. [`judge`] says of a description whether it breaches the boundary and whose SBAT generation has to rise, and names
//! each rule on the way; nothing in this crate knows what the rules say. [`Corpus`] is everything that was published, and
//! [`advise`] asks it about one build of Xen and of dom0's kernel.
//!
//! Errors: mistakes in files are [`lockdown_policy::Problems`], with file and line.

mod advice;
mod build;
mod changelog;
mod corpus;
pub mod day;
mod description;
mod history;
mod judgement;
mod kconfig;
mod releases;
pub mod render;
mod rules;
mod second;
mod standing;
mod version;

pub use advice::{Advice, Entry, LastBump, Said, Side, advise};
pub use build::{Arch, Build};
pub use changelog::{Changelog, Upload};
pub use corpus::{Corpus, Sources};
pub use description::{Affected, Confidence, Description, Fix, Gap, Override, Provenance, Record};
pub use history::{Generation, History, Skipped};
pub use judgement::{Issue, Judgement, Step, judge};
pub use kconfig::Kconfig;
pub use releases::Releases;
pub use rules::{About, Answer, Choice, Choices, Component, Condition, Fact, Question, Row, Rules, Verdict, Word};
pub use second::{Reading, SecondReading};
pub use standing::Standing;
pub use version::{BadVersion, Release, Version};
