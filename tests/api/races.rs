//! Everything at once: many threads that send in every way, flushes, callbacks that send, a small buffer, and a close
//! at any moment. Every record has exactly one outcome, and the log agrees with it.

use crate::support::{PATIENCE, Producer, config, ms, open};
use kafka_producer::mock::MockCluster;
use kafka_producer::{DeliveryFuture, Error, ErrorKind, ProducerRecord, RecordMetadata};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

const ROUNDS: u32 = 20;
const THREADS: u32 = 16;

type Outcome = Result<RecordMetadata, Error>;

/// What became of each record, by its number.
#[derive(Default)]
struct Ledger {
    next: AtomicU32,
    handles: Mutex<Vec<(u32, DeliveryFuture)>>,
    /// From callbacks: how often each ran, and with what.
    called: Mutex<HashMap<u32, Vec<Outcome>>>,
    /// Callbacks of records that entered.
    expected: AtomicU32,
}

impl Ledger {
    fn number(&self) -> u32 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }
}

fn send_with(producer: &Arc<Producer>, ledger: &Arc<Ledger>, more: u32) -> Result<(), Error> {
    let n = ledger.number();
    let (own, again) = (Arc::downgrade(producer), ledger.clone());
    let done = move |outcome| {
        again.called.lock().unwrap().entry(n).or_default().push(outcome);
        if let (Some(producer), 1..) = (own.upgrade(), more) {
            let _ = send_with(&producer, &again, more - 1);
        }
    };
    let entered = producer.send_with(ProducerRecord::new("t", &n.to_be_bytes()), done).map(drop);
    if entered.is_ok() {
        ledger.expected.fetch_add(1, Ordering::Relaxed);
    }
    entered
}

/// Sends until the producer is closed; `false` asks for one round only.
fn one_thread(producer: &Arc<Producer>, ledger: &Arc<Ledger>, thread: u32, until_closed: bool) {
    for i in 0.. {
        let n = ledger.number();
        let value = n.to_be_bytes();
        let record = || ProducerRecord::new("t", &value);
        let sent = match (thread + i) % 4 {
            0 => producer.send(record()).map(Some),
            1 => producer.try_send(record()).map(Some),
            2 => producer.send_timeout(record(), ms(5)).map(Some),
            _ => send_with(producer, ledger, 2).map(|()| None),
        };
        match sent {
            Ok(Some(handle)) => {
                if i % 32 == thread {
                    assert!(handle.get_timeout(PATIENCE).is_some(), "an outcome in time");
                }
                ledger.handles.lock().unwrap().push((n, handle));
            }
            Ok(None) => {}
            Err(e) if e.kind() == ErrorKind::Closed => return,
            Err(e) => assert_eq!(e.kind(), ErrorKind::BufferExhausted, "{e}"),
        }
        if !until_closed && i == 100 {
            return;
        }
    }
}

/// The log holds what was acknowledged once, where it was said to be, and nothing twice.
fn check(cluster: &MockCluster, ledger: &Ledger) {
    let mut stored = HashMap::new();
    for partition in 0..3 {
        for record in cluster.records("t", partition) {
            let n = u32::from_be_bytes(record.value.unwrap()[..].try_into().unwrap());
            assert!(stored.insert(n, (partition, record.offset)).is_none(), "record {n} is doubled");
        }
    }
    let judge = |n: u32, outcome: &Outcome| match outcome {
        Ok(m) => assert_eq!(stored[&n], (m.partition(), m.offset().unwrap())),
        Err(e) => assert!(e.may_have_been_written() || !stored.contains_key(&n), "record {n}: {e}"),
    };
    for (n, handle) in ledger.handles.lock().unwrap().iter() {
        judge(*n, &handle.try_get().expect("an outcome after close"));
    }
    let called = ledger.called.lock().unwrap();
    for (n, outcomes) in called.iter() {
        assert_eq!(outcomes.len(), 1, "the callback of record {n} ran {} times", outcomes.len());
        judge(*n, &outcomes[0]);
    }
    assert_eq!(called.len() as u32, ledger.expected.load(Ordering::Relaxed));
    assert_eq!(cluster.violations(), Vec::<String>::new());
}

/// `when` each round's close comes: after so many requests; `None`: when all threads are through.
fn round(when: Option<usize>, patient: bool) {
    let cluster = MockCluster::builder().brokers(2).topic("t", 3).start().unwrap();
    let settings = config(&cluster).buffer_memory(16 * 1024).batch_size(512).linger(ms(1));
    let producer = Arc::new(open(settings));
    producer.partitions_for("t").unwrap();
    let ledger = Arc::new(Ledger::default());
    std::thread::scope(|s| {
        for thread in 0..THREADS {
            let (producer, ledger) = (&producer, &ledger);
            s.spawn(move || one_thread(producer, ledger, thread, when.is_some()));
        }
        for _ in 0..2 {
            s.spawn(|| {
                for _ in 0..10 {
                    producer.flush_timeout(PATIENCE).unwrap();
                }
            });
        }
        if let Some(requests) = when {
            cluster.wait_until(PATIENCE, |c| c.record_count("t") >= requests);
            let closed = producer.close_timeout(if patient { PATIENCE } else { ms(0) });
            assert!(closed.is_ok() || !patient, "{closed:?}");
        }
    });
    producer.close().unwrap();
    check(&cluster, &ledger);
    let metrics = producer.metrics();
    assert_eq!((metrics.records_pending, metrics.waiting_threads), (0, 0));
    assert_eq!(metrics.buffer_available_bytes, metrics.buffer_total_bytes);
}

#[test]
fn sixteen_threads_flushes_and_callbacks_that_send() {
    (0..ROUNDS / 4).for_each(|_| round(None, true));
}

#[test]
fn a_close_at_any_moment() {
    (0..ROUNDS).for_each(|n| round(Some(50 * n as usize), true));
}

#[test]
fn a_close_that_drops_at_any_moment() {
    (0..ROUNDS).for_each(|n| round(Some(50 * n as usize), false));
}
