//! The keys of the core, transactions, network, metadata and metrics.

use super::Importance::{High, Low, Medium};
use super::Kind::{Bool, Class, Int, List, Millis, NonEmpty, OneOf, Real, Text};
use super::Status::{Jvm, Ours, Plugin, Used};
use super::{I32, I64, Key, Kind, key};

/// A count or a size of Java's `int`.
const fn int(min: i64) -> Kind {
    Int { min, max: i32::MAX as i64, off: false }
}

/// A time of Java's `int`, in milliseconds.
const fn int_ms(min: u64) -> Kind {
    Millis { min, max: I32, off: false }
}

/// A time of Java's `long`, in milliseconds.
const fn long_ms(min: u64) -> Kind {
    Millis { min, max: I64, off: false }
}

/// Names that are taken in this spelling only, as Java does.
const fn one_of(names: &'static [&'static str]) -> Kind {
    OneOf { names, any_case: false }
}

/// Java's names of the one encoding that there is.
const UTF_8: Kind = OneOf { names: &["UTF-8", "UTF8"], any_case: true };

/// A socket buffer: -1 leaves it to the operating system.
const SOCKET_BUFFER: Kind = Int { min: 1, max: i32::MAX as i64, off: true };

#[rustfmt::skip]
pub(super) const KEYS: &[Key] = &[
    // Core, batching, delivery.
    key("bootstrap.servers", List, None, High, Used,
        "Brokers to start from, as `host:port` with commas between; the others are learnt from them. Required. Give at least two. IPv6 addresses stand in brackets, and `PLAINTEXT://` before an address is taken."),
    key("client.id", Text, Some(""), Medium, Used,
        "Name of this producer in requests, in the broker's log and quotas and in metrics. Empty: `producer-N`, or `producer-` and the transactional id."),
    key("key.serializer", Class, None, High, Used,
        "Java's class name of the key's serializer; checked against the type in use. Others than those of `org.apache.kafka.common.serialization` are objects and given to `KafkaProducer::new`."),
    key("value.serializer", Class, None, High, Used,
        "The same for the value."),
    key("key.serializer.encoding", UTF_8, None, Low, Used,
        "What Java's `StringSerializer` reads besides: text is always UTF-8 here, and any other encoding is refused."),
    key("value.serializer.encoding", UTF_8, None, Low, Used,
        "The same for the value."),
    key("serializer.encoding", UTF_8, None, Low, Used,
        "The same for both."),
    key("acks", OneOf { names: &["all", "-1", "0", "1"], any_case: true }, Some("all"), Low, Used,
        "Who must have a batch before it counts as written: `all` in-sync replicas (also `-1`), the leader alone (`1`), nobody (`0`: no answer, no offset, silent loss). Other than `all` turns a default `enable.idempotence` off."),
    key("enable.idempotence", Bool, Some("true"), Low, Used,
        "Whether brokers discard what a retry wrote twice and keep the order. Needs `acks=all`, `retries` above 0 and at most 5 requests in flight."),
    key("retries", int(0), Some("2147483647"), High, Used,
        "How often a batch is sent again at most. Better bound the time, with `delivery.timeout.ms`. 0 turns a default `enable.idempotence` off."),
    key("max.in.flight.requests.per.connection", int(1), Some("5"), Low, Used,
        "Requests on one connection that may wait for their answers. 1 keeps order without idempotence, at the cost of throughput; above 5 needs `enable.idempotence=false`."),
    key("batch.size", int(0), Some("16384"), Medium, Used,
        "How many bytes of records of one partition make a full batch, which is sent; set, it is the most that a batch holds (unset, see `batch.max.size`), and a bigger record goes alone. 0: each record alone. With a codec it bounds the estimated compressed size."),
    key("batch.max.size", int(0), Some("262144"), Low, Ours,
        "How far a batch that is full grows on, without a codec, until the broker can take it: while requests are slower than records. 0: not at all. Unset, it is `batch.size` where that is set. At most a sixteenth of `buffer.memory`, and `max.request.size`; not with `acks=0`."),
    key("linger.ms", long_ms(0), Some("5"), Medium, Used,
        "How long a batch that is not full waits for more records, from its first one. Anyone who waits for a result ends it. At most 2147483647 counts."),
    key("buffer.memory", Int { min: 1, max: i64::MAX, off: false }, Some("33554432"), High, Used,
        "Bytes that records waiting or in flight may take; `send` blocks for up to `max.block.ms` when they are used up."),
    key("buffer.memory.per.broker.ratio", Real { min: 0.0, max: 1.0, above_min: true }, Some("0.5"), Low, Ours,
        "Share of `buffer.memory` that the partitions of one leader hold at most while several leaders are in use, so that one stalled broker stops only its own partitions."),
    key("max.request.size", int(1), Some("1048576"), Medium, Used,
        "Most bytes of one request, and of one record before compression. Brokers have a limit of their own, `message.max.bytes`."),
    key("max.block.ms", long_ms(0), Some("60000"), Medium, Used,
        "How long `send`, `partitions_for` and the calls of transactions may wait in all, for metadata and memory. 0: never."),
    key("delivery.timeout.ms", int_ms(1), Some("120000"), Medium, Used,
        "Time from a record's batch being opened to its result, retries included. At least `linger.ms` + `request.timeout.ms`."),
    key("request.timeout.ms", int_ms(1), Some("30000"), Medium, Used,
        "How long an answer may take before the connection is closed and what was in flight is sent again; also what the leader is told to wait for its replicas."),
    key("compression.type", one_of(&["none", "gzip", "snappy", "lz4", "zstd"]), Some("none"), High, Used,
        "Codec of whole batches. Each but `none` is a cargo feature; `zstd` is off by default."),
    key("compression.gzip.level", Int { min: 1, max: 9, off: true }, Some("-1"), Medium, Used,
        "1 fast to 9 small; -1 is zlib's own choice, 6."),
    key("compression.lz4.level", Int { min: 1, max: 17, off: false }, Some("9"), Medium, Used,
        "Accepted as in Java. The encoder has one speed, the fast one, which is also what 9 means in Java."),
    key("compression.zstd.level", Int { min: -131_072, max: 22, off: false }, Some("3"), Medium, Used,
        "Negative: faster than 1. 22: smallest."),
    key("partitioner.class", Class, None, Medium, Used,
        "Name of a partitioner: one of Java's three classes, or `default`, `round_robin`, `uniform_sticky`, `consistent`, `consistent_random`, `murmur2`, `murmur2_random`, `fnv1a`, `fnv1a_random`, `fnv1a_reference`. Others are objects and given to `KafkaProducerBuilder::partitioner`."),
    key("partitioner.ignore.keys", Bool, Some("false"), Medium, Used,
        "Whether the default partitioner treats keyed records like those without a key."),
    key("partitioner.adaptive.partitioning.enable", Bool, Some("true"), Low, Used,
        "Whether the default partitioner gives records without a key rather to partitions with short queues (KIP-794)."),
    key("partitioner.availability.timeout.ms", long_ms(0), Some("0"), Low, Used,
        "Leaves out partitions whose leader has taken nothing for this long; only for records without a key. 0: off."),
    key("interceptor.classes", List, Some(""), Low, Plugin,
        "Must be empty: interceptors are objects and given to `KafkaProducerBuilder::interceptor`."),
    key("drop.close.timeout.ms", long_ms(0), Some("5000"), Low, Ours,
        "How long a producer that is dropped without `close` waits for its records before it gives them up and logs how many."),
    // Transactions.
    key("transactional.id", NonEmpty, None, Low, Used,
        "Name under which this producer's transactions survive it and fence its predecessor. Implies idempotence."),
    key("transaction.timeout.ms", int_ms(1), Some("60000"), Low, Used,
        "After this time without a word the coordinator aborts an open transaction. At most the broker's `transaction.max.timeout.ms`."),
    key("transaction.two.phase.commit.enable", Bool, Some("false"), Low, Used,
        "KIP-939: an outside coordinator ends transactions, which then have no timeout. Excludes `transaction.timeout.ms`."),
    // Network, metadata, retry.
    key("client.dns.lookup", one_of(&["use_all_dns_ips", "resolve_canonical_bootstrap_servers_only"]), Some("use_all_dns_ips"), Medium, Used,
        "Either way every address of a name is tried in turn. In Java the second also calls brokers by their canonical names, which only Kerberos and TLS look at; here it has no other effect, and a warning says so."),
    key("connections.max.idle.ms", Millis { min: 1, max: I64, off: true }, Some("540000"), Medium, Used,
        "Closes connections that were idle for this long; below the broker's ten minutes, so that the producer closes first. -1: never."),
    key("metadata.max.age.ms", long_ms(0), Some("300000"), Low, Used,
        "Asks for metadata again after this time even if nothing went wrong, to see new brokers and partitions."),
    key("metadata.max.idle.ms", long_ms(5000), Some("300000"), Low, Used,
        "Forgets a topic that nothing was sent to for this long."),
    key("metadata.recovery.strategy", OneOf { names: &["rebootstrap", "none"], any_case: true }, Some("rebootstrap"), Low, Used,
        "What to do when no known broker can be reached: start again from `bootstrap.servers`, or go on trying (KIP-899)."),
    key("metadata.recovery.rebootstrap.trigger.ms", long_ms(0), Some("300000"), Low, Used,
        "Starts again from `bootstrap.servers` if metadata could not be had for this long (KIP-1102)."),
    key("reconnect.backoff.ms", long_ms(0), Some("50"), Low, Used,
        "Pause before a broker is connected to again; grows up to `reconnect.backoff.max.ms`. Set alone it is constant."),
    key("reconnect.backoff.max.ms", long_ms(0), Some("1000"), Low, Used,
        "Longest pause between attempts to connect."),
    key("retry.backoff.ms", long_ms(0), Some("100"), Low, Used,
        "Pause before a request is made again; grows up to `retry.backoff.max.ms`."),
    key("retry.backoff.max.ms", long_ms(0), Some("1000"), Low, Used,
        "Longest pause before a request is made again."),
    key("retry.backoff.multiplier", Real { min: 1.0, max: 100.0, above_min: false }, Some("2.0"), Low, Ours,
        "What each pause is multiplied by after a failure, for requests and connections. 1: constant."),
    key("retry.backoff.jitter", Real { min: 0.0, max: 0.9, above_min: false }, Some("0.2"), Low, Ours,
        "By which part of itself each pause is made longer or shorter at random, so that producers do not return together."),
    key("socket.connection.setup.timeout.ms", long_ms(1), Some("10000"), Medium, Used,
        "How long a connection may take to be made; doubles with each failure."),
    key("socket.connection.setup.timeout.max.ms", long_ms(1), Some("30000"), Medium, Used,
        "Longest time that a connection may take to be made."),
    key("send.buffer.bytes", SOCKET_BUFFER, Some("131072"), Medium, Used,
        "Size of the socket's send buffer. -1: the operating system's. Unset, it is as large as `batch.size` where that is more, up to 512 KiB."),
    key("receive.buffer.bytes", SOCKET_BUFFER, Some("32768"), Medium, Used,
        "Size of the socket's receive buffer. -1: the operating system's."),
    key("security.protocol", OneOf { names: &["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"], any_case: true }, Some("PLAINTEXT"), Medium, Used,
        "How brokers are spoken to. Only `PLAINTEXT` is supported by this version; the others are refused."),
    // Metrics.
    key("metric.reporters", List, Some("org.apache.kafka.common.metrics.JmxReporter"), Low, Plugin,
        "Java's `JmxReporter` is accepted and ignored. Other reporters are code of yours, given to `KafkaProducerBuilder::report_every`."),
    key("metrics.num.samples", int(1), Some("2"), Low, Used,
        "Windows that rates, averages and maxima of metrics are taken over; at most 1000 are kept."),
    key("metrics.sample.window.ms", long_ms(0), Some("30000"), Low, Used,
        "Length of such a window; 1 ms at least."),
    key("metrics.recording.level", one_of(&["INFO", "DEBUG", "TRACE"]), Some("INFO"), Low, Used,
        "Which metrics are kept; those of a producer are all INFO."),
    key("enable.metrics.push", Bool, Some("true"), Low, Used,
        "Whether brokers may ask for metrics (KIP-714). This version sends none, whatever the value."),
    // Of the JVM, or of other versions of Java's producer.
    key("auto.include.jmx.reporter", Bool, Some("true"), Low, Jvm,
        "JMX, up to Java 3.9."),
    key("bootstrap.resolve.timeout.ms", long_ms(0), Some("0"), Low, Jvm,
        "Newer Java: names are always resolved off the caller's thread here."),
    key("buffer.memory.allocation.strategy", Text, Some("full"), Low, Jvm,
        "Newer Java: batches always take memory as they grow here."),
    key("config.providers", List, Some(""), Low, Jvm,
        "Classes that fill in `${...}` in values. Nothing is filled in here: a value with such a placeholder is refused."),
];
