//! What consumers get of transactions: where they stop, and what they have to skip.

use crate::client::{Client, batch};
use crate::txn_client::Txn;
use kafka_producer::mock::MockCluster;
use kafka_producer::protocol::ErrorCode as E;
use kafka_producer::protocol::messages::fetch::{AbortedTransaction, FetchPartition, FetchTopic};
use kafka_producer::protocol::messages::list_offsets::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_producer::protocol::messages::{FetchRequest, ListOffsetsRequest};

fn cluster(version: i16) -> MockCluster {
    MockCluster::builder().topic("t", 1).transaction_version(version).start().unwrap()
}

/// Of partition 0 of `t`: the batches from `offset` on, and the list of aborted transactions.
fn fetch(
    client: &mut Client,
    offset: i64,
    isolation_level: i8,
) -> (usize, i64, Option<Vec<AbortedTransaction>>) {
    let partition =
        FetchPartition { fetch_offset: offset, partition_max_bytes: 1 << 20, ..Default::default() };
    let topic = FetchTopic { topic: "t".to_owned(), partitions: vec![partition], ..Default::default() };
    let request = FetchRequest { isolation_level, topics: vec![topic], ..Default::default() };
    let response = client.call(&request, 11);
    let data = response.responses[0].partitions[0].clone();
    assert_eq!(data.error_code, E::NONE);
    let mut bytes = &data.records.unwrap()[..];
    let mut batches = 0;
    while !bytes.is_empty() {
        bytes = &bytes[12 + u32::from_be_bytes(bytes[8..12].try_into().unwrap()) as usize..];
        batches += 1;
    }
    (batches, data.last_stable_offset, data.aborted_transactions)
}

#[test]
fn fetch_stops_readers_of_committed_records_and_tells_them_what_was_aborted() {
    for version in [1, 2] {
        let cluster = cluster(version);
        let mut txn = Txn::start(&cluster, "id", version);
        txn.send("t", 0, &["a"]);
        txn.send("t", 0, &["b"]);
        txn.end(false);
        txn.send("t", 0, &["c"]);
        txn.end(true);
        let open = txn.producer;
        txn.send("t", 0, &["d"]);
        let mut client = Client::connect(&cluster, 1);
        client.produce("t", 0, batch(&["plain"]).bytes());
        let aborted = vec![AbortedTransaction { producer_id: open.0, first_offset: 0 }];
        // a, b, marker, c, marker | d, plain
        assert_eq!(fetch(&mut client, 0, 0), (7, 5, None));
        assert_eq!(fetch(&mut client, 0, 1), (5, 5, Some(aborted.clone())));
        assert_eq!(fetch(&mut client, 2, 1), (3, 5, Some(aborted)));
        assert_eq!(fetch(&mut client, 3, 1), (2, 5, Some(vec![])));
        assert_eq!(fetch(&mut client, 5, 1), (0, 5, Some(vec![])));
        let mut last = |isolation_level| {
            let partition = ListOffsetsPartition { timestamp: -1, ..Default::default() };
            let topic = ListOffsetsTopic { name: "t".to_owned(), partitions: vec![partition] };
            let request = ListOffsetsRequest { isolation_level, topics: vec![topic], ..Default::default() };
            client.call(&request, 5).topics[0].partitions[0].offset
        };
        assert_eq!((last(0), last(1)), (7, 5));
    }
}

#[test]
fn fetch_sessions_are_neither_offered_nor_found() {
    let cluster = cluster(2);
    let mut client = Client::connect(&cluster, 1);
    let asks = FetchRequest { session_epoch: 0, ..Default::default() };
    let answer = client.call(&asks, 11);
    assert_eq!((answer.error_code, answer.session_id), (E::NONE, 0));
    let invented = FetchRequest { session_id: 7, session_epoch: 1, ..Default::default() };
    assert_eq!(client.call(&invented, 11).error_code, E::FETCH_SESSION_ID_NOT_FOUND);
}
