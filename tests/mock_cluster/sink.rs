//! Discard mode: counted, acknowledged, not kept; and what `verify` still finds.

use crate::client::{Client, batch, only, produce};
use kafka_producer::mock::MockCluster;
use kafka_producer::protocol::ErrorCode;
use kafka_producer::protocol::messages::{MetadataRequest, ProduceRequest};

fn start(verify: bool) -> (MockCluster, Client) {
    let cluster = MockCluster::builder().discard(true).verify(verify).topic("t", 2).start().unwrap();
    let client = Client::connect(&cluster, 1);
    (cluster, client)
}

#[test]
fn records_are_counted_acknowledged_and_gone() {
    for verify in [false, true] {
        let (cluster, mut client) = start(verify);
        let id = cluster.topic_id("t").unwrap();
        for (i, version) in (3..=13).enumerate() {
            let mut request = produce("t", 1, batch(&["x", "y"]).bytes(), 1);
            request.topic_data[0].topic_id = id;
            let answer = only(client.call(&request, version));
            assert_eq!((answer.error_code, answer.base_offset), (ErrorCode::NONE, 2 * i as i64));
        }
        let stats = cluster.stats();
        assert_eq!((stats.records, stats.batches, stats.produce_requests), (22, 11, 11));
        assert_eq!((cluster.record_count("t"), cluster.end_offset("t", 1)), (22, Some(22)));
        assert!(cluster.records("t", 1).is_empty());
    }
}

#[test]
fn compressed_batches_are_counted_by_their_headers() {
    let (cluster, mut client) = start(false);
    for attributes in [0, 1, 2, 3, 4, 0b1000] {
        let mut batch = batch(&["x"]);
        batch.attributes = attributes;
        assert_eq!(client.produce("t", 0, batch.bytes()).error_code, ErrorCode::NONE);
    }
    assert_eq!((cluster.stats().batches, cluster.stats().compressed_batches), (6, 4));
}

#[test]
fn without_acks_there_is_no_answer() {
    let (cluster, mut client) = start(false);
    client.send(&produce("t", 0, batch(&["x"]).bytes(), 0), 9);
    assert_eq!(client.produce("t", 0, batch(&["x"]).bytes()).base_offset, 1);
    assert_eq!(cluster.stats().records, 2);
}

#[test]
fn other_requests_are_answered_and_errors_are_errors() {
    let (cluster, mut client) = start(false);
    assert_eq!(client.call(&MetadataRequest { topics: None, ..Default::default() }, 9).topics.len(), 1);
    assert_eq!(
        client.produce("u", 0, batch(&["x"]).bytes()).error_code,
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
    );
    assert_eq!(
        client.produce("t", 7, batch(&["x"]).bytes()).error_code,
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
    );
    assert_eq!(cluster.stats().refused_batches, 2);
    cluster.recreate_topic("t").unwrap();
    assert_eq!(client.produce("t", 0, batch(&["x"]).bytes()).base_offset, 0);
}

#[test]
fn answers_of_pipelined_requests_come_in_order() {
    let (_cluster, mut client) = start(false);
    let sent: Vec<i32> =
        (0..100).map(|_| client.send(&produce("t", 0, batch(&["x"]).bytes(), 1), 9)).collect();
    let received: Vec<i32> = sent.iter().map(|_| client.receive::<ProduceRequest>(9).unwrap().0).collect();
    assert_eq!(received, sent);
}

#[test]
fn verify_still_judges() {
    let (_cluster, mut client) = start(true);
    let mut broken = batch(&["x"]).bytes();
    *broken.last_mut().unwrap() ^= 1;
    assert_eq!(client.produce("t", 0, broken).error_code, ErrorCode::CORRUPT_MESSAGE);
    assert_eq!(client.produce("t", 0, batch(&["x"]).by(1, 0, 0).bytes()).error_code, ErrorCode::NONE);
    let gap = client.produce("t", 0, batch(&["x"]).by(1, 0, 2).bytes());
    assert_eq!(gap.error_code, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
}
