//! A system that gives no more descriptors, or no more threads: errors, and all goes on when it does again.

use crossbeam_channel::{Sender, bounded};

use crate::process::{Limiter, child, config, eventually, ms, open, open_files, run_child, status, threads};
use kafka_producer::mock::MockCluster;
use kafka_producer::{BytesSerializer, Error, ErrorKind, KafkaProducer, ProducerRecord, StringSerializer};
use std::cell::RefCell;
use std::error::Error as _;
use std::fs::File;

/// What an error says, with all of its causes.
fn story(error: &Error) -> String {
    let causes = std::iter::successors(error.source(), |e| (*e).source());
    std::iter::once(error.to_string()).chain(causes.map(ToString::to_string)).collect::<Vec<_>>().join(": ")
}

fn try_open(address: &str) -> Result<(), Error> {
    let config = config(address).build().unwrap();
    KafkaProducer::<str, [u8]>::new(config, StringSerializer, BytesSerializer).map(drop)
}

fn cluster() -> MockCluster {
    MockCluster::builder().topic("t", 1).start().unwrap()
}

/// Whatever `limited` forbids, a producer that has to connect says so, and sends as soon as it may. On a busy machine the
/// limit may come in the middle of an attempt, which then has what the next ones need: it comes again.
fn goes_on(word: &str, mut limited: impl FnMut(), lift: impl Fn()) {
    let cluster = cluster();
    // So that it tries again and again, and the limit comes between two attempts.
    cluster.stop_broker(1).unwrap();
    let config = config(&cluster.bootstrap_servers())
        .max_block(ms(5000))
        .reconnect_backoff(ms(1000))
        .reconnect_backoff_max(ms(1000));
    let producer = open(config);
    eventually(|| producer.connect(ms(1)).is_err_and(|e| story(&e).contains("refused")));
    let refused = || {
        limited();
        let error = producer.send(ProducerRecord::new("t", b"x")).unwrap_err();
        lift();
        assert_eq!(error.kind(), ErrorKind::MetadataTimeout);
        story(&error)
    };
    let stories: Vec<String> =
        std::iter::repeat_with(refused).take(3).take_while(|s| !s.contains(word)).collect();
    assert!(stories.len() < 3, "{stories:#?}");
    cluster.start_broker(1).unwrap();
    eventually(|| producer.send(ProducerRecord::new("t", b"x")).is_ok_and(|h| h.get().is_ok()));
    producer.close().unwrap();
}

/// Runs `limited` while threads that do nothing hold the stacks which the system keeps of those that have ended.
fn without_spare_stacks(limited: impl FnOnce()) -> Vec<Sender<()>> {
    let idle = |_| {
        let (held, end) = bounded::<()>(0);
        let work = move || end.recv().unwrap_or_default();
        std::thread::Builder::new().name("idle".into()).spawn(work).unwrap();
        held
    };
    let held = (0..8).map(idle).collect();
    limited();
    held
}

/// All descriptors that this process may have.
fn take_all_descriptors() -> Vec<File> {
    std::iter::repeat_with(|| File::open("/dev/null")).map_while(Result::ok).collect()
}

#[test]
fn no_descriptors() {
    let Some(address) = child() else {
        run_child("exhaustion::no_descriptors", &cluster());
        return;
    };
    let mut limiter = Limiter::start();
    limiter.set("nofile", "100");
    let before = (open_files(), threads("kafka-"));
    let files = take_all_descriptors();
    let refused = try_open(&address).unwrap_err();
    drop(files);
    assert!(story(&refused).contains("Too many open files"), "{}", story(&refused));
    eventually(|| (open_files(), threads("kafka-")) == before);
    let files = RefCell::new(Vec::new());
    goes_on(
        "Too many open files",
        || drop(files.replace(take_all_descriptors())),
        || files.borrow_mut().clear(),
    );
    eventually(|| (open_files(), threads("kafka-")) == before);
}

#[test]
fn no_threads() {
    let Some(address) = child() else {
        run_child("exhaustion::no_threads", &cluster());
        return;
    };
    let limiter = RefCell::new(Limiter::start());
    let before = (open_files(), threads("kafka-"));
    let lift = || limiter.borrow_mut().set("as", "unlimited");
    // A stack takes 2 MiB of addresses. What is left allows none, or the first of two.
    let exhaust = |left: usize| limiter.borrow_mut().set("as", &(status("VmSize") + left).to_string());
    for (left, who) in [(1 << 20, "the callback thread"), (7 << 19, "the sender thread")] {
        exhaust(left);
        let refused = try_open(&address).unwrap_err();
        lift();
        let story = story(&refused);
        assert!(story.contains("cannot start") && story.contains(who), "{left}: {story}");
        eventually(|| (open_files(), threads("kafka-")) == before);
    }
    let mut held = Vec::new();
    let exhaust = || held.extend(without_spare_stacks(|| exhaust(1 << 20)));
    goes_on("cannot start a thread to connect", exhaust, lift);
    held.clear();
    eventually(|| (open_files(), threads("kafka-")) == before);
}
