//! What a broker answers, one file per API.
//!
//! Each handler gets a decoded request and the cluster's state, under the lock that guards the state; it does no I/O and
//! reads no clock. Not implemented, and not advertised: transactions, consumer groups (nobody coordinates them), SASL, ACLs, quotas, configs.

pub(super) mod api_versions;
mod create_topics;
mod delete_topics;
mod describe_cluster;
mod fetch;
mod find_coordinator;
mod init_producer_id;
mod list_offsets;
mod metadata;
mod produce;

use super::fault::{Plan, Target};
use super::journal::RequestBody;
use super::state::{Call, ClusterState};
use crate::protocol::Request;
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

/// -1 is the wire's word for "nobody".
fn id_or_none(node: Option<i32>) -> i32 {
    node.unwrap_or(-1)
}
