//! Events as JSON, by customer, with headers and the event's own time. Needs the feature `json`:
//!
//! ```text
//! cargo run --features json --example json_events
//! ```

use brokers::{Brokers, Result};
use kafka_producer::{JsonSerializer, KafkaProducer, LongSerializer, ProducerConfig, ProducerRecord};
use serde::Serialize;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[path = "support/brokers.rs"]
mod brokers;

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event {
    Ordered { item: String, cents: u32 },
    Cancelled { reason: Option<String> },
}

fn main() -> Result {
    let brokers = Brokers::from_args()?;
    let config = ProducerConfig::new(brokers.servers())?;
    let producer = KafkaProducer::<i64, Event>::new(config, LongSerializer, JsonSerializer)?;

    let happened: SystemTime = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let events = [
        (42, Event::Ordered { item: "tea".into(), cents: 350 }),
        (7, Event::Ordered { item: "milk".into(), cents: 120 }),
        (42, Event::Cancelled { reason: None }),
    ];
    // The key decides the partition: what happens to one customer stays in order.
    let records = events.iter().map(|(customer, event)| {
        ProducerRecord::new("json-events", event)
            .key(customer)
            .timestamp(happened)
            .header("content-type", b"application/json")
    });
    for place in producer.send_all(records)?.get()? {
        println!("{place}");
    }
    // A tombstone: the key without a value, which a compacted topic takes as a deletion.
    producer.send(ProducerRecord::to("json-events").key(&7))?.get()?;
    producer.close()?;

    let ordered = r#"{"type":"ordered","item":"tea","cents":350}"#;
    let cancelled = r#"{"type":"cancelled","reason":null}"#;
    brokers
        .check("json-events", [ordered, r#"{"type":"ordered","item":"milk","cents":120}"#, cancelled, ""])?;
    let records = brokers.read_back("json-events").unwrap_or_default();
    let of_42: Vec<_> = records.iter().filter(|r| r.key.as_deref() == Some(&42i64.to_be_bytes())).collect();
    assert!(of_42.is_empty() || of_42.len() == 2 && of_42[0].value.as_deref() == Some(ordered.as_bytes()));
    assert!(of_42.iter().all(|r| r.timestamp == 1_700_000_000_000 && r.headers[0].0 == "content-type"));
    Ok(())
}
