//! The driver: every thread and every socket of a producer. It blocks, reads and writes; it never decides.
//!
//! | thread | owns | sleeps in |
//! |---|---|---|
//! | `kafka-sender` | the engine and all broker sockets, by value | `poll` |
//! | `kafka-connector`, short-lived | one socket until it is handed over | resolve, connect, read |
//! | `kafka-callbacks` | nothing | its queue |
//! | `kafka-monitor`, if it has something to do | the event listener, the reporters | its queue |
//!
//! Application threads reach it through [`Status`] (a leaf lock) and a queue of commands.

mod attempts;
mod callbacks;
mod connect;
mod monitor;
mod resolve;
mod sender;
mod socket;
mod status;
mod wait;

pub(crate) use callbacks::Callbacks;
pub(crate) use connect::SocketSettings;
pub(crate) use monitor::{Listener, Monitor, Report};
pub(crate) use resolve::{Lookup, Resolver};
pub(crate) use sender::{Command, SenderHandle, start};
pub(crate) use status::Status;
