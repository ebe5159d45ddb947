//! How application threads tell the sender that there is something to look at.
//!
//! Coalesced: a partition stands in the list once until the sender has looked, and the sender is woken only if it
//! said that it is asleep and would not wake in time by itself. It says until when it sleeps, so a batch that lingers
//! beyond that needs no wake-up; and it says which brokers have requests under way, whose answers will wake it, so a
//! batch that is full waits for them, up to its linger, unless it is one of several: under load that makes few large
//! requests of many small ones. One lock, a leaf, taken per batch and per waiter, not per record.

use std::time::Instant;

use super::entry::PartitionEntry;
use super::topics::TopicEntry;
use crate::clock;
use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use crate::sync::{Arc, Mutex, OnceLock};

/// Brokers that share a place are taken for one: then a full batch may wait out its linger.
pub(super) const PLACES: usize = 64;

/// What a broker has under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// Nothing: it takes a batch at once, from then on. Before that others may come to share the request.
    IdleFrom(Option<Instant>),
    /// An answer will come, and there is room for a further request.
    Busy,
    /// An answer will come, or a connection, and before that nothing can be sent.
    Full,
}

/// [`Load`]s as one number: these two, or nanoseconds since the start.
const BUSY: u64 = u64::MAX - 1;
const FULL: u64 = u64::MAX;

#[derive(Default)]
struct Broker {
    load: AtomicU64,
    /// Its batches that were closed since the sender last looked.
    closed: AtomicUsize,
}

pub(crate) struct Signals {
    pending: Mutex<Pending>,
    /// The sender sleeps or is about to: it sets this, looks at `pending` once more, and sleeps. Whoever adds to
    /// `pending` looks at this afterwards. The lock of `pending` orders the two: if the sender's last look missed the
    /// addition, the addition came after it, and so sees the flag, and what the sender wrote before it.
    asleep: AtomicBool,
    /// When the sender wakes by itself, in nanoseconds since `start`.
    wakes_by: AtomicU64,
    start: Instant,
    brokers: [Broker; PLACES],
    gathering: Gathering,
    /// What that makes at the rate of now.
    gather: AtomicUsize,
    waker: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

/// How many full batches make a request worth sending while another one is under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gathering {
    /// Bytes of a full batch.
    pub(crate) batch_size: usize,
    pub(crate) least: usize,
    /// If records come so fast that it hardly takes longer.
    pub(crate) most: usize,
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
    pub(crate) fn new(gathering: Gathering) -> Self {
        Self {
            pending: Mutex::default(),
            asleep: AtomicBool::new(false),
            wakes_by: AtomicU64::new(u64::MAX),
            start: clock::now(),
            brokers: std::array::from_fn(|_| Broker::default()),
            gathering,
            gather: AtomicUsize::new(gathering.least),
            waker: OnceLock::new(),
        }
    }

    /// How many batches make a request worth sending while another one is under way.
    pub(crate) fn gather(&self) -> usize {
        self.gather.load(Ordering::Relaxed)
    }

    /// Whether records come so fast that a partition's second batch waits as its first one does.
    pub(crate) fn is_fast(&self) -> bool {
        self.gather() > self.gathering.least
    }

    /// Sender: so many bytes will soon be there for a broker.
    pub(crate) fn gather_for(&self, bytes: usize) {
        let Gathering { batch_size, least, most } = self.gathering;
        self.gather.store((bytes / batch_size).clamp(least, most), Ordering::Relaxed);
    }

    pub(crate) fn set_waker(&self, waker: Box<dyn Fn() + Send + Sync>) {
        // A second waker would be a second sender; the first stays.
        let _ = self.waker.set(waker);
    }

    /// Something changed in this partition's queue.
    pub(crate) fn partition(&self, entry: &Arc<PartitionEntry>) {
        self.note(entry);
        // Also where it was noted before: by somebody who may not have found it worth waking the sender.
        self.wake();
    }

    /// A batch was begun that lingers until `until`.
    pub(crate) fn begun(&self, entry: &Arc<PartitionEntry>, until: Instant) {
        self.note(entry);
        if self.nanos(until) < self.wakes_by.load(Ordering::SeqCst) {
            self.wake();
        }
    }

    /// A batch is full; `waiting`: it and those before it that the sender has not taken. `until`: to then lingers a batch
    /// of which [`begun`](Self::begun) did not tell, such as one that its first record filled.
    pub(crate) fn closed(&self, entry: &Arc<PartitionEntry>, waiting: usize, until: Option<Instant>) {
        self.note(entry);
        let broker = &self.brokers[place(entry.leader())];
        let closed = broker.closed.fetch_add(1, Ordering::SeqCst) + 1;
        let several = (waiting > 1 && !self.is_fast()) || closed >= self.gather();
        let worth_it = match broker.load.load(Ordering::SeqCst) {
            FULL => false,
            BUSY => several,
            // It goes out then, if the sender wakes then.
            from => several || from < self.wakes_by.load(Ordering::SeqCst),
        };
        // Whatever the broker does: no batch waits longer than its linger.
        let due = until.is_some_and(|until| self.nanos(until) < self.wakes_by.load(Ordering::SeqCst));
        if worth_it || due {
            self.wake();
        }
    }

    fn note(&self, entry: &Arc<PartitionEntry>) {
        if entry.mark_notified() {
            self.pending.lock().partitions.push(entry.clone());
        }
    }

    fn nanos(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.start).as_nanos()).unwrap_or(u64::MAX)
    }

    /// Sender: what a broker has under way now. Told before it falls asleep.
    pub(crate) fn set_load(&self, broker: i32, load: Load) {
        let load = match load {
            Load::IdleFrom(at) => at.map_or(0, |at| self.nanos(at)),
            Load::Busy => BUSY,
            Load::Full => FULL,
        };
        let place = &self.brokers[place(broker)];
        place.closed.store(0, Ordering::SeqCst);
        if place.load.load(Ordering::Relaxed) != load {
            place.load.store(load, Ordering::SeqCst);
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

    /// Sender: announces sleep until `until`, or until it is woken; `false` if there is something to look at first.
    pub(crate) fn fall_asleep(&self, until: Option<Instant>) -> bool {
        self.wakes_by.store(until.map_or(u64::MAX, |at| self.nanos(at)), Ordering::SeqCst);
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

pub(super) fn place(broker: i32) -> usize {
    broker.rem_euclid(PLACES as i32) as usize
}

impl std::fmt::Debug for Signals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signals").field("asleep", &self.asleep).finish_non_exhaustive()
    }
}
