//! The end, and what comes after: flush, purge, close, drop, threads.

#[cfg(target_os = "linux")]
use crate::support::{Manners, Stranger, eventually};
use crate::support::{
    PATIENCE, Producer, after, at_once, config, dead_address, gate, keep_log, logged, ms, open, says,
};
use kafka_producer::mock::MockCluster;
use kafka_producer::{DeliveryFuture, ErrorKind, ProducerConfig, ProducerRecord};
use std::time::Duration;

const FAR: Duration = Duration::from_secs(600);

fn start() -> (MockCluster, Producer) {
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    let producer = open(config(&cluster).max_block(FAR));
    producer.send(ProducerRecord::new("t", b"first")).unwrap().get().unwrap();
    (cluster, producer)
}

/// What `attempt` comes to. A machine that stands still while a producer is closed takes the moment away which the sender
/// thread is given to end in, and what is said then is less: that shows nothing, and another producer is closed.
fn unless_it_stood_still<R>(attempt: impl Fn() -> R, is_whole: impl Fn(&R) -> bool) -> R {
    let attempts = std::iter::repeat_with(attempt);
    attempts.take(5).find(is_whole).expect("the sender thread ends in time")
}

fn send_some(producer: &Producer, n: usize) -> Vec<DeliveryFuture> {
    (0..n).map(|_| producer.send(ProducerRecord::new("t", b"x")).unwrap()).collect()
}

#[test]
fn after_close_everything_is_refused_and_nothing_hangs() {
    let (cluster, producer) = start();
    let handles = send_some(&producer, 10);
    producer.close().unwrap();
    assert!(handles.iter().all(|h| h.try_get().unwrap().is_ok()), "close sends what was handed over");
    assert_eq!(cluster.record_count("t"), 11);
    for topic in ["t", "unknown"] {
        let record = || ProducerRecord::new(topic, b"x");
        let errors = at_once(|| {
            [
                producer.send(record()).unwrap_err(),
                producer.send_timeout(record(), FAR).unwrap_err(),
                producer.try_send(record()).unwrap_err(),
                producer.send_with(record(), |_| {}).unwrap_err(),
                producer.send_all([record()]).unwrap_err().into(),
                producer.send(record().partition(7)).unwrap_err(),
                producer.partitions_for(topic).unwrap_err(),
                producer.purge().unwrap_err(),
                producer.connect(FAR).unwrap_err(),
            ]
        });
        for (at, error) in errors.iter().enumerate() {
            assert_eq!(error.kind(), ErrorKind::Closed, "call {at}: {error}");
            says(error, &["closed"]);
            assert!(!error.may_have_been_written() && !error.is_retriable());
        }
    }
    at_once(|| {
        producer.flush().expect("there is nothing to wait for");
        producer.close().expect("closing twice is fine");
        producer.close_timeout(Duration::ZERO).unwrap();
    });
    assert_eq!(producer.metrics().records_pending, 0);
}

#[test]
fn two_threads_may_close_at_once() {
    let (_cluster, producer) = start();
    let handles = send_some(&producer, 100);
    std::thread::scope(|s| {
        for closer in [s.spawn(|| producer.close()), s.spawn(|| producer.close())] {
            closer.join().unwrap().unwrap();
        }
    });
    assert!(handles.iter().all(|h| h.try_get().unwrap().is_ok()));
}

#[test]
fn flush_says_how_many_remain_and_they_stay_on_their_way() {
    let (cluster, producer) = start();
    cluster.pause_broker(1).unwrap();
    let handles = send_some(&producer, 17);
    let error = after(ms(100), || producer.flush_timeout(ms(100)).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.is_retriable());
    says(&error, &["flush", "17 record(s)"]);
    assert_eq!(producer.metrics().records_pending, 17);
    assert!(handles.iter().all(|h| !h.is_done()));
    cluster.resume_broker(1).unwrap();
    producer.flush().unwrap();
    assert!(handles.iter().all(|h| h.try_get().unwrap().is_ok()));
    assert_eq!(producer.metrics().records_pending, 0);
}

#[test]
fn purge_ends_everything_and_the_producer_goes_on() {
    let (cluster, producer) = start();
    cluster.pause_broker(1).unwrap();
    let (in_flight, queued) = (send_some(&producer, 3), {
        // The first ones are sent; with the broker silent, batches beyond five in flight stay queued.
        let (tx, rx) = crossbeam_channel::unbounded();
        for _ in 0..50 {
            let tx = tx.clone();
            producer.send_with(ProducerRecord::new("t", &[7; 16000]), move |r| tx.send(r).unwrap()).unwrap();
        }
        rx
    });
    at_once(|| producer.purge().unwrap());
    for handle in &in_flight {
        let error = handle.try_get().expect("purge ends it").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Purged);
        assert_eq!(error.topic_partition().unwrap().to_string(), "t-0");
    }
    at_once(|| producer.flush().unwrap());
    let errors: Vec<_> = queued.try_iter().map(|r| r.unwrap_err()).collect();
    assert_eq!(errors.len(), 50);
    assert!(errors.iter().all(|e| e.kind() == ErrorKind::Purged));
    assert!(!errors[49].may_have_been_written(), "it never left");
    cluster.resume_broker(1).unwrap();
    at_once(|| producer.send(ProducerRecord::new("t", b"after")).unwrap().get().unwrap());
    producer.close().unwrap();
    assert_eq!(producer.metrics().buffer_available_bytes, producer.metrics().buffer_total_bytes);
    assert_eq!(cluster.violations(), Vec::<String>::new());
}

#[test]
fn close_with_a_dead_broker_returns_in_time_with_every_outcome() {
    let close = || {
        let (cluster, producer) = start();
        cluster.stop_broker(1).unwrap();
        let handles = send_some(&producer, 9);
        let error = after(ms(200), || producer.close_timeout(ms(200)).unwrap_err());
        assert_eq!(error.kind(), ErrorKind::Timeout);
        (producer, handles, error)
    };
    let (producer, handles, error) =
        unless_it_stood_still(close, |(_, _, error)| !error.to_string().contains("has not ended yet"));
    says(&error, &["close", "9 record(s)"]);
    for handle in handles {
        let error = handle.try_get().expect("close ends it").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed);
        assert_eq!(error.topic_partition().unwrap().to_string(), "t-0");
    }
    at_once(|| producer.close()).expect("it is closed, and has said what it lost");
}

#[test]
fn close_with_a_silent_broker_says_that_records_may_have_been_written() {
    let (cluster, producer) = start();
    cluster.pause_broker(1).unwrap();
    let handle = producer.send(ProducerRecord::new("t", b"x")).unwrap();
    assert!(handle.get_timeout(ms(50)).is_none());
    after(ms(100), || producer.close_timeout(ms(100)).unwrap_err());
    let error = handle.get().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert!(error.may_have_been_written());
    says(&error, &["may have been written", "t-0"]);
}

#[test]
fn close_waits_for_a_callback_only_so_long() {
    let (_cluster, producer) = start();
    let (open_gate, closed) = gate();
    let (tx, rx) = crossbeam_channel::bounded(1);
    producer
        .send_with(ProducerRecord::new("t", b"x"), move |_| {
            let _ = closed.recv();
            tx.send(()).unwrap();
        })
        .unwrap();
    let error = at_once(|| producer.close_timeout(ms(200)).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::Timeout);
    says(&error, &["close", "callbacks are still running"]);
    drop(producer);
    drop(open_gate);
    rx.recv_timeout(PATIENCE).expect("the callback comes to its end");
}

#[test]
fn a_close_while_another_thread_waits_for_a_connection() {
    let producer = open(ProducerConfig::builder([dead_address()]));
    std::thread::scope(|s| {
        let waiter = s.spawn(|| producer.connect(FAR).unwrap_err());
        at_once(|| producer.close().unwrap());
        assert_eq!(waiter.join().unwrap().kind(), ErrorKind::Closed);
    });
}

#[test]
fn dropping_is_bounded_and_logs_what_it_lost() {
    keep_log();
    let lose = || {
        let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
        let address = cluster.bootstrap_servers();
        let producer = open(config(&cluster).drop_close_timeout(ms(100)).client_id("dropped-1"));
        producer.partitions_for("t").unwrap();
        cluster.stop_broker(1).unwrap();
        let handles = send_some(&producer, 6);
        at_once(|| drop(producer));
        (handles, address)
    };
    let said = |address: &str| logged(&["WARN", "dropped without close()", "6 record(s)", address]);
    let (handles, _) = unless_it_stood_still(lose, |(_, address)| said(address));
    for handle in handles {
        assert_eq!(handle.try_get().expect("drop ends it").unwrap_err().kind(), ErrorKind::Closed);
    }
}

#[test]
fn dropping_sends_what_can_be_sent() {
    let (cluster, producer) = start();
    let handles = send_some(&producer, 50);
    drop(producer);
    assert!(handles.iter().all(|h| h.try_get().unwrap().is_ok()));
    assert_eq!(cluster.record_count("t"), 51);
    assert!(cluster.wait_until(PATIENCE, |c| c.open_connections(1) == 0));
}

#[test]
fn dropping_after_a_lossy_close_does_not_claim_that_close_was_forgotten() {
    keep_log();
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    let address = cluster.bootstrap_servers();
    let producer = open(config(&cluster));
    producer.partitions_for("t").unwrap();
    cluster.stop_broker(1).unwrap();
    let _handles = send_some(&producer, 1);
    producer.close_timeout(Duration::ZERO).unwrap_err();
    at_once(|| drop(producer));
    assert!(!logged(&["dropped without close()", &address]));
}

#[test]
fn connect_insists_and_then_costs_nothing() {
    let (_cluster, producer) = start();
    at_once(|| producer.connect(Duration::ZERO).unwrap());
}

/// The threads of this process whose names begin so.
#[cfg(target_os = "linux")]
fn threads(prefix: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|t| std::fs::read_to_string(t.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with(prefix)).count()
}

/// Threads are counted by process, so the test runs itself again in a process of its own.
#[cfg(target_os = "linux")]
#[test]
fn two_hundred_producers_leave_no_threads() {
    const ALONE: &str = "KAFKA_PRODUCER_TEST_ALONE";
    if std::env::var_os(ALONE).is_none() {
        let name = "lifecycle::two_hundred_producers_leave_no_threads";
        let mut again = std::process::Command::new(std::env::current_exe().unwrap());
        let output = again.args(["--exact", name]).env(ALONE, "1").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        return;
    }
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    let silent = Stranger::start(Manners::Silent);
    for n in 0..200 {
        let producer = open(config(&cluster));
        match n % 4 {
            0 => producer.send(ProducerRecord::new("t", b"x")).unwrap().get().map(drop).unwrap(),
            1 => producer.close().unwrap(),
            2 => {
                let address = silent.address();
                drop(open(ProducerConfig::builder([address.as_str()])));
            }
            _ => {}
        }
    }
    // Close and drop join them; the kernel may list a thread a moment longer than its join takes.
    eventually(|| threads("kafka-sender") + threads("kafka-callbacks") == 0);
    let handle = drop_inside_a_callback(&cluster);
    eventually(|| threads("kafka-sender") + threads("kafka-callbacks") == 0);
    assert_eq!(handle.get().unwrap().offset(), Some(50));
    // Those that connect end with their producer, although the peer is silent for longer.
    eventually(|| threads("kafka-connector") == 0);
    drop(silent);
    assert_eq!(cluster.record_count("t"), 52);
}

/// Its threads cannot be joined, and end all the same, also while a handle is kept.
#[cfg(target_os = "linux")]
fn drop_inside_a_callback(cluster: &MockCluster) -> DeliveryFuture {
    let producer = std::sync::Arc::new(open(config(cluster)));
    let handle = producer.send(ProducerRecord::new("t", b"x")).unwrap();
    let (open_gate, closed) = gate();
    let own = producer.clone();
    let done = move |_| {
        closed.recv().unwrap();
        drop(own);
    };
    producer.send_with(ProducerRecord::new("t", b"x"), done).unwrap();
    drop(producer);
    open_gate.send(()).unwrap();
    handle
}
