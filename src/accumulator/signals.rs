//! How application threads tell the sender that there is something to look at.
//!
//! Coalesced: a partition stands in the list once until the sender has looked, and the sender is woken only if it
//! said that it is asleep. One lock, a leaf, taken per batch and per waiter, not per record.

use super::partition::PartitionEntry;
use super::topics::TopicEntry;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, Mutex, OnceLock};

#[derive(Default)]
pub(crate) struct Signals {
    pending: Mutex<Pending>,
    /// The sender sleeps or is about to: it sets this, looks at `pending` once more, and sleeps. Whoever adds to
    /// `pending` looks at this afterwards. The lock of `pending` orders the two: if the sender's last look missed the
    /// addition, the addition came after it, and so sees the flag.
    asleep: AtomicBool,
    waker: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

/// What the sender has not looked at yet.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    pub(crate) partitions: Vec<Arc<PartitionEntry>>,
    pub(crate) topics: Vec<Arc<TopicEntry>>,
    /// Partitions, by number, for a record of which somebody waits.
    pub(crate) hurried: Vec<u32>,
    /// Every partition with data: a flush began, memory ran out, the producer closes.
    pub(crate) sweep: bool,
    /// Something is wanted of the transaction.
    pub(crate) transaction: bool,
}

impl Pending {
    fn is_empty(&self) -> bool {
        let lists = self.partitions.is_empty() && self.topics.is_empty() && self.hurried.is_empty();
        lists && !self.sweep && !self.transaction
    }
}

impl Signals {
    pub(crate) fn set_waker(&self, waker: Box<dyn Fn() + Send + Sync>) {
        // A second waker would be a second sender; the first stays.
        let _ = self.waker.set(waker);
    }

    /// Something changed in this partition's queue.
    pub(crate) fn partition(&self, entry: &Arc<PartitionEntry>) {
        if entry.mark_notified() {
            self.pending.lock().partitions.push(entry.clone());
            self.wake();
        }
    }

    /// Somebody wants this topic's metadata.
    pub(crate) fn topic(&self, entry: &Arc<TopicEntry>) {
        self.pending.lock().topics.push(entry.clone());
        self.wake();
    }

    /// Somebody waits for a record of this partition.
    pub(crate) fn hurry(&self, partition: u32) {
        self.pending.lock().hurried.push(partition);
        self.wake();
    }

    /// Look at every partition that has data.
    pub(crate) fn sweep(&self) {
        self.pending.lock().sweep = true;
        self.wake();
    }

    /// Look at what is wanted of the transaction.
    pub(crate) fn transaction(&self) {
        self.pending.lock().transaction = true;
        self.wake();
    }

    /// Wakes the sender if it sleeps.
    pub(crate) fn wake(&self) {
        if self.asleep.load(Ordering::SeqCst) && self.asleep.swap(false, Ordering::SeqCst) {
            if let Some(waker) = self.waker.get() {
                waker();
            }
        }
    }

    /// Sender: moves everything into `into`.
    pub(crate) fn take(&self, into: &mut Pending) {
        let mut pending = self.pending.lock();
        into.partitions.append(&mut pending.partitions);
        into.topics.append(&mut pending.topics);
        into.hurried.append(&mut pending.hurried);
        into.sweep |= std::mem::take(&mut pending.sweep);
        into.transaction |= std::mem::take(&mut pending.transaction);
    }

    /// Sender: announces sleep; `false` if there is something to look at first.
    pub(crate) fn fall_asleep(&self) -> bool {
        self.asleep.store(true, Ordering::SeqCst);
        let idle = self.pending.lock().is_empty();
        if !idle {
            self.asleep.store(false, Ordering::SeqCst);
        }
        idle
    }

    /// Sender: awake again.
    pub(crate) fn woke_up(&self) {
        self.asleep.store(false, Ordering::SeqCst);
    }
}

impl std::fmt::Debug for Signals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signals").field("asleep", &self.asleep).finish_non_exhaustive()
    }
}
