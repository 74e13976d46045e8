//! What is in an image: its headers, sections and signatures, the configuration, dom0's kernel and ramdisk, and what is to be said of them.
//!
//! Headers and the small parts are read; only with [`Depth::Hashes`] every byte. What is malformed is told where it is, and the rest all
//! the same.

use core::ops::Range;
use std::io;

use lockdown_bootconfig::xen_cfg::{Config, Selection};
use lockdown_image::sbat::{Mistake, Table};
use lockdown_image::verify::{Malformed, Signature};
use lockdown_image::{
    Characteristics, Digest, Error, HashFunction, HeaderFacts, Image, PKCS_SIGNED_DATA, Section, Source,
};

use crate::config::{self, Has};
use crate::finding::{Finding, Level};
use crate::guard::OPTIONS;
use crate::kernel::{self, Kernel};
use crate::lines;
use crate::ramdisk::{self, Ramdisk};

/// How much is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Headers and beginnings.
    Headers,
    /// All of it: sections are hashed, and the checksum is compared.
    Hashes,
}

/// Everything that is known of an image.
#[derive(Debug)]
pub struct Inspected {
    /// How long the file is.
    pub length: u64,
    /// Its headers.
    pub headers: HeaderFacts,
    /// Whether its checksum is right; `None` if it has none, or the file was not read for it.
    pub checksum_is_good: Option<bool>,
    /// Its sections, in the order of the table.
    pub sections: Vec<SectionFacts>,
    /// Its signatures, in the order of their table.
    pub signatures: Vec<SignatureFacts>,
    /// What no signature covers, where one were to be added.
    pub not_covered: Vec<Range<u64>>,
    /// `.config`.
    pub config: Option<ConfigFacts>,
    /// `.kernel`.
    pub kernel: Option<Kernel>,
    /// `.ramdisk`.
    pub ramdisk: Option<Ramdisk>,
    /// `.sbat`.
    pub sbat: Option<(Table, Vec<Mistake>)>,
    /// What is to be said, with the section that each is about; empty for the whole image.
    pub findings: Vec<(&'static str, Finding)>,
}

/// A section.
#[derive(Clone, Debug)]
pub struct SectionFacts {
    /// Its row.
    pub section: Section,
    /// Its whole name.
    pub name: String,
    /// The digest of what Xen sees of it in the file; only with [`Depth::Hashes`].
    pub digest: Option<Digest>,
}

/// A signature.
#[derive(Clone, Debug)]
pub struct SignatureFacts {
    /// Where it begins in the file.
    pub offset: u64,
    /// Its kind; 2 is Authenticode.
    pub kind: u16,
    /// What it says; `None` if it is of another kind, which firmware passes over.
    pub signature: Option<Result<Signature, Malformed>>,
}

/// A configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigFacts {
    /// `[global] default=`.
    pub default: Option<String>,
    /// Its sections beside `[global]`; of those with the same name the first, as Xen knows no other.
    pub sections: Vec<ConfigSection>,
    /// Xen's command line.
    pub xen_line: String,
    /// dom0's, without the kernel's name.
    pub dom0_line: String,
}

/// A section of a configuration: what Xen takes from it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigSection {
    /// Its name.
    pub name: String,
    /// `options=`.
    pub options: Option<String>,
    /// The file in `kernel=`.
    pub kernel: Option<String>,
    /// What follows it.
    pub arguments: Option<String>,
    /// `ramdisk=`.
    pub ramdisk: Option<String>,
    /// `xsm=`.
    pub xsm: Option<String>,
    /// `ucode=`.
    pub ucode: Option<String>,
}

/// More than any configuration has.
const LONGEST_CONFIG: u32 = 64 << 10;
/// Each is looked for in the whole text.
const MOST_CONFIG_SECTIONS: usize = 256;
/// Memory gets its rights by page.
const PAGE: u32 = 0x1000;
/// What readers that round as Windows does take for the least alignment in the file.
const SECTOR: u32 = 0x200;
/// What an EFI application is.
const EFI_APPLICATION: u16 = 10;

/// Looks at an image.
///
/// # Errors
/// If the headers cannot be read, or the file cannot.
pub fn inspect<S: Source>(image: &Image<S>, depth: Depth) -> Result<Inspected, Error> {
    let mut findings = Findings(Vec::new());
    let headers = image.header_facts()?;
    let names = image.section_names()?;
    let mut sections = Vec::new();
    for (section, name) in image.sections().iter().zip(names) {
        let hashes = depth == Depth::Hashes;
        let digest = hashes.then(|| image.section_digest(section, HashFunction::Sha256)).transpose()?;
        sections.push(SectionFacts { section: section.clone(), name, digest });
    }
    let checksum_is_good = match depth {
        Depth::Hashes if headers.checksum != 0 => Some(image.compute_checksum()? == headers.checksum),
        _ => None,
    };
    findings.headers(&headers, checksum_is_good);
    findings.sections(&sections);
    let signatures = findings.signatures(image)?;
    let not_covered = findings.coverage(image)?;

    let kernel = part(image, ".kernel", |source| kernel::look(source))?;
    let ramdisk = part(image, ".ramdisk", |source| ramdisk::look(source))?;
    let config = findings.config(image)?;
    findings.kernel(kernel.as_ref());
    findings.ramdisk(ramdisk.as_ref(), kernel.as_ref(), config.as_ref().map(|(text, _)| text.as_slice()));
    let sbat = image.sbat()?;
    findings.sbat(sbat.as_ref());
    Ok(Inspected {
        length: image.length()?,
        headers,
        checksum_is_good,
        sections,
        signatures,
        not_covered,
        config: config.map(|(_, facts)| facts),
        kernel,
        ramdisk,
        sbat,
        findings: findings.0,
    })
}

/// Looks at a section that Xen finds.
fn part<S: Source, T>(
    image: &Image<S>,
    name: &str,
    look: impl FnOnce(&dyn Source) -> io::Result<T>,
) -> Result<Option<T>, Error> {
    let Some(section) = image.find(name) else { return Ok(None) };
    let offset = section.file_range.start;
    look(&image.section_source(section)).map(Some).map_err(|source| Error::Io { offset, source })
}

struct Findings(Vec<(&'static str, Finding)>);

impl Findings {
    fn add(&mut self, section: &'static str, finding: Finding) {
        self.0.push((section, finding));
    }

    fn of_image(&mut self, id: &'static str, level: Level, message: impl Into<String>, advice: &str) {
        self.add("", Finding::of_file(id, level, message, advice));
    }

    fn headers(&mut self, headers: &HeaderFacts, checksum_is_good: Option<bool>) {
        if headers.subsystem != EFI_APPLICATION {
            self.of_image(
                "not-an-application",
                Level::Warning,
                format!("its subsystem is {}, and that of an EFI application is 10", headers.subsystem),
                "give Xen's image, xen.efi",
            );
        }
        if !headers.is_nx_compatible() {
            self.of_image(
                "not-nx-compatible",
                Level::Warning,
                "it does not say that it gets along with memory that is either written or executed (NX_COMPAT): firmware and shim that \
                 insist on that refuse it",
                "link it with --nxcompat once no section is both",
            );
        }
        if headers.section_alignment < PAGE {
            self.of_image(
                "section-alignment",
                Level::Warning,
                format!(
                    "sections are aligned to {:#x} bytes, and rights are given by pages of 0x1000",
                    headers.section_alignment
                ),
                "link it with --section-alignment=0x1000 or more",
            );
        }
        if headers.file_alignment < SECTOR {
            self.of_image(
                "file-alignment",
                Level::Note,
                format!(
                    "sections stand at multiples of {:#x} in the file: tools that round places down to 0x200, pefile among them, read wrong \
                     bytes",
                    headers.file_alignment
                ),
                "read it with something else; firmware, shim and Xen do not round",
            );
        }
        if checksum_is_good == Some(false) {
            self.of_image(
                "wrong-checksum",
                Level::Note,
                "the checksum in the headers is not that of the file",
                "no firmware looks at it; whoever signs it anew sets it",
            );
        }
    }

    fn sections(&mut self, sections: &[SectionFacts]) {
        let named = |wanted: &dyn Fn(&Section) -> bool| {
            let names = sections.iter().filter(|facts| wanted(&facts.section)).map(|facts| facts.name.as_str());
            names.collect::<Vec<_>>().join(", ")
        };
        let both = named(&|section| {
            section.characteristics.has(Characteristics::WRITE)
                && section.characteristics.has(Characteristics::EXECUTE)
        });
        if !both.is_empty() {
            self.of_image(
                "writable-and-executable",
                Level::Warning,
                format!("memory of {both} can be written and executed"),
                "firmware that sets rights by section would refuse it; only Xen's own build can part the two",
            );
        }
        let inside = named(&|section| section.virtual_address % PAGE != 0);
        if !inside.is_empty() {
            self.of_image(
                "page-shared",
                Level::Warning,
                format!("{inside} begin inside a page of 0x1000 bytes, and share it and its rights"),
                "only Xen's own build can align them",
            );
        }
        let reloc = sections.iter().find(|facts| facts.section.name.as_bytes() == b".reloc");
        if reloc.is_some_and(|facts| facts.section.characteristics.has(Characteristics::DISCARDABLE)) {
            self.of_image(
                "reloc-discardable",
                Level::Warning,
                "the section .reloc may be discarded: shim does not load it, and Xen, which reads it to move itself, does not come up \
                 behind shim",
                "build the image with xen-lockdown image build, which takes that mark away",
            );
        }
    }

    fn signatures<S: Source>(&mut self, image: &Image<S>) -> Result<Vec<SignatureFacts>, Error> {
        let table = match image.signatures() {
            Ok(table) => table,
            Err(Error::Malformed(problem)) => {
                self.of_image(
                    "broken-signatures",
                    Level::Error,
                    format!("the table of signatures cannot be read: {problem}"),
                    "sign it again, from an image that is not signed",
                );
                return Ok(Vec::new());
            }
            Err(error) => return Err(error),
        };
        let Some(table) = table else {
            self.of_image(
                "not-signed",
                Level::Note,
                "it is not signed: under Secure Boot nothing starts it",
                "sign it with xen-lockdown image sign",
            );
            return Ok(Vec::new());
        };
        if let Some(offset) = table.broken_at {
            self.of_image(
                "broken-signatures",
                Level::Error,
                format!("the table of signatures is damaged at {offset:#x}: firmware takes no signature of it"),
                "sign it again, from an image that is not signed",
            );
        }
        let mut signatures = Vec::new();
        for row in table.rows {
            let signature = (row.kind == PKCS_SIGNED_DATA).then(|| Signature::read(&row.data));
            match &signature {
                None => self.of_image(
                    "other-signature",
                    Level::Note,
                    format!(
                        "the row at {:#x} is of kind {:#06x}, which firmware passes over",
                        row.offset, row.kind
                    ),
                    "leave it, or sign the image again without it",
                ),
                Some(Err(error)) => self.of_image(
                    "malformed-signature",
                    Level::Warning,
                    format!("the signature at {:#x} cannot be read: {error}", row.offset),
                    "sign it again, from an image that is not signed",
                ),
                Some(Ok(_)) => {}
            }
            signatures.push(SignatureFacts { offset: row.offset, kind: row.kind, signature });
        }
        Ok(signatures)
    }

    fn coverage<S: Source>(&mut self, image: &Image<S>) -> Result<Vec<Range<u64>>, Error> {
        let free = match image.not_covered() {
            Ok(free) => free,
            // Told with the table of signatures.
            Err(Error::Malformed(_)) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        if !free.is_empty() {
            let shown = |range: &Range<u64>| format!("{:#x} to {:#x}", range.start, range.end);
            let first: Vec<_> = free.iter().take(4).map(shown).collect();
            let more = if free.len() > first.len() { " and more" } else { "" };
            self.of_image(
                "not-covered",
                Level::Error,
                format!(
                    "no signature covers the bytes from {}{more}: whoever has the file can change them",
                    first.join(", ")
                ),
                "build the image with xen-lockdown image build, which leaves no gap",
            );
        }
        Ok(free)
    }

    fn config<S: Source>(&mut self, image: &Image<S>) -> Result<Option<(Vec<u8>, ConfigFacts)>, Error> {
        const NAME: &str = ".config";
        let Some(section) = image.find(NAME) else {
            self.of_image(
                "no-config",
                Level::Note,
                "it has no section .config: it reads xen.cfg from the disk, and nothing covers that",
                "build one with xen-lockdown image build",
            );
            return Ok(None);
        };
        if section.virtual_size > LONGEST_CONFIG {
            let message = format!("the section has {} bytes, which no configuration has", section.virtual_size);
            self.add(NAME, Finding::of_file("config-long", Level::Error, message, "give Xen's configuration"));
            return Ok(None);
        }
        let mut text = image.contents(section)?.bytes;
        while text.last() == Some(&0) {
            text.pop();
        }
        if let Err(problem) = Config::read(&text) {
            let finding =
                Finding::of_file("config-unreadable", Level::Error, problem.message, "write it as plain text");
            self.add(NAME, Finding { line: problem.line, column: problem.column, ..finding });
        }
        if Config::as_xen(&text).sections().count() > MOST_CONFIG_SECTIONS {
            let message = format!("it has more than {MOST_CONFIG_SECTIONS} sections, which no configuration has");
            self.add(NAME, Finding::of_file("config-long", Level::Error, message, "give Xen's configuration"));
            return Ok(None);
        }
        let has = |name| image.find(name).is_some();
        let has = Has { kernel: has(".kernel"), ramdisk: has(".ramdisk"), xsm: has(".xsm"), ucode: has(".ucode") };
        let said = config::check(&text, has).into_iter().chain(lines::check(&text));
        for finding in said.collect::<Vec<_>>() {
            self.add(NAME, finding);
        }
        let facts = facts(&Config::as_xen(&text));
        Ok(Some((text, facts)))
    }

    fn kernel(&mut self, kernel: Option<&Kernel>) {
        if kernel.is_some_and(|kernel| kernel.format == "unknown") {
            let message = "it is no kernel that Xen can start: neither a bzImage nor ELF, plain or gzip";
            self.add(".kernel", Finding::of_file("wrong-kind", Level::Error, message, "give dom0's kernel"));
        }
    }

    fn ramdisk(&mut self, ramdisk: Option<&Ramdisk>, kernel: Option<&Kernel>, config: Option<&[u8]>) {
        const NAME: &str = ".ramdisk";
        let Some(ramdisk) = ramdisk else { return };
        if ramdisk.archives.first().is_none_or(|archive| archive.packing == "unknown") {
            let message = "it begins with no archive that Linux unpacks";
            self.add(NAME, Finding::of_file("wrong-kind", Level::Error, message, "give dom0's initramfs"));
        }
        let Some(guard) = &ramdisk.guard else {
            self.add(NAME, no_guard());
            return;
        };
        match &guard.module {
            Err(error) => {
                let message = format!("what stands in the guard's place is not the guard: {error}");
                self.add(
                    NAME,
                    Finding::of_file("wrong-kind", Level::Error, message, "give a signed xen-privcmd.ko"),
                );
            }
            Ok(Some(built_for)) => {
                if let Some(release) = kernel.and_then(Kernel::release).filter(|release| release != built_for) {
                    let message =
                        format!("the guard is built for Linux {built_for}, and dom0's kernel is {release}");
                    let advice =
                        "build the guard for this kernel; it would not be loaded, and the machine would go off";
                    self.add(NAME, Finding::of_file("guard-for-another-kernel", Level::Error, message, advice));
                }
            }
            Ok(None) => {}
        }
        if !guard.is_own_loader {
            let message = "the guard's process 1 is not the one that this xen-lockdown carries";
            let advice = "build the image again, unless it is another version's";
            self.add(NAME, Finding::of_file("other-loader", Level::Note, message, advice));
        }
        // What completes a configuration changes nothing that is complete.
        let starts = config.is_none_or(|text| config::complete(text).is_ok_and(|completed| completed == text));
        if !starts {
            let [(name, value), _] = OPTIONS;
            let message = format!(
                "the ramdisk has the guard, and not every line kernel= begins with {name}={value}, and what goes with it"
            );
            let advice = "build the image with --guard, which puts it there";
            self.add(".config", Finding::of_file("guard-not-started", Level::Error, message, advice));
        }
    }

    fn sbat(&mut self, sbat: Option<&(Table, Vec<Mistake>)>) {
        match sbat {
            None => self.add("", no_sbat()),
            Some((_, mistakes)) => {
                for mistake in mistakes {
                    self.add(".sbat", mistake.into());
                }
            }
        }
    }
}

/// What is said of an image without a table.
#[must_use]
pub fn no_sbat() -> Finding {
    Finding::of_file(
        "sbat-missing",
        Level::Warning,
        "the image has no section .sbat: it boots by itself, shim refuses it, and nothing but dbx can revoke it",
        "write a table with xen-lockdown sbat write, and give it to image build with --sbat",
    )
}

/// What is said of a ramdisk without the guard.
#[must_use]
pub fn no_guard() -> Finding {
    Finding::of_file(
        "no-guard",
        Level::Warning,
        "the ramdisk does not begin with the guard: root in dom0 reaches dom0's kernel through /dev/xen/privcmd",
        "give the guard, a signed xen-privcmd.ko, to image build with --guard",
    )
}

fn facts(config: &Config<'_>) -> ConfigFacts {
    let chosen = config.select(None);
    let (xen_line, dom0_line) = lines::of(&chosen);
    let mut sections: Vec<ConfigSection> = Vec::new();
    for name in config.sections().filter(|name| name.text != b"global") {
        let shown = shown(name.text);
        if !sections.iter().any(|section| section.name == shown) {
            sections.push(section(shown, &config.select(Some(name.text))));
        }
    }
    ConfigFacts { default: chosen.default.map(|default| shown(default.text)), sections, xen_line, dom0_line }
}

fn section(name: String, selection: &Selection<'_>) -> ConfigSection {
    ConfigSection {
        name,
        options: selection.options.map(|value| shown(value.text)),
        kernel: selection.kernel.map(|kernel| shown(kernel.file.text)),
        arguments: selection.kernel.and_then(|kernel| kernel.arguments).map(|value| shown(value.text)),
        ramdisk: selection.ramdisk.map(|value| shown(value.text)),
        xsm: selection.xsm.map(|value| shown(value.text)),
        ucode: selection.ucode.map(|value| shown(value.text)),
    }
}

fn shown(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}
