//! Discard mode: counted, acknowledged, not kept, however the bytes come; and what `verify` still finds.

use crate::client::{Client, PATIENCE, batch, frame, only, produce};
use kafka_producer::mock::MockCluster;
use kafka_producer::protocol::ErrorCode;
use kafka_producer::protocol::messages::produce::{PartitionProduceData, TopicProduceData};
use kafka_producer::protocol::messages::{MetadataRequest, ProduceRequest};
use std::time::Duration;

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

/// Batches of these sizes, more or less, to partitions 0 and 1 in turn, under `t` and under a topic that there is not.
fn wide(cluster: &MockCluster, sizes: &[usize], acks: i16) -> ProduceRequest {
    let topic = |name: &str| TopicProduceData {
        name: name.to_owned(),
        topic_id: cluster.topic_id(name).unwrap_or([9; 16]),
        partition_data: (0..)
            .zip(sizes)
            .map(|(i, &size)| PartitionProduceData {
                index: i % 2,
                records: Some(batch(&["x", &"y".repeat(size)]).bytes()),
            })
            .collect(),
    };
    ProduceRequest { acks, timeout_ms: 1000, topic_data: vec![topic("t"), topic("u")], ..Default::default() }
}

/// What `batches` of two records each get under `t`, in the request with this number.
fn offsets(request: usize, batches: usize) -> Vec<(ErrorCode, i64)> {
    let per_request = [batches.div_ceil(2), batches / 2];
    let before = |i: usize| request * per_request[i % 2] + i / 2;
    (0..batches).map(|i| (ErrorCode::NONE, 2 * before(i) as i64)).collect()
}

/// Larger than every buffer, in writes of every kind; what is between the batches may be cut anywhere.
#[test]
fn requests_come_in_any_pieces() {
    let sizes = [10, 3 << 20, 40_000, 0, 300_000, 65_536, 4_000];
    for verify in [false, true] {
        for version in [3, 9, 13] {
            for step in [usize::MAX, 1 << 20, 50_021] {
                let (cluster, mut client) = start(verify);
                let one = frame(&wide(&cluster, &sizes, 1), version, 1);
                let stream = one.repeat(3);
                for part in stream.chunks(step.min(stream.len())) {
                    client.send_raw(part);
                }
                for request in 0..3 {
                    let answer = client.receive::<ProduceRequest>(version).unwrap().1;
                    let seen = |topic: usize| -> Vec<(ErrorCode, i64)> {
                        let partitions = &answer.responses[topic].partition_responses;
                        partitions.iter().map(|p| (p.error_code, p.base_offset)).collect()
                    };
                    assert_eq!(seen(0), offsets(request, sizes.len()));
                    assert!(seen(1).iter().all(|(code, _)| *code != ErrorCode::NONE));
                }
                let stats = cluster.stats();
                assert_eq!((stats.produce_requests, stats.produce_bytes), (3, 3 * (one.len() as u64 - 4)));
                assert_eq!((stats.batches, stats.records, stats.refused_batches), (21, 42, 21));
            }
        }
    }
}

#[test]
fn requests_come_byte_by_byte() {
    for version in [3, 9, 13] {
        let (cluster, mut client) = start(false);
        let one = frame(&wide(&cluster, &[100, 0, 30], 1), version, 1);
        for _ in 0..2 {
            for byte in &one {
                client.send_raw(&[*byte]);
            }
            client.receive::<ProduceRequest>(version).unwrap();
        }
        let stats = cluster.stats();
        assert_eq!((stats.batches, stats.records, stats.produce_bytes), (6, 12, 2 * (one.len() as u64 - 4)));
    }
}

#[test]
fn other_requests_between_large_ones_are_answered_in_their_turn() {
    let (cluster, mut client) = start(false);
    let silent = frame(&wide(&cluster, &[1 << 20, 100], 0), 9, 1);
    let large = frame(&wide(&cluster, &[1 << 20, 1 << 20], 1), 9, 2);
    let other = frame(&MetadataRequest { topics: None, ..Default::default() }, 9, 3);
    client.send_raw(&[&silent[..], &large, &other, &silent, &other, &large].concat());
    for expected in [2, 3, 3, 2] {
        let answer = client.receive_frame().unwrap();
        assert_eq!(answer[..4], i32::to_be_bytes(expected));
    }
    assert_eq!((cluster.stats().batches, cluster.stats().produce_requests), (8, 4));
}

/// A delayed answer keeps its time while the next request is still on its way.
#[test]
fn a_delayed_answer_leaves_while_a_batch_is_discarded() {
    let (cluster, mut client) = start(false);
    cluster.set_latency(1, Duration::from_millis(50));
    let large = frame(&wide(&cluster, &[1 << 20], 1), 9, 2);
    client.send(&MetadataRequest { topics: None, ..Default::default() }, 9);
    client.send_raw(&large[..500_000]);
    assert_eq!(client.receive_frame().unwrap()[..4], 1i32.to_be_bytes());
    client.send_raw(&large[500_000..]);
    assert_eq!(client.receive_frame().unwrap()[..4], 2i32.to_be_bytes());
    assert_eq!(cluster.stats().records, 2);
}

#[test]
fn a_request_that_is_cut_off_counts_for_nothing() {
    let (cluster, mut client) = start(false);
    let large = frame(&wide(&cluster, &[100, 1 << 20], 1), 9, 1);
    client.send_raw(&large[..large.len() - 1]);
    client.shutdown_write();
    assert!(client.receive_rest().is_empty());
    assert!(cluster.wait_until(PATIENCE, |c| c.open_connections(1) == 0));
    assert_eq!((cluster.stats().records, cluster.stats().batches, cluster.record_count("t")), (0, 0, 0));
}

/// As every broker does; but the answers of before are sent.
#[test]
fn what_cannot_be_read_ends_the_connection() {
    for verify in [false, true] {
        let (cluster, _) = start(verify);
        let good = frame(&wide(&cluster, &[100], 1), 9, 1);
        let mut longer = frame(&wide(&cluster, &[1 << 20], 1), 9, 2);
        longer.push(0);
        let len = i32::try_from(longer.len() - 4).unwrap();
        longer[..4].copy_from_slice(&len.to_be_bytes());
        for nonsense in
            [longer, vec![0x7f, 0xff, 0xff, 0xff], vec![0xff; 4], ((100 << 20) + 1i32).to_be_bytes().to_vec()]
        {
            let mut client = Client::connect(&cluster, 1);
            client.send_raw(&[&good[..], &nonsense].concat());
            assert_eq!(client.receive::<ProduceRequest>(9).unwrap().0, 1);
            assert!(client.is_closed());
        }
        assert_eq!((cluster.stats().produce_requests, cluster.stats().records), (4, 8));
    }
}
