//! Every way to send, against a cluster inside this process or a real one, and a check of what arrived.
//!
//! ```text
//! cargo run --release --example quickstart
//! cargo run --release --example quickstart -- --bootstrap-server localhost:9092
//! ```

use kafka_producer::{BytesSerializer, KafkaProducer, ProducerConfig, ProducerRecord, StringSerializer};
use std::error::Error;
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

#[path = "support/args.rs"]
mod args;
#[path = "support/brokers.rs"]
mod brokers;
#[path = "support/ledger.rs"]
mod ledger;
#[path = "support/logger.rs"]
mod logger;

use brokers::Brokers;

use ledger::{HEADERS, Ledger, Sent};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;
type Producer = KafkaProducer<str, [u8]>;

const HELP: &str = "\
Sends a few thousand records in every way there is, and checks them.

  --bootstrap-server HOST:PORT   a real cluster that creates topics on demand; otherwise three brokers are started
                                 inside this process, and what they hold is read back
  --help                         this text";
const TOPICS: [&str; 3] = ["quickstart-orders", "quickstart-clicks", "quickstart-audit"];
const THREADS: usize = 4;

fn main() -> ExitCode {
    let parse = |args: &mut args::Args| {
        let mut server = None;
        while let Some(flag) = args.next_flag()? {
            match flag.as_str() {
                "--bootstrap-server" => server = Some(args.value()?),
                _ => return Err(format!("unknown option {flag}")),
            }
        }
        Ok(server)
    };
    args::run("quickstart", HELP, parse, run)
}

fn run(server: Option<String>) -> Result {
    logger::start();
    let brokers = Brokers::find(server, 6)?;
    brokers.announce();

    let producer = Producer::new(ProducerConfig::new(brokers.servers())?, StringSerializer, BytesSerializer)?;
    producer.connect(Duration::from_secs(10))?;
    let ledger = Ledger::default();
    send_in_every_way(&producer, &ledger)?;
    std::thread::scope(|s| {
        let threads: Vec<_> = (0..THREADS)
            .map(|n| {
                s.spawn({
                    let (producer, ledger) = (&producer, &ledger);
                    move || send_from_a_thread(producer, ledger, n).map_err(|e| e.to_string())
                })
            })
            .collect();
        threads.into_iter().try_for_each(|t| t.join().unwrap_or_else(|_| Err("a thread panicked".to_owned())))
    })?;
    producer.flush()?;
    println!("threads      {THREADS} threads shared the producer");
    let metrics = producer.metrics();
    println!("delivered    {} records in {} batches", metrics.records_acknowledged, metrics.batches_sent);
    producer.close()?;

    let sent = ledger.into_inner();
    ledger::check_places(&sent)?;
    match brokers.cluster() {
        Some(cluster) => ledger::read_back(cluster, sent),
        None => {
            println!(
                "checked      every record was acknowledged, offsets are distinct, a key keeps its partition"
            );
            println!(
                "not checked  what the brokers hold; kafka-console-consumer --from-beginning --topic {}",
                TOPICS[0]
            );
            Ok(())
        }
    }
}

fn send_in_every_way(producer: &Producer, ledger: &Ledger) -> Result {
    let [orders, clicks, audit] = TOPICS;
    let sent = |topic, key: Option<&str>, value: &str, headers, place| {
        ledger.add(Sent { topic, key: key.map(str::to_owned), value: value.to_owned(), headers, place });
    };

    // Synchronous: wait for each record. `get` ends linger, so this is as fast as the round trip.
    for n in 0..3 {
        let value = format!("sync {n}");
        let metadata = producer.send(ProducerRecord::new(orders, value.as_bytes()).key("alice"))?.get()?;
        println!("sync         {metadata}");
        sent(orders, Some("alice"), &value, false, Some(metadata));
    }

    // Asynchronous: keep the handles, look at them later.
    let values: Vec<String> = (0..1000).map(|n| format!("async {n}")).collect();
    let handles: Vec<_> = values
        .iter()
        .map(|value| {
            producer.send(ProducerRecord::new(orders, value.as_bytes()).key("bob").headers(&HEADERS))
        })
        .collect::<std::result::Result<_, _>>()?;
    for (handle, value) in handles.iter().zip(&values) {
        sent(orders, Some("bob"), value, true, Some(handle.get()?));
    }
    println!("async        {} records, the last at {}", handles.len(), handles[999].get()?);

    // Callbacks run on the producer's callback thread, in order per partition.
    let (outcomes, received) = mpsc::channel();
    let values: Vec<String> = (0..100).map(|n| format!("callback {n}")).collect();
    for (n, value) in values.iter().enumerate() {
        let outcomes = outcomes.clone();
        producer.send_with(ProducerRecord::new(clicks, value.as_bytes()), move |result| {
            let _ = outcomes.send((n, result));
        })?;
    }
    drop(outcomes);
    for (n, result) in received {
        sent(clicks, None, &values[n], false, Some(result?));
    }
    println!("callback     100 records");

    // Fire and forget: `flush` or `close` still waits for them, and `metrics` counts failures.
    for n in 0..500 {
        let (key, value) = (format!("visitor-{}", n % 20), format!("forget {n}"));
        producer.send(ProducerRecord::new(clicks, value.as_bytes()).key(&key))?.detach();
        sent(clicks, Some(&key), &value, false, None);
    }
    producer.flush()?;
    println!("forget       500 records");

    // Many at once, of any topics, with one handle.
    let values: Vec<String> = (0..300).map(|n| format!("all {n}")).collect();
    let topic = |n: usize| TOPICS[n % TOPICS.len()];
    let records = values.iter().enumerate().map(|(n, value)| ProducerRecord::new(topic(n), value.as_bytes()));
    let places = producer.send_all(records)?.get()?;
    println!("send_all     {} records, the last at {}", places.len(), places[299]);
    for (n, place) in places.into_iter().enumerate() {
        sent(topic(n), None, &values[n], false, Some(place));
    }
    let metadata = producer.send(ProducerRecord::new(audit, b"to partition 0").partition(0))?.get()?;
    sent(audit, None, "to partition 0", false, Some(metadata));
    Ok(())
}

/// Keys of its own, so that their order can be checked.
fn send_from_a_thread(producer: &Producer, ledger: &Ledger, thread: usize) -> Result {
    for n in 0..2000 {
        let (topic, value) = (TOPICS[n % TOPICS.len()], format!("thread {thread} record {n}"));
        let key = (n % 4 != 0).then(|| format!("thread-{thread}-key-{}", n % 7));
        let mut record = ProducerRecord::new(topic, value.as_bytes());
        if let Some(key) = &key {
            record = record.key(key);
        }
        let headers = n % 10 == 0;
        if headers {
            record = record.headers(&HEADERS);
        }
        producer.send(record)?.detach();
        ledger.add(Sent { topic, key, value, headers, place: None });
    }
    Ok(())
}
