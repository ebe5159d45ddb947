//! What a thread keeps of the batches that it appends to, so that handles cost it no atomic operations.
//!
//! A handle refers to its batch, and dropped unseen it is counted there: three locked instructions for a record that
//! is sent and forgotten, a good part of what a `send` costs. Instead a thread keeps one reference to the last batch
//! of each partition, lends it to the next handle and takes it back with it; and it counts unseen handles in a seat
//! of the batch that no other thread writes to.
//!
//! Thread-local, no lock. A batch that has ended stays in memory as long as threads keep such references, at most one
//! for each slot, without what its producer owns.

use std::cell::Cell;

use super::BatchCompletion;
use crate::sync::Arc;

/// Partitions that share a slot take it from one another.
const SLOTS: usize = 64;

#[derive(Default)]
struct Hand {
    /// Of the batch this is about.
    serial: Cell<u64>,
    /// Where this thread counts in that batch.
    seat: Cell<usize>,
    /// The reference, unless it is lent.
    spare: Cell<Option<Arc<BatchCompletion>>>,
}

crate::sync::thread_local! {
    static HANDS: [Hand; SLOTS] = const {
        [const { Hand { serial: Cell::new(0), seat: Cell::new(0), spare: Cell::new(None) } }; SLOTS]
    };
}

#[inline(always)]
fn slot(batch: &BatchCompletion) -> usize {
    batch.partition_id() as usize % SLOTS
}

/// A reference for a handle.
#[inline(always)]
pub(super) fn reference(batch: &Arc<BatchCompletion>) -> Arc<BatchCompletion> {
    let kept = HANDS.try_with(|hands| {
        let hand = &hands[slot(batch)];
        if hand.serial.get() != batch.serial() {
            hand.turn_to(batch);
        }
        hand.spare.take()
    });
    kept.ok().flatten().unwrap_or_else(|| batch.clone())
}

/// Takes a handle's reference back. `unseen`: nobody looked through the handle of record `index`.
#[inline(always)]
pub(super) fn take_back(batch: Arc<BatchCompletion>, index: u32, mut unseen: bool) {
    let mut batch = Some(batch);
    let _ = HANDS.try_with(|hands| {
        let Some(own) = &batch else { return };
        let hand = &hands[slot(own)];
        if hand.serial.get() == own.serial() {
            unseen = unseen && !own.count_unseen(hand.seat.get());
            if !unseen {
                hand.spare.set(batch.take());
            }
        }
    });
    if let Some(batch) = batch.filter(|_| unseen) {
        batch.dropped_unseen(index);
    }
}

impl Hand {
    #[cold]
    fn turn_to(&self, batch: &BatchCompletion) {
        self.leave();
        self.serial.set(batch.serial());
        self.seat.set(batch.claim_seat());
    }

    fn leave(&self) {
        if let Some(old) = self.spare.take() {
            old.check_seat(self.seat.get());
        }
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        self.leave();
    }
}
