//! Errors that say how often a record was tried and where its time went.

use crate::harness::{SHORT, failure, fast};
use crate::support::{PATIENCE, cause, config, eventually, meet, ms, open, says};
use kafka_producer::mock::{Fault, MockCluster};
use kafka_producer::protocol::{ApiKey, ErrorCode};
use kafka_producer::{ErrorKind, ProducerRecord};

#[test]
fn an_answer_that_does_not_come_is_time_in_flight() {
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    let producer = open(
        config(&cluster).delivery_timeout(SHORT).request_timeout(SHORT).linger(ms(0)).max_block(PATIENCE),
    );
    meet(&producer, "t");
    producer.send(ProducerRecord::new("t", b"x")).unwrap().get().unwrap();
    cluster.inject(Fault::on(ApiKey::PRODUCE).always().swallow_answer());
    let error = failure(&producer.send(ProducerRecord::new("t", b"x")).unwrap());
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::DeliveryTimeout, Some(1)), "{error}");
    let timings = error.timings().unwrap();
    assert!(timings.in_flight >= SHORT / 4 && timings.total() >= SHORT, "{timings:?}");
    says(&error, &["[time: ", "in flight "]);
}

#[test]
fn a_slow_answer_to_the_metadata_request_is_time_for_metadata() {
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    let producer = open(fast(&cluster));
    producer.connect(PATIENCE).unwrap();
    cluster.inject(Fault::on(ApiKey::METADATA).topic("t").delay(ms(150)));
    cluster.inject(Fault::on(ApiKey::PRODUCE).error_before(ErrorCode::INVALID_REQUIRED_ACKS));
    let error = failure(&producer.send(ProducerRecord::new("t", b"x")).unwrap());
    let timings = error.timings().unwrap();
    assert!(timings.metadata >= ms(100), "{timings:?}");
    assert_eq!(error.attempts(), Some(1));
}

#[test]
fn a_topic_that_stays_unknown_is_time_for_metadata() {
    let cluster = MockCluster::builder().auto_create(false).start().unwrap();
    let producer = open(config(&cluster).max_block(ms(150)));
    let error = producer.send(ProducerRecord::new("missing", b"x")).unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::MetadataTimeout, None));
    assert!(error.timings().unwrap().metadata >= ms(149), "{error}");
    says(&error, &["[time: metadata "]);
    let error = producer.try_send(ProducerRecord::new("other", b"x")).unwrap_err();
    assert!(!error.to_string().contains("[time"), "it did not wait: {error}");
}

/// Of the send that gave up, and of the one that got its memory late and failed later.
#[test]
fn a_full_buffer_is_time_for_memory() {
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    let producer = open(
        fast(&cluster).buffer_memory(32 * 1024).batch_size(4096).linger(ms(0)).delivery_timeout(PATIENCE),
    );
    meet(&producer, "t");
    producer.send(ProducerRecord::new("t", b"x")).unwrap().get().unwrap();
    cluster.pause_broker(1).unwrap();
    let value = [7; 3000];
    let refused = loop {
        match producer.send_timeout(ProducerRecord::new("t", &value), ms(50)) {
            Ok(handle) => handle.detach(),
            Err(error) => break error,
        }
    };
    assert_eq!(refused.kind(), ErrorKind::BufferExhausted);
    assert!(refused.timings().unwrap().memory >= ms(50), "{refused}");
    says(&refused, &["[time: memory "]);
    cluster.inject(Fault::on(ApiKey::PRODUCE).always().error_before(ErrorCode::INVALID_REQUIRED_ACKS));
    let late = std::thread::scope(|s| {
        let waiting = s.spawn(|| producer.send(ProducerRecord::new("t", &value)).unwrap());
        eventually(|| producer.metrics().waiting_threads == 1);
        cluster.resume_broker(1).unwrap();
        failure(&waiting.join().unwrap())
    });
    let timings = late.timings().unwrap();
    assert!(!timings.memory.is_zero(), "{timings:?}");
}

/// The first is in flight; the second, for the same broker, has no room behind it.
#[test]
fn a_record_that_is_never_written_was_in_the_queue() {
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    let config = config(&cluster).max_in_flight_requests_per_connection(1).batch_size(1).linger(ms(0));
    let producer = open(config.delivery_timeout(SHORT).request_timeout(SHORT).max_block(PATIENCE));
    meet(&producer, "t");
    producer.send(ProducerRecord::new("t", b"x")).unwrap().get().unwrap();
    cluster.pause_broker(1).unwrap();
    let handles = [0, 1].map(|_| producer.send(ProducerRecord::new("t", b"x")).unwrap());
    let errors = handles.map(|handle| failure(&handle));
    assert_eq!(errors.each_ref().map(|e| e.attempts()), [Some(1), Some(0)], "{errors:?}");
    let [in_flight, queued] = errors.each_ref().map(|e| e.timings().unwrap());
    assert!(in_flight.in_flight >= SHORT / 4 && in_flight.queue < SHORT / 4 * 3, "{in_flight:?}");
    assert!(queued.queue >= SHORT - ms(1) && queued.in_flight.is_zero(), "{queued:?}");
}

#[test]
fn giving_up_after_retries_says_how_many_and_how_long() {
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    let config = config(&cluster).enable_idempotence(false).retries(2);
    let producer = open(config.retry_backoff(ms(40)).retry_backoff_max(ms(40)).retry_backoff_jitter(0.0));
    cluster.inject(Fault::on(ApiKey::PRODUCE).always().error_before(ErrorCode::NOT_ENOUGH_REPLICAS));
    let error = failure(&producer.send(ProducerRecord::new("t", b"x")).unwrap());
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::RetriesExhausted, Some(3)));
    let timings = error.timings().unwrap();
    assert!(timings.backoff >= ms(80), "{timings:?}");
    says(&error, &["3 attempt(s)", "[time: ", "backoff "]);
    assert_eq!(cause(&error).code(), Some(ErrorCode::NOT_ENOUGH_REPLICAS));
}

/// 10, 40 and 160 ms; with the default multiplier of 2 they would be 70 ms in all.
#[test]
fn pauses_grow_by_the_multiplier_that_was_set() {
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    let config = config(&cluster).enable_idempotence(false).retries(3).retry_backoff(ms(10));
    let producer = open(config.retry_backoff_multiplier(4.0).retry_backoff_jitter(0.0));
    cluster.inject(Fault::on(ApiKey::PRODUCE).always().error_before(ErrorCode::NOT_ENOUGH_REPLICAS));
    let error = failure(&producer.send(ProducerRecord::new("t", b"x")).unwrap());
    assert_eq!(error.attempts(), Some(4));
    assert!(error.timings().unwrap().backoff >= ms(210), "{error}");
}
