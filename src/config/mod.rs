//! What a producer is told: one table of keys is the source of parser, defaults and documentation.
//!
//! Owns `ProducerConfig`, immutable once built, and the ways to it: typed builder methods, Java's keys as text, Java's
//! files. Built on the caller's thread, read on any; no lock. Knows nothing of what the settings do. Two rules: only
//! settings that were both given can contradict each other, a default yields with a warning; and nothing in here reads
//! files, environment or network because of what a value says.
//!
//! `table` names the keys, `parse` reads values, `check` weighs them against each other, `resolve` makes the config of
//! them.

mod address;
mod builder;
mod check;
mod doc;
mod getters;
mod names;
mod parse;
mod plugin;
mod properties;
mod resolve;
mod secret;
mod setters;
mod suggest;
mod table;

pub use crate::protocol::record::compression::{Compression, CompressionType};
pub use address::BootstrapServer;
pub use builder::ProducerConfigBuilder;
pub use names::{Acks, DnsLookup, MetadataRecoveryStrategy, PartitionerName, RecordingLevel, SerializerName};
pub use plugin::PluginConfig;

use crate::error::Error;
use check::Growing;
use secret::Secret;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// The settings of one producer: complete, checked against each other, immutable.
///
/// Getters are named as the builder's methods, which say what each setting means ([`idempotence`](Self::idempotence) is
/// set by `enable_idempotence`), and give effective values: those in force after defaults have yielded to what was set. `Debug` prints no value that could be a secret.
///
/// ```
/// use kafka_producer::config::{Acks, ProducerConfig};
/// use std::time::Duration;
///
/// let config = ProducerConfig::builder(["kafka-1:9092", "kafka-2:9092"])
///     .linger(Duration::from_millis(20))
///     .set("batch.size", "65536")
///     .build()?;
/// assert_eq!(config.acks(), Acks::All);
/// assert_eq!(config.batch_size(), 65536);
/// # Ok::<(), kafka_producer::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ProducerConfig {
    bootstrap_servers: Vec<BootstrapServer>,
    client_id: Option<String>,
    key_serializer: Option<SerializerName>,
    value_serializer: Option<SerializerName>,
    acks: Acks,
    idempotence: bool,
    retries: u32,
    max_in_flight: usize,
    batch_size: usize,
    batch_max_size: usize,
    linger: Duration,
    buffer_memory: usize,
    buffer_memory_per_broker_ratio: f64,
    max_request_size: usize,
    max_block: Duration,
    delivery_timeout: Duration,
    request_timeout: Duration,
    compression: Compression,
    partitioner: Option<PartitionerName>,
    partitioner_ignore_keys: bool,
    partitioner_adaptive: bool,
    partitioner_availability_timeout: Option<Duration>,
    drop_close_timeout: Duration,
    transactional_id: Option<String>,
    transaction_timeout: Duration,
    two_phase_commit: bool,
    dns_lookup: DnsLookup,
    connections_max_idle: Option<Duration>,
    metadata_max_age: Duration,
    metadata_max_idle: Duration,
    metadata_recovery: MetadataRecoveryStrategy,
    rebootstrap_trigger: Duration,
    reconnect_backoff: Growing,
    retry_backoff: Growing,
    retry_backoff_multiplier: f64,
    retry_backoff_jitter: f64,
    connection_setup_timeout: Growing,
    send_buffer: Option<usize>,
    receive_buffer: Option<usize>,
    metrics_num_samples: u32,
    metrics_sample_window: Duration,
    metrics_recording_level: RecordingLevel,
    metrics_push: bool,
    plugin_values: BTreeMap<String, Secret>,
    warnings: Vec<String>,
}

impl ProducerConfig {
    /// All defaults, with these brokers to start from: `host:port`, several with commas.
    ///
    /// # Errors
    /// `Config` if an address is none.
    pub fn new(bootstrap_servers: &str) -> Result<Self, Error> {
        Self::builder([bootstrap_servers]).build()
    }

    /// A builder that starts with these brokers, each `host:port`; an item may hold several with commas.
    pub fn builder(bootstrap_servers: impl IntoIterator<Item = impl Into<String>>) -> ProducerConfigBuilder {
        ProducerConfigBuilder::new().bootstrap_servers(bootstrap_servers)
    }

    /// The settings of these pairs of Java's key and value; of a repeated key the last one holds.
    ///
    /// # Errors
    /// `Config`, as [`ProducerConfigBuilder::build`].
    pub fn from_properties<K, V>(pairs: impl IntoIterator<Item = (K, V)>) -> Result<Self, Error>
    where
        K: Into<String>,
        V: Into<String>,
    {
        ProducerConfigBuilder::new().properties(pairs).build()
    }

    /// The settings of a Java client's .properties file. Blocks while it is read.
    ///
    /// To add to a file's settings, take them into a builder: [`ProducerConfigBuilder::file`].
    ///
    /// # Errors
    /// `Config` if the file cannot be read (`source()` says why), is malformed, or as [`ProducerConfigBuilder::build`].
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, Error> {
        ProducerConfigBuilder::new().file(path)?.build()
    }
}
