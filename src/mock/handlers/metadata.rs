//! Metadata: brokers, topics, leaders; creates topics where that is allowed. KIP-516 (topic ids), KIP-1102.
//!
//! Unlike a real broker, which answers UNKNOWN_TOPIC_OR_PARTITION once, a topic is there as soon as it is created.

use super::{Answer, Handler, id_or_none};
use crate::mock::fault::{Plan, Target, When};
use crate::mock::journal::RequestBody;
use crate::mock::state::{Call, ClusterState};
use crate::mock::topology::{Partition, Topic, Topology};
use crate::protocol::ErrorCode;
use crate::protocol::messages::metadata::{
    MetadataRequestTopic, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use crate::protocol::messages::{MetadataRequest, MetadataResponse};
use crate::sync::Arc;

/// The first version whose answer may leave a topic unnamed.
const NAMELESS_FROM: i16 = 12;

impl Handler for MetadataRequest {
    fn targets(&self, cluster: &ClusterState) -> Vec<Target> {
        let target = |topic: Arc<str>| Target { topic, partition: None };
        match &self.topics {
            Some(topics) => topics.iter().filter_map(|t| name_of(cluster, t)).map(target).collect(),
            None => cluster.topology.topics().map(|t| target(Arc::clone(&t.name))).collect(),
        }
    }

    fn summary(&self, cluster: &ClusterState) -> RequestBody {
        let name = |t: &MetadataRequestTopic| name_of(cluster, t).map_or_else(String::new, |n| n.to_string());
        RequestBody::Metadata {
            topics: self.topics.as_ref().map(|topics| topics.iter().map(name).collect()),
            allow_auto_create: self.allow_auto_topic_creation,
        }
    }

    fn answer(self, cluster: &mut ClusterState, call: &Call, plan: &Plan) -> Answer<MetadataResponse> {
        // In version 0 an empty list asks for all.
        let wanted = self.topics.filter(|topics| call.version > 0 || !topics.is_empty());
        let mut topics: Vec<MetadataResponseTopic> = match wanted {
            Some(wanted) => wanted
                .iter()
                .map(|t| one_topic(cluster, call, plan, t, self.allow_auto_topic_creation))
                .collect(),
            None => cluster.topology.topics().map(|t| describe(&cluster.topology, t)).collect(),
        };
        for topic in &mut topics {
            strike(topic, plan);
        }
        let whole = plan.error(When::Before).filter(|f| f.code == ErrorCode::REBOOTSTRAP_REQUIRED);
        let brokers: Vec<_> = cluster
            .topology
            .live_nodes()
            .map(|n| MetadataResponseBroker {
                node_id: n.id,
                host: n.host.clone(),
                port: i32::from(n.port),
                rack: None,
            })
            .collect();
        Answer::Respond(MetadataResponse {
            throttle_time_ms: plan.throttle_ms(),
            controller_id: id_or_none(brokers.first().map(|b| b.node_id)),
            brokers,
            cluster_id: Some(cluster.cluster_id().to_owned()),
            topics,
            error_code: whole.map_or(ErrorCode::NONE, |f| f.code),
            ..Default::default()
        })
    }
}

fn name_of(cluster: &ClusterState, topic: &MetadataRequestTopic) -> Option<Arc<str>> {
    match &topic.name {
        Some(name) => Some(Arc::from(name.as_str())),
        None => cluster.topology.name_of(&topic.topic_id).cloned(),
    }
}

fn one_topic(
    cluster: &mut ClusterState,
    call: &Call,
    plan: &Plan,
    wanted: &MetadataRequestTopic,
    may_create: bool,
) -> MetadataResponseTopic {
    let Some(name) = name_of(cluster, wanted) else {
        return MetadataResponseTopic {
            error_code: ErrorCode::UNKNOWN_TOPIC_ID,
            name: (call.version < NAMELESS_FROM).then(String::new),
            topic_id: wanted.topic_id,
            ..Default::default()
        };
    };
    let fault = plan.error_for(When::Before, &name, None).is_some();
    if cluster.topic_or_create(&name, may_create && !fault).is_some() {
        if let Some(topic) = cluster.topology.topic(&name) {
            return describe(&cluster.topology, topic);
        }
    }
    let illegal = cluster.topology.check_new_topic(&name, 1, 1) == Err(ErrorCode::INVALID_TOPIC_EXCEPTION);
    MetadataResponseTopic {
        error_code: if illegal {
            ErrorCode::INVALID_TOPIC_EXCEPTION
        } else {
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
        },
        name: Some(name.to_string()),
        ..Default::default()
    }
}

/// An injected error replaces what is known of a topic.
fn strike(topic: &mut MetadataResponseTopic, plan: &Plan) {
    let name = topic.name.clone().unwrap_or_default();
    let fault = [When::Before, When::After].into_iter().find_map(|w| plan.error_for(w, &name, None));
    if let Some(fault) = fault.filter(|f| f.code != ErrorCode::REBOOTSTRAP_REQUIRED) {
        topic.error_code = fault.code;
        topic.partitions.clear();
    }
}

fn describe(topology: &Topology, topic: &Topic) -> MetadataResponseTopic {
    let partitions = (0..).zip(&topic.partitions).map(|(index, p)| describe_partition(topology, index, p));
    MetadataResponseTopic {
        error_code: ErrorCode::NONE,
        name: Some(topic.name.to_string()),
        topic_id: topic.id,
        partitions: partitions.collect(),
        ..Default::default()
    }
}

fn describe_partition(topology: &Topology, index: i32, p: &Partition) -> MetadataResponsePartition {
    let offline = |id: &i32| !topology.node(*id).is_some_and(|n| n.alive);
    MetadataResponsePartition {
        error_code: if p.leader.is_some() { ErrorCode::NONE } else { ErrorCode::LEADER_NOT_AVAILABLE },
        partition_index: index,
        leader_id: id_or_none(p.leader),
        leader_epoch: p.leader_epoch,
        replica_nodes: p.replicas.clone(),
        isr_nodes: p.in_sync.clone(),
        offline_replicas: p.replicas.iter().copied().filter(|id| offline(id)).collect(),
    }
}
