//! What the Rust arms share: the command line, the payloads, the clock and the one line of JSON.
//!
//! The Go and Java arms repeat this file in their language; `README.md` states the contract once for all.

use std::ops::Range;
use std::time::{Duration, Instant};

/// What an arm is told. `None` leaves a setting at the client's own default.
#[derive(Clone, Debug)]
pub struct Options {
    pub bootstrap: String,
    pub topic: String,
    pub records: usize,
    pub warmup: usize,
    pub size: usize,
    pub keys: Option<usize>,
    pub linger_ms: Option<u64>,
    pub batch_size: Option<usize>,
    pub buffer_memory: Option<usize>,
    pub acks: String,
    pub idempotence: bool,
    pub compression: String,
    pub level: Option<i32>,
    pub threads: usize,
    pub mode: Mode,
    pub payload_file: String,
    /// How an arm that offers several ways learns of outcomes: its name for that way.
    pub outcome: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As fast as it goes; a flush ends the time.
    Throughput,
    /// One record at a time, each waited for.
    Sync,
    /// So many records a second, evenly; each is timed from the moment it was due to its outcome. Not every arm has it.
    Paced(usize),
}

impl Options {
    /// Reads the program's arguments, or ends the program with a message.
    pub fn from_args() -> Self {
        Self::parse(std::env::args().skip(1)).unwrap_or_else(|error| {
            eprintln!("{error}");
            std::process::exit(2)
        })
    }

    fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut o = Self {
            bootstrap: "127.0.0.1:9092".to_owned(),
            topic: "bench".to_owned(),
            records: 1_000_000,
            warmup: 0,
            size: 100,
            keys: None,
            linger_ms: None,
            batch_size: None,
            buffer_memory: None,
            acks: "all".to_owned(),
            idempotence: true,
            compression: "none".to_owned(),
            level: None,
            threads: 1,
            mode: Mode::Throughput,
            payload_file: String::new(),
            outcome: None,
        };
        while let Some(flag) = args.next() {
            let value = args.next().ok_or_else(|| format!("{flag} needs a value"))?;
            match flag.as_str() {
                "--bootstrap" => o.bootstrap = value,
                "--topic" => o.topic = value,
                "--records" => o.records = number(&flag, &value)?,
                "--warmup" => o.warmup = number(&flag, &value)?,
                "--size" => o.size = number(&flag, &value)?,
                "--keys" => o.keys = Some(number(&flag, &value)?),
                "--linger-ms" => o.linger_ms = Some(number(&flag, &value)?),
                "--batch-size" => o.batch_size = Some(number(&flag, &value)?),
                "--buffer-memory" => o.buffer_memory = Some(number(&flag, &value)?),
                "--acks" => o.acks = value,
                "--idempotence" => o.idempotence = number(&flag, &value)?,
                "--compression" => o.compression = value,
                "--level" => o.level = Some(number(&flag, &value)?),
                "--threads" => o.threads = number(&flag, &value)?,
                "--mode" if value == "sync" => o.mode = Mode::Sync,
                "--mode" if value == "throughput" => o.mode = Mode::Throughput,
                "--pace" => o.mode = Mode::Paced(number(&flag, &value)?),
                "--payload-file" => o.payload_file = value,
                "--outcome" => o.outcome = Some(value),
                _ => return Err(format!("unknown option {flag} {value}")),
            }
        }
        if o.threads == 0 || o.size == 0 {
            return Err("--threads and --size are at least 1".to_owned());
        }
        Ok(o)
    }

    /// The settings that every client of the Java family takes under Java's names.
    pub fn java_properties(&self) -> Vec<(&'static str, String)> {
        let mut properties = vec![
            ("bootstrap.servers", self.bootstrap.clone()),
            ("acks", self.acks.clone()),
            ("enable.idempotence", self.idempotence.to_string()),
            ("compression.type", self.compression.clone()),
        ];
        if let Some(linger) = self.linger_ms {
            properties.push(("linger.ms", linger.to_string()));
        }
        if let Some(size) = self.batch_size {
            properties.push(("batch.size", size.to_string()));
        }
        if let Some(bytes) = self.buffer_memory {
            properties.push(("buffer.memory", bytes.to_string()));
        }
        if let (Some(level), "gzip" | "lz4" | "zstd") = (self.level, self.compression.as_str()) {
            let name = match self.compression.as_str() {
                "gzip" => "compression.gzip.level",
                "lz4" => "compression.lz4.level",
                _ => "compression.zstd.level",
            };
            properties.push((name, level.to_string()));
        }
        properties
    }

    /// Which of `total` records `thread` sends.
    pub fn share(&self, total: usize, thread: usize) -> Range<usize> {
        total * thread / self.threads..total * (thread + 1) / self.threads
    }
}

fn number<T: std::str::FromStr>(flag: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{flag}: {text:?} is not a value it can take"))
}

/// Values of one size, end to end as the file has them, and the keys; all made before the clock starts.
pub struct Payloads {
    bytes: Vec<u8>,
    size: usize,
    count: usize,
    keys: Vec<String>,
}

impl Payloads {
    pub fn load(options: &Options) -> Self {
        let bytes = std::fs::read(&options.payload_file).expect("--payload-file can be read");
        let count = bytes.len() / options.size;
        assert!(count > 0, "--payload-file holds no payload of {} bytes", options.size);
        let keys = (0..options.keys.unwrap_or(0)).map(|n| format!("user-{n:06}")).collect();
        Self { bytes, size: options.size, count, keys }
    }

    /// The value of record `index`.
    #[inline]
    pub fn value(&self, index: usize) -> &[u8] {
        let start = index % self.count * self.size;
        &self.bytes[start..start + self.size]
    }

    /// The values, end to end, for a client that takes them in a form of its own. Only keys are left.
    pub fn take_values(&mut self) -> Vec<u8> {
        self.bytes.truncate(self.count * self.size);
        std::mem::take(&mut self.bytes)
    }

    /// The key of record `index`, in an order without runs.
    #[inline]
    pub fn key(&self, index: usize) -> Option<&str> {
        if self.keys.is_empty() {
            return None;
        }
        Some(&self.keys[(index as u64 * 2_654_435_761 % self.keys.len() as u64) as usize])
    }
}

/// The clock and the CPU time of the process, from `start` on.
pub struct Stopwatch {
    at: Instant,
    cpu: (f64, f64),
    switches: u64,
}

impl Stopwatch {
    pub fn start() -> Self {
        Self { cpu: cpu_seconds(), switches: voluntary_switches(), at: Instant::now() }
    }

    /// Prints the result: the last thing an arm does before it closes its producer.
    pub fn report(self, options: &Options, errors: u64, latencies: Option<Latencies>) {
        let measured = self.measured(options);
        let latencies = latencies.map(|latencies| format!(",{}", latencies.json())).unwrap_or_default();
        println!("{{{measured},\"errors\":{errors}{latencies}}}");
    }

    /// The same for an arm that sends nothing: also what no sink can count.
    pub fn report_made(self, options: &Options, batches: u64, bytes: u64) {
        println!("{{{},\"errors\":0,\"batches\":{batches},\"sent_bytes\":{bytes}}}", self.measured(options));
    }

    fn measured(&self, options: &Options) -> String {
        let seconds = self.at.elapsed().as_secs_f64();
        let (user, system) = cpu_seconds();
        format!(
            "\"records\":{},\"seconds\":{seconds:.6},\"user\":{:.2},\"system\":{:.2},\"max_rss_kib\":{},\"switches\":{}",
            options.records,
            user - self.cpu.0,
            system - self.cpu.1,
            status_field("VmHWM:"),
            voluntary_switches().saturating_sub(self.switches),
        )
    }
}

/// User and system seconds of the whole process, all threads, ended ones too.
fn cpu_seconds() -> (f64, f64) {
    let text = std::fs::read_to_string("/proc/self/stat").expect("procfs");
    // The second field is the program's name in parentheses and may hold spaces.
    let fields: Vec<&str> = text[text.rfind(')').expect("a name") + 2..].split(' ').collect();
    let ticks = |n: usize| fields[n].parse::<f64>().expect("a number") / 100.0;
    (ticks(11), ticks(12))
}

fn status_field(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").expect("procfs");
    let line = text.lines().find(|line| line.starts_with(name)).expect("the field");
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number")
}

/// Of all threads that are alive.
fn voluntary_switches() -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").expect("procfs");
    let texts = tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("status")).ok());
    let counts = texts.filter_map(|text| {
        let line = text.lines().find(|line| line.starts_with("voluntary_ctxt_switches:"))?.to_owned();
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    });
    counts.sum()
}

/// How long each waited-for record took.
#[derive(Default)]
pub struct Latencies(Vec<Duration>);

impl Latencies {
    pub fn with_capacity(records: usize) -> Self {
        Self(Vec::with_capacity(records))
    }

    pub fn add(&mut self, took: Duration) {
        self.0.push(took);
    }

    fn json(mut self) -> String {
        self.0.sort_unstable();
        let at = |part: f64| match self.0.len() {
            0 => 0.0,
            n => self.0[((n as f64 * part) as usize).min(n - 1)].as_nanos() as f64 / 1e3,
        };
        format!(
            "\"p50_us\":{:.1},\"p99_us\":{:.1},\"p999_us\":{:.1},\"max_us\":{:.1}",
            at(0.5),
            at(0.99),
            at(0.999),
            at(1.0)
        )
    }
}

/// A client whose `send` needs no runtime.
pub trait SyncArm: Sync {
    /// Hands a record over; blocks when the client is full.
    fn send(&self, value: &[u8], key: Option<&str>);
    /// Hands a record over and waits until it is acknowledged.
    fn send_and_wait(&self, value: &[u8], key: Option<&str>);
    /// Waits until every record has its outcome.
    fn flush(&self);
    /// How many records failed.
    fn errors(&self) -> u64;
}

/// Warms up, sends and reports.
pub fn run(arm: &impl SyncArm, options: &Options, payloads: &Payloads) {
    match options.mode {
        Mode::Throughput => {
            send_shares(arm, options, payloads, options.warmup);
            arm.flush();
            let watch = Stopwatch::start();
            send_shares(arm, options, payloads, options.records);
            arm.flush();
            watch.report(options, arm.errors(), None);
        }
        Mode::Sync => {
            for n in 0..options.warmup {
                arm.send_and_wait(payloads.value(n), payloads.key(n));
            }
            let mut latencies = Latencies::with_capacity(options.records);
            let watch = Stopwatch::start();
            for n in 0..options.records {
                let before = Instant::now();
                arm.send_and_wait(payloads.value(n), payloads.key(n));
                latencies.add(before.elapsed());
            }
            watch.report(options, arm.errors(), Some(latencies));
        }
        Mode::Paced(_) => panic!("this arm has no --pace"),
    }
}

/// Calls `send` for each record when it is due, `rate` times a second, with that moment.
pub fn pace(rate: usize, records: usize, mut send: impl FnMut(usize, Instant)) {
    let start = Instant::now();
    for n in 0..records {
        let due = start + Duration::from_nanos((n as u64 * 1_000_000_000) / rate as u64);
        // A sleep is late by some 50 us: enough that a thousand records are not one, too little to matter in p99.
        let ahead = due.saturating_duration_since(Instant::now());
        if ahead > Duration::from_micros(200) {
            std::thread::sleep(ahead - Duration::from_micros(100));
        }
        send(n, due);
    }
}

fn send_shares(arm: &impl SyncArm, options: &Options, payloads: &Payloads, total: usize) {
    let send = |range: Range<usize>| {
        for n in range {
            arm.send(payloads.value(n), payloads.key(n));
        }
    };
    if options.threads == 1 {
        return send(0..total);
    }
    std::thread::scope(|scope| {
        for thread in 0..options.threads {
            let range = options.share(total, thread);
            scope.spawn(move || send(range));
        }
    });
}

#[cfg(feature = "ours")]
pub mod batches;
#[cfg(feature = "ours")]
pub mod wire;
