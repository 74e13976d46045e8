//! The files as they are written.

use serde::Deserialize;
use toml::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFile {
    pub(super) hypercall: Spanned<RawHypercall>,
    #[serde(default)]
    pub(super) operation: Vec<Spanned<RawOperation>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHypercall {
    pub(super) number: u8,
    pub(super) name: String,
    pub(super) constant: String,
    #[serde(default)]
    pub(super) registers: Vec<RawRegister>,
    pub(super) header: Option<String>,
    pub(super) prefix: Option<String>,
    #[serde(default)]
    pub(super) beside: Vec<String>,
    pub(super) selector: Option<RawArg>,
    pub(super) structure: Option<String>,
    pub(super) size: Option<u32>,
    pub(super) target: Option<RawArg>,
    pub(super) version: Option<RawVersion>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawOperation {
    pub(super) number: Option<u16>,
    pub(super) selector: Option<u8>,
    pub(super) selector_at: Option<RawField>,
    pub(super) name: Option<String>,
    pub(super) constant: Option<String>,
    pub(super) xen: Vec<String>,
    pub(super) arch: Vec<String>,
    pub(super) class: String,
    pub(super) door: String,
    pub(super) reason: Option<String>,
    #[serde(rename = "self")]
    pub(super) own: String,
    pub(super) self_door: Option<String>,
    pub(super) self_reason: Option<String>,
    pub(super) special: Option<String>,
    pub(super) other_door: Option<String>,
    pub(super) other_reason: Option<String>,
    pub(super) audited: Vec<String>,
    #[serde(default)]
    pub(super) source: Vec<String>,
    pub(super) used_by: Vec<String>,
    #[serde(default)]
    pub(super) sessions: Vec<String>,
    pub(super) mechanism: String,
    pub(super) note: Option<String>,
    pub(super) head: Option<String>,
    pub(super) layout: Option<Vec<String>>,
    pub(super) registers: Option<Vec<RawRegister>>,
    pub(super) structure: Option<String>,
    pub(super) size: Option<u32>,
    pub(super) null: Option<String>,
    pub(super) output: Option<String>,
    pub(super) payload: Option<RawElement>,
    pub(super) target: Option<RawArg>,
    #[serde(default)]
    pub(super) others: Vec<Spanned<RawOther>>,
    pub(super) version: Option<RawVersion>,
    #[serde(default)]
    pub(super) handles: Vec<Spanned<RawPointer>>,
    pub(super) tail: Option<Spanned<RawPointer>>,
    #[serde(default)]
    pub(super) hidden: Vec<Spanned<RawHidden>>,
    #[serde(default)]
    pub(super) values: Vec<Spanned<RawValue>>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRegister {
    pub(super) role: String,
    pub(super) mask: Option<u64>,
    /// The register with the number of elements or buffers.
    pub(super) number: Option<u8>,
    pub(super) count: Option<RawCount>,
    pub(super) element: Option<String>,
    pub(super) size: Option<u32>,
    pub(super) direction: Option<String>,
    #[serde(default)]
    pub(super) handles: Vec<RawPointer>,
    #[serde(default)]
    pub(super) buffers: Vec<RawBeside>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBeside {
    pub(super) index: u8,
    pub(super) element: String,
    pub(super) size: u32,
    pub(super) count: RawCount,
    pub(super) direction: String,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawArg {
    pub(super) register: Option<u8>,
    pub(super) element: Option<bool>,
    pub(super) buffer: Option<u8>,
    pub(super) path: Option<String>,
    pub(super) offset: Option<u32>,
    pub(super) width: Option<u8>,
    pub(super) mask: Option<u64>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawField {
    pub(super) path: String,
    pub(super) offset: u32,
    pub(super) width: u8,
    pub(super) mask: Option<u64>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawOther {
    pub(super) path: String,
    pub(super) offset: u32,
    pub(super) width: u8,
    #[serde(default)]
    pub(super) when: Vec<RawCondition>,
    #[serde(rename = "self")]
    pub(super) own: Option<String>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawElement {
    pub(super) path: String,
    pub(super) offset: u32,
    pub(super) size: u32,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawVersion {
    pub(super) constant: Option<String>,
    pub(super) path: String,
    pub(super) offset: u32,
    pub(super) width: u8,
    #[serde(rename = "4.17")]
    pub(super) v4_17: Option<u32>,
    #[serde(rename = "4.20")]
    pub(super) v4_20: Option<u32>,
    #[serde(rename = "HEAD")]
    pub(super) head: Option<u32>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCondition {
    pub(super) path: String,
    pub(super) offset: u32,
    pub(super) width: u8,
    pub(super) mask: Option<u64>,
    pub(super) is: Vec<u64>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCount {
    pub(super) constant: Option<u64>,
    pub(super) register: Option<u8>,
    pub(super) implicit: Option<String>,
    pub(super) most: Option<u64>,
    pub(super) path: Option<String>,
    pub(super) offset: Option<u32>,
    pub(super) width: Option<u8>,
    pub(super) unit: Option<String>,
    pub(super) squared: Option<bool>,
    pub(super) minus: Option<Box<RawField>>,
    pub(super) plus: Option<u64>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPointer {
    pub(super) path: String,
    pub(super) offset: u32,
    pub(super) element: String,
    pub(super) size: u32,
    pub(super) count: RawCount,
    pub(super) direction: String,
    #[serde(default)]
    pub(super) when: Vec<RawCondition>,
    #[serde(default)]
    pub(super) handles: Vec<RawPointer>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHidden {
    pub(super) path: String,
    pub(super) offset: u32,
    pub(super) width: u8,
    pub(super) is: String,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawValue {
    pub(super) path: String,
    pub(super) offset: u32,
    pub(super) width: u8,
    pub(super) mask: Option<u64>,
    #[serde(default)]
    pub(super) when: Vec<RawCondition>,
    pub(super) allow: Vec<String>,
    pub(super) door: String,
    pub(super) reason: String,
    pub(super) why: String,
}
