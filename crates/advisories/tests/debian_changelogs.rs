//! The releases that `policy/advisories` says have a fix, against what the changelogs of Debian's Xen packages say: each upload of
//! the 4.17 and the 4.20 package, in both directions.
//!
//! Fetches Debian's packages, so `make advisories`, and so `make test`, runs it and not `cargo test`.

#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use lockdown_advisories::{Changelog, Corpus, Standing, Upload, Version};
use lockdown_debian::fetch::{self, Release};

/// Not what the changelog says, with the reason.
const EXPLAINED: &[(&str, u16, &str)] = &[];

/// The uploads of a changelog, oldest first: the version, and what that upload says it fixed.
fn uploads(text: &str) -> Vec<(Version, Upload)> {
    let uploads = Changelog::read(text).uploads;
    // Uploads of long ago have other forms of versions.
    let read = |upload: Upload| Version::read(upload.version.as_deref()?).ok().map(|version| (version, upload));
    uploads.into_iter().rev().filter_map(read).collect()
}

fn changelog(release: Release) -> String {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(target, PathBuf::from);
    let package = "xen-hypervisor-common";
    let folder = fetch::binary(&target, release, package, false, &|what| println!("{what}")).unwrap();
    let mut text = String::new();
    let path = folder.join("usr/share/doc").join(package).join("changelog.Debian.gz");
    GzDecoder::new(fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    text
}

fn compare(release: Release, branch: (u16, u16)) {
    let corpus = Corpus::embedded().unwrap();
    let uploads: Vec<_> = uploads(&changelog(release))
        .into_iter()
        .filter(|(version, _)| version.release.branch == branch && !version.is_before)
        .collect();
    assert!(uploads.len() > 3, "{release} has {} uploads of this branch", uploads.len());
    let mut fixed: BTreeSet<u16> = BTreeSet::new();
    let (mut asked, mut between) = (0, 0);
    let mut wrong: BTreeMap<(String, u16), String> = BTreeMap::new();
    for (at, (version, changelog)) in uploads.iter().enumerate() {
        fixed.extend(&changelog.fixed);
        let later: BTreeSet<u16> =
            uploads.iter().skip(at + 1).flat_map(|(_, changelog)| changelog.fixed.iter().copied()).collect();
        for xsa in &fixed {
            let Some(advisory) = corpus.advisory(*xsa) else {
                assert!(*xsa < 300 || corpus.record(*xsa).is_some(), "XSA-{xsa} is not known here");
                continue;
            };
            asked += 1;
            match corpus.standing(advisory, version) {
                Standing::Open(why) => {
                    wrong.insert(
                        (version.text.clone(), *xsa),
                        format!("open ({why}), and the package has the fix"),
                    );
                }
                Standing::Unknown(_) => between += 1,
                Standing::Fixed(_) | Standing::NotAffected(_) => {}
            }
        }
        for xsa in later.difference(&fixed) {
            let Some(advisory) = corpus.advisory(*xsa) else { continue };
            asked += 1;
            match corpus.standing(advisory, version) {
                Standing::Fixed(why) | Standing::NotAffected(why) => {
                    wrong.insert(
                        (version.text.clone(), *xsa),
                        format!("fixed ({why}), and a later upload says so first"),
                    );
                }
                Standing::Unknown(_) => between += 1,
                Standing::Open(_) => {}
            }
        }
    }
    println!(
        "{release}: {} uploads, {asked} answers compared, {between} of them lie between two releases",
        uploads.len()
    );
    for (version, xsa, why) in EXPLAINED {
        if let Some(is) = wrong.remove(&((*version).to_owned(), *xsa)) {
            println!("{version} XSA-{xsa}: {is}: {why}");
        }
    }
    let wrong: Vec<_> = wrong.iter().map(|((version, xsa), is)| format!("{version} XSA-{xsa}: {is}")).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
#[ignore = "fetches Debian's packages: `make advisories`, and so `make test`, runs it"]
fn releases_of_fixes_are_those_of_the_4_20_package() {
    compare(Release::Trixie, (4, 20));
}

#[test]
#[ignore = "fetches Debian's packages: `make advisories`, and so `make test`, runs it"]
fn releases_of_fixes_are_those_of_the_4_17_package() {
    compare(Release::Bookworm, (4, 17));
}
