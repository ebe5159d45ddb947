//! One method per setting: what it means, its unit, range and default, and what it trades for what.
//!
//! The methods only note what is given; `build` checks it by the table. Times beyond 100 years count as 100 years where
//! Java has a `long`, so that `Duration::MAX` may be given for "no limit"; where it has an `int` they are refused.

use super::builder::ProducerConfigBuilder;
use super::names::{
    Acks, DnsLookup, MetadataRecoveryStrategy, PartitionerName, RecordingLevel, SerializerName,
};
use super::parse::Value;
use super::resolve;
use crate::protocol::record::compression::Compression;
use std::time::Duration;

/// Numbers beyond an `i64` are beyond every range too.
fn int(number: usize) -> Value {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

/// Settings, named as Java's keys without their unit. Times are given as [`Duration`], sizes in bytes.
impl ProducerConfigBuilder {
    /// Brokers to start from, each `host:port`; an item may hold several with commas. The others are learnt from them.
    ///
    /// Required. Give at least two, so that the producer can start while one is down.
    ///
    /// Java: `bootstrap.servers`.
    pub fn bootstrap_servers(self, servers: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let servers = servers.into_iter().map(Into::into).collect();
        self.typed("bootstrap.servers", Value::List(servers))
    }

    /// Codec of whole batches, at its default level ([`CompressionType`]) or one of its levels ([`Compression`]).
    ///
    /// Default: none. A codec needs its cargo feature: `gzip`, `snappy`, `lz4` (on by default), `zstd` (off). Saves
    /// network and disk for processor time; lz4 is the cheapest, zstd the smallest.
    ///
    /// Java: `compression.type`, and the level of that codec.
    ///
    /// [`CompressionType`]: crate::protocol::record::compression::CompressionType
    pub fn compression(self, compression: impl Into<Compression>) -> Self {
        let compression = compression.into();
        let level = compression.level().map(|level| Value::Int(i64::from(level)));
        let with_codec = self.typed("compression.type", Value::Text(compression.codec().name().to_owned()));
        match resolve::level_key(compression.codec()) {
            Some(key) => with_codec.typed_or_unset(key, level),
            None => with_codec,
        }
    }

    /// Level of gzip, if that is the codec: 1 (fast) to 9 (small), or -1, zlib's own choice, which is the default.
    ///
    /// Java: `compression.gzip.level`.
    pub fn compression_gzip_level(self, level: i32) -> Self {
        let own_choice = level == -1;
        let value = if own_choice { Value::Off } else { Value::Int(i64::from(level)) };
        self.typed("compression.gzip.level", value)
    }

    /// Level of lz4, if that is the codec: 1 to 17, default 9. Accepted as in Java; the encoder has one speed, the fast one.
    ///
    /// Java: `compression.lz4.level`.
    pub fn compression_lz4_level(self, level: i32) -> Self {
        self.typed("compression.lz4.level", Value::Int(i64::from(level)))
    }

    /// Level of zstd, if that is the codec: -131,072 (fastest) to 22 (smallest), default 3.
    ///
    /// Java: `compression.zstd.level`.
    pub fn compression_zstd_level(self, level: i32) -> Self {
        self.typed("compression.zstd.level", Value::Int(i64::from(level)))
    }

    /// Name of this producer in requests: in the broker's log, quotas and metrics.
    ///
    /// At most 32,767 bytes. Default: empty, and the producer numbers itself (`producer-1`), or is named after its
    /// transactional id. Give each service its own name, or quotas and logs mix them up.
    ///
    /// Java: `client.id`.
    pub fn client_id(self, client_id: impl Into<String>) -> Self {
        self.typed("client.id", Value::Text(client_id.into()))
    }

    /// Says which serializer keys have, to be checked against the types in use.
    ///
    /// Default: not said. Only of use where a Java file says it: the serializer itself is given to the producer.
    ///
    /// Java: `key.serializer`.
    pub fn key_serializer(self, key_serializer: SerializerName) -> Self {
        self.typed("key.serializer", Value::Text(key_serializer.java_class()))
    }

    /// Says which serializer values have, to be checked against the types in use.
    ///
    /// Default: not said. Only of use where a Java file says it: the serializer itself is given to the producer.
    ///
    /// Java: `value.serializer`.
    pub fn value_serializer(self, value_serializer: SerializerName) -> Self {
        self.typed("value.serializer", Value::Text(value_serializer.java_class()))
    }

    /// Who must have a batch before it counts as written.
    ///
    /// Default: [`Acks::All`]. Less is faster by a replica's round trip and loses records when a leader fails. Other
    /// than `All` it turns a default `enable.idempotence` off, and contradicts an explicit one.
    ///
    /// Java: `acks`.
    pub fn acks(self, acks: Acks) -> Self {
        self.typed("acks", Value::Text(acks.name().to_owned()))
    }

    /// Whether brokers discard what a retry wrote twice, and keep the order of retried batches (KIP-98, KIP-679).
    ///
    /// Default: true. Needs `acks=all`, retries above 0 and at most five requests in flight. Costs nothing measurable;
    /// without it a retry can double records, and reorder them unless one request is in flight.
    ///
    /// Java: `enable.idempotence`.
    pub fn enable_idempotence(self, enable_idempotence: bool) -> Self {
        self.typed("enable.idempotence", Value::Bool(enable_idempotence))
    }

    /// How often a batch is sent again at most.
    ///
    /// 0 to 2,147,483,647. Default: 2,147,483,647, so that `delivery.timeout.ms` alone bounds retrying, which is the
    /// better measure. 0 turns a default `enable.idempotence` off, and contradicts an explicit one.
    ///
    /// Java: `retries`.
    pub fn retries(self, retries: u32) -> Self {
        self.typed("retries", Value::Int(i64::from(retries)))
    }

    /// Requests on one connection that may wait for their answers.
    ///
    /// 1 to 2,147,483,647. Default: 5. More hides a longer round trip; 1 keeps the order without idempotence. Above 5
    /// is refused unless `enable.idempotence` is off: brokers remember five batches of a partition.
    ///
    /// Java: `max.in.flight.requests.per.connection`.
    pub fn max_in_flight_requests_per_connection(self, max_in_flight_requests_per_connection: usize) -> Self {
        self.typed("max.in.flight.requests.per.connection", int(max_in_flight_requests_per_connection))
    }

    /// How many bytes of records of one partition make a full batch, which is sent.
    ///
    /// 0 to 2,147,483,647 bytes. Default: 16,384. Bigger batches cost fewer requests and compress better, and take memory
    /// only as they fill. Set, it is the most that a batch holds, and a record that is bigger goes alone; 0 sends each record
    /// alone. Unset, a full batch may grow: [`batch_max_size`](Self::batch_max_size). With a codec it bounds the
    /// estimated compressed size. Cannot exceed `buffer.memory`.
    ///
    /// Java: `batch.size`.
    pub fn batch_size(self, batch_size: usize) -> Self {
        self.typed("batch.size", int(batch_size))
    }

    /// How far a batch that is full grows on until the broker can take it.
    ///
    /// 0 to 2,147,483,647 bytes; 0: not at all. Default: 262,144, or [`batch_size`](Self::batch_size) where that is set, which
    /// is then the most that any batch holds, as in Java. As long as requests keep up with the records, batches are sent when
    /// they hold `batch.size` bytes and nothing grows; when they do not, more is sent in each. Takes memory only as batches grow;
    /// at most a sixteenth of `buffer.memory`, and `max.request.size`. Without effect with a codec, and with `acks=0`, where
    /// nobody would say that a batch is too large. A partition's batches grow step by step, to twice what its broker has
    /// acknowledged, and only while it does so within a 32nd of `request.timeout.ms`; if it finds one too large
    /// (`max.message.bytes` of the topic), that is split, and none there grows any more.
    ///
    /// Key: `batch.max.size`, as KIP-782 names it; Java has none.
    pub fn batch_max_size(self, batch_max_size: usize) -> Self {
        self.typed("batch.max.size", int(batch_max_size))
    }

    /// How long a batch that is not full waits for more records, counted from its first one.
    ///
    /// From 0. Default: 5 ms. Longer makes fuller batches, at the price of latency; whoever waits for a result, and
    /// `flush`, end it. More than 2,147,483,647 ms counts as that.
    ///
    /// Java: `linger.ms`.
    pub fn linger(self, linger: Duration) -> Self {
        self.typed("linger.ms", Value::Time(linger))
    }

    /// Bytes that records waiting or in flight may take.
    ///
    /// From 1. Default: 33,554,432 (32 MiB). When it is used up `send` blocks for at most `max.block.ms`. A broker that
    /// stalls fills it: size it by rate times the time to bridge.
    ///
    /// Java: `buffer.memory`.
    pub fn buffer_memory(self, buffer_memory: usize) -> Self {
        self.typed("buffer.memory", int(buffer_memory))
    }

    /// Share of `buffer.memory` that the partitions of one leader hold at most while several leaders are in use.
    ///
    /// Above 0, to 1. Default: 0.5. Not a key of Java's. Less leaves more to the others when one broker stalls, and lets
    /// one broker's bursts block sooner.
    ///
    /// Key: `buffer.memory.per.broker.ratio`.
    pub fn buffer_memory_per_broker_ratio(self, buffer_memory_per_broker_ratio: f64) -> Self {
        self.typed("buffer.memory.per.broker.ratio", Value::Real(buffer_memory_per_broker_ratio))
    }

    /// Most bytes of one request, and of one record before compression.
    ///
    /// 1 to 2,147,483,647 bytes. Default: 1,048,576. A bigger record is refused by `send`. Brokers and topics have limits
    /// of their own (`message.max.bytes`), on compressed batches: raise those too.
    ///
    /// Java: `max.request.size`.
    pub fn max_request_size(self, max_request_size: usize) -> Self {
        self.typed("max.request.size", int(max_request_size))
    }

    /// How long `send`, `partitions_for` and the calls of transactions may wait in all, for metadata and memory.
    ///
    /// From 0. Default: 60 s. 0 never waits, so that the first record of a topic fails. Not for `flush` and `close`.
    ///
    /// Java: `max.block.ms`.
    pub fn max_block(self, max_block: Duration) -> Self {
        self.typed("max.block.ms", Value::Time(max_block))
    }

    /// Time from a record's batch being opened to its result, retries included (KIP-91).
    ///
    /// 1 to 2,147,483,647 ms (24 days). Default: 120 s. At least `linger.ms` plus `request.timeout.ms`: of the three,
    /// defaults yield to what is set. Longer rides out longer outages, holding memory meanwhile.
    ///
    /// Java: `delivery.timeout.ms`.
    pub fn delivery_timeout(self, delivery_timeout: Duration) -> Self {
        self.typed("delivery.timeout.ms", Value::Time(delivery_timeout))
    }

    /// How long an answer may take before the connection is closed and what was in flight on it is sent again.
    ///
    /// 1 to 2,147,483,647 ms. Default: 30 s. Also what the leader is told to wait for its replicas. Shorter notices a dead
    /// broker sooner; too short repeats what was only slow.
    ///
    /// Java: `request.timeout.ms`.
    pub fn request_timeout(self, request_timeout: Duration) -> Self {
        self.typed("request.timeout.ms", Value::Time(request_timeout))
    }

    /// The partitioner, by name; an object is given to `KafkaProducerBuilder::partitioner` instead.
    ///
    /// Default: [`PartitionerName::Default`], which puts keys where Java puts them.
    ///
    /// Java: `partitioner.class`.
    pub fn partitioner(self, partitioner: PartitionerName) -> Self {
        self.typed("partitioner.class", Value::Text(partitioner.name().to_owned()))
    }

    /// Whether the default partitioner treats keyed records like those without a key.
    ///
    /// Default: false. Spreads evenly, and gives up that records of one key stay together in order.
    ///
    /// Java: `partitioner.ignore.keys`.
    pub fn partitioner_ignore_keys(self, partitioner_ignore_keys: bool) -> Self {
        self.typed("partitioner.ignore.keys", Value::Bool(partitioner_ignore_keys))
    }

    /// Whether the default partitioner gives records without a key rather to partitions with short queues (KIP-794).
    ///
    /// Default: true. A slow broker gets fewer records instead of slowing all; off, partitions get equal shares.
    ///
    /// Java: `partitioner.adaptive.partitioning.enable`.
    pub fn partitioner_adaptive_partitioning_enable(
        self,
        partitioner_adaptive_partitioning_enable: bool,
    ) -> Self {
        self.typed(
            "partitioner.adaptive.partitioning.enable",
            Value::Bool(partitioner_adaptive_partitioning_enable),
        )
    }

    /// Leaves out partitions whose leader has taken nothing for this long; only for records without a key (KIP-794).
    ///
    /// From 0, which turns it off. Default: 0.
    ///
    /// Java: `partitioner.availability.timeout.ms`.
    pub fn partitioner_availability_timeout(self, partitioner_availability_timeout: Duration) -> Self {
        self.typed("partitioner.availability.timeout.ms", Value::Time(partitioner_availability_timeout))
    }

    /// How long a producer that is dropped without `close` waits for its records.
    ///
    /// From 0. Default: 5 s. Not a key of Java's. What is left then is given up, and its number logged.
    ///
    /// Key: `drop.close.timeout.ms`.
    pub fn drop_close_timeout(self, drop_close_timeout: Duration) -> Self {
        self.typed("drop.close.timeout.ms", Value::Time(drop_close_timeout))
    }

    /// Name under which transactions survive this producer, and under which it fences its predecessor (KIP-98).
    ///
    /// 1 to 32,767 bytes. Default: none, and no transactions. Implies idempotence. Two live producers must not share one.
    ///
    /// Java: `transactional.id`.
    pub fn transactional_id(self, transactional_id: impl Into<String>) -> Self {
        self.typed("transactional.id", Value::Text(transactional_id.into()))
    }

    /// After this time the coordinator aborts an open transaction.
    ///
    /// 1 to 2,147,483,647 ms, at most the broker's `transaction.max.timeout.ms`. Default: 60 s. Open transactions hold
    /// back readers of committed records.
    ///
    /// Java: `transaction.timeout.ms`.
    pub fn transaction_timeout(self, transaction_timeout: Duration) -> Self {
        self.typed("transaction.timeout.ms", Value::Time(transaction_timeout))
    }

    /// Whether an outside coordinator ends transactions, which then have no timeout (KIP-939).
    ///
    /// Default: false. Cannot be set together with `transaction.timeout.ms`.
    ///
    /// Java: `transaction.two.phase.commit.enable`.
    pub fn transaction_two_phase_commit_enable(self, transaction_two_phase_commit_enable: bool) -> Self {
        self.typed("transaction.two.phase.commit.enable", Value::Bool(transaction_two_phase_commit_enable))
    }

    /// How names of brokers become addresses (KIP-302).
    ///
    /// Default: [`DnsLookup::UseAllDnsIps`]. The other one makes no difference yet, and a warning says so: canonical names
    /// are for Kerberos and TLS.
    ///
    /// Java: `client.dns.lookup`.
    pub fn client_dns_lookup(self, client_dns_lookup: DnsLookup) -> Self {
        self.typed("client.dns.lookup", Value::Text(client_dns_lookup.name().to_owned()))
    }

    /// Closes connections that were idle for this long; `None` never does.
    ///
    /// From 1 ms. Default: 540 s, less than the ten minutes after which brokers do: so no request meets a connection that
    /// the broker is just closing.
    ///
    /// Java: `connections.max.idle.ms`.
    pub fn connections_max_idle(self, connections_max_idle: Option<Duration>) -> Self {
        self.typed("connections.max.idle.ms", connections_max_idle.map_or(Value::Off, Value::Time))
    }

    /// Asks for metadata again after this time even if nothing went wrong.
    ///
    /// From 0. Default: 300 s. Shorter sees new partitions and brokers sooner.
    ///
    /// Java: `metadata.max.age.ms`.
    pub fn metadata_max_age(self, metadata_max_age: Duration) -> Self {
        self.typed("metadata.max.age.ms", Value::Time(metadata_max_age))
    }

    /// Forgets a topic that nothing was sent to for this long (KIP-526); the next record for it waits for metadata again.
    ///
    /// From 5 s. Default: 300 s.
    ///
    /// Java: `metadata.max.idle.ms`.
    pub fn metadata_max_idle(self, metadata_max_idle: Duration) -> Self {
        self.typed("metadata.max.idle.ms", Value::Time(metadata_max_idle))
    }

    /// What to do when no known broker can be reached (KIP-899).
    ///
    /// Default: [`MetadataRecoveryStrategy::Rebootstrap`], which survives all brokers changing their addresses.
    ///
    /// Java: `metadata.recovery.strategy`.
    pub fn metadata_recovery_strategy(self, metadata_recovery_strategy: MetadataRecoveryStrategy) -> Self {
        self.typed("metadata.recovery.strategy", Value::Text(metadata_recovery_strategy.name().to_owned()))
    }

    /// Starts again from the bootstrap servers if metadata could not be had for this long (KIP-1102).
    ///
    /// From 0. Default: 300 s.
    ///
    /// Java: `metadata.recovery.rebootstrap.trigger.ms`.
    pub fn metadata_recovery_rebootstrap_trigger(
        self,
        metadata_recovery_rebootstrap_trigger: Duration,
    ) -> Self {
        self.typed(
            "metadata.recovery.rebootstrap.trigger.ms",
            Value::Time(metadata_recovery_rebootstrap_trigger),
        )
    }

    /// Pause before a broker is connected to again; grows up to `reconnect.backoff.max.ms`.
    ///
    /// From 0. Default: 50 ms. Set without the other it is constant, as in Java.
    ///
    /// Java: `reconnect.backoff.ms`.
    pub fn reconnect_backoff(self, reconnect_backoff: Duration) -> Self {
        self.typed("reconnect.backoff.ms", Value::Time(reconnect_backoff))
    }

    /// Longest pause between attempts to connect to a broker.
    ///
    /// From 0. Default: 1 s. Longer spares a cluster that comes up; shorter is back sooner.
    ///
    /// Java: `reconnect.backoff.max.ms`.
    pub fn reconnect_backoff_max(self, reconnect_backoff_max: Duration) -> Self {
        self.typed("reconnect.backoff.max.ms", Value::Time(reconnect_backoff_max))
    }

    /// Pause before a request is made again; grows up to `retry.backoff.max.ms` (KIP-580).
    ///
    /// From 0. Default: 100 ms. Shorter recovers sooner from a leader's move, and asks a troubled broker more often.
    ///
    /// Java: `retry.backoff.ms`.
    pub fn retry_backoff(self, retry_backoff: Duration) -> Self {
        self.typed("retry.backoff.ms", Value::Time(retry_backoff))
    }

    /// Longest pause before a request is made again (KIP-580).
    ///
    /// From 0. Default: 1 s.
    ///
    /// Java: `retry.backoff.max.ms`.
    pub fn retry_backoff_max(self, retry_backoff_max: Duration) -> Self {
        self.typed("retry.backoff.max.ms", Value::Time(retry_backoff_max))
    }

    /// What each pause is multiplied by after a failure, for requests and connections.
    ///
    /// 1 to 100. Default: 2. Not a key of Java's, where it is fixed. 1 keeps pauses constant.
    ///
    /// Key: `retry.backoff.multiplier`.
    pub fn retry_backoff_multiplier(self, retry_backoff_multiplier: f64) -> Self {
        self.typed("retry.backoff.multiplier", Value::Real(retry_backoff_multiplier))
    }

    /// By which part of itself each pause is made longer or shorter at random.
    ///
    /// 0 to 0.9. Default: 0.2. Not a key of Java's, where it is fixed. Keeps many producers from returning together.
    ///
    /// Key: `retry.backoff.jitter`.
    pub fn retry_backoff_jitter(self, retry_backoff_jitter: f64) -> Self {
        self.typed("retry.backoff.jitter", Value::Real(retry_backoff_jitter))
    }

    /// How long a connection may take to be made; doubles with each failure (KIP-601).
    ///
    /// From 1 ms. Default: 10 s. Shorter tries the next address sooner.
    ///
    /// Java: `socket.connection.setup.timeout.ms`.
    pub fn socket_connection_setup_timeout(self, socket_connection_setup_timeout: Duration) -> Self {
        self.typed("socket.connection.setup.timeout.ms", Value::Time(socket_connection_setup_timeout))
    }

    /// Longest time that a connection may take to be made (KIP-601).
    ///
    /// From 1 ms. Default: 30 s.
    ///
    /// Java: `socket.connection.setup.timeout.max.ms`.
    pub fn socket_connection_setup_timeout_max(self, socket_connection_setup_timeout_max: Duration) -> Self {
        self.typed("socket.connection.setup.timeout.max.ms", Value::Time(socket_connection_setup_timeout_max))
    }

    /// Size of the socket's send buffer in bytes; `None` leaves it to the operating system.
    ///
    /// 1 to 2,147,483,647. Default: 131,072, or `batch.size` where that is more, up to 524,288. On a long fat line the
    /// operating system's own choice is better.
    ///
    /// Java: `send.buffer.bytes`.
    pub fn send_buffer(self, send_buffer: Option<usize>) -> Self {
        self.typed("send.buffer.bytes", send_buffer.map_or(Value::Off, int))
    }

    /// Size of the socket's receive buffer in bytes; `None` leaves it to the operating system.
    ///
    /// 1 to 2,147,483,647. Default: 32,768. Answers are small; rarely worth a change.
    ///
    /// Java: `receive.buffer.bytes`.
    pub fn receive_buffer(self, receive_buffer: Option<usize>) -> Self {
        self.typed("receive.buffer.bytes", receive_buffer.map_or(Value::Off, int))
    }

    /// Windows that rates are computed over.
    ///
    /// 1 to 2,147,483,647. Default: 2.
    ///
    /// Java: `metrics.num.samples`.
    pub fn metrics_num_samples(self, metrics_num_samples: u32) -> Self {
        self.typed("metrics.num.samples", Value::Int(i64::from(metrics_num_samples)))
    }

    /// Length of a window that rates are computed over.
    ///
    /// From 0. Default: 30 s.
    ///
    /// Java: `metrics.sample.window.ms`.
    pub fn metrics_sample_window(self, metrics_sample_window: Duration) -> Self {
        self.typed("metrics.sample.window.ms", Value::Time(metrics_sample_window))
    }

    /// Which metrics are kept.
    ///
    /// Default: [`RecordingLevel::Info`], which is all of a producer's.
    ///
    /// Java: `metrics.recording.level`.
    pub fn metrics_recording_level(self, metrics_recording_level: RecordingLevel) -> Self {
        self.typed("metrics.recording.level", Value::Text(metrics_recording_level.name().to_owned()))
    }

    /// Whether brokers may ask for metrics (KIP-714).
    ///
    /// Default: true. This version pushes none, whatever the value.
    ///
    /// Java: `enable.metrics.push`.
    pub fn enable_metrics_push(self, enable_metrics_push: bool) -> Self {
        self.typed("enable.metrics.push", Value::Bool(enable_metrics_push))
    }
}
