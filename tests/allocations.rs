//! What sending allocates in steady state, all threads counted: nothing per record, at most two allocations per batch and
//! two per request. Alone in its binary, because it counts the whole process's allocations; the cluster that discards is
//! the same program started a second time, so that its own are not among them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use kafka_producer::mock::MockCluster;
use kafka_producer::{
    BytesSerializer, KafkaProducer, MetricsSnapshot, ProducerConfig, ProducerRecord, StringSerializer,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::io::{BufRead, BufReader, Lines, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

#[global_allocator]
static GLOBAL: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// One at a time: each counts everything.
static ALONE: Mutex<()> = Mutex::new(());

/// Rounds that are measured.
const ROUNDS: usize = 4;

const AS_SINK: &str = "ALLOCATIONS_TEST_IS_SINK";

/// Not a test of its own: what the others send to.
#[test]
fn sink() {
    if std::env::var_os(AS_SINK).is_none() {
        return;
    }
    let cluster =
        MockCluster::builder().discard(true).topic("t", 6).max_message_bytes(1 << 30).start().unwrap();
    println!("\nbootstrap.servers={}", cluster.bootstrap_servers());
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

struct Sink {
    process: Child,
    /// Kept open: the process goes on writing to it.
    output: Lines<BufReader<ChildStdout>>,
    bootstrap: String,
}

impl Sink {
    fn start() -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "sink", "--nocapture"])
            .env(AS_SINK, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let bootstrap = lines
            .find_map(|line| Some(line.unwrap().strip_prefix("bootstrap.servers=")?.to_owned()))
            .expect("the sink says where it is");
        Self { process, output: lines, bootstrap }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        self.output.by_ref().for_each(drop);
        let _ = self.process.wait();
    }
}

type Producer = KafkaProducer<str, [u8]>;

/// What a number of records cost.
#[derive(Debug)]
struct Cost {
    allocations: u64,
    records: u64,
    batches: u64,
    requests: u64,
}

impl Cost {
    /// At most two for each batch and two for each request. The few besides are lists that still grow.
    #[track_caller]
    fn is_two_a_batch_and_two_a_request(&self) {
        let allowed = 2 * self.batches + 2 * self.requests + 64;
        assert!(self.allocations <= allowed, "{self:?}: more than {allowed} allocations");
    }
}

fn cost(batch_size: usize, records: u64, send: impl Fn(&Producer, u64)) -> Cost {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let sink = Sink::start();
    let config = ProducerConfig::builder([&*sink.bootstrap])
        .batch_size(batch_size)
        .linger(Duration::from_millis(5))
        .buffer_memory(32 << 20)
        .max_request_size(4 << 20)
        .build()
        .unwrap();
    let producer = Producer::new(config, StringSerializer, BytesSerializer).unwrap();
    let round = |count: u64| {
        (0..count).for_each(|n| send(&producer, n));
        producer.flush().unwrap();
    };
    // Every list reaches its length, and every chunk of memory exists.
    round(records);
    round(records);
    let measured = || {
        let before = producer.metrics();
        let region = Region::new(GLOBAL);
        round(records);
        let stats = region.change();
        let after = producer.metrics();
        let grew = |field: fn(&MetricsSnapshot) -> u64| field(&after) - field(&before);
        let cost = Cost {
            allocations: (stats.allocations + stats.reallocations) as u64,
            records: grew(|m| m.records_acknowledged),
            batches: grew(|m| m.batches_sent),
            requests: grew(|m| m.produce_requests),
        };
        assert_eq!(cost.records, records);
        println!("{cost:?}");
        cost
    };
    // The least of some: on a busy machine a list may grow longer in one round than in all before.
    let costs = (0..ROUNDS).map(|_| measured());
    let least = costs.min_by_key(|cost| cost.allocations.saturating_sub(2 * (cost.batches + cost.requests)));
    producer.close().unwrap();
    least.unwrap()
}

const VALUE: [u8; 11_000] = [b'v'; 11_000];

fn keyless(size: usize) -> impl Fn(&Producer, u64) {
    move |producer, _| producer.send(ProducerRecord::new("t", &VALUE[..size])).unwrap().detach()
}

#[test]
fn nothing_per_record_in_large_batches() {
    let cost = cost(1_000_000, 300_000, keyless(100));
    assert!(cost.allocations * 100 <= cost.records, "{cost:?}: more than 0.01 a record");
    cost.is_two_a_batch_and_two_a_request();
}

#[test]
fn two_per_batch_and_two_per_request_at_any_size() {
    cost(16_384, 100_000, keyless(10)).is_two_a_batch_and_two_a_request();
    cost(16_384, 100_000, keyless(100)).is_two_a_batch_and_two_a_request();
    cost(16_384, 30_000, keyless(1_000)).is_two_a_batch_and_two_a_request();
    cost(1_000_000, 10_000, keyless(10_240)).is_two_a_batch_and_two_a_request();
}

#[test]
fn keys_cost_no_more() {
    let keys: Vec<String> = (0..1000).map(|n| format!("user-{n:06}")).collect();
    let cost = cost(16_384, 100_000, |producer, n| {
        let key = &*keys[n as usize % keys.len()];
        producer.send(ProducerRecord::new("t", &VALUE[..100]).key(key)).unwrap().detach();
    });
    cost.is_two_a_batch_and_two_a_request();
}

#[test]
fn a_callback_is_one_more() {
    let cost = cost(1_000_000, 100_000, |producer, n| {
        let done = move |result: Result<_, _>| assert!(result.is_ok(), "record {n}");
        producer.send_with(ProducerRecord::new("t", &VALUE[..100]), done).unwrap();
    });
    assert!(cost.allocations * 100 <= cost.records * 101, "{cost:?}: more than 1.01 a record");
}
