//! Jumps of the clock: the process was stopped, or the machine slept on a system whose monotonic clock goes on.

use super::scenario::Story;
use super::world::ms;
use crate::error::ErrorKind;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn after_an_hour_what_is_over_is_over_and_nothing_is_doubled() {
    let mut story = Story::going(|_| {});
    let sent: Vec<_> = (0..6).map(|n| story.send(n % 3)).collect();
    story.world.turn();
    assert!(sent.iter().all(|at| story.is_open(*at)), "no answer is there yet");
    story.world.stand_still(HOUR);
    story.all_done(ms(2000));
    for at in sent {
        // Whether it may have been written is for the audit.
        assert_eq!(story.error(at).kind(), ErrorKind::DeliveryTimeout);
    }
    let after: Vec<_> = (0..3).map(|n| story.send(n)).collect();
    story.all_done(ms(5000));
    assert!(after.iter().all(|at| story.is_acked(*at)), "it goes on");
    story.audit();
}

#[test]
fn an_hour_while_a_record_lingers_is_a_clear_error() {
    let mut story = Story::going(|s| {
        s.acc.batch_size = 1024;
        s.acc.linger = ms(50);
    });
    let late = story.send(0);
    story.world.stand_still(HOUR);
    story.all_done(ms(1000));
    let error = story.error(late);
    assert_eq!(error.kind(), ErrorKind::DeliveryTimeout);
    assert!(!error.may_have_been_written(), "it never left");
    let after = story.send(0);
    story.all_done(ms(2000));
    assert!(story.is_acked(after));
    story.audit();
}

#[test]
fn an_hour_between_two_records_is_nothing_at_all() {
    let mut story = Story::going(|_| {});
    for _ in 0..24 {
        story.world.stand_still(HOUR);
        for partition in 0..3 {
            story.send(partition);
        }
        story.all_acked(ms(5000));
    }
    story.audit();
}
