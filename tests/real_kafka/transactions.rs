//! Transactions as a read-committed consumer of Kafka's own sees them: whole, in order, and the aborted ones not at all.

use crate::cluster::RealKafka;
use crate::java::Version;
use crate::ledger::{Ledger, create_topics};
use crate::numbered::{Producer, producer};
use kafka_producer::{
    ConsumerGroupMetadata, ErrorKind, Offsets, ProducerConfig, ProducerRecord, TopicPartition,
};
use std::collections::HashSet;
use std::time::Duration;

/// By each of the big suites.
const TRANSACTIONS: u32 = 2000;

#[test]
#[ignore = "needs Java and Maven: see README"]
fn two_thousand_transactions_on_one_node() {
    many_transactions(RealKafka::shared(Version::V4_3), "one-4.3");
}

#[test]
#[ignore = "needs Java and Maven: see README"]
fn two_thousand_transactions_on_3_9() {
    many_transactions(RealKafka::shared(Version::V3_9), "one-3.9");
}

#[test]
#[ignore = "needs Java and Maven: see README"]
fn two_thousand_transactions_on_three_nodes() {
    many_transactions(&RealKafka::start(Version::V4_3, 3), "three-4.3");
}

/// As between the upgrade of the software and that of the features: the new brokers speak the old protocol.
#[test]
#[ignore = "needs Java and Maven: see README"]
fn two_thousand_transactions_with_transaction_version_1_and_then_2() {
    let kafka = RealKafka::start(Version::V4_3, 1);
    kafka.demand("feature transaction.version 1");
    let producer = many_transactions(&kafka, "version-1");
    let epochs_of_old = epochs(&kafka, "version-1-a");
    let aborted = (0..TRANSACTIONS).filter(|n| Ledger::aborts(*n)).count();
    assert!(epochs_of_old <= 1 + aborted, "only an abort needs a new one: {epochs_of_old}");
    kafka.demand("feature transaction.version 2");
    // Brokers say so when somebody connects, and the producer goes by it from its next transaction on.
    kafka.terminate(0);
    kafka.restart(0);
    let mut ledger = Ledger::new("upgrade");
    create_topics(&kafka, "upgrade");
    for n in 0..50 {
        ledger.run(&producer, n, 10);
    }
    producer.close().expect("nothing is left");
    ledger.verify(&kafka);
    // Each transaction of the new protocol has its own: 50, a third of them perhaps aborted before anything was sent.
    assert!(epochs(&kafka, "upgrade-a") > 25);
}

/// How many epochs have written to a topic.
fn epochs(kafka: &RealKafka, topic: &str) -> usize {
    let batches = kafka.dump_log(0, topic);
    let stamps = batches.iter().map(|batch| batch.producer.expect("idempotent"));
    stamps.map(|stamp| (stamp.id, stamp.epoch)).collect::<HashSet<_>>().len()
}

/// Returns the producer, to go on with.
fn many_transactions(kafka: &RealKafka, name: &str) -> Producer {
    create_topics(kafka, name);
    let producer = transactional(kafka, name);
    let mut ledger = Ledger::new(name);
    for n in 0..TRANSACTIONS {
        // 1 to 200 records, in no order.
        ledger.run(&producer, n, 1 + n.wrapping_mul(2_654_435_761) % 200);
    }
    // A dropped transaction is aborted in the background; this waits for it.
    producer.transaction().expect("one more").commit().expect("an empty one");
    ledger.verify(kafka);
    producer
}

fn transactional(kafka: &RealKafka, id: &str) -> Producer {
    producer(kafka, &[("transactional.id", id), ("linger.ms", "0")])
}

fn value(record: &crate::reader::Record) -> String {
    String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into_owned()
}

fn committed(kafka: &RealKafka, topic: &str) -> Vec<String> {
    let mut values = Vec::new();
    kafka.read_committed(topic, |record| values.push((record.partition, record.offset, value(&record))));
    values.sort();
    values.into_iter().map(|(_, _, value)| value).collect()
}

#[test]
#[ignore = "needs Java and Maven: see README"]
fn a_second_producer_fences_the_first_and_aborts_what_it_left() {
    for version in [Version::V4_3, Version::V3_9] {
        let kafka = RealKafka::shared(version);
        kafka.create_topic("fenced", 1, 1, &[]);
        let first = transactional(kafka, "fenced");
        let transaction = first.transaction().expect("the first");
        transaction
            .send(ProducerRecord::new("fenced", b"left"))
            .expect("it enters")
            .get()
            .expect("delivered");

        let second = transactional(kafka, "fenced");
        let other = second.transaction().expect("the second takes over");
        other.send(ProducerRecord::new("fenced", b"whole")).expect("it enters").detach();
        other.commit().expect("committed");

        let error = transaction.commit().expect_err("fenced").into_error();
        assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
        for error in [
            first.begin_transaction().expect_err("fenced"),
            first.init_transactions().expect_err("fenced"),
            first.abort_transaction().expect_err("fenced"),
            first.commit_transaction().expect_err("fenced"),
            first.send(ProducerRecord::new("fenced", b"late")).map(drop).expect_err("fenced"),
        ] {
            assert!(error.kind() == ErrorKind::Fenced && error.is_fatal(), "{error}");
        }
        second.close().expect("nothing is left");
        assert_eq!(committed(kafka, "fenced"), ["whole"]);
        kafka.delete_topic("fenced");
    }
}

#[test]
#[ignore = "needs Java and Maven: see README"]
fn offsets_count_with_the_commit_only() {
    for version in [Version::V4_3, Version::V3_9] {
        let kafka = RealKafka::shared(version);
        kafka.create_topic("offsets-in", 2, 1, &[]);
        let producer = transactional(kafka, "offsets");
        let group = ConsumerGroupMetadata::new("offsets-group");
        for (offset, commit) in [(5, true), (9, false)] {
            let transaction = producer.transaction().expect("begun");
            let offsets = Offsets::new().with("offsets-in", 0, offset).with("offsets-in", 1, offset + 1);
            transaction.send_offsets(&offsets, &group).expect("taken");
            if commit {
                transaction.commit().expect("committed");
            } else {
                transaction.abort().expect("aborted");
            }
        }
        let mut offsets = kafka.demand("group-offsets offsets-group");
        offsets.sort();
        assert_eq!(offsets, ["offsets-in 0 5", "offsets-in 1 6"]);

        // A member that the group does not know may not commit, and the transaction says so.
        let transaction = producer.transaction().expect("begun");
        let stranger = ConsumerGroupMetadata::new("offsets-group").member("nobody", 7);
        let offsets: Offsets = [(TopicPartition::new("offsets-in", 0), 20)].into_iter().collect();
        let error = transaction.send_offsets(&offsets, &stranger).expect_err("no such member");
        assert!(error.requires_abort() && !error.is_fatal(), "{error}");
        assert!(transaction.commit().is_err());
        producer.transaction().expect("the next").commit().expect("committed");
        producer.close().expect("nothing is left");
        kafka.delete_topic("offsets-in");
    }
}

#[test]
#[ignore = "needs Java and Maven: see README"]
fn a_timeout_above_the_broker_s_maximum_is_said_so() {
    let kafka = RealKafka::shared(Version::V4_3);
    let servers = kafka.bootstrap();
    let config = ProducerConfig::builder(servers.split(','))
        .transactional_id("too-long")
        .transaction_timeout(Duration::from_secs(3600))
        .build()
        .expect("the client does not know the broker's maximum");
    let producer = kafka_producer::KafkaProducer::<str, str>::open(config).expect("opened");
    let error = producer.init_transactions().expect_err("an hour");
    assert!(error.to_string().contains("transaction.max.timeout.ms"), "{error}");
}

#[test]
#[ignore = "needs Java and Maven: see README"]
fn a_transaction_that_times_out_is_aborted_by_the_coordinator() {
    let kafka = RealKafka::shared(Version::V4_3);
    let topic = "expires";
    kafka.create_topic(topic, 1, 1, &[]);
    // Long enough for the record to be there before.
    let first = producer(
        kafka,
        &[("transactional.id", topic), ("transaction.timeout.ms", "5000"), ("linger.ms", "0")],
    );
    let transaction = first.transaction().expect("begun");
    transaction.send(ProducerRecord::new(topic, b"late")).expect("it enters").get().expect("delivered");
    crate::wait::until("the coordinator aborts it", Duration::from_secs(120), || {
        let state = kafka.demand(&format!("coordinator {topic}")).concat();
        state.ends_with("CompleteAbort").then_some(())
    });
    let error = transaction.commit().expect_err("too late").into_error();
    assert!(error.is_fatal() || error.requires_abort(), "{error}");
    drop(first);
    let second = transactional(kafka, topic);
    let transaction = second.transaction().expect("begun");
    transaction.send(ProducerRecord::new(topic, b"in time")).expect("it enters").detach();
    transaction.commit().expect("committed");
    assert_eq!(committed(kafka, topic), ["in time"]);
}
