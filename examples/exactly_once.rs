//! Consume, transform, produce: each input record has its effect exactly once, although the program is interrupted again
//! and again in the middle of its work.
//!
//! What was read (offsets) and what was written (records) are committed in one transaction. A copy of the program that takes
//! over fences the one before it by the transactional id, and goes on where the last committed transaction ended.
//!
//! ```text
//! cargo run --release --example exactly_once
//! cargo run --release --example exactly_once -- --bootstrap-server localhost:9092
//! ```
//!
//! The consumer here is a small one of this directory's own, over the embedded cluster or a real one;
//! `examples/exactly_once_kafka` does the same with a consumer library.

use kafka_producer::{
    ConsumerGroupMetadata, Error as KafkaError, ErrorKind, KafkaProducer, ProducerConfig, ProducerRecord,
};
use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[path = "support/args.rs"]
mod args;
#[path = "support/brokers.rs"]
mod brokers;
#[path = "support/logger.rs"]
mod logger;

use brokers::Brokers;
use brokers::reader::Reader;

type Result<T = ()> = std::result::Result<T, Box<dyn Error + Send + Sync>>;
type Producer = KafkaProducer<[u8], [u8]>;

const HELP: &str = "\
Copies a topic in capital letters, is interrupted in the middle of transactions, and checks that each record arrived once.

  --bootstrap-server HOST:PORT   a real cluster that creates topics on demand; otherwise three brokers are started
                                 inside this process
  --records COUNT                input records; 5000 unless told
  --help                         this text";

/// How often the copier is interrupted.
const CRASHES: usize = 5;

struct Options {
    server: Option<String>,
    records: usize,
}

/// The names of one run.
struct Job {
    servers: String,
    input: String,
    output: String,
    group: String,
}

fn main() -> ExitCode {
    let parse = |args: &mut args::Args| {
        let mut options = Options { server: None, records: 5000 };
        while let Some(flag) = args.next_flag()? {
            match flag.as_str() {
                "--bootstrap-server" => options.server = Some(args.value()?),
                "--records" => options.records = args.number()?,
                _ => return Err(format!("unknown option {flag}")),
            }
        }
        Ok(options)
    };
    args::run("exactly_once", HELP, parse, |options| run(options).map_err(|e| -> Box<dyn Error> { e }))
}

fn run(Options { server, records }: Options) -> Result {
    logger::start();
    let brokers = Brokers::find(server, 3)?;
    brokers.announce();
    let run = micros()?;
    let job = Job {
        servers: brokers.servers().to_owned(),
        input: format!("exactly-once-in-{run}"),
        output: format!("exactly-once-out-{run}"),
        group: format!("exactly-once-{run}"),
    };

    fill(&job, records)?;
    println!("input        {records} records");
    let mut zombie = None;
    for crash in 0..CRASHES {
        // Each copier leaves a transaction open, like a process that is killed. The next one fences it.
        let after = records * (crash + 1) / (CRASHES + 2);
        zombie = Some(copy(&job, Some(after))?);
    }
    let last = copy(&job, None)?;
    println!(
        "copied       by {} copiers, of which {CRASHES} ended in the middle of a transaction",
        CRASHES + 1
    );
    if let Some(zombie) = zombie {
        check_fenced(&zombie, &job)?;
    }
    last.close()?;
    check(&job, records)
}

/// Names that no earlier run has used.
#[expect(clippy::disallowed_methods, reason = "an example, not the library")]
fn micros() -> Result<u128> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros())
}

fn fill(job: &Job, records: usize) -> Result {
    let producer = Producer::open(ProducerConfig::new(&job.servers)?)?;
    for n in 0..records {
        let (key, value) = (format!("key-{}", n % 50), format!("record {n}"));
        producer.send(ProducerRecord::new(&job.input, value.as_bytes()).key(key.as_bytes()))?.detach();
    }
    producer.flush()?;
    match producer.metrics().records_failed {
        0 => Ok(producer.close()?),
        failed => Err(format!("{failed} input records could not be written").into()),
    }
}

/// The program proper. `interrupt_after`: stop without a word in the transaction that goes beyond so many records.
fn copy(job: &Job, interrupt_after: Option<usize>) -> Result<Producer> {
    let config = ProducerConfig::builder(job.servers.split(','))
        .transactional_id(format!("{}-copier", job.group))
        .build()?;
    let producer = Producer::open(config)?;
    // Before the offsets are read: what a predecessor left open is aborted here, and a commit that it began is over.
    producer.init_transactions()?;
    let group = ConsumerGroupMetadata::new(&*job.group);
    let mut reader = Reader::open(&job.servers, &job.input, Some(&job.group))?;
    let mut copied = 0;
    loop {
        let (records, at_end) = reader.poll(Duration::from_millis(100))?;
        if records.is_empty() {
            if at_end {
                return Ok(producer);
            }
            continue;
        }
        let transaction = producer.transaction()?;
        for record in &records {
            let output = record.value.to_ascii_uppercase();
            let key = record.key.as_deref().unwrap_or_default();
            transaction.send(ProducerRecord::new(&job.output, &output).key(key))?.detach();
        }
        transaction.send_offsets(&reader.positions(), &group)?;
        copied += records.len();
        if interrupt_after.is_some_and(|after| copied >= after) {
            producer.flush()?;
            // As if the process were killed: nobody aborts.
            std::mem::forget(transaction);
            return Ok(producer);
        }
        // If this failed for good, `?` would abort, and the program would read the group's offsets again.
        transaction.commit().map_err(KafkaError::from)?;
    }
}

/// A copier that was interrupted, and not dead at all, cannot write any more.
fn check_fenced(zombie: &Producer, job: &Job) -> Result {
    let record = ProducerRecord::new(&job.output, b"from the dead".as_slice());
    let sent = zombie.send(record).map(|handle| handle.detach());
    let late = sent.and_then(|()| zombie.commit_transaction());
    // A partition's leader knows only that the epoch is old; the coordinator knows why.
    let late = late.or_else(|e| if e.requires_abort() { zombie.abort_transaction() } else { Err(e) });
    match late {
        Err(error) if error.kind() == ErrorKind::Fenced => println!("fenced       {error}"),
        Err(error) => return Err(format!("the zombie should be fenced: {error}").into()),
        Ok(()) => return Err("the zombie could commit".into()),
    }
    Ok(())
}

fn check(job: &Job, records: usize) -> Result {
    let mut values = Vec::new();
    for record in Reader::read_all(&job.servers, &job.output)? {
        values.push(String::from_utf8(record.value)?);
    }
    let found = values.len();
    values.sort();
    let mut expected: Vec<String> = (0..records).map(|n| format!("RECORD {n}")).collect();
    expected.sort();
    if values != expected {
        return Err(
            format!("{found} records can be read, and they are not the {records} of the input").into()
        );
    }
    let at_end = Reader::open(&job.servers, &job.input, Some(&job.group))?.poll(Duration::ZERO)?;
    if !(at_end.0.is_empty() && at_end.1) {
        return Err("the group's offsets are not at the end of the input".into());
    }
    println!("read back    {found} records, each once, and the group's offsets are at the end");
    Ok(())
}
