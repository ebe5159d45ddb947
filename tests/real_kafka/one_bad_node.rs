//! One of three real nodes is frozen: what do those get whose records go to the two others?
//!
//! `KAFKA_PRODUCER_NODE_SECONDS` says how long each phase lasts (5). What it prints is the table of docs/reliability.md:
//! `cargo test --release --test real_kafka one_bad_node -- --ignored --nocapture`.

use crate::cluster::RealKafka;
use crate::fire::setting;
use crate::java::Version;
use crate::numbered::{Producer, producer};
use crate::wait;
use kafka_producer::ProducerRecord;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const NODES: usize = 3;
const FROZEN: usize = 1;
const A_SECOND: u64 = 2000;
/// How late the last records may be at the ends of a phase, in microseconds: a backlog would count as rate in the phase in
/// which it is worked off, and lack in the one in which it arose.
const CAUGHT_UP: u32 = 300_000;
/// How much longer than asked a phase may last until that is so: a machine may stand still for a moment.
const LONGER: Duration = Duration::from_secs(20);
const A_MOMENT: Duration = Duration::from_millis(200);
const VALUE: [u8; 500] = [7; 500];

/// Microseconds from when a record was due until its callback, of those acknowledged since somebody looked.
type Latencies = Arc<Mutex<Vec<u32>>>;

fn take(latencies: &Latencies) -> Vec<u32> {
    std::mem::take(&mut *latencies.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Sends at a steady rate until the test is over.
fn send(producer: &Producer, topic: &str, partition: i32, latencies: &Latencies, over: &AtomicBool) {
    let start = wait::now();
    for i in 0.. {
        let at = Duration::from_secs_f64(i as f64 / A_SECOND as f64);
        if let Some(early) = at.checked_sub(start.elapsed()).filter(|early| early.as_millis() > 0) {
            wait::for_a_while(early);
        }
        if over.load(Ordering::Relaxed) {
            return;
        }
        let (due, latencies) = (start + at, Arc::clone(latencies));
        let record = ProducerRecord::new(topic, &VALUE).partition(partition);
        let noted = producer.send_with(record, move |result| {
            result.expect("it is delivered");
            let micros = u32::try_from(due.elapsed().as_micros()).unwrap_or(u32::MAX);
            latencies.lock().unwrap_or_else(PoisonError::into_inner).push(micros);
        });
        noted.expect("it enters");
    }
}

/// Waits until every node acknowledges records soon after they were due.
fn catch_up(of_nodes: &[Latencies; NODES]) {
    wait::until("the backlog of the start to be worked off", Duration::from_secs(120), || {
        of_nodes.iter().for_each(|latencies| drop(take(latencies)));
        wait::for_a_while(A_MOMENT);
        of_nodes.iter().all(|latencies| is_soon(&take(latencies))).then_some(())
    });
}

fn is_soon(latencies: &[u32]) -> bool {
    latencies.last().is_some_and(|latest| *latest < CAUGHT_UP)
}

/// What each node acknowledges for a time, and longer if the two others are behind at its end.
fn measure(time: Duration, of_nodes: &[Latencies; NODES]) -> [Vec<u32>; NODES] {
    wait::for_a_while(time);
    let mut per_node = of_nodes.each_ref().map(take);
    wait::within(LONGER, || {
        wait::for_a_while(A_MOMENT);
        let latest = of_nodes.each_ref().map(take);
        let soon = (0..NODES).all(|node| node == FROZEN || is_soon(&latest[node]));
        per_node.iter_mut().zip(latest).for_each(|(all, latest)| all.extend(latest));
        soon.then_some(())
    });
    per_node
}

/// Measures, prints what each node acknowledged meanwhile, and returns how many records a second the two others did.
fn phase(name: &str, time: Duration, of_nodes: &[Latencies; NODES]) -> f64 {
    of_nodes.iter().for_each(|latencies| drop(take(latencies)));
    let began = wait::now();
    let per_node = measure(time, of_nodes);
    let seconds = began.elapsed().as_secs_f64();
    let mut others: Vec<u32> =
        (0..NODES).filter(|node| *node != FROZEN).flat_map(|n| per_node[n].clone()).collect();
    others.sort_unstable();
    let at = |share: f64| {
        let index = (others.len().saturating_sub(1) as f64 * share) as usize;
        others.get(index).map_or(0.0, |micros| f64::from(*micros) / 1000.0)
    };
    let rate = others.len() as f64 / seconds;
    let bad = per_node[FROZEN].len() as f64 / seconds;
    println!("| {name} | {rate:.0} | {:.1} | {:.1} | {:.1} | {bad:.0} |", at(0.5), at(0.99), at(1.0));
    rate
}

#[test]
#[ignore = "needs Java and Maven: see README"]
fn the_two_others_keep_their_rate() {
    let kafka = RealKafka::start(Version::V4_3, NODES);
    let topic = "one-bad";
    // One replica each: no partition depends on another one's node.
    kafka.create_topic(topic, NODES as u32, 1, &[]);
    let described = kafka.describe(topic);
    let led_by = |node: usize| {
        described.iter().find(|p| p.leader == Some(node as i32 + 1)).expect("it leads one").number
    };
    let producer = producer(&kafka, &[]);
    let of_nodes: [Latencies; NODES] = Default::default();
    let over = AtomicBool::new(false);
    let time = Duration::from_secs(setting("KAFKA_PRODUCER_NODE_SECONDS", 5));
    let during = std::thread::scope(|scope| {
        for (node, latencies) in of_nodes.iter().enumerate() {
            let (producer, over, partition) = (&producer, &over, led_by(node));
            scope.spawn(move || send(producer, topic, partition, latencies, over));
        }
        let stop = StopAtEnd(&over);
        catch_up(&of_nodes);
        println!(
            "| phase | records/s of the two others | p50 ms | p99 ms | max ms | of node {} |",
            FROZEN + 1
        );
        phase("before", time, &of_nodes);
        kafka.pause(FROZEN);
        let during = phase("frozen", time, &of_nodes);
        kafka.resume(FROZEN);
        phase("after", time, &of_nodes);
        drop(stop);
        during
    });
    producer.close().expect("nothing is left");
    let offered = ((NODES - 1) as u64 * A_SECOND) as f64;
    assert!(during >= 0.9 * offered, "{during} of {offered} records a second");
}

/// Ends the threads also if the test fails, whose scope waits for them.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
