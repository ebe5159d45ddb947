//! Measures what one bad broker of three costs the records for the other two: their rate and latency before, while
//! and after it misbehaves, for each kind of misbehaviour.
//!
//! ```text
//! cargo run --release --example stalls -- --fault all --rate 20000 --seconds 5
//! ```
//! One thread and one partition per broker, on the embedded cluster in this process. Every record's latency is
//! measured, from before `send` until a waiting thread has its outcome. With `--rate 0` the threads send as fast as
//! they can. See docs/reliability.md for what to expect.

#![expect(clippy::disallowed_methods, reason = "measures time, and sleeps to keep to --rate")]

use kafka_producer::mock::{Fault, MockCluster};
use kafka_producer::protocol::ApiKey;
use kafka_producer::{
    BytesSerializer, DeliveryFuture, KafkaProducer, ProducerConfig, ProducerRecord, StringSerializer,
};
use std::error::Error;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

#[path = "support/args.rs"]
mod args;
#[path = "support/latency.rs"]
mod latency;

use args::Args;
use latency::Latencies;

type Producer = KafkaProducer<str, [u8]>;

const HELP: &str = "\
Sends to three brokers, lets one misbehave, and prints what that costs the other two.

  --fault KIND        paused, deaf (accepts and never reads), name (its name takes --hang seconds to
                      resolve, after its connections were cut), callback (callbacks of its records
                      sleep 100 ms), or all (default)
  --rate N            records per second for each broker; 0: as many as can be (default 5000)
  --size BYTES        of a record's value (default 1000)
  --seconds S         for each of the three phases: before, during, after (default 5)
  --hang S            how long the look-up of a name takes (default 30)
  --buffer-memory N   buffer.memory in bytes (default 33554432)
  --ratio R           buffer.memory.per.broker.ratio (default 0.5)
  --check             fail unless the others keep 90 % of their rate and at most twice their p99; for
                      a machine with nothing else to do
  --help              this text";

struct Options {
    faults: Vec<Kind>,
    rate: f64,
    size: usize,
    phase: Duration,
    hang: Duration,
    memory: usize,
    ratio: f64,
    check: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Paused,
    Deaf,
    Name,
    Callback,
}

const ALL: [(&str, Kind); 4] =
    [("paused", Kind::Paused), ("deaf", Kind::Deaf), ("name", Kind::Name), ("callback", Kind::Callback)];

fn main() -> ExitCode {
    args::run("stalls", HELP, parse, run)
}

fn parse(args: &mut Args) -> Result<Options, String> {
    let mut o = Options {
        faults: ALL.map(|(_, kind)| kind).to_vec(),
        rate: 5000.0,
        size: 1000,
        phase: Duration::from_secs(5),
        hang: Duration::from_secs(30),
        memory: 32 << 20,
        ratio: 0.5,
        check: false,
    };
    while let Some(flag) = args.next_flag()? {
        match flag.as_str() {
            "--fault" => {
                let name = args.value()?;
                let named = |(n, kind): &(&str, Kind)| (name == *n || name == "all").then_some(*kind);
                o.faults = ALL.iter().filter_map(named).collect();
                if o.faults.is_empty() {
                    return Err(format!("{name} is no kind of fault"));
                }
            }
            "--rate" => o.rate = args.number()?,
            "--size" => o.size = args.number()?,
            "--seconds" => o.phase = Duration::from_secs(args.number()?),
            "--hang" => o.hang = Duration::from_secs(args.number()?),
            "--buffer-memory" => o.memory = args.number()?,
            "--ratio" => o.ratio = args.number()?,
            "--check" => o.check = true,
            _ => return Err(format!("unknown option {flag}")),
        }
    }
    Ok(o)
}

fn run(options: Options) -> Result<(), Box<dyn Error>> {
    println!(
        "{:9} {:8} {:>12} {:>8} {:>9} {:>9} {:>9}   {:>12} {:>11}",
        "fault", "phase", "others/s", "of rate", "p50 ms", "p99 ms", "max ms", "bad broker/s", "memory MiB"
    );
    let mut kept = true;
    for kind in &options.faults {
        kept &= measure(*kind, &options)?;
    }
    match kept || !options.check {
        true => Ok(()),
        false => Err("the others did not keep 90 % of their rate and twice their p99".into()),
    }
}

/// What the threads share; the first second is a phase of its own.
struct Load {
    producer: Producer,
    phase: AtomicUsize,
    stop: AtomicBool,
    /// By phase; of the healthy brokers' records, and of the bad one's.
    healthy: [Latencies; 4],
    bad: [Latencies; 4],
    sleepy: AtomicBool,
}

const WARM_UP: usize = 0;
const BEFORE: usize = 1;
const DURING: usize = 2;
const AFTER: usize = 3;

fn measure(kind: Kind, o: &Options) -> Result<bool, Box<dyn Error>> {
    let cluster = MockCluster::builder().brokers(3).topic("t", 3).journal(0).start()?;
    let slow_port = Arc::new(AtomicU16::new(0));
    let load = Load {
        producer: open(&cluster, o, &slow_port)?,
        phase: AtomicUsize::new(WARM_UP),
        stop: AtomicBool::new(false),
        healthy: [0; 4].map(|_| Latencies::new()),
        bad: [0; 4].map(|_| Latencies::new()),
        sleepy: AtomicBool::new(false),
    };
    load.producer.connect(Duration::from_secs(10))?;
    let node = cluster.leader("t", 0).ok_or("partition 0 has no leader")?;
    let port = cluster.address(node).and_then(|a| a.rsplit(':').next()?.parse().ok()).ok_or("no port")?;
    std::thread::scope(|s| {
        for partition in 0..3 {
            let load = &load;
            let (queue, outcomes) = mpsc::channel();
            s.spawn(move || send(load, partition, kind, o, &queue));
            s.spawn(move || collect(load, partition, &outcomes));
        }
        // The first second fills caches and opens connections.
        std::thread::sleep(Duration::from_secs(1));
        let mut kept = true;
        let mut base = None;
        for phase in [BEFORE, DURING, AFTER] {
            let turned = turn(kind, phase, &cluster, node, port, &load, &slow_port);
            load.phase.store(phase, SeqCst);
            std::thread::sleep(o.phase);
            kept &= report(kind, phase, &load, o.phase, &mut base);
            if let Err(error) = turned {
                eprintln!("cannot make the fault: {error}");
            }
        }
        load.stop.store(true, SeqCst);
        Ok(kept)
    })
}

fn open(cluster: &MockCluster, o: &Options, slow_port: &Arc<AtomicU16>) -> Result<Producer, Box<dyn Error>> {
    let config = ProducerConfig::builder(cluster.bootstrap_servers().split(','))
        .buffer_memory(o.memory)
        .set("buffer.memory.per.broker.ratio", o.ratio.to_string())
        .max_block(Duration::from_secs(3600))
        .build()?;
    let (slow, hang) = (Arc::clone(slow_port), o.hang);
    let look_up = move |_: &str, port: u16| {
        if slow.load(SeqCst) == port {
            std::thread::sleep(hang);
        }
        Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))])
    };
    Ok(KafkaProducer::builder(config, StringSerializer, BytesSerializer).resolver(look_up).build()?)
}

/// Begins or ends the fault.
fn turn(
    kind: Kind,
    phase: usize,
    cluster: &MockCluster,
    node: i32,
    port: u16,
    load: &Load,
    slow_port: &AtomicU16,
) -> std::io::Result<()> {
    match (kind, phase) {
        (Kind::Paused, DURING) => cluster.pause_broker(node)?,
        (Kind::Paused, AFTER) => cluster.resume_broker(node)?,
        (Kind::Deaf, DURING) => {
            cluster.inject(Fault::on(ApiKey::PRODUCE).node(node).stop_reading());
        }
        (Kind::Deaf, AFTER) => cluster.disconnect(node)?,
        (Kind::Name, DURING) => {
            slow_port.store(port, SeqCst);
            cluster.disconnect(node)?;
        }
        (Kind::Name, AFTER) => slow_port.store(0, SeqCst),
        (Kind::Callback, DURING) => load.sleepy.store(true, SeqCst),
        (Kind::Callback, AFTER) => load.sleepy.store(false, SeqCst),
        _ => {}
    }
    Ok(())
}

/// One thread's records, to one broker.
fn send(
    load: &Load,
    partition: i32,
    kind: Kind,
    o: &Options,
    queue: &mpsc::Sender<(Instant, DeliveryFuture)>,
) {
    let value = vec![b'x'; o.size];
    let (begin, mut sent) = (Instant::now(), 0.0);
    while !load.stop.load(SeqCst) {
        if o.rate > 0.0 {
            let due = begin + Duration::from_secs_f64(sent / o.rate);
            let ahead = due.saturating_duration_since(Instant::now());
            if ahead > Duration::from_millis(1) {
                std::thread::sleep(ahead);
            }
        }
        sent += 1.0;
        let record = ProducerRecord::new("t", &value).partition(partition);
        let now = Instant::now();
        match load.producer.send(record) {
            Ok(handle) => {
                if kind == Kind::Callback && partition == 0 && load.sleepy.load(SeqCst) {
                    handle.clone().on_complete(|_| std::thread::sleep(Duration::from_millis(100)));
                }
                if queue.send((now, handle)).is_err() {
                    return;
                }
            }
            Err(error) => return eprintln!("a record did not enter: {error}"),
        }
    }
}

/// Waits for one thread's records, in order.
fn collect(load: &Load, partition: i32, outcomes: &mpsc::Receiver<(Instant, DeliveryFuture)>) {
    for (sent, handle) in outcomes {
        // At the end some are still with the bad broker; nobody needs to wait for its timeouts.
        let result = loop {
            match handle.get_timeout(Duration::from_secs(1)) {
                Some(result) => break result.map(drop),
                None if load.stop.load(SeqCst) => return,
                None => {}
            }
        };
        let phase = load.phase.load(SeqCst);
        let latencies = if partition == 0 { &load.bad } else { &load.healthy };
        match result {
            Ok(()) => latencies[phase].record(sent.elapsed()),
            Err(error) => eprintln!("a record failed: {error}"),
        }
    }
}

fn report(kind: Kind, phase: usize, load: &Load, time: Duration, base: &mut Option<(f64, f64)>) -> bool {
    let [healthy, bad] = [&load.healthy[phase], &load.bad[phase]];
    let [p50, p99] = [0.5, 0.99].map(|part| healthy.percentile(part));
    let rate = |l: &Latencies| l.count() as f64 / time.as_secs_f64();
    let (before, p99_before) = *base.get_or_insert((rate(healthy), p99));
    let metrics = load.producer.metrics();
    let held = metrics.buffer_total_bytes - metrics.buffer_available_bytes;
    println!(
        "{:9} {:8} {:12.0} {:>7.1}% {p50:9.2} {p99:9.2} {:9.2}   {:12.0} {:11.1}",
        format!("{kind:?}").to_lowercase(),
        ["warm-up", "before", "during", "after"][phase],
        rate(healthy),
        100.0 * rate(healthy) / before,
        healthy.summary().max,
        rate(bad),
        held as f64 / f64::from(1 << 20),
    );
    phase != DURING || (rate(healthy) >= 0.9 * before && p99 <= 2.0 * p99_before)
}
