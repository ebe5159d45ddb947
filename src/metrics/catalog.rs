//! Every metric by the name, group and tags that Java's producer gives it, and what of Java's is missing and why.
//!
//! One table is the source of the iterator, of Prometheus' text and of docs/observability.md.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::snapshot::{NodeMetrics, TopicMetrics};
use super::window::Summary;
use super::{MetricsSnapshot, millis};
use crate::sync::Arc;

/// One metric of a [`MetricsSnapshot`], by Java's name.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Metric<'s> {
    /// As in Java: `record-send-total`.
    pub name: &'static str,
    /// As in Java: `producer-metrics`. What only this library has is in `producer-extra-metrics`.
    pub group: &'static str,
    /// What it says, with its unit.
    pub description: &'static str,
    /// `client-id`, and `node-id` or `topic` where the metric is one node's or one topic's.
    pub tags: Vec<(&'static str, Cow<'s, str>)>,
    /// Its value now.
    pub value: MetricValue,
}

/// The value of a [`Metric`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum MetricValue {
    /// A total that only grows.
    Total(u64),
    /// Goes up and down: a gauge, a rate, an average or a maximum. `NaN` if nothing was measured, as in Java.
    Gauge(f64),
    /// Words.
    Text(Arc<str>),
}

impl MetricValue {
    /// As a number; words have none.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Total(n) => Some(*n as f64),
            Self::Gauge(x) => Some(*x),
            Self::Text(_) => None,
        }
    }
}

type Row<S> = (&'static str, &'static str, fn(&S) -> MetricValue);

fn total(n: u64) -> MetricValue {
    MetricValue::Total(n)
}

fn gauge(x: f64) -> MetricValue {
    MetricValue::Gauge(x)
}

fn average(s: Summary) -> MetricValue {
    gauge(s.average.unwrap_or(f64::NAN))
}

fn maximum(s: Summary) -> MetricValue {
    gauge(s.maximum.unwrap_or(f64::NAN))
}

/// A part of a second that passed, from nanoseconds per second.
fn share(nanos_per_second: f64) -> MetricValue {
    gauge(nanos_per_second / 1e9)
}

/// Of one thread: a wait that began before these windows counts no more than all of them.
fn share_of_thread(nanos_per_second: f64) -> MetricValue {
    gauge((nanos_per_second / 1e9).min(1.0))
}

fn quotient(a: f64, b: f64) -> MetricValue {
    gauge(if b > 0.0 { a / b } else { f64::NAN })
}

pub(super) const PRODUCER: &str = "producer-metrics";
pub(super) const NODE: &str = "producer-node-metrics";
pub(super) const TOPIC: &str = "producer-topic-metrics";
pub(super) const EXTRA: &str = "producer-extra-metrics";
pub(super) const APP_INFO: &str = "app-info";
pub(super) const COUNT: &str = "kafka-metrics-count";

#[rustfmt::skip]
pub(super) const PRODUCER_ROWS: &[Row<MetricsSnapshot>] = &[
    ("batch-size-avg", "bytes of a batch as written, header included", |m| average(m.batch_size)),
    ("batch-size-max", "bytes of a batch as written, header included", |m| maximum(m.batch_size)),
    ("batch-split-rate", "batches split per second", |m| gauge(m.rates.batches_split)),
    ("batch-split-total", "batches split because a broker found them too large", |m| total(m.batches_split)),
    ("compression-rate-avg", "bytes of records after compression by bytes before", |m| gauge(m.compression_rate.unwrap_or(f64::NAN))),
    ("record-queue-time-avg", "ms from a batch's first record to its first request", |m| average(m.queue_time_millis)),
    ("record-queue-time-max", "ms from a batch's first record to its first request", |m| maximum(m.queue_time_millis)),
    ("record-size-avg", "bytes of a record before compression", |m| average(m.record_size)),
    ("record-size-max", "bytes of a record before compression", |m| maximum(m.record_size)),
    ("records-per-request-avg", "records in a produce request", |m| average(m.records_per_request)),
    ("record-send-rate", "records written per second, repeats counted", |m| gauge(m.rates.records_sent)),
    ("record-send-total", "records written, repeats counted", |m| total(m.records_sent)),
    ("record-retry-rate", "records in batches sent again, per second", |m| gauge(m.rates.records_retried)),
    ("record-retry-total", "records in batches sent again, each time", |m| total(m.records_retried)),
    ("record-error-rate", "records refused or failed, per second", |m| gauge(m.rates.records_failed + m.rates.records_refused)),
    ("record-error-total", "records refused by send or failed later", |m| total(m.records_failed.saturating_add(m.records_refused))),
    ("request-latency-avg", "ms from a produce request to its answer", |m| average(m.request_latency_millis)),
    ("request-latency-max", "ms from a produce request to its answer", |m| maximum(m.request_latency_millis)),
    ("requests-in-flight", "requests written and not answered", |m| gauge(m.requests_in_flight as f64)),
    ("produce-throttle-time-avg", "ms of silence that answers to produce requests asked for", |m| average(m.throttle_time_millis)),
    ("produce-throttle-time-max", "ms of silence that answers to produce requests asked for", |m| maximum(m.throttle_time_millis)),
    ("metadata-age", "seconds since metadata was last updated", |m| gauge(m.metadata_age.map_or(f64::NAN, |age| millis(age) / 1e3))),
    ("buffer-total-bytes", "buffer.memory", |m| gauge(m.buffer_total_bytes as f64)),
    ("buffer-available-bytes", "bytes of buffer.memory that nobody holds", |m| gauge(m.buffer_available_bytes as f64)),
    ("buffer-exhausted-rate", "sends per second that got no memory", |m| gauge(m.rates.buffer_exhausted)),
    ("buffer-exhausted-total", "sends that got no memory", |m| total(m.buffer_exhausted)),
    ("bufferpool-wait-ratio", "threads that waited for memory, on average", |m| share(m.rates.buffer_wait_nanos)),
    ("bufferpool-wait-time-ns-total", "ns that threads waited for memory", |m| total(m.buffer_wait_nanos)),
    ("waiting-threads", "threads that wait for memory", |m| gauge(m.waiting_threads as f64)),
    ("flush-time-ns-total", "ns spent in flush", |m| total(m.flush_nanos)),
    ("metadata-wait-time-ns-total", "ns that threads waited for a topic's metadata", |m| total(m.metadata_wait_nanos)),
    ("txn-init-time-ns-total", "ns spent in init_transactions", |m| total(m.txn_init_nanos)),
    ("txn-begin-time-ns-total", "ns spent in begin_transaction", |m| total(m.txn_begin_nanos)),
    ("txn-send-offsets-time-ns-total", "ns spent sending offsets to transactions", |m| total(m.txn_send_offsets_nanos)),
    ("txn-commit-time-ns-total", "ns spent committing transactions", |m| total(m.txn_commit_nanos)),
    ("txn-abort-time-ns-total", "ns spent aborting transactions", |m| total(m.txn_abort_nanos)),
    ("connection-count", "connections that stand", |m| gauge(m.connections as f64)),
    ("connection-creation-rate", "connections made per second", |m| gauge(m.rates.connections_created)),
    ("connection-creation-total", "connections made", |m| total(m.connections_created)),
    ("connection-close-rate", "connections closed or lost per second", |m| gauge(m.rates.connections_closed)),
    ("connection-close-total", "connections closed or lost", |m| total(m.connections_closed)),
    ("network-io-rate", "requests and responses per second", |m| gauge(m.rates.requests + m.rates.responses)),
    ("network-io-total", "requests and responses", |m| total(m.requests.saturating_add(m.responses))),
    ("incoming-byte-rate", "bytes read per second", |m| gauge(m.rates.bytes_in)),
    ("incoming-byte-total", "bytes read", |m| total(m.bytes_in)),
    ("outgoing-byte-rate", "bytes written per second", |m| gauge(m.rates.bytes_out)),
    ("outgoing-byte-total", "bytes written", |m| total(m.bytes_out)),
    ("request-rate", "requests of any kind per second", |m| gauge(m.rates.requests)),
    ("request-total", "requests of any kind", |m| total(m.requests)),
    ("request-size-avg", "bytes of a request of any kind", |m| average(m.request_size)),
    ("request-size-max", "bytes of a request of any kind", |m| maximum(m.request_size)),
    ("response-rate", "responses of any kind per second", |m| gauge(m.rates.responses)),
    ("response-total", "responses of any kind", |m| total(m.responses)),
    ("select-rate", "looks of the sender thread at its sockets, per second", |m| gauge(m.rates.polls)),
    ("select-total", "looks of the sender thread at its sockets", |m| total(m.polls)),
    ("io-ratio", "part of its time that the sender thread worked", |m| share_of_thread(m.rates.io_nanos)),
    ("io-time-ns-avg", "ns that the sender thread worked between two looks at its sockets", |m| quotient(m.rates.io_nanos, m.rates.polls)),
    ("io-time-ns-total", "ns that the sender thread worked", |m| total(m.io_nanos)),
    ("io-wait-ratio", "part of its time that the sender thread slept or waited for sockets", |m| share_of_thread(m.rates.io_wait_nanos)),
    ("io-wait-time-ns-avg", "ns that a look at the sockets waited", |m| quotient(m.rates.io_wait_nanos, m.rates.polls)),
    ("io-wait-time-ns-total", "ns that the sender thread slept or waited for sockets", |m| total(m.io_wait_nanos)),
];

#[rustfmt::skip]
pub(super) const NODE_ROWS: &[Row<NodeMetrics>] = &[
    ("request-rate", "requests of any kind per second", |n| gauge(n.rates.requests)),
    ("request-total", "requests of any kind", |n| total(n.requests)),
    ("request-size-avg", "bytes of a request of any kind", |n| average(n.request_size)),
    ("request-size-max", "bytes of a request of any kind", |n| maximum(n.request_size)),
    ("response-rate", "responses of any kind per second", |n| gauge(n.rates.responses)),
    ("response-total", "responses of any kind", |n| total(n.responses)),
    ("incoming-byte-rate", "bytes of responses per second", |n| gauge(n.rates.bytes_in)),
    ("incoming-byte-total", "bytes of responses", |n| total(n.bytes_in)),
    ("outgoing-byte-rate", "bytes of requests per second", |n| gauge(n.rates.bytes_out)),
    ("outgoing-byte-total", "bytes of requests", |n| total(n.bytes_out)),
    ("request-latency-avg", "ms from a produce request to its answer", |n| average(n.request_latency_millis)),
    ("request-latency-max", "ms from a produce request to its answer", |n| maximum(n.request_latency_millis)),
];

#[rustfmt::skip]
pub(super) const TOPIC_ROWS: &[Row<TopicMetrics>] = &[
    ("record-send-rate", "records written per second, repeats counted", |t| gauge(t.rates.records_sent)),
    ("record-send-total", "records written, repeats counted", |t| total(t.records_sent)),
    ("byte-rate", "bytes of batches as written, per second", |t| gauge(t.rates.bytes_sent)),
    ("byte-total", "bytes of batches as written", |t| total(t.bytes_sent)),
    ("compression-rate", "bytes of records after compression by bytes before", |t| gauge(t.compression_rate.unwrap_or(f64::NAN))),
    ("record-retry-rate", "records in batches sent again, per second", |t| gauge(t.rates.records_retried)),
    ("record-retry-total", "records in batches sent again, each time", |t| total(t.records_retried)),
    ("record-error-rate", "records failed after they had entered, per second", |t| gauge(t.rates.records_failed)),
    ("record-error-total", "records failed after they had entered", |t| total(t.records_failed)),
];

#[rustfmt::skip]
pub(super) const EXTRA_ROWS: &[Row<MetricsSnapshot>] = &[
    ("record-acknowledged-rate", "records acknowledged per second", |m| gauge(m.rates.records_acknowledged)),
    ("record-acknowledged-total", "records acknowledged", |m| total(m.records_acknowledged)),
    ("record-failed-rate", "records failed after they had entered, per second", |m| gauge(m.rates.records_failed)),
    ("record-failed-total", "records failed after they had entered", |m| total(m.records_failed)),
    ("record-failed-unseen-total", "failed records whose handle nobody looked at", |m| total(m.records_failed_unseen)),
    ("record-refused-total", "records that send refused", |m| total(m.records_refused)),
    ("records-pending", "records that entered and have no outcome", |m| gauge(m.records_pending as f64)),
    ("batch-retry-total", "batches sent again, each time", |m| total(m.batches_retried)),
    ("produce-request-total", "produce requests", |m| total(m.produce_requests)),
    ("buffer-wait-total", "sends that waited for memory", |m| total(m.buffer_waits)),
    ("epoch-bump-total", "producer epochs taken after a gap in a sequence", |m| total(m.epoch_bumps)),
    ("metadata-update-total", "metadata responses applied", |m| total(m.metadata_updates)),
    ("throttle-time-ms-total", "ms of silence that brokers asked for", |m| total(m.throttle_millis)),
    ("event-dropped-total", "events that the listener's queue had no room for", |m| total(m.events_dropped)),
];

#[rustfmt::skip]
const INFO_ROWS: &[Row<MetricsSnapshot>] = &[
    ("version", "this library's version", |_| MetricValue::Text(Arc::from(env!("CARGO_PKG_VERSION")))),
    ("start-time-ms", "when the producer was opened, in ms since 1970", |m| gauge(m.start_time_millis as f64)),
];

const COUNT_TEXT: &str = "metrics that there are";

/// Java's metrics that have no meaning here: group, name, why.
pub(super) const ABSENT: &[(&str, &str, &str)] = &[
    (PRODUCER, "successful-authentication-rate", NO_SASL),
    (PRODUCER, "successful-authentication-total", NO_SASL),
    (PRODUCER, "failed-authentication-rate", NO_SASL),
    (PRODUCER, "failed-authentication-total", NO_SASL),
    (PRODUCER, "successful-reauthentication-rate", NO_SASL),
    (PRODUCER, "successful-reauthentication-total", NO_SASL),
    (PRODUCER, "failed-reauthentication-rate", NO_SASL),
    (PRODUCER, "failed-reauthentication-total", NO_SASL),
    (PRODUCER, "successful-authentication-no-reauth-total", NO_SASL),
    (PRODUCER, "reauthentication-latency-avg", NO_SASL),
    (PRODUCER, "reauthentication-latency-max", NO_SASL),
    (PRODUCER, "txn-prepare-time-ns-total", "two-phase commit (KIP-939) is not part of this library"),
    (PRODUCER, "bufferpool-wait-time-total", "until Java 3.9; it is bufferpool-wait-time-ns-total"),
    (PRODUCER, "iotime-total", "until Java 3.9; it is io-time-ns-total"),
    (PRODUCER, "io-waittime-total", "until Java 3.9; it is io-wait-time-ns-total"),
    (APP_INFO, "commit-id", "a crate is known by its version"),
    ("plugins", "*", "plug-ins keep metrics of their own; no trait of this library registers any (KIP-877)"),
];

const NO_SASL: &str = "this version does not authenticate (SASL)";

impl MetricsSnapshot {
    /// Every metric by Java's name: those of the producer, of each node, of each topic, and of this library alone.
    ///
    /// ```
    /// # use kafka_producer::{KafkaProducer, ProducerConfig, ProducerRecord, mock::MockCluster};
    /// # let cluster = MockCluster::start(1)?;
    /// # let config = ProducerConfig::new(&cluster.bootstrap_servers())?;
    /// # let producer = KafkaProducer::<str, str>::open(config)?;
    /// # producer.send(ProducerRecord::new("orders", "x"))?.get()?;
    /// for metric in producer.metrics().iter() {
    ///     println!("{} {} {:?} {:?}", metric.group, metric.name, metric.tags, metric.value);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn iter(&self) -> MetricsIter<'_> {
        let own = self.rows(PRODUCER, PRODUCER_ROWS);
        let nodes = self.nodes.iter().flat_map(move |node| {
            let id = format!("node-{}", node.id);
            let tags = move || vec![self.client_tag(), ("node-id", Cow::Owned(id.clone()))];
            NODE_ROWS.iter().map(move |row| metric(NODE, row, node, tags()))
        });
        let topics = self.topics.iter().flat_map(move |topic| {
            let tags = move || vec![self.client_tag(), ("topic", Cow::Borrowed(&*topic.topic))];
            TOPIC_ROWS.iter().map(move |row| metric(TOPIC, row, topic, tags()))
        });
        let rest = self.rows(APP_INFO, INFO_ROWS).chain(self.rows(EXTRA, EXTRA_ROWS));
        let count = PRODUCER_ROWS.len()
            + NODE_ROWS.len() * self.nodes.len()
            + TOPIC_ROWS.len() * self.topics.len()
            + INFO_ROWS.len()
            + EXTRA_ROWS.len()
            + 1;
        let count = Metric {
            name: "count",
            group: COUNT,
            description: COUNT_TEXT,
            tags: vec![self.client_tag()],
            value: gauge(count as f64),
        };
        MetricsIter(Box::new(own.chain(nodes).chain(topics).chain(rest).chain([count])))
    }

    fn rows(
        &self,
        group: &'static str,
        rows: &'static [Row<Self>],
    ) -> impl Iterator<Item = Metric<'_>> + use<'_> {
        rows.iter().map(move |row| metric(group, row, self, vec![self.client_tag()]))
    }

    fn client_tag(&self) -> (&'static str, Cow<'_, str>) {
        ("client-id", Cow::Borrowed(&*self.client_id))
    }

    /// The value of one of the producer's own metrics by Java's name, such as `record-send-total`; `None` if there is no
    /// such name, or its value is words.
    pub fn value(&self, name: &str) -> Option<f64> {
        let rows = PRODUCER_ROWS.iter().chain(EXTRA_ROWS);
        rows.clone().find(|row| row.0 == name).and_then(|row| row.2(self).as_f64())
    }
}

fn metric<'s, S>(
    group: &'static str,
    row: &'static Row<S>,
    source: &S,
    tags: Vec<(&'static str, Cow<'s, str>)>,
) -> Metric<'s> {
    let (name, description, get) = row;
    Metric { name, group, description, tags, value: get(source) }
}

/// The metrics of a [`MetricsSnapshot`], from [`MetricsSnapshot::iter`].
pub struct MetricsIter<'s>(Box<dyn Iterator<Item = Metric<'s>> + 's>);

impl<'s> Iterator for MetricsIter<'s> {
    type Item = Metric<'s>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }
}

impl std::fmt::Debug for MetricsIter<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MetricsIter").finish_non_exhaustive()
    }
}

impl<'s> IntoIterator for &'s MetricsSnapshot {
    type Item = Metric<'s>;
    type IntoIter = MetricsIter<'s>;

    fn into_iter(self) -> MetricsIter<'s> {
        self.iter()
    }
}

/// The tables of docs/observability.md: what there is, and what of Java's there is not.
#[doc(hidden)]
pub fn observability_tables() -> String {
    fn part<S>(page: &mut String, group: &str, tags: &str, rows: &[Row<S>]) {
        let _ = writeln!(
            page,
            "\n### `{group}`\n\nTags: {tags}.\n\n| metric | meaning |\n|---|---|",
            tags = tags
        );
        for (name, description, _) in rows {
            let _ = writeln!(page, "| `{name}` | {description} |");
        }
    }
    let mut page = String::new();
    part(&mut page, PRODUCER, "`client-id`", PRODUCER_ROWS);
    part(
        &mut page,
        NODE,
        "`client-id`, `node-id` (`node-1`; bootstrap addresses are `node--1` and so on)",
        NODE_ROWS,
    );
    part(&mut page, TOPIC, "`client-id`, `topic`", TOPIC_ROWS);
    part(&mut page, APP_INFO, "`client-id`", INFO_ROWS);
    part(&mut page, EXTRA, "`client-id`. Java has none of these", EXTRA_ROWS);
    let count: Row<MetricsSnapshot> = ("count", COUNT_TEXT, |_| gauge(0.0));
    part(&mut page, COUNT, "`client-id`", &[count]);
    page.push_str("\n### Not here\n\n| group | metric of Java's | why not |\n|---|---|---|\n");
    for (group, name, why) in ABSENT {
        let _ = writeln!(page, "| `{group}` | `{name}` | {why} |");
    }
    page
}
