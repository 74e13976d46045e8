//! What an image is built of: what a file says, and above it what the command line says.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, ensure};
use serde::Deserialize;

use crate::arguments::ImageBuildArguments;
use crate::files;

/// All that is known, with the places of files as they are opened.
pub(super) struct Given {
    pub(super) xen: PathBuf,
    pub(super) config: PathBuf,
    pub(super) kernel: Option<PathBuf>,
    pub(super) ramdisk: Vec<PathBuf>,
    pub(super) xsm: Option<PathBuf>,
    pub(super) ucode: Option<PathBuf>,
    pub(super) sbat: Option<PathBuf>,
    pub(super) guard: Option<PathBuf>,
    pub(super) output: PathBuf,
    pub(super) format: String,
}

/// The file. A key that it does not know would be a part that is missing in the image.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    xen: Option<PathBuf>,
    config: Option<PathBuf>,
    kernel: Option<PathBuf>,
    #[serde(default)]
    ramdisk: Vec<PathBuf>,
    xsm: Option<PathBuf>,
    ucode: Option<PathBuf>,
    sbat: Option<PathBuf>,
    guard: Option<PathBuf>,
    output: Option<PathBuf>,
}

/// It has some lines.
const LONGEST: u64 = 1 << 20;

impl Given {
    pub(super) fn gather(arguments: &ImageBuildArguments) -> Result<Self> {
        let described = arguments.from.as_deref().map(Description::read).transpose()?.unwrap_or_default();
        let one = |flag: &Option<PathBuf>, key: Option<PathBuf>| flag.clone().or(key);
        let needed = |flag: &Option<PathBuf>, key: Option<PathBuf>, name: &str| {
            one(flag, key).with_context(|| {
                let file = arguments.from.as_deref().unwrap_or(Path::new("the file"));
                format!("{} says nothing of {name}: add it there, or give --{name}", file.display())
            })
        };
        let given = Self {
            xen: needed(&arguments.xen, described.xen, "xen")?,
            config: needed(&arguments.config, described.config, "config")?,
            kernel: one(&arguments.kernel, described.kernel),
            ramdisk: if arguments.ramdisk.is_empty() { described.ramdisk } else { arguments.ramdisk.clone() },
            xsm: one(&arguments.xsm, described.xsm),
            ucode: one(&arguments.ucode, described.ucode),
            sbat: one(&arguments.sbat, described.sbat),
            guard: one(&arguments.guard, described.guard),
            output: needed(&arguments.output, described.output, "output")?,
            format: arguments.format.clone(),
        };
        ensure!(
            given.guard.is_none() || !given.ramdisk.is_empty(),
            "the guard takes a ramdisk to go on with: give --ramdisk"
        );
        Ok(given)
    }
}

impl Description {
    fn read(path: &Path) -> Result<Self> {
        let text = files::read_text(path, LONGEST)?;
        let description: Self = toml::from_str(&text).map_err(|error| anyhow!("{}: {error}", path.display()))?;
        // Nothing for a name alone, so that names stay as they were written.
        Ok(description.beside(path.parent().unwrap_or(Path::new(""))))
    }

    /// With its files looked for in a folder.
    fn beside(self, folder: &Path) -> Self {
        let one = |file: Option<PathBuf>| file.map(|file| folder.join(file));
        Self {
            xen: one(self.xen),
            config: one(self.config),
            kernel: one(self.kernel),
            ramdisk: self.ramdisk.into_iter().map(|file| folder.join(file)).collect(),
            xsm: one(self.xsm),
            ucode: one(self.ucode),
            sbat: one(self.sbat),
            guard: one(self.guard),
            output: one(self.output),
        }
    }
}
