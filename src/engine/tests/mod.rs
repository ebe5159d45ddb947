//! The engine without threads, sockets or sleeping: against the mock cluster's state under a virtual clock.
//!
//! `world` is the network between the two, `sim` thousands of random runs judged by `oracle`; the others are directed
//! stories in the words of `scenario`.

mod brokers;
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
mod world;
