//! Kafka's error codes: number, name, whether a retry can help, whether the metadata is stale.

/// An error code as a broker sends it. Codes this version does not know keep their number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ErrorCode(pub i16);
