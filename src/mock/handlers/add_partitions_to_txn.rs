//! AddPartitionsToTxn: all of the partitions become part of a transaction, or none. KIP-98; version 1 of transactions
//! only.

use super::{Answer, Handler, fenced};
use crate::mock::coordinator::Key;
use crate::mock::fault::{Plan, Target, When};
use crate::mock::journal::RequestBody;
use crate::mock::state::{Call, ClusterState};
use crate::protocol::ErrorCode;
use crate::protocol::messages::add_partitions_to_txn::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult,
};
use crate::protocol::messages::{AddPartitionsToTxnRequest, AddPartitionsToTxnResponse};
use crate::sync::Arc;

/// The first version that knows PRODUCER_FENCED.
const FENCED_FROM: i16 = 2;

impl Handler for AddPartitionsToTxnRequest {
    fn targets(&self, _: &ClusterState) -> Vec<Target> {
        let target = |(topic, partition)| Target { topic, partition: Some(partition) };
        places(self).into_iter().map(target).collect()
    }

    fn summary(&self, _: &ClusterState) -> RequestBody {
        let partitions = places(self).into_iter().map(|(topic, p)| (topic.to_string(), p)).collect();
        RequestBody::AddPartitionsToTxn { transactional_id: self.transactional_id.clone(), partitions }
    }

    fn answer(
        self,
        cluster: &mut ClusterState,
        call: &Call,
        plan: &Plan,
    ) -> Answer<AddPartitionsToTxnResponse> {
        let refused = |cluster: &ClusterState, topic: &str, partition: i32| {
            let fault = plan.error_for(When::Before, topic, Some(partition)).map(|f| f.code);
            let unknown = cluster.topology.partition(topic, partition).is_none();
            fault.or_else(|| unknown.then_some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION))
        };
        let places = places(&self);
        let whole = if places.iter().any(|(topic, p)| refused(cluster, topic, *p).is_some()) {
            ErrorCode::OPERATION_NOT_ATTEMPTED
        } else {
            let outcome = enrol(cluster, call, &self, places);
            fenced(outcome.err().unwrap_or(ErrorCode::NONE), call.version, FENCED_FROM)
        };
        let result = |topic: &str, partition_index: i32| {
            let after = plan.error_for(When::After, topic, Some(partition_index)).map(|f| f.code);
            let own = refused(cluster, topic, partition_index).or(after);
            AddPartitionsToTxnPartitionResult { partition_index, partition_error_code: own.unwrap_or(whole) }
        };
        let topics = self.topics.iter().map(|topic| AddPartitionsToTxnTopicResult {
            name: topic.name.clone(),
            results_by_partition: topic.partitions.iter().map(|&p| result(&topic.name, p)).collect(),
        });
        Answer::Respond(AddPartitionsToTxnResponse {
            throttle_time_ms: plan.throttle_ms(),
            results_by_topic: topics.collect(),
        })
    }
}

fn places(request: &AddPartitionsToTxnRequest) -> Vec<(Arc<str>, i32)> {
    let topics = request.topics.iter().map(|t| (Arc::<str>::from(t.name.as_str()), &t.partitions));
    topics.flat_map(|(topic, all)| all.iter().map(move |&p| (Arc::clone(&topic), p))).collect()
}

fn enrol(
    cluster: &mut ClusterState,
    call: &Call,
    request: &AddPartitionsToTxnRequest,
    places: Vec<(Arc<str>, i32)>,
) -> Result<(), ErrorCode> {
    let id = request.transactional_id.as_str();
    cluster.check_coordinator(Key::Transaction(id), call.node, call.now)?;
    cluster.enrol(id, (request.producer_id, request.producer_epoch), places, None, call.now)
}
