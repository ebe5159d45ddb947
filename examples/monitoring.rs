//! Watching a producer: a reporter, an event listener, Java's metric names and Prometheus' text, on a cluster inside this
//! process, or `--bootstrap-server HOST:PORT`.
//!
//! ```text
//! cargo run --example monitoring
//! ```

use brokers::{Brokers, Result};
use kafka_producer::mock::Fault;
use kafka_producer::protocol::{ApiKey, ErrorCode};
use kafka_producer::{
    BytesSerializer, Event, KafkaProducer, ProducerConfig, ProducerRecord, StringSerializer,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

#[path = "support/brokers.rs"]
mod brokers;

fn main() -> Result {
    let brokers = Brokers::from_args()?;
    let config = ProducerConfig::builder([brokers.servers()]).client_id("monitored").build()?;

    // Both closures run on a thread of their own, which ends with the producer.
    let (retries, reports) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (heard, reported) = (retries.clone(), reports.clone());
    let producer = KafkaProducer::<str, [u8]>::builder(config, StringSerializer, BytesSerializer)
        .report_every(Duration::from_millis(100), move |metrics| {
            reported.fetch_add(1, Ordering::Relaxed);
            println!("report      {metrics}");
        })
        .on_event(move |event| match event {
            Event::Connected { broker, took, .. } => println!("connected   {broker} within {took:?}"),
            Event::Retry { topic_partition, error: Some(error), .. } => {
                heard.fetch_add(1, Ordering::Relaxed);
                println!("retry       {topic_partition}: {error}");
            }
            _ => {}
        })
        .build()?;

    if let Some(cluster) = brokers.cluster() {
        cluster.inject(Fault::on(ApiKey::PRODUCE).error_before(ErrorCode::NOT_ENOUGH_REPLICAS));
    }
    for n in 0..1000_u32 {
        producer.send(ProducerRecord::new("monitored", &n.to_be_bytes()))?.detach();
    }
    producer.close()?;

    let metrics = producer.metrics();
    println!("sent        {:?} of them again", metrics.value("record-retry-total"));
    for metric in metrics.iter().filter(|m| m.group == "producer-topic-metrics") {
        println!("by name     {} {:?} = {:?}", metric.name, metric.tags, metric.value);
    }
    let text = metrics.to_prometheus();
    println!("prometheus  {} lines", text.lines().count());
    assert!(text.contains("kafka_producer_extra_record_acknowledged_total{client_id=\"monitored\"} 1000\n"));
    assert!(reports.load(Ordering::Relaxed) > 0, "there is a last report at least");
    assert!(brokers.cluster().is_none() || retries.load(Ordering::Relaxed) > 0, "the fault was heard of");
    brokers.check("monitored", (0..1000_u32).map(u32::to_be_bytes))
}
