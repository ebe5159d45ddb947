//! A synchronous, thread-based Kafka producer: no async runtime, no C in the default build, the Java client's promises.
//!
//! ```
//! use kafka_producer::mock::MockCluster;
//! use kafka_producer::{BytesSerializer, KafkaProducer, ProducerConfig, ProducerRecord, StringSerializer};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let cluster = MockCluster::start(1)?;
//! # let servers = cluster.bootstrap_servers();
//! let config = ProducerConfig::builder([servers]).client_id("orders-service").build()?;
//! let producer = KafkaProducer::<str, [u8]>::new(config, StringSerializer, BytesSerializer)?;
//!
//! // Wait for the broker's word ...
//! let metadata = producer.send(ProducerRecord::new("orders", b"created").key("user-1"))?.get()?;
//! println!("{metadata}"); // orders-2@0
//! // ... or go on and look later ...
//! let handle = producer.send(ProducerRecord::new("orders", b"paid").key("user-1"))?;
//! // ... or be called back ...
//! producer.send_with(ProducerRecord::new("orders", b"shipped").key("user-1"), |result| {
//!     if let Err(error) = result {
//!         eprintln!("{error}");
//!     }
//! })?;
//! // ... or never look.
//! producer.send(ProducerRecord::new("audit", b"x"))?.detach();
//!
//! handle.get()?;
//! producer.close()?;
//! # Ok(())
//! # }
//! ```
//!
//! # What it promises
//! * A record that entered ends exactly once: acknowledged, or with an error that says whether it
//!   [may have been written](Error::may_have_been_written). Idempotent by default, with five requests in flight; nothing
//!   is lost silently, doubled, or out of order within a partition.
//! * Memory is bounded by `buffer.memory`; when it is full, `send` waits, fairly, for at most `max.block.ms`.
//! * No call hangs: everything that waits has a deadline.
//! * A stalled broker delays only its own partitions.
//!
//! # Transactions
//! With a `transactional.id`, [`KafkaProducer::transaction`] begins one: a [`Transaction`] is committed as a whole, with the
//! offsets of a consumer if need be, and aborts when it is dropped.
//!
//! # Threads
//! `kafka-sender` owns every broker socket; `kafka-callbacks` runs callbacks; `kafka-connector` threads are short-lived;
//! `kafka-monitor` runs reporters and the event listener, if there are any.
//! A [`KafkaProducer`] is `Send + Sync`: share one between all threads of a program.
//!
//! # Configuration
//! Java's names and defaults, as typed builder methods or as properties: see [`config`] and
//! [`ProducerConfig::from_file`].
//!
//! # Testing without a broker
//! [`mock::MockCluster`] is a Kafka cluster inside the process, on real sockets, with faults to inject.
//!
//! # Features
//! `gzip`, `snappy`, `lz4` (on by default, pure Rust); `zstd` compiles C; `json` and `uuid` bring `JsonSerializer` and
//! `UuidSerializer`.
//!
//! # Log levels
//! With the `log` crate, targets `kafka_producer::*`: `error`, the producer became unusable or a callback panicked;
//! `warn`, records were lost or a setting needs attention; `info`, rare events worth knowing; `debug`, connections,
//! retries, epochs; `trace`, each request. Keys, values and secrets are never logged.

mod accumulator;
mod api;
mod clock;
pub mod config;
mod delivery;
mod driver;
mod engine;
mod error;
mod interceptor;
pub mod metrics;
pub mod mock;
pub mod partitioner;
mod producer;
pub mod protocol;
mod record;
pub mod serializer;
mod sync;
mod transaction;

pub use api::{CommitError, Producer, Transaction};
pub use config::{Acks, ProducerConfig, ProducerConfigBuilder};
pub use delivery::{Callback, DeliveryFuture, SendAll, SendAllError};
pub use error::{BoxError, Error, ErrorKind, Timings};
pub use interceptor::{Interceptor, Outcome};
pub use metrics::{Event, MetricsSnapshot};
pub use partitioner::{Choice, PartitionInfo, Partitioner, TypedPartitioner};
pub use producer::{KafkaProducer, KafkaProducerBuilder};
pub use record::{Datum, Header, Headers, HeadersIter, ProducerRecord, RecordMetadata, TopicPartition};
#[cfg(feature = "json")]
pub use serializer::JsonSerializer;
#[cfg(feature = "uuid")]
pub use serializer::UuidSerializer;
pub use serializer::{
    BooleanSerializer, BytesSerializer, DefaultSerializer, DoubleSerializer, FloatSerializer,
    IntegerSerializer, LongSerializer, Serializer, ShortSerializer, StringSerializer, VoidSerializer,
};
pub use transaction::{ConsumerGroupMetadata, OffsetAndMetadata, Offsets, OffsetsIter};

/// The examples of README.md, compiled and run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;

/// The examples of docs/testing.md.
#[cfg(doctest)]
#[doc = include_str!("../docs/testing.md")]
pub struct Testing;

/// The examples of docs/migration.md.
#[cfg(doctest)]
#[doc = include_str!("../docs/migration.md")]
pub struct Migration;

/// The examples of docs/transactions.md.
#[cfg(doctest)]
#[doc = include_str!("../docs/transactions.md")]
pub struct Transactions;

/// The examples of docs/observability.md.
#[cfg(doctest)]
#[doc = include_str!("../docs/observability.md")]
pub struct Observability;
