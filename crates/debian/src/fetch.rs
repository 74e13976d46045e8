//! Fetches packages of Debian's with the machine's own package client.
//!
//! The mirror is the one that the machine's apt is set up with, so no host name stands in the project. apt runs on
//! a state of its own below `debian/apt` in the folder that is given: nothing of the machine's apt changes, no root is needed, and what
//! is fetched is checked against Debian's archive keyring, whatever the machine itself trusts.
//!
//! A finished folder is reused without asking the network. It is made under another name and renamed, so that an
//! interrupted run leaves nothing that looks finished.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use fs4::FileExt;

/// How long a package list is taken for current.
const LISTS_LAST: Duration = Duration::from_secs(24 * 60 * 60);

/// A release of Debian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// Debian 13, with Xen 4.20
    Trixie,
    /// Debian 13's backports, with newer kernels
    TrixieBackports,
    /// Debian 12, with Xen 4.17
    Bookworm,
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Trixie => "trixie",
            Self::TrixieBackports => "trixie-backports",
            Self::Bookworm => "bookworm",
        })
    }
}

/// What is told to whoever watches.
pub type Say<'a> = &'a (dyn Fn(&str) + Sync);

/// The folder with the unpacked source of `package`, below `target`; fetched where it is not there yet. With `refresh`
/// the archive is asked even if it is.
///
/// # Errors
/// What is missing on the machine, or why the archive does not give it.
pub fn source(target: &Path, release: Release, package: &str, refresh: bool, say: Say<'_>) -> Result<PathBuf> {
    Store::open(target, release, Kind::Source, say)?.get(package, refresh)
}

/// The folder with an unpacked binary package for amd64, likewise.
///
/// # Errors
/// As [`source`].
pub fn binary(target: &Path, release: Release, package: &str, refresh: bool, say: Say<'_>) -> Result<PathBuf> {
    Store::open(target, release, Kind::Binary, say)?.get(package, refresh)
}

/// The packages that a package for amd64 needs, as apt's lists say it, such as the newest kernel behind `linux-image-amd64`. Of
/// alternatives this is the first.
///
/// # Errors
/// As [`source`].
pub fn depends(target: &Path, release: Release, package: &str, say: Say<'_>) -> Result<Vec<String>> {
    Store::open(target, release, Kind::Binary, say)?.depends(package)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Source,
    Binary,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Binary => "package",
        }
    }
}

/// A source that is taken where the archive lists a newer one and does not serve it, as mirrors do that get to sources late.
/// Its hashes stand here because no list of the archive's has them any more.
struct Kept {
    release: Release,
    package: &'static str,
    /// Without an epoch.
    version: &'static str,
    /// Below the archive's folder of the package: name and SHA-256.
    files: &'static [(&'static str, &'static str)],
    folder: &'static str,
}

const KEPT: &[Kept] = &[Kept {
    release: Release::Trixie,
    package: "xen",
    version: "4.20.3+127-gc42374a105-0+deb13u1",
    folder: "pool/main/x/xen",
    files: &[
        (
            "xen_4.20.3+127-gc42374a105.orig.tar.xz",
            "df0831854a55a8f31cb3cb85036f2edc928e2ef098d77f815f5714bfafac68f3",
        ),
        (
            "xen_4.20.3+127-gc42374a105-0+deb13u1.debian.tar.xz",
            "b1f909d626f3d4ba6965ba291dd97b0dfbbe48bb8e2510913cbc1760c5e8cb3e",
        ),
    ],
}];

/// apt's own downloader, which knows its proxies and checks a hash.
const HELPER: &str = "/usr/lib/apt/apt-helper";

/// What went wrong, as far as the caller acts on it.
enum Failure {
    /// The archive lists what it does not serve.
    NotServed(anyhow::Error),
    /// Trying again cannot help.
    Final(anyhow::Error),
    /// A download that broke off, or lists that no longer fit the archive.
    Passing(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Passing(error.into())
    }
}

/// The folder `target/debian`, locked for this process.
struct Store<'a> {
    say: Say<'a>,
    folder: PathBuf,
    /// The private state of apt for one release and kind.
    apt: PathBuf,
    release: Release,
    kind: Kind,
    _lock: File,
}

impl<'a> Store<'a> {
    fn open(target: &Path, release: Release, kind: Kind, say: Say<'a>) -> Result<Self> {
        let folder = target.join("debian");
        let apt = folder.join("apt").join(format!("{release}-{}", kind.name()));
        fs::create_dir_all(&apt).with_context(|| format!("{} cannot be made", apt.display()))?;
        let lock = File::create(folder.join("apt").join("lock"))?;
        if FileExt::try_lock(&lock).is_err() {
            say("waiting for another run to finish");
            FileExt::lock(&lock)?;
        }
        let store = Self { say, folder, apt, release, kind, _lock: lock };
        store.remove_leftovers()?;
        Ok(store)
    }

    /// What an interrupted run left; nobody uses it while this process holds the lock.
    fn remove_leftovers(&self) -> Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(".new-") {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }

    fn get(&self, package: &str, refresh: bool) -> Result<PathBuf> {
        if !is_package_name(package) {
            bail!("{package:?} is not the name of a Debian package");
        }
        if let Some(folder) = self.known(package).filter(|_| !refresh) {
            return Ok(folder);
        }
        let fetched = match self.fetch(package, refresh) {
            // The lists may be older than the archive.
            Err(Failure::Passing(first) | Failure::NotServed(first)) => {
                (self.say)(&format!("trying again: {first:#}"));
                self.forget_lists()?;
                self.fetch(package, true)
            }
            other => other,
        };
        let fetched = match fetched {
            Err(Failure::NotServed(error)) => self.fetch_kept(package, error),
            other => other,
        };
        match fetched {
            Ok(folder) => Ok(folder),
            Err(Failure::Final(error) | Failure::Passing(error) | Failure::NotServed(error)) => {
                Err(error.context(format!("Debian's {} {package} ({})", self.kind.name(), self.release)))
            }
        }
    }

    fn depends(&self, package: &str) -> Result<Vec<String>> {
        if !is_package_name(package) {
            bail!("{package:?} is not the name of a Debian package");
        }
        let ask = || -> Result<String, Failure> {
            self.configure().map_err(Failure::Final)?;
            self.update(false)?;
            let mut command = Command::new("apt-cache");
            command.arg("-c").arg(self.apt.join("apt.conf")).args(["show", "--no-all-versions", package]);
            let output = output(&mut command, "apt (this command needs Debian or Ubuntu)")?;
            if output.status.success() {
                return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
            }
            Err(judge_apt(String::from_utf8_lossy(&output.stderr).trim()))
        };
        match ask() {
            Ok(shown) => Ok(names_in_depends(&shown)),
            Err(Failure::Final(error) | Failure::Passing(error) | Failure::NotServed(error)) => {
                Err(error.context(format!("what Debian's package {package} needs ({})", self.release)))
            }
        }
    }

    /// The finished folder of an earlier run.
    fn known(&self, package: &str) -> Option<PathBuf> {
        let name = fs::read_to_string(self.note(package)).ok()?;
        let folder = self.folder.join(name.trim());
        folder.is_dir().then_some(folder)
    }

    fn note(&self, package: &str) -> PathBuf {
        self.apt.join(format!("{package}.folder"))
    }

    fn fetch(&self, package: &str, refresh: bool) -> Result<PathBuf, Failure> {
        // First of all, so that a machine without apt is told so, and not that its apt knows no archive.
        output(Command::new("apt-get").arg("--version"), "apt (this command needs Debian or Ubuntu)")?;
        self.configure().map_err(Failure::Final)?;
        self.update(refresh)?;
        let version = self.version(package)?;
        self.finish(package, &version, &|work, tree| match self.kind {
            Kind::Source => self.fetch_source(package, work, tree),
            Kind::Binary => self.fetch_binary(package, work, tree),
        })
    }

    /// A source of an earlier version, by its hashes.
    fn fetch_kept(&self, package: &str, error: anyhow::Error) -> Result<PathBuf, Failure> {
        let fits =
            |kept: &&Kept| self.kind == Kind::Source && kept.release == self.release && kept.package == package;
        let Some(kept) = KEPT.iter().find(fits) else { return Err(Failure::NotServed(error)) };
        (self.say)(&format!(
            "the archive lists a newer {package} and does not serve it: taking {}, by the hashes that the project keeps",
            kept.version
        ));
        let mirror = crate::mirror().map_err(|error| Failure::Final(error.into()))?;
        let mirror = mirror.trim_end_matches('/');
        self.finish(package, kept.version, &|work, tree| {
            for (file, hash) in kept.files {
                let uri = format!("{mirror}/{}/{file}", kept.folder);
                let mut command = Command::new(HELPER);
                command.arg("-c").arg(self.apt.join("apt.conf")).arg("download-file");
                command.arg(uri).arg(work.join(file)).arg(format!("SHA256:{hash}"));
                let output = output(&mut command, "apt")?;
                if !output.status.success() {
                    let said = String::from_utf8_lossy(&output.stderr);
                    return Err(anyhow::anyhow!("{file} cannot be fetched either\n{}", said.trim()).into());
                }
            }
            self.unpack(package, work, tree)
        })
    }

    /// The folder of a version, made by `make` in a folder of its own where it is not there yet.
    fn finish(
        &self,
        package: &str,
        version: &str,
        make: &dyn Fn(&Path, &Path) -> Result<(), Failure>,
    ) -> Result<PathBuf, Failure> {
        let name = format!("{package}-{version}");
        let folder = self.folder.join(&name);
        if folder.is_dir() {
            // A source always has debian/control at its top, an unpacked package never.
            if folder.join("debian/control").is_file() != (self.kind == Kind::Source) {
                return Err(Failure::Final(anyhow::anyhow!(
                    "{} holds the other kind of package: remove it",
                    folder.display()
                )));
            }
        } else {
            let work = tempfile::Builder::new().prefix(".new-").tempdir_in(&self.folder)?;
            let tree = work.path().join("tree");
            fs::create_dir(&tree)?;
            make(work.path(), &tree)?;
            fs::rename(&tree, &folder)?;
        }
        fs::write(self.note(package), name)?;
        Ok(folder)
    }

    /// Writes the private configuration of apt.
    fn configure(&self) -> Result<()> {
        let keyring = crate::keyring()?.display();
        let mirror = crate::mirror()?;
        let types = match self.kind {
            Kind::Source => "deb-src",
            Kind::Binary => "deb",
        };
        let sources = self.apt.join("sources");
        for folder in [&sources, &self.apt.join("lists/partial"), &self.apt.join("cache/archives/partial")] {
            fs::create_dir_all(folder)?;
        }
        let entry = format!(
            "Types: {types}\nURIs: {mirror}\nSuites: {}\nComponents: main\nSigned-By: {keyring}\n",
            self.release
        );
        let place = sources.join("debian.sources");
        if fs::read_to_string(&place).is_ok_and(|known| known != entry) {
            self.forget_lists()?;
        }
        fs::write(place, entry)?;
        let state = self.apt.to_str().filter(|path| !path.contains(['"', '\n', '\\']));
        let state = state.with_context(|| format!("apt cannot work in {}", self.apt.display()))?;
        fs::write(self.apt.join("apt.conf"), apt_configuration(state))?;
        Ok(())
    }

    fn update(&self, refresh: bool) -> Result<(), Failure> {
        let stamp = self.apt.join("updated");
        let age = fs::metadata(&stamp).and_then(|meta| meta.modified()).ok().and_then(|time| time.elapsed().ok());
        if !refresh && age.is_some_and(|age| age < LISTS_LAST) {
            return Ok(());
        }
        (self.say)(&format!("fetching Debian's list of {}s ({})", self.kind.name(), self.release));
        self.apt_get(&["update", "--error-on=any"], &self.apt)?;
        File::create(stamp)?;
        Ok(())
    }

    fn forget_lists(&self) -> Result<()> {
        for name in ["lists", "cache"] {
            let folder = self.apt.join(name);
            if folder.is_dir() {
                fs::remove_dir_all(folder)?;
            }
        }
        match fs::remove_file(self.apt.join("updated")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// The version that apt would fetch, without its epoch, as in the names of its files.
    fn version(&self, package: &str) -> Result<String, Failure> {
        let arguments: &[&str] = match self.kind {
            Kind::Source => &["source", "--print-uris", "--dsc-only", package],
            Kind::Binary => &["download", "--print-uris", package],
        };
        let output = self.apt_get(arguments, &self.apt)?;
        let text = String::from_utf8_lossy(&output.stdout);
        let version = text.lines().filter_map(|line| file_of_uri_line(line)).find_map(version_of_file);
        version
            .with_context(|| format!("apt does not say which version of {package} there is"))
            .map_err(Failure::Final)
    }

    fn fetch_source(&self, package: &str, work: &Path, tree: &Path) -> Result<(), Failure> {
        (self.say)(&format!("fetching the source of {package} ({})", self.release));
        // Some mirrors keep no .dsc files. The hashes of the others stand in the signed list, and apt checks them.
        for part in ["--tar-only", "--diff-only"] {
            self.apt_get(&["source", "--download-only", part, package], work).map_err(
                |failure| {
                    match failure {
                Failure::Final(error) if is_not_served(&error.to_string()) => Failure::NotServed(error.context(
                    "the archive lists this source and does not serve it: name another archive in DEBIAN_MIRROR",
                )),
                other => other,
            }
                },
            )?;
        }
        self.unpack(package, work, tree)
    }

    /// Unpacks the archives that lie in `work`.
    fn unpack(&self, package: &str, work: &Path, tree: &Path) -> Result<(), Failure> {
        let mut archives = crate::files_in(work)?;
        // The packaging comes last: it replaces what the original has in its place.
        archives.sort_by_key(|path| (is_packaging(path), path.clone()));
        if archives.is_empty() {
            return Err(anyhow::anyhow!("apt fetched no file of {package}").into());
        }
        (self.say)(&format!("unpacking {package}"));
        for archive in &archives {
            unpack_source(archive, tree)?;
        }
        apply_patches(tree)
    }

    fn fetch_binary(&self, package: &str, work: &Path, tree: &Path) -> Result<(), Failure> {
        (self.say)(&format!("fetching {package} ({})", self.release));
        self.apt_get(&["download", package], work)?;
        for archive in crate::files_in(work)? {
            run(Command::new("dpkg-deb").arg("-x").arg(archive).arg(tree), "dpkg")?;
        }
        Ok(())
    }

    fn apt_get(&self, arguments: &[&str], folder: &Path) -> Result<Output, Failure> {
        let mut command = Command::new("apt-get");
        command.arg("-qq").arg("-c").arg(self.apt.join("apt.conf")).args(arguments).current_dir(folder);
        let output = output(&mut command, "apt")?;
        if output.status.success() {
            return Ok(output);
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(judge_apt(&said))
    }
}

/// Settings that win over the machine's own. The hooks of the machine are cleared: they are meant for its state.
fn apt_configuration(state: &str) -> String {
    format!(
        r#"#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear APT::Architectures;
#clear APT::Default-Release;
APT::Architecture "amd64";
APT::Architectures {{ "amd64"; }};
APT::Sandbox::User "root";
APT::Get::AllowUnauthenticated "false";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
Acquire::AllowDowngradeToInsecureRepositories "false";
Acquire::Check-Valid-Until "true";
Acquire::Languages "none";
Acquire::Retries "1";
Acquire::http::Timeout "30";
Acquire::https::Timeout "30";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::IndexTargets::deb::DEP-11-icons-small::DefaultEnabled "false";
Acquire::IndexTargets::deb::DEP-11-icons::DefaultEnabled "false";
Acquire::IndexTargets::deb::DEP-11-icons-hidpi::DefaultEnabled "false";
Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";
Acquire::IndexTargets::deb-src::Contents-dsc::DefaultEnabled "false";
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "{state}/sources";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::Etc::trusted "/dev/null";
Dir::Etc::trustedparts "/dev/null";
Dir::State "{state}";
Dir::State::lists "{state}/lists";
Dir::State::status "/dev/null";
Dir::Cache "{state}/cache";
"#
    )
}

/// Says what apt's message means and whether trying again can help.
fn judge_apt(said: &str) -> Failure {
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if has(&["Unable to find a source package", "Unable to locate package", "no installation candidate"]) {
        return Failure::Final(anyhow::anyhow!("the archive has no package of that name\n{said}"));
    }
    if has(&["Failed to fetch", "does not have a Release file"])
        && has(&["  40", " 404", "Not Found", "Release file"])
    {
        return Failure::Final(anyhow::anyhow!(
            "there is no Debian archive at that address: set DEBIAN_MIRROR to one, as in \
             DEBIAN_MIRROR=http://SERVER/debian\n{said}"
        ));
    }
    if has(&["NO_PUBKEY", "is not signed", "couldn't be verified", "could not be verified"]) {
        return Failure::Final(anyhow::anyhow!(
            "the archive is not signed with a key of the package debian-archive-keyring: \
             install its newest version, or name another archive in DEBIAN_MIRROR\n{said}"
        ));
    }
    if has(&[
        "resolving",
        "resolve",
        "Could not connect",
        "Unable to connect",
        "Connection",
        "timed out",
        "unreachable",
    ]) {
        return Failure::Passing(anyhow::anyhow!(
            "the network or the archive cannot be reached; DEBIAN_MIRROR can name another archive\n{said}"
        ));
    }
    Failure::Passing(anyhow::anyhow!("apt-get failed\n{said}"))
}

/// The names in a package's field `Depends`.
fn names_in_depends(shown: &str) -> Vec<String> {
    let field = shown.lines().find_map(|line| line.strip_prefix("Depends:")).unwrap_or_default();
    field.split(',').filter_map(|one| one.split_whitespace().next()).map(str::to_owned).collect()
}

/// Whether apt says that a file of a package is not there; its lists are, or it would not know of the file.
fn is_not_served(said: &str) -> bool {
    said.contains("Failed to fetch") && said.contains("/pool/") && said.contains("404")
}

/// The file's name in a line of `apt-get --print-uris`: a quoted URI, the name, the size, the hash.
fn file_of_uri_line(line: &str) -> Option<&str> {
    line.strip_prefix('\'')?.split_once("' ")?.1.split(' ').next()
}

/// `NAME_VERSION.dsc` or `NAME_VERSION_ARCHITECTURE.deb`.
fn version_of_file(file: &str) -> Option<String> {
    let (_, rest) = file.strip_suffix(".dsc").or_else(|| file.strip_suffix(".deb"))?.split_once('_')?;
    let version = rest.split('_').next()?;
    // An epoch is written %3a in a file's name.
    let version = version.split_once("%3a").map_or(version, |(_, version)| version);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.~".contains(&byte);
    (!version.is_empty() && version.bytes().all(plain)).then(|| version.to_owned())
}

fn is_package_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte);
    name.len() > 1 && name.bytes().all(plain) && !name.starts_with(['+', '-', '.'])
}

fn is_packaging(archive: &Path) -> bool {
    archive.file_name().is_some_and(|name| name.to_string_lossy().contains(".debian.tar."))
}

/// Unpacks one archive of a source package into its place in the tree.
fn unpack_source(archive: &Path, tree: &Path) -> Result<(), Failure> {
    let name = archive.file_name().unwrap_or_default().to_string_lossy();
    let mut folder = tree.to_owned();
    let mut strip = true;
    if is_packaging(archive) {
        let own = tree.join("debian");
        if own.exists() {
            fs::remove_dir_all(own)?;
        }
        strip = false;
    } else if let Some((component, _)) = name.split_once(".orig-").and_then(|(_, rest)| rest.split_once(".tar.")) {
        folder.push(component);
        fs::create_dir_all(&folder)?;
    }
    let mut command = Command::new("tar");
    command.args(["-x", "--no-same-owner", "-f"]).arg(archive).arg("-C").arg(folder);
    if strip {
        command.arg("--strip-components=1");
    }
    run(&mut command, "tar and xz-utils")
}

/// Applies Debian's own changes, as unpacking with the .dsc would.
fn apply_patches(tree: &Path) -> Result<(), Failure> {
    let folder = tree.join("debian/patches");
    let Ok(series) = fs::read_to_string(folder.join("series")) else { return Ok(()) };
    for line in series.lines() {
        let Some(name) = line.split('#').next().and_then(|line| line.split_whitespace().next()) else { continue };
        let mut command = Command::new("patch");
        command.args(["-p1", "--batch", "--silent", "--remove-empty-files", "--no-backup-if-mismatch", "-i"]);
        run(command.arg(folder.join(name)).current_dir(tree), "patch")?;
    }
    Ok(())
}

fn run(command: &mut Command, package: &str) -> Result<(), Failure> {
    let output = output(command, package)?;
    if output.status.success() {
        return Ok(());
    }
    let program = command.get_program().to_string_lossy().into_owned();
    Err(anyhow::anyhow!("{program} failed\n{}", String::from_utf8_lossy(&output.stderr).trim()).into())
}

fn output(command: &mut Command, package: &str) -> Result<Output, Failure> {
    // Messages are compared, so they must be in one language.
    command.env("LC_ALL", "C").output().map_err(|error| {
        let program = command.get_program().to_string_lossy().into_owned();
        Failure::Final(match error.kind() {
            io::ErrorKind::NotFound => anyhow::anyhow!("{program} is not there: install {package}"),
            _ => anyhow::anyhow!("{program} cannot be started: {error}"),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_from_the_names_of_files() {
        let line = "'http://a.invalid/x/xen_4.20%2b1-0.dsc' xen_4.20+1-0.dsc 4061 SHA256:00";
        assert_eq!(file_of_uri_line(line).and_then(version_of_file).as_deref(), Some("4.20+1-0"));
        assert_eq!(version_of_file("a_1%3a2.0-1_amd64.deb").as_deref(), Some("2.0-1"));
        assert_eq!(version_of_file("a_../../b.dsc"), None);
        assert_eq!(file_of_uri_line("NOTICE: 'xen' packaging"), None);
    }

    #[test]
    fn names_that_apt_would_read_as_something_else_are_refused() {
        for name in ["xen", "grub-common", "libstdc++6", "xen-hypervisor-4.20-amd64"] {
            assert!(is_package_name(name), "{name}");
        }
        for name in ["", "x", "--allow", "../a", "a b", "Xen", "xen=4", "./x.deb"] {
            assert!(!is_package_name(name), "{name}");
        }
    }

    #[test]
    fn what_a_package_needs_is_told_by_name() {
        let shown = "Package: linux-image-amd64\nPre-Depends: x\nDepends: linux-image-6.12.1+deb13-amd64 (= 6.12.1-1), a | b\n";
        assert_eq!(names_in_depends(shown), ["linux-image-6.12.1+deb13-amd64", "a"]);
        assert!(names_in_depends("Package: a\n").is_empty());
    }

    #[test]
    fn a_listed_file_that_is_not_served_is_no_missing_archive() {
        assert!(is_not_served(
            "E: Failed to fetch http://a.invalid/debian/pool/main/x/xen/x.tar.xz  404  Not Found"
        ));
        assert!(!is_not_served(
            "E: Failed to fetch http://a.invalid/debian/dists/trixie/InRelease  404  Not Found"
        ));
    }

    #[test]
    fn what_is_kept_is_named_as_the_archive_names_it() {
        for kept in KEPT {
            for (file, hash) in kept.files {
                assert!(file.starts_with(&format!("{}_", kept.package)) && kept.folder.ends_with(kept.package));
                assert!(hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()), "{file}");
            }
            assert!(kept.files.iter().any(|(file, _)| file.contains(kept.version)), "{}", kept.version);
        }
    }

    #[test]
    fn messages_of_apt_are_told_apart() {
        let last = |said| matches!(judge_apt(said), Failure::Final(_));
        assert!(last("E: Unable to locate package nosuch"));
        assert!(last("W: GPG error: NO_PUBKEY 00"));
        assert!(!last("E: Failed to fetch x Hash Sum mismatch"));
        assert!(!last("Temporary failure resolving 'a.invalid'"));
    }
}
