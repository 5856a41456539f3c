//! From the first instruction to `main`: everything that must happen first, in the order that it must happen in.
use crate::image::Image;
use crate::{guard, relocate, system};
use core::arch::global_asm;

// The kernel has put argc, argv, the environment and the auxiliary vector on the stack, and nothing else is there: no
// relocation is applied, no function may be called through a slot.
global_asm!(
    ".globl _start",
    ".type _start, @function",
    "_start:",
    ".cfi_startproc",
    ".cfi_undefined rip", // tells a debugger that no one called us
    "xor ebp, ebp",
    "mov rdi, rsp",
    "and rsp, -16",
    "call {start_up}",
    "ud2",
    ".cfi_endproc",
    ".size _start, . - _start",
    start_up = sym start_up,
);

#[inline(never)]
unsafe extern "C" fn start_up(stack: *const usize) -> ! {
    let mut image = Image::find(stack);
    relocate_first(&mut image);

    // From here on everything works, but nothing that checks a stack guard before there is one.
    guard::set_up(&image);
    image.protect();
    image.init.call_all();
    let status = crate::main(&image);
    image.fini.call_all();
    system::leave(status)
}

/// Right: by reference.
#[cfg(not(by_value))]
unsafe fn relocate_first(image: &mut Image) {
    relocate::relocate(image);
}

/// Wrong: for a struct of 160 bytes by value the compiler calls `memcpy`, through a slot of the GOT that `relocate` has
/// yet to fill.
#[cfg(by_value)]
unsafe fn relocate_first(image: &mut Image) {
    relocate_copy(*image);
}

#[cfg(by_value)]
#[inline(never)]
unsafe fn relocate_copy(mut image: Image) {
    relocate::relocate(&mut image);
}
