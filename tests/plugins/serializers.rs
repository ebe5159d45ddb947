//! `open(config)` writes Java's bytes for Java's types, and refuses a configuration that says otherwise.

use crate::support::{config, only_record};
use kafka_producer::mock::MockCluster;
use kafka_producer::serializer::{Context, DefaultSerializer, Role, serializer};
use kafka_producer::{
    BoxError, BytesSerializer, ErrorKind, KafkaProducer, LongSerializer, ProducerRecord, Serializer,
    StringSerializer, VoidSerializer,
};
use std::borrow::Borrow;

/// What one record with this key and value looks like in the log.
fn written<K, V>(key: &K, value: &V) -> (Option<Vec<u8>>, Option<Vec<u8>>)
where
    K: DefaultSerializer + Borrow<K> + ?Sized + 'static,
    V: DefaultSerializer + Borrow<V> + ?Sized + 'static,
{
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    let producer = KafkaProducer::<K, V>::open(config(&cluster).build().unwrap()).unwrap();
    let metadata = producer.send(ProducerRecord::new("t", value).key(key)).unwrap().get().unwrap();
    producer.close().unwrap();
    let record = only_record(&cluster, "t");
    assert_eq!(metadata.serialized_key_size(), record.key.as_ref().map(Vec::len));
    assert_eq!(metadata.serialized_value_size(), record.value.as_ref().map(Vec::len));
    (record.key, record.value)
}

fn some(bytes: &[u8]) -> Option<Vec<u8>> {
    Some(bytes.to_vec())
}

#[test]
fn open_picks_the_serializers_of_java() {
    assert_eq!(written("k", "v"), (some(b"k"), some(b"v")));
    assert_eq!(written(&String::from("k"), &vec![1u8, 2]), (some(b"k"), some(&[1, 2])));
    assert_eq!(written(&[7u8][..], ""), (some(&[7]), some(b"")));
    assert_eq!(written(&-2i16, &1i32), (some(&[0xff, 0xfe]), some(&[0, 0, 0, 1])));
    assert_eq!(written(&1i64, &1.5f32), (some(&[0, 0, 0, 0, 0, 0, 0, 1]), some(&[0x3f, 0xc0, 0, 0])));
    assert_eq!(written(&true, &1.0f64), (some(&[1]), some(&[0x3f, 0xf0, 0, 0, 0, 0, 0, 0])));
    assert_eq!(written(&(), "v"), (None, some(b"v")));
    assert_eq!(written("k", &()), (some(b"k"), None));
}

#[cfg(feature = "uuid")]
#[test]
fn open_writes_a_uuid_as_text() {
    let id = uuid::Uuid::from_u128(1);
    assert_eq!(written(&id, "v").0, some(b"00000000-0000-0000-0000-000000000001"));
}

#[cfg(feature = "json")]
#[test]
fn json_of_a_struct() {
    #[derive(serde::Serialize)]
    struct Order<'a> {
        id: u64,
        items: &'a [&'a str],
    }
    impl DefaultSerializer for Order<'static> {
        type Serializer = kafka_producer::JsonSerializer;
    }
    let order = Order { id: 7, items: &["tea", "milk"] };
    assert_eq!(written("k", &order).1, some(br#"{"id":7,"items":["tea","milk"]}"#));
}

#[test]
fn a_unit_is_null_whether_it_was_set_or_left_out() {
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    let producer =
        KafkaProducer::<(), ()>::new(config(&cluster).build().unwrap(), VoidSerializer, VoidSerializer)
            .unwrap();
    producer.send(ProducerRecord::to("t")).unwrap().get().unwrap();
    producer.send(ProducerRecord::new("t", &()).key(&())).unwrap().get().unwrap();
    producer.close().unwrap();
    let records = cluster.records("t", 0);
    assert_eq!(records.len(), 2);
    assert!(records.iter().all(|r| r.key.is_none() && r.value.is_none()));
}

#[test]
fn names_in_the_configuration_must_fit_the_types() {
    let cluster = MockCluster::start(1).unwrap();
    let java = "org.apache.kafka.common.serialization.";
    let fitting = config(&cluster)
        .set("key.serializer", format!("{java}LongSerializer"))
        .set("value.serializer", format!("{java}ByteArraySerializer"));
    KafkaProducer::<i64, [u8]>::open(fitting.clone().build().unwrap()).unwrap().close().unwrap();

    let error = KafkaProducer::<str, [u8]>::open(fitting.clone().build().unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    let text = error.to_string();
    assert!(text.starts_with("key.serializer: ") && text.contains("LongSerializer writes i64"), "{text}");
    let error = KafkaProducer::<i64, str>::open(fitting.clone().build().unwrap()).unwrap_err();
    assert!(error.to_string().starts_with("value.serializer: "), "{error}");

    // Objects: text is bytes, but a number is not text.
    let build = || fitting.clone().build().unwrap();
    KafkaProducer::<i64, str>::new(build(), LongSerializer, StringSerializer).unwrap().close().unwrap();
    let error = KafkaProducer::<str, str>::new(build(), StringSerializer, StringSerializer).unwrap_err();
    assert!(error.to_string().starts_with("key.serializer: "), "{error}");
    struct Own(i64);
    let own = serializer(|own: &Own, out: &mut Vec<u8>| {
        out.extend(own.0.to_be_bytes());
        Ok(())
    });
    KafkaProducer::<Own, [u8]>::new(build(), own, BytesSerializer).unwrap().close().unwrap();
}

#[derive(Debug)]
struct Refused(u8);
impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "refused with {}", self.0)
    }
}
impl std::error::Error for Refused {}

/// Adds a header, makes "null" null, and refuses "bad".
struct Picky;
impl Serializer<str> for Picky {
    fn serialize<'a>(
        &self,
        cx: &mut Context<'_, '_>,
        value: &'a str,
        scratch: &'a mut Vec<u8>,
    ) -> Result<Option<&'a [u8]>, BoxError> {
        match value {
            "bad" => return Err(Refused(42).into()),
            "null" => return Ok(None),
            _ => {}
        }
        assert!(scratch.is_empty(), "the scratch buffer is cleared");
        let role = if cx.role == Role::Key { "key" } else { "value" };
        cx.headers.push(role, Some(cx.topic.to_owned().into_bytes().into()));
        scratch.extend(value.bytes().rev());
        Ok(Some(scratch))
    }
}

#[test]
fn a_serializer_sees_topic_role_and_headers_and_its_own_cause_comes_out() {
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    let producer = KafkaProducer::<str, str>::new(config(&cluster).build().unwrap(), Picky, Picky).unwrap();
    producer.send(ProducerRecord::new("t", "value").key("key").header("own", b"1")).unwrap().get().unwrap();

    for record in [ProducerRecord::new("t", "bad").key("k"), ProducerRecord::new("t", "v").key("bad")] {
        let what = if record.key_ref() == Some("bad") { "key" } else { "value" };
        let error = producer.send(record).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Serialization);
        assert!(error.to_string().contains(what), "{error}");
        let source = std::error::Error::source(&error).unwrap();
        assert_eq!(source.downcast_ref::<Refused>().unwrap().0, 42);
    }
    producer.send(ProducerRecord::new("t", "null").key("null")).unwrap().get().unwrap();
    producer.close().unwrap();

    let records = cluster.records("t", 0);
    assert_eq!(records.len(), 2, "what was refused left no trace");
    assert_eq!((&records[0].key, &records[0].value), (&some(b"yek"), &some(b"eulav")));
    let names: Vec<&str> = records[0].headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["own", "key", "value"]);
    assert_eq!(records[0].headers[1].1, some(b"t"));
    assert_eq!((&records[1].key, &records[1].value), (&None, &None));
}
