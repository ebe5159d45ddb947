//! Produce (key 0): appends record batches to partitions. KIP-98, 467, 516, 890, 951. The hot path encodes and walks
//! it without these structs, see `produce_fast`; the mock and the tests use them.

use super::declare::api;
use crate::protocol::ErrorCode;
use crate::protocol::api_key::ApiKey;

api! {
    key: ApiKey::PRODUCE, versions: 3..=13, flexible: Some(9);

    /// Asks the leader of each partition to append one record batch.
    request ProduceRequest {
        /// The transactional id, or `None` outside transactions.
        transactional_id: Option<String> { versions: 3.., nullable: 3.. },
        /// 0: no answer; 1: the leader has it; -1: all in-sync replicas have it.
        acks: i16 { versions: 3.. },
        /// How long the broker may wait for replicas, in milliseconds.
        timeout_ms: i32 { versions: 3.. },
        /// What to append, by topic.
        topic_data: Vec<TopicProduceData> { versions: 3.. },
    }

    /// The outcome of each partition of a [`ProduceRequest`].
    response ProduceResponse {
        /// The outcomes, by topic.
        responses: Vec<TopicProduceResponse> { versions: 3.. },
        /// For how long a quota delayed the request, in milliseconds.
        throttle_time_ms: i32 { versions: 3.., ignorable: true },
        /// Where the leaders named in the partitions' `current_leader` live.
        node_endpoints: Vec<NodeEndpoint> { versions: 10.., tag: 0 },
    }

    /// What to append to one topic.
    part TopicProduceData {
        /// The topic's name, up to version 12.
        name: String { versions: 3..=12, ignorable: true },
        /// The topic's id, from version 13 on.
        topic_id: [u8; 16] { versions: 13.., ignorable: true },
        /// What to append, by partition.
        partition_data: Vec<PartitionProduceData> { versions: 3.. },
    }

    /// What to append to one partition.
    part PartitionProduceData {
        /// The partition.
        index: i32 { versions: 3.. },
        /// The record batch.
        records: Option<Vec<u8>> { versions: 3.., nullable: 3.. },
    }

    /// The outcomes of one topic.
    part TopicProduceResponse {
        /// The topic's name, up to version 12.
        name: String { versions: 3..=12, ignorable: true },
        /// The topic's id, from version 13 on.
        topic_id: [u8; 16] { versions: 13.., ignorable: true },
        /// The outcomes, by partition.
        partition_responses: Vec<PartitionProduceResponse> { versions: 3.. },
    }

    /// The outcome of one partition.
    part PartitionProduceResponse {
        /// The partition.
        index: i32 { versions: 3.. },
        /// Whether the batch was appended.
        error_code: ErrorCode { versions: 3.. },
        /// The offset of the batch's first record; -1 if unknown.
        base_offset: i64 { versions: 3.. },
        /// The broker's clock in milliseconds if the topic uses LogAppendTime, else -1.
        log_append_time_ms: i64 { versions: 3.., default: -1, ignorable: true },
        /// The partition's first offset; -1 if unknown.
        log_start_offset: i64 { versions: 5.., default: -1, ignorable: true },
        /// The records for which the broker refused the batch.
        record_errors: Vec<BatchIndexAndErrorMessage> { versions: 8.., ignorable: true },
        /// Why the batch was refused.
        error_message: Option<String> { versions: 8.., nullable: 8.., ignorable: true },
        /// The leader to ask instead, if the broker was asked wrongly and knows it.
        current_leader: LeaderIdAndEpoch { versions: 10.., tag: 0 },
    }

    /// One record for which a batch was refused.
    part BatchIndexAndErrorMessage {
        /// The record's place in the batch, from 0.
        batch_index: i32 { versions: 8.. },
        /// What is wrong with it.
        batch_index_error_message: Option<String> { versions: 8.., nullable: 8.. },
    }

    /// A partition's leader as the broker knows it.
    part LeaderIdAndEpoch {
        /// The leader's node id; -1 if unknown.
        leader_id: i32 { versions: 10.., default: -1 },
        /// The leader's epoch; -1 if unknown.
        leader_epoch: i32 { versions: 10.., default: -1 },
    }

    /// A broker's address.
    part NodeEndpoint {
        /// The broker's node id.
        node_id: i32 { versions: 10.. },
        /// Its host name.
        host: String { versions: 10.. },
        /// Its port.
        port: i32 { versions: 10.. },
        /// Its rack, if set.
        rack: Option<String> { versions: 10.., nullable: 10.. },
    }
}
