//! EndTxn: commits or aborts; from version 5 on each end raises the epoch. KIP-98, KIP-588, KIP-890.

use super::{Answer, Handler, fenced, struck};
use crate::mock::coordinator::{Key, RAISES_FROM};
use crate::mock::fault::Plan;
use crate::mock::journal::RequestBody;
use crate::mock::state::{Call, ClusterState};
use crate::protocol::ErrorCode;
use crate::protocol::messages::{EndTxnRequest, EndTxnResponse};

/// The first version that knows PRODUCER_FENCED.
const FENCED_FROM: i16 = 2;
/// The first version that belongs to transactions of version 2.
const EPOCH_FROM: i16 = 5;

impl Handler for EndTxnRequest {
    fn summary(&self, _: &ClusterState) -> RequestBody {
        RequestBody::EndTxn {
            transactional_id: self.transactional_id.clone(),
            producer_id: self.producer_id,
            producer_epoch: self.producer_epoch,
            commit: self.committed,
        }
    }

    fn answer(self, cluster: &mut ClusterState, call: &Call, plan: &Plan) -> Answer<EndTxnResponse> {
        let raises = call.version >= EPOCH_FROM;
        if raises && cluster.transaction_version() < RAISES_FROM {
            let what = format!("EndTxn v{} ends a transaction of version 1", call.version);
            cluster.violation(format!("connection {}: {what}", call.connection));
        }
        let outcome = struck(plan, || {
            let id = self.transactional_id.as_str();
            cluster.check_coordinator(Key::Transaction(id), call.node, call.now)?;
            let producer = (self.producer_id, self.producer_epoch);
            cluster.end_transaction(id, producer, self.committed, raises, call.now)
        });
        let (producer_id, producer_epoch) = outcome.unwrap_or((-1, -1));
        let code = outcome.err().unwrap_or(ErrorCode::NONE);
        Answer::Respond(EndTxnResponse {
            throttle_time_ms: plan.throttle_ms(),
            error_code: fenced(code, call.version, FENCED_FROM),
            producer_id,
            producer_epoch,
        })
    }
}
