//! A partition as application threads and the sender share it: its queue in its lock, the one lock of a steady-state `send`,
//! and beside it what is read without the lock.
//!
//! Must not know brokers beyond the leader's number.

use super::memory::NO_LEADER;
use super::partition::PartitionQueue;
use crate::metrics::TopicCounters;
use crate::record::TopicPartition;
use crate::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};
use crate::sync::{Arc, Mutex};

/// A partition as application threads and the sender share it.
#[derive(Debug)]
pub(crate) struct PartitionEntry {
    /// Dense number, given once: the engine's index for it.
    pub(crate) id: u32,
    pub(crate) tp: TopicPartition,
    leader: AtomicI32,
    /// It stands in the sender's list. Cleared by the sender before it looks at the queue, so that what comes after
    /// that look is announced again.
    notified: AtomicBool,
    /// Batches without outcome: how busy the partition is, for the adaptive choice (KIP-794).
    backlog: AtomicU32,
    /// Compressed size by raw size, an `f32`: what the codec made of the last batches.
    ratio: AtomicU32,
    /// What is counted of its topic.
    pub(crate) counters: Arc<TopicCounters>,
    pub(super) queue: Mutex<PartitionQueue>,
}

impl PartitionEntry {
    pub(super) fn new(id: u32, tp: TopicPartition, counters: Arc<TopicCounters>, closed: bool) -> Self {
        Self {
            id,
            tp,
            leader: AtomicI32::new(NO_LEADER),
            notified: AtomicBool::new(false),
            backlog: AtomicU32::new(0),
            ratio: AtomicU32::new(1.0f32.to_bits()),
            counters,
            queue: Mutex::new(PartitionQueue::new(closed)),
        }
    }

    /// The leader's node number, or [`NO_LEADER`].
    #[inline]
    pub(crate) fn leader(&self) -> i32 {
        self.leader.load(Ordering::Relaxed)
    }

    pub(super) fn set_leader(&self, leader: Option<i32>) {
        self.leader.store(leader.unwrap_or(NO_LEADER), Ordering::Relaxed);
    }

    pub(super) fn mark_notified(&self) -> bool {
        !self.notified.swap(true, Ordering::SeqCst)
    }

    /// Sender: about to look at the queue.
    pub(crate) fn clear_notified(&self) {
        self.notified.store(false, Ordering::SeqCst);
    }

    /// The compressed size to expect, as a share of the raw size, with a margin of 5 % as in Java.
    #[inline]
    pub(super) fn ratio(&self) -> f32 {
        (f32::from_bits(self.ratio.load(Ordering::Relaxed)) * 1.05).min(1.0)
    }

    /// Learns from a batch: worse counts at once, better little by little.
    pub(crate) fn observe_ratio(&self, observed: f32) {
        let known = f32::from_bits(self.ratio.load(Ordering::Relaxed));
        let next = if observed > known { observed } else { known * 0.75 + observed * 0.25 };
        self.ratio.store(next.to_bits(), Ordering::Relaxed);
    }

    pub(crate) fn backlog(&self) -> u32 {
        self.backlog.load(Ordering::Relaxed)
    }

    pub(super) fn batch_began(&self, batches: u32) {
        self.backlog.fetch_add(batches, Ordering::Relaxed);
    }

    pub(super) fn batch_ended(&self) {
        self.backlog.fetch_sub(1, Ordering::Relaxed);
    }
}
