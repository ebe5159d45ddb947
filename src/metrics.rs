//! Counters of what happened, updated per batch, request or event, never per record under a lock.
//!
//! Written by every thread with relaxed atomics, read by `metrics()`.

use crate::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// The live counters of one producer.
        #[derive(Debug, Default)]
        pub(crate) struct Metrics {
            $($(#[$doc])* pub(crate) $name: Counter,)*
        }

        /// The producer's counters at one moment. Totals since the producer was opened, unless said otherwise.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct MetricsSnapshot {
            $($(#[$doc])* pub $name: u64,)*
            /// Bytes of `buffer.memory` (now).
            pub buffer_total_bytes: u64,
            /// Bytes of `buffer.memory` that nobody holds (now).
            pub buffer_available_bytes: u64,
            /// Threads that wait for memory (now).
            pub waiting_threads: u64,
            /// Records that entered and have no outcome yet, in batches that are closed (now).
            pub records_pending: u64,
        }

        impl Metrics {
            pub(crate) fn snapshot(&self) -> MetricsSnapshot {
                MetricsSnapshot { $($name: self.$name.get(),)* ..MetricsSnapshot::default() }
            }
        }
    };
}

counters! {
    /// Records acknowledged.
    records_acknowledged,
    /// Records that ended with an error after they had entered.
    records_failed,
    /// Failed records whose handle nobody looked at.
    records_failed_unseen,
    /// Records that `send` refused: they never entered.
    records_refused,
    /// Batches sent again.
    batches_retried,
    /// Batches split because a broker found them too large.
    batches_split,
    /// Batches written to a broker, repeats counted each.
    batches_sent,
    /// Records written to a broker, repeats counted each.
    records_sent,
    /// Bytes of records before compression, repeats not counted.
    uncompressed_bytes,
    /// Bytes of batches as written, repeats counted each.
    batch_bytes_sent,
    /// Produce requests written.
    produce_requests,
    /// Requests of any kind written.
    requests,
    /// Responses of any kind read.
    responses,
    /// Bytes written to brokers.
    bytes_out,
    /// Bytes read from brokers.
    bytes_in,
    /// Connections made.
    connections_created,
    /// Connections closed or lost.
    connections_closed,
    /// Metadata responses applied.
    metadata_updates,
    /// Sum of throttle times that brokers asked for, in milliseconds.
    throttle_millis,
    /// Producer epochs taken after a failure that left a gap in the sequence.
    epoch_bumps,
    /// Times a `send` had to wait for memory.
    buffer_waits,
}

/// A total that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    #[inline]
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn increment(&self) {
        self.add(1);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
