//! Transactions of clients in other languages, and their consumers with assigned partitions.
//!
//! They write in transactions and without, meet faults, and read back; each sees what the cluster says. The programs
//! `SampleTransactions.java`, `franz/transactions` and `librdkafka/transactions.c` take the same commands.

use crate::java::{Java, Version};
use crate::{compile_c, compile_go};
use kafka_producer::mock::{BrokerVersion, Fault, MockCluster, StoredRecord, TransactionState};
use kafka_producer::protocol::{ApiKey, ErrorCode};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(120);
const PARTITIONS: i32 = 3;

/// A program that takes `transact`, `send`, `read` and `offset`.
enum Client {
    Java(Java),
    Native(PathBuf),
}

impl Client {
    fn java(version: Version) -> Self {
        Self::Java(Java::prepare(version))
    }

    fn franz(name: &str) -> Self {
        Self::Native(compile_go(name, "./transactions"))
    }

    fn librdkafka(name: &str) -> Self {
        Self::Native(compile_c(name, "librdkafka/transactions.c"))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = match self {
            Self::Java(java) => java.command("SampleTransactions", 200),
            Self::Native(program) => Command::new(program),
        };
        command.args(arguments);
        command
    }

    fn run(&self, command: &str, cluster: &MockCluster, rest: &[&str]) -> String {
        output(self.command(&[&[command, &first(cluster), "t"], rest].concat()))
    }

    /// Partition, offset and value of all records, sorted.
    fn read(&self, cluster: &MockCluster, isolation: &str) -> Vec<(i32, i64, String)> {
        lines(&self.run("read", cluster, &["3", isolation]))
    }
}

/// One address is enough to find the others.
fn first(cluster: &MockCluster) -> String {
    cluster.address(1).expect("there is a broker 1")
}

fn output(mut command: Command) -> String {
    let output = command.stdin(Stdio::null()).output().expect("the program runs");
    assert!(output.status.success(), "{command:?}: {}", tail(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// The end of what a program complained about.
fn tail(errors: &[u8]) -> String {
    let text = String::from_utf8_lossy(errors);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

fn lines(text: &str) -> Vec<(i32, i64, String)> {
    let mut records: Vec<_> = text
        .lines()
        .map(|line| {
            let mut words = line.splitn(3, ' ');
            let mut word = || words.next().expect("three words");
            (word().parse().expect("a partition"), word().parse().expect("an offset"), word().to_owned())
        })
        .collect();
    records.sort();
    records
}

fn values(records: &[StoredRecord]) -> Vec<String> {
    records.iter().map(|r| String::from_utf8(r.value.clone().expect("a value")).expect("text")).collect()
}

/// As the clients print them.
fn stored(read: impl Fn(i32) -> Vec<StoredRecord>) -> Vec<(i32, i64, String)> {
    let of = |p| {
        let records = read(p);
        let offsets: Vec<i64> = records.iter().map(|r| r.offset).collect();
        offsets.into_iter().zip(values(&records)).map(move |(offset, value)| (p, offset, value))
    };
    (0..PARTITIONS).flat_map(of).collect()
}

/// Values `name-0` and so on that belong to a partition.
fn share(name: &str, count: i32, partition: i32) -> Vec<String> {
    (0..count).filter(|i| i % PARTITIONS == partition).map(|i| format!("{name}-{i}")).collect()
}

fn cluster(version: BrokerVersion, transactions: Option<i16>) -> MockCluster {
    let mut builder = MockCluster::builder().brokers(3).version(version).topic("t", PARTITIONS);
    if let Some(level) = transactions {
        builder = builder.transaction_version(level);
    }
    builder.start().expect("free ports")
}

const CLUSTERS: [(BrokerVersion, Option<i16>); 5] = [
    (BrokerVersion::V4_3, None),
    (BrokerVersion::V4_3, Some(1)),
    (BrokerVersion::V3_9, None),
    (BrokerVersion::V2_8, None),
    (BrokerVersion::V2_1, None),
];

fn check_transactions(cluster: &MockCluster) {
    for p in 0..PARTITIONS {
        let committed = values(&cluster.committed_records("t", p));
        assert_eq!(committed, [share("c", 10, p), share("d", 10, p)].concat());
        let all = values(&cluster.records("t", p));
        let offered = [share("c", 10, p), share("a", 10, p), share("d", 10, p)].concat();
        // Of what was to be aborted not all need have been sent.
        assert!(all.len() >= committed.len() && all.iter().all(|v| offered.contains(v)), "{all:?}");
    }
    assert_eq!(cluster.committed_offset("g", "t", 0).map(|o| o.offset), Some(42));
    assert!(cluster.violations().is_empty(), "{:?}", cluster.violations());
}

fn transacts_and_reads_back(client: &Client, clusters: &[(BrokerVersion, Option<i16>)]) {
    for (version, transactions) in clusters {
        let cluster = cluster(*version, *transactions);
        client.run("transact", &cluster, &["3", "id", "g"]);
        check_transactions(&cluster);
        let committed = stored(|p| cluster.committed_records("t", p));
        assert_eq!(client.read(&cluster, "read_committed"), committed, "{version} {transactions:?}");
        let all = stored(|p| cluster.records("t", p));
        assert_eq!(client.read(&cluster, "read_uncommitted"), all, "{version} {transactions:?}");
        assert_eq!(client.run("offset", &cluster, &["g"]).trim(), "42");
    }
}

/// Each kind of trouble once, for requests that are sent in any case. A partition's first batch passes: where it alone
/// is refused, a broker that knows nothing of the producer takes the second for the first, in Kafka as well.
fn trouble(cluster: &MockCluster) {
    let produce = |partition| Fault::on(ApiKey::PRODUCE).partition(partition).after(1);
    let faults = [
        produce(0).error_before(ErrorCode::NOT_LEADER_OR_FOLLOWER),
        produce(0).after(2).error_after(ErrorCode::REQUEST_TIMED_OUT),
        produce(1).drop_after(),
        produce(2).drop_before(),
        Fault::on(ApiKey::METADATA).after(1).drop_before(),
        Fault::on(ApiKey::INIT_PRODUCER_ID).error_before(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS),
    ];
    for fault in faults {
        cluster.inject(fault);
    }
}

fn survives_trouble(client: &Client, transactions: i16) {
    let cluster = cluster(BrokerVersion::V4_3, Some(transactions));
    trouble(&cluster);
    client.run("send", &cluster, &["3", "300"]);
    for p in 0..PARTITIONS {
        assert_eq!(values(&cluster.records("t", p)), share("s", 300, p));
    }
    assert!(cluster.violations().is_empty(), "{:?}", cluster.violations());
}

fn transacts_through_trouble(client: &Client, transactions: i16) {
    let cluster = cluster(BrokerVersion::V4_3, Some(transactions));
    trouble(&cluster);
    let on = Fault::on;
    let faults = [
        on(ApiKey::FIND_COORDINATOR).error_before(ErrorCode::COORDINATOR_NOT_AVAILABLE),
        on(ApiKey::INIT_PRODUCER_ID).after(1).drop_before(),
        on(ApiKey::ADD_PARTITIONS_TO_TXN).error_before(ErrorCode::CONCURRENT_TRANSACTIONS),
        on(ApiKey::END_TXN).error_after(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS),
        on(ApiKey::END_TXN).after(3).drop_after(),
    ];
    for fault in faults {
        cluster.inject(fault);
    }
    let arguments = ["transact", &first(&cluster), "t", "3", "id", "g"];
    let running = client.command(&arguments).stdin(Stdio::null()).stderr(Stdio::piped()).spawn();
    let running = running.expect("the program runs");
    // Its coordinator goes elsewhere in the middle of the first transaction.
    let open = |c: &MockCluster| c.transaction("id").is_some_and(|t| t.state == TransactionState::Ongoing);
    assert!(cluster.wait_until(PATIENCE, open));
    let node = cluster.transaction_coordinator("id").expect("brokers run");
    cluster.set_coordinator_load_time(Duration::from_millis(50));
    cluster.move_coordinator("id", node % 3 + 1).expect("it runs");
    let output = running.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", tail(&output.stderr));
    check_transactions(&cluster);
}

#[test]
#[ignore = "needs Java and Maven: see README"]
fn java_4_3_transacts_and_reads_back() {
    transacts_and_reads_back(&Client::java(Version::V4_3), &CLUSTERS);
}

#[test]
#[ignore = "needs Java and Maven: see README"]
fn java_3_9_transacts_and_reads_back() {
    transacts_and_reads_back(&Client::java(Version::V3_9), &[CLUSTERS[0], CLUSTERS[4]]);
}

#[test]
#[ignore = "needs Java and Maven: see README"]
fn java_survives_trouble() {
    let java = Client::java(Version::V4_3);
    survives_trouble(&java, 2);
    transacts_through_trouble(&java, 2);
    transacts_through_trouble(&java, 1);
}

#[test]
#[ignore = "needs Go: see CONTRIBUTING.md"]
fn franz_go_transacts_and_reads_back() {
    transacts_and_reads_back(&Client::franz("franz-transacts"), &CLUSTERS);
}

#[test]
#[ignore = "needs Go: see CONTRIBUTING.md"]
fn franz_go_survives_trouble() {
    let franz = Client::franz("franz-trouble");
    survives_trouble(&franz, 2);
    transacts_through_trouble(&franz, 2);
    transacts_through_trouble(&franz, 1);
}

#[test]
#[ignore = "needs a C compiler and librdkafka: see CONTRIBUTING.md"]
fn librdkafka_transacts_and_reads_back() {
    transacts_and_reads_back(&Client::librdkafka("librdkafka-transacts"), &CLUSTERS);
}

#[test]
#[ignore = "needs a C compiler and librdkafka: see CONTRIBUTING.md"]
fn librdkafka_survives_trouble() {
    let librdkafka = Client::librdkafka("librdkafka-trouble");
    survives_trouble(&librdkafka, 2);
    transacts_through_trouble(&librdkafka, 2);
}
