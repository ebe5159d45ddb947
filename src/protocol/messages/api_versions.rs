//! ApiVersions (key 18): which APIs and features a broker has. KIP-35, 511, 584, 896.

use super::Message;
use super::declare::api;
use crate::protocol::ErrorCode;
use crate::protocol::api_key::ApiKey;
use crate::protocol::wire::{DecodeError, Reader};

api! {
    key: ApiKey::API_VERSIONS, versions: 0..=4, flexible: Some(3);

    /// Asks for the broker's APIs and names the client.
    request ApiVersionsRequest {
        /// The client library's name: letters, digits, `-` and `.`, no `-` or `.` at either end.
        client_software_name: String { versions: 3.., ignorable: true },
        /// The client library's version, of the same alphabet.
        client_software_version: String { versions: 3.., ignorable: true },
    }

    /// The broker's APIs and features.
    response ApiVersionsResponse {
        /// UNSUPPORTED_VERSION if the request's version was too new; see [`ApiVersionsResponse::decode_any`].
        error_code: ErrorCode { versions: 0.. },
        /// The APIs with their version ranges.
        api_keys: Vec<ApiVersion> { versions: 0.. },
        /// For how long a quota delayed the request, in milliseconds.
        throttle_time_ms: i32 { versions: 1.., ignorable: true },
        /// The features that the broker supports.
        supported_features: Vec<SupportedFeatureKey> { versions: 3.., ignorable: true, tag: 0 },
        /// The epoch of `finalized_features`; -1 if unknown.
        finalized_features_epoch: i64 { versions: 3.., default: -1, ignorable: true, tag: 1 },
        /// The features that the cluster has settled on.
        finalized_features: Vec<FinalizedFeatureKey> { versions: 3.., ignorable: true, tag: 2 },
        /// Whether a migration away from ZooKeeper may begin.
        zk_migration_ready: bool { versions: 3.., ignorable: true, tag: 3 },
    }

    /// One API.
    part ApiVersion {
        /// Its key.
        api_key: i16 { versions: 0.. },
        /// The oldest version, inclusive.
        min_version: i16 { versions: 0.. },
        /// The newest version, inclusive.
        max_version: i16 { versions: 0.. },
    }

    /// A feature that a broker supports.
    part SupportedFeatureKey {
        /// Its name, such as `transaction.version`.
        name: String { versions: 3.. },
        /// The lowest level.
        min_version: i16 { versions: 3.. },
        /// The highest level.
        max_version: i16 { versions: 3.. },
    }

    /// A feature that the cluster has settled on.
    part FinalizedFeatureKey {
        /// Its name, such as `transaction.version`.
        name: String { versions: 3.. },
        /// The highest level in use.
        max_version_level: i16 { versions: 3.. },
        /// The lowest level in use.
        min_version_level: i16 { versions: 3.. },
    }
}

impl ApiVersionsResponse {
    /// Reads the answer to a request of `version`. A broker that does not know that version answers in the layout of
    /// version 0, with UNSUPPORTED_VERSION and its own range of ApiVersions (KIP-511).
    pub fn decode_any(r: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {
        let refused = r.clone().i16()? == ErrorCode::UNSUPPORTED_VERSION.0;
        Self::decode(r, if refused { 0 } else { version })
    }
}
