//! Consume, transform, produce in a process of its own that is killed again and again: each input record arrives once.
//!
//! The process is this test binary, started with one test's name and an environment variable that makes that test copy. It
//! reads through the small consumer of the examples, and says on stdout how far it is.

use crate::cluster::{RealKafka, signal};
use crate::java::Version;
use crate::numbered::{Producer, producer, producer_at};
use crate::reader_of_examples::Reader;
use kafka_producer::{ConsumerGroupMetadata, Error, ErrorKind, ProducerRecord};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// `BOOTSTRAP NAME`: makes `the_copier` one.
const JOB: &str = "KAFKA_PRODUCER_COPIER";
const MORE: usize = 1_500;
const PARTITIONS: u32 = 3;
const KILLS: usize = 20;
const PATIENCE: Duration = Duration::from_secs(90);

#[test]
#[ignore = "needs Java and Maven: see README"]
fn a_copier_killed_twenty_times_on_4_3() {
    killed_again_and_again(RealKafka::shared(Version::V4_3));
}

#[test]
#[ignore = "needs Java and Maven: see README"]
fn a_copier_killed_twenty_times_on_3_9() {
    killed_again_and_again(RealKafka::shared(Version::V3_9));
}

fn killed_again_and_again(kafka: &RealKafka) {
    let name = "copier";
    let mut input = Input::new(kafka, name);
    let mut random = 0x9e37_79b9_u32;
    let mut stopped = None;
    for kill in 0..KILLS {
        // So that there is something to copy, however fast the last one was.
        input.grow();
        let mut copier = Copier::start(kafka, name);
        // Before it is ready, between transactions, or anywhere in one.
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        for _ in 0..(random >> 16) % 20 {
            copier.next_line();
        }
        if kill == KILLS / 2 {
            // This one is not dead, and will want to go on.
            input.grow();
            copier.until("sent");
            signal("-STOP", &copier.child);
            stopped = Some(copier);
        } else {
            copier.kill();
        }
    }
    let mut last = Copier::start(kafka, name);
    last.until("end");
    last.kill();
    let mut zombie = stopped.expect("one was stopped");
    signal("-CONT", &zombie.child);
    zombie.until("fenced");
    zombie.kill();
    verify(kafka, name, input.records);
}

/// What there is to copy: numbers, more of them before each kill.
struct Input {
    producer: Producer,
    topic: String,
    records: usize,
}

impl Input {
    fn new(kafka: &RealKafka, name: &str) -> Self {
        let topic = format!("{name}-in");
        kafka.create_topic(&topic, PARTITIONS, 1, &[]);
        kafka.create_topic(&format!("{name}-out"), PARTITIONS, 1, &[]);
        // Small batches: the copier reads, and so commits, a few at a time.
        Self { producer: producer(kafka, &[("batch.size", "1000")]), topic, records: 0 }
    }

    fn grow(&mut self) {
        for n in self.records..self.records + MORE {
            let (partition, value) = ((n % PARTITIONS as usize) as i32, n.to_string());
            let record = ProducerRecord::new(&self.topic, value.as_bytes()).partition(partition);
            self.producer.send(record).expect("it enters").detach();
        }
        self.records += MORE;
        self.producer.flush().expect("all is delivered");
        assert_eq!(self.producer.metrics().records_failed, 0);
    }
}

/// Output equals input, each record once and in order; the group is at the end of the input.
fn verify(kafka: &RealKafka, name: &str, records: usize) {
    let mut found: BTreeMap<i32, Vec<(i64, usize)>> = BTreeMap::new();
    kafka.read_committed(&format!("{name}-out"), |record| {
        let value = String::from_utf8(record.value.expect("a value")).expect("text");
        let number = value.strip_prefix("copy of ").and_then(|n| n.parse().ok()).expect("a copy");
        found.entry(record.partition).or_default().push((record.offset, number));
    });
    for partition in 0..PARTITIONS as usize {
        let copies: Vec<usize> =
            found.remove(&(partition as i32)).unwrap_or_default().into_iter().map(|(_, n)| n).collect();
        let expected: Vec<usize> = (partition..records).step_by(PARTITIONS as usize).collect();
        assert_eq!(copies.len(), expected.len(), "partition {partition}");
        assert!(copies == expected, "partition {partition} is out of order, or not the input");
    }
    let mut offsets = kafka.demand(&format!("group-offsets {name}"));
    offsets.sort();
    let ends = kafka.offsets(&format!("{name}-in")).into_iter().enumerate();
    let expected: Vec<String> = ends.map(|(n, (_, end))| format!("{name}-in {n} {end}")).collect();
    assert_eq!(offsets, expected);
}

/// A copier's process and what it says.
struct Copier {
    child: Child,
    lines: Receiver<String>,
}

impl Copier {
    fn start(kafka: &RealKafka, name: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
        command.args(["--ignored", "--exact", "copier::the_copier", "--nocapture"]);
        command.env(JOB, format!("{} {name}", kafka.bootstrap()));
        let mut child = command.stdout(Stdio::piped()).stdin(Stdio::null()).spawn().expect("it starts");
        let stdout = child.stdout.take().expect("stdout is piped");
        let (said, lines) = channel();
        std::thread::Builder::new()
            .name("copier-stdout".into())
            .spawn(move || {
                let ours = BufReader::new(stdout).lines().map_while(Result::ok);
                ours.filter_map(|line| line.strip_prefix("copier: ").map(str::to_owned))
                    .try_for_each(|line| said.send(line))
            })
            .expect("a thread");
        Self { child, lines }
    }

    fn next_line(&mut self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("the copier goes on")
    }

    fn until(&mut self, what: &str) {
        while self.next_line() != what {}
    }

    /// As the kernel does it: without a word.
    fn kill(&mut self) {
        self.child.kill().expect("our child");
        self.child.wait().expect("our child");
    }
}

impl Drop for Copier {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The copier itself, in a process of its own; not a test.
#[test]
#[ignore = "the process that `copier` starts"]
fn the_copier() {
    let Ok(job) = std::env::var(JOB) else { return };
    let (bootstrap, name) = job.split_once(' ').expect("BOOTSTRAP NAME");
    // The one that is stopped must not be over its deadlines when it goes on, however long the others take.
    let settings = [
        ("transactional.id", name),
        ("linger.ms", "0"),
        ("max.block.ms", "3600000"),
        ("delivery.timeout.ms", "3600000"),
    ];
    let producer = producer_at(bootstrap, &settings);
    let error = match copy(&producer, bootstrap, name) {
        // A `send` waits for no coordinator, so it cannot always know why the transaction failed: the next one can.
        Err(error) if error.requires_abort() => producer.transaction().map(drop).expect_err("fenced"),
        Err(error) => error,
        Ok(never) => match never {},
    };
    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
    say("fenced");
    // Until it is killed: whoever closes a producer in order proves nothing.
    std::thread::park();
}

fn say(what: &str) {
    println!("copier: {what}");
}

fn copy(producer: &Producer, bootstrap: &str, name: &str) -> Result<Infallible, Error> {
    let (input, output) = (format!("{name}-in"), format!("{name}-out"));
    producer.init_transactions()?;
    say("ready");
    let group = ConsumerGroupMetadata::new(name);
    let mut reader = Reader::open(bootstrap, &input, Some(name)).expect("a reader");
    reader.fetch_at_most(3000);
    loop {
        let (records, at_end) = reader.poll(Duration::from_millis(100)).expect("the broker answers");
        if records.is_empty() && at_end {
            say("end");
            continue;
        }
        let transaction = producer.transaction()?;
        for record in &records {
            let value = format!("copy of {}", String::from_utf8_lossy(&record.value));
            let copy = ProducerRecord::new(&output, value.as_bytes()).partition(record.partition);
            transaction.send(copy)?.detach();
        }
        say("sent");
        transaction.send_offsets(&reader.positions(), &group)?;
        say("offsets");
        transaction.commit()?;
        say("committed");
    }
}
