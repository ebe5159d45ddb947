use super::*;
use crate::config::{ProducerConfig, SerializerName};
use crate::error::ErrorKind;

fn bytes<T: ?Sized>(serializer: impl Serializer<T>, value: &T) -> Option<Vec<u8>> {
    let mut headers = Headers::empty();
    let mut cx = Context::new("t", &mut headers, Role::Value);
    serializer.serialize(&mut cx, value, &mut Vec::new()).unwrap().map(<[u8]>::to_vec)
}

/// The bytes that Java's serializers give for the same values.
#[test]
fn bytes_are_java_s() {
    assert_eq!(bytes(StringSerializer, "é€").unwrap(), [0xc3, 0xa9, 0xe2, 0x82, 0xac]);
    assert_eq!(bytes(StringSerializer, &String::from("a")).unwrap(), b"a");
    assert_eq!(bytes(StringSerializer, "").unwrap(), b"");
    assert_eq!(bytes(BytesSerializer, &[1u8, 2][..]).unwrap(), [1, 2]);
    assert_eq!(bytes(ShortSerializer, &-2).unwrap(), [0xff, 0xfe]);
    assert_eq!(bytes(IntegerSerializer, &0x0102_0304).unwrap(), [1, 2, 3, 4]);
    assert_eq!(bytes(IntegerSerializer, &i32::MIN).unwrap(), [0x80, 0, 0, 0]);
    assert_eq!(bytes(LongSerializer, &-1).unwrap(), [0xff; 8]);
    assert_eq!(bytes(FloatSerializer, &1.5).unwrap(), [0x3f, 0xc0, 0, 0]);
    assert_eq!(bytes(DoubleSerializer, &-2.0).unwrap(), [0xc0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bytes(DoubleSerializer, &f64::NAN).unwrap(), [0x7f, 0xf8, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bytes(BooleanSerializer, &true).unwrap(), [1]);
    assert_eq!(bytes(BooleanSerializer, &false).unwrap(), [0]);
    assert_eq!(bytes(VoidSerializer, &()), None);
}

#[cfg(feature = "uuid")]
#[test]
fn a_uuid_is_its_text() {
    let id = ::uuid::Uuid::from_u128(0x0123_4567_89AB_CDEF_0011_2233_4455_6677);
    assert_eq!(bytes(UuidSerializer, &id).unwrap(), b"01234567-89ab-cdef-0011-223344556677");
}

#[cfg(feature = "json")]
#[test]
fn json_takes_what_serde_takes() {
    assert_eq!(bytes(JsonSerializer, &vec![Some(1), None]).unwrap(), b"[1,null]");
    assert_eq!(bytes(JsonSerializer, "a\"b").unwrap(), b"\"a\\\"b\"");
    let wrong = std::collections::BTreeMap::from([(vec![1], 2)]);
    let mut headers = Headers::empty();
    let mut cx = Context::new("t", &mut headers, Role::Value);
    let cause = JsonSerializer.serialize(&mut cx, &wrong, &mut Vec::new()).unwrap_err();
    assert!(cause.is::<serde_json::Error>());
}

#[test]
fn closures_are_serializers() {
    let decimal = serializer(|n: &u32, out: &mut Vec<u8>| {
        out.extend(n.to_string().bytes());
        Ok(())
    });
    assert_eq!(bytes(decimal, &42).unwrap(), b"42");
}

fn named(key: &str, class: &str) -> ProducerConfig {
    ProducerConfig::builder(["localhost:9092"]).set(key, class).build().unwrap()
}

#[test]
fn a_name_must_be_that_of_the_type() {
    let config = named("key.serializer", "org.apache.kafka.common.serialization.LongSerializer");
    assert!(check_exactly::<i64>(&config, Role::Key).is_ok());
    assert!(check_exactly::<str>(&config, Role::Value).is_ok(), "only the key's is named");
    let error = check_exactly::<i32>(&config, Role::Key).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    let text = error.to_string();
    for part in ["key.serializer: ", "LongSerializer", "i64", "type i32", "IntegerSerializer"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    for class in ["ByteArraySerializer", "ByteBufferSerializer", "BytesSerializer"] {
        assert!(check_exactly::<[u8]>(&named("value.serializer", class), Role::Value).is_ok());
        assert!(check_exactly::<str>(&named("value.serializer", class), Role::Value).is_err());
    }
}

#[test]
fn with_objects_only_what_cannot_fit_is_refused() {
    struct Own;
    let bytes = named("value.serializer", "ByteArraySerializer");
    assert!(check_roughly::<str>(&bytes, Role::Value).is_ok());
    assert!(check_roughly::<Own>(&bytes, Role::Value).is_ok());
    assert!(check_roughly::<i64>(&bytes, Role::Value).is_err());
    assert!(check_roughly::<i64>(&named("value.serializer", "LongSerializer"), Role::Value).is_ok());
}

#[test]
fn each_name_of_java_s_has_a_type_and_the_type_has_the_name() {
    fn agrees<T: DefaultSerializer + ?Sized>() {
        let rust = std::any::type_name::<T>()
            .replace("alloc::string::String", "str")
            .replace("alloc::vec::Vec<u8>", "[u8]");
        assert!(!T::NAMES.is_empty());
        assert!(T::NAMES.iter().all(|name: &SerializerName| name.type_name() == rust), "{rust}");
    }
    agrees::<str>();
    agrees::<String>();
    agrees::<[u8]>();
    agrees::<Vec<u8>>();
    agrees::<i16>();
    agrees::<i32>();
    agrees::<i64>();
    agrees::<f32>();
    agrees::<f64>();
    agrees::<bool>();
    agrees::<()>();
}
