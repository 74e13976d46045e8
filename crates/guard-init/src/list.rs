//! Whether the guard stands, by what the kernel lists in `/proc/modules`.

/// The guard's name in the list.
const NAME: &[u8] = b"xen_privcmd";

/// What the kernel writes in place of a number or of users where it cannot unload modules at all (`CONFIG_MODULE_UNLOAD`).
const NEVER: &[u8] = b"-";

/// Why the guard does not stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Falls {
    /// The list does not name it.
    Missing,
    /// It is being loaded or unloaded.
    NotLive,
    /// It is not its own user, so it could be unloaded, by force if not otherwise.
    Removable,
}

impl Falls {
    /// In words.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Missing => "no guard: xen_privcmd is not in /proc/modules",
            Self::NotLive => "no guard: /proc/modules does not say that xen_privcmd is Live",
            Self::Removable => {
                "no guard: xen_privcmd can be unloaded: /proc/modules does not name it as its own user"
            }
        }
    }
}

/// Looks for the guard in the text of `/proc/modules`: a line has the name, the size, the number of users, the users with a
/// comma behind each, the state, and the address (`m_show` in `kernel/module/procfs.c`, Linux 6.12).
///
/// # Errors
/// Why it does not stand.
pub fn stands(list: &[u8]) -> Result<(), Falls> {
    let mut lines = list.split(|&byte| byte == b'\n');
    let line = lines.find(|line| line.split(|&byte| byte == b' ').next() == Some(NAME)).ok_or(Falls::Missing)?;
    let mut fields = line.split(|&byte| byte == b' ').skip(2);
    let (count, users, state) = (fields.next(), fields.next(), fields.next());
    if state != Some(b"Live") {
        return Err(Falls::NotLive);
    }
    let own = users.unwrap_or_default().split(|&byte| byte == b',').any(|user| user == NAME);
    let never = count == Some(NEVER) && users == Some(NEVER);
    if own || never { Ok(()) } else { Err(Falls::Removable) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_that_stands_is_live_and_its_own_user() {
        assert_eq!(stands(b"xen_privcmd 53248 2 xen_privcmd, Live 0x0 (OE)\n"), Ok(()));
        assert_eq!(
            stands(b"xenfs 4096 1 - Live 0x0\nxen_privcmd 53248 3 xenfs,xen_privcmd, Live 0x0 (OE)\n"),
            Ok(())
        );
        assert_eq!(stands(b"xen_privcmd 53248 2 xen_privcmd,[permanent], Live 0x0 (OE)\n"), Ok(()));
        // A kernel that cannot unload anything.
        assert_eq!(stands(b"xen_privcmd 53248 - - Live 0x0\n"), Ok(()));
    }

    #[test]
    fn everything_else_does_not_stand() {
        assert_eq!(stands(b""), Err(Falls::Missing));
        assert_eq!(stands(b"xenfs 4096 1 xen_privcmd, Live 0x0\n"), Err(Falls::Missing));
        assert_eq!(stands(b"xen_privcmd_other 53248 2 xen_privcmd, Live 0x0\n"), Err(Falls::Missing));
        assert_eq!(stands(b"xen_privcmd 53248 1 xenfs, Live 0x0\n"), Err(Falls::Removable));
        assert_eq!(stands(b"xen_privcmd 53248 0 - Live 0x0\n"), Err(Falls::Removable));
        assert_eq!(stands(b"xen_privcmd 53248 2 xen_privcmd_other, Live 0x0\n"), Err(Falls::Removable));
        assert_eq!(stands(b"xen_privcmd 53248 2 xen_privcmd, Loading 0x0\n"), Err(Falls::NotLive));
        assert_eq!(stands(b"xen_privcmd 53248 2 xen_privcmd, Unloading 0x0\n"), Err(Falls::NotLive));
        assert_eq!(stands(b"xen_privcmd"), Err(Falls::NotLive));
    }
}
