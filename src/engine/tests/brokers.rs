//! Connections: throttling, idleness, deadlines of requests.

use super::super::node::Link;
use super::super::{Action, Address};
use super::scenario::{Story, produce};
use super::world::ms;
use crate::error::{Error, ErrorKind};
use crate::protocol::ApiKey;
use crate::sync::Arc;

#[test]
fn a_throttled_broker_is_left_alone_and_no_other_is() {
    let mut story = Story::going(|_| {});
    story.fault(produce().throttle(ms(500)));
    story.send(0);
    story.pass(ms(10));
    let held = story.send(0);
    let other = story.send(1);
    story.pass(ms(400));
    assert!(story.is_open(held) && story.is_acked(other));
    story.all_acked(ms(120));
    story.audit();
}

#[test]
fn a_request_that_is_not_answered_costs_its_connection_and_nothing_else() {
    let mut story = Story::going(|s| s.engine.request_timeout = ms(300));
    story.fault(produce().swallow_answer());
    (0..3).for_each(|_| drop(story.send(0)));
    story.all_acked(ms(700));
    assert_eq!(story.written(0), 4);
    assert_eq!(story.metrics().epoch_bumps, 0);
    story.audit();
}

#[test]
fn idle_connections_are_closed_and_come_back() {
    let mut story = Story::going(|s| s.engine.connections_max_idle = ms(500));
    story.pass(ms(1500));
    let up = |s: &Story| s.world.engine.nodes.values().filter(|n| matches!(n.link, Link::Up(_))).count();
    assert_eq!(up(&story), 0);
    story.send(0);
    story.all_acked(ms(20));
    assert_eq!(up(&story), 1);
    story.audit();
}

#[test]
fn a_connection_that_breaks_before_it_stands_is_tried_again() {
    let mut story = Story::going(|s| s.engine.connections_max_idle = ms(500));
    story.pass(ms(1500));
    story.send(0);
    let now = story.world.now;
    story.world.engine.run(now);
    let conn = loop {
        match story.world.engine.poll_action() {
            Some(Action::Connect { conn, address, .. }) => {
                assert_eq!(address, Address { host: Arc::from("127.0.0.1"), port: 9001 });
                break conn;
            }
            Some(_) => {}
            None => panic!("it connects"),
        }
    };
    story.world.engine.handle_disconnected(conn, Error::new(ErrorKind::Connection, "reset"), now);
    story.all_acked(ms(200));
    story.audit();
}

#[test]
fn while_no_broker_runs_it_waits_longer_and_longer() {
    let mut story = Story::going(|_| {});
    (1..=3).for_each(|node| story.world.stop_broker(node));
    story.send(0);
    let runs = story.world.runs;
    story.pass(ms(5000));
    let runs = story.world.runs - runs;
    assert!(runs < 200, "{runs} runs in 5 s");
    (1..=3).for_each(|node| story.world.start_broker(node));
    story.all_acked(ms(3000));
    story.audit();
}

#[test]
fn a_slow_broker_delays_only_its_own_partitions() {
    let mut story = Story::going(|s| s.engine.request_timeout = ms(5000));
    story.world.cluster.set_latency(1, ms(2000));
    let slow = story.send(0);
    for _ in 0..50 {
        story.send(1);
        story.pass(ms(3));
    }
    assert!(story.is_open(slow));
    assert!(story.written(1) >= 50);
    story.all_acked(ms(3000));
    assert!(story.requests(ApiKey::PRODUCE) >= 54);
    story.audit();
}
