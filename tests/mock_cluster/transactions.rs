//! Transactions as brokers serve them, in both versions: enrolment, ends, markers, what readers see.

use crate::client::{Batch, Client, batch, only, produce};
use crate::txn_client::{Txn, init};
use kafka_producer::mock::{BrokerVersion, Marker, MockCluster, TransactionState as S};
use kafka_producer::protocol::ErrorCode as E;
use kafka_producer::protocol::messages::InitProducerIdRequest;
use std::time::Duration;

fn cluster(version: i16) -> MockCluster {
    let builder = MockCluster::builder().topic("t", 2).topic("u", 1);
    builder.transaction_version(version).start().unwrap()
}

fn values(records: Vec<kafka_producer::mock::StoredRecord>) -> Vec<String> {
    records.into_iter().map(|r| String::from_utf8(r.value.unwrap()).unwrap()).collect()
}

#[test]
fn a_commit_shows_all_of_its_records_at_once() {
    for version in [1, 2] {
        let cluster = cluster(version);
        let mut txn = Txn::start(&cluster, "id", version);
        txn.send("t", 0, &["a", "b"]);
        txn.send("t", 1, &["c"]);
        txn.send("u", 0, &["d"]);
        assert_eq!(cluster.transaction("id").unwrap().state, S::Ongoing);
        assert_eq!(cluster.transaction("id").unwrap().partitions.len(), 3);
        assert_eq!(cluster.last_stable_offset("t", 0), Some(0));
        assert!(cluster.committed_records("t", 0).is_empty());
        assert_eq!(values(cluster.records("t", 0)), ["a", "b"]);
        assert_eq!(txn.end(true), E::NONE);
        assert_eq!(cluster.transaction("id").unwrap().state, S::CompleteCommit);
        assert_eq!(values(cluster.committed_records("t", 0)), ["a", "b"]);
        assert_eq!(values(cluster.committed_records("t", 1)), ["c"]);
        assert_eq!(values(cluster.committed_records("u", 0)), ["d"]);
        // The marker takes an offset and is no record.
        assert_eq!((cluster.end_offset("t", 0), cluster.last_stable_offset("t", 0)), (Some(3), Some(3)));
        assert_eq!((cluster.record_count("t"), cluster.stats().records), (3, 4));
        let batches = cluster.batches("t", 0);
        assert_eq!((batches[1].marker, batches[1].record_count), (Some(Marker::Commit), 0));
        assert!(batches[0].transactional && batches[0].marker.is_none());
        assert!(cluster.records("t", 0)[0].transactional);
        assert!(cluster.violations().is_empty(), "{:?}", cluster.violations());
    }
}

#[test]
fn an_abort_shows_nothing_to_readers_of_committed_records() {
    for version in [1, 2] {
        let cluster = cluster(version);
        let mut txn = Txn::start(&cluster, "id", version);
        txn.send("t", 0, &["a"]);
        assert_eq!(txn.end(false), E::NONE);
        txn.send("t", 0, &["b"]);
        assert_eq!(txn.end(true), E::NONE);
        txn.send("t", 0, &["c"]);
        assert_eq!(values(cluster.committed_records("t", 0)), ["b"]);
        assert_eq!(values(cluster.records("t", 0)), ["a", "b", "c"]);
        assert_eq!(cluster.last_stable_offset("t", 0), Some(4));
        let batches = cluster.batches("t", 0);
        assert_eq!(batches[1].marker, Some(Marker::Abort));
        assert_eq!(batches[3].marker, Some(Marker::Commit));
    }
}

#[test]
fn version_2_raises_the_epoch_with_each_end_and_starts_sequences_again() {
    let cluster = cluster(2);
    let mut txn = Txn::start(&cluster, "id", 2);
    let (id, epoch) = txn.producer;
    for (round, commit) in (1..).zip([true, false, true]) {
        txn.send("t", 0, &["x"]);
        assert_eq!(txn.end(commit), E::NONE);
        assert_eq!(txn.producer, (id, epoch + round));
    }
    // A late batch of the last transaction cannot land in the next one.
    let late = batch(&["late"]).in_transaction_of(id, epoch + 2, 1);
    assert_eq!(txn.produce("t", 0, &late, 13).error_code, E::INVALID_PRODUCER_EPOCH);
    assert_eq!(cluster.transaction("id").unwrap().state, S::CompleteCommit);
}

#[test]
fn version_1_keeps_the_epoch_and_the_sequences() {
    let cluster = cluster(1);
    let mut txn = Txn::start(&cluster, "id", 1);
    let producer = txn.producer;
    for commit in [true, false, true] {
        txn.send("t", 0, &["x"]);
        assert_eq!(txn.end(commit), E::NONE);
        assert_eq!(txn.producer, producer);
    }
    assert_eq!(cluster.records("t", 0)[2].sequence, Some(2));
}

#[test]
fn a_batch_of_a_partition_outside_the_transaction_is_refused() {
    let cluster = cluster(1);
    let mut txn = Txn::start(&cluster, "id", 1);
    assert_eq!(txn.add("t", 0), E::NONE);
    let (id, epoch) = txn.producer;
    let stray = batch(&["x"]).in_transaction_of(id, epoch, 0);
    assert_eq!(txn.produce("t", 1, &stray, 9).error_code, E::INVALID_TXN_STATE);
    assert_eq!(txn.produce("t", 1, &stray, 11).error_code, E::TRANSACTION_ABORTABLE);
    assert_eq!(txn.produce("t", 0, &stray, 9).error_code, E::NONE);
    // Neither without the id, nor outside while it is open, nor after its end.
    let mut client = Client::connect(&cluster, 1);
    let code = only(client.call(&produce("t", 0, stray.bytes(), -1), 9)).error_code;
    assert_eq!(code, E::TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
    let plain = batch(&["x"]).by(id, epoch, 1);
    assert_eq!(client.produce("t", 0, plain.bytes()).error_code, E::INVALID_TXN_STATE);
    assert_eq!(txn.end(true), E::NONE);
    let late = batch(&["x"]).in_transaction_of(id, epoch, 1);
    assert_eq!(txn.produce("t", 0, &late, 11).error_code, E::TRANSACTION_ABORTABLE);
    let unknown = batch(&["x"]).in_transaction_of(id + 50, 0, 0);
    assert_eq!(txn.produce("t", 0, &unknown, 11).error_code, E::INVALID_PRODUCER_ID_MAPPING);
    assert_eq!(cluster.record_count("t"), 1);
}

#[test]
fn add_partitions_takes_all_or_none() {
    let cluster = cluster(1);
    let mut txn = Txn::start(&cluster, "id", 1);
    let codes = txn.add_all(&[("t", 0), ("t", 7), ("u", 0)]);
    assert_eq!(
        codes,
        [E::OPERATION_NOT_ATTEMPTED, E::UNKNOWN_TOPIC_OR_PARTITION, E::OPERATION_NOT_ATTEMPTED]
    );
    assert_eq!(cluster.transaction("id").unwrap().state, S::Empty);
    assert_eq!(txn.add_all(&[("t", 0), ("u", 0)]), [E::NONE, E::NONE]);
    assert_eq!(cluster.transaction("id").unwrap().partitions, [("t".to_owned(), 0), ("u".to_owned(), 0)]);
}

#[test]
fn a_second_producer_fences_the_first_and_aborts_its_transaction() {
    for version in [1, 2] {
        let cluster = cluster(version);
        let mut first = Txn::start(&cluster, "id", version);
        first.send("t", 0, &["a"]);
        let mut client = Client::connect(&cluster, 1);
        assert_eq!(client.call(&init("id"), 4).error_code, E::CONCURRENT_TRANSACTIONS);
        assert_eq!(cluster.transaction("id").unwrap().state, S::CompleteAbort);
        let second = client.call(&init("id"), 4);
        assert_eq!((second.error_code, second.producer_id), (E::NONE, first.producer.0));
        assert!(second.producer_epoch > first.producer.1);
        assert_eq!(first.end(true), E::PRODUCER_FENCED);
        assert_eq!(first.add("t", 0), E::PRODUCER_FENCED);
        let (id, epoch) = first.producer;
        let late = batch(&["x"]).in_transaction_of(id, epoch, 1);
        assert_eq!(first.produce("t", 0, &late, 9).error_code, E::INVALID_PRODUCER_EPOCH);
        assert!(cluster.committed_records("t", 0).is_empty());
        // Older versions know one code only.
        first.end_version = 1;
        assert_eq!(first.end(true), E::INVALID_PRODUCER_EPOCH);
    }
}

#[test]
fn a_test_fences_a_producer() {
    for version in [1, 2] {
        let cluster = cluster(version);
        assert_eq!(cluster.fence("id"), Err(E::TRANSACTIONAL_ID_NOT_FOUND));
        let mut txn = Txn::start(&cluster, "id", version);
        txn.send("t", 0, &["a"]);
        cluster.fence("id").unwrap();
        assert_eq!(txn.end(true), E::PRODUCER_FENCED);
        assert_eq!(txn.end(false), E::PRODUCER_FENCED);
        assert_eq!(cluster.last_stable_offset("t", 0), Some(2));
    }
}

#[test]
fn a_producer_raises_its_own_epoch() {
    let cluster = cluster(1);
    let mut client = Client::connect(&cluster, 1);
    let first = client.call(&init("id"), 4);
    let own = InitProducerIdRequest {
        producer_id: first.producer_id,
        producer_epoch: first.producer_epoch,
        ..init("id")
    };
    let second = client.call(&own, 4);
    assert_eq!(second.producer_epoch, first.producer_epoch + 1);
    // The answer got lost: the same question has the same answer.
    assert_eq!(client.call(&own, 4).producer_epoch, first.producer_epoch + 1);
    let third = client.call(&init("id"), 4);
    assert_eq!(third.producer_epoch, first.producer_epoch + 2);
    assert_eq!(client.call(&own, 4).error_code, E::PRODUCER_FENCED);
    assert_eq!(client.call(&own, 3).error_code, E::INVALID_PRODUCER_EPOCH);
    let stranger = InitProducerIdRequest { producer_id: 5, producer_epoch: 0, ..init("id") };
    assert_eq!(client.call(&stranger, 4).error_code, E::PRODUCER_FENCED);
}

#[test]
fn used_up_epochs_bring_a_new_producer_id() {
    let cluster = cluster(2);
    cluster.set_next_producer(70, i16::MAX - 2);
    let mut txn = Txn::start(&cluster, "id", 2);
    assert_eq!(txn.producer, (70, i16::MAX - 2));
    txn.send("t", 0, &["a"]);
    txn.end(true);
    assert_eq!(txn.producer, (70, i16::MAX - 1));
    txn.send("t", 0, &["b"]);
    let before = txn.producer;
    assert_eq!(txn.end(true), E::NONE);
    assert_eq!(txn.producer, (71, 0));
    // Asked again, since the answer got lost.
    txn.producer = before;
    assert_eq!((txn.end(true), txn.producer), (E::NONE, (71, 0)));
    txn.send("t", 0, &["c"]);
    assert_eq!(txn.end(true), E::NONE);
    assert_eq!(values(cluster.committed_records("t", 0)), ["a", "b", "c"]);

    let old = self::cluster(1);
    old.set_next_producer(80, i16::MAX - 1);
    let mut client = Client::connect(&old, 1);
    assert_eq!(client.call(&init("id"), 4).producer_epoch, i16::MAX - 1);
    let next = client.call(&init("id"), 4);
    assert_eq!((next.producer_id, next.producer_epoch), (81, 0));
}

#[test]
fn timeouts_have_a_maximum() {
    let cluster = MockCluster::builder().max_transaction_timeout(Duration::from_secs(60)).start().unwrap();
    let mut client = Client::connect(&cluster, 1);
    for (ms, code) in
        [(60_001, E::INVALID_TRANSACTION_TIMEOUT), (0, E::INVALID_TRANSACTION_TIMEOUT), (60_000, E::NONE)]
    {
        let request = InitProducerIdRequest { transaction_timeout_ms: ms, ..init("id") };
        assert_eq!(client.call(&request, 4).error_code, code);
    }
    assert_eq!(cluster.transaction("id").unwrap().timeout, Duration::from_secs(60));
    let nameless = InitProducerIdRequest { transactional_id: Some(String::new()), ..init("") };
    assert_eq!(client.call(&nameless, 4).error_code, E::INVALID_REQUEST);
}

#[test]
fn a_transaction_that_takes_too_long_is_aborted() {
    for version in [1, 2] {
        let cluster = cluster(version);
        let mut txn = Txn::start(&cluster, "id", version);
        assert!(!cluster.time_out_transaction("id"));
        txn.send("t", 0, &["a"]);
        assert!(cluster.time_out_transaction("id"));
        assert_eq!(cluster.last_stable_offset("t", 0), Some(2));
        let (id, epoch) = txn.producer;
        let late = batch(&["x"]).in_transaction_of(id, epoch, 1);
        assert_eq!(txn.produce("t", 0, &late, 9).error_code, E::INVALID_PRODUCER_EPOCH);
        if version == 1 {
            assert_eq!(txn.end(true), E::PRODUCER_FENCED);
            assert_eq!(txn.end(false), E::PRODUCER_FENCED);
        } else {
            // The abort was one that the producer may ask for as well, and goes on after.
            assert_eq!(txn.end(true), E::INVALID_TXN_STATE);
            assert_eq!(txn.end(false), E::NONE);
            assert_eq!(txn.producer, (id, epoch + 1));
        }
    }
}

#[test]
fn a_timeout_needs_nobody_to_ask() {
    let cluster = cluster(1);
    let mut txn = Txn::start(&cluster, "id", 1);
    txn.initialise(Duration::from_millis(1));
    assert_eq!(txn.add("t", 0), E::NONE);
    let aborted = |c: &MockCluster| c.transaction("id").is_some_and(|t| t.state == S::CompleteAbort);
    assert!(cluster.wait_until(crate::client::PATIENCE, aborted));
    assert_eq!(txn.end(true), E::PRODUCER_FENCED);
}

#[test]
fn an_end_asked_for_again_is_the_same_end() {
    for version in [1, 2] {
        let cluster = cluster(version);
        let mut txn = Txn::start(&cluster, "id", version);
        txn.send("t", 0, &["a"]);
        let before = txn.producer;
        assert_eq!(txn.end(true), E::NONE);
        let after = std::mem::replace(&mut txn.producer, before);
        assert_eq!((txn.end(true), txn.producer), (E::NONE, after));
        txn.producer = before;
        assert_eq!(txn.end(false), E::INVALID_TXN_STATE);
        assert_eq!(cluster.batches("t", 0).len(), 2);
    }
}

#[test]
fn an_end_of_nothing() {
    let cluster = cluster(1);
    let mut txn = Txn::start(&cluster, "id", 1);
    assert_eq!((txn.end(true), txn.end(false)), (E::INVALID_TXN_STATE, E::INVALID_TXN_STATE));
    let cluster = self::cluster(2);
    let mut txn = Txn::start(&cluster, "id", 2);
    let (id, epoch) = txn.producer;
    assert_eq!(txn.end(true), E::INVALID_TXN_STATE);
    // An abort raises the epoch all the same.
    assert_eq!((txn.end(false), txn.producer), (E::NONE, (id, epoch + 1)));
    assert_eq!((txn.end(false), txn.producer), (E::NONE, (id, epoch + 2)));
    assert_eq!(txn.end(true), E::INVALID_TXN_STATE);
    txn.producer.1 += 7;
    assert_eq!(txn.end(false), E::PRODUCER_FENCED);
}

#[test]
fn while_markers_are_being_written_nothing_new_begins() {
    for version in [1, 2] {
        let cluster = cluster(version);
        cluster.set_marker_delay(Duration::from_secs(3600));
        let mut txn = Txn::start(&cluster, "id", version);
        txn.send("t", 0, &["a"]);
        let before = txn.producer;
        assert_eq!(txn.end(true), E::NONE);
        let after = txn.producer;
        assert_eq!(cluster.transaction("id").unwrap().state, S::PrepareCommit);
        assert_eq!(cluster.last_stable_offset("t", 0), Some(0));
        assert_eq!(txn.add("t", 0), E::CONCURRENT_TRANSACTIONS);
        txn.producer = before;
        assert_eq!(txn.end(true), E::CONCURRENT_TRANSACTIONS);
        assert_eq!(txn.end(false), E::CONCURRENT_TRANSACTIONS);
        txn.producer = after;
        let mut client = Client::connect(&cluster, 1);
        assert_eq!(client.call(&init("id"), 4).error_code, E::CONCURRENT_TRANSACTIONS);
        let next = batch(&["b"]).in_transaction_of(after.0, after.1, 0);
        let expected = if version == 1 { E::NOT_ENOUGH_REPLICAS } else { E::CONCURRENT_TRANSACTIONS };
        let version = if version == 1 { 11 } else { 13 };
        assert_eq!(txn.produce("t", 1, &next, version).error_code, expected);
    }
}

#[test]
fn markers_wait_for_a_leader() {
    let cluster = cluster(2);
    let mut txn = Txn::start(&cluster, "id", 2);
    txn.send("t", 0, &["a"]);
    txn.send("t", 1, &["b"]);
    cluster.remove_leader("t", 0).unwrap();
    assert_eq!(txn.end(true), E::NONE);
    let info = cluster.transaction("id").unwrap();
    assert_eq!((info.state, info.partitions), (S::PrepareCommit, vec![("t".to_owned(), 0)]));
    assert_eq!(values(cluster.committed_records("t", 1)), ["b"]);
    assert!(cluster.committed_records("t", 0).is_empty());
    cluster.set_leader("t", 0, 1).unwrap();
    assert_eq!(values(cluster.committed_records("t", 0)), ["a"]);
    assert_eq!(cluster.transaction("id").unwrap().state, S::CompleteCommit);
}

#[test]
fn a_deleted_topic_holds_no_transaction_up() {
    let cluster = cluster(2);
    let mut txn = Txn::start(&cluster, "id", 2);
    txn.send("t", 0, &["a"]);
    txn.send("u", 0, &["b"]);
    cluster.delete_topic("t").unwrap();
    assert_eq!(txn.end(true), E::NONE);
    assert_eq!(cluster.transaction("id").unwrap().state, S::CompleteCommit);
}

#[test]
fn a_lost_tail_takes_its_transactions_with_it() {
    let cluster = cluster(2);
    let mut txn = Txn::start(&cluster, "id", 2);
    txn.send("t", 0, &["a"]);
    txn.end(false);
    txn.send("t", 0, &["b"]);
    txn.end(true);
    // a, abort | b, commit
    cluster.truncate("t", 0, 3).unwrap();
    assert_eq!(cluster.last_stable_offset("t", 0), Some(2));
    assert!(cluster.committed_records("t", 0).is_empty());
    cluster.truncate("t", 0, 2).unwrap();
    assert_eq!((cluster.last_stable_offset("t", 0), cluster.record_count("t")), (Some(2), 1));
    cluster.truncate("t", 0, 1).unwrap();
    assert_eq!(cluster.last_stable_offset("t", 0), Some(0));
}

#[test]
fn presets_have_the_version_of_their_release() {
    let feature = |version: BrokerVersion| {
        let cluster = MockCluster::builder().version(version).start().unwrap();
        let response = Client::connect(&cluster, 1).call(
            &kafka_producer::protocol::messages::ApiVersionsRequest {
                client_software_name: "test".to_owned(),
                client_software_version: "1".to_owned(),
            },
            3,
        );
        response.finalized_features.first().map(|f| (f.name.clone(), f.max_version_level))
    };
    assert_eq!(feature(BrokerVersion::V2_8), None);
    assert_eq!(feature(BrokerVersion::V3_9), None);
    assert_eq!(feature(BrokerVersion::V4_3), Some(("transaction.version".to_owned(), 2)));
    let impossible = MockCluster::builder().version(BrokerVersion::V3_9).transaction_version(2);
    assert!(impossible.start().is_err());
    let cluster = cluster(1);
    assert_eq!(cluster.set_transaction_version(3), Err(E::UNSUPPORTED_VERSION));
    cluster.set_transaction_version(2).unwrap();
    let response = Client::connect(&cluster, 1)
        .call(&kafka_producer::protocol::messages::ApiVersionsRequest::default(), 4);
    assert_eq!((response.finalized_features[0].max_version_level, response.finalized_features_epoch), (2, 2));
}

#[test]
fn version_2_requests_in_version_1_are_noted() {
    let cluster = cluster(1);
    let mut txn = Txn::start(&cluster, "id", 2);
    txn.send("t", 0, &["a"]);
    txn.end(true);
    assert_eq!(cluster.violations().len(), 2, "{:?}", cluster.violations());
}

#[test]
fn a_discarding_cluster_has_transactions_too() {
    let cluster = MockCluster::builder().discard(true).topic("t", 1).start().unwrap();
    let mut txn = Txn::start(&cluster, "id", 2);
    for _ in 0..3 {
        txn.send("t", 0, &["a", "b"]);
        assert_eq!(txn.end(true), E::NONE);
    }
    assert_eq!((cluster.record_count("t"), cluster.stats().records), (6, 6));
    assert!(cluster.batches("t", 0).is_empty());
}

#[test]
fn every_version_of_each_request_is_answered() {
    let cluster = MockCluster::builder().topic("t", 1).transaction_version(1).start().unwrap();
    for version in 0..=5 {
        let mut txn = Txn::start(&cluster, &format!("id-{version}"), 1);
        txn.init_version = version;
        txn.initialise(Duration::from_secs(60));
        txn.add_version = version.min(3);
        txn.end_version = version.min(4);
        txn.send("t", 0, &["x"]);
        assert_eq!(txn.end(true), E::NONE);
    }
    assert_eq!(cluster.committed_records("t", 0).len(), 6);
}

#[test]
fn batches_are_checked_in_transactions_as_well() {
    let cluster = cluster(2);
    let mut txn = Txn::start(&cluster, "id", 2);
    let (id, epoch) = txn.producer;
    let at = |sequence| batch(&["x"]).in_transaction_of(id, epoch, sequence);
    assert_eq!(txn.produce("t", 0, &at(0), 13).error_code, E::NONE);
    assert_eq!(txn.produce("t", 0, &at(2), 13).error_code, E::OUT_OF_ORDER_SEQUENCE_NUMBER);
    assert_eq!(txn.produce("t", 0, &at(0), 13).base_offset, 0);
    assert_eq!(txn.produce("t", 0, &at(1), 13).base_offset, 1);
    let nobody = Batch { attributes: 1 << 4, ..batch(&["x"]) };
    assert_eq!(txn.produce("t", 0, &nobody, 13).error_code, E::INVALID_RECORD);
}
