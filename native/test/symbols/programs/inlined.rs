// A Rust program whose functions are for the most part inlined: iterators, closures, collections, traits.
use std::collections::{BTreeMap, HashMap};
use std::io::Read;

trait Shape {
    fn area(&self) -> f64;
}
struct Square(f64);
struct Circle(f64);
impl Shape for Square {
    fn area(&self) -> f64 {
        self.0 * self.0
    }
}
impl Shape for Circle {
    fn area(&self) -> f64 {
        self.0 * self.0 * 3.14
    }
}

mod inner {
    pub fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(|word| word.to_lowercase()).filter(|word| word.len() > 2).collect()
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let mut counts: HashMap<String, usize> = HashMap::new();
    for word in inner::words(&arguments.join(" ")) {
        *counts.entry(word).or_insert(0) += 1;
    }
    let mut sorted: BTreeMap<usize, Vec<&String>> = BTreeMap::new();
    for (word, count) in &counts {
        sorted.entry(*count).or_default().push(word);
    }
    let shapes: Vec<Box<dyn Shape>> = vec![Box::new(Square(arguments.len() as f64)), Box::new(Circle(2.0))];
    let mut numbers: Vec<u64> = (0..1000).map(|i| i * 7919 % 1000).collect();
    numbers.sort_by(|a, b| b.cmp(a));
    println!("{:?} {} {}", sorted, shapes.iter().map(|shape| shape.area()).sum::<f64>(), numbers[0]);
    println!("ready");
    let _ = std::io::stdin().read(&mut [0u8; 1]);
}
