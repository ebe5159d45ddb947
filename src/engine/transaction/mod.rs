//! Transactions: the state machine, the coordinators, and what the sender thread does for both.

mod port;
mod state;

pub(crate) use port::TransactionPort;

use std::time::Duration;

/// What a transactional producer is told; see `transactional.id` and `transaction.timeout.ms`.
#[derive(Clone, Debug)]
pub(crate) struct TransactionSettings {
    pub(crate) id: String,
    pub(crate) timeout: Duration,
}
