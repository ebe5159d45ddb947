//! Many records to several topics: how they become batches and requests, and what compression does.

use brokers::{Brokers, Result};
use kafka_producer::config::CompressionType;
use kafka_producer::{KafkaProducer, ProducerConfig, ProducerRecord};
use std::time::Duration;

#[path = "support/brokers.rs"]
mod brokers;

const TOPICS: [&str; 3] = ["batch-orders", "batch-clicks", "batch-audit"];
const RECORDS: usize = 3000;

fn main() -> Result {
    let brokers = Brokers::from_args()?;
    let config = ProducerConfig::builder([brokers.servers()])
        .batch_size(64 * 1024) // bytes of one partition's records that travel together
        .linger(Duration::from_millis(50)) // how long a batch that is not full waits for more
        .compression(CompressionType::Lz4) // a batch at a time: larger batches compress better
        .build()?;
    let producer = KafkaProducer::<str, str>::open(config)?;

    // One producer writes to any number of topics; their batches to one broker share its requests.
    let value = |n: usize| format!("event number {n} of the nightly import, with words that compress");
    let values: Vec<String> = (0..RECORDS).map(value).collect();
    let records =
        values.iter().enumerate().map(|(n, v)| ProducerRecord::new(TOPICS[n % TOPICS.len()], v.as_str()));
    // `send_all` gives one handle. A record that is refused on the way ends it with an error that says how many entered.
    let places = producer.send_all(records)?.get()?;
    assert_eq!(places.len(), RECORDS);

    let metrics = producer.metrics();
    producer.close()?;
    println!("{RECORDS} records in {} batches", metrics.batches_sent);
    assert!(metrics.batches_sent < 200, "records travel together");
    for (n, topic) in TOPICS.into_iter().enumerate() {
        let sent = values.iter().skip(n).step_by(TOPICS.len()).map(String::as_str);
        brokers.check(topic, sent)?;
    }
    if let Some(cluster) = brokers.cluster() {
        let stats = cluster.stats();
        let raw: usize = values.iter().map(String::len).sum();
        println!(
            "{raw} bytes of values were {} bytes in {} requests",
            stats.produce_bytes, stats.produce_requests
        );
        assert!(stats.produce_bytes < raw as u64);
    }
    Ok(())
}
