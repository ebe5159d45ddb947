//! DescribeCluster: the live brokers. KIP-700.

use super::{Answer, Handler, id_or_none};
use crate::mock::fault::{Plan, When};
use crate::mock::state::{Call, ClusterState};
use crate::protocol::ErrorCode;
use crate::protocol::messages::describe_cluster::DescribeClusterBroker;
use crate::protocol::messages::{DescribeClusterRequest, DescribeClusterResponse};

impl Handler for DescribeClusterRequest {
    fn answer(self, cluster: &mut ClusterState, _: &Call, plan: &Plan) -> Answer<DescribeClusterResponse> {
        let fault = plan.error(When::Before).or_else(|| plan.error(When::After));
        let brokers: Vec<_> = cluster
            .topology
            .live_nodes()
            .map(|n| DescribeClusterBroker {
                broker_id: n.id,
                host: n.host.clone(),
                port: i32::from(n.port),
                ..Default::default()
            })
            .collect();
        Answer::Respond(DescribeClusterResponse {
            throttle_time_ms: plan.throttle_ms(),
            error_code: fault.map_or(ErrorCode::NONE, |f| f.code),
            error_message: fault.and_then(|f| f.message.clone()),
            cluster_id: cluster.cluster_id().to_owned(),
            controller_id: id_or_none(brokers.first().map(|b| b.broker_id)),
            brokers,
            ..Default::default()
        })
    }
}
