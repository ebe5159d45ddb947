//! EndTxn (key 26): commits or aborts. KIP-98, 588, 890.

use super::declare::api;
use crate::protocol::ErrorCode;
use crate::protocol::api_key::ApiKey;

api! {
    key: ApiKey::END_TXN, versions: 0..=5, flexible: Some(3);

    /// Commits or aborts the transaction.
    request EndTxnRequest {
        /// The transactional id.
        transactional_id: String { versions: 0.. },
        /// The producer id.
        producer_id: i64 { versions: 0.. },
        /// The producer's epoch.
        producer_epoch: i16 { versions: 0.. },
        /// `true` commits, `false` aborts.
        committed: bool { versions: 0.. },
    }

    /// The outcome, and from version 5 on the id and epoch of the next transaction.
    response EndTxnResponse {
        /// For how long a quota delayed the request, in milliseconds.
        throttle_time_ms: i32 { versions: 0.. },
        /// Whether the transaction ended as asked.
        error_code: ErrorCode { versions: 0.. },
        /// The producer id to go on with; -1 if not told.
        producer_id: i64 { versions: 5.., default: -1, ignorable: true },
        /// The epoch to go on with; -1 if not told.
        producer_epoch: i16 { versions: 5.., default: -1, ignorable: true },
    }
}
