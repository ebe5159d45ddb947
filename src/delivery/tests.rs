use super::*;
use crate::record::TopicPartition;
use crate::sync::Mutex;
use std::task::{Wake, Waker};

#[derive(Default)]
struct Owner {
    hurried: Mutex<Vec<u32>>,
    late: Mutex<Vec<PendingCallbacks>>,
    unseen: Mutex<u32>,
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
    }
    fn id(&self) -> u64 {
        77
    }
}

const FACTS: RecordFacts = RecordFacts { timestamp: 5, key_size: None, value_size: Some(3) };

fn batch() -> (Arc<Owner>, Arc<BatchCompletion>) {
    let owner = Arc::new(Owner::default());
    let completion = BatchCompletion::new(TopicPartition::new("t", 2), 9, owner.clone());
    (owner, Arc::new(completion))
}

fn delivered(base: i64) -> Outcome {
    Outcome::Delivered { base_offset: Some(base), log_append_time: None }
}

fn failed() -> Outcome {
    Outcome::Failed { error: Error::new(ErrorKind::DeliveryTimeout, "late"), records: Box::default() }
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
    let handle = DeliveryFuture::new(batch.clone(), 1, FACTS);
    assert!(handle.try_get().is_none());
    assert!(batch.complete(failed()).is_some());
    assert!(batch.complete(delivered(10)).is_none());
    assert_eq!(handle.get().unwrap_err().kind(), ErrorKind::DeliveryTimeout);
}

#[test]
fn waiting_hurries_the_partition_once() {
    let (owner, batch) = batch();
    let handle = DeliveryFuture::new(batch, 0, FACTS);
    assert!(handle.get_timeout(Duration::ZERO).is_none());
    assert!(handle.get_timeout(Duration::ZERO).is_none());
    assert_eq!(*owner.hurried.lock(), [9]);
}

#[test]
fn a_blocked_get_wakes_when_the_batch_ends() {
    let (_, batch) = batch();
    let handle = DeliveryFuture::new(batch.clone(), 4, FACTS);
    std::thread::scope(|s| {
        let waiter = s.spawn(|| handle.get());
        batch.complete(delivered(100));
        let metadata = waiter.join().unwrap().unwrap();
        assert_eq!(metadata.to_string(), "t-2@104");
        assert_eq!(metadata.serialized_value_size(), Some(3));
        assert_eq!(metadata.serialized_key_size(), None);
    });
}

#[test]
fn handles_and_callbacks_follow_a_split() {
    let (owner, parent) = batch();
    let handle = DeliveryFuture::new(parent.clone(), 5, FACTS);
    DeliveryFuture::new(parent.clone(), 4, FACTS).on_complete(|_| {});
    let part = |first| {
        let completion = BatchCompletion::new(TopicPartition::new("t", 2), 9, owner.clone());
        SplitPart { first, completion: Arc::new(completion) }
    };
    let (a, b) = (part(0), part(4));
    let (first, second) = (a.completion.clone(), b.completion.clone());
    parent.split(vec![a, b]);
    assert!(!handle.is_done());
    assert!(first.complete(delivered(7)).unwrap().is_empty());
    let mut seen = Vec::new();
    second.complete(delivered(50)).unwrap().run_each(|_, result| seen.push(result.unwrap().offset()));
    assert_eq!(seen, [Some(50)]);
    assert_eq!(handle.get().unwrap().offset(), Some(51));
}

#[test]
fn a_callback_added_after_the_end_is_handed_to_the_callback_thread() {
    let (owner, batch) = batch();
    let handle = DeliveryFuture::new(batch.clone(), 0, FACTS);
    batch.complete(delivered(1));
    assert!(batch.more_callbacks().is_none());
    handle.on_complete(|_| {});
    assert_eq!(owner.late.lock().len(), 1);
}

#[test]
fn failures_nobody_looked_at_are_counted_whenever_the_handle_goes() {
    let (owner, batch) = batch();
    drop(DeliveryFuture::new(batch.clone(), 0, FACTS));
    let late = DeliveryFuture::new(batch.clone(), 1, FACTS);
    let looked = DeliveryFuture::new(batch.clone(), 2, FACTS);
    batch.complete(failed());
    assert_eq!(*owner.unseen.lock(), 1);
    drop(late);
    assert!(looked.get().is_err());
    drop(looked);
    assert_eq!(*owner.unseen.lock(), 2);
}

#[test]
fn get_inside_a_callback_is_refused_while_pending() {
    let (_, batch) = batch();
    let handle = DeliveryFuture::new(batch.clone(), 0, FACTS);
    std::thread::scope(|s| {
        s.spawn(|| {
            enter_callback_thread(77);
            assert_eq!(handle.get().unwrap_err().kind(), ErrorKind::Misuse);
        });
    });
    batch.complete(delivered(1));
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
    let mut handle = DeliveryFuture::new(batch.clone(), 0, FACTS);
    let flag = Arc::new(Flag(AtomicBool::new(false)));
    let waker = Waker::from(flag.clone());
    let mut cx = Context::from_waker(&waker);
    assert!(Pin::new(&mut handle).poll(&mut cx).is_pending());
    batch.complete(delivered(3));
    assert!(flag.0.load(Ordering::SeqCst));
    assert!(Pin::new(&mut handle).poll(&mut cx).is_ready());
}
