//! A partition as application threads and the sender share it: its queue in two locks, and beside them what is read without.
//!
//! Batches pass from `intake`, where records enter, to `closed`, from where the sender takes them. Who needs both locks takes
//! that of `intake` first. The sender looks into `closed`, and into `intake` only where nothing is closed: as long as full batches
//! wait, it is in nobody's way. Whether it has the lock of `intake` can be seen, as nearly as it matters. Must not know brokers
//! beyond the leader's number.

use std::time::Instant;

use super::closed::{ClosedBatches, Taken};
use super::intake::Intake;
use super::memory::{MemoryPool, NO_LEADER};
use crate::metrics::TopicCounters;
use crate::record::TopicPartition;
use crate::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicUsize, Ordering};
use crate::sync::{Arc, Mutex};

/// What the front of a partition's queue allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peek {
    Empty,
    /// Take it. `created` is the front batch's; `len`, the bytes that it takes at most on the wire, is known of a closed one.
    Ready {
        created: Instant,
        len: Option<usize>,
    },
    /// Its linger ends then.
    Lingering {
        created: Instant,
        until: Instant,
    },
    /// An application thread compresses the front batch and will notify.
    Sealing {
        created: Instant,
    },
}

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
    /// Batches without outcome, one that has grown as several: how busy the partition is, for the adaptive choice (KIP-794).
    backlog: AtomicU32,
    /// Compressed size by raw size, an `f32`: what the codec made of the last batches.
    ratio: AtomicU32,
    /// The same with a margin, as a batch's size is estimated by: each record looks at it.
    expected: AtomicU32,
    /// The most bytes of records that the broker has acknowledged in one batch since it was last slow to.
    acknowledged: AtomicUsize,
    /// The broker has found a batch too large.
    too_large: AtomicBool,
    /// What is counted of its topic.
    pub(crate) counters: Arc<TopicCounters>,
    pub(super) intake: Mutex<Intake>,
    /// The sender has that lock, or is about to.
    looked_at: AtomicBool,
    pub(super) closed: Mutex<ClosedBatches>,
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
            expected: AtomicU32::new(1.0f32.to_bits()),
            acknowledged: AtomicUsize::new(0),
            too_large: AtomicBool::new(false),
            counters,
            intake: Mutex::new(Intake::new(closed)),
            looked_at: AtomicBool::new(false),
            closed: Mutex::default(),
        }
    }

    /// Sender: what the front allows; where that is the open batch, what it does.
    pub(super) fn peek(&self, open: impl FnOnce(&Intake) -> Peek) -> Peek {
        let closed = self.closed.lock().peek();
        closed.unwrap_or_else(|| {
            self.look(|intake| {
                // It may have been closed since.
                let closed = self.closed.lock().peek();
                closed.unwrap_or_else(|| open(intake))
            })
        })
    }

    /// Sender: takes the front, closing the open batch if nothing stands before it and it has not more than `room` bytes.
    /// [`NotYet`](Taken::NotYet) also where a thread has begun to compress what is there just now; it notifies.
    pub(super) fn take(&self, room: usize, pool: &Arc<MemoryPool>) -> Taken {
        let taken = self.closed.lock().take_front(pool);
        if !matches!(taken, Taken::Empty) {
            return taken;
        }
        let is_too_large = self.look(|intake| {
            let is_next = self.closed.lock().is_empty();
            let is_too_large = is_next && intake.wire_len() > room;
            if is_next && !is_too_large {
                intake.close_open(pool, &self.closed);
            }
            is_too_large
        });
        if is_too_large { Taken::TooLarge } else { self.closed.lock().take_front(pool) }
    }

    /// Records that the sender has not taken.
    pub(super) fn records(&self) -> u64 {
        let intake = self.intake.lock();
        intake.records() + self.closed.lock().records()
    }

    /// Sender: a look at where records enter, which is soon over.
    fn look<R>(&self, look: impl FnOnce(&mut Intake) -> R) -> R {
        self.looked_at.store(true, Ordering::Relaxed);
        let seen = look(&mut self.intake.lock());
        self.looked_at.store(false, Ordering::Relaxed);
        seen
    }

    /// Whether it is the sender that has the lock of `intake`, as far as that can be said without it.
    pub(super) fn is_looked_at(&self) -> bool {
        self.looked_at.load(Ordering::Relaxed)
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
        f32::from_bits(self.expected.load(Ordering::Relaxed))
    }

    /// Learns from a batch: worse counts at once, better little by little.
    pub(crate) fn observe_ratio(&self, observed: f32) {
        let known = f32::from_bits(self.ratio.load(Ordering::Relaxed));
        let next = if observed > known { observed } else { known * 0.75 + observed * 0.25 };
        self.ratio.store(next.to_bits(), Ordering::Relaxed);
        self.expected.store((next * 1.05).min(1.0).to_bits(), Ordering::Relaxed);
    }

    /// How many bytes of records a batch may grow to whose usual size is `turn`: step by step from what the broker has taken,
    /// which may be less than what the producer was told. A large batch that it refuses after an attempt without an answer
    /// could not be split.
    pub(super) fn grows_to(&self, turn: usize) -> usize {
        let acknowledged = self.acknowledged.load(Ordering::Relaxed);
        if acknowledged == 0 || self.too_large.load(Ordering::Relaxed) {
            return 0;
        }
        acknowledged + acknowledged.max(turn)
    }

    /// The broker has taken a batch of so many bytes.
    pub(crate) fn acknowledge(&self, bytes: usize) {
        if bytes > self.acknowledged.load(Ordering::Relaxed) {
            self.acknowledged.fetch_max(bytes, Ordering::Relaxed);
        }
    }

    /// A batch took long: larger ones might take longer than requests may. What grows begins anew.
    pub(crate) fn took_long(&self) {
        self.acknowledged.store(0, Ordering::Relaxed);
    }

    /// A batch was too large for the broker: none grows any more.
    pub(crate) fn stop_growing(&self) {
        self.too_large.store(true, Ordering::Relaxed);
    }

    pub(crate) fn backlog(&self) -> u32 {
        self.backlog.load(Ordering::Relaxed)
    }

    pub(super) fn batch_began(&self, batches: u32) {
        self.backlog.fetch_add(batches, Ordering::Relaxed);
    }

    pub(super) fn batch_ended(&self, turns: u32) {
        self.backlog.fetch_sub(turns, Ordering::Relaxed);
    }
}
