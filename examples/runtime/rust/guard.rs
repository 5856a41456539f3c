//! The stack guard: stack protectors take it from fs:0x28, so the thread pointer has to be set as well.
use crate::image::Image;
use crate::system;
use core::cell::UnsafeCell;

#[repr(C)]
struct Thread {
    /// The ABI wants the thread pointer at fs:0.
    itself: usize,
    unused: [usize; 4],
    guard: u64,
}

struct Shared(UnsafeCell<Thread>);

// There is one thread.
unsafe impl Sync for Shared {}

static THREAD: Shared = Shared(UnsafeCell::new(Thread { itself: 0, unused: [0; 4], guard: 0 }));

pub unsafe fn set_up(image: &Image) {
    let thread = THREAD.0.get();
    (*thread).itself = thread as usize;
    // A lowest byte of 0 stops an overrun by strcpy, and any leak of the guard as a string.
    (*thread).guard = *image.random & !0xff;
    if !system::set_thread_pointer(thread as usize) {
        system::fail("runtime: the thread pointer cannot be set\n");
    }
}
