use super::*;
use crate::record::TopicPartition;
use crate::sync::Mutex;
use std::task::{Wake, Waker};

#[derive(Default)]
pub(super) struct Owner {
    pub(super) hurried: Mutex<Vec<u32>>,
    pub(super) late: Mutex<Vec<PendingCallbacks>>,
    pub(super) unseen: Mutex<u32>,
    /// What a logger does that hears of a failure nobody saw.
    pub(super) logger: Mutex<Option<Box<dyn Fn() + Send>>>,
}

impl BatchOwner for Owner {
    fn hurry(&self, partition: u32) {
        self.hurried.lock().push(partition);
    }
    fn call_back(&self, callbacks: PendingCallbacks) {
        self.late.lock().push(callbacks);
    }
    fn failed_unseen(&self, _: &TopicPartition, _: &Error, records: u32) {
        *self.unseen.lock() += records;
        let logger = self.logger.lock().take();
        if let Some(logger) = logger {
            logger();
        }
    }
}

pub(super) const FACTS: RecordFacts = RecordFacts { timestamp: 5, key: FieldSize::NULL, value: FieldSize(3) };

pub(super) fn batch() -> (Arc<Owner>, Arc<BatchCompletion>) {
    let owner = Arc::new(Owner::default());
    let completion = BatchCompletion::new(TopicPartition::new("t", 2), 9, owner_ref(&owner));
    (owner, Arc::new(completion))
}

pub(super) fn owner_ref(owner: &Arc<Owner>) -> OwnerRef {
    let owner: std::sync::Weak<dyn BatchOwner> = Arc::downgrade(owner) as _;
    OwnerRef::new(owner, 77)
}

pub(super) fn delivered(base: i64) -> Outcome {
    Outcome::Delivered { base_offset: Some(base), log_append_time: None }
}

pub(super) fn failed() -> Outcome {
    Outcome::Failed { error: Error::new(ErrorKind::DeliveryTimeout, "late"), records: Box::default() }
}

fn end(batch: &Arc<BatchCompletion>, outcome: Outcome) -> bool {
    batch.complete(outcome, |callbacks| callbacks.run_each(|done, result| done(result)))
}

#[test]
fn a_handle_is_32_bytes_and_so_is_its_result() {
    assert_eq!(size_of::<DeliveryFuture>(), 32);
    assert_eq!(size_of::<Result<DeliveryFuture, Error>>(), 32);
    assert_eq!(size_of::<Error>(), size_of::<usize>());
}

#[test]
fn the_first_outcome_stays() {
    let (_, batch) = batch();
    let handle = DeliveryFuture::new(&batch, 1, FACTS);
    assert!(handle.try_get().is_none());
    assert!(end(&batch, failed()));
    assert!(!end(&batch, delivered(10)));
    assert_eq!(handle.get().unwrap_err().kind(), ErrorKind::DeliveryTimeout);
}

#[test]
fn waiting_hurries_the_partition_once() {
    let (owner, batch) = batch();
    let handle = DeliveryFuture::new(&batch, 0, FACTS);
    assert!(handle.get_timeout(Duration::ZERO).is_none());
    assert!(handle.get_timeout(Duration::ZERO).is_none());
    assert_eq!(*owner.hurried.lock(), [9]);
}

#[test]
fn a_blocked_get_wakes_when_the_batch_ends() {
    let (_, batch) = batch();
    let handle = DeliveryFuture::new(&batch, 4, FACTS);
    std::thread::scope(|s| {
        let waiter = s.spawn(|| handle.get());
        end(&batch, delivered(100));
        let metadata = waiter.join().unwrap().unwrap();
        assert_eq!(metadata.to_string(), "t-2@104");
        assert_eq!(metadata.serialized_value_size(), Some(3));
        assert_eq!(metadata.serialized_key_size(), None);
    });
}

#[test]
fn handles_and_callbacks_follow_a_split() {
    let (owner, parent) = batch();
    let handle = DeliveryFuture::new(&parent, 5, FACTS);
    DeliveryFuture::new(&parent, 4, FACTS).on_complete(|_| {});
    let part = |first| {
        let completion = BatchCompletion::new(TopicPartition::new("t", 2), 9, owner_ref(&owner));
        SplitPart { first, completion: Arc::new(completion) }
    };
    let (a, b) = (part(0), part(4));
    let (first, second) = (a.completion.clone(), b.completion.clone());
    parent.split(vec![a, b]);
    assert!(!handle.is_done());
    assert!(first.complete(delivered(7), |_| panic!("no callback is here")));
    let mut seen = Vec::new();
    second.complete(delivered(50), |c| c.run_each(|_, result| seen.push(result.unwrap().offset())));
    assert_eq!(seen, [Some(50)]);
    assert_eq!(handle.get().unwrap().offset(), Some(51));
}

#[test]
fn a_callback_added_after_the_end_is_handed_to_the_callback_thread() {
    let (owner, batch) = batch();
    let handle = DeliveryFuture::new(&batch, 0, FACTS);
    end(&batch, delivered(1));
    handle.on_complete(|_| {});
    assert_eq!(owner.late.lock().len(), 1);
}

#[test]
fn failures_nobody_looked_at_are_counted_whenever_the_handle_goes() {
    let (owner, batch) = batch();
    drop(DeliveryFuture::new(&batch, 0, FACTS));
    let late = DeliveryFuture::new(&batch, 1, FACTS);
    let looked = DeliveryFuture::new(&batch, 2, FACTS);
    end(&batch, failed());
    assert_eq!(*owner.unseen.lock(), 1);
    drop(late);
    assert!(looked.get().is_err());
    drop(looked);
    assert_eq!(*owner.unseen.lock(), 2);
}

#[test]
fn get_inside_a_callback_is_refused_while_pending() {
    let (_, batch) = batch();
    let handle = DeliveryFuture::new(&batch, 0, FACTS);
    std::thread::scope(|s| {
        s.spawn(|| {
            enter_callback_thread(77);
            assert_eq!(handle.get().unwrap_err().kind(), ErrorKind::Misuse);
        });
    });
    end(&batch, delivered(1));
    assert!(handle.get().is_ok());
}

#[test]
fn the_future_wakes_its_task() {
    struct Flag(AtomicBool);
    impl Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let (_, batch) = batch();
    let mut handle = DeliveryFuture::new(&batch, 0, FACTS);
    let flag = Arc::new(Flag(AtomicBool::new(false)));
    let waker = Waker::from(flag.clone());
    let mut cx = Context::from_waker(&waker);
    assert!(Pin::new(&mut handle).poll(&mut cx).is_pending());
    end(&batch, delivered(3));
    assert!(flag.0.load(Ordering::SeqCst));
    assert!(Pin::new(&mut handle).poll(&mut cx).is_ready());
}

#[test]
fn a_callback_added_while_the_batch_ends_does_not_overtake_earlier_ones() {
    let (owner, batch) = batch();
    let order = Arc::new(Mutex::new(Vec::new()));
    let add = |index: u32| {
        let order = order.clone();
        let done = move |_| order.lock().push(index);
        DeliveryFuture::new(&batch, index, FACTS).on_complete(done);
    };
    add(1);
    add(0);
    let mut rounds = 0;
    batch.complete(delivered(1), |callbacks| {
        rounds += 1;
        if rounds == 1 {
            // Another thread sends here: its callback must come behind the ones not yet queued.
            add(2);
        }
        callbacks.run_each(|done, result| done(result));
    });
    assert!(owner.late.lock().is_empty());
    assert_eq!((rounds, &**order.lock()), (2, &[0, 1, 2][..]));
    add(3);
    assert_eq!(owner.late.lock().len(), 1);
}

#[test]
fn a_split_batch_has_no_outcome_of_its_own_and_keeps_count_of_unseen_records() {
    let (owner, parent) = batch();
    for index in 0..3 {
        drop(DeliveryFuture::new(&parent, index, FACTS));
    }
    let late = DeliveryFuture::new(&parent, 3, FACTS);
    let part = |first| {
        let completion = BatchCompletion::new(TopicPartition::new("t", 2), 9, owner_ref(&owner));
        SplitPart { first, completion: Arc::new(completion) }
    };
    let (a, b) = (part(0), part(2));
    let (first, second) = (a.completion.clone(), b.completion.clone());
    parent.split(vec![a, b]);
    assert!(!end(&parent, failed()));
    drop(late);
    end(&first, delivered(1));
    assert_eq!(*owner.unseen.lock(), 0);
    end(&second, failed());
    assert_eq!(*owner.unseen.lock(), 2);
    drop(DeliveryFuture::new(&parent, 3, FACTS));
    assert_eq!(*owner.unseen.lock(), 3);
}

/// A handle is made under its partition's lock.
#[test]
fn making_a_handle_reports_nothing_whatever_the_thread_left_behind() {
    let (owner, old) = batch();
    drop(DeliveryFuture::new(&old, 0, FACTS));
    drop(DeliveryFuture::new(&old, 1, FACTS));
    end(&old, failed());
    assert_eq!(*owner.unseen.lock(), 2);
    old.count_too_late(0);
    let (_, new) = batch();
    let handle = DeliveryFuture::new(&new, 0, FACTS);
    assert_eq!(*owner.unseen.lock(), 2, "under the lock");
    drop(handle);
    assert_eq!(*owner.unseen.lock(), 3, "behind it");
}

#[test]
fn a_logger_may_send_while_a_thread_turns_to_another_batch() {
    let (owner, old) = batch();
    let ((_, new), (_, newest)) = (batch(), batch());
    drop(DeliveryFuture::new(&old, 0, FACTS));
    end(&old, failed());
    let sent = newest.clone();
    let logger = move || (0..3).for_each(|index| DeliveryFuture::new(&sent, index, FACTS).detach());
    *owner.logger.lock() = Some(Box::new(logger));
    old.count_too_late(0);
    for batch in [&new, &old, &newest, &new, &old] {
        let handle = DeliveryFuture::new(batch, 5, FACTS);
        assert!(Arc::ptr_eq(handle.batch(), batch), "each handle has its own batch");
    }
    assert!(owner.logger.lock().is_none(), "it was called");
}

#[test]
fn every_dropped_handle_is_counted_once_however_it_races_with_the_end() {
    for _ in 0..200 {
        let (owner, batch) = batch();
        let handles: Vec<_> = (0..8).map(|i| DeliveryFuture::new(&batch, i, FACTS)).collect();
        std::thread::scope(|s| {
            s.spawn(|| drop(handles));
            end(&batch, failed());
        });
        assert_eq!(*owner.unseen.lock(), 8);
    }
}

#[test]
fn a_base_offset_at_the_end_of_the_range_does_no_harm() {
    let (_, batch) = batch();
    let handle = DeliveryFuture::new(&batch, 9, FACTS);
    end(&batch, delivered(i64::MAX));
    assert_eq!(handle.get().unwrap().offset(), None, "no offset is better than a wrong one");
}

#[test]
fn waits_callbacks_and_splits_that_race_all_see_the_outcome() {
    for round in 0..100u32 {
        let (owner, parent) = batch();
        let seen = Arc::new(Mutex::new(0));
        std::thread::scope(|s| {
            for index in 0..4 {
                let handle = DeliveryFuture::new(&parent, index, FACTS);
                let seen = seen.clone();
                s.spawn(move || {
                    if (index + round) % 2 == 0 {
                        let result = handle.get_timeout(Duration::from_secs(20)).expect("woken");
                        assert_eq!(result.unwrap().offset(), Some(10 * i64::from(index)));
                        *seen.lock() += 1;
                    } else {
                        handle.on_complete(move |result| {
                            assert_eq!(result.unwrap().offset(), Some(10 * i64::from(index)));
                            *seen.lock() += 1;
                        });
                    }
                });
            }
            let parts: Vec<_> = (0..4)
                .map(|first| {
                    let completion = BatchCompletion::new(TopicPartition::new("t", 2), 9, owner_ref(&owner));
                    SplitPart { first, completion: Arc::new(completion) }
                })
                .collect();
            let completions: Vec<_> = parts.iter().map(|p| p.completion.clone()).collect();
            parent.split(parts);
            for (at, completion) in completions.iter().enumerate() {
                end(completion, delivered(10 * at as i64));
            }
        });
        let late = std::mem::take(&mut *owner.late.lock());
        late.into_iter().for_each(|c| c.run_each(|done, result| done(result)));
        assert_eq!(*seen.lock(), 4);
    }
}

#[test]
fn clones_of_a_handle_count_as_one_and_who_looks_through_one_has_seen_it() {
    let (owner, batch) = batch();
    let handles: Vec<_> = (0..3).map(|i| DeliveryFuture::new(&batch, i, FACTS)).collect();
    let clones = handles.clone();
    end(&batch, failed());
    assert!(clones[0].get().is_err());
    drop(clones);
    assert!(handles[1].clone().try_get().is_some());
    assert_eq!(*owner.unseen.lock(), 0);
    drop(handles);
    assert_eq!(*owner.unseen.lock(), 1, "the third");
    let seen = DeliveryFuture::new(&batch, 3, FACTS);
    assert!(seen.get().is_err());
    drop(seen.clone());
    drop(seen);
    assert_eq!(*owner.unseen.lock(), 1);
}

#[test]
fn callbacks_nobody_takes_run_all_the_same() {
    let (owner, batch) = batch();
    let ran = Arc::new(Mutex::new(Vec::new()));
    let note = |n: u32| {
        let ran = ran.clone();
        move |result: Result<RecordMetadata, Error>| {
            ran.lock().push((n, result.is_ok()));
            assert!(n != 1, "a callback that panics");
        }
    };
    for n in 0..3 {
        Place::new(&batch, n, FACTS).call_back(note(n));
    }
    batch.complete(delivered(0), drop);
    assert_eq!(*ran.lock(), [(0, true), (1, true), (2, true)]);
    DeliveryFuture::new(&batch, 3, FACTS).on_complete(note(3));
    owner.late.lock().clear();
    assert_eq!(ran.lock().last(), Some(&(3, true)));
}
