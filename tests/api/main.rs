//! The public API against the embedded cluster: real sockets, real threads, no sleeping.

mod compression;
mod faults;
mod harness;
mod idempotence;
mod metadata;
mod sending;
mod support;
mod versions;
