//! `flush` and `close` keep to their time in every fault, and every record has its outcome then.

use crate::faults::{KINDS, OUTAGES, VICTIMS};
use crate::process::{Producer, config, eventually, ms, open};
use kafka_producer::mock::MockCluster;
use kafka_producer::{DeliveryFuture, Error, ProducerRecord};
use std::time::{Duration, Instant};

const FLUSH: Duration = ms(60);
const CLOSE: Duration = ms(80);
/// What `close` may add to its time, as documented, and what a busy machine may.
const MORE: Duration = ms(8000);

fn timed(what: &str, most: Duration, call: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
    let begin = Instant::now();
    let result = call();
    let took = begin.elapsed();
    assert!(took < most + MORE, "{what} took {took:?} instead of {most:?}");
    result
}

fn start() -> (MockCluster, Producer) {
    let cluster = MockCluster::builder().brokers(1).topic("t", 1).start().unwrap();
    let config = config(&cluster.bootstrap_servers())
        .max_block(ms(60))
        .retry_backoff(ms(5))
        .reconnect_backoff(ms(5))
        .batch_size(1000);
    (cluster, open(config))
}

fn send(producer: &Producer) -> Vec<DeliveryFuture> {
    // Where there is no metadata nothing enters, and that is an outcome too.
    (0..20).map_while(|_| producer.send(ProducerRecord::new("t", &[7; 200])).ok()).collect()
}

/// Sends into the trouble, flushes, closes; nothing may take longer than it was given, or be left afterwards.
fn endure(name: &str, before: bool, strike: &dyn Fn(&MockCluster)) {
    let (cluster, producer) = start();
    if before {
        strike(&cluster);
    } else {
        // However short the producer's own deadline is and busy the machine.
        eventually(|| producer.partitions_for("t").is_ok());
        producer.send(ProducerRecord::new("t", b"first")).unwrap().get().unwrap();
        strike(&cluster);
    }
    let handles = send(&producer);
    let _ = timed(&format!("{name}: flush"), FLUSH, || producer.flush_timeout(FLUSH));
    let closed = timed(&format!("{name}: close"), CLOSE, || producer.close_timeout(CLOSE));
    if closed.is_err_and(|e| e.to_string().contains("has not ended yet")) {
        // The machine stood still, so that the sender thread had no moment to end in: it has one now.
        eventually(|| producer.close_timeout(CLOSE).is_ok());
    }
    for handle in &handles {
        assert!(handle.try_get().is_some(), "{name}: a record has no outcome after close");
    }
    let metrics = producer.metrics();
    assert_eq!(metrics.buffer_available_bytes, metrics.buffer_total_bytes, "{name}: memory is held");
    assert_eq!(metrics.records_pending, 0, "{name}");
}

fn endure_requests(before: bool) {
    for (victim, on) in VICTIMS {
        for (kind, make) in KINDS {
            endure(&format!("{kind}, {victim}"), before, &|cluster| {
                cluster.inject(make(on()).always());
                if *victim == "ApiVersions" {
                    cluster.disconnect(1).unwrap();
                }
            });
        }
    }
}

#[test]
fn in_every_fault_of_a_request_that_comes_later() {
    endure_requests(false);
}

#[test]
fn in_every_fault_of_a_request_that_is_there_from_the_start() {
    endure_requests(true);
}

#[test]
fn in_every_outage() {
    for (name, strike) in OUTAGES {
        for before in [false, true] {
            endure(name, before, strike);
        }
    }
}
