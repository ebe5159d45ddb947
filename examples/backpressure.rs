//! Brokers slower than the program: memory stays bounded, and the program chooses to wait, to give up, or to do without.

use brokers::{Brokers, Result};
use kafka_producer::{ErrorKind, KafkaProducer, ProducerConfig, ProducerRecord};
use std::time::Duration;

#[path = "support/brokers.rs"]
mod brokers;

const TOPIC: &str = "backpressure";

fn main() -> Result {
    let brokers = Brokers::from_args()?;
    let config = ProducerConfig::builder([brokers.servers()])
        .buffer_memory(256 * 1024) // all that records may take, whatever happens
        .max_block(Duration::from_secs(30)) // how long `send` waits for room
        .build()?;
    let producer = KafkaProducer::<str, [u8]>::open(config)?;
    producer.partitions_for(TOPIC)?; // `try_send` does not wait for metadata either
    let slow = |on| {
        let latency = Duration::from_millis(if on { 20 } else { 0 });
        brokers
            .cluster()
            .into_iter()
            .for_each(|c| c.nodes().iter().for_each(|node| c.set_latency(*node, latency)));
    };
    slow(true);

    // Doing without: samples that may be lost. An error is at once, and leaves no trace of the record.
    let value = [7; 1000];
    let (mut taken, mut dropped) = (0, 0);
    for _ in 0..5000 {
        match producer.try_send(ProducerRecord::new(TOPIC, &value)) {
            Ok(handle) => {
                taken += 1;
                handle.detach();
            }
            Err(error) if error.kind() == ErrorKind::BufferExhausted => dropped += 1,
            Err(error) => return Err(error.into()),
        }
    }
    println!("try_send: {taken} entered, {dropped} were dropped by choice");

    // Waiting: `send` slows the caller down to the brokers' pace, each thread in its turn.
    for _ in 0..1000 {
        producer.send(ProducerRecord::new(TOPIC, &value))?.detach();
    }
    // Giving up sooner for one call.
    match producer.send_timeout(ProducerRecord::new(TOPIC, &value), Duration::from_millis(1)) {
        Ok(handle) => handle.detach(),
        Err(error) if error.is_retriable() => println!("send_timeout: no room for 1 ms: {error}"),
        Err(error) => return Err(error.into()),
    }
    slow(false);
    producer.close()?;
    let metrics = producer.metrics();
    assert!(metrics.records_failed == 0 && metrics.records_acknowledged >= taken + 1000);
    assert_eq!(metrics.buffer_available_bytes, metrics.buffer_total_bytes, "all memory came back");
    brokers.check(TOPIC, (0..metrics.records_acknowledged).map(|_| value))
}
