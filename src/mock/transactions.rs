//! [`MockCluster`]: transactions and consumer groups' offsets, as tests see and change them.
//!
//! Runs on the caller's thread; each call takes the state's lock briefly.

use super::MockCluster;
use super::coordinator::{CommittedOffset, Key, Transaction, TransactionState};
use super::stored::StoredRecord;
use crate::clock;
use crate::protocol::ErrorCode;
use std::time::Duration;

/// What the coordinator of a [`MockCluster`] knows of a transactional id.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransactionInfo {
    /// Where its transaction stands.
    pub state: TransactionState,
    /// The producer id in use.
    pub producer_id: i64,
    /// The epoch in use; lower ones are fenced.
    pub producer_epoch: i16,
    /// After how long an open transaction is aborted.
    pub timeout: Duration,
    /// Topics and partitions of the transaction that have no marker yet, sorted.
    pub partitions: Vec<(String, i32)>,
    /// The groups whose offsets are part of the transaction, sorted.
    pub groups: Vec<String>,
}

impl TransactionInfo {
    fn of(transaction: &Transaction) -> Self {
        let partitions = transaction.partitions.iter().map(|(topic, p)| (topic.to_string(), *p));
        Self {
            state: transaction.state,
            producer_id: transaction.producer_id,
            producer_epoch: transaction.epoch,
            timeout: transaction.timeout,
            partitions: partitions.collect(),
            groups: transaction.groups.iter().map(|g| g.to_string()).collect(),
        }
    }
}

impl MockCluster {
    // ---- reading back ---------------------------------------------------------------------------------------------

    /// The records of a partition as a reader of committed records sees them: nothing that was aborted, and nothing at
    /// or behind the first record of an open transaction. None if there is no such partition, or in discard mode.
    pub fn committed_records(&self, topic: &str, partition: i32) -> Vec<StoredRecord> {
        let state = self.settled();
        state.topology.partition(topic, partition).map_or_else(Vec::new, |p| p.log.committed_records())
    }

    /// Where a reader of committed records has to stop: at the first record of the oldest open transaction, or at the
    /// end. `None` if there is no such partition.
    pub fn last_stable_offset(&self, topic: &str, partition: i32) -> Option<i64> {
        self.settled().topology.partition(topic, partition).map(|p| p.log.last_stable_offset())
    }

    // ---- transactions ---------------------------------------------------------------------------------------------

    /// What is known of a transactional id; `None` if no producer has initialised it. Kept while brokers stop and start.
    pub fn transaction(&self, transactional_id: &str) -> Option<TransactionInfo> {
        self.settled().transaction(transactional_id).map(TransactionInfo::of)
    }

    /// Takes a transactional id over, as a second producer with the same id does: its open transaction is aborted, and
    /// whoever used it so far is fenced.
    ///
    /// # Errors
    /// TRANSACTIONAL_ID_NOT_FOUND if no producer has initialised it; CONCURRENT_TRANSACTIONS if the markers of a
    /// transaction are not written yet: the producer is fenced, and its next epoch is not given out.
    pub fn fence(&self, transactional_id: &str) -> Result<(), ErrorCode> {
        self.change(|s| s.fence_transaction(transactional_id, clock::now()).map(|_| ()))
    }

    /// Aborts an open transaction as if its timeout had passed, and says whether there was one. The producer is fenced,
    /// or, with transaction version 2, may abort once more and go on.
    pub fn time_out_transaction(&self, transactional_id: &str) -> bool {
        self.change(|s| s.time_out_transaction(transactional_id, clock::now()))
    }

    /// The broker that coordinates a transactional id; `None` if no broker runs.
    pub fn transaction_coordinator(&self, transactional_id: &str) -> Option<i32> {
        self.settled().coordinator(Key::Transaction(transactional_id), clock::now())
    }

    /// Moves the coordinator of a transactional id to a running broker. The old one answers NOT_COORDINATOR, the new
    /// one COORDINATOR_LOAD_IN_PROGRESS for as long as
    /// [`set_coordinator_load_time`](Self::set_coordinator_load_time) says. Moving it to where it is makes it load again.
    ///
    /// # Errors
    /// BROKER_NOT_AVAILABLE if the broker is stopped or does not exist.
    pub fn move_coordinator(&self, transactional_id: &str, node: i32) -> Result<(), ErrorCode> {
        self.change(|s| s.move_coordinator(Key::Transaction(transactional_id), node, clock::now()))
    }

    /// How long a coordinator loads once it has moved, from the next move on. Default: zero.
    pub fn set_coordinator_load_time(&self, time: Duration) {
        self.change(|s| s.options.coordinator_load_time = time);
    }

    /// How long after a transaction's end its markers are written, from the next end on. Until then its records are not
    /// readable as committed ones, and whoever goes on with the transactional id is told CONCURRENT_TRANSACTIONS.
    /// Default: zero.
    pub fn set_marker_delay(&self, delay: Duration) {
        self.change(|s| s.options.marker_delay = delay);
    }

    /// Changes the feature `transaction.version`, as an upgrade or a downgrade of the cluster does. Connections opened
    /// from now on are told.
    ///
    /// # Errors
    /// UNSUPPORTED_VERSION if the release does not have that level.
    pub fn set_transaction_version(&self, level: i16) -> Result<(), ErrorCode> {
        self.change(|s| s.set_transaction_version(level))
    }

    // ---- consumer groups ------------------------------------------------------------------------------------------

    /// The offset that a group has committed for a partition; those of open and aborted transactions do not count.
    pub fn committed_offset(&self, group: &str, topic: &str, partition: i32) -> Option<CommittedOffset> {
        self.settled().coordinators.groups.committed(group, topic, partition).cloned()
    }

    /// Sets a group's offset, as a consumer's commit does.
    pub fn set_committed_offset(&self, group: &str, topic: &str, partition: i32, offset: i64) {
        let committed = CommittedOffset::new(offset, -1, None);
        self.change(|s| s.coordinators.groups.commit(group, (topic.to_owned(), partition), committed));
    }

    /// Makes somebody a member of a group. From then on the group takes offsets of its members in their generation only
    /// (ILLEGAL_GENERATION, UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID for others), and of those that name no member at all;
    /// a group without members takes them from everybody. Another generation than before begins without members.
    pub fn set_group_member(&self, group: &str, generation: i32, member: &str, instance: Option<&str>) {
        self.change(|s| s.coordinators.groups.set_member(group, generation, member, instance));
    }

    /// The broker that coordinates a group; `None` if no broker runs.
    pub fn group_coordinator(&self, group: &str) -> Option<i32> {
        self.settled().coordinator(Key::Group(group), clock::now())
    }

    /// As [`move_coordinator`](Self::move_coordinator), for a group.
    ///
    /// # Errors
    /// BROKER_NOT_AVAILABLE if the broker is stopped or does not exist.
    pub fn move_group_coordinator(&self, group: &str, node: i32) -> Result<(), ErrorCode> {
        self.change(|s| s.move_coordinator(Key::Group(group), node, clock::now()))
    }
}
