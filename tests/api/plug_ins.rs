//! Interceptors: what they change, what they see, in which order, and that their panics cost nothing.

use crate::support::{PATIENCE, Producer, config, eventually, keep_log, logged, meet, ms};
use kafka_producer::mock::{Fault, MockCluster};
use kafka_producer::protocol::{ApiKey, ErrorCode};
use kafka_producer::serializer::Context;
use kafka_producer::{
    BoxError, BytesSerializer, Choice, ErrorKind, Interceptor, KafkaProducer, Outcome, Partitioner,
    ProducerConfigBuilder, ProducerRecord, Serializer, StringSerializer, partitioner,
};
use std::sync::{Arc, Mutex};

type Journal = Arc<Mutex<Vec<String>>>;

/// Adds its name to the value and notes everything.
struct Scribe(&'static str, Journal);

impl Scribe {
    fn note(&self, text: String) {
        self.1.lock().unwrap().push(text);
    }
}

impl Interceptor<str, [u8]> for Scribe {
    fn on_send(&self, record: &mut ProducerRecord<'_, str, [u8]>) {
        let mut value = record.value_ref().unwrap_or_default().to_vec();
        value.extend_from_slice(self.0.as_bytes());
        record.set_value(Some(value.into()));
        record.headers_mut().push("seen-by", Some(self.0.as_bytes().to_vec().into()));
        self.note(format!("{} sends to {}", self.0, record.topic()));
    }

    fn on_acknowledgement(&self, outcome: &Outcome<'_>) {
        let result = match outcome.result {
            Ok(metadata) => metadata.to_string(),
            Err(error) => format!("{:?}", error.kind()),
        };
        self.note(format!("{} hears of {} {:?}: {result}", self.0, outcome.topic, outcome.partition));
    }

    fn close(&self) {
        self.note(format!("{} closes", self.0));
    }
}

/// Changes the record, then panics.
struct Clumsy;

impl Interceptor<str, [u8]> for Clumsy {
    fn on_send(&self, record: &mut ProducerRecord<'_, str, [u8]>) {
        record.set_value(Some(b"changed"[..].into()));
        record.set_partition(Some(0));
        panic!("clumsy on_send");
    }
    fn on_acknowledgement(&self, _: &Outcome<'_>) {
        panic!("clumsy on_acknowledgement");
    }
    fn close(&self) {
        panic!("clumsy close");
    }
}

fn build(
    config: ProducerConfigBuilder,
    add: impl FnOnce(
        kafka_producer::KafkaProducerBuilder<str, [u8]>,
    ) -> kafka_producer::KafkaProducerBuilder<str, [u8]>,
) -> KafkaProducer<str, [u8]> {
    add(KafkaProducer::builder(config.build().unwrap(), StringSerializer, BytesSerializer)).build().unwrap()
}

#[test]
fn a_chain_runs_in_order_and_sees_every_outcome_once() {
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    let journal = Journal::default();
    let producer = build(config(&cluster).max_block(ms(100)), |b| {
        b.interceptor(Scribe("A", journal.clone())).interceptor(Scribe("B", journal.clone()))
    });
    meet(&producer, "t");
    let take = || std::mem::take(&mut *journal.lock().unwrap());

    producer.send(ProducerRecord::new("t", b"v")).unwrap().get().unwrap();
    producer.flush().unwrap();
    let expected =
        ["A sends to t", "B sends to t", "A hears of t Some(0): t-0@0", "B hears of t Some(0): t-0@0"];
    assert_eq!(take(), expected);
    let stored = &cluster.records("t", 0)[0];
    assert_eq!(stored.value.as_deref(), Some(&b"vAB"[..]));
    assert_eq!(stored.headers.len(), 2);

    // A refused record: at once, on this thread.
    assert!(producer.send(ProducerRecord::new("a b", b"v")).is_err());
    assert_eq!(take()[2..], ["A hears of a b None: InvalidTopic", "B hears of a b None: InvalidTopic"]);
    assert!(producer.send(ProducerRecord::new("t", b"v").partition(9)).is_err());
    assert_eq!(take()[2], "A hears of t Some(9): Partitioning");
    assert!(producer.try_send(ProducerRecord::new("u", b"v")).is_err());
    assert_eq!(take()[2], "A hears of u None: MetadataTimeout");

    // Refused once its key had chosen the partition.
    let huge = vec![0; 2 << 20];
    assert!(producer.send(ProducerRecord::new("t", &huge).key("k")).is_err());
    assert_eq!(take()[2], "A hears of t Some(0): RecordTooLarge");

    // A record that fails later, with nobody looking.
    cluster.inject(Fault::on(ApiKey::PRODUCE).error_before(ErrorCode::INVALID_RECORD).times(1));
    producer.send(ProducerRecord::new("t", b"v")).unwrap().detach();
    producer.flush().unwrap();
    assert_eq!(take()[2], "A hears of t Some(0): Broker");

    // A user's callback and the interceptors.
    let (tx, rx) = crossbeam_channel::bounded(1);
    producer
        .send_with(ProducerRecord::new("t", b"v"), move |r| tx.send(r.unwrap().offset()).unwrap())
        .unwrap();
    producer.flush().unwrap();
    assert_eq!((rx.try_recv().unwrap(), take().len()), (Some(1), 4));

    producer.close().unwrap();
    producer.close().unwrap();
    assert_eq!(take(), ["A closes", "B closes"]);
    assert_eq!(producer.send(ProducerRecord::new("t", b"v")).unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(take()[2], "A hears of t None: Closed");
}

#[test]
fn a_panic_keeps_the_changes_and_the_chain_goes_on() {
    keep_log();
    let cluster = MockCluster::builder().topic("t", 2).start().unwrap();
    let journal = Journal::default();
    let producer = build(config(&cluster), |b| {
        b.interceptor(Clumsy).interceptor(Scribe("B", journal.clone())).interceptor(Clumsy)
    });
    producer.send(ProducerRecord::new("t", b"v").partition(1)).unwrap().get().unwrap();
    assert!(producer.send(ProducerRecord::new("", b"v")).is_err());
    producer.close().unwrap();
    assert_eq!(cluster.records("t", 0)[0].value.as_deref(), Some(&b"changed"[..]));
    let expected = [
        "B sends to t",
        "B hears of t Some(0): t-0@0",
        "B sends to ",
        "B hears of  Some(0): InvalidTopic",
        "B closes",
    ];
    let mut notes = journal.lock().unwrap().clone();
    // The first acknowledgement comes from the callback thread.
    notes[1..4].sort();
    assert_eq!(notes.len(), expected.len());
    assert!(expected.iter().all(|e| notes.iter().any(|n| n == e)), "{notes:?}");
    for method in ["on_send", "on_acknowledgement", "close"] {
        assert!(logged(&["kafka_producer::interceptor", "panicked", &format!("clumsy {method}")]));
    }
}

/// Moves every record to another topic.
struct Mover;

impl Interceptor<str, [u8]> for Mover {
    fn on_send(&self, record: &mut ProducerRecord<'_, str, [u8]>) {
        record.set_topic("elsewhere");
        record.set_key(Some("k".into()));
        record.set_timestamp(Some(std::time::UNIX_EPOCH));
    }
}

#[test]
fn an_interceptor_may_change_everything() {
    let cluster = MockCluster::start(1).unwrap();
    let producer = build(config(&cluster), |b| b.interceptor(Mover));
    let metadata = producer.send(ProducerRecord::new("not legal!", b"v")).unwrap().get().unwrap();
    assert_eq!((metadata.topic(), metadata.timestamp_millis()), ("elsewhere", Some(0)));
    assert_eq!(metadata.serialized_key_size(), Some(1));
}

#[test]
fn interceptors_hear_of_what_a_panicking_serializer_refused() {
    let cluster = MockCluster::start(1).unwrap();
    let journal = Journal::default();
    let broken = |_: &[u8], _: &mut Vec<u8>| -> Result<(), BoxError> { panic!("broken") };
    let producer =
        KafkaProducer::<str, [u8]>::builder(config(&cluster).build().unwrap(), StringSerializer, broken)
            .interceptor(Scribe("A", journal.clone()))
            .build()
            .unwrap();
    assert_eq!(producer.send(ProducerRecord::new("t", b"v")).unwrap_err().kind(), ErrorKind::Serialization);
    assert_eq!(journal.lock().unwrap()[1], "A hears of t None: Serialization");
}

#[test]
fn interceptors_hear_of_records_that_expire_are_purged_or_given_up() {
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    let start = |timeout| {
        let journal = Journal::default();
        let config = config(&cluster).linger(ms(0)).request_timeout(timeout).delivery_timeout(timeout);
        let producer = build(config, |b| b.interceptor(Scribe("A", journal.clone())));
        meet(&producer, "t");
        (producer, journal)
    };
    let hears = |journal: &Journal, kind: &str| {
        let expected = format!("A hears of t Some(0): {kind}");
        eventually(|| journal.lock().unwrap().last() == Some(&expected));
    };
    let (brief, of_brief) = start(ms(200));
    let (long, of_long) = start(PATIENCE);
    cluster.pause_broker(1).unwrap();
    let send = |producer: &Producer| producer.send(ProducerRecord::new("t", b"v")).unwrap().detach();
    send(&brief);
    hears(&of_brief, "DeliveryTimeout");
    send(&long);
    long.purge().unwrap();
    hears(&of_long, "Purged");
    send(&long);
    assert!(long.close_timeout(ms(0)).is_err());
    let notes = of_long.lock().unwrap().clone();
    assert_eq!(notes[notes.len() - 2..], ["A hears of t Some(0): Closed", "A closes"]);
    cluster.resume_broker(1).unwrap();
}

/// Notes its close, and breaks in it.
struct Closer(&'static str, Journal);

impl Serializer<[u8]> for Closer {
    fn serialize<'a>(
        &self,
        cx: &mut Context<'_, '_>,
        v: &'a [u8],
        _: &'a mut Vec<u8>,
    ) -> Result<Option<&'a [u8]>, BoxError> {
        cx.headers.push("role", Some(format!("{:?} for {}", cx.role, cx.topic).into_bytes().into()));
        Ok(Some(v))
    }
    fn close(&self) {
        self.1.lock().unwrap().push(self.0.to_owned());
        panic!("closing {}", self.0);
    }
}

impl Partitioner for Closer {
    fn partition(
        &self,
        _: &partitioner::KeyedRecord<'_>,
        _: &partitioner::TopicView<'_>,
    ) -> Result<Choice, BoxError> {
        Ok(Choice::Sticky)
    }
    fn close(&self) {
        self.1.lock().unwrap().push(self.0.to_owned());
        panic!("closing {}", self.0);
    }
}

#[test]
fn plug_ins_are_closed_once_whatever_they_do() {
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    let journal = Journal::default();
    let part = |name| Closer(name, journal.clone());
    let producer =
        KafkaProducer::<[u8], [u8]>::builder(config(&cluster).build().unwrap(), part("key"), part("value"))
            .partitioner(part("partitioner"))
            .build()
            .unwrap();
    producer.send(ProducerRecord::new("t", b"v").key(b"k")).unwrap().get().unwrap();
    let headers = &cluster.records("t", 0)[0].headers;
    let values: Vec<_> = headers.iter().map(|(_, v)| String::from_utf8_lossy(v.as_ref().unwrap())).collect();
    assert_eq!(values, ["Key for t", "Value for t"], "serializers may add headers");
    producer.close().unwrap();
    producer.close().unwrap();
    drop(producer);
    assert_eq!(*journal.lock().unwrap(), ["key", "value", "partitioner"]);
    assert!(cluster.wait_until(PATIENCE, |c| c.open_connections(1) == 0));
}
