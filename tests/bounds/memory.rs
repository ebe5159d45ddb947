//! `buffer.memory` and 16 MiB, whatever happens.

use crate::faults::KINDS;
use crate::process::{child, config, finish, heap, ms, open, start, status};
use kafka_producer::mock::{Fault, MockCluster};
use kafka_producer::protocol::ApiKey;
use kafka_producer::protocol::record::CompressionType;
use kafka_producer::{DeliveryFuture, ProducerRecord};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

const MIB: usize = 1024 * 1024;

/// `buffer.memory`, and what there may be beyond it. Little is full soon: the promise is 16 MiB beyond whatever is
/// configured, and with `KAFKA_PRODUCER_ALL_FAULTS` the default is measured, in every fault and every way to send.
fn sizes(way: &Way) -> (usize, usize) {
    match (all(), way.value) {
        // Hundreds of thousands of records, as it is.
        (true, 1) => (8 * MIB, 16 * MIB),
        (false, 1) => (2 * MIB, 8 * MIB),
        (true, _) => (32 * MIB, 16 * MIB),
        (false, _) => (8 * MIB, 8 * MIB),
    }
}

/// How many handles a program keeps that keeps them all, and the bytes that they take.
fn kept(way: &Way) -> (usize, usize) {
    // No record takes less than seven bytes.
    let handles = if way.outcome == Outcome::Kept { sizes(way).0 / 7 } else { 0 };
    (handles, handles * size_of::<DeliveryFuture>())
}

fn all() -> bool {
    std::env::var_os("KAFKA_PRODUCER_ALL_FAULTS").is_some()
}

const THREADS: usize = 4;

/// How the child sends.
struct Way {
    name: &'static str,
    value: usize,
    outcome: Outcome,
    codec: CompressionType,
    batch: usize,
}

impl Way {
    const fn new(name: &'static str, value: usize, outcome: Outcome) -> Self {
        Self { name, value, outcome, codec: CompressionType::None, batch: 16 * 1024 }
    }
}

/// What the child does about outcomes.
#[derive(Clone, Copy, PartialEq)]
enum Outcome {
    /// Nobody looks.
    Ignored,
    /// Handles are kept for later; they are the program's, and not counted.
    Kept,
    /// A boxed callback, with a few words of its own.
    Callback,
    /// A callback that takes its time.
    SlowCallback,
}

const WAYS: &[Way] = &[
    Way::new("large", 10_000, Outcome::Ignored),
    Way::new("small", 100, Outcome::Ignored),
    Way { codec: CompressionType::Lz4, ..Way::new("compressed", 1000, Outcome::Ignored) },
    Way::new("slow callbacks", 1000, Outcome::SlowCallback),
    Way::new("tiny", 1, Outcome::Ignored),
    Way::new("tiny, kept", 1, Outcome::Kept),
    Way::new("tiny, callbacks", 1, Outcome::Callback),
    Way { batch: 1, ..Way::new("a batch each", 1, Outcome::Ignored) },
    Way { batch: 256, ..Way::new("tiny batches, callbacks", 1, Outcome::Callback) },
];

/// Sends as fast as it goes until memory is full and half a second longer, or for some seconds if it does not become
/// full. Returns the most bytes there were on the heap, and whether it became full.
fn storm(address: &str, way: &Way) -> (usize, bool) {
    let config = config(address)
        .buffer_memory(sizes(way).0)
        .max_block(ms(20))
        .delivery_timeout(ms(30_000))
        .request_timeout(ms(300))
        .retry_backoff(ms(1))
        .reconnect_backoff(ms(1))
        .compression(way.codec)
        .linger(ms(5))
        .batch_size(way.batch);
    let producer = open(config);
    let (most, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let look = || {
        most.fetch_max(heap(), Ordering::Relaxed);
    };
    let full = std::thread::scope(|s| {
        for thread in 0..THREADS {
            let (producer, over, look) = (&producer, &over, &look);
            s.spawn(move || {
                let value = vec![thread as u8; way.value];
                let mut handles = Vec::with_capacity(kept(way).0 / THREADS);
                let words = [thread; 3];
                while !over.load(Ordering::Relaxed) {
                    let record = ProducerRecord::new("t", &value);
                    let _ = match way.outcome {
                        Outcome::Ignored => producer.send(record).map(drop),
                        Outcome::Kept if handles.len() == handles.capacity() => Ok(()),
                        Outcome::Kept => producer.send(record).map(|handle| handles.push(handle)),
                        Outcome::Callback => producer.send_with(record, move |_| {
                            std::hint::black_box(words);
                        }),
                        Outcome::SlowCallback => {
                            producer.send_with(record, |_| std::thread::park_timeout(ms(1)))
                        }
                    };
                    look();
                }
            });
        }
        let (begin, mut full) = (Instant::now(), None);
        while begin.elapsed() < ms(if all() { 10_000 } else { 4000 })
            && full.is_none_or(|at: Instant| at.elapsed() < ms(500))
        {
            std::thread::park_timeout(ms(1));
            look();
            if producer.metrics().buffer_available_bytes < sizes(way).0 as u64 / 8 {
                full.get_or_insert_with(Instant::now);
            }
        }
        over.store(true, Ordering::Relaxed);
        full.is_some()
    });
    drop(producer.close_timeout(ms(0)));
    (most.into_inner(), full)
}

fn measure(word: &str) {
    let (address, way) = word.split_once('|').unwrap();
    let way = WAYS.iter().find(|w| w.name == way).unwrap();
    let (heap_before, resident_before) = (heap(), status("VmRSS"));
    // The program's own handles are not the producer's.
    let (most, full) = storm(address, way);
    let heap = most - heap_before - kept(way).1;
    let resident = (status("VmHWM") - resident_before).saturating_sub(kept(way).1);
    let (buffer, beyond) = sizes(way);
    let full = if full { "full" } else { "not full" };
    println!("memory: {full}, {} KiB on the heap, {} KiB resident", heap / 1024, resident / 1024);
    assert!(heap < buffer + beyond, "{heap} bytes on the heap");
    assert!(resident < buffer + beyond, "{resident} bytes resident");
}

#[test]
fn every_fault_keeps_to_it() {
    if let Some(word) = child() {
        return measure(&word);
    }
    let mut full = 0;
    for (at, (kind, make)) in KINDS.iter().enumerate() {
        for (number, way) in WAYS.iter().enumerate() {
            if !all() && number != at % WAYS.len() {
                continue;
            }
            let cluster = MockCluster::builder().brokers(2).topic("t", 4).discard(true).start().unwrap();
            cluster.inject(make(Fault::on(ApiKey::PRODUCE).after(5)).always());
            let word = format!("{}|{}", cluster.bootstrap_servers(), way.name);
            let text = finish(start("memory::every_fault_keeps_to_it", &word));
            let figure = text.lines().find(|l| l.contains("memory:")).unwrap_or_default();
            println!("{kind}, {}, {figure}", way.name);
            full += usize::from(figure.contains("memory: full"));
        }
    }
    assert!(full > KINDS.len() / 2, "memory was rarely full");
}
