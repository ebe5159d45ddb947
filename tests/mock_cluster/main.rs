//! The mock cluster over real sockets, asked by a client that shares nothing with the producer but the codec.

mod apis;
mod brokers;
mod client;
mod faults;
mod produce;
mod sink;
