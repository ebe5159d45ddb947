//! The messages: every API that the producer or the mock cluster speaks, each declared once, requests and responses
//! in both directions.
//!
//! Owns: the message structs, one file per API, named and spelt as in Kafka's own message definitions (Kafka 4.3).
//! Runs on any thread, takes no lock. Must not know: frames, connections, what a message is used for.

pub mod add_offsets_to_txn;
pub mod add_partitions_to_txn;
pub mod api_versions;
pub mod create_topics;
mod declare;
pub mod delete_topics;
pub mod describe_cluster;
pub mod describe_configs;
pub mod end_txn;
pub mod fetch;
pub mod find_coordinator;
pub mod init_producer_id;
pub mod list_offsets;
pub mod metadata;
pub mod offset_commit;
pub mod offset_fetch;
pub mod produce;
pub mod produce_fast;
pub mod txn_offset_commit;

pub use add_offsets_to_txn::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};
pub use add_partitions_to_txn::{AddPartitionsToTxnRequest, AddPartitionsToTxnResponse};
pub use api_versions::{ApiVersionsRequest, ApiVersionsResponse};
pub use create_topics::{CreateTopicsRequest, CreateTopicsResponse};
pub use delete_topics::{DeleteTopicsRequest, DeleteTopicsResponse};
pub use describe_cluster::{DescribeClusterRequest, DescribeClusterResponse};
pub use describe_configs::{DescribeConfigsRequest, DescribeConfigsResponse};
pub use end_txn::{EndTxnRequest, EndTxnResponse};
pub use fetch::{FetchRequest, FetchResponse};
pub use find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse};
pub use init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
pub use list_offsets::{ListOffsetsRequest, ListOffsetsResponse};
pub use metadata::{MetadataRequest, MetadataResponse};
pub use offset_commit::{OffsetCommitRequest, OffsetCommitResponse};
pub use offset_fetch::{OffsetFetchRequest, OffsetFetchResponse};
pub use produce::{ProduceRequest, ProduceResponse};
pub use txn_offset_commit::{TxnOffsetCommitRequest, TxnOffsetCommitResponse};

use super::api_key::ApiKey;
use super::wire::{DecodeError, EncodeError, Reader, Writer};
use std::ops::RangeInclusive;

/// A request or a response, without its header.
pub trait Message: Sized {
    /// The message's name, as Kafka's definitions spell it.
    const NAME: &'static str;

    /// Appends the message in the layout of `version`.
    ///
    /// # Errors
    /// The version is unknown; a field is set that the version lacks and that may not be dropped; a null where the
    /// version has none; something is longer than its length prefix can say. What was appended until then stays.
    fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError>;

    /// Reads the message in the layout of `version` and leaves what follows it unread.
    ///
    /// # Errors
    /// The version is unknown or the bytes are not such a message.
    fn decode(r: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError>;
}

/// A request, with what is true of its API.
pub trait Request: Message {
    /// The answer to it.
    type Response: Message;
    /// The API's key.
    const API_KEY: ApiKey;
    /// The versions this codec knows.
    const VERSIONS: RangeInclusive<i16>;
    /// The first version with compact types and tagged fields.
    const FLEXIBLE_FROM: Option<i16>;
}

macro_rules! known_apis {
    ($($Request:ident),* $(,)?) => {
        impl ApiKey {
            /// All APIs that this codec knows, by ascending key.
            pub const KNOWN: &'static [Self] = &[$(<$Request as Request>::API_KEY),*];

            /// The versions that this codec knows; `None` if it does not know the API.
            pub fn versions(self) -> Option<RangeInclusive<i16>> {
                match self {
                    $( <$Request as Request>::API_KEY => Some(<$Request as Request>::VERSIONS), )*
                    _ => None,
                }
            }

            /// The API's first flexible version; `None` if it has none or this codec does not know the API.
            pub fn flexible_from(self) -> Option<i16> {
                match self {
                    $( <$Request as Request>::API_KEY => <$Request as Request>::FLEXIBLE_FROM, )*
                    _ => None,
                }
            }
        }
    };
}

known_apis!(
    ProduceRequest,
    FetchRequest,
    ListOffsetsRequest,
    MetadataRequest,
    OffsetCommitRequest,
    OffsetFetchRequest,
    FindCoordinatorRequest,
    ApiVersionsRequest,
    CreateTopicsRequest,
    DeleteTopicsRequest,
    InitProducerIdRequest,
    AddPartitionsToTxnRequest,
    AddOffsetsToTxnRequest,
    EndTxnRequest,
    TxnOffsetCommitRequest,
    DescribeConfigsRequest,
    DescribeClusterRequest,
);

/// The newest version that both sides know: `ours`, and `theirs` as the broker's ApiVersions response says it,
/// both inclusive. `None` if they share none.
pub fn choose_version(ours: RangeInclusive<i16>, theirs: (i16, i16)) -> Option<i16> {
    let newest = theirs.1.min(*ours.end());
    (newest >= theirs.0 && newest >= *ours.start()).then_some(newest)
}

#[cfg(test)]
mod tests {
    use super::metadata::MetadataRequestTopic;
    use super::*;
    use crate::protocol::wire::DecodeErrorKind;

    fn encode<M: Message>(message: &M, version: i16) -> Result<Vec<u8>, EncodeError> {
        let mut w = Writer::new();
        message.encode(&mut w, version)?;
        Ok(w.into_parts().0)
    }

    #[test]
    fn the_newest_shared_version_is_chosen() {
        assert_eq!(choose_version(3..=13, (0, 11)), Some(11));
        assert_eq!(choose_version(3..=13, (5, 20)), Some(13));
        assert_eq!(choose_version(3..=13, (13, 13)), Some(13));
        assert_eq!(choose_version(3..=13, (0, 2)), None);
        assert_eq!(choose_version(3..=13, (14, 20)), None);
        assert_eq!(choose_version(3..=13, (8, 7)), None);
    }

    #[test]
    fn a_field_that_the_version_lacks_must_be_unset_or_ignorable() {
        let request = InitProducerIdRequest { producer_id: 7, ..Default::default() };
        let field = "InitProducerIdRequest.producer_id";
        assert_eq!(encode(&request, 2), Err(EncodeError::FieldNotInVersion { field, version: 2 }));
        assert!(encode(&request, 3).is_ok());
        let request = ApiVersionsRequest { client_software_name: "x".into(), ..Default::default() };
        assert_eq!(encode(&request, 2), Ok(Vec::new()));
        let mut response = ProduceResponse::default();
        response.node_endpoints.push(produce::NodeEndpoint::default());
        let field = "ProduceResponse.node_endpoints";
        assert_eq!(encode(&response, 9), Err(EncodeError::FieldNotInVersion { field, version: 9 }));
        assert!(encode(&response, 10).is_ok());
    }

    #[test]
    fn null_is_refused_where_the_version_has_none() {
        let topic = MetadataRequestTopic { topic_id: [1; 16], name: None };
        let request = MetadataRequest { topics: Some(vec![topic]), ..Default::default() };
        let field = "MetadataRequestTopic.name";
        assert_eq!(encode(&request, 9), Err(EncodeError::UnexpectedNull { field }));
        let bytes = encode(&request, 12).unwrap();
        assert_eq!(MetadataRequest::decode(&mut Reader::new(&bytes), 12), Ok(request));
        let all = encode(&MetadataRequest { topics: None, ..Default::default() }, 1).unwrap();
        assert_eq!(all, [0xff; 4]);
        let error = MetadataRequest::decode(&mut Reader::new(&all), 0).unwrap_err();
        assert_eq!(error.kind(), DecodeErrorKind::UnexpectedNull);
    }

    #[test]
    fn fields_that_the_version_lacks_read_as_their_defaults() {
        let bytes = encode(&MetadataRequest::default(), 1).unwrap();
        let request = MetadataRequest::decode(&mut Reader::new(&bytes), 1).unwrap();
        assert!(request.allow_auto_topic_creation);
        let bytes = encode(&ProduceResponse::default(), 3).unwrap();
        assert_eq!(ProduceResponse::decode(&mut Reader::new(&bytes), 3), Ok(ProduceResponse::default()));
    }

    #[test]
    fn a_string_that_is_too_long_names_its_field() {
        let request = FindCoordinatorRequest { key: "x".repeat(40_000), ..Default::default() };
        let field = "FindCoordinatorRequest.key";
        assert_eq!(encode(&request, 0), Err(EncodeError::TooLong { field }));
    }

    #[test]
    fn every_known_api_has_a_name_and_versions() {
        assert_eq!(ApiKey::KNOWN.len(), 17);
        assert!(ApiKey::KNOWN.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(ApiKey::KNOWN.iter().all(|key| key.name() != "Unknown" && key.versions().is_some()));
        assert_eq!(ApiKey::SASL_HANDSHAKE.versions(), None);
    }
}
