//! What each level of acknowledgement promises, and where the promise ends: the lines of the table in
//! docs/reliability.md that no other suite shows.

use crate::harness::{all_delivered, eventually, fast, holds, no_violations, numbers, send_numbers};
use crate::support::{PATIENCE, open};
use kafka_producer::mock::{Fault, MockCluster};
use kafka_producer::protocol::{ApiKey, ErrorCode};
use kafka_producer::{Acks, ProducerConfigBuilder};

/// The leader acknowledges, and dies before another replica has the record. The embedded cluster replicates at once;
/// `truncate` leaves of the log what the next leader would have had.
#[test]
fn with_acks_1_an_acknowledged_record_is_lost_with_its_leader() {
    let cluster = MockCluster::builder().brokers(2).topic("t", 1).start().unwrap();
    let producer = open(fast(&cluster).acks(Acks::Leader));
    all_delivered(&send_numbers(&producer, "t", 0, 0..3));
    let leader = cluster.leader("t", 0).unwrap();
    let lost = all_delivered(&send_numbers(&producer, "t", 0, 3..4));
    assert_eq!(lost[0].offset(), Some(3));
    cluster.stop_broker(leader).unwrap();
    cluster.truncate("t", 0, 3).unwrap();
    let next = all_delivered(&send_numbers(&producer, "t", 0, 4..5));
    assert_eq!(next[0].offset(), Some(3), "the offset is given a second time");
    assert_eq!(
        numbers(&cluster, "t", 0),
        [0, 1, 2, 4],
        "3 was acknowledged, and no error tells that it is gone"
    );
    producer.close().unwrap();
}

/// The same with acks=all: the broker does not answer before the others have the record, so there is no
/// acknowledgement to be wrong; the record goes to the next leader.
#[test]
fn with_acks_all_a_record_that_dies_with_its_leader_was_not_acknowledged_and_is_sent_again() {
    let cluster = MockCluster::builder().brokers(2).topic("t", 1).start().unwrap();
    let producer = open(fast(&cluster));
    all_delivered(&send_numbers(&producer, "t", 0, 0..3));
    let leader = cluster.leader("t", 0).unwrap();
    // Appended by the leader, which waits for the other.
    cluster.inject(Fault::on(ApiKey::PRODUCE).swallow_answer());
    let handles = send_numbers(&producer, "t", 0, 3..4);
    assert!(cluster.wait_until(PATIENCE, |c| c.end_offset("t", 0) == Some(4)));
    assert!(!handles[0].is_done());
    cluster.truncate("t", 0, 3).unwrap();
    cluster.stop_broker(leader).unwrap();
    all_delivered(&handles);
    all_delivered(&send_numbers(&producer, "t", 0, 4..5));
    holds(&cluster, "t", 0, 0..5);
    assert_eq!(producer.metrics().records_failed, 0);
    no_violations(&cluster);
}

/// Several batches under way, of which the first is refused while those behind it are taken.
fn first_of_five_is_refused(config: ProducerConfigBuilder, cluster: &MockCluster, in_flight: u64) {
    let producer = open(config.batch_size(1));
    all_delivered(&send_numbers(&producer, "t", 0, 0..1));
    let before = producer.metrics().produce_requests;
    cluster.pause_broker(1).unwrap();
    cluster.inject(Fault::on(ApiKey::PRODUCE).error_before(ErrorCode::NOT_ENOUGH_REPLICAS));
    let handles = send_numbers(&producer, "t", 0, 1..6);
    eventually("as many as may be are under way", || {
        producer.metrics().produce_requests == before + in_flight
    });
    cluster.resume_broker(1).unwrap();
    all_delivered(&handles);
    producer.close().unwrap();
    no_violations(cluster);
}

#[test]
fn with_idempotence_five_in_flight_keep_their_order() {
    let cluster = MockCluster::start(1).unwrap();
    first_of_five_is_refused(fast(&cluster), &cluster, 5);
    holds(&cluster, "t", 0, 0..6);
}

#[test]
fn without_idempotence_five_in_flight_may_change_places() {
    let cluster = MockCluster::start(1).unwrap();
    first_of_five_is_refused(fast(&cluster).enable_idempotence(false), &cluster, 5);
    assert_eq!(numbers(&cluster, "t", 0), [0, 2, 3, 4, 5, 1]);
}

#[test]
fn without_idempotence_one_in_flight_keeps_its_order() {
    let cluster = MockCluster::start(1).unwrap();
    let config = fast(&cluster).enable_idempotence(false).max_in_flight_requests_per_connection(1);
    first_of_five_is_refused(config, &cluster, 1);
    holds(&cluster, "t", 0, 0..6);
}

#[test]
fn with_acks_0_nobody_hears_of_a_record_that_the_broker_refused() {
    let cluster = MockCluster::start(1).unwrap();
    let producer = open(fast(&cluster).acks(Acks::None));
    let refused =
        cluster.inject(Fault::on(ApiKey::PRODUCE).error_before(ErrorCode::TOPIC_AUTHORIZATION_FAILED));
    let sent = all_delivered(&send_numbers(&producer, "t", 0, 0..1));
    assert_eq!(sent[0].offset(), None);
    assert!(cluster.wait_until(PATIENCE, |_| refused.hits() == 1));
    assert_eq!(cluster.record_count("t"), 0);
    assert_eq!(producer.metrics().records_failed, 0);
    producer.close().unwrap();
}

/// acks=1 and acks=0 are without idempotence, and say so only where both were asked for.
#[test]
fn fewer_acknowledgements_end_idempotence_by_default() {
    for acks in [Acks::Leader, Acks::None] {
        let cluster = MockCluster::start(1).unwrap();
        let producer = open(fast(&cluster).acks(acks));
        all_delivered(&send_numbers(&producer, "t", 0, 0..1));
        assert!(cluster.wait_until(PATIENCE, |c| c.record_count("t") == 1));
        assert_eq!(cluster.records("t", 0)[0].producer_id, None);
        assert!(cluster.requests(ApiKey::INIT_PRODUCER_ID).is_empty());
        assert!(fast(&cluster).acks(acks).enable_idempotence(true).build().is_err());
    }
}
