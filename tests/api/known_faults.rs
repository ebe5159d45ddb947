//! Faults that other producers have had, as scenarios: those that no other suite plays. The whole list, with the test
//! for each, is in docs/reliability.md.

use crate::harness::{
    all_delivered, eventually, failure, fast, holds, memory_returned, ms, no_violations, send_numbers,
};
use crate::support::{PATIENCE, gate, meet, open};
use kafka_producer::mock::{Fault, MockCluster};
use kafka_producer::protocol::{ApiKey, ErrorCode};
use kafka_producer::{ErrorKind, ProducerRecord};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A marker of the client's own that got into the log, or a record more because of a retry (sarama).
#[test]
fn after_retries_flush_and_close_the_log_holds_exactly_what_was_sent() {
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    let producer = open(fast(&cluster).batch_size(64));
    let shaken = Fault::on(ApiKey::PRODUCE).after(2).times(5).error_before(ErrorCode::NOT_ENOUGH_REPLICAS);
    cluster.inject(shaken);
    cluster.inject(Fault::on(ApiKey::PRODUCE).after(9).times(2).drop_after());
    let handles = send_numbers(&producer, "t", 0, 0..100);
    producer.flush().unwrap();
    send_numbers(&producer, "t", 0, 100..200).into_iter().for_each(kafka_producer::DeliveryFuture::detach);
    producer.close().unwrap();
    all_delivered(&handles);
    holds(&cluster, "t", 0, 0..200);
    let metrics = producer.metrics();
    assert_eq!((metrics.records_acknowledged, metrics.records_failed), (200, 0));
    no_violations(&cluster);
}

/// A failure that says offset 0, or partition -1, as if there were such (Java, franz-go).
#[test]
fn a_record_that_failed_has_neither_offset_nor_a_partition_that_it_did_not_reach() {
    let cluster = MockCluster::builder().topic("t", 2).start().unwrap();
    let producer = open(fast(&cluster).max_request_size(1000));
    let early = producer.send(ProducerRecord::new("t", &[0; 2000])).unwrap_err();
    assert!(early.topic_partition().is_none(), "{early}");
    assert!(!early.to_string().contains("-1"), "{early}");
    cluster.inject(Fault::on(ApiKey::PRODUCE).error_before(ErrorCode::INVALID_RECORD));
    let late = failure(&send_numbers(&producer, "t", 1, 0..1)[0]);
    let place = late.topic_partition().expect("it had reached a partition");
    assert_eq!((&*place.topic, place.partition), ("t", 1));
}

/// Threads that wait for memory and give up must not take the turn of those who wait on (franz-go #832).
#[test]
fn of_those_who_wait_for_memory_some_give_up_and_the_others_get_it() {
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    let producer = open(fast(&cluster).buffer_memory(64 * 1024).batch_size(4096).linger(ms(0)));
    all_delivered(&send_numbers(&producer, "t", 0, 0..1));
    memory_returned(&producer);
    cluster.pause_broker(1).unwrap();
    let value = [7; 3000];
    let mut entered = Vec::new();
    while let Ok(handle) = producer.try_send(ProducerRecord::new("t", &value).partition(0)) {
        entered.push(handle);
    }
    std::thread::scope(|s| {
        let send = |patience| {
            let (producer, value) = (&producer, &value);
            s.spawn(move || producer.send_timeout(ProducerRecord::new("t", value).partition(0), patience))
        };
        // One of each kind in turn, so that those who give up stand between the others.
        let waiting: Vec<_> = (0..8).map(|_| (send(ms(100)), send(PATIENCE))).collect();
        let mut patient = Vec::new();
        for (hasty, other) in waiting {
            let error = hasty.join().unwrap().expect_err("there is no memory yet");
            assert_eq!(error.kind(), ErrorKind::BufferExhausted);
            patient.push(other);
        }
        eventually("the others wait", || producer.metrics().waiting_threads == 8);
        cluster.resume_broker(1).unwrap();
        entered.extend(patient.into_iter().map(|p| p.join().unwrap().expect("memory came back")));
    });
    all_delivered(&entered);
    producer.close().unwrap();
    assert_eq!(cluster.record_count("t"), 1 + entered.len());
    no_violations(&cluster);
}

/// Records that fail faster than their callbacks run: what waits for the callback thread must be bounded (franz-go).
#[test]
fn failures_that_wait_for_a_slow_callback_are_bounded_by_the_memory() {
    const MEMORY: usize = 64 * 1024;
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    let config = fast(&cluster).buffer_memory(MEMORY).batch_size(4096).linger(ms(0));
    let producer = open(config.max_block(ms(200)));
    meet(&producer, "t");
    cluster.inject(Fault::on(ApiKey::PRODUCE).always().error_before(ErrorCode::INVALID_RECORD));
    let (open_gate, closed) = gate();
    let called = Arc::new(AtomicUsize::new(0));
    let value = [7; 1000];
    let mut entered = 0;
    let send = || {
        let (called, closed) = (Arc::clone(&called), closed.clone());
        producer.send_with(ProducerRecord::new("t", &value), move |result| {
            let _ = closed.recv();
            assert!(result.is_err());
            called.fetch_add(1, Ordering::SeqCst);
        })
    };
    let error = loop {
        match send() {
            Ok(()) => entered += 1,
            Err(error) => break error,
        }
        assert!(entered < MEMORY / 1000, "failed records wait for callbacks and hold nothing");
    };
    assert_eq!(error.kind(), ErrorKind::BufferExhausted);
    drop(open_gate);
    producer.close().unwrap();
    assert_eq!(called.load(Ordering::SeqCst), entered, "each callback ran once");
    assert_eq!(producer.metrics().buffer_available_bytes, MEMORY as u64);
    assert_eq!(cluster.record_count("t"), 0);
}
