//! What happened, counted: totals, rates, averages and maxima; events for a listener.
//!
//! Written per batch, request or event, never per record: totals are relaxed atomics, everything that is averaged lies
//! behind one leaf lock (`sensors`) that the sender takes twice per request. Read by `metrics()` on any thread. Names
//! and groups are those of Java's producer (`catalog`). Must not know sockets, queues or types of records.

use std::time::{Duration, Instant};

mod catalog;
mod event;
mod prometheus;
mod sensors;
mod snapshot;
mod window;

#[cfg(test)]
mod tests;

pub use catalog::{Metric, MetricValue, MetricsIter, observability_tables};
pub use event::{Broker, Event, RequestOutcome};
pub use snapshot::{NodeMetrics, NodeRates, TopicMetrics, TopicRates};
pub use window::Summary;

pub(crate) use event::EventQueue;
pub(crate) use sensors::TopicCounters;

use crate::clock;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Arc, Mutex, MutexGuard, OnceLock};
use sensors::{Sensors, TopicSensors};
use window::Ring;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// The live counters of one producer.
        #[derive(Debug)]
        pub(crate) struct Metrics {
            $($(#[$doc])* pub(crate) $name: Counter,)*
            client_id: Arc<str>,
            /// Milliseconds since 1970.
            started: i64,
            /// When `next_roll` counts from.
            base: Instant,
            /// When the next window begins, in nanoseconds; spares the sender a look behind the lock.
            next_roll: AtomicU64,
            sensors: Mutex<Sensors>,
            events: OnceLock<EventQueue>,
        }

        /// The counters at one moment.
        #[derive(Clone, Copy, Debug, Default)]
        struct Totals {
            $($name: u64,)*
        }

        /// How fast each total of a [`MetricsSnapshot`] grows, per second, over the windows that `metrics.num.samples`
        /// and `metrics.sample.window.ms` give.
        #[derive(Clone, Copy, Debug, Default, PartialEq)]
        #[non_exhaustive]
        #[allow(missing_docs, reason = "each is the rate of the total of the same name")]
        pub struct Rates {
            $(pub $name: f64,)*
        }

        impl Rates {
            fn between(old: &Totals, new: &Totals, seconds: f64) -> Self {
                Self { $($name: per_second(old.$name, new.$name, seconds),)* }
            }
        }

        /// The producer's metrics at one moment: totals since the producer was opened, gauges (now), and rates,
        /// averages and maxima over the last windows.
        ///
        /// [`iter`](Self::iter) has them by the names of the Java client, [`to_prometheus`](Self::to_prometheus) as
        /// text for a scraper. docs/observability.md lists them all.
        #[derive(Clone, Debug, Default, PartialEq)]
        #[non_exhaustive]
        pub struct MetricsSnapshot {
            $($(#[$doc])* pub $name: u64,)*
            /// Bytes of `buffer.memory` (now).
            pub buffer_total_bytes: u64,
            /// Bytes of `buffer.memory` that nobody holds (now).
            pub buffer_available_bytes: u64,
            /// Threads that wait for memory (now).
            pub waiting_threads: u64,
            /// Records that entered and have no outcome yet (now).
            pub records_pending: u64,
            /// Requests that were written and are not answered (now).
            pub requests_in_flight: u64,
            /// Connections that stand (now).
            pub connections: u64,
            /// How old the metadata is; `None` before the first.
            pub metadata_age: Option<Duration>,
            /// When the producer was opened, in milliseconds since 1970.
            pub start_time_millis: i64,
            /// `client.id`, or the name the producer gave itself.
            pub client_id: Arc<str>,
            /// Bytes of a batch as written, header included; repeats counted.
            pub batch_size: Summary,
            /// Milliseconds from a batch's first record to its first request.
            pub queue_time_millis: Summary,
            /// Bytes of a record before compression.
            pub record_size: Summary,
            /// Records in a produce request.
            pub records_per_request: Summary,
            /// Bytes of a request of any kind.
            pub request_size: Summary,
            /// Milliseconds from a produce request to its answer.
            pub request_latency_millis: Summary,
            /// Milliseconds of silence that the answers to produce requests asked for, zeros included.
            pub throttle_time_millis: Summary,
            /// Bytes after compression by bytes before, in the last windows; `None` if nothing was sent.
            pub compression_rate: Option<f64>,
            /// What the totals above grow by in a second.
            pub rates: Rates,
            /// Brokers in use; bootstrap addresses have negative ids. By id.
            pub nodes: Vec<NodeMetrics>,
            /// Topics in use, by name. One that was not used for `metadata.max.idle.ms` goes.
            pub topics: Vec<TopicMetrics>,
        }

        impl Metrics {
            /// `window` and `samples`: `metrics.sample.window.ms` and `metrics.num.samples`.
            pub(crate) fn new(client_id: &str, window: Duration, samples: u32) -> Self {
                let base = clock::now();
                let metrics = Self {
                    $($name: Counter::default(),)*
                    client_id: Arc::from(client_id),
                    started: clock::wall_millis(),
                    base,
                    next_roll: AtomicU64::new(0),
                    sensors: Mutex::new(Sensors::new(window, samples, base)),
                    events: OnceLock::new(),
                };
                metrics.tick(base);
                metrics
            }

            fn totals(&self) -> Totals {
                Totals { $($name: self.$name.get(),)* }
            }

            /// The counters alone.
            fn counted(&self) -> MetricsSnapshot {
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
    /// Records in batches sent again, each time.
    records_retried,
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
    /// Bytes of records after compression, repeats not counted.
    compressed_bytes,
    /// Bytes of batches as written, repeats counted each.
    batch_bytes_sent,
    /// Produce requests written.
    produce_requests,
    /// Requests of any kind written.
    requests,
    /// Responses of any kind read.
    responses,
    /// Requests that are over: answered, lost with their connection, or written where no answer is expected.
    requests_done,
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
    /// Times a `send` got no memory.
    buffer_exhausted,
    /// Nanoseconds that threads waited for memory, in all.
    buffer_wait_nanos,
    /// Nanoseconds that threads waited for a topic's metadata, in all.
    metadata_wait_nanos,
    /// Nanoseconds spent in `flush`.
    flush_nanos,
    /// Nanoseconds spent in `init_transactions`.
    txn_init_nanos,
    /// Nanoseconds spent in `begin_transaction`.
    txn_begin_nanos,
    /// Nanoseconds spent in `send_offsets`.
    txn_send_offsets_nanos,
    /// Nanoseconds spent committing transactions.
    txn_commit_nanos,
    /// Nanoseconds spent aborting transactions.
    txn_abort_nanos,
    /// Times the sender thread looked at its sockets.
    polls,
    /// Nanoseconds that the sender thread slept or waited for its sockets.
    io_wait_nanos,
    /// Nanoseconds that the sender thread worked.
    io_nanos,
    /// Events that the event listener did not get, since its queue was full.
    events_dropped,
}

/// What one produce request holds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ProduceTally {
    pub(crate) records: u64,
    pub(crate) batches: u64,
    pub(crate) batch_bytes: u64,
    pub(crate) largest_batch: usize,
    /// Of those batches that go out for the first time.
    pub(crate) new: NewBatches,
}

/// Batches that go out for the first time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct NewBatches {
    pub(crate) count: u64,
    pub(crate) records: u64,
    pub(crate) raw_bytes: u64,
    pub(crate) body_bytes: u64,
    pub(crate) largest_record: u32,
    pub(crate) queued: Duration,
    pub(crate) longest_queued: Duration,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new("", Duration::from_secs(30), 2)
    }
}

impl Metrics {
    /// Sender, once a turn: begins a new window before anything is counted in it. An atomic's look if none is due.
    #[inline]
    pub(crate) fn tick(&self, now: Instant) {
        let at = now.saturating_duration_since(self.base).as_nanos() as u64;
        if at >= self.next_roll.load(Ordering::Relaxed) {
            drop(self.locked(now));
        }
    }

    fn locked(&self, now: Instant) -> MutexGuard<'_, Sensors> {
        let mut sensors = self.sensors.lock();
        if sensors.frame.is_due(now) {
            sensors.roll(now, self.totals());
        }
        let next = sensors.frame.next().saturating_duration_since(self.base).as_nanos() as u64;
        self.next_roll.store(next, Ordering::Relaxed);
        sensors
    }

    /// A produce request is about to be written.
    pub(crate) fn produce_sent(&self, sent: &ProduceTally, now: Instant) {
        let mut sensors = self.locked(now);
        let tally = sensors.own.tally();
        tally.batch_size.add_many(sent.batches, sent.batch_bytes as f64, sent.largest_batch as f64);
        tally.records_per_request.add(sent.records as f64);
        let new = &sent.new;
        tally.record_size.add_many(new.records, new.raw_bytes as f64, f64::from(new.largest_record));
        tally.queue_time.add_many(new.count, millis(new.queued), millis(new.longest_queued));
        drop(sensors);
        self.produce_requests.increment();
        self.batches_sent.add(sent.batches);
        self.records_sent.add(sent.records);
        self.batch_bytes_sent.add(sent.batch_bytes);
        self.uncompressed_bytes.add(new.raw_bytes);
        self.compressed_bytes.add(new.body_bytes);
    }

    /// A request of any kind goes to a broker.
    pub(crate) fn request_sent(&self, node: i32, bytes: usize, now: Instant) {
        let mut sensors = self.locked(now);
        sensors.own.tally().request_size.add(bytes as f64);
        let node = sensors.node(node, now);
        node.totals.requests += 1;
        node.totals.bytes_out += bytes as u64;
        node.ring.tally().request_size.add(bytes as f64);
        drop(sensors);
        self.requests.increment();
        self.bytes_out.add(bytes as u64);
    }

    /// A response came. `produce`: how long the produce request took that it answers, and the silence it asks for.
    pub(crate) fn answered(&self, node: i32, bytes: usize, produce: Option<(Duration, i32)>, now: Instant) {
        let mut sensors = self.locked(now);
        if let Some((took, throttle)) = produce {
            let tally = sensors.own.tally();
            tally.request_latency.add(millis(took));
            tally.throttle_time.add(f64::from(throttle.max(0)));
        }
        let node = sensors.node(node, now);
        node.totals.responses += 1;
        node.totals.bytes_in += bytes as u64;
        if let Some((took, _)) = produce {
            node.ring.tally().request_latency.add(millis(took));
        }
        drop(sensors);
        self.requests_done.increment();
    }

    /// A metadata response was applied.
    pub(crate) fn metadata_applied(&self, now: Instant) {
        self.locked(now).metadata_at = Some(now);
        self.metadata_updates.increment();
    }

    /// The broker is known no more.
    pub(crate) fn forget_node(&self, node: i32) {
        self.sensors.lock().nodes.remove(&node);
    }

    /// The topic is in use.
    pub(crate) fn keep_topic(&self, name: &Arc<str>, counters: &Arc<TopicCounters>, now: Instant) {
        let mut sensors = self.locked(now);
        sensors.topics.entry(name.clone()).or_insert_with(|| TopicSensors {
            counters: counters.clone(),
            ring: Ring::new(now, counters.totals()),
        });
    }

    /// Nobody uses the topic any more.
    pub(crate) fn forget_topic(&self, name: &str) {
        self.sensors.lock().topics.remove(name);
    }

    /// Runs a call of the user's that may wait, and adds how long it took.
    pub(crate) fn time<R>(&self, total: fn(&Self) -> &Counter, call: impl FnOnce() -> R) -> R {
        let began = clock::now();
        let result = call();
        total(self).add(nanos(clock::now().saturating_duration_since(began)));
        result
    }

    /// The sender has ended, and with it its connections.
    pub(crate) fn all_closed(&self) {
        self.connections_closed
            .add(self.connections_created.get().saturating_sub(self.connections_closed.get()));
        self.requests_done.add(self.requests.get().saturating_sub(self.requests_done.get()));
    }

    // ---- events ------------------------------------------------------------

    /// Where events go; set once, before the first.
    pub(crate) fn set_events(&self, queue: EventQueue) {
        let _ = self.events.set(queue);
    }

    /// Tells the listener, if there is one; `event` is not made otherwise. Never waits: what the queue cannot take is
    /// counted and gone.
    #[inline]
    pub(crate) fn tell(&self, event: impl FnOnce() -> Event) {
        if let Some(queue) = self.events.get() {
            if !queue.offer(event()) {
                self.events_dropped.increment();
            }
        }
    }
}

fn per_second(old: u64, new: u64, seconds: f64) -> f64 {
    new.saturating_sub(old) as f64 / seconds
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Nanoseconds, for counters of time.
pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
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
