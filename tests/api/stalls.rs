//! One bad broker of three: what is for the others arrives, and the bad one's records hold no more than their share of
//! the memory. What that costs in rate and latency is measured by `examples/stalls.rs`.

use crate::harness::{all_delivered, fast, hasty, memory_returned, ms, no_violations};
use crate::support::{Producer, gate, open, says};
use kafka_producer::mock::{Fault, MockCluster};
use kafka_producer::protocol::ApiKey;
use kafka_producer::{
    BytesSerializer, DeliveryFuture, ErrorKind, KafkaProducer, ProducerConfig, ProducerConfigBuilder,
    ProducerRecord, StringSerializer,
};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

const MEMORY: usize = 256 * 1024;
const FAR: Duration = Duration::from_secs(600);

/// Nothing ends by a deadline: what waits, waits for the broker.
fn patient(config: ProducerConfigBuilder) -> ProducerConfigBuilder {
    config.buffer_memory(MEMORY).request_timeout(FAR).delivery_timeout(FAR * 2).linger(ms(0))
}

fn three() -> MockCluster {
    MockCluster::builder().brokers(3).topic("t", 3).start().unwrap()
}

/// Opens a connection to each broker.
fn greet(producer: &Producer) {
    for partition in 0..3 {
        producer.send(ProducerRecord::new("t", b"x").partition(partition)).unwrap().get().unwrap();
    }
    memory_returned(producer);
}

/// Fills the first broker's share of the memory.
fn fill(producer: &Producer) -> Vec<DeliveryFuture> {
    let value = [7; 1000];
    let mut handles = Vec::new();
    let error = loop {
        match producer.try_send(ProducerRecord::new("t", &value).partition(0)) {
            Ok(handle) => handles.push(handle),
            Err(error) => break error,
        }
        assert!(handles.len() < MEMORY / 1000, "more entered than there is memory");
    };
    assert_eq!(error.kind(), ErrorKind::BufferExhausted);
    says(&error, &["buffer.memory.per.broker.ratio", "t-0"]);
    handles
}

fn held(producer: &Producer) -> usize {
    let metrics = producer.metrics();
    (metrics.buffer_total_bytes - metrics.buffer_available_bytes) as usize
}

/// Several times the whole memory, for the other two brokers, from a thread each.
fn go_on(producer: &Producer) {
    std::thread::scope(|s| {
        for partition in [1, 2] {
            s.spawn(move || {
                let value = [7; 1000];
                let send = |_| {
                    let record = ProducerRecord::new("t", &value).partition(partition);
                    producer.send(record).unwrap()
                };
                for _ in 0..20 {
                    all_delivered(&(0..50).map(send).collect::<Vec<_>>());
                }
            });
        }
    });
}

/// While the first broker is bad: its share fills up and no more, the others' records arrive, its own wait.
fn others_go_on(producer: &Producer, share: usize) -> Vec<DeliveryFuture> {
    let stuck = fill(producer);
    let bytes = held(producer);
    // A batch is made of chunks of 16 KiB, of which a refused record would have needed one.
    assert!(bytes <= share && bytes + 16 * 1024 >= share, "{bytes} bytes held of a share of {share}");
    go_on(producer);
    assert!(stuck.iter().all(|h| !h.is_done()), "the bad broker answered");
    stuck
}

fn heal(cluster: &MockCluster, producer: &Producer, stuck: &[DeliveryFuture]) {
    all_delivered(stuck);
    producer.close().unwrap();
    assert_eq!(held(producer), 0);
    assert_eq!(cluster.record_count("t"), 3 + stuck.len() + 2000);
    no_violations(cluster);
}

#[test]
fn a_paused_broker_holds_up_only_its_own_records() {
    let cluster = three();
    let producer = open(patient(fast(&cluster)));
    greet(&producer);
    cluster.pause_broker(1).unwrap();
    let stuck = others_go_on(&producer, MEMORY / 2);
    cluster.resume_broker(1).unwrap();
    heal(&cluster, &producer, &stuck);
}

#[test]
fn a_broker_that_accepts_and_never_reads_holds_up_only_its_own_records() {
    let cluster = three();
    // Small enough that requests stay half written.
    let producer = open(patient(fast(&cluster)).set("send.buffer.bytes", "4096"));
    greet(&producer);
    let deaf = cluster.inject(Fault::on(ApiKey::PRODUCE).node(1).stop_reading());
    let stuck = others_go_on(&producer, MEMORY / 2);
    assert_eq!(deaf.hits(), 1);
    cluster.disconnect(1).unwrap();
    heal(&cluster, &producer, &stuck);
}

/// Resolves every host to this machine, and for one port only once the gate is open.
fn held_up_by_a_name(
    config: ProducerConfigBuilder,
    port: &Arc<AtomicU16>,
    gate: crossbeam_channel::Receiver<()>,
) -> Producer {
    let slow = Arc::clone(port);
    KafkaProducer::builder(config.build().unwrap(), StringSerializer, BytesSerializer)
        .resolver(move |_, port| {
            if slow.load(Ordering::SeqCst) == port {
                let _ = gate.recv();
            }
            Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))])
        })
        .build()
        .unwrap()
}

fn port_of(cluster: &MockCluster, node: i32) -> u16 {
    cluster.address(node).unwrap().rsplit(':').next().unwrap().parse().unwrap()
}

#[test]
fn a_name_that_takes_long_to_resolve_holds_up_only_its_own_broker() {
    let cluster = three();
    let (open_gate, closed) = gate();
    let slow = Arc::new(AtomicU16::new(0));
    let producer = held_up_by_a_name(patient(fast(&cluster)), &slow, closed);
    greet(&producer);
    slow.store(port_of(&cluster, 1), Ordering::SeqCst);
    cluster.disconnect(1).unwrap();
    assert!(cluster.wait_until(FAR, |c| c.open_connections(1) == 0));
    let stuck = others_go_on(&producer, MEMORY / 2);
    drop(open_gate);
    heal(&cluster, &producer, &stuck);
}

#[test]
fn a_bootstrap_name_that_takes_long_to_resolve_does_not_keep_the_next_one_from_being_asked() {
    let cluster = three();
    let (open_gate, closed) = gate();
    let slow = Arc::new(AtomicU16::new(1));
    // The same work on either side of the good one, since the first to be tried is chosen at random.
    let servers = ["slow.example:1".to_owned(), cluster.address(2).unwrap(), "slow.example:1".to_owned()];
    let config = hasty(ProducerConfig::builder(servers)).socket_connection_setup_timeout(ms(200));
    let producer = held_up_by_a_name(config, &slow, closed);
    producer.send(ProducerRecord::new("t", b"x")).unwrap().get().unwrap();
    producer.close().unwrap();
    drop(open_gate);
    assert_eq!(cluster.record_count("t"), 1);
}

#[test]
fn a_callback_that_sleeps_holds_up_no_record_and_only_its_own_memory() {
    let cluster = three();
    let producer = open(patient(fast(&cluster)));
    greet(&producer);
    let (open_gate, closed) = gate();
    let value = [7; 1000];
    let mut called = 0;
    let error = loop {
        let closed = closed.clone();
        let record = ProducerRecord::new("t", &value).partition(0);
        match producer.try_send(record) {
            Ok(handle) => handle.on_complete(move |_| closed.recv().unwrap_or(())),
            Err(error) => break error,
        }
        called += 1;
        assert!(called < MEMORY / 1000, "callbacks wait and hold nothing");
    };
    says(&error, &["buffer.memory.per.broker.ratio"]);
    assert!(held(&producer) <= MEMORY / 2);
    go_on(&producer);
    drop(open_gate);
    producer.close().unwrap();
    assert_eq!(held(&producer), 0);
    assert_eq!(cluster.record_count("t"), 3 + called + 2000);
}

#[test]
fn the_share_is_what_the_configuration_says() {
    for (ratio, share) in [("0.25", MEMORY / 4), ("0.75", MEMORY / 4 * 3)] {
        let cluster = three();
        let producer = open(patient(fast(&cluster)).set("buffer.memory.per.broker.ratio", ratio));
        greet(&producer);
        cluster.pause_broker(1).unwrap();
        let stuck = others_go_on(&producer, share);
        cluster.resume_broker(1).unwrap();
        heal(&cluster, &producer, &stuck);
    }
}

#[test]
fn records_that_may_go_anywhere_pass_a_stalled_broker_by() {
    let cluster = three();
    let producer = open(patient(fast(&cluster)).batch_size(4096));
    greet(&producer);
    cluster.pause_broker(1).unwrap();
    let value = [7; 1000];
    // One thread, which would stand still with the first record that has to wait for the stalled broker's memory.
    let handles: Vec<_> =
        (0..2000).map(|_| producer.send(ProducerRecord::new("t", &value)).unwrap()).collect();
    assert!(held(&producer) <= MEMORY);
    let elsewhere = |c: &MockCluster| c.end_offset("t", 1).unwrap() + c.end_offset("t", 2).unwrap();
    assert!(cluster.wait_until(FAR, |c| elsewhere(c) >= 2000 - (MEMORY / 2 / 1000) as i64));
    cluster.resume_broker(1).unwrap();
    all_delivered(&handles);
    producer.close().unwrap();
    assert_eq!(cluster.record_count("t"), 3 + 2000);
    no_violations(&cluster);
}

/// Requests that wait together for a broker that reads nothing, with a socket that takes a few of their bytes at a time.
#[test]
fn requests_that_did_not_fit_into_the_socket_go_on_where_they_stopped() {
    let cluster = MockCluster::builder().brokers(1).topic("t", 3).start().unwrap();
    let config = fast(&cluster).batch_size(4096).linger(ms(1)).request_timeout(FAR).delivery_timeout(FAR * 2);
    let producer = open(config.send_buffer(Some(4096)));
    greet(&producer);
    cluster.pause_broker(1).unwrap();
    let value = |n: u32| n.to_be_bytes().repeat(250);
    let send = |n: u32| {
        let partition = i32::try_from(n % 3).unwrap();
        producer.send(ProducerRecord::new("t", &value(n)).partition(partition)).unwrap()
    };
    let handles: Vec<_> = (0..6000).map(send).collect();
    cluster.resume_broker(1).unwrap();
    all_delivered(&handles);
    for partition in 0..3 {
        let stored = cluster.records("t", partition);
        let stored: Vec<_> = stored.iter().skip(1).filter_map(|r| r.value.clone()).collect();
        let sent: Vec<_> = (0..6000).filter(|n| n % 3 == partition as u32).map(value).collect();
        assert!(stored == sent, "partition {partition}: as they were sent, each once");
    }
    no_violations(&cluster);
}
