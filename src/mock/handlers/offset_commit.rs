//! OffsetCommit: a group's offsets, outside of transactions. KIP-98, KIP-345 (static members).

use super::{Answer, Handler};
use crate::mock::coordinator::{CommittedOffset, Key, Member};
use crate::mock::fault::{Plan, Target, When};
use crate::mock::state::{Call, ClusterState};
use crate::protocol::ErrorCode;
use crate::protocol::messages::offset_commit::{
    OffsetCommitRequestPartition, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use crate::protocol::messages::{OffsetCommitRequest, OffsetCommitResponse};
use crate::sync::Arc;

impl Handler for OffsetCommitRequest {
    fn targets(&self, _: &ClusterState) -> Vec<Target> {
        let partitions = self.topics.iter().flat_map(|t| {
            let topic: Arc<str> = Arc::from(t.name.as_str());
            t.partitions.iter().map(move |p| (Arc::clone(&topic), p.partition_index))
        });
        partitions.map(|(topic, p)| Target { topic, partition: Some(p) }).collect()
    }

    fn answer(self, cluster: &mut ClusterState, call: &Call, plan: &Plan) -> Answer<OffsetCommitResponse> {
        let whole = admit(cluster, call, &self).err();
        let mut commit = |topic: &str, p: &OffsetCommitRequestPartition| {
            let fault = |when| plan.error_for(when, topic, Some(p.partition_index)).map(|f| f.code);
            let unknown = cluster.topology.partition(topic, p.partition_index).is_none();
            let unknown = unknown.then_some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
            let refused = fault(When::Before).or(whole).or(unknown);
            if refused.is_none() {
                let epoch = p.committed_leader_epoch;
                let offset = CommittedOffset::new(p.committed_offset, epoch, p.committed_metadata.clone());
                let place = (topic.to_owned(), p.partition_index);
                cluster.coordinators.groups.commit(&self.group_id, place, offset);
            }
            let error_code = refused.or_else(|| fault(When::After)).unwrap_or(ErrorCode::NONE);
            OffsetCommitResponsePartition { partition_index: p.partition_index, error_code }
        };
        let topics = self.topics.iter().map(|t| OffsetCommitResponseTopic {
            name: t.name.clone(),
            partitions: t.partitions.iter().map(|p| commit(&t.name, p)).collect(),
        });
        let topics = topics.collect();
        Answer::Respond(OffsetCommitResponse { throttle_time_ms: plan.throttle_ms(), topics })
    }
}

fn admit(cluster: &mut ClusterState, call: &Call, request: &OffsetCommitRequest) -> Result<(), ErrorCode> {
    if request.group_id.is_empty() {
        return Err(ErrorCode::INVALID_GROUP_ID);
    }
    cluster.check_coordinator(Key::Group(&request.group_id), call.node, call.now)?;
    let member = Member {
        generation: request.generation_id_or_member_epoch,
        id: &request.member_id,
        instance: request.group_instance_id.as_deref(),
    };
    cluster.coordinators.groups.check(&request.group_id, member)
}
