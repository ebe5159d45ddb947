//! The `confluent-kafka` crate, by its way for bytes (`send` with borrowed key and value) and a callback for each record.

use compare::{Latencies, Mode, Options, Payloads, Stopwatch};
use confluent_kafka::common::serialization::ByteArraySerializer;
use confluent_kafka::producer::{
    Callback, KafkaProducer, Producer, ProducerConfig, ProducerRecord, callback,
};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

static FAILED: AtomicU64 = AtomicU64::new(0);

/// It holds nothing, so its box allocates nothing.
fn count() -> Box<dyn Callback> {
    Box::new(callback::new(|_, error| {
        if let Some(error) = error
            && FAILED.fetch_add(1, Ordering::Relaxed) == 0
        {
            eprintln!("confluent: {error}");
        }
    }))
}

type Client = KafkaProducer<Vec<u8>, Vec<u8>>;

fn record<'a>(options: &Options, payloads: &'a Payloads, n: usize) -> ProducerRecord<&'a [u8], &'a [u8]> {
    let key = payloads.key(n).map(str::as_bytes);
    ProducerRecord::with_key(options.topic.clone(), key, Some(payloads.value(n)))
}

async fn send(producer: &Client, options: &Options, payloads: &Payloads, range: Range<usize>) {
    for n in range {
        let future = producer.send(record(options, payloads, n), Some(count())).await;
        drop(future.expect("the record enters"));
    }
}

async fn send_shares(producer: &Arc<Client>, options: &Arc<Options>, payloads: &Arc<Payloads>, total: usize) {
    if options.threads == 1 {
        return send(producer, options, payloads, 0..total).await;
    }
    let tasks: Vec<_> = (0..options.threads)
        .map(|thread| {
            let (producer, options, payloads) =
                (Arc::clone(producer), Arc::clone(options), Arc::clone(payloads));
            let range = options.share(total, thread);
            tokio::spawn(async move { send(&producer, &options, &payloads, range).await })
        })
        .collect();
    for task in tasks {
        task.await.expect("the task ends well");
    }
}

async fn send_and_wait(producer: &Client, options: &Options, payloads: &Payloads, n: usize) {
    let future = producer.send(record(options, payloads, n), None).await.expect("the record enters");
    if future.get().await.is_err() {
        FAILED.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::main]
async fn main() {
    let options = Arc::new(Options::from_args());
    let payloads = Arc::new(Payloads::load(&options));
    let mut properties: HashMap<String, String> =
        options.java_properties().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    // The hash of the Java family, so that keys spread alike in every arm; without keys its own default is better.
    if options.keys.is_some() {
        properties.insert("partitioner.type".to_owned(), "Murmur2RandomPartitioner".to_owned());
    }
    let config = ProducerConfig::new(&properties).expect("a valid configuration");
    let producer: Arc<Client> = Arc::new(
        KafkaProducer::new(config, ByteArraySerializer::default(), ByteArraySerializer::default())
            .expect("a producer"),
    );
    match options.mode {
        Mode::Paced(_) => panic!("this arm has no --pace"),
        Mode::Throughput => {
            send_shares(&producer, &options, &payloads, options.warmup).await;
            producer.flush().await.expect("flush");
            let watch = Stopwatch::start();
            send_shares(&producer, &options, &payloads, options.records).await;
            producer.flush().await.expect("flush");
            watch.report(&options, FAILED.load(Ordering::Relaxed), None);
        }
        Mode::Sync => {
            for n in 0..options.warmup {
                send_and_wait(&producer, &options, &payloads, n).await;
            }
            let mut latencies = Latencies::with_capacity(options.records);
            let watch = Stopwatch::start();
            for n in 0..options.records {
                let at = Instant::now();
                send_and_wait(&producer, &options, &payloads, n).await;
                latencies.add(at.elapsed());
            }
            watch.report(&options, FAILED.load(Ordering::Relaxed), Some(latencies));
        }
    }
    producer.close().await.expect("close");
}
