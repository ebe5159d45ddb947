//! What `metrics()` says, against what the cluster saw.

use crate::harness::{all_delivered, fast, send_numbers};
use crate::support::{PATIENCE, config, eventually, keep_log, logged, meet, ms, open, says};
use kafka_producer::metrics::{MetricValue, NodeMetrics, observability_tables};
use kafka_producer::mock::{Fault, MockCluster, MockProducer};
use kafka_producer::protocol::{ApiKey, ErrorCode};
use kafka_producer::{ErrorKind, KafkaProducer, MetricsSnapshot, Producer, ProducerConfig, ProducerRecord};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[test]
fn counts_are_those_of_the_cluster() {
    let cluster = MockCluster::builder().brokers(3).topic("a", 3).topic("b", 1).start().unwrap();
    let producer = open(config(&cluster).client_id("counted").linger(ms(0)));
    let before = producer.metrics();
    assert_eq!((before.metadata_age, before.request_latency_millis.average), (None, None));
    for partition in 0..3 {
        all_delivered(&send_numbers(&producer, "a", partition, 0..50));
    }
    producer.send(ProducerRecord::new("b", &[7; 1000])).unwrap().get().unwrap();
    // A request is counted as over a moment after its records have their outcome.
    eventually(|| producer.metrics().requests_in_flight == 0);
    let produce = cluster.requests(ApiKey::PRODUCE).len() as u64;
    let m = producer.metrics();
    assert_eq!((m.records_acknowledged, m.records_failed, m.records_pending), (151, 0, 0));
    assert_eq!((m.records_sent, m.produce_requests), (151, produce));
    let topics: Vec<_> = m.topics.iter().map(|t| (&*t.topic, t.records_sent, t.records_failed)).collect();
    assert_eq!(topics, [("a", 150, 0), ("b", 1, 0)]);
    assert_eq!(m.topics.iter().map(|t| t.bytes_sent).sum::<u64>(), m.batch_bytes_sent);
    let nodes: Vec<_> = m.nodes.iter().map(|n| n.id).filter(|id| *id > 0).collect();
    assert_eq!(nodes, [1, 2, 3], "{m:?}");
    // The bootstrap address has gone, with what was asked there.
    let sum = |of: fn(&NodeMetrics) -> u64| m.nodes.iter().map(of).sum::<u64>();
    assert!(sum(|n| n.requests) >= produce && sum(|n| n.requests) <= m.requests);
    assert!(sum(|n| n.bytes_out) > m.batch_bytes_sent && sum(|n| n.bytes_out) <= m.bytes_out);
    assert!(sum(|n| n.bytes_in) > 0 && sum(|n| n.bytes_in) <= m.bytes_in);
    assert!(m.nodes.iter().all(|n| n.requests == n.responses));
    assert_eq!(m.requests, m.responses);
    // A record of 1000 bytes has a few more around it.
    let largest = m.record_size.maximum.unwrap();
    assert!(largest > 1000.0 && largest < 1020.0, "{largest}");
    assert!(m.batch_size.maximum.unwrap() > largest && m.records_per_request.average.unwrap() >= 1.0);
    assert!(m.request_latency_millis.average.unwrap() > 0.0 && m.queue_time_millis.maximum.unwrap() >= 0.0);
    assert_eq!((m.compression_rate, m.throttle_time_millis.maximum), (Some(1.0), Some(0.0)));
    assert!(m.metadata_age.unwrap() < PATIENCE && m.polls > 0 && m.io_nanos > 0 && m.metadata_wait_nanos > 0);
    producer.flush().unwrap();
    assert!(producer.metrics().flush_nanos > 0);
    producer.close().unwrap();
    let m = producer.metrics();
    assert_eq!((m.connections, m.requests_in_flight), (0, 0));
    assert_eq!(m.connections_created, m.connections_closed);
}

#[test]
fn by_javas_names() {
    let cluster = MockCluster::start(1).unwrap();
    let producer = open(config(&cluster).client_id("named"));
    producer.send(ProducerRecord::new("orders", b"x")).unwrap().get().unwrap();
    eventually(|| producer.metrics().requests_in_flight == 0);
    let m = producer.metrics();
    let find = |group: &str, name: &str| m.iter().find(|x| x.group == group && x.name == name).unwrap();
    assert_eq!(find("producer-metrics", "record-send-total").value, MetricValue::Total(1));
    assert_eq!(find("producer-topic-metrics", "record-send-total").tags[1], ("topic", "orders".into()));
    assert_eq!(find("producer-node-metrics", "request-total").tags[0], ("client-id", "named".into()));
    assert_eq!(m.value("record-acknowledged-total"), Some(1.0));
    assert!(matches!(find("app-info", "version").value, MetricValue::Text(_)));
    let text = m.to_prometheus();
    says(
        &text,
        &[
            "kafka_producer_record_send_total{client_id=\"named\"} 1\n",
            "kafka_producer_topic_record_send_total{client_id=\"named\",topic=\"orders\"} 1\n",
            "kafka_producer_node_request_latency_avg{client_id=\"named\",node_id=\"node-1\"} ",
        ],
    );
    says(&m, &["named: 1 records acknowledged", "latency"]);
    producer.close().unwrap();
}

#[test]
fn retries_errors_refusals_and_throttling_are_counted() {
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    let producer = open(fast(&cluster));
    cluster.inject(Fault::on(ApiKey::PRODUCE).times(2).error_before(ErrorCode::NOT_ENOUGH_REPLICAS));
    all_delivered(&send_numbers(&producer, "t", 0, 0..1));
    cluster.inject(Fault::on(ApiKey::PRODUCE).error_before(ErrorCode::INVALID_REQUIRED_ACKS).throttle(ms(5)));
    let failed = send_numbers(&producer, "t", 0, 1..2);
    let error = failed[0].get().unwrap_err();
    assert_eq!(error.attempts(), Some(1), "{error}");
    let refused = producer.send(ProducerRecord::new("no good name", b"x")).unwrap_err();
    assert_eq!((refused.kind(), refused.attempts()), (ErrorKind::InvalidTopic, None));
    let m = producer.metrics();
    assert_eq!((m.records_retried, m.topics[0].records_retried), (2, 2));
    assert_eq!((m.records_failed, m.records_refused, m.topics[0].records_failed), (1, 1, 1));
    assert_eq!((m.value("record-error-total"), m.value("record-failed-total")), (Some(2.0), Some(1.0)));
    eventually(|| producer.metrics().requests_in_flight == 0);
    let m = producer.metrics();
    assert_eq!((m.throttle_millis, m.throttle_time_millis.maximum), (5, Some(5.0)));
    assert!(m.rates.records_failed > 0.0 && m.value("record-error-rate").unwrap() > 0.0);
}

#[cfg(feature = "lz4")]
#[test]
fn compression_is_measured() {
    let cluster = MockCluster::start(1).unwrap();
    let producer = open(config(&cluster).compression(kafka_producer::config::CompressionType::Lz4));
    producer.send(ProducerRecord::new("t", &[7; 10_000])).unwrap().get().unwrap();
    let m = producer.metrics();
    let rate = m.compression_rate.unwrap();
    assert!(rate > 0.0 && rate < 0.1, "{rate}");
    assert_eq!(m.topics[0].compression_rate, Some(rate));
    assert!(m.uncompressed_bytes > 10_000 && m.compressed_bytes < 1000);
}

/// `metrics.sample.window.ms` and `metrics.num.samples`.
#[test]
fn windows_are_as_long_as_configured() {
    let cluster = MockCluster::start(1).unwrap();
    let producer = open(config(&cluster).metrics_sample_window(ms(50)).metrics_num_samples(3));
    producer.send(ProducerRecord::new("t", b"x")).unwrap().get().unwrap();
    eventually(|| {
        let m = producer.metrics();
        m.rates.records_sent == 0.0 && m.request_latency_millis.average.is_none()
    });
    let m = producer.metrics();
    assert_eq!((m.records_sent, m.topics[0].records_sent), (1, 1), "totals stay");
    let long = open(config(&cluster).metrics_sample_window(Duration::from_secs(3600)));
    long.send(ProducerRecord::new("t", b"x")).unwrap().get().unwrap();
    assert!(long.metrics().rates.records_sent > 0.0);
}

#[test]
fn waits_for_memory_are_measured() {
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    let producer = open(config(&cluster).buffer_memory(32 * 1024).batch_size(4096).max_block(ms(100)));
    meet(&producer, "t");
    cluster.pause_broker(1).unwrap();
    let error = loop {
        if let Err(error) = producer.send(ProducerRecord::new("t", &[7; 2000])) {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::BufferExhausted);
    let m = producer.metrics();
    assert!(m.buffer_wait_nanos >= 100_000_000 && m.buffer_exhausted == 1, "{m:?}");
    assert!(m.value("bufferpool-wait-ratio").unwrap() > 0.0);
    cluster.resume_broker(1).unwrap();
}

/// Each reporter at its own pace, once more at the end; a panic in one disturbs nobody.
#[test]
fn reports_come_periodically_and_at_the_end() {
    let cluster = MockCluster::start(1).unwrap();
    keep_log();
    let seen: Arc<Mutex<Vec<MetricsSnapshot>>> = Arc::default();
    let (frequent, rare) = (seen.clone(), Arc::new(Mutex::new(0)));
    let counted = rare.clone();
    let config = config(&cluster).client_id("reported").build().unwrap();
    let strings = || kafka_producer::StringSerializer;
    let producer = KafkaProducer::<str, str>::builder(config, strings(), strings())
        .report_every(ms(5), |_| panic!("a reporter's own fault"))
        .report_every(ms(5), move |m| frequent.lock().unwrap().push(m.clone()))
        .report_every(Duration::from_secs(3600), move |_| *counted.lock().unwrap() += 1)
        .log_metrics_every(ms(5))
        .build()
        .unwrap();
    producer.send(ProducerRecord::new("t", "x")).unwrap().get().unwrap();
    eventually(|| seen.lock().unwrap().len() >= 3);
    eventually(|| logged(&["INFO kafka_producer::metrics", "reported: ", "acknowledged"]));
    eventually(|| logged(&["ERROR kafka_producer::monitor", "a reporter's own fault"]));
    assert_eq!(*rare.lock().unwrap(), 0);
    producer.send(ProducerRecord::new("t", "x")).unwrap().detach();
    producer.close().unwrap();
    let reports = seen.lock().unwrap().len();
    assert_eq!(seen.lock().unwrap()[reports - 1].records_acknowledged, 2);
    assert_eq!(*rare.lock().unwrap(), 1, "the last report");
    assert_eq!(Arc::strong_count(&seen), 1, "the thread has ended and let go of the reporter");
}

#[test]
fn a_report_every_zero_seconds_is_refused() {
    let config = ProducerConfig::new("localhost:1").unwrap();
    let strings = || kafka_producer::StringSerializer;
    let builder = KafkaProducer::<str, str>::builder(config, strings(), strings());
    let error = builder.report_every(Duration::ZERO, |_| {}).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misuse);
    says(&error, &["report_every", "interval"]);
}

/// Inside a reporter nothing waits for itself, and the producer may be dropped there.
#[test]
fn a_reporter_may_use_the_producer() {
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    let config = config(&cluster).build().unwrap();
    let slot: Arc<Mutex<Option<KafkaProducer<str, str>>>> = Arc::default();
    let (own, kinds) = (slot.clone(), Arc::new(Mutex::new(Vec::new())));
    let told = kinds.clone();
    let strings = || kafka_producer::StringSerializer;
    let producer = KafkaProducer::<str, str>::builder(config, strings(), strings())
        .report_every(ms(5), move |_| {
            if let Some(producer) = own.lock().unwrap().take() {
                let mut told = told.lock().unwrap();
                told.push(producer.close().unwrap_err().kind());
                told.push(producer.flush().unwrap_err().kind());
                drop(producer);
            }
        })
        .build()
        .unwrap();
    *slot.lock().unwrap() = Some(producer);
    eventually(|| kinds.lock().unwrap().len() == 2);
    assert_eq!(*kinds.lock().unwrap(), [ErrorKind::Misuse, ErrorKind::Misuse]);
}

#[test]
fn a_mock_producer_has_metrics_too() {
    let mock = MockProducer::<str, str>::auto_complete();
    let producer: &dyn Producer<str, str> = &mock;
    producer.send(ProducerRecord::new("t", "x")).unwrap().get().unwrap();
    assert_eq!(producer.metrics().value("record-acknowledged-total"), Some(1.0));
    assert!(producer.metrics().to_prometheus().contains("kafka_producer_extra_record_acknowledged_total"));
}

#[test]
fn the_page_is_current() {
    const MARK: &str = "<!-- generated -->\n";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/observability.md");
    let found = std::fs::read_to_string(path).unwrap().replace("\r\n", "\n");
    let (head, tables) = found.split_once(MARK).expect("the mark");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        return std::fs::write(path, format!("{head}{MARK}{}", observability_tables())).unwrap();
    }
    assert!(
        tables == observability_tables(),
        "docs/observability.md is stale: run UPDATE_DOCS=1 cargo test --test api metrics"
    );
}

/// What a log line's target and level say is promised by the table.
#[test]
fn every_log_line_stands_in_the_table() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/observability.md")).unwrap();
    let levels = ["error", "warn", "info", "debug", "trace"];
    let mut lines = 0;
    let mut folders = vec![root.join("src")];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            for (level, target) in log_lines(&std::fs::read_to_string(&path).unwrap()) {
                let row = page.lines().find(|line| line.starts_with(&format!("| `{target}` |")));
                let row = row.unwrap_or_else(|| panic!("{}: {target} is not in the table", path.display()));
                let at = levels.iter().position(|l| *l == level).unwrap();
                let cell = row.split('|').nth(2 + at).unwrap();
                assert!(!cell.trim().is_empty(), "{}: {target} has no {level} there", path.display());
                lines += 1;
            }
        }
    }
    assert!(lines > 10);
}

/// Level and target of each line that the code logs.
fn log_lines(code: &str) -> Vec<(&str, &str)> {
    let named = code.split_once("const LOG: &str = \"").and_then(|(_, rest)| rest.split('"').next());
    let calls = code.split("log::").skip(1).filter_map(|call| call.split_once("!("));
    calls
        .filter(|(level, _)| ["error", "warn", "info", "debug", "trace"].contains(level))
        .map(|(level, rest)| {
            let target = rest.trim_start().strip_prefix("target: ").expect("a target");
            (level, target.strip_prefix('"').map_or(named, |t| t.split('"').next()).expect("its name"))
        })
        .collect()
}
