//! The file as GRUB's line reader hands it to the script lexer, with the way back to the file.

/// The text without carriage returns, without what follows a NUL on its line, and ending in a
/// newline (grub_file_getline in grub-core/normal/main.c, 2.12).
pub(super) struct Source {
    text: Vec<u8>,
    removed: Vec<Removed>,
    lines: Vec<usize>,
    nuls: Vec<usize>,
}

/// `total` bytes of the file were left out up to the offset `at` of the text.
struct Removed {
    at: usize,
    total: usize,
}

impl Source {
    pub(super) fn new(file: &[u8]) -> Self {
        let mut source = Self {
            text: Vec::with_capacity(file.len().saturating_add(1)),
            removed: Vec::new(),
            lines: vec![0],
            nuls: Vec::new(),
        };
        let mut ignoring = false;
        for &byte in file {
            match byte {
                b'\n' => {
                    ignoring = false;
                    source.text.push(byte);
                    source.lines.push(source.text.len());
                }
                _ if ignoring => source.leave_out(),
                b'\r' => source.leave_out(),
                0 => {
                    ignoring = true;
                    source.nuls.push(source.text.len());
                    source.leave_out();
                }
                _ => source.text.push(byte),
            }
        }
        if source.text.last() != Some(&b'\n') {
            source.text.push(b'\n');
        }
        source
    }

    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    pub(super) fn slice(&self, start: usize, end: usize) -> &[u8] {
        self.text.get(start..end).unwrap_or_default()
    }

    /// One offset for every line that holds a NUL.
    pub(super) fn nuls(&self) -> &[usize] {
        &self.nuls
    }

    /// Line and column of the file, both counted from 1, the column in bytes.
    pub(super) fn place(&self, offset: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|&start| start <= offset);
        let start = self.lines.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let before_line = self.left_out(self.removed.partition_point(|gap| gap.at < start));
        let before = self.left_out(self.removed.partition_point(|gap| gap.at <= offset));
        let column = offset.saturating_add(before).saturating_sub(start.saturating_add(before_line));
        (line, column.saturating_add(1))
    }

    fn left_out(&self, gaps: usize) -> usize {
        match gaps.checked_sub(1) {
            Some(last) => self.removed.get(last).map_or(0, |gap| gap.total),
            None => 0,
        }
    }

    fn leave_out(&mut self) {
        let at = self.text.len();
        let total = self.left_out(self.removed.len()).saturating_add(1);
        match self.removed.last_mut() {
            Some(gap) if gap.at == at => gap.total = total,
            _ => self.removed.push(Removed { at, total }),
        }
    }
}
