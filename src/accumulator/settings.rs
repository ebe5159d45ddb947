//! What the accumulator is told, and the sizes that follow from it. Pure.

use std::time::Duration;

use super::batch::SizeLimits;
use super::signals::Gathering;
use crate::protocol::record::compression::Compression;

/// See the configuration keys of the same names.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) batch_size: usize,
    /// Less than `batch_size` counts as that.
    pub(crate) batch_max_size: usize,
    pub(crate) linger: Duration,
    pub(crate) buffer_memory: usize,
    pub(crate) broker_share: f64,
    pub(crate) delivery_timeout: Duration,
    pub(crate) compression: Compression,
    pub(crate) adaptive: bool,
}

/// Chunks are this large, unless batches are smaller.
const CHUNK_SIZE: usize = 16 * 1024;
/// The smallest chunk: less would cost more in lists than it saves in bytes.
pub(super) const MIN_CHUNK_SIZE: usize = 256;
/// What a batch takes besides its bytes: its completion, its places in queues and in a request, and what allocators add.
const BATCH_OVERHEAD: usize = 1024;
/// In larger chunks it is lost in the 16 MiB that there may be beyond `buffer.memory`.
const OVERHEAD_COUNTS_BELOW: usize = 4096;
/// With a codec a batch may hold this many times `batch.size` before compression.
const RAW_CAP: usize = 4;

/// Requests of so many bytes are large enough: larger ones cost hardly less a byte.
const WORTH_SENDING: usize = 128 * 1024;
/// Not more batches than this are waited for.
const MAX_GATHER: usize = 8;
/// Batches that grow cost less with every byte, up to where a request leaves a core's cache.
const WORTH_GROWING: usize = 512 * 1024;
/// Neither a batch that grows nor what a request gathers holds more than this part of `buffer.memory`.
const SHARE: usize = 16;

impl Settings {
    pub(super) fn chunk_size(&self) -> usize {
        self.batch_size.clamp(MIN_CHUNK_SIZE, CHUNK_SIZE).min(self.buffer_memory).max(1)
    }

    /// What counts against `buffer.memory` for a batch besides its bytes and its callbacks.
    pub(super) fn batch_overhead(&self) -> usize {
        let chunk_size = self.chunk_size();
        // One batch of one chunk must always fit.
        let room = self.buffer_memory.saturating_sub(chunk_size);
        if chunk_size < OVERHEAD_COUNTS_BELOW { BATCH_OVERHEAD.min(room) } else { 0 }
    }

    pub(super) fn limits(&self) -> SizeLimits {
        let batch_size = self.batch_size;
        let raw_cap = if self.compression.compresses() {
            batch_size.saturating_mul(RAW_CAP).min((self.buffer_memory / 8).max(batch_size))
        } else {
            batch_size
        };
        SizeLimits { batch_size, raw_cap, largest: self.largest_batch() }
    }

    /// How far a full batch grows. With a codec there is something to do for it instead while the sender is busy.
    fn largest_batch(&self) -> usize {
        let most = if self.compression.compresses() {
            0
        } else {
            self.batch_max_size.min(self.buffer_memory / SHARE)
        };
        most.max(self.batch_size)
    }

    /// How many full batches make a request worth sending while another one is under way. A codec has better things to do
    /// than to wait: it compresses while they are.
    pub(super) fn gathering(&self) -> Gathering {
        let batch_size = self.batch_size.max(1);
        let least =
            if self.compression.compresses() { 1 } else { (WORTH_SENDING / batch_size).clamp(1, MAX_GATHER) };
        let grows = self.largest_batch() > self.batch_size;
        let worth_it = WORTH_GROWING.min(self.buffer_memory / SHARE);
        let most = if grows { (worth_it / batch_size).max(least) } else { least };
        Gathering { batch_size, least, most }
    }
}
