//! The public API against the embedded cluster: real sockets, real threads, no sleeping.

mod sending;
mod support;
