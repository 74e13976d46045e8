//! The Trixie root: everything foreign that the lab needs, in one folder.
//!
//! There are further ones, for what another kernel of Debian's is needed for ([`Contents`]).
//!
//! Made once by mmdebstrap, from the mirror and the keys of the machine's own apt, and kept by a hash of what it was
//! made from. It is made under another name and renamed, so that what has the right name is whole. Of an attempt that
//! was interrupted only the packages stay, for the next one.
//!
//! Programs inside it run in a mount namespace of their own: what is mounted for them is gone with them, however
//! they end. An ordinary user is root in a user namespace there, by its own identity: it reaches inside what it reaches
//! outside, and what root makes inside is its own.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail, ensure};
use fs4::FileExt;
use sha2::{Digest, Sha256};

/// The release of Debian that is made.
pub const RELEASE: &str = "trixie";

/// What is installed.
pub const PACKAGES: &[&str] = &[
    // What is attacked.
    "linux-image-amd64",
    "xen-hypervisor-4.20-amd64",
    "xen-utils-4.20",
    // The machine that it is attacked in.
    "grub-efi-amd64-bin",
    "grub-efi-amd64-signed",
    "grub-pc-bin",
    "ovmf",
    "qemu-system-x86",
    "shim-signed",
    // Keys and signatures.
    "openssl",
    "osslsigncode",
    "sbsigntool",
    // What later parts build Xen, dom0's driver and the guest's programs with.
    "bc",
    "binutils",
    "bison",
    "cargo",
    "checkpolicy",
    "coccinelle",
    "flex",
    "gcc",
    "kmod",
    "libc6-dev",
    "libelf-dev",
    "libxen-dev",
    "linux-headers-amd64",
    "make",
    "patch",
    "python3-minimal",
    "rust-src",
    "rustc",
    "xz-utils",
];

/// What a root is made for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Contents {
    /// The lab, with the release's own kernel
    #[default]
    Lab,
    /// The same with the newest kernel that Debian offers for the release, from its backports, and with what `modules` has
    Backports,
    /// What builds modules and kernels, with DKMS, for the release's own kernel; nothing boots from it
    Modules,
    /// What makes initramfs archives: initramfs-tools and dracut; nothing boots from it
    Initramfs,
}

/// dracut's own package would remove initramfs-tools; its core does not.
const FOR_INITRAMFS: &[&str] =
    &["busybox", "cpio", "dracut-core", "initramfs-tools", "kmod", "mount", "systemd-sysv", "udev", "zstd"];

/// The packages that decide which kernel a root has.
const KERNEL: &[&str] = &["linux-headers-amd64", "linux-image-amd64"];

/// What DKMS and a kernel's own tree need beside the headers.
const FOR_TREES: &[&str] = &["dkms", "libssl-dev"];

/// What builds modules and kernels.
const FOR_MODULES: &[&str] = &[
    "bc",
    "binutils",
    "bison",
    "flex",
    "gcc",
    "kmod",
    "libc6-dev",
    "libelf-dev",
    "make",
    "openssl",
    "python3-minimal",
    "xz-utils",
];

/// Where a newer kernel for [`RELEASE`] is. Nothing comes from there unless it is asked for.
const BACKPORTS: &str = "trixie-backports";

impl Contents {
    /// The suites of the archive.
    const fn suites(self) -> &'static [&'static str] {
        match self {
            Self::Lab | Self::Modules | Self::Initramfs => &[RELEASE],
            Self::Backports => &[RELEASE, BACKPORTS],
        }
    }

    /// The packages, as apt is told.
    fn packages(self) -> Vec<String> {
        let words = |lists: &[&[&str]]| lists.concat().into_iter().map(str::to_owned).collect::<Vec<_>>();
        match self {
            Self::Lab => words(&[PACKAGES]),
            Self::Modules => words(&[KERNEL, FOR_MODULES, FOR_TREES]),
            Self::Initramfs => words(&[FOR_INITRAMFS]),
            Self::Backports => {
                let mut packages = words(&[PACKAGES, FOR_TREES]);
                for package in packages.iter_mut().filter(|package| KERNEL.contains(&package.as_str())) {
                    *package = format!("{package}/{BACKPORTS}");
                }
                packages
            }
        }
    }
}

/// Changes with how the root is made, so that one made otherwise is not taken for it.
const RECIPE: &str = "2";

/// What the root is called until it is whole.
const UNFINISHED: &str = ".new-root";

/// What the root and its packages take while it is made, in bytes.
const SPACE: u64 = 3 << 30;

/// What programs say where the disk is full.
pub(crate) const FULL: &str = "No space left on device";

/// Where programs are looked for, outside and inside.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// Where [`Root::command`] shows the folder that is handed to it.
pub const SHARED: &str = "/mnt";

/// Runs a program inside: `sh -c INSIDE sh ROOT SHARED PROGRAM ARGUMENTS...`. `/dev` and `/proc` are those of the
/// machine. setpriv comes last, because a change of identity on the way would undo what it sets.
const INSIDE: &str = r#"
set -e
root=$1 shared=$2
shift 2
mount --rbind /dev "$root/dev"
mount --rbind /proc "$root/proc"
if [ -n "$shared" ]; then mount --bind "$shared" "$root/mnt"; fi
exec chroot "$root" /usr/bin/setpriv --pdeathsig KILL -- "$@"
"#;

/// Comes before [`INSIDE`] where the program may change the root: what it changes is in memory and ends with it. The
/// two folders are empty in a root. Relative paths, because a colon would end one in the list of layers.
const IN_MEMORY: &str = r#"
set -e
cd "$1"
mount -t tmpfs none srv
mkdir srv/upper srv/work
mount -t overlay -o lowerdir=.,upperdir=srv/upper,workdir=srv/work none media
shared=$2 over=$1/media
shift 2
set -- "$over" "$shared" "$@"
"#;

/// Removes all but the packages that apt finished downloading: `sh -c PRUNE sh FOLDER`.
const PRUNE: &str = r#"
set -e
cd "$1"
archives=./var/cache/apt/archives
find . -xdev ! -type d '(' ! -path "$archives/*.deb" -o -path "$archives/partial/*" ')' -delete
find . -xdev -mindepth 1 -type d -empty -delete
"#;

/// A finished root.
#[derive(Clone, Debug)]
pub struct Root {
    folder: PathBuf,
    contents: Contents,
    user: User,
}

/// As whom the lab runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum User {
    Root,
    Ordinary,
}

impl Root {
    /// The lab's root below `lab`, made if it is not there. `say` is told what happens.
    ///
    /// # Errors
    /// What is missing on the machine, or why Debian's packages cannot be had.
    pub fn get(lab: &Path, say: &(dyn Fn(&str) + Sync)) -> Result<Self> {
        Self::with(lab, Contents::Lab, say)
    }

    /// A root with `contents`, likewise.
    ///
    /// # Errors
    /// As [`Root::get`].
    pub fn with(lab: &Path, contents: Contents, say: &(dyn Fn(&str) + Sync)) -> Result<Self> {
        let user = User::find()?;
        let lab = make_folder(lab)?;
        let root = Self { folder: place(&lab, contents), contents, user };
        if root.folder.is_dir() {
            return Ok(root);
        }
        let lock = File::create(lab.join("lock"))?;
        if FileExt::try_lock(&lock).is_err() {
            say("waiting for another run to finish the root");
            FileExt::lock(&lock)?;
        }
        if !root.folder.is_dir() {
            root.make(&lab.join(UNFINISHED), &lock, say).context("the lab's Debian root cannot be made")?;
        }
        Ok(root)
    }

    /// A root with `contents`, if it was made before.
    ///
    /// # Errors
    /// What is missing on the machine.
    pub fn made(lab: &Path, contents: Contents) -> Result<Option<Self>> {
        let folder = place(lab, contents);
        Ok(if folder.is_dir() { Some(Self { folder, contents, user: User::find()? }) } else { None })
    }

    /// A command that runs `program` inside. `shared` appears there as [`SHARED`]. The program dies with the thread
    /// that started it.
    #[must_use]
    pub fn command(&self, program: &str, shared: Option<&Path>) -> Command {
        self.command_with(INSIDE, program, shared)
    }

    /// As [`Root::command`], for what changes the root: its changes end with it.
    #[must_use]
    pub fn passing_command(&self, program: &str, shared: Option<&Path>) -> Command {
        self.command_with(&format!("{IN_MEMORY}{INSIDE}"), program, shared)
    }

    fn command_with(&self, script: &str, program: &str, shared: Option<&Path>) -> Command {
        let mut command = self.user.unshare();
        command.args(["--", "/bin/sh", "-c", script, "sh"]);
        command.arg(&self.folder).arg(shared.map_or_else(|| OsStr::new(""), Path::as_os_str)).arg(program);
        command.env_clear().env("PATH", PATH).env("LC_ALL", "C").env("HOME", "/root");
        command
    }

    /// Runs a program inside to its end.
    ///
    /// # Errors
    /// Where it cannot be started or fails; the error holds what it said.
    pub fn run(&self, program: &str, arguments: &[&str], shared: Option<&Path>) -> Result<Vec<u8>> {
        let output = self.command(program, shared).args(arguments).stdin(Stdio::null()).output();
        let output = output.map_err(|error| not_started("unshare", "util-linux", &error))?;
        if !output.status.success() {
            let mut said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            // Not every program says so.
            if shared.is_some_and(is_full) && !said.contains(FULL) {
                let _ = write!(said, " {FULL}");
            }
            bail!("{program} failed inside the root ({}): {}", output.status, said.trim());
        }
        Ok(output.stdout)
    }

    /// Where a file of the root lies on this machine. Links are followed as they are meant inside.
    ///
    /// # Errors
    /// Where the file is not there.
    pub fn file(&self, inside: &str) -> Result<PathBuf> {
        let real = self.resolve(Path::new(inside))?;
        let place = self.folder.join(real.strip_prefix("/").unwrap_or(&real));
        ensure!(place.exists(), "{inside} is missing in {}", self.folder.display());
        Ok(place)
    }

    /// The root's own path of what `inside` leads to, without links.
    ///
    /// # Errors
    /// Where links go round in circles.
    pub fn resolve(&self, inside: &Path) -> Result<PathBuf> {
        let mut rest: Vec<PathBuf> = vec![inside.to_owned()];
        let mut real = PathBuf::from("/");
        let mut links = 0;
        while let Some(path) = rest.pop() {
            let mut parts = path.components();
            let Some(part) = parts.next() else { continue };
            let after = parts.as_path().to_owned();
            rest.push(after);
            match part {
                Component::RootDir => real = PathBuf::from("/"),
                Component::ParentDir => {
                    real.pop();
                }
                Component::Normal(name) => {
                    let next = real.join(name);
                    let place = self.folder.join(next.strip_prefix("/").unwrap_or(&next));
                    match fs::read_link(&place) {
                        Ok(target) => {
                            links += 1;
                            ensure!(links < 40, "the links of {} go round in circles", inside.display());
                            rest.push(target);
                        }
                        Err(_) => real = next,
                    }
                }
                Component::CurDir | Component::Prefix(_) => {}
            }
        }
        Ok(real)
    }

    /// The folder itself.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The releases of the kernels that modules can be built for, the oldest first.
    ///
    /// # Errors
    /// Where the folder with their headers cannot be read.
    pub fn headers(&self) -> Result<Vec<String>> {
        let mut releases = BTreeSet::new();
        for entry in fs::read_dir(self.file("/usr/src")?)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let release = name.strip_prefix("linux-headers-").map(str::to_owned);
            // What a flavour shares with others has no configuration.
            releases.extend(release.filter(|_| self.file(&format!("/usr/src/{name}/.config")).is_ok()));
        }
        Ok(releases.into_iter().collect())
    }

    /// The release of the newest kernel inside, as `uname -r` says it.
    ///
    /// # Errors
    /// Where there is none.
    pub fn kernel_release(&self) -> Result<String> {
        let mut releases = BTreeSet::new();
        for entry in fs::read_dir(self.file("/usr/lib/modules")?)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if self.file(&format!("/boot/vmlinuz-{name}")).is_ok() {
                releases.insert(name);
            }
        }
        releases.pop_last().context("the root has no kernel")
    }

    /// The versions of packages, as dpkg knows them.
    ///
    /// # Errors
    /// Where dpkg's list cannot be read.
    pub fn versions(&self, packages: &[&str]) -> Result<Vec<(String, String)>> {
        let status = fs::read_to_string(self.file("/var/lib/dpkg/status")?)?;
        Ok(versions_in(&status, packages))
    }

    fn make(&self, work: &Path, lock: &File, say: &(dyn Fn(&str) + Sync)) -> Result<()> {
        let mirror = lockdown_debian::mirror()?;
        let keyring = lockdown_debian::keyring()?;
        if work.exists() {
            say("an earlier attempt was interrupted: what it downloaded is used");
            self.clear(work, Leave::Packages)?;
        }
        ensure_space(work.parent().unwrap_or(work), SPACE)?;
        let started = Instant::now();
        let packages = self.contents.packages();
        let suites = self.contents.suites();
        say(&format!(
            "making a Debian {} root ({} packages and what they need)",
            suites.join(" and "),
            packages.len()
        ));
        self.bootstrap(work, &packages, &mirror, keyring, lock, say)?;
        // dpkg was told not to wait for the disk.
        outside("sync", &["--file-system"], work)?;
        fs::rename(work, &self.folder)?;
        say(&format!("the root is ready after {} s", started.elapsed().as_secs()));
        Ok(())
    }

    fn bootstrap(
        &self,
        work: &Path,
        packages: &[String],
        mirror: &str,
        keyring: &Path,
        lock: &File,
        say: &(dyn Fn(&str) + Sync),
    ) -> Result<()> {
        let keyring = keyring.to_str().context("the path of Debian's keyring is not text")?;
        // With the first process of a namespace of their own everything ends that mmdebstrap started.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", "unshare"]).args(self.user.namespaces());
        command.args(["--pid", "--fork", "--kill-child", "--mount-proc", "--"]);
        command.args(["mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory"]);
        command.arg("--architectures=amd64").arg(format!("--include={}", packages.join(",")));
        // Packages of an earlier attempt may be there, and stay until everything is done.
        command.arg("--skip=check/empty,essential/unlink");
        for part in ["man", "doc", "locale", "info"] {
            command.arg(format!("--dpkgopt=path-exclude=/usr/share/{part}/*"));
        }
        command.arg("--dpkgopt=force-unsafe-io");
        command.args(["--aptopt=Acquire::Retries \"2\"", "--aptopt=Acquire::Languages \"none\""]);
        command.arg(RELEASE).arg(work);
        for suite in self.contents.suites() {
            command.arg(format!("deb [signed-by={keyring}] {mirror} {suite} main"));
        }
        // The lab writes its own initramfs; Debian's would only cost time.
        command.env("INITRD", "No").env("LC_ALL", "C").env("PATH", PATH);
        // Whatever mmdebstrap leaves running holds the lock for as long as it runs.
        command.stdin(Stdio::from(lock.try_clone()?)).stdout(Stdio::null()).stderr(Stdio::piped());
        let child = command.spawn();
        let mut child = child.map_err(|error| not_started("setpriv", "util-linux", &error))?;
        let said = child.stderr.take().map(|pipe| follow(pipe, say)).transpose()?.unwrap_or_default();
        let status = child.wait()?;
        if status.success() {
            return Ok(());
        }
        let (error, leave) = judge_mmdebstrap(&said);
        // What went wrong is said even where clearing fails too; the next attempt begins with it.
        let _ = self.clear(work, leave);
        Err(error.context(format!("mmdebstrap failed ({status})")))
    }

    /// Removes what an attempt left. Nobody uses it while this process holds the lock.
    fn clear(&self, folder: &Path, leave: Leave) -> Result<()> {
        if !folder.exists() {
            return Ok(());
        }
        // Removing what is mounted would remove the machine's own files.
        let table = fs::read_to_string("/proc/self/mountinfo").context("/proc is not mounted")?;
        if let Some(mounted) = mounted_below(&table, folder) {
            bail!("{mounted} is still mounted: unmount it (umount --lazy), then start again");
        }
        let mut command = self.user.unshare();
        match leave {
            Leave::Packages => command.args(["--", "sh", "-c", PRUNE, "sh"]),
            Leave::Nothing => command.args(["--", "rm", "-rf", "--one-file-system", "--"]),
        };
        finish(command.arg(folder), "unshare", "util-linux")
            .with_context(|| format!("what an earlier attempt left in {} cannot be removed", folder.display()))?;
        // Without packages nothing is worth keeping; with them this fails.
        let _ = fs::remove_dir(folder);
        Ok(())
    }
}

impl User {
    /// Who runs this, and whether that is enough.
    fn find() -> Result<Self> {
        use std::os::unix::fs::MetadataExt as _;
        let own = fs::metadata("/proc/self").context("/proc is not mounted")?;
        let user = if own.uid() == 0 { Self::Root } else { Self::Ordinary };
        let mut command = user.unshare();
        command.args(["--", "mount", "-t", "tmpfs", "none", "/tmp"]).env("LC_ALL", "C");
        let output = command.stdin(Stdio::null()).output();
        let output = output.map_err(|error| not_started("unshare", "util-linux", &error))?;
        if output.status.success() {
            return Ok(user);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{}\n{}", judge_unshare(user, &said), said.trim())
    }

    /// The namespaces in which this user may mount, as `unshare` is told.
    const fn namespaces(self) -> &'static [&'static str] {
        match self {
            Self::Root => &["--mount", "--propagation", "private"],
            Self::Ordinary => &["--user", "--map-root-user", "--map-auto", "--mount", "--propagation", "private"],
        }
    }

    fn unshare(self) -> Command {
        let mut command = Command::new("unshare");
        command.args(self.namespaces());
        command
    }
}

/// What of an attempt stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leave {
    Packages,
    Nothing,
}

/// The folder, made if need be, with its full name.
fn make_folder(folder: &Path) -> Result<PathBuf> {
    fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    Ok(fs::canonicalize(folder)?)
}

fn is_full(folder: &Path) -> bool {
    fs4::available_space(folder).is_ok_and(|free| free < 1 << 20)
}

/// Sees to it that the disk of `folder` has `bytes` left.
///
/// # Errors
/// Where it has not.
pub fn ensure_space(folder: &Path, bytes: u64) -> Result<()> {
    let (free, wanted) = (fs4::available_space(folder)? >> 20, bytes >> 20);
    ensure!(
        free >= wanted,
        "the disk of {} has {free} MB left, and the lab needs {wanted} MB: make room, or name another folder",
        folder.display()
    );
    Ok(())
}

/// Says what is missing where `unshare` fails.
fn judge_unshare(user: User, said: &str) -> &'static str {
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if has(&["unrecognized option"]) {
        "unshare is too old: util-linux 2.38 or newer is needed"
    } else if user == User::Root {
        "root may not mount here: a container must be privileged for that"
    } else if has(&["newuidmap: No such file", "newgidmap: No such file", "failed to execute new"]) {
        "newuidmap is not there: install uidmap, or run this as root"
    } else if has(&["/etc/subuid", "/etc/subgid", "not allowed"]) {
        "/etc/subuid and /etc/subgid give this user no identities: add the line USER:100000:65536 to both, or run this \
         as root"
    } else {
        "this machine does not let ordinary users use namespaces: allow it (user.max_user_namespaces, \
         kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns), or run this as root"
    }
}

/// Runs a program of the machine's to its end.
fn outside(program: &str, arguments: &[&str], place: &Path) -> Result<()> {
    finish(Command::new(program).args(arguments).arg(place), program, "coreutils")
}

fn finish(command: &mut Command, program: &str, package: &str) -> Result<()> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| not_started(program, package, &error))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} failed ({}): {}", output.status, said.trim());
    Ok(())
}

/// A place below `folder` where something is mounted, from a `/proc/PID/mountinfo`.
fn mounted_below(table: &str, folder: &Path) -> Option<String> {
    let places = table.lines().filter_map(|line| line.split(' ').nth(4));
    // Blanks and the like are written as octal numbers.
    let places = places.map(|place| place.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\"));
    places.into_iter().find(|place| Path::new(place).starts_with(folder))
}

/// With these begin lines of apt and dpkg that say that something went well; there are thousands.
const CHATTER: &[&str] = &[
    "Get:",
    "Hit:",
    "Ign:",
    "(Reading database",
    "Reading ",
    "Building ",
    "Selecting ",
    "Preparing to ",
    "Unpacking ",
    "Setting up ",
    "Processing triggers ",
    "update-alternatives: using ",
    "W: ",
];

/// Reads what mmdebstrap says to its end, hands on the lines that say how far it is, keeps the last ones of the others.
fn follow(pipe: impl Read, say: &(dyn Fn(&str) + Sync)) -> Result<String> {
    let mut kept: Vec<String> = Vec::new();
    let mut reader = BufReader::new(pipe);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        if let Some(step) = text.strip_prefix("I: ") {
            say(step);
        } else if !CHATTER.iter().any(|begin| text.starts_with(begin)) {
            kept.push(text);
        }
        if kept.len() > 200 {
            kept.remove(0);
        }
        line.clear();
    }
    Ok(kept.join("\n"))
}

/// Says what mmdebstrap's last words mean, and what of the attempt is worth keeping.
fn judge_mmdebstrap(said: &str) -> (anyhow::Error, Leave) {
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    let (meaning, leave) = if has(&["failed to execute mmdebstrap", "mmdebstrap: No such file"]) {
        return (anyhow!("mmdebstrap is not there: install it (apt-get install mmdebstrap)"), Leave::Packages);
    } else if has(&[FULL, "enough free space"]) {
        ("the disk is full: make room, or name another folder", Leave::Nothing)
    } else if has(&["NO_PUBKEY", "is not signed", "could not be verified", "couldn't be verified"]) {
        ("the archive is not signed with a key of the package debian-archive-keyring", Leave::Packages)
    } else if has(&["Hash Sum mismatch", "unexpected size", "File has unexpected"]) {
        ("a package arrives damaged from the archive: start it again, or set DEBIAN_MIRROR", Leave::Packages)
    } else if has(&["corrupt", "not a Debian format archive", "unexpected end of"]) {
        ("a downloaded package was damaged, and all of them are removed: start it again", Leave::Nothing)
    } else if has(&["resolving", "resolve", "Could not connect", "Connection", "timed out", "unreachable"]) {
        ("the network or the archive cannot be reached: start it again, or set DEBIAN_MIRROR", Leave::Packages)
    } else if has(&["Unable to locate package", "no installation candidate", "404  Not Found", "Release file"]) {
        ("this is no current archive of Debian's: see DEBIAN_MIRROR, or the machine's apt", Leave::Packages)
    } else {
        ("see its last lines", Leave::Nothing)
    };
    // These only say that something was said before.
    let hollow = |line: &str| {
        line.starts_with("E: setup failed")
            || line.starts_with("E: apt-get ")
            || line.starts_with("E: mmdebstrap ")
    };
    let lines: Vec<&str> = said.lines().filter(|line| !hollow(line)).collect();
    let errors: Vec<&str> = lines.iter().copied().filter(|line| tells(line)).collect();
    let lines = if errors.is_empty() { lines } else { errors };
    let last = lines.get(lines.len().saturating_sub(12)..).unwrap_or_default().join("\n");
    (anyhow!("{meaning}\n{last}"), leave)
}

/// Whether a line says by itself that it is an error, with its name.
fn tells(line: &str) -> bool {
    ["E: ", "dpkg: error", "dpkg-deb: error", "tar: "].iter().any(|begin| line.starts_with(begin))
}

fn not_started(program: &str, package: &str, error: &io::Error) -> anyhow::Error {
    match error.kind() {
        io::ErrorKind::NotFound => anyhow!("{program} is not there: install {package}"),
        _ => anyhow!("{program} cannot be started: {error}"),
    }
}

/// Where a root lies below `lab`.
fn place(lab: &Path, contents: Contents) -> PathBuf {
    lab.join(format!("root-{}", hash(RELEASE, &contents.packages())))
}

/// What the root is known by: the same list in another order is the same root.
fn hash(release: &str, packages: &[impl AsRef<str>]) -> String {
    let packages: BTreeSet<&str> = packages.iter().map(AsRef::as_ref).collect();
    let mut hasher = Sha256::new();
    hasher.update(RECIPE);
    hasher.update("\n");
    hasher.update(release);
    for package in packages {
        hasher.update("\n");
        hasher.update(package);
    }
    hex(&hasher.finalize()).chars().take(12).collect()
}

/// Bytes as hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn versions_in(status: &str, packages: &[&str]) -> Vec<(String, String)> {
    let field = |paragraph: &str, name: &str| {
        let value = paragraph.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        value.map(str::to_owned)
    };
    let mut found = Vec::new();
    for paragraph in status.split("\n\n") {
        let name = field(paragraph, "Package").filter(|name| packages.contains(&name.as_str()));
        if let (Some(name), Some(version)) = (name, field(paragraph, "Version")) {
            found.push((name, version));
        }
    }
    found.sort();
    found
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn the_hash_depends_on_the_list_and_not_on_its_order() {
        assert_eq!(hash("trixie", &["a", "b"]), hash("trixie", &["b", "a"]));
        assert_ne!(hash("trixie", &["a", "b"]), hash("trixie", &["a", "bc"]));
        assert_ne!(hash("trixie", &["a", "b"]), hash("trixie", &["ab"]));
        assert_ne!(hash("trixie", &["a"]), hash("bookworm", &["a"]));
        assert_eq!(hash("trixie", &["a"]).len(), 12);
    }

    #[test]
    fn links_are_followed_as_inside() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path();
        fs::create_dir_all(place.join("usr/lib/real")).unwrap();
        fs::write(place.join("usr/lib/real/file"), "x").unwrap();
        std::os::unix::fs::symlink("usr/lib", place.join("lib")).unwrap();
        std::os::unix::fs::symlink("/lib/real", place.join("usr/lib/link")).unwrap();
        std::os::unix::fs::symlink("../lib/link/file", place.join("usr/file")).unwrap();
        std::os::unix::fs::symlink("loop", place.join("loop")).unwrap();
        let root = Root { folder: place.to_owned(), contents: Contents::Lab, user: User::Root };
        assert_eq!(root.file("/lib/link/file").unwrap(), place.join("usr/lib/real/file"));
        assert_eq!(root.file("/usr/file").unwrap(), place.join("usr/lib/real/file"));
        assert!(root.file("/nosuch").is_err());
        assert!(root.file("/loop").is_err());
        // Nothing leads out of the root.
        assert!(root.resolve(Path::new("/../../etc/passwd")).unwrap().starts_with("/etc"));
    }

    #[test]
    fn what_is_mounted_is_found() {
        let table = "22 1 0:21 / /proc rw - proc proc rw\n23 1 0:22 / /a\\040b/tree/proc rw - proc proc rw\n";
        assert_eq!(mounted_below(table, Path::new("/a b/tree")).as_deref(), Some("/a b/tree/proc"));
        assert_eq!(mounted_below(table, Path::new("/a b/ro")), None);
        assert!(mounted_below(table, Path::new("/")).is_some());
    }

    #[test]
    fn of_the_backports_only_the_kernel_is_taken() {
        let packages = Contents::Backports.packages();
        let from_there: Vec<&String> = packages.iter().filter(|package| package.contains('/')).collect();
        assert_eq!(from_there.len(), KERNEL.len(), "{from_there:?}");
        assert!(Contents::Lab.packages().iter().all(|package| !package.contains('/')));
        assert!(packages.len() > Contents::Modules.packages().len());
    }

    #[test]
    fn messages_say_what_to_do() {
        let said = |text: &str| judge_mmdebstrap(text).0.to_string();
        assert!(said("setpriv: failed to execute mmdebstrap: No such file or directory").contains("install"));
        assert!(said("E: Write error - write (28: No space left on device)").contains("disk is full"));
        assert!(said("E: Failed to fetch x  Hash Sum mismatch").contains("damaged"));
        assert!(said("W: Temporary failure resolving 'x'").contains("cannot be reached"));
        assert!(said("E: Unable to locate package x").contains("no current archive"));
        assert!(said("chroot: odd").ends_with("chroot: odd"));
        let damaged = "dpkg-deb: error: <decompress> subprocess was killed: corrupt\nE: apt-get x failed\n";
        assert!(said(damaged).ends_with("corrupt"), "{}", said(damaged));
    }

    #[test]
    fn packages_are_kept_where_they_are_not_the_trouble() {
        let leave = |text: &str| judge_mmdebstrap(text).1;
        assert_eq!(leave("E: Could not connect to x"), Leave::Packages);
        assert_eq!(leave("E: Failed to fetch x  Hash Sum mismatch"), Leave::Packages);
        assert_eq!(leave("E: Write error - write (28: No space left on device)"), Leave::Nothing);
        assert_eq!(leave("dpkg-deb: error: lzma error: compressed data is corrupt"), Leave::Nothing);
        assert_eq!(leave("E: odd"), Leave::Nothing);
    }

    #[test]
    fn of_an_attempt_only_whole_packages_stay() {
        let folder = tempfile::tempdir().unwrap();
        let work = folder.path().join("a [b]");
        let archives = work.join("var/cache/apt/archives");
        fs::create_dir_all(archives.join("partial")).unwrap();
        fs::create_dir_all(work.join("etc")).unwrap();
        for file in ["var/cache/apt/archives/a.deb", "var/cache/apt/archives/partial/b.deb", "etc/c.deb", "d"] {
            fs::write(work.join(file), "x").unwrap();
        }
        finish(Command::new("sh").args(["-c", PRUNE, "sh"]).arg(&work), "sh", "dash").unwrap();
        assert!(archives.join("a.deb").exists());
        assert!(!archives.join("partial").exists() && !work.join("etc").exists() && !work.join("d").exists());
        fs::remove_file(archives.join("a.deb")).unwrap();
        finish(Command::new("sh").args(["-c", PRUNE, "sh"]).arg(&work), "sh", "dash").unwrap();
        assert!(work.exists() && !work.join("var").exists());
    }

    #[test]
    fn what_is_missing_is_named() {
        let no_line = "unshare: no line matching user \"x\" in /etc/subuid";
        assert!(judge_unshare(User::Ordinary, no_line).contains("USER:100000:65536"));
        let no_tool = "unshare: failed to execute newuidmap: No such file or directory";
        assert!(judge_unshare(User::Ordinary, no_tool).contains("install uidmap"));
        let forbidden = "unshare: unshare failed: Operation not permitted";
        assert!(judge_unshare(User::Ordinary, forbidden).contains("max_user_namespaces"));
        assert!(judge_unshare(User::Root, forbidden).contains("privileged"));
        assert!(judge_unshare(User::Root, "unshare: unrecognized option '--map-auto'").contains("2.38"));
    }

    #[test]
    fn what_a_program_says_is_kept_and_handed_on() {
        let steps = std::sync::Mutex::new(Vec::new());
        let said = follow("I: one\nUnpacking x\nE: two\n\u{fffd}".as_bytes(), &|step: &str| {
            steps.lock().unwrap().push(step.to_owned());
        });
        assert_eq!(said.unwrap(), "E: two\n\u{fffd}");
        assert_eq!(*steps.lock().unwrap(), ["one"]);
    }

    #[test]
    fn versions_come_from_dpkgs_list() {
        let status =
            "Package: b\nStatus: x\nVersion: 2\n\nPackage: a\nVersion: 1\nProvides: c\n\nPackage: d\nVersion: 9\n";
        assert_eq!(versions_in(status, &["a", "b"]), [("a".into(), "1".into()), ("b".into(), "2".into())]);
    }
}
