//! The public API against the embedded cluster: real sockets, real threads, no sleeping.

mod chaos;
mod compression;
mod faults;
mod harness;
mod hostile;
mod idempotence;
mod limits;
mod metadata;
mod scripted;
mod sending;
mod support;
mod versions;
