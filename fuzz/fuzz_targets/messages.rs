//! See `tests/hostile_bytes/targets.rs`, which says what must hold.
#![no_main]

#[path = "../../tests/hostile_bytes/targets.rs"]
#[allow(dead_code, reason = "each target uses one of them")]
mod targets;

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::messages(input));
