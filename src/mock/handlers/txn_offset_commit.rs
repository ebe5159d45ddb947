//! TxnOffsetCommit: offsets that count if and when the transaction commits. KIP-98, KIP-447 (members), KIP-890 (from
//! version 5 on the group becomes part of the transaction with it).

use super::{Answer, Handler};
use crate::mock::coordinator::{CommittedOffset, Key, Member, RAISES_FROM};
use crate::mock::fault::{Plan, Target, When};
use crate::mock::journal::RequestBody;
use crate::mock::state::{Call, ClusterState};
use crate::protocol::ErrorCode;
use crate::protocol::messages::txn_offset_commit::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use crate::protocol::messages::{TxnOffsetCommitRequest, TxnOffsetCommitResponse};
use crate::sync::Arc;

/// The first version that enrols the group.
const ENROLS_FROM: i16 = 5;
/// The first version that knows TRANSACTION_ABORTABLE.
const ABORTABLE_FROM: i16 = 4;

impl Handler for TxnOffsetCommitRequest {
    fn targets(&self, _: &ClusterState) -> Vec<Target> {
        let partitions = self.topics.iter().flat_map(|t| {
            let topic: Arc<str> = Arc::from(t.name.as_str());
            t.partitions.iter().map(move |p| (Arc::clone(&topic), p.partition_index))
        });
        partitions.map(|(topic, p)| Target { topic, partition: Some(p) }).collect()
    }

    fn summary(&self, _: &ClusterState) -> RequestBody {
        let offsets = self.topics.iter().flat_map(|t| {
            t.partitions.iter().map(|p| (t.name.clone(), p.partition_index, p.committed_offset))
        });
        RequestBody::TxnOffsetCommit {
            transactional_id: self.transactional_id.clone(),
            group: self.group_id.clone(),
            offsets: offsets.collect(),
        }
    }

    fn answer(self, cluster: &mut ClusterState, call: &Call, plan: &Plan) -> Answer<TxnOffsetCommitResponse> {
        let whole = if plan.error(When::Before).is_some() && self.is_struck_whole(plan) {
            None
        } else {
            admit(cluster, call, &self).err()
        };
        let mut commit = |topic: &str, p: &TxnOffsetCommitRequestPartition| {
            let fault = |when| plan.error_for(when, topic, Some(p.partition_index)).map(|f| f.code);
            let refused = fault(When::Before).or(whole);
            if refused.is_none() {
                let epoch = p.committed_leader_epoch;
                let offset = CommittedOffset::new(p.committed_offset, epoch, p.committed_metadata.clone());
                let place = (topic.to_owned(), p.partition_index);
                let groups = &mut cluster.coordinators.groups;
                groups.commit_later(&self.group_id, self.producer_id, place, offset);
            }
            let error_code = refused.or_else(|| fault(When::After)).unwrap_or(ErrorCode::NONE);
            TxnOffsetCommitResponsePartition { partition_index: p.partition_index, error_code }
        };
        let topics = self.topics.iter().map(|t| TxnOffsetCommitResponseTopic {
            name: t.name.clone(),
            partitions: t.partitions.iter().map(|p| commit(&t.name, p)).collect(),
        });
        let topics = topics.collect();
        Answer::Respond(TxnOffsetCommitResponse { throttle_time_ms: plan.throttle_ms(), topics })
    }
}

impl TxnOffsetCommitRequest {
    /// Whether every partition meets a fault, so that nothing at all is done.
    fn is_struck_whole(&self, plan: &Plan) -> bool {
        let struck = |t: &str, p: i32| plan.error_for(When::Before, t, Some(p)).is_some();
        self.topics.iter().all(|t| t.partitions.iter().all(|p| struck(&t.name, p.partition_index)))
    }
}

fn admit(cluster: &mut ClusterState, call: &Call, request: &TxnOffsetCommitRequest) -> Result<(), ErrorCode> {
    if request.group_id.is_empty() {
        return Err(ErrorCode::INVALID_GROUP_ID);
    }
    cluster.check_coordinator(Key::Group(&request.group_id), call.node, call.now)?;
    let member = Member {
        generation: request.generation_id,
        id: &request.member_id,
        instance: request.group_instance_id.as_deref(),
    };
    cluster.coordinators.groups.check(&request.group_id, member)?;
    let enrols = call.version >= ENROLS_FROM;
    if enrols && cluster.transaction_version() < RAISES_FROM {
        let what = format!("TxnOffsetCommit v{} in a transaction of version 1", call.version);
        cluster.violation(format!("connection {}: {what}", call.connection));
    }
    let producer = (request.producer_id, request.producer_epoch);
    let outcome =
        cluster.admit_offsets(&request.transactional_id, producer, &request.group_id, enrols, call.now);
    outcome.map_err(|code| match code {
        ErrorCode::TRANSACTION_ABORTABLE if call.version < ABORTABLE_FROM => ErrorCode::INVALID_TXN_STATE,
        code => code,
    })
}
