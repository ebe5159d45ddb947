//! Batches, linger, memory, and how records spread over partitions.

use crate::harness::{
    SHORT, all_delivered, fast, holds, memory_returned, ms, no_violations, send_numbers, sent_batches,
};
use crate::support::{PATIENCE, Producer, config, meet, open};
use kafka_producer::mock::{Fault, MockCluster};
use kafka_producer::protocol::ApiKey;
use kafka_producer::{ErrorKind, ProducerRecord};
use std::time::{Duration, Instant, SystemTime};

const LONG: Duration = Duration::from_secs(60);

/// Nothing below waits for linger if it ends within this.
const SOON: Duration = Duration::from_secs(5);

fn lingering(cluster: &MockCluster) -> kafka_producer::ProducerConfigBuilder {
    config(cluster).linger(LONG).delivery_timeout(3 * LONG)
}

fn records_per_partition(cluster: &MockCluster, topic: &str) -> Vec<i64> {
    let partitions = 0..cluster.partition_count(topic).unwrap() as i32;
    partitions.map(|p| cluster.end_offset(topic, p).unwrap()).collect()
}

#[test]
fn whoever_waits_ends_linger() {
    let cluster = MockCluster::start(1).unwrap();
    let begin = Instant::now();
    let producer = open(lingering(&cluster));
    // get
    for n in 0..20 {
        producer.send(ProducerRecord::new("t", b"x").partition(0)).unwrap().get().unwrap();
        assert_eq!(cluster.end_offset("t", 0), Some(n + 1));
    }
    // get_timeout, of a record that is not the last of its batch
    let handles = send_numbers(&producer, "t", 1, 0..10);
    assert!(handles[3].get_timeout(PATIENCE).unwrap().is_ok());
    all_delivered(&handles);
    // send_all
    let records = (0..10).map(|_| ProducerRecord::new("t", b"x").partition(2));
    producer.send_all(records).unwrap().get().unwrap();
    // flush
    let handles = send_numbers(&producer, "t", 3, 0..10);
    producer.flush().unwrap();
    assert!(handles.iter().all(|h| h.is_done()));
    // close
    let handles = send_numbers(&producer, "t", 3, 10..20);
    producer.close().unwrap();
    all_delivered(&handles);
    holds(&cluster, "t", 3, 0..20);
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
}

#[test]
fn linger_gathers_what_would_go_one_by_one() {
    let cluster = MockCluster::start(1).unwrap();
    let producer = open(lingering(&cluster));
    let handles = send_numbers(&producer, "t", 0, 0..200);
    assert!(!cluster.wait_until(ms(100), |c| c.stats().produce_requests > 0));
    producer.flush().unwrap();
    all_delivered(&handles);
    assert_eq!(cluster.batches("t", 0).len(), 1);
    // Linger ends by itself too.
    let producer = open(config(&cluster).linger(ms(30)));
    let handle = send_numbers(&producer, "u", 0, 0..1).remove(0);
    assert!(cluster.wait_until(PATIENCE, |c| c.record_count("u") == 1));
    handle.detach();
    // A full batch does not linger.
    let producer = open(lingering(&cluster).batch_size(1000));
    send_numbers(&producer, "v", 0, 0..1000);
    assert!(cluster.wait_until(PATIENCE, |c| c.record_count("v") > 900));
}

#[test]
fn the_smallest_batch_size_gives_each_record_a_batch() {
    let cluster = MockCluster::start(1).unwrap();
    let producer = open(lingering(&cluster).batch_size(1));
    all_delivered(&send_numbers(&producer, "t", 0, 0..50));
    assert!(cluster.batches("t", 0).iter().all(|b| b.record_count == 1));
    holds(&cluster, "t", 0, 0..50);
    // A record bigger than the batch size goes alone as well.
    let producer = open(lingering(&cluster).batch_size(100));
    let big = vec![1; 5000];
    let handles: Vec<_> =
        (0..5).map(|_| producer.send(ProducerRecord::new("u", &big).partition(0)).unwrap()).collect();
    all_delivered(&handles);
    assert_eq!(cluster.batches("u", 0).len(), 5);
}

#[test]
fn many_partitions_go_in_one_request_and_no_request_is_larger_than_allowed() {
    let cluster = MockCluster::builder().topic("t", 50).max_message_bytes(1 << 20).start().unwrap();
    let producer = open(lingering(&cluster).max_request_size(60_000).batch_size(16_000));
    let value = vec![7; 3_000];
    for n in 0..200 {
        producer.send(ProducerRecord::new("t", &value).partition(n % 50)).unwrap().detach();
    }
    producer.flush().unwrap();
    assert_eq!(cluster.record_count("t"), 200);
    let requests = cluster.requests(ApiKey::PRODUCE);
    assert!(requests.iter().all(|r| r.size <= 62_000), "{:?}", requests.iter().map(|r| r.size).max());
    assert!(requests.len() <= 25, "{} requests", requests.len());
    no_violations(&cluster);
}

#[test]
fn batches_that_grow_while_a_broker_is_slow_fit_into_requests_and_nothing_is_lost() {
    let cluster = MockCluster::builder().topic("t", 4).start().unwrap();
    let config = fast(&cluster).batch_size(4_000).batch_max_size(50_000).max_request_size(60_000);
    let producer = open(config.max_in_flight_requests_per_connection(1));
    let sizes = || (0..4).flat_map(|at| cluster.batches("t", at)).map(|batch| batch.bytes.len());
    // Each time larger batches, up to twice what the broker has taken; how many times that takes is the machine's.
    let mut rounds = 0;
    while rounds < 8 || (rounds < 100 && !sizes().any(|n| n > 40_000)) {
        cluster.inject(Fault::on(ApiKey::PRODUCE).delay(ms(100)));
        let numbers = rounds * 5000..(rounds + 1) * 5000;
        let handles = (0..4).flat_map(|at| send_numbers(&producer, "t", at, numbers.clone()));
        let handles: Vec<_> = handles.collect();
        producer.flush().unwrap();
        all_delivered(&handles);
        rounds += 1;
    }
    (0..4).for_each(|at| holds(&cluster, "t", at, 0..rounds * 5000));
    assert!(sizes().all(|n| n <= 50_000), "{:?}", sizes().max());
    assert!(sizes().any(|n| n > 40_000), "{:?}", sizes().max());
    let requests = cluster.requests(ApiKey::PRODUCE);
    assert!(requests.iter().all(|r| r.size <= 62_000), "{:?}", requests.iter().map(|r| r.size).max());
    no_violations(&cluster);
}

#[test]
fn with_small_requests_small_batches_share_them_still() {
    let cluster = MockCluster::builder().topic("t", 100).start().unwrap();
    let producer = open(lingering(&cluster).max_request_size(200_000));
    producer.send(ProducerRecord::new("t", b"x").partition(0)).unwrap().get().unwrap();
    let before = cluster.stats().produce_requests;
    let handles = (0..100).flat_map(|at| send_numbers(&producer, "t", at, 0..1)).collect::<Vec<_>>();
    producer.flush().unwrap();
    all_delivered(&handles);
    let requests = cluster.stats().produce_requests - before;
    assert!(requests < 5, "{requests} requests");
}

#[test]
fn batches_of_a_megabyte_over_a_thousand_partitions_fit_into_the_default_memory() {
    let cluster = MockCluster::builder().brokers(3).topic("t", 1000).start().unwrap();
    let producer = open(lingering(&cluster).batch_size(1 << 20).max_request_size(2 << 20));
    let value = vec![7; 100];
    for round in 0..10u32 {
        for partition in 0..1000 {
            // Nobody waits: all of it fits.
            let record = ProducerRecord::new("t", &value).partition(partition);
            let sent = if round == 0 { producer.send(record) } else { producer.try_send(record) };
            sent.unwrap().detach();
        }
    }
    let metrics = producer.metrics();
    assert_eq!((metrics.buffer_total_bytes, metrics.buffer_waits), (32 << 20, 0));
    producer.flush().unwrap();
    assert_eq!(cluster.record_count("t"), 10_000);
    memory_returned(&producer);
    no_violations(&cluster);
}

#[test]
fn memory_comes_back_after_success_failure_and_timeout() {
    let cluster = MockCluster::start(1).unwrap();
    cluster.create_topic("t", 1).unwrap();
    let timeouts = fast(&cluster).delivery_timeout(SHORT).request_timeout(ms(100));
    let producer = open(timeouts.buffer_memory(1 << 20));
    let value = vec![7; 10_000];
    let faults: [fn(Fault) -> Fault; 3] = [Fault::drop_after, Fault::swallow_answer, |f| {
        f.error_before(kafka_producer::protocol::ErrorCode::POLICY_VIOLATION)
    }];
    for fault in faults {
        let fault = cluster.inject(fault(Fault::on(ApiKey::PRODUCE).always()));
        for _ in 0..200 {
            // More than fits: what does not fit waits for what fails.
            let _ = producer.send(ProducerRecord::new("t", &value)).map(|h| h.detach());
        }
        producer.flush().unwrap();
        fault.remove();
        let record = ProducerRecord::new("t", b"after");
        producer.send(record).unwrap().get().unwrap();
        memory_returned(&producer);
    }
    no_violations(&cluster);
}

#[test]
fn brokers_that_stamp_records_themselves_tell_their_time() {
    let cluster = MockCluster::builder().log_append_time(true).start().unwrap();
    let producer = open(config(&cluster));
    let ours = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
    let begin = SystemTime::now() - Duration::from_secs(1);
    for _ in 0..3 {
        let metadata = producer
            .send(ProducerRecord::new("t", b"x").partition(0).timestamp(ours))
            .unwrap()
            .get()
            .unwrap();
        assert!(metadata.timestamp().unwrap() > begin, "the broker's time, not {ours:?}");
        let stored = cluster.records("t", 0).pop().unwrap();
        assert_eq!(metadata.timestamp_millis(), Some(stored.timestamp));
    }
    let plain = MockCluster::start(1).unwrap();
    let producer = open(config(&plain));
    let metadata = producer.send(ProducerRecord::new("t", b"x").timestamp(ours)).unwrap().get().unwrap();
    assert_eq!(metadata.timestamp(), Some(ours));
    let now = producer.send(ProducerRecord::new("t", b"x")).unwrap().get().unwrap();
    assert!(now.timestamp().unwrap() >= begin);
}

fn flood(producer: &Producer, records: u32) {
    let value = vec![7; 100];
    for _ in 0..records {
        producer.send(ProducerRecord::new("t", &value)).unwrap().detach();
    }
    producer.flush().unwrap();
}

#[test]
fn records_without_a_key_spread_evenly_by_bytes() {
    for adaptive in [false, true] {
        let cluster = MockCluster::builder().brokers(3).topic("t", 6).start().unwrap();
        let config = config(&cluster).partitioner_adaptive_partitioning_enable(adaptive);
        flood(&open(config.batch_size(1000).linger(ms(5))), 30_000);
        let counts = records_per_partition(&cluster, "t");
        assert_eq!(counts.iter().sum::<i64>(), 30_000);
        let fair = 5_000;
        let bound = if adaptive { fair } else { fair / 4 };
        assert!(counts.iter().all(|c| (c - fair).abs() < bound), "adaptive {adaptive}: {counts:?}");
    }
}

#[test]
fn a_slow_broker_gets_less_of_what_may_go_anywhere() {
    let cluster = MockCluster::builder().brokers(3).topic("t", 3).start().unwrap();
    let slow = cluster.leader("t", 0).unwrap();
    cluster.set_latency(slow, ms(30));
    // The buffer holds back the caller, so that the brokers' speed counts and not the caller's.
    let producer = open(config(&cluster).batch_size(1000).linger(ms(0)).buffer_memory(256 << 10));
    flood(&producer, 30_000);
    let counts = records_per_partition(&cluster, "t");
    assert!(counts[0] * 2 < counts[1] && counts[0] * 2 < counts[2], "{counts:?}");
}

#[test]
fn a_small_buffer_slows_the_caller_down_and_loses_nothing() {
    let cluster = MockCluster::builder().brokers(2).topic("t", 2).start().unwrap();
    cluster.set_latency(1, ms(2));
    let producer = open(fast(&cluster).buffer_memory(64 << 10).batch_size(4 << 10));
    std::thread::scope(|scope| {
        for thread in 0..8u32 {
            let producer = &producer;
            scope.spawn(move || {
                let value = vec![thread as u8; 1000];
                for n in 0..100 {
                    producer.send(ProducerRecord::new("t", &value).partition(n % 2)).unwrap().detach();
                }
            });
        }
    });
    producer.flush().unwrap();
    assert_eq!(cluster.record_count("t"), 800);
    assert!(producer.metrics().buffer_waits > 0);
    memory_returned(&producer);
    no_violations(&cluster);
}

#[test]
fn a_buffer_that_never_drains_is_an_error_with_its_reason() {
    let cluster = MockCluster::start(1).unwrap();
    cluster.create_topic("t", 1).unwrap();
    let producer = open(fast(&cluster).buffer_memory(64 << 10).max_block(ms(100)));
    meet(&producer, "t");
    cluster.pause_broker(1).unwrap();
    let value = vec![0; 10_000];
    let error =
        std::iter::repeat_with(|| producer.send(ProducerRecord::new("t", &value)).map(|h| h.detach()))
            .find_map(Result::err)
            .unwrap();
    assert_eq!(error.kind(), ErrorKind::BufferExhausted, "{error}");
    assert!(!error.may_have_been_written());
    cluster.resume_broker(1).unwrap();
    producer.flush().unwrap();
    memory_returned(&producer);
    producer.send(ProducerRecord::new("t", &value)).unwrap().get().unwrap();
}

#[test]
fn a_single_record_waits_for_nothing_but_the_network() {
    let cluster = MockCluster::start(1).unwrap();
    let producer = open(config(&cluster));
    let begin = Instant::now();
    for _ in 0..500 {
        producer.send(ProducerRecord::new("t", b"x").partition(0)).unwrap().get().unwrap();
    }
    assert!(begin.elapsed() < SOON, "500 round trips took {:?}", begin.elapsed());
    assert_eq!(sent_batches(&cluster, "t", 0).len(), 500);
}
