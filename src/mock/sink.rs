//! Discard mode: Produce requests are acknowledged at once and nothing is kept, for measuring producers.
//!
//! What the connections' threads share: topics, offsets, counters. Each reads its requests by itself, see `sink_stream`.
//! Offsets are atomics, so connections do not meet. With `verify`, each partition has a log without bytes behind a lock
//! of its own, which judges checksum, structure and sequences. Leaders, replicas, faults and the journal play no part in
//! Produce here. What is written in transactions does not come this way: the state judges it, and keeps nothing of it
//! either.

use super::log::{AppendRules, PartitionLog};
use super::state::ClusterState;
use super::topology::TopicId;
use crate::protocol::ErrorCode;
use crate::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use crate::sync::{Arc, Mutex, RwLock};
use std::collections::HashMap;

/// What a cluster in discard mode has instead of logs.
#[derive(Debug)]
pub(super) struct Sink {
    verify: bool,
    topics: RwLock<HashMap<Key, Arc<SinkTopic>>>,
    /// Rises when a topic was forgotten, so that no lane goes on with the old one.
    generation: AtomicU64,
    counters: Counters,
}

/// How much has gone down, as atomics that connections add to once per request.
#[derive(Debug, Default)]
struct Counters {
    requests: AtomicU64,
    batches: AtomicU64,
    compressed: AtomicU64,
    records: AtomicU64,
    bytes: AtomicU64,
    refused: AtomicU64,
}

/// Counts of one request, or of the whole.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) requests: u64,
    pub(super) batches: u64,
    pub(super) compressed: u64,
    pub(super) records: u64,
    pub(super) bytes: u64,
    pub(super) refused: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Name(Box<str>),
    Id(TopicId),
}

#[derive(Debug)]
pub(super) struct SinkTopic {
    partitions: Vec<SinkPartition>,
}

#[derive(Debug, Default)]
pub(super) struct SinkPartition {
    end_offset: AtomicI64,
    /// Used with `verify` only.
    log: Mutex<PartitionLog>,
}

impl Sink {
    pub(super) fn new(verify: bool) -> Self {
        Self {
            verify,
            topics: RwLock::new(HashMap::new()),
            generation: AtomicU64::new(0),
            counters: Counters::default(),
        }
    }

    /// Whether batches are judged, and so are wanted whole.
    pub(super) fn verifies(&self) -> bool {
        self.verify
    }

    /// Rises when what [`Self::topic`] gave is out of date.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub(super) fn count(&self, request: &Tally) {
        let c = &self.counters;
        c.requests.fetch_add(request.requests, Ordering::Relaxed);
        c.batches.fetch_add(request.batches, Ordering::Relaxed);
        c.compressed.fetch_add(request.compressed, Ordering::Relaxed);
        c.records.fetch_add(request.records, Ordering::Relaxed);
        c.bytes.fetch_add(request.bytes, Ordering::Relaxed);
        c.refused.fetch_add(request.refused, Ordering::Relaxed);
    }

    pub(super) fn tally(&self) -> Tally {
        let c = &self.counters;
        Tally {
            requests: c.requests.load(Ordering::Relaxed),
            batches: c.batches.load(Ordering::Relaxed),
            compressed: c.compressed.load(Ordering::Relaxed),
            records: c.records.load(Ordering::Relaxed),
            bytes: c.bytes.load(Ordering::Relaxed),
            refused: c.refused.load(Ordering::Relaxed),
        }
    }

    /// The topic is gone or has another shape; its offsets start again at 0.
    pub(super) fn forget(&self, topic: &str) {
        let mut topics = self.topics.write();
        if let Some(old) = topics.remove(&Key::Name(topic.into())) {
            topics.retain(|_, t| !Arc::ptr_eq(t, &old));
        }
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// The offset that the next record of a partition gets.
    pub(super) fn end_offset(&self, topic: &str, partition: i32) -> Option<i64> {
        let topics = self.topics.read();
        let partition =
            topics.get(&Key::Name(topic.into()))?.partitions.get(usize::try_from(partition).ok()?)?;
        Some(if self.verify {
            partition.log.lock().end_offset()
        } else {
            partition.end_offset.load(Ordering::Relaxed)
        })
    }

    /// The topic's counters; they are made when it is first written to. Never holds both locks at once.
    pub(super) fn topic(&self, key: &Key, state: &Mutex<ClusterState>) -> Option<Arc<SinkTopic>> {
        if let Some(topic) = self.topics.read().get(key) {
            return Some(Arc::clone(topic));
        }
        let (name, id, partitions) = {
            let state = state.lock();
            let topic = match key {
                Key::Name(name) => state.topology.topic(name)?,
                Key::Id(id) => state.topology.topic(state.topology.name_of(id)?)?,
            };
            (Box::from(&*topic.name), topic.id, topic.partitions.len())
        };
        let fresh = SinkTopic { partitions: (0..partitions).map(|_| SinkPartition::default()).collect() };
        let mut topics = self.topics.write();
        let topic = Arc::clone(topics.entry(Key::Id(id)).or_insert_with(|| Arc::new(fresh)));
        topics.entry(Key::Name(name)).or_insert_with(|| Arc::clone(&topic));
        Some(topic)
    }
}

impl SinkTopic {
    pub(super) fn partition(&self, index: i32) -> Option<&SinkPartition> {
        self.partitions.get(usize::try_from(index).ok()?)
    }
}

impl SinkPartition {
    /// Judges a batch; the base offset and the number of records.
    pub(super) fn judge(&self, batch: &[u8], version: i16) -> Result<(i64, u32), ErrorCode> {
        let rules = AppendRules {
            max_message_bytes: usize::MAX,
            log_append_time: None,
            leader_epoch: 0,
            refuse_unknown_producers: false,
            allow_zstd: version >= 7,
            keep: false,
            transactions: false,
        };
        let appended = self.log.lock().append(batch, &rules).map_err(|rejection| {
            log::warn!(target: "kafka_producer::mock", "{}: {}", rejection.code, rejection.message);
            rejection.code
        })?;
        Ok((appended.base_offset, if appended.duplicate { 0 } else { appended.records }))
    }

    /// Takes so many records without a look at them; their first offset.
    pub(super) fn swallow(&self, records: u32) -> i64 {
        self.end_offset.fetch_add(i64::from(records), Ordering::Relaxed)
    }
}
