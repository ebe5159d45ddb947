//! The public API against the embedded cluster: real sockets, real threads, no sleeping.

mod compression;
mod faults;
mod harness;
mod idempotence;
mod metadata;
mod backpressure;
mod callbacks;
mod handles;
mod lifecycle;
mod plug_ins;
mod records;
mod refused;
mod sending;
mod shapes;
mod strangers;
mod support;
mod versions;
