//! A synchronous, thread-based Kafka producer.

mod accumulator;
mod api;
mod clock;
pub mod config;
mod delivery;
mod driver;
mod engine;
mod error;
mod interceptor;
mod metrics;
pub mod mock;
pub mod partitioner;
mod producer;
pub mod protocol;
mod record;
pub mod serializer;
mod sync;

pub use api::Producer;
pub use config::{Acks, ProducerConfig, ProducerConfigBuilder};
pub use delivery::{Callback, DeliveryFuture, SendAll, SendAllError};
pub use error::{BoxError, Error, ErrorKind};
pub use interceptor::{Interceptor, Outcome};
pub use metrics::MetricsSnapshot;
pub use partitioner::{Choice, PartitionInfo, Partitioner};
pub use producer::{KafkaProducer, KafkaProducerBuilder};
pub use record::{Datum, Header, Headers, HeadersIter, ProducerRecord, RecordMetadata, TopicPartition};
pub use serializer::{BytesSerializer, Serializer, StringSerializer};
