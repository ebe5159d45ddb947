//! What a thread keeps of the batches that it appends to, so that handles cost it no atomic operations.
//!
//! A handle refers to its batch, and dropped unseen it is counted there: three locked instructions for a record that
//! is sent and forgotten, a good part of what a `send` costs. Instead a thread keeps one reference to the last batch
//! of each partition, lends it to the next handle and takes it back with it; and it counts unseen handles in a seat
//! of the batch that no other thread writes to.
//!
//! A failure that nobody saw is logged, and a logger may send through this very producer. So nothing is reported while a
//! handle is made, which happens under the partition's lock, nor while a slot is being changed.
//!
//! Thread-local, no lock. A batch that has ended stays in memory as long as threads keep such references, at most one
//! for each slot, without what its producer owns.

use std::cell::{Cell, OnceCell};

use super::BatchCompletion;
use super::completion::Counted;
use crate::sync::Arc;

/// Partitions that share a slot take it from one another, which costs each record three times as much. So there are
/// enough for most programs; a thread that never sends has none of their 24 KiB.
const SLOTS: usize = 1024;

#[derive(Default)]
struct Hand {
    /// Of the batch this is about.
    serial: Cell<u64>,
    /// Where this thread counts in that batch.
    seat: Cell<usize>,
    /// The reference, unless it is lent.
    spare: Cell<Option<Arc<BatchCompletion>>>,
}

/// A thread's slots, made when its first handle comes back.
type Hands = OnceCell<Box<[Hand]>>;

crate::sync::thread_local! {
    static HANDS: Hands = const { OnceCell::new() };
}

/// The slot for a batch, if the thread has any.
#[inline(always)]
fn slot<'h>(hands: &'h Hands, batch: &BatchCompletion) -> Option<&'h Hand> {
    hands.get()?.get(batch.partition_id() as usize % SLOTS)
}

/// A reference for a handle. May be called under a lock: it reports nothing, and so calls nobody.
#[inline(always)]
pub(super) fn reference(batch: &Arc<BatchCompletion>) -> Arc<BatchCompletion> {
    let lent = HANDS.try_with(|hands| {
        let hand = slot(hands, batch)?;
        if hand.serial.get() == batch.serial() { hand.spare.take() } else { None }
    });
    match lent {
        Ok(Some(reference)) => reference,
        Ok(None) | Err(_) => batch.clone(),
    }
}

/// Takes a handle's reference back. `unseen`: nobody looked through the handle of record `index`. Not under a lock: what
/// is found to have failed unseen is reported here, and whoever hears of it may send.
#[inline(always)]
pub(super) fn take_back(batch: Arc<BatchCompletion>, index: u32, unseen: bool) {
    let mut batch = Some(batch);
    let mut counted = Counted::No;
    let _ = HANDS.try_with(|hands| {
        let Some(own) = &batch else { return };
        let Some(hand) = slot(hands, own) else { return };
        if hand.serial.get() == own.serial() {
            counted = if unseen { own.count_unseen(hand.seat.get()) } else { Counted::Yes };
            if matches!(counted, Counted::Yes) {
                hand.spare.set(batch.take());
            }
        }
    });
    if let Some(batch) = batch {
        take_back_slowly(batch, index, unseen, counted);
    }
}

#[cold]
fn take_back_slowly(batch: Arc<BatchCompletion>, index: u32, unseen: bool, counted: Counted) {
    // Reports come when no slot is half changed: a logger that sends comes through here again.
    match counted {
        Counted::Late { seat } => batch.check_seat(seat),
        Counted::No if unseen => batch.dropped_unseen(index),
        Counted::No | Counted::Yes => {}
    }
    // A thread keeps the newest batch that it has to do with; handles of older ones pass by.
    let turned = HANDS.try_with(|hands| {
        hands.get_or_init(|| (0..SLOTS).map(|_| Hand::default()).collect());
        let hand = slot(hands, &batch)?;
        (batch.serial() > hand.serial.get()).then(|| hand.turn_to(batch))
    });
    if let Ok(Some(left)) = turned {
        left.check();
    }
}

/// What a thread leaves behind as it turns to another batch.
struct Left {
    seat: usize,
    batch: Option<Arc<BatchCompletion>>,
}

impl Left {
    fn check(self) {
        if let Some(batch) = self.batch {
            batch.check_seat(self.seat);
        }
    }
}

impl Hand {
    fn turn_to(&self, batch: Arc<BatchCompletion>) -> Left {
        self.serial.set(batch.serial());
        let seat = self.seat.replace(batch.claim_seat());
        Left { seat, batch: self.spare.replace(Some(batch)) }
    }
}

/// The thread ends.
impl Drop for Hand {
    fn drop(&mut self) {
        Left { seat: self.seat.get(), batch: self.spare.take() }.check();
    }
}
