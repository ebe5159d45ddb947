//! What librdkafka's tests ask of a producer and no other suite here has: `tests/README.md` lists all of them by number.

use crate::harness::{
    SHORT, all_delivered, eventually, failure, fast, hasty, holds, no_violations, outcome, send_numbers,
    sent_batches,
};
use crate::scripted::{Scripted, ScriptedBroker};
use crate::support::{PATIENCE, after, at_once, keep_log, logged, meet, ms, open};
use kafka_producer::mock::{BrokerVersion, Fault, MockCluster};
use kafka_producer::protocol::messages::metadata::MetadataResponse;
use kafka_producer::protocol::{ApiKey, ErrorCode};
use kafka_producer::{ErrorKind, ProducerConfig, ProducerRecord};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

fn produce(topic: &str) -> Fault {
    Fault::on(ApiKey::PRODUCE).topic(topic)
}

/// Metadata with this broker as node 1, and another port as node 2, which leads partition 1.
fn with_second_broker(answer: &mut MetadataResponse, port: i32) {
    let mut second = answer.brokers[0].clone();
    (second.node_id, second.port) = (2, port);
    answer.brokers.push(second);
    answer.topics.iter_mut().for_each(|t| t.partitions[1].leader_id = 2);
}

// S10
#[test]
fn records_wait_for_metadata_that_comes_after_its_timeout() {
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    let fault = cluster.inject(Fault::on(ApiKey::METADATA).times(2).delay(SHORT));
    let producer = open(fast(&cluster).request_timeout(ms(60)));
    all_delivered(&send_numbers(&producer, "t", 0, 0..20));
    assert_eq!(fault.hits(), 2);
    holds(&cluster, "t", 0, 0..20);
}

// S13
#[test]
fn a_topic_created_again_with_fewer_partitions_fails_what_was_for_those_that_vanished() {
    for version in [BrokerVersion::V2_8, BrokerVersion::V4_3] {
        let cluster = MockCluster::builder().version(version).topic("t", 10).start().unwrap();
        let config = fast(&cluster).max_block(ms(300)).delivery_timeout(ms(1500)).request_timeout(ms(1000));
        let producer = open(config);
        meet(&producer, "t");
        for partition in 0..10 {
            all_delivered(&send_numbers(&producer, "t", partition, 0..2));
        }
        cluster.delete_topic("t").unwrap();
        cluster.create_topic("t", 3).unwrap();
        // It enters while nobody has noticed, or is refused: in no case does it hang or count as written.
        let vanished = producer.send(ProducerRecord::new("t", b"x").partition(7)).and_then(|h| h.get());
        let error = vanished.unwrap_err();
        assert!([ErrorKind::DeliveryTimeout, ErrorKind::Partitioning].contains(&error.kind()), "{error}");
        // Unless its time was over in the middle of an attempt, every answer was a refusal.
        let unanswered = error.to_string().contains("the broker has not answered");
        assert_eq!(error.may_have_been_written(), unanswered, "{error}");
        for partition in 0..3 {
            all_delivered(&send_numbers(&producer, "t", partition, 0..2));
            holds(&cluster, "t", partition, 0..2);
        }
        let error = producer.send(ProducerRecord::new("t", b"x").partition(7)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Partitioning, "{error}");
        at_once(|| producer.close().unwrap());
        no_violations(&cluster);
    }
}

// S13
#[test]
fn a_topic_created_again_with_more_partitions_has_all_of_them_used() {
    let cluster = MockCluster::builder().topic("t", 3).start().unwrap();
    let producer = open(fast(&cluster));
    all_delivered(&send_numbers(&producer, "t", 2, 0..3));
    cluster.delete_topic("t").unwrap();
    cluster.create_topic("t", 6).unwrap();
    for partition in [2, 5] {
        all_delivered(&send_numbers(&producer, "t", partition, 3..6));
        holds(&cluster, "t", partition, 3..6);
    }
    no_violations(&cluster);
}

// S14
#[test]
fn a_hint_with_an_older_epoch_than_is_known_is_not_followed() {
    let other = ScriptedBroker::start(Scripted::default());
    let port = other.port();
    let broker = ScriptedBroker::start(Scripted {
        metadata: Some(Box::new(move |_, mut answer| {
            with_second_broker(&mut answer, port);
            answer.topics.iter_mut().for_each(|t| t.partitions[1].leader_id = 1);
            answer
        })),
        produce: Some(Box::new(|n, mut answer| {
            if n < 2 {
                let partition = &mut answer.responses[0].partition_responses[0];
                partition.error_code = ErrorCode::NOT_LEADER_OR_FOLLOWER;
                // Metadata says 3.
                (partition.current_leader.leader_id, partition.current_leader.leader_epoch) = (2, 2);
            }
            answer
        })),
        ..Scripted::default()
    });
    let producer = open(hasty(ProducerConfig::builder([broker.address()])));
    all_delivered(&send_numbers(&producer, "t", 0, 0..1));
    assert_eq!((broker.produced().len(), other.produced().len()), (3, 0));
}

// S16
#[test]
fn two_brokers_at_one_address_that_part_each_get_their_own() {
    let second = ScriptedBroker::start(Scripted::default());
    let own_port = second.port();
    let port = Arc::new(AtomicI32::new(0));
    let told = port.clone();
    let first = ScriptedBroker::start(Scripted {
        metadata: Some(Box::new(move |_, mut answer| {
            let shared = answer.brokers[0].port;
            let told = told.load(Ordering::SeqCst);
            with_second_broker(&mut answer, if told == 0 { shared } else { told });
            answer
        })),
        ..Scripted::default()
    });
    let config = hasty(ProducerConfig::builder([first.address()])).metadata_max_age(ms(10));
    let producer = open(config);
    for partition in 0..2 {
        all_delivered(&send_numbers(&producer, "t", partition, 0..2));
    }
    port.store(own_port, Ordering::SeqCst);
    // What is under way is answered where it went; then the new address is used, and the connection to the old one ends.
    eventually("its own address is used", || {
        all_delivered(&send_numbers(&producer, "t", 1, 2..3));
        second.produced().len() > 1
    });
    let before = first.produced().len();
    all_delivered(&send_numbers(&producer, "t", 1, 3..5));
    assert_eq!(first.produced().len(), before);
    all_delivered(&send_numbers(&producer, "t", 0, 2..3));
    assert_eq!(first.produced().len(), before + 1);
    eventually("one connection to each", || (first.open_connections(), second.open_connections()) == (1, 1));
}

// S17
#[test]
fn the_connection_to_a_broker_that_was_removed_goes_away() {
    let second = ScriptedBroker::start(Scripted::default());
    let port = second.port();
    let removed = Arc::new(AtomicBool::new(false));
    let gone = removed.clone();
    let first = ScriptedBroker::start(Scripted {
        metadata: Some(Box::new(move |_, mut answer| {
            if !gone.load(Ordering::SeqCst) {
                with_second_broker(&mut answer, port);
            }
            answer
        })),
        ..Scripted::default()
    });
    let config = hasty(ProducerConfig::builder([first.address()])).metadata_max_age(ms(10));
    let producer = open(config);
    for partition in 0..2 {
        all_delivered(&send_numbers(&producer, "t", partition, 0..2));
    }
    assert_eq!(second.open_connections(), 1);
    removed.store(true, Ordering::SeqCst);
    eventually("its connection is closed", || second.open_connections() == 0);
    let connections = producer.metrics().connections_created;
    let (to_second, asked) = (second.produced().len(), first.count(ApiKey::METADATA));
    all_delivered(&send_numbers(&producer, "t", 1, 2..4));
    eventually("more refreshes", || first.count(ApiKey::METADATA) > asked + 5);
    assert_eq!(second.produced().len(), to_second);
    assert_eq!(producer.metrics().connections_created, connections, "no storm of connections");
    assert!(producer.metrics().nodes.iter().all(|n| n.id != 2));
}

// S20
#[test]
fn each_of_fifty_new_topics_costs_one_question_and_no_wait() {
    let cluster = MockCluster::builder().brokers(2).default_partitions(1).start().unwrap();
    let producer = open(fast(&cluster));
    all_delivered(&send_numbers(&producer, "first", 0, 0..1));
    cluster.clear_journal();
    // On an idle machine all of it is a few milliseconds; 100 ms for each is the bound.
    at_once(|| {
        for n in 0..50 {
            all_delivered(&send_numbers(&producer, &format!("topic-{n}"), 0, 0..1));
        }
    });
    assert_eq!(cluster.requests(ApiKey::METADATA).len(), 50);
}

// S23
#[test]
fn batches_come_near_batch_size_and_never_exceed_it() {
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    let producer = open(fast(&cluster).batch_size(5000).linger(ms(2000)));
    let value = [b'x'; 1000];
    for n in 0..400 {
        let large = [b'y'; 6000];
        let value = if n == 200 { &large[..] } else { &value[..] };
        producer.send(ProducerRecord::new("t", value).partition(0)).unwrap().detach();
    }
    producer.close().unwrap();
    let batches = cluster.batches("t", 0);
    let (large, others): (Vec<_>, Vec<_>) = batches.iter().partition(|b| b.bytes.len() > 5000);
    assert_eq!(large.iter().map(|b| b.record_count).collect::<Vec<_>>(), [1], "alone");
    let mean = others.iter().map(|b| b.bytes.len()).sum::<usize>() / others.len();
    assert!((3900..=5000).contains(&mean), "{mean} bytes on average");
}

// S25
#[test]
fn a_hundred_thousand_records_in_one_call_are_each_in_their_partition_in_order() {
    let cluster = MockCluster::builder().topic("t", 7).start().unwrap();
    let producer = open(fast(&cluster));
    let values: Vec<[u8; 4]> = (0..100_000u32).map(u32::to_be_bytes).collect();
    let record = |n: usize| ProducerRecord::new("t", &values[n][..]).partition((n * n % 7) as i32);
    let places = producer.send_all((0..values.len()).map(record)).unwrap().get().unwrap();
    assert_eq!(places.len(), values.len());
    let mut next = [0i64; 7];
    for (n, place) in places.iter().enumerate() {
        let partition = n * n % 7;
        assert_eq!((place.partition(), place.offset()), (partition as i32, Some(next[partition])));
        next[partition] += 1;
    }
    for partition in 0..7 {
        let sent = (0..values.len()).filter(|n| n * n % 7 == partition).map(|n| values[n].to_vec());
        let stored: Vec<_> =
            cluster.records("t", partition as i32).into_iter().map(|r| r.value.unwrap()).collect();
        assert!(stored.into_iter().eq(sent), "partition {partition}");
    }
}

// S31
#[test]
fn one_lost_connection_or_one_spoilt_batch_costs_one_request() {
    let troubles: [(&str, fn(Fault) -> Fault); 3] = [
        ("closed", Fault::drop_before),
        ("crc", |f| f.error_before(ErrorCode::CORRUPT_MESSAGE)),
        ("late", |f| f.delay(ms(8000))),
    ];
    for (topic, trouble) in troubles {
        let cluster = MockCluster::builder().topic(topic, 1).start().unwrap();
        let producer = open(fast(&cluster).request_timeout(ms(1000)));
        let fault = cluster.inject(trouble(produce(topic)));
        all_delivered(&send_numbers(&producer, topic, 0, 0..1));
        assert_eq!((fault.hits(), cluster.requests(ApiKey::PRODUCE).len()), (1, 2), "{topic}");
        holds(&cluster, topic, 0, 0..1);
    }
}

// S32
#[test]
fn answers_that_come_too_late_end_records_at_their_deadline_with_the_right_word() {
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    let timeouts = fast(&cluster).delivery_timeout(ms(3000)).request_timeout(ms(2900));
    let producer = open(timeouts.batch_size(1).max_in_flight_requests_per_connection(5));
    all_delivered(&send_numbers(&producer, "t", 0, 0..1));
    cluster.inject(produce("t").always().delay(ms(20_000)));
    let sent = after(ms(3000), || {
        let sent = send_numbers(&producer, "t", 0, 1..11);
        sent.iter().for_each(|h| assert_eq!(failure(h).kind(), ErrorKind::DeliveryTimeout));
        sent
    });
    // Five requests are under way; what stands behind them never left.
    let doubtful: Vec<bool> = sent.iter().map(|h| failure(h).may_have_been_written()).collect();
    assert_eq!(doubtful, [true, true, true, true, true, false, false, false, false, false]);
}

// S35
#[test]
fn purge_without_any_broker_ends_everything_at_once() {
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    let producer = open(fast(&cluster));
    all_delivered(&send_numbers(&producer, "t", 0, 0..1));
    cluster.stop_broker(1).unwrap();
    let sent = send_numbers(&producer, "t", 0, 1..101);
    at_once(|| producer.purge().unwrap());
    assert!(sent.iter().all(|h| failure(h).kind() == ErrorKind::Purged));
    let metrics = producer.metrics();
    assert_eq!((metrics.records_pending, metrics.records_failed), (0, 100));
    cluster.start_broker(1).unwrap();
    all_delivered(&send_numbers(&producer, "t", 0, 200..203));
}

// S35
#[test]
fn purge_while_leaders_move_ends_everything() {
    let cluster = MockCluster::builder().brokers(3).topic("t", 1).start().unwrap();
    let producer = open(fast(&cluster).batch_size(1));
    let mut sent = send_numbers(&producer, "t", 0, 0..5);
    for round in 0..30u32 {
        cluster.set_leader("t", 0, (round % 3) as i32 + 1).unwrap();
        sent.extend(send_numbers(&producer, "t", 0, 5 + round * 5..10 + round * 5));
        producer.purge().unwrap();
    }
    at_once(|| producer.flush().unwrap());
    let ended = sent.iter().filter_map(|h| h.try_get()).map(|r| r.map_err(|e| e.kind()));
    let (acked, failed): (Vec<_>, Vec<_>) = ended.partition(Result::is_ok);
    assert_eq!(acked.len() + failed.len(), sent.len(), "each has its outcome");
    assert!(failed.iter().all(|r| matches!(r, Err(ErrorKind::Purged))), "{failed:?}");
    let metrics = producer.metrics();
    assert_eq!(metrics.records_acknowledged as usize, acked.len());
    assert_eq!(metrics.records_failed as usize, failed.len());
}

// S40
#[test]
fn what_entered_is_acknowledged_failed_or_pending_at_every_look() {
    let cluster = MockCluster::builder().brokers(2).topic("t", 4).start().unwrap();
    let timeouts = fast(&cluster).delivery_timeout(SHORT).request_timeout(ms(100)).linger(ms(0));
    let producer = open(timeouts.batch_size(200));
    cluster.inject(produce("t").after(3).times(40).error_before(ErrorCode::NOT_ENOUGH_REPLICAS));
    cluster.inject(produce("t").after(50).times(10).error_before(ErrorCode::INVALID_RECORD));
    cluster.inject(produce("t").after(70).times(20).swallow_answer());
    meet(&producer, "t");
    let mut entered = 0;
    for round in 0..60 {
        for partition in 0..4 {
            send_numbers(&producer, "t", partition, 0..50).into_iter().for_each(|h| h.detach());
            entered += 50;
        }
        if round % 20 == 19 {
            producer.purge().unwrap();
        }
        let m = producer.metrics();
        let ended = m.records_acknowledged + m.records_failed;
        assert!(ended <= entered, "{ended} of {entered}");
    }
    producer.close().unwrap();
    let m = producer.metrics();
    assert_eq!((m.records_acknowledged + m.records_failed, m.records_pending), (entered, 0));
    assert!(m.records_failed > 0 && m.records_acknowledged > 0);
    assert_eq!(m.records_failed_unseen, m.records_failed);
}

// S41
#[test]
fn after_a_lost_connection_a_refusal_of_the_first_puts_the_others_behind_it() {
    for in_flight in 1..=5u32 {
        let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
        let producer = open(fast(&cluster).batch_size(1));
        all_delivered(&send_numbers(&producer, "t", 0, 0..1));
        cluster.inject(produce("t").times(in_flight).drop_before());
        cluster.inject(produce("t").after(in_flight).error_before(ErrorCode::NOT_ENOUGH_REPLICAS));
        all_delivered(&send_numbers(&producer, "t", 0, 1..1 + in_flight));
        holds(&cluster, "t", 0, 0..1 + in_flight);
        no_violations(&cluster);
    }
}

// S43
#[test]
fn of_ten_batches_the_first_five_answers_get_lost_and_nothing_is_doubled() {
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    let producer = open(fast(&cluster).batch_size(1).request_timeout(ms(100)));
    all_delivered(&send_numbers(&producer, "t", 0, 0..1));
    let fault = cluster.inject(produce("t").times(5).swallow_answer());
    let offsets: Vec<_> =
        all_delivered(&send_numbers(&producer, "t", 0, 1..11)).iter().map(|m| m.offset()).collect();
    assert_eq!(offsets, (1..11).map(Some).collect::<Vec<_>>());
    assert_eq!(fault.hits(), 5);
    holds(&cluster, "t", 0, 0..11);
    no_violations(&cluster);
}

// S47
#[test]
fn a_topic_that_metadata_leaves_out_for_a_while_loses_nothing() {
    let cluster = MockCluster::builder().topic("t", 1).topic("u", 1).start().unwrap();
    let producer = open(fast(&cluster).batch_size(1).metadata_max_age(ms(5)));
    all_delivered(&send_numbers(&producer, "t", 0, 0..2));
    let unknown = Fault::on(ApiKey::METADATA).topic("t").always();
    let fault = cluster.inject(unknown.error_before(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
    cluster.set_latency(1, ms(5));
    let mut sent = send_numbers(&producer, "t", 0, 2..10);
    eventually("it was left out", || fault.hits() > 2);
    sent.extend(send_numbers(&producer, "t", 0, 10..20));
    fault.remove();
    all_delivered(&sent);
    holds(&cluster, "t", 0, 0..20);
    let sequences: Vec<_> = cluster.records("t", 0).iter().map(|r| r.sequence).collect();
    assert_eq!(sequences, (0..20).map(Some).collect::<Vec<_>>());
    no_violations(&cluster);
}

// S50
#[test]
fn each_retriable_error_at_each_place_in_the_window_before_and_after_the_append() {
    let retriable: Vec<_> = ErrorCode::ALL.iter().copied().filter(|c| c.is_retriable()).collect();
    assert!(retriable.len() >= 12);
    // Most of it is waiting.
    std::thread::scope(|s| {
        for codes in retriable.chunks(4) {
            s.spawn(move || at_each_place(codes));
        }
    });
}

fn at_each_place(codes: &[ErrorCode]) {
    let cluster = MockCluster::start(1).unwrap();
    cluster.set_latency(1, ms(1));
    let producer = open(fast(&cluster).batch_size(1));
    let cases = codes.iter().flat_map(|code| (0..10u32).map(|n| (*code, n / 2, n % 2 == 1)));
    for (code, place, after) in cases {
        let topic = format!("{}-{place}-{after}", code.name());
        cluster.create_topic(&topic, 1).unwrap();
        all_delivered(&send_numbers(&producer, &topic, 0, 0..1));
        let fault = produce(&topic).after(place);
        let fault = if after { fault.error_after(code) } else { fault.error_before(code) };
        let fault = cluster.inject(fault);
        let sent = send_numbers(&producer, &topic, 0, 1..7);
        for (n, handle) in sent.iter().enumerate() {
            assert_eq!(outcome(handle).unwrap().offset(), Some(n as i64 + 1), "{topic}");
        }
        assert_eq!(fault.hits(), 1, "{topic}");
        holds(&cluster, &topic, 0, 0..7);
        let first = &sent_batches(&cluster, &topic, 0)[0];
        assert_eq!(first.producer_epoch, Some(0), "{topic}");
    }
    assert_eq!(producer.metrics().epoch_bumps, 0);
    no_violations(&cluster);
}

// S67
#[test]
fn brokers_of_another_cluster_are_warned_of_with_both_names() {
    keep_log();
    let broker = ScriptedBroker::start(Scripted {
        metadata: Some(Box::new(|n, mut answer| {
            answer.cluster_id = match n {
                0 | 2 => None,
                1 | 3 => Some("cluster-of-the-west".into()),
                _ => Some("cluster-of-the-east".into()),
            };
            answer
        })),
        ..Scripted::default()
    });
    let producer = open(hasty(ProducerConfig::builder([broker.address()])).metadata_max_age(ms(5)));
    all_delivered(&send_numbers(&producer, "t", 0, 0..1));
    let warning = ["WARN", "cluster-of-the-west", "cluster-of-the-east", "bootstrap.servers"];
    eventually("a warning", || logged(&warning));
    assert!(!logged(&["those of cluster \"cluster-of-the-west\", and were"]), "it came back");
    assert!(at_once(|| producer.close_timeout(PATIENCE)).is_ok());
}
