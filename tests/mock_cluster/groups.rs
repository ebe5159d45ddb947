//! Consumer groups' offsets: committed at once, or with a transaction.

use crate::client::Client;
use crate::txn_client::Txn;
use kafka_producer::mock::{Fault, MockCluster};
use kafka_producer::protocol::messages::offset_commit::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_producer::protocol::messages::offset_fetch::{OffsetFetchRequestGroup, OffsetFetchRequestTopic};
use kafka_producer::protocol::messages::txn_offset_commit::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_producer::protocol::messages::{
    AddOffsetsToTxnRequest, OffsetCommitRequest, OffsetFetchRequest, TxnOffsetCommitRequest,
};
use kafka_producer::protocol::{ApiKey, ErrorCode as E};

fn cluster(version: i16) -> MockCluster {
    MockCluster::builder().brokers(2).topic("in", 2).transaction_version(version).start().unwrap()
}

fn coordinator(cluster: &MockCluster, group: &str) -> Client {
    Client::connect(cluster, cluster.group_coordinator(group).unwrap())
}

fn offsets(txn: &Txn<'_>, group: &str, offset: i64) -> TxnOffsetCommitRequest {
    let partition = TxnOffsetCommitRequestPartition {
        partition_index: 0,
        committed_offset: offset,
        committed_metadata: Some("note".to_owned()),
        ..Default::default()
    };
    TxnOffsetCommitRequest {
        transactional_id: txn.id.clone(),
        group_id: group.to_owned(),
        producer_id: txn.producer.0,
        producer_epoch: txn.producer.1,
        topics: vec![TxnOffsetCommitRequestTopic { name: "in".to_owned(), partitions: vec![partition] }],
        ..Default::default()
    }
}

fn commit(client: &mut Client, request: &TxnOffsetCommitRequest, version: i16) -> E {
    client.call(request, version).topics[0].partitions[0].error_code
}

fn add_group(txn: &mut Txn<'_>, group: &str) -> E {
    let request = AddOffsetsToTxnRequest {
        transactional_id: txn.id.clone(),
        producer_id: txn.producer.0,
        producer_epoch: txn.producer.1,
        group_id: group.to_owned(),
    };
    txn.client.call(&request, 3).error_code
}

#[test]
fn offsets_count_once_their_transaction_commits() {
    for version in [1, 2] {
        let cluster = cluster(version);
        let mut txn = Txn::start(&cluster, "id", version);
        let mut group = coordinator(&cluster, "g");
        let committed = || cluster.committed_offset("g", "in", 0).map(|o| (o.offset, o.metadata));
        for (offset, ends) in [(5, false), (7, true), (9, false)] {
            let wire_version = if version == 1 {
                assert_eq!(commit(&mut group, &offsets(&txn, "g", offset), 3), E::INVALID_TXN_STATE);
                assert_eq!(commit(&mut group, &offsets(&txn, "g", offset), 4), E::TRANSACTION_ABORTABLE);
                assert_eq!(add_group(&mut txn, "g"), E::NONE);
                3
            } else {
                5
            };
            let before = committed();
            assert_eq!(commit(&mut group, &offsets(&txn, "g", offset), wire_version), E::NONE);
            assert_eq!(committed(), before);
            assert_eq!(txn.end(ends), E::NONE);
            assert_eq!(committed(), if ends { Some((offset, "note".to_owned())) } else { before });
        }
    }
}

#[test]
fn offsets_of_a_fenced_producer_are_refused() {
    for (version, wire) in [(1, 3), (2, 5)] {
        let cluster = cluster(version);
        let mut txn = Txn::start(&cluster, "id", version);
        if version == 1 {
            assert_eq!(add_group(&mut txn, "g"), E::NONE);
        }
        let mut group = coordinator(&cluster, "g");
        assert_eq!(commit(&mut group, &offsets(&txn, "g", 3), wire), E::NONE);
        cluster.fence("id").unwrap();
        assert_eq!(commit(&mut group, &offsets(&txn, "g", 4), wire), E::INVALID_PRODUCER_EPOCH);
        assert_eq!(cluster.committed_offset("g", "in", 0), None);
        let stranger =
            TxnOffsetCommitRequest { transactional_id: "nobody".to_owned(), ..offsets(&txn, "g", 4) };
        assert_eq!(commit(&mut group, &stranger, wire), E::INVALID_PRODUCER_ID_MAPPING);
    }
}

#[test]
fn only_the_coordinator_takes_offsets() {
    let cluster = cluster(2);
    let txn = Txn::start(&cluster, "id", 2);
    let mut old = coordinator(&cluster, "g");
    let other = cluster.group_coordinator("g").unwrap() % 2 + 1;
    cluster.move_group_coordinator("g", other).unwrap();
    assert_eq!(commit(&mut old, &offsets(&txn, "g", 4), 5), E::NOT_COORDINATOR);
    let mut new = coordinator(&cluster, "g");
    assert_eq!(commit(&mut new, &offsets(&txn, "", 4), 5), E::INVALID_GROUP_ID);
    let fault =
        Fault::on(ApiKey::TXN_OFFSET_COMMIT).topic("in").error_before(E::COORDINATOR_LOAD_IN_PROGRESS);
    cluster.inject(fault);
    assert_eq!(commit(&mut new, &offsets(&txn, "g", 4), 5), E::COORDINATOR_LOAD_IN_PROGRESS);
    assert!(cluster.transaction("id").unwrap().groups.is_empty());
    assert_eq!(commit(&mut new, &offsets(&txn, "g", 4), 5), E::NONE);
    assert_eq!(cluster.transaction("id").unwrap().groups, ["g"]);
}

#[test]
fn members_are_checked_where_a_test_has_named_them() {
    let cluster = cluster(2);
    let txn = Txn::start(&cluster, "id", 2);
    let mut group = coordinator(&cluster, "g");
    let by = |generation_id, member: &str, instance: Option<&str>| TxnOffsetCommitRequest {
        generation_id,
        member_id: member.to_owned(),
        group_instance_id: instance.map(str::to_owned),
        ..offsets(&txn, "g", 1)
    };
    assert_eq!(commit(&mut group, &by(17, "anybody", None), 5), E::NONE);
    cluster.set_group_member("g", 2, "m-1", Some("i-1"));
    cluster.set_group_member("g", 2, "m-2", None);
    assert_eq!(commit(&mut group, &by(2, "m-1", Some("i-1")), 5), E::NONE);
    assert_eq!(commit(&mut group, &by(2, "m-2", None), 5), E::NONE);
    assert_eq!(commit(&mut group, &by(-1, "", None), 5), E::NONE);
    assert_eq!(commit(&mut group, &by(1, "m-2", None), 5), E::ILLEGAL_GENERATION);
    assert_eq!(commit(&mut group, &by(2, "m-3", None), 5), E::UNKNOWN_MEMBER_ID);
    assert_eq!(commit(&mut group, &by(2, "m-0", Some("i-1")), 5), E::FENCED_INSTANCE_ID);
    cluster.set_group_member("g", 3, "m-4", None);
    assert_eq!(commit(&mut group, &by(3, "m-1", Some("i-1")), 5), E::UNKNOWN_MEMBER_ID);
}

/// The offset of partition 0 and of partition 1, with their codes, in any version.
fn fetch(client: &mut Client, group: &str, stable: bool, version: i16) -> Vec<(E, i64)> {
    let topic = OffsetFetchRequestTopic { name: "in".to_owned(), partition_indexes: vec![0, 1] };
    let mut request = OffsetFetchRequest { require_stable: stable && version >= 7, ..Default::default() };
    if version < 8 {
        request.group_id = group.to_owned();
        request.topics = Some(vec![topic]);
    } else {
        let group_id = group.to_owned();
        request.groups =
            vec![OffsetFetchRequestGroup { group_id, topics: Some(vec![topic]), ..Default::default() }];
    }
    let response = client.call(&request, version);
    let topics = response.groups.first().map_or(&response.topics, |g| &g.topics);
    let partitions = topics.iter().flat_map(|t| &t.partitions);
    partitions.map(|p| (p.error_code, p.committed_offset)).collect()
}

#[test]
fn offsets_are_read_in_every_version() {
    let cluster = cluster(2);
    cluster.set_committed_offset("g", "in", 0, 42);
    let mut client = coordinator(&cluster, "g");
    for version in 1..=9 {
        assert_eq!(fetch(&mut client, "g", true, version), [(E::NONE, 42), (E::NONE, -1)], "{version}");
    }
    let all = OffsetFetchRequest { group_id: "g".to_owned(), topics: None, ..Default::default() };
    let response = client.call(&all, 7);
    assert_eq!(response.topics[0].partitions.len(), 1);
    assert_eq!(response.topics[0].partitions[0].committed_offset, 42);
    let other = cluster.group_coordinator("g").unwrap() % 2 + 1;
    let mut other = Client::connect(&cluster, other);
    assert_eq!(other.call(&all, 7).error_code, E::NOT_COORDINATOR);
    assert_eq!(fetch(&mut other, "g", false, 1), [(E::NOT_COORDINATOR, -1); 2]);
    let several =
        |id: &str| OffsetFetchRequestGroup { group_id: id.to_owned(), topics: None, ..Default::default() };
    let request = OffsetFetchRequest { groups: vec![several("g"), several("h")], ..Default::default() };
    let groups = client.call(&request, 8).groups;
    assert_eq!((groups[0].topics.len(), groups[1].topics.len()), (1, 0));
}

#[test]
fn stable_offsets_wait_for_open_transactions() {
    let cluster = cluster(2);
    cluster.set_committed_offset("g", "in", 0, 1);
    let mut txn = Txn::start(&cluster, "id", 2);
    let mut client = coordinator(&cluster, "g");
    assert_eq!(commit(&mut client, &offsets(&txn, "g", 2), 5), E::NONE);
    for version in 7..=9 {
        assert_eq!(fetch(&mut client, "g", false, version)[0], (E::NONE, 1));
        assert_eq!(fetch(&mut client, "g", true, version)[0], (E::UNSTABLE_OFFSET_COMMIT, -1));
    }
    assert_eq!(txn.end(true), E::NONE);
    assert_eq!(fetch(&mut client, "g", true, 8)[0], (E::NONE, 2));
}

#[test]
fn consumers_commit_outside_of_transactions() {
    let cluster = cluster(2);
    let mut client = coordinator(&cluster, "g");
    for version in 2..=9 {
        let partition = |partition_index| OffsetCommitRequestPartition {
            partition_index,
            committed_offset: i64::from(version),
            ..Default::default()
        };
        let request = OffsetCommitRequest {
            group_id: "g".to_owned(),
            topics: vec![OffsetCommitRequestTopic {
                name: "in".to_owned(),
                partitions: vec![partition(0), partition(9)],
            }],
            ..Default::default()
        };
        let answer = &client.call(&request, version).topics[0];
        let codes: Vec<_> = answer.partitions.iter().map(|p| p.error_code).collect();
        assert_eq!(codes, [E::NONE, E::UNKNOWN_TOPIC_OR_PARTITION]);
        assert_eq!(cluster.committed_offset("g", "in", 0).unwrap().offset, i64::from(version));
    }
}
