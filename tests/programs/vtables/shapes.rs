// Trait objects of every kind whose tables kdbg decodes; the tests stop in `stop_here`, in the frame of `main`.
use std::any::Any;
use std::fmt::{Debug, Display};
use std::rc::Rc;
use std::sync::Arc;

trait Named {
    fn name(&self) -> String;
}

trait Counted {
    fn legs(&self) -> u32;
}

// `Named` is the first supertrait: its table is a prefix of this one. `Counted` needs a table of its own.
trait Animal: Named + Counted {
    fn speak(&self) -> String;
    fn generic<T>(&self, value: T) -> T
    where
        Self: Sized,
    {
        value
    }
    fn sleep(&self) -> u32 {
        7
    }
}

trait Empty {}

struct Dog {
    name: String,
}

#[derive(Clone, Copy)]
struct Fish(u32);

struct Ghost;

#[repr(align(64))]
struct Aligned([u8; 64]);

impl Named for Dog {
    fn name(&self) -> String {
        self.name.clone()
    }
}
impl Counted for Dog {
    fn legs(&self) -> u32 {
        4
    }
}
impl Animal for Dog {
    fn speak(&self) -> String {
        format!("{} barks", self.name)
    }
}

impl Named for Fish {
    fn name(&self) -> String {
        "fish".to_string()
    }
}
impl Counted for Fish {
    fn legs(&self) -> u32 {
        self.0
    }
}
impl Animal for Fish {
    fn speak(&self) -> String {
        "...".to_string()
    }
    fn sleep(&self) -> u32 {
        0
    }
}

impl Named for Ghost {
    fn name(&self) -> String {
        "boo".to_string()
    }
}
impl Counted for Aligned {
    fn legs(&self) -> u32 {
        self.0[0] as u32
    }
}
impl Empty for Dog {}

struct Kennel<'a> {
    number: u32,
    guest: &'a dyn Animal,
}

#[inline(never)]
#[unsafe(no_mangle)]
fn stop_here(value: &dyn Debug) {
    std::hint::black_box(value);
}

#[inline(never)]
fn main() {
    let dog = Dog { name: "Rex".to_string() };
    let fish = Fish(0);
    let reference: &dyn Animal = &dog;
    let zero_drop: &dyn Animal = &fish;
    let boxed: Box<dyn Animal> = Box::new(Dog { name: "Bo".to_string() });
    let ghost: Box<dyn Named> = Box::new(Ghost);
    let counted_twice: Rc<dyn Animal> = Rc::new(fish);
    let shared: Arc<dyn Named + Send + Sync> = Arc::new(Fish(2));
    let first_supertrait: &dyn Named = reference;
    let second_supertrait: &dyn Counted = reference;
    let aligned: &dyn Counted = &Aligned([8; 64]);
    let empty: &dyn Empty = &dog;
    let kennel = Kennel { number: 3, guest: reference };
    let text = "a".to_string();
    let closure: Box<dyn Fn(u32) -> usize> = Box::new(move |n| text.len() + n as usize);
    let any: &dyn Any = &7u64;
    let shown: &dyn Display = &"x";
    stop_here(&0);
    println!(
        "{} {} {} {} {} {} {} {} {} {} {} {:?} {}",
        reference.speak(), zero_drop.speak(), boxed.name(), ghost.name(), counted_twice.legs(), shared.name(),
        first_supertrait.name(), second_supertrait.legs(), aligned.legs(), kennel.guest.sleep() + kennel.number,
        closure(1), any.downcast_ref::<u64>(), shown
    );
    let tables = [reference as *const dyn Animal, zero_drop as *const dyn Animal];
    println!("{} {} {}", std::mem::size_of_val(&tables), std::mem::size_of_val(empty), fish.generic(1));
}
