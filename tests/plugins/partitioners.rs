//! Where records go: by name, by object, evenly, and away from brokers that take nothing.

use crate::support::config;
use kafka_producer::config::PartitionerName;
use kafka_producer::mock::MockCluster;
use kafka_producer::partitioner::{
    KeyedRecord, RoundRobin, TopicView, TypedPartitioner, TypedRecord, from_fn, murmur2, to_positive,
    typed_fn,
};
use kafka_producer::{
    BoxError, Choice, ErrorKind, KafkaProducer, Partitioner, ProducerConfigBuilder, ProducerRecord,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;

type Producer = KafkaProducer<str, [u8]>;

fn open(config: ProducerConfigBuilder) -> Producer {
    KafkaProducer::open(config.build().expect("a valid configuration")).expect("a producer")
}

fn place(producer: &Producer, record: ProducerRecord<'_, str, [u8]>) -> i32 {
    producer.send(record).unwrap().get().unwrap().partition()
}

/// Hashes that librdkafka's own tests expect of "hejsan".
#[test]
fn each_name_of_the_configuration_places_keys_as_it_says() {
    let cluster = MockCluster::builder().topic("t", 7).start().unwrap();
    let java = to_positive(murmur2(b"hejsan"));
    assert_eq!(java, 0x5ec1_9395);
    let cases = [
        ("default", Some(0x5ec1_9395_u32)),
        ("org.apache.kafka.clients.producer.internals.DefaultPartitioner", Some(0x5ec1_9395)),
        ("consistent", Some(0xd077_037e)),
        ("consistent_random", Some(0xd077_037e)),
        ("murmur2", Some(0x5ec1_9395)),
        ("murmur2_random", Some(0x5ec1_9395)),
        ("fnv1a", Some(0x17b1_e27a)),
        ("fnv1a_random", Some(0x17b1_e27a)),
        ("org.apache.kafka.clients.producer.RoundRobinPartitioner", None),
        ("org.apache.kafka.clients.producer.UniformStickyPartitioner", None),
    ];
    for (name, hash) in cases {
        let producer = open(config(&cluster).set("partitioner.class", name).set("batch.size", "1"));
        let places: Vec<i32> =
            (0..7).map(|_| place(&producer, ProducerRecord::new("t", b"v").key("hejsan"))).collect();
        match hash {
            Some(hash) => assert_eq!(places, [(hash % 7) as i32; 7], "{name}"),
            None => assert!(places.iter().any(|p| *p != places[0]), "{name} ignores keys: {places:?}"),
        }
        assert_eq!(place(&producer, ProducerRecord::new("t", b"v").key("hejsan").partition(3)), 3, "{name}");
        producer.close().unwrap();
    }
    let producer = open(config(&cluster).partitioner(PartitionerName::Consistent));
    assert_eq!(place(&producer, ProducerRecord::new("t", b"v")), 0, "without a key all go to one partition");
    producer.close().unwrap();
}

#[test]
fn round_robin_is_even_within_one_record_whatever_the_batches() {
    let cluster = MockCluster::builder().brokers(3).topic("t", 6).start().unwrap();
    // Batches of few records: Java's would skip a partition for each.
    let producer = open(config(&cluster).partitioner(PartitionerName::RoundRobin).batch_size(200));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let producer = &producer;
            scope.spawn(move || {
                for n in 0..250 + i32::from(thread == 0) {
                    let key = format!("{n}");
                    producer.send(ProducerRecord::new("t", &[7; 40]).key(&key)).unwrap().detach();
                }
            });
        }
    });
    producer.close().unwrap();
    let counts: Vec<usize> = (0..6).map(|p| cluster.records("t", p).len()).collect();
    assert_eq!(counts.iter().sum::<usize>(), 1001);
    assert!(counts.iter().all(|n| (166..=167).contains(n)), "{counts:?}");
}

#[test]
fn round_robin_passes_over_partitions_without_a_leader() {
    let cluster = MockCluster::builder().topic("t", 4).start().unwrap();
    cluster.remove_leader("t", 2).unwrap();
    let producer = open(config(&cluster).partitioner(PartitionerName::RoundRobin));
    let mut places: Vec<i32> = (0..30).map(|_| place(&producer, ProducerRecord::new("t", b"v"))).collect();
    places.sort_unstable();
    let count = |p| places.iter().filter(|q| **q == p).count();
    assert_eq!([count(0), count(1), count(2), count(3)], [10, 10, 0, 10]);
    producer.close().unwrap();
}

/// Bytes of values per partition after records of many sizes, `turns` batches or so.
fn bytes_per_partition(name: PartitionerName, key: Option<&str>, turns: usize) -> Vec<usize> {
    const BATCH: usize = 500;
    let cluster = MockCluster::builder().brokers(3).topic("t", 6).start().unwrap();
    // Adaptive choices follow how fast brokers answer, and threads of one busy machine are not equal brokers; with equal
    // queues they are tested beside the choice itself.
    let steady = config(&cluster).partitioner_adaptive_partitioning_enable(false);
    let producer = open(steady.partitioner(name).batch_size(BATCH).linger(Duration::from_millis(5)));
    let payload = [0; 150];
    for n in 0..turns * BATCH / 85 {
        let mut record = ProducerRecord::new("t", &payload[..20 + (n * 37) % 130]);
        if let Some(key) = key {
            record = record.key(key);
        }
        producer.send(record).unwrap().detach();
    }
    producer.close().unwrap();
    let bytes = |p| cluster.records("t", p).iter().map(|r| r.value.as_ref().map_or(0, Vec::len)).sum();
    (0..6).map(bytes).collect()
}

#[track_caller]
fn assert_even(bytes: &[usize]) {
    let mean = bytes.iter().sum::<usize>() / bytes.len();
    assert!(bytes.iter().all(|b| b.abs_diff(mean) * 10 <= mean), "{bytes:?} are not within 10 % of {mean}");
}

#[test]
fn sticky_choices_are_even_by_bytes_on_equal_brokers() {
    assert_even(&bytes_per_partition(PartitionerName::Default, None, 600));
    assert_even(&bytes_per_partition(PartitionerName::ConsistentRandom, Some(""), 600));
    assert_even(&bytes_per_partition(PartitionerName::UniformSticky, None, 600));
    assert_even(&bytes_per_partition(PartitionerName::UniformSticky, Some("ignored"), 600));
}

#[test]
fn uniform_sticky_stays_until_a_batch_is_full() {
    let cluster = MockCluster::builder().topic("t", 4).start().unwrap();
    let producer = open(config(&cluster).partitioner(PartitionerName::UniformSticky).batch_size(1000));
    let places: Vec<i32> = (0..200).map(|_| place(&producer, ProducerRecord::new("t", &[0; 90]))).collect();
    producer.close().unwrap();
    // Each was sent alone, so batches ended early; what counts are the bytes: at least one batch, and fewer than two and
    // a record, since the move waits for a batch that is not full.
    let runs: Vec<usize> = places.chunk_by(|a, b| a == b).map(<[i32]>::len).collect();
    assert!(runs.len() >= 8, "{places:?}");
    assert!(runs[..runs.len() - 1].iter().all(|n| (9..=22).contains(n)), "{runs:?}");
}

#[test]
fn keys_are_ignored_if_the_configuration_says_so() {
    let cluster = MockCluster::builder().topic("t", 4).start().unwrap();
    let producer = open(config(&cluster).partitioner_ignore_keys(true).batch_size(1));
    let places: Vec<i32> =
        (0..20).map(|_| place(&producer, ProducerRecord::new("t", b"v").key("k"))).collect();
    assert!(places.iter().any(|p| *p != places[0]), "{places:?}");
    producer.close().unwrap();
}

/// Notes what it saw of the last record.
struct Curious(Arc<Mutex<String>>);

impl Partitioner for Curious {
    fn partition(&self, record: &KeyedRecord<'_>, topic: &TopicView<'_>) -> Result<Choice, BoxError> {
        let headers: Vec<&str> = record.headers.iter().map(|(name, _)| name).collect();
        let leaders: Vec<_> = topic.partitions().iter().map(|p| p.leader).collect();
        let first = &topic.partitions()[0];
        *self.0.lock().unwrap() = format!(
            "{} {:?} {:?} {headers:?} {leaders:?} {} {} {}",
            record.topic,
            record.key,
            record.value,
            first.replicas.len(),
            first.in_sync_replicas.len(),
            topic.available().count(),
        );
        Ok(Choice::Exact(2))
    }
}

#[test]
fn a_partitioner_of_ones_own_sees_everything_and_is_preferred_to_a_name() {
    let cluster = MockCluster::builder().brokers(3).topic("t", 3).start().unwrap();
    let leaders: Vec<_> = (0..3).map(|p| cluster.leader("t", p)).collect();
    let seen = Arc::new(Mutex::new(String::new()));
    let config = config(&cluster).partitioner(PartitionerName::RoundRobin).build().unwrap();
    let producer: Producer =
        KafkaProducer::builder(config, kafka_producer::StringSerializer, kafka_producer::BytesSerializer)
            .partitioner(Curious(seen.clone()))
            .build()
            .unwrap();
    assert_eq!(place(&producer, ProducerRecord::new("t", b"\x02").key("\x01").header("h", b"1")), 2);
    assert_eq!(*seen.lock().unwrap(), format!("t Some([1]) Some([2]) [\"h\"] {leaders:?} 3 3 3"));
    producer.close().unwrap();
}

struct Region(i32);

#[test]
fn a_typed_partitioner_sees_key_and_value_before_serialization() {
    struct ByRegion;
    impl TypedPartitioner<i64, Region> for ByRegion {
        fn choose(
            &self,
            record: &TypedRecord<'_, i64, Region>,
            topic: &TopicView<'_>,
        ) -> Result<Choice, BoxError> {
            assert_eq!(record.serialized.key.map(<[u8]>::len), record.key.map(|_| 8));
            let region = record.value.ok_or("a record without a region")?;
            Ok(Choice::Exact(region.0 % topic.partition_count()))
        }
    }
    let cluster = MockCluster::builder().topic("t", 5).start().unwrap();
    let nothing = |_: &Region, _: &mut Vec<u8>| Ok(());
    let build =
        || KafkaProducer::builder(config(&cluster).build().unwrap(), kafka_producer::LongSerializer, nothing);
    let producer = build().partitioner(ByRegion).build().unwrap();
    let record = ProducerRecord::new("t", &Region(13)).key(&1);
    assert_eq!(producer.send(record).unwrap().get().unwrap().partition(), 3);
    let error = producer.send(ProducerRecord::to("t").key(&1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Partitioning);
    assert!(error.to_string().ends_with(": a record without a region"), "{error}");
    producer.close().unwrap();

    let by_key = typed_fn(|record: &TypedRecord<'_, i64, Region>, _: &TopicView<'_>| {
        record.key.map_or(Choice::Sticky, |key| Choice::Exact(*key as i32))
    });
    let producer = build().partitioner(by_key).build().unwrap();
    let record = ProducerRecord::new("t", &Region(13)).key(&4);
    assert_eq!(producer.send(record).unwrap().get().unwrap().partition(), 4);
    producer.close().unwrap();
}

#[test]
fn a_choice_that_does_not_exist_fails_the_send_and_names_it() {
    let cluster = MockCluster::builder().topic("t", 5).start().unwrap();
    for wrong in [5, -1, i32::MAX] {
        let build = config(&cluster).build().unwrap();
        let producer: Producer =
            KafkaProducer::builder(build, kafka_producer::StringSerializer, kafka_producer::BytesSerializer)
                .partitioner(from_fn(move |_, _| Choice::Exact(wrong)))
                .build()
                .unwrap();
        let error = producer.send(ProducerRecord::new("t", b"v")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Partitioning);
        assert!(error.to_string().contains(&wrong.to_string()), "{error}");
        producer.close().unwrap();
    }
}

#[test]
fn built_in_partitioners_can_be_given_as_objects() {
    let cluster = MockCluster::builder().topic("t", 3).start().unwrap();
    let producer: Producer = KafkaProducer::builder(
        config(&cluster).build().unwrap(),
        kafka_producer::StringSerializer,
        kafka_producer::BytesSerializer,
    )
    .partitioner(RoundRobin::new())
    .build()
    .unwrap();
    let places: Vec<i32> =
        (0..6).map(|_| place(&producer, ProducerRecord::new("t", b"v").key("k"))).collect();
    assert_eq!(places, [0, 1, 2, 0, 1, 2]);
    producer.close().unwrap();
}

#[test]
fn brokers_that_take_nothing_are_passed_over_and_come_back() {
    let cluster = MockCluster::builder().brokers(2).topic("t", 2).start().unwrap();
    cluster.set_leader("t", 0, 1).unwrap();
    cluster.set_leader("t", 1, 2).unwrap();
    let producer = open(
        config(&cluster)
            .batch_size(1)
            .max_in_flight_requests_per_connection(1)
            .partitioner_adaptive_partitioning_enable(false)
            .partitioner_availability_timeout(Duration::from_millis(5)),
    );
    // A partition's first batch is alone in flight; those behind it wait for the partition, not for the broker.
    for partition in [0, 1] {
        place(&producer, ProducerRecord::new("t", b"v").partition(partition));
    }
    cluster.pause_broker(2).unwrap();
    let mut in_a_row = 0;
    let mut stuck = Vec::new();
    // Every second record would go to the broker that stands still.
    while in_a_row < 40 {
        assert!(stuck.len() < 500, "it is still chosen");
        let handle = producer.send(ProducerRecord::new("t", b"v")).unwrap();
        match handle.get_timeout(Duration::from_millis(50)) {
            Some(result) => {
                result.unwrap();
                in_a_row += 1;
            }
            None => {
                stuck.push(handle);
                in_a_row = 0;
            }
        }
    }
    assert!(stuck.len() >= 2, "one in flight and one that had no room");
    cluster.resume_broker(2).unwrap();
    stuck.iter().for_each(|handle| assert!(handle.get().is_ok()));
    let back = (0..10_000).any(|_| place(&producer, ProducerRecord::new("t", b"v")) == 1);
    assert!(back, "it is not chosen again");
    producer.close().unwrap();
}
