//! CreateTopics (key 19). KIP-4, 464, 525, 599, 516.

use super::declare::api;
use crate::protocol::ErrorCode;
use crate::protocol::api_key::ApiKey;

api! {
    key: ApiKey::CREATE_TOPICS, versions: 2..=7, flexible: Some(5);

    /// Asks the controller to create topics.
    request CreateTopicsRequest {
        /// The topics to create.
        topics: Vec<CreatableTopic> { versions: 2.. },
        /// How long to wait for them, in milliseconds.
        timeout_ms: i32 { versions: 2.., default: 60_000 },
        /// Whether to check only.
        validate_only: bool { versions: 2.. },
    }

    /// The outcome of each topic.
    response CreateTopicsResponse {
        /// For how long a quota delayed the request, in milliseconds.
        throttle_time_ms: i32 { versions: 2.., ignorable: true },
        /// The outcomes.
        topics: Vec<CreatableTopicResult> { versions: 2.. },
    }

    /// A topic to create.
    part CreatableTopic {
        /// Its name.
        name: String { versions: 2.. },
        /// How many partitions; -1 for the broker's default or with `assignments`.
        num_partitions: i32 { versions: 2.. },
        /// How many replicas of each; -1 for the broker's default or with `assignments`.
        replication_factor: i16 { versions: 2.. },
        /// Replicas placed by hand.
        assignments: Vec<CreatableReplicaAssignment> { versions: 2.. },
        /// The topic's own settings.
        configs: Vec<CreatableTopicConfig> { versions: 2.. },
    }

    /// Where a partition's replicas go.
    part CreatableReplicaAssignment {
        /// The partition.
        partition_index: i32 { versions: 2.. },
        /// The node ids.
        broker_ids: Vec<i32> { versions: 2.. },
    }

    /// A topic's setting.
    part CreatableTopicConfig {
        /// The setting's name.
        name: String { versions: 2.. },
        /// Its value.
        value: Option<String> { versions: 2.., nullable: 2.. },
    }

    /// The outcome of one topic.
    part CreatableTopicResult {
        /// Its name.
        name: String { versions: 2.. },
        /// The id it was given.
        topic_id: [u8; 16] { versions: 7.., ignorable: true },
        /// Whether it was created.
        error_code: ErrorCode { versions: 2.. },
        /// Why not.
        error_message: Option<String> { versions: 2.., nullable: 2.., ignorable: true },
        /// Why `configs` is missing.
        topic_config_error_code: ErrorCode { versions: 5.., ignorable: true, tag: 0 },
        /// How many partitions it has; -1 if not told.
        num_partitions: i32 { versions: 5.., default: -1, ignorable: true },
        /// How many replicas each has; -1 if not told.
        replication_factor: i16 { versions: 5.., default: -1, ignorable: true },
        /// The topic's settings.
        configs: Option<Vec<CreatableTopicConfigs>> {
            versions: 5.., nullable: 5.., default: Some(Vec::new()), ignorable: true
        },
    }

    /// A setting of a topic that was created.
    part CreatableTopicConfigs {
        /// The setting's name.
        name: String { versions: 5.. },
        /// Its value; `None` for secrets.
        value: Option<String> { versions: 5.., nullable: 5.. },
        /// Whether it cannot be changed.
        read_only: bool { versions: 5.. },
        /// Where the value comes from; -1 if not told.
        config_source: i8 { versions: 5.., default: -1, ignorable: true },
        /// Whether it is a secret.
        is_sensitive: bool { versions: 5.. },
    }
}
