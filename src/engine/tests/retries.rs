//! Retries, backoff, order, deadlines, acks.

use super::scenario::{NO_REPLICAS, Story, produce};
use super::world::{Setup, ms};
use crate::error::ErrorKind;
use crate::mock::BrokerVersion;
use crate::protocol::{ApiKey, ErrorCode};

fn plain(s: &mut Setup) {
    s.engine.idempotent = false;
    s.engine.max_in_flight = 1;
}

#[test]
fn one_request_in_flight_keeps_the_order_without_idempotence() {
    let mut story = Story::going(plain);
    story.fault(produce().times(2).error_before(NO_REPLICAS));
    (0..6).for_each(|_| drop(story.send(0)));
    story.all_acked(ms(2000));
    story.audit();
}

#[test]
fn retries_0_gives_up_at_once_and_says_what_is_certain() {
    let mut story = Story::going(|s| s.engine.retries = 0);
    story.fault(produce().error_before(NO_REPLICAS));
    let refused = story.send(0);
    story.all_done(ms(100));
    let error = story.error(refused);
    assert_eq!((error.kind(), error.code()), (ErrorKind::RetriesExhausted, Some(NO_REPLICAS)));
    assert!(!error.may_have_been_written());
    story.fault(produce().drop_after());
    let lost = story.send(0);
    story.all_done(ms(100));
    assert!(story.error(lost).may_have_been_written());
    let last = story.send(0);
    story.all_done(ms(1000));
    assert!(story.is_acked(last), "the partition goes on");
    story.audit();
}

#[test]
fn retries_1_makes_two_attempts() {
    let mut story = Story::going(|s| s.engine.retries = 1);
    story.fault(produce().times(2).error_before(NO_REPLICAS));
    let at = story.send(0);
    story.all_done(ms(1000));
    assert_eq!(story.error(at).kind(), ErrorKind::RetriesExhausted);
    assert_eq!(story.batches(0).len(), 3);
    story.audit();
}

#[test]
fn acks_0_is_done_when_it_is_written() {
    let mut story = Story::new(|s| {
        plain(s);
        s.engine.acks = 0;
    });
    let at = story.send(0);
    story.all_acked(ms(5));
    let metadata = story.ledger.entered[at].handle.try_get().unwrap().unwrap();
    assert_eq!(metadata.offset, None);
    story.pass(ms(5));
    assert_eq!(story.written(0), 1);
    story.audit();
}

#[test]
fn a_partition_that_cannot_write_keeps_nobody_else_of_its_broker_back() {
    let mut story = Story::going(|s| s.brokers = 1);
    story.fault(produce().always().error_before(NO_REPLICAS));
    let stuck = story.send(0);
    for _ in 0..100 {
        story.send(0);
        story.send(1);
        story.pass(ms(5));
    }
    assert!(story.is_open(stuck));
    assert_eq!(story.written(1), 101);
    let tries = story.batches(0).len();
    assert!(tries < 14, "{tries} attempts in half a second");
    story.world.cluster.faults.clear();
    story.all_acked(ms(3000));
    story.audit();
}

#[test]
fn a_repeat_waits_for_its_backoff_also_in_a_partition_with_more_to_send() {
    let mut story = Story::going(|s| {
        s.brokers = 1;
        s.engine.max_in_flight = 1;
    });
    story.fault(produce().times(3).error_before(NO_REPLICAS));
    (0..20).for_each(|n| drop(story.send(n % 3)));
    story.pass(ms(60));
    assert_eq!(story.batches(0).len(), 2, "one repeat at the earliest after 80 ms");
    story.all_acked(ms(3000));
    story.audit();
}

#[test]
fn a_broker_that_names_the_new_leader_is_believed_without_a_wait() {
    let mut story = Story::going(|s| s.cluster.version = BrokerVersion::V4_3);
    story.lead(0, Some(2));
    story.send(0);
    story.all_acked(ms(20));
    story.audit();
}

#[test]
fn a_broker_that_does_not_name_it_is_not_asked_again_and_again() {
    let mut story = Story::going(|s| s.cluster.version = BrokerVersion::V2_8);
    // The metadata lags behind.
    story.fault(produce().always().error_before(ErrorCode::NOT_LEADER_OR_FOLLOWER));
    (0..10).for_each(|_| drop(story.send(0)));
    story.pass(ms(300));
    let (tries, asked) = (story.batches(0).len(), story.requests(ApiKey::METADATA));
    assert!(tries <= 9, "{tries} attempts");
    assert!(asked <= 7, "{asked} metadata requests");
    story.world.cluster.faults.clear();
    story.all_acked(ms(5000));
    story.audit();
}

#[test]
fn what_was_never_sent_expires_definitely() {
    let mut story = Story::going(|s| s.acc.delivery_timeout = ms(200));
    story.lead(0, None);
    story.refresh();
    let at = story.send(0);
    story.pass(ms(199));
    story.all_done(ms(2));
    assert_eq!(story.error(at).kind(), ErrorKind::DeliveryTimeout);
    assert!(!story.error(at).may_have_been_written());
    story.lead(0, Some(1));
    story.pass(ms(2500));
    let next = story.send(0);
    story.all_done(ms(200));
    assert!(story.is_acked(next));
    story.audit();
}

#[test]
fn not_authorized_for_the_cluster_ends_everything_now_and_later() {
    let mut story = Story::going(|_| {});
    story.fault(produce().error_before(ErrorCode::CLUSTER_AUTHORIZATION_FAILED));
    let first = story.send(0);
    story.all_done(ms(100));
    assert_eq!(story.error(first).kind(), ErrorKind::Authorization);
    assert!(story.world.engine.fatal().is_some());
    let later = story.send(1);
    story.all_done(ms(1));
    assert!(story.error(later).is_fatal());
    story.audit();
}

#[test]
fn a_producer_id_that_is_refused_ends_everything() {
    let mut story = Story::new(|s| s.engine.idempotent = false);
    drop(story);
    story = Story::new(|s| s.cluster.journal = 0);
    story.world.engine.identities = super::super::identity::Identities::new(true);
    story.fault(
        crate::mock::Fault::on(ApiKey::INIT_PRODUCER_ID).error_before(ErrorCode::CLUSTER_AUTHORIZATION_FAILED),
    );
    let at = story.send(0);
    story.all_done(ms(300));
    assert_eq!(story.error(at).kind(), ErrorKind::Authorization);
    story.audit();
}

#[test]
fn timers_do_not_pile_up() {
    let mut story = Story::going(|s| s.acc.linger = ms(2));
    for _ in 0..500 {
        (0..3).for_each(|p| drop(story.send(p)));
        story.pass(ms(3));
    }
    assert!(story.world.engine.timers.len() <= 3);
    story.all_acked(ms(100));
    story.audit();
}

#[test]
fn purge_ends_what_waits_and_what_is_in_flight() {
    let mut story = Story::going(|_| {});
    story.fault(produce().delay(ms(300)));
    let flying = story.send(0);
    story.pass(ms(2));
    (0..10).for_each(|_| drop(story.send(0)));
    let error = crate::error::Error::new(ErrorKind::Purged, "purged");
    let now = story.world.now;
    story.world.engine.drop_everything(&error, now);
    assert_eq!(story.ledger.pending(), 0);
    assert!(story.error(flying).may_have_been_written());
    assert!(!story.error(flying + 10).may_have_been_written());
    let next = story.send(0);
    story.all_done(ms(500));
    assert!(story.is_acked(next));
    story.audit();
}
