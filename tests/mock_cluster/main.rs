//! The mock cluster over real sockets, asked by a client that shares nothing with the producer but the codec.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking and measures time"
)]

mod apis;
mod brokers;
mod client;
mod coordinators;
mod faults;
mod groups;
mod produce;
mod readers;
mod sink;
mod transactions;
mod txn_client;
