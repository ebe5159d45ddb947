//! Settings that are one of a few names, and what those names are in Java's files.
//!
//! Pure data, any thread. Knows which serializers and partitioners have names, not what they do.

use std::fmt;

/// Who must have a batch before it counts as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Acks {
    /// Nobody: no answer is awaited, offsets are unknown, losses are silent.
    None,
    /// The leader alone: lost if it fails before a replica has copied it.
    Leader,
    /// All in-sync replicas.
    #[default]
    All,
}

impl Acks {
    pub(super) fn parse(text: &str) -> Self {
        match text {
            "0" => Self::None,
            "1" => Self::Leader,
            _ => Self::All,
        }
    }

    /// Java's name: `0`, `1` or `all`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "0",
            Self::Leader => "1",
            Self::All => "all",
        }
    }

    /// The number in a produce request.
    pub const fn wire(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Leader => 1,
            Self::All => -1,
        }
    }
}

impl fmt::Display for Acks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How names of brokers become addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum DnsLookup {
    /// Every address of a name is tried in turn.
    #[default]
    UseAllDnsIps,
    /// As `UseAllDnsIps`: what is different in Java, the name that Kerberos and TLS check, this version has no use for.
    ResolveCanonicalBootstrapServersOnly,
}

impl DnsLookup {
    pub(super) fn parse(text: &str) -> Self {
        if text == Self::ResolveCanonicalBootstrapServersOnly.name() {
            Self::ResolveCanonicalBootstrapServersOnly
        } else {
            Self::UseAllDnsIps
        }
    }

    /// Java's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UseAllDnsIps => "use_all_dns_ips",
            Self::ResolveCanonicalBootstrapServersOnly => "resolve_canonical_bootstrap_servers_only",
        }
    }
}

/// What to do when no known broker can be reached (KIP-899).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum MetadataRecoveryStrategy {
    /// Start again from `bootstrap.servers`.
    #[default]
    Rebootstrap,
    /// Go on trying the brokers that were known.
    None,
}

impl MetadataRecoveryStrategy {
    pub(super) fn parse(text: &str) -> Self {
        if text == Self::None.name() { Self::None } else { Self::Rebootstrap }
    }

    /// Java's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rebootstrap => "rebootstrap",
            Self::None => "none",
        }
    }
}

/// Which metrics are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum RecordingLevel {
    /// Those of everyday use; all of a producer's are.
    #[default]
    Info,
    /// Besides, those for looking into a problem.
    Debug,
    /// All.
    Trace,
}

impl RecordingLevel {
    pub(super) fn parse(text: &str) -> Self {
        match text {
            "DEBUG" => Self::Debug,
            "TRACE" => Self::Trace,
            _ => Self::Info,
        }
    }

    /// Java's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "INFO",
            Self::Debug => "DEBUG",
            Self::Trace => "TRACE",
        }
    }
}

/// A serializer that has a name in Java's files; see `key.serializer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SerializerName {
    /// Bytes as they are.
    ByteArray,
    /// Bytes as they are; Java's `ByteBuffer`.
    ByteBuffer,
    /// Bytes as they are; Java's `Bytes`.
    Bytes,
    /// UTF-8 text.
    String,
    /// Two bytes, big-endian.
    Short,
    /// Four bytes, big-endian.
    Integer,
    /// Eight bytes, big-endian.
    Long,
    /// IEEE 754 in four bytes, big-endian.
    Float,
    /// IEEE 754 in eight bytes, big-endian.
    Double,
    /// The text form of a UUID.
    Uuid,
    /// Always null.
    Void,
    /// One byte, 0 or 1.
    Boolean,
}

/// Java's package of serializers.
const SERIALIZATION: &str = "org.apache.kafka.common.serialization.";

impl SerializerName {
    const ALL: [Self; 12] = [
        Self::ByteArray,
        Self::ByteBuffer,
        Self::Bytes,
        Self::String,
        Self::Short,
        Self::Integer,
        Self::Long,
        Self::Float,
        Self::Double,
        Self::Uuid,
        Self::Void,
        Self::Boolean,
    ];

    /// Takes the full name of Java's class or its last part.
    pub(super) fn parse(class: &str) -> Option<Self> {
        let simple = class.strip_prefix(SERIALIZATION).unwrap_or(class);
        Self::ALL.into_iter().find(|name| name.simple_class() == simple)
    }

    const fn simple_class(self) -> &'static str {
        match self {
            Self::ByteArray => "ByteArraySerializer",
            Self::ByteBuffer => "ByteBufferSerializer",
            Self::Bytes => "BytesSerializer",
            Self::String => "StringSerializer",
            Self::Short => "ShortSerializer",
            Self::Integer => "IntegerSerializer",
            Self::Long => "LongSerializer",
            Self::Float => "FloatSerializer",
            Self::Double => "DoubleSerializer",
            Self::Uuid => "UUIDSerializer",
            Self::Void => "VoidSerializer",
            Self::Boolean => "BooleanSerializer",
        }
    }

    /// The full name of Java's class.
    pub fn java_class(self) -> String {
        format!("{SERIALIZATION}{}", self.simple_class())
    }

    /// The Rust type that it writes.
    pub const fn type_name(self) -> &'static str {
        match self {
            Self::ByteArray | Self::ByteBuffer | Self::Bytes => "[u8]",
            Self::String => "str",
            Self::Short => "i16",
            Self::Integer => "i32",
            Self::Long => "i64",
            Self::Float => "f32",
            Self::Double => "f64",
            Self::Uuid => "uuid::Uuid",
            Self::Void => "()",
            Self::Boolean => "bool",
        }
    }
}

/// A partitioner that has a name; see `partitioner.class`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum PartitionerName {
    /// murmur2 of the key as Java computes it; without a key sticky by bytes and adaptive (KIP-794).
    #[default]
    Default,
    /// One partition after the other, whatever the key.
    RoundRobin,
    /// Another partition when a batch is full, whatever the key.
    UniformSticky,
    /// CRC-32 of the key; records without a key all go to one partition.
    Consistent,
    /// CRC-32 of the key; any partition without a key.
    ConsistentRandom,
    /// murmur2 of the key; records without a key all go to one partition.
    Murmur2,
    /// murmur2 of the key; any partition without a key.
    Murmur2Random,
    /// FNV-1a of the key as librdkafka computes it; records without a key all go to one partition.
    Fnv1a,
    /// FNV-1a of the key as librdkafka and sarama's default compute it; any partition without a key.
    Fnv1aRandom,
    /// FNV-1a of the key as sarama's `NewReferenceHashPartitioner` computes it; any partition without a key.
    Fnv1aReference,
}

/// Java's package of partitioners.
const PRODUCER: &str = "org.apache.kafka.clients.producer.";

impl PartitionerName {
    const ALL: [Self; 10] = [
        Self::Default,
        Self::RoundRobin,
        Self::UniformSticky,
        Self::Consistent,
        Self::ConsistentRandom,
        Self::Murmur2,
        Self::Murmur2Random,
        Self::Fnv1a,
        Self::Fnv1aRandom,
        Self::Fnv1aReference,
    ];

    /// Takes a name, the full name of Java's class or its last part.
    pub(super) fn parse(class: &str) -> Option<Self> {
        let simple = class.strip_prefix(PRODUCER).unwrap_or(class);
        match simple.strip_prefix("internals.").unwrap_or(simple) {
            "DefaultPartitioner" => Some(Self::Default),
            "RoundRobinPartitioner" => Some(Self::RoundRobin),
            "UniformStickyPartitioner" => Some(Self::UniformSticky),
            _ => Self::ALL.into_iter().find(|name| name.name() == class),
        }
    }

    /// All names, for messages.
    pub(super) fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }

    /// The name that `partitioner.class` takes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::RoundRobin => "round_robin",
            Self::UniformSticky => "uniform_sticky",
            Self::Consistent => "consistent",
            Self::ConsistentRandom => "consistent_random",
            Self::Murmur2 => "murmur2",
            Self::Murmur2Random => "murmur2_random",
            Self::Fnv1a => "fnv1a",
            Self::Fnv1aRandom => "fnv1a_random",
            Self::Fnv1aReference => "fnv1a_reference",
        }
    }
}
