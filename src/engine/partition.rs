//! When a partition has something to send: linger, backoff, expiry.
//!
//! A partition is looked at when something about it changed or one of its timers is due, never in a scan of all; so
//! many idle partitions cost nothing.

use std::time::Instant;

use super::Engine;
use super::account::Leaderless;
use super::lane::{Gate, Lane};
use super::node::{NodeId, What};
use super::parcel::Parcel;
use super::transaction::May;
use crate::accumulator::{PartitionEntry, Peek};
use crate::clock;
use crate::error::{Error, ErrorKind};
use crate::metrics::Event;
use crate::sync::Arc;

/// A partition as the engine sees it.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(super) entry: Arc<PartitionEntry>,
    pub(super) leader: Option<NodeId>,
    pub(super) lane: Lane,
    /// Stands in its leader's list.
    pub(super) queued: bool,
    /// Repeats wait until then.
    pub(super) backoff_until: Option<Instant>,
    pub(super) leaderless: Leaderless,
    /// Somebody waits for a record that may stand behind others: nothing here waits for company.
    pub(super) hurried: bool,
    /// When it is to be looked at next.
    timer: Option<Instant>,
}

impl Partition {
    fn new(entry: Arc<PartitionEntry>) -> Self {
        let leader = Some(entry.leader()).filter(|leader| *leader >= 0);
        let mut leaderless = Leaderless::default();
        if leader.is_none() {
            leaderless.set(true, clock::now());
        }
        let lane = Lane::default();
        let (queued, hurried, backoff_until, timer) = (false, false, None, None);
        Self { entry, leader, lane, queued, backoff_until, leaderless, hurried, timer }
    }

    /// Whether something of it waits or is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.entry.backlog() > 0 || !self.lane.is_quiet() || !self.lane.retries().is_empty() || self.queued
    }
}

/// "Look at this partition then." Earliest first; at most one for each partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Timer {
    at: Instant,
    partition: u32,
}

impl Timer {
    pub(super) fn at(&self) -> Instant {
        self.at
    }
}

/// What a look at a partition found.
enum Found {
    Nothing,
    /// Look again then at the latest.
    Later(Instant),
    /// It can send; what it has expires then.
    Ready(Instant),
    /// It has something that no transaction will take.
    Unwanted,
}

impl Engine {
    /// The partition's number, made known if it is new.
    pub(super) fn partition_of(&mut self, entry: &Arc<PartitionEntry>) -> u32 {
        let at = entry.id as usize;
        if self.partitions.len() <= at {
            self.partitions.resize_with(at + 1, || None);
        }
        if let Some(slot) = self.partitions.get_mut(at) {
            slot.get_or_insert_with(|| Box::new(Partition::new(entry.clone())));
        }
        entry.id
    }

    pub(super) fn partition(&mut self, number: u32) -> Option<&mut Partition> {
        self.partitions.get_mut(number as usize)?.as_deref_mut()
    }

    pub(super) fn drop_partition(&mut self, number: u32) {
        self.set_timer(number, None);
        if let Some(slot) = self.partitions.get_mut(number as usize) {
            *slot = None;
        }
    }

    /// Sets or replaces the partition's timer. Replaced ones do not stay behind: at 100,000 batches a second they would
    /// pile up until their batches' deadlines.
    fn set_timer(&mut self, number: u32, at: Option<Instant>) {
        let Some(partition) = self.partition(number) else { return };
        let old = std::mem::replace(&mut partition.timer, at);
        if old == at {
            return;
        }
        if let Some(old) = old {
            self.timers.remove(&Timer { at: old, partition: number });
        }
        if let Some(at) = at {
            self.timers.insert(Timer { at, partition: number });
        }
    }

    pub(super) fn run_timers(&mut self, now: Instant) {
        while let Some(timer) = self.timers.first().copied().filter(|t| t.at <= now) {
            self.timers.remove(&timer);
            if let Some(partition) = self.partition(timer.partition) {
                partition.timer = None;
                self.evaluate(timer.partition, now);
            }
        }
    }

    /// Expires what is too old, and puts the partition into its leader's list if it can send.
    pub(super) fn evaluate(&mut self, number: u32, now: Instant) {
        let front = self.expire(number, now);
        if let (Peek::Empty | Peek::Lingering { .. }, Some(partition)) = (front, self.partition(number)) {
            // What somebody waited for has left.
            partition.hurried = false;
        }
        let mut found = self.look(number, front, now);
        if matches!(found, Found::Unwanted) {
            self.drop_unsent(number);
            found = Found::Nothing;
        }
        let timer = match found {
            Found::Nothing | Found::Unwanted => None,
            Found::Later(at) | Found::Ready(at) => Some(at),
        };
        // What is late and could not be ended now, such as a batch that is being compressed, will be announced.
        self.set_timer(number, timer.filter(|at| *at > now));
        if let Found::Ready(_) = found {
            self.enqueue(number, now);
        }
    }

    /// What the partition can do, whose queue allows `front`.
    fn look(&mut self, number: u32, front: Peek, now: Instant) -> Found {
        let timeout = self.acc.delivery_timeout();
        let Some(partition) = self.partition(number) else { return Found::Nothing };
        partition.lane.settle();
        // Whatever is in the way, the oldest thing there expires at its time.
        let queued_until = match front {
            Peek::Empty => None,
            Peek::Ready { created, .. } | Peek::Lingering { created, .. } | Peek::Sealing { created } => {
                Some(clock::deadline(created, timeout))
            }
        };
        let retry_until = partition.lane.retries().iter().map(|p| p.deadline).min();
        let Some(expiry) = queued_until.into_iter().chain(retry_until).min() else { return Found::Nothing };
        match self.may_send(number) {
            May::Send => {}
            May::Wait => return Found::Later(expiry),
            May::Drop => return Found::Unwanted,
        }
        let Some(partition) = self.partition(number) else { return Found::Nothing };
        match partition.lane.gate() {
            Gate::Wait => Found::Later(expiry),
            Gate::NeedsIdentity | Gate::Retry => match partition.backoff_until.filter(|at| *at > now) {
                Some(at) => Found::Later(at.min(expiry)),
                None => Found::Ready(expiry),
            },
            Gate::New => match front {
                Peek::Empty => Found::Later(expiry),
                Peek::Ready { .. } => Found::Ready(expiry),
                Peek::Lingering { until, .. } => Found::Later(until.min(expiry)),
                Peek::Sealing { .. } => Found::Later(expiry),
            },
        }
    }

    /// Puts the partition into its leader's list; without a leader the metadata is asked for again.
    fn enqueue(&mut self, number: u32, now: Instant) {
        let Some(partition) = self.partition(number) else { return };
        if partition.queued {
            return;
        }
        let leader = partition.leader;
        let Some(node) = leader.and_then(|id| self.nodes.get_mut(&id)) else {
            self.metadata.invalidate(now);
            return;
        };
        node.ready.push_back(number);
        if let Some(partition) = self.partition(number) {
            partition.queued = true;
        }
    }

    /// Changes the partition's leader; what waits moves to the new one.
    pub(super) fn set_leader(&mut self, number: u32, leader: Option<NodeId>, now: Instant) {
        let Some(partition) = self.partition(number) else { return };
        if partition.leader == leader {
            // It may have waited for the node to become known.
            if !partition.queued {
                self.evaluate(number, now);
            }
            return;
        }
        let old = std::mem::replace(&mut partition.leader, leader);
        partition.queued = false;
        partition.lane.leader_changed();
        partition.leaderless.set(leader.is_none(), now);
        let topic_partition = partition.entry.tp.clone();
        // There is somewhere new to go: no need to wait for the old place to recover.
        partition.backoff_until = None;
        if let Some(node) = old.and_then(|id| self.nodes.get_mut(&id)) {
            node.ready.retain(|n| *n != number);
        }
        log::debug!(target: "kafka_producer::engine", "{topic_partition}: leader {leader:?}, was {old:?}");
        self.acc.metrics.tell(|| Event::LeaderChanged { topic_partition, old, new: leader });
        self.evaluate(number, now);
    }

    /// Ends what is older than `delivery.timeout.ms` and not in flight; what the queue allows then.
    fn expire(&mut self, number: u32, now: Instant) -> Peek {
        let timeout = self.acc.delivery_timeout();
        let Some(partition) = self.partition(number) else { return Peek::Empty };
        for parcel in partition.lane.take_where(|p| p.deadline <= now) {
            self.end_expired(number, parcel);
        }
        loop {
            let partition = self.partitions.get(number as usize).and_then(Option::as_deref);
            let Some(entry) = partition.map(|p| &p.entry) else { return Peek::Empty };
            let front = self.acc.peek(entry, now);
            let (Peek::Ready { created, .. } | Peek::Lingering { created, .. }) = front else { return front };
            let deadline = clock::deadline(created, timeout);
            if deadline > now {
                return front;
            }
            // None where a thread has begun to compress it.
            let Some(batch) = self.acc.take(entry) else { return self.acc.peek(entry, now) };
            self.end_expired(number, Parcel::new(batch, deadline));
        }
    }

    /// Ends what is in flight and too old: its outcome is known to be unknown, its bytes stay with the request.
    pub(super) fn expire_in_flight(&mut self, node: NodeId, now: Instant) {
        let Some(connection) = self.nodes.get_mut(&node).and_then(|n| n.connection()) else { return };
        if connection.next_expiry.is_none_or(|at| at > now) {
            return;
        }
        let late = |deadline: Instant| deadline <= now;
        let parcels = connection.in_flight.iter().filter_map(|request| match &request.what {
            What::Produce { parcels, .. } => Some(parcels),
            What::Metadata { .. } | What::InitProducerId | What::Coordinator(_) => None,
        });
        let deadlines = parcels.flatten().filter(|s| !s.parcel.ended).map(|s| s.parcel.deadline);
        connection.next_expiry = deadlines.filter(|at| !late(*at)).min();
        let error = Error::new(
            ErrorKind::DeliveryTimeout,
            "delivery.timeout.ms is over and the broker has not answered",
        );
        self.end_in_flight(|id, parcel| id == node && late(parcel.deadline), &error.with_retriable(true));
    }
}
