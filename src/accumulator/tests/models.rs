//! The accumulator under the model checker: application threads, a sender that sleeps, and whoever closes or flushes,
//! under many schedules. A lost wake-up shows as a deadlock.

use super::stress::{Doorbell, Log, Sent, check, run_sender};
use super::*;
use crate::accumulator::memory::{Bound, MemoryPool};
use crate::sync::Condvar;
use crate::sync::model::{self, pass_time};
use shuttle::thread;

type Work = Box<dyn FnOnce(&Rig) -> Sent + Send>;

fn work(work: impl FnOnce(&Rig) -> Sent + Send + 'static) -> Work {
    Box::new(work)
}

/// Two chunks of memory, and room for one such value in each.
fn tiny() -> Settings {
    Settings { batch_size: 256, buffer_memory: 512, ..settings() }
}

fn value(name: u8, n: u8) -> Vec<u8> {
    let mut value = vec![0; 150];
    value[..2].copy_from_slice(&[name, n]);
    value
}

/// Sends values of its own to one partition, as long as the producer is open.
fn sends(name: u8, records: u8, partition: usize) -> Work {
    work(move |rig| {
        let mut sent = Sent::new();
        for n in 0..records {
            match rig.append(Target::Partition(partition), &value(name, n), soon()) {
                Ok(handle) => sent.push((value(name, n), handle)),
                Err(e) => {
                    assert_eq!(e.kind(), ErrorKind::Closed);
                    return sent;
                }
            }
        }
        sent
    })
}

/// The threads run beside a sender; the accumulator is closed after them or, `early`, at any moment.
fn run(settings: &Settings, early: bool, fail_every: usize, threads: Vec<Work>) {
    let rig = Arc::new(Rig::new(settings.clone(), &[Some(1), Some(2)]));
    rig.acc.set_several_leaders(true);
    let (sender, bell) = start_sender(&rig, fail_every);
    let threads: Vec<_> = threads
        .into_iter()
        .map(|work| {
            let rig = rig.clone();
            thread::spawn(move || work(&rig))
        })
        .collect();
    if early {
        bell.close(&rig.acc);
    }
    let sent = threads.into_iter().map(|t| t.join().unwrap()).collect();
    bell.close(&rig.acc);
    check(sent, &sender.join().unwrap(), &rig);
    rig.assert_clean();
}

fn start_sender(rig: &Rig, fail_every: usize) -> (thread::JoinHandle<Log>, Arc<Doorbell>) {
    let bell = Arc::new(Doorbell::default());
    let waker = bell.clone();
    rig.acc.signals.set_waker(Box::new(move || waker.ring()));
    let (acc, for_sender) = (rig.acc.clone(), bell.clone());
    (thread::spawn(move || run_sender(&acc, &for_sender, fail_every)), bell)
}

#[test]
fn send_races_close() {
    model::check(|| run(&tiny(), true, 0, vec![sends(1, 2, 0), sends(2, 2, 0), sends(3, 1, 1)]));
}

#[test]
fn a_full_buffer_serves_every_thread() {
    model::check(|| {
        let threads = (0..4).map(|name| sends(name, 2, usize::from(name % 2))).collect();
        run(&tiny(), false, 3, threads);
    });
}

#[test]
fn flush_races_send() {
    model::check(|| {
        // Two records fit into one batch: the second may join one that is being flushed.
        let settings = Settings { batch_size: 512, buffer_memory: 4096, ..settings() };
        let flushes = |name| {
            work(move |rig| {
                let mut sent = sends(name, 1, 0)(rig);
                rig.acc.flush(now() + LONG).unwrap();
                assert!(sent.iter().all(|(_, handle)| handle.is_done()), "flush came back early");
                sent.extend(sends(name + 10, 1, 0)(rig));
                sent
            })
        };
        run(&settings, false, 0, vec![flushes(1), flushes(2), sends(3, 2, 0)]);
    });
}

#[test]
fn a_waiting_get_ends_linger() {
    model::check(|| {
        let settings = Settings { batch_size: 1024, buffer_memory: 4096, ..settings() };
        let gets = |name| {
            work(move |rig| {
                let sent = sends(name, 1, 0)(rig);
                assert!(sent[0].1.get().is_ok());
                sent
            })
        };
        run(&settings, false, 0, vec![gets(1), gets(2)]);
    });
}

#[test]
fn threads_that_let_batches_grow_race_the_sender() {
    model::check(|| {
        let settings = Settings { batch_max_size: 800, buffer_memory: 16 * 1024, ..tiny() };
        run(&settings, false, 3, vec![sends(1, 5, 0), sends(2, 4, 0)]);
    });
}

#[test]
fn threads_that_compress_race_the_sender() {
    model::check(|| {
        let compression = Compression::new(CompressionType::Lz4);
        let settings = Settings { compression, buffer_memory: 2048, ..tiny() };
        // Values that do not shrink below a batch each.
        run(&settings, false, 0, vec![sends(1, 4, 0), sends(2, 3, 0)]);
    });
}

#[test]
fn a_sender_that_dies_leaves_no_record_without_outcome() {
    model::check(|| {
        let compression = Compression::new(CompressionType::Lz4);
        let settings = Settings { compression, buffer_memory: 1024, ..tiny() };
        let rig = Arc::new(Rig::new(settings, &[Some(1), Some(2)]));
        let threads: Vec<_> = (1..3)
            .map(|name| {
                let rig = rig.clone();
                thread::spawn(move || sends(name, 4, 0)(&rig))
            })
            .collect();
        let error = Error::new(ErrorKind::Internal, "the sender thread died");
        rig.acc.close();
        rig.acc.abandon(&error);
        // All first: a thread that compresses ends the records of others.
        let sent: Vec<_> = threads.into_iter().map(|t| t.join().unwrap()).collect();
        for (_, handle) in sent.into_iter().flatten() {
            assert_eq!(handle.try_get().expect("an outcome").unwrap_err().kind(), ErrorKind::Internal);
        }
        rig.assert_clean();
    });
}

/// Callbacks and the thread that runs them.
#[derive(Default)]
struct Stage {
    jobs: Mutex<(Vec<PendingCallbacks>, bool)>,
    changed: Condvar,
}

impl Stage {
    fn run(&self) {
        loop {
            let mut jobs = self.jobs.lock();
            while jobs.0.is_empty() && !jobs.1 {
                self.changed.wait(&mut jobs);
            }
            let (now, over) = (std::mem::take(&mut jobs.0), jobs.1);
            drop(jobs);
            now.into_iter().for_each(|callbacks| callbacks.run_each(|done, result| done(result)));
            if over && self.jobs.lock().0.is_empty() {
                return;
            }
        }
    }

    fn say(&self, what: impl FnOnce(&mut (Vec<PendingCallbacks>, bool))) {
        what(&mut self.jobs.lock());
        self.changed.notify_all();
    }
}

#[test]
fn callbacks_that_send_race_flush_and_close() {
    model::check(|| {
        let rig = Arc::new(Rig::new(Settings { buffer_memory: 2048, ..tiny() }, &[Some(1), Some(2)]));
        let stage = Arc::new(Stage::default());
        let for_sink = stage.clone();
        rig.acc.set_callback_sink(Box::new(move |callbacks, _| for_sink.say(|jobs| jobs.0.push(callbacks))));
        let (sender, bell) = start_sender(&rig, 0);
        let on_stage = stage.clone();
        let callbacks = thread::spawn(move || on_stage.run());
        let (first, second) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(Sent::new())));
        let (ran, again, own) = (first.clone(), second.clone(), rig.clone());
        let sending = rig.clone();
        let thread = thread::spawn(move || {
            let sent = sends(1, 1, 0)(&sending);
            for (_, handle) in sent {
                let (ran, again, own) = (ran.clone(), again.clone(), own.clone());
                handle.on_complete(move |result| {
                    result.unwrap();
                    *ran.lock() += 1;
                    let sent = own.append(Target::Partition(1), &value(9, 0), Wait::Never);
                    again.lock().extend(sent.ok().map(|handle| (value(9, 0), handle)));
                });
                return true;
            }
            false
        });
        rig.acc.flush(now() + LONG).unwrap();
        bell.close(&rig.acc);
        let entered = thread.join().unwrap();
        let log = sender.join().unwrap();
        stage.say(|jobs| jobs.1 = true);
        callbacks.join().unwrap();
        assert_eq!(*first.lock(), u32::from(entered), "each callback once");
        let again = std::mem::take(&mut *second.lock());
        assert!(again.iter().all(|(_, handle)| handle.try_get().is_some_and(|r| r.is_ok())));
        assert_eq!(log.values().map(Vec::len).sum::<usize>(), usize::from(entered) + again.len());
        rig.assert_clean();
    });
}

#[test]
fn waits_for_memory_may_time_out_at_any_moment() {
    model::check(|| {
        let pool = Arc::new(MemoryPool::new(30, 10, 1.0));
        let (near, far) = (now() + Duration::from_secs(1), now() + LONG);
        let waits = |chunks: usize, deadline| {
            let pool = pool.clone();
            thread::spawn(move || {
                let mut got = Vec::new();
                let result = pool.take(1, chunks, deadline, &mut got);
                assert_eq!(got.len(), if result.is_ok() { chunks } else { 0 });
                pool.give_back(got.into_iter());
                result
            })
        };
        let mut held = Vec::new();
        pool.try_take(1, 2, &mut held).unwrap();
        let (big, small, patient) = (waits(3, near), waits(1, near), waits(2, far));
        let clock = thread::spawn(move || pass_time(near));
        pool.give_back(held.into_iter());
        clock.join().unwrap();
        for waiter in [big, small] {
            assert!(matches!(waiter.join().unwrap(), Ok(()) | Err(Bound::BufferMemory)));
        }
        assert_eq!(patient.join().unwrap(), Ok(()), "nobody may take its wake-up along");
        assert_eq!((pool.available(), pool.waiting()), (30, 0));
    });
}

#[test]
fn shares_of_memory_lose_no_wake_up_when_they_end() {
    model::check(|| {
        let pool = Arc::new(MemoryPool::new(40, 10, 0.5));
        pool.set_several_leaders(true);
        let mut held = Vec::new();
        pool.try_take(1, 2, &mut held).unwrap();
        let threads: Vec<_> = [(1, 1), (1, 2), (2, 3)]
            .into_iter()
            .map(|(leader, chunks)| {
                let pool = pool.clone();
                thread::spawn(move || {
                    let mut got = Vec::new();
                    pool.take(leader, chunks, now() + LONG, &mut got).unwrap();
                    pool.give_back(got.into_iter());
                })
            })
            .collect();
        let switch = pool.clone();
        let switches = thread::spawn(move || switch.set_several_leaders(false));
        pool.give_back(held.into_iter());
        threads.into_iter().chain([switches]).for_each(|t| t.join().unwrap());
        assert_eq!((pool.available(), pool.waiting()), (40, 0));
    });
}

#[test]
fn waits_for_a_topic_race_its_metadata_and_close() {
    model::check(|| {
        let acc = RecordAccumulator::new(settings(), Arc::new(Metrics::default()));
        let waits = |partition| {
            let acc = acc.clone();
            thread::spawn(move || match acc.resolve_topic("t", partition, soon()) {
                Ok((_, _, snapshot)) => assert!(snapshot.partitions.len() > partition),
                Err(NoTopic::Refused(e)) => assert_eq!(e.kind(), ErrorKind::Closed),
                Err(NoTopic::Timeout(_)) => panic!("time stands still"),
            })
        };
        let (one, two) = (waits(0), waits(1));
        let publishing = acc.clone();
        let sender = thread::spawn(move || {
            let mut pending = Pending::default();
            publishing.signals.take(&mut pending);
            for topic in pending.topics {
                publishing.publish_topic(&topic, infos(&[Some(1)]));
                publishing.publish_topic(&topic, infos(&[Some(1), Some(2)]));
            }
        });
        acc.close();
        [one, two, sender].into_iter().for_each(|t| t.join().unwrap());
    });
}
