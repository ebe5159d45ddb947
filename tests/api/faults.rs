//! What brokers answer and what connections do: every record arrives once, in order, or fails with the right error.

use crate::harness::{
    SHORT, all_delivered, eventually, failure, fast, hasty, holds, ms, no_violations, numbers,
    of_each_version, outcome, send_numbers, sent_batches,
};
use crate::support::{PATIENCE, config, open};
use kafka_producer::mock::{Fault, MockCluster};
use kafka_producer::protocol::{ApiKey, ErrorCode};
use kafka_producer::{Acks, ErrorKind, ProducerConfig, ProducerRecord};

const MAYBE_APPENDED: [ErrorCode; 6] = [
    ErrorCode::UNKNOWN_SERVER_ERROR,
    ErrorCode::NOT_LEADER_OR_FOLLOWER,
    ErrorCode::REQUEST_TIMED_OUT,
    ErrorCode::NETWORK_EXCEPTION,
    ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND,
    ErrorCode::KAFKA_STORAGE_ERROR,
];

fn produce(topic: &str) -> Fault {
    Fault::on(ApiKey::PRODUCE).topic(topic)
}

#[test]
fn every_retriable_error_before_the_append_is_retried_until_the_records_are_there_once() {
    let cluster = MockCluster::start(1).unwrap();
    let producer = open(fast(&cluster));
    for code in ErrorCode::ALL.iter().copied().filter(|c| c.is_retriable()) {
        for times in 1..=3 {
            let topic = format!("{}-{times}", code.name());
            let fault = cluster.inject(produce(&topic).times(times).error_before(code));
            let handles = send_numbers(&producer, &topic, 0, 0..3);
            let offsets: Vec<_> = all_delivered(&handles).iter().map(|m| m.offset()).collect();
            assert_eq!(offsets, [Some(0), Some(1), Some(2)], "{code}");
            assert_eq!(fault.hits(), u64::from(times), "{code}");
            holds(&cluster, &topic, 0, 0..3);
        }
    }
    no_violations(&cluster);
}

#[test]
fn an_error_after_the_append_is_answered_with_the_same_bytes_under_the_same_sequence() {
    let cluster = MockCluster::start(1).unwrap();
    let producer = open(fast(&cluster));
    for code in MAYBE_APPENDED {
        for times in 1..=3usize {
            let topic = format!("{}-{times}", code.name());
            cluster.inject(produce(&topic).times(times as u32).error_after(code));
            let handle = &send_numbers(&producer, &topic, 0, 0..1)[0];
            assert_eq!(outcome(handle).unwrap().offset(), Some(0), "{code}");
            holds(&cluster, &topic, 0, 0..1);
            let sent = sent_batches(&cluster, &topic, 0);
            assert_eq!(sent.len(), times + 1, "{code}");
            assert!(sent.iter().all(|b| *b == sent[0] && b.producer_id.is_some()), "{code}: {sent:?}");
        }
    }
    no_violations(&cluster);
}

#[test]
fn without_idempotence_an_unclear_answer_is_repeated_as_java_does() {
    let cluster = MockCluster::start(1).unwrap();
    let producer = open(fast(&cluster).enable_idempotence(false));
    cluster.inject(produce("t").error_after(ErrorCode::REQUEST_TIMED_OUT));
    all_delivered(&send_numbers(&producer, "t", 0, 0..1));
    assert_eq!(numbers(&cluster, "t", 0), [0, 0], "the price of acks without idempotence");
    assert!(sent_batches(&cluster, "t", 0).iter().all(|b| b.producer_id.is_none()));
}

/// Every way to lose or spoil an answer; the second tells whether the broker acts.
fn spoilers() -> Vec<(&'static str, fn(Fault) -> Fault)> {
    vec![
        ("dropped-before", Fault::drop_before),
        ("dropped-after", Fault::drop_after),
        ("swallowed", Fault::swallow_answer),
        ("deaf", Fault::stop_reading),
        ("corrupt", Fault::corrupt_answer),
        ("oversized", Fault::oversized_answer),
        ("wrong-correlation", Fault::wrong_correlation_id),
        ("cut-0", |f| f.truncate_answer(0)),
        ("cut-4", |f| f.truncate_answer(4)),
        ("cut-9", |f| f.truncate_answer(9)),
    ]
}

#[test]
fn a_lost_or_spoilt_answer_costs_nothing_and_doubles_nothing() {
    let cluster = MockCluster::start(1).unwrap();
    let producer = open(fast(&cluster).request_timeout(ms(100)));
    for (topic, spoil) in spoilers() {
        let fault = cluster.inject(spoil(produce(topic).times(2)));
        let mut handles = send_numbers(&producer, topic, 0, 0..2);
        producer.flush().unwrap();
        handles.extend(send_numbers(&producer, topic, 0, 2..4));
        let offsets: Vec<_> = all_delivered(&handles).iter().map(|m| m.offset()).collect();
        assert_eq!(offsets, [Some(0), Some(1), Some(2), Some(3)], "{topic}");
        assert_eq!(fault.hits(), 2, "{topic}");
        holds(&cluster, topic, 0, 0..4);
        let sent = sent_batches(&cluster, topic, 0);
        for batch in &sent {
            let same = sent.iter().filter(|b| b.base_sequence == batch.base_sequence);
            assert!(same.clone().all(|b| b == batch), "{topic}: {sent:?}");
        }
    }
    no_violations(&cluster);
}

#[test]
fn a_produce_answer_cut_at_every_byte_is_never_taken_for_a_success() {
    let cluster = MockCluster::start(1).unwrap();
    let producer = open(fast(&cluster));
    let mut n = 0;
    for len in 0..200 {
        let fault = cluster.inject(produce("t").truncate_answer(len));
        let handle = &send_numbers(&producer, "t", 0, n..n + 1)[0];
        assert_eq!(outcome(handle).unwrap().offset(), Some(i64::from(n)), "cut at {len}");
        n += 1;
        assert_eq!(fault.hits(), 1);
        let attempts = sent_batches(&cluster, "t", 0).len() as u32;
        if attempts == n + len as u32 {
            // The whole answer fits: nothing was cut, nothing was repeated.
            assert!(len > 30, "an answer of {len} bytes?");
            break;
        }
    }
    holds(&cluster, "t", 0, 0..n);
    no_violations(&cluster);
}

#[test]
fn a_refused_batch_fails_alone_and_those_behind_it_go_in_order() {
    let refusals = [
        (ErrorCode::POLICY_VIOLATION, ErrorKind::Broker),
        (ErrorCode::INVALID_RECORD, ErrorKind::Broker),
        (ErrorCode::INVALID_TIMESTAMP, ErrorKind::Broker),
        (ErrorCode::INVALID_REQUIRED_ACKS, ErrorKind::Broker),
        (ErrorCode::TOPIC_AUTHORIZATION_FAILED, ErrorKind::Authorization),
        (ErrorCode::MESSAGE_TOO_LARGE, ErrorKind::RecordTooLarge),
        (ErrorCode::UNSUPPORTED_FOR_MESSAGE_FORMAT, ErrorKind::UnsupportedVersion),
    ];
    let cluster = MockCluster::start(1).unwrap();
    // One record to a batch, up to five batches under way.
    let producer = open(fast(&cluster).batch_size(1));
    for (code, kind) in refusals {
        let topic = code.name();
        cluster.create_topic(topic, 1).unwrap();
        cluster.set_latency(1, ms(20));
        cluster.inject(produce(topic).after(1).error_before(code).message("because"));
        let handles = send_numbers(&producer, topic, 0, 0..8);
        let error = failure(&handles[1]);
        assert_eq!((error.kind(), error.code()), (kind, Some(code)), "{error}");
        assert!(!error.may_have_been_written() && !error.is_retriable() && !error.is_fatal(), "{error}");
        assert!(error.to_string().contains("because"), "{error}");
        assert_eq!(error.topic_partition().unwrap().to_string(), format!("{topic}-0"));
        for (n, handle) in handles.iter().enumerate().filter(|(n, _)| *n != 1) {
            assert_eq!(outcome(handle).unwrap().offset(), Some(n as i64 - i64::from(n > 1)), "{code}");
        }
        assert_eq!(numbers(&cluster, topic, 0), [0, 2, 3, 4, 5, 6, 7], "{code}");
    }
    no_violations(&cluster);
}

#[test]
fn the_record_that_the_broker_names_has_its_own_message() {
    let cluster = MockCluster::start(1).unwrap();
    let producer = open(fast(&cluster).linger(ms(20_000)).delivery_timeout(ms(120_000)));
    let refusal = produce("t").error_before(ErrorCode::INVALID_RECORD).message("the batch has a bad record");
    cluster.inject(refusal.record_error(1, "no key"));
    let handles = send_numbers(&producer, "t", 0, 0..3);
    producer.flush().unwrap();
    let errors: Vec<_> = handles.iter().map(failure).collect();
    assert!(errors[1].to_string().contains("no key"), "{}", errors[1]);
    assert!(errors[0].to_string().contains("another record"), "{}", errors[0]);
    assert!(!errors[2].to_string().contains("no key"), "{}", errors[2]);
    assert!(errors.iter().all(|e| e.code() == Some(ErrorCode::INVALID_RECORD) && !e.may_have_been_written()));
    let next = send_numbers(&producer, "t", 0, 3..4);
    assert_eq!(outcome(&next[0]).unwrap().offset(), Some(0));
}

#[test]
fn an_unknown_error_code_is_never_a_success_and_keeps_its_number() {
    let cluster = MockCluster::start(1).unwrap();
    cluster.inject(produce("plain").error_before(ErrorCode(9999)));
    let producer = open(fast(&cluster).enable_idempotence(false));
    let error = failure(&send_numbers(&producer, "plain", 0, 0..1)[0]);
    assert_eq!(error.code(), Some(ErrorCode(9999)));
    assert!(error.may_have_been_written());

    let producer = open(fast(&cluster).delivery_timeout(SHORT).request_timeout(ms(100)));
    let fault = cluster.inject(produce("sure").always().error_before(ErrorCode(9999)));
    let error = failure(&send_numbers(&producer, "sure", 0, 0..1)[0]);
    assert_eq!((error.kind(), error.code()), (ErrorKind::DeliveryTimeout, Some(ErrorCode(9999))));
    assert!(error.may_have_been_written() && fault.hits() > 1);
    let sent = sent_batches(&cluster, "sure", 0);
    assert!(sent.iter().all(|b| *b == sent[0]), "the same bytes each time");
}

#[test]
fn five_in_flight_with_the_second_failing_keep_their_order() {
    for code in [ErrorCode::NOT_ENOUGH_REPLICAS, ErrorCode::UNKNOWN_SERVER_ERROR] {
        let cluster = MockCluster::start(1).unwrap();
        cluster.create_topic("t", 1).unwrap();
        cluster.set_latency(1, ms(20));
        let producer = open(fast(&cluster).batch_size(1));
        cluster.inject(produce("t").after(1).error_before(code));
        cluster.inject(produce("t").after(9).times(2).error_before(code));
        all_delivered(&send_numbers(&producer, "t", 0, 0..30));
        holds(&cluster, "t", 0, 0..30);
        no_violations(&cluster);
    }
}

#[test]
fn one_in_flight_keeps_order_without_idempotence() {
    let cluster = MockCluster::start(1).unwrap();
    let config = fast(&cluster).enable_idempotence(false).max_in_flight_requests_per_connection(1);
    let producer = open(config.batch_size(1));
    cluster.inject(produce("t").after(1).times(3).error_before(ErrorCode::NOT_ENOUGH_REPLICAS));
    cluster.inject(produce("t").after(7).times(2).drop_before());
    all_delivered(&send_numbers(&producer, "t", 0, 0..20));
    holds(&cluster, "t", 0, 0..20);
    no_violations(&cluster);
}

#[test]
fn retries_bound_the_attempts() {
    for retries in [0, 2] {
        let cluster = MockCluster::start(1).unwrap();
        let producer = open(fast(&cluster).enable_idempotence(false).retries(retries));
        let fault = cluster.inject(produce("t").always().error_before(ErrorCode::NOT_ENOUGH_REPLICAS));
        let error = failure(&send_numbers(&producer, "t", 0, 0..1)[0]);
        assert_eq!(error.kind(), ErrorKind::RetriesExhausted);
        assert_eq!(error.code(), Some(ErrorCode::NOT_ENOUGH_REPLICAS));
        assert!(!error.may_have_been_written(), "each attempt was refused for certain: {error}");
        assert_eq!(fault.hits(), u64::from(retries) + 1);
        fault.remove();
        cluster.inject(produce("t").times(retries + 1).drop_after());
        let error = failure(&send_numbers(&producer, "t", 0, 1..2)[0]);
        assert_eq!(error.kind(), ErrorKind::RetriesExhausted);
        assert!(error.may_have_been_written(), "{error}");
        all_delivered(&send_numbers(&producer, "t", 0, 2..3));
    }
}

#[test]
fn a_record_that_expires_in_the_queue_was_certainly_not_written() {
    let cluster = MockCluster::start(1).unwrap();
    cluster.create_topic("t", 1).unwrap();
    cluster.remove_leader("t", 0).unwrap();
    let producer = open(fast(&cluster).delivery_timeout(SHORT).request_timeout(ms(100)));
    let error = failure(&send_numbers(&producer, "t", 0, 0..1)[0]);
    assert_eq!(error.kind(), ErrorKind::DeliveryTimeout);
    assert!(!error.may_have_been_written(), "{error}");
    cluster.set_leader("t", 0, 1).unwrap();
    all_delivered(&send_numbers(&producer, "t", 0, 1..3));
    holds(&cluster, "t", 0, 1..3);
}

#[test]
fn a_record_that_expires_in_flight_may_be_written_and_the_partition_goes_on() {
    of_each_version(|version| {
        let cluster = MockCluster::builder().version(version).topic("t", 1).start().unwrap();
        let producer = open(fast(&cluster).delivery_timeout(SHORT).request_timeout(ms(100)).batch_size(1));
        all_delivered(&send_numbers(&producer, "t", 0, 0..2));
        let fault = cluster.inject(produce("t").always().swallow_answer());
        let lost = send_numbers(&producer, "t", 0, 2..4);
        for handle in &lost {
            let error = failure(handle);
            assert_eq!(error.kind(), ErrorKind::DeliveryTimeout);
            assert!(error.may_have_been_written(), "{error}");
        }
        fault.remove();
        all_delivered(&send_numbers(&producer, "t", 0, 4..8));
        let there = numbers(&cluster, "t", 0);
        assert!(there.is_sorted() && there.iter().all(|n| there.iter().filter(|m| m == &n).count() == 1));
        assert!(there.ends_with(&[4, 5, 6, 7]) && there.starts_with(&[0, 1]), "{there:?}");
        assert!(producer.metrics().epoch_bumps >= 1);
        no_violations(&cluster);
    });
}

#[test]
fn nothing_new_is_swallowed_as_a_duplicate_after_a_timeout() {
    let cluster = MockCluster::start(1).unwrap();
    let producer = open(fast(&cluster).delivery_timeout(SHORT).request_timeout(ms(100)));
    for round in 0..4u32 {
        let lost = cluster.inject(produce("t").always().drop_after());
        let error = failure(&send_numbers(&producer, "t", 0, round * 10..round * 10 + 1)[0]);
        assert!(error.may_have_been_written());
        lost.remove();
        all_delivered(&send_numbers(&producer, "t", 0, round * 10 + 1..round * 10 + 4));
    }
    let expected: Vec<u32> = (0..4).flat_map(|r| r * 10..r * 10 + 4).collect();
    assert_eq!(numbers(&cluster, "t", 0), expected);
}

#[test]
fn a_record_that_expires_in_flight_says_why_earlier_attempts_failed() {
    let cluster = MockCluster::start(1).unwrap();
    // The second attempt is young at the deadline, by more than a machine stands still.
    let timeouts = config(&cluster).delivery_timeout(ms(3000)).request_timeout(ms(3000)).linger(ms(0));
    let producer = open(timeouts.retry_backoff(ms(1200)).retry_backoff_max(ms(1200)).max_block(PATIENCE));
    cluster.inject(produce("t").error_before(ErrorCode::NOT_ENOUGH_REPLICAS));
    cluster.inject(produce("t").after(1).always().swallow_answer());
    let error = failure(&send_numbers(&producer, "t", 0, 0..1)[0]);
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::DeliveryTimeout, Some(ErrorCode::NOT_ENOUGH_REPLICAS))
    );
    assert!(error.may_have_been_written() && error.to_string().contains("NOT_ENOUGH_REPLICAS"), "{error}");
}

/// CVE-2026-35554: the buffer of a batch that expired while its request was being written went to another topic, whose
/// bytes then arrived in its place.
#[test]
fn a_batch_that_expires_while_it_is_written_never_carries_foreign_bytes() {
    let cluster = MockCluster::start(2).unwrap();
    cluster.create_topic("victim", 1).unwrap();
    cluster.create_topic("others", 2).unwrap();
    let one = ProducerConfig::builder([cluster.address(2).unwrap()]);
    let timeouts = hasty(one).delivery_timeout(ms(5000)).request_timeout(ms(5000)).linger(ms(0));
    let memory = timeouts.buffer_memory(3 << 20).buffer_memory_per_broker_ratio(1.0).batch_size(900_000);
    let producer = open(memory.send_buffer(Some(32 << 10)));
    let victim = vec![b'v'; 890_000];
    let other = vec![b'o'; 50_000];
    producer.send(ProducerRecord::new("others", &other).partition(1)).unwrap().get().unwrap();
    producer.send(ProducerRecord::new("victim", b"v")).unwrap().get().unwrap();
    eventually("one connection to each broker is left", || {
        let metrics = producer.metrics();
        metrics.connections_created - metrics.connections_closed == 2
    });
    // The first attempt is refused late, so that the second one is young when the batch is old.
    let refusal = produce("victim").error_before(ErrorCode::NOT_ENOUGH_REPLICAS).delay(ms(2500));
    let fault = cluster.inject(refusal);
    let handle = producer.send(ProducerRecord::new("victim", &victim)).unwrap();
    assert!(cluster.wait_until(PATIENCE, |_| fault.hits() == 1));
    cluster.pause_broker(1).unwrap();
    let closed = producer.metrics().connections_closed;
    let error = failure(&handle);
    assert_eq!(error.kind(), ErrorKind::DeliveryTimeout);
    assert!(error.may_have_been_written(), "{error}");
    assert_eq!(producer.metrics().connections_closed, closed, "the request is still half written");
    // Everything else of the memory goes round and round.
    for _ in 0..100 {
        producer.send(ProducerRecord::new("others", &other).partition(1)).unwrap().get().unwrap();
    }
    cluster.resume_broker(1).unwrap();
    let again = producer.send(ProducerRecord::new("victim", &victim)).unwrap();
    outcome(&again).unwrap();
    for (topic, partition, byte) in [("victim", 0, b'v'), ("others", 1, b'o')] {
        for record in cluster.records(topic, partition) {
            assert!(record.value.unwrap().iter().all(|b| *b == byte), "foreign bytes in {topic}");
        }
    }
    assert!((2..=3).contains(&cluster.record_count("victim")));
    assert_eq!(cluster.record_count("others"), 101);
    no_violations(&cluster);
}

#[test]
fn one_silent_broker_of_three_keeps_nobody_else_waiting() {
    let cluster = MockCluster::start(3).unwrap();
    cluster.create_topic("t", 3).unwrap();
    let producer = open(fast(&cluster).buffer_memory(1 << 20));
    for partition in 0..3 {
        all_delivered(&send_numbers(&producer, "t", partition, 0..1));
    }
    let silent = cluster.leader("t", 0).unwrap();
    cluster.pause_broker(silent).unwrap();
    // The silent broker's share of the memory fills up ...
    let big = vec![0; 10_000];
    let mut stuck = Vec::new();
    let refused = loop {
        match producer.try_send(ProducerRecord::new("t", &big).partition(0)) {
            Ok(handle) => stuck.push(handle),
            Err(error) => break error,
        }
    };
    assert_eq!(refused.kind(), ErrorKind::BufferExhausted);
    assert!(stuck.len() > 20, "only {} fit", stuck.len());
    // ... and several times the whole of it goes to the others meanwhile.
    let before = std::time::Instant::now();
    for _ in 0..100 {
        let send = |p| producer.send(ProducerRecord::new("t", &big).partition(p)).unwrap();
        all_delivered(&[send(1), send(2)]);
    }
    assert!(before.elapsed() < ms(15_000), "{:?}", before.elapsed());
    assert!(stuck.iter().all(|h| !h.is_done()));
    cluster.resume_broker(silent).unwrap();
    all_delivered(&stuck);
    assert_eq!(cluster.record_count("t"), 3 + stuck.len() + 200);
    no_violations(&cluster);
}

#[test]
fn without_acks_a_lost_connection_is_opened_again() {
    let cluster = MockCluster::start(1).unwrap();
    let producer = open(fast(&cluster).acks(Acks::None));
    let sent = all_delivered(&send_numbers(&producer, "t", 0, 0..1));
    assert_eq!(sent[0].offset(), None);
    assert!(cluster.wait_until(PATIENCE, |c| c.record_count("t") == 1));
    // A broker that cannot say what is wrong hangs up.
    cluster.inject(produce("t").error_before(ErrorCode::NOT_LEADER_OR_FOLLOWER));
    all_delivered(&send_numbers(&producer, "t", 0, 1..2));
    assert!(cluster.wait_until(PATIENCE, |c| c.open_connections(1) == 0 || c.stats().connections > 2));
    cluster.disconnect(1).unwrap();
    // What is written into a dying connection is lost, by contract; soon everything arrives again.
    let arrives = (2..1000).any(|n| {
        all_delivered(&send_numbers(&producer, "t", 0, n..n + 1));
        cluster.wait_until(ms(20), |c| numbers(c, "t", 0).contains(&n))
    });
    assert!(arrives);
    producer.flush().unwrap();
    no_violations(&cluster);
}

#[test]
fn a_full_isr_comes_back() {
    let cluster = MockCluster::builder().brokers(3).min_in_sync(2).topic("t", 1).start().unwrap();
    cluster.set_in_sync("t", 0, &[1]).unwrap();
    let producer = open(fast(&cluster));
    let handles = send_numbers(&producer, "t", 0, 0..50);
    assert!(cluster.wait_until(PATIENCE, |c| c.stats().refused_batches >= 3));
    assert!(handles.iter().all(|h| !h.is_done()));
    cluster.set_in_sync("t", 0, &[1, 2, 3]).unwrap();
    all_delivered(&handles);
    holds(&cluster, "t", 0, 0..50);
}

#[test]
fn connections_that_are_closed_at_once_are_tried_again() {
    let cluster = MockCluster::start(2).unwrap();
    let fault = cluster.inject(Fault::refuse_connections().times(5));
    let producer = open(fast(&cluster));
    producer.connect(PATIENCE).unwrap();
    all_delivered(&send_numbers(&producer, "t", 0, 0..1));
    all_delivered(&send_numbers(&producer, "t", 1, 0..1));
    assert_eq!(fault.hits(), 5);
}
