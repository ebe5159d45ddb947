//! FindCoordinator: which broker keeps a group's offsets, or a transactional id. KIP-98, KIP-699 (several keys).
//!
//! Any broker answers. Not implemented: share groups.

use super::{Answer, Handler, struck};
use crate::mock::coordinator::Key;
use crate::mock::fault::Plan;
use crate::mock::journal::RequestBody;
use crate::mock::state::{Call, ClusterState};
use crate::protocol::ErrorCode;
use crate::protocol::messages::find_coordinator::Coordinator;
use crate::protocol::messages::{FindCoordinatorRequest, FindCoordinatorResponse};

/// The first version that asks for several keys, and answers each.
const MANY_KEYS: i16 = 4;
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

impl Handler for FindCoordinatorRequest {
    fn summary(&self, _: &ClusterState) -> RequestBody {
        let one = (!self.key.is_empty()).then(|| self.key.clone());
        RequestBody::FindCoordinator {
            transactional: self.key_type == TRANSACTION,
            keys: one.into_iter().chain(self.coordinator_keys.iter().cloned()).collect(),
        }
    }

    fn answer(self, cluster: &mut ClusterState, call: &Call, plan: &Plan) -> Answer<FindCoordinatorResponse> {
        let kind = self.key_type;
        let throttle_time_ms = plan.throttle_ms();
        if call.version >= MANY_KEYS {
            let coordinators =
                self.coordinator_keys.into_iter().map(|k| find(cluster, call, plan, kind, k)).collect();
            return Answer::Respond(FindCoordinatorResponse {
                throttle_time_ms,
                coordinators,
                ..FindCoordinatorResponse::default()
            });
        }
        let Coordinator { node_id, host, port, error_code, error_message, .. } =
            find(cluster, call, plan, kind, self.key);
        Answer::Respond(FindCoordinatorResponse {
            throttle_time_ms,
            error_code,
            error_message,
            node_id,
            host,
            port,
            ..FindCoordinatorResponse::default()
        })
    }
}

fn find(cluster: &mut ClusterState, call: &Call, plan: &Plan, kind: i8, key: String) -> Coordinator {
    let found = struck(plan, || {
        let of = match kind {
            GROUP => Key::Group(&key),
            TRANSACTION if !key.is_empty() => Key::Transaction(&key),
            _ => return Err(ErrorCode::INVALID_REQUEST),
        };
        let node = cluster.coordinator(of, call.now);
        node.and_then(|id| cluster.topology.node(id).cloned()).ok_or(ErrorCode::COORDINATOR_NOT_AVAILABLE)
    });
    match found {
        Ok(node) => Coordinator {
            key,
            node_id: node.id,
            host: node.host,
            port: i32::from(node.port),
            ..Coordinator::default()
        },
        Err(error_code) => Coordinator {
            key,
            node_id: -1,
            port: -1,
            error_code,
            error_message: Some(error_code.to_string()),
            ..Coordinator::default()
        },
    }
}
