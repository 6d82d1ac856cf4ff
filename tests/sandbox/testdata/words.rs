// SPDX-License-Identifier: Apache-2.0
// An ordinary Rust program: counts the words of its input, and panics once.
use std::collections::{BTreeMap, HashMap};
use std::io::{self, BufRead, Read, Write};

fn divide(a: i32, b: i32) -> i32 {
    a / b
}

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    println!("arguments {arguments:?}, WORD is {:?}", std::env::var("WORD").ok());
    let mut counts: HashMap<String, usize> = HashMap::new();
    for line in io::stdin().lock().lines() {
        for word in line?.split_whitespace() {
            *counts.entry(word.to_string()).or_default() += 1;
        }
    }
    let sorted: BTreeMap<_, _> = counts.into_iter().collect();
    for (word, count) in &sorted {
        println!("{count:8} {word:?}");
    }
    std::fs::create_dir_all("/tmp/words")?;
    std::fs::write("/tmp/words/count", format!("{}\n", sorted.len()))?;
    let mut text = String::new();
    std::fs::File::open("/tmp/words/count")?.read_to_string(&mut text)?;
    io::stdout().write_all(text.as_bytes())?;
    let missing = std::fs::read("/no/such/file").unwrap_err();
    println!("{missing}");
    std::panic::set_hook(Box::new(|_| eprintln!("a panic")));
    let caught = std::panic::catch_unwind(|| divide(1, arguments_len() - 1));
    println!("caught {}", caught.is_err());
    std::process::exit(if caught.is_err() { 21 } else { 0 });
}

#[inline(never)]
fn arguments_len() -> i32 {
    std::env::args().count().min(1) as i32
}
