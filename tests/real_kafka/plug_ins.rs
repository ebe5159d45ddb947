//! Serializers write what Java's write, and every partitioner puts records where Java's code, or the same hash in Java,
//! says; read back by Java's consumer.

use crate::cluster::RealKafka;
use crate::numbered::{on_each_release, producer};
use kafka_producer::partitioner::fnv1a;
use kafka_producer::serializer::DefaultSerializer;
use kafka_producer::{DeliveryFuture, KafkaProducer, ProducerConfig, ProducerRecord};
use std::borrow::Borrow;
use std::fmt::Write as _;

on_each_release!(
    every_serializer_writes_what_java_s_writes,
    every_partitioner_puts_keys_where_java_has_them,
    round_robin_goes_round_as_java_s_was_meant_to,
    sticky_partitioners_ignore_keys_and_use_every_partition,
);

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string");
        text
    })
}

/// What Java's serializer for `class` makes of the value that `text` stands for.
fn java_bytes(kafka: &RealKafka, class: &str, text: &str) -> Option<Vec<u8>> {
    let answer = kafka.demand(&format!("serialize {class} {}", hex(text.as_bytes())));
    let hex = answer[0].strip_prefix('x')?;
    let byte = |i: usize| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).expect("hex");
    Some((0..hex.len() / 2).map(byte).collect())
}

/// Sends each value as key and as value, through the serializer that its type has by default.
fn agree<T>(kafka: &RealKafka, class: &str, values: &[(&T, &str)])
where
    T: DefaultSerializer + Borrow<T> + ?Sized + 'static,
{
    let topic = format!("serialized-by-{class}");
    kafka.create_topic(&topic, 1, 1, &[]);
    let class_name = format!("org.apache.kafka.common.serialization.{class}Serializer");
    let settings = [
        ("bootstrap.servers", kafka.bootstrap()),
        ("key.serializer", class_name.clone()),
        ("value.serializer", class_name),
    ];
    let config = ProducerConfig::from_properties(settings).expect("Java's settings");
    let producer = KafkaProducer::<T, T>::open(config).expect("the names fit the types");
    for (value, _) in values {
        producer.send(ProducerRecord::new(&topic, *value).key(*value)).expect("it enters").detach();
    }
    producer.close().expect("all are delivered");
    let read = kafka.read_all(&topic);
    assert_eq!(read.len(), values.len());
    for (record, (_, text)) in read.iter().zip(values) {
        let java = java_bytes(kafka, class, text);
        assert_eq!((&record.key, &record.value), (&java, &java), "{class}: {text:?}");
    }
}

fn agree_on_each<T>(kafka: &RealKafka, class: &str, values: &[T])
where
    T: DefaultSerializer + Borrow<T> + ToString + 'static,
{
    let texts: Vec<String> = values.iter().map(T::to_string).collect();
    let pairs: Vec<(&T, &str)> = values.iter().zip(texts.iter().map(String::as_str)).collect();
    agree(kafka, class, &pairs);
}

fn every_serializer_writes_what_java_s_writes(kafka: &RealKafka) {
    agree_on_each(kafka, "Integer", &[0, 1, -1, i32::MIN, i32::MAX, 0x0102_0304]);
    agree_on_each(kafka, "Long", &[0, 1, -1, i64::MIN, i64::MAX, 0x0102_0304_0506_0708]);
    agree_on_each(kafka, "Short", &[0, 1, -1, i16::MIN, i16::MAX, 0x0102]);
    agree_on_each(kafka, "Boolean", &[true, false]);
    agree_on_each(kafka, "Float", &[0.0, -0.0, 1.5, f32::MIN, f32::MAX, f32::MIN_POSITIVE, f32::NAN]);
    agree_on_each(kafka, "Double", &[0.0, -0.0, 1.5, f64::MIN, f64::MAX, f64::MIN_POSITIVE, f64::NAN, 0.1]);
    let texts = ["", "tea", "grüße, 世界", "\u{0}\u{7f}\u{80}\u{7ff}\u{800}\u{ffff}", "𝄞 and 👩‍🚀"];
    agree::<str>(kafka, "String", &texts.map(|t| (t, t)));
    for class in ["ByteArray", "Bytes", "ByteBuffer"] {
        agree::<[u8]>(kafka, class, &texts.map(|t| (t.as_bytes(), t)));
    }
    agree(kafka, "Void", &[(&(), ""), (&(), "")]);
    #[cfg(feature = "uuid")]
    agree_on_each(kafka, "UUID", &[uuid::Uuid::nil(), uuid::Uuid::from_u128(u128::MAX / 3)]);
}

const PARTITIONS: u32 = 13;

/// Sends each key through the named partitioner, and has Java's consumer confirm where each was put.
fn places(kafka: &RealKafka, name: &str, keys: &[Vec<u8>]) -> Vec<i32> {
    let topic = format!("placed-by-{}", name.rsplit('.').next().expect("a name"));
    kafka.create_topic(&topic, PARTITIONS, 1, &[]);
    let producer = producer(kafka, &[("partitioner.class", name), ("batch.size", "1000")]);
    let handles: Vec<DeliveryFuture> = keys
        .iter()
        .map(|key| producer.send(ProducerRecord::new(&topic, key).key(key)).expect("it enters"))
        .collect();
    let placed: Vec<(i32, i64)> = handles
        .iter()
        .map(|handle| handle.get().expect("it is delivered"))
        .map(|m| (m.partition(), m.offset().expect("an offset")))
        .collect();
    producer.close().expect("all are delivered");
    let read: std::collections::HashMap<(i32, i64), Option<Vec<u8>>> =
        kafka.read_all(&topic).into_iter().map(|r| ((r.partition, r.offset), r.key)).collect();
    assert_eq!(read.len(), keys.len(), "{name}");
    for (key, place) in keys.iter().zip(&placed) {
        assert_eq!(read[place].as_ref(), Some(key), "{name}: {place:?}");
    }
    placed.into_iter().map(|(partition, _)| partition).collect()
}

fn keys() -> Vec<Vec<u8>> {
    (0..2000_u32)
        .map(|n| [&n.to_le_bytes()[..(n % 5) as usize], format!("-{n}").as_bytes()].concat())
        .collect()
}

fn every_partitioner_puts_keys_where_java_has_them(kafka: &RealKafka) {
    let keys = keys();
    let murmur2 = kafka.java_partitions(&keys, PARTITIONS);
    let crc = |key: &Vec<u8>| {
        let sum: u32 = kafka.demand(&format!("crc32 {}", hex(key)))[0].parse().expect("a number");
        (sum % PARTITIONS) as i32
    };
    let crc32: Vec<i32> = keys.iter().map(crc).collect();
    // Java has no FNV-1a: the sums are compared with librdkafka's own in tests/foreign_clients.
    let signed = |key: &Vec<u8>| fnv1a(key) as i32;
    let absolute: Vec<i32> =
        keys.iter().map(|key| (signed(key).unsigned_abs() % PARTITIONS) as i32).collect();
    let positive: Vec<i32> = keys.iter().map(|key| (signed(key) & i32::MAX) % PARTITIONS as i32).collect();
    for (names, expected) in [
        (
            &[
                "default",
                "org.apache.kafka.clients.producer.internals.DefaultPartitioner",
                "murmur2",
                "murmur2_random",
            ][..],
            &murmur2,
        ),
        (&["consistent", "consistent_random"], &crc32),
        (&["fnv1a", "fnv1a_random"], &absolute),
        (&["fnv1a_reference"], &positive),
    ] {
        for name in names {
            assert_eq!(places(kafka, name, &keys), *expected, "{name}");
        }
    }
}

/// Java's own skips partitions where batches fill (KAFKA-9965); asked record by record it shows what was meant.
fn round_robin_goes_round_as_java_s_was_meant_to(kafka: &RealKafka) {
    let keys = keys();
    let ours = places(kafka, "org.apache.kafka.clients.producer.RoundRobinPartitioner", &keys);
    let request = format!("round-robin {PARTITIONS} {}", keys.len() + PARTITIONS as usize);
    let java: Vec<i32> =
        kafka.demand(&request).iter().map(|place| place.parse().expect("a partition")).collect();
    let start = java.iter().position(|place| *place == ours[0]).expect("any partition is among the first");
    assert_eq!(ours, java[start..start + ours.len()]);
}

fn sticky_partitioners_ignore_keys_and_use_every_partition(kafka: &RealKafka) {
    let keys: Vec<Vec<u8>> = (0..13_000).map(|n| format!("key-{n:05}").into_bytes()).collect();
    let places = places(kafka, "org.apache.kafka.clients.producer.UniformStickyPartitioner", &keys);
    for partition in 0..PARTITIONS as i32 {
        let count = places.iter().filter(|place| **place == partition).count();
        assert!((800..=1200).contains(&count), "{count} records of 13,000 in partition {partition} of 13");
    }
}
