//! The hot path's streaming writers and walkers against the declared produce messages.

use crate::schema;
use kafka_producer::protocol::messages::produce::{
    PartitionProduceResponse, ProduceRequest, ProduceResponse,
};
use kafka_producer::protocol::messages::produce_fast::*;
use kafka_producer::protocol::{DecodeError, EncodeError, Message, Reader, Writer};
use proptest::prelude::*;

const VERSIONS: std::ops::RangeInclusive<i16> = 3..=13;

fn sample(name: &str, version: i16, entropy: &[u8], unknown_tags: bool) -> Vec<u8> {
    let schemas = schema::all();
    let schema = schemas.iter().find(|schema| schema.name == name).unwrap();
    schema.sample(version, entropy, unknown_tags).bytes
}

fn decode<M: Message>(bytes: &[u8], version: i16) -> Result<M, DecodeError> {
    M::decode(&mut Reader::new(bytes), version)
}

fn encode<M: Message>(message: &M, version: i16) -> Vec<u8> {
    let mut w = Writer::new();
    message.encode(&mut w, version).unwrap();
    w.into_parts().0
}

/// Puts the foreign bytes where the writer noted them.
fn join(w: Writer, foreign: &[&[u8]]) -> Vec<u8> {
    let total = w.total_len();
    let (own, splices) = w.into_parts();
    assert_eq!(splices.len(), foreign.len());
    let mut joined = Vec::new();
    let mut from = 0;
    for (splice, bytes) in splices.iter().zip(foreign) {
        assert_eq!(splice.len, bytes.len());
        joined.extend_from_slice(&own[from..splice.at]);
        joined.extend_from_slice(bytes);
        from = splice.at;
    }
    joined.extend_from_slice(&own[from..]);
    assert_eq!(joined.len(), total);
    joined
}

fn stream_request(w: &mut Writer, version: i16, request: &ProduceRequest) -> Result<(), EncodeError> {
    let head = ProduceHead {
        transactional_id: request.transactional_id.as_deref(),
        acks: request.acks,
        timeout_ms: request.timeout_ms,
    };
    let mut stream = ProduceRequestWriter::begin(w, version, &head, request.topic_data.len())?;
    for topic in &request.topic_data {
        stream.topic(&topic.name, &topic.topic_id, topic.partition_data.len())?;
        for partition in &topic.partition_data {
            stream.partition(partition.index, partition.records.as_ref().unwrap().len())?;
        }
        stream.end_topic()?;
    }
    stream.finish()
}

fn topic_ref<'a>(version: i16, name: &'a str, id: [u8; 16]) -> TopicRef<'a> {
    if version >= 13 { TopicRef::Id(id) } else { TopicRef::Name(name) }
}

/// What a walker must yield for `request`.
fn partitions(version: i16, request: &ProduceRequest) -> Vec<ProducedPartition<'_>> {
    let of_topic =
        |topic: &'_ kafka_producer::protocol::messages::produce::TopicProduceData| topic.partition_data.len();
    let mut all = Vec::with_capacity(request.topic_data.iter().map(of_topic).sum());
    for topic in &request.topic_data {
        for partition in &topic.partition_data {
            all.push(ProducedPartition {
                topic: topic_ref(version, &topic.name, topic.topic_id),
                index: partition.index,
                records: partition.records.as_deref(),
            });
        }
    }
    all
}

/// What the walker makes of a request, and what it has not read.
fn walk_request(
    bytes: &[u8],
    version: i16,
) -> Result<(ProduceHead<'_>, Vec<ProducedPartition<'_>>, usize), DecodeError> {
    let mut walker = ProduceRequestWalker::new(Reader::new(bytes), version)?;
    let partitions = walker.by_ref().collect::<Result<_, _>>()?;
    assert!(walker.next().is_none());
    Ok((walker.head(), partitions, walker.reader().remaining()))
}

/// The partitions with their topics, and the rest of the response.
type Flat = (Vec<(String, [u8; 16], PartitionProduceResponse)>, ProduceResponse);

/// Rebuilds the declared response from what the walker yields; topics without partitions cannot be seen by it.
fn walk_response(bytes: &[u8], version: i16) -> Result<Flat, DecodeError> {
    let mut walker = ProduceResponseWalker::new(Reader::new(bytes), version)?;
    let mut partitions = Vec::new();
    for outcome in walker.by_ref() {
        let outcome = outcome?;
        let mut partition = PartitionProduceResponse {
            index: outcome.index,
            error_code: outcome.error_code,
            base_offset: outcome.base_offset,
            log_append_time_ms: outcome.log_append_time_ms,
            log_start_offset: outcome.log_start_offset,
            error_message: outcome.error_message.map(String::from),
            ..Default::default()
        };
        assert_eq!(outcome.record_errors.len(), outcome.record_errors.count());
        for (batch_index, message) in outcome.record_errors {
            partition.record_errors.push(
                kafka_producer::protocol::messages::produce::BatchIndexAndErrorMessage {
                    batch_index,
                    batch_index_error_message: message.map(String::from),
                },
            );
        }
        if let Some(leader) = outcome.current_leader {
            partition.current_leader.leader_id = leader.leader_id;
            partition.current_leader.leader_epoch = leader.leader_epoch;
        }
        let (name, id) = match outcome.topic {
            TopicRef::Name(name) => (name.to_owned(), [0; 16]),
            TopicRef::Id(id) => (String::new(), id),
        };
        partitions.push((name, id, partition));
    }
    let tail = walker.tail().expect("walked to the end");
    let mut response = ProduceResponse { throttle_time_ms: tail.throttle_time_ms, ..Default::default() };
    for node in tail.node_endpoints {
        response.node_endpoints.push(kafka_producer::protocol::messages::produce::NodeEndpoint {
            node_id: node.node_id,
            host: node.host.to_owned(),
            port: node.port,
            rack: node.rack.map(String::from),
        });
    }
    Ok((partitions, response))
}

fn flatten(response: ProduceResponse) -> Flat {
    let mut partitions = Vec::new();
    let mut rest = response;
    for topic in std::mem::take(&mut rest.responses) {
        for partition in topic.partition_responses {
            partitions.push((topic.name.clone(), topic.topic_id, partition));
        }
    }
    (partitions, rest)
}

fn stream_response(w: &mut Writer, version: i16, response: &ProduceResponse) -> Result<(), EncodeError> {
    let mut stream = ProduceResponseWriter::begin(w, version, response.responses.len())?;
    for topic in &response.responses {
        stream.topic(topic_ref(version, &topic.name, topic.topic_id), topic.partition_responses.len())?;
        for partition in &topic.partition_responses {
            let leader = &partition.current_leader;
            let current_leader = (*leader != Default::default())
                .then_some(CurrentLeader { leader_id: leader.leader_id, leader_epoch: leader.leader_epoch });
            stream.partition(&PartitionAnswer {
                index: partition.index,
                error_code: partition.error_code,
                base_offset: partition.base_offset,
                log_append_time_ms: partition.log_append_time_ms,
                log_start_offset: partition.log_start_offset,
                error_message: partition.error_message.as_deref(),
                current_leader,
            })?;
        }
        stream.end_topic()?;
    }
    let nodes: Vec<_> = response
        .node_endpoints
        .iter()
        .map(|node| NodeEndpointRef {
            node_id: node.node_id,
            host: &node.host,
            port: node.port,
            rack: node.rack.as_deref(),
        })
        .collect();
    stream.finish(response.throttle_time_ms, &nodes)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn streamed_requests_are_the_declared_ones(entropy in prop::collection::vec(any::<u8>(), 0..700)) {
        for version in VERSIONS {
            let bytes = sample("ProduceRequest", version, &entropy, false);
            let mut request: ProduceRequest = decode(&bytes, version).unwrap();
            for partition in request.topic_data.iter_mut().flat_map(|topic| &mut topic.partition_data) {
                partition.records.get_or_insert_default();
            }
            let mut w = Writer::new();
            stream_request(&mut w, version, &request).unwrap();
            let records: Vec<&[u8]> = partitions(version, &request).iter().map(|p| p.records.unwrap()).collect();
            prop_assert_eq!(join(w, &records), encode(&request, version), "{}", version);
        }
    }

    #[test]
    fn walked_requests_are_the_declared_ones(
        entropy in prop::collection::vec(any::<u8>(), 0..700),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        cut in any::<prop::sample::Index>(),
        unknown_tags in any::<bool>(),
    ) {
        for version in VERSIONS {
            let mut bytes = sample("ProduceRequest", version, &entropy, unknown_tags);
            for (place, value) in &damage {
                let place = place.index(bytes.len());
                bytes[place] = *value;
            }
            for bytes in [&bytes[..], &bytes[..cut.index(bytes.len())]] {
                let mut r = Reader::new(bytes);
                let declared = ProduceRequest::decode(&mut r, version);
                match (walk_request(bytes, version), &declared) {
                    (Ok((head, walked, left)), Ok(request)) => {
                        prop_assert_eq!(head.transactional_id, request.transactional_id.as_deref());
                        prop_assert_eq!((head.acks, head.timeout_ms), (request.acks, request.timeout_ms));
                        prop_assert_eq!(walked, partitions(version, request));
                        prop_assert_eq!(left, r.remaining());
                    }
                    (Err(_), Err(_)) => {}
                    (walked, _) => prop_assert!(false, "{version}: {walked:?} but {declared:?}"),
                }
            }
        }
    }

    #[test]
    fn walked_responses_are_the_declared_ones(
        entropy in prop::collection::vec(any::<u8>(), 0..700),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        cut in any::<prop::sample::Index>(),
        unknown_tags in any::<bool>(),
    ) {
        for version in VERSIONS {
            let mut bytes = sample("ProduceResponse", version, &entropy, unknown_tags);
            for (place, value) in &damage {
                let place = place.index(bytes.len());
                bytes[place] = *value;
            }
            for bytes in [&bytes[..], &bytes[..cut.index(bytes.len())]] {
                let declared = decode::<ProduceResponse>(bytes, version).map(flatten);
                let walked = walk_response(bytes, version);
                prop_assert_eq!(walked.is_ok(), declared.is_ok(), "{}: {:?}, {:?}", version, walked, declared);
                prop_assert_eq!(walked.ok(), declared.ok());
            }
        }
    }

    #[test]
    fn streamed_responses_are_the_declared_ones(entropy in prop::collection::vec(any::<u8>(), 0..700)) {
        for version in VERSIONS {
            let bytes = sample("ProduceResponse", version, &entropy, false);
            let mut response: ProduceResponse = decode(&bytes, version).unwrap();
            for partition in response.responses.iter_mut().flat_map(|topic| &mut topic.partition_responses) {
                partition.record_errors.clear();
            }
            let mut w = Writer::new();
            stream_response(&mut w, version, &response).unwrap();
            prop_assert_eq!(join(w, &[]), encode(&response, version), "{}", version);
        }
    }
}

#[test]
fn a_count_that_was_not_kept_is_an_error() {
    let head = ProduceHead { transactional_id: None, acks: -1, timeout_ms: 0 };
    let (mut w, mut v, mut u) = (Writer::new(), Writer::new(), Writer::new());
    let short = ProduceRequestWriter::begin(&mut w, 13, &head, 1).unwrap();
    assert_eq!(short.finish(), Err(EncodeError::Miscounted));
    let mut empty = ProduceRequestWriter::begin(&mut v, 13, &head, 0).unwrap();
    assert_eq!(empty.topic("t", &[1; 16], 0), Err(EncodeError::Miscounted));
    let mut request = ProduceRequestWriter::begin(&mut u, 13, &head, 2).unwrap();
    request.topic("t", &[1; 16], 1).unwrap();
    assert_eq!(request.topic("u", &[1; 16], 1), Err(EncodeError::Miscounted));
    assert_eq!(request.end_topic(), Err(EncodeError::Miscounted));
    request.partition(0, 10).unwrap();
    assert_eq!(request.partition(1, 10), Err(EncodeError::Miscounted));
    request.end_topic().unwrap();
    assert_eq!(request.finish(), Err(EncodeError::Miscounted));
}

#[test]
fn unknown_versions_are_refused() {
    let head = ProduceHead { transactional_id: None, acks: -1, timeout_ms: 0 };
    for version in [2, 14] {
        assert!(ProduceRequestWriter::begin(&mut Writer::new(), version, &head, 0).is_err());
        assert!(ProduceResponseWriter::begin(&mut Writer::new(), version, 0).is_err());
        assert!(ProduceRequestWalker::new(Reader::new(&[0; 40]), version).is_err());
        assert!(ProduceResponseWalker::new(Reader::new(&[0; 40]), version).is_err());
    }
}
