// Prints "address name" for Rust functions of all sorts, then waits for its standard input to end.
use std::io::Read;

mod store {
    pub trait Weigh {
        fn weigh(&self, by: usize) -> usize;
    }

    pub struct Crate<T>(pub T);

    impl Weigh for Crate<u32> {
        #[inline(never)]
        fn weigh(&self, by: usize) -> usize {
            std::hint::black_box(self.0 as usize * by)
        }
    }

    #[inline(never)]
    pub fn generic<T: std::fmt::Debug>(value: &T) -> usize {
        format!("{value:?}").len()
    }

    #[inline(never)]
    pub fn plain(x: usize) -> usize {
        std::hint::black_box(x + 1)
    }
}

use store::Weigh;

fn main() {
    println!("{:p} names::store::plain", store::plain as *const ());
    println!("{:p} names::store::generic", store::generic::<Vec<i32>> as *const ());
    println!("{:p} <names::store::Crate<u32> as names::store::Weigh>::weigh", <store::Crate<u32> as Weigh>::weigh as *const ());
    let text = String::from("x");
    println!("ready");
    let mut rest = text;
    std::io::stdin().read_to_string(&mut rest).unwrap();
    println!("{}", store::plain(1) + store::generic(&vec![1]) + store::Crate(3u32).weigh(2));
}
