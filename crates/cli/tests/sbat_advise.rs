//! `xen-lockdown sbat advise`: versions, images, changelogs and records; each refusal has a twin.

#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../../image/tests/builder/mod.rs"]
#[allow(dead_code)]
mod builder;
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use builder::Pe;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use lockdown_advisories::Changelog;
use lockdown_debian::fetch::{self, Release};
use lockdown_image::sbat::HEADER;
use serde_json::Value;
use support::run;
use tempfile::TempDir;

const CHANGELOG: &str = "\
xen (4.20.3+127-gc42374a105-1) trixie; urgency=medium

  * Fixes XSA-486, XSA-491, XSA-500, XSA-501, XSA-502, XSA-505 and XSA-507.
  * Note that the following XSA are not listed, because...
    - XSA-496 only applies to Xen 4.21 and later
";
const HISTORY: &str = "\
[[generation]]
component = \"xen\"
number = 1
date = 2025-03-05
version = \"4.20.0\"

[[generation]]
component = \"xen\"
number = 2
date = 2025-12-01

[[skipped]]
xsa = 480
why = \"Our build has no Intel.\"
";

/// The builder fills sections up with bytes that are not zeros, which a table may not have behind it.
fn section(name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.resize(bytes.len().next_multiple_of(0x20), 0);
    Pe::new().with(".text", &[0x90; 0x20]).with(name, &bytes).build()
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        let image = |table: &str| section(".sbat", table.as_bytes());
        let row = "xen.example,2,Example,xen,4.20.3,mail:security@example.org";
        folder.write("unified.efi", &image(&format!("{HEADER}\n{row}\n")));
        folder.write("no-version.efi", &image(&format!("{HEADER}\n{}\n", row.replace("4.20.3", "newest"))));
        folder.write("no-row.efi", &image(&format!("{HEADER}\n{}\n", row.replace("xen.example", "grub"))));
        folder.write("wrong-table.efi", &image(&format!("{HEADER}\n{}\n", row.replace(",2,", ",two,"))));
        folder.write("no-table.efi", &section(".config", b"[xen]"));
        folder.write("changelog", CHANGELOG.as_bytes());
        let mut packed = GzEncoder::new(Vec::new(), Compression::default());
        packed.write_all(CHANGELOG.as_bytes()).unwrap();
        folder.write("changelog.gz", &packed.finish().unwrap());
        folder.write("cut.gz", &fs::read(folder.path("changelog.gz")).unwrap()[..60]);
        folder.write("other-changelog", b"xen-tools (5.2-1) unstable; urgency=medium\n\n  * New.\n");
        folder.write("rpm-changelog", b"* Tue Jul 28 2026 Somebody - 4.19.5-2\n- XSA-500\n");
        folder.write("history.toml", HISTORY.as_bytes());
        folder.write("config", b"CONFIG_X86=y\nCONFIG_HVM=y\n# CONFIG_SHADOW_PAGING is not set\n");
        folder
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs it; words that name files of the folder become their paths.
    fn run(&self, words: &[&str]) -> (i32, String, String) {
        let words = words.iter().map(|word| {
            let path = self.path(word);
            if path.is_file() { path.to_str().unwrap().to_owned() } else { (*word).to_owned() }
        });
        let all: Vec<String> = ["sbat".to_owned(), "advise".to_owned()].into_iter().chain(words).collect();
        let output = run(&all.iter().map(String::as_str).collect::<Vec<_>>());
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    fn answer(&self, words: &[&str]) -> (i32, Value) {
        let (status, out, err) = self.run(&[words, &["--format", "json"]].concat());
        (status, serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {err}")))
    }

    #[track_caller]
    fn refuses(&self, words: &[&str], message: &str) {
        let (status, out, err) = self.run(words);
        assert_eq!((status, out.as_str()), (2, ""), "{err}");
        assert!(err.contains(message), "{err}");
    }
}

fn numbers(list: &Value) -> BTreeSet<u64> {
    list.as_array().unwrap().iter().map(|entry| entry["xsa"].as_u64().unwrap()).collect()
}

#[test]
fn what_was_fixed_since_a_version_makes_the_generation_rise() {
    let folder = Folder::new();
    let (status, document) = folder.answer(&["--xen", "4.20.4", "--since", "4.20.3"]);
    let xen = &document["components"][0];
    assert_eq!(
        (status, &document["schema"], &xen["rises"]),
        (1, &"xen-lockdown/sbat-advise/1".into(), &"yes".into())
    );
    let fixed = numbers(&xen["fixed_since"]);
    assert!(fixed.is_superset(&[486, 491, 494, 500, 501, 502, 505, 507].into()), "{fixed:?}");
    // Fixed in 4.20.3 already, and no breach.
    assert!(fixed.is_disjoint(&[480, 503].into()), "{fixed:?}");
    // Published later; what its releases have is not known.
    let later: BTreeSet<u64> = numbers(&xen["open"]).union(&numbers(&xen["unknown"])).copied().collect();
    assert!(later.is_superset(&[516, 517, 523].into()), "{later:?}");
    // Nothing can have been fixed since the same version.
    assert_eq!(
        folder.answer(&["--xen", "4.20.4", "--since", "4.20.4"]).1["components"][0]["fixed_since"],
        serde_json::json!([])
    );
}

#[test]
fn a_day_counts_what_was_published_after_it() {
    let folder = Folder::new();
    let fixed =
        |since| numbers(&folder.answer(&["--xen", "4.20.4", "--since", since]).1["components"][0]["fixed_since"]);
    assert!(fixed("2026-07-27").contains(&500));
    assert!(!fixed("2026-07-28").contains(&500));
    assert!(!fixed("2026-07-27").contains(&480));
}

#[test]
fn without_a_last_time_nothing_is_said_of_rising() {
    let folder = Folder::new();
    let (status, out, _) = folder.run(&["--xen", "4.20.1"]);
    assert_eq!(status, 1);
    assert!(out.starts_with("xen 4.20.1: say when the generation last rose (--since, --history)"), "{out}");
    assert_eq!(folder.answer(&["--xen", "4.20.1"]).1["components"][0]["rises"], Value::Null);
}

#[test]
fn a_configuration_takes_away_what_it_does_not_build() {
    let folder = Folder::new();
    let asked = ["--xen", "4.20.3", "--since", "4.20.2"];
    let (_, anyhow) = folder.answer(&asked);
    assert!(numbers(&anyhow["components"][0]["open"]).contains(&494));
    assert!(numbers(&anyhow["components"][0]["open"]).contains(&493));
    let (_, here) = folder.answer(&[&asked[..], &["--config", "config"]].concat());
    let xen = &here["components"][0];
    assert!(numbers(&xen["open"]).is_disjoint(&[494, 493].into()));
    assert!(numbers(&xen["moot"]).is_superset(&[494, 493, 477].into()));
    let (_, out, _) = folder.run(&[&asked[..], &["--config", "config", "--all"]].concat());
    assert!(out.contains("fixed in 4.20.4; CONFIG_SHADOW_PAGING is not set"), "{out}");
    assert!(out.contains("it is for x86"), "{out}");
}

#[test]
fn a_configuration_with_an_option_leaves_the_command_line() {
    let folder = Folder::new();
    folder.write("with", b"CONFIG_GRANT_TABLE=y\n");
    folder.write("without", b"# CONFIG_GRANT_TABLE is not set\n");
    let answer = |config: &str| folder.answer(&["--xen", "4.20.3", "--config", config]).1["components"][0].clone();
    let with = answer("with");
    let open = with["open"].as_array().unwrap().iter().find(|entry| entry["xsa"] == 501).unwrap();
    assert_eq!(open["not_if"], serde_json::json!(["gnttab=max-ver:1 on the signed command line"]));
    assert!(!numbers(&answer("without")["open"]).contains(&501));
}

#[test]
fn a_changelog_says_what_a_snapshot_has() {
    let folder = Folder::new();
    let version = "4.20.3+127-gc42374a105-1";
    let (_, bare) = folder.answer(&["--xen", version, "--since", "4.20.3"]);
    let xen = &bare["components"][0];
    assert!(numbers(&xen["unknown"]).contains(&500));
    assert_eq!(xen["rises"], "conditional");
    for name in ["changelog", "changelog.gz"] {
        let (_, told) = folder.answer(&["--changelog", name, "--since", "4.20.3"]);
        let xen = &told["components"][0];
        assert_eq!((&xen["version"], &xen["rises"]), (&version.into(), &"yes".into()), "{name}");
        assert!(numbers(&xen["fixed_since"]).contains(&500));
        // It names everything that it has.
        assert!(numbers(&xen["open"]).contains(&494));
        assert_eq!(xen["unknown"], serde_json::json!([]));
    }
    let (_, listed) = folder.answer(&["--xen", version, "--since", "4.20.3", "--fixed", "500,XSA-494"]);
    assert!(numbers(&listed["components"][0]["fixed_since"]).is_superset(&[494, 500].into()));
}

#[test]
fn a_changelog_says_what_was_fixed_when_the_generation_last_rose() {
    let folder = Folder::new();
    let newest = format!(
        "{}{CHANGELOG}",
        CHANGELOG.replace("4.20.3+127-gc42374a105-1", "4.20.4-1").replace("XSA-486, XSA-491, ", "XSA-516, ")
    );
    folder.write("two-entries", newest.as_bytes());
    let fixed = |since| {
        numbers(
            &folder.answer(&["--changelog", "two-entries", "--since", since]).1["components"][0]["fixed_since"],
        )
    };
    assert!(fixed("4.20.3+127-gc42374a105-1").contains(&516));
    assert!(!fixed("4.20.3+127-gc42374a105-1").contains(&486));
    assert_eq!(fixed("4.20.4-1"), [].into());
    // A snapshot of which no changelog speaks may have had the fix.
    let (_, document) = folder.answer(&["--xen", "4.20.4", "--since", "4.20.3+127-gc42374a105"]);
    assert_eq!(document["components"][0]["rises"], "conditional");
    assert_eq!(document["components"][0]["fixed_since"][0]["maybe_before"], true);
}

#[test]
fn a_changelog_has_to_be_the_builds_own() {
    let folder = Folder::new();
    folder.refuses(
        &["--xen", "4.17.0", "--changelog", "changelog"],
        "no entry is about 4.17.0; its newest is about 4.20.3+127-gc42374a105-1",
    );
    folder.write("linux-changelog", b"linux (6.12.90-1) trixie; urgency=medium\n\n  * XSA-487\n");
    folder.refuses(&["--changelog", "linux-changelog"], "is the changelog of linux, and not of Xen's package");
    // What it takes back is not known to be fixed.
    folder.write("reverted", CHANGELOG.replace("  * Note", "  * Revert the fix of XSA-491.\n  * Note").as_bytes());
    let (_, document) = folder.answer(&["--changelog", "reverted"]);
    assert!(numbers(&document["components"][0]["unknown"]).contains(&491));
}

#[test]
fn an_image_says_its_version_and_its_generation() {
    let folder = Folder::new();
    let (status, out, _) = folder.run(&["unified.efi", "--since", "2025-03-05"]);
    assert_eq!(status, 1);
    assert!(
        out.starts_with(
            "xen 4.20.3, generation 2: the generation has to rise to 3, once for what was published on "
        ),
        "{out}"
    );
    folder
        .refuses(&["no-table.efi"], "no-table.efi has no section .sbat, so it says no version and no generation");
    folder
        .refuses(&["no-version.efi"], "no-version.efi:.sbat:2: the row of xen.example: \"newest\" is no version");
    folder.refuses(&["no-row.efi"], "no-row.efi:.sbat has no row of xen, or of a vendor's xen");
    folder.refuses(&["wrong-table.efi"], "wrong-table.efi:.sbat is not well-formed");
    folder.refuses(&["changelog"], "is no image");
    // What its row does not say can be said beside it.
    assert_eq!(folder.run(&["no-version.efi", "--xen", "4.20.3"]).0, 1);
}

#[test]
fn a_record_says_when_a_generation_began_and_what_was_passed_over() {
    let folder = Folder::new();
    let asked =
        |words: &[&str]| folder.answer(&[&["--xen", "4.20.3", "--history", "history.toml"], words].concat()).1;
    let first = asked(&["--generation", "1"]);
    assert_eq!(first["components"][0]["since"]["version"], "4.20.0");
    assert!(numbers(&first["components"][0]["fixed_since"]).is_superset(&[472, 475, 480].into()));
    let newest = asked(&[]);
    let xen = &newest["components"][0];
    assert_eq!((&xen["generation"], &xen["since"]["date"]), (&2.into(), &"2025-12-01".into()));
    // 480 is the only yes since then, and was passed over; 477 is conditional.
    assert_eq!(numbers(&xen["fixed_since"]), [477, 480].into());
    assert_eq!(xen["rises"], "conditional");
    let (_, of_image) = folder.answer(&["unified.efi", "--history", "history.toml"]);
    assert_eq!(of_image["components"][0]["since"]["date"], "2025-12-01");
    folder.refuses(
        &["--xen", "4.20.3", "--history", "history.toml", "--generation", "3"],
        "history.toml: no generation 3 of xen stands in it",
    );
    folder.refuses(&["--xen", "4.20.3", "--history", "config"], "config:");
}

#[test]
fn dom0s_kernel_is_a_component_of_its_own() {
    let folder = Folder::new();
    let (status, document) = folder.answer(&["--linux", "6.12.100", "--since", "2026-01-01"]);
    let linux = &document["components"][0];
    assert_eq!((status, &linux["component"], &linux["rises"]), (1, &"linux-dom0".into(), &"yes".into()));
    assert_eq!(numbers(&linux["fixed_since"]), [485, 487].into());
    // Its published fix passes over dom0.
    assert_eq!(numbers(&linux["open"]), [482].into());
    let (_, old) = folder.answer(&["--linux", "6.12.80-1"]);
    assert_eq!(numbers(&old["components"][0]["open"]), [482, 485, 487].into());
    let (_, both) = folder.answer(&[
        "--xen",
        "4.20.3",
        "--linux",
        "6.12.100",
        "--since",
        "4.20.2",
        "--linux-since",
        "6.12.84",
    ]);
    assert_eq!(both["components"][1]["rises"], "yes");
    // Backports, and a fix of one's own.
    let (_, own) = folder.answer(&["--linux", "6.12.80-1", "--fixed", "482,485"]);
    assert_eq!(numbers(&own["components"][0]["open"]), [487].into());
}

#[test]
fn what_is_newer_than_the_data_is_not_judged_unless_asked_for() {
    let folder = Folder::new();
    for version in ["4.20.77", "4.99.0", "5.0.1"] {
        folder.refuses(&["--xen", version], &format!("Xen {version} is newer than the data: they end at XSA-"));
        assert_eq!(folder.run(&["--xen", version, "--allow-stale"]).2, "");
    }
}

#[test]
fn nothing_is_guessed() {
    let folder = Folder::new();
    folder.refuses(&["--xen", "4.20"], "--xen: \"4.20\" names a branch and no release: say which, as in 4.20.1");
    folder.refuses(&["--xen", "latest"], "--xen: \"latest\" is no version");
    folder.refuses(&["--linux", "six"], "--linux: \"six\" is no version");
    folder.refuses(
        &["--xen", "4.20.1", "--since", "2026-02-30"],
        "--since: \"2026-02-30\" is neither a day, as 2026-07-28, nor a version",
    );
    folder.refuses(&["--xen", "4.20.1", "--since", "lately"], "--since: \"lately\" is neither");
    folder.refuses(&["--xen", "4.20.1", "--fixed", "XSA-9999"], "XSA-9999 is no advisory that is known here");
    folder
        .refuses(&["--xen", "4.20.1", "--fixed", "CVE-2026-1"], "--fixed CVE-2026-1: write it as 500 or XSA-500");
    folder.refuses(
        &["--xen", "4.20.1", "--changelog", "other-changelog"],
        "names no advisory (XSA-309): it is no changelog of Xen's",
    );
    folder.refuses(&["--changelog", "rpm-changelog"], "rpm-changelog: its first entry says no version");
    folder.refuses(&["--xen", "4.20.1", "--changelog", "cut.gz"], "cut.gz cannot be unpacked");
    folder.refuses(&["--xen", "4.20.1", "--changelog", "none"], "none cannot be read");
    folder.refuses(&["--xen", "4.20.1", "--generation", "2"], "--history");
    folder.refuses(&["--xen", "4.20.1", "--fixed", "514"], "XSA-514 is no advisory that is known here");
    folder.refuses(
        &["--xen", "4.20.1", "--since", "4.20.2"],
        "the generation last rose with 4.20.2, which is later than 4.20.1",
    );
    folder.refuses(&["--xen", "4.20.1", "--since", "4.19.99"], "there is no Xen 4.19.99 in the data");
    folder.refuses(
        &["--xen", "4.20.1", "--since", "2099-01-01"],
        "the generation last rose on 2099-01-01, and the data end on ",
    );
    folder.refuses(&["--xen", "4.20.1", "--since", "1999-01-01"], "the data begin on 2019-07-09");
    folder.refuses(&["--linux", "6.1.0-37-amd64"], "\"6.1.0-37-amd64\" is a distribution's name for a kernel");
    folder.refuses(&["--linux", "6.12.90", "--since", "4.20.2"], "say --linux-since");
    folder.write("skips-nothing", HISTORY.replace("xsa = 480", "xsa = 9999").as_bytes());
    folder.refuses(
        &["--xen", "4.20.3", "--history", "skips-nothing"],
        "a skipped advisory: XSA-9999 is no advisory",
    );
    folder.write("linux-config", b"#\n# Automatically generated file; DO NOT EDIT.\n# Linux/x86 6.12.57 Kernel Configuration\n#\nCONFIG_X86=y\n");
    folder.refuses(
        &["--xen", "4.20.1", "--config", "linux-config"],
        "linux-config: is a configuration of Linux, and not of Xen",
    );
    folder.refuses(&[], "required");
}

#[test]
fn a_configuration_is_the_builds_own() {
    let folder = Folder::new();
    folder.write(
        "xen-config",
        b"#\n# Automatically generated file; DO NOT EDIT.\n# Xen/x86 4.20.5-pre Configuration\n#\nCONFIG_X86=y\n",
    );
    folder.write("linux-config", b"#\n# Automatically generated file; DO NOT EDIT.\n# Linux/x86 6.12.57 Kernel Configuration\n#\nCONFIG_X86=y\n");
    let own =
        ["--xen", "4.20.4", "--config", "xen-config", "--linux", "6.12.90", "--linux-config", "linux-config"];
    folder.answer(&own);
    folder.refuses(
        &["--xen", "4.17.5", "--config", "xen-config"],
        "xen-config: is of xen 4.20, and the build is 4.17.5",
    );
    folder.refuses(
        &["--linux", "6.1.147", "--linux-config", "linux-config"],
        "linux-config: is of linux-dom0 6.12, and the build is 6.1.147",
    );
}

#[test]
fn nothing_open_and_nothing_to_rise_is_status_0() {
    let folder = Folder::new();
    let everything = "500,516,517,519,523,486,490,491,493,494,501,502,505,507,509,510,511";
    let (status, out, _) = folder.run(&["--xen", "4.20.4", "--since", "2026-11-29", "--fixed", everything]);
    assert_eq!(status, 0, "{out}");
    assert!(out.starts_with("xen 4.20.4: the generation stays\n"), "{out}");
}

/// What the newest package of a release says it fixed, and how it was configured.
fn package(release: Release, hypervisor: &str) -> (PathBuf, Changelog, String) {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"), PathBuf::from);
    let say = |what: &str| println!("{what}");
    let common = fetch::binary(&target, release, "xen-hypervisor-common", false, &say).unwrap();
    let changelog = common.join("usr/share/doc/xen-hypervisor-common/changelog.Debian.gz");
    let mut text = String::new();
    GzDecoder::new(fs::File::open(&changelog).unwrap()).read_to_string(&mut text).unwrap();
    let boot = fetch::binary(&target, release, hypervisor, false, &say).unwrap().join("boot");
    let mut config = fs::read_dir(boot).unwrap().map(|entry| entry.unwrap().path());
    let config = config.find(|path| path.extension().is_some_and(|extension| extension == "config"));
    (changelog, Changelog::read(&text), config.unwrap().to_str().unwrap().to_owned())
}

/// The answer for a package, against its own changelog.
fn confirm(release: Release, hypervisor: &str, since: &str) -> (BTreeSet<u64>, BTreeSet<u64>) {
    let folder = Folder::new();
    let (changelog, says, config) = package(release, hypervisor);
    let path = changelog.to_str().unwrap();
    let (_, document) = folder.answer(&["--changelog", path, "--config", &config, "--since", since]);
    let xen = &document["components"][0];
    println!("{}", serde_json::to_string(xen).unwrap().chars().take(200).collect::<String>());
    let (open, fixed) = (numbers(&xen["open"]), numbers(&xen["fixed_since"]));
    let says = says.whole();
    let says = |xsa: &u64| says.fixed.contains_key(&u16::try_from(*xsa).unwrap());
    assert_eq!(
        open.iter().filter(|xsa| says(xsa)).collect::<Vec<_>>(),
        Vec::<&u64>::new(),
        "open, and the changelog has it"
    );
    assert_eq!(
        fixed.iter().filter(|xsa| !says(xsa)).collect::<Vec<_>>(),
        Vec::<&u64>::new(),
        "fixed, and the changelog does not say so"
    );
    assert!(!fixed.is_empty());
    assert_eq!(xen["unknown"], serde_json::json!([]));
    (open, fixed)
}

#[test]
#[ignore = "fetches Debian's packages: `make advisories`, and so `make test`, runs it"]
fn debians_4_20_has_nothing_open_that_its_changelog_names() {
    let (open, fixed) = confirm(Release::Trixie, "xen-hypervisor-4.20-amd64", "4.20.2");
    assert!(fixed.is_superset(&[480, 486, 500, 501].into()), "{fixed:?}");
    // The package against itself: nothing was fixed since.
    let (changelog, says, _) = package(Release::Trixie, "xen-hypervisor-4.20-amd64");
    let newest = says.uploads[0].version.clone().unwrap();
    let folder = Folder::new();
    let (_, same) = folder.answer(&["--changelog", changelog.to_str().unwrap(), "--since", &newest]);
    assert_eq!(
        (&same["components"][0]["rises"], &same["components"][0]["fixed_since"]),
        (&"no".into(), &serde_json::json!([]))
    );
    assert!(open.is_disjoint(&[472, 475].into()), "{open:?}");
}

#[test]
#[ignore = "fetches Debian's packages: `make advisories`, and so `make test`, runs it"]
fn debians_4_17_has_nothing_open_that_its_changelog_names() {
    let (_, fixed) = confirm(Release::Bookworm, "xen-hypervisor-4.17-amd64", "4.17.0");
    assert!(fixed.is_superset(&[427, 428, 430, 438, 442].into()), "{fixed:?}");
}
