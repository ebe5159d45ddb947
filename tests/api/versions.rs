//! Every Kafka release that the embedded cluster can answer like.

use crate::harness::{all_delivered, fast, no_violations, send_numbers};
use crate::support::open;
use kafka_producer::mock::{BrokerVersion, Fault, MockCluster};
use kafka_producer::protocol::{ApiKey, ErrorCode};
use kafka_producer::{Acks, ErrorKind, ProducerRecord};
use std::time::{Duration, SystemTime};

fn produce_version(version: BrokerVersion) -> i16 {
    match version {
        BrokerVersion::V2_1 => 7,
        BrokerVersion::V2_8 => 9,
        BrokerVersion::V3_9 => 11,
        _ => 13,
    }
}

#[test]
fn every_release_takes_everything_a_record_can_hold() {
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
    for version in BrokerVersion::ALL {
        for acks in [Acks::All, Acks::Leader, Acks::None] {
            let cluster = MockCluster::builder().brokers(3).version(version).topic("t", 3).start().unwrap();
            let producer = open(fast(&cluster).acks(acks));
            let full = || {
                let record = ProducerRecord::new("t", b"value").key("key").partition(1).timestamp(at);
                record.header("a", &b"1"[..]).header("a", &b""[..])
            };
            let sent = producer.send(full()).unwrap().get().unwrap();
            assert_eq!(sent.offset(), (acks != Acks::None).then_some(0), "{version}");
            producer.send(ProducerRecord::to("t").partition(1)).unwrap().get().unwrap();
            producer.send(ProducerRecord::new("t", b"").key("").partition(1)).unwrap().get().unwrap();
            assert!(cluster.wait_until(crate::support::PATIENCE, |c| c.record_count("t") == 3));
            let records = cluster.records("t", 1);
            assert_eq!(records[0].key.as_deref(), Some(&b"key"[..]));
            assert_eq!(records[0].value.as_deref(), Some(&b"value"[..]));
            assert_eq!(records[0].timestamp, 1_700_000_000_123);
            let headers = [("a".to_owned(), Some(b"1".to_vec())), ("a".to_owned(), Some(Vec::new()))];
            assert_eq!(records[0].headers, headers);
            assert_eq!((&records[1].key, &records[1].value), (&None, &None));
            assert_eq!((&records[2].key, &records[2].value), (&Some(Vec::new()), &Some(Vec::new())));
            let produced = cluster.requests(ApiKey::PRODUCE);
            assert!(produced.iter().all(|r| r.version == produce_version(version)), "{version}");
            no_violations(&cluster);
        }
    }
}

#[test]
fn brokers_of_different_speech_are_each_spoken_to_in_theirs() {
    // The first answer to the version question is an error; the client falls back as KIP-511 says.
    for version in BrokerVersion::ALL {
        let cluster = MockCluster::builder().version(version).start().unwrap();
        let producer = open(fast(&cluster));
        producer.connect(crate::support::PATIENCE).unwrap();
        let asked: Vec<i16> = cluster.requests(ApiKey::API_VERSIONS).iter().map(|r| r.version).collect();
        let newest = *asked.last().unwrap();
        assert_eq!(
            newest,
            match version {
                BrokerVersion::V2_1 => 2,
                BrokerVersion::V2_8 => 3,
                _ => 4,
            }
        );
        no_violations(&cluster);
    }
}

#[test]
fn a_refused_version_question_is_an_error_that_names_the_broker() {
    let cluster = MockCluster::start(1).unwrap();
    let fault = cluster.inject(
        Fault::on(ApiKey::API_VERSIONS).always().error_before(ErrorCode::CLUSTER_AUTHORIZATION_FAILED),
    );
    let producer = open(fast(&cluster));
    let error = producer.connect(Duration::from_millis(100)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    let text = error.to_string();
    assert!(text.contains("CLUSTER_AUTHORIZATION_FAILED") && text.contains("127.0.0.1"), "{text}");
    fault.remove();
    all_delivered(&send_numbers(&producer, "t", 0, 0..3));
}

#[test]
fn an_answer_to_the_version_question_cut_anywhere_is_survived() {
    for len in (0..120).step_by(7) {
        let cluster = MockCluster::start(1).unwrap();
        let fault = cluster.inject(Fault::on(ApiKey::API_VERSIONS).truncate_answer(len));
        let producer = open(fast(&cluster));
        all_delivered(&send_numbers(&producer, "t", 0, 0..1));
        assert_eq!(fault.hits(), 1);
    }
    let spoilers: [fn(Fault) -> Fault; 5] = [
        Fault::corrupt_answer,
        Fault::oversized_answer,
        Fault::wrong_correlation_id,
        Fault::drop_before,
        Fault::swallow_answer,
    ];
    for spoil in spoilers {
        let cluster = MockCluster::start(1).unwrap();
        let fault = cluster.inject(spoil(Fault::on(ApiKey::API_VERSIONS).times(2)));
        let producer = open(fast(&cluster).request_timeout(Duration::from_millis(50)));
        all_delivered(&send_numbers(&producer, "t", 0, 0..1));
        assert_eq!(fault.hits(), 2);
    }
}
