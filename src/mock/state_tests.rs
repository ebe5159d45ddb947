//! The cluster without sockets: virtual time, and bytes that nobody should send.

use super::*;
use crate::mock::Fault;
use crate::mock::coordinator::{Key, TransactionState};
use crate::protocol::Request;
use crate::protocol::messages::add_partitions_to_txn::AddPartitionsToTxnTopic;
use crate::protocol::messages::metadata::MetadataRequestTopic;
use crate::protocol::messages::produce::{PartitionProduceData, TopicProduceData};
use crate::protocol::record::{BatchAttributes, BatchHeader};

fn cluster() -> ClusterState {
    let mut state = ClusterState::new(ClusterOptions::default(), "mock", &[1, 2]);
    state.topology.create_topic("t", 2, 2).unwrap();
    state
}

fn frame<R: Request>(request: &R, version: i16) -> Vec<u8> {
    let mut w = Writer::new();
    w.i16(R::API_KEY.0);
    w.i16(version);
    w.i32(42);
    w.nullable_string(Some("sim"), false).unwrap();
    w.no_tagged_fields(R::API_KEY.is_flexible(version));
    request.encode(&mut w, version).unwrap();
    w.into_parts().0
}

/// One record without key, value and headers.
fn batch() -> Vec<u8> {
    let body: &[u8] = &[12, 0, 0, 0, 1, 1, 0];
    let header = BatchHeader {
        base_offset: 0,
        partition_leader_epoch: None,
        attributes: BatchAttributes::default(),
        last_offset_delta: 0,
        base_timestamp: 5,
        max_timestamp: 5,
        producer: None,
        record_count: 1,
    };
    let mut bytes = header.stamp(body.len(), [body].into_iter()).to_vec();
    bytes.extend_from_slice(body);
    bytes
}

fn produce() -> ProduceRequest {
    let partition_data = vec![PartitionProduceData { index: 0, records: Some(batch()) }];
    let topic = TopicProduceData { name: "t".to_owned(), partition_data, ..Default::default() };
    ProduceRequest { acks: -1, timeout_ms: 1, topic_data: vec![topic], ..Default::default() }
}

#[test]
fn the_same_bytes_at_any_time_have_the_same_answer() {
    let start = crate::clock::now();
    let replies = [start, start + Duration::from_secs(3600)].map(|now| {
        let mut state = cluster();
        (0..3).map(|_| state.handle(now, 1, 1, &frame(&produce(), 9))).collect::<Vec<_>>()
    });
    assert_eq!(replies[0], replies[1]);
    assert!(replies[0].iter().all(|r| r.then == Then::Continue && r.delay.is_zero()));
}

#[test]
fn delays_are_numbers_for_the_caller() {
    let mut state = cluster();
    state.set_latency(1, Duration::from_millis(5));
    state.faults.inject(Fault::on(ApiKey::PRODUCE).delay(Duration::from_secs(60)));
    let now = crate::clock::now();
    assert_eq!(state.handle(now, 1, 1, &frame(&produce(), 9)).delay, Duration::from_millis(60_005));
    assert_eq!(state.handle(now, 1, 1, &frame(&produce(), 9)).delay, Duration::from_millis(5));
    assert_eq!(state.topology.partition("t", 0).unwrap().log.end_offset(), 2);
}

#[test]
fn answers_lost_after_the_append_leave_the_records() {
    let mut state = cluster();
    state.faults.inject(Fault::on(ApiKey::PRODUCE).drop_after());
    let reply = state.handle(crate::clock::now(), 1, 1, &frame(&produce(), 9));
    assert_eq!((reply.bytes.len(), reply.then), (0, Then::Close));
    assert_eq!(state.topology.partition("t", 0).unwrap().log.records().len(), 1);
    state.topology.stop_node(1);
    assert_eq!(state.topology.partition("t", 0).unwrap().leader, Some(2));
}

#[test]
fn a_version_that_was_not_offered_ends_the_connection() {
    let mut state = cluster();
    state.options.version = BrokerVersion::V2_8;
    let reply = state.handle(crate::clock::now(), 1, 1, &frame(&produce(), 13));
    assert_eq!(reply.then, Then::Close);
    assert!(state.violations()[0].contains("Produce"));
}

fn init() -> InitProducerIdRequest {
    InitProducerIdRequest {
        transactional_id: Some("id".to_owned()),
        transaction_timeout_ms: 1000,
        ..Default::default()
    }
}

fn add(producer_epoch: i16) -> AddPartitionsToTxnRequest {
    AddPartitionsToTxnRequest {
        transactional_id: "id".to_owned(),
        producer_id: 1000,
        producer_epoch,
        topics: vec![AddPartitionsToTxnTopic { name: "t".to_owned(), partitions: vec![0] }],
    }
}

fn end(producer_epoch: i16) -> EndTxnRequest {
    EndTxnRequest { transactional_id: "id".to_owned(), producer_id: 1000, producer_epoch, committed: true }
}

#[test]
fn timeouts_and_markers_come_with_virtual_time() {
    let mut state = cluster();
    state.options.transaction_version = Some(1);
    state.options.marker_delay = Duration::from_secs(5);
    let start = crate::clock::now();
    let at = |ms| start + Duration::from_millis(ms);
    let node = state.coordinator(Key::Transaction("id"), start).unwrap();
    let status = |state: &ClusterState| state.transaction("id").map(|t| (t.state, t.epoch)).unwrap();
    state.handle(start, node, 1, &frame(&init(), 4));
    assert_eq!(state.next_event(start), None);
    state.handle(at(10), node, 1, &frame(&add(0), 3));
    assert_eq!(state.next_event(at(10)), Some(at(1010)));
    state.advance(at(1009));
    assert_eq!(status(&state), (TransactionState::Ongoing, 0));
    // Whatever comes next finds the transaction aborted, and its owner fenced.
    state.handle(at(1010), 1, 2, &frame(&produce(), 9));
    assert_eq!(status(&state), (TransactionState::PrepareAbort, 1));
    assert_eq!(state.next_event(at(1010)), Some(at(6010)));
    state.advance(at(6010));
    assert_eq!(status(&state), (TransactionState::CompleteAbort, 1));
    assert_eq!(state.next_event(at(6010)), None);
    state.handle(at(6011), node, 1, &frame(&end(0), 3));
    assert_eq!(status(&state), (TransactionState::CompleteAbort, 1));
}

#[test]
fn no_bytes_make_it_panic_and_it_answers_on_afterwards() {
    let topic = MetadataRequestTopic { name: Some("t".to_owned()), ..Default::default() };
    let metadata = MetadataRequest { topics: Some(vec![topic]), ..Default::default() };
    let seeds = [
        frame(&produce(), 9),
        frame(&produce(), 3),
        frame(&metadata, 12),
        frame(&InitProducerIdRequest::default(), 4),
        frame(&CreateTopicsRequest::default(), 7),
        frame(&DeleteTopicsRequest::default(), 6),
        frame(&FetchRequest::default(), 12),
        frame(&ListOffsetsRequest::default(), 6),
        frame(&ApiVersionsRequest::default(), 3),
        frame(&DescribeClusterRequest::default(), 1),
        frame(&FindCoordinatorRequest { coordinator_keys: vec!["id".to_owned()], ..Default::default() }, 4),
        frame(&init(), 4),
        frame(&add(0), 3),
        frame(&AddOffsetsToTxnRequest { group_id: "g".to_owned(), ..Default::default() }, 3),
        frame(&TxnOffsetCommitRequest { group_id: "g".to_owned(), ..Default::default() }, 5),
        frame(&end(0), 5),
        frame(&OffsetCommitRequest::default(), 8),
        frame(&OffsetFetchRequest::default(), 8),
    ];
    let now = crate::clock::now();
    let mut state = cluster();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |bound: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % bound as u64).unwrap()
    };
    for _ in 0..20_000 {
        let mut bytes = seeds[next(seeds.len())].clone();
        for _ in 0..=next(3) {
            let at = next(bytes.len());
            match next(4) {
                0 => bytes.truncate(at.max(1)),
                1 => bytes.insert(at, [0, 1, 0x7f, 0xff][next(4)]),
                _ => bytes[at] = [0, 1, 0x7f, 0x80, 0xff, next(256) as u8][next(6)],
            }
        }
        state.handle(now, 1 + next(2) as i32, 1, &bytes);
    }
    let reply = state.handle(now, 1, 1, &frame(&ApiVersionsRequest::default(), 0));
    let mut r = Reader::new(&reply.bytes[8..]);
    assert_eq!(r.i16().map(ErrorCode), Ok(ErrorCode::NONE));
}
