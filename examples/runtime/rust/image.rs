//! Finds the program's own image: from the auxiliary vector to the program headers to the dynamic section.
use crate::system;
use core::arch::asm;
use core::mem::size_of;

/// A table of the image: where it is and how many bytes it has. Taking its entries uses it up.
#[derive(Clone, Copy)]
pub struct Table {
    start: usize,
    size: usize,
}

impl Table {
    const EMPTY: Table = Table { start: 0, size: 0 };

    pub unsafe fn next<Entry: Copy>(&mut self) -> Option<Entry> {
        if self.size < size_of::<Entry>() {
            return None;
        }
        let entry = *(self.start as *const Entry);
        self.start += size_of::<Entry>();
        self.size -= size_of::<Entry>();
        Some(entry)
    }

    pub unsafe fn call_all(mut self) {
        while let Some(function) = self.next::<extern "C" fn()>() {
            function();
        }
    }
}

/// What the start-up knows about its own program.
#[derive(Clone, Copy)]
#[allow(dead_code)] // some of it is for the program
pub struct Image {
    /// Where it was loaded: runtime minus link-time address.
    pub base: usize,
    headers: *const ProgramHeader,
    header_count: usize,
    dynamic: *const Dynamic,

    pub rela: Table,
    pub relr: Table,
    pub init: Table,
    pub fini: Table,
    /// To be made read-only after relocation.
    relro: Table,

    page_size: usize,
    /// 16 bytes from the kernel.
    pub random: *const u64,
    pub name: *const u8,
    pub argument_count: usize,
    pub arguments: *const *const u8,
    pub environment: *const *const u8,
}

// Large enough that it is copied by a call of memcpy.
const _: () = assert!(size_of::<Image>() == 160);

#[repr(C)]
struct Auxiliary {
    kind: usize,
    value: usize,
}

#[repr(C)]
struct ProgramHeader {
    kind: u32,
    flags: u32,
    offset: usize,
    address: usize,
    physical: usize,
    file_size: usize,
    memory_size: usize,
    alignment: usize,
}

#[repr(C)]
struct Dynamic {
    tag: usize,
    value: usize,
}

const AT_PHDR: usize = 3;
const AT_PHNUM: usize = 5;
const AT_PAGESZ: usize = 6;
const AT_RANDOM: usize = 25;
const AT_EXECFN: usize = 31;

const PT_DYNAMIC: u32 = 2;
const PT_GNU_RELRO: u32 = 0x6474_e552;

const DT_RELA: usize = 7;
const DT_RELASZ: usize = 8;
const DT_INIT_ARRAY: usize = 25;
const DT_FINI_ARRAY: usize = 26;
const DT_INIT_ARRAYSZ: usize = 27;
const DT_FINI_ARRAYSZ: usize = 28;
const DT_RELRSZ: usize = 35;
const DT_RELR: usize = 36;

impl Image {
    /// From the stack that the kernel made.
    #[inline(never)]
    pub unsafe fn find(stack: *const usize) -> Image {
        let argument_count = *stack;
        let arguments = stack.add(1) as *const *const u8;
        let environment = arguments.add(argument_count + 1);
        let mut end = environment;
        while !(*end).is_null() {
            end = end.add(1);
        }
        let mut image = Image {
            base: 0,
            headers: core::ptr::null(),
            header_count: 0,
            dynamic: own_dynamic_section(),
            rela: Table::EMPTY,
            relr: Table::EMPTY,
            init: Table::EMPTY,
            fini: Table::EMPTY,
            relro: Table::EMPTY,
            page_size: 0,
            random: core::ptr::null(),
            name: core::ptr::null(),
            argument_count,
            arguments,
            environment,
        };
        image.read_auxiliary_vector(end.add(1) as *const Auxiliary);
        image.read_program_headers();
        image.read_dynamic_section();
        image
    }

    unsafe fn read_auxiliary_vector(&mut self, mut entry: *const Auxiliary) {
        while (*entry).kind != 0 {
            let value = (*entry).value;
            match (*entry).kind {
                AT_PHDR => self.headers = value as *const ProgramHeader,
                AT_PHNUM => self.header_count = value,
                AT_PAGESZ => self.page_size = value,
                AT_RANDOM => self.random = value as *const u64,
                AT_EXECFN => self.name = value as *const u8,
                _ => {}
            }
            entry = entry.add(1);
        }
    }

    /// The base is the difference between where the dynamic section is and where it was linked to be.
    unsafe fn read_program_headers(&mut self) {
        let mut relro = Table::EMPTY;
        for i in 0..self.header_count {
            let header = &*self.headers.add(i);
            if header.kind == PT_DYNAMIC {
                self.base = self.dynamic as usize - header.address;
            } else if header.kind == PT_GNU_RELRO {
                relro = Table { start: header.address, size: header.memory_size };
            }
        }
        self.relro = Table { start: self.base + relro.start, ..relro };
    }

    unsafe fn read_dynamic_section(&mut self) {
        let mut entry = self.dynamic;
        while (*entry).tag != 0 {
            let value = (*entry).value;
            match (*entry).tag {
                DT_RELA => self.rela.start = self.base + value,
                DT_RELASZ => self.rela.size = value,
                DT_RELR => self.relr.start = self.base + value,
                DT_RELRSZ => self.relr.size = value,
                DT_INIT_ARRAY => self.init.start = self.base + value,
                DT_INIT_ARRAYSZ => self.init.size = value,
                DT_FINI_ARRAY => self.fini.start = self.base + value,
                DT_FINI_ARRAYSZ => self.fini.size = value,
                _ => {}
            }
            entry = entry.add(1);
        }
    }

    /// Makes read-only what only relocation had to write.
    pub fn protect(&self) {
        let start = self.relro.start & !(self.page_size - 1);
        let end = (self.relro.start + self.relro.size) & !(self.page_size - 1);
        if start < end && !system::make_read_only(start, end - start) {
            system::fail("runtime: the relocated data cannot be made read-only\n");
        }
    }
}

/// Computed from the pc: rustc would load it from a slot that is not relocated yet.
fn own_dynamic_section() -> *const Dynamic {
    let address;
    unsafe {
        asm!(".hidden _DYNAMIC", "lea {}, [rip + _DYNAMIC]", out(reg) address,
             options(nomem, nostack, preserves_flags));
    }
    address
}
