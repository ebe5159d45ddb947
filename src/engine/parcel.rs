//! A batch in the engine's hands: what was tried with it and what that proved.

use std::time::Instant;

use super::account::Travels;
use crate::accumulator::Batch;
use crate::error::Error;

/// Producer id and epoch, as a broker knows an idempotent producer (KIP-98).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) id: i64,
    pub(crate) epoch: i16,
}

/// What makes a repeat of a batch recognisable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) identity: Identity,
    pub(crate) sequence: i32,
}

/// A batch on its way, until it has an outcome and every attempt is answered or lost.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) batch: Batch,
    /// When `delivery.timeout.ms` is over.
    pub(crate) deadline: Instant,
    /// Place among the partition's parcels; never changes, also when sequences do.
    pub(crate) order: u64,
    /// How many orders from its own on are this parcel's, for its parts.
    pub(crate) width: u64,
    /// Given at the first attempt, if the producer is idempotent.
    pub(crate) stamp: Option<Stamp>,
    pub(crate) attempts: u32,
    /// How many of them were refused for the sake of something else, and count for nothing against `retries`.
    pub(crate) excused: u32,
    /// An attempt ended without proof that nothing was appended: from then on the stamp may not change and the batch
    /// may not be split; the same bytes go out again until they are answered.
    pub(crate) pinned: bool,
    /// It has its outcome already: it expired while a request with it was not answered.
    pub(crate) ended: bool,
    /// Why the last attempt failed.
    pub(crate) last_error: Option<Error>,
    pub(crate) travels: Travels,
}

impl Parcel {
    pub(crate) fn new(batch: Batch, deadline: Instant) -> Self {
        Self {
            batch,
            deadline,
            order: 0,
            width: 0,
            stamp: None,
            attempts: 0,
            excused: 0,
            pinned: false,
            ended: false,
            last_error: None,
            travels: Travels::default(),
        }
    }

    pub(crate) fn records(&self) -> i32 {
        i32::try_from(self.batch.records).unwrap_or(i32::MAX)
    }

    /// The sequence behind the last record; sequences wrap from `i32::MAX` to 0.
    pub(crate) fn next_sequence(&self) -> Option<i32> {
        self.stamp.map(|stamp| advance(stamp.sequence, self.records()))
    }
}

/// `sequence + records`, wrapping to 0 behind `i32::MAX`.
pub(crate) fn advance(sequence: i32, records: i32) -> i32 {
    (sequence.wrapping_add(records)) & i32::MAX
}
