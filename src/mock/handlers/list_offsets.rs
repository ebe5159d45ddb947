//! ListOffsets: first, last, and by time, so that consumers with assigned partitions can start. KIP-98 (the last stable
//! offset is the last one for readers of committed records), KIP-734 (the record of the highest time).

use super::{Answer, Handler};
use crate::mock::fault::{Plan, Target, When};
use crate::mock::state::{Call, ClusterState};
use crate::protocol::ErrorCode;
use crate::protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use crate::protocol::messages::{ListOffsetsRequest, ListOffsetsResponse};
use crate::sync::Arc;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
const READ_COMMITTED: i8 = 1;
/// The first version that tells a leader's epoch.
const EPOCHS_FROM: i16 = 4;

impl Handler for ListOffsetsRequest {
    fn targets(&self, _: &ClusterState) -> Vec<Target> {
        let mut targets = Vec::new();
        for topic in &self.topics {
            let name: Arc<str> = Arc::from(topic.name.as_str());
            let one = |p: &ListOffsetsPartition| Target {
                topic: Arc::clone(&name),
                partition: Some(p.partition_index),
            };
            targets.extend(topic.partitions.iter().map(one));
        }
        targets
    }

    fn answer(self, cluster: &mut ClusterState, call: &Call, plan: &Plan) -> Answer<ListOffsetsResponse> {
        let committed = self.isolation_level == READ_COMMITTED;
        let mut topics = Vec::with_capacity(self.topics.len());
        for topic in self.topics {
            let look_up = |p| look_up(cluster, call, plan, &topic.name, p, committed);
            let partitions = topic.partitions.iter().map(look_up).collect();
            topics.push(ListOffsetsTopicResponse { name: topic.name, partitions });
        }
        Answer::Respond(ListOffsetsResponse { throttle_time_ms: plan.throttle_ms(), topics })
    }
}

fn look_up(
    cluster: &ClusterState,
    call: &Call,
    plan: &Plan,
    topic: &str,
    wanted: &ListOffsetsPartition,
    committed: bool,
) -> ListOffsetsPartitionResponse {
    let base = ListOffsetsPartitionResponse { partition_index: wanted.partition_index, ..Default::default() };
    let fault = [When::Before, When::After]
        .into_iter()
        .find_map(|when| plan.error_for(when, topic, Some(wanted.partition_index)));
    if let Some(fault) = fault {
        return ListOffsetsPartitionResponse { error_code: fault.code, ..base };
    }
    let Some(partition) = cluster.topology.partition(topic, wanted.partition_index) else {
        return ListOffsetsPartitionResponse { error_code: ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, ..base };
    };
    if partition.leader != Some(call.node) {
        return ListOffsetsPartitionResponse { error_code: ErrorCode::NOT_LEADER_OR_FOLLOWER, ..base };
    }
    let (offset, timestamp) = match wanted.timestamp {
        LATEST if committed => (partition.log.last_stable_offset(), -1),
        LATEST => (partition.log.end_offset(), -1),
        EARLIEST | EARLIEST_LOCAL => (partition.log.start_offset(), -1),
        MAX_TIMESTAMP => partition.log.offset_of_max_time().unwrap_or((-1, -1)),
        LATEST_TIERED => (-1, -1),
        time => partition.log.offset_for_time(time).unwrap_or((-1, -1)),
    };
    let leader_epoch = if call.version >= EPOCHS_FROM { partition.leader_epoch } else { -1 };
    ListOffsetsPartitionResponse { timestamp, offset, leader_epoch, ..base }
}
