//! Records that can be told apart and built again from their number, and the check that a topic holds exactly those.

use crate::cluster::RealKafka;
use crate::reader::Record;
use crate::wait;
use kafka_producer::{BytesSerializer, DeliveryFuture, Error};
use kafka_producer::{Header, KafkaProducer, ProducerConfig, ProducerRecord, RecordMetadata};
use std::collections::HashMap;
use std::time::{Duration, SystemTime};

/// The producer under test, with bytes for keys and values.
pub(crate) type Producer = KafkaProducer<[u8], [u8]>;

/// A producer at `bootstrap`; the other settings by their Java names.
pub(crate) fn producer_at(bootstrap: &str, settings: &[(&str, &str)]) -> Producer {
    let all = [("bootstrap.servers", bootstrap)].into_iter().chain(settings.iter().copied());
    let config = ProducerConfig::from_properties(all).expect("settings that fit together");
    KafkaProducer::new(config, BytesSerializer, BytesSerializer)
        .expect("a producer starts while brokers are down")
}

/// A producer for all nodes of `kafka`.
pub(crate) fn producer(kafka: &RealKafka, settings: &[(&str, &str)]) -> Producer {
    producer_at(&kafka.bootstrap(), settings)
}

/// Where the producer said that a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) partition: i32,
    /// `None` with acks=0.
    pub(crate) offset: Option<i64>,
}

impl From<RecordMetadata> for Placed {
    fn from(metadata: RecordMetadata) -> Self {
        Self { partition: metadata.partition(), offset: metadata.offset() }
    }
}

/// What a topic must hold of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is there once, and where the producer said, if it was asked.
    There(Option<Placed>),
    /// It may be there, once: its error said so.
    Perhaps,
    /// It was not sent, or the producer said that it was not written.
    Absent,
}

impl From<Option<Placed>> for Fate {
    fn from(said: Option<Placed>) -> Self {
        Self::There(said)
    }
}

/// The record of a number, about 100 bytes: with and without key, headers, timestamp and partition, with null and empty
/// values now and then.
#[derive(Debug)]
pub(crate) struct Sample {
    number: u64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(&'static str, Option<Vec<u8>>)>,
    timestamp: Option<u64>,
    partition: Option<i32>,
}

impl Sample {
    /// Record `number` for a topic of `partitions` partitions.
    pub(crate) fn new(number: u64, partitions: i32) -> Self {
        let key = match number % 6 {
            0..=2 => None,
            _ if number % 1001 == 0 => Some(Vec::new()),
            _ => Some(format!("key-{}", number % 5000).into_bytes()),
        };
        let value = match number % 997 {
            5 => None,
            6 => Some(Vec::new()),
            _ => Some(payload(number)),
        };
        // The number travels in the value; where that is null or empty, and in each tenth record, in a header.
        let tagged = number % 10 == 0 || matches!(number % 997, 5 | 6);
        let headers = if tagged {
            vec![
                ("n", Some(number.to_be_bytes().to_vec())),
                ("null", None),
                ("twice", Some(vec![])),
                ("twice", None),
            ]
        } else {
            Vec::new()
        };
        let timestamp = (number % 4 == 1).then_some(1_600_000_000_000 + number);
        let partition =
            (number % 50 == 7).then_some((number / 50 % u64::from(partitions.unsigned_abs())) as i32);
        Self { number, key, value, headers, timestamp, partition }
    }

    /// The record as the producer takes it, for as long as `with` runs.
    pub(crate) fn lend<R>(&self, topic: &str, with: impl FnOnce(ProducerRecord<'_, [u8], [u8]>) -> R) -> R {
        let headers: Vec<Header<'_>> =
            self.headers.iter().map(|(name, value)| Header { name, value: value.as_deref() }).collect();
        let mut record = ProducerRecord::to(topic).headers(&headers);
        if let Some(key) = &self.key {
            record = record.key(key.as_slice());
        }
        if let Some(value) = &self.value {
            record = record.value(value.as_slice());
        }
        if let Some(partition) = self.partition {
            record = record.partition(partition);
        }
        if let Some(millis) = self.timestamp {
            record = record.timestamp(SystemTime::UNIX_EPOCH + Duration::from_millis(millis));
        }
        with(record)
    }

    /// Hands the record over.
    pub(crate) fn send(&self, producer: &Producer, topic: &str) -> Result<DeliveryFuture, Error> {
        self.lend(topic, |record| producer.send(record))
    }

    fn assert_is(&self, read: &Record, sent_since: i64) {
        assert_eq!(read.key, self.key, "key of record {} as {read:?}", self.number);
        assert_eq!(read.value, self.value, "value of record {} as {read:?}", self.number);
        let headers: Vec<_> = self.headers.iter().map(|(name, v)| ((*name).to_owned(), v.clone())).collect();
        assert_eq!(read.headers, headers, "headers of record {} as {read:?}", self.number);
        if let Some(millis) = self.timestamp {
            assert_eq!(read.timestamp, i64::try_from(millis).expect("small"), "timestamp of {read:?}");
        } else {
            // The clock of records may be a coarse one.
            let window = sent_since - 1000..=wait::wall_millis() + 1000;
            assert!(window.contains(&read.timestamp), "{read:?} not within {window:?}");
        }
        if let Some(partition) = self.partition {
            assert_eq!(read.partition, partition, "partition of {read:?}");
        }
    }
}

/// The number, then bytes that compress to about a half.
fn payload(number: u64) -> Vec<u8> {
    let mut value = number.to_be_bytes().to_vec();
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    while value.len() < 100 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        value.extend(state.to_le_bytes().map(|byte| b'a' + (byte & 0x0f)));
    }
    value.truncate(100);
    value
}

fn number_of(record: &Record) -> u64 {
    let tag = record.headers.iter().find(|(name, _)| name == "n").and_then(|(_, value)| value.as_deref());
    let bytes = tag.or(record.value.as_deref()).and_then(|b| b.first_chunk()).expect("a numbered record");
    u64::from_be_bytes(*bytes)
}

/// Sends records `0..threads * per_thread`, each thread a range of its own in order, and waits for every outcome.
pub(crate) fn send_numbered(
    producer: &Producer,
    topic: &str,
    partitions: i32,
    threads: u64,
    per_thread: u64,
) -> Vec<Option<Placed>> {
    let send_range = |thread: u64| -> Vec<Option<Placed>> {
        let numbers = thread * per_thread..(thread + 1) * per_thread;
        let handles: Vec<DeliveryFuture> =
            numbers.map(|n| Sample::new(n, partitions).send(producer, topic).expect("it enters")).collect();
        handles.iter().map(|handle| Some(handle.get().expect("it is delivered").into())).collect()
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(move || send_range(thread))).collect();
        running.into_iter().flat_map(|thread| thread.join().expect("the thread sends")).collect()
    })
}

/// What a topic must hold.
#[derive(Debug)]
pub(crate) struct Expected<'a, F = Option<Placed>> {
    pub(crate) topic: &'a str,
    pub(crate) partitions: i32,
    /// Numbers of one thread: `[k * per_thread, (k + 1) * per_thread)`. Their order must hold in each partition.
    pub(crate) per_thread: u64,
    /// By number.
    pub(crate) outcomes: &'a [F],
    /// The wall clock before the first record was sent.
    pub(crate) since: i64,
}

impl<F: Copy + Into<Fate>> Expected<'_, F> {
    /// Reads the topic with Java's consumer and checks that each record is there once, byte for byte, at the place that
    /// the producer named, in the order in which its thread sent it, and nothing else.
    pub(crate) fn verify(&self, kafka: &RealKafka) {
        let wanted = |fate: &F| matches!((*fate).into(), Fate::There(_));
        let count = self.outcomes.iter().filter(|fate| wanted(fate)).count();
        // Without acknowledgements the last records may still be on their way. If they never come, the check below says which.
        let _ = wait::within(Duration::from_secs(60), || {
            let total: u64 = kafka.offsets(self.topic).iter().map(|(_, end)| end).sum();
            (total >= count as u64).then_some(())
        });
        let mut seen = vec![false; self.outcomes.len()];
        let mut last: HashMap<(i32, u64), u64> = HashMap::new();
        kafka.read(self.topic, |record| {
            let number = number_of(&record);
            Sample::new(number, self.partitions).assert_is(&record, self.since);
            let seen = seen.get_mut(number as usize).expect("a number that was sent");
            assert!(!std::mem::replace(seen, true), "twice: {record:?}");
            let before = last.insert((record.partition, number / self.per_thread), number);
            assert!(
                before.is_none_or(|before| before < number),
                "out of order: {record:?} behind {before:?}"
            );
            let fate: Fate = self.outcomes[number as usize].into();
            assert_ne!(fate, Fate::Absent, "there, against the producer's word: {record:?}");
            if let Fate::There(Some(said)) = fate {
                assert_eq!(said.partition, record.partition, "{record:?}");
                assert!(said.offset.is_none_or(|offset| offset == record.offset), "{said:?}, but {record:?}");
            }
        });
        let missing = |n: &usize| wanted(&self.outcomes[*n]) && !seen[*n];
        let lost: Vec<usize> = (0..seen.len()).filter(missing).take(10).collect();
        assert!(lost.is_empty(), "lost, among others: {lost:?}");
    }
}

/// Runs each test on one node of every release, which the tests of the process share.
macro_rules! on_each_release {
    ($($test:ident),+ $(,)?) => {
        mod on_4_3 {
            $(#[test] #[ignore = "needs Java and Maven: see README"] fn $test() {
                super::$test(crate::cluster::RealKafka::shared(crate::java::Version::V4_3));
            })+
        }
        mod on_3_9 {
            $(#[test] #[ignore = "needs Java and Maven: see README"] fn $test() {
                super::$test(crate::cluster::RealKafka::shared(crate::java::Version::V3_9));
            })+
        }
    };
}
pub(crate) use on_each_release;
