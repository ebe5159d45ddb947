//! OffsetFetch: the offsets that groups have committed. KIP-447 (stable ones only, if asked), KIP-709 (several groups).

use super::{Answer, Handler};
use crate::mock::coordinator::Key;
use crate::mock::fault::{Plan, Target, When};
use crate::mock::state::{Call, ClusterState};
use crate::protocol::ErrorCode;
use crate::protocol::messages::offset_fetch::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchResponseGroup, OffsetFetchResponsePartition,
    OffsetFetchResponseTopic,
};
use crate::protocol::messages::{OffsetFetchRequest, OffsetFetchResponse};
use crate::sync::Arc;
use std::collections::BTreeMap;

/// The first version that asks for several groups.
const MANY_GROUPS: i16 = 8;
/// The first version with a code for the whole group.
const GROUP_CODE_FROM: i16 = 2;

impl Handler for OffsetFetchRequest {
    fn targets(&self, _: &ClusterState) -> Vec<Target> {
        let groups = self.groups.iter().flat_map(|g| g.topics.iter().flatten());
        let topics = self.topics.iter().flatten().chain(groups);
        let partitions = topics.flat_map(|t| {
            let topic: Arc<str> = Arc::from(t.name.as_str());
            t.partition_indexes.iter().map(move |&p| (Arc::clone(&topic), p))
        });
        partitions.map(|(topic, p)| Target { topic, partition: Some(p) }).collect()
    }

    fn answer(self, cluster: &mut ClusterState, call: &Call, plan: &Plan) -> Answer<OffsetFetchResponse> {
        let stable = self.require_stable;
        let throttle_time_ms = plan.throttle_ms();
        if call.version >= MANY_GROUPS {
            let groups = self.groups.iter().map(|g| one_group(cluster, call, plan, g, stable)).collect();
            return Answer::Respond(OffsetFetchResponse { throttle_time_ms, groups, ..Default::default() });
        }
        let group = OffsetFetchRequestGroup {
            group_id: self.group_id,
            topics: self.topics,
            ..OffsetFetchRequestGroup::default()
        };
        let OffsetFetchResponseGroup { topics, error_code, .. } =
            one_group(cluster, call, plan, &group, stable);
        Answer::Respond(OffsetFetchResponse { throttle_time_ms, topics, error_code, ..Default::default() })
    }
}

fn one_group(
    cluster: &mut ClusterState,
    call: &Call,
    plan: &Plan,
    group: &OffsetFetchRequestGroup,
    stable: bool,
) -> OffsetFetchResponseGroup {
    let id = group.group_id.as_str();
    let fault = plan.error(When::Before).or_else(|| plan.error(When::After));
    let admitted = match fault {
        Some(fault) => Err(fault.code),
        None => cluster.check_coordinator(Key::Group(id), call.node, call.now),
    };
    let error_code = admitted.err().unwrap_or(ErrorCode::NONE);
    let topics = match &group.topics {
        // In version 1 each partition carries the code.
        _ if admitted.is_err() && call.version >= GROUP_CODE_FROM => Vec::new(),
        Some(topics) => topics.clone(),
        None => all_of(cluster, id),
    };
    let offset = |topic: &str, partition: i32| match admitted {
        Err(code) => none(partition, code),
        Ok(()) if stable && cluster.coordinators.groups.is_unstable(id, topic, partition) => {
            none(partition, ErrorCode::UNSTABLE_OFFSET_COMMIT)
        }
        Ok(()) => look_up(cluster, id, topic, partition),
    };
    let topics = topics.iter().map(|t| OffsetFetchResponseTopic {
        name: t.name.clone(),
        partitions: t.partition_indexes.iter().map(|&p| offset(&t.name, p)).collect(),
    });
    OffsetFetchResponseGroup { group_id: id.to_owned(), topics: topics.collect(), error_code }
}

/// Everything that the group has committed, as a request would list it.
fn all_of(cluster: &ClusterState, group: &str) -> Vec<OffsetFetchRequestTopic> {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for ((topic, partition), _) in cluster.coordinators.groups.all_committed(group) {
        topics.entry(topic).or_default().push(*partition);
    }
    let named = |(name, partition_indexes): (&str, Vec<i32>)| OffsetFetchRequestTopic {
        name: name.to_owned(),
        partition_indexes,
    };
    topics.into_iter().map(named).collect()
}

fn look_up(cluster: &ClusterState, group: &str, topic: &str, partition: i32) -> OffsetFetchResponsePartition {
    match cluster.coordinators.groups.committed(group, topic, partition) {
        None => none(partition, ErrorCode::NONE),
        Some(committed) => OffsetFetchResponsePartition {
            partition_index: partition,
            committed_offset: committed.offset,
            committed_leader_epoch: committed.leader_epoch.unwrap_or(-1),
            metadata: Some(committed.metadata.clone()),
            error_code: ErrorCode::NONE,
        },
    }
}

/// There is no offset, with or without an error.
fn none(partition_index: i32, error_code: ErrorCode) -> OffsetFetchResponsePartition {
    OffsetFetchResponsePartition {
        partition_index,
        committed_offset: -1,
        committed_leader_epoch: -1,
        metadata: Some(String::new()),
        error_code,
    }
}
