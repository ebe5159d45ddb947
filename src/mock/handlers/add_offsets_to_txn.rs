//! AddOffsetsToTxn: a group's offsets become part of a transaction. KIP-98; version 1 of transactions only.

use super::{Answer, Handler, fenced, struck};
use crate::mock::coordinator::Key;
use crate::mock::fault::Plan;
use crate::mock::journal::RequestBody;
use crate::mock::state::{Call, ClusterState};
use crate::protocol::ErrorCode;
use crate::protocol::messages::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};

/// The first version that knows PRODUCER_FENCED.
const FENCED_FROM: i16 = 2;

impl Handler for AddOffsetsToTxnRequest {
    fn summary(&self, _: &ClusterState) -> RequestBody {
        RequestBody::AddOffsetsToTxn {
            transactional_id: self.transactional_id.clone(),
            group: self.group_id.clone(),
        }
    }

    fn answer(self, cluster: &mut ClusterState, call: &Call, plan: &Plan) -> Answer<AddOffsetsToTxnResponse> {
        let outcome = struck(plan, || {
            let id = self.transactional_id.as_str();
            cluster.check_coordinator(Key::Transaction(id), call.node, call.now)?;
            let producer = (self.producer_id, self.producer_epoch);
            cluster.enrol(id, producer, Vec::new(), Some(&self.group_id), call.now)
        });
        let code = outcome.err().unwrap_or(ErrorCode::NONE);
        Answer::Respond(AddOffsetsToTxnResponse {
            throttle_time_ms: plan.throttle_ms(),
            error_code: fenced(code, call.version, FENCED_FROM),
        })
    }
}
