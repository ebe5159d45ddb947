//! Clients in other languages against the embedded cluster, in every release that it answers like: what producers wrote,
//! with every codec, with and without idempotence, is there once, in order, where their own partitioner puts it.
//! `transactions` has transactions, and consumers with assigned partitions.
//!
//! All are ignored by default, because they need what is not Rust: a JDK and Maven; a C compiler and librdkafka
//! (`librdkafka-dev`); Go. In `.ci/run` they run.
//!
//! ```text
//! cargo test --all-features --test foreign_clients -- --ignored
//! ```
//!
//! The programs lie beside this file, Java's in `tests/real_kafka/java/SampleProducer.java`. They all send the same
//! records: number `i` has the value `v-i`, the key `k-i` unless `i` is a multiple of 3, and a header `n` without a value
//! if it is a multiple of 5.

#[path = "../real_kafka/java.rs"]
#[allow(dead_code, reason = "the other suite needs all of it")]
mod java;
mod transactions;

use java::{Java, Version};
use kafka_producer::config::CompressionType;
use kafka_producer::mock::{BrokerVersion, MockCluster};
use kafka_producer::partitioner::{
    Choice, HashPartitioner, KeyedRecord, PartitionInfo, Partitioner, TopicView, crc32, partition_for_key,
};
use kafka_producer::protocol::ApiKey;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

const COUNT: usize = 1000;
const PARTITIONS: i32 = 3;
const PATIENCE: Duration = Duration::from_secs(120);

/// One topic, and how it is written to.
#[derive(Debug)]
struct Job {
    codec: CompressionType,
    acks: &'static str,
    mode: Mode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Plain,
    Idempotent,
    /// A transaction that is aborted, then all records in two that are committed.
    Transactional,
}

impl Mode {
    fn word(self) -> &'static str {
        match self {
            Self::Plain => "false",
            Self::Idempotent => "true",
            Self::Transactional => "transaction",
        }
    }
}

impl Job {
    fn topic(&self) -> String {
        format!("{}-{}-{}", self.codec.name(), self.acks, self.mode.word())
    }

    /// As the programs read it.
    fn argument(&self) -> String {
        format!("{},{},{},{}", self.topic(), self.codec.name(), self.acks, self.mode.word())
    }
}

fn jobs() -> Vec<Job> {
    let available = CompressionType::ALL.into_iter().filter(|codec| codec.is_available());
    let mut jobs: Vec<Job> =
        available.map(|codec| Job { codec, acks: "all", mode: Mode::Idempotent }).collect();
    for acks in ["all", "1", "0"] {
        jobs.push(Job { codec: CompressionType::None, acks, mode: Mode::Plain });
    }
    jobs.push(Job { codec: CompressionType::Gzip, acks: "1", mode: Mode::Plain });
    jobs.push(Job { codec: CompressionType::Lz4, acks: "all", mode: Mode::Transactional });
    jobs
}

fn murmur2(key: &[u8]) -> i32 {
    partition_for_key(key, PARTITIONS)
}

fn crc(key: &[u8]) -> i32 {
    (crc32(key) % PARTITIONS.unsigned_abs()) as i32
}

#[test]
#[ignore = "needs Java and Maven: see README"]
fn java_4_3() {
    let java = Java::prepare(Version::V4_3);
    on_every_release(murmur2, || java.command("SampleProducer", 200));
}

#[test]
#[ignore = "needs Java and Maven: see README"]
fn java_3_9() {
    let java = Java::prepare(Version::V3_9);
    on_every_release(murmur2, || java.command("SampleProducer", 200));
}

#[test]
#[ignore = "needs a C compiler and librdkafka: see CONTRIBUTING.md"]
fn librdkafka() {
    let program = compile_c("librdkafka", "librdkafka/producer.c");
    on_every_release(crc, || Command::new(&program));
}

/// `name` is the program's, since tests that run side by side must not write the same file.
fn compile_c(name: &str, file: &str) -> PathBuf {
    let program = built_in(name);
    let mut cc = Command::new("cc");
    cc.arg("-o").arg(&program).arg(source(file)).arg("-lrdkafka");
    run(cc);
    program
}

/// It looks at what a broker offers before it compresses: measurements against the sink must not miss that.
#[test]
#[ignore = "needs a C compiler and librdkafka: see CONTRIBUTING.md"]
fn librdkafka_compresses_for_the_sink_too() {
    let program = compile_c("librdkafka-sink", "librdkafka/producer.c");
    let cluster =
        MockCluster::builder().discard(true).default_partitions(1).start().expect("a loopback port");
    for codec in CompressionType::ALL {
        let topic = format!("sink-{}", codec.name());
        cluster.create_topic(&topic, 1).expect("a new topic");
        let before = cluster.stats().compressed_batches;
        let mut command = Command::new(&program);
        command
            .arg(cluster.bootstrap_servers())
            .arg("5000")
            .arg(format!("{topic},{},all,true", codec.name()));
        run(command);
        assert_eq!(cluster.record_count(&topic), 5000);
        let compressed = cluster.stats().compressed_batches > before;
        assert_eq!(compressed, codec != CompressionType::None, "{}", codec.name());
    }
}

#[test]
#[ignore = "needs a C compiler and librdkafka: see CONTRIBUTING.md"]
fn partitioners_with_librdkafka_s_names_place_keys_as_librdkafka_does() {
    let program = compile_c("librdkafka-partitioners", "librdkafka/producer.c");
    let cluster = MockCluster::start(1).expect("loopback ports");
    for (name, ours) in [
        ("consistent", HashPartitioner::consistent()),
        ("consistent_random", HashPartitioner::consistent_random()),
        ("murmur2", HashPartitioner::murmur2()),
        ("murmur2_random", HashPartitioner::murmur2_random()),
        ("fnv1a", HashPartitioner::fnv1a()),
        ("fnv1a_random", HashPartitioner::fnv1a_random()),
    ] {
        cluster.create_topic(name, 13).expect("a new topic");
        let mut command = Command::new(&program);
        command.env("PARTITIONER", name).arg(cluster.bootstrap_servers()).arg("5000");
        command.arg(format!("{name},none,all,true"));
        run(command);
        let partitions: Vec<_> = (0..13).map(|p| PartitionInfo::new(p, Some(1))).collect();
        let view = TopicView::new(&partitions);
        for partition in 0..13 {
            for record in cluster.records(name, partition) {
                let choice = ours.partition(&KeyedRecord::new(name, record.key.as_deref(), None), &view);
                match choice.expect("hashing does not fail") {
                    Choice::Exact(place) => assert_eq!(place, partition, "{name}: {:?}", record.key),
                    _ => {
                        assert!(name.ends_with("_random") && record.key.is_none(), "{name}: {:?}", record.key)
                    }
                }
            }
        }
        assert_eq!(cluster.record_count(name), 5000);
    }
}

#[test]
#[ignore = "needs Go: see CONTRIBUTING.md"]
fn franz_go() {
    let program = compile_go("franz", ".");
    on_every_release(murmur2, || Command::new(&program));
}

/// As [`compile_c`], a package of the Go programs.
fn compile_go(name: &str, package: &str) -> PathBuf {
    let program = built_in(name);
    let mut go = Command::new("go");
    go.current_dir(source("franz")).args(["build", "-o"]).arg(&program).arg(package);
    run(go);
    program
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign_clients").join(name)
}

fn built_in(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("foreign-clients");
    std::fs::create_dir_all(&dir).expect("target is writable");
    dir.join(name)
}

fn run(mut command: Command) -> Output {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?} cannot run: {e}"));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed: {}{text}", String::from_utf8_lossy(&output.stdout));
    output
}

/// Runs the client once for each preset, and looks at everything it wrote.
fn on_every_release(place: fn(&[u8]) -> i32, program: impl Fn() -> Command) {
    for version in BrokerVersion::ALL {
        let builder = MockCluster::builder().brokers(3).version(version).default_partitions(PARTITIONS);
        let cluster = builder.start().expect("loopback ports");
        let jobs = jobs();
        for job in &jobs {
            cluster.create_topic(&job.topic(), PARTITIONS).expect("a new topic");
        }
        let mut command = program();
        command.arg(cluster.bootstrap_servers()).arg(COUNT.to_string()).args(jobs.iter().map(Job::argument));
        run(command);
        for job in &jobs {
            check(&cluster, job, place, version);
        }
        let newest = cluster.requests(ApiKey::PRODUCE).iter().map(|r| r.version).max();
        println!("Kafka {version}: Produce v{}, {}", newest.unwrap_or(-1), cluster.stats());
        assert_eq!(cluster.violations(), Vec::<String>::new(), "{version}");
    }
}

fn check(cluster: &MockCluster, job: &Job, place: fn(&[u8]) -> i32, version: BrokerVersion) {
    let topic = job.topic();
    // Without acknowledgements the program may end before the last request has been read.
    let arrived = cluster.wait_until(PATIENCE, |c| c.record_count(&topic) >= COUNT);
    assert!(arrived, "{version}: {topic} has {} records", cluster.record_count(&topic));
    let mut seen = vec![false; COUNT];
    for partition in 0..PARTITIONS {
        let mut last = None;
        for record in cluster.committed_records(&topic, partition) {
            let text = String::from_utf8(record.value.expect("a value")).expect("text");
            let i: usize = text.strip_prefix("v-").and_then(|n| n.parse().ok()).expect("v-<n>");
            let at = format!("{version}: {topic}-{partition}@{}: {i}", record.offset);
            assert!(!std::mem::replace(&mut seen[i], true), "{at} is there twice");
            assert!(last < Some(i), "{at} comes after {last:?}");
            last = Some(i);
            let key = (i % 3 != 0).then(|| format!("k-{i}").into_bytes());
            assert!(key.as_ref().is_none_or(|key| place(key) == partition), "{at}");
            assert_eq!(record.key, key, "{at}");
            let headers = if i % 5 == 0 { vec![("n".to_owned(), None)] } else { Vec::new() };
            assert_eq!(record.headers, headers, "{at}");
            assert_eq!(record.timestamp, 1_700_000_000_000 + i as i64, "{at}");
            assert_eq!(record.producer_id.is_some(), job.mode != Mode::Plain, "{at}");
        }
    }
    assert!(seen.iter().all(|seen| *seen), "{version}: {topic} lacks records");
    let aborted = usize::from(job.mode == Mode::Transactional);
    assert_eq!(cluster.record_count(&topic), COUNT + aborted, "{version}: {topic}");
    let codecs: Vec<CompressionType> =
        (0..PARTITIONS).flat_map(|p| cluster.batches(&topic, p)).map(|batch| batch.compression).collect();
    // Clients leave a batch as it is that compression does not make smaller.
    assert!(codecs.iter().all(|c| *c == job.codec || *c == CompressionType::None), "{topic}: {codecs:?}");
    assert!(codecs.contains(&job.codec), "{version}: {topic}: {codecs:?}");
}
