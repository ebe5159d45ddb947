//! A key goes to the partition where Java's producer puts it.

use crate::cluster::RealKafka;
use crate::numbered::{on_each_release, producer};
use kafka_producer::{DeliveryFuture, ProducerRecord, partitioner::partition_for_key};

on_each_release!(a_hundred_thousand_keys_are_where_java_puts_them);

const KEYS: usize = 100_000;
const PARTITIONS: u32 = 13;

fn a_hundred_thousand_keys_are_where_java_puts_them(kafka: &RealKafka) {
    let topic = "placement";
    kafka.create_topic(topic, PARTITIONS, 1, &[]);
    let keys = keys();
    let java = kafka.java_partitions(&keys, PARTITIONS);

    let producer = producer(kafka, &[]);
    let handles: Vec<DeliveryFuture> = keys
        .iter()
        .map(|key| producer.send(ProducerRecord::new(topic, b"").key(key.as_slice())).expect("it enters"))
        .collect();
    for ((key, handle), java) in keys.iter().zip(&handles).zip(&java) {
        let ours = handle.get().expect("it is delivered").partition();
        assert_eq!(ours, *java, "{key:?}");
    }
    let mut read = 0;
    let there: std::collections::HashMap<&[u8], i32> =
        keys.iter().map(Vec::as_slice).zip(java.iter().copied()).collect();
    kafka.read(topic, |record| {
        let key = record.key.expect("a key");
        assert_eq!(there.get(key.as_slice()), Some(&record.partition), "{key:?}");
        read += 1;
    });
    assert_eq!(read, KEYS);

    // Other numbers of partitions, without sending.
    for partitions in [1, 2, 3, 64, 1000, 10_007] {
        let java = kafka.java_partitions(&keys[..5000], partitions);
        for (key, java) in keys.iter().zip(java) {
            assert_eq!(partition_for_key(key, partitions as i32), java, "{key:?} among {partitions}");
        }
    }
}

/// Half text, half bytes of any value; every length from 0 to 70, so that each remainder of murmur2's four-byte step occurs.
fn keys() -> Vec<Vec<u8>> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut byte = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..KEYS)
        .map(|i| match i % 2 {
            0 => format!("user-{i}").into_bytes(),
            _ => (0..i / 2 % 71).map(|_| byte()).collect(),
        })
        .collect()
}
