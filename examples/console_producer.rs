//! Sends the lines of standard input to a topic, with the options of `kafka-console-producer`.
//!
//! ```text
//! seq 10 | cargo run --release --example console_producer -- --bootstrap-server localhost:9092 --topic numbers
//! ```

use kafka_producer::{BytesSerializer, KafkaProducer, ProducerConfigBuilder};
use std::error::Error;
use std::io::{self, IsTerminal, Read};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, SyncSender};

#[path = "support/args.rs"]
mod args;
#[path = "support/lines.rs"]
mod lines;
#[path = "support/logger.rs"]
mod logger;

use args::Args;
use lines::LineFormat;

type Producer = KafkaProducer<[u8], [u8]>;

const HELP: &str = "\
Sends each line of standard input as a record. End of input and Ctrl-C send what is left; a second Ctrl-C does not
wait. Exit code 1, and one line on stderr for each record, if any failed. Lines are bytes and need not be Unicode.

  --topic TOPIC                  where to (required)
  --bootstrap-server HOST:PORT   brokers to start from, several with commas (required, unless configured below)
  --property KEY=VALUE           how lines are read, may be repeated (also --reader-property):
       parse.key=true                 key<TAB>value
       parse.headers=true             name:value,name:value<TAB>value, before the key if there is one
       key.separator=TEXT             instead of TAB
       headers.delimiter=TEXT         instead of TAB
       headers.separator=TEXT         instead of the comma
       headers.key.separator=TEXT     instead of the colon
       null.marker=TEXT               a key, value or header value that is this text is null
       ignore.error=true              a line without a separator is a value
  --reader-config FILE           the same from a file; --property wins
  --sync                         wait for each record before the next is sent
  --compression-codec [CODEC]    none, gzip (if nothing follows), snappy, lz4, zstd
  --producer-property KEY=VALUE  a setting of the producer, by its Java name, may be repeated (also --command-property)
  --producer.config FILE         settings of the producer (also --command-config); --producer-property wins
  --batch-size BYTES             batch.size (also --max-partition-memory-bytes)
  --timeout MS                   linger.ms
  --request-required-acks ACKS   acks
  --request-timeout-ms MS        request.timeout.ms
  --message-send-max-retries N   retries
  --retry-backoff-ms MS          retry.backoff.ms
  --max-memory-bytes BYTES       buffer.memory
  --max-block-ms MS              max.block.ms
  --metadata-expiry-ms MS        metadata.max.age.ms
  --socket-buffer-size BYTES     send.buffer.bytes
  --help                         this text

What is not given is left to the producer's defaults.";

#[derive(Default)]
struct Options {
    topic: String,
    sync: bool,
    config_file: Option<String>,
    properties: Vec<(String, String)>,
    /// Settings that have a flag of their own: they win.
    flags: Vec<(&'static str, String)>,
    format: LineFormat,
}

fn main() -> ExitCode {
    args::run("console_producer", HELP, parse, run)
}

fn parse(args: &mut Args) -> Result<Options, String> {
    let mut o = Options::default();
    let mut reader = Vec::new();
    while let Some(flag) = args.next_flag()? {
        match flag.as_str() {
            "--topic" => o.topic = args.value()?,
            "--sync" => o.sync = true,
            "--property" | "--reader-property" => reader.push(args.pair()?),
            "--reader-config" => o.format.set_from_file(&args.value()?)?,
            "--producer-property" | "--command-property" => o.properties.push(args.pair()?),
            "--producer.config" | "--command-config" => o.config_file = Some(args.value()?),
            "--compression-codec" => {
                let codec = args.optional_value().unwrap_or_else(|| "gzip".to_owned());
                o.flags.push(("compression.type", codec));
            }
            _ => match key_of(&flag) {
                Some(key) => o.flags.push((key, args.value()?)),
                None => return Err(format!("unknown option {flag}")),
            },
        }
    }
    for (key, value) in reader {
        o.format.set(&key, value)?;
    }
    if o.topic.is_empty() { Err("--topic is required".to_owned()) } else { Ok(o) }
}

/// The setting behind a flag that is only another name for one.
fn key_of(flag: &str) -> Option<&'static str> {
    Some(match flag {
        "--bootstrap-server" | "--broker-list" => "bootstrap.servers",
        "--batch-size" | "--max-partition-memory-bytes" => "batch.size",
        "--timeout" => "linger.ms",
        "--request-required-acks" => "acks",
        "--request-timeout-ms" => "request.timeout.ms",
        "--message-send-max-retries" => "retries",
        "--retry-backoff-ms" => "retry.backoff.ms",
        "--max-memory-bytes" => "buffer.memory",
        "--max-block-ms" => "max.block.ms",
        "--metadata-expiry-ms" => "metadata.max.age.ms",
        "--socket-buffer-size" => "send.buffer.bytes",
        _ => return None,
    })
}

fn run(options: Options) -> Result<(), Box<dyn Error>> {
    logger::start();
    let mut config = ProducerConfigBuilder::new().set("client.id", "console-producer");
    if let Some(file) = &options.config_file {
        config = config.file(file)?;
    }
    config = options.properties.iter().fold(config, |c, (key, value)| c.set(key, value));
    config = options.flags.iter().fold(config, |c, (key, value)| c.set(*key, value));
    let producer = Producer::new(config.build()?, BytesSerializer, BytesSerializer)?;

    let failures = Arc::new(Failures::default());
    let read = send_lines(&producer, &options, &failures);
    // Every record has its outcome after this, and every callback has run.
    let closed = producer.close();
    read?;
    match failures.0.load(Ordering::SeqCst) {
        0 => Ok(closed?),
        failed => Err(format!("{failed} record(s) failed").into()),
    }
}

/// How many records failed; each is reported when it does.
#[derive(Default)]
struct Failures(AtomicU64);

impl Failures {
    fn report(&self, line: u64, error: &dyn Error) {
        self.0.fetch_add(1, Ordering::SeqCst);
        eprintln!("line {line}: {error}");
    }
}

enum Input {
    /// Whole lines, without the last one's end.
    Lines(Vec<u8>),
    End,
    Failed(io::Error),
    Interrupted,
}

/// Sends until the input ends, the user stops it or the producer cannot go on.
fn send_lines(
    producer: &Producer,
    options: &Options,
    failures: &Arc<Failures>,
) -> Result<(), Box<dyn Error>> {
    // A thread of its own reads, since nothing can wake a thread that waits for a terminal.
    let (input, inputs) = mpsc::sync_channel(4);
    let stopped = stop_on_ctrl_c(input.clone())?;
    std::thread::Builder::new().name("stdin".to_owned()).spawn(move || read_lines(&input))?;
    let terminal = io::stdin().is_terminal();
    let mut line_number = 0;
    loop {
        if terminal {
            eprint!(">");
        }
        let lines = match inputs.recv()? {
            Input::Lines(lines) => lines,
            Input::Failed(error) => return Err(error.into()),
            Input::End | Input::Interrupted => return Ok(()),
        };
        for line in lines.split(|&byte| byte == b'\n') {
            line_number += 1;
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if !send_line(producer, options, line, line_number, failures) || stopped.load(Ordering::SeqCst) {
                return Ok(());
            }
        }
    }
}

/// Whether it makes sense to go on.
fn send_line(
    producer: &Producer,
    options: &Options,
    line: &[u8],
    number: u64,
    failures: &Arc<Failures>,
) -> bool {
    let record = match options.format.record(&options.topic, line) {
        Ok(record) => record,
        Err(error) => {
            failures.report(number, &*Box::<dyn Error>::from(error));
            return true;
        }
    };
    let result = if options.sync {
        producer.send(record).and_then(|handle| handle.get()).map(drop)
    } else {
        let failures = failures.clone();
        producer.send_with(record, move |result| {
            if let Err(error) = result {
                failures.report(number, &error);
            }
        })
    };
    if let Err(error) = &result {
        failures.report(number, error);
    }
    !result.is_err_and(|error| error.is_fatal())
}

/// The first Ctrl-C (or SIGTERM, SIGHUP) ends the input, the second the program.
fn stop_on_ctrl_c(input: SyncSender<Input>) -> Result<Arc<AtomicBool>, ctrlc::Error> {
    let stopped = Arc::new(AtomicBool::new(false));
    let flag = stopped.clone();
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
        // If there is no room, there are lines, and the flag is looked at after each.
        let _ = input.try_send(Input::Interrupted);
    })?;
    Ok(stopped)
}

/// Hands on what is there, as soon as it is there, cut at the last end of a line.
fn read_lines(to: &SyncSender<Input>) {
    const READ: usize = 64 * 1024;
    let mut stdin = io::stdin().lock();
    let mut buffer = Vec::new();
    loop {
        let kept = buffer.len();
        buffer.resize(kept + READ, 0);
        let input = match stdin.read(&mut buffer[kept..]) {
            Ok(0) => {
                buffer.truncate(kept);
                if !buffer.is_empty() && to.send(Input::Lines(std::mem::take(&mut buffer))).is_err() {
                    return;
                }
                Input::End
            }
            Ok(read) => {
                buffer.truncate(kept + read);
                let Some(end) = buffer[kept..].iter().rposition(|&byte| byte == b'\n') else { continue };
                let rest = buffer.split_off(kept + end + 1);
                buffer.pop();
                Input::Lines(std::mem::replace(&mut buffer, rest))
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                buffer.truncate(kept);
                continue;
            }
            Err(error) => Input::Failed(error),
        };
        let last = !matches!(input, Input::Lines(_));
        if to.send(input).is_err() || last {
            return;
        }
    }
}
