//! ListOffsets (key 2): offsets by time, and a partition's first and last. KIP-79, 98, 207, 734, 405, 1005, 1075.

use super::declare::api;
use crate::protocol::ErrorCode;
use crate::protocol::api_key::ApiKey;

api! {
    key: ApiKey::LIST_OFFSETS, versions: 1..=10, flexible: Some(6);

    /// Asks for offsets.
    request ListOffsetsRequest {
        /// The asking replica; -1 for a client.
        replica_id: i32 { versions: 1.. },
        /// 0: read uncommitted; 1: read committed.
        isolation_level: i8 { versions: 2.. },
        /// What is asked, by topic.
        topics: Vec<ListOffsetsTopic> { versions: 1.. },
        /// How long the broker may search remote storage, in milliseconds.
        timeout_ms: i32 { versions: 10.., ignorable: true },
    }

    /// The offsets found.
    response ListOffsetsResponse {
        /// For how long a quota delayed the request, in milliseconds.
        throttle_time_ms: i32 { versions: 2.., ignorable: true },
        /// The offsets, by topic.
        topics: Vec<ListOffsetsTopicResponse> { versions: 1.. },
    }

    /// What is asked of one topic.
    part ListOffsetsTopic {
        /// The topic.
        name: String { versions: 1.. },
        /// What is asked, by partition.
        partitions: Vec<ListOffsetsPartition> { versions: 1.. },
    }

    /// What is asked of one partition.
    part ListOffsetsPartition {
        /// The partition.
        partition_index: i32 { versions: 1.. },
        /// The leader's epoch known to the client; -1 if unknown.
        current_leader_epoch: i32 { versions: 4.., default: -1, ignorable: true },
        /// The time in milliseconds, or -1 for the end, -2 for the start, -3 for the record of the highest time.
        timestamp: i64 { versions: 1.. },
    }

    /// The offsets of one topic.
    part ListOffsetsTopicResponse {
        /// The topic.
        name: String { versions: 1.. },
        /// The offsets, by partition.
        partitions: Vec<ListOffsetsPartitionResponse> { versions: 1.. },
    }

    /// The offset found in one partition.
    part ListOffsetsPartitionResponse {
        /// The partition.
        partition_index: i32 { versions: 1.. },
        /// Whether there is an answer.
        error_code: ErrorCode { versions: 1.. },
        /// The time of the record found; -1 if none.
        timestamp: i64 { versions: 1.., default: -1 },
        /// Its offset; -1 if none.
        offset: i64 { versions: 1.., default: -1 },
        /// The leader's epoch at that offset; -1 if unknown.
        leader_epoch: i32 { versions: 4.., default: -1 },
    }
}
