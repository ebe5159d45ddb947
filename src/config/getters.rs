//! Reading a config: one method per setting.
//!
//! Any thread, no lock. The builder's methods of the same names say what each setting means.

use super::address::BootstrapServer;
use super::names::{
    Acks, DnsLookup, MetadataRecoveryStrategy, PartitionerName, RecordingLevel, SerializerName,
};
use super::{ProducerConfig, Secret};
use crate::protocol::record::compression::Compression;
use std::time::Duration;

impl ProducerConfig {
    /// The brokers to start from, in the order given, without repetitions; at least one.
    pub fn bootstrap_servers(&self) -> &[BootstrapServer] {
        &self.bootstrap_servers
    }

    /// What [`build`](super::ProducerConfigBuilder::build) changed or ignored and logged as warnings.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The value given for a key that [`declare_keys`](super::ProducerConfigBuilder::declare_keys) declared, or for one
    /// below `metrics.context.`.
    pub fn plugin_value(&self, key: &str) -> Option<&str> {
        self.plugin_values.get(key).map(Secret::reveal)
    }

    /// All keys and values of plug-ins, ordered by key. The values may be secrets.
    pub fn plugin_values(&self) -> impl Iterator<Item = (&str, &str)> {
        self.plugin_values.iter().map(|(key, value)| (key.as_str(), value.reveal()))
    }

    /// Codec of whole batches, and its level if one was set.
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// The name in requests; `None` if the producer is to number itself.
    pub fn client_id(&self) -> Option<&str> {
        self.client_id.as_deref()
    }

    /// The name of the key's serializer, if one was given.
    pub fn key_serializer(&self) -> Option<SerializerName> {
        self.key_serializer
    }

    /// The name of the value's serializer, if one was given.
    pub fn value_serializer(&self) -> Option<SerializerName> {
        self.value_serializer
    }

    /// Who must have a batch before it counts as written.
    pub fn acks(&self) -> Acks {
        self.acks
    }

    /// Whether the producer is idempotent. Effective: a default yields to `acks` other than all and to `retries` 0.
    pub fn idempotence(&self) -> bool {
        self.idempotence
    }

    /// How often a batch is sent again at most.
    pub fn retries(&self) -> u32 {
        self.retries
    }

    /// Requests on one connection that may wait for their answers.
    pub fn max_in_flight_requests_per_connection(&self) -> usize {
        self.max_in_flight
    }

    /// How many bytes of records of one partition make a full batch, at least 1.
    pub fn batch_size(&self) -> usize {
        self.batch_size
    }

    /// How far a full batch grows on until the broker can take it, where nothing else forbids it; at least
    /// [`batch_size`](Self::batch_size).
    pub fn batch_max_size(&self) -> usize {
        self.batch_max_size
    }

    /// How long a batch that is not full waits for more records.
    pub fn linger(&self) -> Duration {
        self.linger
    }

    /// Bytes that records waiting or in flight may take.
    pub fn buffer_memory(&self) -> usize {
        self.buffer_memory
    }

    /// Share of `buffer.memory` that one leader's partitions hold at most while several leaders are in use.
    pub fn buffer_memory_per_broker_ratio(&self) -> f64 {
        self.buffer_memory_per_broker_ratio
    }

    /// Most bytes of one request, and of one record before compression.
    pub fn max_request_size(&self) -> usize {
        self.max_request_size
    }

    /// How long a call may wait for metadata and memory together.
    pub fn max_block(&self) -> Duration {
        self.max_block
    }

    /// Time from a record's batch being opened to its result. Effective: at least linger plus request timeout.
    pub fn delivery_timeout(&self) -> Duration {
        self.delivery_timeout
    }

    /// How long an answer may take. May hold less than a whole millisecond: round up for the wire.
    pub fn request_timeout(&self) -> Duration {
        self.request_timeout
    }

    /// The name of the partitioner, if one was given.
    pub fn partitioner(&self) -> Option<PartitionerName> {
        self.partitioner
    }

    /// Whether the default partitioner treats keyed records like those without a key.
    pub fn partitioner_ignore_keys(&self) -> bool {
        self.partitioner_ignore_keys
    }

    /// Whether the default partitioner prefers partitions with short queues.
    pub fn partitioner_adaptive_partitioning_enable(&self) -> bool {
        self.partitioner_adaptive
    }

    /// Partitions whose leader has taken nothing for this long are left out; `None` turns it off.
    pub fn partitioner_availability_timeout(&self) -> Option<Duration> {
        self.partitioner_availability_timeout
    }

    /// How long a producer that is dropped without `close` waits for its records.
    pub fn drop_close_timeout(&self) -> Duration {
        self.drop_close_timeout
    }

    /// The transactional id, if there is one.
    pub fn transactional_id(&self) -> Option<&str> {
        self.transactional_id.as_deref()
    }

    /// After this time the coordinator aborts an open transaction.
    pub fn transaction_timeout(&self) -> Duration {
        self.transaction_timeout
    }

    /// Whether an outside coordinator ends transactions.
    pub fn transaction_two_phase_commit_enable(&self) -> bool {
        self.two_phase_commit
    }

    /// How names of brokers become addresses.
    pub fn client_dns_lookup(&self) -> DnsLookup {
        self.dns_lookup
    }

    /// Connections that were idle for this long are closed; `None`: never.
    pub fn connections_max_idle(&self) -> Option<Duration> {
        self.connections_max_idle
    }

    /// Metadata is asked for again after this time.
    pub fn metadata_max_age(&self) -> Duration {
        self.metadata_max_age
    }

    /// A topic that nothing was sent to for this long is forgotten.
    pub fn metadata_max_idle(&self) -> Duration {
        self.metadata_max_idle
    }

    /// What to do when no known broker can be reached.
    pub fn metadata_recovery_strategy(&self) -> MetadataRecoveryStrategy {
        self.metadata_recovery
    }

    /// The producer starts again from the bootstrap servers if metadata could not be had for this long.
    pub fn metadata_recovery_rebootstrap_trigger(&self) -> Duration {
        self.rebootstrap_trigger
    }

    /// First pause before a broker is connected to again. May be 0.
    pub fn reconnect_backoff(&self) -> Duration {
        self.reconnect_backoff.first
    }

    /// Longest pause between attempts to connect; at least the first one.
    pub fn reconnect_backoff_max(&self) -> Duration {
        self.reconnect_backoff.most
    }

    /// First pause before a request is made again. May be 0.
    pub fn retry_backoff(&self) -> Duration {
        self.retry_backoff.first
    }

    /// Longest pause before a request is made again; at least the first one.
    pub fn retry_backoff_max(&self) -> Duration {
        self.retry_backoff.most
    }

    /// What each pause is multiplied by after a failure, for requests and connections.
    pub fn retry_backoff_multiplier(&self) -> f64 {
        self.retry_backoff_multiplier
    }

    /// By which part of itself each pause is made longer or shorter at random.
    pub fn retry_backoff_jitter(&self) -> f64 {
        self.retry_backoff_jitter
    }

    /// How long the first attempt at a connection may take.
    pub fn socket_connection_setup_timeout(&self) -> Duration {
        self.connection_setup_timeout.first
    }

    /// Longest time that a connection may take; at least the first one.
    pub fn socket_connection_setup_timeout_max(&self) -> Duration {
        self.connection_setup_timeout.most
    }

    /// Size of the socket's send buffer in bytes; `None` leaves it to the operating system.
    pub fn send_buffer(&self) -> Option<usize> {
        self.send_buffer
    }

    /// Size of the socket's receive buffer in bytes; `None` leaves it to the operating system.
    pub fn receive_buffer(&self) -> Option<usize> {
        self.receive_buffer
    }

    /// Windows that rates are computed over.
    pub fn metrics_num_samples(&self) -> u32 {
        self.metrics_num_samples
    }

    /// Length of a window that rates are computed over.
    pub fn metrics_sample_window(&self) -> Duration {
        self.metrics_sample_window
    }

    /// Which metrics are kept.
    pub fn metrics_recording_level(&self) -> RecordingLevel {
        self.metrics_recording_level
    }

    /// Whether brokers may ask for metrics. This version pushes none.
    pub fn enable_metrics_push(&self) -> bool {
        self.metrics_push
    }
}
