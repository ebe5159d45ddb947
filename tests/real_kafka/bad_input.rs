//! What a real broker refuses: each case ends in a clear error at once or at its deadline, and harms no other record.

use crate::cluster::RealKafka;
use crate::numbered::{Expected, Placed, Producer, Sample, on_each_release, producer, send_numbered};
use crate::wait;
use kafka_producer::protocol::ErrorCode;
use kafka_producer::{Error, ErrorKind, ProducerRecord, RecordMetadata};
use std::time::{Duration, SystemTime};

on_each_release!(
    an_unknown_topic_is_an_error_at_the_deadline,
    an_illegal_topic_name_is_an_error_at_once,
    a_partition_that_does_not_exist_is_an_error_until_it_does,
    a_record_over_the_topic_s_limit_fails_alone,
    a_batch_over_the_topic_s_limit_is_split,
    a_compacted_topic_names_the_records_without_a_key,
    a_time_too_far_ahead_is_refused_and_the_next_record_goes,
    a_topic_deleted_and_created_again_takes_records,
);

/// How far past its deadline an error may come on a busy machine.
const SLACK: Duration = Duration::from_secs(20);
/// How soon what was missing is there, however often the deadline comes before.
const SOON: Duration = Duration::from_secs(60);
const BLOCK: Duration = Duration::from_secs(5);
const BLOCK_SETTING: (&str, &str) = ("max.block.ms", "5000");

/// Sends and waits: the error may come from either call.
fn deliver(producer: &Producer, record: ProducerRecord<'_, [u8], [u8]>) -> Result<RecordMetadata, Error> {
    producer.send(record)?.get()
}

fn an_unknown_topic_is_an_error_at_the_deadline(kafka: &RealKafka) {
    let producer = producer(kafka, &[BLOCK_SETTING]);
    let began = wait::now();
    let error = deliver(&producer, ProducerRecord::new("no-such-topic", b"v")).expect_err("no such topic");
    assert!(began.elapsed() < BLOCK + SLACK, "{:?}", began.elapsed());
    assert_eq!(error.kind(), ErrorKind::MetadataTimeout, "{error}");
    assert!(error.to_string().contains("no-such-topic"), "{error}");
    assert!(!error.may_have_been_written(), "{error}");
    assert!(kafka.helper().ask("describe no-such-topic").is_err(), "it was created");

    // The producer is none the worse for it, and the topic may come later.
    kafka.create_topic("no-such-topic", 1, 1, &[]);
    wait::until("now there is", SOON, || deliver(&producer, ProducerRecord::new("no-such-topic", b"v")).ok());
    kafka.delete_topic("no-such-topic");
}

fn an_illegal_topic_name_is_an_error_at_once(kafka: &RealKafka) {
    let producer = producer(kafka, &[("max.block.ms", "60000")]);
    let long = "x".repeat(250);
    for name in ["", ".", "..", "with space", "slash/slash", "ключ", &long] {
        let began = wait::now();
        let error = deliver(&producer, ProducerRecord::new(name, b"v")).expect_err("an illegal name");
        assert_eq!(error.kind(), ErrorKind::InvalidTopic, "{name}: {error}");
        assert!(began.elapsed() < SLACK, "{name}: {:?}", began.elapsed());
    }
}

fn a_partition_that_does_not_exist_is_an_error_until_it_does(kafka: &RealKafka) {
    let topic = "few-partitions";
    kafka.create_topic(topic, 2, 1, &[]);
    let producer = producer(kafka, &[BLOCK_SETTING]);
    let record = || ProducerRecord::<[u8], [u8]>::new(topic, b"v").partition(2);
    let began = wait::now();
    let error = deliver(&producer, record()).expect_err("partitions are 0 and 1");
    assert!(began.elapsed() < BLOCK + SLACK, "{:?}", began.elapsed());
    assert!(!error.may_have_been_written(), "{error}");
    assert!(error.to_string().contains(topic), "{error}");
    assert!(deliver(&producer, ProducerRecord::new(topic, b"v").partition(-1)).is_err());

    kafka.add_partitions(topic, 3);
    assert_eq!(wait::until("now there is", SOON, || deliver(&producer, record()).ok()).partition(), 2);
}

fn a_record_over_the_topic_s_limit_fails_alone(kafka: &RealKafka) {
    let topic = "small-records";
    kafka.create_topic(topic, 1, 1, &[("max.message.bytes", "10000")]);
    let producer = producer(kafka, &[("linger.ms", "100"), ("batch.size", "100000")]);
    let (small, large) = (vec![b's'; 100], vec![b'l'; 20_000]);
    let send = |value: &[u8]| producer.send(ProducerRecord::new(topic, value)).expect("it enters");
    let handles = [send(&small), send(&large), send(&small)];
    producer.flush().expect("everything goes out");
    let results = handles.map(|handle| handle.get());
    assert!(results[0].is_ok() && results[2].is_ok(), "{results:?}");
    let error = results[1].as_ref().expect_err("over the limit");
    assert_eq!(error.kind(), ErrorKind::RecordTooLarge, "{error}");
    assert!(!error.may_have_been_written(), "{error}");

    let values: Vec<_> = kafka.read_all(topic).into_iter().map(|r| r.value).collect();
    assert_eq!(values, [Some(small.clone()), Some(small)]);
    kafka.check_log(0, topic);
}

fn a_batch_over_the_topic_s_limit_is_split(kafka: &RealKafka) {
    for codec in ["none", "lz4"] {
        let topic = format!("small-batches-{codec}");
        kafka.create_topic(&topic, 2, 1, &[("max.message.bytes", "2000")]);
        let since = wait::wall_millis();
        let settings = [("compression.type", codec), ("linger.ms", "50"), ("batch.size", "65536")];
        let producer = producer(kafka, &settings);
        let outcomes = send_numbered(&producer, &topic, 2, 2, 2000);
        producer.close().expect("nothing is left");
        Expected { topic: &topic, partitions: 2, per_thread: 2000, outcomes: &outcomes, since }.verify(kafka);
        let batches = kafka.check_log(0, &topic);
        assert!(batches.iter().all(|b| b.size <= 2000), "{batches:?}");
    }
}

/// Kafka refuses a batch for one bad record; alone, each has the outcome that it deserves.
fn a_compacted_topic_names_the_records_without_a_key(kafka: &RealKafka) {
    let topic = "compacted";
    kafka.create_topic(topic, 1, 1, &[("cleanup.policy", "compact")]);
    let send_all = |batch_size: &str| -> Vec<Result<RecordMetadata, Error>> {
        let producer = producer(kafka, &[("linger.ms", "20000"), ("batch.size", batch_size)]);
        // The broker has met the producer, and the hundred are one batch.
        deliver(&producer, ProducerRecord::new(topic, b"first").key(b"k")).expect("it has a key");
        let send = |n: u32| {
            let record = ProducerRecord::new(topic, b"v");
            let record = if n % 10 == 0 { record } else { record.key(b"k") };
            producer.send(record).expect("it enters")
        };
        let handles: Vec<_> = (0..100).map(send).collect();
        producer.flush().expect("everything goes out");
        handles.iter().map(|handle| handle.get()).collect()
    };
    let together = send_all("100000");
    for (n, result) in together.iter().enumerate() {
        let error = result.as_ref().expect_err("the batch is refused");
        assert_eq!(error.code(), Some(ErrorCode::INVALID_RECORD), "{error}");
        assert!(!error.may_have_been_written(), "{error}");
        assert_eq!(error.to_string().contains("another record"), n % 10 != 0, "{n}: {error}");
    }
    assert_eq!(kafka.read_all(topic).len(), 1, "the first only");

    let alone = send_all("0");
    for (n, result) in alone.iter().enumerate() {
        assert_eq!(result.is_ok(), n % 10 != 0, "{n}: {result:?}");
    }
    assert_eq!(kafka.read_all(topic).len(), 2 + 90);
}

fn a_time_too_far_ahead_is_refused_and_the_next_record_goes(kafka: &RealKafka) {
    let topic = "punctual";
    kafka.create_topic(topic, 1, 1, &[("message.timestamp.after.max.ms", "60000")]);
    let producer = producer(kafka, &[]);
    let now = u64::try_from(wait::wall_millis()).expect("after 1970");
    let tomorrow = SystemTime::UNIX_EPOCH + Duration::from_millis(now + 24 * 3_600_000);
    let error = deliver(&producer, ProducerRecord::new(topic, b"early").timestamp(tomorrow));
    let error = error.expect_err("a day ahead");
    assert_eq!(error.code(), Some(ErrorCode::INVALID_TIMESTAMP), "{error}");
    assert!(!error.may_have_been_written() && !error.is_retriable(), "{error}");
    assert_eq!(deliver(&producer, ProducerRecord::new(topic, b"v")).expect("in time").offset(), Some(0));
}

fn a_topic_deleted_and_created_again_takes_records(kafka: &RealKafka) {
    let topic = "recreated";
    kafka.create_topic(topic, 3, 1, &[]);
    let settings =
        [("max.block.ms", "10000"), ("delivery.timeout.ms", "10000"), ("request.timeout.ms", "5000")];
    let producer = producer(kafka, &settings);
    send_numbered(&producer, topic, 3, 1, 1000);
    let first = kafka.topic_id(topic);

    // Sending goes on; what is sent meanwhile may fail, but every handle ends.
    std::thread::scope(|scope| {
        let meanwhile = scope.spawn(|| {
            let handles: Vec<_> = (0..2000)
                .filter_map(|n| {
                    let handle = Sample::new(n, 3).send(&producer, topic).ok()?;
                    // Paced by the answers of every tenth record, so that the deletion falls into it.
                    if n % 10 == 0 {
                        let _ = handle.get();
                    }
                    Some(handle)
                })
                .collect();
            handles.iter().for_each(|handle| drop(handle.get()));
        });
        kafka.delete_topic(topic);
        kafka.create_topic(topic, 3, 1, &[]);
        meanwhile.join().expect("every handle ends");
    });
    assert_ne!(kafka.topic_id(topic), first);

    // Afterwards everything arrives in the new topic, once, behind what the other thread may have left there.
    let before: Vec<u64> = kafka.offsets(topic).iter().map(|(_, end)| *end).collect();
    let placed: Vec<Placed> =
        send_numbered(&producer, topic, 3, 1, 1000).into_iter().map(|p| p.expect("asked")).collect();
    let after: Vec<u64> = kafka.offsets(topic).iter().map(|(_, end)| *end).collect();
    assert_eq!(after.iter().sum::<u64>() - before.iter().sum::<u64>(), 1000);
    let in_new = |p: &Placed| p.offset.is_some_and(|offset| offset >= before[p.partition as usize] as i64);
    assert!(placed.iter().all(in_new), "an offset of the topic that is gone");
}
