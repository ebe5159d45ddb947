//! Metrics beside those that Java's own producer shows after the same work.

use crate::cluster::RealKafka;
use crate::numbered::{on_each_release, producer};
use kafka_producer::{MetricsSnapshot, ProducerRecord};
use std::collections::{BTreeMap, BTreeSet};

on_each_release!(every_metric_of_javas_is_here_or_explained_and_totals_agree);

const COUNT: u64 = 20;

/// Java's value of each metric, by group, name and the keys of its tags.
type Shown = BTreeMap<(String, String, String), String>;

fn every_metric_of_javas_is_here_or_explained_and_totals_agree(kafka: &RealKafka) {
    let topic = "metric-names";
    kafka.create_topic(topic, 1, 1, &[]);
    let java = java(kafka, topic);
    assert!(java.len() > 80, "{java:?}");

    let producer = producer(kafka, &[("linger.ms", "0")]);
    for _ in 0..COUNT {
        let handle = producer.send(ProducerRecord::new(topic, &[0; 100]).partition(0)).expect("it enters");
        handle.get().expect("it is delivered");
    }
    let ours = producer.metrics();
    let names = ours.iter().map(|m| {
        let keys: BTreeSet<&str> = m.tags.iter().map(|(key, _)| *key).collect();
        (m.group.to_owned(), m.name.to_owned(), keys.into_iter().collect::<Vec<_>>().join(","))
    });
    let names: BTreeSet<_> = names.collect();
    let absent = absent();
    let missing: Vec<_> = java
        .keys()
        .filter(|key| !names.contains(*key))
        .filter(|(group, name, _)| {
            !absent.contains(&(group.clone(), name.clone())) && !absent.contains(&(group.clone(), "*".into()))
        })
        .collect();
    assert!(missing.is_empty(), "{}: {missing:#?}", kafka.version());
    totals_agree(&java, &ours);
    producer.close().expect("it closes");
}

fn totals_agree(java: &Shown, ours: &MetricsSnapshot) {
    let said = |group: &str, name: &str, tags: &str| -> f64 {
        let value = java.get(&(group.into(), name.into(), tags.into())).expect("Java shows it");
        value.parse().expect("a number")
    };
    for name in [
        "record-send-total",
        "record-retry-total",
        "record-error-total",
        "batch-size-avg",
        "batch-size-max",
        "records-per-request-avg",
        "batch-split-total",
        "buffer-total-bytes",
        "compression-rate-avg",
        "produce-throttle-time-max",
    ] {
        assert_eq!(ours.value(name), Some(said("producer-metrics", name, "client-id")), "{name}");
    }
    let topic = &ours.topics[0];
    assert_eq!(
        topic.records_sent as f64,
        said("producer-topic-metrics", "record-send-total", "client-id,topic")
    );
    assert_eq!(topic.bytes_sent as f64, said("producer-topic-metrics", "byte-total", "client-id,topic"));
    assert_eq!(ours.records_acknowledged, COUNT);
}

fn java(kafka: &RealKafka, topic: &str) -> Shown {
    let mut command = kafka.java().command("MetricNames", 200);
    command.args([&kafka.bootstrap(), topic, &COUNT.to_string()]).stderr(kafka.tool_log());
    let output = command.output().expect("java runs");
    assert!(output.status.success(), "MetricNames failed; see tools.log");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let row = |line: &str| {
        let mut cells = line.split('\t').map(str::to_owned);
        let key = (cells.next()?, cells.next()?, cells.next()?);
        Some((key, cells.next()?))
    };
    text.lines().filter_map(row).collect()
}

/// What docs/observability.md explains away: group and name.
fn absent() -> BTreeSet<(String, String)> {
    let page = include_str!("../../docs/observability.md");
    let (_, table) = page.split_once("### Not here").expect("the table");
    let cell = |c: &str| c.trim().trim_matches('`').to_owned();
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('|').collect();
        Some((cell(cells.get(1)?), cell(cells.get(2)?)))
    };
    table.lines().filter_map(row).collect()
}
