//! What each application thread remembers of topics, so that a steady-state `send` looks nothing up, and where its records
//! without a key go if that is not where all others' go.
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
    print: Fingerprint,
    epoch: u64,
    entry: Arc<TopicEntry>,
    snapshot: Arc<TopicSnapshot>,
    /// Its place in the thread's table.
    slot: usize,
    /// The transaction in which the `send` began that has it now; 0 without transactions.
    transaction: u64,
    /// Where this thread's records without a key go meanwhile, having met another thread at the sticky choice.
    detour: Cell<Option<u32>>,
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

/// A topic for the time of one `send`, which gives it back to the thread's table in the end. Who does not (user code may
/// panic) looks it up again. One word, so that it stays in a register: a wider one is written in pieces and read as a
/// whole, which the processor cannot forward.
pub(crate) struct TopicLease(Box<Cached>);

impl TopicLease {
    /// What this thread remembers of the topic, if that is still current.
    #[inline(always)]
    pub(super) fn remembered(acc: &RecordAccumulator, name: &str) -> Option<Self> {
        let print = Fingerprint::of(name);
        let slot = print.slot(acc.id);
        let cached = TOPICS.try_with(|t| t[slot].take()).ok()??;
        let current = cached.producer == acc.id
            && cached.print == print
            && (print.is_whole() || &*cached.entry.name == name)
            && cached.entry.epoch() == cached.epoch;
        if !current {
            return None;
        }
        cached.entry.mark_used();
        Some(Self(cached))
    }

    pub(super) fn new(
        acc: &RecordAccumulator,
        entry: Arc<TopicEntry>,
        epoch: u64,
        snapshot: Arc<TopicSnapshot>,
    ) -> Self {
        let print = Fingerprint::of(&entry.name);
        let (slot, detour) = (print.slot(acc.id), Cell::new(None));
        let producer = acc.id;
        Self(Box::new(Cached { producer, print, epoch, entry, snapshot, slot, transaction: 0, detour }))
    }

    /// Lets this thread remember the topic.
    #[inline(always)]
    pub(crate) fn give_back(self) {
        let slot = self.0.slot % SLOTS;
        // While a thread ends its table may be gone; then there is nothing to remember.
        let _ = TOPICS.try_with(|t| t[slot].set(Some(self.0)));
    }

    #[inline]
    pub(crate) fn entry(&self) -> &Arc<TopicEntry> {
        &self.0.entry
    }

    #[inline]
    pub(crate) fn snapshot(&self) -> &TopicSnapshot {
        &self.0.snapshot
    }

    /// The transaction in which the `send` began.
    #[inline]
    pub(crate) fn transaction(&self) -> u64 {
        self.0.transaction
    }

    #[inline]
    pub(crate) fn begin_in(&mut self, transaction: u64) {
        self.0.transaction = transaction;
    }

    /// Where this thread's records without a key go, unless it is the sticky choice.
    #[inline]
    pub(super) fn detour(&self) -> Option<u32> {
        self.0.detour.get()
    }

    pub(super) fn set_detour(&self, partition: Option<u32>) {
        self.0.detour.set(partition);
    }
}

/// A topic's name in three words, so that names of up to 16 bytes are compared without a call. All of such a name is in
/// them; of a longer one its ends.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Fingerprint {
    len: usize,
    first: u64,
    last: u64,
}

impl Fingerprint {
    #[inline(always)]
    fn of(name: &str) -> Self {
        let bytes = name.as_bytes();
        let (first, last) = match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
            (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
            _ => Self::short(bytes),
        };
        Self { len: bytes.len(), first, last }
    }

    /// The same for names of up to seven bytes.
    #[inline(always)]
    fn short(bytes: &[u8]) -> (u64, u64) {
        match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
            (Some(first), Some(last)) => {
                (u32::from_le_bytes(*first).into(), u32::from_le_bytes(*last).into())
            }
            _ => (bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)), 0),
        }
    }

    /// Whether `name` is all in these words.
    #[inline(always)]
    fn is_whole(self) -> bool {
        self.len <= 16
    }

    /// A place in the table. Cheap and only has to spread: names that share one replace one another.
    #[inline(always)]
    fn slot(self, producer: u64) -> usize {
        let word = self.first ^ self.last.rotate_left(31);
        let mut h = (producer ^ (self.len as u64) << 32 ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        h ^= h >> 32;
        (h as usize) % SLOTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_that_differ_in_any_byte_have_other_fingerprints_if_these_are_whole() {
        let mut seen = HashSet::new();
        for len in 0..=20 {
            for at in 0..=len {
                let mut name = vec![b'a'; len];
                if let Some(byte) = name.get_mut(at) {
                    *byte = b'b';
                }
                let print = Fingerprint::of(std::str::from_utf8(&name).unwrap());
                assert_eq!(print.is_whole(), len <= 16);
                assert!(!print.is_whole() || seen.insert((print.len, print.first, print.last)), "{len} {at}");
            }
        }
    }
}
