//! What is appended, what is refused, and with which code.

use crate::client::{Batch, Client, batch, only, produce};
use kafka_producer::mock::{BrokerVersion, MockCluster, RequestBody};
use kafka_producer::protocol::messages::ProduceRequest;
use kafka_producer::protocol::{ApiKey, ErrorCode};

fn one_partition() -> (MockCluster, Client) {
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    let client = Client::connect(&cluster, 1);
    (cluster, client)
}

fn code(client: &mut Client, batch: &Batch) -> ErrorCode {
    client.produce("t", 0, batch.bytes()).error_code
}

#[test]
fn records_are_read_back_as_they_were_written() {
    let (cluster, mut client) = one_partition();
    let first = client.produce("t", 0, batch(&["a", "b"]).by(7, 0, 0).bytes());
    assert_eq!((first.error_code, first.base_offset), (ErrorCode::NONE, 0));
    let second = client.produce("t", 0, batch(&["c"]).by(7, 0, 2).bytes());
    assert_eq!((second.error_code, second.base_offset), (ErrorCode::NONE, 2));

    let records = cluster.records("t", 0);
    let values: Vec<_> =
        records.iter().map(|r| String::from_utf8(r.value.clone().unwrap()).unwrap()).collect();
    assert_eq!(values, ["a", "b", "c"]);
    let r = &records[1];
    assert_eq!((r.offset, r.timestamp, r.sequence), (1, 1_700_000_000_001, Some(1)));
    assert_eq!((r.producer_id, r.producer_epoch), (Some(7), Some(0)));
    assert_eq!((r.key.as_deref(), r.headers.as_slice()), (Some(&b"k"[..]), &[("h".to_owned(), None)][..]));
    let batches = cluster.batches("t", 0);
    assert_eq!((batches.len(), batches[1].base_offset, batches[0].record_count), (2, 2, 2));
    assert_eq!(cluster.stats().records, 3);
    assert!(cluster.violations().is_empty());
}

#[test]
fn every_version_of_produce_is_answered() {
    let (cluster, mut client) = one_partition();
    let id = cluster.topic_id("t").unwrap();
    for version in 3..=13 {
        let mut request = produce("t", 0, batch(&["v"]).bytes(), 1);
        request.topic_data[0].topic_id = id;
        let answer = only(client.call(&request, version));
        assert_eq!((answer.error_code, answer.base_offset), (ErrorCode::NONE, i64::from(version) - 3));
    }
    assert_eq!(cluster.record_count("t"), 11);
}

#[test]
fn sequences_are_judged_as_a_broker_judges_them() {
    let (cluster, mut client) = one_partition();
    let b = |sequence| batch(&["x"]).by(1, 0, sequence);
    assert_eq!(code(&mut client, &b(0)), ErrorCode::NONE);
    assert_eq!(code(&mut client, &b(1)), ErrorCode::NONE);
    assert_eq!(code(&mut client, &b(3)), ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
    let again = client.produce("t", 0, b(0).bytes());
    assert_eq!((again.error_code, again.base_offset), (ErrorCode::NONE, 0));
    assert_eq!(cluster.record_count("t"), 2);
    assert_eq!(cluster.stats().duplicate_batches, 1);

    assert_eq!(code(&mut client, &batch(&["y"]).by(1, 1, 2)), ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
    assert_eq!(code(&mut client, &batch(&["y"]).by(1, 1, 0)), ErrorCode::NONE);
    assert_eq!(code(&mut client, &b(2)), ErrorCode::INVALID_PRODUCER_EPOCH);
    assert_eq!(code(&mut client, &batch(&["z"]).by(2, 0, 500)), ErrorCode::NONE);
}

#[test]
fn an_old_broker_refuses_an_unknown_producer_in_mid_sequence() {
    let cluster = MockCluster::builder().version(BrokerVersion::V2_1).topic("t", 1).start().unwrap();
    let mut client = Client::connect(&cluster, 1);
    let answer = only(client.call(&produce("t", 0, batch(&["x"]).by(2, 0, 5).bytes(), -1), 7));
    assert_eq!(answer.error_code, ErrorCode::UNKNOWN_PRODUCER_ID);
}

/// As brokers do; franz-go without idempotence writes no id and a sequence all the same.
#[test]
fn without_a_producer_id_neither_epoch_nor_sequence_count() {
    let (cluster, mut client) = one_partition();
    for stamp in [(-1, -1, 0), (-1, 0, -1), (-1, 3, 7), (-1, -1, 0)] {
        let bytes = batch(&["x"]).by(stamp.0, stamp.1, stamp.2).bytes();
        assert_eq!(client.produce("t", 0, bytes).error_code, ErrorCode::NONE, "{stamp:?}");
    }
    let records = cluster.records("t", 0);
    assert_eq!(records.len(), 4);
    assert!(records.iter().all(|r| r.producer_id.is_none() && r.sequence.is_none()));
    assert!(cluster.violations().is_empty());
    for half in [(7, -1, 0), (7, 0, -2), (-2, 0, 0)] {
        let bytes = batch(&["x"]).by(half.0, half.1, half.2).bytes();
        assert_eq!(client.produce("t", 0, bytes).error_code, ErrorCode::INVALID_RECORD, "{half:?}");
    }
}

#[test]
fn malformed_batches_are_refused_and_noted() {
    let (cluster, mut client) = one_partition();
    let good = batch(&["abc"]).bytes();
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let mut two = good.clone();
    two.extend_from_slice(&good);
    let mut magic = good.clone();
    magic[16] = 1;
    let mut control = batch(&["abc"]);
    control.attributes = 1 << 5;
    let mut transactional = batch(&["abc"]);
    transactional.attributes = 1 << 4;
    let cases = [
        (flipped, ErrorCode::CORRUPT_MESSAGE),
        (two, ErrorCode::INVALID_RECORD),
        (magic, ErrorCode::INVALID_RECORD),
        (good[..good.len() - 1].to_vec(), ErrorCode::INVALID_RECORD),
        (Vec::new(), ErrorCode::INVALID_RECORD),
        (control.bytes(), ErrorCode::INVALID_RECORD),
        (transactional.bytes(), ErrorCode::INVALID_RECORD),
        (batch(&[]).bytes(), ErrorCode::INVALID_RECORD),
    ];
    for (i, (bytes, expected)) in cases.into_iter().enumerate() {
        let answer = client.produce("t", 0, bytes);
        assert_eq!(answer.error_code, expected, "case {i}: {:?}", answer.error_message);
        assert!(answer.error_message.is_some() || expected == ErrorCode::NONE);
    }
    assert_eq!(cluster.record_count("t"), 0);
    assert_eq!(cluster.violations().len(), 8);
}

#[test]
fn too_big_a_batch_is_refused() {
    let cluster = MockCluster::builder().topic("t", 1).max_message_bytes(200).start().unwrap();
    let mut client = Client::connect(&cluster, 1);
    assert_eq!(code(&mut client, &batch(&[&"x".repeat(300)])), ErrorCode::MESSAGE_TOO_LARGE);
    assert_eq!(code(&mut client, &batch(&["x"])), ErrorCode::NONE);
}

#[test]
fn a_follower_says_who_leads() {
    let cluster = MockCluster::builder().brokers(2).topic("t", 1).start().unwrap();
    cluster.set_leader("t", 0, 2).unwrap();
    let mut client = Client::connect(&cluster, 1);
    let response = client.call(&produce("t", 0, batch(&["x"]).bytes(), -1), 10);
    let endpoint = response.node_endpoints[0].clone();
    assert_eq!(format!("{}:{}", endpoint.host, endpoint.port), cluster.address(2).unwrap());
    let answer = only(response);
    assert_eq!(answer.error_code, ErrorCode::NOT_LEADER_OR_FOLLOWER);
    assert_eq!((answer.current_leader.leader_id, answer.current_leader.leader_epoch), (2, 1));
    let old = only(client.call(&produce("t", 0, batch(&["x"]).bytes(), -1), 9));
    assert_eq!(old.error_code, ErrorCode::NOT_LEADER_OR_FOLLOWER);
}

#[test]
fn unknown_places_and_acks_have_their_codes() {
    let (_cluster, mut client) = one_partition();
    assert_eq!(
        client.produce("u", 0, batch(&["x"]).bytes()).error_code,
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
    );
    assert_eq!(
        client.produce("t", 1, batch(&["x"]).bytes()).error_code,
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
    );
    assert_eq!(
        client.produce("t", -1, batch(&["x"]).bytes()).error_code,
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
    );
    let mut by_id = produce("", 0, batch(&["x"]).bytes(), -1);
    by_id.topic_data[0].topic_id = [9; 16];
    assert_eq!(only(client.call(&by_id, 13)).error_code, ErrorCode::UNKNOWN_TOPIC_ID);
    let acks = only(client.call(&produce("t", 0, batch(&["x"]).bytes(), 2), 9));
    assert_eq!(acks.error_code, ErrorCode::INVALID_REQUIRED_ACKS);
}

#[test]
fn too_few_replicas_in_sync_refuse_acks_all_only() {
    let cluster = MockCluster::builder().brokers(3).topic("t", 1).min_in_sync(2).start().unwrap();
    cluster.set_in_sync("t", 0, &[1]).unwrap();
    let mut client = Client::connect(&cluster, 1);
    let mut send = |acks| only(client.call(&produce("t", 0, batch(&["x"]).bytes(), acks), 9)).error_code;
    assert_eq!(send(-1), ErrorCode::NOT_ENOUGH_REPLICAS);
    assert_eq!(send(1), ErrorCode::NONE);
    cluster.set_in_sync("t", 0, &[1, 3]).unwrap();
    assert_eq!(cluster.in_sync("t", 0), [1, 3]);
    assert_eq!(send(-1), ErrorCode::NONE);
}

#[test]
fn without_acks_there_is_no_answer_and_an_error_closes() {
    let (cluster, mut client) = one_partition();
    client.send(&produce("t", 0, batch(&["x"]).bytes(), 0), 9);
    let answer = client.produce("t", 0, batch(&["y"]).bytes());
    assert_eq!(answer.base_offset, 1);
    client.send(&produce("nowhere", 0, batch(&["x"]).bytes(), 0), 9);
    assert!(client.is_closed());
    assert_eq!(cluster.record_count("t"), 2);
}

#[test]
fn log_append_time_is_the_brokers() {
    let cluster = MockCluster::builder().topic("t", 1).log_append_time(true).start().unwrap();
    let mut client = Client::connect(&cluster, 1);
    let answer = client.produce("t", 0, batch(&["x", "y"]).by(1, 0, 0).bytes());
    assert!(answer.log_append_time_ms > 1_700_000_000_001);
    assert!(cluster.records("t", 0).iter().all(|r| r.timestamp == answer.log_append_time_ms));
    let again = client.produce("t", 0, batch(&["x", "y"]).by(1, 0, 0).bytes());
    assert_eq!(again.log_append_time_ms, answer.log_append_time_ms);
}

#[test]
fn the_journal_tells_what_was_asked() {
    let (cluster, mut client) = one_partition();
    client.produce("t", 0, batch(&["x", "y"]).by(3, 1, 0).bytes());
    let requests = cluster.requests(ApiKey::PRODUCE);
    assert_eq!(requests.len(), 1);
    assert_eq!((requests[0].node, requests[0].version), (1, 9));
    assert_eq!(requests[0].client_id.as_deref(), Some("test"));
    let RequestBody::Produce { acks, batches, .. } = &requests[0].body else {
        panic!("{:?}", requests[0].body)
    };
    assert_eq!((*acks, batches.len()), (-1, 1));
    let b = &batches[0];
    assert_eq!((b.topic.as_str(), b.partition, b.records), ("t", 0, 2));
    assert_eq!((b.producer_id, b.producer_epoch, b.base_sequence), (Some(3), Some(1), Some(0)));
    cluster.clear_journal();
    assert!(cluster.journal().is_empty());
}

#[test]
fn truncation_deletion_and_forgetting_change_what_follows() {
    let (cluster, mut client) = one_partition();
    for sequence in 0..4 {
        assert_eq!(code(&mut client, &batch(&["x"]).by(1, 0, sequence)), ErrorCode::NONE);
    }
    cluster.truncate("t", 0, 2).unwrap();
    assert_eq!((cluster.end_offset("t", 0), cluster.leader_epoch("t", 0)), (Some(2), Some(1)));
    assert_eq!(code(&mut client, &batch(&["x"]).by(1, 0, 3)), ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
    assert_eq!(code(&mut client, &batch(&["x"]).by(1, 0, 2)), ErrorCode::NONE);
    cluster.delete_records("t", 0, 2).unwrap();
    assert_eq!(cluster.records("t", 0).len(), 1);
    assert!(cluster.forget_producer("t", 0, 1));
    assert_eq!(code(&mut client, &batch(&["x"]).by(1, 0, 9)), ErrorCode::NONE);
}

#[test]
fn a_request_may_carry_many_partitions() {
    let cluster = MockCluster::builder().topic("t", 2).topic("u", 1).start().unwrap();
    let mut client = Client::connect(&cluster, 1);
    let mut request = produce("t", 0, batch(&["x"]).bytes(), -1);
    request.topic_data.extend(produce("t", 1, batch(&["y"]).bytes(), -1).topic_data);
    request.topic_data.extend(produce("u", 5, batch(&["z"]).bytes(), -1).topic_data);
    let response = client.call::<ProduceRequest>(&request, 9);
    let codes: Vec<_> = response.responses.iter().map(|t| t.partition_responses[0].error_code).collect();
    assert_eq!(codes, [ErrorCode::NONE, ErrorCode::NONE, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION]);
}

#[test]
fn what_tests_print_and_gather_is_made_for_people() {
    let cluster = MockCluster::builder().topic("t", 3).topic("u", 1).start().unwrap();
    let mut client = Client::connect(&cluster, 1);
    client.produce("t", 2, batch(&["c"]).bytes());
    client.produce("t", 0, batch(&["a", "b\u{1}"]).bytes());
    let all: Vec<_> =
        cluster.topic_records("t").into_iter().map(|(p, r)| (p, r.offset, r.value.unwrap())).collect();
    assert_eq!(all, [(0, 0, b"a".to_vec()), (0, 1, b"b\x01".to_vec()), (2, 0, b"c".to_vec())]);
    assert!(cluster.topic_records("nowhere").is_empty());

    let shown = format!("{:?}", cluster.records("t", 0)[1]);
    assert!(shown.contains(r#"key: Some(b"k"), value: Some(b"b\x01"), headers: [("h", None)]"#), "{shown}");
    client.produce("t", 1, batch(&[&"x".repeat(5000)]).bytes());
    let shown = format!("{:?}", cluster.records("t", 1));
    assert!(shown.contains("4800 bytes more") && shown.len() < 600, "{shown}");
    let shown = format!("{cluster:?}");
    assert!(shown.contains(r#"end_offsets: {"t": [2, 1, 1], "u": [0]}"#) && shown.len() < 600, "{shown}");

    let batches: Vec<_> = cluster.journal().iter().flat_map(|r| r.batches().to_vec()).collect();
    assert_eq!(
        batches.iter().map(|b| (b.partition, b.records)).collect::<Vec<_>>(),
        [(2, 1), (0, 2), (1, 1)]
    );
}
