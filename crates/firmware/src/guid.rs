//! GUIDs, and those that are known here.

use core::fmt;

/// A GUID as it lies in memory (UEFI specification, appendix A).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guid(pub [u8; 16]);

impl Guid {
    /// `EFI_GLOBAL_VARIABLE`: PK, KEK, the boot entries.
    pub const GLOBAL: Self = new(0x8be4_df61, 0x93ca, 0x11d2, [0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c]);
    /// `EFI_IMAGE_SECURITY_DATABASE`: db and dbx.
    pub const SECURITY: Self = new(0xd719_b2cb, 0x3d3a, 0x4596, [0xa3, 0xbc, 0xda, 0xd0, 0x0e, 0x67, 0x65, 0x6f]);
    /// EDK2's own switch for Secure Boot, `SecureBootEnable`.
    pub const SECURE_BOOT_ENABLE: Self =
        new(0xf0a3_0bc7, 0xaf08, 0x4556, [0x99, 0xc4, 0x00, 0x10, 0x09, 0xc9, 0x3a, 0x44]);
    /// shim's own variables.
    pub const SHIM: Self = new(0x605d_ab50, 0xe046, 0x4300, [0xab, 0xb6, 0x3d, 0xd8, 0x10, 0xdd, 0x8b, 0x23]);

    /// `EFI_CERT_X509`: a certificate.
    pub const CERT_X509: Self = new(0xa5c0_59a1, 0x94e4, 0x4aa7, [0x87, 0xb5, 0xab, 0x15, 0x5c, 0x2b, 0xf0, 0x72]);
    /// `EFI_CERT_SHA256`: the digest of an image.
    pub const CERT_SHA256: Self =
        new(0xc1c4_1626, 0x504c, 0x4092, [0xac, 0xa9, 0x41, 0xf9, 0x36, 0x93, 0x43, 0x28]);
    /// `EFI_CERT_SHA384`.
    pub const CERT_SHA384: Self =
        new(0xff3e_5307, 0x9fd0, 0x48c9, [0x85, 0xf1, 0x8a, 0xd5, 0x6c, 0x70, 0x1e, 0x01]);
    /// `EFI_CERT_SHA512`.
    pub const CERT_SHA512: Self =
        new(0x093e_0fae, 0xa6c4, 0x4f50, [0x9f, 0x1b, 0xd4, 0x1e, 0x2b, 0x89, 0xc1, 0x9a]);
    /// `EFI_CERT_X509_SHA256`: the digest of what is signed in a certificate, and since when it is revoked.
    pub const CERT_X509_SHA256: Self =
        new(0x3bd2_a492, 0x96c0, 0x4079, [0xb4, 0x20, 0xfc, 0xf9, 0x8e, 0xf1, 0x03, 0xed]);
    /// `EFI_CERT_X509_SHA384`.
    pub const CERT_X509_SHA384: Self =
        new(0x7076_876e, 0x80c2, 0x4ee6, [0xaa, 0xd2, 0x28, 0xb3, 0x49, 0xa6, 0x86, 0x5b]);
    /// `EFI_CERT_X509_SHA512`.
    pub const CERT_X509_SHA512: Self =
        new(0x446d_bf63, 0x2502, 0x4cda, [0xbc, 0xfa, 0x24, 0x65, 0xd2, 0xb0, 0xfe, 0x9d]);
    /// `EFI_CERT_TYPE_PKCS7`: how the writer of an authenticated variable signs.
    pub const CERT_PKCS7: Self =
        new(0x4aaf_d29d, 0x68df, 0x49ee, [0x8a, 0xa9, 0x34, 0x7d, 0x37, 0x56, 0x65, 0xa7]);
}

const fn new(first: u32, second: u16, third: u16, rest: [u8; 8]) -> Guid {
    let (a, b, c, d) = (first.to_le_bytes(), second.to_le_bytes(), third.to_le_bytes(), rest);
    Guid([a[0], a[1], a[2], a[3], b[0], b[1], c[0], c[1], d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7]])
}

/// As efivarfs writes it: `8be4df61-93ca-11d2-aa0d-00e098032b8c`.
impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g, h, i, rest @ ..] = self.0;
        write!(f, "{:08x}-", u32::from_le_bytes([a, b, c, d]))?;
        write!(f, "{:04x}-{:04x}-", u16::from_le_bytes([e, g]), u16::from_le_bytes([h, i]))?;
        let [first, second, rest @ ..] = rest;
        write!(f, "{first:02x}{second:02x}-")?;
        rest.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guids_are_stored_as_firmware_stores_them_and_shown_as_linux_shows_them() {
        assert_eq!(Guid::GLOBAL.0.first_chunk(), Some(&[0x61, 0xdf, 0xe4, 0x8b, 0xca, 0x93, 0xd2, 0x11]));
        assert_eq!(Guid::GLOBAL.to_string(), "8be4df61-93ca-11d2-aa0d-00e098032b8c");
    }
}
