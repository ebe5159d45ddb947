//! Every reader of network input, fed with good bytes that were changed: no panic, no endless loop, and no more memory
//! than the bytes received deserve.
//!
//! The good bytes are messages made from the table of facts, batches in every codec, and what real brokers answered
//! (`fuzz/corpus/answers`). How many inputs: `KAFKA_PRODUCER_INPUTS`, which seed: `KAFKA_PRODUCER_SEED`. The run in full:
//!
//! ```text
//! KAFKA_PRODUCER_INPUTS=12000000 cargo test --release --all-features --test hostile_bytes
//! ```
//!
//! `KAFKA_PRODUCER_SAVE_CORPUS=1` writes the good bytes where the targets of `fuzz/` look for them.
//!
//! Alone in its binary, because it counts what the whole process allocates.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod corpus;
mod mutate;
#[path = "../protocol/schema.rs"]
#[allow(dead_code, reason = "shared with the protocol tests, which use all of it")]
mod schema;
mod targets;

use mutate::{Rng, mutate};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use targets::TARGETS;

#[global_allocator]
static GLOBAL: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What one input may make its target allocate: everything is read twice and written once, an element of one byte on the
/// wire takes up to 32 in memory, and what is decompressed may take the limit that the target gives, with a codec's tables.
const PER_BYTE: usize = 200;
const FIXED: usize = 1 << 20;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

/// One test: those of one binary run at the same time, and would count each other.
#[test]
fn no_input_makes_a_reader_panic_or_take_what_it_does_not_deserve() {
    let inputs = setting("KAFKA_PRODUCER_INPUTS", 100_000);
    let first = setting("KAFKA_PRODUCER_SEED", 0);
    let corpora: Vec<Vec<Vec<u8>>> = TARGETS.iter().map(|(name, _)| corpus::of(name)).collect();
    for ((name, target), corpus) in TARGETS.iter().zip(&corpora) {
        assert!(!corpus.is_empty(), "{name}");
        corpus.iter().for_each(|good| target(good));
        if std::env::var_os("KAFKA_PRODUCER_SAVE_CORPUS").is_some() {
            corpus::save(name, corpus);
        }
    }
    for seed in first..first + inputs {
        let mut rng = Rng::new(seed);
        let at = rng.below(TARGETS.len());
        let ((name, target), corpus) = (TARGETS[at], &corpora[at]);
        let mut input = corpus[rng.below(corpus.len())].clone();
        mutate(&mut input, &corpus[rng.below(corpus.len())], &mut rng);
        let region = Region::new(GLOBAL);
        let outcome = std::panic::catch_unwind(|| target(&input));
        let change = region.change();
        let taken = change.bytes_allocated + usize::try_from(change.bytes_reallocated).unwrap_or(0);
        assert!(outcome.is_ok(), "{name}: KAFKA_PRODUCER_SEED={seed} KAFKA_PRODUCER_INPUTS=1; {input:02x?}");
        let most = FIXED + input.len() * PER_BYTE;
        assert!(taken <= most, "{name}: {taken} bytes for {}: KAFKA_PRODUCER_SEED={seed}", input.len());
    }
}
