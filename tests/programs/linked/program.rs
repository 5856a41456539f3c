//! A Rust program with trait objects, which stops itself at main and after it has used them.

use std::collections::HashMap;

trait Shape {
    fn area(&self) -> u64;
}

struct Square(u64);
struct Circle(u64);

impl Shape for Square {
    fn area(&self) -> u64 {
        self.0 * self.0
    }
}

impl Shape for Circle {
    fn area(&self) -> u64 {
        3 * self.0 * self.0
    }
}

fn stop() {
    unsafe { std::arch::asm!("int3") }
}

fn main() {
    stop();
    let shapes: [Box<dyn Shape>; 2] = [Box::new(Square(3)), Box::new(Circle(2))];
    let areas: HashMap<usize, u64> = shapes.iter().map(|shape| shape.area()).enumerate().collect();
    println!("{} {:?}", areas[&0], areas.get(&1));
    stop();
}
