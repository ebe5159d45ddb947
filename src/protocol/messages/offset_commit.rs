//! OffsetCommit (key 8): commits a group's offsets outside of transactions. Only the mock and the tests speak it.
//! KIP-98, 211, 320, 345, 848.

use super::declare::api;
use crate::protocol::ErrorCode;
use crate::protocol::api_key::ApiKey;

api! {
    key: ApiKey::OFFSET_COMMIT, versions: 2..=9, flexible: Some(8);

    /// Writes a group's offsets.
    request OffsetCommitRequest {
        /// The consumer group.
        group_id: String { versions: 2.. },
        /// The group's generation, or the member's epoch; -1 if unknown.
        generation_id_or_member_epoch: i32 { versions: 2.., default: -1, ignorable: true },
        /// The consumer's member id.
        member_id: String { versions: 2.., ignorable: true },
        /// The consumer's static id, if it has one.
        group_instance_id: Option<String> { versions: 7.., nullable: 7.. },
        /// For how long to keep the offsets, in milliseconds; -1 as the broker likes.
        retention_time_ms: i64 { versions: 2..=4, default: -1, ignorable: true },
        /// The offsets, by topic.
        topics: Vec<OffsetCommitRequestTopic> { versions: 2.. },
    }

    /// The outcome of each partition.
    response OffsetCommitResponse {
        /// For how long a quota delayed the request, in milliseconds.
        throttle_time_ms: i32 { versions: 3.., ignorable: true },
        /// The outcomes, by topic.
        topics: Vec<OffsetCommitResponseTopic> { versions: 2.. },
    }

    /// The offsets of one topic.
    part OffsetCommitRequestTopic {
        /// The topic.
        name: String { versions: 2.. },
        /// The offsets, by partition.
        partitions: Vec<OffsetCommitRequestPartition> { versions: 2.. },
    }

    /// The offset of one partition.
    part OffsetCommitRequestPartition {
        /// The partition.
        partition_index: i32 { versions: 2.. },
        /// The next offset to read.
        committed_offset: i64 { versions: 2.. },
        /// The leader's epoch at the last record read; -1 if unknown.
        committed_leader_epoch: i32 { versions: 6.., default: -1, ignorable: true },
        /// The caller's note.
        committed_metadata: Option<String> { versions: 2.., nullable: 2.. },
    }

    /// The outcomes of one topic.
    part OffsetCommitResponseTopic {
        /// The topic.
        name: String { versions: 2.. },
        /// The outcomes, by partition.
        partitions: Vec<OffsetCommitResponsePartition> { versions: 2.. },
    }

    /// The outcome of one partition.
    part OffsetCommitResponsePartition {
        /// The partition.
        partition_index: i32 { versions: 2.. },
        /// Whether the offset was written.
        error_code: ErrorCode { versions: 2.. },
    }
}
