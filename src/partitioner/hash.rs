//! Keys placed as librdkafka and sarama place them.
//!
//! Pure. The placements differ in the hash, in how a signed hash becomes a number of a partition, and in what counts as
//! no key. All take every partition of the topic into account, whether it has a leader or not: a key must not move
//! because a broker is down.

use super::murmur2::{murmur2, to_positive};
use super::{Choice, KeyedRecord, Partitioner, TopicView};
use crate::error::BoxError;

/// A partitioner by a hash of the key.
///
/// ```
/// use kafka_producer::partitioner::{Choice, HashPartitioner, KeyedRecord, PartitionInfo, Partitioner, TopicView};
///
/// let partitions: Vec<_> = (0..7).map(|n| PartitionInfo::new(n, Some(1))).collect();
/// let record = KeyedRecord::new("orders", Some(b"hejsan"), None);
/// let choice = HashPartitioner::consistent_random().partition(&record, &TopicView::new(&partitions))?;
/// assert_eq!(choice, Choice::Exact((0xd077_037e_u32 % 7) as i32));
/// # Ok::<(), kafka_producer::BoxError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct HashPartitioner {
    hash: Hash,
    keyless: Keyless,
}

#[derive(Clone, Copy, Debug)]
enum Hash {
    Crc32,
    Murmur2,
    /// The absolute value, as librdkafka and sarama's default.
    Fnv1aAbsolute,
    /// Without the sign bit, as sarama's reference partitioner.
    Fnv1aPositive,
}

/// Which records go where the sticky choice is.
#[derive(Clone, Copy, Debug)]
enum Keyless {
    /// None: a null key is hashed as an empty one.
    Hashed,
    /// Those with a null key.
    Null,
    /// Those with a null or an empty key.
    NullOrEmpty,
}

impl HashPartitioner {
    const fn new(hash: Hash, keyless: Keyless) -> Self {
        Self { hash, keyless }
    }

    /// CRC-32 as librdkafka's `consistent`: records with a null or empty key all go to partition 0.
    pub const fn consistent() -> Self {
        Self::new(Hash::Crc32, Keyless::Hashed)
    }

    /// CRC-32 as librdkafka's default, `consistent_random`: an empty key counts as none.
    pub const fn consistent_random() -> Self {
        Self::new(Hash::Crc32, Keyless::NullOrEmpty)
    }

    /// Java's hash as librdkafka's `murmur2`: a null key is hashed as an empty one.
    pub const fn murmur2() -> Self {
        Self::new(Hash::Murmur2, Keyless::Hashed)
    }

    /// Java's hash as librdkafka's `murmur2_random`; places as the default partitioner.
    pub const fn murmur2_random() -> Self {
        Self::new(Hash::Murmur2, Keyless::Null)
    }

    /// FNV-1a as librdkafka's `fnv1a`: a null key is hashed as an empty one.
    pub const fn fnv1a() -> Self {
        Self::new(Hash::Fnv1aAbsolute, Keyless::Hashed)
    }

    /// FNV-1a as librdkafka's `fnv1a_random` and sarama's default, `NewHashPartitioner`.
    pub const fn fnv1a_random() -> Self {
        Self::new(Hash::Fnv1aAbsolute, Keyless::Null)
    }

    /// FNV-1a as sarama's `NewReferenceHashPartitioner`, which clears the sign where the others take the absolute value.
    pub const fn fnv1a_reference() -> Self {
        Self::new(Hash::Fnv1aPositive, Keyless::Null)
    }
}

impl Hash {
    fn of(self, key: &[u8]) -> u32 {
        match self {
            Self::Crc32 => crc32(key),
            Self::Murmur2 => to_positive(murmur2(key)).unsigned_abs(),
            // sarama takes the remainder first and its absolute value then, which comes to the same.
            Self::Fnv1aAbsolute => (fnv1a(key) as i32).unsigned_abs(),
            Self::Fnv1aPositive => to_positive(fnv1a(key) as i32).unsigned_abs(),
        }
    }
}

impl Partitioner for HashPartitioner {
    #[inline]
    fn partition(&self, record: &KeyedRecord<'_>, topic: &TopicView<'_>) -> Result<Choice, BoxError> {
        let sticky = match self.keyless {
            Keyless::Hashed => false,
            Keyless::Null => record.key.is_none(),
            Keyless::NullOrEmpty => record.key.is_none_or(<[u8]>::is_empty),
        };
        if sticky {
            return Ok(Choice::Sticky);
        }
        let count = topic.partition_count().max(1).unsigned_abs();
        let partition = self.hash.of(record.key.unwrap_or_default()) % count;
        // Less than a count that was an i32.
        Ok(Choice::Exact(partition as i32))
    }
}

/// CRC-32 (IEEE 802.3, as in zlib).
#[inline]
pub fn crc32(data: &[u8]) -> u32 {
    crc32fast::hash(data)
}

/// FNV-1a of 32 bits.
#[inline]
pub fn fnv1a(data: &[u8]) -> u32 {
    const OFFSET: u32 = 0x811c_9dc5;
    const PRIME: u32 = 0x0100_0193;
    data.iter().fold(OFFSET, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partitioner::PartitionInfo;

    fn place(partitioner: HashPartitioner, key: Option<&[u8]>, partitions: i32) -> Option<i32> {
        let infos: Vec<_> = (0..partitions).map(|n| PartitionInfo::new(n, None)).collect();
        match partitioner.partition(&KeyedRecord::new("t", key, None), &TopicView::new(&infos)) {
            Ok(Choice::Exact(partition)) => Some(partition),
            Ok(Choice::Sticky) => None,
            Err(error) => panic!("{error}"),
        }
    }

    const KEYS: [Option<&[u8]>; 5] = [
        None,
        Some(b""),
        Some(b"23456"),
        Some(b"this is another string with more length to it perhaps"),
        Some(b"hejsan"),
    ];

    /// The hashes that librdkafka's own test of its partitioners expects (0048-partitioner.c); `None`: any partition.
    #[test]
    fn keys_go_where_librdkafka_puts_them() {
        let crc = [0, 0, 0xb1b4_51d7, 0xb015_0df7, 0xd077_037e];
        let murmur = [0x106e_08d9, 0x106e_08d9, 0x058d_780f, 0x4f77_03da, 0x5ec1_9395];
        let fnv = [0x7ee3_623b, 0x7ee3_623b, 0x27e6_f469, 0x155e_3e5f, 0x17b1_e27a];
        let cases = [
            (HashPartitioner::consistent(), crc, 0),
            (HashPartitioner::consistent_random(), crc, 2),
            (HashPartitioner::murmur2(), murmur, 0),
            (HashPartitioner::murmur2_random(), murmur, 1),
            (HashPartitioner::fnv1a(), fnv, 0),
            (HashPartitioner::fnv1a_random(), fnv, 1),
        ];
        for partitions in [1, 7, 17] {
            for (partitioner, hashes, keyless) in cases {
                for (at, (key, hash)) in KEYS.into_iter().zip(hashes).enumerate() {
                    let expected = (at >= keyless).then_some((hash % partitions as u32) as i32);
                    assert_eq!(place(partitioner, key, partitions), expected, "{partitioner:?} {key:?}");
                }
            }
        }
    }

    /// Values of librdkafka's test of FNV-1a, which took them from Go: absolute values.
    #[test]
    fn fnv1a_is_that_of_go() {
        let cases: [(&[u8], u32); 11] = [
            (b"kafka", 0x0d33_c4e1),
            (b"giberish123456789", 0x77a5_8295),
            (b"1234", 0x23b_dd03),
            (b"234", 0x2dea_3cd2),
            (b"34", 0x740f_a83e),
            (b"4", 0x310c_a263),
            (b"PreAmbleWillBeRemoved,ThePrePartThatIs", 0x65cb_d69c),
            (b"reAmbleWillBeRemoved,ThePrePartThatIs", 0x6e49_c79a),
            (b"eAmbleWillBeRemoved,ThePrePartThatIs", 0x69ee_d356),
            (b"AmbleWillBeRemoved,ThePrePartThatIs", 0x6abc_c023),
            (b"", 0x7ee3_623b),
        ];
        for (key, hash) in cases {
            assert_eq!((fnv1a(key) as i32).unsigned_abs(), hash, "{}", String::from_utf8_lossy(key));
        }
    }

    /// Where the hash is negative, sarama's two partitioners differ; where it is not, they agree.
    #[test]
    fn both_partitioners_of_sarama_are_here() {
        let reference = HashPartitioner::fnv1a_reference();
        let default = HashPartitioner::fnv1a_random();
        let mut negative = 0;
        for n in 0..1000u32 {
            let key = n.to_be_bytes();
            let hash = fnv1a(&key) as i32;
            let remainder = hash % 10;
            assert_eq!(place(default, Some(&key), 10), Some(remainder.abs()));
            assert_eq!(place(reference, Some(&key), 10), Some((hash & i32::MAX) % 10));
            negative += i32::from(hash < 0);
        }
        assert!(negative > 300, "{negative}");
        assert_eq!(place(reference, None, 10), None);
    }
}
