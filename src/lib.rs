//! A synchronous, thread-based Kafka producer.

mod clock;
pub mod config;
mod error;
pub mod protocol;
mod record;
mod sync;

pub use config::{Acks, ProducerConfig, ProducerConfigBuilder};
pub use error::{BoxError, Error, ErrorKind};
pub use record::TopicPartition;
