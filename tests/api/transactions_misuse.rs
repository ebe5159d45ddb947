//! What makes no sense is refused, changes nothing, and says what to call instead.

use crate::harness::{SHORT, fast};
use crate::support::{Producer, at_once, config, open, says};
use crate::transactions::{ID, send, transactional, values};
use kafka_producer::mock::{Fault, MockCluster};
use kafka_producer::protocol::ApiKey;
use kafka_producer::{ConsumerGroupMetadata, Error, ErrorKind, KafkaProducer, Offsets, ProducerRecord};
use std::sync::mpsc;
use std::time::Duration;

fn cluster() -> MockCluster {
    MockCluster::builder().topic("a", 1).start().unwrap()
}

#[track_caller]
fn misused<T: std::fmt::Debug>(call: impl FnOnce() -> Result<T, Error>, advice: &str) {
    let error = at_once(call).expect_err("it makes no sense");
    assert_eq!(error.kind(), ErrorKind::Misuse, "{error}");
    says(&error, &[advice]);
    assert!(!error.is_fatal() && !error.requires_abort() && !error.may_have_been_written(), "{error:?}");
}

fn offsets() -> (Offsets, ConsumerGroupMetadata) {
    (Offsets::new().with("a", 0, 1), ConsumerGroupMetadata::new("g"))
}

#[test]
fn without_a_transactional_id() {
    let cluster = cluster();
    let producer = open(fast(&cluster));
    let (offsets, group) = offsets();
    misused(|| producer.transaction(), "transactional.id");
    misused(|| producer.init_transactions(), "transactional.id");
    misused(|| producer.begin_transaction(), "transactional.id");
    misused(|| producer.send_offsets_to_transaction(&offsets, &group), "transactional.id");
    misused(|| producer.commit_transaction(), "transactional.id");
    misused(|| producer.abort_transaction(), "transactional.id");
    producer.send(ProducerRecord::new("a", b"x")).unwrap().get().unwrap();
}

#[test]
fn at_the_wrong_time() {
    let cluster = cluster();
    let producer = transactional(&cluster);
    let (offsets, group) = offsets();
    let record = || ProducerRecord::new("a", b"stray");
    misused(|| producer.begin_transaction(), "init_transactions()");
    misused(|| producer.send(record()), "init_transactions()");
    misused(|| producer.commit_transaction(), "init_transactions()");
    misused(|| producer.abort_transaction(), "init_transactions()");
    misused(|| producer.send_offsets_to_transaction(&offsets, &group), "init_transactions()");

    producer.init_transactions().unwrap();
    misused(|| producer.init_transactions(), "begin_transaction()");
    misused(|| producer.send(record()), "begin_transaction()");
    misused(|| producer.try_send(record()), "begin_transaction()");
    misused(|| producer.send_with(record(), |_| {}), "begin_transaction()");
    misused(|| producer.commit_transaction(), "begin_transaction()");
    misused(|| producer.abort_transaction(), "begin_transaction()");
    misused(|| producer.send_offsets_to_transaction(&offsets, &group), "begin_transaction()");

    producer.begin_transaction().unwrap();
    misused(|| producer.begin_transaction(), "commit_transaction()");
    misused(|| producer.transaction(), "commit_transaction()");
    misused(|| producer.init_transactions(), "initialised already");
    misused(|| producer.send_offsets_to_transaction(&offsets, &ConsumerGroupMetadata::new("")), "group.id");
    let nobody = ConsumerGroupMetadata::new("g").member("", 5);
    misused(|| producer.send_offsets_to_transaction(&offsets, &nobody), "member id");
    let negative = Offsets::new().with("a", 0, -1);
    misused(|| producer.send_offsets_to_transaction(&negative, &group), "next offset");
    producer.send(record()).unwrap().detach();
    producer.commit_transaction().unwrap();
    misused(|| producer.commit_transaction(), "begin_transaction()");
    misused(|| producer.abort_transaction(), "begin_transaction()");
    assert_eq!(values(&cluster, "a"), ["stray"]);
}

#[test]
fn inside_a_callback() {
    let cluster = cluster();
    let producer: &'static Producer = Box::leak(Box::new(transactional(&cluster)));
    let transaction = producer.transaction().unwrap();
    let (told, heard) = mpsc::channel();
    let (offsets, group) = offsets();
    let record = ProducerRecord::new("a", b"x");
    transaction
        .send_with(record, move |_| {
            let results = [
                producer.init_transactions(),
                producer.begin_transaction(),
                producer.send_offsets_to_transaction(&offsets, &group),
                producer.commit_transaction(),
                producer.abort_transaction(),
                producer.transaction().map(drop),
            ];
            told.send(results).unwrap();
        })
        .unwrap();
    producer.flush().unwrap();
    for result in heard.recv_timeout(Duration::from_secs(20)).unwrap() {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misuse, "{error}");
        says(&error, &["callback"]);
    }
    transaction.commit().unwrap();
    assert_eq!(values(&cluster, "a"), ["x"]);
}

#[test]
fn the_guard_may_be_dropped_inside_a_callback() {
    let cluster = cluster();
    let producer: &'static Producer = Box::leak(Box::new(transactional(&cluster)));
    let transaction = producer.transaction().unwrap();
    let handle = transaction.send(ProducerRecord::new("a", b"x")).unwrap();
    handle.on_complete(move |_| drop(transaction));
    producer.flush().unwrap();
    producer.transaction().unwrap().commit().unwrap();
    assert!(values(&cluster, "a").is_empty());
}

#[test]
fn two_threads_that_end_a_transaction_at_once() {
    let cluster = cluster();
    let producer = transactional(&cluster);
    let transaction = producer.transaction().unwrap();
    send(&transaction, "a", "x");
    producer.flush().unwrap();
    let slow = cluster.inject(Fault::on(ApiKey::END_TXN).delay(SHORT));
    std::thread::scope(|scope| {
        let first = scope.spawn(|| transaction.commit().map_err(Error::from));
        // The other one comes while the first waits for the coordinator.
        assert!(cluster.wait_until(Duration::from_secs(20), |_| slow.hits() == 1));
        misused(|| producer.commit_transaction(), "another thread");
        misused(|| producer.abort_transaction(), "another thread");
        misused(|| producer.begin_transaction(), "another thread");
        misused(|| producer.init_transactions(), "another thread");
        misused(|| producer.send(ProducerRecord::new("a", b"late")), "committed");
        first.join().unwrap().unwrap();
    });
    assert_eq!(values(&cluster, "a"), ["x"]);
}

#[test]
fn a_timeout_above_the_broker_s_maximum() {
    let cluster =
        MockCluster::builder().topic("a", 1).max_transaction_timeout(Duration::from_secs(5)).start().unwrap();
    let producer = open(fast(&cluster).transactional_id(ID).transaction_timeout(Duration::from_secs(6)));
    let error = at_once(|| producer.transaction()).unwrap_err();
    says(&error, &["transaction.timeout.ms", "transaction.max.timeout.ms"]);
    let producer = open(fast(&cluster).transactional_id(ID).transaction_timeout(Duration::from_secs(5)));
    producer.transaction().unwrap().commit().unwrap();
}

#[test]
fn settings_that_contradict_transactions_are_refused_when_they_are_built() {
    let cluster = cluster();
    let base = || config(&cluster).transactional_id(ID);
    for (config, key) in [
        (base().set("acks", "1"), "acks"),
        (base().set("enable.idempotence", "false"), "enable.idempotence"),
        (base().set("retries", "0"), "retries"),
        (base().set("max.in.flight.requests.per.connection", "6"), "max.in.flight"),
    ] {
        let error = config.build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        says(&error, &[key]);
    }
    // What is implied need not be said.
    let config = base().build().unwrap();
    assert!(config.idempotence());
    let producer = KafkaProducer::<str, str>::open(config).unwrap();
    producer.transaction().unwrap().commit().unwrap();
    let ids: Vec<_> = cluster.requests(ApiKey::INIT_PRODUCER_ID).into_iter().map(|r| r.client_id).collect();
    assert_eq!(ids, [Some(format!("producer-{ID}"))]);
}

#[test]
fn after_close() {
    let cluster = cluster();
    let producer = transactional(&cluster);
    let transaction = producer.transaction().unwrap();
    producer.close().unwrap();
    for error in [
        transaction.commit().unwrap_err().into_error(),
        producer.begin_transaction().unwrap_err(),
        producer.commit_transaction().unwrap_err(),
        producer.abort_transaction().unwrap_err(),
        producer.transaction().map(drop).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    }
}
