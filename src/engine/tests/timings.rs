//! Where the time went: each station's share is seen when that station is what is slow. And what is counted meanwhile.

use std::time::Duration;

use super::scenario::{NO_REPLICAS, Story, produce};
use super::world::ms;
use crate::error::{Error, ErrorKind, Timings};

/// What a batch that expired after `timeout` says; the parts sum up to its life.
#[track_caller]
fn expired(story: &Story, at: usize, timeout: Duration) -> (Error, Timings) {
    let error = story.error(at);
    assert_eq!(error.kind(), ErrorKind::DeliveryTimeout, "{error}");
    let timings = *error.timings().expect("times");
    let total = timings.total();
    assert!(total >= timeout && total < timeout + ms(5), "{timings:?}");
    assert!(error.to_string().contains(&format!("[time: {timings}]")), "{error}");
    (error, timings)
}

#[track_caller]
fn about(time: Duration, expected: Duration) {
    assert!(time + ms(10) >= expected && time <= expected + ms(10), "{time:?}, not about {expected:?}");
}

#[test]
fn a_silent_broker_is_time_in_flight() {
    let mut story = Story::going(|s| {
        s.acc.delivery_timeout = ms(800);
        s.engine.request_timeout = ms(5000);
    });
    story.fault(produce().swallow_answer());
    let at = story.send(0);
    story.all_done(ms(900));
    let (error, timings) = expired(&story, at, ms(800));
    assert_eq!(error.attempts(), Some(1));
    about(timings.in_flight, ms(800));
    assert!(error.may_have_been_written());
}

#[test]
fn attempts_that_are_lost_add_up() {
    let mut story = Story::going(|s| {
        s.acc.delivery_timeout = ms(1000);
        s.engine.request_timeout = ms(200);
    });
    story.fault(produce().always().swallow_answer());
    let at = story.send(0);
    story.all_done(ms(1100));
    let (error, timings) = expired(&story, at, ms(1000));
    let attempts = error.attempts().unwrap();
    assert!((2..=5).contains(&attempts), "{attempts}");
    assert!(timings.in_flight >= ms(200) * (attempts - 1), "{timings:?}");
    assert!(timings.backoff >= ms(50) * (attempts - 1), "{timings:?}");
    assert_eq!((timings.metadata, timings.memory), (Duration::ZERO, Duration::ZERO));
}

#[test]
fn refusals_are_time_in_backoff() {
    let mut story = Story::going(|s| {
        s.acc.delivery_timeout = ms(2000);
        s.engine.retry_backoff.initial = ms(600);
        s.engine.retry_backoff.max = ms(600);
    });
    story.fault(produce().always().error_before(NO_REPLICAS));
    let at = story.send(0);
    story.all_done(ms(2100));
    let (error, timings) = expired(&story, at, ms(2000));
    assert!((3..=5).contains(&error.attempts().unwrap()), "{error}");
    assert!(timings.backoff >= ms(1900) && timings.in_flight < ms(20), "{timings:?}");
    let metrics = story.metrics();
    assert_eq!(metrics.batches_retried, metrics.records_retried, "a record for each batch");
    assert_eq!(metrics.topics[0].records_retried, metrics.records_retried);
    assert_eq!((metrics.records_failed, metrics.topics[0].records_failed), (1, 1));
}

#[test]
fn a_broker_that_wants_silence_is_time_in_the_queue() {
    let mut story = Story::going(|s| s.acc.delivery_timeout = ms(500));
    story.fault(produce().throttle(ms(2000)));
    story.send(0);
    story.pass(ms(10));
    let at = story.send(0);
    story.all_done(ms(600));
    let (error, timings) = expired(&story, at, ms(500));
    assert_eq!(error.attempts(), Some(0));
    assert!(error.to_string().contains("it was never sent"), "{error}");
    about(timings.queue, ms(500));
    assert_eq!(story.metrics().throttle_time_millis.maximum, Some(2000.0));
}

#[test]
fn a_partition_without_leader_is_time_for_metadata() {
    let mut story = Story::going(|s| s.acc.delivery_timeout = ms(500));
    story.lead(0, None);
    story.refresh();
    let at = story.send(0);
    story.all_done(ms(600));
    let (error, timings) = expired(&story, at, ms(500));
    assert_eq!(error.attempts(), Some(0));
    about(timings.metadata, ms(500));
}

#[test]
fn stations_are_told_apart() {
    let mut story = Story::going(|s| {
        s.acc.delivery_timeout = ms(1500);
        s.engine.request_timeout = ms(5000);
    });
    story.lead(0, None);
    story.refresh();
    let at = story.send(0);
    story.pass(ms(400));
    story.fault(produce().swallow_answer());
    story.lead(0, Some(2));
    story.refresh();
    story.all_done(ms(1600));
    let (error, timings) = expired(&story, at, ms(1500));
    assert_eq!(error.attempts(), Some(1));
    assert!(timings.metadata >= ms(400) && timings.metadata < ms(700), "{timings:?}");
    assert!(timings.in_flight >= ms(800), "{timings:?}");
}

#[test]
fn what_was_purged_says_how_far_it_came() {
    let mut story = Story::going(|_| {});
    story.fault(produce().delay(ms(300)));
    let flying = story.send(0);
    story.pass(ms(100));
    let now = story.world.now;
    story.world.engine.drop_everything(&Error::new(ErrorKind::Purged, "purged"), now);
    let error = story.error(flying);
    assert_eq!(error.attempts(), Some(1));
    about(error.timings().unwrap().in_flight, ms(100));
    assert!(!error.to_string().contains("[time"), "not an error about time: {error}");
}

#[test]
fn topics_that_nobody_uses_lose_their_metrics_and_come_back_with_their_totals() {
    let mut story = Story::going(|s| s.engine.metadata.max_idle = ms(5000));
    let topics = |s: &Story| s.metrics().topics.iter().map(|t| t.records_sent).collect::<Vec<_>>();
    assert_eq!(topics(&story), [3]);
    story.pass(ms(60_000));
    assert_eq!(topics(&story), [0; 0]);
    assert!(story.ledger.append(&mut story.world, "t", 0, 0).is_none(), "not known any more");
    story.pass(ms(150));
    story.send(0);
    story.all_acked(ms(500));
    assert_eq!(topics(&story), [4]);
}

#[test]
fn brokers_that_leave_lose_their_metrics() {
    let mut story = Story::going(|_| {});
    let nodes = |s: &Story| s.metrics().nodes.iter().map(|n| n.id).collect::<Vec<_>>();
    story.pass(ms(120_000));
    story.refresh();
    assert_eq!(nodes(&story), [1, 2, 3], "the bootstrap connection was idle");
    let metrics = story.metrics();
    let produced: u64 = metrics.nodes.iter().map(|n| n.requests).sum();
    assert!(produced >= 3 && metrics.requests >= produced, "{metrics:?}");
    assert!(metrics.nodes.iter().all(|n| n.bytes_in > 0 && n.request_latency_millis.average.is_none()));
    assert_eq!(metrics.requests_in_flight, 0);
}
