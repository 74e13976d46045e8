//! Builds tiny PE images, good ones and bad ones.

/// An image to be built. Every number can be set to something wrong before [`Pe::build`].
pub(crate) struct Pe {
    pub(crate) mz: [u8; 2],
    pub(crate) pe_at: u32,
    pub(crate) pe: [u8; 4],
    pub(crate) machine: u16,
    pub(crate) magic: u16,
    pub(crate) optional_header_size: u16,
    /// Instead of the number of rows.
    pub(crate) count: Option<u16>,
    /// By default where Xen is linked to run.
    pub(crate) image_base: u64,
    pub(crate) image_size: u32,
    pub(crate) headers_size: u32,
    pub(crate) section_alignment: u32,
    pub(crate) file_alignment: u32,
    /// How many data directories there are.
    pub(crate) directories: u32,
    pub(crate) rows: Vec<Row>,
    pub(crate) data: Vec<u8>,
}

/// A row of the table of sections.
pub(crate) struct Row {
    pub(crate) name: [u8; 8],
    pub(crate) virtual_size: u32,
    pub(crate) virtual_address: u32,
    pub(crate) raw_size: u32,
    pub(crate) raw_at: u32,
    pub(crate) characteristics: u32,
}

pub(crate) const PE_AT: u32 = 0x40;
pub(crate) const HEADERS: u32 = 0x200;
pub(crate) const OPTIONAL: u16 = 240;
/// Where the table of sections begins.
pub(crate) const TABLE: u32 = PE_AT + 24 + OPTIONAL as u32;
pub(crate) const ROW: u32 = 40;

impl Pe {
    /// An image without sections.
    pub(crate) fn new() -> Self {
        Self {
            mz: *b"MZ",
            pe_at: PE_AT,
            pe: *b"PE\0\0",
            machine: 0x8664,
            magic: 0x20b,
            optional_header_size: OPTIONAL,
            count: None,
            image_base: 0xffff_82d0_4000_0000,
            image_size: 0x10000,
            headers_size: HEADERS,
            section_alignment: 0x1000,
            file_alignment: 0x20,
            directories: 16,
            rows: Vec::new(),
            data: Vec::new(),
        }
    }

    /// With one more section of these bytes, as a linker with a file alignment of 0x20 adds it.
    pub(crate) fn with(mut self, name: &str, bytes: &[u8]) -> Self {
        let number = u32::try_from(self.rows.len()).unwrap() + 1;
        let mut data = bytes.to_vec();
        data.resize(data.len().next_multiple_of(0x20), 0xee);
        self.rows.push(Row {
            name: name_of(name),
            virtual_size: u32::try_from(bytes.len()).unwrap(),
            virtual_address: number * 0x1000,
            raw_size: u32::try_from(data.len()).unwrap(),
            raw_at: HEADERS + u32::try_from(self.data.len()).unwrap(),
            characteristics: 0x4000_0040,
        });
        self.data.extend(data);
        self
    }

    /// With the row changed.
    pub(crate) fn row(mut self, number: usize, change: impl FnOnce(&mut Row)) -> Self {
        change(&mut self.rows[number]);
        self
    }

    /// With any number changed.
    pub(crate) fn but(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    pub(crate) fn build(&self) -> Vec<u8> {
        let mut file = Vec::new();
        file.extend(self.mz);
        file.resize(0x3c, 0);
        file.extend(self.pe_at.to_le_bytes());
        file.resize(usize::try_from(PE_AT).unwrap(), 0);
        file.extend(self.pe);
        file.extend(self.machine.to_le_bytes());
        let count = u16::try_from(self.rows.len()).unwrap();
        file.extend(self.count.unwrap_or(count).to_le_bytes());
        file.extend([0; 12]);
        file.extend(self.optional_header_size.to_le_bytes());
        file.extend([0x26, 0]);
        let optional = file.len();
        file.extend(self.magic.to_le_bytes());
        file.resize(optional + 24, 0);
        file.extend(self.image_base.to_le_bytes());
        file.extend(self.section_alignment.to_le_bytes());
        file.extend(self.file_alignment.to_le_bytes());
        file.resize(optional + 56, 0);
        file.extend(self.image_size.to_le_bytes());
        file.extend(self.headers_size.to_le_bytes());
        file.resize(optional + 108, 0);
        file.extend(self.directories.to_le_bytes());
        file.resize(optional + usize::from(OPTIONAL), 0);
        for row in &self.rows {
            file.extend(row.name);
            for number in [row.virtual_size, row.virtual_address, row.raw_size, row.raw_at, 0, 0, 0] {
                file.extend(number.to_le_bytes());
            }
            file.extend(row.characteristics.to_le_bytes());
        }
        let headers = usize::try_from(HEADERS).unwrap();
        if file.len() < headers {
            file.resize(headers, 0);
        }
        file.extend(&self.data);
        file
    }
}

pub(crate) fn name_of(name: &str) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    bytes
}
