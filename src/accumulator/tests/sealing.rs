//! Compression: by the sender, by application threads, by a codec that panics.

use super::*;
use crate::accumulator::closed::Taken;
use crate::accumulator::entry::PartitionEntry;

fn compressing() -> Settings {
    Settings { compression: Compression::new(CompressionType::Lz4), ..settings() }
}

#[test]
fn the_size_bound_is_on_the_compressed_batch_once_the_ratio_is_known_and_raw_bytes_are_capped() {
    let rig = Rig::one(compressing());
    let mut records = Vec::new();
    for _ in 0..200 {
        rig.put(100).detach();
        while matches!(rig.peek(), Peek::Ready { .. }) {
            let batch = rig.take().unwrap();
            assert!(batch.wire_len() <= 1024 && batch.raw_len <= 4 * 1024);
            assert_eq!(values(&batch).len(), batch.records as usize);
            records.push(batch.records);
            rig.succeed(0, &batch);
        }
    }
    assert_eq!(records[0], 8, "nothing is known of the codec yet");
    assert_eq!(records.last(), Some(&37), "capped at four times batch.size");
    rig.finish();
    rig.assert_clean();
}

#[test]
fn incompressible_batches_stay_as_they_are() {
    let rig = Rig::one(compressing());
    let mut state = 1u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
        (state >> 56) as u8
    })
    .take(900)
    .collect();
    rig.append(Target::Partition(0), &noise, Wait::Never).unwrap().detach();
    let batch = rig.take().unwrap();
    assert_eq!(batch.codec, CompressionType::None);
    assert_eq!(values(&batch), [noise]);
    rig.succeed(0, &batch);
    drop(batch);
    rig.assert_clean();
}

#[test]
fn an_application_thread_helps_when_two_batches_wait_and_try_send_never_does() {
    let rig = Rig::one(compressing());
    let unsealed = || rig.partitions[0].closed.lock().unsealed();
    for i in 0..30u8 {
        rig.append(Target::Partition(0), &[i; 100], Wait::Never).unwrap().detach();
    }
    assert_eq!(unsealed(), 3);
    let front_len = || {
        let Peek::Ready { len, .. } = rig.peek() else { panic!("{:?}", rig.peek()) };
        len.expect("it is closed")
    };
    assert_eq!(front_len(), 61 + 8 * 109);
    for i in 30..60u8 {
        rig.append(Target::Partition(0), &[i; 100], soon()).unwrap().detach();
    }
    assert!(front_len() < 300, "the oldest is compressed");
    let mut seen = Vec::new();
    while let Some(batch) = rig.take() {
        assert_eq!(batch.codec, CompressionType::Lz4);
        seen.extend(values(&batch).iter().map(|v| v[0]));
        rig.succeed(0, &batch);
    }
    assert_eq!(seen, (0..60).collect::<Vec<_>>());
    rig.assert_clean();
}

#[test]
fn batches_begun_within_one_tick_of_the_clock_go_back_each_to_its_own_place() {
    let rig = Rig::one(compressing());
    for i in 0..36u8 {
        rig.append(Target::Partition(0), &[i; 100], Wait::Never).unwrap().detach();
    }
    let entry: &PartitionEntry = &rig.partitions[0];
    let mut closed = entry.closed.lock();
    closed.same_instant();
    let (first, one) = closed.take_to_seal(|_| true).unwrap();
    let (second, two) = closed.take_to_seal(|_| true).unwrap();
    assert!(
        matches!(closed.take_front(&rig.acc.pool), Taken::NotYet),
        "nothing overtakes what is being compressed"
    );
    drop(closed);
    assert_eq!(entry.records(), 36);
    let mut closed = entry.closed.lock();
    closed.put_sealed(second, two.into_batch());
    closed.put_sealed(first, one.into_batch());
    drop(closed);
    let mut seen = Vec::new();
    while let Some(batch) = rig.take() {
        seen.extend(values(&batch).iter().map(|v| v[0]));
        rig.succeed(0, &batch);
    }
    assert_eq!(seen, (0..36).collect::<Vec<_>>());
    rig.assert_clean();
}

#[test]
fn a_panicking_codec_fails_its_batch_only() {
    let rig = Rig::one(compressing());
    let handles: Vec<_> = (0..9).map(|_| rig.put(100)).collect();
    rig.acc.sealer.panic_next.store(true, Ordering::SeqCst);
    let batch = rig.take().unwrap();
    assert_eq!(batch.records, 1, "the next batch is taken instead");
    let error = handles[0].get().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
    assert!(!error.is_fatal() && !error.may_have_been_written() && error.to_string().contains("lz4"));
    assert!(!handles[8].is_done());
    rig.succeed(0, &batch);
    drop(batch);
    rig.assert_clean();
}

#[test]
fn a_codec_that_panics_in_a_helping_thread_fails_its_batch_only() {
    let rig = Rig::one(compressing());
    let mut handles: Vec<_> = (0..17).map(|_| rig.put(100)).collect();
    rig.acc.sealer.panic_next.store(true, Ordering::SeqCst);
    while rig.acc.sealer.panic_next.load(Ordering::SeqCst) {
        handles.push(rig.append(Target::Partition(0), &[1; 100], soon()).unwrap());
    }
    assert_eq!(handles[0].try_get().unwrap().unwrap_err().kind(), ErrorKind::Internal);
    assert!(!handles[8].is_done());
    rig.finish();
    assert!(handles[8..].iter().all(|h| h.get().is_ok()));
    rig.assert_clean();
}

#[test]
fn what_is_being_compressed_while_everything_is_dropped_is_dropped_when_it_is_back() {
    let rig = Rig::one(compressing());
    for i in 0..27u8 {
        rig.append(Target::Partition(0), &[i; 100], Wait::Never).unwrap().detach();
    }
    let entry = &rig.partitions[0];
    let (place, batch) = entry.closed.lock().take_to_seal(|_| true).unwrap();
    assert!(rig.take().is_none(), "nothing overtakes it");
    assert!(rig.acc.hold(entry), "so something is left");
    assert!(!rig.acc.let_go(entry), "and stays");
    entry.closed.lock().put_sealed(place, batch.into_batch());
    assert!(matches!(rig.peek(), Peek::Sealing { .. }) && rig.take().is_none(), "it is not sent");
    assert!(entry.closed.lock().take_to_seal(|_| true).is_none(), "nobody begins with another one");
    assert!(rig.acc.let_go(entry));
    let mut seen = Vec::new();
    while let Some(batch) = rig.take() {
        seen.extend(values(&batch).iter().map(|v| v[0]));
        rig.succeed(0, &batch);
    }
    assert_eq!(seen, (0..27).collect::<Vec<_>>(), "in order");
    assert!(!rig.acc.hold(entry), "where nothing is left nothing is held");
    rig.assert_clean();
}

#[test]
fn the_end_of_the_sender_ends_what_is_held() {
    let rig = Rig::one(compressing());
    let handle = rig.put(1000);
    let last = rig.put(1000);
    let entry = &rig.partitions[0];
    let (place, batch) = entry.closed.lock().take_to_seal(|_| true).unwrap();
    assert!(rig.acc.hold(entry));
    entry.closed.lock().put_sealed(place, batch.into_batch());
    rig.acc.abandon(&closed_error());
    assert_eq!(handle.get().unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(last.get().unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn who_flushes_compresses_what_is_flushed_and_nothing_newer() {
    let rig = Rig::new(compressing(), &[Some(1); 3]);
    for partition in 0..3 {
        rig.append(Target::Partition(partition), &[7; 100], Wait::Never).unwrap().detach();
    }
    let sealed = |at: usize| {
        let closed = rig.partitions[at].closed.lock();
        closed.waiting() > 0 && closed.unsealed() == 0
    };
    let until = |at: usize, done: &dyn Fn(usize) -> bool| {
        let late = now() + Duration::from_secs(20);
        while !done(at) {
            assert!(now() < late);
            std::thread::yield_now();
        }
    };
    std::thread::scope(|s| {
        let flush = s.spawn(|| rig.acc.flush(now() + Duration::from_secs(60)));
        (0..3).for_each(|at| until(at, &sealed));
        // Begun behind the flush.
        rig.append(Target::Partition(0), &[7; 100], Wait::Never).unwrap().detach();
        assert_eq!(rig.partitions[0].records(), 2);
        for (at, entry) in rig.partitions.iter().enumerate() {
            let batch = rig.acc.take(entry).unwrap();
            assert_eq!((batch.records, batch.codec), (1, CompressionType::Lz4));
            rig.succeed(at, &batch);
        }
        flush.join().unwrap().unwrap();
    });
    assert_eq!(rig.partitions[0].closed.lock().waiting(), 0, "still open");
    rig.finish();
    rig.assert_clean();
}

#[test]
fn who_has_little_time_to_flush_does_not_compress() {
    let rig = Rig::one(compressing());
    rig.put(100).detach();
    assert_eq!(rig.acc.flush(now() + Duration::from_millis(5)), Err(1));
    assert_eq!(rig.partitions[0].closed.lock().waiting(), 0, "as it was");
    rig.finish();
    rig.assert_clean();
}
