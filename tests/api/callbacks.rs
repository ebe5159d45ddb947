//! Callbacks: their thread, their order, their panics, and what they may call.

use crate::support::{PATIENCE, Producer, at_once, config, gate, keep_log, logged, ms, open, says};
use crossbeam_channel::{Receiver, bounded, unbounded};
use kafka_producer::mock::MockCluster;
use kafka_producer::{Error, ErrorKind, ProducerRecord, RecordMetadata};
use std::sync::Arc;
use std::time::Duration;

const FAR: Duration = Duration::from_secs(600);

fn start() -> (MockCluster, Arc<Producer>) {
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    let producer = open(config(&cluster).max_block(FAR));
    producer.partitions_for("t").unwrap();
    (cluster, Arc::new(producer))
}

/// Runs `call` inside a callback of `producer` and returns what it returned.
fn inside<R: Send + 'static>(
    producer: &Arc<Producer>,
    call: impl FnOnce(&Producer) -> R + Send + 'static,
) -> R {
    let (tx, rx) = bounded(1);
    let own = producer.clone();
    producer
        .send_with(ProducerRecord::new("t", b"x"), move |_| tx.send(call(&own)).unwrap())
        .unwrap();
    rx.recv_timeout(PATIENCE).expect("the callback ended")
}

#[test]
fn a_panic_is_caught_and_logged_and_the_next_callback_runs() {
    keep_log();
    let (_cluster, producer) = start();
    let (tx, rx) = unbounded();
    for n in 0..10 {
        let tx = tx.clone();
        producer
            .send_with(ProducerRecord::new("t", b"x"), move |result| {
                assert!(n % 2 == 0, "callback number {n} is broken");
                tx.send((n, result.unwrap().offset())).unwrap();
            })
            .unwrap();
    }
    producer.flush().unwrap();
    assert_eq!(rx.try_iter().collect::<Vec<_>>(), [0, 2, 4, 6, 8].map(|n| (n, Some(n))));
    assert!(logged(&["kafka_producer::callbacks", "panicked", "callback number 7 is broken"]));
    producer.close().unwrap();
}

#[test]
fn what_would_wait_for_itself_is_refused() {
    let (_cluster, producer) = start();
    let errors = at_once(|| {
        inside(&producer, |p| {
            [
                ("flush()", p.flush().unwrap_err()),
                ("flush()", p.flush_timeout(FAR).unwrap_err()),
                ("close()", p.close().unwrap_err()),
                ("close()", p.close_timeout(FAR).unwrap_err()),
                ("connect()", p.connect(FAR).unwrap_err()),
            ]
        })
    });
    for (call, error) in errors {
        assert_eq!(error.kind(), ErrorKind::Misuse);
        says(&error, &[call, "inside a callback"]);
    }
    producer.send(ProducerRecord::new("t", b"x")).unwrap().get().expect("it was not closed");
}

#[test]
fn get_inside_a_callback_answers_at_once() {
    let (cluster, producer) = start();
    let done = producer.send(ProducerRecord::new("t", b"done")).unwrap();
    done.get().unwrap();
    let metadata = inside(&producer, move |_| done.get()).unwrap();
    assert_eq!(metadata.offset(), Some(0), "an outcome that is there may be had");

    let error = at_once(|| {
        inside(&producer, |p| {
            let handle = p.send(ProducerRecord::new("t", b"pending")).unwrap();
            let all = p.send_all([ProducerRecord::new("t", b"pending")]).unwrap();
            assert_eq!(all.get().unwrap_err().failures()[0].1.kind(), ErrorKind::Misuse);
            handle.get().unwrap_err()
        })
    });
    assert_eq!(error.kind(), ErrorKind::Misuse);
    assert!(error.may_have_been_written(), "its outcome is not known, so nothing is promised");
    says(&error, &["get()", "inside a callback", "on_complete"]);
    producer.flush().unwrap();
    assert_eq!(cluster.record_count("t"), 5);
}

#[test]
fn purge_inside_a_callback_is_safe() {
    let (_cluster, producer) = start();
    at_once(|| inside(&producer, Producer::purge)).unwrap();
    producer.send(ProducerRecord::new("t", b"x")).unwrap().get().unwrap();
}

#[test]
fn send_inside_a_callback_does_not_block() {
    let cluster = MockCluster::builder().auto_create(false).topic("t", 1).start().unwrap();
    let producer = open(config(&cluster).buffer_memory(32 * 1024).batch_size(4096).max_block(FAR));
    let producer = Arc::new(producer);
    let handle = inside(&producer, |p| p.send(ProducerRecord::new("t", b"y")).unwrap());
    handle.get().unwrap();
    let error = at_once(|| inside(&producer, |p| p.send(ProducerRecord::new("u", b"x")).unwrap_err()));
    assert_eq!(error.kind(), ErrorKind::MetadataTimeout);
    says(&error, &["does not wait"]);
    let error = at_once(|| inside(&producer, |p| p.partitions_for("u").unwrap_err()));
    assert_eq!(error.kind(), ErrorKind::MetadataTimeout);

    let error = inside(&producer, |p| {
        // The callback's own batch is held, and what is sent here stays until the callback thread is free again at
        // the latest; so memory runs out sooner or later, and that must not wait.
        let value = [7; 3000];
        at_once(|| {
            (0..100_000)
                .find_map(|_| p.send_with(ProducerRecord::new("t", &value), |_| {}).err())
                .expect("memory is bounded")
        })
    });
    assert_eq!(error.kind(), ErrorKind::BufferExhausted);
    says(&error, &["buffer.memory", "is taken"]);
    producer.close().unwrap();
}

#[test]
fn a_slow_callback_delays_neither_handles_nor_the_network() {
    let (cluster, producer) = start();
    let (open_gate, closed) = gate();
    producer.send_with(ProducerRecord::new("t", b"slow"), move |_| closed.recv().unwrap_or(())).unwrap();
    for _ in 0..20 {
        at_once(|| producer.send(ProducerRecord::new("t", b"x")).unwrap().get().unwrap());
    }
    assert_eq!(cluster.record_count("t"), 21);
    let error = producer.flush_timeout(ms(50)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    says(&error, &["flush", "callbacks are still running"]);
    drop(open_gate);
    producer.flush().unwrap();
}

#[test]
fn flush_waits_for_callbacks() {
    let (_cluster, producer) = start();
    let (tx, rx) = unbounded();
    for _ in 0..50 {
        let tx = tx.clone();
        producer.send_with(ProducerRecord::new("t", b"x"), move |_| tx.send(()).unwrap()).unwrap();
    }
    producer.flush().unwrap();
    assert_eq!(rx.len(), 50);
}

/// Each callback sends again.
fn again(producer: &Arc<Producer>, stop: Receiver<()>) {
    let next = producer.clone();
    let sent = producer.send_with(ProducerRecord::new("t", b"again"), move |_| {
        if !matches!(stop.try_recv(), Err(crossbeam_channel::TryRecvError::Disconnected)) {
            again(&next, stop);
        }
    });
    drop(sent);
}

#[test]
fn callbacks_that_send_again_for_ever_do_not_starve_a_flush() {
    let (cluster, producer) = start();
    let (stop, stopped) = bounded(1);
    again(&producer, stopped);
    assert!(cluster.wait_until(PATIENCE, |c| c.record_count("t") > 3));
    for _ in 0..5 {
        at_once(|| producer.flush().unwrap());
    }
    drop(stop);
    producer.close().unwrap();
}

#[test]
fn on_complete_after_completion_and_after_close() {
    let (cluster, producer) = start();
    let (tx, rx) = unbounded();
    let handle = producer.send(ProducerRecord::new("t", b"x")).unwrap();
    handle.get().unwrap();
    let report = |tx: &crossbeam_channel::Sender<_>| {
        let tx = tx.clone();
        move |result: Result<RecordMetadata, Error>| {
            let thread = std::thread::current().name().map(str::to_owned);
            tx.send((result.unwrap().offset(), thread)).unwrap();
        }
    };
    handle.clone().on_complete(report(&tx));
    let first = rx.recv_timeout(PATIENCE).unwrap();
    assert_eq!(first, (Some(0), Some("kafka-callbacks".to_owned())));
    producer.close().unwrap();
    handle.clone().on_complete(report(&tx));
    assert_eq!(rx.recv_timeout(PATIENCE).expect("it runs, wherever").0, Some(0));
    handle.on_complete(|_| panic!("after close"));
    assert_eq!(cluster.record_count("t"), 1);
}

#[test]
fn callbacks_of_failed_records_run_with_their_error() {
    let (cluster, producer) = start();
    cluster.pause_broker(1).unwrap();
    let (tx, rx) = unbounded();
    for _ in 0..5 {
        let tx = tx.clone();
        producer.send_with(ProducerRecord::new("t", b"x"), move |r| tx.send(r).unwrap()).unwrap();
    }
    producer.close_timeout(ms(50)).unwrap_err();
    let kinds: Vec<_> = rx.try_iter().map(|r| r.unwrap_err().kind()).collect();
    assert_eq!(kinds, [ErrorKind::Closed; 5], "close waits for callbacks too");
}

#[test]
fn a_refused_send_with_drops_its_callback_uncalled() {
    let (_cluster, producer) = start();
    let (tx, rx) = unbounded::<()>();
    let error = producer
        .send_with(ProducerRecord::new("no such topic", b"x"), move |_| tx.send(()).unwrap())
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidTopic);
    assert_eq!(rx.recv(), Err(crossbeam_channel::RecvError));
}

#[test]
fn order_per_partition_holds_across_threads() {
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    let producer = open(config(&cluster).linger(ms(0)).batch_size(200));
    let (tx, rx) = unbounded();
    std::thread::scope(|s| {
        for _ in 0..8 {
            s.spawn(|| {
                for _ in 0..500 {
                    let tx = tx.clone();
                    let done = move |r: Result<RecordMetadata, Error>| tx.send(r.unwrap().offset().unwrap()).unwrap();
                    producer.send_with(ProducerRecord::new("t", b"x"), done).unwrap();
                }
            });
        }
    });
    producer.flush().unwrap();
    assert_eq!(rx.try_iter().collect::<Vec<_>>(), (0..4000).collect::<Vec<_>>());
}

#[test]
fn the_last_reference_may_go_on_the_callback_thread() {
    let (cluster, producer) = start();
    let (tx, rx) = bounded(1);
    let handle = producer.send(ProducerRecord::new("t", b"before")).unwrap();
    let (open_gate, closed) = gate();
    let own = producer.clone();
    producer
        .send_with(ProducerRecord::new("t", b"x"), move |_| {
            closed.recv().unwrap();
            drop(own);
            tx.send(()).unwrap();
        })
        .unwrap();
    drop(producer);
    open_gate.send(()).unwrap();
    at_once(|| rx.recv_timeout(PATIENCE).unwrap());
    handle.get().unwrap();
    assert!(cluster.wait_until(PATIENCE, |c| c.open_connections(1) == 0), "its threads end on their own");
}
