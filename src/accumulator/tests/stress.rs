//! Many threads, little memory, and a sender that sleeps as the real one does.

use super::*;
use crate::sync::Condvar;
use std::collections::{BTreeMap, BTreeSet};

/// A waker as a poller has it: a flag that stays set until it is seen.
#[derive(Default)]
pub(super) struct Doorbell {
    rung: Mutex<bool>,
    changed: Condvar,
    /// The order to close, which comes when `close` has refused all further records.
    close: AtomicBool,
}

impl Doorbell {
    pub(super) fn ring(&self) {
        *self.rung.lock() = true;
        self.changed.notify_one();
    }

    pub(super) fn close(&self, acc: &RecordAccumulator) {
        acc.close();
        self.close.store(true, Ordering::SeqCst);
        self.ring();
    }

    /// Panics if nobody rings for longer than any of these tests may take: a wake-up was lost.
    fn wait(&self, deadline: Option<Instant>) {
        let mut rung = self.rung.lock();
        let lost = now() + Duration::from_secs(20);
        while !*rung {
            let timed_out =
                self.changed.wait_until(&mut rung, deadline.unwrap_or(lost).min(lost)).timed_out();
            if timed_out && !*rung {
                assert!(deadline.is_some_and(|d| d < lost), "nobody rang: a wake-up was lost");
                return;
            }
        }
        *rung = false;
    }
}

/// What the fake sender read from the batches, by partition.
pub(super) type Log = BTreeMap<u32, Vec<Vec<u8>>>;

/// Takes what it is told of and nothing else, until it is told to close and everything has its outcome.
pub(super) fn run_sender(acc: &RecordAccumulator, bell: &Doorbell, fail_every: usize) -> Log {
    let mut known: BTreeMap<u32, Arc<PartitionEntry>> = BTreeMap::new();
    let mut log = Log::new();
    let mut pending = Pending::default();
    let mut timer: Option<Instant> = None;
    let mut count = 0;
    loop {
        acc.signals.woke_up();
        acc.signals.take(&mut pending);
        let mut look: BTreeSet<u32> = pending.hurried.drain(..).collect();
        for entry in pending.partitions.drain(..) {
            entry.clear_notified();
            look.insert(entry.id);
            known.insert(entry.id, entry);
        }
        let due = timer.is_some_and(|at| at <= now());
        if std::mem::take(&mut pending.sweep) || due {
            timer = None;
            look.extend(known.keys());
        }
        for entry in look.iter().filter_map(|id| known.get(id)) {
            loop {
                match acc.peek(entry, now()) {
                    Peek::Ready { .. } => {}
                    Peek::Lingering { until, .. } => {
                        timer = Some(timer.map_or(until, |t| t.min(until)));
                        break;
                    }
                    Peek::Empty | Peek::Sealing { .. } => break,
                }
                let Some(batch) = acc.take(entry) else { break };
                count += 1;
                let outcome = if fail_every > 0 && count % fail_every == 0 {
                    let error = Error::new(ErrorKind::DeliveryTimeout, "late");
                    Outcome::Failed { error, records: Box::default() }
                } else {
                    let read = log.entry(entry.id).or_default();
                    let base = read.len() as i64;
                    read.extend(values(&batch));
                    delivered(base)
                };
                assert!(acc.complete(entry, &batch, outcome));
            }
        }
        if bell.close.load(Ordering::SeqCst) && acc.unfinished.is_empty() {
            return log;
        }
        if acc.signals.fall_asleep(timer) {
            bell.wait(timer);
        }
    }
}

struct Load {
    settings: Settings,
    threads: u8,
    records: u32,
    fail_every: usize,
    /// Close in the middle instead of at the end.
    close_early: bool,
}

/// What one thread saw: the bytes it sent and the handle of each.
pub(super) type Sent = Vec<(Vec<u8>, DeliveryFuture)>;

fn one_thread(rig: &Rig, load: &Load, name: u8) -> Sent {
    let mut sent = Sent::new();
    for i in 0..load.records {
        let mut value = vec![name];
        value.extend_from_slice(&i.to_be_bytes());
        value.resize(5 + (i as usize * 37 + usize::from(name) * 11) % 400, 1);
        let target = match i % 3 {
            0 => Target::Sticky,
            _ => Target::Partition(i as usize % rig.partitions.len()),
        };
        let wait = if i % 7 == 0 { Wait::Never } else { soon() };
        match rig.append(target, &value, wait) {
            Ok(handle) => {
                if i % 50 == 1 {
                    assert!(handle.get_timeout(Duration::from_secs(20)).is_some(), "lost");
                }
                sent.push((value, handle));
            }
            Err(e) if e.kind() == ErrorKind::BufferExhausted && i % 7 == 0 => {}
            Err(e) if e.kind() == ErrorKind::Closed && load.close_early => break,
            Err(e) => panic!("{e}"),
        }
        if i % 211 == 7 {
            rig.acc.flush(now() + Duration::from_secs(20)).expect("a flush ends");
            assert!(sent.iter().all(|(_, handle)| handle.is_done()), "flush came back early");
        }
    }
    sent
}

pub(super) fn check(sent: Vec<Sent>, log: &Log, rig: &Rig) {
    let mut acknowledged = 0;
    for sent in sent {
        let mut last: BTreeMap<i32, i64> = BTreeMap::new();
        for (value, handle) in sent {
            match handle.try_get().expect("every record has an outcome") {
                Ok(metadata) => {
                    let (at, offset) = (metadata.partition(), metadata.offset().unwrap());
                    let id = rig.partitions[at as usize].id;
                    assert_eq!(log[&id][offset as usize], value);
                    let before = last.insert(at, offset);
                    assert!(before.is_none_or(|b| b < offset), "order of one thread in one partition");
                    acknowledged += 1;
                }
                Err(e) => assert_eq!(e.kind(), ErrorKind::DeliveryTimeout),
            }
        }
    }
    assert_eq!(acknowledged, log.values().map(Vec::len).sum::<usize>(), "nothing else was written");
}

fn run(load: &Load) {
    let rig = Rig::new(load.settings.clone(), &[Some(1), Some(2), Some(3)]);
    rig.acc.set_several_leaders(true);
    let bell = Arc::new(Doorbell::default());
    let waker = bell.clone();
    rig.acc.signals.set_waker(Box::new(move || waker.ring()));
    std::thread::scope(|s| {
        let sender = s.spawn(|| run_sender(&rig.acc, &bell, load.fail_every));
        let threads: Vec<_> = (0..load.threads)
            .map(|name| {
                s.spawn({
                    let rig = &rig;
                    move || one_thread(rig, load, name)
                })
            })
            .collect();
        if load.close_early {
            while rig.acc.metrics.snapshot().records_acknowledged < 500 {
                std::thread::yield_now();
            }
            bell.close(&rig.acc);
        }
        let sent: Vec<_> = threads.into_iter().map(|t| t.join().unwrap()).collect();
        bell.close(&rig.acc);
        check(sent, &sender.join().unwrap(), &rig);
    });
    rig.assert_clean();
}

fn tight() -> Settings {
    Settings { batch_size: 700, buffer_memory: 6 * 700, linger: Duration::from_millis(1), ..settings() }
}

#[test]
fn every_record_has_one_outcome_in_order_with_little_memory() {
    run(&Load { settings: tight(), threads: 10, records: 600, fail_every: 7, close_early: false });
}

#[test]
fn nothing_but_signals_moves_batches_that_linger_for_ever() {
    let settings = Settings { linger: LONG, ..tight() };
    run(&Load { settings, threads: 8, records: 500, fail_every: 0, close_early: false });
}

#[test]
fn threads_that_let_batches_grow_keep_the_order() {
    let settings = Settings { batch_max_size: 5000, buffer_memory: 16 * 5000, ..tight() };
    run(&Load { settings, threads: 8, records: 2000, fail_every: 11, close_early: false });
}

#[test]
fn threads_that_compress_keep_the_order() {
    let compression = Compression::new(CompressionType::Lz4);
    let settings = Settings { compression, buffer_memory: 20 * 700, ..tight() };
    run(&Load { settings, threads: 8, records: 600, fail_every: 11, close_early: false });
}

#[test]
fn close_may_race_with_everything() {
    for _ in 0..5 {
        run(&Load { settings: tight(), threads: 8, records: 100_000, fail_every: 0, close_early: true });
    }
}
