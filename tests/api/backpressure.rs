//! Memory: what happens when it does not drain, and that it all comes back.

use crate::support::{PATIENCE, Producer, after, at_once, config, gate, ms, open, says};
use kafka_producer::mock::MockCluster;
use kafka_producer::{ErrorKind, ProducerConfigBuilder, ProducerRecord};
use std::sync::Mutex;
use std::time::Duration;

const MEMORY: usize = 64 * 1024;
const FAR: Duration = Duration::from_secs(600);

fn small(cluster: &MockCluster) -> ProducerConfigBuilder {
    config(cluster).buffer_memory(MEMORY).batch_size(4096).linger(ms(0))
}

/// Fills the partition until memory is full; returns the handles and what the last `try_send` said.
fn fill(
    producer: &Producer,
    topic: &str,
    partition: i32,
) -> (Vec<kafka_producer::DeliveryFuture>, kafka_producer::Error) {
    let value = [7; 1000];
    let mut handles = Vec::new();
    loop {
        match producer.try_send(ProducerRecord::new(topic, &value).partition(partition)) {
            Ok(handle) => handles.push(handle),
            Err(error) => return (handles, error),
        }
        assert!(handles.len() < 1000, "more entered than there is memory");
    }
}

#[test]
fn a_buffer_that_never_drains_is_an_error_at_the_deadline() {
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    let producer = open(small(&cluster).max_block(ms(200)));
    producer.send(ProducerRecord::new("t", b"x")).unwrap().get().unwrap();
    cluster.pause_broker(1).unwrap();
    let (handles, error) = at_once(|| fill(&producer, "t", 0));
    assert!(handles.len() >= MEMORY / 2 / 1000, "memory is used: {}", handles.len());
    assert_eq!(error.kind(), ErrorKind::BufferExhausted);
    assert!(error.is_retriable() && !error.may_have_been_written());
    assert_eq!(error.topic_partition().unwrap().to_string(), "t-0");
    says(&error, &["buffer.memory (65536 bytes)", "t-0"]);

    let big = [7; 4000];
    let error = after(ms(200), || producer.send(ProducerRecord::new("t", &big)).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::BufferExhausted);
    says(&error, &["buffer.memory (65536 bytes)", "max.block.ms", "t-0"]);
    let error = after(ms(50), || producer.send_timeout(ProducerRecord::new("t", &big), ms(50)).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::BufferExhausted);
    assert!(producer.metrics().buffer_waits >= 2);
    assert_eq!(producer.metrics().waiting_threads, 0);

    cluster.resume_broker(1).unwrap();
    for handle in &handles {
        handle.get().unwrap();
    }
    producer.send(ProducerRecord::new("t", &big)).unwrap().get().unwrap();
    producer.flush().unwrap();
    let metrics = producer.metrics();
    assert_eq!(metrics.records_pending, 0);
    producer.close().unwrap();
    assert_eq!(producer.metrics().buffer_available_bytes, MEMORY as u64);
    assert_eq!(cluster.record_count("t"), handles.len() + 2);
}

#[test]
fn send_all_midway_into_a_full_buffer_tells_how_many_entered() {
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    let producer = open(small(&cluster).max_block(ms(100)));
    producer.partitions_for("t").unwrap();
    cluster.pause_broker(1).unwrap();
    let value = [7; 1000];
    let error = producer.send_all((0..200).map(|_| ProducerRecord::new("t", &value))).unwrap_err();
    let entered = error.entered();
    assert!(entered > 20 && entered < 200, "{entered}");
    assert_eq!(error.failures()[0].1.kind(), ErrorKind::BufferExhausted);
    let handle = error.into_handle();
    assert_eq!(handle.len(), entered);
    assert!(handle.get_timeout(ms(10)).is_none() && !handle.is_done());
    cluster.resume_broker(1).unwrap();
    assert_eq!(handle.get().unwrap().len(), entered);
}

#[test]
fn a_stalled_broker_keeps_to_its_share_and_others_go_on() {
    let cluster = MockCluster::builder().brokers(2).topic("t", 2).start().unwrap();
    let producer = open(small(&cluster).max_block(ms(200)));
    let (stalled, lively) = (0, 1);
    assert_ne!(cluster.leader("t", stalled), cluster.leader("t", lively));
    for partition in [stalled, lively] {
        producer.send(ProducerRecord::new("t", b"x").partition(partition)).unwrap().get().unwrap();
    }
    let node = cluster.leader("t", stalled).unwrap();
    cluster.pause_broker(node).unwrap();
    let (handles, error) = fill(&producer, "t", stalled);
    assert_eq!(error.kind(), ErrorKind::BufferExhausted);
    says(&error, &["buffer.memory.per.broker.ratio", &format!("broker {node}"), "t-0"]);
    assert!(handles.len() < MEMORY * 6 / 10 / 1000, "half of the memory stays for the others");
    let error = after(ms(200), || {
        producer.send(ProducerRecord::new("t", &[7; 4000]).partition(stalled)).unwrap_err()
    });
    says(&error, &["buffer.memory.per.broker.ratio", "max.block.ms"]);
    for _ in 0..200 {
        let handle =
            at_once(|| producer.try_send(ProducerRecord::new("t", &[7; 1000]).partition(lively)).unwrap());
        handle.get().unwrap();
    }
    cluster.resume_broker(node).unwrap();
    producer.flush().unwrap();
    assert!(handles.iter().all(|h| h.try_get().unwrap().is_ok()));
}

#[test]
fn close_wakes_senders_that_wait_for_memory_or_metadata() {
    let cluster = MockCluster::builder().auto_create(false).topic("t", 1).start().unwrap();
    let producer = open(small(&cluster).max_block(FAR));
    producer.partitions_for("t").unwrap();
    cluster.pause_broker(1).unwrap();
    let (handles, _) = fill(&producer, "t", 0);
    let big = [7; 4000];
    std::thread::scope(|s| {
        let for_memory: Vec<_> =
            (0..4).map(|_| s.spawn(|| producer.send(ProducerRecord::new("t", &big)).unwrap_err())).collect();
        let for_metadata = s.spawn(|| producer.send(ProducerRecord::new("nowhere", &big)).unwrap_err());
        let for_connect = s.spawn(|| producer.partitions_for("nowhere else").unwrap_err());
        while producer.metrics().waiting_threads < 4 {
            std::thread::yield_now();
        }
        at_once(|| producer.close_timeout(Duration::ZERO).unwrap_err());
        for sender in for_memory.into_iter().chain([for_metadata]) {
            assert_eq!(sender.join().unwrap().kind(), ErrorKind::Closed);
        }
        assert_eq!(for_connect.join().unwrap().kind(), ErrorKind::InvalidTopic);
    });
    for handle in handles {
        assert_eq!(at_once(|| handle.get().unwrap_err()).kind(), ErrorKind::Closed);
    }
}

#[test]
fn a_slow_callback_holds_its_batch_s_memory_so_that_memory_stays_bounded() {
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    let producer = open(small(&cluster).max_block(ms(200)));
    producer.partitions_for("t").unwrap();
    let (open_gate, closed) = gate();
    producer.send_with(ProducerRecord::new("t", b"slow"), move |_| closed.recv().unwrap_or(())).unwrap();
    let value = [7; 1000];
    let mut entered = 0;
    let error = loop {
        match producer.send_with(ProducerRecord::new("t", &value), |_| {}) {
            Ok(()) => entered += 1,
            Err(error) => break error,
        }
        assert!(entered < 1000, "callbacks wait and hold nothing");
    };
    assert_eq!(error.kind(), ErrorKind::BufferExhausted);
    drop(open_gate);
    producer.flush().unwrap();
    producer.send(ProducerRecord::new("t", &value)).unwrap().get().unwrap();
    producer.close().unwrap();
    assert_eq!(producer.metrics().buffer_available_bytes, MEMORY as u64);
}

#[test]
fn sixteen_threads_share_one_producer_and_a_small_buffer() {
    let cluster = MockCluster::builder().brokers(2).topic("t", 4).start().unwrap();
    let producer = open(small(&cluster));
    let sent = Mutex::new(Vec::new());
    std::thread::scope(|s| {
        for thread in 0..16u32 {
            let (producer, sent) = (&producer, &sent);
            s.spawn(move || {
                let mut handles = Vec::new();
                for n in 0..200u32 {
                    let mut value = vec![0; 600];
                    value[..8].copy_from_slice(&[thread.to_be_bytes(), n.to_be_bytes()].concat());
                    let key = format!("thread-{thread}");
                    handles.push(producer.send(ProducerRecord::new("t", &value).key(&key)).unwrap());
                }
                sent.lock().unwrap().extend(handles);
            });
        }
    });
    let sent = sent.into_inner().unwrap();
    assert_eq!(sent.len(), 3200);
    for handle in &sent {
        handle.get_timeout(PATIENCE).expect("it ends").unwrap();
    }
    producer.close().unwrap();
    let mut next = [0u32; 16];
    for partition in 0..4 {
        for record in cluster.records("t", partition) {
            let value = record.value.unwrap();
            let word = |at: usize| u32::from_be_bytes(value[at..at + 4].try_into().unwrap());
            let thread = word(0) as usize;
            assert_eq!(word(4), next[thread], "order within a thread and key");
            next[thread] += 1;
        }
    }
    assert_eq!(next, [200; 16]);
    assert_eq!(producer.metrics().records_acknowledged, 3200);
    assert_eq!(producer.metrics().buffer_available_bytes, MEMORY as u64);
    assert_eq!(cluster.violations(), Vec::<String>::new());
}
