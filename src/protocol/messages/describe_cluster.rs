//! DescribeCluster (key 60). KIP-700, 919, 1073.

use super::declare::api;
use crate::protocol::ErrorCode;
use crate::protocol::api_key::ApiKey;

api! {
    key: ApiKey::DESCRIBE_CLUSTER, versions: 0..=2, flexible: Some(0);

    /// Asks for the cluster's nodes.
    request DescribeClusterRequest {
        /// Whether to tell what this client may do with the cluster.
        include_cluster_authorized_operations: bool { versions: 0.. },
        /// 1: brokers; 2: controllers.
        endpoint_type: i8 { versions: 1.., default: 1 },
        /// Whether to list brokers that are fenced.
        include_fenced_brokers: bool { versions: 2.. },
    }

    /// The cluster's nodes.
    response DescribeClusterResponse {
        /// For how long a quota delayed the request, in milliseconds.
        throttle_time_ms: i32 { versions: 0.. },
        /// Whether the cluster could be described.
        error_code: ErrorCode { versions: 0.. },
        /// Why not.
        error_message: Option<String> { versions: 0.., nullable: 0.. },
        /// 1: brokers; 2: controllers.
        endpoint_type: i8 { versions: 1.., default: 1 },
        /// The cluster's id.
        cluster_id: String { versions: 0.. },
        /// The controller's node id; -1 if unknown.
        controller_id: i32 { versions: 0.., default: -1 },
        /// The nodes.
        brokers: Vec<DescribeClusterBroker> { versions: 0.. },
        /// What this client may do with the cluster, as a bit field; `i32::MIN` if not asked for.
        cluster_authorized_operations: i32 { versions: 0.., default: i32::MIN },
    }

    /// A node.
    part DescribeClusterBroker {
        /// Its node id.
        broker_id: i32 { versions: 0.. },
        /// Its host name.
        host: String { versions: 0.. },
        /// Its port.
        port: i32 { versions: 0.. },
        /// Its rack, if set.
        rack: Option<String> { versions: 0.., nullable: 0.. },
        /// Whether it is fenced.
        is_fenced: bool { versions: 2.. },
    }
}
