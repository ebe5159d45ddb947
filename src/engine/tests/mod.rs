//! The engine without threads, sockets or sleeping: against the mock cluster's state under a virtual clock.
//!
//! `world` is the network between the two, `sim` thousands of random runs judged by `oracle`, `exactly_once` as many of
//! transactions as an `application` makes them; the others are directed
//! stories in the words of `scenario`.

mod application;
mod brokers;
mod dice;
mod exactly_once;
mod hostile;
mod metadata;
mod oracle;
mod retries;
mod scenario;
mod sequences;
mod silence;
mod sim;
mod splits;
mod time;
mod timings;
mod together;
mod transactions;
mod transactions_ends;
mod wakeups;
mod world;
