//! Kafka's wire protocol: bytes and versions, nothing of producing.
//!
//! Runs on any thread, takes no lock, does no I/O, reads no clock. Reading is total: no input panics, and what is
//! allocated is bounded by the bytes received.
//!
//! This module is public so that tests and tools can speak to brokers and to the mock cluster, but it stands **outside
//! the promise of semantic versioning**: it follows Kafka's protocol and may change in any release.

pub mod api_key;
pub mod error_code;
pub mod frame;
pub mod header;
pub mod messages;
pub mod record;
pub mod varint;
pub mod wire;

pub use api_key::ApiKey;
pub use error_code::ErrorCode;
pub use frame::{FrameBuffer, FrameError};
pub use header::RequestHeader;
pub use messages::{Message, Request, choose_version};
pub use wire::{DecodeError, DecodeErrorKind, EncodeError, FrameStart, Reader, Splice, Writer};
