//! The files as they are written: what serde reads, before anything is checked but the keys.

use serde::Deserialize;
use toml::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OptionFile {
    #[serde(default)]
    pub(crate) option: Vec<Spanned<RawOption>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawOption {
    pub(crate) name: String,
    pub(crate) kind: Vec<String>,
    pub(crate) capacity: Option<u16>,
    pub(crate) width: Option<u8>,
    pub(crate) xen: Vec<String>,
    pub(crate) arch: Vec<String>,
    pub(crate) class: String,
    pub(crate) syntax: String,
    pub(crate) source: Vec<String>,
    pub(crate) audited: Vec<String>,
    pub(crate) reason: Option<String>,
    pub(crate) mechanism: String,
    pub(crate) advice: Option<String>,
    pub(crate) separator: Option<String>,
    pub(crate) items: Option<Vec<Spanned<RawItem>>>,
    pub(crate) fields: Option<Vec<Vec<Spanned<RawItem>>>>,
    pub(crate) named: Option<Vec<Spanned<RawItem>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Dom0File {
    #[serde(default)]
    pub(crate) option: Vec<Spanned<RawDom0>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawDom0 {
    pub(crate) name: String,
    pub(crate) class: String,
    pub(crate) syntax: String,
    pub(crate) source: Vec<String>,
    pub(crate) reason: Option<String>,
    pub(crate) mechanism: String,
    pub(crate) advice: Option<String>,
    pub(crate) separator: Option<String>,
    pub(crate) items: Option<Vec<Spanned<RawItem>>>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawItem {
    #[serde(rename = "bool")]
    pub(crate) boolean: Option<String>,
    pub(crate) flag: Option<String>,
    pub(crate) word: Option<String>,
    pub(crate) words: Option<Vec<String>>,
    pub(crate) number: Option<Vec<String>>,
    pub(crate) size: Option<Vec<String>>,
    pub(crate) prefix: Option<String>,
    pub(crate) text: Option<String>,
    pub(crate) plain: Option<String>,
    pub(crate) empty: Option<bool>,
    pub(crate) allow: Option<String>,
    pub(crate) without: Option<String>,
    pub(crate) base: Option<u8>,
    pub(crate) items: Option<Vec<Spanned<RawItem>>>,
    pub(crate) refuse: Option<String>,
    pub(crate) why: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReasonFile {
    pub(crate) reason: Vec<Spanned<RawReason>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawReason {
    pub(crate) id: String,
    pub(crate) level: String,
    pub(crate) rule: String,
    pub(crate) text: String,
    pub(crate) explain: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OverlayFile {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) allow: Vec<Spanned<RawAllow>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawAllow {
    pub(crate) option: String,
    pub(crate) who: String,
    pub(crate) why: String,
    pub(crate) values: Option<Vec<String>>,
    pub(crate) items: Option<Vec<Spanned<RawItem>>>,
}
