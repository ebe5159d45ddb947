//! What each application thread remembers of topics, so that a steady-state `send` looks nothing up.
//!
//! Thread-local, no lock: a small direct-mapped table by producer and topic name. An entry is moved out while a `send`
//! uses it, which costs no reference count and lets user code inside that `send` send as well.

use std::cell::Cell;

use super::RecordAccumulator;
use super::topics::{TopicEntry, TopicSnapshot};
use crate::sync::Arc;

const SLOTS: usize = 64;

/// A topic as this thread saw it last.
struct Cached {
    producer: u64,
    epoch: u64,
    entry: Arc<TopicEntry>,
    snapshot: Arc<TopicSnapshot>,
}

crate::sync::thread_local! {
    static TOPICS: [Cell<Option<Box<Cached>>>; SLOTS] = const { [const { Cell::new(None) }; SLOTS] };
}

/// Lets go of what this thread remembers of a producer. Other threads keep theirs until they end or need the place.
pub(super) fn forget(producer: u64) {
    let forgotten = TOPICS.try_with(|topics| {
        topics.each_ref().map(|slot| {
            let cached = slot.take();
            let (own, other) = match cached {
                Some(cached) if cached.producer == producer => (Some(cached), None),
                other => (None, other),
            };
            slot.set(other);
            own
        })
    });
    // Outside the table: what is let go of may look into it.
    drop(forgotten);
}

/// A topic for the time of one `send`; goes back into the thread's table when dropped.
pub(crate) struct TopicLease {
    cached: Option<Box<Cached>>,
    slot: usize,
    /// The transaction in which the `send` began; 0 without transactions.
    pub(crate) transaction: u64,
}

impl TopicLease {
    /// What this thread remembers of the topic, if that is still current.
    #[inline(always)]
    pub(super) fn remembered(acc: &RecordAccumulator, name: &str) -> Option<Self> {
        let slot = slot_of(acc.id, name);
        let cached = TOPICS.try_with(|t| t[slot].take()).ok()??;
        let current =
            cached.producer == acc.id && &*cached.entry.name == name && cached.entry.epoch() == cached.epoch;
        if !current {
            return None;
        }
        cached.entry.mark_used();
        Some(Self { cached: Some(cached), slot, transaction: 0 })
    }

    pub(super) fn new(
        acc: &RecordAccumulator,
        entry: Arc<TopicEntry>,
        epoch: u64,
        snapshot: Arc<TopicSnapshot>,
    ) -> Self {
        let slot = slot_of(acc.id, &entry.name);
        let cached = Some(Box::new(Cached { producer: acc.id, epoch, entry, snapshot }));
        Self { cached, slot, transaction: 0 }
    }

    #[inline]
    pub(crate) fn entry(&self) -> Option<&Arc<TopicEntry>> {
        self.cached.as_ref().map(|c| &c.entry)
    }

    #[inline]
    pub(crate) fn snapshot(&self) -> Option<&TopicSnapshot> {
        self.cached.as_ref().map(|c| &*c.snapshot)
    }
}

impl Drop for TopicLease {
    #[inline]
    fn drop(&mut self) {
        let cached = self.cached.take();
        // While a thread ends its table may be gone; then there is nothing to remember.
        let _ = TOPICS.try_with(|t| t[self.slot].set(cached));
    }
}

/// Cheap and only has to spread: names that share a slot replace one another.
#[inline(always)]
fn slot_of(producer: u64, name: &str) -> usize {
    let bytes = name.as_bytes();
    let word = match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        (Some(first), Some(last)) => u64::from_le_bytes(*first) ^ u64::from_le_bytes(*last).rotate_left(31),
        _ => short_word(bytes),
    };
    let mut h = (producer ^ (bytes.len() as u64) << 32 ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    h ^= h >> 32;
    (h as usize) % SLOTS
}

/// The same for names of up to seven bytes.
#[inline(always)]
fn short_word(bytes: &[u8]) -> u64 {
    match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        (Some(first), Some(last)) => {
            u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last))
        }
        _ => bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}
