//! Half an hour under fire at half speed: does anything grow, slow down or get lost?
//!
//! The producer runs in a process of its own, so that what is measured is the producer's. It tells this process each
//! outcome; Java's consumer reads along, and `account` pairs what the producer said with what is in the log. What is paired
//! is deleted from the log, so that the disk holds seconds and not the whole run.
//!
//! ```text
//! KAFKA_PRODUCER_LONG_SECONDS=1800 KAFKA_PRODUCER_LONG_OUT=docs/reliability \
//!     cargo test --release --test real_kafka long_run -- --ignored --nocapture
//! ```
//!
//! `KAFKA_PRODUCER_LONG_RATE` sets the records per second; without it, half of what is measured first.
//! `KAFKA_PRODUCER_FIRE_SEED` says which faults come. `.ci/run` leaves this test out.

mod account;
mod chart;
mod process;
mod samples;

use crate::cluster::RealKafka;
use crate::fire::setting;
use crate::flames::{Fire, Kind, Witness};
use crate::helper::Helper;
use crate::java::{Version, work_dir};
use crate::wait;
use account::Account;
use process::{Child, Order};
use samples::Samples;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub(crate) const PARTITIONS: u32 = 12;
pub(crate) const THREADS: u64 = 4;

const TOPIC: &str = "long";
const ROUND: [Kind; 5] =
    [Kind::Kill, Kind::FreezeLong, Kind::MoveLeaders, Kind::Terminate, Kind::FreezeShortly];
const CALIBRATION: &str = "calibration";
const WARM_UP: Duration = Duration::from_secs(10);
/// Nodes that have just started are slow.
const CALIBRATION_BEGINS: Duration = Duration::from_secs(20);
const CALIBRATED: Duration = Duration::from_secs(10);

/// All that runs along with the fire.
struct Run<'a> {
    account: &'a Account,
    samples: &'a Samples,
}

impl Witness for Run<'_> {
    fn take_longest_gap(&self) -> Duration {
        self.account.take_longest_gap()
    }

    fn begins(&self, kind: Kind) {
        self.samples.fault(kind);
    }

    fn over(&self, kafka: &RealKafka) -> bool {
        let paired = self.account.paired();
        println!("  {} records are checked, {} wait for it", paired.iter().sum::<i64>(), self.account.open());
        let offsets: Vec<String> = paired.iter().map(ToString::to_string).collect();
        if let Err(message) = kafka.helper().ask(&format!("forget {TOPIC} {}", offsets.join(" "))) {
            println!("  not deleted this time: {message}");
        }
        self.account.wrong().is_empty()
    }
}

/// What four threads get acknowledged in a second, as fast as they can, while nobody reads and nothing fails.
fn calibrate(kafka: &RealKafka) -> u64 {
    create(kafka, CALIBRATION);
    let account = Account::new();
    let rate = std::thread::scope(|scope| {
        let order = Order { bootstrap: &kafka.bootstrap(), topic: CALIBRATION, records_per_second: 0 };
        let mut child = Child::start(&order);
        child.report_to(scope, &account);
        wait::for_a_while(CALIBRATION_BEGINS);
        let (began, before) = (wait::now(), account.acknowledged());
        wait::for_a_while(CALIBRATED);
        let rate = (account.acknowledged() - before) as f64 / began.elapsed().as_secs_f64();
        child.stop();
        rate as u64
    });
    kafka.delete_topic(CALIBRATION);
    rate
}

fn create(kafka: &RealKafka, topic: &str) {
    let small = [("segment.bytes", "33554432"), ("file.delete.delay.ms", "1000")];
    kafka.create_topic(topic, PARTITIONS, 3, &[&[("min.insync.replicas", "2")][..], &small].concat());
}

/// Reads along until everything is paired and the producer is gone, or something is wrong.
fn follow(kafka: &RealKafka, account: &Account, over: &AtomicBool) {
    let log = work_dir().join("follower.log");
    let mut helper = Helper::start(kafka.java(), &kafka.bootstrap(), &log);
    let mut idle = 0;
    loop {
        let last = over.load(Ordering::Relaxed);
        let mut records = 0;
        let request = format!("more {TOPIC}");
        let answer = helper.read(&request, |frame| {
            account.read(&crate::reader::Frame(frame).record());
            records += 1;
        });
        if let Err(message) = answer {
            account.note_wrong(format!("the reader: {message}"));
        }
        idle = if records == 0 { idle + 1 } else { 0 };
        if !account.wrong().is_empty() || last && (account.open() == 0 || idle > 60) {
            return;
        }
    }
}

/// Tells the threads that watch that it is over, also if the fire panics.
struct Over<'a> {
    closed: &'a AtomicBool,
    samples: &'a Samples,
}

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.samples.end();
        self.closed.store(true, Ordering::Relaxed);
    }
}

/// Where the table and the chart go.
fn out() -> PathBuf {
    std::env::var_os("KAFKA_PRODUCER_LONG_OUT").map_or_else(work_dir, PathBuf::from)
}

#[test]
#[ignore = "needs Java and Maven, and takes as long as asked: see README"]
fn half_speed_with_faults() {
    if let Some(order) = process::ordered() {
        return process::produce(&order);
    }
    let seconds = setting("KAFKA_PRODUCER_LONG_SECONDS", 60);
    let kafka = RealKafka::start(Version::V4_3, 3);
    let rate = match setting("KAFKA_PRODUCER_LONG_RATE", 0) {
        0 => {
            let most = calibrate(&kafka);
            println!("{most} records/s as fast as it can");
            most / 2
        }
        given => given,
    };
    println!("{rate} records/s for {seconds} s");
    create(&kafka, TOPIC);
    let (account, samples) = (Account::new(), Samples::new());
    let order = Order { bootstrap: &kafka.bootstrap(), topic: TOPIC, records_per_second: rate };
    let closed = AtomicBool::new(false);
    let burnt = std::thread::scope(|scope| {
        // Both end the threads of this scope when they are dropped.
        let mut child = Child::start(&order);
        let over = Over { closed: &closed, samples: &samples };
        let hearing = child.report_to(scope, &account);
        scope.spawn(|| follow(&kafka, &account, &closed));
        let process = child.id();
        let (samples, account) = (&samples, &account);
        let sampling = scope.spawn(move || samples.run(process, account));
        wait::for_a_while(WARM_UP);
        samples.begin();
        let witness = Run { account, samples };
        let seed = setting("KAFKA_PRODUCER_FIRE_SEED", 1);
        let fire = Fire { kafka: &kafka, topics: &[TOPIC], partitions: PARTITIONS, witness: &witness, seed };
        let burnt = fire.burn(&ROUND, Duration::from_secs(seconds));
        samples.end();
        sampling.join().expect("it samples");
        child.stop();
        hearing.join().expect("it hears");
        drop(over);
        burnt
    });
    account.assert_all_there(&kafka.offsets(TOPIC));
    report(&samples, rate, &out());
    samples.assert_flat();
    burnt.assert_no_long_gaps();
}

fn report(samples: &Samples, rate: u64, out: &Path) {
    samples.print();
    let write = |name: &str, text: String| {
        let path = out.join(name);
        std::fs::create_dir_all(out).and_then(|()| std::fs::write(&path, text)).expect("writable");
        println!("written: {}", path.display());
    };
    write("long_run.csv", samples.csv());
    write("long_run.svg", chart::draw(&samples.rows(), rate));
}
