//! Batches as the arms that are no clients make them: the library's encoder and codecs, and nothing around them.

use crate::{Options, Payloads};
use kafka_producer::protocol::record::{
    BATCH_HEADER_LEN, Compression, CompressionType, Compressor, RecordBody,
};
use std::io;
use std::ops::Range;

/// Java's default, and ours.
pub const DEFAULT_BATCH: usize = 16_384;
/// The library fills a batch to so many times `batch.size` at most, however well it is compressed.
const RAW_CAP: usize = 4;
/// Its margin on the size that it expects a batch to be compressed to.
const MARGIN: f64 = 1.05;
/// Batches after which what is expected moves no more.
const SETTLED: usize = 8;

/// One batch at a time, in buffers that are used again.
pub struct Maker<'p> {
    payloads: &'p Payloads,
    compression: Compression,
    compressor: Compressor,
    body: Vec<u8>,
    compressed: Vec<u8>,
}

impl<'p> Maker<'p> {
    pub fn new(options: &Options, payloads: &'p Payloads) -> Self {
        let codec: CompressionType = options.compression.parse().expect("a codec");
        let compression = match options.level {
            None => Compression::new(codec),
            Some(level) => Compression::with_level(codec, level).expect("a level"),
        };
        let compressor = Compressor::new();
        Self { payloads, compression, compressor, body: Vec::new(), compressed: Vec::new() }
    }

    pub fn codec(&self) -> CompressionType {
        self.compression.codec()
    }

    /// Encodes records from the front of `range` until `limit` bytes are reached, and removes them from it: at least one.
    pub fn fill(&mut self, range: &mut Range<usize>, limit: usize) -> i32 {
        self.body.clear();
        let mut count = 0;
        while range.start < range.end {
            let key = self.payloads.key(range.start).map(str::as_bytes);
            let record = RecordBody::without_headers(key, Some(self.payloads.value(range.start)));
            let placed = record.place(count, 0);
            if count > 0 && self.body.len() + placed.encoded_len() > limit {
                break;
            }
            placed.write(&mut self.body);
            count += 1;
            range.start += 1;
        }
        count
    }

    /// What was filled in, compressed if a codec is set.
    pub fn seal(&mut self) -> io::Result<&[u8]> {
        if self.codec() == CompressionType::None {
            return Ok(&self.body);
        }
        self.compressed.clear();
        let input = std::iter::once(&self.body[..]);
        self.compressor.compress(self.compression, input, &mut self.compressed).map_err(io::Error::other)?;
        Ok(&self.compressed)
    }

    /// How many bytes the library fills a batch with, before compression, once it knows how these records are compressed:
    /// so many that `batch_size` is reached afterwards.
    pub fn steady_limit(&mut self, batch_size: usize) -> io::Result<usize> {
        let room = batch_size.saturating_sub(BATCH_HEADER_LEN);
        let mut records = 0..usize::MAX;
        let (mut limit, mut known) = (room, None);
        for _ in 0..SETTLED {
            self.fill(&mut records, limit);
            let whole = self.body.len() as f64;
            let left = self.seal()?.len() as f64 / whole;
            // As the library learns: worse counts at once, better little by little.
            let next =
                known.map_or(left, |known: f64| if left > known { left } else { known * 0.75 + left * 0.25 });
            limit = ((room as f64 / (next * MARGIN).min(1.0)) as usize).min(batch_size * RAW_CAP);
            known = Some(next);
        }
        Ok(limit)
    }
}
