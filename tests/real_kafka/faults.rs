//! Nodes of a real cluster die, freeze and come back while records are sent: nothing lost, doubled or out of order.

use crate::cluster::RealKafka;
use crate::java::Version;
use crate::numbered::{Expected, Placed, Producer, Sample, producer, producer_at, send_numbered};
use crate::wait;
use kafka_producer::{ErrorKind, ProducerRecord};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

const THREADS: u64 = 4;
const PER_THREAD: u64 = 25_000;
const PARTITIONS: i32 = 6;
const SOON: Duration = Duration::from_secs(300);
const SAFE: &[(&str, &str)] = &[("min.insync.replicas", "2")];

/// How far the senders may go, and what came back: the test holds them at points of its choice.
struct Progress {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// Records that each thread may have sent by now.
    allowed: u64,
    delivered: u64,
    outcomes: Vec<Option<Placed>>,
    failures: Vec<String>,
}

impl Progress {
    fn new() -> Arc<Self> {
        let outcomes = vec![None; (THREADS * PER_THREAD) as usize];
        let state = State { allowed: 0, delivered: 0, outcomes, failures: Vec::new() };
        Arc::new(Self { state: Mutex::new(state), changed: Condvar::new() })
    }

    fn allow(&self, per_thread: u64) {
        self.state.lock().expect("not poisoned").allowed = per_thread;
        self.changed.notify_all();
    }

    fn wait_delivered(&self, count: u64) {
        let state = self.state.lock().expect("not poisoned");
        let (state, timeout) = self
            .changed
            .wait_timeout_while(state, SOON, |s| s.delivered < count && s.failures.is_empty())
            .expect("not poisoned");
        assert!(state.failures.is_empty(), "{:?}", state.failures);
        assert!(!timeout.timed_out(), "{} of {count} delivered within {SOON:?}", state.delivered);
    }

    /// Sends one thread's records as far as it is allowed to; the callbacks keep the account.
    fn send(self: &Arc<Self>, producer: &Producer, topic: &str, thread: u64) {
        for i in 0..PER_THREAD {
            let state = self.state.lock().expect("not poisoned");
            let held =
                self.changed.wait_timeout_while(state, SOON, |s| s.allowed <= i).expect("not poisoned");
            assert!(!held.1.timed_out(), "the test went away");
            drop(held);
            let (progress, number) = (Arc::clone(self), thread * PER_THREAD + i);
            let done = move |result: Result<_, _>| progress.note(number, result.map(Placed::from));
            let sample = Sample::new(number, PARTITIONS);
            sample.lend(topic, |record| producer.send_with(record, done)).expect("it enters");
        }
    }

    fn note(&self, number: u64, result: Result<Placed, kafka_producer::Error>) {
        let mut state = self.state.lock().expect("not poisoned");
        match result {
            Ok(placed) => {
                let before = state.outcomes[number as usize].replace(placed);
                state.delivered += 1;
                if before.is_some() {
                    state.failures.push(format!("{number} completed twice"));
                }
            }
            Err(error) => state.failures.push(format!("{number}: {error}")),
        }
        self.changed.notify_all();
    }
}

#[test]
#[ignore = "needs Java and Maven: see README"]
fn a_node_killed_and_started_again_while_records_are_sent() {
    let kafka = RealKafka::start(Version::V4_3, 3);
    let topic = "killed";
    kafka.create_topic(topic, PARTITIONS as u32, 3, SAFE);
    let since = wait::wall_millis();
    let producer = producer(&kafka, &[("max.block.ms", "120000")]);
    let progress = Progress::new();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (progress, producer) = (&progress, &producer);
            scope.spawn(move || progress.send(producer, topic, thread));
        }
        progress.allow(PER_THREAD / 5);
        progress.wait_delivered(THREADS * PER_THREAD / 10);
        // In the middle of it, with requests in flight.
        kafka.kill(0);
        progress.allow(PER_THREAD * 2 / 5);
        progress.wait_delivered(THREADS * PER_THREAD * 2 / 5);
        // It comes back and catches up while the others are written to.
        progress.allow(PER_THREAD * 3 / 5);
        kafka.restart(0);
        progress.allow(PER_THREAD * 4 / 5);
        kafka.wait_for(topic, "all in sync", |p| p.in_sync.len() == 3);
        // Leaders move back under the senders' feet.
        progress.allow(PER_THREAD);
        kafka.elect_preferred(topic);
        progress.wait_delivered(THREADS * PER_THREAD);
    });
    producer.close().expect("nothing is left");

    let outcomes = progress.state.lock().expect("not poisoned").outcomes.clone();
    Expected { topic, partitions: PARTITIONS, per_thread: PER_THREAD, outcomes: &outcomes, since }
        .verify(&kafka);
    kafka.wait_for(topic, "all in sync", |p| p.in_sync.len() == 3);
    let first = kafka.check_log(0, topic);
    assert_eq!(first, kafka.check_log(1, topic));
}

#[test]
#[ignore = "needs Java and Maven: see README"]
fn a_producer_starts_while_the_first_bootstrap_server_is_down() {
    let kafka = RealKafka::start(Version::V4_3, 3);
    kafka.create_topic("before", 3, 3, SAFE);
    kafka.create_topic("after", 3, 3, SAFE);
    kafka.kill(0);
    let deliver = |producer: &Producer, topic: &str| {
        let since = wait::wall_millis();
        let outcomes = send_numbered(producer, topic, 3, 2, 500);
        (outcomes, since)
    };
    let verify = |topic: &str, (outcomes, since): &(Vec<Option<Placed>>, i64)| {
        Expected { topic, partitions: 3, per_thread: 500, outcomes, since: *since }.verify(&kafka);
    };

    // `bootstrap` names the node that is down first.
    assert!(kafka.bootstrap().starts_with(&kafka.address(0).to_string()));
    let early = producer(&kafka, &[]);
    verify("before", &deliver(&early, "before"));

    kafka.restart(0);
    kafka.wait_for("after", "all in sync", |p| p.in_sync.len() == 3);
    kafka.elect_preferred("after");
    // The one that never saw the node, and one that sees nothing else at first.
    let late = producer_at(&kafka.address(0).to_string(), &[]);
    verify("after", &deliver(&early, "after"));
    kafka.create_topic("late", 3, 3, SAFE);
    verify("late", &deliver(&late, "late"));
    early.close().expect("nothing is left");
    late.close().expect("nothing is left");
}

#[test]
#[ignore = "needs Java and Maven: see README"]
fn a_frozen_node_delays_only_its_own_partitions() {
    let kafka = RealKafka::start(Version::V4_3, 3);
    let topic = "frozen";
    // One replica each: no partition depends on another one's node.
    kafka.create_topic(topic, 3, 1, &[]);
    let leads = |node: i32| {
        let partitions = kafka.describe(topic);
        partitions.iter().find(|p| p.leader == Some(node)).expect("each node leads one").number
    };
    let (frozen, other) = (leads(2), leads(3));
    let producer = producer(&kafka, &[("acks", "all")]);
    let send = |partition, value: &[u8]| {
        producer.send(ProducerRecord::new(topic, value).partition(partition)).expect("it enters")
    };
    send(frozen, b"0").get().expect("delivered");
    send(other, b"0").get().expect("delivered");

    kafka.pause(1);
    let stuck: Vec<_> = (1..=100).map(|i: u32| send(frozen, i.to_string().as_bytes())).collect();
    for i in 1..=100_u32 {
        let began = wait::now();
        send(other, i.to_string().as_bytes()).get().expect("delivered");
        // `request.timeout.ms` is 30 s: it did not wait for the frozen node, and whatever else it waited for is the machine.
        assert!(began.elapsed() < Duration::from_secs(15), "record {i} waited {:?}", began.elapsed());
    }
    assert!(stuck.iter().all(|handle| !handle.is_done()), "a frozen node answered");
    kafka.resume(1);
    for handle in &stuck {
        handle.get().expect("delivered once the node goes on");
    }

    let read = kafka.read_all(topic);
    for partition in [frozen, other] {
        let values: Vec<_> =
            read.iter().filter(|r| r.partition == partition).map(|r| r.value.clone()).collect();
        let expected: Vec<_> = (0..=100_u32).map(|i| Some(i.to_string().into_bytes())).collect();
        assert_eq!(values, expected, "partition {partition}");
    }
}

#[test]
#[ignore = "needs Java and Maven: see README"]
fn too_few_replicas_are_an_error_at_the_deadline_until_there_are_enough() {
    let kafka = RealKafka::start(Version::V4_3, 3);
    let topic = "too-few";
    kafka.create_topic(topic, 1, 2, SAFE);
    let replicas = kafka.describe(topic)[0].replicas.clone();
    let follower = replicas[1] as usize - 1;
    // Time enough for a slow machine to deliver what can be delivered.
    let settings = [("delivery.timeout.ms", "15000"), ("request.timeout.ms", "5000"), ("linger.ms", "0")];
    let producer = producer(&kafka, &settings);
    let deliver = |value: &str| producer.send(ProducerRecord::new(topic, value.as_bytes()))?.get();
    deliver("first").expect("both replicas are there");

    kafka.kill(follower);
    // Before that the leader would append and then wait for the dead one.
    kafka.wait_for(topic, "one in sync", |p| p.in_sync.len() == 1);
    // The leader may hear of it after the node that was asked.
    wait::for_a_while(Duration::from_secs(2));
    let began = wait::now();
    let error = deliver("refused").expect_err("one replica of two");
    assert_eq!(error.kind(), ErrorKind::DeliveryTimeout, "{error}");
    assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());

    kafka.restart(follower);
    kafka.wait_for(topic, "two in sync", |p| p.in_sync.len() == 2);
    deliver("last").expect("enough again");
    let values: Vec<_> = kafka.read_all(topic).into_iter().filter_map(|r| r.value).collect();
    assert_eq!(values, [b"first".to_vec(), b"last".to_vec()]);
    kafka.check_log(replicas[0] as usize - 1, topic);
}
