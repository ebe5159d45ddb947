//! The topics in use: what the sender publishes of each, and the threads that wait for it.
//!
//! The map's lock guards its shape only; each topic has a lock of its own, held to copy an `Arc` or to wait for a
//! change. A steady-state `send` takes neither: it compares [`TopicEntry::epoch`] with what its thread remembers.

use std::collections::HashMap;
use std::time::Instant;

use super::partition::PartitionEntry;
use crate::error::Error;
use crate::partitioner::PartitionInfo;
use crate::record::TopicPartition;
use crate::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use crate::sync::{Arc, Condvar, Mutex, RwLock};

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
    /// Somebody sent to it since the sender last asked.
    used: AtomicBool,
    state: Mutex<TopicState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct TopicState {
    snapshot: Option<Arc<TopicSnapshot>>,
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
            used: AtomicBool::new(true),
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
        loop {
            if let Some(snapshot) = &state.snapshot {
                if snapshot.partitions.len() > partition {
                    return Ok((self.epoch(), snapshot.clone()));
                }
            }
            if let Some(problem) = state.problem.as_ref().filter(|p| p.final_) {
                return Err(NoTopic::Refused(problem.error.clone()));
            }
            if self.changed.wait_until(&mut state, deadline).timed_out() {
                return Err(NoTopic::Timeout(state.problem.as_ref().map(|p| p.error.clone())));
            }
        }
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

    fn publish(&self, snapshot: Option<Arc<TopicSnapshot>>) {
        let mut state = self.state.lock();
        state.problem = None;
        state.snapshot = snapshot;
        self.epoch.fetch_add(1, Ordering::Release);
        drop(state);
        self.changed.notify_all();
    }

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

/// Every topic that was asked for and not forgotten.
#[derive(Default)]
pub(crate) struct TopicTable {
    topics: RwLock<HashMap<Arc<str>, Arc<TopicEntry>>>,
    next_partition: AtomicU32,
    closed: AtomicBool,
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

    /// Sender: forgets a topic nobody uses. Whoever still holds its entry finds it without snapshot.
    pub(super) fn remove(&self, name: &str) {
        if let Some(entry) = self.topics.write().remove(name) {
            entry.publish(None);
        }
    }

    /// Sender: publishes `infos`, sorted by partition number without gaps. Partitions that stay keep their queues.
    pub(super) fn publish(&self, topic: &TopicEntry, infos: Vec<PartitionInfo>) -> Arc<TopicSnapshot> {
        let known = topic.snapshot().map(|(_, s)| s.partitions.clone()).unwrap_or_default();
        let mut partitions = known;
        // A topic never shrinks; where one was deleted and made anew with fewer partitions, the old queues stay until
        // their batches have ended, but nothing new is put into them.
        for at in partitions.len()..infos.len() {
            let tp = TopicPartition::new(topic.name.clone(), i32::try_from(at).unwrap_or(i32::MAX));
            let id = self.next_partition.fetch_add(1, Ordering::Relaxed);
            partitions.push(Arc::new(PartitionEntry::new(id, tp)));
        }
        partitions.truncate(infos.len());
        for (entry, info) in partitions.iter().zip(&infos) {
            entry.set_leader(info.leader);
        }
        let snapshot = Arc::new(TopicSnapshot { partitions, infos });
        topic.publish(Some(snapshot.clone()));
        // After publishing: `close` sets its flag and then walks the snapshots, so one of the two sees the other.
        if self.closed.load(Ordering::SeqCst) {
            snapshot.partitions.iter().for_each(|p| p.queue.lock().closed = true);
        }
        snapshot
    }

    /// Refuses records from now on, in every partition there is or will be.
    pub(super) fn close(&self, error: &Error) {
        self.closed.store(true, Ordering::SeqCst);
        for topic in self.topics.read().values() {
            if let Some((_, snapshot)) = topic.snapshot() {
                snapshot.partitions.iter().for_each(|p| p.queue.lock().closed = true);
            }
            topic.report(error.clone(), true);
        }
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
