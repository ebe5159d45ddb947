//! CreateTopics: any broker takes it, as brokers forward it to the controller. KIP-4, KIP-464 (defaults).
//!
//! Not implemented: topic configs, which are accepted and ignored.

use super::{Answer, Handler};
use crate::mock::fault::{Plan, Target, When};
use crate::mock::journal::RequestBody;
use crate::mock::state::{Call, ClusterState};
use crate::protocol::messages::create_topics::{CreatableTopic, CreatableTopicResult};
use crate::protocol::messages::{CreateTopicsRequest, CreateTopicsResponse};
use crate::sync::Arc;

impl Handler for CreateTopicsRequest {
    fn targets(&self, _: &ClusterState) -> Vec<Target> {
        self.topics.iter().map(|t| Target { topic: Arc::from(t.name.as_str()), partition: None }).collect()
    }

    fn summary(&self, _: &ClusterState) -> RequestBody {
        RequestBody::Topics(self.topics.iter().map(|t| t.name.clone()).collect())
    }

    fn answer(self, cluster: &mut ClusterState, _: &Call, plan: &Plan) -> Answer<CreateTopicsResponse> {
        let topics = self.topics.iter().map(|t| create(cluster, plan, t, self.validate_only)).collect();
        Answer::Respond(CreateTopicsResponse { throttle_time_ms: plan.throttle_ms(), topics })
    }
}

fn create(
    cluster: &mut ClusterState,
    plan: &Plan,
    topic: &CreatableTopic,
    validate_only: bool,
) -> CreatableTopicResult {
    let (partitions, replicas) = shape(cluster, topic);
    let fault = |when| plan.error_for(when, &topic.name, None);
    let outcome = match fault(When::Before) {
        Some(fault) => Err(fault.code),
        None if validate_only => cluster.topology.check_new_topic(&topic.name, partitions, replicas),
        None => cluster.topology.create_topic(&topic.name, partitions, replicas),
    };
    let outcome = fault(When::After).map_or(outcome, |f| outcome.and(Err(f.code)));
    let base = CreatableTopicResult { name: topic.name.clone(), ..Default::default() };
    match outcome {
        Ok(()) => CreatableTopicResult {
            topic_id: cluster.topology.topic(&topic.name).map_or([0; 16], |t| t.id),
            num_partitions: partitions,
            replication_factor: i16::try_from(replicas).unwrap_or(i16::MAX),
            ..base
        },
        Err(error_code) => {
            let injected = fault(When::Before).or_else(|| fault(When::After)).and_then(|f| f.message.clone());
            let error_message = injected.or_else(|| Some(format!("topic {:?}: {error_code}", topic.name)));
            CreatableTopicResult { error_code, error_message, ..base }
        }
    }
}

/// Partitions and replicas, from the assignments, the numbers or the defaults.
fn shape(cluster: &ClusterState, topic: &CreatableTopic) -> (i32, usize) {
    if let Some(first) = topic.assignments.first() {
        let partitions = i32::try_from(topic.assignments.len()).unwrap_or(i32::MAX);
        return (partitions, first.broker_ids.len());
    }
    let partitions =
        if topic.num_partitions == -1 { cluster.options.default_partitions } else { topic.num_partitions };
    let replicas = match topic.replication_factor {
        -1 => cluster.default_replication(),
        n => usize::try_from(n).unwrap_or(0),
    };
    (partitions, replicas)
}
