//! OffsetFetch (key 9): a group's committed offsets. Only the mock and the tests speak it. KIP-88, 320, 447, 709, 848.

use super::declare::api;
use crate::protocol::ErrorCode;
use crate::protocol::api_key::ApiKey;

api! {
    key: ApiKey::OFFSET_FETCH, versions: 1..=9, flexible: Some(6);

    /// Asks for the offsets of one group, or of several from version 8 on.
    request OffsetFetchRequest {
        /// The consumer group, up to version 7.
        group_id: String { versions: 1..=7 },
        /// The partitions, by topic, up to version 7; null for all.
        topics: Option<Vec<OffsetFetchRequestTopic>> {
            versions: 1..=7, nullable: 2..=7, default: Some(Vec::new())
        },
        /// The groups, from version 8 on.
        groups: Vec<OffsetFetchRequestGroup> { versions: 8.. },
        /// Whether offsets that a transaction may change yet are an error.
        require_stable: bool { versions: 7.. },
    }

    /// The offsets.
    response OffsetFetchResponse {
        /// For how long a quota delayed the request, in milliseconds.
        throttle_time_ms: i32 { versions: 3.., ignorable: true },
        /// The offsets, by topic, up to version 7.
        topics: Vec<OffsetFetchResponseTopic> { versions: 1..=7 },
        /// Whether the group could be asked, up to version 7.
        error_code: ErrorCode { versions: 2..=7, ignorable: true },
        /// The groups, from version 8 on.
        groups: Vec<OffsetFetchResponseGroup> { versions: 8.. },
    }

    /// Partitions of one topic.
    part OffsetFetchRequestTopic {
        /// The topic.
        name: String { versions: 1.. },
        /// The partitions.
        partition_indexes: Vec<i32> { versions: 1.. },
    }

    /// What is asked of one group.
    part OffsetFetchRequestGroup {
        /// The consumer group.
        group_id: String { versions: 8.. },
        /// The consumer's member id.
        member_id: Option<String> { versions: 9.., nullable: 9.., ignorable: true },
        /// The member's epoch; -1 if unknown.
        member_epoch: i32 { versions: 9.., default: -1, ignorable: true },
        /// The partitions, by topic; null for all.
        topics: Option<Vec<OffsetFetchRequestTopic>> {
            versions: 8.., nullable: 8.., default: Some(Vec::new())
        },
    }

    /// The offsets of one topic.
    part OffsetFetchResponseTopic {
        /// The topic.
        name: String { versions: 1.. },
        /// The offsets, by partition.
        partitions: Vec<OffsetFetchResponsePartition> { versions: 1.. },
    }

    /// The offset of one partition.
    part OffsetFetchResponsePartition {
        /// The partition.
        partition_index: i32 { versions: 1.. },
        /// The next offset to read; -1 for none.
        committed_offset: i64 { versions: 1.. },
        /// The leader's epoch at the last record read; -1 if unknown.
        committed_leader_epoch: i32 { versions: 5.., default: -1, ignorable: true },
        /// The note beside it.
        metadata: Option<String> { versions: 1.., nullable: 1.. },
        /// Whether there is an answer.
        error_code: ErrorCode { versions: 1.. },
    }

    /// The offsets of one group.
    part OffsetFetchResponseGroup {
        /// The consumer group.
        group_id: String { versions: 8.. },
        /// The offsets, by topic.
        topics: Vec<OffsetFetchResponseTopic> { versions: 8.. },
        /// Whether the group could be asked.
        error_code: ErrorCode { versions: 8.. },
    }
}
