//! Answers that no correct broker gives.

use super::scenario::{Story, produce};
use super::world::ms;
use crate::engine::backoff::Rng;
use crate::mock::Fault;
use crate::protocol::header::decode_response;
use crate::protocol::messages::{ProduceRequest, ProduceResponse};
use crate::protocol::{ApiKey, Message, Writer};

/// Reads a Produce answer, changes it, writes it again.
fn rewrite(version: i16, frame: &[u8], change: impl FnOnce(&mut ProduceResponse)) -> Vec<u8> {
    let (_, mut response) = decode_response::<ProduceRequest>(frame, version).unwrap();
    change(&mut response);
    let mut writer = Writer::new();
    response.encode(&mut writer, version).unwrap();
    let head = if version >= 9 { 5 } else { 4 };
    frame[..head].iter().copied().chain(writer.into_parts().0).collect()
}

#[test]
fn nothing_is_believed_of_a_broken_frame() {
    let faults: [fn(Fault) -> Fault; 5] = [
        Fault::corrupt_answer,
        Fault::wrong_correlation_id,
        Fault::oversized_answer,
        |f| f.truncate_answer(20),
        |f| f.truncate_answer(2),
    ];
    for fault in faults {
        let mut story = Story::going(|_| {});
        story.fault(fault(produce()));
        (0..3).for_each(|_| drop(story.send(0)));
        story.all_acked(ms(1000));
        assert_eq!(story.written(0), 4);
        assert_eq!(story.metrics().epoch_bumps, 0);
        story.audit();
    }
}

#[test]
fn a_partition_that_an_answer_leaves_out_is_asked_about_again() {
    let mut story = Story::going(|_| {});
    let mut left = 2;
    story.world.tamper = Some(Box::new(move |api, version, frame| {
        if api != ApiKey::PRODUCE || left == 0 {
            return frame.to_vec();
        }
        left -= 1;
        rewrite(version, frame, |r| r.responses.clear())
    }));
    (0..3).for_each(|_| drop(story.send(0)));
    story.all_acked(ms(1000));
    assert_eq!(story.written(0), 4);
    story.audit();
}

#[test]
fn an_answer_twice_for_one_partition_counts_once() {
    let mut story = Story::going(|_| {});
    story.world.tamper = Some(Box::new(move |api, version, frame| {
        if api != ApiKey::PRODUCE {
            return frame.to_vec();
        }
        rewrite(version, frame, |r| {
            let again = r.responses.clone();
            r.responses.extend(again);
        })
    }));
    (0..3).for_each(|n| drop(story.send(n)));
    story.all_acked(ms(1000));
    story.audit();
}

#[test]
fn offsets_at_the_end_of_the_range_do_not_overflow() {
    let mut story = Story::going(|s| {
        s.acc.batch_size = 1000;
        s.acc.linger = ms(5);
    });
    story.world.tamper = Some(Box::new(move |api, version, frame| {
        if api != ApiKey::PRODUCE {
            return frame.to_vec();
        }
        rewrite(version, frame, |r| {
            for topic in &mut r.responses {
                topic.partition_responses.iter_mut().for_each(|p| p.base_offset = i64::MAX);
            }
        })
    }));
    let sent: Vec<usize> = (0..3).map(|_| story.send(0)).collect();
    story.all_acked(ms(1000));
    let offset = |at: usize| story.ledger.entered[at].handle.try_get().unwrap().unwrap().offset;
    assert_eq!(sent.into_iter().map(offset).collect::<Vec<_>>(), [Some(i64::MAX), None, None]);
}

#[test]
fn garbled_answers_never_panic() {
    for seed in 0..300 {
        let mut story = Story::going(|s| s.engine.request_timeout = ms(200));
        let mut rng = Rng::new(seed);
        story.world.tamper = Some(Box::new(move |_, _, frame| {
            let mut frame = frame.to_vec();
            for _ in 0..=rng.next() % 3 {
                // The correlation id stays, mostly.
                let at = (rng.next() as usize % frame.len()).max((rng.next() % 5) as usize).min(frame.len() - 1);
                frame[at] = rng.next() as u8;
            }
            if rng.next() % 4 == 0 {
                frame.truncate(rng.next() as usize % (frame.len() + 1));
            }
            frame
        }));
        for n in 0..30 {
            if story.ledger.append(&mut story.world, "t", n % 3, 10).is_none() {
                story.world.engine.metadata.invalidate(story.world.now);
            }
            story.pass(ms(20));
        }
        story.all_done(ms(11_000));
    }
}
