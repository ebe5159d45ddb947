//! The topics in use: what the sender publishes of each, and the threads that wait for it.
//!
//! The map's lock guards its shape only; each topic has a lock of its own, held to copy an `Arc` or to wait for a
//! change. A steady-state `send` takes neither: it compares [`TopicEntry::epoch`] with what its thread remembers.

use std::collections::HashMap;
use std::time::Instant;

use super::entry::PartitionEntry;
use super::sticky::Spread;
use crate::error::Error;
use crate::metrics::TopicCounters;
use crate::partitioner::PartitionInfo;
use crate::record::TopicPartition;
use crate::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use crate::sync::{Arc, Condvar, Mutex, MutexGuard, RwLock};

/// What is known of a topic at one moment; replaced as a whole.
#[derive(Debug)]
pub(crate) struct TopicSnapshot {
    /// By partition number.
    pub(crate) partitions: Vec<Arc<PartitionEntry>>,
    /// The same for partitioners and `partitions_for`.
    pub(crate) infos: Vec<PartitionInfo>,
}

/// A topic as application threads and the sender share it.
#[derive(Debug)]
pub(crate) struct TopicEntry {
    pub(crate) name: Arc<str>,
    /// Rises with every published snapshot.
    epoch: AtomicU64,
    /// The sticky choice of the moment (KIP-794); `u32::MAX` before the first.
    pub(super) sticky: AtomicU32,
    /// Decides the next one.
    pub(super) spread: Spread,
    /// Somebody sent to it since the sender last asked.
    used: AtomicBool,
    /// What is counted of it, shared by its partitions.
    pub(super) counters: Arc<TopicCounters>,
    state: Mutex<TopicState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct TopicState {
    snapshot: Option<Arc<TopicSnapshot>>,
    /// Every partition there ever was, by number: a queue has sequences behind it, so it must be found again when a
    /// forgotten topic comes back, and by whoever appends to it while the topic is being forgotten.
    known: Vec<Arc<PartitionEntry>>,
    /// The producer closed: the last word.
    closed: Option<Error>,
    /// The partition numbers that threads wait for, one entry each.
    awaited: Vec<usize>,
    /// Why there is no newer snapshot: permanent for this metadata, or the last cause seen while retrying.
    problem: Option<Problem>,
}

#[derive(Clone, Debug)]
struct Problem {
    error: Error,
    final_: bool,
}

/// Why a wait for a topic ended without partitions.
#[derive(Debug)]
pub(crate) enum NoTopic {
    /// The brokers refuse it.
    Refused(Error),
    /// Nobody knew it in time; the last thing heard, if anything.
    Timeout(Option<Error>),
}

impl TopicEntry {
    fn new(name: &str) -> Self {
        Self {
            name: Arc::from(name),
            epoch: AtomicU64::new(0),
            sticky: AtomicU32::new(u32::MAX),
            spread: Spread::new(),
            used: AtomicBool::new(true),
            counters: Arc::default(),
            state: Mutex::new(TopicState::default()),
            changed: Condvar::new(),
        }
    }

    #[inline]
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// The snapshot, and the epoch it belongs to.
    pub(crate) fn snapshot(&self) -> Option<(u64, Arc<TopicSnapshot>)> {
        let state = self.state.lock();
        let snapshot = state.snapshot.clone()?;
        Some((self.epoch(), snapshot))
    }

    /// Waits until the topic has more than `partition` partitions.
    pub(crate) fn wait(
        &self,
        partition: usize,
        deadline: Instant,
    ) -> Result<(u64, Arc<TopicSnapshot>), NoTopic> {
        let mut state = self.state.lock();
        state.awaited.push(partition);
        let result = self.wait_locked(&mut state, partition, deadline);
        if let Some(at) = state.awaited.iter().position(|p| *p == partition) {
            state.awaited.swap_remove(at);
        }
        result
    }

    fn wait_locked(
        &self,
        state: &mut MutexGuard<'_, TopicState>,
        partition: usize,
        deadline: Instant,
    ) -> Result<(u64, Arc<TopicSnapshot>), NoTopic> {
        let mut late = false;
        loop {
            if let Some(snapshot) = &state.snapshot {
                if snapshot.partitions.len() > partition {
                    return Ok((self.epoch(), snapshot.clone()));
                }
            }
            if let Some(error) = state.refusal() {
                return Err(NoTopic::Refused(error));
            }
            if late {
                return Err(NoTopic::Timeout(state.problem.as_ref().map(|p| p.error.clone())));
            }
            late = self.changed.wait_until(state, deadline).timed_out();
        }
    }

    /// Sender: whether somebody waits for a partition that the topic does not have (yet).
    pub(crate) fn awaits_more(&self) -> bool {
        let state = self.state.lock();
        let count = state.snapshot.as_ref().map_or(0, |s| s.partitions.len());
        state.awaited.iter().any(|at| *at >= count)
    }

    /// Forgets a final refusal, so that a new wait asks the brokers again.
    pub(crate) fn ask_again(&self) {
        let mut state = self.state.lock();
        if state.problem.as_ref().is_some_and(|p| p.final_) {
            state.problem = None;
        }
    }

    /// Sender: there is something new to say of the topic. `final_` ends the wait of everybody who asks now.
    pub(crate) fn report(&self, error: Error, final_: bool) {
        self.state.lock().problem = Some(Problem { error, final_ });
        self.changed.notify_all();
    }

    /// Refuses, also those who come later and whatever the brokers say.
    fn close(&self, error: &Error) {
        let mut state = self.state.lock();
        state.closed = Some(error.clone());
        let known = state.known.clone();
        drop(state);
        self.changed.notify_all();
        // Those made from now on are closed from the start.
        known.iter().for_each(|p| p.intake.lock().closed = true);
    }

    /// The partitions by number up to `count`, made where there are none yet.
    fn partitions(&self, count: usize, next_id: &AtomicU32) -> Vec<Arc<PartitionEntry>> {
        let mut state = self.state.lock();
        for at in state.known.len()..count {
            let tp = TopicPartition::new(self.name.clone(), i32::try_from(at).unwrap_or(i32::MAX));
            let id = next_id.fetch_add(1, Ordering::Relaxed);
            let entry = PartitionEntry::new(id, tp, self.counters.clone(), state.closed.is_some());
            state.known.push(Arc::new(entry));
        }
        state.known.iter().take(count).cloned().collect()
    }

    /// Every partition there ever was.
    pub(super) fn known(&self) -> Vec<Arc<PartitionEntry>> {
        self.state.lock().known.clone()
    }

    fn publish(&self, snapshot: Option<Arc<TopicSnapshot>>) {
        let mut state = self.state.lock();
        state.problem = None;
        state.snapshot = snapshot;
        self.epoch.fetch_add(1, Ordering::Release);
        drop(state);
        self.changed.notify_all();
    }

    #[inline]
    pub(super) fn mark_used(&self) {
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
    }

    /// Sender: whether it was used since the last call.
    pub(crate) fn take_used(&self) -> bool {
        self.used.swap(false, Ordering::Relaxed)
    }
}

impl TopicState {
    fn refusal(&self) -> Option<Error> {
        let final_ = self.problem.as_ref().filter(|p| p.final_).map(|p| &p.error);
        self.closed.as_ref().or(final_).cloned()
    }
}

/// Every topic that was ever asked for.
#[derive(Default)]
pub(crate) struct TopicTable {
    topics: RwLock<HashMap<Arc<str>, Arc<TopicEntry>>>,
    next_partition: AtomicU32,
}

impl TopicTable {
    /// The topic's entry; `true` if it is new and the sender must be told.
    pub(super) fn get_or_add(&self, name: &str) -> (Arc<TopicEntry>, bool) {
        if let Some(entry) = self.topics.read().get(name) {
            return (entry.clone(), false);
        }
        let mut topics = self.topics.write();
        if let Some(entry) = topics.get(name) {
            return (entry.clone(), false);
        }
        let entry = Arc::new(TopicEntry::new(name));
        topics.insert(entry.name.clone(), entry.clone());
        (entry, true)
    }

    /// Sender: forgets what is known of a topic nobody uses. Its queues stay, to be found when it comes back.
    pub(super) fn forget(&self, name: &str) {
        let entry = self.topics.read().get(name).cloned();
        if let Some(entry) = entry {
            entry.publish(None);
        }
    }

    /// Sender: publishes `infos`, sorted by partition number without gaps. Where a topic was deleted and made anew with
    /// fewer partitions, the old queues stay until their batches have ended, but nothing new is put into them.
    pub(super) fn publish(&self, topic: &TopicEntry, infos: Vec<PartitionInfo>) -> Arc<TopicSnapshot> {
        let partitions = topic.partitions(infos.len(), &self.next_partition);
        for (entry, info) in partitions.iter().zip(&infos) {
            entry.set_leader(info.leader);
        }
        let snapshot = Arc::new(TopicSnapshot { partitions, infos });
        topic.publish(Some(snapshot.clone()));
        snapshot
    }

    /// Refuses records from now on, in every partition there is or will be. Topics that are added while this runs are
    /// refused by the accumulator's own flag, which is set before.
    pub(super) fn close(&self, error: &Error) {
        self.each().iter().for_each(|topic| topic.close(error));
    }

    pub(super) fn each(&self) -> Vec<Arc<TopicEntry>> {
        self.topics.read().values().cloned().collect()
    }
}

impl std::fmt::Debug for TopicTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TopicTable").field("topics", &self.topics.read().len()).finish_non_exhaustive()
    }
}
