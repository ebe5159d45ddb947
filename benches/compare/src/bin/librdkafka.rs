//! librdkafka through the `rdkafka` crate: `ThreadedProducer`, whose own thread takes the delivery reports. A full queue
//! makes the sending thread serve reports too, until there is room. One record at a time: `BaseProducer`, and the waiting
//! thread takes the report from librdkafka's queue itself, as a C program would: the crate's own `poll` always lasts to the end
//! of its time, and another thread would cost a switch.

use compare::{Latencies, Mode, Options, Payloads, Stopwatch, SyncArm, run};
use rdkafka::ClientContext;
use rdkafka::bindings as c;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext, ThreadedProducer};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How many records failed.
#[derive(Default)]
struct Reports(Arc<AtomicU64>);

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, _: ()) {
        if let Err((error, _)) = result {
            eprintln!("librdkafka: {error}");
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

struct Threaded {
    producer: ThreadedProducer<Reports>,
    topic: String,
    failed: Arc<AtomicU64>,
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
        unreachable!("one_at_a_time does it")
    }

    fn flush(&self) {
        // In short steps: the crate's flush polls to the end of its step, up to 100 ms, after the last report has come.
        for _ in 0..600_000 {
            if self.producer.flush(Duration::from_millis(1)).is_ok() {
                return;
            }
        }
        panic!("no flush within ten minutes");
    }

    fn errors(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
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
    if options.mode == Mode::Sync {
        return one_at_a_time(&options, &payloads);
    }
    let failed = Arc::default();
    let producer = config(&options).create_with_context(Reports(Arc::clone(&failed))).expect("a producer");
    run(&Threaded { producer, topic: options.topic.clone(), failed }, &options, &payloads);
}

fn one_at_a_time(options: &Options, payloads: &Payloads) {
    let producer: BaseProducer = config(options).create().expect("a producer");
    // SAFETY: the client lives as long as `producer`; the reference to its queue is given back below.
    let queue = unsafe { c::rd_kafka_queue_get_main(producer.client().native_ptr()) };
    let mut failed = 0;
    let mut send_and_wait = |n: usize| {
        let next = record(&options.topic, payloads.value(n), payloads.key(n));
        producer.send(next).map_err(|(error, _)| error).expect("the record enters");
        failed += u64::from(!wait_for_report(queue));
    };
    (0..options.warmup).for_each(&mut send_and_wait);
    let mut latencies = Latencies::with_capacity(options.records);
    let watch = Stopwatch::start();
    for n in 0..options.records {
        let before = Instant::now();
        send_and_wait(n);
        latencies.add(before.elapsed());
    }
    watch.report(options, failed, Some(latencies));
    // SAFETY: taken above, used by nobody any more.
    unsafe { c::rd_kafka_queue_destroy(queue) };
}

/// Whether the record that is on its way was delivered.
fn wait_for_report(queue: *mut c::rd_kafka_queue_t) -> bool {
    loop {
        // SAFETY: the queue is alive; an event is null or ours until it is destroyed, and its messages live as long.
        unsafe {
            let event = c::rd_kafka_queue_poll(queue, 100);
            if event.is_null() {
                continue;
            }
            let mut good = None;
            if c::rd_kafka_event_type(event) == c::RD_KAFKA_EVENT_DR {
                let message = c::rd_kafka_event_message_next(event);
                good = Some(!message.is_null() && (*message).err as i32 == 0);
            }
            c::rd_kafka_event_destroy(event);
            if let Some(good) = good {
                return good;
            }
        }
    }
}
