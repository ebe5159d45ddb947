//! What batches tell their producer by themselves: that somebody waits, that they were lost, that nobody saw a failure.
//!
//! Runs on whichever thread waits, ends a batch or drops a handle. One lock, a leaf, which is let go before anything is
//! logged: the program's logger may send.

use std::time::{Duration, Instant};

use super::RecordAccumulator;
use crate::delivery::{BatchOwner, PendingCallbacks};
use crate::error::{Error, ErrorKind};
use crate::record::TopicPartition;

/// Failures nobody looked at are logged at most once a second.
#[derive(Debug, Default)]
pub(super) struct UnseenLog {
    last: Option<Instant>,
    suppressed: u64,
}

impl BatchOwner for RecordAccumulator {
    fn hurry(&self, partition: u32) {
        // Without linger the sender was told when the batch was begun.
        if !self.settings.linger.is_zero() {
            self.signals.hurry(partition);
        }
    }

    fn call_back(&self, callbacks: PendingCallbacks) {
        if let Some(sink) = self.callbacks.get() {
            sink(callbacks, None);
        }
    }

    fn abandoned(&self, partition: u32, generation: u64) {
        // First: a logger may flush, and would wait for what is lost.
        self.unfinished.end(generation);
        log::error!(target: "kafka_producer::accumulator", "a batch of partition #{partition} was lost");
    }

    fn failed_unseen(&self, tp: &TopicPartition, error: &Error, records: u32) {
        if error.kind() == ErrorKind::TransactionAborted {
            // Nothing is lost: whoever aborted the transaction wanted that.
            return;
        }
        self.metrics.records_failed_unseen.add(u64::from(records));
        let now = crate::clock::now();
        let mut unseen = self.unseen.lock();
        let recent =
            unseen.last.is_some_and(|last| now.saturating_duration_since(last) < Duration::from_secs(1));
        if recent {
            unseen.suppressed += u64::from(records);
            return;
        }
        unseen.last = Some(now);
        let before = std::mem::take(&mut unseen.suppressed);
        drop(unseen);
        log::warn!(
            target: "kafka_producer::delivery",
            "{records} record(s) for {tp} failed and nobody waited for them ({before} more since the last line): {error}"
        );
    }
}
