//! DeleteTopics: by name, or by id from version 6 on. KIP-4, KIP-516.

use super::{Answer, Handler};
use crate::mock::fault::{Plan, Target, When};
use crate::mock::journal::RequestBody;
use crate::mock::state::{Call, ClusterState};
use crate::protocol::ErrorCode;
use crate::protocol::messages::delete_topics::{DeletableTopicResult, DeleteTopicState};
use crate::protocol::messages::{DeleteTopicsRequest, DeleteTopicsResponse};
use crate::sync::Arc;

impl Handler for DeleteTopicsRequest {
    fn targets(&self, cluster: &ClusterState) -> Vec<Target> {
        let names = named(self).into_iter().filter_map(|t| name_of(cluster, &t));
        names.map(|topic| Target { topic, partition: None }).collect()
    }

    fn summary(&self, cluster: &ClusterState) -> RequestBody {
        let names = named(self).into_iter().filter_map(|t| name_of(cluster, &t));
        RequestBody::Topics(names.map(|n| n.to_string()).collect())
    }

    fn answer(self, cluster: &mut ClusterState, _: &Call, plan: &Plan) -> Answer<DeleteTopicsResponse> {
        let responses = named(&self).into_iter().map(|t| delete(cluster, plan, t)).collect();
        Answer::Respond(DeleteTopicsResponse { throttle_time_ms: plan.throttle_ms(), responses })
    }
}

/// Both forms of the request as one.
fn named(request: &DeleteTopicsRequest) -> Vec<DeleteTopicState> {
    let by_name = |name: &String| DeleteTopicState { name: Some(name.clone()), ..Default::default() };
    request.topics.iter().cloned().chain(request.topic_names.iter().map(by_name)).collect()
}

fn name_of(cluster: &ClusterState, topic: &DeleteTopicState) -> Option<Arc<str>> {
    match &topic.name {
        Some(name) => Some(Arc::from(name.as_str())),
        None => cluster.topology.name_of(&topic.topic_id).cloned(),
    }
}

fn delete(cluster: &mut ClusterState, plan: &Plan, topic: DeleteTopicState) -> DeletableTopicResult {
    let name = name_of(cluster, &topic);
    let topic_id = match &name {
        Some(name) => cluster.topology.topic(name).map_or(topic.topic_id, |t| t.id),
        None => topic.topic_id,
    };
    let fault = |when| name.as_deref().and_then(|n| plan.error_for(when, n, None)).map(|f| f.code);
    let outcome = match (fault(When::Before), &name) {
        (Some(code), _) => Err(code),
        (None, Some(name)) => cluster.topology.delete_topic(name),
        (None, None) => Err(ErrorCode::UNKNOWN_TOPIC_ID),
    };
    let outcome = fault(When::After).map_or(outcome, |code| outcome.and(Err(code)));
    DeletableTopicResult {
        name: name.map(|n| n.to_string()),
        topic_id,
        error_code: outcome.err().unwrap_or(ErrorCode::NONE),
        error_message: outcome.err().map(|code| code.to_string()),
    }
}
