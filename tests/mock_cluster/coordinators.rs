//! Who coordinates: questions, moves, loading, stopped brokers, faults on each call.

use crate::client::{Client, PATIENCE};
use crate::txn_client::{Txn, init};
use kafka_producer::mock::{Fault, MockCluster, RequestBody, TransactionState as S};
use kafka_producer::protocol::messages::{AddOffsetsToTxnRequest, FindCoordinatorRequest};
use kafka_producer::protocol::{ApiKey, ErrorCode as E};
use std::time::Duration;

fn three(version: i16) -> MockCluster {
    MockCluster::builder().brokers(3).topic("t", 3).transaction_version(version).start().unwrap()
}

fn ask(key: &str, key_type: i8, version: i16) -> FindCoordinatorRequest {
    let mut request = FindCoordinatorRequest { key_type, ..Default::default() };
    if version < 4 {
        request.key = key.to_owned();
    } else {
        request.coordinator_keys = vec![key.to_owned()];
    }
    request
}

/// Error, node and address, in any version.
fn find(client: &mut Client, key: &str, key_type: i8, version: i16) -> (E, i32, String) {
    let response = client.call(&ask(key, key_type, version), version);
    match response.coordinators.first() {
        Some(c) => {
            assert_eq!(c.key, key);
            (c.error_code, c.node_id, format!("{}:{}", c.host, c.port))
        }
        None => (response.error_code, response.node_id, format!("{}:{}", response.host, response.port)),
    }
}

#[test]
fn every_broker_names_the_same_coordinator_in_every_version() {
    let cluster = three(2);
    for key in ["a", "b", "c", "d"] {
        let node = cluster.transaction_coordinator(key).unwrap();
        let group = cluster.group_coordinator(key).unwrap();
        for asked in 1..=3 {
            let mut client = Client::connect(&cluster, asked);
            for version in 0..=6 {
                let address = cluster.address(group).unwrap();
                assert_eq!(find(&mut client, key, 0, version), (E::NONE, group, address));
                if version > 0 {
                    let address = cluster.address(node).unwrap();
                    assert_eq!(find(&mut client, key, 1, version), (E::NONE, node, address));
                }
            }
        }
    }
    let nodes: Vec<_> = (0..20).filter_map(|i| cluster.transaction_coordinator(&i.to_string())).collect();
    assert!((1..=3).all(|n| nodes.contains(&n)), "they are spread: {nodes:?}");
}

#[test]
fn several_keys_are_asked_at_once() {
    let cluster = three(2);
    let mut client = Client::connect(&cluster, 1);
    let keys = vec!["a".to_owned(), "b".to_owned()];
    let request =
        FindCoordinatorRequest { key_type: 1, coordinator_keys: keys.clone(), ..Default::default() };
    let response = client.call(&request, 4);
    let found: Vec<_> = response.coordinators.iter().map(|c| c.key.clone()).collect();
    assert_eq!(found, keys);
    let body = RequestBody::FindCoordinator { transactional: true, keys };
    assert_eq!(cluster.requests(ApiKey::FIND_COORDINATOR)[0].body, body);
    assert_eq!(find(&mut client, "s", 2, 6).0, E::INVALID_REQUEST);
    assert_eq!(find(&mut client, "", 1, 3).0, E::INVALID_REQUEST);
}

#[test]
fn a_coordinator_moves_and_knows_what_the_last_one_knew() {
    for version in [1, 2] {
        let cluster = three(version);
        let mut txn = Txn::start(&cluster, "id", version);
        txn.send("t", 0, &["a"]);
        let old = cluster.transaction_coordinator("id").unwrap();
        let new = old % 3 + 1;
        cluster.move_coordinator("id", new).unwrap();
        assert_eq!(cluster.transaction_coordinator("id"), Some(new));
        assert_eq!(txn.end(true), E::NOT_COORDINATOR);
        assert_eq!(txn.add("t", 1), E::NOT_COORDINATOR);
        assert_eq!(txn.client.call(&init("id"), 4).error_code, E::NOT_COORDINATOR);
        txn.client = Client::connect(&cluster, new);
        txn.send("t", 1, &["b"]);
        assert_eq!(txn.end(true), E::NONE);
        assert_eq!(cluster.committed_records("t", 0).len(), 1);
        assert_eq!(cluster.committed_records("t", 1).len(), 1);
    }
    assert_eq!(three(2).move_coordinator("id", 9), Err(E::BROKER_NOT_AVAILABLE));
}

#[test]
fn a_coordinator_that_moved_loads_first() {
    let cluster = three(2);
    let mut txn = Txn::start(&cluster, "id", 2);
    txn.send("t", 0, &["a"]);
    cluster.set_coordinator_load_time(Duration::from_secs(3600));
    let node = cluster.transaction_coordinator("id").unwrap();
    cluster.move_coordinator("id", node).unwrap();
    assert_eq!(txn.end(true), E::COORDINATOR_LOAD_IN_PROGRESS);
    // Leaders cannot ask it either; for what they know already they need not.
    let (id, epoch) = txn.producer;
    let next = crate::client::batch(&["b"]).in_transaction_of(id, epoch, 0);
    assert_eq!(txn.produce("t", 1, &next, 13).error_code, E::NOT_ENOUGH_REPLICAS);
    txn.send("t", 0, &["b"]);
    cluster.set_coordinator_load_time(Duration::ZERO);
    cluster.move_coordinator("id", node).unwrap();
    // What was sent behind the refused batch does not overtake it.
    let overtaking = crate::client::batch(&["c"]).in_transaction_of(id, epoch, 1);
    assert_eq!(txn.produce("t", 1, &overtaking, 13).error_code, E::OUT_OF_ORDER_SEQUENCE_NUMBER);
    assert_eq!(txn.produce("t", 1, &next, 13).error_code, E::NONE);
    assert_eq!(txn.produce("t", 1, &overtaking, 13).error_code, E::NONE);
    assert_eq!(txn.end(true), E::NONE);
}

#[test]
fn a_stopped_coordinator_hands_over_and_the_transaction_lives_on() {
    for version in [1, 2] {
        let cluster = three(version);
        let mut txn = Txn::start(&cluster, "id", version);
        txn.send("t", 0, &["a"]);
        txn.send("t", 1, &["b"]);
        txn.send("t", 2, &["c"]);
        let old = cluster.transaction_coordinator("id").unwrap();
        cluster.stop_broker(old).unwrap();
        let new = cluster.transaction_coordinator("id").unwrap();
        assert_ne!(old, new);
        assert_eq!(cluster.transaction("id").unwrap().state, S::Ongoing);
        cluster.start_broker(old).unwrap();
        assert_eq!(cluster.transaction_coordinator("id"), Some(new));
        txn.client = Client::connect(&cluster, new);
        assert_eq!(txn.end(true), E::NONE);
        assert!((0..3).all(|p| cluster.committed_records("t", p).len() == 1));
    }
}

#[test]
fn without_a_broker_there_is_no_coordinator_and_after_it_everything_is_there() {
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    let mut txn = Txn::start(&cluster, "id", 2);
    txn.send("t", 0, &["a"]);
    cluster.stop_broker(1).unwrap();
    assert_eq!(cluster.transaction_coordinator("id"), None);
    cluster.start_broker(1).unwrap();
    txn.client = Client::connect(&cluster, 1);
    assert_eq!(txn.end(true), E::NONE);
    assert_eq!(cluster.committed_records("t", 0).len(), 1);
}

#[test]
fn a_lost_answer_leaves_what_was_done() {
    for version in [1, 2] {
        let cluster = three(version);
        let mut txn = Txn::start(&cluster, "id", version);
        txn.send("t", 0, &["a"]);
        cluster.inject(Fault::on(ApiKey::END_TXN).error_after(E::COORDINATOR_NOT_AVAILABLE));
        let before = txn.producer;
        assert_eq!(txn.end(true), E::COORDINATOR_NOT_AVAILABLE);
        assert_eq!(cluster.transaction("id").unwrap().state, S::CompleteCommit);
        txn.producer = before;
        assert_eq!(txn.end(true), E::NONE);
        assert_eq!(cluster.batches("t", 0).len(), 2);
        cluster.inject(Fault::on(ApiKey::END_TXN).drop_after());
        txn.send("t", 0, &["b"]);
        let frame = kafka_producer::protocol::messages::EndTxnRequest {
            transactional_id: "id".to_owned(),
            producer_id: txn.producer.0,
            producer_epoch: txn.producer.1,
            committed: false,
        };
        txn.client.send(&frame, txn.end_version);
        assert!(txn.client.is_closed());
        let ended = |c: &MockCluster| c.transaction("id").is_some_and(|t| t.state == S::CompleteAbort);
        assert!(cluster.wait_until(PATIENCE, ended));
    }
}

#[test]
fn faults_strike_each_call_of_a_coordinator() {
    let cluster = three(1);
    let mut client = Client::connect(&cluster, 1);
    for when in [Fault::error_before, Fault::error_after] {
        cluster.inject(when(Fault::on(ApiKey::FIND_COORDINATOR), E::COORDINATOR_NOT_AVAILABLE));
        assert_eq!(find(&mut client, "id", 1, 2).0, E::COORDINATOR_NOT_AVAILABLE);
    }
    let mut txn = Txn::start(&cluster, "id", 1);
    let epoch = |c: &MockCluster| c.transaction("id").unwrap().producer_epoch;
    cluster.inject(Fault::on(ApiKey::INIT_PRODUCER_ID).error_before(E::COORDINATOR_LOAD_IN_PROGRESS));
    assert_eq!(txn.client.call(&init("id"), 4).error_code, E::COORDINATOR_LOAD_IN_PROGRESS);
    assert_eq!(epoch(&cluster), 0);
    cluster.inject(Fault::on(ApiKey::INIT_PRODUCER_ID).error_after(E::REQUEST_TIMED_OUT));
    assert_eq!(txn.client.call(&init("id"), 4).error_code, E::REQUEST_TIMED_OUT);
    assert_eq!(epoch(&cluster), 1);
    txn.initialise(Duration::from_secs(60));

    // One partition meets it, so none is added.
    let add = Fault::on(ApiKey::ADD_PARTITIONS_TO_TXN);
    cluster.inject(add.clone().topic("t").partition(1).error_before(E::TOPIC_AUTHORIZATION_FAILED));
    let codes = txn.add_all(&[("t", 0), ("t", 1)]);
    assert_eq!(codes, [E::OPERATION_NOT_ATTEMPTED, E::TOPIC_AUTHORIZATION_FAILED]);
    assert_eq!(cluster.transaction("id").unwrap().state, S::Empty);
    cluster.inject(add.error_after(E::CONCURRENT_TRANSACTIONS));
    assert_eq!(txn.add("t", 0), E::CONCURRENT_TRANSACTIONS);
    assert_eq!(cluster.transaction("id").unwrap().partitions, [("t".to_owned(), 0)]);

    let offsets = AddOffsetsToTxnRequest {
        transactional_id: "id".to_owned(),
        producer_id: txn.producer.0,
        producer_epoch: txn.producer.1,
        group_id: "g".to_owned(),
    };
    cluster.inject(Fault::on(ApiKey::ADD_OFFSETS_TO_TXN).error_before(E::GROUP_AUTHORIZATION_FAILED));
    assert_eq!(txn.client.call(&offsets, 3).error_code, E::GROUP_AUTHORIZATION_FAILED);
    assert!(cluster.transaction("id").unwrap().groups.is_empty());
    assert_eq!(txn.client.call(&offsets, 3).error_code, E::NONE);
    assert_eq!(cluster.transaction("id").unwrap().groups, ["g"]);

    cluster.inject(Fault::on(ApiKey::END_TXN).error_before(E::UNKNOWN_SERVER_ERROR));
    assert_eq!(txn.end(true), E::UNKNOWN_SERVER_ERROR);
    assert_eq!(cluster.transaction("id").unwrap().state, S::Ongoing);
    let end = RequestBody::EndTxn {
        transactional_id: "id".to_owned(),
        producer_id: txn.producer.0,
        producer_epoch: txn.producer.1,
        commit: true,
    };
    assert_eq!(cluster.requests(ApiKey::END_TXN)[0].body, end);
}
