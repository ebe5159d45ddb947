//! Which partition a record goes to.
//!
//! Runs on the application's thread, after serialization and outside every lock. The built-in choice for keyed records
//! is here; the choice for records without a key needs the queues and is the accumulator's (KIP-480, KIP-794): a
//! partitioner that answers [`Choice::Sticky`] leaves it to that. Must not know brokers beyond what [`TopicView`] shows.
//!
//! Placement of keys is part of a program's contract with whoever reads its topics, so other clients' placements are
//! here as well:
//!
//! | here | `partitioner.class` | places keys as | without a key |
//! |---|---|---|---|
//! | (none) | `default` | Java; librdkafka `murmur2_random` | sticky, adaptive |
//! | [`RoundRobin`] | `round_robin` | ignores them | one after the other |
//! | [`UniformSticky`] | `uniform_sticky` | ignores them | sticky, evenly |
//! | [`HashPartitioner::consistent_random`] | `consistent_random` | librdkafka's default | sticky, also with an empty key |
//! | [`HashPartitioner::consistent`] | `consistent` | librdkafka `consistent` | partition 0 |
//! | [`HashPartitioner::murmur2_random`] | `murmur2_random` | Java; librdkafka `murmur2_random` | sticky |
//! | [`HashPartitioner::murmur2`] | `murmur2` | librdkafka `murmur2` | where an empty key goes |
//! | [`HashPartitioner::fnv1a`] | `fnv1a` | librdkafka `fnv1a` | where an empty key goes |
//! | [`HashPartitioner::fnv1a_random`] | `fnv1a_random` | librdkafka `fnv1a_random`; sarama's `NewHashPartitioner` | sticky |
//! | [`HashPartitioner::fnv1a_reference`] | `fnv1a_reference` | sarama's `NewReferenceHashPartitioner` | sticky |

mod hash;
mod murmur2;
mod round_robin;
mod typed;
mod uniform_sticky;

pub use hash::{HashPartitioner, crc32, fnv1a};
pub use murmur2::{murmur2, partition_for_key, to_positive};
pub use round_robin::RoundRobin;
pub use typed::{TypedPartitioner, TypedRecord, typed_fn};
pub use uniform_sticky::UniformSticky;

use crate::config::{PartitionerName, PluginConfig};
use crate::error::BoxError;
use crate::record::Headers;

/// What a partitioner sees of a record: its serialized bytes.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct KeyedRecord<'r> {
    /// The topic.
    pub topic: &'r str,
    /// The serialized key; `None` is Kafka's null.
    pub key: Option<&'r [u8]>,
    /// The serialized value; `None` is Kafka's null.
    pub value: Option<&'r [u8]>,
    /// The headers, with what serializers added.
    pub headers: &'r Headers<'r>,
}

/// For records that are not made by a producer.
static NO_HEADERS: Headers<'static> = Headers::Slice(&[]);

impl<'r> KeyedRecord<'r> {
    /// A record without headers; public so that a partitioner can be tested alone.
    #[inline]
    pub fn new(topic: &'r str, key: Option<&'r [u8]>, value: Option<&'r [u8]>) -> Self {
        Self { topic, key, value, headers: &NO_HEADERS }
    }

    /// The same with headers.
    #[inline]
    #[must_use]
    pub fn with_headers(mut self, headers: &'r Headers<'r>) -> Self {
        self.headers = headers;
        self
    }
}

/// What is known of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionInfo {
    /// The partition's number.
    pub partition: i32,
    /// The broker that leads it, if there is one now.
    pub leader: Option<i32>,
    /// The brokers that hold a copy.
    pub replicas: Vec<i32>,
    /// Those of them that are in sync.
    pub in_sync_replicas: Vec<i32>,
}

impl PartitionInfo {
    /// A partition with this leader as its one replica, or with neither; public so that a partitioner can be tested
    /// alone.
    pub fn new(partition: i32, leader: Option<i32>) -> Self {
        let replicas: Vec<i32> = leader.into_iter().collect();
        Self { partition, leader, in_sync_replicas: replicas.clone(), replicas }
    }
}

/// A topic's partitions as the producer knows them at this moment; never empty when a partitioner sees it.
#[derive(Clone, Copy, Debug)]
pub struct TopicView<'c> {
    partitions: &'c [PartitionInfo],
}

impl<'c> TopicView<'c> {
    /// What a producer shows; public so that a partitioner can be tested alone. `partitions` stand in the order of
    /// their numbers, which begin at 0 and have no gap.
    pub fn new(partitions: &'c [PartitionInfo]) -> Self {
        Self { partitions }
    }

    /// How many partitions the topic has.
    pub fn partition_count(&self) -> i32 {
        i32::try_from(self.partitions.len()).unwrap_or(i32::MAX)
    }

    /// All partitions, in order of their numbers.
    pub fn partitions(&self) -> &'c [PartitionInfo] {
        self.partitions
    }

    /// Those that have a leader now.
    pub fn available(&self) -> impl Iterator<Item = &'c PartitionInfo> {
        self.partitions.iter().filter(|p| p.leader.is_some())
    }
}

/// A partitioner's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Choice {
    /// This partition; one that does not exist fails the `send`.
    Exact(i32),
    /// Whatever the producer's sticky choice is now (KIP-794): fills batches, avoids slow brokers.
    Sticky,
}

/// Chooses partitions by what stands in a record. Asked for every record that names none itself.
///
/// It sees bytes; one that needs the key or value before serialization is a [`TypedPartitioner`].
pub trait Partitioner: Send + Sync {
    /// The partition for `record`. Runs on the thread that called `send`, from many threads at once.
    ///
    /// # Errors
    /// The partitioner's own cause; `send` reports it as
    /// [`ErrorKind::Partitioning`](crate::ErrorKind::Partitioning). A panic is caught and reported likewise.
    fn partition(&self, record: &KeyedRecord<'_>, topic: &TopicView<'_>) -> Result<Choice, BoxError>;

    /// Called once while the producer is opened, before the first record: the place to read one's own keys, which
    /// [`declare_keys`](crate::ProducerConfigBuilder::declare_keys) lets into a configuration.
    ///
    /// # Errors
    /// The partitioner's own cause; the producer is then not opened, and reports it as
    /// [`ErrorKind::Config`](crate::ErrorKind::Config).
    fn configure(&mut self, config: &PluginConfig<'_>) -> Result<(), BoxError> {
        let _ = config;
        Ok(())
    }

    /// Whether [`Choice::Sticky`] may prefer partitions with short queues, where
    /// `partitioner.adaptive.partitioning.enable` allows it; otherwise each gets the same bytes. Asked once.
    fn is_adaptive(&self) -> bool {
        true
    }

    /// Called once when the producer closes, or when it could not be opened.
    fn close(&self) {}
}

impl<P: Partitioner + ?Sized> Partitioner for Box<P> {
    fn partition(&self, record: &KeyedRecord<'_>, topic: &TopicView<'_>) -> Result<Choice, BoxError> {
        (**self).partition(record, topic)
    }
    fn configure(&mut self, config: &PluginConfig<'_>) -> Result<(), BoxError> {
        (**self).configure(config)
    }
    fn is_adaptive(&self) -> bool {
        (**self).is_adaptive()
    }
    fn close(&self) {
        (**self).close();
    }
}

/// The partitioner that a configuration names; `None` for the default one, which is the producer itself.
pub(crate) fn by_name(name: PartitionerName) -> Option<Box<dyn Partitioner>> {
    Some(match name {
        PartitionerName::Default => return None,
        PartitionerName::RoundRobin => Box::new(RoundRobin::new()),
        PartitionerName::UniformSticky => Box::new(UniformSticky),
        PartitionerName::Consistent => Box::new(HashPartitioner::consistent()),
        PartitionerName::ConsistentRandom => Box::new(HashPartitioner::consistent_random()),
        PartitionerName::Murmur2 => Box::new(HashPartitioner::murmur2()),
        PartitionerName::Murmur2Random => Box::new(HashPartitioner::murmur2_random()),
        PartitionerName::Fnv1a => Box::new(HashPartitioner::fnv1a()),
        PartitionerName::Fnv1aRandom => Box::new(HashPartitioner::fnv1a_random()),
        PartitionerName::Fnv1aReference => Box::new(HashPartitioner::fnv1a_reference()),
    })
}

/// A partitioner from a closure.
///
/// ```
/// use kafka_producer::partitioner::{Choice, from_fn};
/// let by_length = from_fn(|record, topic| {
///     Choice::Exact(record.key.map_or(0, |k| k.len() as i32) % topic.partition_count())
/// });
/// # let _ = by_length;
/// ```
pub fn from_fn<F>(choose: F) -> impl Partitioner
where
    F: Fn(&KeyedRecord<'_>, &TopicView<'_>) -> Choice + Send + Sync,
{
    struct FromFn<F>(F);
    impl<F: Fn(&KeyedRecord<'_>, &TopicView<'_>) -> Choice + Send + Sync> Partitioner for FromFn<F> {
        fn partition(&self, record: &KeyedRecord<'_>, topic: &TopicView<'_>) -> Result<Choice, BoxError> {
            Ok((self.0)(record, topic))
        }
    }
    FromFn(choose)
}
