//! A static PIE without any library, from the kernel's stack to a program that says that it is up.
//!
//! Built with `--cfg by_value` or `--cfg by_vtable` it makes one of the two classical mistakes of a start-up: it needs
//! a relocation before it has applied it.
#![no_std]
#![no_main]
#![allow(unknown_lints, unexpected_cfgs)]

mod guard;
mod image;
mod memory;
mod relocate;
mod start;
mod system;

use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use image::Image;

trait Device {
    fn name(&self) -> &str;
    fn write(&self, text: &str);
}

struct Console;
struct Null;

impl Device for Console {
    fn name(&self) -> &str {
        "console"
    }
    fn write(&self, text: &str) {
        system::say(text);
    }
}

impl Device for Null {
    fn name(&self) -> &str {
        "null"
    }
    fn write(&self, _text: &str) {}
}

#[inline(never)]
fn find_device<'a>(devices: &[&'a dyn Device], name: &str) -> Option<&'a dyn Device> {
    devices.iter().find(|device| device.name() == name).copied()
}

static CONSTRUCTED: AtomicBool = AtomicBool::new(false);

extern "C" fn construct() {
    CONSTRUCTED.store(true, Relaxed);
}

#[used]
#[link_section = ".init_array"]
static CONSTRUCTOR: extern "C" fn() = construct;

/// The program. It may do what the start-up may not: call through vtables.
fn main(_image: &Image) -> i32 {
    match find_device(&[&Null, &Console], "console") {
        Some(device) if CONSTRUCTED.load(Relaxed) => device.write("runtime: up\n"),
        _ => return 1,
    }
    0
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    system::fail("runtime: panic\n")
}
