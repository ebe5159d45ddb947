//! When metadata is asked for, and of whom.

use super::super::node::Link;
use super::scenario::Story;
use super::world::ms;
use crate::mock::Fault;
use crate::protocol::{ApiKey, ErrorCode};

#[test]
fn a_topic_that_nobody_knows_is_asked_for_less_and_less_often() {
    let mut story = Story::going(|s| s.cluster.auto_create = false);
    assert!(story.ledger.append(&mut story.world, "u", 0, 1).is_none());
    let before = story.requests(ApiKey::METADATA);
    story.pass(ms(5000));
    let asked = story.requests(ApiKey::METADATA) - before;
    assert!((5..=10).contains(&asked), "{asked}");
    story.world.cluster.topology.create_topic("u", 1, 1).unwrap();
    story.pass(ms(1300));
    assert!(story.ledger.append(&mut story.world, "u", 0, 1).is_some());
    story.all_acked(ms(100));
}

#[test]
fn a_partition_without_a_leader_is_no_reason_for_a_storm() {
    let mut story = Story::going(|_| {});
    story.lead(0, None);
    story.send(0);
    let before = story.requests(ApiKey::METADATA);
    story.pass(ms(5000));
    let asked = story.requests(ApiKey::METADATA) - before;
    assert!((5..=10).contains(&asked), "{asked}");
    story.lead(0, Some(2));
    story.all_acked(ms(1300));
    story.audit();
}

#[test]
fn what_is_old_is_asked_for_anew_and_an_idle_producer_sleeps() {
    let mut story = Story::going(|s| s.engine.metadata.max_age = ms(20_000));
    let (asked, runs) = (story.requests(ApiKey::METADATA), story.world.runs);
    story.pass(ms(100_000));
    assert_eq!(story.requests(ApiKey::METADATA) - asked, 5);
    let runs = story.world.runs - runs;
    assert!(runs <= 50, "{runs} wake-ups in 100 idle seconds");
}

#[test]
fn a_new_topic_does_not_wait_for_the_failures_of_others() {
    let mut story = Story::going(|s| s.cluster.auto_create = false);
    story.world.cluster.topology.create_topic("v", 1, 1).unwrap();
    assert!(story.ledger.append(&mut story.world, "u", 0, 1).is_none());
    story.pass(ms(5000));
    assert!(story.ledger.append(&mut story.world, "v", 0, 1).is_none());
    story.pass(ms(10));
    assert!(story.ledger.append(&mut story.world, "v", 0, 1).is_some());
}

#[test]
fn brokers_that_send_it_away_are_not_asked_faster_than_the_backoff() {
    let mut story = Story::going(|s| s.engine.metadata.max_age = ms(300));
    story.fault(Fault::on(ApiKey::METADATA).always().error_before(ErrorCode::REBOOTSTRAP_REQUIRED));
    let before = story.requests(ApiKey::METADATA);
    story.pass(ms(5000));
    let asked = story.requests(ApiKey::METADATA) - before;
    assert!((4..=12).contains(&asked), "{asked}");
    story.world.cluster.faults.clear();
    story.pass(ms(3000));
    story.send(0);
    story.all_acked(ms(2000));
    story.audit();
}

#[test]
fn when_no_known_broker_can_be_reached_the_bootstrap_addresses_are_tried() {
    let mut story = Story::going(|s| s.engine.connections_max_idle = ms(500));
    // All move to other ports, as pods do; only the bootstrap addresses stay reachable.
    for node in 1..=3 {
        story.world.stop_broker(node);
    }
    story.pass(ms(3000));
    story.world.start_broker(1);
    story.world.start_broker(2);
    story.world.start_broker(3);
    story.send(0);
    story.all_acked(ms(3000));
    story.audit();
}

#[test]
fn a_broker_that_hangs_while_connecting_does_not_keep_the_next_from_being_asked() {
    let mut story = Story::going(|s| {
        s.engine.connections_max_idle = ms(500);
        s.engine.setup_timeout.initial = ms(4000);
        s.engine.setup_timeout.max = ms(4000);
    });
    story.pass(ms(2000));
    story.world.hanging = Some(1);
    story.send(0);
    story.pass(ms(10));
    // The leader moves while it hangs; only metadata can tell.
    story.lead(0, Some(2));
    story.refresh();
    story.all_acked(ms(3000));
    story.audit();
}

#[test]
fn partitions_of_a_broker_that_left_find_their_new_leader() {
    let mut story = Story::going(|_| {});
    story.world.stop_broker(1);
    (0..3).for_each(|p| drop(story.send(p)));
    story.all_acked(ms(3000));
    story.world.engine.metadata.invalidate(story.world.now);
    story.pass(ms(3000));
    let up = story.world.engine.nodes.values().filter(|n| matches!(n.link, Link::Up(_))).count();
    assert!(up <= 2);
    story.audit();
}
