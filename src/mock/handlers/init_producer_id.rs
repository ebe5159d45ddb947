//! InitProducerId for producers without transactions: always a fresh id. KIP-98, KIP-360.
//!
//! Not implemented: transactional ids, which would need a coordinator; they are told that there is none.

use super::{Answer, Handler};
use crate::mock::fault::{Plan, When};
use crate::mock::journal::RequestBody;
use crate::mock::state::{Call, ClusterState};
use crate::protocol::ErrorCode;
use crate::protocol::messages::{InitProducerIdRequest, InitProducerIdResponse};

impl Handler for InitProducerIdRequest {
    fn summary(&self, _: &ClusterState) -> RequestBody {
        RequestBody::InitProducerId {
            transactional_id: self.transactional_id.clone(),
            producer_id: (self.producer_id >= 0).then_some(self.producer_id),
        }
    }

    fn answer(self, cluster: &mut ClusterState, _: &Call, plan: &Plan) -> Answer<InitProducerIdResponse> {
        let outcome = if let Some(fault) = plan.error(When::Before) {
            Err(fault.code)
        } else {
            match self.transactional_id.as_deref() {
                // A broker ignores the id and epoch of a producer without transactions.
                None => Ok(cluster.new_producer()),
                Some("") => Err(ErrorCode::INVALID_REQUEST),
                Some(_) => Err(ErrorCode::COORDINATOR_NOT_AVAILABLE),
            }
        };
        let outcome = match plan.error(When::After) {
            Some(fault) => outcome.and(Err(fault.code)),
            None => outcome,
        };
        let throttle_time_ms = plan.throttle_ms();
        Answer::Respond(match outcome {
            Ok((producer_id, producer_epoch)) => InitProducerIdResponse {
                throttle_time_ms,
                error_code: ErrorCode::NONE,
                producer_id,
                producer_epoch,
            },
            Err(error_code) => {
                InitProducerIdResponse { throttle_time_ms, error_code, producer_id: -1, producer_epoch: -1 }
            }
        })
    }
}
