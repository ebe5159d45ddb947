//! FindCoordinator (key 10): the broker that keeps a group's or a transactional id's state. KIP-98, 699, 890, 932.

use super::declare::api;
use crate::protocol::ErrorCode;
use crate::protocol::api_key::ApiKey;

api! {
    key: ApiKey::FIND_COORDINATOR, versions: 0..=6, flexible: Some(3);

    /// Asks which broker coordinates a key, or several keys from version 4 on.
    request FindCoordinatorRequest {
        /// The key, up to version 3.
        key: String { versions: 0..=3 },
        /// What the key is: 0 a group, 1 a transactional id, 2 a share group.
        key_type: i8 { versions: 1.. },
        /// The keys, from version 4 on.
        coordinator_keys: Vec<String> { versions: 4.. },
    }

    /// The coordinator of each key.
    response FindCoordinatorResponse {
        /// For how long a quota delayed the request, in milliseconds.
        throttle_time_ms: i32 { versions: 1.., ignorable: true },
        /// Whether there is a coordinator, up to version 3.
        error_code: ErrorCode { versions: 0..=3 },
        /// Why not, up to version 3.
        error_message: Option<String> { versions: 1..=3, nullable: 1..=3, ignorable: true },
        /// Its node id, up to version 3.
        node_id: i32 { versions: 0..=3 },
        /// Its host name, up to version 3.
        host: String { versions: 0..=3 },
        /// Its port, up to version 3.
        port: i32 { versions: 0..=3 },
        /// The coordinators, from version 4 on.
        coordinators: Vec<Coordinator> { versions: 4.. },
    }

    /// The coordinator of one key.
    part Coordinator {
        /// The key.
        key: String { versions: 4.. },
        /// The coordinator's node id; -1 if there is none.
        node_id: i32 { versions: 4.. },
        /// Its host name.
        host: String { versions: 4.. },
        /// Its port.
        port: i32 { versions: 4.. },
        /// Whether there is a coordinator.
        error_code: ErrorCode { versions: 4.. },
        /// Why not.
        error_message: Option<String> { versions: 4.., nullable: 4.., ignorable: true },
    }
}
