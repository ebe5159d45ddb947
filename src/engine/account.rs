//! What the engine counts and tells: metrics per request, events, and where a batch's time went.
//!
//! Decides nothing. The only lock is that of the metrics, a leaf, once per request and once per answer; an event is
//! made only if somebody listens.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Engine;
use super::node::{InFlight, Node, NodeId, Sent, What};
use super::parcel::Parcel;
use crate::accumulator::PartitionEntry;
use crate::error::{Error, Timings};
use crate::metrics::{Broker, Event, Metrics, ProduceTally, RequestOutcome};
use crate::protocol::{ApiKey, ErrorCode};

/// What is remembered of the answer that is being handled.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AnswerNotes {
    /// The first error code that it holds.
    pub(super) code: Option<ErrorCode>,
    pub(super) throttle_millis: i32,
}

impl AnswerNotes {
    pub(super) fn code(&mut self, code: ErrorCode) {
        if code.is_error() {
            self.code.get_or_insert(code);
        }
    }
}

/// A request, once it is out of the list of those in flight.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    api: ApiKey,
    version: i16,
    bytes: usize,
    sent: Instant,
}

impl Asked {
    pub(super) fn of(request: &InFlight) -> Self {
        let api = match &request.what {
            What::Produce { .. } => ApiKey::PRODUCE,
            What::Metadata { .. } => ApiKey::METADATA,
            What::InitProducerId => ApiKey::INIT_PRODUCER_ID,
            What::Coordinator(errand) => errand.api(),
        };
        Self { api, version: request.version, bytes: request.bytes, sent: request.sent }
    }
}

impl Node {
    /// As events name it.
    pub(super) fn broker(&self) -> Broker {
        Broker::new(self.id, &self.address)
    }
}

impl Engine {
    fn metrics(&self) -> &Metrics {
        &self.acc.metrics
    }

    /// Tells something of a broker; nothing is made if nobody listens.
    pub(super) fn tell_of(&self, node: NodeId, event: impl FnOnce(Broker) -> Event) {
        if let Some(node) = self.nodes.get(&node) {
            self.metrics().tell(|| event(node.broker()));
        }
    }

    /// A produce request with these parcels goes out.
    pub(super) fn account_produce(&self, parcels: &[Sent], now: Instant) {
        let mut tally = ProduceTally::default();
        for sent in parcels {
            let batch = &sent.parcel.batch;
            let (records, len) = (u64::from(batch.records), batch.wire_len());
            tally.records += records;
            tally.batches += 1;
            tally.batch_bytes += len as u64;
            tally.largest_batch = tally.largest_batch.max(len);
            let partition = self.partitions.get(sent.partition as usize).and_then(Option::as_deref);
            let Some(topic) = partition.map(|p| &p.entry.counters) else { continue };
            topic.records_sent.add(records);
            topic.bytes_sent.add(len as u64);
            if sent.parcel.attempts != 1 {
                continue;
            }
            let (raw, body) = (batch.raw_len as u64, batch.body.len() as u64);
            topic.uncompressed_bytes.add(raw);
            topic.compressed_bytes.add(body);
            let queued = now.saturating_duration_since(batch.created);
            let new = &mut tally.new;
            new.count += 1;
            new.records += records;
            new.raw_bytes += raw;
            new.body_bytes += body;
            new.largest_record = new.largest_record.max(batch.largest);
            new.queued += queued;
            new.longest_queued = new.longest_queued.max(queued);
        }
        self.metrics().produce_sent(&tally, now);
    }

    /// A request was answered, and the answer has been dealt with.
    pub(super) fn account_answer(&mut self, node: NodeId, asked: Asked, bytes: usize, now: Instant) {
        let notes = std::mem::take(&mut self.answer);
        let took = now.saturating_duration_since(asked.sent);
        let produce = (asked.api == ApiKey::PRODUCE).then_some((took, notes.throttle_millis));
        self.metrics().answered(node, bytes, produce, now);
        let outcome = notes.code.map_or(RequestOutcome::Answered, RequestOutcome::Refused);
        self.request_done(node, asked, bytes, outcome, now);
    }

    /// The producer is closed and its connections go.
    pub(crate) fn tell_end(&mut self) {
        for node in self.nodes.values_mut() {
            let broker = node.broker();
            let Some(lost_requests) = node.connection().map(|c| c.in_flight.len()) else { continue };
            self.acc.metrics.tell(|| Event::Disconnected { broker, reason: None, lost_requests });
        }
    }

    /// A request is over without an answer.
    pub(super) fn account_unanswered(
        &self,
        node: NodeId,
        asked: Asked,
        outcome: RequestOutcome,
        now: Instant,
    ) {
        self.metrics().requests_done.increment();
        self.request_done(node, asked, 0, outcome, now);
    }

    fn request_done(
        &self,
        node: NodeId,
        asked: Asked,
        bytes_in: usize,
        outcome: RequestOutcome,
        now: Instant,
    ) {
        let Asked { api, version, bytes: bytes_out, sent } = asked;
        let took = now.saturating_duration_since(sent);
        self.tell_of(node, |broker| Event::RequestDone {
            broker,
            api,
            version,
            bytes_out,
            bytes_in,
            took,
            outcome,
        });
    }
}

/// An error with what was tried and where the time went.
pub(super) fn history(parcel: &Parcel, leaderless: &Leaderless, error: Error) -> Error {
    let timings = timings(parcel, leaderless, crate::clock::now());
    error.with_attempts(parcel.attempts).with_timings(timings)
}

/// A batch is about to be sent again.
pub(super) fn retried(metrics: &Metrics, entry: &PartitionEntry, parcel: &Parcel) {
    let records = parcel.batch.records;
    metrics.batches_retried.increment();
    metrics.records_retried.add(u64::from(records));
    entry.counters.records_retried.add(u64::from(records));
    log::debug!(
        target: "kafka_producer::engine",
        "{}: {records} record(s) will be sent again after {} attempt(s): {}",
        entry.tp, parcel.attempts, parcel.last_error.as_ref().map_or(String::new(), ToString::to_string)
    );
    metrics.tell(|| Event::Retry {
        topic_partition: entry.tp.clone(),
        records,
        attempts: parcel.attempts,
        error: parcel.last_error.clone(),
    });
}

/// When the parcel was on its way.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Travels {
    first: Option<Instant>,
    /// The attempt that is under way.
    left: Option<Instant>,
    /// Of attempts that are over.
    in_flight: Duration,
}

impl Travels {
    pub(super) fn leave(&mut self, now: Instant) {
        self.first.get_or_insert(now);
        self.left = Some(now);
    }

    /// How long its attempts have taken up to now.
    pub(super) fn in_flight(&self, now: Instant) -> Duration {
        let current = self.left.map(|left| now.saturating_duration_since(left));
        self.in_flight + current.unwrap_or_default()
    }

    pub(super) fn come_back(&mut self, now: Instant) {
        if let Some(left) = self.left.take() {
            self.in_flight += now.saturating_duration_since(left);
        }
    }
}

/// When a partition had no leader.
#[derive(Debug, Default)]
pub(crate) struct Leaderless {
    since: Option<Instant>,
    /// Earlier times, the last few of them.
    past: VecDeque<(Instant, Instant)>,
}

impl Leaderless {
    /// More changes of the leader than this within one batch's life blur the picture; nothing else.
    const KEEP: usize = 16;

    pub(super) fn set(&mut self, leaderless: bool, now: Instant) {
        match (leaderless, self.since) {
            (true, None) => self.since = Some(now),
            (false, Some(since)) => {
                self.since = None;
                self.past.push_back((since, now));
                if self.past.len() > Self::KEEP {
                    self.past.pop_front();
                }
            }
            (true, Some(_)) | (false, None) => {}
        }
    }

    /// How much of the time between these was without a leader.
    fn between(&self, from: Instant, to: Instant) -> Duration {
        let now = self.since.map(|since| (since, to));
        let overlap = |(a, b): (Instant, Instant)| b.min(to).saturating_duration_since(a.max(from));
        self.past.iter().copied().chain(now).map(overlap).sum()
    }
}

fn timings(parcel: &Parcel, leaderless: &Leaderless, end: Instant) -> Timings {
    let Travels { first, left, in_flight } = parcel.travels;
    let created = parcel.batch.created;
    let first = first.unwrap_or(end);
    let under_way = left.map_or(Duration::ZERO, |left| end.saturating_duration_since(left));
    let in_flight = in_flight + under_way;
    let before = first.saturating_duration_since(created);
    let between = end.saturating_duration_since(first).saturating_sub(in_flight);
    let lost = leaderless.between(created, first).min(before);
    let lost_between = leaderless.between(first, end).min(between);
    Timings {
        metadata: parcel.batch.waited.metadata + lost + lost_between,
        memory: parcel.batch.waited.memory,
        queue: before - lost,
        backoff: between - lost_between,
        in_flight,
    }
}
