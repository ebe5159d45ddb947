//! Measures a producer, with the options and the result lines of `kafka-producer-perf-test`.
//!
//! ```text
//! cargo run --release --example mock_cluster -- --port 9092 --discard &
//! cargo run --release --example producer_perf -- --bootstrap-server localhost:9092 \
//!     --topic perf --num-records 10000000 --record-size 100 --throughput -1
//! ```
//!
//! The loop that sends does as little as it can beside `send`: payloads and keys are made before the clock starts, the
//! clock is read and a callback given for every 61st record only, all others are let go of, and what became of them is
//! read from the producer's counters.

#![expect(clippy::disallowed_methods, reason = "measures time, and sleeps to keep to --throughput")]

use kafka_producer::{BytesSerializer, DeliveryFuture, KafkaProducer, ProducerConfigBuilder, ProducerRecord};
use std::error::Error;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

#[path = "support/args.rs"]
mod args;
#[path = "support/latency.rs"]
mod latency;
#[path = "support/logger.rs"]
mod logger;
#[path = "support/payloads.rs"]
mod payloads;
#[path = "support/usage.rs"]
mod usage;

use args::Args;
use latency::Latencies;
use payloads::{Payloads, Random};
use usage::Cpu;

type Producer = KafkaProducer<[u8], [u8]>;
type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// Of so many records the latency of one is measured. A prime, so as not to fall into step with the size of batches.
const SAMPLE: u64 = 61;
/// With fewer records than this, or paced, every one is measured.
const MEASURE_EACH: u64 = 10_000;
/// Between the lines printed on the way.
const WINDOW: Duration = Duration::from_secs(5);
/// Between two looks at the counters for the progress bar.
const TICK: Duration = Duration::from_millis(200);

const HELP: &str = "\
Sends records as fast as it can, or as told, and prints rate, latency and cost.

  --topic TOPIC              where to (required)
  --num-records N            how many (required)
  --record-size BYTES        of random capital letters, or:
  --payload-file FILE        values are picked at random from this file
  --payload-delimiter TEXT   between the values in the file (default: end of line)
  --throughput N             records per second, in all; -1 for no limit (default)
  --bootstrap-server H:P     brokers to start from, several with commas
  --producer-props K=V ...   settings of the producer, by their Java names (also --command-property)
  --producer.config FILE     the same from a file (also --command-config); --producer-props win
  --threads N                threads that send, sharing one producer (default 1)
  --keys N                   give each record one of N keys; otherwise none has a key
  --warmup-records N         a second line of results leaves out the first N records
  --print-metrics            print the producer's metrics at the end
  --help                     this text

Transactions are not there yet.";

struct Options {
    topic: String,
    records: u64,
    record_size: Option<usize>,
    payload_file: Option<String>,
    delimiter: String,
    throughput: Option<f64>,
    servers: Option<String>,
    properties: Vec<(String, String)>,
    config_file: Option<String>,
    threads: u64,
    keys: usize,
    warmup: u64,
    print_metrics: bool,
}

fn main() -> ExitCode {
    args::run("producer_perf", HELP, parse, run)
}

fn parse(args: &mut Args) -> Result<Options, String> {
    let mut o = Options {
        topic: String::new(),
        records: 0,
        record_size: None,
        payload_file: None,
        delimiter: "\n".to_owned(),
        throughput: None,
        servers: None,
        properties: Vec::new(),
        config_file: None,
        threads: 1,
        keys: 0,
        warmup: 0,
        print_metrics: false,
    };
    while let Some(flag) = args.next_flag()? {
        match flag.as_str() {
            "--topic" => o.topic = args.value()?,
            "--num-records" => o.records = args.number()?,
            "--record-size" => o.record_size = Some(args.number()?),
            "--payload-file" => o.payload_file = Some(args.value()?),
            "--payload-delimiter" => o.delimiter = args.value()?.replace("\\n", "\n"),
            "--throughput" => o.throughput = Some(args.number::<f64>()?).filter(|&rate| rate > 0.0),
            "--bootstrap-server" => o.servers = Some(args.value()?),
            "--producer-props" | "--producer-prop" | "--command-property" => {
                o.properties.push(args.pair()?);
                while let Some(more) = args.optional_value() {
                    o.properties.push(args::split_pair(&flag, &more)?);
                }
            }
            "--producer.config" | "--command-config" => o.config_file = Some(args.value()?),
            "--threads" => o.threads = args.number()?,
            "--keys" => o.keys = args.number()?,
            "--warmup-records" => o.warmup = args.number()?,
            "--print-metrics" => o.print_metrics = true,
            _ => return Err(format!("unknown option {flag}")),
        }
    }
    check(o)
}

fn check(o: Options) -> Result<Options, String> {
    let wrong = match &o {
        _ if o.topic.is_empty() => "--topic is required",
        _ if o.records == 0 => "--num-records is required, and more than 0",
        _ if o.record_size.is_some() == o.payload_file.is_some() => {
            "either --record-size or --payload-file is required, and not both"
        }
        _ if o.delimiter.is_empty() => "--payload-delimiter must not be empty",
        _ if o.warmup >= o.records => "--warmup-records must be fewer than --num-records",
        _ if o.threads == 0 || o.threads > o.records => "--threads must be between 1 and --num-records",
        _ => return Ok(o),
    };
    Err(wrong.to_owned())
}

/// What the threads share.
struct Test {
    topic: String,
    payloads: Payloads,
    keys: Vec<Vec<u8>>,
    records: u64,
    threads: u64,
    warmup: u64,
    sample: u64,
    throughput: Option<f64>,
    all: Latencies,
    steady: Latencies,
    window: Latencies,
    /// When the first thread had sent its share of the warm-up.
    steady_since: OnceLock<Instant>,
    refused: Mutex<Refused>,
}

/// Records that did not enter, or whose callback told of a failure.
#[derive(Default)]
struct Refused {
    first: Option<kafka_producer::Error>,
    sends: u64,
}

impl Test {
    fn new(o: &Options) -> Result<Self> {
        let payloads = match (&o.payload_file, o.record_size) {
            (Some(file), _) => Payloads::from_file(file, &o.delimiter)?,
            (None, size) => Payloads::random(size.unwrap_or_default(), o.records),
        };
        let each = o.records < MEASURE_EACH || o.throughput.is_some_and(|rate| rate < MEASURE_EACH as f64);
        Ok(Self {
            topic: o.topic.clone(),
            payloads,
            keys: (0..o.keys).map(|n| format!("key-{n}").into_bytes()).collect(),
            records: o.records,
            threads: o.threads,
            warmup: o.warmup,
            sample: if each { 1 } else { SAMPLE },
            throughput: o.throughput,
            all: Latencies::new(),
            steady: Latencies::new(),
            window: Latencies::new(),
            steady_since: OnceLock::new(),
            refused: Mutex::default(),
        })
    }

    /// A part of `total` for one thread; the parts add up.
    fn share(&self, total: u64, thread: u64) -> u64 {
        total / self.threads + u64::from(thread < total % self.threads)
    }

    fn failed(&self, error: kafka_producer::Error, sends: u64) {
        let mut refused = self.refused.lock().unwrap_or_else(|e| e.into_inner());
        refused.sends += sends;
        refused.first.get_or_insert(error);
    }
}

fn run(options: Options) -> Result<()> {
    logger::start();
    let test = Arc::new(Test::new(&options)?);
    let mut config = ProducerConfigBuilder::new().set("client.id", "perf-producer-client");
    if let Some(file) = &options.config_file {
        config = config.file(file)?;
    }
    config = config.properties(options.properties.iter().map(|(k, v)| (k.clone(), v.clone())));
    if let Some(servers) = &options.servers {
        config = config.set("bootstrap.servers", servers.clone());
    }
    let producer = Producer::new(config.build()?, BytesSerializer, BytesSerializer)?;
    // The first connection and the topic's metadata are no part of the test.
    producer.partitions_for(&options.topic)?;
    if test.warmup > 0 {
        println!("Warmup first {} records; a second line of results leaves them out.", test.warmup);
    }

    let (cpu, start) = (Cpu::now(), Instant::now());
    let end = std::thread::scope(|s| {
        let (done, finished) = mpsc::channel();
        let (producer, shared) = (&producer, &test);
        s.spawn(move || {
            let _ = done.send(send_all(producer, shared));
        });
        watch(producer, shared, &finished)
    })?;
    let used = cpu.zip(Cpu::now()).map(|(before, after)| after - before);
    report(&test, &producer, start, end, used);
    if options.print_metrics {
        print_metrics(&producer);
    }
    producer.close()?;
    outcome(&test, producer.metrics().records_failed)
}

/// Runs the threads and waits for every outcome; the time when that was.
fn send_all(producer: &Producer, test: &Arc<Test>) -> Result<Instant, kafka_producer::Error> {
    std::thread::scope(|s| {
        for thread in 0..test.threads {
            s.spawn(move || send_share(producer, test, thread));
        }
    });
    producer.flush()?;
    Ok(Instant::now())
}

/// The loop that is measured.
fn send_share(producer: &Producer, test: &Arc<Test>, thread: u64) {
    let (records, warmup) = (test.share(test.records, thread), test.share(test.warmup, thread));
    let mut random = Random::new(thread + 1);
    let mut pace = Pace::new(test.throughput.map(|rate| rate / test.threads as f64));
    for n in 0..records {
        let mut record = ProducerRecord::new(&test.topic, test.payloads.pick(&mut random));
        if !test.keys.is_empty() {
            record = record.key(&test.keys[random.below(test.keys.len())]);
        }
        let steady = n >= warmup;
        if n == warmup {
            test.steady_since.get_or_init(Instant::now);
        }
        let result = if n % test.sample == 0 {
            let (test, sent) = (test.clone(), Instant::now());
            producer.send_with(record, move |result| measure(&test, sent, steady, result.map(drop)))
        } else {
            producer.send(record).map(DeliveryFuture::detach)
        };
        if let Err(error) = result {
            let fatal = error.is_fatal();
            test.failed(error, 1);
            if fatal {
                return;
            }
        }
        pace.keep(n + 1);
    }
}

/// On the callback thread.
fn measure(test: &Test, sent: Instant, steady: bool, result: Result<(), kafka_producer::Error>) {
    let latency = sent.elapsed();
    match result {
        Ok(()) => {
            test.all.record(latency);
            test.window.record(latency);
            if steady {
                test.steady.record(latency);
            }
        }
        Err(error) => test.failed(error, 0),
    }
}

/// Keeps a thread to its rate by sleeping whenever it is a millisecond ahead.
struct Pace {
    start: Instant,
    rate: Option<f64>,
    /// The clock is read once in so many records.
    stride: u64,
}

impl Pace {
    fn new(rate: Option<f64>) -> Self {
        let stride = rate.map_or(1, |rate| ((rate / 1000.0) as u64).max(1));
        Self { start: Instant::now(), rate, stride }
    }

    #[inline]
    fn keep(&mut self, sent: u64) {
        let Some(rate) = self.rate else { return };
        if sent % self.stride != 0 {
            return;
        }
        let due = Duration::from_secs_f64(sent as f64 / rate);
        let ahead = due.saturating_sub(self.start.elapsed());
        if ahead >= Duration::from_millis(1) {
            std::thread::sleep(ahead);
        }
    }
}

/// Prints how it goes until the threads are done.
fn watch(
    producer: &Producer,
    test: &Test,
    finished: &Receiver<Result<Instant, kafka_producer::Error>>,
) -> Result<Instant> {
    let bar = std::io::stderr().is_terminal();
    let tick = if bar { TICK } else { WINDOW };
    let (mut since, mut before) = (Instant::now(), 0);
    loop {
        match finished.recv_timeout(tick) {
            Ok(result) => {
                clear(bar);
                return Ok(result?);
            }
            Err(RecvTimeoutError::Disconnected) => return Err("a sending thread panicked".into()),
            Err(RecvTimeoutError::Timeout) => {}
        }
        let now = producer.metrics().records_acknowledged;
        if since.elapsed() >= WINDOW {
            clear(bar);
            let (records, seconds, latency) =
                (now - before, since.elapsed().as_secs_f64(), test.window.take());
            println!(
                "{records} records sent, {:.1} records/sec ({:.2} MB/sec), {:.1} ms avg latency, {:.1} ms max latency.",
                records as f64 / seconds,
                megabytes(test, records) / seconds,
                latency.average,
                latency.max
            );
            (since, before) = (Instant::now(), now);
        }
        if bar {
            draw(now, test.records);
        }
    }
}

fn draw(done: u64, total: u64) {
    const WIDTH: u64 = 40;
    let filled = (done.min(total) * WIDTH / total) as usize;
    let bar = "#".repeat(filled) + &"-".repeat(WIDTH as usize - filled);
    eprint!("\r[{bar}] {:3} %  {done} of {total}", done.min(total) * 100 / total);
}

fn clear(bar: bool) {
    if bar {
        eprint!("\r\x1b[K");
    }
}

fn megabytes(test: &Test, records: u64) -> f64 {
    records as f64 * test.payloads.mean_len() / (1024.0 * 1024.0)
}

fn report(test: &Test, producer: &Producer, start: Instant, end: Instant, used: Option<Cpu>) {
    let records = producer.metrics().records_acknowledged;
    print_total(test, "", records, end - start, &test.all);
    if let Some(since) = test.steady_since.get().filter(|_| test.warmup > 0) {
        let steady = records.saturating_sub(test.warmup);
        print_total(test, " steady state", steady, end.saturating_duration_since(*since), &test.steady);
    }
    print_cpu(records, used);
    match usage::peak_memory() {
        Some(bytes) => println!(
            "{:.1} MiB peak memory, {:.1} MiB of it payloads and keys made beforehand",
            mebibytes(bytes as usize),
            mebibytes(test.payloads.total_len() + test.keys.iter().map(Vec::len).sum::<usize>())
        ),
        None => println!("peak memory: unknown on this system"),
    }
    if test.sample > 1 {
        println!("Latencies are those of every {}st record.", test.sample);
    }
}

fn print_cpu(records: u64, used: Option<Cpu>) {
    let Some(Cpu { user, system }) = used else {
        return println!("CPU seconds per million records: unknown on this system");
    };
    if user + system < Duration::from_millis(200) {
        return println!("CPU seconds per million records: too short a run to say");
    }
    let each = |time: Duration| time.as_secs_f64() / (records.max(1) as f64 / 1e6);
    let (all, user, system) = (each(user + system), each(user), each(system));
    println!("{all:.3} CPU seconds per million records ({user:.3} user, {system:.3} system)");
}

fn print_metrics(producer: &Producer) {
    println!("\n{:<80} Value", "Metric Name");
    for metric in &producer.metrics() {
        let tags: Vec<String> = metric.tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let name = format!("{}:{}:{{{}}}", metric.group, metric.name, tags.join(", "));
        match metric.value.as_f64() {
            Some(value) => println!("{name:<80} : {value:.3}"),
            None => println!("{name:<80} : {:?}", metric.value),
        }
    }
}

fn mebibytes(bytes: usize) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
}

fn print_total(test: &Test, which: &str, records: u64, elapsed: Duration, latencies: &Latencies) {
    let seconds = elapsed.as_secs_f64().max(1e-9);
    let latency = latencies.summary();
    let [p50, p95, p99, p999] = [0.5, 0.95, 0.99, 0.999].map(|part| latencies.percentile(part) as u64);
    println!(
        "{records}{which} records sent, {:.6} records/sec ({:.2} MB/sec), {:.2} ms avg latency, {:.2} ms max \
         latency, {p50} ms 50th, {p95} ms 95th, {p99} ms 99th, {p999} ms 99.9th.",
        records as f64 / seconds,
        megabytes(test, records) / seconds,
        latency.average,
        latency.max
    );
}

/// Every record that was not acknowledged makes the test a failure.
fn outcome(test: &Test, failed: u64) -> Result<()> {
    let refused = test.refused.lock().unwrap_or_else(|e| e.into_inner());
    let lost = failed + refused.sends;
    match &refused.first {
        _ if lost == 0 => Ok(()),
        Some(first) => Err(format!("{lost} records failed; the first error seen: {first}").into()),
        None => Err(format!("{lost} records failed; the log says why").into()),
    }
}
