//! Every way to send, and what comes back.

use crate::support::{PATIENCE, config, open};
use kafka_producer::mock::{Fault, MockCluster};
use kafka_producer::protocol::{ApiKey, ErrorCode};
use kafka_producer::{Acks, ProducerRecord};
use std::sync::mpsc;

#[test]
fn a_synchronous_send_says_where_the_record_stands() {
    let cluster = MockCluster::start(1).unwrap();
    cluster.create_topic("orders", 1).unwrap();
    let producer = open(config(&cluster));
    for n in 0..3 {
        let metadata =
            producer.send(ProducerRecord::new("orders", b"payload").key("k")).unwrap().get().unwrap();
        assert_eq!(metadata.to_string(), format!("orders-0@{n}"));
        assert_eq!(metadata.serialized_key_size(), Some(1));
        assert_eq!(metadata.serialized_value_size(), Some(7));
    }
    producer.close().unwrap();
    assert_eq!(cluster.record_count("orders"), 3);
}

#[test]
fn ten_thousand_records_arrive_once_in_order_with_every_acks() {
    for acks in [Acks::All, Acks::Leader, Acks::None] {
        let cluster = MockCluster::start(3).unwrap();
        cluster.create_topic("t", 6).unwrap();
        let producer = open(config(&cluster).acks(acks));
        let handles: Vec<_> = (0..10_000u32)
            .map(|n| {
                let key = format!("key-{}", n % 100);
                producer.send(ProducerRecord::new("t", &n.to_be_bytes()).key(&key)).unwrap()
            })
            .collect();
        producer.flush().unwrap();
        for handle in handles {
            assert_eq!(handle.try_get().unwrap().unwrap().offset().is_some(), acks != Acks::None);
        }
        assert!(cluster.wait_until(PATIENCE, |c| c.record_count("t") == 10_000));
        for partition in 0..6 {
            let mut last = std::collections::HashMap::new();
            for record in cluster.records("t", partition) {
                let value = record.value.unwrap();
                let n = u32::from_be_bytes(value[..].try_into().unwrap());
                assert!(last.insert(record.key.unwrap(), n).is_none_or(|before| before < n));
            }
        }
        producer.close().unwrap();
        assert_eq!(cluster.violations(), Vec::<String>::new());
    }
}

#[test]
fn callbacks_run_in_order_on_one_thread() {
    let cluster = MockCluster::start(1).unwrap();
    cluster.create_topic("t", 1).unwrap();
    let producer = open(config(&cluster));
    let (tx, rx) = mpsc::channel();
    for n in 0..1000i64 {
        let tx = tx.clone();
        producer
            .send_with(ProducerRecord::new("t", b"x"), move |result| {
                tx.send((n, result.unwrap().offset(), std::thread::current().name().map(str::to_owned)))
                    .unwrap();
            })
            .unwrap();
    }
    producer.flush().unwrap();
    for n in 0..1000 {
        assert_eq!(rx.try_recv().unwrap(), (n, Some(n), Some("kafka-callbacks".into())));
    }
}

#[test]
fn send_all_gives_one_handle_in_order() {
    let cluster = MockCluster::start(2).unwrap();
    let producer = open(config(&cluster));
    let values: Vec<String> = (0..50).map(|n| format!("v{n}")).collect();
    let records = values.iter().enumerate().map(|(n, v)| {
        ProducerRecord::new(if n % 2 == 0 { "even" } else { "odd" }, v.as_bytes()).partition(0)
    });
    let delivered = producer.send_all(records).unwrap().get().unwrap();
    assert_eq!(delivered.len(), 50);
    assert_eq!(delivered[49].to_string(), "odd-0@24");
}

/// Before a broker has met a producer it takes any sequence. A topic's leader is named before it is at work, so the first
/// batch may be refused where the second, already under way, would be taken.
#[test]
fn the_first_batch_of_a_partition_is_refused_and_the_next_are_not_taken_before_it() {
    let cluster = MockCluster::start(1).unwrap();
    cluster.create_topic("t", 1).unwrap();
    cluster.inject(Fault::on(ApiKey::PRODUCE).error_before(ErrorCode::NOT_LEADER_OR_FOLLOWER));
    let producer = open(config(&cluster).batch_size(1).delivery_timeout(PATIENCE));
    let handles: Vec<_> = (0..50u8).map(|n| producer.send(ProducerRecord::new("t", &[n])).unwrap()).collect();
    for (n, handle) in handles.iter().enumerate() {
        assert_eq!(handle.get().unwrap().offset(), Some(n as i64));
    }
    assert_eq!(cluster.violations(), Vec::<String>::new());
}
