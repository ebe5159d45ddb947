//! Which batches go into the next request to a broker.
//!
//! Partitions of one leader take turns; each gives one batch to a request. A partition that may not send now is passed
//! by and never keeps the others of its broker back.

use std::time::{Duration, Instant};

use super::Engine;
use super::action::{Frame, StampedBatch};
use super::answer::certain;
use super::lane::Gate;
use super::metadata::TopicId;
use super::node::{Link, Node, NodeId, Sent, What};
use super::parcel::Parcel;
use super::transaction::May;
use crate::accumulator::{Load, Peek, Take};
use crate::clock;
use crate::error::{Error, ErrorKind};
use crate::protocol::header::begin_request;
use crate::protocol::messages::produce_fast::{ProduceHead, ProduceRequestWriter};
use crate::protocol::record::{BatchAttributes, BatchHeader, ProducerStamp, TimestampType};
use crate::protocol::{ApiKey, EncodeError, RequestHeader, Writer};
use crate::sync::Arc;

/// More is not gained by gathering longer.
const LONGEST_PAUSE: Duration = Duration::from_millis(1);
/// Requests of small batches go out together until they hold so much: one system call, and one wake-up of the broker.
const TOGETHER: usize = 128 * 1024;
/// From this version on a request names topics by id (KIP-516).
const BY_ID: i16 = 13;

impl Engine {
    /// Sends what can be sent to every broker.
    pub(super) fn drain(&mut self, now: Instant) {
        if let Some(error) = self.fatal.clone() {
            return self.fail_everything(&error);
        }
        self.watch_availability(now);
        let mut next = self.node_after(None);
        while let Some(id) = next {
            if self.nodes.get(&id).is_some_and(|n| !n.ready.is_empty()) {
                self.drain_node(id, now);
            }
            next = self.node_after(Some(id));
        }
    }

    fn drain_node(&mut self, id: NodeId, now: Instant) {
        if self.settings.idempotent && self.identities.current().is_none() {
            return;
        }
        let mut together = 0;
        while self.takes_more(id, together, now) && !self.gathers(id, now) {
            let parcels = self.collect(id, now);
            if parcels.is_empty() {
                return self.recycled.keep_parcels(parcels);
            }
            let bytes: usize = parcels.iter().map(|sent| sent.parcel.batch.wire_len()).sum();
            together += bytes;
            self.flow.add(bytes);
            self.send_produce(id, parcels, now);
        }
    }

    /// Whether a broker can be sent one more request now, behind some that hold `together` bytes of batches. What the
    /// socket does not take at once is not added to: it would only count as under way.
    fn takes_more(&self, id: NodeId, together: usize, now: Instant) -> bool {
        let max = self.settings.max_in_flight;
        let connection = self.nodes.get(&id).and_then(Node::up);
        connection.is_some_and(|c| match together {
            0 => c.has_room(max, now),
            _ => together < TOGETHER && c.may_follow(max, now),
        })
    }

    /// Whether what this broker could be sent should wait for more to share its request: while an answer is due from it,
    /// which ends the wait if nothing else does, or right after the last request. No batch waits longer than its linger.
    fn gathers(&mut self, id: NodeId, now: Instant) -> bool {
        let enough = self.acc.signals.gather();
        let pause = self.pause();
        let Some(node) = self.nodes.get_mut(&id) else { return false };
        let Link::Up(connection) = &mut node.link else { return false };
        connection.gathers_until = None;
        let rests = connection.rests_until(pause).filter(|at| *at > now);
        if (connection.in_flight.is_empty() && rests.is_none())
            || node.ready.is_empty()
            || node.ready.len() >= enough
        {
            return false;
        }
        let waits = node.ready.iter().map(|number| {
            let partition = self.partitions.get(*number as usize)?.as_deref()?;
            let patient = partition.lane.retries().is_empty() && !partition.hurried;
            self.acc.may_wait(&partition.entry, now).filter(|_| patient)
        });
        let all = waits.reduce(|a, b| a.zip(b).map(|((a, n), (b, m))| (a.min(b), n + m))).flatten();
        let until = all.filter(|(_, batches)| *batches < enough).map(|(until, _)| until);
        let idle = connection.in_flight.is_empty();
        connection.gathers_until = until.map(|at| rests.filter(|_| idle).map_or(at, |rest| rest.min(at)));
        until.is_some()
    }

    /// For so long after a request the next one gathers batches: a small part of what they may linger.
    fn pause(&self) -> Duration {
        (self.acc.linger() / 5).min(LONGEST_PAUSE)
    }

    /// Tells application threads what each broker has under way, so that they wake the sender only where that helps.
    pub(super) fn publish_loads(&mut self, now: Instant) {
        let pause = self.pause();
        let brokers = || self.nodes.values().filter(|n| !n.is_bootstrap());
        let in_use = brokers().filter(|n| n.up().is_some()).count();
        self.acc.signals.gather_for(self.flow.expected(now) / in_use.max(1));
        for node in brokers() {
            let load = match &node.link {
                Link::Idle => Load::IdleFrom(None),
                // No timer ends this wait while nothing is to be sent there.
                Link::Backoff { .. } if node.ready.is_empty() => Load::IdleFrom(None),
                Link::Up(c) if c.in_flight.is_empty() => Load::IdleFrom(c.rests_until(pause)),
                Link::Up(c) if c.has_room(self.settings.max_in_flight, now) => Load::Busy,
                Link::Up(_) | Link::Connecting { .. } | Link::Backoff { .. } => Load::Full,
            };
            self.acc.signals.set_load(node.id, load);
        }
    }

    /// At most one parcel of each partition in the broker's list, at most `max.request.size` in all.
    fn collect(&mut self, id: NodeId, now: Instant) -> Vec<Sent> {
        let mut parcels = self.recycled.parcels();
        let mut size = 0;
        let turns = self.nodes.get(&id).map_or(0, |n| n.ready.len());
        for _ in 0..turns {
            let Some(number) = self.nodes.get_mut(&id).and_then(|n| n.ready.pop_front()) else { break };
            let room = self.settings.max_request_size.saturating_sub(size);
            match self.next_parcel(number, id, room, parcels.is_empty(), now) {
                Next::Parcel(parcel) => {
                    size += parcel.batch.wire_len();
                    let topic_id = self.topic_id(number);
                    parcels.push(Sent { partition: number, node: id, topic_id, parcel });
                    self.requeue(number, now);
                }
                Next::NoRoom => {
                    if let Some(node) = self.nodes.get_mut(&id) {
                        node.ready.push_front(number);
                    }
                    break;
                }
                Next::Nothing => self.requeue(number, now),
            }
        }
        parcels
    }

    /// Out of the list; back at its end if there is more.
    fn requeue(&mut self, number: u32, now: Instant) {
        if let Some(partition) = self.partition(number) {
            partition.queued = false;
        }
        self.evaluate(number, now);
    }

    fn next_parcel(&mut self, number: u32, node: NodeId, room: usize, first: bool, now: Instant) -> Next {
        let timeout = self.acc.delivery_timeout();
        if !self.ready_lane(number) {
            return Next::Nothing;
        }
        if self.may_send(number) != May::Send {
            return Next::Nothing;
        }
        let (acc, slot) = (&self.acc, self.partitions.get_mut(number as usize));
        let Some(partition) = slot.and_then(Option::as_deref_mut) else { return Next::Nothing };
        if partition.leader != Some(node) {
            return Next::Nothing;
        }
        partition.lane.settle();
        let rests = partition.backoff_until.is_some_and(|at| at > now);
        let mut parcel = match partition.lane.gate() {
            Gate::Wait | Gate::NeedsIdentity => return Next::Nothing,
            // It came into the list before it had something to repeat.
            Gate::Retry if rests => return Next::Nothing,
            Gate::Retry => match partition.lane.pop_retry() {
                Some(parcel) if first || parcel.batch.wire_len() <= room => parcel,
                Some(parcel) => {
                    partition.lane.put_back(parcel);
                    return Next::NoRoom;
                }
                None => return Next::Nothing,
            },
            Gate::New => {
                let Peek::Ready { len, .. } = acc.peek(&partition.entry, now) else { return Next::Nothing };
                let room = if first { usize::MAX } else { room };
                if len.is_some_and(|len| len > room) {
                    return Next::NoRoom;
                }
                let batch = match acc.take_within(&partition.entry, room) {
                    Take::Batch(batch) => batch,
                    Take::NoRoom => return Next::NoRoom,
                    Take::Nothing => return Next::Nothing,
                };
                let deadline = clock::deadline(batch.created, timeout);
                let mut parcel = Parcel::new(batch, deadline);
                partition.lane.enlist(&mut parcel);
                parcel
            }
        };
        parcel.attempts += 1;
        parcel.travels.leave(now);
        partition.lane.sent(&parcel);
        self.sends_in_transaction(number);
        Next::Parcel(parcel)
    }

    /// Gives the lane an identity where it needs one; `false` if there is none yet.
    fn ready_lane(&mut self, number: u32) -> bool {
        if !self.settings.idempotent {
            return true;
        }
        if self.transactions.is_some() {
            return self.ready_transactional_lane(number);
        }
        let Some(partition) = self.partitions.get_mut(number as usize).and_then(Option::as_deref_mut) else {
            return false;
        };
        let old = partition.lane.identity();
        if partition.lane.gate() != Gate::NeedsIdentity && old.is_some() {
            return true;
        }
        let next = if old.is_none() { self.identities.first() } else { self.identities.after(old) };
        let Some(identity) = next else { return false };
        if let Some(old) = old {
            self.acc.metrics.epoch_bumps.increment();
            log::debug!(
                target: "kafka_producer::engine",
                "{} goes on under producer id {} epoch {} (was {} epoch {})",
                partition.entry.tp, identity.id, identity.epoch, old.id, old.epoch
            );
        }
        partition.lane.adopt(identity);
        true
    }

    fn send_produce(&mut self, id: NodeId, mut parcels: Vec<Sent>, now: Instant) {
        // Topics stand together in a request.
        parcels.sort_unstable_by(|a, b| self.tp_of(a).cmp(&self.tp_of(b)));
        let newest = self.transactions.as_ref().map_or(i16::MAX, |t| t.max_produce_version());
        let nameless = parcels.iter().any(|sent| sent.topic_id == TopicId::default());
        let Some(connection) = self.nodes.get_mut(&id).and_then(|n| n.connection()) else {
            return self.fail_unsent(parcels, "the connection is gone");
        };
        let mut version = connection.versions.produce.unwrap_or(0).min(newest);
        if version >= BY_ID && nameless && connection.versions.produce_min < BY_ID {
            version = BY_ID - 1;
        }
        let correlation = connection.correlation();
        let expiry = parcels.iter().map(|s| s.parcel.deadline).min();
        connection.next_expiry = connection.next_expiry.into_iter().chain(expiry).min();
        let spare = self.recycled.frame();
        let frame = match self.produce_frame(spare, version, correlation, &parcels) {
            Ok(frame) => frame,
            Err(problem) => return self.fail_unsent(parcels, problem),
        };
        self.account_produce(&parcels, now);
        let what = What::Produce { answered: self.settings.acks != 0, parcels };
        self.launch(id, correlation, version, what, frame, now);
    }

    /// Cannot happen with what the accumulator and the configuration let in. Every record gets its outcome all the same.
    fn fail_unsent(&mut self, parcels: Vec<Sent>, problem: impl std::fmt::Display) {
        let error = Error::new(ErrorKind::Internal, format!("cannot make a produce request: {problem}"));
        for sent in parcels {
            if let Some(partition) = self.partition(sent.partition) {
                partition.lane.landed(&sent.parcel);
            }
            let error = certain(error.clone(), &sent.parcel);
            self.end(sent.partition, sent.parcel, error, Vec::new());
        }
        self.fail_for_good(error);
    }

    fn tp_of(&self, sent: &Sent) -> Option<(&str, i32)> {
        let partition = self.partitions.get(sent.partition as usize)?.as_deref()?;
        Some((&partition.entry.tp.topic, partition.entry.tp.partition))
    }

    pub(super) fn topic_id(&self, number: u32) -> TopicId {
        let partition = self.partitions.get(number as usize).and_then(Option::as_deref);
        let topic = partition.and_then(|p| self.metadata.topics.get(&p.entry.tp.topic));
        topic.map_or_else(TopicId::default, |t| t.id)
    }

    fn produce_frame(
        &self,
        spare: Frame,
        version: i16,
        correlation: i32,
        parcels: &[Sent],
    ) -> Result<Frame, EncodeError> {
        let Frame { head, splices, mut batches } = spare;
        let mut writer = Writer::reuse(head, splices);
        let header = RequestHeader {
            api_key: ApiKey::PRODUCE,
            api_version: version,
            correlation_id: correlation,
            client_id: Some(&self.settings.client_id),
        };
        let start = begin_request(&mut writer, &header)?;
        let timeout_ms = i32::try_from(self.settings.request_timeout.as_millis()).unwrap_or(i32::MAX);
        let transactional_id = self.transactions.as_ref().map(|t| t.id());
        let head = ProduceHead { transactional_id, acks: self.settings.acks, timeout_ms };
        let same_topic = |a: &Sent, b: &Sent| {
            self.tp_of(a).map(|(topic, _)| topic) == self.tp_of(b).map(|(topic, _)| topic)
        };
        let topics = parcels.chunk_by(same_topic).count();
        let mut request = ProduceRequestWriter::begin(&mut writer, version, &head, topics)?;
        for topic in parcels.chunk_by(same_topic) {
            let name = topic.first().and_then(|s| self.tp_of(s)).map_or("", |(topic, _)| topic);
            let id = topic.first().map_or_else(TopicId::default, |s| s.topic_id);
            request.topic(name, &id, topic.len())?;
            for sent in topic {
                let index = self.tp_of(sent).map_or(0, |(_, index)| index);
                request.partition(index, sent.parcel.batch.wire_len())?;
                batches.push(stamp(&sent.parcel, transactional_id.is_some()));
            }
            request.end_topic()?;
        }
        request.finish()?;
        writer.end_frame(start)?;
        let (head, splices) = writer.into_parts();
        Ok(Frame { head, splices, batches })
    }
}

#[expect(clippy::large_enum_variant, reason = "it lives for a moment; a box would be an allocation a batch")]
enum Next {
    Parcel(Parcel),
    /// It has one, but it does not fit into this request.
    NoRoom,
    Nothing,
}

/// The batch's header for this attempt. The same stamp makes the same bytes.
fn stamp(parcel: &Parcel, transactional: bool) -> StampedBatch {
    let batch = &parcel.batch;
    let header = BatchHeader {
        base_offset: 0,
        partition_leader_epoch: None,
        attributes: BatchAttributes {
            compression: batch.codec,
            timestamp_type: TimestampType::CreateTime,
            transactional,
            control: false,
        },
        last_offset_delta: parcel.records() - 1,
        base_timestamp: batch.base_timestamp,
        max_timestamp: batch.max_timestamp,
        producer: parcel.stamp.map(|s| ProducerStamp {
            id: s.identity.id,
            epoch: s.identity.epoch,
            base_sequence: Some(s.sequence),
        }),
        record_count: parcel.records(),
    };
    let header = header.stamp(batch.body.len(), batch.body.slices());
    StampedBatch { header, body: Arc::clone(&batch.body) }
}
