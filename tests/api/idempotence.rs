//! Producer ids, epochs and sequences as a broker sees them (KIP-98, KIP-360).

use crate::harness::{
    SHORT, all_delivered, failure, fast, hasty, holds, ms, no_violations, numbers, outcome, send_numbers,
    sent_batches,
};
use crate::support::{PATIENCE, Producer, config, open};
use kafka_producer::mock::{BrokerVersion, Fault, MockCluster};
use kafka_producer::protocol::{ApiKey, ErrorCode};
use kafka_producer::{ErrorKind, ProducerRecord};

fn id_of(cluster: &MockCluster, topic: &str) -> i64 {
    cluster.records(topic, 0).last().and_then(|r| r.producer_id).expect("an idempotent record")
}

fn epochs(cluster: &MockCluster, topic: &str) -> Vec<i16> {
    let mut epochs: Vec<i16> =
        cluster.records(topic, 0).iter().map(|r| r.producer_epoch.expect("an epoch")).collect();
    epochs.dedup();
    epochs
}

#[test]
fn the_defaults_are_idempotent_on_the_wire() {
    let cluster = MockCluster::start(1).unwrap();
    cluster.set_next_producer(4242, 7);
    let producer = open(config(&cluster));
    all_delivered(&send_numbers(&producer, "t", 0, 0..10));
    for (n, record) in cluster.records("t", 0).iter().enumerate() {
        assert_eq!((record.producer_id, record.producer_epoch), (Some(4242), Some(7)));
        assert_eq!(record.sequence, Some(n as i32));
    }
    assert_eq!(cluster.requests(ApiKey::INIT_PRODUCER_ID).len(), 1);
}

#[test]
fn thirty_two_threads_on_one_partition_never_confuse_the_sequence() {
    let cluster = MockCluster::start(1).unwrap();
    let producer = open(config(&cluster).batch_size(200));
    std::thread::scope(|scope| {
        for thread in 0..32u32 {
            let producer = &producer;
            scope.spawn(move || {
                all_delivered(&send_numbers(producer, "t", 0, thread * 1000..thread * 1000 + 300));
            });
        }
    });
    let there = numbers(&cluster, "t", 0);
    assert_eq!(there.len(), 32 * 300);
    for thread in 0..32 {
        let own: Vec<u32> = there.iter().copied().filter(|n| n / 1000 == thread).collect();
        assert!(own.is_sorted() && own.len() == 300);
    }
    assert_eq!(cluster.stats().refused_batches, 0);
    no_violations(&cluster);
}

#[test]
fn a_broker_that_forgot_the_producer_gets_a_new_epoch_where_it_insists() {
    for version in BrokerVersion::ALL {
        let cluster = MockCluster::builder().version(version).start().unwrap();
        let producer = open(fast(&cluster));
        all_delivered(&send_numbers(&producer, "t", 0, 0..3));
        assert!(cluster.forget_producer("t", 0, id_of(&cluster, "t")));
        all_delivered(&send_numbers(&producer, "t", 0, 3..20));
        holds(&cluster, "t", 0, 0..20);
        // Before 2.5 brokers refuse an unknown producer that does not begin at zero.
        let expected: &[i16] = if version == BrokerVersion::V2_1 { &[0, 1] } else { &[0] };
        assert_eq!(epochs(&cluster, "t"), expected, "{version}");
        no_violations(&cluster);
    }
}

#[test]
fn after_records_were_lost_on_the_broker_the_partition_goes_on_under_a_new_epoch() {
    for version in BrokerVersion::ALL {
        let cluster = MockCluster::builder().version(version).start().unwrap();
        let producer = open(fast(&cluster).batch_size(1));
        all_delivered(&send_numbers(&producer, "t", 0, 0..6));
        all_delivered(&send_numbers(&producer, "other", 0, 0..3));
        cluster.truncate("t", 0, 4).unwrap();
        all_delivered(&send_numbers(&producer, "t", 0, 6..12));
        assert_eq!(numbers(&cluster, "t", 0), [0, 1, 2, 3, 6, 7, 8, 9, 10, 11], "{version}");
        assert_eq!(epochs(&cluster, "t"), [0, 1], "{version}");
        assert_eq!(producer.metrics().epoch_bumps, 1);
        // The other partition has no reason to change.
        all_delivered(&send_numbers(&producer, "other", 0, 3..6));
        assert_eq!(epochs(&cluster, "other"), [0]);
        assert_eq!(cluster.requests(ApiKey::INIT_PRODUCER_ID).len(), 1, "the epoch is ours to raise");
        no_violations(&cluster);
    }
}

#[test]
fn when_the_epochs_are_used_up_a_new_id_is_asked_for() {
    let cluster = MockCluster::start(1).unwrap();
    cluster.set_next_producer(77, i16::MAX - 1);
    let producer = open(fast(&cluster).batch_size(1));
    let mut ids = Vec::new();
    for round in 0..4u32 {
        all_delivered(&send_numbers(&producer, "t", 0, round * 10..round * 10 + 10));
        let last = cluster.records("t", 0).pop().unwrap();
        ids.push((last.producer_id.unwrap(), last.producer_epoch.unwrap()));
        let end = cluster.end_offset("t", 0).unwrap();
        cluster.truncate("t", 0, end - 2).unwrap();
    }
    assert_eq!(ids, [(77, i16::MAX - 1), (77, i16::MAX), (78, 0), (78, 1)]);
    assert_eq!(cluster.requests(ApiKey::INIT_PRODUCER_ID).len(), 2);
    no_violations(&cluster);
}

#[test]
fn a_producer_id_is_asked_for_until_there_is_one() {
    let troubles: [fn(Fault) -> Fault; 7] = [
        |f| f.error_before(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS),
        |f| f.error_before(ErrorCode::NOT_COORDINATOR),
        |f| f.error_before(ErrorCode::UNKNOWN_SERVER_ERROR),
        Fault::drop_before,
        Fault::drop_after,
        Fault::corrupt_answer,
        |f| f.truncate_answer(11),
    ];
    for trouble in troubles {
        let cluster = MockCluster::start(1).unwrap();
        let fault = cluster.inject(trouble(Fault::on(ApiKey::INIT_PRODUCER_ID).times(3)));
        let producer = open(fast(&cluster));
        all_delivered(&send_numbers(&producer, "t", 0, 0..3));
        assert_eq!(fault.hits(), 3);
        // Nothing went out without an id meanwhile.
        assert!(sent_batches(&cluster, "t", 0).iter().all(|b| b.producer_id.is_some_and(|id| id >= 0)));
        holds(&cluster, "t", 0, 0..3);
        no_violations(&cluster);
    }
}

#[test]
fn a_silent_answer_to_the_id_request_is_given_up() {
    let cluster = MockCluster::start(1).unwrap();
    let fault = cluster.inject(Fault::on(ApiKey::INIT_PRODUCER_ID).times(2).swallow_answer());
    let producer = open(fast(&cluster).request_timeout(ms(60)));
    all_delivered(&send_numbers(&producer, "t", 0, 0..1));
    assert_eq!(fault.hits(), 2);
}

#[test]
fn without_the_right_to_write_idempotently_the_producer_says_so_and_ends() {
    let cluster = MockCluster::start(1).unwrap();
    let refusal = Fault::on(ApiKey::INIT_PRODUCER_ID).always();
    cluster.inject(refusal.error_before(ErrorCode::CLUSTER_AUTHORIZATION_FAILED));
    let producer = open(fast(&cluster));
    let refused = producer.send(ProducerRecord::new("t", b"x")).and_then(|h| outcome(&h)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Authorization, "{refused}");
    assert!(refused.is_fatal() && !refused.may_have_been_written());
    assert!(refused.to_string().contains("enable.idempotence=false"), "{refused}");
    let later = producer.send(ProducerRecord::new("t", b"x")).and_then(|h| outcome(&h)).unwrap_err();
    assert_eq!(later.kind(), ErrorKind::Authorization);
    // Without idempotence the same cluster takes the records.
    let plain = open(fast(&cluster).enable_idempotence(false));
    all_delivered(&send_numbers(&plain, "t", 0, 0..1));
}

#[test]
fn an_id_that_never_comes_ends_the_records_at_their_deadline_with_the_reason() {
    let cluster = MockCluster::start(1).unwrap();
    let fault = Fault::on(ApiKey::INIT_PRODUCER_ID).always();
    cluster.inject(fault.error_before(ErrorCode::COORDINATOR_NOT_AVAILABLE));
    let producer = open(fast(&cluster).delivery_timeout(SHORT).request_timeout(ms(100)));
    let error = failure(&send_numbers(&producer, "t", 0, 0..1)[0]);
    assert_eq!(error.kind(), ErrorKind::DeliveryTimeout);
    assert!(!error.may_have_been_written());
    assert!(error.to_string().contains("COORDINATOR_NOT_AVAILABLE"), "{error}");
    assert!(sent_batches(&cluster, "t", 0).is_empty());
}

#[test]
fn a_fenced_epoch_fails_the_batch_and_the_next_epoch_goes_on() {
    let cluster = MockCluster::start(1).unwrap();
    let producer = open(fast(&cluster).batch_size(1));
    all_delivered(&send_numbers(&producer, "t", 0, 0..2));
    cluster.inject(Fault::on(ApiKey::PRODUCE).error_before(ErrorCode::INVALID_PRODUCER_EPOCH));
    let error = failure(&send_numbers(&producer, "t", 0, 2..3)[0]);
    assert_eq!(error.code(), Some(ErrorCode::INVALID_PRODUCER_EPOCH));
    all_delivered(&send_numbers(&producer, "t", 0, 3..6));
    assert_eq!(numbers(&cluster, "t", 0), [0, 1, 3, 4, 5]);
    assert_eq!(epochs(&cluster, "t"), [0, 1]);
}

/// Sequence and answer lost together: the broker has the batch, the client has no answer and no way to learn it.
#[test]
fn a_batch_in_doubt_whose_memory_is_gone_fails_as_unclear_and_never_loops() {
    let cluster = MockCluster::builder().version(BrokerVersion::V2_1).start().unwrap();
    let producer = open(fast(&cluster).delivery_timeout(SHORT).request_timeout(ms(100)));
    all_delivered(&send_numbers(&producer, "t", 0, 0..2));
    let fault = cluster.inject(Fault::on(ApiKey::PRODUCE).drop_after());
    let paused = cluster
        .inject(Fault::on(ApiKey::PRODUCE).after(1).always().error_before(ErrorCode::NOT_ENOUGH_REPLICAS));
    let handle = send_numbers(&producer, "t", 0, 2..3).remove(0);
    assert!(cluster.wait_until(PATIENCE, |_| fault.hits() == 1 && paused.hits() >= 1));
    cluster.forget_producer("t", 0, id_of(&cluster, "t"));
    paused.remove();
    let error = failure(&handle);
    assert_eq!(error.kind(), ErrorKind::DeliveryTimeout, "{error}");
    assert!(error.may_have_been_written(), "{error}");
    all_delivered(&send_numbers(&producer, "t", 0, 3..6));
    holds(&cluster, "t", 0, 0..6);
}

#[test]
fn two_producers_have_two_ids() {
    let cluster = MockCluster::start(1).unwrap();
    let producers: [Producer; 2] = std::array::from_fn(|_| open(hasty(config(&cluster))));
    for round in 0..5 {
        for (at, producer) in producers.iter().enumerate() {
            let first = round * 10 + at as u32 * 5;
            all_delivered(&send_numbers(producer, "t", 0, first..first + 5));
        }
    }
    holds(&cluster, "t", 0, 0..50);
    let mut ids: Vec<_> = cluster.records("t", 0).iter().map(|r| r.producer_id.unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 2);
}

/// A broker remembers five batches. Batches sent behind one in doubt must not push it out of that memory, or it could
/// never be told from a new one.
#[test]
fn a_batch_in_doubt_is_settled_before_new_ones_follow() {
    let cluster = MockCluster::start(1).unwrap();
    let config = fast(&cluster).batch_size(1).delivery_timeout(PATIENCE).request_timeout(PATIENCE / 2);
    let producer = open(config);
    all_delivered(&send_numbers(&producer, "t", 0, 0..1));
    cluster.set_latency(1, ms(10));
    // The first of five loses its answer, the other four are acknowledged; then it loses three more.
    let unclear = || Fault::on(ApiKey::PRODUCE).error_after(ErrorCode::UNKNOWN_SERVER_ERROR);
    cluster.inject(unclear());
    cluster.inject(unclear().after(5).times(3));
    all_delivered(&send_numbers(&producer, "t", 0, 1..40));
    holds(&cluster, "t", 0, 0..40);
    assert_eq!(producer.metrics().epoch_bumps, 0);
    no_violations(&cluster);
}
