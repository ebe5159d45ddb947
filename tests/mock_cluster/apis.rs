//! Every API but Produce.

use crate::client::{Client, batch, frame};
use kafka_producer::mock::{BrokerVersion, MockCluster};
use kafka_producer::protocol::messages::create_topics::CreatableTopic;
use kafka_producer::protocol::messages::delete_topics::DeleteTopicState;
use kafka_producer::protocol::messages::fetch::{FetchPartition, FetchTopic};
use kafka_producer::protocol::messages::list_offsets::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_producer::protocol::messages::metadata::{MetadataRequestTopic, MetadataResponseTopic};
use kafka_producer::protocol::messages::{
    ApiVersionsRequest, ApiVersionsResponse, CreateTopicsRequest, DeleteTopicsRequest,
    DescribeClusterRequest, FetchRequest, InitProducerIdRequest, ListOffsetsRequest, MetadataRequest,
};
use kafka_producer::protocol::{ApiKey, ErrorCode, Reader};

fn start() -> (MockCluster, Client) {
    let cluster = MockCluster::start(1).unwrap();
    let client = Client::connect(&cluster, 1);
    (cluster, client)
}

fn ask(name: &str) -> MetadataRequest {
    let topic = MetadataRequestTopic { name: Some(name.to_owned()), ..Default::default() };
    MetadataRequest { topics: Some(vec![topic]), ..Default::default() }
}

#[test]
fn api_versions_are_the_presets() {
    let expected = [
        (BrokerVersion::V2_1, 7, 1),
        (BrokerVersion::V2_8, 9, 3),
        (BrokerVersion::V3_9, 11, 4),
        (BrokerVersion::V4_3, 13, 5),
    ];
    for (version, produce, end_txn) in expected {
        let cluster = MockCluster::builder().version(version).start().unwrap();
        let response = Client::connect(&cluster, 1).call(&ApiVersionsRequest::default(), 2);
        let max = |api: ApiKey| response.api_keys.iter().find(|k| k.api_key == api.0).map(|k| k.max_version);
        assert_eq!(max(ApiKey::PRODUCE), Some(produce), "{version}");
        assert_eq!(max(ApiKey::END_TXN), Some(end_txn));
    }
}

/// librdkafka compresses with gzip, snappy and lz4 only where Produce is offered from version 0, and with lz4 only where
/// there is FindCoordinator version 0.
#[test]
fn what_librdkafka_takes_for_a_sign_of_codecs_is_offered() {
    for version in BrokerVersion::ALL {
        let cluster = MockCluster::builder().version(version).discard(true).start().unwrap();
        let response = Client::connect(&cluster, 1).call(&ApiVersionsRequest::default(), 2);
        let min = |api: ApiKey| response.api_keys.iter().find(|k| k.api_key == api.0).map(|k| k.min_version);
        assert_eq!(min(ApiKey::PRODUCE), Some(0), "{version}");
        assert_eq!(min(ApiKey::FIND_COORDINATOR), Some(0), "{version}");
    }
}

#[test]
fn api_versions_too_new_are_answered_in_version_0() {
    for (preset, version) in [(BrokerVersion::V2_1, 3), (BrokerVersion::V4_3, 4)] {
        let cluster = MockCluster::builder().version(preset).start().unwrap();
        let mut client = Client::connect(&cluster, 1);
        let request = ApiVersionsRequest {
            client_software_name: "test".to_owned(),
            client_software_version: "1".to_owned(),
        };
        let mut bytes = frame(&request, version, 5);
        if preset == BrokerVersion::V4_3 {
            bytes[7] = 99;
        }
        client.send_raw(&bytes);
        let answer = client.receive_frame().unwrap();
        let mut r = Reader::new(&answer);
        assert_eq!(r.i32().unwrap(), 5);
        let response = ApiVersionsResponse::decode_any(&mut r, version).unwrap();
        assert_eq!(response.error_code, ErrorCode::UNSUPPORTED_VERSION);
        assert_eq!(response.api_keys[0].api_key, ApiKey::API_VERSIONS.0);
        assert_eq!(client.call(&ApiVersionsRequest::default(), 0).error_code, ErrorCode::NONE);
    }
}

#[test]
fn metadata_names_brokers_and_leaders_in_every_version() {
    let cluster = MockCluster::builder().brokers(3).topic("t", 3).start().unwrap();
    let mut client = Client::connect(&cluster, 2);
    for version in 0..=13 {
        let response = client.call(&ask("t"), version);
        assert_eq!(response.brokers.len(), 3);
        let topic = &response.topics[0];
        let leaders: Vec<_> = topic.partitions.iter().map(|p| p.leader_id).collect();
        assert_eq!((topic.error_code, leaders), (ErrorCode::NONE, vec![1, 2, 3]), "version {version}");
        assert_eq!(topic.partitions[0].isr_nodes, [1, 2, 3]);
    }
}

#[test]
fn metadata_of_all_topics_and_by_id() {
    let cluster = MockCluster::builder().topic("t", 1).topic("u", 1).start().unwrap();
    let mut client = Client::connect(&cluster, 1);
    let all = client.call(&MetadataRequest { topics: None, ..Default::default() }, 9);
    assert_eq!(all.topics.len(), 2);
    let in_version_0 = client.call(&MetadataRequest { topics: Some(vec![]), ..Default::default() }, 0);
    assert_eq!(in_version_0.topics.len(), 2);
    let none = client.call(&MetadataRequest { topics: Some(vec![]), ..Default::default() }, 9);
    assert!(none.topics.is_empty());
    let by_id = |id| MetadataRequest {
        topics: Some(vec![MetadataRequestTopic { topic_id: id, name: None }]),
        ..Default::default()
    };
    let known = client.call(&by_id(cluster.topic_id("u").unwrap()), 12);
    assert_eq!(known.topics[0].name.as_deref(), Some("u"));
    assert_eq!(client.call(&by_id([1; 16]), 12).topics[0].error_code, ErrorCode::UNKNOWN_TOPIC_ID);
}

#[test]
fn topics_are_created_on_demand_only_if_both_sides_agree() {
    let code = |t: &[MetadataResponseTopic]| t[0].error_code;
    let (cluster, mut client) = start();
    let quiet = MetadataRequest { allow_auto_topic_creation: false, ..ask("a") };
    assert_eq!(code(&client.call(&quiet, 9).topics), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(code(&client.call(&ask("a b"), 9).topics), ErrorCode::INVALID_TOPIC_EXCEPTION);
    assert_eq!(client.call(&ask("a"), 9).topics[0].partitions.len(), 4);
    assert_eq!(cluster.topics(), ["a"]);
    let strict = MockCluster::builder().auto_create(false).start().unwrap();
    let mut client = Client::connect(&strict, 1);
    assert_eq!(code(&client.call(&ask("a"), 9).topics), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
}

#[test]
fn producer_ids_differ() {
    let (cluster, mut client) = start();
    let plain = InitProducerIdRequest::default();
    let first = client.call(&plain, 4);
    let second = client.call(&plain, 0);
    assert_eq!((first.error_code, first.producer_epoch), (ErrorCode::NONE, 0));
    assert!(first.producer_id >= 0 && first.producer_id != second.producer_id);
    cluster.set_next_producer(77, 32_766);
    let third = client.call(&plain, 3);
    assert_eq!((third.producer_id, third.producer_epoch), (77, 32_766));
}

#[test]
fn topics_are_created_and_deleted_over_the_wire() {
    let (cluster, mut client) = start();
    let topic = |name: &str, partitions| CreatableTopic {
        name: name.to_owned(),
        num_partitions: partitions,
        replication_factor: -1,
        ..Default::default()
    };
    let create = |topics, validate_only| CreateTopicsRequest { topics, validate_only, ..Default::default() };
    let check = client.call(&create(vec![topic("a", 3)], true), 5);
    assert_eq!((check.topics[0].error_code, cluster.topics().len()), (ErrorCode::NONE, 0));
    let made =
        client.call(&create(vec![topic("a", 3), topic("b", -1), topic("a", 1), topic("c", 0)], false), 7);
    let codes: Vec<_> = made.topics.iter().map(|t| t.error_code).collect();
    use ErrorCode as E;
    assert_eq!(codes, [E::NONE, E::NONE, E::TOPIC_ALREADY_EXISTS, E::INVALID_PARTITIONS]);
    assert_eq!(Some(made.topics[0].topic_id), cluster.topic_id("a"));
    assert_eq!((cluster.partition_count("a"), cluster.partition_count("b")), (Some(3), Some(4)));

    let by_name =
        DeleteTopicsRequest { topic_names: vec!["a".to_owned(), "z".to_owned()], ..Default::default() };
    let gone = client.call(&by_name, 4);
    assert_eq!(gone.responses[0].error_code, E::NONE);
    assert_eq!(gone.responses[1].error_code, E::UNKNOWN_TOPIC_OR_PARTITION);
    let id = DeleteTopicState { name: None, topic_id: cluster.topic_id("b").unwrap() };
    let gone = client.call(&DeleteTopicsRequest { topics: vec![id], ..Default::default() }, 6);
    assert_eq!(gone.responses[0].error_code, E::NONE);
    assert!(cluster.topics().is_empty());
}

#[test]
fn the_cluster_is_described() {
    let cluster = MockCluster::start(2).unwrap();
    let response = Client::connect(&cluster, 1).call(&DescribeClusterRequest::default(), 0);
    assert_eq!(
        (response.error_code, response.brokers.len(), response.controller_id),
        (ErrorCode::NONE, 2, 1)
    );
}

#[test]
fn offsets_and_batches_are_served_to_consumers() {
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    let mut client = Client::connect(&cluster, 1);
    client.produce("t", 0, batch(&["a", "b"]).bytes());
    client.produce("t", 0, batch(&["c"]).bytes());
    let list = |timestamp| ListOffsetsRequest {
        replica_id: -1,
        topics: vec![ListOffsetsTopic {
            name: "t".to_owned(),
            partitions: vec![ListOffsetsPartition { timestamp, ..Default::default() }],
        }],
        ..Default::default()
    };
    for version in 1..=10 {
        let mut offset = |time| client.call(&list(time), version).topics[0].partitions[0].offset;
        assert_eq!((offset(-2), offset(-1), offset(1_700_000_000_001)), (0, 3, 1), "version {version}");
    }
    let id = cluster.topic_id("t").unwrap();
    for version in 4..=17 {
        let request = FetchRequest {
            topics: vec![FetchTopic {
                topic: "t".to_owned(),
                topic_id: id,
                partitions: vec![FetchPartition {
                    fetch_offset: 2,
                    partition_max_bytes: 1 << 20,
                    ..Default::default()
                }],
            }],
            ..Default::default()
        };
        let response = client.call(&request, version);
        let data = &response.responses[0].partitions[0];
        assert_eq!((data.error_code, data.high_watermark), (ErrorCode::NONE, 3), "version {version}");
        assert_eq!(data.records.as_deref(), Some(&cluster.batches("t", 0)[1].bytes[..]));
    }
}

#[test]
fn nonsense_closes_the_connection_and_nothing_else() {
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    let valid = frame(&ask("t"), 9, 1);
    let mut cases: Vec<Vec<u8>> = vec![
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0xff; 64],
        vec![0, 0, 0, 0],
        vec![0, 0, 0, 3, 1, 2, 3],
        [&[0, 0, 0, 10][..], &[0, 99, 0, 0, 0, 0, 0, 1, 0xff, 0xff]].concat(),
    ];
    // Each byte of a valid request turned over; whatever it means then, the broker lives.
    cases.extend((4..valid.len()).map(|i| {
        let mut bytes = valid.clone();
        bytes[i] ^= 0xff;
        bytes
    }));
    for bytes in cases {
        let mut client = Client::connect(&cluster, 1);
        client.send_raw(&bytes);
        client.shutdown_write();
        client.receive_rest();
    }
    assert_eq!(Client::connect(&cluster, 1).call(&ask("t"), 9).topics[0].error_code, ErrorCode::NONE);
}
