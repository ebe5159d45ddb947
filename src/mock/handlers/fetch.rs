//! Fetch: whole batches from an offset on, so that consumers with assigned partitions can read back.
//!
//! Readers of committed records get nothing of an open transaction and behind it, and a list of the aborted ones, which
//! they skip themselves (KIP-98). Not implemented: fetch sessions (KIP-227: every fetch is full and no session is
//! offered, which clients accept; one that nobody offered is not found), followers. A fetch that finds nothing answers after its `max_wait_ms`; what arrives meanwhile is
//! found by the next one.

use super::{Answer, Handler};
use crate::mock::fault::{Plan, Target, When};
use crate::mock::state::{Call, ClusterState};
use crate::protocol::ErrorCode;
use crate::protocol::messages::fetch::{
    AbortedTransaction, FetchPartition, FetchTopic, FetchableTopicResponse, PartitionData,
};
use crate::protocol::messages::{FetchRequest, FetchResponse};
use crate::sync::Arc;
use std::time::Duration;

const READ_COMMITTED: i8 = 1;
/// No fetch waits longer, whatever it says.
const MAX_WAIT_MS: u64 = 30_000;

impl Handler for FetchRequest {
    fn targets(&self, cluster: &ClusterState) -> Vec<Target> {
        let mut targets = Vec::new();
        for topic in &self.topics {
            let Some(name) = name_of(cluster, topic) else { continue };
            let one = |p: &FetchPartition| Target { topic: Arc::clone(&name), partition: Some(p.partition) };
            targets.extend(topic.partitions.iter().map(one));
        }
        targets
    }

    fn answer(self, cluster: &mut ClusterState, call: &Call, plan: &Plan) -> Answer<FetchResponse> {
        if self.session_id != 0 {
            return Answer::Respond(FetchResponse {
                throttle_time_ms: plan.throttle_ms(),
                error_code: ErrorCode::FETCH_SESSION_ID_NOT_FOUND,
                ..Default::default()
            });
        }
        let committed = self.isolation_level == READ_COMMITTED;
        let mut left = usize::try_from(self.max_bytes).unwrap_or(0);
        let mut responses = Vec::with_capacity(self.topics.len());
        for topic in &self.topics {
            let name = name_of(cluster, topic);
            let read = |p| read(cluster, call, plan, name.as_deref(), p, committed, &mut left);
            responses.push(FetchableTopicResponse {
                topic: topic.topic.clone(),
                topic_id: topic.topic_id,
                partitions: topic.partitions.iter().map(read).collect(),
            });
        }
        let idle = responses
            .iter()
            .flat_map(|t| &t.partitions)
            .all(|p| p.error_code == ErrorCode::NONE && p.records.as_ref().is_none_or(Vec::is_empty));
        let response =
            FetchResponse { throttle_time_ms: plan.throttle_ms(), responses, ..Default::default() };
        if idle && self.min_bytes > 0 {
            let wait = u64::try_from(self.max_wait_ms).unwrap_or(0).min(MAX_WAIT_MS);
            Answer::RespondAfter(response, Duration::from_millis(wait))
        } else {
            Answer::Respond(response)
        }
    }
}

fn name_of(cluster: &ClusterState, topic: &FetchTopic) -> Option<Arc<str>> {
    if topic.topic.is_empty() {
        cluster.topology.name_of(&topic.topic_id).cloned()
    } else {
        Some(Arc::from(topic.topic.as_str()))
    }
}

fn read(
    cluster: &ClusterState,
    call: &Call,
    plan: &Plan,
    topic: Option<&str>,
    wanted: &FetchPartition,
    committed: bool,
    left: &mut usize,
) -> PartitionData {
    let failed = |error_code| PartitionData {
        partition_index: wanted.partition,
        error_code,
        high_watermark: -1,
        records: Some(Vec::new()),
        ..Default::default()
    };
    let Some(topic) = topic else { return failed(ErrorCode::UNKNOWN_TOPIC_ID) };
    let fault = [When::Before, When::After]
        .into_iter()
        .find_map(|w| plan.error_for(w, topic, Some(wanted.partition)));
    if let Some(fault) = fault {
        return failed(fault.code);
    }
    let Some(partition) = cluster.topology.partition(topic, wanted.partition) else {
        return failed(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    };
    if partition.leader != Some(call.node) {
        return failed(ErrorCode::NOT_LEADER_OR_FOLLOWER);
    }
    let log = &partition.log;
    if !(log.start_offset()..=log.end_offset()).contains(&wanted.fetch_offset) {
        return failed(ErrorCode::OFFSET_OUT_OF_RANGE);
    }
    let limit = usize::try_from(wanted.partition_max_bytes).unwrap_or(0).min(*left);
    let end = if committed { log.last_stable_offset() } else { log.end_offset() };
    let (records, next) = match *left {
        0 => (Vec::new(), wanted.fetch_offset),
        _ => log.read(wanted.fetch_offset, end, limit),
    };
    *left = left.saturating_sub(records.len());
    let aborted = |(producer_id, first_offset)| AbortedTransaction { producer_id, first_offset };
    let aborted = log.aborted_in(wanted.fetch_offset, next).into_iter().map(aborted);
    PartitionData {
        partition_index: wanted.partition,
        error_code: ErrorCode::NONE,
        high_watermark: log.end_offset(),
        last_stable_offset: log.last_stable_offset(),
        log_start_offset: log.start_offset(),
        aborted_transactions: committed.then(|| aborted.collect()),
        records: Some(records),
        ..Default::default()
    }
}
