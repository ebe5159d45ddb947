//! Values to send, made before the clock starts, and a cheap way to pick among them.

use std::io;

/// Bytes of random payloads that are made, more or less: enough to be unlike each other, few enough to stay near the CPU.
const POOL: usize = 4 * 1024 * 1024;

/// The pool. Never empty.
pub(crate) struct Payloads {
    values: Vec<Vec<u8>>,
    total: usize,
}

impl Payloads {
    /// Capital letters, as Kafka's tool sends them: with little to compress.
    pub(crate) fn random(size: usize, records: u64) -> Self {
        let mut random = Random::new(0);
        let count = (POOL / size.max(1)).clamp(4, 10_000).min(usize::try_from(records).unwrap_or(usize::MAX));
        let letters = |random: &mut Random| (0..size).map(|_| b'A' + random.below(26) as u8).collect();
        Self::of((0..count).map(|_| letters(&mut random)).collect())
    }

    /// The parts of a file.
    pub(crate) fn from_file(path: &str, delimiter: &str) -> io::Result<Self> {
        let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, format!("{path}: {what}"));
        let bytes = std::fs::read(path).map_err(|e| wrong(&e.to_string()))?;
        let values = split(&bytes, delimiter.as_bytes());
        if values.is_empty() {
            return Err(wrong("no payloads in it"));
        }
        println!("Reading payloads from: {path}\nNumber of messages read: {}", values.len());
        Ok(Self::of(values))
    }

    fn of(values: Vec<Vec<u8>>) -> Self {
        let total = values.iter().map(Vec::len).sum();
        Self { values, total }
    }

    #[inline]
    pub(crate) fn pick(&self, random: &mut Random) -> &Vec<u8> {
        &self.values[random.below(self.values.len())]
    }

    pub(crate) fn mean_len(&self) -> f64 {
        self.total as f64 / self.values.len() as f64
    }

    pub(crate) fn total_len(&self) -> usize {
        self.total
    }
}

/// The parts between delimiters; the last delimiter may be missing.
fn split(mut bytes: &[u8], delimiter: &[u8]) -> Vec<Vec<u8>> {
    let mut parts = Vec::new();
    while !bytes.is_empty() {
        let end = bytes.windows(delimiter.len()).position(|window| window == delimiter);
        let (part, rest) = match end {
            Some(at) => (&bytes[..at], &bytes[at + delimiter.len()..]),
            None => (bytes, &[][..]),
        };
        parts.push(part.to_vec());
        bytes = rest;
    }
    parts
}

/// Numbers that look random, the same in every run (SplitMix64).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// Below `bound`, which is at least 1 and below 2^32.
    #[inline]
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (((mixed >> 32) * bound as u64) >> 32) as usize
    }
}
