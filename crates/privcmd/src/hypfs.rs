//! Xen's hypfs: a tree of small values that dom0 can read. Xen's `docs/misc/hypfs-paths.pandoc` and
//! `xen/include/public/hypfs.h` describe it.

use std::io;

use crate::{Buffer, PAGE, Privcmd};

/// `__HYPERVISOR_hypfs_op`.
const HYPFS_OP: u64 = 42;
/// `XEN_HYPFS_OP_read`.
const READ: u64 = 1;
/// `struct xen_hypfs_direntry`: what stands before a node's content.
const HEAD: usize = 12;
/// `struct xen_hypfs_dirlistentry`: what stands before a name in a folder.
const NAME: usize = 14;
/// No node that is worth reading is larger.
const LARGEST: usize = 1 << 20;

/// hypfs, opened for reading. Nothing here can write.
#[derive(Debug)]
pub struct Hypfs {
    privcmd: Privcmd,
}

/// A node with what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// What it is: `XEN_HYPFS_TYPE_*`.
    pub kind: Kind,
    /// Its content, as it stands there.
    pub content: Vec<u8>,
}

/// The type of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind(pub u8);

impl Kind {
    /// A folder.
    pub const FOLDER: Self = Self(0);
    /// Text with a zero byte at its end.
    pub const STRING: Self = Self(2);
    /// A number without sign.
    pub const UINT: Self = Self(3);
}

impl Hypfs {
    /// hypfs through this device.
    #[must_use]
    pub const fn new(privcmd: Privcmd) -> Self {
        Self { privcmd }
    }

    /// Reads a node.
    ///
    /// # Errors
    /// What Linux or Xen answers: `ENOENT` for a node that is not there, `ENOSYS` for a Xen without hypfs, `EPERM` for a
    /// domain that may not ask; or what is wrong with an answer that is no node.
    pub fn read(&self, path: &str) -> io::Result<Node> {
        let mut text = path.as_bytes().to_vec();
        text.push(0);
        let path = Buffer::with(&text)?;
        let mut pages = 1;
        loop {
            let node = Buffer::new(pages)?;
            let arguments = [READ, path.address(), text.len() as u64, node.address(), node.size() as u64];
            // SAFETY: Xen reads the path and writes at most the node's size; both are buffers of ours with their
            // lengths, and live until after the call.
            let answer = unsafe { self.privcmd.hypercall(HYPFS_OP, arguments) };
            let head = node.read(0, HEAD);
            let length = number(head.get(4..8).unwrap_or_default());
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            match answer {
                Ok(_) if length > node.size().saturating_sub(HEAD) => {
                    return Err(io::Error::other("Xen's answer is longer than what it wrote"));
                }
                Ok(_) => {
                    let kind = Kind(head.first().copied().unwrap_or(u8::MAX));
                    return Ok(Node { kind, content: node.read(HEAD, length) });
                }
                // The head is there all the same. A node that grew meanwhile is asked for once more.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) && length <= LARGEST => {
                    let wanted = length.saturating_add(HEAD).div_ceil(PAGE);
                    if wanted <= pages {
                        return Err(error);
                    }
                    pages = wanted;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The names of what stands in a folder.
    ///
    /// # Errors
    /// As [`Hypfs::read`]; and where the node is no folder.
    pub fn names(&self, path: &str) -> io::Result<Vec<String>> {
        let node = self.read(path)?;
        if node.kind == Kind::FOLDER {
            Ok(names(&node.content))
        } else {
            Err(io::Error::other(format!("{path} is no folder")))
        }
    }
}

impl Node {
    /// The text of a string.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        let text = self.content.split(|&byte| byte == 0).next()?;
        (self.kind == Kind::STRING).then(|| String::from_utf8_lossy(text).into_owned())
    }

    /// The number of a number without sign.
    #[must_use]
    pub fn number(&self) -> Option<u64> {
        (self.kind == Kind::UINT && self.content.len() <= 8).then(|| number(&self.content))
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, &byte| (value << 8) | u64::from(byte))
}

/// The names in a folder's content: entries that each say where the next one begins; the last says 0.
fn names(mut content: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    while let Some((head, name)) = content.split_at_checked(NAME) {
        let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
        names.push(String::from_utf8_lossy(name).into_owned());
        let next = usize::try_from(number(head.get(HEAD..).unwrap_or_default())).unwrap_or(0);
        if next == 0 {
            break;
        }
        content = content.get(next..).unwrap_or_default();
    }
    names
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn entry(name: &str, next: u8) -> Vec<u8> {
        let mut bytes = vec![3, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, next, 0];
        bytes.extend(name.as_bytes());
        bytes.push(0);
        bytes
    }

    #[test]
    fn a_folder_is_taken_apart() {
        let mut bytes = entry("io-address", 25);
        bytes.extend(entry("kexec", 0));
        assert_eq!(names(&bytes), ["io-address", "kexec"]);
        assert_eq!(names(&[]), Vec::<String>::new());
        // One that leads out of the folder ends it.
        assert_eq!(names(&entry("a", 200)), ["a"]);
        // And one that leads nowhere useful does not go on for ever.
        assert!(names(&[1; 64]).len() <= 64);
    }

    #[test]
    fn values_are_what_their_kind_says() {
        let node = |kind, content: &[u8]| Node { kind, content: content.to_vec() };
        assert_eq!(node(Kind::STRING, b"integrity\0").text().as_deref(), Some("integrity"));
        assert_eq!(node(Kind::UINT, &[1, 2, 0, 0, 0, 0, 0, 0]).number(), Some(513));
        assert_eq!(node(Kind::UINT, &[0; 9]).number(), None);
        assert_eq!(node(Kind::STRING, b"1\0").number(), None);
    }

    #[test]
    fn what_is_no_device_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Hypfs::new(Privcmd::open_at(file.path()).unwrap()).read("/").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOTTY));
    }
}
