//! What is counted for each node and topic, and everything that is averaged.
//!
//! One leaf lock, taken by the sender once for a request and once for its answer, and by who reads metrics. Counters
//! of topics are atomics of their own, shared by the topic's partitions, so that a batch finds them without looking up.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::window::{Frame, Ring, Tally};
use super::{Counter, Totals};
use crate::sync::Arc;

/// What is averaged for the producer as a whole.
#[derive(Clone, Debug, Default)]
pub(super) struct Tallies {
    pub(super) batch_size: Tally,
    pub(super) queue_time: Tally,
    pub(super) record_size: Tally,
    pub(super) records_per_request: Tally,
    pub(super) request_size: Tally,
    pub(super) request_latency: Tally,
    pub(super) throttle_time: Tally,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct NodeTotals {
    pub(super) requests: u64,
    pub(super) responses: u64,
    pub(super) bytes_out: u64,
    pub(super) bytes_in: u64,
}

#[derive(Clone, Debug, Default)]
pub(super) struct NodeTallies {
    pub(super) request_size: Tally,
    pub(super) request_latency: Tally,
}

/// One broker.
#[derive(Debug)]
pub(super) struct NodeSensors {
    pub(super) totals: NodeTotals,
    pub(super) ring: Ring<NodeTotals, NodeTallies>,
}

/// The live counters of a topic, shared by its partitions.
#[derive(Debug, Default)]
pub(crate) struct TopicCounters {
    pub(crate) records_sent: Counter,
    pub(crate) bytes_sent: Counter,
    pub(crate) records_retried: Counter,
    pub(crate) records_failed: Counter,
    /// Before compression, each batch once.
    pub(crate) uncompressed_bytes: Counter,
    pub(crate) compressed_bytes: Counter,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TopicTotals {
    pub(super) records_sent: u64,
    pub(super) bytes_sent: u64,
    pub(super) records_retried: u64,
    pub(super) records_failed: u64,
    pub(super) uncompressed_bytes: u64,
    pub(super) compressed_bytes: u64,
}

impl TopicCounters {
    pub(super) fn totals(&self) -> TopicTotals {
        TopicTotals {
            records_sent: self.records_sent.get(),
            bytes_sent: self.bytes_sent.get(),
            records_retried: self.records_retried.get(),
            records_failed: self.records_failed.get(),
            uncompressed_bytes: self.uncompressed_bytes.get(),
            compressed_bytes: self.compressed_bytes.get(),
        }
    }
}

/// One topic in use.
#[derive(Debug)]
pub(super) struct TopicSensors {
    pub(super) counters: Arc<TopicCounters>,
    pub(super) ring: Ring<TopicTotals, ()>,
}

#[derive(Debug)]
pub(super) struct Sensors {
    pub(super) frame: Frame,
    pub(super) own: Ring<Totals, Tallies>,
    pub(super) nodes: BTreeMap<i32, NodeSensors>,
    pub(super) topics: BTreeMap<Arc<str>, TopicSensors>,
    /// When the last metadata response was applied.
    pub(super) metadata_at: Option<Instant>,
}

impl Sensors {
    pub(super) fn new(window: Duration, samples: u32, now: Instant) -> Self {
        Self {
            frame: Frame::new(window, samples, now),
            own: Ring::new(now, Totals::default()),
            nodes: BTreeMap::new(),
            topics: BTreeMap::new(),
            metadata_at: None,
        }
    }

    /// Begins the window of `now`, if the last one is over.
    pub(super) fn roll(&mut self, now: Instant, totals: Totals) {
        let starts = self.frame.advance(now);
        self.own.roll(&self.frame, &starts, totals);
        for node in self.nodes.values_mut() {
            node.ring.roll(&self.frame, &starts, node.totals);
        }
        for topic in self.topics.values_mut() {
            topic.ring.roll(&self.frame, &starts, topic.counters.totals());
        }
    }

    pub(super) fn node(&mut self, id: i32, now: Instant) -> &mut NodeSensors {
        self.nodes.entry(id).or_insert_with(|| NodeSensors {
            totals: NodeTotals::default(),
            ring: Ring::new(now, NodeTotals::default()),
        })
    }
}
