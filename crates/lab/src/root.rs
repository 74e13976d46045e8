//! The Trixie root: everything foreign that the lab needs, in one folder.
//!
//! Made once by mmdebstrap, from the mirror and the keys of the machine's own apt, and kept by a hash of what it was
//! made from. It is made under another name and renamed, so that what has the right name is whole.
//!
//! Programs inside it run in a mount namespace of their own: what is mounted for them is gone with them, however
//! they end.

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
    "grub-efi-amd64-signed",
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

/// Changes with how the root is made, so that one made otherwise is not taken for it.
const RECIPE: &str = "1";

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

/// A finished root.
#[derive(Clone, Debug)]
pub struct Root {
    folder: PathBuf,
    user: User,
}

/// As whom the lab runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum User {
    Root,
    Ordinary,
}

impl Root {
    /// The root below `lab`, made if it is not there. `say` is told what happens.
    ///
    /// # Errors
    /// What is missing on the machine, or why Debian's packages cannot be had.
    pub fn get(lab: &Path, say: &(dyn Fn(&str) + Sync)) -> Result<Self> {
        let user = user()?;
        let lab = make_folder(lab)?;
        let folder = lab.join(format!("root-{}", hash(RELEASE, PACKAGES)));
        let root = Self { folder, user };
        if root.folder.is_dir() {
            return Ok(root);
        }
        let lock = File::create(lab.join("lock"))?;
        if FileExt::try_lock(&lock).is_err() {
            say("waiting for another run to finish the root");
            FileExt::lock(&lock)?;
        }
        root.remove_leftovers(&lab)?;
        if !root.folder.is_dir() {
            root.make(&lab, &lock, say).context("the lab's Debian root cannot be made")?;
        }
        Ok(root)
    }

    /// A command that runs `program` inside. `shared` appears there as [`SHARED`]. The program dies with the thread
    /// that started it.
    #[must_use]
    pub fn command(&self, program: &str, shared: Option<&Path>) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private"]);
        if self.user == User::Ordinary {
            command.args(["--user", "--map-auto", "--setuid", "0", "--setgid", "0"]);
        }
        command.args(["--", "/bin/sh", "-c", INSIDE, "sh"]);
        command.arg(&self.folder).arg(shared.map_or_else(|| OsStr::new(""), Path::as_os_str)).arg(program);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C").env("HOME", "/root");
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
            let said = String::from_utf8_lossy(&output.stderr);
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

    fn make(&self, lab: &Path, lock: &File, say: &(dyn Fn(&str) + Sync)) -> Result<()> {
        let mirror = lockdown_debian::mirror()?;
        let keyring = lockdown_debian::keyring()?;
        let work = lab.join(format!(".new-root-{}", std::process::id()));
        let started = Instant::now();
        say(&format!("making a Debian {RELEASE} root ({} packages and what they need)", PACKAGES.len()));
        let made = self.bootstrap(&work, &mirror, keyring, lock, say);
        if let Err(error) = made {
            // Nothing half-made stays, and what went wrong is said even where removing fails too.
            let _ = self.remove(&work);
            return Err(error);
        }
        fs::rename(&work, &self.folder)?;
        say(&format!("the root is ready after {} s", started.elapsed().as_secs()));
        Ok(())
    }

    fn bootstrap(
        &self,
        work: &Path,
        mirror: &str,
        keyring: &Path,
        lock: &File,
        say: &(dyn Fn(&str) + Sync),
    ) -> Result<()> {
        let keyring = keyring.to_str().context("the path of Debian's keyring is not text")?;
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]);
        if self.user == User::Root {
            // With the first process of a namespace of their own everything ends that mmdebstrap started.
            command.args(["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]);
        }
        command.arg("mmdebstrap");
        command.arg(match self.user {
            User::Root => "--mode=root",
            User::Ordinary => "--mode=unshare",
        });
        command.args(["--variant=minbase", "--format=directory", "--architectures=amd64"]);
        command.arg(format!("--include={}", PACKAGES.join(",")));
        for part in ["man", "doc", "locale", "info"] {
            command.arg(format!("--dpkgopt=path-exclude=/usr/share/{part}/*"));
        }
        command.args(["--aptopt=Acquire::Retries \"2\"", "--aptopt=Acquire::Languages \"none\""]);
        command.arg(RELEASE).arg(work).arg(format!("deb [signed-by={keyring}] {mirror} {RELEASE} main"));
        // The lab writes its own initramfs; Debian's would only cost time.
        command.env("INITRD", "No").env("LC_ALL", "C");
        // Whatever mmdebstrap leaves running holds the lock for as long as it runs.
        command.stdin(Stdio::from(lock.try_clone()?)).stdout(Stdio::null()).stderr(Stdio::piped());
        let child = command.spawn();
        let mut child = child.map_err(|error| not_started("setpriv", "util-linux", &error))?;
        let said = child.stderr.take().map(|pipe| follow(pipe, say)).transpose()?.unwrap_or_default();
        let status = child.wait()?;
        if status.success() {
            return Ok(());
        }
        Err(judge_mmdebstrap(&said).context(format!("mmdebstrap failed ({status})")))
    }

    /// What an interrupted run left; nobody uses it while this process holds the lock.
    fn remove_leftovers(&self, lab: &Path) -> Result<()> {
        for entry in fs::read_dir(lab)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(".new-root-") {
                self.remove(&entry.path())?;
            }
        }
        Ok(())
    }

    fn remove(&self, folder: &Path) -> Result<()> {
        if !folder.exists() {
            return Ok(());
        }
        // Removing what is mounted would remove the machine's own files.
        let table = fs::read_to_string("/proc/self/mountinfo").context("/proc is not mounted")?;
        if let Some(mounted) = mounted_below(&table, folder) {
            bail!("{mounted} is still mounted: unmount it (umount --lazy), then start again");
        }
        if self.user == User::Root {
            return Ok(fs::remove_dir_all(folder)?);
        }
        // The files belong to the identities that a user namespace maps.
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-auto", "--setuid", "0", "--setgid", "0", "--", "rm", "-rf"]);
        // The folder itself stays behind: its own parent is not the namespace's.
        let _ = command.arg(folder).stderr(Stdio::null()).status();
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        Ok(())
    }
}

/// The folder, made if need be, with its full name.
fn make_folder(folder: &Path) -> Result<PathBuf> {
    fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    Ok(fs::canonicalize(folder)?)
}

/// As whom this runs, and whether that is enough.
fn user() -> Result<User> {
    use std::os::unix::fs::MetadataExt as _;
    let own = fs::metadata("/proc/self").context("/proc is not mounted")?;
    if own.uid() == 0 {
        return Ok(User::Root);
    }
    let mut missing = String::new();
    for tool in ["/usr/bin/newuidmap", "/usr/bin/newgidmap"] {
        if !Path::new(tool).is_file() {
            let _ = write!(missing, "\n  {tool} is not there: install uidmap");
        }
    }
    let limit = fs::read_to_string("/proc/sys/user/max_user_namespaces").unwrap_or_default();
    if limit.trim() == "0" {
        missing.push_str("\n  user namespaces are switched off: set user.max_user_namespaces");
    }
    for file in ["/etc/subuid", "/etc/subgid"] {
        let text = fs::read_to_string(file).unwrap_or_default();
        if text.trim().is_empty() {
            let _ = write!(missing, "\n  {file} gives nobody any identities: add a line USER:100000:65536");
        }
    }
    if !missing.is_empty() {
        bail!("the lab runs as root, or as an ordinary user with user namespaces. Here:{missing}");
    }
    Ok(User::Ordinary)
}

/// A place below `folder` where something is mounted, from a `/proc/PID/mountinfo`.
fn mounted_below(table: &str, folder: &Path) -> Option<String> {
    let places = table.lines().filter_map(|line| line.split(' ').nth(4));
    // Blanks and the like are written as octal numbers.
    let places = places.map(|place| place.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\"));
    places.into_iter().find(|place| Path::new(place).starts_with(folder))
}

/// Reads what a program says to its end, hands on the lines that say how far it is, keeps the last ones.
fn follow(pipe: impl Read, say: &(dyn Fn(&str) + Sync)) -> Result<String> {
    let mut kept: Vec<String> = Vec::new();
    let mut reader = BufReader::new(pipe);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        if let Some(step) = text.strip_prefix("I: ") {
            say(step);
        }
        kept.push(text);
        if kept.len() > 200 {
            kept.remove(0);
        }
        line.clear();
    }
    Ok(kept.join("\n"))
}

/// Says what mmdebstrap's last words mean.
fn judge_mmdebstrap(said: &str) -> anyhow::Error {
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    let meaning = if has(&["failed to execute mmdebstrap", "mmdebstrap: No such file"]) {
        return anyhow!("mmdebstrap is not there: install it (apt-get install mmdebstrap)");
    } else if has(&["No space left on device", "enough free space"]) {
        "the disk is full: the root needs 3 GB"
    } else if has(&["NO_PUBKEY", "is not signed", "could not be verified", "couldn't be verified"]) {
        "the archive is not signed with a key of the package debian-archive-keyring"
    } else if has(&["Hash Sum mismatch", "unexpected size", "corrupt", "not a Debian format archive"]) {
        "a package arrived damaged: start it again"
    } else if has(&["resolving", "resolve", "Could not connect", "Connection", "timed out", "unreachable"]) {
        "the network or the archive cannot be reached"
    } else if has(&["Unable to locate package", "no installation candidate", "404  Not Found"]) {
        "the archive lacks a package: is it Debian's, and current?"
    } else if has(&["newuidmap", "unshare failed", "Operation not permitted"]) {
        "this user may not use namespaces as mmdebstrap needs them"
    } else {
        "see its last lines"
    };
    let lines: Vec<&str> = said.lines().filter(|line| !line.starts_with("I: ")).collect();
    let last = lines.get(lines.len().saturating_sub(12)..).unwrap_or_default().join("\n");
    anyhow!("{meaning}\n{last}")
}

fn not_started(program: &str, package: &str, error: &io::Error) -> anyhow::Error {
    match error.kind() {
        io::ErrorKind::NotFound => anyhow!("{program} is not there: install {package}"),
        _ => anyhow!("{program} cannot be started: {error}"),
    }
}

/// What the root is known by: the same list in another order is the same root.
fn hash(release: &str, packages: &[&str]) -> String {
    let packages: BTreeSet<&str> = packages.iter().copied().collect();
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
        let root = Root { folder: place.to_owned(), user: User::Root };
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
    fn messages_say_what_to_do() {
        let said = |text: &str| judge_mmdebstrap(text).to_string();
        assert!(said("setpriv: failed to execute mmdebstrap: No such file or directory").contains("install"));
        assert!(said("E: Write error - write (28: No space left on device)").contains("disk is full"));
        assert!(said("E: Failed to fetch x  Hash Sum mismatch").contains("damaged"));
        assert!(said("W: Temporary failure resolving 'x'").contains("cannot be reached"));
        assert!(said("E: Unable to locate package x").contains("lacks a package"));
        assert!(said("I: step\nE: odd").ends_with("E: odd"));
    }

    #[test]
    fn what_a_program_says_is_kept_and_handed_on() {
        let steps = std::sync::Mutex::new(Vec::new());
        let said = follow("I: one\nE: two\n\u{fffd}".as_bytes(), &|step: &str| {
            steps.lock().unwrap().push(step.to_owned());
        });
        assert_eq!(said.unwrap(), "I: one\nE: two\n\u{fffd}");
        assert_eq!(*steps.lock().unwrap(), ["one"]);
    }

    #[test]
    fn versions_come_from_dpkgs_list() {
        let status =
            "Package: b\nStatus: x\nVersion: 2\n\nPackage: a\nVersion: 1\nProvides: c\n\nPackage: d\nVersion: 9\n";
        assert_eq!(versions_in(status, &["a", "b"]), [("a".into(), "1".into()), ("b".into(), "2".into())]);
    }
}
