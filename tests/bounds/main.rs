//! What a producer may take and how long it may take it: memory, threads, sockets, time; also when the system refuses
//! some of them, and when the process is stopped for a while.
//!
//! A process is measured as a whole, so the cluster is in this one and the producer in a child: the test runs itself
//! again.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::type_complexity,
    reason = "tests: helpers may panic and read the clock"
)]
#![cfg(target_os = "linux")]

mod deadlines;
mod exhaustion;
mod faults;
mod forked;
mod leftovers;
mod memory;
mod process;
mod stopped;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;

#[global_allocator]
static GLOBAL: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;
