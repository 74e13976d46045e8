//! The guard where `prove` does not boot it: level confidentiality, raw hypercalls closed, a module unloaded by force.
//!
//! It boots six machines, so it runs only where it is asked for:
//! `cargo test --release -p lockdown-lab --test guarded_dom0 -- --ignored --nocapture`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a test may panic and print")]

use lockdown_lab::boot::{Boot, End};
use lockdown_lab::console::Verdict;
use lockdown_lab::image::{self, Parts};
use lockdown_lab::inside;
use lockdown_lab::lab::{Lab, OTHER_PROGRAM, Scenario, Xen, config};
use lockdown_lab::machine::Dom0;
use lockdown_lab::plan::{Plan, Step};
use lockdown_lab::prove;
use lockdown_lab::toolstack;

fn lab() -> Lab {
    Lab::open(&prove::default_folder(), &prove::project(), &|text| println!("{text}")).unwrap()
}

fn step(id: &str, arguments: &[&str]) -> Step {
    Step {
        id: id.to_owned(),
        program: OTHER_PROGRAM.to_owned(),
        arguments: arguments.iter().map(|word| (*word).to_owned()).collect(),
        timeout_s: 120,
    }
}

/// Boots `xen` with `linux` on dom0's signed command line; what is `needed` lies in the initramfs beside.
fn boot(lab: &Lab, xen: &Xen, name: &str, linux: &str, plan: &Plan, needed: &[(String, Vec<u8>)]) -> Boot {
    boot_with(lab, xen, name, linux, plan, needed, &|ramdisk| ramdisk)
}

/// As [`boot`], with an initramfs that is changed.
fn boot_with(
    lab: &Lab,
    xen: &Xen,
    name: &str,
    linux: &str,
    plan: &Plan,
    needed: &[(String, Vec<u8>)],
    change: &dyn Fn(Vec<u8>) -> Vec<u8>,
) -> Boot {
    let parts = Parts {
        config: Some(config(Dom0::Pv, "", linux)),
        kernel: Some(lab.kernel.clone()),
        ramdisk: Some(change(lab.initramfs_for(xen, plan, needed).unwrap())),
        ..Parts::default()
    };
    let image = lab.signed(&lab.unified(xen, &parts).unwrap(), &lab.keys.trusted).unwrap();
    let mut scenario = Scenario::new(name, Dom0::Pv, image.bytes);
    scenario.silence = std::time::Duration::from_secs(700);
    let boot = lab.boot(&scenario).unwrap();
    Lab::ensure_secure(&boot, Dom0::Pv).unwrap();
    for result in &boot.results {
        println!("{name}: {} {:?}: {}", result.id, result.verdict, result.evidence);
    }
    println!("{name}: {:?}; trouble: {:?}", boot.end, boot.trouble);
    boot
}

fn verdict(boot: &Boot, id: &str) -> Option<Verdict> {
    boot.results.iter().find(|result| result.id == id).map(|result| result.verdict)
}

/// `msr` is in use as long as somebody has its device open, and by no other module: that is what force is for. `dummy` is
/// used by nobody.
fn unloads() -> Plan {
    let mut plan = Plan::new(vec![
        step("plain", &["unload", "plain", "dummy"]),
        step("in-use", &["unload", "plain", "msr", "/dev/cpu/0/msr"]),
        step("forced", &["unload", "forced", "msr", "/dev/cpu/0/msr"]),
    ]);
    plan.modules.push("dummy".to_owned());
    plan.daemons.clear();
    plan
}

#[test]
#[ignore = "boots three machines for minutes and needs the lab's root: `make guarded-dom0` runs it"]
fn a_forced_unload_ends_a_locked_host_twice_over() {
    let lab = lab();
    let locked = prove::hypervisor(&lab, "locked", &|text| println!("{text}")).unwrap();
    let ends = |name: &str, xen: &Xen, linux: &str, change: &dyn Fn(Vec<u8>) -> Vec<u8>, says: &str| {
        let boot = boot_with(&lab, xen, name, linux, &unloads(), &[], change);
        // What is lawful works in the machine that then ends.
        for id in ["plain", "in-use"] {
            assert_eq!(verdict(&boot, id), Some(Verdict::Works), "{name}: {id}");
        }
        assert_eq!(verdict(&boot, "forced"), None, "{name}");
        assert!(!matches!(boot.end, End::Done), "{name}: {:?}", boot.end);
        let line = boot.line(says).unwrap_or_else(|| panic!("{name}: {says:?} was not said:\n{}", boot.console()));
        println!("{name}: {line}");
    };
    // Each of the two alone: the guard in an image without what image build adds for it, and the option without a guard.
    let module = locked.guard.clone().unwrap();
    let alone = Xen { guard: None, ..locked };
    let with_guard =
        |ramdisk: Vec<u8>| image::joined(&lockdown_unify::guard::archive(&module).unwrap(), &ramdisk).unwrap();
    ends(
        "notifier",
        &alone,
        "rdinit=/xen-lockdown/init",
        &with_guard,
        "Kernel panic - not syncing: xen-lockdown: module msr was unloaded by force",
    );
    ends(
        "panic-on-taint",
        &lab.stock,
        "panic_on_taint=0x8,nousertaint",
        &|ramdisk| ramdisk,
        "Kernel panic - not syncing: panic_on_taint set",
    );
    // And neither: then it goes on, which shows that the panics are theirs. Whoever then closes the device uses what the
    // module left behind, and is killed by the kernel for it: that is why it must not go on.
    let boot = boot(&lab, &lab.stock, "neither", "", &unloads(), &[]);
    assert_eq!(boot.end, End::Done);
    assert_eq!(boot.line("Kernel panic"), None);
    let killed = boot.trouble.iter().any(|(id, message)| id == "forced" && message.starts_with("crash: signal"));
    assert!(killed || verdict(&boot, "forced").is_some(), "{:?}", boot.trouble);
}

#[test]
#[ignore = "boots two machines for minutes and needs the lab's root: `make guarded-dom0` runs it"]
fn strict_closes_the_raw_path_and_nothing_else() {
    let lab = lab();
    let locked = prove::hypervisor(&lab, "locked", &|text| println!("{text}")).unwrap();
    for (word, path) in [("xen_privcmd.strict=1", "strict"), ("xen_privcmd.strict=0", "legacy")] {
        let mut plan = Plan::new(vec![step("guard", &["guard", "integrity", path])]);
        plan.daemons.clear();
        let boot = boot(&lab, &locked, path, word, &plan, &[]);
        assert_eq!(boot.end, End::Done);
        assert_eq!(verdict(&boot, "guard"), Some(Verdict::Works), "{path}");
        let told = boot.line("refused privcmd.hypercall").is_some_and(|line| line.contains("raw-path"));
        assert_eq!(told, path == "strict", "{}", boot.console());
    }
}

#[test]
#[ignore = "boots a machine for minutes and needs the lab's root: `make guarded-dom0` runs it"]
fn confidentiality_refuses_what_only_reads_and_the_toolstack_goes_on() {
    let lab = lab();
    let locked = prove::hypervisor(&lab, "locked", &|text| println!("{text}")).unwrap();
    let attacks = inside::own(&lab.guest.attacks).unwrap();
    let reads = attacks.iter().filter(|attack| ["xen-symbols", "map-xen-read"].contains(&attack.id.as_str()));
    let mut plan = toolstack::plan(&lab).unwrap();
    // A guest of one kind, from its making to its end, is enough here.
    plan.steps.retain(|step| ["xl-info", "xl-list", "xl-create-pvh", "xl-destroy"].contains(&step.id.as_str()));
    plan.steps.insert(0, step("guard", &["guard", "confidentiality", "legacy"]));
    plan.steps.extend(reads.flat_map(inside::Inside::steps));
    let boot = boot(
        &lab,
        &locked,
        "confidentiality",
        "lockdown=confidentiality",
        &plan,
        &toolstack::files(&lab).unwrap(),
    );
    assert_eq!(boot.end, End::Done);
    let level = boot.booted.as_ref().map(|booted| booted.kernel_lockdown.as_str());
    assert_eq!(level, Some("confidentiality"));
    for step in &plan.steps {
        let wanted = if ["xen-symbols", "map-xen-read"].contains(&step.id.as_str()) {
            Verdict::Held
        } else {
            Verdict::Works
        };
        assert_eq!(verdict(&boot, &step.id), Some(wanted), "{}", step.id);
    }
}
