//! The public API against the embedded cluster: real sockets, real threads, no sleeping.

mod faults;
mod harness;
mod sending;
mod support;
