//! The shapes in which programs hold a producer and its data: what compiles, and works.

use crate::support::{config, open};
use kafka_producer::mock::MockCluster;
use kafka_producer::serializer::serializer;
use kafka_producer::{BytesSerializer, Error, KafkaProducer, Producer, ProducerRecord, StringSerializer};
use std::sync::Arc;

fn generic(producer: impl Producer<str, [u8]>) -> Result<i64, Error> {
    let metadata = producer.send(ProducerRecord::new("t", b"generic").key("k"))?.get()?;
    producer.send_with(ProducerRecord::new("t", b"callback"), |_| {})?;
    producer.send_all([ProducerRecord::new("t", b"all")])?.get()?;
    producer.flush()?;
    Ok(metadata.offset().unwrap_or(-1))
}

fn by_reference(producer: &dyn Producer<str, [u8]>) -> Result<i64, Error> {
    generic(producer)
}

#[test]
fn every_pointer_to_a_producer_is_one() {
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    let producer = open(config(&cluster));
    assert_eq!(generic(&producer).unwrap(), 0);
    assert_eq!(by_reference(&producer).unwrap(), 3);
    let shared: Arc<dyn Producer<str, [u8]>> = Arc::new(producer);
    assert_eq!(generic(shared.clone()).unwrap(), 6);
    assert_eq!(generic(&shared).unwrap(), 9);
    let thread = std::thread::Builder::new().spawn({
        let shared = shared.clone();
        move || generic(&*shared)
    });
    assert_eq!(thread.unwrap().join().unwrap().unwrap(), 12);
    let boxed: Box<dyn Producer<str, [u8]>> = Box::new(open(config(&cluster)));
    assert_eq!(generic(&boxed).unwrap(), 15);
    assert_eq!(boxed.partitions_for("t").unwrap().len(), 1);
    assert_eq!(boxed.metrics().records_acknowledged, 3);
    boxed.try_send(ProducerRecord::new("t", b"x")).unwrap().get().unwrap();
    boxed.flush_timeout(std::time::Duration::from_secs(5)).unwrap();
    boxed.close_timeout(std::time::Duration::from_secs(5)).unwrap();
    shared.close().unwrap();
    assert_eq!(cluster.record_count("t"), 19);
}

#[test]
fn owned_keys_and_values() {
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    let config = || config(&cluster).build().unwrap();
    let owned = KafkaProducer::<String, Vec<u8>>::new(config(), StringSerializer, BytesSerializer).unwrap();
    let (key, value) = ("k".to_owned(), vec![1, 2]);
    owned.send(ProducerRecord::new("t", &value).key(&key)).unwrap().get().unwrap();
    // Borrowed forms take owned data too.
    let borrowed = KafkaProducer::<str, [u8]>::new(config(), StringSerializer, BytesSerializer).unwrap();
    borrowed.send(ProducerRecord::new(&key, &value).key(&key)).unwrap().get().unwrap();
    borrowed.send(ProducerRecord::new("t", &[1, 2]).key("k")).unwrap().get().unwrap();
    let record = ProducerRecord::new("t", &value).key(&key).header("h", b"v");
    let kept: ProducerRecord<'static, str, [u8]> = record.into_owned();
    drop((key, value));
    borrowed.send(kept.clone()).unwrap().get().unwrap();
    borrowed.send(kept).unwrap().get().unwrap();
    let stored = cluster.records("t", 0);
    assert_eq!(stored.len(), 4);
    assert!(stored.iter().all(|r| r.key.as_deref() == Some(b"k") && r.value.as_deref() == Some(&[1, 2])));
    assert_eq!(stored[3].headers, [("h".to_owned(), Some(b"v".to_vec()))]);
}

struct Order {
    id: u64,
    item: &'static str,
}

#[test]
fn closures_serialize_types_of_the_program() {
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    let id = serializer(|id: &u64, out: &mut Vec<u8>| {
        out.extend_from_slice(&id.to_be_bytes());
        Ok(())
    });
    let prefix = String::from("order ");
    let text = move |order: &Order, out: &mut Vec<u8>| -> Result<(), kafka_producer::BoxError> {
        out.extend_from_slice(prefix.as_bytes());
        out.extend_from_slice(order.item.as_bytes());
        Ok(())
    };
    let producer = KafkaProducer::<u64, Order>::new(config(&cluster).build().unwrap(), id, text).unwrap();
    for order in [Order { id: 7, item: "a hat" }, Order { id: 8, item: "" }] {
        producer.send(ProducerRecord::new("t", &order).key(&order.id)).unwrap().get().unwrap();
    }
    let stored = cluster.records("t", 0);
    assert_eq!(stored[0].key.as_deref(), Some(&7u64.to_be_bytes()[..]));
    assert_eq!(stored[0].value.as_deref(), Some(&b"order a hat"[..]));
    assert_eq!(stored[1].value.as_deref(), Some(&b"order "[..]), "the scratch buffer was cleared");
}

/// A serializer that sends while it serializes: the thread's buffers are its caller's.
#[test]
fn a_serializer_may_send() {
    let cluster = MockCluster::builder().topic("t", 1).topic("audit", 1).start().unwrap();
    let audit = Arc::new(open(config(&cluster)));
    let inner = audit.clone();
    let value = move |v: &str, out: &mut Vec<u8>| -> Result<(), kafka_producer::BoxError> {
        out.extend_from_slice(b"before ");
        inner.send(ProducerRecord::new("audit", v.as_bytes()).key("k"))?.get()?;
        out.extend_from_slice(v.as_bytes());
        Ok(())
    };
    let key = |k: &str, out: &mut Vec<u8>| -> Result<(), kafka_producer::BoxError> {
        out.extend_from_slice(k.as_bytes());
        Ok(())
    };
    let producer = KafkaProducer::<str, str>::new(config(&cluster).build().unwrap(), key, value).unwrap();
    producer.send(ProducerRecord::new("t", "v").key("key")).unwrap().get().unwrap();
    let stored = &cluster.records("t", 0)[0];
    assert_eq!(stored.key.as_deref(), Some(&b"key"[..]));
    assert_eq!(stored.value.as_deref(), Some(&b"before v"[..]));
    assert_eq!(cluster.records("audit", 0)[0].value.as_deref(), Some(&b"v"[..]));
}

#[test]
fn debug_prints_do_not_leak_or_panic() {
    let cluster = MockCluster::start(1).unwrap();
    let producer = open(config(&cluster));
    let handle = producer.send(ProducerRecord::new("t", b"x")).unwrap();
    let text = format!("{producer:?} {handle:?} {:?}", producer.send_all([]).unwrap());
    assert!(text.contains("KafkaProducer") && text.contains("DeliveryFuture"));
    handle.get().unwrap();
}
