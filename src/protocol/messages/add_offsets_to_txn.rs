//! AddOffsetsToTxn (key 25): enrols a consumer group's offsets. KIP-98, 588, 890.

use super::declare::api;
use crate::protocol::ErrorCode;
use crate::protocol::api_key::ApiKey;

api! {
    key: ApiKey::ADD_OFFSETS_TO_TXN, versions: 0..=4, flexible: Some(3);

    /// Enrols the offsets of a group in the transaction.
    request AddOffsetsToTxnRequest {
        /// The transactional id.
        transactional_id: String { versions: 0.. },
        /// The producer id.
        producer_id: i64 { versions: 0.. },
        /// The producer's epoch.
        producer_epoch: i16 { versions: 0.. },
        /// The consumer group.
        group_id: String { versions: 0.. },
    }

    /// The outcome.
    response AddOffsetsToTxnResponse {
        /// For how long a quota delayed the request, in milliseconds.
        throttle_time_ms: i32 { versions: 0.. },
        /// Whether the group was enrolled.
        error_code: ErrorCode { versions: 0.. },
    }
}
