//! The kernel: its calls for x86-64, and the memory in which it hands over arguments. All unsafe code is here and in `init.rs`.

use core::arch::asm;
use core::ffi::CStr;
use core::ptr;

/// The number of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub i32);

/// Numbers of calls (Linux, `arch/x86/entry/syscalls/syscall_64.tbl`).
mod call {
    pub(super) const READ: usize = 0;
    pub(super) const WRITE: usize = 1;
    pub(super) const OPEN: usize = 2;
    pub(super) const CLOSE: usize = 3;
    pub(super) const NANOSLEEP: usize = 35;
    pub(super) const GETPID: usize = 39;
    pub(super) const EXECVE: usize = 59;
    pub(super) const MOUNT: usize = 165;
    pub(super) const UMOUNT2: usize = 166;
    pub(super) const REBOOT: usize = 169;
    pub(super) const EXIT_GROUP: usize = 231;
    pub(super) const FINIT_MODULE: usize = 313;
}

const READ_ONLY: usize = 0;
const WRITE_ONLY: usize = 1;
/// `O_NOCTTY`: no terminal gets hold of this process.
const NO_TERMINAL: usize = 0o400;
/// `O_CLOEXEC`: the next program gets none of our files.
const CLOSE_ON_EXECUTE: usize = 0o2_000_000;
/// `MS_NOSUID | MS_NODEV | MS_NOEXEC`.
const NOTHING_RUNS: usize = 2 | 4 | 8;
/// The two words without which `reboot` does nothing, then what it is to do (`include/uapi/linux/reboot.h`).
const REBOOT_WORDS: [usize; 2] = [0xfee1_dead, 672_274_793];
const POWER_OFF: usize = 0x4321_fedc;
const HALT: usize = 0xcdef_0123;
/// Results from here on are errors.
const FIRST_ERROR: isize = -4095;

/// # Safety
/// What the call does with its arguments must be sound: where one is an address, the memory behind it must be what the call
/// wants, for as long as it runs.
unsafe fn call(number: usize, arguments: [usize; 5]) -> Result<usize, Errno> {
    let [first, second, third, fourth, fifth] = arguments;
    let result: isize;
    // SAFETY: the instruction takes its arguments from these registers, answers in rax and changes rcx and r11; it leaves the
    // stack alone. What the kernel does to memory is what the caller answers for.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") first,
            in("rsi") second,
            in("rdx") third,
            in("r10") fourth,
            in("r8") fifth,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    if (FIRST_ERROR..0).contains(&result) {
        return Err(Errno(i32::try_from(result.unsigned_abs()).unwrap_or(i32::MAX)));
    }
    Ok(result.unsigned_abs())
}

/// A text as an argument.
fn address(text: &CStr) -> usize {
    text.as_ptr() as usize
}

/// An open file, closed at its end.
#[derive(Debug)]
pub struct File(usize);

impl File {
    /// Opens a file.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open_to_read(path: &CStr) -> Result<Self, Errno> {
        Self::open(path, READ_ONLY)
    }

    /// Opens a file that is there.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open_to_write(path: &CStr) -> Result<Self, Errno> {
        Self::open(path, WRITE_ONLY)
    }

    fn open(path: &CStr, how: usize) -> Result<Self, Errno> {
        let flags = how | NO_TERMINAL | CLOSE_ON_EXECUTE;
        // SAFETY: open reads the text, which ends with a zero byte.
        unsafe { call(call::OPEN, [address(path), flags, 0, 0, 0]) }.map(Self)
    }

    /// Reads the next bytes; none at the end.
    ///
    /// # Errors
    /// The kernel's.
    pub fn read(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        // SAFETY: read writes at most so many bytes into the buffer, which nobody else has.
        unsafe { call(call::READ, [self.0, buffer.as_mut_ptr() as usize, buffer.len(), 0, 0]) }
    }

    /// Writes as much as the file takes. There is nobody to tell an error to.
    pub fn write(&self, text: &[u8]) {
        write_to(self.0, text);
    }

    /// Loads it as a module, without a flag that would skip a check.
    ///
    /// # Errors
    /// The kernel's.
    pub fn load_as_module(&self, parameters: &CStr) -> Result<(), Errno> {
        // SAFETY: finit_module reads the parameters, which end with a zero byte.
        unsafe { call(call::FINIT_MODULE, [self.0, address(parameters), 0, 0, 0]) }.map(drop)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // SAFETY: close takes a number; nobody uses this one any more.
        let _ = unsafe { call(call::CLOSE, [self.0, 0, 0, 0, 0]) };
    }
}

/// Writes to a file that this process was handed, if it was.
pub fn write(file: i32, text: &[u8]) {
    if let Ok(file) = usize::try_from(file) {
        write_to(file, text);
    }
}

fn write_to(file: usize, text: &[u8]) {
    // SAFETY: write reads so many bytes of the text.
    let _ = unsafe { call(call::WRITE, [file, text.as_ptr() as usize, text.len(), 0, 0]) };
}

/// The number of this process.
#[must_use]
pub fn process_id() -> usize {
    // SAFETY: getpid takes nothing.
    unsafe { call(call::GETPID, [0; 5]) }.unwrap_or_default()
}

/// Mounts a proc file system.
///
/// # Errors
/// The kernel's.
pub fn mount_proc(folder: &CStr) -> Result<(), Errno> {
    let kind = address(c"proc");
    // SAFETY: mount reads the texts, which end with a zero byte; proc takes no data.
    unsafe { call(call::MOUNT, [kind, address(folder), kind, NOTHING_RUNS, 0]) }.map(drop)
}

/// Unmounts what is mounted there.
///
/// # Errors
/// The kernel's.
pub fn unmount(folder: &CStr) -> Result<(), Errno> {
    // SAFETY: umount2 reads the text, which ends with a zero byte.
    unsafe { call(call::UMOUNT2, [address(folder), 0, 0, 0, 0]) }.map(drop)
}

/// Waits.
pub fn sleep(seconds: i64) {
    // `struct timespec`: seconds and nanoseconds.
    let time = [seconds, 0];
    // SAFETY: nanosleep reads the two numbers, and is told to write nothing back.
    let _ = unsafe { call(call::NANOSLEEP, [time.as_ptr() as usize, 0, 0, 0, 0]) };
}

/// Switches the machine off. Returns where it could not be.
pub fn power_off() {
    reboot(POWER_OFF);
}

/// Stops the machine. Returns where it could not be.
pub fn halt() {
    reboot(HALT);
}

fn reboot(what: usize) {
    let [first, second] = REBOOT_WORDS;
    // SAFETY: reboot takes numbers here; the fourth argument is for another order than these.
    let _ = unsafe { call(call::REBOOT, [first, second, what, 0, 0]) };
}

/// Ends this process.
pub fn exit(code: u8) -> ! {
    loop {
        // SAFETY: exit_group takes a number.
        let _ = unsafe { call(call::EXIT_GROUP, [usize::from(code), 0, 0, 0, 0]) };
    }
}

/// What the kernel handed to this program at its start.
#[derive(Debug)]
pub struct Start {
    arguments: *mut usize,
    environment: *const usize,
}

impl Start {
    /// Finds arguments and environment.
    ///
    /// # Safety
    /// `stack` must be the stack pointer that the kernel started this program with, and nobody else may use what is above it:
    /// the number of arguments, the address of each, a zero; the address of each variable, a zero (System V ABI for AMD64,
    /// 3.4.1).
    #[must_use]
    pub unsafe fn from_stack(stack: *mut usize) -> Self {
        // SAFETY: the number stands there, and behind it so many addresses and a zero.
        unsafe {
            let count = *stack;
            let arguments = stack.add(1);
            let environment = arguments.add(count).add(1);
            Self { arguments, environment }
        }
    }
}

/// Becomes another program, with the arguments and the environment of this one. As the kernel would have it, the first argument
/// is the program's own name. Returns only where that fails.
#[allow(clippy::needless_pass_by_value, reason = "there is one, and it is used up")]
pub fn execute(program: &'static CStr, start: Start) -> Errno {
    // SAFETY: `Start` says what is there; the slot of the first argument is in its array, if there is one, and the text that goes
    // there lives for ever. execve reads both arrays and the texts.
    let result = unsafe {
        if ptr::read(start.arguments) != 0 {
            ptr::write(start.arguments, address(program));
        }
        call(call::EXECVE, [address(program), start.arguments as usize, start.environment as usize, 0, 0])
    };
    // Where it succeeds, it does not return.
    result.err().unwrap_or(Errno(0))
}
