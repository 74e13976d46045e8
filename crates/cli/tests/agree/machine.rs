//! What a machine with a locked Xen said.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, ensure};
use lockdown_lab::hypervisor::{self, Settings, Tree};
use lockdown_lab::image::Parts;
use lockdown_lab::lab::{Lab, OTHER_PROGRAM, Scenario, Xen};
use lockdown_lab::machine::Dom0;
use lockdown_lab::plan::{Plan, Step};
use lockdown_lab::{guest, prove};
use serde_json::Value;

use crate::cases::{Case, Until};
use crate::desk::{Refused, linux_words, printed};

#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) refused: Vec<Refused>,
    pub(crate) lost: usize,
    pub(crate) level: Option<String>,
    pub(crate) xen: Option<String>,
    pub(crate) dom0: Option<Vec<String>>,
    /// What `xen-lockdown status --format json` said in dom0.
    pub(crate) status: Option<Value>,
    pub(crate) end: String,
}

/// What is built in, the configuration, and whether the initramfs tells.
type Contents = (&'static str, String, bool);

pub(crate) struct Machines<'a> {
    lab: &'a Lab,
    /// Locked Xens by what is built into them.
    xens: BTreeMap<&'static str, Xen>,
    ramdisk: Vec<u8>,
    /// One that tells.
    telling: Vec<u8>,
    /// Signed images by what is in them.
    images: Mutex<BTreeMap<Contents, Arc<Vec<u8>>>>,
}

impl<'a> Machines<'a> {
    /// Makes ready what `cases` need.
    pub(crate) fn new(lab: &'a Lab, cases: &[Case]) -> Result<Self> {
        let mut xens = BTreeMap::new();
        for case in cases {
            if !xens.contains_key(case.builtin) {
                xens.insert(case.builtin, built_with(lab, case.builtin)?);
            }
        }
        let telling = if cases.iter().any(|case| case.until == Until::Told) { telling(lab)? } else { Vec::new() };
        Ok(Self { lab, xens, ramdisk: lab.small_initramfs(&lab.stock)?, telling, images: Mutex::default() })
    }

    pub(crate) fn boot(&self, case: &Case) -> Result<Seen> {
        let mut scenario = Scenario::new(&case.name, Dom0::Pv, self.image(case)?.to_vec());
        scenario.secure_boot = case.secure_boot;
        scenario.options = format!("xen.efi -- {}", case.runtime);
        scenario.stop_at.extend(case.until.last_words().map(str::to_owned));
        let boot = self.lab.boot(&scenario)?;
        let lines = || boot.lines.iter().map(|heard| heard.text.as_str());
        let xens = || lines().filter(|line| line.starts_with("(XEN) "));
        let lost = xens().find_map(|line| {
            line.split_once("lockdown: refused ")?.1.strip_suffix(" more, for which there is no room")
        });
        let level = xens().find_map(|line| Some(line.split_once("lockdown: locked (")?.1.split_once(") by ")?.0));
        let xen = xens().find_map(|line| Some(line.split_once("Command line: ")?.1));
        let dom0 = lines()
            .filter(|line| !line.starts_with("(XEN) "))
            .find_map(|line| Some(line.split_once("] Command line: ")?.1));
        // Xen's parser really had the built-in text.
        let stamped = xens().any(|line| line.starts_with("(XEN) [") && line.contains("] Command line: "));
        ensure!(stamped == case.builtin.contains("console_timestamps="), "what is built in did not count");
        let told: Vec<&str> = lines().filter_map(|line| Some(line.split_once("@say ")?.1)).collect();
        let (status, dom0) = match told.split_last() {
            Some((line, status)) => (Some(serde_json::from_str(&status.join("\n"))?), Some(*line)),
            None => (None, dom0),
        };
        Ok(Seen {
            refused: xens().filter_map(refusal).collect(),
            lost: lost.map_or(Ok(0), str::parse).context("how many more were refused")?,
            level: level.map(str::to_owned),
            xen: xen.map(printed),
            dom0: dom0.map(linux_words),
            status,
            end: format!("{:?}", boot.end),
        })
    }

    fn image(&self, case: &Case) -> Result<Arc<Vec<u8>>> {
        let key = (case.builtin, case.config(), case.until == Until::Told);
        if let Some(image) = self.images.lock().unwrap().get(&key) {
            return Ok(Arc::clone(image));
        }
        let xen = self.xens.get(case.builtin).context("a Xen that was not built")?;
        let parts = Parts {
            config: Some(key.1.clone()),
            kernel: Some(self.lab.kernel.clone()),
            ramdisk: Some(if key.2 { self.telling.clone() } else { self.ramdisk.clone() }),
            ..Parts::default()
        };
        let image = Arc::new(self.lab.signed(&self.lab.unified(xen, &parts)?, &self.lab.keys.trusted)?.bytes);
        self.images.lock().unwrap().insert(key, Arc::clone(&image));
        Ok(image)
    }
}

/// Debian's Xen with lockdown, and with `text` built in.
fn built_with(lab: &Lab, text: &str) -> Result<Xen> {
    if text.is_empty() {
        return prove::hypervisor(lab, "locked-xen", &|_| {});
    }
    let folder = lab.root.folder().parent().context("the root has no parent folder")?;
    let tree = Tree::open(&hypervisor::debian_tree(folder, &|_| {})?)?;
    // Xen takes no built-in text from whom it does not take for an expert.
    let lines = vec!["CONFIG_EXPERT=y".to_owned(), format!("CONFIG_CMDLINE=\"{text}\"")];
    let settings = Settings { lines, ..Settings::default() };
    let built = hypervisor::build_tree(&lab.root, folder, &tree, &settings, &|_| {})?;
    Ok(Xen { name: "locked-xen", image: std::fs::read(&built.efi)?, guard: None })
}

/// An initramfs that tells what the command says of the host, and the whole of the kernel's line.
fn telling(lab: &Lab) -> Result<Vec<u8>> {
    let folder = lab.root.folder().parent().context("the root has no parent folder")?;
    let command = guest::build_command(&prove::project(), folder, &|_| {})?;
    let inside = "/lab/xen-lockdown";
    let step = |arguments: &[&str]| Step {
        id: arguments.join(" "),
        program: OTHER_PROGRAM.to_owned(),
        arguments: arguments.iter().map(|word| (*word).to_owned()).collect(),
        timeout_s: 60,
    };
    let steps =
        vec![step(&["say", "run", inside, "status", "--format", "json"]), step(&["say", "file", "/proc/cmdline"])];
    let plan = Plan { daemons: Vec::new(), ..Plan::new(steps) };
    lab.initramfs(&plan, &[(inside.to_owned(), std::fs::read(command)?)])
}

impl Until {
    /// What is said right behind what is waited for, so that all of it was heard.
    fn last_words(self) -> Option<&'static str> {
        match self {
            Self::Xen(_) => Some("image load base address"),
            Self::Dom0 => Some("] Kernel command line: "),
            Self::Told => None,
        }
    }
}

/// `lockdown: refused "TOKEN" (SEGMENT): REASON: TEXT`, with `, for dom0` behind the segment.
fn refusal(line: &str) -> Option<Refused> {
    let rest = line.split_once("lockdown: refused \"")?.1;
    let (text, rest) = rest.split_once("\" (")?;
    let (segment, rest) = rest.split_once("): ")?;
    let reason = rest.split(':').next()?.to_owned();
    let (segment, dom0) = match segment.strip_suffix(", for dom0") {
        Some(segment) => (segment, true),
        None => (segment, false),
    };
    Some(Refused { text: text.to_owned(), segment: segment.to_owned(), dom0, reason })
}

#[test]
fn a_refusal_in_xens_log_is_read() {
    let line = "(XEN) lockdown: refused \"com1=115200,8n1,0x100000\" (runtime): io-address: names an address";
    let refused = refusal(line).unwrap();
    assert_eq!((refused.text.as_str(), refused.segment.as_str()), ("com1=115200,8n1,0x100000", "runtime"));
    assert_eq!((refused.dom0, refused.reason.as_str()), (false, "io-address"));
    assert!(refusal("(XEN) lockdown: refused \"a\" (signed, for dom0): x: y").unwrap().dom0);
    assert_eq!(refusal("(XEN) lockdown: on"), None);
}
