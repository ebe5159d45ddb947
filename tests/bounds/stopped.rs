//! The process stands still for a while, as on a laptop that is closed, and goes on.

use crate::process::{Producer, child, config, finish, ms, open, start};
use kafka_producer::mock::{Fault, MockCluster};
use kafka_producer::protocol::ApiKey;
use kafka_producer::{DeliveryFuture, ErrorKind, ProducerRecord};
use std::collections::HashMap;
use std::process::Command;
use std::time::{Duration, Instant};

const NAME: &str = "stopped::a_stopped_process_goes_on_and_loses_nothing";
/// How long the process stands still: 4 seconds, or as many as `KAFKA_PRODUCER_STOP_SECONDS` says.
fn stop() -> Duration {
    let seconds: Option<u64> = std::env::var("KAFKA_PRODUCER_STOP_SECONDS").ok().and_then(|s| s.parse().ok());
    Duration::from_secs(seconds.unwrap_or(4))
}

/// Records that may join a batch which was begun before the stop, and so share its deadline, until the sender thread
/// runs again.
const JOINED: usize = 50;

/// A pause of at least this length in which the process did nothing: longer than a busy machine lets it wait.
fn noticed() -> Duration {
    stop() / 4 * 3
}

fn send(producer: &Producer, n: u32) -> DeliveryFuture {
    producer.send(ProducerRecord::new("t", &n.to_be_bytes()).key(&format!("{}", n % 7))).unwrap()
}

/// Sends until it was stopped and a while longer, and prints what became of each record.
fn send_through(address: &str) {
    let config = config(address).delivery_timeout(stop() / 2).request_timeout(ms(400)).linger(ms(5));
    let producer = open(config);
    producer.partitions_for("t").unwrap();
    let mut sent = Vec::new();
    let (mut last, mut stopped_at) = (Instant::now(), None);
    while stopped_at.is_none_or(|at| sent.len() < at + 500) {
        sent.push(send(&producer, sent.len() as u32));
        std::thread::park_timeout(ms(1));
        let now = Instant::now();
        if now - last > noticed() {
            stopped_at = Some(sent.len());
        }
        last = now;
        if sent.len() == 50 {
            println!("under way");
        }
    }
    producer.flush().unwrap();
    let stopped_at = stopped_at.unwrap();
    for (n, handle) in sent.iter().enumerate() {
        match handle.try_get().expect("flush waits for every outcome") {
            Ok(metadata) => {
                println!("record {n} {} {}", metadata.partition(), metadata.offset().unwrap());
            }
            Err(e) => {
                assert_eq!(e.kind(), ErrorKind::DeliveryTimeout, "{e}");
                assert!(n <= stopped_at + JOINED, "record {n}, sent after the stop at {stopped_at}: {e}");
                println!("failed {n} {}", if e.may_have_been_written() { "perhaps" } else { "never" });
            }
        }
    }
    producer.close().unwrap();
}

fn signal(pid: u32, name: &str) {
    let done = Command::new("kill").args([name, &pid.to_string()]).status().unwrap();
    assert!(done.success());
}

/// Every acknowledged record stands once where it was said to, and no other but those that may.
fn check(text: &str, cluster: &MockCluster) {
    let mut stored: HashMap<u32, Vec<(i32, i64)>> = HashMap::new();
    for partition in 0..3 {
        for record in cluster.records("t", partition) {
            let n = u32::from_be_bytes(record.value.unwrap()[..].try_into().unwrap());
            stored.entry(n).or_default().push((partition, record.offset));
        }
    }
    let (mut acknowledged, mut failed) = (0, 0);
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["record", n, partition, offset] => {
                let place = (partition.parse().unwrap(), offset.parse().unwrap());
                assert_eq!(stored[&n.parse().unwrap()], [place], "{line}");
                acknowledged += 1;
            }
            ["failed", n, what] => {
                println!("{line}");
                let copies = stored.get(&n.parse().unwrap()).map_or(0, Vec::len);
                assert!(copies <= usize::from(what == "perhaps"), "{line}: {copies} copies");
                failed += 1;
            }
            _ => {}
        }
    }
    println!("{acknowledged} acknowledged, {failed} failed");
    assert!(acknowledged >= 500, "it goes on");
    assert!(stored.values().all(|places| places.len() == 1), "nothing is doubled");
    assert_eq!(cluster.violations(), Vec::<String>::new());
}

#[test]
fn a_stopped_process_goes_on_and_loses_nothing() {
    if let Some(address) = child() {
        return send_through(&address);
    }
    let cluster = MockCluster::builder().brokers(2).topic("t", 3).start().unwrap();
    let child = start(NAME, &cluster.bootstrap_servers());
    assert!(cluster.wait_until(Duration::from_secs(30), |c| c.record_count("t") > 50));
    signal(child.id(), "-STOP");
    // The time that passes is the test.
    cluster.wait_until(stop(), |_| false);
    signal(child.id(), "-CONT");
    check(&finish(child), &cluster);
}

const IN_HANDSHAKE: &str = "stopped::a_process_stopped_amid_a_handshake_keeps_the_connection";

#[test]
fn a_process_stopped_amid_a_handshake_keeps_the_connection() {
    if let Some(address) = child() {
        // A second connection would come too late.
        let config = config(&address).reconnect_backoff(ms(60_000)).reconnect_backoff_max(ms(60_000));
        return open(config).connect(ms(30_000)).unwrap();
    }
    let cluster = MockCluster::start(1).unwrap();
    cluster.inject(Fault::on(ApiKey::API_VERSIONS).delay(ms(3000)));
    let child = start(IN_HANDSHAKE, &cluster.bootstrap_servers());
    assert!(cluster.wait_until(Duration::from_secs(30), |c| !c.requests(ApiKey::API_VERSIONS).is_empty()));
    // It has sent the request; by now it waits for the answer.
    cluster.wait_until(ms(500), |_| false);
    signal(child.id(), "-STOP");
    cluster.wait_until(ms(100), |_| false);
    signal(child.id(), "-CONT");
    finish(child);
}
