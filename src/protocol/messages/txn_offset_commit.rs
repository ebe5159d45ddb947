//! TxnOffsetCommit (key 28): commits a group's offsets with the transaction. KIP-98, 320, 447, 890.

use super::declare::api;
use crate::protocol::ErrorCode;
use crate::protocol::api_key::ApiKey;

api! {
    key: ApiKey::TXN_OFFSET_COMMIT, versions: 0..=5, flexible: Some(3);

    /// Writes a group's offsets as part of the transaction.
    request TxnOffsetCommitRequest {
        /// The transactional id.
        transactional_id: String { versions: 0.. },
        /// The consumer group.
        group_id: String { versions: 0.. },
        /// The producer id.
        producer_id: i64 { versions: 0.. },
        /// The producer's epoch.
        producer_epoch: i16 { versions: 0.. },
        /// The group's generation; -1 if unknown.
        generation_id: i32 { versions: 3.., default: -1 },
        /// The consumer's member id.
        member_id: String { versions: 3.. },
        /// The consumer's static id, if it has one.
        group_instance_id: Option<String> { versions: 3.., nullable: 3.. },
        /// The offsets, by topic.
        topics: Vec<TxnOffsetCommitRequestTopic> { versions: 0.. },
    }

    /// The outcome of each partition.
    response TxnOffsetCommitResponse {
        /// For how long a quota delayed the request, in milliseconds.
        throttle_time_ms: i32 { versions: 0.. },
        /// The outcomes, by topic.
        topics: Vec<TxnOffsetCommitResponseTopic> { versions: 0.. },
    }

    /// The offsets of one topic.
    part TxnOffsetCommitRequestTopic {
        /// The topic.
        name: String { versions: 0.. },
        /// The offsets, by partition.
        partitions: Vec<TxnOffsetCommitRequestPartition> { versions: 0.. },
    }

    /// The offset of one partition.
    part TxnOffsetCommitRequestPartition {
        /// The partition.
        partition_index: i32 { versions: 0.. },
        /// The next offset to read.
        committed_offset: i64 { versions: 0.. },
        /// The leader's epoch at the last record read; -1 if unknown.
        committed_leader_epoch: i32 { versions: 2.., default: -1, ignorable: true },
        /// The caller's note.
        committed_metadata: Option<String> { versions: 0.., nullable: 0.. },
    }

    /// The outcomes of one topic.
    part TxnOffsetCommitResponseTopic {
        /// The topic.
        name: String { versions: 0.. },
        /// The outcomes, by partition.
        partitions: Vec<TxnOffsetCommitResponsePartition> { versions: 0.. },
    }

    /// The outcome of one partition.
    part TxnOffsetCommitResponsePartition {
        /// The partition.
        partition_index: i32 { versions: 0.. },
        /// Whether the offset was written.
        error_code: ErrorCode { versions: 0.. },
    }
}
