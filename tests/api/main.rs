//! The public API against the embedded cluster: real sockets, real threads, no sleeping.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::type_complexity,
    reason = "tests: helpers may panic and read the clock"
)]

mod backpressure;
mod bad_answers;
mod bad_input;
mod callbacks;
mod chaos;
mod compression;
mod events;
mod faults;
mod handles;
mod harness;
mod hostile;
mod idempotence;
mod known_faults;
mod leaders;
mod lifecycle;
mod limits;
mod metadata;
mod metrics;
mod names;
mod plug_ins;
mod promises;
mod races;
mod records;
mod refused;
mod scenarios;
mod scripted;
mod sending;
mod shapes;
mod stalls;
mod strangers;
mod support;
mod timings;
mod transactions;
mod transactions_faults;
mod transactions_misuse;
mod transactions_threads;
mod versions;
