//! One thread: which record goes into which batch of which partition, and what it takes of the memory.

use super::super::settings::MIN_CHUNK_SIZE;
use super::*;

#[test]
fn a_batch_closes_when_the_next_record_does_not_fit() {
    let rig = Rig::one(settings());
    // 109 bytes each, after 61 of header.
    for _ in 0..8 {
        rig.put(100).detach();
    }
    assert!(matches!(rig.peek(), Peek::Lingering { .. }));
    assert_eq!(rig.notified(), 1, "once for the new batch, not per record");
    rig.put(100).detach();
    assert!(matches!(rig.peek(), Peek::Ready { .. }));
    assert_eq!(rig.notified(), 1, "once for the full one and the new one");
    let batch = rig.take().unwrap();
    assert!(batch.wire_len() <= 1024 && batch.wire_len() > 900, "{}", batch.wire_len());
    assert_eq!(values(&batch), vec![vec![7; 100]; batch.records as usize]);
    rig.succeed(0, &batch);
    drop(batch);
    rig.finish();
    rig.assert_clean();
}

#[test]
fn a_batch_that_is_exactly_full_closes_at_once() {
    let rig = Rig::one(settings());
    // 61 bytes of header, 9 around the value.
    rig.put(1024 - 61 - 9).detach();
    assert!(matches!(rig.peek(), Peek::Ready { .. }));
    let batch = rig.take().unwrap();
    assert_eq!(batch.wire_len(), 1024);
    rig.succeed(0, &batch);
    drop(batch);
    rig.assert_clean();
}

/// A sender that has much to do, and sleeps long, still has to know when such a batch's linger ends.
#[test]
fn a_batch_that_its_first_record_fills_wakes_a_sender_that_would_sleep_beyond_its_linger() {
    use std::sync::atomic::{AtomicU32, Ordering};
    let rig = Rig::one(settings());
    let woken = Arc::new(AtomicU32::new(0));
    let seen = woken.clone();
    rig.acc.signals.set_waker(Box::new(move || {
        seen.fetch_add(1, Ordering::SeqCst);
    }));
    let leader = rig.partitions[0].leader();
    rig.acc.signals.set_load(leader, crate::accumulator::Load::Full);
    rig.acc.signals.take(&mut Pending::default());
    assert!(rig.acc.signals.fall_asleep(None));
    rig.put(1024 - 61 - 9).detach();
    assert_eq!(woken.load(Ordering::SeqCst), 1);
    let batch = rig.take().unwrap();
    rig.succeed(0, &batch);
    drop(batch);
    rig.assert_clean();
}

#[test]
fn the_largest_record_is_known_however_it_came_in() {
    let rig = Rig::one(settings());
    for len in [10, 300, 20] {
        rig.put(len).detach();
    }
    rig.acc.unfinished.flush();
    let batch = rig.take().unwrap();
    assert_eq!(batch.largest, 300 + 9);
    rig.succeed(0, &batch);
}

#[test]
fn a_record_bigger_than_the_batch_goes_alone_over_many_chunks() {
    let rig = Rig::one(Settings { batch_size: 1, ..settings() });
    assert_eq!(rig.acc.pool.chunk_size(), MIN_CHUNK_SIZE);
    for len in (0..40).chain(200..300).chain([1_000, 5_000, 70_000]) {
        let value: Vec<u8> = (0..len).map(|i| (i * 31 % 251) as u8).collect();
        rig.append(Target::Partition(0), &value, Wait::Never).unwrap().detach();
        let batch = rig.take().unwrap();
        assert_eq!(values(&batch), [value]);
        rig.succeed(0, &batch);
        assert!(rig.take().is_none());
    }
    rig.assert_clean();
}

#[test]
fn records_of_all_sizes_cross_chunks_unharmed() {
    let rig = Rig::one(Settings { batch_size: 20_000, buffer_memory: 1 << 20, ..settings() });
    let sent: Vec<Vec<u8>> = (0..60usize).map(|i| vec![i as u8; i * i % 3_000]).collect();
    for value in &sent {
        rig.append(Target::Partition(0), value, Wait::Never).unwrap().detach();
    }
    let mut got = Vec::new();
    while let Some(batch) = rig.take() {
        assert!(batch.wire_len() <= 20_000);
        got.extend(values(&batch));
        rig.succeed(0, &batch);
    }
    assert_eq!(got, sent);
    rig.assert_clean();
}

#[test]
fn a_memory_smaller_than_a_chunk_still_carries_what_fits() {
    let rig = Rig::one(Settings { buffer_memory: 200, ..settings() });
    assert_eq!(rig.acc.longest_record(), 200);
    rig.put(100).detach();
    rig.finish();
    rig.assert_clean();
}

#[test]
fn big_batches_over_a_thousand_partitions_take_chunks_as_they_fill() {
    let settings = Settings { batch_size: 1_000_000, buffer_memory: 32 << 20, ..settings() };
    let rig = Rig::new(settings, &[Some(1); 1000]);
    for round in 0..20u8 {
        for at in 0..1000 {
            rig.append(Target::Partition(at), &[round; 500], Wait::Never).unwrap().detach();
        }
    }
    assert!(rig.acc.pool.available() >= (32 << 20) - 1000 * 16 * 1024);
    rig.finish();
    rig.assert_clean();
}

#[test]
fn full_memory_is_told_apart_from_a_leaders_share() {
    // Four batches, and what they take besides.
    let rig = Rig::new(Settings { buffer_memory: 8192, ..settings() }, &[Some(1), Some(2)]);
    rig.acc.set_several_leaders(true);
    let put = |at: usize| rig.append(Target::Partition(at), &[0; 900], Wait::Never);
    let mut handles = vec![put(0).unwrap(), put(0).unwrap()];
    let error = put(0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BufferExhausted);
    assert!(error.is_retriable() && error.to_string().contains("buffer.memory.per.broker.ratio"), "{error}");
    handles.push(put(1).unwrap());
    handles.push(put(1).unwrap());
    rig.acc.set_several_leaders(false);
    let error = put(1).unwrap_err();
    assert!(error.to_string().contains("buffer.memory (8192 bytes) is taken"), "{error}");
    rig.finish();
    assert!(handles.iter().all(DeliveryFuture::is_done));
    rig.assert_clean();
}

#[test]
fn a_full_batch_is_announced_even_if_the_record_that_closed_it_finds_no_memory() {
    let rig = Rig::one(Settings { buffer_memory: 1024, ..settings() });
    rig.put(600).detach();
    assert_eq!(rig.notified(), 1);
    let error = rig.append(Target::Partition(0), &[0; 600], Wait::Never).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BufferExhausted);
    assert!(matches!(rig.peek(), Peek::Ready { .. }));
    assert_eq!(rig.notified(), 1, "nothing else would tell the sender before linger is over");
    rig.finish();
    rig.assert_clean();
}

#[test]
fn what_a_failed_append_had_taken_goes_back() {
    let rig = Rig::one(Settings { buffer_memory: 4096, ..settings() });
    rig.put(10).detach();
    // Closes the batch, takes memory for three chunks, does not get four.
    assert!(rig.append(Target::Partition(0), &[0; 3500], Wait::Never).is_err());
    assert!(rig.append(Target::Partition(0), &[0; 3500], Wait::Until(now())).is_err());
    rig.finish();
    rig.assert_clean();
}

#[test]
fn a_partition_that_does_not_exist_is_an_error() {
    let rig = Rig::one(settings());
    let error = rig.append(Target::Partition(1), &[], Wait::Never).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Partitioning);
    rig.assert_clean();
}

/// Appends `records` without a key; returns the bytes per partition and how often the partition changed.
fn spread(rig: &Rig, records: usize, len: impl Fn(usize) -> usize) -> (Vec<usize>, usize) {
    let mut bytes = vec![0; rig.partitions.len()];
    let (mut switches, mut before) = (0, None);
    for i in 0..records {
        let handle = rig.append(Target::Sticky, &vec![0; len(i)], Wait::Never).unwrap();
        let (_, at) = handle.topic_partition();
        bytes[at as usize] += len(i) + 10;
        switches += usize::from(before.replace(at).is_some_and(|b| b != at));
        rig.partitions.iter().enumerate().for_each(|(at, entry)| {
            while matches!(rig.acc.peek(entry, now()), Peek::Ready { .. }) {
                let Some(batch) = rig.acc.take(entry) else { break };
                rig.succeed(at, &batch);
            }
        });
    }
    (bytes, switches)
}

#[test]
fn records_without_key_fill_a_batch_and_move_on() {
    let rig = Rig::new(settings(), &[Some(1); 4]);
    let (bytes, switches) = spread(&rig, 2_000, |_| 100);
    let batches = bytes.iter().sum::<usize>() / (1024 - 61);
    // A quarter of the choices stay where they are.
    assert!(switches > batches / 2 && switches <= batches * 5 / 4, "{switches} of {batches}");
    rig.finish();
    rig.assert_clean();
}

#[test]
fn bytes_are_even_over_equal_partitions() {
    let rig = Rig::new(Settings { batch_size: 300, ..settings() }, &[Some(1); 4]);
    let (bytes, _) = spread(&rig, 40_000, |i| i * 7919 % 200);
    let mean = bytes.iter().sum::<usize>() / 4;
    assert!(bytes.iter().all(|b| b.abs_diff(mean) < mean / 10), "{bytes:?}");
    rig.finish();
    rig.assert_clean();
}

#[test]
fn partitions_without_a_leader_get_nothing_unless_no_partition_has_one() {
    let rig = Rig::new(settings(), &[Some(1), None, Some(2), None]);
    let (bytes, _) = spread(&rig, 2_000, |_| 100);
    assert!(bytes[0] > 0 && bytes[1] == 0 && bytes[2] > 0 && bytes[3] == 0, "{bytes:?}");
    rig.finish();
    let rig = Rig::new(settings(), &[None, None]);
    spread(&rig, 10, |_| 100);
    rig.finish();
    rig.assert_clean();
}

#[test]
fn batches_that_linger_move_on_too() {
    let rig = Rig::new(settings(), &[Some(1), Some(2)]);
    let mut seen = std::collections::HashSet::new();
    for _ in 0..400 {
        let handle = rig.append(Target::Sticky, &[0; 100], Wait::Never).unwrap();
        seen.insert(handle.topic_partition().1);
        rig.finish();
    }
    assert_eq!(seen.len(), 2);
    rig.assert_clean();
}

#[test]
fn a_record_with_a_partition_never_moves_the_sticky_choice() {
    let rig = Rig::new(settings(), &[Some(1); 16]);
    rig.append(Target::Sticky, &[0; 1], Wait::Never).unwrap().detach();
    let before = rig.topic.sticky.load(Ordering::Relaxed);
    for i in 0..1_000 {
        let handle = rig.append(Target::Partition(i % 16), &[0; 300], Wait::Never).unwrap();
        assert_eq!(handle.topic_partition().1 as usize, i % 16);
    }
    assert_eq!(rig.topic.sticky.load(Ordering::Relaxed), before);
    rig.finish();
    rig.assert_clean();
}

#[test]
fn records_that_may_go_anywhere_leave_a_leader_whose_share_is_taken() {
    let rig = Rig::new(Settings { buffer_memory: 32 << 10, ..settings() }, &[Some(1), Some(1), Some(2)]);
    rig.acc.set_several_leaders(true);
    // Nothing is sent, as where brokers do not answer. Leader 1 fills its half, then leader 2 its own.
    let mut entered = 0;
    let error = loop {
        match rig.append(Target::Sticky, &[1; 900], Wait::Never) {
            Ok(handle) => handle.detach(),
            Err(error) => break error,
        }
        entered += 1;
    };
    assert_eq!(error.kind(), ErrorKind::BufferExhausted);
    assert_eq!(entered, 16, "both shares were used: {error}");
    rig.finish();
    rig.assert_clean();
}

#[test]
fn the_sender_takes_full_batches_while_a_thread_appends() {
    let rig = Rig::one(settings());
    for _ in 0..9 {
        rig.append(Target::Partition(0), &[1; 100], Wait::Never).unwrap().detach();
    }
    // A thread is in the middle of its append: whoever waited for it here would wait for ever.
    let appending = rig.partitions[0].intake.lock();
    assert!(matches!(rig.peek(), Peek::Ready { len: Some(_), .. }));
    let batch = rig.take().expect("it is full");
    drop(appending);
    assert_eq!((batch.records, rig.partitions[0].records()), (8, 1));
    rig.succeed(0, &batch);
    drop(batch);
    rig.finish();
    rig.assert_clean();
}

#[test]
fn who_meets_another_thread_at_the_sticky_choice_goes_elsewhere_until_a_batch_is_full() {
    let rig = Rig::new(settings(), &[Some(1); 3]);
    let count = |at: usize| rig.partitions[at].records();
    rig.append(Target::Sticky, &[1; 100], Wait::Never).unwrap().detach();
    let shared = (0..3).find(|at| count(*at) == 1).unwrap();
    // Another thread is in the middle of its own append.
    let held = rig.partitions[shared].intake.lock();
    rig.append(Target::Sticky, &[1; 100], Wait::Never).unwrap().detach();
    drop(held);
    let own = (0..3).find(|at| *at != shared && count(*at) == 1).expect("another partition");
    while count(shared) == 1 {
        assert_eq!(
            rig.partitions[own].closed.lock().waiting(),
            0,
            "it came back behind the first full batch"
        );
        rig.append(Target::Sticky, &[1; 100], Wait::Never).unwrap().detach();
    }
    assert_eq!((count(shared), rig.partitions[own].closed.lock().waiting()), (2, 1));
    assert_eq!(count(own), 8, "all others");
    // A record that has its partition waits for it, and so does one that only met the sender.
    let held = rig.partitions[shared].intake.lock();
    std::thread::scope(|s| {
        s.spawn(|| rig.append(Target::Partition(shared), &[1; 100], Wait::Never).unwrap().detach());
        drop(held);
    });
    assert_eq!(count(shared), 3);
    rig.finish();
    rig.assert_clean();
}

#[test]
fn a_short_cut_that_is_none_leaves_nothing_behind() {
    let rig = Rig::new(settings(), &[Some(1); 2]);
    let lease = rig.acc.lease("t", Wait::Never).unwrap();
    let chunk = rig.acc.pool.chunk_size();
    let cut = |at: usize, len: usize, headers: &[(&'static str, Option<&'static [u8]>)]| {
        let (value, mut handle) = (vec![1; len], DeliveryFuture::vacant());
        let record = RecordBody::new(None, Some(&value), headers.iter().copied());
        let to = (&lease, Target::Partition(at));
        let small =
            rig.acc.append_quickly::<_, true>(to, &record, facts(), || true, &mut |_| {}, &mut handle);
        let any = small.or_else(|| {
            rig.acc.append_quickly::<_, false>(to, &record, facts(), || true, &mut |_| {}, &mut handle)
        });
        any.map(|()| handle.detach()).is_some()
    };
    let refused = |what: &str, cut: bool| {
        assert!(!cut, "{what}");
        let held: u64 = rig.partitions.iter().map(|p| p.records()).sum();
        assert_eq!(held, rig.acc.pending_records(), "{what}");
        held
    };
    assert_eq!(refused("there is no batch", cut(0, 10, &[])), 0);
    rig.put(10).detach();
    assert!(cut(0, 10, &[]) && cut(0, 10, &[("h", None)]));
    assert_eq!(refused("there is no such partition", cut(2, 10, &[])), 3);
    assert_eq!(refused("it takes another chunk", cut(0, chunk, &[])), 3);
    let locked = rig.partitions[0].intake.lock();
    assert!(!cut(0, 10, &[]), "somebody else is at it");
    drop(locked);
    rig.acc.let_in(Some(7));
    assert_eq!(refused("the transaction in which it began has ended", cut(0, 10, &[])), 3);
    rig.acc.let_in(None);
    rig.finish();
    rig.acc.close();
    assert_eq!(refused("the producer is closed", cut(0, 10, &[])), 0);
    rig.assert_clean();
}

#[test]
fn nobody_makes_way_to_a_broker_that_is_slow_or_takes_nothing() {
    let rig = Rig::new(settings(), &[Some(1), Some(2), None]);
    let entry = rig.acc.topics.each().remove(0);
    for _ in 0..5 {
        rig.append(Target::Partition(1), &[1; 1000], Wait::Never).unwrap().detach();
    }
    assert_eq!(rig.partitions[1].backlog(), 5);
    let stays = || {
        entry.sticky.store(0, Ordering::Relaxed);
        let before = rig.partitions[1].records();
        std::thread::scope(|s| {
            let held = rig.partitions[0].intake.lock();
            let other = s.spawn(|| rig.append(Target::Sticky, &[1], Wait::Never).unwrap().detach());
            std::thread::yield_now();
            drop(held);
            other.join().unwrap();
        });
        assert_eq!(rig.partitions[1].records(), before);
    };
    stays();
    while let Some(batch) = rig.acc.take(&rig.partitions[1]) {
        rig.succeed(1, &batch);
    }
    rig.acc.set_stalled(vec![2]);
    stays();
    rig.finish();
    rig.assert_clean();
}

#[test]
fn callbacks_count_against_memory_until_they_have_run() {
    let rig = Rig::one(Settings { batch_size: 16 << 10, ..settings() });
    rig.acc.set_callback_sink(Box::new(|callbacks, body| {
        callbacks.run_each(|done, result| done(result));
        drop(body);
    }));
    let free = || rig.acc.pool.available();
    let all = free();
    rig.put(1).detach();
    let without = free();
    assert_eq!(all - without, 16 << 10, "the batch's one chunk");
    for _ in 0..500 {
        let captured = [0u8; 100];
        rig.put(1).on_complete(move |_| {
            std::hint::black_box(captured);
        });
    }
    let taken = without - free();
    assert!((90_000..140_000).contains(&taken), "500 of 40 bytes, twice, and a box of 100: {taken}");
    rig.finish();
    rig.assert_clean();
}

#[test]
fn a_batch_whose_callbacks_find_no_memory_makes_the_next_record_wait() {
    let rig = Rig::one(Settings { batch_size: 4096, buffer_memory: 6000, ..settings() });
    let mut entered = 0;
    let error = loop {
        match rig.append(Target::Partition(0), &[1], Wait::Never) {
            Ok(handle) => handle.on_complete(|_| {}),
            Err(error) => break error,
        }
        entered += 1;
    };
    assert_eq!(error.kind(), ErrorKind::BufferExhausted);
    assert!((5..30).contains(&entered), "{entered}");
    let batch = rig.take().unwrap();
    rig.succeed(0, &batch);
    drop(batch);
    rig.put(1).detach();
    rig.finish();
    rig.assert_clean();
}

#[test]
fn what_a_callback_has_captured_may_be_more_than_all_memory() {
    let rig = Rig::one(Settings { batch_size: 4096, buffer_memory: 8192, ..settings() });
    let captured = [0u8; 20_000];
    rig.put(1).on_complete(move |_| {
        std::hint::black_box(captured);
    });
    let error = rig.append(Target::Partition(0), &[1], Wait::Never).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BufferExhausted);
    rig.finish();
    rig.put(1).detach();
    rig.finish();
    rig.assert_clean();
}
