//! Which brokers have had something to take, and could not, for `partitioner.availability.timeout.ms` (KIP-794).
//!
//! Looked at whenever there is something to drain, on the sender thread; the sticky choice then passes their partitions
//! over. A broker is back as soon as it has room, or nothing waits for it any more: unlike Java's, which never clears a
//! broker whose batches expired. As in Java a partition that waits for itself does not count, such as one whose very
//! first batch has no answer yet: that broker is noticed by its other partitions, or when the connection ends.

use std::time::Instant;

use super::Engine;

impl Engine {
    /// No timer of its own: new batches wake the sender, and without new batches nothing is chosen.
    pub(super) fn watch_availability(&mut self, now: Instant) {
        let Some(timeout) = self.acc.availability_timeout() else { return };
        let max = self.settings.max_in_flight;
        let mut stalled = Vec::new();
        for node in self.nodes.values_mut() {
            let waiting = !node.ready.is_empty();
            let room = node.connection().is_some_and(|c| c.has_room(max, now));
            if !waiting || room {
                node.stalled_since = None;
                continue;
            }
            let since = *node.stalled_since.get_or_insert(now);
            if now.saturating_duration_since(since) > timeout {
                stalled.push(node.id);
            }
        }
        stalled.sort_unstable();
        self.acc.set_stalled(stalled);
    }
}
