//! A broker that keeps its connection and answers nothing any more.

use super::scenario::Story;
use super::world::{Setup, ms};
use crate::protocol::ApiKey;

const FROZEN: u64 = 25_000;

fn patient(s: &mut Setup) {
    s.engine.request_timeout = ms(30_000);
}

#[test]
fn a_frozen_broker_is_left_as_soon_as_others_lead_its_partitions() {
    let mut story = Story::going(patient);
    story.world.cluster.set_latency(1, ms(FROZEN));
    let stuck = story.send(0);
    let healthy = story.send(1);
    story.pass(ms(3000));
    assert!(story.is_open(stuck) && story.is_acked(healthy));
    story.lead(0, Some(2));
    story.all_acked(ms(2000));
    story.audit();
}

#[test]
fn a_slow_broker_that_still_leads_keeps_its_requests() {
    let mut story = Story::going(patient);
    story.world.cluster.set_latency(1, ms(8000));
    let slow = story.send(0);
    let before = story.requests(ApiKey::PRODUCE) + 1;
    story.pass(ms(7000));
    assert!(story.is_open(slow));
    story.all_acked(ms(4000));
    assert_eq!(story.requests(ApiKey::PRODUCE), before, "not sent again");
    let asked = story.requests(ApiKey::METADATA);
    assert!(asked < 12, "asked {asked} times");
    story.audit();
}

#[test]
fn without_idempotence_nothing_is_sent_again_on_suspicion() {
    let mut story = Story::going(|s| {
        patient(s);
        s.engine.idempotent = false;
        s.engine.max_in_flight = 1;
    });
    story.world.cluster.set_latency(1, ms(8000));
    let slow = story.send(0);
    story.pass(ms(100));
    story.lead(0, Some(2));
    story.pass(ms(6000));
    assert!(story.is_open(slow));
    story.all_acked(ms(4000));
    assert_eq!(story.written(0), 2);
    story.audit();
}

#[test]
fn a_broker_that_answers_late_but_steadily_is_not_silent() {
    let mut story = Story::going(|s| {
        patient(s);
        s.engine.max_in_flight = 5;
    });
    story.world.cluster.set_latency(1, ms(2000));
    let before = story.requests(ApiKey::METADATA);
    for _ in 0..40 {
        story.send(0);
        story.pass(ms(300));
    }
    let asked = story.requests(ApiKey::METADATA) - before;
    assert!(asked <= 2, "asked {asked} times");
    story.all_acked(ms(20_000));
    story.audit();
}
