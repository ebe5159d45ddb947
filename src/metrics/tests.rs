//! Counting under virtual time, and the names.

use super::*;
use crate::clock::virtual_time;
use std::collections::BTreeSet;

/// Java's metrics, by group: what a live producer of 4.3 or 3.9 lists (tests/real_kafka/metrics.rs compares).
const JAVA: &[(&str, &str)] = &[
    (
        "producer-metrics",
        "batch-size-avg batch-size-max batch-split-rate batch-split-total compression-rate-avg \
         record-queue-time-avg record-queue-time-max record-size-avg record-size-max records-per-request-avg \
         record-send-rate record-send-total record-retry-rate record-retry-total record-error-rate record-error-total \
         request-latency-avg request-latency-max requests-in-flight produce-throttle-time-avg \
         produce-throttle-time-max metadata-age buffer-total-bytes buffer-available-bytes buffer-exhausted-rate \
         buffer-exhausted-total bufferpool-wait-ratio bufferpool-wait-time-ns-total waiting-threads \
         flush-time-ns-total metadata-wait-time-ns-total txn-init-time-ns-total txn-begin-time-ns-total \
         txn-send-offsets-time-ns-total txn-commit-time-ns-total txn-abort-time-ns-total txn-prepare-time-ns-total \
         connection-count connection-creation-rate connection-creation-total connection-close-rate \
         connection-close-total network-io-rate network-io-total incoming-byte-rate incoming-byte-total \
         outgoing-byte-rate outgoing-byte-total request-rate request-total request-size-avg request-size-max \
         response-rate response-total select-rate select-total io-ratio io-time-ns-avg io-time-ns-total io-wait-ratio \
         io-wait-time-ns-avg io-wait-time-ns-total successful-authentication-rate successful-authentication-total \
         failed-authentication-rate failed-authentication-total successful-reauthentication-rate \
         successful-reauthentication-total failed-reauthentication-rate failed-reauthentication-total \
         successful-authentication-no-reauth-total reauthentication-latency-avg reauthentication-latency-max \
         bufferpool-wait-time-total iotime-total io-waittime-total",
    ),
    (
        "producer-node-metrics",
        "request-rate request-total request-size-avg request-size-max response-rate response-total \
         incoming-byte-rate incoming-byte-total outgoing-byte-rate outgoing-byte-total request-latency-avg \
         request-latency-max",
    ),
    (
        "producer-topic-metrics",
        "record-send-rate record-send-total byte-rate byte-total compression-rate record-retry-rate \
         record-retry-total record-error-rate record-error-total",
    ),
    ("app-info", "version commit-id start-time-ms"),
    ("kafka-metrics-count", "count"),
    ("plugins", "*"),
];

/// Something of everything: a node and a topic.
fn busy() -> Metrics {
    let metrics = Metrics::new("a \"client\"\\", Duration::from_secs(30), 2);
    let now = clock::now();
    metrics.request_sent(-1, 100, now);
    metrics.keep_topic(&Arc::from("orders"), &Arc::default(), now);
    metrics
}

#[test]
fn every_metric_of_javas_is_served_or_explained() {
    let snapshot = busy().snapshot();
    let served: BTreeSet<(&str, &str)> = snapshot.iter().map(|m| (m.group, m.name)).collect();
    let absent: BTreeSet<(&str, &str)> =
        catalog::ABSENT.iter().map(|(group, name, _)| (*group, *name)).collect();
    let java: BTreeSet<(&str, &str)> =
        JAVA.iter().flat_map(|(group, names)| names.split(' ').map(move |n| (*group, n))).collect();
    let missing: Vec<_> = java.iter().filter(|m| !served.contains(*m) && !absent.contains(*m)).collect();
    assert!(missing.is_empty(), "neither served nor explained: {missing:?}");
    let both: Vec<_> = served.intersection(&absent).collect();
    assert!(both.is_empty(), "served and explained away: {both:?}");
    let invented: Vec<_> =
        served.union(&absent).filter(|m| m.0 != catalog::EXTRA && !java.contains(*m)).collect();
    assert!(invented.is_empty(), "not Java's, and not in the group of our own: {invented:?}");
    let page = include_str!("../../docs/observability.md");
    let unwritten: Vec<_> = java.iter().filter(|m| !page.contains(&format!("`{}`", m.1))).collect();
    assert!(unwritten.is_empty(), "not in docs/observability.md: {unwritten:?}");
}

#[test]
fn names_tags_and_count() {
    let snapshot = busy().snapshot();
    let all: Vec<_> = snapshot.iter().collect();
    let count = all.iter().find(|m| m.name == "count").unwrap();
    assert_eq!(count.value, MetricValue::Gauge(all.len() as f64));
    assert!(all.iter().all(|m| m.tags[0] == ("client-id", "a \"client\"\\".into())));
    let tagged = |group: &str, tag: (&'static str, &'static str)| {
        all.iter().filter(|m| m.group == group).all(|m| m.tags[1] == (tag.0, tag.1.into()))
    };
    assert!(tagged(catalog::NODE, ("node-id", "node--1")) && tagged(catalog::TOPIC, ("topic", "orders")));
    let keys: BTreeSet<_> = all.iter().map(|m| (m.group, m.name, format!("{:?}", m.tags))).collect();
    assert_eq!(keys.len(), all.len(), "a name twice");
    assert_eq!(snapshot.value("outgoing-byte-total"), Some(100.0));
    assert_eq!(snapshot.value("no-such-thing"), None);
}

/// Rates and averages are those of the last windows; totals stay.
#[test]
fn windows_pass() {
    let begin = clock::now();
    virtual_time::set(Some(begin));
    let metrics = Metrics::new("c", Duration::from_secs(10), 3);
    let after = |seconds: u64| {
        let now = begin + Duration::from_secs(seconds);
        virtual_time::set(Some(now));
        metrics.tick(now);
        now
    };
    let send = |seconds: u64, bytes: usize| metrics.request_sent(7, bytes, after(seconds));
    send(1, 300);
    send(2, 100);
    after(10);
    let m = metrics.snapshot();
    assert_eq!((m.requests, m.rates.requests, m.rates.bytes_out), (2, 0.2, 40.0));
    assert_eq!((m.request_size.average, m.request_size.maximum), (Some(200.0), Some(300.0)));
    // The node is known since its first request.
    assert_eq!((m.nodes[0].rates.requests, m.nodes[0].request_size), (2.0 / 9.0, m.request_size));
    send(25, 50);
    let m = metrics.snapshot();
    assert_eq!((m.rates.requests, m.request_size.maximum), (3.0 / 25.0, Some(300.0)));
    // The window that began at 0 counts no more.
    after(35);
    let m = metrics.snapshot();
    assert_eq!((m.rates.requests, m.request_size.maximum), (1.0 / 25.0, Some(50.0)));
    // Nothing happened for long; nobody looked meanwhile.
    virtual_time::set(Some(begin + Duration::from_secs(5000)));
    let m = metrics.snapshot();
    assert_eq!((m.requests, m.rates.requests, m.request_size), (3, 0.0, Summary::default()));
    assert_eq!((m.nodes[0].requests, m.nodes[0].rates.requests), (3, 0.0));
    virtual_time::set(None);
}

#[test]
fn topics_and_nodes_go() {
    let metrics = busy();
    metrics.forget_topic("orders");
    metrics.forget_node(-1);
    let m = metrics.snapshot();
    assert!(m.topics.is_empty() && m.nodes.is_empty());
    assert_eq!(m.requests, 1);
}

/// Nothing is made for nobody, and a full queue loses events by number.
#[test]
fn events_are_bounded() {
    let metrics = Metrics::default();
    metrics.tell(|| unreachable!("nobody listens"));
    let (queue, events) = crossbeam_channel::bounded(2);
    metrics.set_events(EventQueue::new(queue));
    for brokers in 0..5 {
        metrics.tell(|| Event::MetadataUpdated { brokers, topics: 0 });
    }
    assert_eq!((events.len(), metrics.snapshot().events_dropped), (2, 3));
    drop(events);
    metrics.tell(|| Event::MetadataUpdated { brokers: 0, topics: 0 });
    assert_eq!(metrics.snapshot().events_dropped, 3, "nobody listens any more: nothing is lost");
}

/// The text is what the format's grammar allows: a comment pair for each name, its lines behind it, labels escaped.
#[test]
fn prometheus_text() {
    let text = busy().snapshot().to_prometheus();
    assert!(text.contains("# TYPE kafka_producer_request_total counter\n"), "{text}");
    assert!(text.contains("kafka_producer_request_total{client_id=\"a \\\"client\\\"\\\\\"} 1\n"), "{text}");
    assert!(text.contains("kafka_producer_node_outgoing_byte_total{client_id=\"a \\\"client\\\"\\\\\",node_id=\"node--1\"} 100\n"));
    assert!(text.contains("kafka_producer_topic_byte_total{"), "{text}");
    assert!(text.contains(concat!("version=\"", env!("CARGO_PKG_VERSION"), "\"} 1\n")), "{text}");
    assert!(text.contains("kafka_producer_extra_record_acknowledged_total"), "{text}");
    assert!(!text.contains("NaN"), "{text}");
    let mut seen = BTreeSet::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            current = rest.split(' ').next().unwrap().to_owned();
            assert!(seen.insert(current.clone()), "{current} twice");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            assert!(rest == format!("{current} counter") || rest == format!("{current} gauge"));
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let name = series.split('{').next().unwrap();
            assert_eq!(name, current);
            assert!(name.bytes().all(|c| c.is_ascii_lowercase() || c == b'_'), "{name}");
            assert!(series.ends_with("\"}") && value.parse::<f64>().is_ok(), "{line}");
        }
    }
}
