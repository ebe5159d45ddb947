//! Sending numbers through trouble, and asking the cluster what came of it.

use crate::support::{PATIENCE, Producer, config};
use kafka_producer::mock::{BrokerVersion, MockCluster, ProducedBatch, RequestBody};
use kafka_producer::protocol::ApiKey;
use kafka_producer::{DeliveryFuture, Error, ProducerConfigBuilder, ProducerRecord, RecordMetadata};
use std::ops::Range;
use std::time::Duration;

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A deadline that a test waits for, and within which other records are delivered although the machine stands still for a
/// second.
pub(crate) const SHORT: Duration = ms(2000);

/// Runs a test that has to wait with brokers of every version at once.
pub(crate) fn of_each_version(test: impl Fn(BrokerVersion) + Sync) {
    std::thread::scope(|scope| {
        for version in BrokerVersion::ALL {
            let test = &test;
            scope.spawn(move || test(version));
        }
    });
}

/// As [`config`], with waits between attempts of a few milliseconds.
pub(crate) fn fast(cluster: &MockCluster) -> ProducerConfigBuilder {
    hasty(config(cluster))
}

pub(crate) fn hasty(config: ProducerConfigBuilder) -> ProducerConfigBuilder {
    config
        .retry_backoff(ms(1))
        .retry_backoff_max(ms(10))
        .reconnect_backoff(ms(1))
        .reconnect_backoff_max(ms(10))
        .max_block(PATIENCE)
}

/// Sends each number as the value of one record, without waiting.
pub(crate) fn send_numbers(
    producer: &Producer,
    topic: &str,
    partition: i32,
    numbers: Range<u32>,
) -> Vec<DeliveryFuture> {
    let send = |n: u32| {
        let value = n.to_be_bytes();
        producer.send(ProducerRecord::new(topic, &value).partition(partition)).expect("it enters")
    };
    numbers.map(send).collect()
}

/// One record's outcome, or a panic where it hangs.
pub(crate) fn outcome(handle: &DeliveryFuture) -> Result<RecordMetadata, Error> {
    handle.get_timeout(PATIENCE).expect("an outcome in time")
}

pub(crate) fn all_delivered(handles: &[DeliveryFuture]) -> Vec<RecordMetadata> {
    handles.iter().map(|h| outcome(h).unwrap()).collect()
}

pub(crate) fn failure(handle: &DeliveryFuture) -> Error {
    outcome(handle).expect_err("it fails")
}

/// The numbers in a partition, in order.
pub(crate) fn numbers(cluster: &MockCluster, topic: &str, partition: i32) -> Vec<u32> {
    let number = |value: Option<Vec<u8>>| u32::from_be_bytes(value.unwrap()[..].try_into().unwrap());
    cluster.records(topic, partition).into_iter().map(|r| number(r.value)).collect()
}

/// The partition holds exactly these numbers, in order.
#[track_caller]
pub(crate) fn holds(cluster: &MockCluster, topic: &str, partition: i32, expected: Range<u32>) {
    assert_eq!(numbers(cluster, topic, partition), expected.collect::<Vec<_>>(), "{topic}-{partition}");
}

#[track_caller]
pub(crate) fn no_violations(cluster: &MockCluster) {
    assert_eq!(cluster.violations(), Vec::<String>::new());
}

/// Every batch sent to a partition, repeats included, in the order of arrival.
pub(crate) fn sent_batches(cluster: &MockCluster, topic: &str, partition: i32) -> Vec<ProducedBatch> {
    let batches = |body| match body {
        RequestBody::Produce { batches, .. } => batches,
        _ => Vec::new(),
    };
    let all = cluster.requests(ApiKey::PRODUCE).into_iter().flat_map(|r| batches(r.body));
    all.filter(|b| b.topic == topic && b.partition == partition).collect()
}

/// Waits for what the producer's own threads do, which the cluster does not see.
#[track_caller]
pub(crate) fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while !condition() {
        assert!(std::time::Instant::now() < deadline, "never: {what}");
        std::thread::yield_now();
    }
}

/// A batch's memory is free a moment after its records have their outcome.
#[track_caller]
pub(crate) fn memory_returned(producer: &Producer) {
    eventually("the memory is back", || {
        let metrics = producer.metrics();
        metrics.buffer_available_bytes == metrics.buffer_total_bytes
    });
}
