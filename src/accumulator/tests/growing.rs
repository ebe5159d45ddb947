//! Full batches that grow on until the sender comes for them (`batch.max.size`).

use super::super::batch::{Growth, OpenBatch};
use super::super::budget::Waited;
use super::super::memory::{Ask, NO_LEADER};
use super::*;
use crate::accumulator::batch::Fresh;

/// Eight records of 109 bytes fill a batch.
fn grows_to(batch_max_size: usize) -> Settings {
    Settings { batch_max_size, ..settings() }
}

/// The broker has taken batches of any size.
fn growing(settings: Settings) -> Rig {
    let rig = Rig::one(settings);
    rig.partitions[0].acknowledge(1 << 20);
    rig
}

fn put(rig: &Rig, records: usize) {
    (0..records).for_each(|_| rig.put(100).detach());
}

/// Takes everything; how many records were in each batch.
fn take_all(rig: &Rig) -> Vec<usize> {
    let mut counts = Vec::new();
    while matches!(rig.peek(), Peek::Ready { .. }) {
        let batch = rig.take().unwrap();
        assert_eq!(values(&batch).len(), batch.records as usize);
        assert!(batch.wire_len() <= rig.acc.largest_batch());
        counts.push(batch.records as usize);
        rig.succeed(0, &batch);
        rig.partitions[0].acknowledge(batch.raw_len);
    }
    counts
}

#[test]
fn a_sender_that_keeps_up_gets_batches_of_the_usual_size() {
    let rig = growing(grows_to(8192));
    put(&rig, 1);
    let mut taken = Vec::new();
    for _ in 0..5 {
        put(&rig, 8);
        taken.extend(take_all(&rig));
    }
    assert_eq!(taken, [8; 5]);
    rig.finish();
    rig.assert_clean();
}

#[test]
fn behind_a_full_batch_the_next_one_grows() {
    let rig = growing(grows_to(8192));
    put(&rig, 8 + 40);
    assert_eq!(take_all(&rig), [8, 40]);
    rig.assert_clean();
}

#[test]
fn it_grows_to_its_limit_and_then_the_next_one_does() {
    let rig = growing(grows_to(8192));
    put(&rig, 400);
    let counts = take_all(&rig);
    assert_eq!(counts[0], 8);
    assert!(counts[1..5].iter().all(|n| (70..=75).contains(n)), "{counts:?}");
    rig.finish();
    rig.assert_clean();
}

#[test]
fn what_has_outgrown_its_size_once_grows_at_once_the_next_time_as_long_as_it_pays() {
    let rig = growing(grows_to(8192));
    put(&rig, 50);
    assert_eq!(take_all(&rig), [8, 42]);
    put(&rig, 30);
    assert_eq!(take_all(&rig), [30], "nothing is closed before it");
    // In vain: the sender came for it as soon as it was full.
    put(&rig, 9);
    assert_eq!(take_all(&rig), [9]);
    put(&rig, 9);
    assert_eq!(take_all(&rig), [8], "it was closed");
    rig.finish();
    rig.assert_clean();
}

#[test]
fn a_full_batch_is_announced_and_taken_though_it_takes_more() {
    let rig = growing(grows_to(8192));
    put(&rig, 30);
    take_all(&rig);
    rig.notified();
    put(&rig, 8);
    assert_eq!(rig.notified(), 1, "begun");
    assert!(matches!(rig.peek(), Peek::Lingering { .. }));
    put(&rig, 1);
    assert_eq!(rig.notified(), 1, "full");
    assert!(matches!(rig.peek(), Peek::Ready { len: None, .. }));
    assert_eq!(take_all(&rig), [9]);
    rig.assert_clean();
}

#[test]
fn without_room_to_grow_no_batch_exceeds_its_size() {
    for settings in [
        grows_to(0),
        grows_to(1024),
        Settings { compression: Compression::new(CompressionType::Lz4), ..grows_to(8192) },
        Settings { buffer_memory: 16 * 1024, ..grows_to(8192) },
    ] {
        let rig = growing(settings);
        assert_eq!(rig.acc.largest_batch(), 1024);
        put(&rig, 60);
        rig.acc.signals.sweep();
        while let Some(batch) = rig.take() {
            assert!(batch.wire_len() <= 1024);
            rig.succeed(0, &batch);
        }
        rig.assert_clean();
    }
}

#[test]
fn large_records_share_a_batch_that_grows_and_none_exceeds_it() {
    let rig = growing(grows_to(8192));
    for len in [3000, 3000, 3000, 500, 7000, 9000, 100, 100] {
        rig.put(len).detach();
    }
    let mut counts = take_all_of_any_size(&rig);
    counts.extend(take_all_of_any_size(&rig));
    // The first was full alone. Of 8192 bytes two of 3000 and one of 500 take the most; 9000 bytes are more than any batch
    // grows to, and stand alone.
    assert_eq!(counts, [1, 3, 1, 1, 2]);
    rig.assert_clean();
}

fn take_all_of_any_size(rig: &Rig) -> Vec<u32> {
    let mut counts = Vec::new();
    while let Some(batch) = rig.take() {
        counts.push(batch.records);
        rig.succeed(0, &batch);
    }
    counts
}

#[test]
fn batches_grow_step_by_step_from_what_the_broker_has_taken() {
    let rig = Rig::one(grows_to(32 << 10));
    put(&rig, 100);
    assert!(take_all(&rig).iter().all(|n| *n == 8), "nothing is known of the broker");
    let mut largest = Vec::new();
    for _ in 0..4 {
        put(&rig, 300);
        largest.extend(take_all(&rig).into_iter().max());
    }
    // Twice as much each time, but for what is over at the end.
    assert!(largest.windows(2).all(|w| w[1] > w[0] && w[1] <= 2 * w[0] + 8), "{largest:?}");
    rig.finish();
    rig.assert_clean();
}

#[test]
fn a_large_record_is_one_batch_of_the_backlog_wherever_it_goes() {
    for target in [Target::Partition(0), Target::Sticky] {
        let rig = growing(grows_to(32 << 10));
        (0..6).for_each(|_| rig.append(target, &[7; 1500], Wait::Never).unwrap().detach());
        // One is closed, the other five and what may come are in the one that grows.
        assert_eq!(rig.partitions[0].backlog(), 7, "{target:?}");
        rig.finish();
        rig.assert_clean();
    }
}

#[test]
fn an_open_batch_is_taken_only_where_there_is_room_for_it() {
    let rig = growing(grows_to(8192));
    put(&rig, 48);
    assert_eq!(
        rig.take().map(|batch| {
            rig.succeed(0, &batch);
            batch.records
        }),
        Some(8)
    );
    let len = 61 + 40 * 109;
    assert!(matches!(rig.acc.take_within(&rig.partitions[0], len - 200), Take::NoRoom));
    put(&rig, 1);
    let Take::Batch(batch) = rig.acc.take_within(&rig.partitions[0], len + 200) else { panic!("it fits") };
    assert_eq!(batch.records, 41);
    rig.succeed(0, &batch);
    drop(batch);
    rig.assert_clean();
}

#[test]
fn a_partition_whose_batch_was_too_large_for_the_broker_grows_none_any_more() {
    let rig = growing(grows_to(8192));
    put(&rig, 48);
    assert_eq!(take_all(&rig), [8, 40]);
    rig.partitions[0].stop_growing();
    put(&rig, 25);
    assert_eq!(take_all(&rig), [8, 8, 8]);
    rig.finish();
    rig.assert_clean();
}

#[test]
fn a_batch_that_has_grown_weighs_as_many_for_the_sticky_choice() {
    let rig = growing(grows_to(8192));
    put(&rig, 8 * 6 + 1);
    // One closed, one that was full five times by now.
    assert_eq!(rig.partitions[0].backlog(), 6);
    take_all(&rig);
    assert_eq!(rig.partitions[0].backlog(), 0);
    rig.finish();
    rig.assert_clean();
}

#[test]
fn records_without_a_key_move_on_each_time_a_batch_is_full() {
    let rig = Rig::new(grows_to(32 << 10), &[Some(1), Some(1), Some(1)]);
    rig.partitions.iter().for_each(|p| p.acknowledge(1 << 20));
    for _ in 0..3000 {
        rig.append(Target::Sticky, &[7; 100], Wait::Never).unwrap().detach();
    }
    let counts: Vec<u64> = rig.partitions.iter().map(|p| p.records()).collect();
    assert!(counts.iter().all(|n| n.abs_diff(1000) < 100), "{counts:?}");
    rig.finish();
    rig.assert_clean();
}

#[test]
fn a_flush_gets_what_has_grown_too() {
    let rig = growing(grows_to(8192));
    put(&rig, 30);
    let generation = rig.acc.unfinished.flush();
    assert_eq!(take_all(&rig), [8, 22]);
    assert!(rig.acc.unfinished.wait(generation, now()));
    rig.assert_clean();
}

#[test]
fn where_records_come_fast_a_second_full_batch_waits_as_the_first_does() {
    let rig = growing(grows_to(8192));
    let waits = || rig.acc.may_wait(&rig.partitions[0], now()).map(|(_, batches)| batches);
    put(&rig, 9);
    assert_eq!(waits(), Some(1));
    put(&rig, 8);
    assert_eq!(waits(), None, "it takes a request of its own");
    rig.acc.signals.gather_for(1 << 20);
    assert_eq!(waits(), Some(2));
    put(&rig, 10);
    assert_eq!(waits(), Some(3));
    rig.acc.signals.gather_for(0);
    assert_eq!(waits(), None);
    rig.finish();
    rig.assert_clean();
}

#[test]
fn an_old_batch_grows_no_more() {
    let rig = growing(grows_to(8192));
    let mut chunks = Vec::new();
    rig.acc.pool.try_take(NO_LEADER, Ask::from(1), &mut chunks).unwrap();
    let created = now();
    let completion = rig.acc.new_completion(&rig.partitions[0]).unwrap();
    let life = Fresh { completion, created, generation: 0, waited: Waited::default() };
    let mut open = OpenBatch::new(chunks.pop().unwrap(), 1024, (rig.acc.limits, 1.0), 0, life);
    let growth = |begun_since| Growth { most: 8192, begun_since: Some(begun_since) };
    let tick = Duration::from_millis(1);
    assert!(!open.grow(100, 1024, growth(created + tick)));
    assert!(open.grow(100, 1024, growth(created)));
    assert!(!open.grow(100, 1024, Growth::NONE));
}
