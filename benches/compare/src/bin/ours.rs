//! This library. `--outcome handle` (the default) drops each record's handle and asks the producer's counters at the end;
//! `callback` counts outcomes in a callback for each record; `get` keeps every handle and looks at each.

use compare::{Latencies, Mode, Options, Payloads, Stopwatch, SyncArm, pace, run};
use kafka_producer::{
    BytesSerializer, DeliveryFuture, KafkaProducer, ProducerConfig, ProducerRecord, StringSerializer,
};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

static FAILED: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static HANDLES: RefCell<VecDeque<DeliveryFuture>> = const { RefCell::new(VecDeque::new()) };
}

#[derive(Clone, Copy, PartialEq)]
enum Outcome {
    Handle,
    Callback,
    Get,
}

struct Ours {
    producer: KafkaProducer<str, [u8]>,
    topic: String,
    outcome: Outcome,
}

impl Ours {
    #[inline]
    fn record<'a>(&'a self, value: &'a [u8], key: Option<&'a str>) -> ProducerRecord<'a, str, [u8]> {
        let record = ProducerRecord::new(&self.topic, value);
        match key {
            Some(key) => record.key(key),
            None => record,
        }
    }
}

fn note(result: Result<kafka_producer::RecordMetadata, kafka_producer::Error>) {
    if let Err(error) = result
        && FAILED.fetch_add(1, Ordering::Relaxed) == 0
    {
        eprintln!("ours: {error}");
    }
}

impl SyncArm for Ours {
    #[inline]
    fn send(&self, value: &[u8], key: Option<&str>) {
        let record = self.record(value, key);
        match self.outcome {
            Outcome::Handle => self.producer.send(record).expect("the record enters").detach(),
            // The closure holds nothing, so its box allocates nothing.
            Outcome::Callback => self.producer.send_with(record, note).expect("the record enters"),
            Outcome::Get => {
                let handle = self.producer.send(record).expect("the record enters");
                HANDLES.with_borrow_mut(|handles| {
                    handles.push_back(handle);
                    while let Some(result) = handles.front().and_then(DeliveryFuture::try_get) {
                        note(result);
                        handles.pop_front();
                    }
                });
            }
        }
    }

    fn send_and_wait(&self, value: &[u8], key: Option<&str>) {
        note(self.producer.send(self.record(value, key)).expect("the record enters").get());
    }

    fn flush(&self) {
        self.producer.flush().expect("flush");
        HANDLES.with_borrow_mut(|handles| handles.drain(..).for_each(|handle| note(handle.get())));
    }

    fn errors(&self) -> u64 {
        FAILED.load(Ordering::Relaxed).max(self.producer.metrics().records_failed)
    }
}

/// From the moment a record was due to its callback.
fn paced(ours: &Ours, rate: usize, options: &Options, payloads: &Payloads) {
    let timed = |records: usize| {
        let latencies = Arc::new(Mutex::new(Latencies::with_capacity(records)));
        pace(rate, records, |n, due| {
            let latencies = Arc::clone(&latencies);
            let done = move |result| {
                note(result);
                latencies.lock().expect("nobody panics").add(due.elapsed());
            };
            let record = ours.record(payloads.value(n), payloads.key(n));
            ours.producer.send_with(record, done).expect("the record enters");
        });
        ours.flush();
        let mut latencies = latencies.lock().expect("nobody panics");
        std::mem::take(&mut *latencies)
    };
    timed(options.warmup);
    let watch = Stopwatch::start();
    let latencies = timed(options.records);
    watch.report(options, ours.errors(), Some(latencies));
}

fn main() {
    let options = Options::from_args();
    let payloads = Payloads::load(&options);
    let config = ProducerConfig::from_properties(options.java_properties()).expect("a valid configuration");
    let producer = KafkaProducer::new(config, StringSerializer, BytesSerializer).expect("a producer");
    let outcome = match options.outcome.as_deref() {
        None | Some("handle") => Outcome::Handle,
        Some("callback") => Outcome::Callback,
        Some("get") => Outcome::Get,
        Some(other) => panic!("unknown --outcome {other}"),
    };
    let ours = Ours { producer, topic: options.topic.clone(), outcome };
    match options.mode {
        Mode::Paced(rate) => paced(&ours, rate, &options, &payloads),
        Mode::Throughput | Mode::Sync => run(&ours, &options, &payloads),
    }
    ours.producer.close().expect("close");
}
