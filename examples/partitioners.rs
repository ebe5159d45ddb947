//! Which partition a record goes to: by key as in Java, as other clients place keys, evenly, or by rules of your own.

use brokers::{Brokers, Result};
use kafka_producer::config::PartitionerName;
use kafka_producer::partitioner::{Choice, partition_for_key, typed_fn};
use kafka_producer::{KafkaProducer, ProducerConfig, ProducerRecord, StringSerializer};

#[path = "support/brokers.rs"]
mod brokers;

const TOPIC: &str = "partitioners";

fn main() -> Result {
    let brokers = Brokers::from_args()?;
    let config = || ProducerConfig::builder([brokers.servers()]);
    let place = |producer: &KafkaProducer<str, str>, key: &'static str| -> Result<i32> {
        Ok(producer.send(ProducerRecord::new(TOPIC, "v").key(key))?.get()?.partition())
    };

    // The default: murmur2 of the key, where Java's client puts it. The hash is public.
    let java = KafkaProducer::<str, str>::open(config().build()?)?;
    let count = java.partitions_for(TOPIC)?.len() as i32;
    assert_eq!(place(&java, "alice")?, partition_for_key(b"alice", count));
    assert_eq!(place(&java, "alice")?, place(&java, "alice")?);

    // As librdkafka places keys, for a topic that programs on librdkafka write to as well.
    let crc =
        KafkaProducer::<str, str>::open(config().partitioner(PartitionerName::ConsistentRandom).build()?)?;
    println!(
        "alice is in partition {} for Java and {} for librdkafka",
        place(&java, "alice")?,
        place(&crc, "alice")?
    );

    // One after the other, whatever the key; by its Java class name, as a properties file has it.
    let class = "org.apache.kafka.clients.producer.RoundRobinPartitioner";
    let round = KafkaProducer::<str, str>::open(config().set("partitioner.class", class).build()?)?;
    let mut places = (0..count).map(|_| place(&round, "alice")).collect::<Result<Vec<_>>>()?;
    places.sort_unstable();
    assert_eq!(places, (0..count).collect::<Vec<_>>(), "each partition had its turn");

    // Rules of your own see the typed key and value, their bytes, headers, and each partition's leader and replicas.
    let by_rank = typed_fn::<str, str, _>(|record, topic| match record.key {
        Some(key) if key.starts_with("vip-") => Choice::Exact(0),
        Some(_) => Choice::Exact(topic.partition_count() - 1),
        None => Choice::Sticky, // as the default does: fill a batch, then move on
    });
    let ours = KafkaProducer::builder(config().build()?, StringSerializer, StringSerializer)
        .partitioner(by_rank)
        .build()?;
    assert_eq!(place(&ours, "vip-bob")?, 0);
    assert_eq!(place(&ours, "carol")?, count - 1);

    // A partition named by the record itself always wins.
    let named = java.send(ProducerRecord::new(TOPIC, "v").key("alice").partition(count - 1))?.get()?;
    assert_eq!(named.partition(), count - 1);
    for producer in [java, crc, round, ours] {
        producer.close()?;
    }
    brokers.check(TOPIC, std::iter::repeat_n("v", 8 + count as usize))
}
