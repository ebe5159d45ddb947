//! How often application threads wake the sender: only for what it would not see in time by itself.

use super::scenario::{Story, produce};
use super::world::ms;

#[test]
fn batches_behind_what_cannot_be_sent_do_not_wake_the_sender_one_by_one() {
    let mut story = Story::going(|s| {
        s.acc.batch_size = 1000;
        s.acc.linger = ms(5);
        s.engine.max_in_flight = 1;
    });
    story.fault(produce().delay(ms(300)));
    story.send_sized(0, 900);
    story.pass(ms(10));
    let before = story.world.wakes();
    // Each fills the batch before it and begins one.
    for _ in 0..100 {
        story.send_sized(0, 900);
        story.pass(ms(1));
    }
    let wakes = story.world.wakes() - before;
    assert!(wakes <= 2, "{wakes} wake-ups for 100 batches that cannot be sent");
    story.all_acked(ms(2000));
    story.audit();
}

#[test]
fn a_batch_leaves_when_it_has_lingered_wherever_it_was_begun() {
    let mut story = Story::going(|s| {
        s.acc.batch_size = 1000;
        s.acc.linger = ms(5);
    });
    for n in 0..50 {
        // In the midst of what the sender has planned.
        let began = story.world.now;
        let at = story.send(n % 3);
        story.all_done(ms(20));
        assert!(story.is_acked(at));
        let took = story.world.now - began;
        assert!(took <= ms(5 + 3), "{took:?}");
        story.pass(ms(n as u64 % 7));
    }
    story.audit();
}

#[test]
fn nobody_is_woken_where_nothing_is_sent() {
    let mut story = Story::going(|s| s.acc.linger = ms(5));
    story.send(0);
    story.all_acked(ms(100));
    let runs = story.world.runs;
    story.pass(ms(500));
    let runs = story.world.runs - runs;
    assert!(runs <= 3, "{runs} runs for nothing");
    story.audit();
}
