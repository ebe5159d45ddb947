//! Every way to send one record, and what tells you how it ended.

use brokers::{Brokers, Result};
use kafka_producer::{ErrorKind, KafkaProducer, ProducerConfig, ProducerRecord};
use std::sync::mpsc;
use std::time::Duration;

#[path = "support/brokers.rs"]
mod brokers;

const TOPIC: &str = "send-modes";

fn main() -> Result {
    let brokers = Brokers::from_args()?;
    let producer = KafkaProducer::<str, str>::open(ProducerConfig::new(brokers.servers())?)?;
    let record = |value: &'static str| ProducerRecord::new(TOPIC, value).key("one partition, so in order");

    // Synchronous: a round trip for each. Whoever waits ends `linger.ms`.
    println!("get            {}", producer.send(record("1 sync"))?.get()?);

    // Asynchronous: keep the handle and look later, with or without a deadline, or not at all.
    let handle = producer.send(record("2 async"))?;
    let also = producer.send(record("3 async"))?;
    match handle.get_timeout(Duration::from_secs(10)) {
        Some(result) => println!("get_timeout    {}", result?),
        None => println!("get_timeout    not yet; the handle may be asked again"),
    }
    also.get()?;
    println!("try_get        {}", also.try_get().ok_or("it has ended")??);

    // Callback: on the producer's callback thread, in order per partition.
    let (outcomes, received) = mpsc::channel();
    producer.send_with(record("4 callback"), move |result| {
        let _ = outcomes.send(result);
    })?;
    println!("send_with      {}", received.recv()??);

    // Fire and forget: it is sent all the same, and failures are counted and logged.
    producer.send(record("5 forget"))?.detach();

    // Never blocking: an error says what it would have waited for, and the record is still yours.
    match producer.try_send(record("6 try")) {
        Ok(handle) => println!("try_send       {}", handle.get()?),
        Err(error) if error.kind() == ErrorKind::BufferExhausted => println!("try_send       later: {error}"),
        Err(error) => return Err(error.into()),
    }

    // Many with one handle.
    let places = producer.send_all([record("7 all"), record("8 all")])?.get()?;
    println!("send_all       {} and {}", places[0], places[1]);

    producer.flush()?; // everything above has an outcome now
    assert_eq!(producer.metrics().records_acknowledged, 8);
    producer.close()?;
    let sent = ["1 sync", "2 async", "3 async", "4 callback", "5 forget", "6 try", "7 all", "8 all"]
        .map(String::from);
    brokers.check(TOPIC, sent)
}
