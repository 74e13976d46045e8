//! Xen's own configuration file, `xen.cfg` beside `xen.efi` or the section `.config` in it, read as Xen 4.20 reads
//! it (`pre_parse`, `get_value`, `split_string` and `efi_start` in `xen/common/efi/boot.c`, and
//! `xen/arch/x86/efi/efi-boot.h`).
//!
//! **Lines.** Every control byte (0 to 31, 127) ends a line: a tab too, and a NUL. White space at the start of a
//! line does not count; for Xen the byte 0xa0 is white space. `#` begins a comment anywhere, `;` only at the start
//! of a line, and a comment goes on to the next control byte, which may be a tab.
//!
//! **Values.** `key=value`: nothing may stand between the key and `=`, case matters, white space before the value
//! does not count and white space after it is part of it, so `default=xen # mine` names the section `xen ` with
//! the space. The first one wins.
//!
//! **Sections.** `[name]`, and what follows the `]` does not matter. Only the first section of a name counts: the
//! next line that begins with `[` ends the search. Without a name of a section, headers do not matter and the
//! first `key=` in the whole text counts.
//!
//! **Which section.** The word that the boot entry gives, or `default=` in `[global]`, or none. No other section
//! takes the place of a missing one: its options are gone, and so are its kernel's arguments. Only `video=` and
//! `ucode=` are looked for in `[global]` too.
//!
//! **`chain=`** in `[global]` counts only where the section has no `kernel=`. Then the named file takes the place
//! of this text as a whole, and the name of the section stays: `default=` of the second file is not read.
//!
//! **The kernel's arguments.** Xen cuts the line `kernel=` after the file's name by writing a NUL into the text.
//! For the keys that it looks up later (`ramdisk`, `xsm`, `options`, `video`, `ucode`) the arguments are a line of
//! their own: `kernel=vmlinuz options=x` sets `options`, and an argument that begins with `[` is a header.

use core::ops::Range;

use crate::located::Places;
use crate::{Located, Problem};

/// A configuration file.
#[derive(Clone, Copy, Debug)]
pub struct Config<'a> {
    text: &'a [u8],
}

/// What Xen takes from a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection<'a> {
    /// The name of the section; `None`: there is no name, and values count wherever they stand.
    pub section: Option<Vec<u8>>,
    /// `default=` of this text, if it was asked and said something.
    pub default: Option<Located<'a>>,
    /// The name in the header of the section; `None` if no such section stands in this text.
    pub header: Option<Located<'a>>,
    /// Where `[global]` of this text says `chain=`. If it is followed, all values below are `None`: Xen takes them
    /// from the other file.
    pub chain: Option<Chain<'a>>,
    /// `kernel=`.
    pub kernel: Option<KernelLine<'a>>,
    /// `ramdisk=`, up to the end of the line.
    pub ramdisk: Option<Located<'a>>,
    /// `xsm=`, up to the end of the line.
    pub xsm: Option<Located<'a>>,
    /// `options=`: Xen's command line.
    pub options: Option<Located<'a>>,
    /// `video=` of the section, else of `[global]`.
    pub video: Option<Located<'a>>,
    /// `ucode=` of the section, else of `[global]`; the file's name alone.
    pub ucode: Option<Located<'a>>,
}

/// The line `kernel=`, which is cut at its first white space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelLine<'a> {
    /// The file. It is not read where the image has a section `.kernel`; the arguments count all the same.
    pub file: Located<'a>,
    /// What follows the white space byte after the file's name; `None` where there is no such byte.
    pub arguments: Option<Located<'a>>,
}

/// `chain=` in `[global]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain<'a> {
    /// The file, its name up to the end of the line. As all files it is looked for from the directory of xen.efi,
    /// not of this file, with `\` between the parts of its name. If it is missing, Xen stops.
    pub file: Located<'a>,
    /// Xen reads it now. Ask it with [`Config::select_chained`] and the section of this [`Selection`].
    pub followed: bool,
    /// The name of the section came from this very text, whose memory Xen gives back to the firmware before it
    /// reads the other file, while it goes on using the name: what it looks for then cannot be told from the
    /// files. Only a `.config` section that ends in a control byte is not given back.
    pub section_lost: bool,
}

/// Something that Xen reads, but perhaps not as its author meant it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remark<'a> {
    /// The text that it is about.
    pub at: Located<'a>,
    /// What it is.
    pub kind: RemarkKind,
}

/// See [`Remark`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemarkKind {
    /// A control byte, a tab for example, stands before this text, and so it is a line of its own, even where it
    /// looks like the rest of a value or of a comment.
    LineOfItsOwn,
    /// No control byte ends this last line. Xen 4.17 reads on behind the end of the text.
    LineWithoutEnd,
}

impl<'a> Config<'a> {
    /// Reads a configuration file and refuses what nobody can mean: byte-order marks, UTF-16, and NUL bytes with
    /// text after them. NUL bytes at the very end are padding.
    ///
    /// For what stands before the problem, read the text up to [`Problem::offset`].
    pub fn read(text: &'a [u8]) -> Result<Self, Problem> {
        match misread(text) {
            Some((offset, message)) => Err(Problem::new(text, offset, message)),
            None => Ok(Self { text }),
        }
    }

    /// Takes any bytes at all and reads them as Xen would.
    #[must_use]
    pub const fn as_xen(text: &'a [u8]) -> Self {
        Self { text }
    }

    /// What Xen takes from this text if it is the first one it reads. `argument` is the section that the boot entry
    /// names, if it names one.
    #[must_use]
    pub fn select(&self, argument: Option<&[u8]>) -> Selection<'a> {
        match argument {
            Some(argument) => self.select_from(Some(argument), None),
            None => {
                let default = self.value(Some(b"global"), b"default");
                self.select_from(default.map(|default| default.text), default)
            }
        }
    }

    /// What Xen takes from this text if `chain=` of another one led here. `section` is
    /// [`Selection::section`] of that one.
    #[must_use]
    pub fn select_chained(&self, section: Option<&[u8]>) -> Selection<'a> {
        self.select_from(section, None)
    }

    /// The names in all headers, in order; of equal ones only the first counts.
    pub fn sections(&self) -> impl Iterator<Item = Located<'a>> + use<'a> {
        let text = self.text;
        let mut places = Places::new(text);
        Lines::new(text, None).filter_map(move |line| {
            let name = text.get(line.clone()).unwrap_or_default().strip_prefix(b"[")?;
            let len = name.iter().position(|&byte| byte == b']')?;
            Some(places.locate(line).tail(1).head(len))
        })
    }

    /// What Xen reads differently from how it looks.
    pub fn remarks(&self) -> impl Iterator<Item = Remark<'a>> + use<'a> {
        let text = self.text;
        let mut seen = 0;
        let mut places = Places::new(text);
        Lines::new(text, None).flat_map(move |line| {
            let gap = text.get(seen..line.start).unwrap_or_default();
            let (rest, same_line) = match gap.iter().rposition(|&byte| matches!(byte, b'\n' | b'\r' | 0)) {
                Some(at) => (gap.get(at..).unwrap_or_default(), false),
                None => (gap, seen > 0),
            };
            // What is left in the gap, but for white space, is a comment.
            let own = same_line || rest.iter().any(|&byte| !is_control(byte) && !is_space(byte));
            seen = line.end;
            let open = seen == text.len();
            let at = (own || open).then(|| places.locate(line));
            let remark = |kind| at.map(|at| Remark { at, kind });
            let own = own.then(|| remark(RemarkKind::LineOfItsOwn)).flatten();
            own.into_iter().chain(open.then(|| remark(RemarkKind::LineWithoutEnd)).flatten())
        })
    }

    fn select_from(&self, section: Option<&[u8]>, default: Option<Located<'a>>) -> Selection<'a> {
        // An empty name is no name, and a name ends at a NUL.
        let section =
            section.and_then(|name| name.split(|&byte| byte == 0).next()).filter(|name| !name.is_empty());
        let kernel = self.value(section, b"kernel");
        let chain = self.value(Some(b"global"), b"chain").map(|file| Chain {
            file,
            followed: kernel.is_none(),
            section_lost: kernel.is_none() && default.is_some() && section.is_some(),
        });
        let mut selection = Selection {
            section: section.map(<[u8]>::to_vec),
            default,
            header: section.and_then(|section| self.header(section)),
            chain,
            kernel: None,
            ramdisk: None,
            xsm: None,
            options: None,
            video: None,
            ucode: None,
        };
        if chain.is_some_and(|chain| chain.followed) {
            return selection;
        }
        let kernel = kernel.map(split);
        let cut = kernel.and_then(|(file, arguments)| arguments.is_some().then(|| end_of(&file)));
        let value = |section, key| find(self.text, cut, section, key);
        selection.kernel = kernel.map(|(file, arguments)| KernelLine { file, arguments });
        selection.ramdisk = value(section, b"ramdisk");
        selection.xsm = value(section, b"xsm");
        selection.options = value(section, b"options");
        selection.video = value(section, b"video").or_else(|| value(Some(b"global"), b"video"));
        selection.ucode =
            value(section, b"ucode").or_else(|| value(Some(b"global"), b"ucode")).map(|line| split(line).0);
        selection
    }

    fn value(&self, section: Option<&[u8]>, key: &[u8]) -> Option<Located<'a>> {
        find(self.text, None, section, key)
    }

    fn header(&self, section: &[u8]) -> Option<Located<'a>> {
        let line = Lines::new(self.text, None).find(|line| {
            let line = self.text.get(line.clone()).unwrap_or_default();
            line.strip_prefix(b"[").is_some_and(|rest| names(rest, section))
        })?;
        Some(Located::new(self.text, line).tail(1).head(section.len()))
    }
}

impl Selection<'_> {
    /// The command line that Xen 4.20 makes of this: its options, a space, and the text after `--` in the boot
    /// entry. Either part is left out, and the space with it, where it is empty.
    #[must_use]
    pub fn command_line(&self, boot_entry: &[u8]) -> Vec<u8> {
        let options = self.options.map_or(&[] as &[u8], |options| options.text);
        let parts = [options, boot_entry];
        let parts: Vec<&[u8]> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        parts.join(&b' ')
    }
}

/// The first `key=` of the section, or of the whole text.
///
/// `cut` is where Xen has written a NUL into the text.
fn find<'a>(text: &'a [u8], cut: Option<usize>, section: Option<&[u8]>, key: &[u8]) -> Option<Located<'a>> {
    let mut inside = section.is_none();
    for range in Lines::new(text, cut) {
        let line = text.get(range.clone()).unwrap_or_default();
        match (line.strip_prefix(b"["), section) {
            (Some(_), Some(_)) if inside => return None,
            (Some(rest), Some(section)) => inside = names(rest, section),
            (Some(_), None) => {}
            (None, _) if inside => {
                let value = line.strip_prefix(key).and_then(|rest| rest.strip_prefix(b"="));
                if let Some(value) = value {
                    let blank = value.iter().take_while(|&&byte| is_space(byte)).count();
                    let start = range.end.saturating_sub(value.len()).saturating_add(blank);
                    return Some(Located::new(text, start..range.end));
                }
            }
            (None, _) => {}
        }
    }
    None
}

/// Whether a header, its `[` taken off, names the section.
fn names(header: &[u8], section: &[u8]) -> bool {
    header.strip_prefix(section).is_some_and(|rest| rest.first() == Some(&b']'))
}

/// Cuts at the first white space byte, and takes that byte away.
fn split(value: Located<'_>) -> (Located<'_>, Option<Located<'_>>) {
    match value.text.iter().position(|&byte| is_space(byte)) {
        Some(at) => (value.head(at), Some(value.tail(at.saturating_add(1)))),
        None => (value, None),
    }
}

fn end_of(piece: &Located<'_>) -> usize {
    piece.offset.saturating_add(piece.text.len())
}

/// The lines that hold something, without what stands before and without comments.
struct Lines<'a> {
    text: &'a [u8],
    at: usize,
    cut: Option<usize>,
    /// The second half of the line that was cut.
    behind_cut: Option<Range<usize>>,
}

impl<'a> Lines<'a> {
    fn new(text: &'a [u8], cut: Option<usize>) -> Self {
        Self { text, at: 0, cut, behind_cut: None }
    }

    /// Goes on to the first byte that is wanted, or to the end.
    fn skip_to(&mut self, wanted: impl Fn(u8) -> bool) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let len = rest.iter().position(|&byte| wanted(byte)).unwrap_or(rest.len());
        self.at = self.at.saturating_add(len);
    }
}

impl Iterator for Lines<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        if let Some(line) = self.behind_cut.take() {
            return Some(line);
        }
        loop {
            self.skip_to(|byte| !is_control(byte) && !is_space(byte));
            let start = self.at;
            let first = *self.text.get(start)?;
            let comment = matches!(first, b'#' | b';');
            if !comment {
                self.skip_to(|byte| is_control(byte) || byte == b'#');
            }
            let end = self.at;
            self.skip_to(is_control);
            if comment {
                continue;
            }
            if let Some(cut) = self.cut.take_if(|cut| (start..end).contains(cut)) {
                let behind = cut.saturating_add(1)..end;
                self.behind_cut = (!behind.is_empty()).then_some(behind);
                return Some(start..cut);
            }
            return Some(start..end);
        }
    }
}

/// `iscntrl` in Xen.
fn is_control(byte: u8) -> bool {
    byte.is_ascii_control()
}

/// `isspace` in Xen, which takes text for Latin-1.
fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t'..=b'\r' | b' ' | 0xa0)
}

/// Where and why a text is not what it seems.
fn misread(text: &[u8]) -> Option<(usize, &'static str)> {
    const UTF_16: &str = "this is UTF-16; for Xen every character is a line of its own, and it finds nothing";
    match text {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => return Some((0, UTF_16)),
        [0xef, 0xbb, 0xbf, ..] => {
            let message = "a UTF-8 byte-order mark; Xen takes it for text and does not understand the first line";
            return Some((0, message));
        }
        // Without a mark, but every other byte is NUL.
        [0, 1..=255, 0, 1..=255, ..] | [1..=255, 0, 1..=255, 0, ..] => return Some((0, UTF_16)),
        _ => {}
    }
    let nul = text.iter().position(|&byte| byte == 0)?;
    let padding = text.get(nul..).unwrap_or_default().iter().all(|&byte| byte == 0);
    (!padding).then_some((nul, "a NUL byte; Xen takes it for the end of the line and reads on behind it"))
}
