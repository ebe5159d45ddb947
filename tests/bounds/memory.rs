//! `buffer.memory` and 16 MiB, whatever happens.

use crate::faults::KINDS;
use crate::process::{child, config, finish, heap, ms, open, start, status};
use kafka_producer::ProducerRecord;
use kafka_producer::mock::{Fault, MockCluster};
use kafka_producer::protocol::ApiKey;
use kafka_producer::protocol::record::CompressionType;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

const MIB: usize = 1024 * 1024;

/// `buffer.memory`, and what there may be beyond it. Little is full soon: the promise is 16 MiB beyond whatever is
/// configured, and with `KAFKA_PRODUCER_ALL_FAULTS` the default is measured, in every fault and every way to send.
fn sizes() -> (usize, usize) {
    if all() { (32 * MIB, 16 * MIB) } else { (8 * MIB, 8 * MIB) }
}

fn all() -> bool {
    std::env::var_os("KAFKA_PRODUCER_ALL_FAULTS").is_some()
}

const THREADS: usize = 4;

/// How the child sends.
struct Way {
    name: &'static str,
    value: usize,
    slow_callbacks: bool,
    codec: CompressionType,
}

const WAYS: &[Way] = &[
    Way { name: "large", value: 10_000, slow_callbacks: false, codec: CompressionType::None },
    Way { name: "small", value: 100, slow_callbacks: false, codec: CompressionType::None },
    Way { name: "compressed", value: 1000, slow_callbacks: false, codec: CompressionType::Lz4 },
    Way { name: "slow callbacks", value: 1000, slow_callbacks: true, codec: CompressionType::None },
];

/// Sends as fast as it goes until memory is full and half a second longer, or for some seconds if it does not become
/// full. Returns the most bytes there were on the heap.
fn storm(address: &str, way: &Way) -> usize {
    let config = config(address)
        .buffer_memory(sizes().0)
        .max_block(ms(20))
        .delivery_timeout(ms(30_000))
        .request_timeout(ms(300))
        .retry_backoff(ms(1))
        .reconnect_backoff(ms(1))
        .compression(way.codec)
        .linger(ms(5));
    let producer = open(config);
    let (most, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let look = || {
        most.fetch_max(heap(), Ordering::Relaxed);
    };
    std::thread::scope(|s| {
        for thread in 0..THREADS {
            let (producer, over, look) = (&producer, &over, &look);
            s.spawn(move || {
                let value = vec![thread as u8; way.value];
                while !over.load(Ordering::Relaxed) {
                    let record = ProducerRecord::new("t", &value);
                    let _ = if way.slow_callbacks {
                        producer.send_with(record, |_| std::thread::park_timeout(ms(1)))
                    } else {
                        producer.send(record).map(drop)
                    };
                    look();
                }
            });
        }
        let (begin, mut full) = (Instant::now(), None);
        while begin.elapsed() < ms(4000) && full.is_none_or(|at: Instant| at.elapsed() < ms(500)) {
            std::thread::park_timeout(ms(1));
            look();
            if producer.metrics().buffer_available_bytes < MIB as u64 {
                full.get_or_insert_with(Instant::now);
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    drop(producer.close_timeout(ms(0)));
    most.into_inner()
}

fn measure(word: &str) {
    let (address, way) = word.split_once('|').unwrap();
    let way = WAYS.iter().find(|w| w.name == way).unwrap();
    let (heap_before, resident_before) = (heap(), status("VmRSS"));
    let heap = storm(address, way) - heap_before;
    let resident = status("VmHWM") - resident_before;
    let (buffer, beyond) = sizes();
    let full = if heap > buffer / 10 * 9 { "full" } else { "not full" };
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
