//! Brokers, leaders and topics that come, move and go.

use crate::harness::{
    SHORT, all_delivered, eventually, failure, fast, hasty, holds, ms, no_violations, numbers,
    of_each_version, outcome, send_numbers,
};
use crate::support::{PATIENCE, Producer, config, open};
use kafka_producer::mock::{BrokerVersion, Fault, MockCluster, ReceivedRequest, RequestBody};
use kafka_producer::protocol::{ApiKey, ErrorCode};
use kafka_producer::{ErrorKind, ProducerConfig, ProducerRecord};
use std::collections::HashSet;

fn metadata_requests(cluster: &MockCluster) -> Vec<ReceivedRequest> {
    cluster.requests(ApiKey::METADATA)
}

#[test]
fn leaders_move_under_way_and_nothing_is_lost_doubled_or_reordered() {
    for version in BrokerVersion::ALL {
        let cluster = MockCluster::builder().brokers(3).version(version).topic("t", 1).start().unwrap();
        let producer = open(fast(&cluster).batch_size(100));
        let mut handles = Vec::new();
        for round in 0..20u32 {
            handles.extend(send_numbers(&producer, "t", 0, round * 50..round * 50 + 50));
            cluster.set_leader("t", 0, (round % 3) as i32 + 1).unwrap();
        }
        all_delivered(&handles);
        holds(&cluster, "t", 0, 0..1000);
        no_violations(&cluster);
    }
}

#[test]
fn a_hint_in_the_answer_leads_to_the_new_leader_without_metadata() {
    let cluster = MockCluster::start(3).unwrap();
    cluster.create_topic("t", 1).unwrap();
    let producer = open(fast(&cluster));
    all_delivered(&send_numbers(&producer, "t", 0, 0..1));
    cluster.inject(Fault::on(ApiKey::METADATA).always().error_before(ErrorCode::LEADER_NOT_AVAILABLE));
    for round in 1..4 {
        cluster.set_leader("t", 0, round % 3 + 1).unwrap();
        all_delivered(&send_numbers(&producer, "t", 0, round as u32..round as u32 + 1));
    }
    holds(&cluster, "t", 0, 0..4);
    // Each move costs exactly one refused attempt.
    assert_eq!(cluster.stats().refused_batches, 3);
}

#[test]
fn a_partition_without_a_leader_waits_for_one() {
    for version in BrokerVersion::ALL {
        let cluster = MockCluster::builder().brokers(2).version(version).topic("t", 2).start().unwrap();
        let producer = open(fast(&cluster));
        for partition in 0..2 {
            cluster.remove_leader("t", partition).unwrap();
        }
        let handles = send_numbers(&producer, "t", 0, 0..20);
        let seen = metadata_requests(&cluster).len();
        assert!(cluster.wait_until(PATIENCE, |c| metadata_requests(c).len() > seen + 3));
        assert!(handles.iter().all(|h| !h.is_done()));
        cluster.set_leader("t", 0, 2).unwrap();
        all_delivered(&handles);
        holds(&cluster, "t", 0, 0..20);
    }
}

#[test]
fn a_broker_stops_and_comes_back_on_its_port_or_on_another() {
    for new_port in [false, true] {
        let cluster = MockCluster::builder().brokers(3).replication(1).topic("t", 3).start().unwrap();
        let producer = open(fast(&cluster));
        for round in 0..3u32 {
            for partition in 0..3 {
                all_delivered(&send_numbers(&producer, "t", partition, round * 100..round * 100 + 10));
            }
            // One replica: while the broker is away nobody leads the partition.
            cluster.stop_broker(2).unwrap();
            let waiting = send_numbers(&producer, "t", 1, round * 100 + 10..round * 100 + 20);
            all_delivered(&send_numbers(&producer, "t", 0, round * 100 + 10..round * 100 + 20));
            all_delivered(&send_numbers(&producer, "t", 2, round * 100 + 10..round * 100 + 20));
            assert!(waiting.iter().all(|h| !h.is_done()));
            if new_port {
                cluster.start_broker_on_new_port(2).unwrap();
            } else {
                cluster.start_broker(2).unwrap();
            }
            all_delivered(&waiting);
        }
        let expected: Vec<u32> = (0..3).flat_map(|r| r * 100..r * 100 + 20).collect();
        for partition in 0..3 {
            assert_eq!(numbers(&cluster, "t", partition), expected, "partition {partition}");
        }
        no_violations(&cluster);
    }
}

#[test]
fn every_broker_restarts_one_by_one_while_records_flow() {
    let cluster = MockCluster::start(3).unwrap();
    cluster.create_topic("t", 3).unwrap();
    let producer = open(fast(&cluster).batch_size(200));
    let mut handles = Vec::new();
    for (round, node) in (0u32..).zip([1, 2, 3, 1, 2, 3]) {
        for partition in 0..3 {
            handles.extend(send_numbers(&producer, "t", partition, round * 100..round * 100 + 100));
        }
        cluster.stop_broker(node).unwrap();
        cluster.start_broker(node).unwrap();
    }
    all_delivered(&handles);
    for partition in 0..3 {
        holds(&cluster, "t", partition, 0..600);
    }
    no_violations(&cluster);
}

#[test]
fn all_brokers_at_once_go_and_come_back() {
    let cluster = MockCluster::start(3).unwrap();
    cluster.create_topic("t", 3).unwrap();
    let producer = open(fast(&cluster));
    all_delivered(&send_numbers(&producer, "t", 0, 0..5));
    for node in 1..=3 {
        cluster.stop_broker(node).unwrap();
    }
    let waiting: Vec<_> = (0..3).flat_map(|p| send_numbers(&producer, "t", p, 5..10)).collect();
    for node in [3, 1, 2] {
        cluster.start_broker(node).unwrap();
    }
    all_delivered(&waiting);
    holds(&cluster, "t", 0, 0..10);
    holds(&cluster, "t", 1, 5..10);
    no_violations(&cluster);
}

/// A producer that was given one broker's address, has learnt of the others, and then knows only dead ones.
fn stranded() -> (MockCluster, Producer) {
    let cluster = MockCluster::builder().brokers(3).topic("t", 1).start().unwrap();
    let bootstrap = ProducerConfig::builder([cluster.address(1).unwrap()]);
    let producer = open(hasty(bootstrap).metadata_max_age(ms(20)));
    cluster.set_leader("t", 0, 2).unwrap();
    all_delivered(&send_numbers(&producer, "t", 0, 0..2));
    cluster.stop_broker(1).unwrap();
    // A refresh that no longer mentions broker 1.
    let seen = metadata_requests(&cluster).len();
    assert!(cluster.wait_until(PATIENCE, |c| metadata_requests(c).len() > seen + 2));
    (cluster, producer)
}

#[test]
fn when_all_addresses_changed_the_bootstrap_servers_are_asked_again() {
    let (cluster, producer) = stranded();
    for node in 2..=3 {
        cluster.stop_broker(node).unwrap();
    }
    let waiting = send_numbers(&producer, "t", 0, 2..10);
    for node in 2..=3 {
        cluster.start_broker_on_new_port(node).unwrap();
    }
    cluster.start_broker(1).unwrap();
    all_delivered(&waiting);
    holds(&cluster, "t", 0, 0..10);
}

#[test]
fn a_broker_can_send_the_client_back_to_the_bootstrap_servers() {
    let cluster = MockCluster::start(3).unwrap();
    let producer = open(fast(&cluster).metadata_max_age(ms(20)));
    all_delivered(&send_numbers(&producer, "t", 0, 0..2));
    let fault =
        cluster.inject(Fault::on(ApiKey::METADATA).times(2).error_before(ErrorCode::REBOOTSTRAP_REQUIRED));
    let mut n = 2;
    while fault.hits() < 2 {
        all_delivered(&send_numbers(&producer, "t", 0, n..n + 1));
        n += 1;
    }
    all_delivered(&send_numbers(&producer, "t", 0, n..n + 5));
    holds(&cluster, "t", 0, 0..n + 5);
}

#[test]
fn a_topic_deleted_and_created_again_takes_what_is_sent_later() {
    for version in BrokerVersion::ALL {
        let cluster = MockCluster::builder().brokers(3).version(version).topic("t", 3).start().unwrap();
        let producer = open(fast(&cluster));
        for round in 0..5u32 {
            let first = round * 10;
            for partition in 0..3 {
                all_delivered(&send_numbers(&producer, "t", partition, first..first + 10));
                holds(&cluster, "t", partition, first..first + 10);
            }
            cluster.recreate_topic("t").unwrap();
        }
        no_violations(&cluster);
    }
}

#[test]
fn a_topic_created_again_elsewhere_is_found_although_its_epochs_begin_again() {
    for version in BrokerVersion::ALL {
        let cluster = MockCluster::builder().brokers(3).version(version).topic("t", 1).start().unwrap();
        // Brokers before 2.5 refuse a batch in doubt of a producer that they do not know; see `idempotence`.
        let producer = open(fast(&cluster).enable_idempotence(version != BrokerVersion::V2_1));
        // The leader epoch rises to 4, the leader is not the one that a new topic gets.
        for node in [2, 3, 1, 2] {
            cluster.set_leader("t", 0, node).unwrap();
        }
        all_delivered(&send_numbers(&producer, "t", 0, 0..3));
        cluster.recreate_topic("t").unwrap();
        assert_eq!((cluster.leader("t", 0), cluster.leader_epoch("t", 0)), (Some(1), Some(0)));
        all_delivered(&send_numbers(&producer, "t", 0, 3..6));
        holds(&cluster, "t", 0, 3..6);
    }
}

#[test]
fn a_topic_deleted_under_way_and_created_later_gets_what_waited() {
    let cluster = MockCluster::builder().brokers(2).auto_create(false).topic("t", 2).start().unwrap();
    let producer = open(fast(&cluster));
    all_delivered(&send_numbers(&producer, "t", 1, 0..3));
    cluster.delete_topic("t").unwrap();
    let waiting = send_numbers(&producer, "t", 1, 3..6);
    let refused = cluster.stats().refused_batches;
    assert!(cluster.wait_until(PATIENCE, |c| c.stats().refused_batches > refused || c.stats().requests > 20));
    assert!(waiting.iter().all(|h| !h.is_done()));
    cluster.create_topic("t", 2).unwrap();
    all_delivered(&waiting);
    holds(&cluster, "t", 1, 3..6);
}

#[test]
fn partitions_added_while_running_are_used() {
    let cluster = MockCluster::builder().brokers(2).topic("t", 1).start().unwrap();
    let producer = open(fast(&cluster).metadata_max_age(ms(20)));
    all_delivered(&send_numbers(&producer, "t", 0, 0..3));
    cluster.add_partitions("t", 4).unwrap();
    let deadline = std::time::Instant::now() + PATIENCE;
    let mut used = HashSet::new();
    while used.len() < 4 {
        assert!(std::time::Instant::now() < deadline, "only {used:?}");
        let key = used.len().to_string() + &cluster.record_count("t").to_string();
        let record = ProducerRecord::new("t", b"x").key(&key);
        used.insert(producer.send(record).unwrap().get().unwrap().partition());
    }
    assert_eq!(producer.partitions_for("t").unwrap().len(), 4);
    all_delivered(&send_numbers(&producer, "t", 3, 0..1));
}

#[test]
fn a_topic_that_does_not_exist_is_created_or_waited_for() {
    let cluster = MockCluster::builder().brokers(2).default_partitions(3).start().unwrap();
    let producer = open(fast(&cluster));
    producer.send(ProducerRecord::new("made", b"x")).unwrap().get().unwrap();
    assert_eq!(cluster.partition_count("made"), Some(3));

    let cluster = MockCluster::builder().brokers(2).auto_create(false).start().unwrap();
    let producer = open(fast(&cluster));
    std::thread::scope(|scope| {
        let sending =
            scope.spawn(|| producer.send(ProducerRecord::new("late", b"x")).unwrap().get().unwrap());
        assert!(cluster.wait_until(PATIENCE, |c| metadata_requests(c).len() > 3));
        cluster.create_topic("late", 1).unwrap();
        assert_eq!(sending.join().unwrap().to_string(), "late-0@0");
    });
}

#[test]
fn metadata_is_refreshed_at_its_age_for_the_topics_in_use_only() {
    let cluster = MockCluster::start(1).unwrap();
    cluster.create_topic("foreign", 1).unwrap();
    let producer = open(fast(&cluster).metadata_max_age(ms(20)));
    for topic in ["a", "b"] {
        all_delivered(&send_numbers(&producer, topic, 0, 0..1));
    }
    cluster.clear_journal();
    assert!(cluster.wait_until(PATIENCE, |c| metadata_requests(c).len() >= 4));
    for request in metadata_requests(&cluster) {
        let RequestBody::Metadata { topics: Some(mut topics), .. } = request.body else {
            panic!("asked for every topic")
        };
        topics.sort();
        assert_eq!(topics, ["a", "b"]);
    }
}

#[test]
fn topics_out_of_use_are_forgotten_and_found_again() {
    let cluster = MockCluster::start(1).unwrap();
    let producer = open(fast(&cluster));
    // Ten thousand topics would need seconds; what matters is that asking again works after all.
    for n in 0..50 {
        let topic = format!("topic-{n}");
        all_delivered(&send_numbers(&producer, &topic, 0, 0..1));
    }
    for n in 0..50 {
        let topic = format!("topic-{n}");
        all_delivered(&send_numbers(&producer, &topic, 0, 1..2));
        holds(&cluster, &topic, 0, 0..2);
    }
}

#[test]
fn five_hundred_new_topics_at_once_cost_a_handful_of_requests() {
    let cluster = MockCluster::start(1).unwrap();
    cluster.set_latency(1, ms(20));
    let producer = open(fast(&cluster));
    producer.connect(PATIENCE).unwrap();
    cluster.clear_journal();
    std::thread::scope(|scope| {
        for thread in 0..100 {
            let producer = &producer;
            scope.spawn(move || {
                let send = |n| {
                    let topic = format!("topic-{thread}-{n}");
                    let record = ProducerRecord::new(&topic, b"x");
                    producer.send(record).unwrap()
                };
                all_delivered(&(0..5).map(send).collect::<Vec<_>>());
            });
        }
    });
    assert_eq!(cluster.topics().len(), 500);
    let asked = metadata_requests(&cluster).len();
    assert!(asked <= 50, "{asked} metadata requests for 500 topics");
}

#[test]
fn metadata_answers_that_fail_or_break_are_asked_for_again() {
    let troubles: [fn(Fault) -> Fault; 9] = [
        |f| f.error_before(ErrorCode::LEADER_NOT_AVAILABLE),
        |f| f.error_before(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        |f| f.error_before(ErrorCode::UNKNOWN_SERVER_ERROR),
        Fault::drop_before,
        Fault::drop_after,
        Fault::corrupt_answer,
        Fault::oversized_answer,
        Fault::wrong_correlation_id,
        Fault::swallow_answer,
    ];
    for trouble in troubles {
        let cluster = MockCluster::start(2).unwrap();
        let fault = cluster.inject(trouble(Fault::on(ApiKey::METADATA).times(3)));
        let producer = open(fast(&cluster).request_timeout(ms(60)));
        all_delivered(&send_numbers(&producer, "t", 0, 0..3));
        assert_eq!(fault.hits(), 3);
        holds(&cluster, "t", 0, 0..3);
        no_violations(&cluster);
    }
}

#[test]
fn a_metadata_answer_cut_at_any_byte_is_survived() {
    let cluster = MockCluster::start(2).unwrap();
    for len in (0..260).step_by(9) {
        let fault = cluster.inject(Fault::on(ApiKey::METADATA).truncate_answer(len));
        let producer = open(fast(&cluster));
        let topic = format!("t-{len}");
        all_delivered(&send_numbers(&producer, &topic, 0, 0..1));
        assert_eq!(fault.hits(), 1);
    }
}

#[test]
fn a_refused_topic_fails_at_once_and_the_others_flow() {
    let cluster = MockCluster::start(1).unwrap();
    let refusal = Fault::on(ApiKey::METADATA).topic("secret").always();
    let fault = cluster.inject(refusal.error_before(ErrorCode::TOPIC_AUTHORIZATION_FAILED));
    let producer = open(fast(&cluster));
    let error = producer.send(ProducerRecord::new("secret", b"x")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Authorization, "{error}");
    all_delivered(&send_numbers(&producer, "open", 0, 0..3));
    fault.remove();
    producer.send(ProducerRecord::new("secret", b"x")).unwrap().get().unwrap();
}

#[test]
fn the_first_bootstrap_server_may_be_dead() {
    let cluster = MockCluster::start(2).unwrap();
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    for _ in 0..5 {
        let servers = [dead.clone(), cluster.address(2).unwrap()];
        let producer = open(hasty(ProducerConfig::builder(servers)));
        producer.send(ProducerRecord::new("t", b"x")).unwrap().get().unwrap();
    }
}

#[test]
fn a_bootstrap_server_that_says_nothing_holds_nobody_up() {
    let cluster = MockCluster::start(2).unwrap();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let servers = [silent.local_addr().unwrap().to_string(), cluster.address(1).unwrap()];
    for _ in 0..4 {
        let setup = hasty(ProducerConfig::builder(servers.clone())).request_timeout(ms(200));
        let producer = open(setup.socket_connection_setup_timeout(ms(100)));
        producer.send(ProducerRecord::new("t", b"x")).unwrap().get().unwrap();
    }
}

#[test]
fn an_idle_connection_closes_and_opens_again() {
    let cluster = MockCluster::start(1).unwrap();
    let producer = open(fast(&cluster).connections_max_idle(Some(ms(40))));
    for n in 0..3 {
        all_delivered(&send_numbers(&producer, "t", 0, n..n + 1));
        assert!(cluster.wait_until(PATIENCE, |c| c.open_connections(1) == 0));
    }
    holds(&cluster, "t", 0, 0..3);
    assert_eq!(producer.metrics().batches_retried, 0);
}

#[test]
fn an_idle_producer_asks_nothing() {
    let cluster = MockCluster::start(3).unwrap();
    let producer = open(config(&cluster));
    for partition in 0..4 {
        all_delivered(&send_numbers(&producer, "t", partition, 0..1));
    }
    let before = cluster.stats();
    assert!(!cluster.wait_until(ms(300), |c| c.stats().requests != before.requests));
    assert_eq!(cluster.stats().connections, before.connections);
}

#[test]
fn a_throttled_broker_is_left_in_peace_and_another_goes_on() {
    of_each_version(|version| {
        let cluster = MockCluster::builder().brokers(2).version(version).topic("t", 2).start().unwrap();
        let producer = open(config(&cluster));
        for partition in 0..2 {
            all_delivered(&send_numbers(&producer, "t", partition, 0..1));
        }
        let slow = cluster.leader("t", 0).unwrap();
        cluster.inject(Fault::on(ApiKey::PRODUCE).node(slow).throttle(ms(2000)));
        all_delivered(&send_numbers(&producer, "t", 0, 1..2));
        let waiting = send_numbers(&producer, "t", 0, 2..3).remove(0);
        for n in 1..20 {
            all_delivered(&send_numbers(&producer, "t", 1, n..n + 1));
        }
        outcome(&waiting).unwrap();
        let times: Vec<_> =
            cluster.requests(ApiKey::PRODUCE).into_iter().filter(|r| r.node == slow).collect();
        let pause = times[2].at - times[1].at;
        assert!(pause >= ms(1995), "{version}: silent for {pause:?} only");
        let meanwhile =
            cluster.requests(ApiKey::PRODUCE).into_iter().filter(|r| r.node != slow && r.at < times[2].at);
        assert_eq!(meanwhile.count(), 20, "{version}");
        assert_eq!(producer.metrics().throttle_millis, 2000);
    });
}

#[test]
fn a_topic_that_nobody_has_fails_with_the_reason() {
    let cluster = MockCluster::builder().auto_create(false).start().unwrap();
    let producer = open(fast(&cluster).max_block(ms(100)));
    // A busy machine may not have asked anybody within the first deadline.
    eventually("the reason is said", || {
        let error = producer.send(ProducerRecord::new("nowhere", b"x")).unwrap_err();
        assert_eq!((error.kind(), error.may_have_been_written()), (ErrorKind::MetadataTimeout, false));
        error.to_string().contains("does not host")
    });
    // A topic that goes away while records are queued ends them at their deadline.
    cluster.create_topic("t", 1).unwrap();
    // The second attempt would be long after the deadline: none is in flight then.
    let patient = fast(&cluster).retry_backoff_max(ms(60_000)).retry_backoff(ms(60_000));
    let producer = open(patient.delivery_timeout(SHORT).request_timeout(SHORT - ms(100)));
    all_delivered(&send_numbers(&producer, "t", 0, 0..1));
    cluster.delete_topic("t").unwrap();
    let error = failure(&send_numbers(&producer, "t", 0, 1..2)[0]);
    assert_eq!(error.kind(), ErrorKind::DeliveryTimeout, "{error}");
    assert!(!error.may_have_been_written(), "{error}");
}
