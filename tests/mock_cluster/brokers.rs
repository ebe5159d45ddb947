//! Brokers that stop, start, pause and move.

use crate::client::{Client, PATIENCE, batch, frame, produce};
use kafka_producer::mock::MockCluster;
use kafka_producer::protocol::ErrorCode;
use kafka_producer::protocol::messages::{MetadataRequest, ProduceRequest};
use std::net::TcpStream;

#[test]
fn a_stopped_broker_refuses_and_its_partitions_move() {
    let cluster = MockCluster::builder().brokers(3).topic("t", 3).start().unwrap();
    let mut first = Client::connect(&cluster, 1);
    first.produce("t", 0, batch(&["x"]).bytes());
    cluster.stop_broker(1).unwrap();
    assert!(first.is_closed());
    assert!(TcpStream::connect(cluster.address(1).unwrap()).is_err());
    assert!(!cluster.is_running(1));
    assert_eq!((cluster.leader("t", 0), cluster.leader_epoch("t", 0)), (Some(2), Some(1)));

    let mut second = Client::connect(&cluster, 2);
    assert_eq!(second.produce("t", 0, batch(&["y"]).bytes()).base_offset, 1);
    let brokers = second.call(&MetadataRequest::default(), 9).brokers;
    assert_eq!(brokers.iter().map(|b| b.node_id).collect::<Vec<_>>(), [2, 3]);

    cluster.start_broker(1).unwrap();
    let mut again = Client::connect(&cluster, 1);
    let answer = again.produce("t", 0, batch(&["z"]).bytes());
    assert_eq!(answer.error_code, ErrorCode::NOT_LEADER_OR_FOLLOWER);
    assert_eq!(cluster.in_sync("t", 0), [2, 3, 1]);
}

#[test]
fn a_broker_starts_again_on_another_port() {
    let cluster = MockCluster::builder().brokers(2).start().unwrap();
    let before = cluster.address(2).unwrap();
    assert!(cluster.start_broker_on_new_port(2).is_err());
    cluster.stop_broker(2).unwrap();
    cluster.start_broker_on_new_port(2).unwrap();
    assert_ne!(cluster.address(2).unwrap(), before);
    let brokers = Client::connect(&cluster, 2).call(&MetadataRequest::default(), 9).brokers;
    assert_eq!(format!("{}:{}", brokers[1].host, brokers[1].port), cluster.address(2).unwrap());
}

#[test]
fn a_paused_broker_accepts_and_does_nothing_until_resumed() {
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    let mut old = Client::connect(&cluster, 1);
    assert_eq!(old.produce("t", 0, batch(&["x"]).bytes()).error_code, ErrorCode::NONE);
    cluster.pause_broker(1).unwrap();
    let mut new = Client::connect(&cluster, 1);
    for client in [&mut old, &mut new] {
        client.send(&produce("t", 0, batch(&["y"]).bytes(), 1), 9);
        assert!(client.stays_silent());
    }
    assert_eq!(cluster.record_count("t"), 1);
    cluster.resume_broker(1).unwrap();
    old.receive::<ProduceRequest>(9).unwrap();
    new.receive::<ProduceRequest>(9).unwrap();
    assert!(cluster.wait_until(PATIENCE, |c| c.record_count("t") == 3));
}

#[test]
fn a_paused_broker_can_be_stopped() {
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    cluster.pause_broker(1).unwrap();
    let mut client = Client::connect(&cluster, 1);
    client.send(&MetadataRequest::default(), 9);
    cluster.stop_broker(1).unwrap();
    assert!(client.is_closed());
    cluster.stop_broker(1).unwrap();
}

#[test]
fn a_client_that_never_reads_does_not_hold_the_cluster() {
    let cluster = MockCluster::builder().topic("t", 5000).start().unwrap();
    let mut client = Client::connect(&cluster, 1);
    let request = frame(&MetadataRequest { topics: None, ..Default::default() }, 9, 1);
    for _ in 0..200 {
        client.send_raw(&request);
    }
    drop(cluster);
}

#[test]
fn connections_are_counted_and_can_be_cut() {
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    let mut client = Client::connect(&cluster, 1);
    client.produce("t", 0, batch(&["x"]).bytes());
    assert_eq!((cluster.open_connections(1), cluster.stats().connections), (1, 1));
    cluster.disconnect(1).unwrap();
    assert!(client.is_closed());
    assert!(cluster.wait_until(PATIENCE, |c| c.open_connections(1) == 0));
    assert_eq!(Client::connect(&cluster, 1).produce("t", 0, batch(&["x"]).bytes()).base_offset, 1);
}

#[test]
fn topics_change_while_the_cluster_runs() {
    let cluster = MockCluster::start(2).unwrap();
    cluster.create_topic("t", 1).unwrap();
    assert_eq!(cluster.create_topic("t", 1), Err(ErrorCode::TOPIC_ALREADY_EXISTS));
    cluster.add_partitions("t", 3).unwrap();
    assert_eq!((cluster.partition_count("t"), cluster.leader("t", 1)), (Some(3), Some(2)));
    let id = cluster.topic_id("t");
    cluster.recreate_topic("t").unwrap();
    assert_ne!(cluster.topic_id("t"), id);
    assert_eq!(cluster.partition_count("t"), Some(3));
    cluster.remove_leader("t", 0).unwrap();
    assert_eq!(cluster.leader("t", 0), None);
    cluster.delete_topic("t").unwrap();
    assert_eq!(cluster.delete_topic("t"), Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
    assert!(cluster.stop_broker(9).is_err());
}

#[test]
fn nothing_is_left_of_a_dropped_cluster() {
    let addresses: Vec<String> = (0..20)
        .map(|_| {
            let cluster = MockCluster::builder().brokers(3).topic("t", 1).start().unwrap();
            let mut client = Client::connect(&cluster, 1);
            client.produce("t", 0, batch(&["x"]).bytes());
            cluster.address(1).unwrap()
        })
        .collect();
    assert!(addresses.iter().all(|a| TcpStream::connect(a).is_err()));
}
