//! Every message in every version: ours, `kafka-protocol` and the table of facts must agree byte for byte.

use crate::schema::{self, Schema, facts_of};
use kafka_producer::protocol::{ApiKey, Message, Reader, Writer};
use proptest::prelude::*;

/// The bytes written again, and the message's `{:?}`.
type Ours = Result<(Vec<u8>, String), String>;

/// The two implementations of one message.
struct Codec {
    name: &'static str,
    /// Reads all of the bytes and returns them written again, and the message's `{:?}`.
    ours: fn(&[u8], i16) -> Ours,
    theirs: fn(&[u8], i16) -> Result<Vec<u8>, String>,
}

fn ours<M: Message + std::fmt::Debug + PartialEq>(bytes: &[u8], version: i16) -> Ours {
    let mut r = Reader::new(bytes);
    let message = M::decode(&mut r, version).map_err(|e| e.to_string())?;
    r.finish().map_err(|e| e.to_string())?;
    let mut w = Writer::new();
    message.encode(&mut w, version).expect("what was read can be written");
    let (written, splices) = w.into_parts();
    assert!(splices.is_empty());
    let again = M::decode(&mut Reader::new(&written), version).expect("what was written can be read");
    assert_eq!(again, message);
    Ok((written, format!("{message:?}")))
}

fn theirs<M: kafka_protocol::protocol::Decodable + kafka_protocol::protocol::Encodable>(
    mut bytes: &[u8],
    version: i16,
) -> Result<Vec<u8>, String> {
    let message = M::decode(&mut bytes, version).map_err(|e| e.to_string())?;
    if !bytes.is_empty() {
        return Err(format!("{} bytes left", bytes.len()));
    }
    let mut written = Vec::new();
    message.encode(&mut written, version).map_err(|e| e.to_string())?;
    Ok(written)
}

macro_rules! codecs {
    ($($Message:ident)*) => {
        &[$( Codec {
            name: stringify!($Message),
            ours: ours::<kafka_producer::protocol::messages::$Message>,
            theirs: theirs::<kafka_protocol::messages::$Message>,
        } ),*]
    };
}

const CODECS: &[Codec] = codecs! {
    ProduceRequest ProduceResponse FetchRequest FetchResponse ListOffsetsRequest ListOffsetsResponse
    MetadataRequest MetadataResponse OffsetCommitRequest OffsetCommitResponse
    OffsetFetchRequest OffsetFetchResponse FindCoordinatorRequest FindCoordinatorResponse
    ApiVersionsRequest ApiVersionsResponse CreateTopicsRequest CreateTopicsResponse
    DeleteTopicsRequest DeleteTopicsResponse InitProducerIdRequest InitProducerIdResponse
    AddPartitionsToTxnRequest AddPartitionsToTxnResponse AddOffsetsToTxnRequest AddOffsetsToTxnResponse
    EndTxnRequest EndTxnResponse TxnOffsetCommitRequest TxnOffsetCommitResponse
    DescribeConfigsRequest DescribeConfigsResponse DescribeClusterRequest DescribeClusterResponse
};

/// Calls `each` with every message and version.
fn for_all(
    mut each: impl FnMut(&Codec, &Schema, i16) -> Result<(), TestCaseError>,
) -> Result<(), TestCaseError> {
    let schemas = schema::all();
    assert_eq!(schemas.len(), CODECS.len());
    for (codec, schema) in CODECS.iter().zip(&schemas) {
        assert_eq!(codec.name, schema.name);
        for version in schema.versions.0..=schema.versions.1 {
            each(codec, schema, version)?;
        }
    }
    Ok(())
}

fn entropy() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..700)
}

#[test]
fn the_versions_and_flexible_versions_are_those_of_the_table() {
    for_all(|codec, schema, _| {
        let api = codec.name.trim_end_matches("Request").trim_end_matches("Response");
        let key = ApiKey::KNOWN.iter().find(|key| key.name() == api).unwrap();
        assert_eq!(key.versions(), Some(schema.versions.0..=schema.versions.1), "{api}");
        assert_eq!(key.flexible_from(), Some(schema.flexible_from()), "{api}");
        for version in [i16::MIN, schema.versions.0 - 1, schema.versions.1 + 1, i16::MAX] {
            assert!((codec.ours)(&[0; 200], version).is_err(), "{api} {version}");
        }
        Ok(())
    })
    .unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn all_three_agree(entropy in entropy()) {
        for_all(|codec, schema, version| {
            let sample = schema.sample(version, &entropy, false);
            let context = format!("{} {version}: {:02x?}", codec.name, sample.bytes);
            let theirs = (codec.theirs)(&sample.bytes, version);
            prop_assert_eq!(theirs.as_ref(), Ok(&sample.bytes), "theirs, {}", context);
            let (written, debug) = (codec.ours)(&sample.bytes, version)
                .map_err(|e| TestCaseError::fail(format!("{e}, {context}")))?;
            prop_assert_eq!(&written, &sample.bytes, "ours, {}", context);
            let read = facts_of(&debug);
            for (path, value) in &sample.facts {
                prop_assert_eq!(read.get(path), Some(value), "{} of {}", path, context);
            }
            Ok(())
        })?;
    }

    #[test]
    fn tagged_fields_nobody_knows_are_skipped(entropy in entropy()) {
        for_all(|codec, schema, version| {
            let plain = schema.sample(version, &entropy, false).bytes;
            let tagged = schema.sample(version, &entropy, true).bytes;
            let (written, _) = (codec.ours)(&tagged, version)
                .map_err(|e| TestCaseError::fail(format!("{e}, {} {version}", codec.name)))?;
            prop_assert_eq!(written, plain, "{} {}", codec.name, version);
            Ok(())
        })?;
    }

    #[test]
    fn a_message_cut_anywhere_is_an_error(entropy in prop::collection::vec(any::<u8>(), 0..150)) {
        for_all(|codec, schema, version| {
            let bytes = schema.sample(version, &entropy, false).bytes;
            for len in 0..bytes.len() {
                prop_assert!((codec.ours)(&bytes[..len], version).is_err(), "{} {} at {}", codec.name, version, len);
            }
            Ok(())
        })?;
    }

    #[test]
    fn damaged_bytes_never_panic(
        entropy in entropy(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        noise in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        for_all(|codec, schema, version| {
            let mut bytes = schema.sample(version, &entropy, false).bytes;
            for (place, value) in damage.iter().filter(|_| !bytes.is_empty()).collect::<Vec<_>>() {
                let place = place.index(bytes.len());
                bytes[place] = *value;
            }
            // Whatever can be read can be written and read again; `ours` asserts that.
            let _ = (codec.ours)(&bytes, version);
            let _ = (codec.ours)(&noise, version);
            Ok(())
        })?;
    }
}
