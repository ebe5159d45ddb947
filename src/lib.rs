//! A synchronous, thread-based Kafka producer.

mod clock;
pub mod config;
mod error;
pub mod mock;
pub mod protocol;
mod record;
mod sync;

pub use error::{BoxError, Error, ErrorKind};
pub use record::TopicPartition;
