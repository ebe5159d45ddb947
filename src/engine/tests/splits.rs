//! Batches that a broker finds too large.

use super::scenario::{Story, produce};
use super::world::{Setup, ms};
use crate::error::ErrorKind;
use crate::mock::Fault;
use crate::protocol::record::CompressionType;
use crate::protocol::record::compression::Compression;
use crate::protocol::{ApiKey, ErrorCode};
use crate::sync::{Arc, Mutex};

fn large_batches(limit: usize) -> impl Fn(&mut Setup) {
    move |s| {
        s.acc.batch_size = 4000;
        s.acc.linger = ms(50);
        s.cluster.max_message_bytes = limit;
    }
}

#[test]
fn handles_callbacks_and_flush_follow_the_parts() {
    for codec in [CompressionType::None, CompressionType::Lz4, CompressionType::Gzip] {
        let mut story = Story::new(|s| {
            large_batches(600)(s);
            s.acc.compression = Compression::new(codec);
        });
        let ran = Arc::new(Mutex::new(Vec::new()));
        story.world.acc.set_callback_sink(Box::new(|callbacks, _body| {
            callbacks.run_each(|done, outcome| done(outcome));
        }));
        for n in 0..20 {
            let at = story.send_sized(0, 100);
            let ran = ran.clone();
            story.ledger.entered[at].handle.clone().on_complete(move |outcome| {
                ran.lock().push((n, outcome.unwrap().offset.unwrap()));
            });
        }
        let generation = story.world.acc.unfinished.flush();
        story.world.acc.signals.sweep();
        story.all_acked(ms(1000));
        assert!(story.world.acc.unfinished.wait(generation, story.world.base));
        assert!(story.metrics().batches_split >= 1);
        assert_eq!(*ran.lock(), (0..20).map(|n| (n, n)).collect::<Vec<(i64, i64)>>());
        story.audit();
    }
}

#[test]
fn a_topic_that_takes_no_batch_that_has_grown_gets_none_any_more() {
    let mut story = Story::going(|s| {
        s.acc.batch_size = 1000;
        s.acc.batch_max_size = 16_000;
        s.acc.linger = ms(5);
        s.cluster.max_message_bytes = 4000;
    });
    for _ in 0..5 {
        story.fault(produce().delay(ms(50)));
        (0..100).for_each(|_| {
            story.send_sized(0, 100);
        });
        story.all_acked(ms(1000));
    }
    assert!(story.metrics().batches_split <= 1);
    assert!(story.batches(0).iter().any(|batch| batch.bytes > 2000), "they grow");
    story.audit();
}

/// What is repeated after an attempt without an answer cannot be split, and so must not be larger than the broker takes.
#[test]
fn a_batch_that_grew_is_not_too_large_when_its_first_attempt_had_no_answer() {
    let mut story = Story::going(|s| {
        s.acc.batch_size = 1000;
        s.acc.batch_max_size = 16_000;
        s.acc.linger = ms(5);
        s.cluster.max_message_bytes = 4000;
        s.engine.max_in_flight = 1;
    });
    story.fault(produce().delay(ms(50)));
    (0..100).for_each(|_| {
        story.send_sized(0, 100);
    });
    story.pass(ms(20));
    let doubt = ErrorCode::NOT_LEADER_OR_FOLLOWER;
    story.fault(Fault::on(ApiKey::PRODUCE).topic("t").partition(0).error_before(doubt));
    story.all_acked(ms(9000));
    story.audit();
}

#[test]
fn a_record_that_is_too_large_alone_fails_and_its_neighbours_do_not() {
    let mut story = Story::new(large_batches(600));
    let sent: Vec<usize> = [50, 50, 900, 50, 50, 900].iter().map(|n| story.send_sized(0, *n)).collect();
    story.all_done(ms(2000));
    for at in sent {
        let large = story.ledger.entered[at].handle.try_get().unwrap().is_err();
        assert_eq!(large, at == 2 || at == 5);
        if large {
            assert_eq!(story.error(at).kind(), ErrorKind::RecordTooLarge);
            assert!(!story.error(at).may_have_been_written());
        }
    }
    story.audit();
}

#[test]
fn every_split_halves() {
    let mut story = Story::new(large_batches(1 << 20));
    story.fault(Fault::on(ApiKey::PRODUCE).times(1).error_before(ErrorCode::MESSAGE_TOO_LARGE));
    // The last record is larger than all others together.
    [10, 10, 10, 10, 10, 10, 10, 1500].iter().for_each(|n| {
        story.send_sized(0, *n);
    });
    story.all_acked(ms(1000));
    let batches: Vec<i32> = story.batches(0).iter().map(|b| b.records).collect();
    assert_eq!(batches, [8, 7, 1]);
    story.audit();
}

#[test]
fn what_expired_in_flight_is_not_split() {
    let mut story = Story::new(|s| {
        large_batches(1 << 20)(s);
        s.acc.delivery_timeout = ms(300);
    });
    story.fault(produce().delay(ms(400)).error_before(ErrorCode::MESSAGE_TOO_LARGE));
    (0..5).for_each(|_| {
        story.send(0);
    });
    story.pass(ms(500));
    assert_eq!(story.ledger.pending(), 0);
    assert_eq!(story.metrics().batches_split, 0);
    let next = story.send(0);
    story.all_done(ms(250));
    assert!(story.is_acked(next));
    assert_eq!(story.written(0), 1);
    story.audit();
}

#[test]
fn parts_stand_before_what_was_behind_them() {
    let mut story = Story::going(|s| {
        large_batches(700)(s);
        s.acc.linger = ms(0);
        s.acc.batch_size = 1000;
    });
    for _ in 0..5 {
        (0..12).for_each(|_| {
            story.send_sized(0, 100);
        });
        story.pass(ms(1));
    }
    story.all_acked(ms(3000));
    assert!(story.metrics().batches_split >= 2);
    assert_eq!(story.metrics().epoch_bumps, 0);
    story.audit();
}
