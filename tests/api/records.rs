//! What was sent is what is read back.

use crate::support::{config, open};
use kafka_producer::mock::MockCluster;
use kafka_producer::partitioner::partition_for_key;
use kafka_producer::{Header, ProducerRecord};
use std::time::{Duration, UNIX_EPOCH};

#[test]
fn null_and_empty_stay_apart_in_keys_values_and_headers() {
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    let producer = open(config(&cluster));
    let headers = [
        Header::new("a", b"1"),
        Header::null("b"),
        Header::new("a", b""),
        Header::new("", b"\0\xff"),
        Header::new("ü", b"2"),
    ];
    producer.send(ProducerRecord::to("t")).unwrap().get().unwrap();
    producer.send(ProducerRecord::new("t", b"").key("")).unwrap().get().unwrap();
    producer.send(ProducerRecord::to("t").key("tombstone")).unwrap().get().unwrap();
    let last = producer.send(ProducerRecord::new("t", b"v").headers(&headers).header("z", b"9")).unwrap();
    let last = last.get().unwrap();
    assert_eq!((last.serialized_key_size(), last.serialized_value_size()), (None, Some(1)));

    let stored = cluster.records("t", 0);
    let both: Vec<_> = stored.iter().map(|r| (r.key.as_deref(), r.value.as_deref())).collect();
    assert_eq!(
        both,
        [
            (None, None),
            (Some(&b""[..]), Some(&b""[..])),
            (Some(&b"tombstone"[..]), None),
            (None, Some(&b"v"[..]))
        ]
    );
    let headers: Vec<_> = stored[3].headers.iter().map(|(n, v)| (n.as_str(), v.as_deref())).collect();
    assert_eq!(
        headers,
        [
            ("a", Some(&b"1"[..])),
            ("b", None),
            ("a", Some(&b""[..])),
            ("", Some(&b"\0\xff"[..])),
            ("ü", Some(&b"2"[..])),
            ("z", Some(&b"9"[..]))
        ]
    );
    assert!(stored[..3].iter().all(|r| r.headers.is_empty()));
    assert_eq!(cluster.violations(), Vec::<String>::new());
}

#[test]
fn timestamps_are_the_record_s_own_or_the_time_of_send() {
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    let producer = open(config(&cluster));
    // In one batch, up and down.
    let stamps = [1_700_000_000_123u64, 0, 4_000_000_000_000, 1];
    let records = stamps.map(|ms| ProducerRecord::new("t", b"x").timestamp(UNIX_EPOCH + Duration::from_millis(ms)));
    let delivered = producer.send_all(records).unwrap().get().unwrap();
    for (metadata, ms) in delivered.iter().zip(stamps) {
        assert_eq!(metadata.timestamp_millis(), Some(ms as i64));
        assert_eq!(metadata.timestamp(), Some(UNIX_EPOCH + Duration::from_millis(ms)));
    }
    let now = producer.send(ProducerRecord::new("t", b"x")).unwrap().get().unwrap();
    assert!(now.timestamp_millis().unwrap() > 1_700_000_000_000);
    let stored: Vec<_> = cluster.records("t", 0).iter().map(|r| r.timestamp).collect();
    let told: Vec<_> = delivered.iter().chain([&now]).map(|m| m.timestamp_millis().unwrap()).collect();
    assert_eq!(stored, told);
}

#[test]
fn log_append_time_is_reported() {
    let cluster = MockCluster::builder().topic("t", 1).log_append_time(true).start().unwrap();
    let producer = open(config(&cluster));
    let metadata =
        producer.send(ProducerRecord::new("t", b"x").timestamp(UNIX_EPOCH)).unwrap().get().unwrap();
    assert!(metadata.timestamp_millis().unwrap() > 1_700_000_000_000);
    assert_eq!(metadata.timestamp_millis(), Some(cluster.records("t", 0)[0].timestamp));
}

#[test]
fn keys_go_where_java_puts_them() {
    let cluster = MockCluster::builder().topic("t", 7).start().unwrap();
    let producer = open(config(&cluster));
    let keys: Vec<String> = (0..500).map(|n| format!("key-{n}")).chain([String::new()]).collect();
    let delivered =
        producer.send_all(keys.iter().map(|k| ProducerRecord::new("t", k.as_bytes()).key(k))).unwrap();
    for (metadata, key) in delivered.get().unwrap().iter().zip(&keys) {
        assert_eq!(metadata.partition(), partition_for_key(key.as_bytes(), 7), "{key}");
    }
    for partition in 0..7 {
        for record in cluster.records("t", partition) {
            assert_eq!(record.key, record.value);
            assert_eq!(partition_for_key(&record.key.unwrap(), 7), partition);
        }
    }
    // "21" hashes to -973932308, so its positive form modulo 7 is known.
    let metadata = producer.send(ProducerRecord::new("t", b"x").key("21")).unwrap().get().unwrap();
    assert_eq!(metadata.partition(), (-973_932_308_i32 & i32::MAX) % 7);
}

#[test]
fn keys_may_be_ignored() {
    let cluster = MockCluster::builder().topic("t", 50).start().unwrap();
    let producer = open(config(&cluster).partitioner_ignore_keys(true));
    let keys: Vec<String> = (0..50).map(|n| format!("key-{n}")).collect();
    let delivered = producer.send_all(keys.iter().map(|k| ProducerRecord::new("t", b"x").key(k))).unwrap();
    let delivered = delivered.get().unwrap();
    assert!(delivered.iter().all(|m| m.partition() == delivered[0].partition()), "all stick to one");
}

#[test]
fn metadata_prints_as_topic_partition_offset() {
    let cluster = MockCluster::builder().topic("my-topic.1", 3).start().unwrap();
    let producer = open(config(&cluster));
    let metadata = producer.send(ProducerRecord::new("my-topic.1", b"x").partition(2)).unwrap().get().unwrap();
    assert_eq!(metadata.to_string(), "my-topic.1-2@0");
    assert_eq!((metadata.topic(), metadata.partition(), metadata.offset()), ("my-topic.1", 2, Some(0)));
}

#[test]
fn a_record_bigger_than_batch_size_goes_alone() {
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    let producer = open(config(&cluster).batch_size(100));
    let big: Vec<u8> = (0..300_000u32).map(|n| n as u8).collect();
    producer.send(ProducerRecord::new("t", b"small")).unwrap().detach();
    producer.send(ProducerRecord::new("t", &big)).unwrap().detach();
    producer.send(ProducerRecord::new("t", b"small")).unwrap().detach();
    producer.flush().unwrap();
    let stored = cluster.records("t", 0);
    assert_eq!(stored[1].value.as_deref(), Some(&big[..]));
    assert_eq!(cluster.batches("t", 0).iter().map(|b| b.record_count).collect::<Vec<_>>(), [1, 1, 1]);
}
