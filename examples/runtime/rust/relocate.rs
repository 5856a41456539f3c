//! Applies the program's own relocations. A static PIE has RELATIVE ones only, in one of two formats.
use crate::image::{Image, Table};
use crate::system;

/// How a table of relocations is written.
pub trait Format {
    /// Applies all of a table. It must be of this format, and of the image with this base.
    unsafe fn apply(&self, base: usize, table: &mut Table);
}

pub struct Rela;
pub struct Relr;

const R_X86_64_NONE: u64 = 0;
const R_X86_64_RELATIVE: u64 = 8;

#[derive(Clone, Copy)]
#[repr(C)]
struct RelaEntry {
    offset: usize,
    info: u64,
    addend: usize,
}

impl Format for Rela {
    unsafe fn apply(&self, base: usize, table: &mut Table) {
        while let Some(entry) = table.next::<RelaEntry>() {
            match entry.info {
                R_X86_64_NONE => {}
                R_X86_64_RELATIVE => *((base + entry.offset) as *mut usize) = base + entry.addend,
                _ => system::fail("runtime: a relocation that is not RELATIVE\n"),
            }
        }
    }
}

impl Format for Relr {
    /// An even entry is the link-time address of a slot, an odd one a bitmap of the 63 slots that follow.
    unsafe fn apply(&self, base: usize, table: &mut Table) {
        let mut next = core::ptr::null_mut::<usize>();
        while let Some(entry) = table.next::<usize>() {
            if entry & 1 == 0 {
                next = (base + entry) as *mut usize;
                *next += base;
                next = next.add(1);
                continue;
            }
            for bit in 0..63 {
                if entry >> (bit + 1) & 1 != 0 {
                    *next.add(bit) += base;
                }
            }
            next = next.add(63);
        }
    }
}

/// Right: the compiler knows which `apply` each of these is, and calls it directly.
#[cfg(not(by_vtable))]
#[inline(never)]
pub unsafe fn relocate(image: &mut Image) {
    Rela.apply(image.base, &mut image.rela);
    Relr.apply(image.base, &mut image.relr);
}

/// Wrong: a vtable is a constant that holds addresses, so it is itself among what is to be relocated. The call lands
/// where the linker left the slot of `apply` to point.
#[cfg(by_vtable)]
pub unsafe fn relocate(image: &mut Image) {
    let base = image.base;
    apply_steps(base, &mut [(&Rela, &mut image.rela), (&Relr, &mut image.relr)]);
}

/// Not inlined: otherwise the compiler sees which function each call reaches, and calls it directly.
#[cfg(by_vtable)]
#[inline(never)]
unsafe fn apply_steps(base: usize, steps: &mut [(&dyn Format, &mut Table)]) {
    for (format, table) in steps {
        format.apply(base, table);
    }
}
