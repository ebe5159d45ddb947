//! What a producer takes of the machine: memory at full speed, before a sink that stands still and with many partitions;
//! wake-ups while nothing happens; requests for many topics. Linux only, from procfs.
//!
//! Memory is that of a whole process, so each case runs in one of its own, and the sink in another: this program, started
//! again with a part to play.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use kafka_producer::mock::MockCluster;
use kafka_producer::protocol::ApiKey;
use kafka_producer::{
    BytesSerializer, ErrorKind, KafkaProducer, ProducerConfig, ProducerConfigBuilder, ProducerRecord,
    StringSerializer,
};
use std::io::{BufRead, BufReader, Lines, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const PART: &str = "FOOTPRINT_TEST_PART";
const BOOTSTRAP: &str = "FOOTPRINT_TEST_BOOTSTRAP";
const PATIENCE: Duration = Duration::from_secs(60);
const MIB: u64 = 1 << 20;

/// Held by those who have a producer in this process, whose threads are counted.
static ALONE: Mutex<()> = Mutex::new(());

type Producer = KafkaProducer<str, [u8]>;

fn open(config: ProducerConfigBuilder) -> Producer {
    Producer::new(config.build().unwrap(), StringSerializer, BytesSerializer).unwrap()
}

/// This program again, as another part.
struct Part {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Part {
    fn start(part: &str, bootstrap: &str) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "part", "--nocapture"])
            .env(PART, part)
            .env(BOOTSTRAP, bootstrap)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, lines }
    }

    /// The rest of the line that begins so.
    #[track_caller]
    fn hear(&mut self, start: &str) -> String {
        let mut said = Vec::new();
        for line in self.lines.by_ref() {
            let line = line.unwrap();
            if let Some(rest) = line.strip_prefix(start) {
                return rest.to_owned();
            }
            said.push(line);
        }
        panic!("no line begins with {start:?}: {said:?}");
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        self.lines.by_ref().for_each(drop);
        let _ = self.process.wait();
    }
}

/// Not a test of its own: the parts that the others let play.
#[test]
fn part() {
    let Ok(part) = std::env::var(PART) else { return };
    let bootstrap = std::env::var(BOOTSTRAP).unwrap_or_default();
    match &*part {
        "sink" => sink(false),
        "sink that stands still" => sink(true),
        "full speed" => memory(&bootstrap, "t", 1_000, 150_000),
        "still sink" => memory(&bootstrap, "t", 1_000, 100_000),
        "many partitions" => memory(&bootstrap, "wide", 100, 400_000),
        other => panic!("unknown part {other}"),
    }
}

fn sink(stands_still: bool) {
    let cluster = MockCluster::builder().discard(true).topic("t", 6).topic("wide", 1_000).start().unwrap();
    println!("\nbootstrap.servers={}", cluster.bootstrap_servers());
    if stands_still {
        assert!(cluster.wait_until(PATIENCE, |c| c.stats().records > 0));
        cluster.pause_broker(1).unwrap();
    }
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

/// Sends, until the records or the memory are at an end, and prints by how much the process grew at most.
fn memory(bootstrap: &str, topic: &str, size: usize, records: usize) {
    let config = ProducerConfig::builder([bootstrap]).max_block(Duration::from_millis(500));
    let producer = open(config);
    while producer.partitions_for(topic).is_err() {}
    let value = vec![b'v'; size];
    let keys: Vec<String> = (0..5_000).map(|n| format!("user-{n:06}")).collect();
    let before = status_kib("self", "VmRSS:");
    for n in 0..records {
        let record = ProducerRecord::new(topic, &value[..]);
        let record = if topic == "wide" { record.key(&*keys[n % keys.len()]) } else { record };
        match producer.send(record) {
            Ok(handle) => handle.detach(),
            Err(error) if error.kind() == ErrorKind::BufferExhausted => break,
            Err(error) => panic!("{error}"),
        }
    }
    let grown = status_kib("self", "VmHWM:") - before;
    println!("\nwaits={} grown={grown}", producer.metrics().buffer_waits);
    let _ = producer.close_timeout(Duration::from_millis(10));
}

fn status_kib(task: &str, field: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{task}/status")).unwrap();
    let line = text.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The default `buffer.memory` and 16 MiB more.
#[track_caller]
fn grows_little(sink: &str, part: &str) {
    let mut sink = Part::start(sink, "");
    let bootstrap = sink.hear("bootstrap.servers=");
    let mut producer = Part::start(part, &bootstrap);
    let said = producer.hear("waits=");
    println!("{part}: waits={said} KiB");
    let grown: u64 = said.split("grown=").nth(1).unwrap().parse().unwrap();
    assert!(grown * 1024 <= (32 + 16) * MIB, "{part}: grew by {grown} KiB");
}

#[test]
fn memory_stays_bounded_at_full_speed() {
    grows_little("sink", "full speed");
}

#[test]
fn memory_stays_bounded_before_a_sink_that_stands_still() {
    grows_little("sink that stands still", "still sink");
}

#[test]
fn memory_stays_bounded_with_a_thousand_partitions() {
    grows_little("sink", "many partitions");
}

/// Voluntary context switches of this process's threads whose name begins with `name`.
fn switches(name: &str) -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let texts = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("status")).ok());
    let named = texts.filter(|text| text.starts_with(&format!("Name:\t{name}")));
    let counts = named.filter_map(|text| {
        let line = text.lines().find(|line| line.starts_with("voluntary_ctxt_switches:"))?.to_owned();
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    });
    counts.sum()
}

#[test]
fn an_idle_producer_wakes_at_most_five_times_a_second() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let cluster = MockCluster::builder().topic("t", 6).start().unwrap();
    let producer = open(ProducerConfig::builder(cluster.bootstrap_servers().split(',')));
    for n in 0..100u8 {
        // Waited for, so that the sender is as attentive as it gets.
        producer.send(ProducerRecord::new("t", &[n][..])).unwrap().get().unwrap();
    }
    let pass = |time| assert!(!cluster.wait_until(time, |_| false));
    pass(Duration::from_millis(200));
    let before = switches("kafka-");
    pass(Duration::from_secs(3));
    let woken = switches("kafka-") - before;
    println!("{woken} wake-ups in 3 s");
    assert!(woken <= 15, "{woken} wake-ups in 3 s");
    producer.close().unwrap();
}

#[test]
fn many_new_topics_that_come_together_share_a_metadata_request() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let cluster = MockCluster::builder().start().unwrap();
    let producer = open(ProducerConfig::builder(cluster.bootstrap_servers().split(',')));
    let topics: Vec<String> = (0..1_000).map(|n| format!("topic-{n}")).collect();
    for topic in &topics {
        // It does not wait: it asks.
        let refused = producer.try_send(ProducerRecord::new(topic, b"first")).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::MetadataTimeout);
    }
    let handles = topics.iter().map(|topic| producer.send(ProducerRecord::new(topic, b"x")).unwrap());
    for handle in handles.collect::<Vec<_>>() {
        handle.get().unwrap();
    }
    let asked = cluster.requests(ApiKey::METADATA).len();
    let produced = cluster.requests(ApiKey::PRODUCE).len();
    println!("{asked} metadata and {produced} produce requests for 1,000 topics");
    assert!(asked <= 20, "{asked} metadata requests for 1,000 topics that came together");
    producer.close().unwrap();
}
