//! Fetch (key 1): reads record batches. Only the mock and the tests speak it. KIP-98, 227, 320, 392, 516, 853, 951.

use super::declare::api;
use crate::protocol::ErrorCode;
use crate::protocol::api_key::ApiKey;

api! {
    key: ApiKey::FETCH, versions: 4..=17, flexible: Some(12);

    /// Asks for record batches.
    request FetchRequest {
        /// The cluster's id, if the reader insists on one.
        cluster_id: Option<String> { versions: 12.., nullable: 12.., ignorable: true, tag: 0 },
        /// The asking replica; -1 for a consumer.
        replica_id: i32 { versions: 4..=14, default: -1 },
        /// The asking replica, from version 15 on.
        replica_state: ReplicaState { versions: 15.., tag: 1 },
        /// How long the broker may wait for `min_bytes`, in milliseconds.
        max_wait_ms: i32 { versions: 4.. },
        /// How many bytes to wait for.
        min_bytes: i32 { versions: 4.. },
        /// How many bytes to send at most, give or take a batch.
        max_bytes: i32 { versions: 4.., default: i32::MAX, ignorable: true },
        /// 0: read uncommitted; 1: read committed.
        isolation_level: i8 { versions: 4.., ignorable: true },
        /// The fetch session; 0 for none.
        session_id: i32 { versions: 7.., ignorable: true },
        /// The session's epoch; -1 for no session.
        session_epoch: i32 { versions: 7.., default: -1, ignorable: true },
        /// What to read, by topic.
        topics: Vec<FetchTopic> { versions: 4.. },
        /// What to drop from the session.
        forgotten_topics_data: Vec<ForgottenTopic> { versions: 7.. },
        /// The reader's rack.
        rack_id: String { versions: 11.., ignorable: true },
    }

    /// Record batches.
    response FetchResponse {
        /// For how long a quota delayed the request, in milliseconds.
        throttle_time_ms: i32 { versions: 4.., ignorable: true },
        /// An error of the whole request.
        error_code: ErrorCode { versions: 7.., ignorable: true },
        /// The fetch session; 0 for none.
        session_id: i32 { versions: 7.. },
        /// The batches, by topic.
        responses: Vec<FetchableTopicResponse> { versions: 4.. },
        /// Where the leaders named in the partitions' `current_leader` live.
        node_endpoints: Vec<NodeEndpoint> { versions: 16.., tag: 0 },
    }

    /// The replica that asks.
    part ReplicaState {
        /// Its node id; -1 for a consumer.
        replica_id: i32 { versions: 15.., default: -1 },
        /// Its epoch; -1 if unknown.
        replica_epoch: i64 { versions: 15.., default: -1 },
    }

    /// What to read of one topic.
    part FetchTopic {
        /// The topic's name, up to version 12.
        topic: String { versions: 4..=12, ignorable: true },
        /// The topic's id, from version 13 on.
        topic_id: [u8; 16] { versions: 13.., ignorable: true },
        /// What to read, by partition.
        partitions: Vec<FetchPartition> { versions: 4.. },
    }

    /// What to read of one partition.
    part FetchPartition {
        /// The partition.
        partition: i32 { versions: 4.. },
        /// The leader's epoch known to the reader; -1 if unknown.
        current_leader_epoch: i32 { versions: 9.., default: -1, ignorable: true },
        /// The first offset to read.
        fetch_offset: i64 { versions: 4.. },
        /// The epoch of the last record read; -1 if none.
        last_fetched_epoch: i32 { versions: 12.., default: -1 },
        /// The follower's first offset; -1 for a consumer.
        log_start_offset: i64 { versions: 5.., default: -1, ignorable: true },
        /// How many bytes to send of this partition at most, give or take a batch.
        partition_max_bytes: i32 { versions: 4.. },
        /// The follower's directory.
        replica_directory_id: [u8; 16] { versions: 17.., ignorable: true, tag: 0 },
    }

    /// Partitions to drop from a session.
    part ForgottenTopic {
        /// The topic's name, up to version 12.
        topic: String { versions: 7..=12, ignorable: true },
        /// The topic's id, from version 13 on.
        topic_id: [u8; 16] { versions: 13.., ignorable: true },
        /// The partitions.
        partitions: Vec<i32> { versions: 7.. },
    }

    /// The batches of one topic.
    part FetchableTopicResponse {
        /// The topic's name, up to version 12.
        topic: String { versions: 4..=12, ignorable: true },
        /// The topic's id, from version 13 on.
        topic_id: [u8; 16] { versions: 13.., ignorable: true },
        /// The batches, by partition.
        partitions: Vec<PartitionData> { versions: 4.. },
    }

    /// The batches of one partition.
    part PartitionData {
        /// The partition.
        partition_index: i32 { versions: 4.. },
        /// Whether it could be read.
        error_code: ErrorCode { versions: 4.. },
        /// The first offset that is not yet on all in-sync replicas.
        high_watermark: i64 { versions: 4.. },
        /// The first offset of an open transaction; -1 if unknown.
        last_stable_offset: i64 { versions: 4.., default: -1, ignorable: true },
        /// The partition's first offset; -1 if unknown.
        log_start_offset: i64 { versions: 5.., default: -1, ignorable: true },
        /// Where the reader's history leaves the leader's.
        diverging_epoch: EpochEndOffset { versions: 12.., tag: 0 },
        /// The leader to ask instead, if the broker knows it.
        current_leader: LeaderIdAndEpoch { versions: 12.., tag: 1 },
        /// The snapshot to read instead.
        snapshot_id: SnapshotId { versions: 12.., tag: 2 },
        /// The aborted transactions in this range.
        aborted_transactions: Option<Vec<AbortedTransaction>> {
            versions: 4.., nullable: 4.., default: Some(Vec::new()), ignorable: true
        },
        /// The replica to read from; -1 for the leader.
        preferred_read_replica: i32 { versions: 11.., default: -1 },
        /// The batches.
        records: Option<Vec<u8>> { versions: 4.., nullable: 4.. },
    }

    /// Where histories part.
    part EpochEndOffset {
        /// The last epoch in common.
        epoch: i32 { versions: 12.., default: -1 },
        /// Its end.
        end_offset: i64 { versions: 12.., default: -1 },
    }

    /// A partition's leader as the broker knows it.
    part LeaderIdAndEpoch {
        /// The leader's node id; -1 if unknown.
        leader_id: i32 { versions: 12.., default: -1 },
        /// The leader's epoch; -1 if unknown.
        leader_epoch: i32 { versions: 12.., default: -1 },
    }

    /// A snapshot's name.
    part SnapshotId {
        /// Its end.
        end_offset: i64 { versions: 4.., default: -1 },
        /// Its epoch.
        epoch: i32 { versions: 4.., default: -1 },
    }

    /// An aborted transaction.
    part AbortedTransaction {
        /// The producer id.
        producer_id: i64 { versions: 4.. },
        /// Its first offset.
        first_offset: i64 { versions: 4.. },
    }

    /// A broker's address.
    part NodeEndpoint {
        /// The broker's node id.
        node_id: i32 { versions: 16.. },
        /// Its host name.
        host: String { versions: 16.. },
        /// Its port.
        port: i32 { versions: 16.. },
        /// Its rack, if set.
        rack: Option<String> { versions: 16.., nullable: 16.. },
    }
}
