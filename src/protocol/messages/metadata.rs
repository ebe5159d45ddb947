//! Metadata (key 3): the cluster's brokers, topics and partition leaders. KIP-204, 320, 430, 516, 700, 1102.

use super::declare::api;
use crate::protocol::ErrorCode;
use crate::protocol::api_key::ApiKey;

api! {
    key: ApiKey::METADATA, versions: 0..=13, flexible: Some(9);

    /// Asks for the brokers and for some or all topics.
    request MetadataRequest {
        /// The topics asked for. `None` asks for all, from version 1 on; in version 0 the empty list does.
        topics: Option<Vec<MetadataRequestTopic>> { versions: 0.., nullable: 1.., default: Some(Vec::new()) },
        /// Whether the broker may create topics that are missing.
        allow_auto_topic_creation: bool { versions: 4.., default: true },
        /// Whether to tell what this client may do with the cluster.
        include_cluster_authorized_operations: bool { versions: 8..=10 },
        /// Whether to tell what this client may do with each topic.
        include_topic_authorized_operations: bool { versions: 8.. },
    }

    /// The cluster as one broker knows it.
    response MetadataResponse {
        /// For how long a quota delayed the request, in milliseconds.
        throttle_time_ms: i32 { versions: 3.., ignorable: true },
        /// The brokers that are alive.
        brokers: Vec<MetadataResponseBroker> { versions: 0.. },
        /// The cluster's id.
        cluster_id: Option<String> { versions: 2.., nullable: 2.., ignorable: true },
        /// The controller's node id; -1 if unknown.
        controller_id: i32 { versions: 1.., default: -1, ignorable: true },
        /// The topics asked for.
        topics: Vec<MetadataResponseTopic> { versions: 0.. },
        /// What this client may do with the cluster, as a bit field; `i32::MIN` if not asked for.
        cluster_authorized_operations: i32 { versions: 8..=10, default: i32::MIN },
        /// An error of the whole request, such as REBOOTSTRAP_REQUIRED.
        error_code: ErrorCode { versions: 13.., ignorable: true },
    }

    /// One topic asked for: by name, or by id with `name: None`.
    part MetadataRequestTopic {
        /// The topic's id, or zeros.
        topic_id: [u8; 16] { versions: 10.., ignorable: true },
        /// The topic's name.
        name: Option<String> { versions: 0.., nullable: 10.. },
    }

    /// A broker.
    part MetadataResponseBroker {
        /// Its node id.
        node_id: i32 { versions: 0.. },
        /// Its host name.
        host: String { versions: 0.. },
        /// Its port.
        port: i32 { versions: 0.. },
        /// Its rack, if set.
        rack: Option<String> { versions: 1.., nullable: 1.., ignorable: true },
    }

    /// A topic.
    part MetadataResponseTopic {
        /// Whether the topic could be described.
        error_code: ErrorCode { versions: 0.. },
        /// Its name; `None` if it was asked for by an unknown id.
        name: Option<String> { versions: 0.., nullable: 12.. },
        /// Its id; zeros if it was asked for by an unknown name.
        topic_id: [u8; 16] { versions: 10.., ignorable: true },
        /// Whether it belongs to Kafka itself.
        is_internal: bool { versions: 1.., ignorable: true },
        /// Its partitions.
        partitions: Vec<MetadataResponsePartition> { versions: 0.. },
        /// What this client may do with it, as a bit field; `i32::MIN` if not asked for.
        topic_authorized_operations: i32 { versions: 8.., default: i32::MIN },
    }

    /// A partition.
    part MetadataResponsePartition {
        /// Whether the partition has a leader, among others.
        error_code: ErrorCode { versions: 0.. },
        /// The partition.
        partition_index: i32 { versions: 0.. },
        /// The leader's node id; -1 if there is none.
        leader_id: i32 { versions: 0.. },
        /// The leader's epoch; -1 if unknown.
        leader_epoch: i32 { versions: 7.., default: -1, ignorable: true },
        /// The node ids of all replicas.
        replica_nodes: Vec<i32> { versions: 0.. },
        /// The node ids of the replicas in sync.
        isr_nodes: Vec<i32> { versions: 0.. },
        /// The node ids of the replicas that are offline.
        offline_replicas: Vec<i32> { versions: 5.., ignorable: true },
    }
}
