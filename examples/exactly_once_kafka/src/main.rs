//! Consume, transform, produce exactly once against a real Kafka, with librdkafka's consumer in a group that rebalances.
//!
//! A package of its own, since the consumer compiles C. Both topics must exist:
//!
//! ```text
//! cd examples/exactly_once_kafka
//! cargo run --release -- localhost:9092 INPUT OUTPUT GROUP
//! ```
//!
//! It copies the input in capital letters and ends when it has reached its end. Start two at once with different
//! `TRANSACTIONAL_ID`s (environment) to see partitions change hands.

use kafka_producer::{
    ConsumerGroupMetadata, Error as ProducerError, KafkaProducer, Offsets, ProducerConfig, ProducerRecord,
    TopicPartition,
};
use rdkafka::bindings;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Message, OwnedMessage};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::HashSet;
use std::error::Error;
use std::ffi::{CStr, c_char};
use std::time::Duration;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const BATCH: usize = 1000;
const POLL: Duration = Duration::from_millis(100);
const TIMEOUT: Duration = Duration::from_secs(30);

fn main() -> Result {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [servers, input, output, group] = &args[..] else {
        return Err("usage: exactly_once_kafka BOOTSTRAP_SERVERS INPUT OUTPUT GROUP".into());
    };
    let id = std::env::var("TRANSACTIONAL_ID").unwrap_or_else(|_| format!("{group}-0"));
    let config = ProducerConfig::builder(servers.split(',')).transactional_id(id).build()?;
    let producer = KafkaProducer::<[u8], [u8]>::open(config)?;
    // Before the group's offsets are read: what a predecessor left open is settled by then.
    producer.init_transactions()?;

    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "earliest")
        .set("enable.partition.eof", "true")
        .create()?;
    consumer.subscribe(&[input])?;

    let mut ended = HashSet::new();
    let mut copied = 0;
    loop {
        let records = read(&consumer, &mut ended)?;
        if records.is_empty() {
            let assigned = consumer.assignment()?.count();
            if assigned > 0 && ended.len() >= assigned {
                println!("copied {copied} records");
                return Ok(producer.close()?);
            }
            continue;
        }
        match copy(&producer, &consumer, &records, output) {
            Ok(()) => copied += records.len(),
            // Such as a group that has rebalanced meanwhile: the partitions are somebody else's, or ours once more.
            Err(error) if error.requires_abort() => {
                eprintln!("aborted: {error}");
                rewind(&consumer)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// One transaction. Each `?` drops it, which aborts.
fn copy(
    producer: &KafkaProducer<[u8], [u8]>,
    consumer: &BaseConsumer,
    records: &[OwnedMessage],
    output: &str,
) -> std::result::Result<(), ProducerError> {
    let mut transaction = producer.transaction()?;
    let mut offsets = Offsets::new();
    for record in records {
        let value = record.payload().unwrap_or_default().to_ascii_uppercase();
        let copy = ProducerRecord::new(output, &value).key(record.key().unwrap_or_default());
        transaction.send(copy)?.detach();
        // Of the next record to read.
        offsets.insert(TopicPartition::new(record.topic(), record.partition()), record.offset() + 1);
    }
    transaction.send_offsets(&offsets, &group_metadata(consumer))?;
    loop {
        match transaction.commit() {
            Ok(()) => return Ok(()),
            // Perhaps it is committed: only commit can tell.
            Err(error) if error.outcome_unknown() => transaction = error.into_transaction(),
            Err(error) => return Err(error.into_error()),
        }
    }
}

fn read(consumer: &BaseConsumer, ended: &mut HashSet<i32>) -> Result<Vec<OwnedMessage>> {
    let mut records = Vec::new();
    while records.len() < BATCH {
        match consumer.poll(POLL) {
            None => break,
            Some(Ok(record)) => {
                ended.remove(&record.partition());
                records.push(record.detach());
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                ended.insert(partition);
                break;
            }
            Some(Err(error)) => return Err(error.into()),
        }
    }
    Ok(records)
}

/// Back to what is committed: the consumer's own position is beyond it.
fn rewind(consumer: &BaseConsumer) -> Result {
    let mut targets = TopicPartitionList::new();
    for at in consumer.committed(TIMEOUT)?.elements() {
        let offset = match at.offset() {
            Offset::Offset(offset) => Offset::Offset(offset),
            _ => Offset::Beginning,
        };
        targets.add_partition_offset(at.topic(), at.partition(), offset)?;
    }
    consumer.seek_partitions(targets, TIMEOUT)?;
    Ok(())
}

/// Who the consumer is in its group: with that the group's coordinator refuses the offsets of a consumer that has lost its
/// partitions meanwhile (KIP-447). rdkafka keeps it to itself, librdkafka does not.
fn group_metadata(consumer: &BaseConsumer) -> ConsumerGroupMetadata {
    // SAFETY: the texts belong to the metadata, and are copied before it is destroyed; each may be null.
    unsafe {
        let text = |at: *const c_char| (!at.is_null()).then(|| CStr::from_ptr(at).to_string_lossy().into_owned());
        let metadata = bindings::rd_kafka_consumer_group_metadata(consumer.client().native_ptr());
        let group = text(bindings::rd_kafka_consumer_group_metadata_group_id(metadata));
        let member = text(bindings::rd_kafka_consumer_group_metadata_member_id(metadata));
        let instance = text(bindings::rd_kafka_consumer_group_metadata_group_instance_id(metadata));
        let generation = bindings::rd_kafka_consumer_group_metadata_generation_id(metadata);
        bindings::rd_kafka_consumer_group_metadata_destroy(metadata);
        let mut described = ConsumerGroupMetadata::new(group.unwrap_or_default());
        if let Some(member) = member.filter(|id| !id.is_empty()) {
            described = described.member(member, generation);
        }
        match instance.filter(|id| !id.is_empty()) {
            Some(instance) => described.static_member(instance),
            None => described,
        }
    }
}
