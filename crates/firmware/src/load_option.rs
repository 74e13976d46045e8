//! Boot entries: `EFI_LOAD_OPTION` (UEFI specification, "Load Options").

use crate::text::{from_utf16, u16_at, u32_at, utf16};

/// It can be booted.
const ACTIVE: u32 = 1;
/// The node of a device path that names a file.
const FILE_PATH: [u8; 2] = [4, 4];
const END: [u8; 4] = [0x7f, 0xff, 4, 0];

/// `Boot####`: what firmware starts, and with what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadOption {
    /// Whether firmware tries it by itself.
    pub active: bool,
    /// The name in firmware's menu and messages.
    pub title: String,
    /// The file on the boot partition, with backslashes; `None` where the entry names a device only.
    pub path: Option<String>,
    /// What the image finds as its LoadOptions.
    pub data: Vec<u8>,
}

/// A boot entry that ends too early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the boot entry is cut off")]
pub struct Cut;

impl LoadOption {
    /// An entry for a file with a text. The path is a short one, which firmware completes to the disk that has the file.
    #[must_use]
    pub fn file(title: &str, path: &str, options: &str) -> Self {
        let data = if options.is_empty() { Vec::new() } else { utf16(options) };
        Self { active: true, title: title.to_owned(), path: Some(path.to_owned()), data }
    }

    /// Reads the value of a `Boot####`.
    ///
    /// # Errors
    /// If it is cut off.
    pub fn read(bytes: &[u8]) -> Result<Self, Cut> {
        let attributes = u32_at(bytes, 0).ok_or(Cut)?;
        let length = usize::from(u16_at(bytes, 4).ok_or(Cut)?);
        let (title, rest) = from_utf16(bytes.get(6..).ok_or(Cut)?);
        let (nodes, data) = rest.split_at_checked(length).ok_or(Cut)?;
        Ok(Self { active: attributes & ACTIVE != 0, title, path: file_of(nodes), data: data.to_vec() })
    }

    /// The value of a `Boot####`; `None` if its path is longer than one can be.
    #[must_use]
    pub fn write(&self) -> Option<Vec<u8>> {
        let mut nodes = Vec::new();
        if let Some(path) = &self.path {
            let path = utf16(path);
            nodes.extend_from_slice(&FILE_PATH);
            nodes.extend_from_slice(&u16::try_from(path.len().checked_add(4)?).ok()?.to_le_bytes());
            nodes.extend_from_slice(&path);
        }
        nodes.extend_from_slice(&END);
        let mut option = u32::from(self.active).to_le_bytes().to_vec();
        option.extend_from_slice(&u16::try_from(nodes.len()).ok()?.to_le_bytes());
        option.extend_from_slice(&utf16(&self.title));
        option.extend_from_slice(&nodes);
        option.extend_from_slice(&self.data);
        Some(option)
    }

    /// What the image finds as its LoadOptions, read as text; `None` if it is not UTF-16.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        if self.data.len() % 2 != 0 {
            return None;
        }
        let units: Vec<u16> = self
            .data
            .chunks_exact(2)
            .filter_map(|unit| unit.first_chunk().copied())
            .map(u16::from_le_bytes)
            .collect();
        let end = units.iter().position(|&unit| unit == 0).unwrap_or(units.len());
        String::from_utf16(units.get(..end).unwrap_or_default()).ok()
    }
}

/// The file that a device path names; its parts can stand in several nodes.
fn file_of(mut nodes: &[u8]) -> Option<String> {
    let mut path: Option<String> = None;
    while let Some(length) = u16_at(nodes, 2).map(usize::from).filter(|&length| length >= 4) {
        let Some((node, rest)) = nodes.split_at_checked(length) else { break };
        if node.starts_with(&FILE_PATH) {
            let (part, _) = from_utf16(node.get(4..).unwrap_or_default());
            match &mut path {
                Some(path) => {
                    if !path.ends_with('\\') && !part.starts_with('\\') {
                        path.push('\\');
                    }
                    path.push_str(&part);
                }
                None => path = Some(part),
            }
        }
        nodes = rest;
    }
    path
}
