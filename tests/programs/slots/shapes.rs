//! shapes.c in Rust: a static PIE that calls through a slot in one of six ways, `--cfg shape="1"` to `"6"`, before its
//! relocations are applied; with `--cfg fixed` they are applied first, and it exits with 0.
#![no_std]
#![no_main]
#![allow(unknown_lints, unexpected_cfgs, dead_code, unused_unsafe)]

use core::arch::{asm, global_asm};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

static RUNG: AtomicBool = AtomicBool::new(false);

extern "C" fn open_door() {}
extern "C" fn close_door() {
    RUNG.store(false, Relaxed);
}
extern "C" fn ring_bell() {
    RUNG.store(true, Relaxed);
}

/// A table of functions: what shape 4 calls through, in its third entry.
static HANDLERS: [extern "C" fn(); 4] = [open_door, close_door, ring_bell, open_door];

/// An object with a function in it, at 0x18: shape 5 goes to it by a pointer in the GOT.
#[repr(C)]
struct Device {
    name: &'static u8,
    line: u64,
    level: u64,
    ring: extern "C" fn(),
}
static NAME: u8 = b'b';
static BELL: Device = Device { name: &NAME, line: 4, level: 7, ring: ring_bell };

/// Defines `use_slot`, which `start` calls, with a frame so that a backtrace has one to show.
macro_rules! use_slot {
    ($($body:literal),+ ; $($symbol:tt)*) => {
        global_asm!(
            ".text", ".globl use_slot", ".type use_slot, @function", "use_slot:", ".cfi_startproc",
            "push rbp", ".cfi_def_cfa_offset 16", ".cfi_offset rbp, -16", "mov rbp, rsp", ".cfi_def_cfa_register rbp",
            $($body,)+
            "pop rbp", ".cfi_def_cfa rsp, 8", "ret", ".cfi_endproc", ".size use_slot, . - use_slot",
            $($symbol)*
        );
    };
}

#[cfg(shape = "1")]
use_slot!("mov rax, [rip + {ring}@GOTPCREL]", "call rax"; ring = sym ring_bell);

#[cfg(shape = "2")]
use_slot!("call [rip + {ring}@GOTPCREL]"; ring = sym ring_bell);

// A piece of code without a frame and without a symbol, as the PLT is.
#[cfg(shape = "3")]
global_asm!(
    ".text", ".cfi_startproc", ".Lstub: endbr64", "jmp [rip + {ring}@GOTPCREL]", ".cfi_endproc", ring = sym ring_bell
);
#[cfg(shape = "3")]
use_slot!("call .Lstub";);

#[cfg(shape = "4")]
use_slot!("lea rdx, [rip + {handlers}]", "mov ecx, 2", "call [rdx + rcx*8]"; handlers = sym HANDLERS);

#[cfg(shape = "5")]
use_slot!("mov rax, [rip + {bell}@GOTPCREL]", "call [rax + 0x18]"; bell = sym BELL);

#[cfg(shape = "6")]
global_asm!(
    ".text", ".type pass_on, @function", "pass_on:", ".cfi_startproc", "mov r11, [rip + {ring}@GOTPCREL]", "jmp r11",
    ".cfi_endproc", ".size pass_on, . - pass_on", ring = sym ring_bell
);
#[cfg(shape = "6")]
use_slot!("call pass_on";);

#[repr(C)]
struct Dynamic {
    tag: u64,
    value: u64,
}

#[repr(C)]
struct Rela {
    offset: u64,
    info: u64,
    addend: u64,
}

const RELA: u64 = 7;
const RELA_SIZE: u64 = 8;
const RELR_SIZE: u64 = 35;
const RELR: u64 = 36;
const R_X86_64_RELATIVE: u64 = 8;

/// Where the image is and where its dynamic section is, computed from the pc without any relocation.
fn image_and_dynamic() -> (u64, *const Dynamic) {
    let (image, dynamic): (u64, u64);
    unsafe {
        asm!(".hidden __ehdr_start", "lea {}, [rip + __ehdr_start]", ".hidden _DYNAMIC", "lea {}, [rip + _DYNAMIC]",
             out(reg) image, out(reg) dynamic, options(nomem, nostack, preserves_flags));
    }
    (image, dynamic as *const Dynamic)
}

unsafe fn dynamic_value(mut entry: *const Dynamic, tag: u64) -> u64 {
    while (*entry).tag != 0 {
        if (*entry).tag == tag {
            return (*entry).value;
        }
        entry = entry.add(1);
    }
    0
}

unsafe fn add(slot: u64, image: u64) {
    let slot = slot as *mut u64;
    slot.write(slot.read().wrapping_add(image));
}

unsafe fn relocate() {
    let (image, dynamic) = image_and_dynamic();
    let mut entry = image + dynamic_value(dynamic, RELA);
    let end = entry + dynamic_value(dynamic, RELA_SIZE);
    while entry < end {
        let rela = &*(entry as *const Rela);
        if rela.info == R_X86_64_RELATIVE {
            ((image + rela.offset) as *mut u64).write(image + rela.addend);
        }
        entry += 24;
    }
    // An even entry is the address of a slot, an odd one a bitmap of the 63 slots that follow.
    let mut entry = image + dynamic_value(dynamic, RELR);
    let end = entry + dynamic_value(dynamic, RELR_SIZE);
    let mut next = 0;
    while entry < end {
        let mut bits = *(entry as *const u64);
        if bits & 1 == 0 {
            next = image + bits;
            add(next, image);
            next += 8;
        } else {
            let mut slot = next;
            bits >>= 1;
            while bits != 0 {
                if bits & 1 != 0 {
                    add(slot, image);
                }
                slot += 8;
                bits >>= 1;
            }
            next += 63 * 8;
        }
        entry += 8;
    }
}

fn leave(status: u64) -> ! {
    unsafe { asm!("syscall", in("rax") 60, in("rdi") status, options(noreturn)) }
}

#[inline(never)]
unsafe extern "C" fn start() -> ! {
    if cfg!(fixed) {
        relocate();
    }
    // In assembly: rustc itself would call it through the GOT.
    asm!("call use_slot", clobber_abi("C"));
    if !cfg!(fixed) {
        relocate();
    }
    // The tables must be there even where no shape uses them.
    asm!("/* {0} {1} */", in(reg) &HANDLERS, in(reg) &BELL);
    leave(if RUNG.load(Relaxed) { 0 } else { 1 })
}

global_asm!(
    ".text", ".globl _start", ".type _start, @function", "_start:", ".cfi_startproc", ".cfi_undefined rip",
    "xor ebp, ebp", "and rsp, -16", "call {start}", "ud2", ".cfi_endproc", ".size _start, . - _start", start = sym start
);

#[panic_handler]
fn panic(_: &PanicInfo) -> ! {
    leave(101)
}
