//! FindCoordinator: there is none. KIP-98, KIP-699.
//!
//! Served because clients take its presence as a sign of what a broker can do: librdkafka compresses with lz4 only where
//! it is there. Not implemented: coordinators; every key is answered with COORDINATOR_NOT_AVAILABLE.

use super::{Answer, Handler};
use crate::mock::fault::{Plan, When};
use crate::mock::state::{Call, ClusterState};
use crate::protocol::ErrorCode;
use crate::protocol::messages::find_coordinator::Coordinator;
use crate::protocol::messages::{FindCoordinatorRequest, FindCoordinatorResponse};

/// The first version that asks for several keys, and answers each.
const MANY_KEYS: i16 = 4;

impl Handler for FindCoordinatorRequest {
    fn answer(self, _: &mut ClusterState, call: &Call, plan: &Plan) -> Answer<FindCoordinatorResponse> {
        let fault = plan.error(When::Before).or_else(|| plan.error(When::After));
        let error_code = fault.map_or(ErrorCode::COORDINATOR_NOT_AVAILABLE, |f| f.code);
        let nobody =
            |key: String| Coordinator { key, node_id: -1, port: -1, error_code, ..Coordinator::default() };
        let throttle_time_ms = plan.throttle_ms();
        Answer::Respond(if call.version < MANY_KEYS {
            FindCoordinatorResponse {
                throttle_time_ms,
                error_code,
                node_id: -1,
                port: -1,
                ..FindCoordinatorResponse::default()
            }
        } else {
            let coordinators = self.coordinator_keys.into_iter().map(nobody).collect();
            FindCoordinatorResponse { throttle_time_ms, coordinators, ..FindCoordinatorResponse::default() }
        })
    }
}
