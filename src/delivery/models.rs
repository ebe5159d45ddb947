//! Completions under the model checker: what ends a batch races what looks at it.

use super::tests::{FACTS, Owner, batch, delivered, failed, owner_ref};
use super::*;
use crate::record::TopicPartition;
use crate::sync::Mutex;
use crate::sync::model::{check, pass_time};
use shuttle::thread;
use std::task::{Wake, Waker};

/// What callbacks saw, in the order in which they ran.
type Seen = Arc<Mutex<Vec<(u32, Option<i64>)>>>;

fn note(seen: &Seen, name: u32) -> impl FnOnce(Result<RecordMetadata, Error>) + Send + use<> {
    let seen = seen.clone();
    move |result| seen.lock().push((name, result.ok().and_then(|m| m.offset())))
}

fn end(batch: &Arc<BatchCompletion>, outcome: Outcome) -> bool {
    batch.complete(outcome, |callbacks| callbacks.run_each(|done, result| done(result)))
}

/// Runs what came after the end, as the callback thread does.
fn run_late(owner: &Owner) {
    let late = std::mem::take(&mut *owner.late.lock());
    late.into_iter().for_each(|callbacks| callbacks.run_each(|done, result| done(result)));
}

#[test]
fn every_way_to_wait_sees_the_end() {
    check(|| {
        let (owner, batch) = batch();
        let handle = |index| DeliveryFuture::new(&batch, index, FACTS);
        let (blocked, bounded, polled) = (handle(0), handle(1), handle(2));
        let threads = [
            thread::spawn(move || assert_eq!(blocked.get().unwrap().offset(), Some(10))),
            thread::spawn(move || {
                let got = bounded.get_timeout(Duration::from_secs(1)).expect("time stands still");
                assert_eq!(got.unwrap().offset(), Some(11));
                assert!(bounded.is_done());
            }),
            thread::spawn(move || {
                if let Some(got) = polled.try_get() {
                    assert_eq!(got.unwrap().offset(), Some(12));
                    assert!(polled.try_get().is_some(), "an outcome stays");
                }
            }),
        ];
        assert!(end(&batch, delivered(10)));
        threads.into_iter().for_each(|t| t.join().unwrap());
        assert!(owner.hurried.lock().len() <= 1);
    });
}

#[test]
fn the_first_of_two_ends_stays_and_both_threads_agree() {
    check(|| {
        let (owner, batch) = batch();
        let handle = DeliveryFuture::new(&batch, 0, FACTS);
        let other = batch.clone();
        let expires = thread::spawn(move || end(&other, failed()));
        let acknowledged = end(&batch, delivered(3));
        let expired = expires.join().unwrap();
        assert!(acknowledged != expired);
        assert_eq!(handle.get().is_ok(), acknowledged);
        drop(handle);
        assert_eq!(*owner.unseen.lock(), 0);
    });
}

#[test]
fn a_wait_that_times_out_while_the_batch_ends_says_nothing_or_the_outcome() {
    check(|| {
        let (_, batch) = batch();
        let handle = DeliveryFuture::new(&batch, 0, FACTS);
        let waiter = thread::spawn(move || {
            let got = handle.get_timeout(Duration::from_secs(1));
            assert!(got.is_none_or(|result| result.unwrap().offset() == Some(7)));
        });
        let clock = thread::spawn(|| pass_time(clock::now() + Duration::from_secs(60)));
        assert!(end(&batch, delivered(7)));
        waiter.join().unwrap();
        clock.join().unwrap();
    });
}

#[test]
fn callbacks_run_once_in_order_whenever_they_are_added() {
    check(|| {
        let (owner, batch) = batch();
        let seen = Seen::default();
        let add = |index: u32| {
            let handle = DeliveryFuture::new(&batch, index, FACTS);
            handle.on_complete(note(&seen, index));
        };
        add(0);
        let other = batch.clone();
        let ends = thread::spawn(move || assert!(end(&other, delivered(100))));
        add(1);
        add(2);
        ends.join().unwrap();
        run_late(&owner);
        assert_eq!(*seen.lock(), [(0, Some(100)), (1, Some(101)), (2, Some(102))]);
    });
}

/// Wakes by raising a flag that a thread waits for.
#[derive(Default)]
struct Flag {
    up: Mutex<bool>,
    changed: crate::sync::Condvar,
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        *self.up.lock() = true;
        self.changed.notify_all();
    }
}

#[test]
fn a_task_is_woken() {
    check(|| {
        let (_, batch) = batch();
        let mut handle = DeliveryFuture::new(&batch, 4, FACTS);
        let task = thread::spawn(move || {
            let flag = Arc::new(Flag::default());
            let waker = Waker::from(flag.clone());
            loop {
                if let Poll::Ready(got) = Pin::new(&mut handle).poll(&mut Context::from_waker(&waker)) {
                    return got.unwrap().offset();
                }
                let mut up = flag.up.lock();
                while !*up {
                    flag.changed.wait(&mut up);
                }
                *up = false;
            }
        });
        assert!(end(&batch, delivered(0)));
        assert_eq!(task.join().unwrap(), Some(4));
    });
}

#[test]
fn each_failure_that_nobody_saw_is_counted_once() {
    check(|| {
        let (owner, batch) = batch();
        let handle = |index| DeliveryFuture::new(&batch, index, FACTS);
        let (dropped, cloned, seen) = (handle(0), handle(1), handle(2));
        let clone = cloned.clone();
        let threads = [
            thread::spawn(move || drop(dropped)),
            thread::spawn(move || drop(clone)),
            thread::spawn(move || {
                drop(cloned);
                assert!(seen.get().is_err());
            }),
        ];
        assert!(end(&batch, failed()));
        threads.into_iter().for_each(|t| t.join().unwrap());
        assert_eq!(*owner.unseen.lock(), 2);
    });
}

#[test]
fn a_split_loses_no_waiter_and_no_callback() {
    check(|| {
        let (owner, parent) = batch();
        let seen = Seen::default();
        let handle = |index| DeliveryFuture::new(&parent, index, FACTS);
        let (waits, dropped, late) = (handle(0), handle(1), handle(1));
        let waiter = thread::spawn(move || assert_eq!(waits.get().unwrap().offset(), Some(20)));
        let dropper = thread::spawn(move || drop(dropped));
        let for_late = seen.clone();
        let adder = thread::spawn(move || late.on_complete(note(&for_late, 1)));
        let part = |first| {
            let completion = BatchCompletion::new(TopicPartition::new("t", 2), 9, owner_ref(&owner));
            SplitPart { first, completion: Arc::new(completion) }
        };
        let parts = vec![part(0), part(1)];
        let ends: Vec<_> = parts.iter().map(|p| p.completion.clone()).collect();
        parent.split(parts);
        assert!(!end(&parent, failed()), "a batch that was split has no end of its own");
        assert!(end(&ends[0], delivered(20)));
        assert!(end(&ends[1], failed()));
        [waiter, dropper, adder].into_iter().for_each(|t| t.join().unwrap());
        run_late(&owner);
        assert_eq!(*seen.lock(), [(1, None)]);
        assert!(*owner.unseen.lock() <= 1, "dropped handles are shared out by number");
    });
}

#[test]
fn a_lost_batch_ends_once_also_while_it_is_ended() {
    check(|| {
        let (_, batch) = batch();
        let seen = Seen::default();
        DeliveryFuture::new(&batch, 0, FACTS).on_complete(note(&seen, 0));
        let other = batch.clone();
        let loses = thread::spawn(move || other.abandon(0));
        end(&batch, delivered(1));
        loses.join().unwrap();
        assert!(batch.outcome().is_some());
    });
}
