//! Each fault, as a client meets it.

use crate::client::{Client, PATIENCE, batch, only, produce};
use kafka_producer::mock::{Fault, MockCluster};
use kafka_producer::protocol::messages::{ApiVersionsRequest, MetadataRequest, ProduceRequest};
use kafka_producer::protocol::{ApiKey, ErrorCode};
use std::time::{Duration, Instant};

fn start() -> (MockCluster, Client) {
    let cluster = MockCluster::builder().brokers(2).topic("t", 2).topic("u", 1).start().unwrap();
    cluster.set_leader("t", 1, 1).unwrap();
    let client = Client::connect(&cluster, 1);
    (cluster, client)
}

fn send(client: &mut Client, topic: &str, partition: i32) -> ErrorCode {
    client.produce(topic, partition, batch(&["x"]).bytes()).error_code
}

#[test]
fn an_error_before_appends_nothing_and_one_after_does() {
    let (cluster, mut client) = start();
    let before = cluster.inject(Fault::on(ApiKey::PRODUCE).error_before(ErrorCode::NOT_ENOUGH_REPLICAS));
    assert_eq!(send(&mut client, "t", 0), ErrorCode::NOT_ENOUGH_REPLICAS);
    assert_eq!((before.hits(), cluster.record_count("t")), (1, 0));
    cluster.inject(Fault::on(ApiKey::PRODUCE).error_after(ErrorCode::REQUEST_TIMED_OUT));
    assert_eq!(send(&mut client, "t", 0), ErrorCode::REQUEST_TIMED_OUT);
    assert_eq!(cluster.record_count("t"), 1);
    assert_eq!(send(&mut client, "t", 0), ErrorCode::NONE);
}

#[test]
fn a_fault_strikes_only_where_it_says() {
    let (cluster, mut client) = start();
    let code = ErrorCode::KAFKA_STORAGE_ERROR;
    let fault = cluster.inject(
        Fault::on(ApiKey::PRODUCE).topic("t").partition(1).node(1).after(1).times(2).error_before(code),
    );
    assert_eq!(send(&mut client, "t", 0), ErrorCode::NONE);
    assert_eq!(send(&mut client, "u", 0), ErrorCode::NONE);
    let got: Vec<_> = (0..4).map(|_| send(&mut client, "t", 1)).collect();
    assert_eq!(got, [ErrorCode::NONE, code, code, ErrorCode::NONE]);
    assert_eq!(fault.hits(), 2);
    let elsewhere = cluster.inject(Fault::on_any().node(2).always().drop_before());
    assert_eq!(send(&mut client, "t", 1), ErrorCode::NONE);
    assert_eq!(elsewhere.hits(), 0);
}

#[test]
fn one_partition_of_a_request_may_fail_alone() {
    let (cluster, mut client) = start();
    cluster
        .inject(Fault::on(ApiKey::PRODUCE).topic("t").partition(1).error_before(ErrorCode::INVALID_RECORD));
    let mut request = produce("t", 0, batch(&["x"]).bytes(), -1);
    request.topic_data.extend(produce("t", 1, batch(&["y"]).bytes(), -1).topic_data);
    let response = client.call(&request, 9);
    let codes: Vec<_> = response.responses.iter().map(|t| t.partition_responses[0].error_code).collect();
    assert_eq!(codes, [ErrorCode::NONE, ErrorCode::INVALID_RECORD]);
}

#[test]
fn faults_can_be_taken_back() {
    let (cluster, mut client) = start();
    let fault =
        cluster.inject(Fault::on(ApiKey::PRODUCE).always().error_before(ErrorCode::UNKNOWN_SERVER_ERROR));
    assert_eq!(send(&mut client, "t", 0), ErrorCode::UNKNOWN_SERVER_ERROR);
    fault.remove();
    assert_eq!(send(&mut client, "t", 0), ErrorCode::NONE);
    cluster.inject(Fault::on(ApiKey::PRODUCE).always().error_before(ErrorCode::UNKNOWN_SERVER_ERROR));
    cluster.clear_faults();
    assert_eq!((send(&mut client, "t", 0), fault.hits()), (ErrorCode::NONE, 1));
}

#[test]
fn connections_drop_before_or_after_the_broker_acted() {
    let (cluster, mut client) = start();
    cluster.inject(Fault::on(ApiKey::PRODUCE).drop_before());
    client.send(&produce("t", 0, batch(&["x"]).bytes(), -1), 9);
    assert!(client.is_closed());
    assert_eq!(cluster.record_count("t"), 0);
    let mut client = Client::connect(&cluster, 1);
    cluster.inject(Fault::on(ApiKey::PRODUCE).drop_after());
    client.send(&produce("t", 0, batch(&["x"]).bytes(), -1), 9);
    assert!(client.is_closed());
    assert_eq!(cluster.record_count("t"), 1);
}

#[test]
fn a_swallowed_answer_leaves_the_connection_in_use() {
    let (cluster, mut client) = start();
    cluster.inject(Fault::on(ApiKey::PRODUCE).swallow_answer());
    client.send(&produce("t", 0, batch(&["x"]).bytes(), -1), 9);
    let second = client.send(&produce("t", 0, batch(&["y"]).bytes(), -1), 9);
    let (correlation, response) = client.receive::<ProduceRequest>(9).unwrap();
    assert_eq!((correlation, only(response).base_offset), (second, 1));
}

#[test]
fn a_broker_that_stops_reading_stays_connected() {
    let (cluster, mut client) = start();
    cluster.inject(Fault::on(ApiKey::PRODUCE).stop_reading());
    client.send(&produce("t", 0, batch(&["x"]).bytes(), -1), 9);
    client.send(&ApiVersionsRequest::default(), 0);
    assert!(client.stays_silent());
    assert_eq!((cluster.record_count("t"), cluster.open_connections(1)), (0, 1));
    assert_eq!(send(&mut Client::connect(&cluster, 1), "t", 0), ErrorCode::NONE);
}

#[test]
fn answers_can_be_cut_spoilt_mislabelled_and_blown_up() {
    let (cluster, _) = start();
    let request = produce("t", 0, batch(&["x"]).bytes(), -1);
    let answer = |fault: Fault| {
        cluster.inject(fault);
        let mut client = Client::connect(&cluster, 1);
        client.send(&request, 9);
        client
    };
    let whole = answer(Fault::on(ApiKey::METADATA).times(0)).receive_frame().unwrap();

    let cut = answer(Fault::on(ApiKey::PRODUCE).truncate_answer(10)).receive_rest();
    assert_eq!((cut.len(), &cut[4..8], cut[..4] != [0, 0, 0, 6]), (10, &whole[..4], true));
    let spoilt = answer(Fault::on(ApiKey::PRODUCE).corrupt_answer()).receive_frame().unwrap();
    assert_eq!((spoilt.len(), &spoilt[..4]), (whole.len(), &whole[..4]));
    assert!(spoilt[4..].iter().all(|&b| b == 0xff));
    let wrong = answer(Fault::on(ApiKey::PRODUCE).wrong_correlation_id()).receive_frame().unwrap();
    assert_ne!(wrong[..4], whole[..4]);
    let oversized = answer(Fault::on(ApiKey::PRODUCE).oversized_answer()).receive_prefix();
    assert_eq!(oversized, [0x7f, 0xff, 0xff, 0xf0]);
}

#[test]
fn a_delayed_answer_holds_back_only_answers() {
    let (cluster, mut client) = start();
    let delay = Duration::from_millis(60);
    let began = Instant::now();
    cluster.inject(Fault::on(ApiKey::PRODUCE).delay(delay));
    let first = client.send(&produce("t", 0, batch(&["x"]).bytes(), -1), 9);
    let second = client.send(&produce("t", 0, batch(&["y"]).bytes(), -1), 9);
    assert!(cluster.wait_until(PATIENCE, |c| c.record_count("t") == 2), "both are appended at once");
    let order =
        [client.receive::<ProduceRequest>(9).unwrap().0, client.receive::<ProduceRequest>(9).unwrap().0];
    assert_eq!(order, [first, second]);
    assert!(began.elapsed() >= delay);
    cluster.set_latency(1, Duration::from_millis(20));
    let began = Instant::now();
    send(&mut client, "t", 0);
    assert!(began.elapsed() >= Duration::from_millis(20));
}

#[test]
fn throttling_and_record_errors_are_in_the_answer() {
    let (cluster, mut client) = start();
    cluster.inject(Fault::on(ApiKey::PRODUCE).throttle(Duration::from_millis(250)));
    let response = client.call(&produce("t", 0, batch(&["x"]).bytes(), -1), 9);
    assert_eq!((response.throttle_time_ms, only(response).error_code), (250, ErrorCode::NONE));
    cluster.inject(
        Fault::on(ApiKey::PRODUCE)
            .error_before(ErrorCode::INVALID_RECORD)
            .message("no")
            .record_error(1, "too blue"),
    );
    let answer = client.produce("t", 0, batch(&["x", "y"]).bytes());
    assert_eq!(answer.error_message.as_deref(), Some("no"));
    assert_eq!(answer.record_errors[0].batch_index, 1);
    assert_eq!(answer.record_errors[0].batch_index_error_message.as_deref(), Some("too blue"));
}

#[test]
fn refused_connections_close_at_once() {
    let (cluster, _) = start();
    let fault = cluster.inject(Fault::refuse_connections().node(2).times(2));
    assert!(Client::connect(&cluster, 2).is_closed());
    assert!(Client::connect(&cluster, 2).is_closed());
    assert_eq!(
        Client::connect(&cluster, 2).call(&ApiVersionsRequest::default(), 0).error_code,
        ErrorCode::NONE
    );
    assert_eq!(fault.hits(), 2);
}

#[test]
fn metadata_has_faults_of_its_own() {
    let (cluster, mut client) = start();
    cluster.inject(Fault::on(ApiKey::METADATA).topic("t").error_before(ErrorCode::LEADER_NOT_AVAILABLE));
    let all = MetadataRequest { topics: None, ..Default::default() };
    let codes: Vec<_> = client.call(&all, 9).topics.iter().map(|t| t.error_code).collect();
    assert_eq!(codes, [ErrorCode::LEADER_NOT_AVAILABLE, ErrorCode::NONE]);
    cluster.inject(Fault::on(ApiKey::METADATA).error_before(ErrorCode::REBOOTSTRAP_REQUIRED));
    assert_eq!(client.call(&all, 13).error_code, ErrorCode::REBOOTSTRAP_REQUIRED);
}

#[test]
fn a_message_or_a_culprit_without_a_code_is_an_invalid_record() {
    let (cluster, mut client) = start();
    for fault in [Fault::on(ApiKey::PRODUCE).message("no"), Fault::on(ApiKey::PRODUCE).record_error(0, "no")]
    {
        cluster.inject(fault);
        assert_eq!(send(&mut client, "t", 0), ErrorCode::INVALID_RECORD);
    }
    cluster.inject(Fault::on(ApiKey::PRODUCE).message("no").error_after(ErrorCode::REQUEST_TIMED_OUT));
    assert_eq!(send(&mut client, "t", 0), ErrorCode::REQUEST_TIMED_OUT);
    assert_eq!(cluster.record_count("t"), 1);
}

#[test]
fn faults_that_have_met_too_little_are_listed() {
    let (cluster, mut client) = start();
    let unspent = || cluster.unspent_faults().len();
    let produce = || Fault::on(ApiKey::PRODUCE).topic("t");
    let code = ErrorCode::NOT_ENOUGH_REPLICAS;
    cluster.inject(produce().times(2).error_before(code));
    cluster.inject(produce().after(2).always().error_before(code));
    let misspelt = cluster.inject(Fault::on(ApiKey::PRODUCE).topic("tt").drop_after());
    cluster.inject(produce().times(0).drop_after());
    let left: Vec<usize> = (0..4)
        .map(|_| {
            let left = unspent();
            send(&mut client, "t", 0);
            left
        })
        .collect();
    assert_eq!(left, [3, 3, 2, 1]);
    assert!(format!("{:?}", cluster.unspent_faults()).contains("\"tt\""));
    misspelt.remove();
    assert_eq!(unspent(), 0);
}
