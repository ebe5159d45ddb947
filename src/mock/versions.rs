//! Which API versions the releases of Apache Kafka advertise, as far as this cluster speaks them.
//!
//! Facts only; no state. What is advertised in the end is the intersection with what the codec has. KIP-511
//! (ApiVersions v3), KIP-896 (versions removed in 4.0).

use crate::protocol::ApiKey;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// The Kafka release that a [`MockCluster`](super::MockCluster) answers like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum BrokerVersion {
    /// 2.1: zstd, no flexible versions, unknown producers must start at sequence 0.
    V2_1,
    /// 2.8: flexible versions, topic ids in Metadata.
    V2_8,
    /// 3.9: leader hints in Produce answers, no topic ids in Produce requests.
    V3_9,
    /// 4.3: topic ids in Produce requests, old versions removed.
    #[default]
    V4_3,
}

/// One API and the inclusive range of versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ApiRange {
    pub(crate) key: i16,
    pub(crate) min: i16,
    pub(crate) max: i16,
}

const fn range(key: i16, min: i16, max: i16) -> ApiRange {
    ApiRange { key, min, max }
}

const PRODUCE: i16 = 0;
const FETCH: i16 = 1;
const LIST_OFFSETS: i16 = 2;
const METADATA: i16 = 3;
const OFFSET_COMMIT: i16 = 8;
const OFFSET_FETCH: i16 = 9;
const FIND_COORDINATOR: i16 = 10;
const API_VERSIONS: i16 = 18;
const CREATE_TOPICS: i16 = 19;
const DELETE_TOPICS: i16 = 20;
const INIT_PRODUCER_ID: i16 = 22;
const ADD_PARTITIONS_TO_TXN: i16 = 24;
const ADD_OFFSETS_TO_TXN: i16 = 25;
const END_TXN: i16 = 26;
const TXN_OFFSET_COMMIT: i16 = 28;
const CREATE_PARTITIONS: i16 = 37;
const DESCRIBE_CLUSTER: i16 = 60;

const KAFKA_2_1: &[ApiRange] = &[
    range(PRODUCE, 0, 7),
    range(FETCH, 0, 10),
    range(LIST_OFFSETS, 0, 4),
    range(METADATA, 0, 7),
    range(OFFSET_COMMIT, 0, 6),
    range(OFFSET_FETCH, 0, 5),
    range(FIND_COORDINATOR, 0, 2),
    range(API_VERSIONS, 0, 2),
    range(CREATE_TOPICS, 0, 3),
    range(DELETE_TOPICS, 0, 3),
    range(INIT_PRODUCER_ID, 0, 1),
    range(ADD_PARTITIONS_TO_TXN, 0, 1),
    range(ADD_OFFSETS_TO_TXN, 0, 1),
    range(END_TXN, 0, 1),
    range(TXN_OFFSET_COMMIT, 0, 2),
    range(CREATE_PARTITIONS, 0, 1),
];

const KAFKA_2_8: &[ApiRange] = &[
    range(PRODUCE, 0, 9),
    range(FETCH, 0, 12),
    range(LIST_OFFSETS, 0, 6),
    range(METADATA, 0, 11),
    range(OFFSET_COMMIT, 0, 8),
    range(OFFSET_FETCH, 0, 7),
    range(FIND_COORDINATOR, 0, 3),
    range(API_VERSIONS, 0, 3),
    range(CREATE_TOPICS, 0, 7),
    range(DELETE_TOPICS, 0, 6),
    range(INIT_PRODUCER_ID, 0, 4),
    range(ADD_PARTITIONS_TO_TXN, 0, 3),
    range(ADD_OFFSETS_TO_TXN, 0, 3),
    range(END_TXN, 0, 3),
    range(TXN_OFFSET_COMMIT, 0, 3),
    range(CREATE_PARTITIONS, 0, 3),
    range(DESCRIBE_CLUSTER, 0, 0),
];

const KAFKA_3_9: &[ApiRange] = &[
    range(PRODUCE, 0, 11),
    range(FETCH, 0, 17),
    range(LIST_OFFSETS, 0, 9),
    range(METADATA, 0, 12),
    range(OFFSET_COMMIT, 0, 9),
    range(OFFSET_FETCH, 0, 9),
    range(FIND_COORDINATOR, 0, 6),
    range(API_VERSIONS, 0, 4),
    range(CREATE_TOPICS, 0, 7),
    range(DELETE_TOPICS, 0, 6),
    range(INIT_PRODUCER_ID, 0, 5),
    range(ADD_PARTITIONS_TO_TXN, 0, 5),
    range(ADD_OFFSETS_TO_TXN, 0, 4),
    range(END_TXN, 0, 4),
    range(TXN_OFFSET_COMMIT, 0, 4),
    range(CREATE_PARTITIONS, 0, 3),
    range(DESCRIBE_CLUSTER, 0, 1),
];

/// 4.x advertises Produce from 0 only because librdkafka tests for that; below 3 it answers with an error.
const KAFKA_4_3: &[ApiRange] = &[
    range(PRODUCE, 0, 13),
    range(FETCH, 4, 18),
    range(LIST_OFFSETS, 1, 11),
    range(METADATA, 0, 13),
    range(OFFSET_COMMIT, 2, 10),
    range(OFFSET_FETCH, 1, 10),
    range(FIND_COORDINATOR, 0, 6),
    range(API_VERSIONS, 0, 4),
    range(CREATE_TOPICS, 2, 7),
    range(DELETE_TOPICS, 1, 6),
    range(INIT_PRODUCER_ID, 0, 5),
    range(ADD_PARTITIONS_TO_TXN, 0, 5),
    range(ADD_OFFSETS_TO_TXN, 0, 4),
    range(END_TXN, 0, 5),
    range(TXN_OFFSET_COMMIT, 0, 5),
    range(CREATE_PARTITIONS, 0, 3),
    range(DESCRIBE_CLUSTER, 0, 2),
];

impl BrokerVersion {
    /// Every preset, oldest first.
    pub const ALL: [Self; 4] = [Self::V2_1, Self::V2_8, Self::V3_9, Self::V4_3];

    pub(crate) fn ranges(self) -> &'static [ApiRange] {
        match self {
            Self::V2_1 => KAFKA_2_1,
            Self::V2_8 => KAFKA_2_8,
            Self::V3_9 => KAFKA_3_9,
            Self::V4_3 => KAFKA_4_3,
        }
    }

    pub(crate) fn range_of(self, api: ApiKey) -> Option<ApiRange> {
        let key = api.0;
        self.ranges().iter().copied().find(|r| r.key == key)
    }

    /// The levels of the feature `transaction.version` that the release has; `None` if it lacks the feature.
    pub(crate) fn transaction_versions(self) -> Option<RangeInclusive<i16>> {
        (self >= Self::V4_3).then_some(0..=2)
    }

    /// Brokers from 3.6 on ask the coordinator whether a partition is part of the transaction (KIP-890).
    pub(crate) fn verifies_transactions(self) -> bool {
        self >= Self::V3_9
    }

    /// Brokers before 2.5 refuse an unknown producer id that does not start at sequence 0 (KIP-360).
    pub(crate) fn refuses_unknown_producers(self) -> bool {
        self < Self::V2_8
    }
}

impl fmt::Display for BrokerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V2_1 => "2.1",
            Self::V2_8 => "2.8",
            Self::V3_9 => "3.9",
            Self::V4_3 => "4.3",
        })
    }
}

impl FromStr for BrokerVersion {
    type Err = String;

    /// `"2.1"`, `"2.8"`, `"3.9"` or `"4.3"`.
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|v| v.to_string() == text)
            .ok_or_else(|| format!("no such broker version: {text}; there are 2.1, 2.8, 3.9 and 4.3"))
    }
}
