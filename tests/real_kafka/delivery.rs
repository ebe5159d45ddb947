//! Everything that can be sent, in every mode, codec and level of acknowledgement, is there afterwards, once, in order.

use crate::cluster::RealKafka;
use crate::numbered::{Expected, Placed, Producer, Sample, on_each_release, producer, send_numbered};
use crate::wait;
use kafka_producer::{Header, ProducerRecord};
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

on_each_release!(
    every_mode_delivers,
    every_codec_at_every_level_of_acknowledgement,
    a_million_records_arrive_byte_for_byte,
    topics_created_a_moment_ago_take_a_stream_of_records,
    null_and_empty_and_large_arrive_as_they_are,
    the_broker_s_timestamp_is_reported_where_the_topic_has_it_set,
);

const MODES: u64 = 6;
const PER_MODE: u64 = 300;

fn every_mode_delivers(kafka: &RealKafka) {
    let topic = "every-mode";
    kafka.create_topic(topic, 3, 1, &[]);
    let since = wait::wall_millis();
    let producer = producer(kafka, &[("linger.ms", "20")]);
    let mut outcomes = Vec::new();
    for mode in 0..MODES {
        let samples: Vec<Sample> =
            (mode * PER_MODE..(mode + 1) * PER_MODE).map(|number| Sample::new(number, 3)).collect();
        outcomes.extend(send_in_mode(mode, &producer, topic, &samples));
    }
    producer.flush().expect("everything goes out");
    producer.close().expect("nothing is left");
    Expected { topic, partitions: 3, per_thread: PER_MODE, outcomes: &outcomes, since }.verify(kafka);
    kafka.check_log(0, topic);
}

fn send_in_mode(mode: u64, producer: &Producer, topic: &str, samples: &[Sample]) -> Vec<Option<Placed>> {
    let enter = |s: &Sample| s.send(producer, topic).expect("it enters");
    match mode {
        // One after the other.
        0 => samples.iter().map(|s| Some(enter(s).get().expect("delivered").into())).collect(),
        // All, then their handles.
        1 => {
            let handles: Vec<_> = samples.iter().map(enter).collect();
            handles.iter().map(|h| Some(h.get().expect("delivered").into())).collect()
        }
        // Fire and forget.
        2 => samples
            .iter()
            .map(|s| {
                enter(s).detach();
                None
            })
            .collect(),
        3 => send_with_callbacks(producer, topic, samples),
        4 => send_all_at_once(producer, topic, samples),
        // Without waiting; whether there is room is the caller's business.
        _ => samples
            .iter()
            .map(|s| {
                let handle = wait::until("room", Duration::from_secs(30), || {
                    s.lend(topic, |record| producer.try_send(record)).ok()
                });
                Some(handle.get().expect("delivered").into())
            })
            .collect(),
    }
}

fn send_with_callbacks(producer: &Producer, topic: &str, samples: &[Sample]) -> Vec<Option<Placed>> {
    let (done, results) = mpsc::channel();
    for (i, sample) in samples.iter().enumerate() {
        let done = done.clone();
        let callback = move |result| done.send((i, result)).expect("the test listens");
        sample.lend(topic, |record| producer.send_with(record, callback)).expect("it enters");
    }
    drop(done);
    let mut placed = vec![None; samples.len()];
    let mut last = std::collections::HashMap::new();
    for (i, result) in results {
        let at: Placed = result.expect("delivered").into();
        let before = last.insert(at.partition, i);
        assert!(
            before.is_none_or(|before| before < i),
            "callbacks of partition {} out of order",
            at.partition
        );
        assert!(placed[i].replace(at).is_none(), "callback {i} ran twice");
    }
    assert!(placed.iter().all(Option::is_some), "a callback did not run");
    placed
}

fn send_all_at_once(producer: &Producer, topic: &str, samples: &[Sample]) -> Vec<Option<Placed>> {
    let records: Vec<ProducerRecord<'static, [u8], [u8]>> =
        samples.iter().map(|s| s.lend(topic, |r| r.into_owned())).collect();
    let handle = producer.send_all(records).expect("all enter");
    let metadata = handle.get().expect("all are delivered");
    metadata.into_iter().map(|m| Some(m.into())).collect()
}

fn every_codec_at_every_level_of_acknowledgement(kafka: &RealKafka) {
    let codecs = ["none", "gzip", "snappy", "lz4", "zstd"];
    let present = |codec: &&str| *codec != "zstd" || cfg!(feature = "zstd");
    for codec in codecs.into_iter().filter(present) {
        for acks in ["0", "1", "all"] {
            codec_with_acks(kafka, codec, acks);
        }
    }
}

fn codec_with_acks(kafka: &RealKafka, codec: &str, acks: &str) {
    let topic = format!("codec-{codec}-{acks}");
    kafka.create_topic(&topic, 2, 1, &[]);
    let since = wait::wall_millis();
    let producer = producer(kafka, &[("compression.type", codec), ("acks", acks), ("linger.ms", "10")]);
    // One thread: without idempotence and with five requests in flight order is promised while nothing fails.
    let outcomes = send_numbered(&producer, &topic, 2, 1, 3000);
    producer.close().expect("nothing is left");
    let offsets_known = outcomes.iter().flatten().all(|placed| placed.offset.is_some());
    assert_eq!(offsets_known, acks != "0");
    Expected { topic: &topic, partitions: 2, per_thread: 3000, outcomes: &outcomes, since }.verify(kafka);

    let batches = kafka.check_log(0, &topic);
    assert!(batches.iter().any(|b| b.codec == codec), "{topic}: {batches:?}");
    // A batch that does not shrink is left raw.
    assert!(batches.iter().all(|b| b.codec == codec || b.codec == "none"), "{topic}: {batches:?}");
    assert!(batches.iter().all(|b| b.producer.is_some() == (acks == "all")), "{topic}: {batches:?}");
}

fn a_million_records_arrive_byte_for_byte(kafka: &RealKafka) {
    const THREADS: u64 = 4;
    const PER_THREAD: u64 = 250_000;
    let topic = "a-million";
    kafka.create_topic(topic, 12, 1, &[]);
    let since = wait::wall_millis();
    let producer = producer(kafka, &[]);
    let outcomes = send_numbered(&producer, topic, 12, THREADS, PER_THREAD);
    producer.close().expect("nothing is left");
    Expected { topic, partitions: 12, per_thread: PER_THREAD, outcomes: &outcomes, since }.verify(kafka);
    assert!(kafka.offsets(topic).iter().all(|(_, end)| *end > 0), "a partition got nothing");
    let batches = kafka.check_log(0, topic);
    assert_eq!(batches.iter().map(|b| i64::from(b.count)).sum::<i64>(), 1_000_000);
    kafka.delete_topic(topic);
}

/// A broker refuses a new partition (NOT_LEADER_OR_FOLLOWER) for a moment, and then takes any first sequence of a producer
/// that it has not seen. If the first batch is refused and the second, on the wire already, is not, the first one can
/// never be appended: Java's producer fails it after `delivery.timeout.ms`.
fn topics_created_a_moment_ago_take_a_stream_of_records(kafka: &RealKafka) {
    let producer = producer(kafka, &[("linger.ms", "0"), ("batch.size", "500")]);
    for i in 0..20 {
        let topic = format!("just-created-{i}");
        kafka.create_topic_without_waiting(&topic, 3);
        let since = wait::wall_millis();
        let outcomes = send_numbered(&producer, &topic, 3, 1, 500);
        Expected { topic: &topic, partitions: 3, per_thread: 500, outcomes: &outcomes, since }.verify(kafka);
    }
    producer.close().expect("nothing is left");
}

fn null_and_empty_and_large_arrive_as_they_are(kafka: &RealKafka) {
    let topic = "edges.of_what-fits";
    kafka.create_topic(topic, 1, 1, &[]);
    let producer = producer(kafka, &[]);
    let large = vec![b'x'; 900_000];
    let headers =
        [Header::new("naïve ключ", ""), Header::null(""), Header::null(""), Header::new("last", &[0, 255])];
    let record = || ProducerRecord::<[u8], [u8]>::to(topic).timestamp(SystemTime::UNIX_EPOCH);
    let sent = [
        producer.send(record()),
        producer.send(record().key(b"").value(b"")),
        producer.send(record().key(b"k").value(&large).headers(&headers)),
    ];
    let metadata = sent.map(|handle| handle.expect("it enters").get().expect("it is delivered"));
    assert_eq!(metadata[0].to_string(), format!("{topic}-0@0"));
    assert_eq!(metadata[0].timestamp(), Some(SystemTime::UNIX_EPOCH));
    assert_eq!(metadata.each_ref().map(|m| m.serialized_key_size()), [None, Some(0), Some(1)]);
    assert_eq!(metadata.each_ref().map(|m| m.serialized_value_size()), [None, Some(0), Some(900_000)]);

    let read = kafka.read_all(topic);
    assert_eq!(read.iter().map(|r| r.offset).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(read.iter().all(|r| r.timestamp == 0));
    assert_eq!((&read[0].key, &read[0].value), (&None, &None));
    assert_eq!((&read[1].key, &read[1].value), (&Some(vec![]), &Some(vec![])));
    assert_eq!(read[2].value.as_ref(), Some(&large));
    let owned: Vec<_> = headers.iter().map(|h| (h.name.to_owned(), h.value.map(<[u8]>::to_vec))).collect();
    assert_eq!(read[2].headers, owned);
}

fn the_broker_s_timestamp_is_reported_where_the_topic_has_it_set(kafka: &RealKafka) {
    let topic = "append-time";
    kafka.create_topic(topic, 1, 1, &[("message.timestamp.type", "LogAppendTime")]);
    let producer = producer(kafka, &[]);
    let record = ProducerRecord::new(topic, b"v").timestamp(SystemTime::UNIX_EPOCH);
    let metadata = producer.send(record).expect("it enters").get().expect("it is delivered");
    let read = kafka.read_all(topic);
    assert!(read[0].appended_time && read[0].timestamp > 0);
    assert_eq!(metadata.timestamp_millis(), Some(read[0].timestamp));
}
