//! The first record: open a producer, send, wait for the place where it stands.
//!
//! ```text
//! cargo run --example first_record
//! cargo run --example first_record -- --bootstrap-server localhost:9092
//! ```

use brokers::{Brokers, Result};
use kafka_producer::{KafkaProducer, ProducerConfig, ProducerRecord};

#[path = "support/brokers.rs"]
mod brokers;

fn main() -> Result {
    let brokers = Brokers::from_args()?;
    let config = ProducerConfig::new(brokers.servers())?;
    // The types of key and value pick the serializers: strings here.
    let producer = KafkaProducer::<str, str>::open(config)?;

    // `send` hands the record over; `get` waits until all replicas in sync have it.
    let place = producer.send(ProducerRecord::new("first-record", "hello").key("alice"))?.get()?;
    println!("written at {place}");

    // `close` sends what is left, and says so if it could not.
    producer.close()?;

    brokers.check("first-record", ["hello"])?;
    if let Some(cluster) = brokers.cluster() {
        let stored = &cluster.records("first-record", place.partition())[0];
        assert_eq!(Some(stored.offset), place.offset());
        assert_eq!(stored.key.as_deref(), Some(&b"alice"[..]));
    }
    Ok(())
}
