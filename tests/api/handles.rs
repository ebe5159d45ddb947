//! Handles: waiting, polling, awaiting, cloning, letting go, outliving.

use crate::support::{AT_ONCE, PATIENCE, Producer, after, at_once, config, keep_log, logged, ms, open, timed};
use kafka_producer::mock::{Fault, MockCluster};
use kafka_producer::protocol::{ApiKey, ErrorCode};
use kafka_producer::{Acks, DeliveryFuture, ErrorKind, ProducerRecord};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

const FAR: Duration = Duration::from_secs(600);

fn start() -> (MockCluster, Producer) {
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    let producer = open(config(&cluster));
    producer.partitions_for("t").unwrap();
    (cluster, producer)
}

#[test]
fn polling_a_handle_before_and_after() {
    let (cluster, producer) = start();
    cluster.pause_broker(1).unwrap();
    let handle = producer.send(ProducerRecord::new("t", b"x")).unwrap();
    assert!(!handle.is_done());
    assert!(handle.try_get().is_none());
    assert!(after(ms(50), || handle.get_timeout(ms(50))).is_none());
    assert!(at_once(|| handle.get_timeout(Duration::ZERO)).is_none());
    cluster.resume_broker(1).unwrap();
    let metadata = handle.get_timeout(PATIENCE).unwrap().unwrap();
    assert!(handle.is_done());
    assert_eq!(handle.try_get().unwrap().unwrap(), metadata);
    assert_eq!(handle.get().unwrap(), metadata);
    assert_eq!(handle.clone().get().unwrap(), metadata);
    assert_eq!(handle.get_timeout(Duration::ZERO).unwrap().unwrap(), metadata);
}

#[test]
fn a_caller_that_waits_ends_linger() {
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    let producer = open(config(&cluster).linger(FAR).delivery_timeout(FAR * 2));
    let record = || ProducerRecord::new("t", b"x");
    at_once(|| producer.send(record()).unwrap().get().unwrap());
    at_once(|| producer.send(record()).unwrap().get_timeout(PATIENCE).unwrap().unwrap());
    at_once(|| block_on(producer.send(record()).unwrap()).unwrap());
    at_once(|| producer.send_all([record(), record()]).unwrap().get().unwrap());
    producer.send(record()).unwrap().detach();
    at_once(|| producer.flush().unwrap());
    let handle = producer.send(record()).unwrap();
    assert!(!handle.is_done());
    at_once(|| producer.close().unwrap());
    assert!(handle.is_done());
    assert_eq!(cluster.record_count("t"), 7);
}

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park_timeout(PATIENCE),
        }
    }
}

#[test]
fn a_handle_is_a_future() {
    let (cluster, producer) = start();
    let metadata = block_on(producer.send(ProducerRecord::new("t", b"x")).unwrap()).unwrap();
    assert_eq!(metadata.to_string(), "t-0@0");
    let all = block_on(async {
        let mut offsets = Vec::new();
        for _ in 0..3 {
            offsets.push(producer.send(ProducerRecord::new("t", b"x")).unwrap().await.unwrap().offset());
        }
        offsets
    });
    assert_eq!(all, [Some(1), Some(2), Some(3)]);
    cluster.pause_broker(1).unwrap();
    let handle = producer.send(ProducerRecord::new("t", b"x")).unwrap();
    let result = std::thread::scope(|s| {
        let waiter = s.spawn(|| block_on(handle));
        cluster.resume_broker(1).unwrap();
        waiter.join().unwrap()
    });
    assert_eq!(result.unwrap().offset(), Some(4));
}

#[test]
fn handles_outlive_the_producer() {
    let (cluster, producer) = start();
    let good = producer.send(ProducerRecord::new("t", b"x")).unwrap();
    good.get().unwrap();
    cluster.pause_broker(1).unwrap();
    let bad = producer.send(ProducerRecord::new("t", b"y")).unwrap();
    producer.close_timeout(Duration::ZERO).unwrap_err();
    drop(producer);
    drop(cluster);
    assert_eq!(good.get().unwrap().to_string(), "t-0@0");
    assert_eq!(at_once(|| bad.get().unwrap_err()).kind(), ErrorKind::Closed);
    assert_eq!(block_on(bad.clone()).unwrap_err().kind(), ErrorKind::Closed);
    let (tx, rx) = crossbeam_channel::bounded(1);
    bad.on_complete(move |r| tx.send(r.unwrap_err().kind()).unwrap());
    assert_eq!(rx.recv_timeout(PATIENCE), Ok(ErrorKind::Closed));
}

fn refuse_once(cluster: &MockCluster) {
    cluster.inject(Fault::on(ApiKey::PRODUCE).error_before(ErrorCode::INVALID_RECORD).times(1));
}

#[test]
fn failures_nobody_looks_at_are_counted_once_and_logged() {
    keep_log();
    let cluster = MockCluster::builder().topic("unseen", 1).start().unwrap();
    let producer = open(config(&cluster).linger(FAR).delivery_timeout(FAR * 2));
    producer.partitions_for("unseen").unwrap();
    let record = || ProducerRecord::new("unseen", b"x");

    refuse_once(&cluster);
    producer.send(record()).unwrap().detach();
    drop(producer.send(record()));
    let cloned = producer.send(record()).unwrap();
    drop(cloned.clone());
    drop(cloned);
    producer.flush().unwrap();
    assert_eq!(producer.metrics().records_failed, 3);
    assert_eq!(producer.metrics().records_failed_unseen, 3);
    assert!(logged(&["kafka_producer::delivery", "unseen-0", "INVALID_RECORD"]));

    refuse_once(&cluster);
    let seen = producer.send(record()).unwrap();
    let late = producer.send(record()).unwrap();
    let other = seen.clone();
    other.get().unwrap_err();
    drop(other);
    seen.try_get().unwrap().unwrap_err();
    drop(seen);
    assert_eq!(producer.metrics().records_failed_unseen, 3, "somebody saw that one");
    drop(late);
    assert_eq!(producer.metrics().records_failed_unseen, 4, "dropped after it had failed");

    refuse_once(&cluster);
    let once = producer.send(record()).unwrap();
    once.clone().get().unwrap_err();
    drop(once);
    assert_eq!(producer.metrics().records_failed_unseen, 4, "seen through a clone is seen");

    refuse_once(&cluster);
    producer.send_with(record(), |_| {}).unwrap();
    producer.flush().unwrap();
    assert_eq!(producer.metrics().records_failed_unseen, 4, "a callback sees it");
}

#[test]
fn detached_records_are_delivered() {
    let (cluster, producer) = start();
    for _ in 0..100 {
        producer.send(ProducerRecord::new("t", b"x")).unwrap().detach();
    }
    producer.close().unwrap();
    assert_eq!(cluster.record_count("t"), 100);
    assert_eq!(producer.metrics().records_failed_unseen, 0);
}

#[test]
fn send_all_says_which_records_failed() {
    let cluster = MockCluster::builder().topic("good", 1).topic("bad", 1).start().unwrap();
    let producer = open(config(&cluster));
    cluster.inject(Fault::on(ApiKey::PRODUCE).topic("bad").error_before(ErrorCode::INVALID_RECORD).always());
    let topics = ["good", "bad", "good", "bad"];
    let all = producer.send_all(topics.map(|t| ProducerRecord::new(t, b"x"))).unwrap();
    assert_eq!((all.len(), all.is_empty()), (4, false));
    let error = all.get().unwrap_err();
    let failed: Vec<_> = error.failures().iter().map(|(at, e)| (*at, e.code())).collect();
    assert_eq!(failed, [(1, Some(ErrorCode::INVALID_RECORD)), (3, Some(ErrorCode::INVALID_RECORD))]);
    assert_eq!(error.entered(), 4);
    let one: kafka_producer::Error = error.into();
    assert_eq!(one.topic_partition().unwrap().to_string(), "bad-0");
    assert!(all.is_done());
    assert_eq!(all.get_timeout(Duration::ZERO).unwrap().unwrap_err().failures().len(), 2);
    let futures: Vec<DeliveryFuture> = all.into_futures();
    assert_eq!(futures[2].get().unwrap().to_string(), "good-0@1");
    assert!(producer.send_all([]).unwrap().get().unwrap().is_empty());
}

#[test]
fn without_acknowledgement_there_is_no_offset() {
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    let producer = open(config(&cluster).acks(Acks::None));
    let (metadata, took) = timed(|| producer.send(ProducerRecord::new("t", b"x")).unwrap().get().unwrap());
    assert!(took < AT_ONCE);
    assert_eq!((metadata.offset(), metadata.to_string()), (None, "t-0@?".to_owned()));
    producer.close().unwrap();
    assert!(cluster.wait_until(PATIENCE, |c| c.record_count("t") == 1));
}
