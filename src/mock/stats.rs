//! Counters of a whole cluster.
//!
//! Plain data, assembled on demand.

use std::fmt;

/// How much a [`MockCluster`](super::MockCluster) has received since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClusterStats {
    /// Connections accepted, whether or not they are still open.
    pub connections: u64,
    /// Requests of every kind that could be read.
    pub requests: u64,
    /// Produce requests among them.
    pub produce_requests: u64,
    /// Bytes of those Produce requests, headers included, length prefixes not.
    pub produce_bytes: u64,
    /// Record batches accepted, duplicates not counted.
    pub batches: u64,
    /// Those of them whose records are compressed.
    pub compressed_batches: u64,
    /// Records in all of them.
    pub records: u64,
    /// Batches that were sent again although they were there, and acknowledged again.
    pub duplicate_batches: u64,
    /// Batches answered with an error, injected ones included.
    pub refused_batches: u64,
}

/// Whether a record batch's header names a codec.
pub(super) fn is_compressed(batch: &[u8]) -> bool {
    batch.get(ATTRIBUTES_LOW).is_some_and(|attributes| attributes & CODEC != 0)
}

/// The low byte of a batch's attributes, and the bits of it that name the codec.
const ATTRIBUTES_LOW: usize = 22;
const CODEC: u8 = 0b111;

impl fmt::Display for ClusterStats {
    /// One line of JSON.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{{\"connections\":{},\"requests\":{},\"produce_requests\":{},\"produce_bytes\":{},\"batches\":{},\
             \"compressed_batches\":{},\
             \"records\":{},\"duplicate_batches\":{},\"refused_batches\":{}}}",
            self.connections,
            self.requests,
            self.produce_requests,
            self.produce_bytes,
            self.batches,
            self.compressed_batches,
            self.records,
            self.duplicate_batches,
            self.refused_batches,
        )
    }
}
