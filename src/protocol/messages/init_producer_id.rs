//! InitProducerId (key 22): a producer id and epoch. KIP-98, 360, 588, 890.

use super::declare::api;
use crate::protocol::ErrorCode;
use crate::protocol::api_key::ApiKey;

api! {
    key: ApiKey::INIT_PRODUCER_ID, versions: 0..=5, flexible: Some(2);

    /// Asks for a producer id, or for the next epoch of one.
    request InitProducerIdRequest {
        /// The transactional id, or `None` for a producer that is merely idempotent.
        transactional_id: Option<String> { versions: 0.., nullable: 0.. },
        /// After how many idle milliseconds the coordinator aborts a transaction.
        transaction_timeout_ms: i32 { versions: 0.. },
        /// The producer id in use, whose epoch is to rise; -1 for a new one.
        producer_id: i64 { versions: 3.., default: -1 },
        /// The epoch in use; -1 for none.
        producer_epoch: i16 { versions: 3.., default: -1 },
    }

    /// The producer id and epoch.
    response InitProducerIdResponse {
        /// For how long a quota delayed the request, in milliseconds.
        throttle_time_ms: i32 { versions: 0.., ignorable: true },
        /// Whether an id was given.
        error_code: ErrorCode { versions: 0.. },
        /// The producer id; -1 for none.
        producer_id: i64 { versions: 0.., default: -1 },
        /// The epoch.
        producer_epoch: i16 { versions: 0.. },
    }
}
