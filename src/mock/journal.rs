//! The journal: which requests arrived, decoded as far as an assertion wants to look.
//!
//! Owned by the cluster's state, under its lock. Bounded: the oldest entries go first.

use crate::protocol::ApiKey;
use std::collections::VecDeque;
use std::time::Instant;

/// One request that a broker of the [`MockCluster`](super::MockCluster) received.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ReceivedRequest {
    /// When it was handled.
    pub at: Instant,
    /// The broker that received it.
    pub node: i32,
    /// The connection it came on; numbers are never used twice in one cluster.
    pub connection: u64,
    /// Which API it called.
    pub api: ApiKey,
    /// In which version.
    pub version: i16,
    /// Its correlation id.
    pub correlation_id: i32,
    /// The client's name for itself.
    pub client_id: Option<String>,
    /// Its size in bytes, header included, length prefix not.
    pub size: usize,
    /// What it said.
    pub body: RequestBody,
}

impl ReceivedRequest {
    /// The batches of a Produce request; none of any other.
    pub fn batches(&self) -> &[ProducedBatch] {
        match &self.body {
            RequestBody::Produce { batches, .. } => batches,
            _ => &[],
        }
    }
}

/// What a [`ReceivedRequest`] said, as far as it is of use in assertions.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestBody {
    /// Record batches to append.
    Produce {
        /// The transactional id, if any.
        transactional_id: Option<String>,
        /// 0, 1, or -1 for all in-sync replicas.
        acks: i16,
        /// How long the broker may wait for replicas.
        timeout_ms: i32,
        /// One entry for each partition, in the order of the request.
        batches: Vec<ProducedBatch>,
    },
    /// A question for the cluster's shape.
    Metadata {
        /// The topics asked for, ids resolved to names where known; `None` asked for all.
        topics: Option<Vec<String>>,
        /// Whether missing topics may be created.
        allow_auto_create: bool,
    },
    /// A question for API versions.
    ApiVersions {
        /// The client library's name; empty before version 3.
        software_name: String,
        /// The client library's version; empty before version 3.
        software_version: String,
    },
    /// A request for a producer id.
    InitProducerId {
        /// The transactional id, if any.
        transactional_id: Option<String>,
        /// The producer id in use, if any.
        producer_id: Option<i64>,
    },
    /// A question for coordinators.
    FindCoordinator {
        /// Whether the keys are transactional ids, and not groups.
        transactional: bool,
        /// The keys.
        keys: Vec<String>,
    },
    /// Partitions that become part of a transaction.
    AddPartitionsToTxn {
        /// The transactional id.
        transactional_id: String,
        /// Topics and partitions.
        partitions: Vec<(String, i32)>,
    },
    /// A group whose offsets become part of a transaction.
    AddOffsetsToTxn {
        /// The transactional id.
        transactional_id: String,
        /// The group.
        group: String,
    },
    /// Offsets that are committed with a transaction.
    TxnOffsetCommit {
        /// The transactional id.
        transactional_id: String,
        /// The group.
        group: String,
        /// Topics, partitions and offsets.
        offsets: Vec<(String, i32, i64)>,
    },
    /// The end of a transaction.
    EndTxn {
        /// The transactional id.
        transactional_id: String,
        /// The producer id.
        producer_id: i64,
        /// Its epoch.
        producer_epoch: i16,
        /// Whether it commits.
        commit: bool,
    },
    /// Topics to create or delete.
    Topics(Vec<String>),
    /// Anything else.
    Other,
}

/// One partition's batch in a Produce request, read from the batch's header.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProducedBatch {
    /// The topic's name; empty if the request named an unknown topic id.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// How many records the header claims.
    pub records: i32,
    /// The batch's size in bytes.
    pub bytes: usize,
    /// The idempotent producer's id.
    pub producer_id: Option<i64>,
    /// Its epoch.
    pub producer_epoch: Option<i16>,
    /// The first record's sequence number.
    pub base_sequence: Option<i32>,
    /// Whether it is part of a transaction.
    pub transactional: bool,
    /// The checksum its header claims, over everything from the attributes on: equal ones are equal batches.
    pub crc: u32,
}

#[derive(Debug)]
pub(crate) struct Journal {
    entries: VecDeque<ReceivedRequest>,
    capacity: usize,
}

impl Journal {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { entries: VecDeque::new(), capacity }
    }

    pub(crate) fn is_kept(&self) -> bool {
        self.capacity > 0
    }

    pub(crate) fn push(&mut self, request: ReceivedRequest) {
        if self.entries.len() == self.capacity {
            self.entries.pop_front();
        }
        if self.capacity > 0 {
            self.entries.push_back(request);
        }
    }

    pub(crate) fn of(&self, api: ApiKey) -> Vec<ReceivedRequest> {
        self.entries.iter().filter(|r| r.api == api).cloned().collect()
    }

    pub(crate) fn all(&self) -> Vec<ReceivedRequest> {
        self.entries.iter().cloned().collect()
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }
}
