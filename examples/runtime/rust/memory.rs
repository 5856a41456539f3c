//! The functions that the compiler calls without being asked, in every environment. They have to be visible: its calls
//! go through the GOT, and the slot is one that needs relocation.
use core::arch::asm;

/// In assembly, as the compiler would make a loop a call of the function that it is in.
#[no_mangle]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, size: usize) -> *mut u8 {
    asm!("rep movsb", inout("rdi") to => _, inout("rsi") from => _, inout("rcx") size => _,
         options(nostack, preserves_flags));
    to
}

#[no_mangle]
unsafe extern "C" fn memset(to: *mut u8, value: i32, size: usize) -> *mut u8 {
    asm!("rep stosb", inout("rdi") to => _, in("al") value as u8, inout("rcx") size => _,
         options(nostack, preserves_flags));
    to
}

#[no_mangle]
unsafe extern "C" fn bcmp(left: *const u8, right: *const u8, size: usize) -> i32 {
    let different: u8;
    asm!("cmp eax, eax", "repe cmpsb", "setne {}", out(reg_byte) different, inout("rdi") left => _,
         inout("rsi") right => _, inout("rcx") size => _, out("eax") _, options(nostack, readonly));
    different as i32
}
