//! DeleteTopics (key 20). KIP-4, 516, 599.

use super::declare::api;
use crate::protocol::ErrorCode;
use crate::protocol::api_key::ApiKey;

api! {
    key: ApiKey::DELETE_TOPICS, versions: 1..=6, flexible: Some(4);

    /// Asks the controller to delete topics.
    request DeleteTopicsRequest {
        /// The topics by name or id, from version 6 on.
        topics: Vec<DeleteTopicState> { versions: 6.. },
        /// The topics by name, up to version 5.
        topic_names: Vec<String> { versions: 1..=5, ignorable: true },
        /// How long to wait, in milliseconds.
        timeout_ms: i32 { versions: 1.. },
    }

    /// The outcome of each topic.
    response DeleteTopicsResponse {
        /// For how long a quota delayed the request, in milliseconds.
        throttle_time_ms: i32 { versions: 1.., ignorable: true },
        /// The outcomes.
        responses: Vec<DeletableTopicResult> { versions: 1.. },
    }

    /// A topic to delete: by name, or by id with `name: None`.
    part DeleteTopicState {
        /// Its name.
        name: Option<String> { versions: 6.., nullable: 6.. },
        /// Its id, or zeros.
        topic_id: [u8; 16] { versions: 6.. },
    }

    /// The outcome of one topic.
    part DeletableTopicResult {
        /// Its name.
        name: Option<String> { versions: 1.., nullable: 6.. },
        /// Its id.
        topic_id: [u8; 16] { versions: 6.., ignorable: true },
        /// Whether it was deleted.
        error_code: ErrorCode { versions: 1.. },
        /// Why not.
        error_message: Option<String> { versions: 5.., nullable: 5.., ignorable: true },
    }
}
