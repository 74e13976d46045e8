//! Process 1 of the lab's dom0.
//!
//! It mounts what Linux offers, loads the modules of the plan, starts Xen's daemons, runs the steps of the plan one
//! after the other, tells each as a line of JSON on the console, and powers the machine off. No shell is in the way
//! of a verdict.
//!
//! Process 1 must not die: whatever fails is told as an event of trouble, and the next thing is tried.

mod console;
mod daemons;
mod modules;
mod mounts;
mod plan;
mod state;
mod steps;

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use console::{Console, Event};

fn main() -> ExitCode {
    let mut console = Console::open_early();
    mounts::early(&mut console);
    console.reopen();

    let plan = match plan::read("/lab/plan.json") {
        Ok(plan) => plan,
        Err(message) => {
            console.trouble("plan", &message);
            plan::Plan::power_off_only()
        }
    };
    modules::load(&plan.modules, &mut console);
    mounts::late(&mut console);
    // The kernel's own lines would cut into the verdicts, which share the console with them.
    mounts::quiet_kernel();
    daemons::start(&plan.daemons, &mut console);
    console.event(&Event::Booted(state::read()));

    for step in &plan.steps {
        steps::run(step, &mut console);
    }
    if plan.guard {
        for line in modules::guard_lines().into_iter().chain(modules::guard_counts()) {
            console.line(&line);
        }
    }
    console.event(&Event::Done);

    rustix::fs::sync();
    // The console is drained by Xen at its own pace; the last line must be out before the power is.
    thread::sleep(Duration::from_millis(200));
    if plan.power_off {
        match rustix::system::reboot(rustix::system::RebootCommand::PowerOff) {
            Ok(()) => {}
            Err(error) => console.trouble("power-off", &error.to_string()),
        }
    }
    if rustix::process::getpid().is_init() {
        loop {
            thread::sleep(Duration::from_secs(3600));
        }
    }
    ExitCode::SUCCESS
}
