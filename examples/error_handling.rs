//! Three recipes (no loss, throughput, low latency), a broker that stops under way, and what errors tell.

use brokers::{Brokers, Result};
use kafka_producer::config::{Acks, CompressionType};
use kafka_producer::{
    Error, ErrorKind, KafkaProducer, ProducerConfig, ProducerConfigBuilder, ProducerRecord,
};
use std::time::Duration;

#[path = "support/brokers.rs"]
mod brokers;

/// Survives whatever ends within ten minutes; the topic should have three replicas and `min.insync.replicas=2`.
fn no_loss(config: ProducerConfigBuilder) -> ProducerConfigBuilder {
    let ten_minutes = Duration::from_secs(600);
    config.acks(Acks::All).enable_idempotence(true).delivery_timeout(ten_minutes).max_block(ten_minutes)
}

/// Large compressed batches, and memory for them.
fn throughput(config: ProducerConfigBuilder) -> ProducerConfigBuilder {
    let config = config.batch_size(512 * 1024).linger(Duration::from_millis(50));
    config.buffer_memory(128 << 20).compression(CompressionType::Lz4)
}

/// Nothing waits for company, and a record that is late fails instead of arriving when nobody needs it.
fn low_latency(config: ProducerConfigBuilder) -> ProducerConfigBuilder {
    let second = Duration::from_secs(1);
    config.linger(Duration::ZERO).request_timeout(second).delivery_timeout(2 * second).max_block(second)
}

fn main() -> Result {
    let brokers = Brokers::from_args()?;
    for (name, recipe) in
        [("no-loss", no_loss as fn(_) -> _), ("throughput", throughput), ("low-latency", low_latency)]
    {
        let config = recipe(ProducerConfig::builder([brokers.servers()])).build()?;
        let producer = KafkaProducer::<str, str>::open(config)?;
        let values: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
        for (n, value) in values.iter().enumerate() {
            if let (500, Some(cluster)) = (n, brokers.cluster()) {
                cluster.stop_broker(1)?; // its partitions get new leaders, and the producer finds them
            }
            producer.send_with(ProducerRecord::new(name, value), report)?;
        }
        producer.close()?; // every record has its outcome now
        assert_eq!((producer.metrics().records_acknowledged, producer.metrics().records_failed), (1000, 0));
        brokers.check(name, values)?;
        brokers.cluster().map_or(Ok(()), |cluster| cluster.start_broker(1))?;
    }
    Ok(())
}

/// What to do with a failure depends on what it is; retries have been made already.
fn report(result: std::result::Result<kafka_producer::RecordMetadata, Error>) {
    let Err(error) = result else { return };
    match error.kind() {
        ErrorKind::RecordTooLarge | ErrorKind::Authorization => eprintln!("this record never: {error}"),
        _ if error.is_fatal() => eprintln!("close this producer and open another: {error}"),
        _ if error.may_have_been_written() => {
            eprintln!("perhaps written, so sending again may double it: {error}")
        }
        _ => eprintln!("certainly not written, so it can be sent again: {error}"),
    }
}
