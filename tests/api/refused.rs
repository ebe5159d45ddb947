//! Records and configurations that are refused: each with an error that names the thing.

use crate::support::{PATIENCE, after, at_once, config, dead_address, meet, ms, open, says};
use kafka_producer::mock::MockCluster;
use kafka_producer::partitioner::from_fn;
use kafka_producer::{
    Acks, BoxError, BytesSerializer, Choice, ErrorKind, KafkaProducer, Partitioner, ProducerConfig,
    ProducerRecord, StringSerializer, partitioner,
};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const FAR: Duration = Duration::from_secs(600);

#[test]
fn illegal_topic_names_are_refused_without_asking_anybody() {
    let producer = open(ProducerConfig::builder([dead_address()]).max_block(FAR));
    let long = "x".repeat(250);
    let huge = "ü".repeat(1_000_000);
    for name in ["", ".", "..", &long, &huge, "a b", "é", "a/b", "a\0b", "a\n", "a:b", "{}"] {
        let errors = at_once(|| {
            [
                producer.send(ProducerRecord::new(name, b"x")).unwrap_err(),
                producer.try_send(ProducerRecord::new(name, b"x")).unwrap_err(),
                producer.partitions_for(name).unwrap_err(),
                producer.send_with(ProducerRecord::new(name, b"x"), |_| {}).unwrap_err(),
            ]
        });
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::InvalidTopic, "{name:?}");
            assert!(!error.is_retriable() && error.topic_partition().is_none());
            let shown: String = name.chars().take(249).collect();
            says(&error, &["illegal topic name", &format!("{shown:?}")]);
            assert!(error.to_string().len() < 1000);
        }
    }
    assert_eq!(producer.metrics().records_refused, 12 * 3);
}

#[test]
fn the_longest_legal_topic_name_works() {
    let cluster = MockCluster::start(1).unwrap();
    let producer = open(config(&cluster));
    for name in ["x".repeat(249), "...".into(), "-".into(), "A_b.c-9".into()] {
        producer.send(ProducerRecord::new(&name, b"x")).unwrap().get().unwrap();
        assert_eq!(cluster.record_count(&name), 1);
    }
}

#[test]
fn a_payload_over_max_request_size_is_refused_and_the_next_one_goes() {
    let cluster = MockCluster::start(1).unwrap();
    let producer = open(config(&cluster).max_request_size(10_000));
    let big = vec![0; 10_001];
    let error = at_once(|| producer.send(ProducerRecord::new("orders", &big)).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::RecordTooLarge);
    assert!(!error.is_retriable() && !error.may_have_been_written());
    says(&error, &["orders", "max.request.size", "10000", "bytes"]);
    assert_eq!(producer.metrics().records_refused, 1);
    assert_eq!(producer.send(ProducerRecord::new("orders", b"x")).unwrap().get().unwrap().offset(), Some(0));
}

#[test]
fn a_payload_over_buffer_memory_is_refused_at_once() {
    let cluster = MockCluster::start(1).unwrap();
    let producer = open(config(&cluster).buffer_memory(100_000).batch_size(1000).max_block(FAR));
    let big = vec![0; 100_000];
    let error = at_once(|| producer.send(ProducerRecord::new("orders", &big)).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::RecordTooLarge);
    assert!(!error.is_retriable());
    says(&error, &["orders", "buffer.memory", "100000"]);
    producer.send(ProducerRecord::new("orders", &big[..90_000])).unwrap().get().unwrap();
}

#[test]
fn the_broker_s_own_limit_is_an_error_of_the_record() {
    let cluster = MockCluster::builder().max_message_bytes(1000).topic("t", 1).start().unwrap();
    let producer = open(config(&cluster));
    let big = vec![7; 5000];
    let error = producer.send(ProducerRecord::new("t", &big)).unwrap().get().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RecordTooLarge);
    assert_eq!(error.code(), Some(kafka_producer::protocol::ErrorCode::MESSAGE_TOO_LARGE));
    assert_eq!(error.topic_partition().unwrap().to_string(), "t-0");
    assert!(!error.may_have_been_written());
    producer.send(ProducerRecord::new("t", b"x")).unwrap().get().unwrap();
}

#[test]
fn a_partition_that_does_not_exist() {
    let cluster = MockCluster::builder().topic("orders", 2).start().unwrap();
    let producer = open(config(&cluster).max_block(ms(200)).retry_backoff(ms(10)).retry_backoff_max(ms(20)));
    meet(&producer, "orders");
    let error =
        after(ms(200), || producer.send(ProducerRecord::new("orders", b"x").partition(2)).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::Partitioning);
    says(&error, &["orders", "has 2 partition", "no partition 2", "max.block.ms"]);
    let error =
        at_once(|| producer.try_send(ProducerRecord::new("orders", b"x").partition(i32::MAX)).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::Partitioning);
    says(&error, &["orders", "2147483647", "does not wait"]);
    for negative in [-1, i32::MIN] {
        let record = || ProducerRecord::new("orders", b"x").partition(negative);
        let error = at_once(|| producer.send(record()).unwrap_err());
        assert_eq!(error.kind(), ErrorKind::Partitioning);
        says(&error, &["orders", &negative.to_string(), "negative"]);
        assert_eq!(producer.try_send(record()).unwrap_err().kind(), ErrorKind::Partitioning);
    }
    let metadata = producer.send(ProducerRecord::new("orders", b"x").partition(1)).unwrap().get().unwrap();
    assert_eq!(metadata.to_string(), "orders-1@0");
}

#[test]
fn a_negative_partition_needs_no_broker_to_be_refused() {
    let producer = open(ProducerConfig::builder([dead_address()]).max_block(FAR));
    let error = at_once(|| producer.send(ProducerRecord::new("orders", b"x").partition(-7)).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::Partitioning);
    says(&error, &["orders", "-7"]);
}

#[test]
fn a_send_waits_for_a_partition_that_is_being_added() {
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    let producer = open(config(&cluster).retry_backoff(ms(10)).retry_backoff_max(ms(20)));
    producer.send(ProducerRecord::new("t", b"x")).unwrap().get().unwrap();
    std::thread::scope(|s| {
        let before = cluster.stats().requests;
        let sender = s.spawn(|| producer.send(ProducerRecord::new("t", b"x").partition(3))?.get());
        assert!(cluster.wait_until(PATIENCE, |c| c.stats().requests > before));
        cluster.add_partitions("t", 4).unwrap();
        assert_eq!(sender.join().unwrap().unwrap().to_string(), "t-3@0");
    });
}

struct Moody;

impl Partitioner for Moody {
    fn partition(
        &self,
        record: &partitioner::KeyedRecord<'_>,
        topic: &partitioner::TopicView<'_>,
    ) -> Result<Choice, BoxError> {
        match record.key {
            Some(b"fails") => Err("the moon is full".into()),
            Some(b"panics") => panic!("the sky falls"),
            Some(b"beyond") => Ok(Choice::Exact(topic.partition_count())),
            Some(b"negative") => Ok(Choice::Exact(-1)),
            _ => Ok(Choice::Exact(1)),
        }
    }
}

#[test]
fn a_partitioner_that_goes_wrong_costs_its_own_record_only() {
    let cluster = MockCluster::builder().topic("orders", 2).start().unwrap();
    let config = config(&cluster).max_block(FAR).build().unwrap();
    let producer = KafkaProducer::<str, [u8]>::builder(config, StringSerializer, BytesSerializer)
        .partitioner(Moody)
        .build()
        .unwrap();
    let cases: [(&str, &[&str]); 4] = [
        ("fails", &["orders", "partitioner failed", "the moon is full"]),
        ("panics", &["orders", "partitioner", "panicked", "the sky falls"]),
        ("beyond", &["orders", "partition 2 of 2"]),
        ("negative", &["orders", "partition -1"]),
    ];
    for (key, words) in cases {
        let record = || ProducerRecord::new("orders", b"x").key(key);
        for error in [producer.send(record()).unwrap_err(), producer.try_send(record()).unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::Partitioning);
            assert!(!error.is_fatal() && !error.may_have_been_written());
            says(&error, words);
        }
    }
    let handle = producer.send(ProducerRecord::new("orders", b"x").key("calm")).unwrap();
    assert_eq!(handle.get().unwrap().to_string(), "orders-1@0");
    let handle = producer.send(ProducerRecord::new("orders", b"x").key("panics").partition(0)).unwrap();
    assert_eq!(handle.get().unwrap().partition(), 0, "an explicit partition asks nobody");
    assert_eq!(producer.metrics().records_refused, 8);
}

#[test]
fn a_closure_is_a_partitioner() {
    let cluster = MockCluster::builder().topic("t", 3).start().unwrap();
    let producer = KafkaProducer::<str, [u8]>::builder(
        config(&cluster).build().unwrap(),
        StringSerializer,
        BytesSerializer,
    )
    .partitioner(from_fn(|r, t| {
        assert_eq!((r.topic, t.partition_count(), t.available().count()), ("t", 3, 3));
        r.value.map_or(Choice::Sticky, |v| Choice::Exact(v.len() as i32))
    }))
    .build()
    .unwrap();
    assert_eq!(producer.send(ProducerRecord::new("t", b"xx")).unwrap().get().unwrap().partition(), 2);
    producer.send(ProducerRecord::to("t")).unwrap().get().unwrap();
}

#[test]
fn serializers_that_fail_or_panic() {
    let cluster = MockCluster::start(1).unwrap();
    let fussy = |v: &str, out: &mut Vec<u8>| -> Result<(), BoxError> {
        match v {
            "bad" => Err("not today".into()),
            "worse" => panic!("never"),
            _ => {
                out.extend_from_slice(v.as_bytes());
                Ok(())
            }
        }
    };
    let producer = KafkaProducer::<str, str>::new(config(&cluster).build().unwrap(), fussy, fussy).unwrap();
    for (bad, word) in [("bad", "not today"), ("worse", "never")] {
        let as_key = producer.send(ProducerRecord::new("orders", "x").key(bad)).unwrap_err();
        says(&as_key, &["orders", "key serializer", word]);
        let as_value = producer.send(ProducerRecord::new("orders", bad).key("k")).unwrap_err();
        says(&as_value, &["orders", "value serializer", word]);
        for error in [as_key, as_value] {
            assert_eq!(error.kind(), ErrorKind::Serialization);
            assert!(std::error::Error::source(&error).is_some());
            assert!(!error.is_fatal() && !error.may_have_been_written());
        }
    }
    let handle = producer.send(ProducerRecord::new("orders", "fine").key("also")).unwrap();
    let metadata = handle.get().unwrap();
    assert_eq!((metadata.serialized_key_size(), metadata.serialized_value_size()), (Some(4), Some(4)));
    producer.close().unwrap();
    assert_eq!(cluster.record_count("orders"), 1);
}

#[test]
fn a_timestamp_before_1970_is_refused() {
    let cluster = MockCluster::builder().topic("orders", 1).start().unwrap();
    let producer = open(config(&cluster));
    let early = UNIX_EPOCH - Duration::from_secs(1);
    let error = producer.send(ProducerRecord::new("orders", b"x").timestamp(early)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misuse);
    says(&error, &["orders", "timestamp", "1970"]);
    let record = |at: SystemTime| ProducerRecord::new("orders", b"x").timestamp(at);
    let far = UNIX_EPOCH + Duration::from_millis(253_402_300_799_999);
    for at in [UNIX_EPOCH, far] {
        assert_eq!(producer.send(record(at)).unwrap().get().unwrap().timestamp(), Some(at));
    }
    let stamps: Vec<_> = cluster.records("orders", 0).iter().map(|r| r.timestamp).collect();
    assert_eq!(stamps, [0, 253_402_300_799_999]);
}

#[test]
fn try_send_asks_for_metadata_but_does_not_wait_for_it() {
    let cluster = MockCluster::start(1).unwrap();
    let producer = open(config(&cluster).max_block(FAR));
    let error = at_once(|| producer.try_send(ProducerRecord::new("orders", b"x")).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::MetadataTimeout);
    assert!(error.is_retriable());
    says(&error, &["orders", "does not wait"]);
    assert!(cluster.wait_until(PATIENCE, |c| c.partition_count("orders").is_some()), "it asked");
    assert_eq!(producer.partitions_for("orders").unwrap().len(), 4);
    producer.try_send(ProducerRecord::new("orders", b"x")).unwrap().get().unwrap();
}

#[test]
fn partitions_for_tells_leaders_and_replicas() {
    let cluster = MockCluster::builder().brokers(3).topic("t", 3).start().unwrap();
    let producer = open(config(&cluster));
    let partitions = producer.partitions_for("t").unwrap();
    assert_eq!(partitions.len(), 3);
    for (at, info) in partitions.iter().enumerate() {
        assert_eq!(info.partition, at as i32);
        assert_eq!(info.leader, cluster.leader("t", info.partition));
        assert_eq!(info.replicas.len(), 3);
        assert_eq!(info.in_sync_replicas.len(), 3);
    }
}

#[test]
fn contradictions_in_the_configuration_are_refused_with_both_keys() {
    let base = || ProducerConfig::builder(["localhost:9092"]);
    let idempotent = || base().enable_idempotence(true);
    let cases: [(_, &[&str]); 6] = [
        (idempotent().acks(Acks::Leader), &["enable.idempotence", "acks"]),
        (idempotent().retries(0), &["enable.idempotence", "retries"]),
        (
            idempotent().max_in_flight_requests_per_connection(6),
            &["enable.idempotence", "max.in.flight.requests.per.connection"],
        ),
        (
            base().linger(ms(200)).request_timeout(ms(200)).delivery_timeout(ms(100)),
            &["delivery.timeout.ms", "linger.ms", "request.timeout.ms"],
        ),
        (base().set("aks", "all"), &["aks", "acks"]),
        (base().set("acks", "some"), &["acks", "some"]),
    ];
    for (config, words) in cases {
        let error = config.build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        says(&error, words);
    }
    assert_eq!(ProducerConfig::new("").unwrap_err().kind(), ErrorKind::Config);
    says(&ProducerConfig::new("no-port").unwrap_err(), &["bootstrap.servers", "no-port"]);
}

#[test]
fn what_this_version_lacks_is_refused_by_the_constructor() {
    let config = ProducerConfig::builder(["localhost:9092"]).transactional_id("t1");
    let config = config.transaction_two_phase_commit_enable(true).build().unwrap();
    let error = KafkaProducer::<str, [u8]>::new(config, StringSerializer, BytesSerializer).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    says(&error, &["transaction.two.phase.commit.enable", "leave it out"]);
}

#[test]
fn send_all_tells_how_many_had_entered() {
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    let producer = open(config(&cluster));
    let topics = ["t", "t", "no such topic", "t"];
    let error = producer.send_all(topics.iter().map(|topic| ProducerRecord::new(topic, b"x"))).unwrap_err();
    assert_eq!(error.entered(), 2);
    assert_eq!(error.failures().len(), 1);
    assert_eq!((error.failures()[0].0, error.failures()[0].1.kind()), (2, ErrorKind::InvalidTopic));
    says(&error, &["1 record(s) failed", "2 had entered", "record 2", "no such topic"]);
    assert!(std::error::Error::source(&error).is_some());
    let delivered = error.into_handle().get().unwrap();
    assert_eq!(delivered.iter().map(|m| m.offset()).collect::<Vec<_>>(), [Some(0), Some(1)]);
    producer.close().unwrap();
    assert_eq!(cluster.record_count("t"), 2, "the record behind was not looked at");
}
