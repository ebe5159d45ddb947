//! The public API against the embedded cluster: real sockets, real threads, no sleeping.

mod backpressure;
mod callbacks;
mod chaos;
mod compression;
mod faults;
mod handles;
mod harness;
mod hostile;
mod idempotence;
mod lifecycle;
mod limits;
mod metadata;
mod plug_ins;
mod records;
mod refused;
mod scripted;
mod sending;
mod shapes;
mod strangers;
mod support;
mod versions;
