//! Discard mode: Produce requests are acknowledged at once and nothing is kept, for measuring producers.
//!
//! Runs on the connections' threads. A [`Lane`] belongs to one connection and parses no more than the answer needs,
//! borrowing from the receive buffer; offsets are atomics, so connections do not meet. With `verify`, each partition has
//! a log without bytes behind a lock of its own, which judges checksum, structure and sequences. Leaders, replicas,
//! faults and the journal play no part in Produce here. What is written in transactions does not come this way: the
//! state judges it, and keeps nothing of it either.

use super::log::{AppendRules, PartitionLog};
use super::state::ClusterState;
use super::stats::is_compressed;
use super::topology::TopicId;
use crate::protocol::wire::{DecodeError, Reader, Writer};
use crate::protocol::{ApiKey, ErrorCode};
use crate::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use crate::sync::{Arc, Mutex, RwLock};
use std::collections::HashMap;

/// Where topics are named by id.
const TOPIC_IDS_FROM: i16 = 13;
const FLEXIBLE_FROM: i16 = 9;

/// What a cluster in discard mode has instead of logs.
#[derive(Debug)]
pub(super) struct Sink {
    verify: bool,
    topics: RwLock<HashMap<Key, Arc<SinkTopic>>>,
    /// Rises when a topic was forgotten, so that no lane goes on with the old one.
    generation: AtomicU64,
    counters: Counters,
}

/// How much has gone down, as atomics that connections add to once per burst.
#[derive(Debug, Default)]
struct Counters {
    requests: AtomicU64,
    batches: AtomicU64,
    compressed: AtomicU64,
    records: AtomicU64,
    bytes: AtomicU64,
    refused: AtomicU64,
}

/// Counts of one burst, or of the whole.
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
enum Key {
    Name(Box<str>),
    Id(TopicId),
}

#[derive(Debug)]
struct SinkTopic {
    partitions: Vec<SinkPartition>,
}

#[derive(Debug, Default)]
struct SinkPartition {
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
    fn topic(&self, key: &Key, state: &Mutex<ClusterState>) -> Option<Arc<SinkTopic>> {
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

/// One connection's way into the sink.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// The topic of the last batch, since the next is mostly of the same.
    last: Option<(Key, Arc<SinkTopic>)>,
    /// The sink's generation that `last` is of.
    generation: u64,
    burst: Tally,
    writer: Option<Writer>,
}

/// The fields of a request that shape its answer.
struct Head {
    version: i16,
    correlation_id: i32,
    flexible: bool,
}

impl Lane {
    /// Appends the answer to `out` if `frame` is a Produce request that can be discarded; `false` leaves it to the
    /// state, which also knows what to do with nonsense.
    pub(super) fn take(
        &mut self,
        sink: &Sink,
        state: &Mutex<ClusterState>,
        frame: &[u8],
        out: &mut Vec<u8>,
    ) -> bool {
        let mut r = Reader::new(frame);
        let Some(head) = head_of(&mut r) else { return false };
        let generation = sink.generation.load(Ordering::Acquire);
        if self.generation != generation {
            (self.generation, self.last) = (generation, None);
        }
        let mut writer = self.writer.take().unwrap_or_default();
        writer.clear();
        let before = self.burst;
        let walked = self.walk(sink, state, &head, &mut r, &mut writer);
        if let Ok(answered) = walked {
            self.burst.requests += 1;
            self.burst.bytes += frame.len() as u64;
            if answered {
                out.extend_from_slice(writer.as_slice());
            }
        } else {
            self.burst = before;
        }
        self.writer = Some(writer);
        walked.is_ok()
    }

    /// Hands the burst's counts over.
    pub(super) fn settle(&mut self, sink: Option<&Sink>) {
        let Some(sink) = sink else { return };
        let burst = std::mem::take(&mut self.burst);
        let c = &sink.counters;
        c.requests.fetch_add(burst.requests, Ordering::Relaxed);
        c.batches.fetch_add(burst.batches, Ordering::Relaxed);
        c.compressed.fetch_add(burst.compressed, Ordering::Relaxed);
        c.records.fetch_add(burst.records, Ordering::Relaxed);
        c.bytes.fetch_add(burst.bytes, Ordering::Relaxed);
        c.refused.fetch_add(burst.refused, Ordering::Relaxed);
    }

    /// Reads the request and writes its answer side by side. `Ok(false)` if no answer is wanted.
    fn walk(
        &mut self,
        sink: &Sink,
        state: &Mutex<ClusterState>,
        head: &Head,
        r: &mut Reader<'_>,
        w: &mut Writer,
    ) -> Result<bool, Unfit> {
        let flexible = head.flexible;
        if r.nullable_string(flexible)?.is_some() {
            // Transactions are the state's.
            return Err(Unfit);
        }
        let acks = r.i16()?;
        r.i32()?;
        let frame = w.begin_frame();
        w.i32(head.correlation_id);
        w.no_tagged_fields(flexible);
        let topics = r.array_len(flexible, 1)?;
        w.length(Some(topics), flexible).map_err(|_| Unfit)?;
        for _ in 0..topics {
            let topic = self.topic(sink, state, head, r, w)?;
            let partitions = r.array_len(flexible, 1)?;
            w.length(Some(partitions), flexible).map_err(|_| Unfit)?;
            for _ in 0..partitions {
                self.partition(sink, head, topic.as_deref(), r, w)?;
            }
            skip_tags(r, flexible)?;
            w.no_tagged_fields(flexible);
        }
        skip_tags(r, flexible)?;
        r.finish()?;
        w.i32(0);
        w.no_tagged_fields(flexible);
        w.end_frame(frame).map_err(|_| Unfit)?;
        Ok(acks != 0)
    }

    fn topic(
        &mut self,
        sink: &Sink,
        state: &Mutex<ClusterState>,
        head: &Head,
        r: &mut Reader<'_>,
        w: &mut Writer,
    ) -> Result<Option<Arc<SinkTopic>>, Unfit> {
        let matches = |last: &Key, name: &str| matches!(last, Key::Name(n) if **n == *name);
        let key = if head.version >= TOPIC_IDS_FROM {
            let id = r.uuid()?;
            w.uuid(&id);
            Key::Id(id)
        } else {
            let name = r.string(head.flexible)?;
            w.string(name, head.flexible).map_err(|_| Unfit)?;
            if let Some((last, topic)) = &self.last {
                if matches(last, name) {
                    return Ok(Some(Arc::clone(topic)));
                }
            }
            Key::Name(name.into())
        };
        if let Some((last, topic)) = &self.last {
            if *last == key {
                return Ok(Some(Arc::clone(topic)));
            }
        }
        let topic = sink.topic(&key, state);
        self.last = topic.clone().map(|topic| (key, topic));
        Ok(topic)
    }

    fn partition(
        &mut self,
        sink: &Sink,
        head: &Head,
        topic: Option<&SinkTopic>,
        r: &mut Reader<'_>,
        w: &mut Writer,
    ) -> Result<(), Unfit> {
        let index = r.i32()?;
        let batch = r.nullable_bytes(head.flexible)?.unwrap_or_default();
        skip_tags(r, head.flexible)?;
        let place = usize::try_from(index).ok().and_then(|i| topic?.partitions.get(i));
        let outcome = match place {
            Some(place) => place.swallow(batch, sink.verify, head.version),
            None if topic.is_none() && head.version >= TOPIC_IDS_FROM => Err(ErrorCode::UNKNOWN_TOPIC_ID),
            None => Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        };
        if let Ok((_, records)) = outcome {
            self.burst.batches += 1;
            self.burst.compressed += u64::from(is_compressed(batch));
            self.burst.records += u64::from(records);
        } else {
            self.burst.refused += 1;
        }
        write_outcome(w, head, index, outcome)
    }
}

impl SinkPartition {
    /// The base offset and the number of records.
    fn swallow(&self, batch: &[u8], verify: bool, version: i16) -> Result<(i64, u32), ErrorCode> {
        if verify {
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
            return Ok((appended.base_offset, if appended.duplicate { 0 } else { appended.records }));
        }
        let count = batch.get(57..61).and_then(|b| b.first_chunk()).map(|b| u32::from_be_bytes(*b));
        let records = count.ok_or(ErrorCode::CORRUPT_MESSAGE)?;
        Ok((self.end_offset.fetch_add(i64::from(records), Ordering::Relaxed), records))
    }
}

/// Not a request that the sink understands.
#[derive(Debug)]
struct Unfit;

impl From<DecodeError> for Unfit {
    fn from(_: DecodeError) -> Self {
        Self
    }
}

fn head_of(r: &mut Reader<'_>) -> Option<Head> {
    let api = ApiKey(r.i16().ok()?);
    let version = r.i16().ok()?;
    if api != ApiKey::PRODUCE || !api.versions()?.contains(&version) {
        return None;
    }
    let correlation_id = r.i32().ok()?;
    r.nullable_string(false).ok()?;
    let flexible = version >= FLEXIBLE_FROM;
    skip_tags(r, flexible).ok()?;
    Some(Head { version, correlation_id, flexible })
}

fn skip_tags(r: &mut Reader<'_>, flexible: bool) -> Result<(), Unfit> {
    if flexible { Ok(r.skip_tagged_fields()?) } else { Ok(()) }
}

fn write_outcome(
    w: &mut Writer,
    head: &Head,
    index: i32,
    outcome: Result<(i64, u32), ErrorCode>,
) -> Result<(), Unfit> {
    let (code, offset) = match outcome {
        Ok((offset, _)) => (ErrorCode::NONE, offset),
        Err(code) => (code, -1),
    };
    w.i32(index);
    w.i16(code.0);
    w.i64(offset);
    w.i64(-1);
    if head.version >= 5 {
        w.i64(if outcome.is_ok() { 0 } else { -1 });
    }
    if head.version >= 8 {
        w.length(Some(0), head.flexible).map_err(|_| Unfit)?;
        w.nullable_string(None, head.flexible).map_err(|_| Unfit)?;
    }
    w.no_tagged_fields(head.flexible);
    Ok(())
}
