//! Produce: checks leadership and replicas, appends, answers. KIP-467 (record errors), KIP-516 (topic ids), KIP-951
//! (where the leader is), KIP-890 (a transactional batch belongs to a transaction, or begins to).
//!
//! Not implemented: replication delays (a batch counts as replicated once the in-sync replicas suffice). Brokers before
//! 3.6 took transactional batches for partitions that were not part of the transaction, and left it open for ever; this
//! one refuses them whatever release it answers like, since no correct producer sends them.

use super::{Answer, Handler, id_or_none};
use crate::mock::coordinator::{PRODUCE_ENROLS_FROM, RAISES_FROM};
use crate::mock::fault::{Plan, PlannedError, Target, When};
use crate::mock::journal::{ProducedBatch, RequestBody};
use crate::mock::log::{Appended, Rejection};
use crate::mock::state::{Call, ClusterState};
use crate::mock::stats::is_compressed;
use crate::protocol::ErrorCode;
use crate::protocol::messages::produce::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, NodeEndpoint, PartitionProduceData,
    PartitionProduceResponse, TopicProduceData, TopicProduceResponse,
};
use crate::protocol::messages::{ProduceRequest, ProduceResponse};
use crate::protocol::record::RecordBatchView;
use crate::sync::Arc;

/// The first version whose answer says where the leader is.
const LEADER_HINTS_FROM: i16 = 10;

/// The first version that knows TRANSACTION_ABORTABLE.
const ABORTABLE_FROM: i16 = 11;

/// What holds for every batch of one request.
struct Terms<'a> {
    acks: i16,
    transactional_id: Option<&'a str>,
}

/// Where a batch's header has its checksum.
const CRC_AT: usize = 17;

impl Handler for ProduceRequest {
    fn targets(&self, cluster: &ClusterState) -> Vec<Target> {
        let mut targets = Vec::new();
        for topic in &self.topic_data {
            let Some(name) = name_of(cluster, topic) else { continue };
            let one =
                |p: &PartitionProduceData| Target { topic: Arc::clone(&name), partition: Some(p.index) };
            targets.extend(topic.partition_data.iter().map(one));
        }
        targets
    }

    fn summary(&self, cluster: &ClusterState) -> RequestBody {
        let batches = self.topic_data.iter().flat_map(|topic| {
            let name = name_of(cluster, topic).map_or_else(String::new, |n| n.to_string());
            topic.partition_data.iter().map(move |p| describe(&name, p))
        });
        RequestBody::Produce {
            transactional_id: self.transactional_id.clone(),
            acks: self.acks,
            timeout_ms: self.timeout_ms,
            batches: batches.collect(),
        }
    }

    fn answer(self, cluster: &mut ClusterState, call: &Call, plan: &Plan) -> Answer<ProduceResponse> {
        let terms = Terms { acks: self.acks, transactional_id: self.transactional_id.as_deref() };
        let mut responses = Vec::with_capacity(self.topic_data.len());
        for topic in &self.topic_data {
            let name = name_of(cluster, topic);
            let append = |p| {
                let response = append(cluster, call, plan, name.as_deref(), p, &terms);
                cluster.stats.refused_batches += u64::from(response.error_code != ErrorCode::NONE);
                response
            };
            responses.push(TopicProduceResponse {
                name: topic.name.clone(),
                topic_id: topic.topic_id,
                partition_responses: topic.partition_data.iter().map(append).collect(),
            });
        }
        let mut outcomes = responses.iter().flat_map(|t| &t.partition_responses);
        if self.acks == 0 {
            // No answer can carry the error: a broker hangs up, so that the client at least looks for new metadata.
            let failed = outcomes.any(|p| p.error_code != ErrorCode::NONE);
            return if failed { Answer::HangUp } else { Answer::Silence };
        }
        let node_endpoints = endpoints(cluster, outcomes.map(|p| p.current_leader.leader_id));
        Answer::Respond(ProduceResponse { responses, throttle_time_ms: plan.throttle_ms(), node_endpoints })
    }
}

fn name_of(cluster: &ClusterState, topic: &TopicProduceData) -> Option<Arc<str>> {
    if topic.name.is_empty() {
        cluster.topology.name_of(&topic.topic_id).cloned()
    } else {
        Some(Arc::from(topic.name.as_str()))
    }
}

fn describe(topic: &str, partition: &PartitionProduceData) -> ProducedBatch {
    let bytes = partition.records.as_deref().unwrap_or_default();
    let header = RecordBatchView::parse(bytes).ok().map(|(batch, _)| *batch.header());
    let producer = header.and_then(|h| h.producer);
    ProducedBatch {
        topic: topic.to_owned(),
        partition: partition.index,
        records: header.map_or(0, |h| h.record_count),
        bytes: bytes.len(),
        producer_id: producer.map(|p| p.id),
        producer_epoch: producer.map(|p| p.epoch),
        base_sequence: producer.and_then(|p| p.base_sequence),
        transactional: header.is_some_and(|h| h.attributes.transactional),
        crc: bytes.get(CRC_AT..).and_then(<[u8]>::first_chunk).map_or(0, |crc| u32::from_be_bytes(*crc)),
    }
}

fn append(
    cluster: &mut ClusterState,
    call: &Call,
    plan: &Plan,
    topic: Option<&str>,
    data: &PartitionProduceData,
    terms: &Terms<'_>,
) -> PartitionProduceResponse {
    let index = data.index;
    let fault = |when| plan.error_for(when, topic.unwrap_or_default(), Some(index));
    if let Some(fault) = fault(When::Before) {
        return injected(index, fault);
    }
    let Some(topic) = topic else {
        return refused(index, Rejection::new(ErrorCode::UNKNOWN_TOPIC_ID, "no topic has this id"));
    };
    if !(-1..=1).contains(&terms.acks) {
        let acks = format!("acks={}", terms.acks);
        return refused(index, Rejection::new(ErrorCode::INVALID_REQUIRED_ACKS, acks));
    }
    let outcome = match check_leader(cluster, call, topic, index) {
        Ok(epoch) => admit(cluster, call, topic, data, terms)
            .and_then(|()| append_to_log(cluster, call, topic, data, terms.acks, epoch)),
        Err(response) => return *response,
    };
    match (outcome, fault(When::After)) {
        (Ok(_), Some(fault)) => injected(index, fault),
        (Ok(appended), None) => accepted(cluster, topic, index, &appended),
        (Err(rejection), _) => {
            if rejection.is_violation() {
                let Rejection { code, message, .. } = &rejection;
                cluster
                    .violation(format!("connection {}: {topic}-{index}: {code}: {message}", call.connection));
            }
            refused(index, rejection)
        }
    }
}

/// The leader's epoch if this broker leads the partition, else the answer.
fn check_leader(
    cluster: &ClusterState,
    call: &Call,
    topic: &str,
    index: i32,
) -> Result<i32, Box<PartitionProduceResponse>> {
    let Some(partition) = cluster.topology.partition(topic, index) else {
        let none =
            Rejection::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, "this server does not host the partition");
        return Err(Box::new(refused(index, none)));
    };
    if partition.leader == Some(call.node) {
        return Ok(partition.leader_epoch);
    }
    let mut response = refused(
        index,
        Rejection::new(ErrorCode::NOT_LEADER_OR_FOLLOWER, "another broker leads the partition"),
    );
    if call.version >= LEADER_HINTS_FROM {
        response.current_leader = LeaderIdAndEpoch {
            leader_id: id_or_none(partition.leader),
            leader_epoch: partition.leader_epoch,
        };
    }
    Err(Box::new(response))
}

/// A transactional batch must be of the transaction that its coordinator knows.
fn admit(
    cluster: &mut ClusterState,
    call: &Call,
    topic: &str,
    data: &PartitionProduceData,
    terms: &Terms<'_>,
) -> Result<(), Rejection> {
    let parsed = RecordBatchView::parse(data.records.as_deref().unwrap_or_default());
    // What cannot be read is the log's to refuse.
    let Ok((batch, _)) = parsed else { return Ok(()) };
    let header = batch.header();
    let Some(producer) = header.producer.filter(|_| header.attributes.transactional) else { return Ok(()) };
    let producer = (producer.id, producer.epoch);
    let Some(id) = terms.transactional_id else {
        let message = "a transactional batch in a request without a transactional id";
        return Err(Rejection::new(ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED, message));
    };
    let enrols = call.version >= PRODUCE_ENROLS_FROM;
    if enrols && cluster.transaction_version() < RAISES_FROM {
        let what = format!("Produce v{} in a transaction of version 1", call.version);
        cluster.violation(format!("connection {}: {topic}-{}: {what}", call.connection, data.index));
    }
    let verifies = cluster.options.version.verifies_transactions();
    if let Some(partition) = cluster.topology.partition_mut(topic, data.index) {
        if partition.log.has_open_transaction(producer) {
            return Ok(());
        }
        if verifies {
            partition.log.verify(&batch, enrols);
        }
    }
    let place = (Arc::from(topic), data.index);
    cluster.admit_batch(id, producer, place, enrols, call.now).map_err(|code| {
        let code = match code {
            ErrorCode::TRANSACTION_ABORTABLE if call.version < ABORTABLE_FROM => ErrorCode::INVALID_TXN_STATE,
            code => code,
        };
        let (producer_id, epoch) = producer;
        let who = format!("{id:?}, producer {producer_id} epoch {epoch}");
        Rejection::new(code, format!("the partition could not be verified to be in the transaction of {who}"))
    })
}

fn append_to_log(
    cluster: &mut ClusterState,
    call: &Call,
    topic: &str,
    data: &PartitionProduceData,
    acks: i16,
    epoch: i32,
) -> Result<Appended, Rejection> {
    let rules = cluster.append_rules(epoch, call.version);
    let min_in_sync = cluster.options.min_in_sync;
    let Some(partition) = cluster.topology.partition_mut(topic, data.index) else {
        return Err(Rejection::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, "gone"));
    };
    let in_sync = partition.in_sync.len();
    if acks == -1 && in_sync < min_in_sync {
        let message = format!("{in_sync} replicas in sync, min.insync.replicas={min_in_sync}");
        return Err(Rejection::new(ErrorCode::NOT_ENOUGH_REPLICAS, message));
    }
    let batch = data.records.as_deref().unwrap_or_default();
    let appended = partition.log.append(batch, &rules)?;
    if appended.duplicate {
        cluster.stats.duplicate_batches += 1;
    } else {
        cluster.stats.batches += 1;
        cluster.stats.compressed_batches += u64::from(is_compressed(batch));
        cluster.stats.records += u64::from(appended.records);
    }
    Ok(appended)
}

fn accepted(
    cluster: &ClusterState,
    topic: &str,
    index: i32,
    appended: &Appended,
) -> PartitionProduceResponse {
    PartitionProduceResponse {
        index,
        error_code: ErrorCode::NONE,
        base_offset: appended.base_offset,
        log_append_time_ms: appended.log_append_time.unwrap_or(-1),
        log_start_offset: cluster.topology.partition(topic, index).map_or(-1, |p| p.log.start_offset()),
        ..Default::default()
    }
}

fn refused(index: i32, rejection: Rejection) -> PartitionProduceResponse {
    let Rejection { code, message, record } = rejection;
    let culprit = record.map(|batch_index| BatchIndexAndErrorMessage {
        batch_index,
        batch_index_error_message: Some(message.clone()),
    });
    PartitionProduceResponse {
        index,
        error_code: code,
        base_offset: -1,
        record_errors: culprit.into_iter().collect(),
        error_message: Some(message),
        ..Default::default()
    }
}

fn injected(index: i32, fault: &PlannedError) -> PartitionProduceResponse {
    let culprit = |(batch_index, message): &(i32, String)| BatchIndexAndErrorMessage {
        batch_index: *batch_index,
        batch_index_error_message: Some(message.clone()),
    };
    PartitionProduceResponse {
        index,
        error_code: fault.code,
        base_offset: -1,
        record_errors: fault.record_errors.iter().map(culprit).collect(),
        error_message: fault.message.clone(),
        ..Default::default()
    }
}

/// The addresses of the leaders that the answer names, each once.
fn endpoints(cluster: &ClusterState, leaders: impl Iterator<Item = i32>) -> Vec<NodeEndpoint> {
    let mut ids: Vec<i32> = leaders.filter(|&id| id >= 0).collect();
    ids.sort_unstable();
    ids.dedup();
    let nodes = ids.into_iter().filter_map(|id| cluster.topology.node(id));
    nodes
        .map(|n| NodeEndpoint { node_id: n.id, host: n.host.clone(), port: i32::from(n.port), rack: None })
        .collect()
}
