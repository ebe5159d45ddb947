//! Where Java puts a key: murmur2 of its bytes, without sign, modulo the number of partitions.
//!
//! Pure.

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
