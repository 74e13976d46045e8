//! What happens, in order.

use core::ffi::CStr;

use crate::line::Line;
use crate::list;
use crate::parameters::Parameters;
use crate::system::{self, Errno, File, Start};

/// Where the guard lies.
const MODULE: &CStr = c"/xen-lockdown/xen-privcmd.ko";

/// The kernel's own program to start, had it not been told of this one.
const NEXT: &CStr = c"/init";

/// A folder of the archive that this program comes in; nothing else is mounted there.
const PROC: &CStr = c"/xen-lockdown/proc";

/// The kernel's list of modules, below it.
const MODULES: &CStr = c"/xen-lockdown/proc/modules";

/// dom0's command line, below it.
const COMMAND_LINE: &CStr = c"/xen-lockdown/proc/cmdline";

/// The kernel's log: a device that comes in the archive, because nobody has mounted `/dev` yet.
const LOG: &CStr = c"/xen-lockdown/kmsg";

/// More than the list has before anything but the guard is loaded. A list that does not fit is a failure.
const LONGEST_LIST: usize = 64 << 10;

/// More than the kernel takes of a command line.
const LONGEST_COMMAND_LINE: usize = 8 << 10;

/// Standard error, which the kernel has opened on the console.
const CONSOLE: i32 = 2;

/// How long the line stays on the screen, in seconds; consoles also take a while to be drained.
const TIME_TO_READ: i64 = 3;

/// What failed.
struct Failure {
    what: &'static str,
    error: Option<Errno>,
}

/// All of it. The kernel starts it as process 1; for anybody else it does nothing.
pub fn run(start: Start) -> ! {
    if system::process_id() != 1 {
        system::write(CONSOLE, b"/xen-lockdown/init: the kernel starts this as process 1\n");
        system::exit(2);
    }
    let failure = match guard() {
        Ok(()) => Failure {
            what: "the guard stands, but /init of the initramfs cannot be started",
            error: Some(system::execute(NEXT, start)),
        },
        Err(failure) => failure,
    };
    tell(&Line::of(failure.what, failure.error.map(|Errno(number)| number)));
    loop {
        system::sleep(TIME_TO_READ);
        system::power_off();
        system::halt();
    }
}

/// Loads the guard and sees that it stands. Whatever is not success is failure: `EEXIST` too, which says that another module has
/// the guard's name.
fn guard() -> Result<(), Failure> {
    system::mount_proc(PROC).map_err(because("no guard: mounting proc on /xen-lockdown/proc"))?;
    let stands = load().and_then(|()| listed());
    // Nothing may be left behind that the initramfs does not expect.
    system::unmount(PROC).map_err(because("no guard: unmounting /xen-lockdown/proc"))?;
    stands
}

fn load() -> Result<(), Failure> {
    let mut line = [0; LONGEST_COMMAND_LINE];
    let line = read(
        COMMAND_LINE,
        &mut line,
        [
            "no guard: opening /proc/cmdline",
            "no guard: reading /proc/cmdline",
            "no guard: /proc/cmdline is too long to be read",
        ],
    )?;
    let failure = Failure { what: "no guard: too much is said to it on the command line", error: None };
    let parameters = Parameters::of(line).ok_or(failure)?;
    let failure = Failure { what: "no guard: its parameters have no end", error: None };
    let parameters = CStr::from_bytes_until_nul(parameters.bytes()).map_err(|_| failure)?;
    let module = File::open_to_read(MODULE).map_err(because("no guard: opening /xen-lockdown/xen-privcmd.ko"))?;
    module.load_as_module(parameters).map_err(because("no guard: loading /xen-lockdown/xen-privcmd.ko"))
}

fn listed() -> Result<(), Failure> {
    let mut list = [0; LONGEST_LIST];
    let list = read(
        MODULES,
        &mut list,
        [
            "no guard: opening /proc/modules",
            "no guard: reading /proc/modules",
            "no guard: /proc/modules is too long to be read",
        ],
    )?;
    list::stands(list).map_err(|falls| Failure { what: falls.text(), error: None })
}

/// All of a file; what does not fit is a failure. `says` is what is told of one that cannot be opened, cannot be read, or does
/// not fit.
fn read<'a>(path: &CStr, place: &'a mut [u8], says: [&'static str; 3]) -> Result<&'a [u8], Failure> {
    let [opening, reading, long] = says;
    let mut used = 0_usize;
    let file = File::open_to_read(path).map_err(because(opening))?;
    loop {
        let room = place.get_mut(used..).unwrap_or_default();
        if room.is_empty() {
            return Err(Failure { what: long, error: None });
        }
        match file.read(room).map_err(because(reading))? {
            0 => break,
            length => used = used.saturating_add(length),
        }
    }
    Ok(place.get(..used).unwrap_or_default())
}

fn because(what: &'static str) -> impl FnOnce(Errno) -> Failure {
    move |error| Failure { what, error: Some(error) }
}

/// To the kernel's log, at the level that every console shows, and to the console itself, where the log may be switched off.
fn tell(line: &Line) {
    if let Ok(log) = File::open_to_write(LOG) {
        let mut record = Line::default();
        record.push(b"<0>");
        record.push(line.bytes());
        log.write(record.bytes());
    }
    let mut text = *line;
    text.push(b"\n");
    system::write(CONSOLE, text.bytes());
}
