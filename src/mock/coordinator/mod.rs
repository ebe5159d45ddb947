//! The coordinators of transactions and of groups' offsets, and what they do by themselves.
//!
//! Part of the cluster's state and under its lock; takes none. Sans-I/O: [`ClusterState::advance`] with the time does
//! what is due, [`ClusterState::next_event`] says when that is. `transaction` is the state machine of one transactional
//! id, `seats` says which broker answers for which key, `groups` keeps offsets. Requests come in through `handlers`.
//! KIP-98, KIP-360, KIP-447, KIP-588, KIP-890 (leaders ask whether a partition belongs, or enrol it).

mod groups;
mod seats;
mod transaction;

pub use groups::CommittedOffset;
pub(crate) use groups::{Groups, Member};
pub(crate) use seats::Key;
use seats::{Circumstances, Seats};
pub use transaction::TransactionState;
pub(crate) use transaction::{End, Identity, Place, Transaction};

use super::state::ClusterState;
use crate::clock;
use crate::protocol::ErrorCode;
use crate::sync::Arc;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The level of the feature `transaction.version` from which on epochs rise with each transaction (KIP-890).
pub(crate) const RAISES_FROM: i16 = 2;
/// The first version of Produce that enrols partitions.
pub(crate) const PRODUCE_ENROLS_FROM: i16 = 12;

/// Everything that coordinators know.
#[derive(Debug, Default)]
pub(crate) struct Coordinators {
    seats: Seats,
    transactions: BTreeMap<String, Transaction>,
    pub(crate) groups: Groups,
}

impl ClusterState {
    fn circumstances(&self, now: Instant) -> Circumstances {
        let nodes = self.topology.nodes().map(|n| (n.id, n.alive)).collect();
        Circumstances { nodes, load_time: self.options.coordinator_load_time, now }
    }

    /// The broker that coordinates `key`; `None` if no broker is alive.
    pub(crate) fn coordinator(&mut self, key: Key<'_>, now: Instant) -> Option<i32> {
        let of = self.circumstances(now);
        self.coordinators.seats.find(key, &of)
    }

    /// Whether `node` may answer for `key`.
    pub(crate) fn check_coordinator(
        &mut self,
        key: Key<'_>,
        node: i32,
        now: Instant,
    ) -> Result<(), ErrorCode> {
        let of = self.circumstances(now);
        self.coordinators.seats.check(key, node, &of)
    }

    /// `node` coordinates `key` from now on.
    pub(crate) fn move_coordinator(
        &mut self,
        key: Key<'_>,
        node: i32,
        now: Instant,
    ) -> Result<(), ErrorCode> {
        let of = self.circumstances(now);
        if !of.nodes.iter().any(|&(id, alive)| id == node && alive) {
            return Err(ErrorCode::BROKER_NOT_AVAILABLE);
        }
        self.coordinators.seats.move_to(key, node, &of);
        Ok(())
    }

    pub(crate) fn transaction(&self, id: &str) -> Option<&Transaction> {
        self.coordinators.transactions.get(id)
    }

    /// InitProducerId with a transactional id.
    pub(crate) fn init_transaction(
        &mut self,
        id: &str,
        timeout_ms: i32,
        expected: Option<Identity>,
        now: Instant,
    ) -> Result<Identity, ErrorCode> {
        let timeout = u64::try_from(timeout_ms).map(Duration::from_millis).unwrap_or_default();
        if timeout.is_zero() || timeout > self.options.max_transaction_timeout {
            return Err(ErrorCode::INVALID_TRANSACTION_TIMEOUT);
        }
        if !self.coordinators.transactions.contains_key(id) {
            let identity = self.new_producer();
            let new = Transaction::new(identity, timeout);
            self.coordinators.transactions.insert(id.to_owned(), new);
            return Ok(identity);
        }
        let abort = self.abort_by_itself(now);
        let outcome = self.with(id, |t, fresh| t.init(timeout, expected, abort, fresh));
        self.settle(now);
        outcome
    }

    /// AddPartitionsToTxn, AddOffsetsToTxn, and what Produce and TxnOffsetCommit do in version 2.
    pub(crate) fn enrol(
        &mut self,
        id: &str,
        producer: Identity,
        partitions: Vec<Place>,
        group: Option<&str>,
        now: Instant,
    ) -> Result<(), ErrorCode> {
        self.with(id, |t, _| t.enrol(producer, partitions, group.map(Arc::from), now))
    }

    /// EndTxn; `raises` is what version 5 does.
    pub(crate) fn end_transaction(
        &mut self,
        id: &str,
        producer: Identity,
        commit: bool,
        raises: bool,
        now: Instant,
    ) -> Result<Identity, ErrorCode> {
        let end = End { commit, raises, ..self.abort_by_itself(now) };
        let outcome = self.with(id, |t, fresh| t.end(producer, end, fresh));
        self.settle(now);
        outcome
    }

    /// Aborts an open transaction as its timeout does; says whether there was one.
    pub(crate) fn time_out_transaction(&mut self, id: &str, now: Instant) -> bool {
        let abort = self.abort_by_itself(now);
        let open = self.transaction(id).is_some_and(|t| t.state == TransactionState::Ongoing);
        if open {
            let fenced = self.with(id, |t, fresh| {
                t.fence(abort, fresh);
                Ok(())
            });
            debug_assert_eq!(fenced, Ok(()), "the transaction is there");
            self.settle(now);
        }
        open
    }

    /// Takes the id over as a second producer does, until that would be done asking.
    pub(crate) fn fence_transaction(&mut self, id: &str, now: Instant) -> Result<Identity, ErrorCode> {
        let timeout = self.transaction(id).ok_or(ErrorCode::TRANSACTIONAL_ID_NOT_FOUND)?.timeout;
        let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        match self.init_transaction(id, timeout_ms, None, now) {
            Err(ErrorCode::CONCURRENT_TRANSACTIONS) => self.init_transaction(id, timeout_ms, None, now),
            outcome => outcome,
        }
    }

    /// Whether a transactional batch may be appended to a partition that has none of its transaction yet. Where Produce
    /// enrols, it is enrolled; before, the coordinator is asked.
    pub(crate) fn admit_batch(
        &mut self,
        id: &str,
        producer: Identity,
        place: Place,
        enrols: bool,
        now: Instant,
    ) -> Result<(), ErrorCode> {
        self.reach(Key::Transaction(id), now).map_err(|_| ErrorCode::NOT_ENOUGH_REPLICAS)?;
        let outcome = if enrols {
            self.enrol(id, producer, vec![place], None, now)
        } else {
            self.with(id, |t, _| t.verify_partition(producer, &place))
        };
        outcome.map_err(|code| match code {
            ErrorCode::PRODUCER_FENCED => ErrorCode::INVALID_PRODUCER_EPOCH,
            // Producers of version 1 know this code from the coordinator only.
            ErrorCode::CONCURRENT_TRANSACTIONS if !enrols => ErrorCode::NOT_ENOUGH_REPLICAS,
            other => other,
        })
    }

    /// As [`admit_batch`](Self::admit_batch), for a group's offsets.
    pub(crate) fn admit_offsets(
        &mut self,
        id: &str,
        producer: Identity,
        group: &str,
        enrols: bool,
        now: Instant,
    ) -> Result<(), ErrorCode> {
        self.reach(Key::Transaction(id), now).map_err(|_| ErrorCode::COORDINATOR_NOT_AVAILABLE)?;
        let outcome = if enrols {
            self.enrol(id, producer, Vec::new(), Some(group), now)
        } else {
            self.with(id, |t, _| t.verify_group(producer, group))
        };
        outcome.map_err(|code| match code {
            ErrorCode::PRODUCER_FENCED => ErrorCode::INVALID_PRODUCER_EPOCH,
            ErrorCode::CONCURRENT_TRANSACTIONS if !enrols => ErrorCode::COORDINATOR_NOT_AVAILABLE,
            other => other,
        })
    }

    fn reach(&mut self, key: Key<'_>, now: Instant) -> Result<(), ErrorCode> {
        let of = self.circumstances(now);
        self.coordinators.seats.check_reachable(key, &of)
    }

    /// How the coordinator aborts when nobody asked it to.
    fn abort_by_itself(&self, now: Instant) -> End {
        End {
            commit: false,
            raises: self.transaction_version() >= RAISES_FROM,
            markers_due: clock::deadline(now, self.options.marker_delay),
        }
    }

    fn with<R>(
        &mut self,
        id: &str,
        act: impl FnOnce(&mut Transaction, &mut dyn FnMut() -> i64) -> Result<R, ErrorCode>,
    ) -> Result<R, ErrorCode> {
        let transaction = self.coordinators.transactions.get_mut(id);
        let transaction = transaction.ok_or(ErrorCode::INVALID_PRODUCER_ID_MAPPING)?;
        let ids = &mut self.next_producer;
        act(transaction, &mut || ids.take().0)
    }

    /// Does what is due by `now`: transactions that took too long are aborted, and markers are written.
    pub(crate) fn advance(&mut self, now: Instant) {
        if self.coordinators.transactions.is_empty() {
            return;
        }
        let late = |t: &Transaction| t.expires().is_some_and(|at| at <= now);
        let transactions = self.coordinators.transactions.iter();
        let expired: Vec<String> = transactions.filter(|(_, t)| late(t)).map(|(id, _)| id.clone()).collect();
        for id in expired {
            self.time_out_transaction(&id, now);
        }
        self.settle(now);
    }

    /// When [`advance`](Self::advance) has something to do, after `now`. Markers that wait for a leader have no time.
    pub(crate) fn next_event(&self, now: Instant) -> Option<Instant> {
        let events = self.coordinators.transactions.values().filter_map(Transaction::next_event);
        events.filter(|&at| at > now).min()
    }

    /// Writes the markers that are due, each as soon as its partition has a leader.
    fn settle(&mut self, now: Instant) {
        let ending = |(id, t): (&String, &Transaction)| Some((id.clone(), t.ends_with(now)?));
        let ended: Vec<(String, bool)> = self.coordinators.transactions.iter().filter_map(ending).collect();
        for (id, commit) in ended {
            self.write_markers(&id, commit);
        }
    }

    fn write_markers(&mut self, id: &str, commit: bool) {
        let Some(transaction) = self.coordinators.transactions.get_mut(id) else { return };
        let identity = transaction.identity();
        let groups = std::mem::take(&mut transaction.groups);
        for group in &groups {
            self.coordinators.groups.end(group, identity.0, commit);
        }
        let (topology, wall_ms, keep) = (&mut self.topology, self.wall_ms, self.keep);
        transaction.partitions.retain(|(topic, partition)| {
            // Nothing to mark where the topic is gone.
            let Some(partition) = topology.partition_mut(topic, *partition) else { return false };
            if partition.leader.is_none() {
                return true;
            }
            partition.log.append_marker(identity, commit, partition.leader_epoch, wall_ms, keep);
            false
        });
        if transaction.partitions.is_empty() {
            transaction.complete();
        }
    }
}
