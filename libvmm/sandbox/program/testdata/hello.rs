// SPDX-License-Identifier: Apache-2.0
use std::collections::BTreeMap;

fn main() {
    let words: BTreeMap<i32, &str> = BTreeMap::from([(2, "world"), (1, "hello")]);
    for word in words.values() {
        println!("{word}");
    }
}
