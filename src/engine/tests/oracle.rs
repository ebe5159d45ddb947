//! What the cluster holds against what the callers were told, record by record.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use super::world::World;
use crate::accumulator::{Target, Wait};
use crate::delivery::{DeliveryFuture, RecordFacts};
use crate::mock::StoredRecord;
use crate::protocol::record::RecordBody;

/// A record that entered.
pub(super) struct Entered {
    pub(super) topic: String,
    pub(super) partition: i32,
    key: Option<Vec<u8>>,
    value: Vec<u8>,
    headers: Vec<(String, Option<Vec<u8>>)>,
    timestamp: i64,
    pub(super) handle: DeliveryFuture,
    at: Instant,
}

/// A topic's log as it was when the topic was deleted, or is at the end.
type Log = Vec<StoredRecord>;

#[derive(Default)]
pub(super) struct Ledger {
    pub(super) entered: Vec<Entered>,
    /// Records that were refused: none of them may appear.
    refused: BTreeSet<u64>,
    pending: Vec<usize>,
    next_id: u64,
    /// Entries of `entered` by the id in their value.
    by_id: HashMap<u64, usize>,
    /// Logs of deleted topics.
    graves: Vec<((String, i32), Log)>,
    pub(super) recreated: BTreeSet<String>,
}

/// What to hold a run against.
#[derive(Clone, Copy, Debug)]
pub(super) struct Promise {
    pub(super) idempotent: bool,
    pub(super) acks: i16,
    pub(super) ordered: bool,
    /// A request that was given up may be acted upon after later ones, without an epoch that fences it.
    pub(super) ghosts: bool,
}

fn facts(timestamp: i64, value: usize) -> RecordFacts {
    RecordFacts::new(timestamp, None, Some(&vec![0; value]))
}

impl Ledger {
    /// Appends a record of about `size` bytes; its place in `entered`, or `None` if it was refused.
    pub(super) fn append(
        &mut self,
        world: &mut World,
        topic: &str,
        partition: usize,
        size: usize,
    ) -> Option<usize> {
        let id = self.next_id;
        self.next_id += 1;
        let mut value = id.to_be_bytes().to_vec();
        // Half of it compresses.
        value.extend((0..size).map(|n| if n % 2 == 0 { 7 } else { world.rng.next() as u8 }));
        let key = world.chance(500).then(|| format!("key-{id}").into_bytes());
        let headers = match world.below(4) {
            0 => vec![("h".to_owned(), Some(vec![1, 2])), ("null".to_owned(), None)],
            _ => Vec::new(),
        };
        let timestamp = 1_700_000_000_000 + (world.now - world.base).as_millis() as i64;
        let borrowed = headers.iter().map(|(n, v): &(String, Option<Vec<u8>>)| (n.as_str(), v.as_deref()));
        let body = RecordBody::new(key.as_deref(), Some(&value), borrowed);
        let result = world.acc.lease(topic, Wait::Never).ok().and_then(|mut lease| {
            lease.begin_in(world.acc.transaction());
            let (target, facts) = (Target::Partition(partition), facts(timestamp, value.len()));
            world.acc.append_either_way(&lease, target, &body, facts, Wait::Never).ok()
        });
        let Some(handle) = result else {
            self.refused.insert(id);
            return None;
        };
        let (topic, at) = (topic.to_owned(), world.now);
        world.note(|_| format!("record {id} of {} bytes enters {topic}-{partition}", value.len()));
        self.by_id.insert(id, self.entered.len());
        self.pending.push(self.entered.len());
        let partition = partition as i32;
        self.entered.push(Entered { topic, partition, key, value, headers, timestamp, handle, at });
        Some(self.entered.len() - 1)
    }

    /// As a thread that waits for a record's outcome.
    pub(super) fn hurry(&mut self, at: usize) {
        let mut context = Context::from_waker(Waker::noop());
        let _ = Pin::new(&mut self.entered[at].handle).poll(&mut context);
    }

    /// How many records have no outcome; none of them may be older than `delivery.timeout.ms`.
    pub(super) fn check_timely(&mut self, world: &World, timeout: Duration) -> Result<usize, String> {
        let entered = &self.entered;
        self.pending.retain(|at| !entered[*at].handle.is_done());
        let late = self.pending.iter().find(|at| world.now > entered[**at].at + timeout);
        match late {
            Some(at) => Err(format!("{} has no outcome in time", self.name(*at))),
            None => Ok(self.pending.len()),
        }
    }

    pub(super) fn pending(&mut self) -> usize {
        let entered = &self.entered;
        self.pending.retain(|at| !entered[*at].handle.is_done());
        self.pending.len()
    }

    pub(super) fn is_acked(&self, at: usize) -> bool {
        matches!(self.entered[at].handle.try_get(), Some(Ok(_)))
    }

    pub(super) fn name(&self, at: usize) -> String {
        let r = &self.entered[at];
        let id = r.value.first_chunk::<8>().map_or(0, |b| u64::from_be_bytes(*b));
        let outcome = r.handle.try_get().map(|o| o.map(|m| m.offset).map_err(|e| e.to_string()));
        format!("record {id} of {}-{} ({outcome:?})", r.topic, r.partition)
    }

    /// Where in `entered` a record stands that was read back.
    pub(super) fn place(&self, record: &StoredRecord) -> Option<usize> {
        let id = record.value.as_deref()?.first_chunk::<8>()?;
        self.by_id.get(&u64::from_be_bytes(*id)).copied()
    }

    /// Before a topic is deleted.
    pub(super) fn bury(&mut self, world: &World, topic: &str) {
        self.recreated.insert(topic.to_owned());
        self.graves.extend(logs_of(world, Some(topic)));
    }

    /// The end: everything has its outcome, and the logs agree with it.
    pub(super) fn audit(&self, world: &World, promise: Promise) -> Result<(), String> {
        let mut logs = self.graves.clone();
        logs.extend(logs_of(world, None));
        // Where each record stands: log and offset.
        let mut places: BTreeMap<usize, Vec<(usize, i64)>> = BTreeMap::new();
        for (n, ((topic, partition), log)) in logs.iter().enumerate() {
            for record in log {
                let at = self.check_contents(record, topic, *partition)?;
                places.entry(at).or_default().push((n, record.offset));
            }
        }
        for at in 0..self.entered.len() {
            let stands = places.get(&at).map_or(&[][..], Vec::as_slice);
            self.check_outcome(at, stands, promise)
                .map_err(|what| format!("{}: {what}; stands at {stands:?}", self.name(at)))?;
        }
        if promise.ordered {
            self.check_order(&logs, promise)?;
        }
        Ok(())
    }

    fn check_contents(&self, record: &StoredRecord, topic: &str, partition: i32) -> Result<usize, String> {
        let value = record.value.as_deref().unwrap_or_default();
        let id = value.first_chunk::<8>().map(|b| u64::from_be_bytes(*b)).ok_or("a record of nobody")?;
        if self.refused.contains(&id) {
            return Err(format!("record {id} was refused and stands in {topic}-{partition}"));
        }
        let at = *self.by_id.get(&id).ok_or_else(|| format!("a record {id} that nobody sent"))?;
        let sent = &self.entered[at];
        let same = sent.topic == topic
            && sent.partition == partition
            && sent.key == record.key
            && sent.value == value
            && sent.headers == record.headers
            && sent.timestamp == record.timestamp;
        if same { Ok(at) } else { Err(format!("{} was changed: {record:?}", self.name(at))) }
    }

    fn check_outcome(&self, at: usize, stands: &[(usize, i64)], promise: Promise) -> Result<(), String> {
        let sent = &self.entered[at];
        let outcome = sent.handle.try_get().ok_or("no outcome")?;
        let once = self.recreated.contains(&sent.topic) || stands.len() <= 1;
        match outcome {
            Ok(metadata) => {
                if promise.acks != 0 && stands.is_empty() {
                    return Err("LOST".into());
                }
                if promise.idempotent && !once {
                    return Err("DUPLICATED".into());
                }
                match metadata.offset {
                    Some(offset) if !stands.iter().any(|(_, o)| *o == offset) => Err("wrong offset".into()),
                    _ => Ok(()),
                }
            }
            Err(error) if !error.may_have_been_written() && !stands.is_empty() => {
                Err(format!("said not to be written: {error:?}"))
            }
            Err(_) if promise.idempotent && !once => Err("DUPLICATED".into()),
            Err(_) => Ok(()),
        }
    }

    /// Within a log, the first appearances stand in the order of the appends.
    fn check_order(&self, logs: &[((String, i32), Log)], promise: Promise) -> Result<(), String> {
        for ((topic, partition), log) in logs {
            if self.recreated.contains(topic) {
                continue;
            }
            let mut seen = BTreeSet::new();
            let mut last: Option<u64> = None;
            for record in log {
                let value = record.value.as_deref().unwrap_or_default();
                let id = value.first_chunk::<8>().map_or(0, |b| u64::from_be_bytes(*b));
                let acked = self.by_id.get(&id).is_some_and(|at| self.is_acked(*at));
                if !seen.insert(id) || (promise.ghosts && !acked) {
                    continue;
                }
                if last.is_some_and(|last| last > id) {
                    return Err(format!("{topic}-{partition}: record {id} stands behind {last:?}"));
                }
                last = Some(id);
            }
        }
        Ok(())
    }
}

fn logs_of(world: &World, only: Option<&str>) -> Vec<((String, i32), Log)> {
    let topics = world.cluster.topology.topics().filter(|t| only.is_none_or(|o| o == &*t.name));
    let logs = topics.flat_map(|t| {
        let name = t.name.to_string();
        (0..).zip(&t.partitions).map(move |(n, p)| ((name.clone(), n), p.log.records()))
    });
    logs.collect()
}
