//! What a broker answers, one file per API.
//!
//! Each handler gets a decoded request and the cluster's state, under the lock that guards the state; it does no I/O and
//! reads no clock. Not implemented, and not advertised: members of consumer groups, SASL, ACLs, quotas, configs.

mod add_offsets_to_txn;
mod add_partitions_to_txn;
pub(super) mod api_versions;
mod create_topics;
mod delete_topics;
mod describe_cluster;
mod end_txn;
mod fetch;
mod find_coordinator;
mod init_producer_id;
mod list_offsets;
mod metadata;
mod offset_commit;
mod offset_fetch;
mod produce;
mod txn_offset_commit;

use super::fault::{Plan, Target, When};
use super::journal::RequestBody;
use super::state::{Call, ClusterState};
use crate::protocol::{ErrorCode, Request};
use std::time::Duration;

/// What a handler wants done.
pub(super) enum Answer<R> {
    Respond(R),
    /// The broker waits for something that does not come, then answers.
    RespondAfter(R, Duration),
    /// As `acks=0` asks for.
    Silence,
    HangUp,
}

/// The broker's side of one API.
pub(super) trait Handler: Request {
    /// The topics and partitions that the request names, for faults.
    fn targets(&self, _cluster: &ClusterState) -> Vec<Target> {
        Vec::new()
    }

    /// For the journal.
    fn summary(&self, _cluster: &ClusterState) -> RequestBody {
        RequestBody::Other
    }

    /// Does what is asked, except where `plan` says otherwise.
    fn answer(self, cluster: &mut ClusterState, call: &Call, plan: &Plan) -> Answer<Self::Response>;
}

/// Does what is asked unless a fault says otherwise; for requests that have one outcome.
fn struck<R>(plan: &Plan, act: impl FnOnce() -> Result<R, ErrorCode>) -> Result<R, ErrorCode> {
    if let Some(fault) = plan.error(When::Before) {
        return Err(fault.code);
    }
    let outcome = act();
    match plan.error(When::After) {
        Some(fault) => outcome.and(Err(fault.code)),
        None => outcome,
    }
}

/// Versions below `from` know a fenced producer by another code (KIP-588).
fn fenced(code: ErrorCode, version: i16, from: i16) -> ErrorCode {
    if code == ErrorCode::PRODUCER_FENCED && version < from {
        ErrorCode::INVALID_PRODUCER_EPOCH
    } else {
        code
    }
}

/// -1 is the wire's word for "nobody".
fn id_or_none(node: Option<i32>) -> i32 {
    node.unwrap_or(-1)
}
