//! How fast transactions are, beside Java's producer and beside sending without them. Prints, where it is asked to, and
//! judges nothing:
//!
//! ```text
//! KAFKA_PRODUCER_RATES=1 cargo test --release --test real_kafka -- --ignored --nocapture transaction_rate
//! ```

use crate::cluster::RealKafka;
use crate::java::Version;
use crate::numbered::{Producer, producer};
use crate::wait;
use kafka_producer::ProducerRecord;
use std::time::Duration;

const TOPIC: &str = "txn-rate";
/// The smaller the records, the more of a transaction is its end.
const SMALL: usize = 100;
const LARGE: usize = 1000;
const WARM_UP: usize = 200;
const ROUNDS: usize = 3;
const TRANSACTIONS: usize = 2000;
/// As Java's default of 4.x, and ours.
const JAVA_LINGER: u32 = 5;

fn wanted() -> bool {
    let wanted = std::env::var_os("KAFKA_PRODUCER_RATES").is_some();
    if !wanted {
        eprintln!("skipped: set KAFKA_PRODUCER_RATES to measure");
    }
    wanted
}

#[test]
#[ignore = "needs Java and Maven: see README"]
fn transactions_of_ten_records_beside_java() {
    if !wanted() {
        return;
    }
    let kafka = RealKafka::start(Version::V4_3, 1);
    kafka.create_topic(TOPIC, 3, 1, &[]);
    let producer = producer(&kafka, &[("transactional.id", "rust-rate"), ("linger.ms", "0")]);
    let value = [0; SMALL];
    run(&producer, WARM_UP, 10, &value);
    for _ in 0..ROUNDS {
        let ours = per_second(TRANSACTIONS, timed(|| run(&producer, TRANSACTIONS, 10, &value)));
        let job = format!("transactions {TOPIC} {TRANSACTIONS} 10 {SMALL} {WARM_UP} 0");
        let java = per_second(TRANSACTIONS, java(&kafka, &job));
        eprintln!("ours {ours:.0}/s, Java {java:.0}/s: {:.2} times", ours / java);
    }
}

#[test]
#[ignore = "needs Java and Maven: see README"]
fn transactions_of_ten_thousand_records_beside_none() {
    if !wanted() {
        return;
    }
    let kafka = RealKafka::start(Version::V4_3, 1);
    kafka.create_topic(TOPIC, 3, 1, &[]);
    let transactional = producer(&kafka, &[("transactional.id", "rust-rate")]);
    let plain = producer(&kafka, &[]);
    let (count, records) = (50, 10_000);
    for size in [SMALL, LARGE] {
        let value = vec![0; size];
        let send_plain = |count: usize| {
            for i in 0..count * records {
                send(&plain, i, &value);
            }
            plain.flush().expect("delivered");
        };
        run(&transactional, 10, records, &value);
        send_plain(10);
        for _ in 0..ROUNDS {
            let with = per_second(count * records, timed(|| run(&transactional, count, records, &value)));
            let without = per_second(count * records, timed(|| send_plain(count)));
            eprintln!(
                "{size} bytes: with transactions {with:.0} records/s, without {without:.0}: {:.3}",
                with / without
            );
        }
        // The same with Java's producer: what the broker leaves to a client that waits for each commit.
        for _ in 0..ROUNDS {
            let job = format!("transactions {TOPIC} {count} {records} {size} 10 {JAVA_LINGER}");
            let with = per_second(count * records, java(&kafka, &job));
            let without = per_second(count * records, java(&kafka, &format!("no-{job}")));
            eprintln!(
                "{size} bytes: Java with transactions {with:.0} records/s, without {without:.0}: {:.3}",
                with / without
            );
        }
    }
}

fn java(kafka: &RealKafka, job: &str) -> Duration {
    Duration::from_nanos(kafka.demand(job).concat().parse().expect("nanoseconds"))
}

/// Commits so many transactions, one after the other.
fn run(producer: &Producer, count: usize, records: usize, value: &[u8]) {
    for _ in 0..count {
        let transaction = producer.transaction().expect("begun");
        for i in 0..records {
            send(producer, i, value);
        }
        transaction.commit().expect("committed");
    }
}

fn send(producer: &Producer, i: usize, value: &[u8]) {
    let record = ProducerRecord::new(TOPIC, value).partition((i % 3) as i32);
    producer.send(record).expect("it enters").detach();
}

fn timed(work: impl FnOnce()) -> Duration {
    let began = wait::now();
    work();
    began.elapsed()
}

fn per_second(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}
