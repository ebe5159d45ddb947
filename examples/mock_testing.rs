//! How to test code that sends: against the mock producer, and against the embedded cluster with faults.
//!
//! A real project has these functions under `#[test]`; docs/testing.md says more.

use kafka_producer::mock::{Fault, MockCluster, MockError, MockProducer};
use kafka_producer::protocol::{ApiKey, ErrorCode};
use kafka_producer::{Error, ErrorKind, KafkaProducer, Producer, ProducerConfig, ProducerRecord};
use std::time::Duration;

/// The code under test. It takes any producer, so tests can hand it one of theirs.
fn book(orders: &dyn Producer<str, str>, user: &str, item: &str) -> Result<String, Error> {
    match orders.send(ProducerRecord::new("orders", item).key(user))?.get() {
        Ok(place) => Ok(format!("booked as {place}")),
        Err(error) if error.may_have_been_written() => Ok("we will tell you by mail".to_owned()),
        Err(error) => Err(error),
    }
}

/// No network, no threads: what was sent, and what the code makes of each outcome.
fn with_the_mock_producer() -> Result<(), Error> {
    let orders = MockProducer::<str, str>::auto_complete();
    assert_eq!(book(&orders, "ann", "tea")?, "booked as orders-0@0");
    let sent = orders.sent();
    assert_eq!((sent[0].key_ref(), sent[0].value_ref()), (Some("ann"), Some("tea")));

    orders.fail_each_record(MockError::new(ErrorKind::DeliveryTimeout, "late").may_have_been_written());
    assert_eq!(book(&orders, "bob", "milk")?, "we will tell you by mail");
    orders.fail_each_record(MockError::new(ErrorKind::Authorization, "no"));
    assert_eq!(book(&orders, "eve", "all").map_err(|e| e.kind()), Err(ErrorKind::Authorization));
    Ok(())
}

/// The real producer, sockets and retries, against brokers that misbehave on demand.
fn with_the_embedded_cluster() -> Result<(), Box<dyn std::error::Error>> {
    let cluster = MockCluster::builder().brokers(3).topic("orders", 1).start()?;
    let config = ProducerConfig::builder([cluster.bootstrap_servers()]);
    let orders = KafkaProducer::<str, str>::open(config.retry_backoff(Duration::from_millis(1)).build()?)?;

    // The leader has appended the record when its connection breaks; then it moves.
    let fault = cluster.inject(Fault::on(ApiKey::PRODUCE).drop_after().times(1));
    assert_eq!(book(&orders, "ann", "tea")?, "booked as orders-0@0");
    assert_eq!((fault.hits(), cluster.record_count("orders")), (1, 1)); // sent twice, there once
    cluster.inject(Fault::on(ApiKey::PRODUCE).error_before(ErrorCode::TOPIC_AUTHORIZATION_FAILED).times(1));
    assert!(book(&orders, "eve", "all").is_err());

    orders.close()?;
    assert!(cluster.violations().is_empty(), "nothing that a broker would call wrong");
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    with_the_mock_producer()?;
    with_the_embedded_cluster()?;
    println!("checked: both test suites pass");
    Ok(())
}
