//! librdkafka through the `rdkafka` crate. Throughput: `ThreadedProducer`, whose own thread takes the delivery reports;
//! a full queue makes the sending thread serve reports too, until there is room. Sync: `BaseProducer`, polled by the waiting
//! thread itself, which spares a thread switch.

use compare::{Latencies, Mode, Options, Payloads, Stopwatch, SyncArm, run};
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::ClientContext;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

#[derive(Default)]
struct Counts {
    delivered: AtomicU64,
    failed: AtomicU64,
}

#[derive(Clone, Default)]
struct Reports(Arc<Counts>);

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, _: ()) {
        match result {
            Ok(_) => self.0.delivered.fetch_add(1, Ordering::Relaxed),
            Err((error, _)) => {
                eprintln!("librdkafka: {error}");
                self.0.failed.fetch_add(1, Ordering::Relaxed)
            }
        };
    }
}

struct Threaded {
    producer: ThreadedProducer<Reports>,
    topic: String,
    counts: Arc<Counts>,
}

fn record<'a>(topic: &'a str, value: &'a [u8], key: Option<&'a str>) -> BaseRecord<'a, str, [u8]> {
    let record = BaseRecord::to(topic).payload(value);
    match key {
        Some(key) => record.key(key),
        None => record,
    }
}

impl SyncArm for Threaded {
    fn send(&self, value: &[u8], key: Option<&str>) {
        let mut next = record(&self.topic, value, key);
        while let Err((error, back)) = self.producer.send(next) {
            match error {
                KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) => {
                    self.producer.poll(Duration::from_millis(1));
                    next = back;
                }
                error => panic!("{error}"),
            }
        }
    }

    fn send_and_wait(&self, _: &[u8], _: Option<&str>) {
        unreachable!("sync mode has its own producer")
    }

    fn flush(&self) {
        self.producer.flush(Duration::from_secs(600)).expect("flush");
    }

    fn errors(&self) -> u64 {
        self.counts.failed.load(Ordering::Relaxed)
    }
}

fn config(options: &Options) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &options.bootstrap)
        .set("acks", &options.acks)
        .set("enable.idempotence", options.idempotence.to_string())
        .set("compression.codec", &options.compression)
        // The hash of the Java family, so that keys spread alike in every arm.
        .set("partitioner", "murmur2_random");
    if let Some(linger) = options.linger_ms {
        config.set("linger.ms", linger.to_string());
    }
    if let Some(size) = options.batch_size {
        // A batch is full by its bytes, as with the others, and not by 10,000 records.
        config.set("batch.size", size.to_string()).set("batch.num.messages", "1000000");
    }
    if let Some(bytes) = options.buffer_memory {
        // It counts values only; a bound by count instead of bytes would keep 1 MB batches of small records from filling.
        config
            .set("queue.buffering.max.kbytes", (bytes / 1024).to_string())
            .set("queue.buffering.max.messages", "10000000");
    }
    if let Some(level) = options.level {
        config.set("compression.level", level.to_string());
    }
    config
}

fn main() {
    let options = Options::from_args();
    let payloads = Payloads::load(&options);
    let reports = Reports::default();
    let counts = Arc::clone(&reports.0);
    if options.mode == Mode::Throughput {
        let producer = config(&options).create_with_context(reports).expect("a producer");
        let arm = Threaded { producer, topic: options.topic.clone(), counts };
        return run(&arm, &options, &payloads);
    }
    let producer: BaseProducer<Reports> = config(&options).create_with_context(reports).expect("a producer");
    let send_and_wait = |n: usize| {
        let before = counts.delivered.load(Ordering::Relaxed) + counts.failed.load(Ordering::Relaxed);
        let next = record(&options.topic, payloads.value(n), payloads.key(n));
        producer.send(next).map_err(|(error, _)| error).expect("the record enters");
        while counts.delivered.load(Ordering::Relaxed) + counts.failed.load(Ordering::Relaxed) == before {
            producer.poll(Duration::from_millis(100));
        }
    };
    (0..options.warmup).for_each(send_and_wait);
    let mut latencies = Latencies::with_capacity(options.records);
    let watch = Stopwatch::start();
    for n in 0..options.records {
        let at = Instant::now();
        send_and_wait(n);
        latencies.add(at.elapsed());
    }
    watch.report(&options, counts.failed.load(Ordering::Relaxed), Some(latencies));
}
