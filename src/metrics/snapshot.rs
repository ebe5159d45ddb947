//! The metrics at one moment, typed.

use std::fmt;
use std::time::Instant;

use super::sensors::{NodeSensors, Sensors, Tallies, TopicSensors};
use super::window::{Frame, Summary, Tally};
use super::{Metrics, MetricsSnapshot, Rates, per_second};
use crate::clock;
use crate::sync::Arc;

/// One broker's metrics.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct NodeMetrics {
    /// Bootstrap addresses have negative ids: -1 is the first.
    pub id: i32,
    /// Requests of any kind written.
    pub requests: u64,
    /// Responses of any kind read.
    pub responses: u64,
    /// Bytes of these requests.
    pub bytes_out: u64,
    /// Bytes of these responses.
    pub bytes_in: u64,
    /// Bytes of a request of any kind.
    pub request_size: Summary,
    /// Milliseconds from a produce request to its answer.
    pub request_latency_millis: Summary,
    /// What the totals grow by in a second.
    pub rates: NodeRates,
}

/// How fast a [`NodeMetrics`]' totals grow, per second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each is the rate of the total of the same name")]
pub struct NodeRates {
    pub requests: f64,
    pub responses: f64,
    pub bytes_out: f64,
    pub bytes_in: f64,
}

/// One topic's metrics.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TopicMetrics {
    /// The topic.
    pub topic: Arc<str>,
    /// Records written to brokers, repeats counted each.
    pub records_sent: u64,
    /// Bytes of batches as written, repeats counted each.
    pub bytes_sent: u64,
    /// Records in batches sent again, each time.
    pub records_retried: u64,
    /// Records that entered and ended with an error.
    pub records_failed: u64,
    /// Bytes after compression by bytes before, in the last windows; `None` if nothing was sent.
    pub compression_rate: Option<f64>,
    /// What the totals grow by in a second.
    pub rates: TopicRates,
}

/// How fast a [`TopicMetrics`]' totals grow, per second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each is the rate of the total of the same name")]
pub struct TopicRates {
    pub records_sent: f64,
    pub bytes_sent: f64,
    pub records_retried: f64,
    pub records_failed: f64,
}

impl Metrics {
    /// Everything that is counted here; gauges of other modules stay 0.
    pub(crate) fn snapshot(&self) -> MetricsSnapshot {
        let now = clock::now();
        let sensors = self.locked(now);
        let totals = self.totals();
        let (since, old) = sensors.own.oldest();
        let summary = |which: fn(&Tallies) -> &Tally| Tally::summary(sensors.own.tallies().map(which));
        MetricsSnapshot {
            requests_in_flight: totals.requests.saturating_sub(totals.requests_done),
            connections: totals.connections_created.saturating_sub(totals.connections_closed),
            metadata_age: sensors.metadata_at.map(|at| now.saturating_duration_since(at)),
            start_time_millis: self.started,
            client_id: self.client_id.clone(),
            batch_size: summary(|t| &t.batch_size),
            queue_time_millis: summary(|t| &t.queue_time),
            record_size: summary(|t| &t.record_size),
            records_per_request: summary(|t| &t.records_per_request),
            request_size: summary(|t| &t.request_size),
            request_latency_millis: summary(|t| &t.request_latency),
            throttle_time_millis: summary(|t| &t.throttle_time),
            compression_rate: ratio(
                (old.compressed_bytes, totals.compressed_bytes),
                (old.uncompressed_bytes, totals.uncompressed_bytes),
            ),
            rates: Rates::between(&old, &totals, sensors.frame.span(since, now)),
            nodes: nodes(&sensors, now),
            topics: topics(&sensors, now),
            ..self.counted()
        }
    }
}

/// One line of what matters most.
impl fmt::Display for MetricsSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} records acknowledged ({:.1}/s), {} failed, {} pending, {} retried; {:.0} bytes/s out",
            self.client_id,
            self.records_acknowledged,
            self.rates.records_acknowledged,
            self.records_failed,
            self.records_pending,
            self.records_retried,
            self.rates.bytes_out,
        )?;
        if let Summary { average: Some(average), maximum: Some(maximum) } = self.request_latency_millis {
            write!(f, "; latency {average:.1} ms, at most {maximum:.1} ms")?;
        }
        write!(
            f,
            "; buffer {} of {} bytes free, {} connections",
            self.buffer_available_bytes, self.buffer_total_bytes, self.connections
        )
    }
}

fn nodes(sensors: &Sensors, now: Instant) -> Vec<NodeMetrics> {
    sensors.nodes.iter().map(|(id, node)| node.snapshot(*id, &sensors.frame, now)).collect()
}

fn topics(sensors: &Sensors, now: Instant) -> Vec<TopicMetrics> {
    sensors.topics.iter().map(|(name, topic)| topic.snapshot(name, &sensors.frame, now)).collect()
}

impl NodeSensors {
    fn snapshot(&self, id: i32, frame: &Frame, now: Instant) -> NodeMetrics {
        let (since, old) = self.ring.oldest();
        let new = &self.totals;
        let seconds = frame.span(since, now);
        NodeMetrics {
            id,
            requests: new.requests,
            responses: new.responses,
            bytes_out: new.bytes_out,
            bytes_in: new.bytes_in,
            request_size: Tally::summary(self.ring.tallies().map(|t| &t.request_size)),
            request_latency_millis: Tally::summary(self.ring.tallies().map(|t| &t.request_latency)),
            rates: NodeRates {
                requests: per_second(old.requests, new.requests, seconds),
                responses: per_second(old.responses, new.responses, seconds),
                bytes_out: per_second(old.bytes_out, new.bytes_out, seconds),
                bytes_in: per_second(old.bytes_in, new.bytes_in, seconds),
            },
        }
    }
}

impl TopicSensors {
    fn snapshot(&self, name: &Arc<str>, frame: &Frame, now: Instant) -> TopicMetrics {
        let (since, old) = self.ring.oldest();
        let new = self.counters.totals();
        let seconds = frame.span(since, now);
        TopicMetrics {
            topic: name.clone(),
            records_sent: new.records_sent,
            bytes_sent: new.bytes_sent,
            records_retried: new.records_retried,
            records_failed: new.records_failed,
            compression_rate: ratio(
                (old.compressed_bytes, new.compressed_bytes),
                (old.uncompressed_bytes, new.uncompressed_bytes),
            ),
            rates: TopicRates {
                records_sent: per_second(old.records_sent, new.records_sent, seconds),
                bytes_sent: per_second(old.bytes_sent, new.bytes_sent, seconds),
                records_retried: per_second(old.records_retried, new.records_retried, seconds),
                records_failed: per_second(old.records_failed, new.records_failed, seconds),
            },
        }
    }
}

/// What the first grew by, by what the second grew by.
fn ratio(part: (u64, u64), whole: (u64, u64)) -> Option<f64> {
    let grown = |(old, new): (u64, u64)| new.saturating_sub(old);
    (grown(whole) > 0).then(|| grown(part) as f64 / grown(whole) as f64)
}
