//! InitProducerId: always a fresh id for producers without transactions; the next epoch of a transactional id. KIP-98,
//! KIP-360 (id and epoch in the request), KIP-588 (PRODUCER_FENCED).

use super::{Answer, Handler, fenced, struck};
use crate::mock::coordinator::Key;
use crate::mock::fault::Plan;
use crate::mock::journal::RequestBody;
use crate::mock::state::{Call, ClusterState};
use crate::protocol::ErrorCode;
use crate::protocol::messages::{InitProducerIdRequest, InitProducerIdResponse};

/// The first version that knows PRODUCER_FENCED.
const FENCED_FROM: i16 = 4;

impl Handler for InitProducerIdRequest {
    fn summary(&self, _: &ClusterState) -> RequestBody {
        RequestBody::InitProducerId {
            transactional_id: self.transactional_id.clone(),
            producer_id: (self.producer_id >= 0).then_some(self.producer_id),
        }
    }

    fn answer(self, cluster: &mut ClusterState, call: &Call, plan: &Plan) -> Answer<InitProducerIdResponse> {
        let outcome = struck(plan, || init(cluster, call, &self));
        let throttle_time_ms = plan.throttle_ms();
        Answer::Respond(match outcome {
            Ok((producer_id, producer_epoch)) => InitProducerIdResponse {
                throttle_time_ms,
                error_code: ErrorCode::NONE,
                producer_id,
                producer_epoch,
            },
            Err(error_code) => {
                let error_code = fenced(error_code, call.version, FENCED_FROM);
                InitProducerIdResponse { throttle_time_ms, error_code, producer_id: -1, producer_epoch: -1 }
            }
        })
    }
}

fn init(
    cluster: &mut ClusterState,
    call: &Call,
    request: &InitProducerIdRequest,
) -> Result<(i64, i16), ErrorCode> {
    let id = match request.transactional_id.as_deref() {
        // A broker ignores the id and epoch of a producer without transactions.
        None => return Ok(cluster.new_producer()),
        Some("") => return Err(ErrorCode::INVALID_REQUEST),
        Some(id) => id,
    };
    cluster.check_coordinator(Key::Transaction(id), call.node, call.now)?;
    let expected = match (request.producer_id, request.producer_epoch) {
        (-1, -1) => None,
        (-1, _) | (_, -1) => return Err(ErrorCode::INVALID_REQUEST),
        identity => Some(identity),
    };
    cluster.init_transaction(id, request.transaction_timeout_ms, expected, call.now)
}
