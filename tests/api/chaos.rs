//! Everything at once: threads that send while brokers stop, leaders move and answers get lost. Then each record is
//! looked for.

use crate::harness::{fast, memory_returned, ms, no_violations, outcome};
use crate::support::{Producer, open};
use kafka_producer::mock::{BrokerVersion, Fault, MockCluster};
use kafka_producer::protocol::{ApiKey, ErrorCode};
use kafka_producer::{DeliveryFuture, ProducerConfigBuilder, ProducerRecord};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

const THREADS: u32 = 4;
const RECORDS: u32 = 3_000;
const PARTITIONS: i32 = 6;

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

struct Sent {
    number: u32,
    partition: i32,
    handle: DeliveryFuture,
}

fn send_all(producer: &Producer, thread: u32, done: &AtomicUsize) -> Vec<Sent> {
    let mut dice = Dice(u64::from(thread) + 99);
    let mut sent = Vec::new();
    for n in 0..RECORDS {
        let number = thread * RECORDS + n;
        let partition = dice.roll(PARTITIONS as u64) as i32;
        let mut value = number.to_be_bytes().to_vec();
        value.resize(4 + dice.roll(300) as usize, thread as u8);
        let handle = producer.send(ProducerRecord::new("t", &value).partition(partition)).unwrap();
        sent.push(Sent { number, partition, handle });
        done.fetch_add(1, Ordering::Relaxed);
        if dice.roll(100) == 0 {
            // Now and then somebody waits, so that the trouble meets batches of every size.
            let _ = outcome(&sent[sent.len() - 1].handle);
        }
    }
    sent
}

fn fault(dice: &mut Dice) -> Fault {
    const CODES: [ErrorCode; 7] = [
        ErrorCode::NOT_LEADER_OR_FOLLOWER,
        ErrorCode::NOT_ENOUGH_REPLICAS,
        ErrorCode::REQUEST_TIMED_OUT,
        ErrorCode::UNKNOWN_SERVER_ERROR,
        ErrorCode::KAFKA_STORAGE_ERROR,
        ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        ErrorCode::LEADER_NOT_AVAILABLE,
    ];
    let api = [ApiKey::PRODUCE, ApiKey::PRODUCE, ApiKey::PRODUCE, ApiKey::METADATA][dice.roll(4) as usize];
    let on = Fault::on(api).times(1 + dice.roll(3) as u32).after(dice.roll(3) as u32);
    let code = CODES[dice.roll(7) as usize];
    match dice.roll(10) {
        0 | 1 => on.drop_before(),
        2 | 3 => on.drop_after(),
        4 => on.swallow_answer(),
        5 => on.truncate_answer(dice.roll(60) as usize),
        6 => on.corrupt_answer(),
        7 => on.delay(ms(dice.roll(30))),
        8 => on.partition(dice.roll(PARTITIONS as u64) as i32).error_before(code),
        _ if code == ErrorCode::NOT_ENOUGH_REPLICAS || code == ErrorCode::LEADER_NOT_AVAILABLE => {
            on.error_before(code)
        }
        _ => on.error_after(code),
    }
}

fn trouble(cluster: &MockCluster, dice: &mut Dice) {
    let node = 1 + dice.roll(3) as i32;
    let partition = dice.roll(PARTITIONS as u64) as i32;
    match dice.roll(12) {
        0 => {
            cluster.stop_broker(node).unwrap();
            cluster.start_broker(node).unwrap();
        }
        1 => cluster.disconnect(node).unwrap(),
        2 => {
            cluster.pause_broker(node).unwrap();
            cluster.wait_until(ms(dice.roll(40)), |_| false);
            cluster.resume_broker(node).unwrap();
        }
        3 | 4 => {
            let _ = cluster.set_leader("t", partition, node);
        }
        5 => {
            cluster.remove_leader("t", partition).unwrap();
            cluster.wait_until(ms(dice.roll(10)), |_| false);
            cluster.set_leader("t", partition, node).unwrap();
        }
        6 => drop(cluster.inject(Fault::refuse_connections().times(2))),
        _ => drop(cluster.inject(fault(dice))),
    }
}

/// What became of the records, by the cluster's word and by the producer's.
fn judge(cluster: &MockCluster, sent: Vec<Sent>, may_repeat: bool) -> (usize, usize) {
    let (mut acknowledged, mut doubtful) = (0, 0);
    let mut there: HashMap<u32, Vec<(i32, i64)>> = HashMap::new();
    for partition in 0..PARTITIONS {
        let mut last: HashMap<u32, u32> = HashMap::new();
        for record in cluster.records("t", partition) {
            let value = record.value.unwrap();
            let number = u32::from_be_bytes(value[..4].try_into().unwrap());
            assert!(value[4..].iter().all(|b| u32::from(*b) == number / RECORDS), "foreign bytes");
            there.entry(number).or_default().push((partition, record.offset));
            if !may_repeat {
                let before = last.insert(number / RECORDS, number);
                assert!(before.is_none_or(|before| before < number), "{number} behind {before:?}");
            }
        }
    }
    for Sent { number, partition, handle } in sent {
        let places = there.get(&number).cloned().unwrap_or_default();
        assert!(places.len() <= 1 || may_repeat, "{number} is there {} times", places.len());
        match outcome(&handle) {
            Ok(metadata) => {
                acknowledged += 1;
                assert!(!places.is_empty(), "{number} was acknowledged and is not there");
                assert_eq!(metadata.partition(), partition);
                if let Some(offset) = metadata.offset() {
                    assert!(places.contains(&(partition, offset)), "{number} is not at {metadata}");
                }
            }
            Err(error) if error.may_have_been_written() => doubtful += 1,
            Err(error) => assert!(places.is_empty(), "{number} is there in spite of {error}"),
        }
    }
    (acknowledged, doubtful)
}

fn run(seed: u64, version: BrokerVersion, may_repeat: bool, config: fn(ProducerConfigBuilder) -> ProducerConfigBuilder) -> (usize, usize) {
    let cluster = MockCluster::builder().brokers(3).version(version).topic("t", PARTITIONS).start().unwrap();
    let producer = open(config(fast(&cluster).request_timeout(ms(100)).batch_size(2_000)));
    let mut dice = Dice(seed);
    let done = AtomicUsize::new(0);
    let sent = std::thread::scope(|scope| {
        let (producer, done) = (&producer, &done);
        let threads: Vec<_> =
            (0..THREADS).map(|t| scope.spawn(move || send_all(producer, t, done))).collect();
        // One misfortune after every so many requests that the cluster has seen.
        let mut seen = 0;
        for _ in 0..40 {
            seen += dice.roll(15);
            cluster.wait_until(ms(20), |c| c.stats().requests >= seen);
            trouble(&cluster, &mut dice);
        }
        cluster.clear_faults();
        threads.into_iter().flat_map(|t| t.join().unwrap()).collect::<Vec<_>>()
    });
    producer.flush().unwrap();
    let judged = judge(&cluster, sent, may_repeat);
    memory_returned(&producer);
    producer.close().unwrap();
    no_violations(&cluster);
    judged
}

#[test]
fn with_time_to_recover_every_record_arrives_once_in_order() {
    for (seed, version) in (1..).zip(BrokerVersion::ALL.into_iter().chain([BrokerVersion::V4_3; 3])) {
        let (acknowledged, doubtful) = run(seed, version, false, |c| c);
        assert_eq!((acknowledged, doubtful), ((THREADS * RECORDS) as usize, 0), "seed {seed} {version}");
    }
}

#[test]
fn with_compression_too() {
    #[cfg(feature = "lz4")]
    for seed in 50..52 {
        let lz4 = |c: ProducerConfigBuilder| c.compression(kafka_producer::config::CompressionType::Lz4);
        let (acknowledged, doubtful) = run(seed, BrokerVersion::V4_3, false, lz4);
        assert_eq!((acknowledged, doubtful), ((THREADS * RECORDS) as usize, 0), "seed {seed}");
    }
}

#[test]
fn without_time_what_fails_tells_the_truth() {
    for seed in 100..104 {
        let short = |c: ProducerConfigBuilder| c.delivery_timeout(ms(120));
        let (acknowledged, _) = run(seed, BrokerVersion::V4_3, false, short);
        assert!(acknowledged > 0, "seed {seed}");
    }
}

#[test]
fn without_idempotence_nothing_is_lost() {
    for seed in 200..202 {
        let plain = |c: ProducerConfigBuilder| c.enable_idempotence(false);
        let (acknowledged, doubtful) = run(seed, BrokerVersion::V3_9, true, plain);
        // An answer such as UNKNOWN_SERVER_ERROR is final then, as in Java.
        assert_eq!(acknowledged + doubtful, (THREADS * RECORDS) as usize, "seed {seed}");
        assert!(doubtful < acknowledged / 10, "seed {seed}: {doubtful}");
    }
}
