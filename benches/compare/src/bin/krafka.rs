//! The `krafka` crate. Handles are dropped and its counters asked at the end: its cheapest way. The bytes of all payloads
//! are shared, not copied, which is its way too.

use bytes::Bytes;
use compare::{Latencies, Mode, Options, Payloads, Stopwatch};
use krafka::producer::{Acks, Producer};
use krafka::{Compression, Kafka, Record};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

struct Arm {
    producer: Producer,
    options: Options,
    payloads: Payloads,
    /// The payloads' bytes, as the client takes them.
    values: Vec<Bytes>,
}

impl Arm {
    fn record(&self, n: usize) -> Record {
        let record = Record::new(self.options.topic.as_str(), self.values[n % self.values.len()].clone());
        match self.payloads.key(n) {
            Some(key) => record.key(key.to_owned()),
            None => record,
        }
    }

    async fn send(&self, range: Range<usize>) {
        for n in range {
            drop(self.producer.enqueue(self.record(n)).await.expect("the record enters"));
        }
    }

    async fn send_shares(self: &Arc<Self>, total: usize) {
        if self.options.threads == 1 {
            return self.send(0..total).await;
        }
        let tasks: Vec<_> = (0..self.options.threads)
            .map(|thread| {
                let arm = Arc::clone(self);
                tokio::spawn(async move { arm.send(arm.options.share(total, thread)).await })
            })
            .collect();
        for task in tasks {
            task.await.expect("the task ends well");
        }
    }

    async fn send_and_wait(&self, n: usize) {
        if let Err(error) = self.producer.send(self.record(n)).await {
            eprintln!("krafka: {error}");
        }
    }

    fn errors(&self) -> u64 {
        self.producer.metrics().producer.errors
    }
}

async fn connect(options: &Options) -> krafka::Result<Producer> {
    let kafka = Kafka::builder(options.bootstrap.as_str()).connect().await?;
    let mut builder = kafka.producer().idempotent(options.idempotence).acks(match options.acks.as_str() {
        "all" => Acks::All,
        "0" => Acks::None,
        _ => Acks::Leader,
    });
    builder = builder.compression(match options.compression.as_str() {
        "gzip" => Compression::Gzip,
        "snappy" => Compression::Snappy,
        "lz4" => Compression::Lz4,
        "zstd" => Compression::Zstd,
        _ => Compression::None,
    });
    builder = builder.compression_level(options.level);
    if let Some(linger) = options.linger_ms {
        builder = builder.linger(Duration::from_millis(linger));
    }
    if let Some(size) = options.batch_size {
        builder = builder.batch_size(size);
    }
    if let Some(bytes) = options.buffer_memory {
        builder = builder.buffer_memory(bytes);
    }
    builder.build().await
}

#[tokio::main]
async fn main() {
    let options = Options::from_args();
    let mut payloads = Payloads::load(&options);
    let all = Bytes::from(payloads.take_values());
    let values = (0..all.len() / options.size).map(|n| all.slice(n * options.size..(n + 1) * options.size));
    let producer = connect(&options).await.expect("a producer");
    let arm = Arc::new(Arm { producer, values: values.collect(), options, payloads });
    match arm.options.mode {
        Mode::Paced(_) => panic!("this arm has no --pace"),
        Mode::Throughput => {
            arm.send_shares(arm.options.warmup).await;
            arm.producer.flush().await.expect("flush");
            let watch = Stopwatch::start();
            arm.send_shares(arm.options.records).await;
            arm.producer.flush().await.expect("flush");
            watch.report(&arm.options, arm.errors(), None);
        }
        Mode::Sync => {
            for n in 0..arm.options.warmup {
                arm.send_and_wait(n).await;
            }
            let mut latencies = Latencies::with_capacity(arm.options.records);
            let watch = Stopwatch::start();
            for n in 0..arm.options.records {
                let at = Instant::now();
                arm.send_and_wait(n).await;
                latencies.add(at.elapsed());
            }
            watch.report(&arm.options, arm.errors(), Some(latencies));
        }
    }
    arm.producer.close().await.expect("close");
}
