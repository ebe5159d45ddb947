//! What one record or one batch costs at each station, in nanoseconds: encode, stamp (checksum), seal (codec), append,
//! outcome, and the whole way to a cluster that discards.
//!
//! ```text
//! cargo bench --bench micro [--features zstd] [-- FILTER]
//! ```
//! Each figure is the median of several rounds, with the fastest beside it. Only public items are measured, as they are
//! called; what they do under locks or on other threads shows in `append` and in `whole way`. Without `--bench`
//! (`cargo test --benches`) each runs once, to see that it works.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock itself")]
#![allow(clippy::unwrap_used, reason = "a benchmark may end at the first surprise")]

use kafka_producer::mock::MockCluster;
use kafka_producer::protocol::record::{
    BatchAttributes, BatchHeader, Compression, CompressionType, Compressor, ProducerStamp, RecordBody,
};
use kafka_producer::{
    BytesSerializer, Header, KafkaProducer, ProducerConfig, ProducerRecord, StringSerializer,
};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// A batch that no record of a round fills, so that nothing is sent while appends are timed.
const NEVER_FULL: usize = 24 << 20;
const BUFFER: usize = 64 << 20;

type Producer = KafkaProducer<str, [u8]>;

/// Runs what the filter lets through, and prints.
struct Bench {
    filter: Option<String>,
    rounds: usize,
    quick: bool,
}

impl Bench {
    fn from_args() -> Self {
        let args: Vec<String> = std::env::args().skip(1).collect();
        let quick = !args.iter().any(|a| a == "--bench");
        let filter = args.into_iter().find(|a| !a.starts_with('-'));
        Self { filter, rounds: if quick { 1 } else { 11 }, quick }
    }

    /// How many times an operation is repeated in a round.
    fn times(&self, full: usize) -> usize {
        if self.quick { full.min(10) } else { full }
    }

    /// `round` does its work once and returns how long what counts took. `units`: operations in a round; `bytes`: what one
    /// of them handles.
    fn measure(&self, name: &str, units: usize, bytes: usize, mut round: impl FnMut() -> Duration) {
        if self.filter.as_ref().is_some_and(|f| !name.contains(f.as_str())) {
            return;
        }
        if !self.quick {
            round();
        }
        let mut nanos: Vec<f64> =
            (0..self.rounds).map(|_| round().as_nanos() as f64 / units as f64).collect();
        nanos.sort_by(f64::total_cmp);
        let median = nanos[nanos.len() / 2];
        let rate = bytes as f64 / median;
        println!("{name:<44} {median:>12.1} ns   least {:>12.1} ns   {rate:>8.3} GB/s", nanos[0]);
    }

    /// As [`Self::measure`], for work that is timed from its start to its end.
    fn repeat(&self, name: &str, times: usize, bytes: usize, mut work: impl FnMut()) {
        let times = self.times(times);
        self.measure(name, times, bytes, || {
            let start = Instant::now();
            for _ in 0..times {
                work();
            }
            start.elapsed()
        });
    }
}

/// Text of words and numbers in a fixed order that does not repeat soon.
fn text(len: usize) -> Vec<u8> {
    let mut state = 20u64;
    let mut next = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let words: Vec<String> = (0..5000)
        .map(|_| (0..2 + next(8)).map(|_| char::from(b'a' + u8::try_from(next(26)).unwrap())).collect())
        .collect();
    let mut out = Vec::with_capacity(len + 16);
    while out.len() < len {
        // The n-th word is about n times rarer than the first, as in speech.
        let at = 5000f64.powf(next(1 << 20) as f64 / f64::from(1 << 20)) as usize - 1;
        out.extend_from_slice(words[at].as_bytes());
        out.push(b' ');
        if next(5) == 0 {
            out.extend_from_slice(next(1_000_000).to_string().as_bytes());
            out.push(b' ');
        }
    }
    out.truncate(len);
    out
}

/// The body of a batch of about `len` bytes, of records with values of `size` bytes.
fn body(values: &[u8], size: usize, len: usize) -> (Vec<u8>, i32) {
    let mut out = Vec::new();
    let mut count = 0;
    for value in values.chunks_exact(size).cycle() {
        if out.len() + size > len {
            break;
        }
        RecordBody::without_headers(None, Some(value)).place(count, 0).write(&mut out);
        count += 1;
    }
    (out, count)
}

fn encode(bench: &Bench, values: &[u8]) {
    for size in [10, 100, 1024, 10_240] {
        let mut out = Vec::with_capacity(2 << 20);
        let mut chunks = values.chunks_exact(size).cycle();
        let mut count = 0;
        bench.repeat(&format!("encode/{size} B"), 100_000, size, || {
            if out.len() > 1_000_000 {
                out.clear();
                count = 0;
            }
            RecordBody::without_headers(None, chunks.next()).place(count, 1).write(&mut out);
            count += 1;
        });
    }
    let mut out = Vec::with_capacity(2 << 20);
    let mut chunks = values.chunks_exact(100).cycle();
    let headers = [("trace", Some(&b"0123456789abcdef"[..])), ("retry", None)];
    bench.repeat("encode/100 B, key of 11, two headers", 100_000, 100, || {
        if out.len() > 1_000_000 {
            out.clear();
        }
        let record = RecordBody::new(Some(b"user-000123"), chunks.next(), headers.iter().copied());
        record.place(7, 1).write(&mut out);
    });
}

fn stamp(bench: &Bench, values: &[u8]) {
    for (label, len) in [("16 KiB", 16_384), ("1 MB", 1_000_000)] {
        let (body, count) = body(values, 100, len);
        let header = BatchHeader {
            base_offset: 0,
            partition_leader_epoch: None,
            attributes: BatchAttributes::default(),
            last_offset_delta: count - 1,
            base_timestamp: 1_700_000_000_000,
            max_timestamp: 1_700_000_000_005,
            producer: Some(ProducerStamp { id: 1, epoch: 0, base_sequence: Some(0) }),
            record_count: count,
        };
        let times = 100_000_000 / len;
        bench.repeat(&format!("stamp/{label}"), times, body.len(), || {
            black_box(header.stamp(body.len(), body.chunks(65_536)));
        });
    }
}

fn seal(bench: &Bench, values: &[u8]) {
    for size in [100, 1024] {
        for (label, len) in [("16 KiB", 16_384), ("1 MB", 1_000_000)] {
            let (body, count) = body(values, size, len);
            for codec in
                [CompressionType::Snappy, CompressionType::Lz4, CompressionType::Gzip, CompressionType::Zstd]
            {
                if !codec.is_available() {
                    continue;
                }
                let compression = Compression::new(codec);
                let (mut compressor, mut out) = (Compressor::new(), Vec::new());
                compressor.compress(compression, body.chunks(65_536), &mut out).unwrap();
                let to = 100.0 * out.len() as f64 / body.len() as f64;
                let name = format!("seal/{codec}, {size} B in {label}, to {to:.1} %, a record");
                let times = bench.times(4_000_000 / len + 1);
                bench.measure(&name, times * usize::try_from(count).unwrap(), size, || {
                    let start = Instant::now();
                    for _ in 0..times {
                        out.clear();
                        compressor.compress(compression, body.chunks(65_536), &mut out).unwrap();
                    }
                    start.elapsed()
                });
            }
        }
    }
}

fn open(cluster: &MockCluster, batch: usize, linger: Duration) -> Producer {
    let config = ProducerConfig::builder(cluster.bootstrap_servers().split(','))
        .batch_size(batch)
        .linger(linger)
        .buffer_memory(BUFFER)
        .max_request_size(BUFFER)
        .build()
        .unwrap();
    KafkaProducer::new(config, StringSerializer, BytesSerializer).unwrap()
}

fn cluster() -> MockCluster {
    MockCluster::builder().discard(true).topic("t", 6).max_message_bytes(BUFFER).start().unwrap()
}

/// `send` alone: every record of a round finds room in an open batch, and what is flushed between rounds is not timed.
fn append(bench: &Bench, values: &[u8]) {
    let cluster = cluster();
    // Longer than any round, and yet below what the delivery timeout allows.
    let producer = open(&cluster, NEVER_FULL, Duration::from_secs(60));
    for size in [10, 100, 1024] {
        let count = bench.times(8_000_000 / (size + 20));
        let timed = |name: &str, send: &dyn Fn(&[u8])| {
            bench.measure(&format!("append/{size} B, {name}"), count, size, || {
                let start = Instant::now();
                values.chunks_exact(size).cycle().take(count).for_each(send);
                let took = start.elapsed();
                producer.flush().unwrap();
                took
            });
        };
        timed("handle dropped", &|v| producer.send(ProducerRecord::new("t", v)).unwrap().detach());
        timed("callback", &|v| {
            let done = |result| drop(black_box(result));
            producer.send_with(ProducerRecord::new("t", v), done).unwrap();
        });
        timed("key of 11", &|v| {
            producer.send(ProducerRecord::new("t", v).key("user-000123")).unwrap().detach();
        });
        timed("two headers", &|v| {
            let headers = [Header::new("source", b"web"), Header::new("trace", b"0123456789abcdef")];
            producer.send(ProducerRecord::new("t", v).headers(&headers)).unwrap().detach();
        });
        timed("partition given", &|v| {
            producer.send(ProducerRecord::new("t", v).partition(3)).unwrap().detach();
        });
    }
    producer.close().unwrap();
}

/// What it costs to learn the outcome of a record that has one.
fn outcome(bench: &Bench, values: &[u8]) {
    let cluster = cluster();
    let producer = open(&cluster, 1_000_000, Duration::from_millis(5));
    let count = bench.times(50_000);
    bench.measure("outcome/get of a handle that is done", count, 100, || {
        let records = values.chunks_exact(100).take(count).map(|v| ProducerRecord::new("t", v));
        let handles: Vec<_> = records.map(|record| producer.send(record).unwrap()).collect();
        producer.flush().unwrap();
        let start = Instant::now();
        for handle in handles {
            black_box(handle.get().unwrap());
        }
        start.elapsed()
    });
    producer.close().unwrap();
}

/// From the first `send` to the end of `flush`, the cluster in the same process: wall time, so the slowest thread's.
fn whole_way(bench: &Bench, values: &[u8]) {
    let cluster = cluster();
    for (label, batch) in [("16 KiB", 16_384), ("1 MB", 1_000_000)] {
        let producer = open(&cluster, batch, Duration::from_millis(5));
        let count = bench.times(300_000);
        let timed = |name: &str, send: &dyn Fn(&[u8])| {
            bench.measure(&format!("whole way/100 B in {label}, {name}"), count, 100, || {
                let start = Instant::now();
                values.chunks_exact(100).cycle().take(count).for_each(send);
                producer.flush().unwrap();
                start.elapsed()
            });
        };
        timed("handle dropped", &|v| producer.send(ProducerRecord::new("t", v)).unwrap().detach());
        timed("callback", &|v| {
            let done = |result| drop(black_box(result));
            producer.send_with(ProducerRecord::new("t", v), done).unwrap();
        });
        producer.close().unwrap();
    }
    let producer = open(&cluster, 16_384, Duration::ZERO);
    bench.repeat("whole way/100 B, each waited for, linger 0", 5_000, 100, || {
        black_box(producer.send(ProducerRecord::new("t", &values[..100])).unwrap().get().unwrap());
    });
    producer.close().unwrap();
}

fn main() {
    let bench = Bench::from_args();
    let values = text(10 << 20);
    encode(&bench, &values);
    stamp(&bench, &values);
    seal(&bench, &values);
    append(&bench, &values);
    outcome(&bench, &values);
    whole_way(&bench, &values);
}
