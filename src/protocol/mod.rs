//! Kafka's wire protocol: bytes and versions, nothing of producing.
//!
//! Runs on any thread, takes no lock, does no I/O, reads no clock. Reading is total: no input panics, and what is
//! allocated is bounded by the bytes received.

pub mod error_code;
pub mod record;
pub mod varint;

pub use error_code::ErrorCode;
