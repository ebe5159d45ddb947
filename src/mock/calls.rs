//! What a [`MockProducer`](super::MockProducer) was asked to do, and which calls the test wants to fail.
//!
//! Plain data under the mock's lock.

use std::collections::HashMap;

use crate::error::Error;

/// A call that [`MockProducer::fail_on`](super::MockProducer::fail_on) can make fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// `send`, `try_send`, `send_with` and `send_all`, each record.
    Send,
    /// `flush` and `flush_timeout`.
    Flush,
    /// `partitions_for`.
    PartitionsFor,
    /// `close` and `close_timeout`.
    Close,
    /// `init_transactions`.
    InitTransactions,
    /// `begin_transaction`.
    BeginTransaction,
    /// `send_offsets_to_transaction`.
    SendOffsets,
    /// `commit_transaction`.
    CommitTransaction,
    /// `abort_transaction`, and the abort that a dropped guard asks for.
    AbortTransaction,
}

#[derive(Debug, Default)]
pub(super) struct Calls {
    counts: HashMap<Operation, u64>,
    failures: HashMap<Operation, (u64, Error)>,
    records: Option<Error>,
}

impl Calls {
    /// Counts a call; `Err` if it is to fail.
    pub(super) fn begin(&mut self, operation: Operation) -> Result<(), Error> {
        *self.counts.entry(operation).or_default() += 1;
        match self.failures.get_mut(&operation) {
            Some((left, error)) if *left > 0 => {
                *left -= 1;
                Err(error.clone())
            }
            _ => Ok(()),
        }
    }

    pub(super) fn fail(&mut self, operation: Operation, times: u64, error: Error) {
        self.failures.insert(operation, (times, error));
    }

    pub(super) fn fail_records(&mut self, error: Error) {
        self.records = Some(error);
    }

    /// What becomes of a record that is acknowledged at once otherwise.
    pub(super) fn record_failure(&self) -> Option<Error> {
        self.records.clone()
    }

    pub(super) fn heal(&mut self) {
        self.failures.clear();
        self.records = None;
    }

    pub(super) fn count(&self, operation: Operation) -> u64 {
        self.counts.get(&operation).copied().unwrap_or(0)
    }
}
