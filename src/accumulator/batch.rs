//! A batch from its first record to its last byte: open, closed, sealed.
//!
//! ```text
//! OpenBatch --close--> ClosedBatch --seal (compress)--> Batch --> engine
//! ```
//! Each state is a type of its own and moves by value, so that nothing can be appended to what is being compressed, or
//! compressed while it is being written. An open batch is guarded by its partition's lock; later states have one owner.

use std::time::Instant;

use super::budget::Waited;
use super::chunks::{Body, ChunkList};
use super::memory::{Chunk, MemoryPool};
use super::pace::Pace;
use crate::delivery::BatchCompletion;
use crate::protocol::record::{
    BATCH_HEADER_LEN, CompressionType, PlacedRecord, ROOM_BEHIND, RecordBody, SmallRecord,
};
use crate::protocol::varint::Preamble;
use crate::sync::Arc;

/// What a new batch needs that is made outside the partition's lock.
#[derive(Debug)]
pub(crate) struct Fresh {
    pub(super) completion: Arc<BatchCompletion>,
    pub(super) created: Instant,
    pub(super) generation: u64,
    /// What the call waited for that begins the batch.
    pub(super) waited: Waited,
}

/// A batch that takes records.
#[derive(Debug)]
pub(crate) struct OpenBatch {
    chunks: ChunkList,
    len: usize,
    count: u32,
    /// Bytes of the largest record.
    largest: u32,
    base_timestamp: i64,
    max_timestamp: i64,
    /// The next record's, most likely.
    preamble: Preamble,
    /// What the batch holds at most: its limits, as the codec's past stood when it was begun; more once it has grown.
    raw_limit: usize,
    /// How many batches it would be if it had not grown.
    turns: u32,
    /// Bytes of it that the pace knows of.
    paced: usize,
    /// What counts against `buffer.memory` for the callbacks of its records, and up to how much of their charge.
    paper: Vec<Chunk>,
    paid: usize,
    life: Fresh,
}

/// Bytes of callbacks that are counted before they are there.
const PAID_AHEAD: usize = 1024;

/// How large batches may become.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SizeLimits {
    /// `batch.size`: bounds the estimated size as it will be written, header included.
    pub(crate) batch_size: usize,
    /// Bounds the bytes before compression, which are what holds memory.
    pub(crate) raw_cap: usize,
    /// `batch.max.size`: how far a full batch grows on that the sender has not come for, header included.
    pub(crate) largest: usize,
}

impl SizeLimits {
    /// The bytes before compression that make a full batch, where `ratio` of them is left by the codec.
    fn raw_limit(self, ratio: f32) -> usize {
        let room = self.batch_size.saturating_sub(BATCH_HEADER_LEN);
        let raw = if ratio >= 1.0 { room } else { (room as f64 / f64::from(ratio)) as usize };
        raw.min(self.raw_cap)
    }
}

/// Whether a full batch grows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Growth {
    /// To so many bytes of records.
    pub(super) most: usize,
    /// Not if it was begun before: its records share a time to be delivered by, the first one's.
    pub(super) begun_since: Option<Instant>,
}

impl Growth {
    pub(super) const NONE: Self = Self { most: 0, begun_since: None };
}

/// Whether a record goes into an open batch.
pub(super) enum Fit {
    Yes,
    /// Yes, with this many more chunks.
    NeedsChunks(usize),
    No,
}

/// A record that goes into the current chunk, in its place there.
pub(super) enum Here<'r, 'a, H> {
    Small(SmallRecord<'a>),
    /// With its length.
    Any(PlacedRecord<'r, 'a, H>, usize),
}

impl OpenBatch {
    /// Begins a batch in `first`. `ratio` is what the codec is expected to leave of its bytes, 1 without one.
    pub(super) fn new(
        first: Chunk,
        chunk_size: usize,
        (limits, ratio): (SizeLimits, f32),
        timestamp: i64,
        life: Fresh,
    ) -> Self {
        Self {
            chunks: ChunkList::new(first, chunk_size),
            len: 0,
            count: 0,
            largest: 0,
            base_timestamp: timestamp,
            max_timestamp: timestamp,
            preamble: Preamble::new(),
            raw_limit: limits.raw_limit(ratio),
            turns: 1,
            paced: 0,
            paper: Vec::new(),
            paid: 0,
            life,
        }
    }

    /// Whether its callbacks take more memory than is counted: before the next record enters that must be made good.
    #[inline(always)]
    pub(super) fn owes(&self) -> bool {
        self.life.completion.charged() > self.paid
    }

    /// What it owes, and something ahead, so that not each record has to come for it.
    pub(super) fn debt(&self) -> usize {
        let charged = self.life.completion.charged();
        charged.saturating_sub(self.paid) + (charged / 4).max(PAID_AHEAD)
    }

    /// What it owes is counted now.
    pub(super) fn pay(&mut self, debt: usize, papers: &mut Vec<Chunk>) {
        self.paid += debt;
        for paper in papers.drain(..) {
            let other = match self.paper.first_mut() {
                Some(first) => first.merge(paper),
                None => Some(paper),
            };
            self.paper.extend(other);
        }
    }

    pub(super) fn completion(&self) -> &Arc<BatchCompletion> {
        &self.life.completion
    }

    pub(super) fn created(&self) -> Instant {
        self.life.created
    }

    pub(super) fn generation(&self) -> u64 {
        self.life.generation
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Whether nothing more should be put in.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.len >= self.raw_limit
    }

    /// Whether a record of `len` encoded bytes goes in, given `spare` chunks. The first record always does.
    #[inline]
    pub(super) fn fit(&self, len: usize, spare: usize) -> Fit {
        let fits = self.len + len <= self.raw_limit;
        if self.count > 0 && (!fits || self.count == i32::MAX as u32) {
            return Fit::No;
        }
        let over = len.saturating_sub(self.chunks.room());
        if over == 0 {
            return Fit::Yes;
        }
        let missing = over.div_ceil(self.chunk_size()).saturating_sub(spare);
        if missing == 0 { Fit::Yes } else { Fit::NeedsChunks(missing) }
    }

    /// The record in its place, if it goes into the current chunk: `IS_SMALL`: if it is small, as most are, and with room to spare.
    #[inline(always)]
    pub(super) fn place_here<'r, 'a, H, const IS_SMALL: bool>(
        &mut self,
        record: &'r RecordBody<'a, H>,
        timestamp: i64,
    ) -> Option<Here<'r, 'a, H>>
    where
        H: Iterator<Item = (&'a str, Option<&'a [u8]>)> + Clone,
    {
        if IS_SMALL {
            return self.place_small(record, timestamp).map(Here::Small);
        }
        let placed = self.place(record, timestamp);
        let len = placed.encoded_len();
        matches!(self.fit(len, 0), Fit::Yes).then_some(Here::Any(placed, len))
    }

    #[inline(always)]
    fn place_small<'a, H>(&mut self, record: &RecordBody<'a, H>, timestamp: i64) -> Option<SmallRecord<'a>>
    where
        H: Iterator<Item = (&'a str, Option<&'a [u8]>)> + Clone,
    {
        if !record.is_small() {
            return None;
        }
        let preamble = self.preamble.of(self.count, timestamp.wrapping_sub(self.base_timestamp));
        let small = SmallRecord::new(record, preamble)?;
        let len = small.encoded_len();
        let fits = self.len + len <= self.raw_limit && len + ROOM_BEHIND <= self.chunks.room();
        fits.then_some(small)
    }

    /// Appends what [`place_here`](Self::place_here) made; returns its length.
    #[inline(always)]
    pub(super) fn push_here<'a, H>(&mut self, record: Here<'_, 'a, H>, timestamp: i64) -> usize
    where
        H: Iterator<Item = (&'a str, Option<&'a [u8]>)> + Clone,
    {
        match record {
            Here::Small(small) => {
                let len = small.encoded_len();
                small.write(self.chunks.current());
                self.preamble.advance();
                self.entered(len, timestamp);
                len
            }
            Here::Any(placed, len) => {
                self.push(placed, len, timestamp, &mut Vec::new());
                len
            }
        }
    }

    /// Takes `turn` bytes more, or as many as a record of `len` does; `false`: it does not.
    pub(super) fn grow(&mut self, len: usize, turn: usize, growth: Growth) -> bool {
        let needed = self.len + len.max(1);
        let is_young = growth.begun_since.is_none_or(|since| self.life.created >= since);
        if needed > growth.most || !is_young || self.count == i32::MAX as u32 {
            return false;
        }
        self.raw_limit = (self.len + turn).max(needed).min(growth.most);
        true
    }

    /// Tells the pace of what is full and it has not heard of; so many bytes.
    pub(super) fn tell(&mut self, pace: &Pace) -> usize {
        let bytes = self.len - self.paced;
        self.paced = self.len;
        pace.queued(self.chunks.leader(), bytes);
        bytes
    }

    /// How many batches it would have been by now, the last not full.
    pub(super) fn turns(&self) -> u32 {
        self.turns
    }

    /// It was full, and has grown. What the sender is told of it.
    pub(super) fn ripen(&mut self) -> Ripe {
        let times_full = self.turns;
        self.turns += 1;
        Ripe {
            created: self.life.created,
            generation: self.life.generation,
            completion: self.life.completion.clone(),
            times_full,
        }
    }

    /// Bytes on the wire if it were closed now, header included.
    pub(super) fn wire_len(&self) -> usize {
        BATCH_HEADER_LEN + self.len
    }

    fn chunk_size(&self) -> usize {
        self.chunks.chunk_size()
    }

    /// `record` at the end of this batch.
    #[inline]
    pub(super) fn place<'r, 'a, H>(
        &self,
        record: &'r RecordBody<'a, H>,
        timestamp: i64,
    ) -> PlacedRecord<'r, 'a, H>
    where
        H: Iterator<Item = (&'a str, Option<&'a [u8]>)> + Clone,
    {
        record.place(self.count as i32, timestamp.wrapping_sub(self.base_timestamp))
    }

    /// Appends what [`place`](Self::place) made, `len` bytes of it; [`fit`](Self::fit) said yes. Returns the record's
    /// index.
    #[inline]
    pub(super) fn push<'a, H>(
        &mut self,
        placed: PlacedRecord<'_, 'a, H>,
        len: usize,
        timestamp: i64,
        spare: &mut Vec<Chunk>,
    ) -> u32
    where
        H: Iterator<Item = (&'a str, Option<&'a [u8]>)> + Clone,
    {
        if len <= self.chunks.room() {
            placed.write(self.chunks.current());
        } else {
            placed.write(&mut self.chunks.across(spare));
        }
        self.entered(len, timestamp)
    }

    /// Counts a record of `len` bytes that stands in the chunks; its index.
    #[inline(always)]
    fn entered(&mut self, len: usize, timestamp: i64) -> u32 {
        let index = self.count;
        self.len += len;
        self.count += 1;
        // Records are below 2 GiB.
        self.largest = self.largest.max(len as u32);
        self.max_timestamp = self.max_timestamp.max(timestamp);
        index
    }

    pub(super) fn close(self, pool: &Arc<MemoryPool>) -> ClosedBatch {
        ClosedBatch(Batch {
            body: Arc::new(Body::new(self.chunks, self.len, self.paper, pool.clone())),
            raw_len: self.len,
            codec: CompressionType::None,
            records: self.count,
            largest: self.largest,
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            completion: self.life.completion,
            created: self.life.created,
            generation: self.life.generation,
            waited: self.life.waited,
            turns: self.turns,
        })
    }
}

/// A batch that is full, and open nevertheless until the sender takes it.
#[derive(Debug)]
pub(super) struct Ripe {
    pub(super) created: Instant,
    pub(super) generation: u64,
    pub(super) completion: Arc<BatchCompletion>,
    pub(super) times_full: u32,
}

/// A batch that takes no more records and is not compressed yet.
#[derive(Debug)]
pub(crate) struct ClosedBatch(Batch);

impl ClosedBatch {
    pub(super) fn get(&self) -> &Batch {
        &self.0
    }

    #[cfg(test)]
    pub(super) fn set_created(&mut self, created: Instant) {
        self.0.created = created;
    }

    /// Sends it as it is.
    pub(super) fn into_batch(self) -> Batch {
        self.0
    }

    pub(super) fn slices(&self) -> impl Iterator<Item = &[u8]> + Clone {
        self.0.body.slices()
    }

    /// Puts the compressed bytes in place of the raw ones, unless they are not smaller.
    pub(super) fn seal(mut self, codec: CompressionType, compressed: &[u8]) -> Batch {
        let worth_it = compressed.len() < self.0.raw_len;
        if worth_it {
            if let Some(body) = Arc::get_mut(&mut self.0.body) {
                if body.replace(compressed) {
                    self.0.codec = codec;
                }
            }
        }
        self.0
    }
}

/// A batch ready to be stamped and sent: its body never changes again.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) body: Arc<Body>,
    /// Bytes before compression.
    pub(crate) raw_len: usize,
    pub(crate) codec: CompressionType,
    pub(crate) records: u32,
    /// Bytes of the largest record before compression.
    pub(crate) largest: u32,
    pub(crate) base_timestamp: i64,
    pub(crate) max_timestamp: i64,
    pub(crate) completion: Arc<BatchCompletion>,
    /// When its first record came: `linger.ms` and `delivery.timeout.ms` count from here.
    pub(crate) created: Instant,
    /// Which flush waits for it.
    pub(crate) generation: u64,
    /// What the `send` waited for that began it.
    pub(crate) waited: Waited,
    /// How many batches it counts for in its partition's backlog.
    pub(crate) turns: u32,
}

impl Batch {
    /// Bytes on the wire, header included.
    pub(crate) fn wire_len(&self) -> usize {
        BATCH_HEADER_LEN + self.body.len()
    }
}

/// The last resort of "no handle hangs": a batch that is lost without an outcome, as where the thread that held it
/// dies, fails its records.
impl Drop for Batch {
    fn drop(&mut self) {
        self.completion.abandon(self.generation);
    }
}
