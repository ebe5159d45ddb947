//! Application threads that compress: in `send`, when the sender is behind, and in `flush`, when there is nothing else to
//! do for it but wait.
//!
//! Compression runs outside every lock; a batch leaves a marker in its queue meanwhile. Who may not block does not compress.

use std::time::{Duration, Instant};

use super::RecordAccumulator;
use super::batch::Batch;
use super::entry::PartitionEntry;
use crate::clock;
use crate::sync::Arc;

/// A flush whose time is over sooner does not compress: one batch may take a good part of it.
const TIME_TO_HELP: Duration = Duration::from_secs(1);

impl RecordAccumulator {
    /// Compresses a batch here if a codec is set, the sender has more than one to do, and a core is free.
    #[inline]
    pub(super) fn help_sealing(&self, entry: &Arc<PartitionEntry>) {
        if !self.sealer.compresses() || entry.closed.lock().unsealed() < 2 {
            return;
        }
        self.seal_one(entry, |_| true);
    }

    /// Compresses what a flush waits for side by side with the sender, which would do it alone: up to two batches of each
    /// partition.
    pub(super) fn help_flush(&self, deadline: Instant) {
        if !self.sealer.compresses() {
            return;
        }
        let flushed = |generation| self.unfinished.is_flushing(generation);
        let partitions: Vec<_> = self.topics.each().iter().flat_map(|topic| topic.known()).collect();
        let mut more = true;
        while std::mem::take(&mut more) {
            for entry in &partitions {
                if clock::deadline(clock::now(), TIME_TO_HELP) > deadline {
                    return;
                }
                entry.intake.lock().close_open_if(&self.pool, &entry.closed, flushed);
                more |= self.seal_one(entry, |batch| flushed(batch.generation));
            }
        }
    }

    /// Compresses the oldest batch that nobody has, if it is `wanted`; whether there was one, and a core free for it.
    fn seal_one(&self, entry: &Arc<PartitionEntry>, wanted: impl Fn(&Batch) -> bool) -> bool {
        let mut done = false;
        self.sealer.try_help(|seal| {
            let Some((place, batch)) = entry.closed.lock().take_to_seal(wanted) else { return };
            match seal(batch) {
                Ok(sealed) => {
                    self.learn_ratio(entry, &sealed);
                    entry.closed.lock().put_sealed(place, sealed);
                }
                Err((batch, error)) => {
                    entry.closed.lock().forget_sealing(place, &batch, &self.pool);
                    self.fail(entry, &batch, error);
                }
            }
            self.signals.partition(entry);
            if let Some(error) = self.dead.get() {
                self.abandon(error);
            }
            done = true;
        });
        done
    }
}
