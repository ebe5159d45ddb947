//! The engine without threads, sockets or sleeping: against the mock cluster's state under a virtual clock.
//!
//! `world` is the network between the two, `sim` thousands of random runs judged by `oracle`, the other files directed
//! stories.

mod oracle;
mod sim;
mod world;
