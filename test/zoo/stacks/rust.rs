// What Rust programs are made of: closures, sorting with one, recursion, trait objects, panics that are caught, and threads.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::panic::{catch_unwind, AssertUnwindSafe};

extern "C" {
    fn prctl(option: i32, argument: u64) -> i32;
}

trait Work {
    fn run(&self, turn: u64) -> u64;
}

struct Sorting;
struct Counting {
    size: u64,
}

impl Work for Sorting {
    #[inline(never)]
    fn run(&self, turn: u64) -> u64 {
        let mut values: Vec<u64> = (0..300).map(|i: u64| i.wrapping_mul(2654435761).wrapping_add(turn) % 1000).collect();
        values.sort_by(|a, b| black_box(b).cmp(black_box(a)));
        values[10]
    }
}

impl Work for Counting {
    #[inline(never)]
    fn run(&self, turn: u64) -> u64 {
        let mut counts = BTreeMap::new();
        for i in 0..self.size {
            *counts.entry(format!("{}", (i * turn) % 17)).or_insert(0u64) += i;
        }
        counts.len() as u64
    }
}

#[inline(never)]
fn recurse(depth: u64, work: &dyn Work) -> u64 {
    if depth == 0 {
        return work.run(depth + 7);
    }
    let below = recurse(black_box(depth - 1), work);
    black_box(below) + 1
}

#[inline(never)]
fn panic_sometimes(turn: u64) -> u64 {
    if turn % 2 == 1 {
        panic!("turn {turn}");
    }
    turn
}

#[inline(never)]
fn live(works: &[Box<dyn Work + Send + Sync>]) {
    let mut sum = 0u64;
    for turn in 0u64.. {
        for work in works {
            sum = sum.wrapping_add(recurse(turn % 40, work.as_ref()));
        }
        sum = sum.wrapping_add(catch_unwind(AssertUnwindSafe(|| panic_sometimes(turn))).unwrap_or(1));
        black_box(sum);
    }
}

fn works() -> Vec<Box<dyn Work + Send + Sync>> {
    vec![Box::new(Sorting), Box::new(Counting { size: 50 })]
}

fn main() {
    // PR_SET_PDEATHSIG: end with whoever started this.
    unsafe { prctl(1, 9) };
    std::panic::set_hook(Box::new(|_| {}));
    std::thread::spawn(|| live(&works()));
    println!("ready");
    live(&works());
}
