//! Sequences, gaps, epochs (KIP-98, KIP-360).

use super::scenario::{NO_REPLICAS, Story, produce};
use super::world::ms;
use crate::error::ErrorKind;
use crate::mock::BrokerVersion;
use crate::protocol::{ApiKey, ErrorCode};

#[test]
fn what_stands_behind_a_refused_batch_moves_up() {
    let mut story = Story::going(|_| {});
    story.fault(produce().after(1).error_before(ErrorCode::INVALID_RECORD));
    let sent: Vec<usize> = (0..5).map(|_| story.send(0)).collect();
    story.all_done(ms(1000));
    assert_eq!(story.error(sent[1]).code(), Some(ErrorCode::INVALID_RECORD));
    assert!(!story.error(sent[1]).may_have_been_written());
    assert!([0, 2, 3, 4].iter().all(|n| story.is_acked(sent[*n])));
    assert_eq!(story.metrics().epoch_bumps, 0);
    story.audit();
}

#[test]
fn only_what_stands_behind_a_gap_moves_up() {
    let mut story = Story::going(|_| {});
    story.fault(produce().error_before(NO_REPLICAS));
    story.fault(produce().after(1).error_before(ErrorCode::INVALID_RECORD));
    let sent: Vec<usize> = (0..3).map(|_| story.send(0)).collect();
    story.all_done(ms(1000));
    assert!(story.is_acked(sent[0]) && !story.is_acked(sent[1]) && story.is_acked(sent[2]));
    assert_eq!(story.metrics().epoch_bumps, 0, "the first kept its sequence");
    story.audit();
}

#[test]
fn what_is_in_doubt_behind_a_gap_goes_on_under_a_new_epoch_and_does_not_wait_for_its_deadline() {
    let mut story = Story::going(|_| {});
    story.fault(produce().error_before(ErrorCode::INVALID_RECORD));
    story.fault(produce().after(1).drop_after());
    let sent: Vec<usize> = (0..3).map(|_| story.send(0)).collect();
    story.all_done(ms(1000));
    assert!(!story.is_acked(sent[0]) && story.is_acked(sent[1]) && story.is_acked(sent[2]));
    assert_eq!(story.metrics().epoch_bumps, 1);
    story.audit();
}

#[test]
fn a_batch_that_expires_in_flight_holds_its_partition_until_the_answer_and_costs_no_epoch() {
    let mut story = Story::going(|s| s.acc.delivery_timeout = ms(300));
    story.fault(produce().delay(ms(600)));
    let old = story.send(0);
    story.pass(ms(350));
    let error = story.error(old);
    assert!(error.kind() == ErrorKind::DeliveryTimeout && error.may_have_been_written());
    story.pass(ms(100));
    let new = story.send(0);
    story.pass(ms(100));
    assert!(story.is_open(new));
    assert_eq!(story.batches(0).len(), 2, "nothing follows it");
    story.all_done(ms(100));
    assert!(story.is_acked(new));
    assert_eq!(story.metrics().epoch_bumps, 0);
    assert_eq!(story.written(0), 3, "the first outcome stays, the record too");
    story.audit();
}

#[test]
fn a_batch_that_expires_in_flight_and_is_never_answered_costs_an_epoch() {
    let mut story = Story::going(|s| {
        s.acc.delivery_timeout = ms(300);
        s.engine.request_timeout = ms(400);
    });
    story.fault(produce().swallow_answer());
    let old = story.send(0);
    story.pass(ms(350));
    assert!(story.error(old).may_have_been_written());
    let new = story.send(0);
    story.all_done(ms(290));
    assert!(story.is_acked(new));
    assert_eq!(story.metrics().epoch_bumps, 1);
    let epochs: Vec<_> = story.batches(0).iter().map(|b| b.producer_epoch.unwrap()).collect();
    assert_eq!(epochs, [0, 0, 1]);
    story.audit();
}

#[test]
fn other_partitions_keep_their_epoch() {
    let mut story = Story::going(|_| {});
    story.fault(produce().error_before(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER));
    story.send(0);
    story.send(1);
    story.all_acked(ms(1000));
    story.send(1);
    story.all_acked(ms(1000));
    assert_eq!(story.batches(0).last().unwrap().producer_epoch, Some(1));
    assert_eq!(story.batches(1).last().unwrap().producer_epoch, Some(0));
    story.audit();
}

#[test]
fn when_epochs_are_used_up_a_new_producer_id_is_asked_for() {
    let mut story = Story::new(|_| {});
    story.world.cluster.set_next_producer(0, 0);
    let mut story = {
        drop(story);
        let mut fresh = Story::new(|s| s.engine.connections_max_idle = ms(60_000));
        fresh.world.engine.identities.exhaust_epochs();
        fresh
    };
    let first = story.send(0);
    story.all_acked(ms(100));
    story.fault(produce().error_before(ErrorCode::UNKNOWN_PRODUCER_ID));
    let second = story.send(0);
    story.all_acked(ms(1000));
    assert!(story.is_acked(first) && story.is_acked(second));
    let ids: Vec<_> =
        story.batches(0).iter().map(|b| (b.producer_id.unwrap(), b.producer_epoch.unwrap())).collect();
    assert_eq!(ids[0], (1000, i16::MAX));
    assert_eq!(*ids.last().unwrap(), (1001, 0));
    assert_eq!(story.requests(ApiKey::INIT_PRODUCER_ID), 2);
    story.audit();
}

#[test]
fn a_batch_in_doubt_is_repeated_byte_for_byte_at_the_new_leader() {
    let mut story = Story::going(|_| {});
    story.fault(produce().error_after(ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND));
    let sent: Vec<usize> = (0..4).map(|_| story.send(0)).collect();
    story.pass(ms(3));
    story.lead(0, Some(3));
    story.all_acked(ms(1000));
    let batches = story.batches(0);
    let again = batches[2..].iter().filter(|b| **b == batches[1]).count();
    assert!(again >= 1, "{batches:?}");
    assert_eq!(story.written(0), 5);
    assert!(sent.iter().all(|at| story.is_acked(*at)));
    assert_eq!(story.metrics().epoch_bumps, 0);
    story.audit();
}

#[test]
fn a_second_batch_does_not_overtake_the_first_where_the_broker_knows_nothing_of_the_producer() {
    for version in BrokerVersion::ALL {
        let mut story = Story::new(|s| s.cluster.version = version);
        story.fault(produce().error_before(NO_REPLICAS));
        (0..3).for_each(|_| {
            story.send(0);
        });
        story.all_acked(ms(1000));
        assert_eq!(story.metrics().epoch_bumps, 0);
        story.audit();
    }
}

#[test]
fn nothing_goes_to_a_new_leader_before_the_old_one_has_answered() {
    for idempotent in [true, false] {
        let mut story = Story::going(|s| {
            s.engine.metadata.max_age = ms(150);
            // The old one is not silent for so long that it would be given up.
            s.engine.request_timeout = ms(5000);
            if !idempotent {
                (s.engine.idempotent, s.engine.max_in_flight) = (false, 1);
            }
        });
        story.fault(produce().error_before(NO_REPLICAS).delay(ms(400)));
        story.send(0);
        story.pass(ms(5));
        story.lead(0, Some(2));
        story.pass(ms(250));
        story.send(0);
        story.pass(ms(20));
        assert_eq!(story.written(0), 1);
        story.all_acked(ms(1000));
        story.audit();
    }
}

#[test]
fn a_topic_that_was_forgotten_and_comes_back_does_not_repeat_its_sequences() {
    let mut story = Story::going(|s| s.engine.metadata.max_idle = ms(500));
    story.pass(ms(21_000));
    assert!(story.world.engine.metadata.topics.is_empty());
    assert!(story.ledger.append(&mut story.world, "t", 0, 10).is_none());
    story.pass(ms(300));
    story.send(0);
    story.all_acked(ms(100));
    assert_eq!(story.written(0), 2, "not taken for a repeat");
    let known = story.world.engine.partitions.iter().flatten().count();
    assert!(known <= 6, "{known}");
    story.audit();
}

#[test]
fn a_topic_in_use_is_not_forgotten() {
    let mut story = Story::going(|s| s.engine.metadata.max_idle = ms(500));
    for _ in 0..250 {
        story.send(0);
        story.pass(ms(100));
    }
    story.all_acked(ms(100));
    assert_eq!(story.metrics().epoch_bumps, 0);
    story.audit();
}

#[test]
fn behind_the_last_sequence_comes_0_also_when_it_is_repeated() {
    let mut story = Story::going(|_| {});
    let leader = story.world.engine.metadata.topics["t"].partitions[0].number;
    let last = story.batches(0).last().and_then(|b| b.producer_id).unwrap();
    story.world.engine.partition(leader).unwrap().lane.begin_at(i32::MAX - 2);
    // A broker that has forgotten the producer takes any sequence.
    let partition = story.world.cluster.topology.partition_mut("t", 0).unwrap();
    assert!(partition.log.forget_producer(last));
    story.fault(produce().after(1).error_before(NO_REPLICAS));
    story.fault(produce().after(3).drop_after());
    for _ in 0..8 {
        story.send(0);
    }
    story.all_acked(ms(3000));
    let partition = story.world.cluster.topology.partition("t", 0).unwrap();
    let stored: Vec<_> = partition.log.records().iter().skip(1).map(|r| r.sequence.unwrap()).collect();
    assert_eq!(stored, [i32::MAX - 2, i32::MAX - 1, i32::MAX, 0, 1, 2, 3, 4]);
    assert_eq!(story.metrics().epoch_bumps, 0);
    story.audit();
}
