//! Variables, wherever they come from.

use crate::Guid;

/// A variable's attributes (UEFI specification, "GetVariable()").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes(pub u32);

impl Attributes {
    /// Outlives the boot.
    pub const NON_VOLATILE: Self = Self(1);
    /// For what runs before the operating system.
    pub const BOOT_SERVICE: Self = Self(2);
    /// For the operating system too.
    pub const RUNTIME: Self = Self(4);
    /// Written only with a signature and a time.
    pub const TIME_AUTHENTICATED: Self = Self(0x20);

    /// These and those.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `flags` are set.
    #[must_use]
    pub const fn has(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }
}

/// A variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Whose it is.
    pub vendor: Guid,
    /// Who may see it, and how long.
    pub attributes: Attributes,
    /// Its value.
    pub data: Vec<u8>,
}

/// Some variables, each name of a vendor's once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variables(pub Vec<Variable>);

impl Variables {
    /// The variable of this name.
    #[must_use]
    pub fn find(&self, name: &str, vendor: Guid) -> Option<&Variable> {
        self.0.iter().find(|variable| variable.name == name && variable.vendor == vendor)
    }

    /// Its value, or nothing.
    #[must_use]
    pub fn value(&self, name: &str, vendor: Guid) -> Option<&[u8]> {
        self.find(name, vendor).map(|variable| variable.data.as_slice())
    }
}
