//! Kafka's error codes: number, name, whether a retry can help, whether the metadata is stale.
//!
//! Owns: the table, checked against Kafka 4.3. Runs on any thread, takes no lock. Must not know: what a producer does
//! about an error; the engine decides that.

use std::fmt;

/// An error code as a broker sends it. Codes this version does not know keep their number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct ErrorCode(pub i16);

macro_rules! codes {
    ($($NAME:ident = $code:literal, $description:literal;)*) => {
        impl ErrorCode {
            $(
                #[doc = concat!("Code ", stringify!($code), ": ", $description, ".")]
                pub const $NAME: Self = Self($code);
            )*

            /// Every code of Kafka 4.3, ascending.
            pub const ALL: &'static [Self] = &[$(Self::$NAME),*];

            /// Kafka's name for it, or `"UNKNOWN"`.
            pub const fn name(self) -> &'static str {
                match self.0 {
                    $( $code => stringify!($NAME), )*
                    _ => "UNKNOWN",
                }
            }

            /// What it means, in one line without a full stop.
            pub const fn description(self) -> &'static str {
                match self.0 {
                    $( $code => $description, )*
                    _ => "a code that this version of the library does not know",
                }
            }
        }
    };
}

codes! {
    UNKNOWN_SERVER_ERROR = -1, "the broker failed in a way it does not name";
    NONE = 0, "no error";
    OFFSET_OUT_OF_RANGE = 1, "the offset is outside the partition's range";
    CORRUPT_MESSAGE = 2, "the batch failed its checksum or is malformed";
    UNKNOWN_TOPIC_OR_PARTITION = 3, "the broker does not host this partition";
    INVALID_FETCH_SIZE = 4, "the fetch size is not valid";
    LEADER_NOT_AVAILABLE = 5, "the partition has no leader at the moment";
    NOT_LEADER_OR_FOLLOWER = 6, "the broker is not the partition's leader or not a replica of it";
    REQUEST_TIMED_OUT = 7, "the request was not completed in time";
    BROKER_NOT_AVAILABLE = 8, "the broker is not available";
    REPLICA_NOT_AVAILABLE = 9, "the replica is not available";
    MESSAGE_TOO_LARGE = 10, "the batch is bigger than the broker accepts";
    STALE_CONTROLLER_EPOCH = 11, "the controller has moved to another broker";
    OFFSET_METADATA_TOO_LARGE = 12, "the note stored with an offset is too long";
    NETWORK_EXCEPTION = 13, "the connection broke before the answer";
    COORDINATOR_LOAD_IN_PROGRESS = 14, "the coordinator is still loading its state";
    COORDINATOR_NOT_AVAILABLE = 15, "there is no coordinator at the moment";
    NOT_COORDINATOR = 16, "the broker is not the coordinator";
    INVALID_TOPIC_EXCEPTION = 17, "the topic's name or kind does not allow this";
    RECORD_LIST_TOO_LARGE = 18, "the batch is bigger than a log segment";
    NOT_ENOUGH_REPLICAS = 19, "fewer replicas are in sync than the topic demands; nothing was written";
    NOT_ENOUGH_REPLICAS_AFTER_APPEND = 20, "written, but to fewer in-sync replicas than the topic demands";
    INVALID_REQUIRED_ACKS = 21, "the acks setting is not valid";
    ILLEGAL_GENERATION = 22, "the group's generation is not valid";
    INCONSISTENT_GROUP_PROTOCOL = 23, "the group's protocols do not match the other members'";
    INVALID_GROUP_ID = 24, "the group id is not valid";
    UNKNOWN_MEMBER_ID = 25, "the coordinator does not know this group member";
    INVALID_SESSION_TIMEOUT = 26, "the session timeout is outside the broker's range";
    REBALANCE_IN_PROGRESS = 27, "the group is rebalancing";
    INVALID_COMMIT_OFFSET_SIZE = 28, "the offsets to commit are too big";
    TOPIC_AUTHORIZATION_FAILED = 29, "not authorized for the topic";
    GROUP_AUTHORIZATION_FAILED = 30, "not authorized for the group";
    CLUSTER_AUTHORIZATION_FAILED = 31, "not authorized for the cluster";
    INVALID_TIMESTAMP = 32, "a record's timestamp is outside the accepted range";
    UNSUPPORTED_SASL_MECHANISM = 33, "the broker does not offer this SASL mechanism";
    ILLEGAL_SASL_STATE = 34, "the request does not fit the state of the SASL exchange";
    UNSUPPORTED_VERSION = 35, "the broker does not know this version of the API";
    TOPIC_ALREADY_EXISTS = 36, "a topic of this name exists";
    INVALID_PARTITIONS = 37, "the number of partitions is not valid";
    INVALID_REPLICATION_FACTOR = 38, "the replication factor is below 1 or above the number of brokers";
    INVALID_REPLICA_ASSIGNMENT = 39, "the replica assignment is not valid";
    INVALID_CONFIG = 40, "a setting is not valid";
    NOT_CONTROLLER = 41, "the broker is not the controller";
    INVALID_REQUEST = 42, "the request is malformed or not for this broker";
    UNSUPPORTED_FOR_MESSAGE_FORMAT = 43, "the topic's message format does not allow this";
    POLICY_VIOLATION = 44, "a policy of the cluster forbids this";
    OUT_OF_ORDER_SEQUENCE_NUMBER = 45, "a batch's sequence number leaves a gap";
    DUPLICATE_SEQUENCE_NUMBER = 46, "a batch's sequence number was seen before";
    INVALID_PRODUCER_EPOCH = 47, "the producer's epoch is older than the broker's";
    INVALID_TXN_STATE = 48, "the transaction's state does not allow this";
    INVALID_PRODUCER_ID_MAPPING = 49, "the producer id does not belong to the transactional id";
    INVALID_TRANSACTION_TIMEOUT = 50, "the transaction timeout is above the broker's limit";
    CONCURRENT_TRANSACTIONS = 51, "the previous transaction is still being completed";
    TRANSACTION_COORDINATOR_FENCED = 52, "the transaction coordinator was replaced";
    TRANSACTIONAL_ID_AUTHORIZATION_FAILED = 53, "not authorized for the transactional id";
    SECURITY_DISABLED = 54, "security is switched off";
    OPERATION_NOT_ATTEMPTED = 55, "the broker did not get to this part of the request";
    KAFKA_STORAGE_ERROR = 56, "the broker's disk failed";
    LOG_DIR_NOT_FOUND = 57, "the log directory does not exist";
    SASL_AUTHENTICATION_FAILED = 58, "authentication failed";
    UNKNOWN_PRODUCER_ID = 59, "the broker has no state for this producer id";
    REASSIGNMENT_IN_PROGRESS = 60, "the partition is being reassigned";
    DELEGATION_TOKEN_AUTH_DISABLED = 61, "delegation tokens are switched off";
    DELEGATION_TOKEN_NOT_FOUND = 62, "the delegation token is unknown";
    DELEGATION_TOKEN_OWNER_MISMATCH = 63, "the delegation token belongs to someone else";
    DELEGATION_TOKEN_REQUEST_NOT_ALLOWED = 64, "delegation tokens are not allowed on this connection";
    DELEGATION_TOKEN_AUTHORIZATION_FAILED = 65, "not authorized for the delegation token";
    DELEGATION_TOKEN_EXPIRED = 66, "the delegation token has expired";
    INVALID_PRINCIPAL_TYPE = 67, "the type of the principal is not supported";
    NON_EMPTY_GROUP = 68, "the group has members";
    GROUP_ID_NOT_FOUND = 69, "the group does not exist";
    FETCH_SESSION_ID_NOT_FOUND = 70, "the fetch session is unknown";
    INVALID_FETCH_SESSION_EPOCH = 71, "the fetch session's epoch is not valid";
    LISTENER_NOT_FOUND = 72, "the leader has no listener like the one that was asked";
    TOPIC_DELETION_DISABLED = 73, "topics may not be deleted";
    FENCED_LEADER_EPOCH = 74, "the leader epoch in the request is older than the broker's";
    UNKNOWN_LEADER_EPOCH = 75, "the leader epoch in the request is newer than the broker's";
    UNSUPPORTED_COMPRESSION_TYPE = 76, "the compression type is not supported here";
    STALE_BROKER_EPOCH = 77, "the broker's epoch has changed";
    OFFSET_NOT_AVAILABLE = 78, "the offset is not settled yet after an election";
    MEMBER_ID_REQUIRED = 79, "the member must come with an id";
    PREFERRED_LEADER_NOT_AVAILABLE = 80, "the preferred leader is not available";
    GROUP_MAX_SIZE_REACHED = 81, "the group is full";
    FENCED_INSTANCE_ID = 82, "another member has the same static id";
    ELIGIBLE_LEADERS_NOT_AVAILABLE = 83, "no eligible leader is available";
    ELECTION_NOT_NEEDED = 84, "the partition needs no election";
    NO_REASSIGNMENT_IN_PROGRESS = 85, "no reassignment is under way";
    GROUP_SUBSCRIBED_TO_TOPIC = 86, "the group is subscribed to the topic";
    INVALID_RECORD = 87, "a record failed the broker's validation";
    UNSTABLE_OFFSET_COMMIT = 88, "an open transaction holds these offsets";
    THROTTLING_QUOTA_EXCEEDED = 89, "a quota for such requests is used up";
    PRODUCER_FENCED = 90, "a newer producer uses the same transactional id";
    RESOURCE_NOT_FOUND = 91, "the resource does not exist";
    DUPLICATE_RESOURCE = 92, "the request names a resource twice";
    UNACCEPTABLE_CREDENTIAL = 93, "the credential is not acceptable";
    INCONSISTENT_VOTER_SET = 94, "the request is for a different set of voters";
    INVALID_UPDATE_VERSION = 95, "the update's version is not valid";
    FEATURE_UPDATE_FAILED = 96, "the features could not be updated";
    PRINCIPAL_DESERIALIZATION_FAILURE = 97, "the principal could not be read when forwarding";
    SNAPSHOT_NOT_FOUND = 98, "the snapshot does not exist";
    POSITION_OUT_OF_RANGE = 99, "the position is outside the snapshot";
    UNKNOWN_TOPIC_ID = 100, "the broker does not know this topic id";
    DUPLICATE_BROKER_REGISTRATION = 101, "the broker id is in use";
    BROKER_ID_NOT_REGISTERED = 102, "the broker id is not registered";
    INCONSISTENT_TOPIC_ID = 103, "the topic id does not match the log's";
    INCONSISTENT_CLUSTER_ID = 104, "the cluster id does not match the broker's";
    TRANSACTIONAL_ID_NOT_FOUND = 105, "the transactional id does not exist";
    FETCH_SESSION_TOPIC_ID_ERROR = 106, "the fetch session mixes topic ids";
    INELIGIBLE_REPLICA = 107, "a replica may not join the in-sync set";
    NEW_LEADER_ELECTED = 108, "a new leader was elected meanwhile";
    OFFSET_MOVED_TO_TIERED_STORAGE = 109, "the offset has moved to remote storage";
    FENCED_MEMBER_EPOCH = 110, "the member's epoch was fenced";
    UNRELEASED_INSTANCE_ID = 111, "another member still holds the static id";
    UNSUPPORTED_ASSIGNOR = 112, "the group does not support the assignor";
    STALE_MEMBER_EPOCH = 113, "the member's epoch is out of date";
    MISMATCHED_ENDPOINT_TYPE = 114, "this endpoint is for another kind of request";
    UNSUPPORTED_ENDPOINT_TYPE = 115, "this kind of endpoint is not supported";
    UNKNOWN_CONTROLLER_ID = 116, "the controller id is unknown";
    UNKNOWN_SUBSCRIPTION_ID = 117, "the telemetry subscription is unknown or out of date";
    TELEMETRY_TOO_LARGE = 118, "the telemetry is too big";
    INVALID_REGISTRATION = 119, "the controller refused the registration";
    TRANSACTION_ABORTABLE = 120, "the transaction must be aborted; afterwards the producer may go on";
    INVALID_RECORD_STATE = 121, "the record's state does not allow this";
    SHARE_SESSION_NOT_FOUND = 122, "the share session does not exist";
    INVALID_SHARE_SESSION_EPOCH = 123, "the share session's epoch is not valid";
    FENCED_STATE_EPOCH = 124, "the share group's state epoch does not match";
    INVALID_VOTER_KEY = 125, "the voter's key does not match";
    DUPLICATE_VOTER = 126, "the voter is in the set already";
    VOTER_NOT_FOUND = 127, "the voter is not in the set";
    INVALID_REGULAR_EXPRESSION = 128, "the regular expression is not valid";
    REBOOTSTRAP_REQUIRED = 129, "the client shall start again from its bootstrap servers";
    STREAMS_INVALID_TOPOLOGY = 130, "the streams topology is not valid";
    STREAMS_INVALID_TOPOLOGY_EPOCH = 131, "the streams topology's epoch is not valid";
    STREAMS_TOPOLOGY_FENCED = 132, "the streams topology's epoch is out of date";
    SHARE_SESSION_LIMIT_REACHED = 133, "the broker holds as many share sessions as it may";
}

impl ErrorCode {
    /// Whether this is not [`ErrorCode::NONE`].
    pub const fn is_error(self) -> bool {
        self.0 != Self::NONE.0
    }

    /// Whether Kafka holds that the same request may succeed later.
    pub const fn is_retriable(self) -> bool {
        matches!(
            self.0,
            2 | 3
                | 5
                | 6
                | 7
                | 9
                | 13
                | 14
                | 15
                | 16
                | 19
                | 20
                | 41
                | 51
                | 56
                | 70
                | 71
                | 72
                | 74
                | 75
                | 78
                | 80
                | 83
                | 84
                | 88
                | 89
                | 100
                | 103
                | 106
                | 122
                | 123
                | 133
        )
    }

    /// Whether it shows that the client's metadata are out of date.
    pub const fn invalidates_metadata(self) -> bool {
        matches!(self.0, 3 | 5 | 6 | 9 | 13 | 56 | 72 | 74 | 80 | 83 | 84 | 100 | 103)
    }
}

impl From<i16> for ErrorCode {
    fn from(code: i16) -> Self {
        Self(code)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.0)
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_no_gap_and_no_double() {
        let numbers: Vec<i16> = ErrorCode::ALL.iter().map(|code| code.0).collect();
        assert_eq!(numbers, (-1..=133).collect::<Vec<_>>());
        assert!(ErrorCode::ALL.iter().all(|code| code.name() != "UNKNOWN" && !code.description().is_empty()));
    }

    #[test]
    fn unknown_codes_keep_their_number() {
        assert_eq!(ErrorCode(4711).to_string(), "UNKNOWN (4711)");
        assert_eq!(format!("{:?}", ErrorCode::NOT_LEADER_OR_FOLLOWER), "NOT_LEADER_OR_FOLLOWER (6)");
        assert!(!ErrorCode(4711).is_retriable());
    }

    #[test]
    fn stale_metadata_is_always_worth_a_retry() {
        assert!(ErrorCode::ALL.iter().filter(|c| c.invalidates_metadata()).all(|c| c.is_retriable()));
        assert_eq!(ErrorCode::ALL.iter().filter(|c| c.is_retriable()).count(), 32);
        assert_eq!(ErrorCode::ALL.iter().filter(|c| c.invalidates_metadata()).count(), 13);
    }
}
