//! Several requests of one turn, written together.

use std::time::Duration;

use super::scenario::{Story, produce};
use super::world::ms;
use crate::protocol::ApiKey;

/// So many batches for partition 0, which the sender sees all at once; returns the first record.
fn send_at_once(story: &mut Story, batches: usize) -> usize {
    let first = story.send(0);
    (1..batches).for_each(|_| {
        story.send(0);
    });
    story.world.turn();
    first
}

fn in_flight(story: &Story) -> usize {
    story.world.engine.nodes.get(&1).and_then(|n| n.up()).map_or(0, |c| c.in_flight.len())
}

#[test]
fn batches_of_one_partition_leave_in_one_turn() {
    let mut story = Story::going(|_| {});
    send_at_once(&mut story, 4);
    assert_eq!(in_flight(&story), 4);
    story.all_acked(ms(100));
    story.audit();
}

#[test]
fn no_more_leave_together_than_may_be_in_flight() {
    for most in [1, 2, 5] {
        let mut story = Story::going(|s| s.engine.max_in_flight = most);
        send_at_once(&mut story, 9);
        assert_eq!(in_flight(&story), most);
        story.all_acked(ms(200));
        story.audit();
    }
}

#[test]
fn large_requests_leave_one_by_one() {
    let mut story = Story::going(|s| s.acc.batch_size = 200_000);
    for _ in 0..3 {
        story.send_sized(0, 150_000);
    }
    story.world.turn();
    assert_eq!(in_flight(&story), 1);
    story.all_acked(ms(200));
    story.audit();
}

/// Ten records fill a batch, which may grow; so many of them for two partitions in turn, a full batch every so often.
fn stream(story: &mut Story, records: usize, full_every: Duration) {
    for n in 0..records {
        story.send_sized(n / 10 % 2, 90);
        story.pass(full_every / 10);
    }
}

fn streaming() -> Story {
    Story::going(|s| {
        s.acc.batch_size = 1000;
        s.acc.batch_max_size = 100_000;
        s.acc.buffer_memory = 16 << 20;
        s.acc.linger = ms(50);
        s.engine.idempotent = false;
        s.engine.max_in_flight = 100;
    })
}

#[test]
fn requests_gather_more_while_records_come_fast_and_no_longer() {
    let mut story = streaming();
    assert!(!story.world.acc.signals.is_fast());
    stream(&mut story, 5000, Duration::from_micros(8));
    assert!(story.world.acc.signals.is_fast(), "{}", story.world.acc.signals.gather());
    story.all_acked(ms(200));
    story.pass(ms(20));
    story.send(0);
    story.all_acked(ms(200));
    assert!(!story.world.acc.signals.is_fast(), "{}", story.world.acc.signals.gather());
    story.audit();
}

/// Five requests of large batches on a slow line would take longer than requests may.
#[test]
fn where_answers_take_long_nothing_grows() {
    for (delay, grows) in [(ms(1), true), (ms(60), false)] {
        let mut story = Story::going(|s| {
            s.acc.batch_size = 1000;
            s.acc.batch_max_size = 16_000;
            s.acc.linger = ms(5);
            s.engine.request_timeout = ms(1000);
            s.engine.max_in_flight = 1;
        });
        story.fault(produce().delay(delay).times(1000));
        for _ in 0..6 {
            (0..100).for_each(|_| {
                story.send_sized(0, 90);
            });
            story.all_acked(ms(5000));
        }
        let grew = story.batches(0).iter().any(|batch| batch.bytes > 2000);
        assert_eq!(grew, grows, "{delay:?}");
        story.audit();
    }
}

#[test]
fn where_they_do_not_a_partitions_second_full_batch_does_not_wait() {
    let mut story = streaming();
    stream(&mut story, 300, ms(1));
    story.all_acked(ms(200));
    story.fault(produce().delay(ms(40)));
    let before = story.requests(ApiKey::PRODUCE);
    for _ in 0..4 {
        story.send_sized(0, 900);
        story.pass(Duration::from_micros(100));
    }
    story.pass(ms(10));
    assert!(story.requests(ApiKey::PRODUCE) - before >= 2, "not before the first one is answered");
    story.all_acked(ms(200));
    story.audit();
}

#[test]
fn small_batches_share_a_request_though_they_might_have_grown() {
    for batch_max_size in [0, 20_000] {
        let mut story = Story::going(|s| {
            s.brokers = 1;
            s.acc.batch_size = 1000;
            s.acc.batch_max_size = batch_max_size;
            s.acc.linger = ms(5);
            s.engine.max_request_size = 20_000;
        });
        let before = story.requests(ApiKey::PRODUCE);
        for partition in 0..3 {
            story.send(partition);
        }
        story.all_acked(ms(100));
        assert_eq!(story.requests(ApiKey::PRODUCE) - before, 1, "batch.max.size {batch_max_size}");
        story.audit();
    }
}

/// A full batch that waits for company does not let those wait who wait for what stands behind it.
#[test]
fn who_waits_for_a_record_behind_a_full_batch_ends_the_wait() {
    let mut story = Story::going(|s| {
        s.acc.batch_size = 1000;
        s.acc.linger = ms(200);
    });
    for waits in [true, false] {
        story.fault(produce().delay(ms(300)));
        // The first is under way for long; the next fills a batch when the last comes, which is in the open one.
        story.send_sized(0, 900);
        story.send_sized(0, 900);
        story.pass(ms(10));
        let last = story.send_sized(0, 900);
        let before = story.requests(ApiKey::PRODUCE);
        if waits {
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            let waiting = std::pin::Pin::new(&mut story.ledger.entered[last].handle);
            assert!(std::future::Future::poll(waiting, &mut context).is_pending());
        }
        story.pass(ms(10));
        let left = story.requests(ApiKey::PRODUCE) - before;
        assert_eq!(left, if waits { 2 } else { 0 });
        story.all_acked(ms(1000));
    }
    story.audit();
}

#[test]
fn while_a_request_is_being_written_none_is_added() {
    let mut story = Story::going(|_| {});
    send_at_once(&mut story, 2);
    // Not told as written yet.
    story.send(0);
    story.world.turn();
    assert_eq!(in_flight(&story), 2);
    story.all_acked(ms(100));
    story.audit();
}

#[test]
fn without_answers_each_ends_when_it_is_written() {
    let mut story = Story::going(|s| {
        s.engine.acks = 0;
        s.engine.idempotent = false;
    });
    let first = send_at_once(&mut story, 4);
    assert_eq!((in_flight(&story), story.is_open(first)), (4, true));
    while in_flight(&story) > 0 {
        story.pass(Duration::from_micros(1));
        // In order, and none before it has left.
        let left = first + 4 - in_flight(&story);
        assert!((first..first + 4).all(|at| story.is_acked(at) == (at < left)));
    }
    story.all_acked(ms(1));
    story.audit();
}

#[test]
fn a_connection_that_breaks_loses_none_of_them_and_doubles_none() {
    for lost in [false, true] {
        for wait in [0, 1, 2, 5] {
            let mut story = Story::going(|s| s.net.latency = (2000, 4000));
            story.fault(produce().delay(ms(3)));
            send_at_once(&mut story, 5);
            story.pass(ms(wait));
            story.world.cut(1, lost);
            story.all_acked(ms(3000));
            story.audit();
        }
    }
}

#[test]
fn what_was_queued_when_time_was_over_may_have_been_written() {
    let mut story = Story::going(|s| {
        s.acc.delivery_timeout = ms(800);
        s.engine.request_timeout = ms(700);
    });
    story.fault(produce().always().swallow_answer());
    let first = send_at_once(&mut story, 3);
    story.all_done(ms(1500));
    for at in first..first + 3 {
        assert!(story.error(at).may_have_been_written());
    }
    story.audit();
}
