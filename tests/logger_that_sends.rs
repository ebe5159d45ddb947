//! A program whose logger ships what it gets through the very producer that logs: nothing waits for itself, on whichever thread
//! it is. A binary of its own, since a process has one logger.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use kafka_producer::mock::{Fault, MockCluster};
use kafka_producer::protocol::{ApiKey, ErrorCode};
use kafka_producer::{
    BytesSerializer, ErrorKind, Interceptor, KafkaProducer, ProducerConfig, ProducerRecord, StringSerializer,
};
use log::{LevelFilter, Log, Metadata, Record};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

type Producer = KafkaProducer<str, [u8]>;

/// One partition takes the program's records and the logger's.
const TOPIC: &str = "t";
const BAD_LUCK: &[u8] = b"bad luck";
/// Only a hang lasts so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sends each line, and asks everything that may be asked.
struct Shipper;

static SHIPPER: Shipper = Shipper;
static PRODUCER: OnceLock<Arc<Producer>> = OnceLock::new();
/// By the name of the thread that logged: how many lines, and how many calls were refused because they would wait for
/// themselves.
static LINES: Mutex<BTreeMap<String, (u64, u64)>> = Mutex::new(BTreeMap::new());

thread_local! {
    static SHIPPING: Cell<bool> = const { Cell::new(false) };
}

impl Log for Shipper {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("kafka_producer") && !metadata.target().ends_with("mock")
    }

    fn log(&self, record: &Record<'_>) {
        // What shipping logs is not shipped: there would be no end.
        if !self.enabled(record.metadata()) || SHIPPING.with(|shipping| shipping.replace(true)) {
            return;
        }
        if let Some(producer) = PRODUCER.get() {
            let line = record.args().to_string();
            if let Ok(handle) = producer.send(ProducerRecord::new(TOPIC, line.as_bytes())) {
                drop(handle.try_get());
            }
            let _ = producer.send_with(ProducerRecord::new(TOPIC, b"with a callback"), |_| {});
            let _ = producer.partitions_for(TOPIC);
            assert!(!producer.metrics().to_string().is_empty());
            let refused = producer.flush_timeout(PATIENCE).is_err_and(misused);
            let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
            let mut lines = LINES.lock().unwrap();
            let (count, refusals) = lines.entry(thread).or_default();
            *count += 1;
            *refusals += u64::from(refused);
        }
        SHIPPING.with(|shipping| shipping.set(false));
    }

    fn flush(&self) {}
}

fn misused(error: kafka_producer::Error) -> bool {
    error.kind() == ErrorKind::Misuse
}

/// Has the library log something inside `send`.
struct Unlucky;

impl Interceptor<str, [u8]> for Unlucky {
    fn on_send(&self, record: &mut ProducerRecord<'_, str, [u8]>) {
        assert_ne!(record.value_ref(), Some(BAD_LUCK), "an interceptor's own");
    }
}

/// Records that fail and that nobody looks at, from several threads, while connections break and batches go out again.
fn send_into_trouble(cluster: &MockCluster, producer: &Arc<Producer>) {
    let refused = cluster.inject(Fault::on(ApiKey::PRODUCE).error_before(ErrorCode::INVALID_RECORD).always());
    producer.send(ProducerRecord::new(TOPIC, BAD_LUCK)).unwrap().detach();
    std::thread::scope(|scope| {
        for number in 0..4 {
            let program = move || {
                for i in 0..500 {
                    if let Ok(handle) = producer.send(ProducerRecord::new(TOPIC, b"of the program")) {
                        if (i + number) % 50 == 0 { drop(handle.get()) } else { handle.detach() }
                    }
                }
            };
            std::thread::Builder::new()
                .name(format!("program-{number}"))
                .spawn_scoped(scope, program)
                .unwrap();
        }
    });
    refused.remove();
    for fault in [
        Fault::on(ApiKey::PRODUCE).drop_before(),
        Fault::on(ApiKey::PRODUCE).error_before(ErrorCode::NOT_LEADER_OR_FOLLOWER),
    ] {
        cluster.inject(fault.times(3));
        for _ in 0..20 {
            producer.send(ProducerRecord::new(TOPIC, b"again")).unwrap().get().unwrap();
        }
    }
}

#[test]
fn a_logger_that_sends_through_the_producer_that_logs() {
    log::set_logger(&SHIPPER).unwrap();
    log::set_max_level(LevelFilter::Trace);
    let cluster = MockCluster::builder().topic(TOPIC, 1).start().unwrap();
    let config = ProducerConfig::builder([cluster.bootstrap_servers()])
        .batch_size(300)
        .retry_backoff(Duration::from_millis(1))
        .reconnect_backoff(Duration::from_millis(1));
    let producer = KafkaProducer::builder(config.build().unwrap(), StringSerializer, BytesSerializer)
        .interceptor(Unlucky)
        .build()
        .unwrap();
    let producer = Arc::new(producer);
    PRODUCER.set(producer.clone()).unwrap_or_else(|_| unreachable!("set once"));

    let (done, over) = std::sync::mpsc::channel();
    let watched = std::thread::Builder::new();
    let test = watched.name("program".into()).spawn(move || {
        send_into_trouble(&cluster, &producer);
        producer.send_with(ProducerRecord::new(TOPIC, b"x"), |_| panic!("a callback's own")).unwrap();
        producer.flush().unwrap();
        producer.close().unwrap();
        assert_eq!(producer.metrics().records_pending, 0);
        done.send(()).unwrap();
    });
    let ended = over.recv_timeout(PATIENCE);
    let lines = LINES.lock().unwrap().clone();
    assert!(!matches!(ended, Err(std::sync::mpsc::RecvTimeoutError::Timeout)), "it hangs: {lines:?}");
    test.unwrap().join().unwrap();

    println!("{lines:?}");
    let (of_sender, refused) = lines["kafka-sender"];
    assert!(of_sender > 10 && refused > 0, "waiting for itself is refused: {lines:?}");
    assert!(lines["kafka-callbacks"].0 > 0, "{lines:?}");
    assert!(lines["program"].0 > 0, "{lines:?}");
}
