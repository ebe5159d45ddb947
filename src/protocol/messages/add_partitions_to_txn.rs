//! AddPartitionsToTxn (key 24): enrols partitions before the first batch to them. KIP-98, 360, 588. Versions above 3
//! are spoken between brokers only.

use super::declare::api;
use crate::protocol::ErrorCode;
use crate::protocol::api_key::ApiKey;

api! {
    key: ApiKey::ADD_PARTITIONS_TO_TXN, versions: 0..=3, flexible: Some(3);

    /// Enrols partitions in the transaction.
    request AddPartitionsToTxnRequest {
        /// The transactional id.
        transactional_id: String { versions: 0.. },
        /// The producer id.
        producer_id: i64 { versions: 0.. },
        /// The producer's epoch.
        producer_epoch: i16 { versions: 0.. },
        /// The partitions, by topic.
        topics: Vec<AddPartitionsToTxnTopic> { versions: 0.. },
    }

    /// The outcome of each partition.
    response AddPartitionsToTxnResponse {
        /// For how long a quota delayed the request, in milliseconds.
        throttle_time_ms: i32 { versions: 0.. },
        /// The outcomes, by topic.
        results_by_topic: Vec<AddPartitionsToTxnTopicResult> { versions: 0.. },
    }

    /// Partitions of one topic.
    part AddPartitionsToTxnTopic {
        /// The topic.
        name: String { versions: 0.. },
        /// The partitions.
        partitions: Vec<i32> { versions: 0.. },
    }

    /// The outcomes of one topic.
    part AddPartitionsToTxnTopicResult {
        /// The topic.
        name: String { versions: 0.. },
        /// The outcomes, by partition.
        results_by_partition: Vec<AddPartitionsToTxnPartitionResult> { versions: 0.. },
    }

    /// The outcome of one partition.
    part AddPartitionsToTxnPartitionResult {
        /// The partition.
        partition_index: i32 { versions: 0.. },
        /// Whether it was enrolled.
        partition_error_code: ErrorCode { versions: 0.. },
    }
}
