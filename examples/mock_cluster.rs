//! The mock cluster as a process, for producers in any language and for measurements.
//!
//! ```text
//! cargo run --release --example mock_cluster -- --port 9092 --brokers 3
//! ```
//! The first line on stdout is `bootstrap.servers=...`, once connections are accepted. See `--help`.

use kafka_producer::mock::{BrokerVersion, MockCluster};
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

const HELP: &str = "\
A Kafka cluster for tests and measurements, on 127.0.0.1.

  --port P                first broker's port, the others follow; 0 for any (default 0)
  --brokers N             number of brokers (default 1)
  --topic NAME[:N]        create a topic with N partitions at the start; may be repeated
  --partitions N          partitions of topics created on demand (default 4)
  --version V             answer like Kafka 2.1, 2.8, 3.9 or 4.3 (default 4.3)
  --transaction-version N the feature transaction.version: 1 or 2 (default as the version has it)
  --no-auto-create        Metadata requests create no topics
  --min-insync N          min.insync.replicas (default 1)
  --log-append-time       brokers stamp records with their own clock
  --max-message-bytes N   largest batch accepted (default 1048588)
  --discard               acknowledge at once and keep nothing
  --verify                with --discard: judge checksums, structure and sequences all the same
  --stats-port P          each connection to this port gets the counters as one line of JSON; 0 for any
  --stats-every S         print the counters every S seconds
  --until-stdin-closes    end when stdin does, and print the counters; otherwise run until killed
  --help                  this text";

struct Options {
    port: u16,
    brokers: usize,
    topics: Vec<(String, i32)>,
    partitions: i32,
    version: BrokerVersion,
    transaction_version: Option<i16>,
    auto_create: bool,
    min_in_sync: usize,
    log_append_time: bool,
    max_message_bytes: usize,
    discard: bool,
    verify: bool,
    stats_port: Option<u16>,
    stats_every: Option<Duration>,
    until_stdin_closes: bool,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|a| a == "--help" || a == "-h") {
        println!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let options = match parse(args) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("mock_cluster: {error}; --help lists the options");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mock_cluster: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> io::Result<()> {
    let mut builder = MockCluster::builder()
        .brokers(options.brokers)
        .port(options.port)
        .default_partitions(options.partitions)
        .version(options.version)
        .auto_create(options.auto_create)
        .min_in_sync(options.min_in_sync)
        .log_append_time(options.log_append_time)
        .max_message_bytes(options.max_message_bytes)
        .discard(options.discard)
        .verify(options.verify);
    if let Some(level) = options.transaction_version {
        builder = builder.transaction_version(level);
    }
    for (name, partitions) in &options.topics {
        builder = builder.topic(name, *partitions);
    }
    let cluster = Arc::new(builder.start()?);
    let stats = options.stats_port.map(|port| TcpListener::bind(("127.0.0.1", port))).transpose()?;
    println!("bootstrap.servers={}", cluster.bootstrap_servers());
    if let Some(listener) = stats {
        println!("stats={}", listener.local_addr()?);
        let cluster = Arc::clone(&cluster);
        start("stats", move || serve_stats(&listener, &cluster))?;
    }
    io::stdout().flush()?;
    if let Some(every) = options.stats_every {
        let cluster = Arc::clone(&cluster);
        start("stats-every", move || print_every(every, &cluster))?;
    }
    if options.until_stdin_closes {
        io::stdin().read_to_end(&mut Vec::new())?;
        println!("{}", cluster.stats());
        return Ok(());
    }
    loop {
        std::thread::park();
    }
}

fn start(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
}

fn serve_stats(listener: &TcpListener, cluster: &MockCluster) {
    for stream in listener.incoming() {
        // A reader that has gone already is no concern of the others.
        let _ = stream.and_then(|mut s| writeln!(s, "{}", cluster.stats()));
    }
}

fn print_every(every: Duration, cluster: &MockCluster) {
    let mut before = cluster.stats();
    loop {
        // Waits for a condition that never holds: a sleep that needs no other clock.
        cluster.wait_until(every, |_| false);
        let now = cluster.stats();
        let rate = (now.records - before.records) as f64 / every.as_secs_f64();
        println!("{now} {rate:.0} records/s");
        before = now;
    }
}

fn parse(args: Vec<String>) -> Result<Options, String> {
    let mut o = Options {
        port: 0,
        brokers: 1,
        topics: Vec::new(),
        partitions: 4,
        version: BrokerVersion::default(),
        transaction_version: None,
        auto_create: true,
        min_in_sync: 1,
        log_append_time: false,
        max_message_bytes: 1_048_588,
        discard: false,
        verify: false,
        stats_port: None,
        stats_every: None,
        until_stdin_closes: false,
    };
    let mut args = args.into_iter();
    while let Some(flag) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{flag} needs a value"));
        match flag.as_str() {
            "--port" => o.port = number(&flag, &value()?)?,
            "--brokers" => o.brokers = number(&flag, &value()?)?,
            "--topic" => o.topics.push(topic(&value()?)?),
            "--partitions" => o.partitions = number(&flag, &value()?)?,
            "--version" => o.version = value()?.parse()?,
            "--transaction-version" => o.transaction_version = Some(number(&flag, &value()?)?),
            "--no-auto-create" => o.auto_create = false,
            "--min-insync" => o.min_in_sync = number(&flag, &value()?)?,
            "--log-append-time" => o.log_append_time = true,
            "--max-message-bytes" => o.max_message_bytes = number(&flag, &value()?)?,
            "--discard" => o.discard = true,
            "--verify" => o.verify = true,
            "--stats-port" => o.stats_port = Some(number(&flag, &value()?)?),
            "--stats-every" => {
                let seconds: u32 = number(&flag, &value()?)?;
                o.stats_every = Some(Duration::from_secs(u64::from(seconds.max(1))));
            }
            "--until-stdin-closes" => o.until_stdin_closes = true,
            _ => return Err(format!("unknown option {flag}")),
        }
    }
    if o.brokers == 0 {
        return Err("--brokers must be at least 1".to_owned());
    }
    Ok(o)
}

fn number<T: std::str::FromStr>(flag: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{flag}: {text:?} is not a number it can take"))
}

fn topic(text: &str) -> Result<(String, i32), String> {
    match text.split_once(':') {
        Some((name, partitions)) => Ok((name.to_owned(), number("--topic", partitions)?)),
        None => Ok((text.to_owned(), 4)),
    }
}
