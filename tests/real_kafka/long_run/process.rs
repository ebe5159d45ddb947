//! The process that is measured: a producer with default settings, four threads that send at a given rate, and a line on
//! which it tells each outcome.
//!
//! An outcome is 24 bytes: the record's number (u64), partition (i32, or what went wrong), offset (i64), and the
//! microseconds from when the record was due until then (u32).

use super::THREADS;
use super::account::Account;
use crate::numbered::{Producer, producer_at};
use crate::wait;
use kafka_producer::{Error, ProducerRecord, RecordMetadata};
use std::io::{BufWriter, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

/// Bytes of an outcome.
pub(crate) const EVENT: usize = 24;
/// In place of a partition: the record was certainly not written.
pub(crate) const ABSENT: i32 = -1;
/// In place of a partition: the record may have been written.
pub(crate) const PERHAPS: i32 = -2;
/// In place of a partition: a thread's last word; `number` is the number that it did not send any more.
pub(crate) const LAST: i32 = -3;

const VALUE: usize = 1000;
const ORDER: &str = "KAFKA_PRODUCER_LONG_ORDER";
const ERRORS_TOLD: usize = 10;

/// What a thread's numbers begin with.
pub(crate) const fn first_of(thread: u64) -> u64 {
    thread << 40
}

/// What the process has to do.
#[derive(Debug)]
pub(crate) struct Order<'a> {
    pub(crate) bootstrap: &'a str,
    pub(crate) topic: &'a str,
    /// 0: as fast as it can.
    pub(crate) records_per_second: u64,
}

/// The process, seen from the test. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Child {
    process: std::process::Child,
    line: TcpStream,
}

impl Child {
    /// Starts this test again in a process of its own.
    pub(crate) fn start(order: &Order<'_>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let word = format!("{} {} {} {address}", order.bootstrap, order.topic, order.records_per_second);
        let mut again = Command::new(std::env::current_exe().expect("this program"));
        again.args(["--exact", "long_run::half_speed_with_faults", "--ignored", "--nocapture"]);
        let process = again.env(ORDER, word).stdout(std::process::Stdio::null()).spawn().expect("it starts");
        let (line, _) = listener.accept().expect("it calls");
        Self { process, line }
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// A thread that tells `account` each outcome, until the producer is closed.
    pub(crate) fn report_to<'s>(
        &self,
        scope: &'s Scope<'s, '_>,
        account: &'s Account,
    ) -> ScopedJoinHandle<'s, ()> {
        let mut line = self.line.try_clone().expect("a second handle");
        scope.spawn(move || while account.hear(&mut line) {})
    }

    /// It sends nothing more, closes its producer and ends.
    pub(crate) fn stop(&mut self) {
        self.line.write_all(b"s").expect("it listens");
        let status = self.process.wait().expect("our child");
        assert!(status.success(), "the producer's process: {status}");
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What this process was told to do, if it is the one that is measured.
pub(crate) fn ordered() -> Option<String> {
    std::env::var(ORDER).ok()
}

/// The value of a record: its number, and bytes that follow from it.
pub(crate) fn value_of(number: u64) -> Vec<u8> {
    let mut value = Vec::with_capacity(VALUE);
    value.extend(number.to_be_bytes());
    // A table would be faster still; this is a tenth of what sending costs.
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    while value.len() < VALUE {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        value.extend(state.to_be_bytes());
    }
    value
}

/// The key of a record, if it has one: half of the threads leave the choice of the partition to the producer.
pub(crate) fn key_of(number: u64) -> Option<[u8; 4]> {
    ((number >> 40) % 2 == 1).then(|| ((number % 5000) as u32).to_be_bytes())
}

/// Where outcomes are written.
struct Report {
    out: Mutex<BufWriter<TcpStream>>,
    told: Mutex<usize>,
}

impl Report {
    fn out(&self) -> MutexGuard<'_, BufWriter<TcpStream>> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn outcome(&self, number: u64, due: Instant, result: &Result<RecordMetadata, Error>) {
        let micros = u32::try_from(due.elapsed().as_micros()).unwrap_or(u32::MAX);
        match result {
            Ok(metadata) => self.event(number, metadata.partition(), metadata.offset().unwrap_or(-1), micros),
            Err(error) => {
                let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
                if *told < ERRORS_TOLD {
                    *told += 1;
                    eprintln!("record {number}: {error}");
                }
                let fate = if error.may_have_been_written() { PERHAPS } else { ABSENT };
                self.event(number, fate, -1, micros);
            }
        }
    }

    fn event(&self, number: u64, partition: i32, offset: i64, micros: u32) {
        let mut bytes = [0; EVENT];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        bytes[8..12].copy_from_slice(&partition.to_be_bytes());
        bytes[12..20].copy_from_slice(&offset.to_be_bytes());
        bytes[20..].copy_from_slice(&micros.to_be_bytes());
        // If nobody listens any more the test is over.
        let _ = self.out().write_all(&bytes);
    }
}

/// Sends until the test says that it is enough.
pub(crate) fn produce(order: &str) {
    let words: Vec<&str> = order.split(' ').collect();
    let [bootstrap, topic, rate, test] = words[..] else { panic!("not an order: {order}") };
    let rate: u64 = rate.parse().expect("a number");
    let mut line = TcpStream::connect(test).expect("the test listens");
    let out = Mutex::new(BufWriter::with_capacity(1 << 16, line.try_clone().expect("a second handle")));
    let report = Arc::new(Report { out, told: Mutex::new(0) });
    let producer = producer_at(bootstrap, &[("max.block.ms", "120000")]);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (producer, report, stop) = (&producer, &report, &stop);
            scope.spawn(move || send(producer, topic, thread, rate, report, stop));
        }
        line.set_read_timeout(Some(Duration::from_millis(50))).expect("a socket");
        // The test's word, or its end; what has gathered meanwhile is told.
        while line.read(&mut [0]).is_err() {
            let _ = report.out().flush();
        }
        stop.store(true, Ordering::Relaxed);
    });
    producer.close().expect("nothing is left");
    let _ = report.out().flush();
}

fn send(producer: &Producer, topic: &str, thread: u64, rate: u64, report: &Arc<Report>, stop: &AtomicBool) {
    let start = wait::now();
    let a_second = rate as f64 / THREADS as f64;
    for i in 0.. {
        let number = first_of(thread) + i;
        let mut due = wait::now();
        if rate > 0 {
            let at = Duration::from_secs_f64(i as f64 / a_second);
            due = start + at;
            if let Some(early) = at.checked_sub(start.elapsed()).filter(|early| early.as_millis() > 0) {
                wait::for_a_while(early);
            }
        }
        if stop.load(Ordering::Relaxed) {
            return report.event(number, LAST, -1, 0);
        }
        let (key, value) = (key_of(number), value_of(number));
        let mut record = ProducerRecord::new(topic, value.as_slice());
        if let Some(key) = &key {
            record = record.key(key.as_slice());
        }
        let telling = Arc::clone(report);
        let sent = producer.send_with(record, move |result| telling.outcome(number, due, &result));
        if let Err(error) = sent {
            report.outcome(number, due, &Err(error));
        }
    }
}
