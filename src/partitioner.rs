//! Which partition a record goes to.
//!
//! Runs on the application's thread, after serialization and outside every lock. The built-in choice for keyed records
//! is here; the choice for records without a key needs the queues and is the accumulator's (KIP-480, KIP-794). Must
//! not know brokers beyond what [`TopicView`] shows.

use crate::error::BoxError;

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
}

impl<'r> KeyedRecord<'r> {
    pub(crate) fn new(topic: &'r str, key: Option<&'r [u8]>, value: Option<&'r [u8]>) -> Self {
        Self { topic, key, value }
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

/// A topic's partitions as the producer knows them at this moment; never empty when a partitioner sees it.
#[derive(Clone, Copy, Debug)]
pub struct TopicView<'c> {
    partitions: &'c [PartitionInfo],
}

impl<'c> TopicView<'c> {
    pub(crate) fn new(partitions: &'c [PartitionInfo]) -> Self {
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

/// Chooses partitions. Asked for every record that names none itself.
pub trait Partitioner: Send + Sync {
    /// The partition for `record`.
    ///
    /// # Errors
    /// The partitioner's own cause; `send` reports it as
    /// [`ErrorKind::Partitioning`](crate::ErrorKind::Partitioning). A panic is caught and reported likewise.
    fn partition(&self, record: &KeyedRecord<'_>, topic: &TopicView<'_>) -> Result<Choice, BoxError>;

    /// Called once when the producer closes.
    fn close(&self) {}
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

/// Where Java's default partitioner puts `key` among `partitions` (at least 1) partitions.
#[inline]
pub fn partition_for_key(key: &[u8], partitions: i32) -> i32 {
    to_positive(murmur2(key)) % partitions.max(1)
}

/// Clears the sign bit, as Java's `Utils.toPositive` (not the absolute value).
#[inline]
pub fn to_positive(hash: i32) -> i32 {
    hash & 0x7fff_ffff
}

/// Murmur2 with Java's seed, as Kafka's Java client hashes keys.
#[inline]
pub fn murmur2(data: &[u8]) -> i32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    // Java's lengths are i32; a longer key cannot be sent anyway.
    let mut h = SEED ^ (data.len() as u32);
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let mut k = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        k = k.wrapping_mul(M);
        k ^= k >> 24;
        h = h.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let tail = words.remainder();
    if !tail.is_empty() {
        let mut last = [0u8; 4];
        last[..tail.len()].copy_from_slice(tail);
        h = (h ^ u32::from_le_bytes(last)).wrapping_mul(M);
    }
    h ^= h >> 13;
    h = h.wrapping_mul(M);
    (h ^ (h >> 15)) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of Java's own test (`UtilsTest.testMurmur2`).
    #[test]
    fn murmur2_is_java_s() {
        let cases: [(&[u8], i32); 6] = [
            (b"21", -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            (b"abc", 479_470_107),
        ];
        for (key, hash) in cases {
            assert_eq!(murmur2(key), hash, "{}", String::from_utf8_lossy(key));
        }
    }

    #[test]
    fn an_empty_key_is_a_key_and_negative_hashes_stay_in_range() {
        for partitions in [1, 3, 100] {
            for key in [&b""[..], b"21", b"foobar", b"x"] {
                let p = partition_for_key(key, partitions);
                assert!((0..partitions).contains(&p));
            }
        }
        assert_eq!(to_positive(i32::MIN), 0);
    }
}
