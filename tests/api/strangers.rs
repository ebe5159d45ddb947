//! Bootstrap addresses that are not what they should be: nobody, somebody else, silence.

use crate::support::{
    AT_ONCE, Manners, PATIENCE, Stranger, after, at_once, cause, config, dead_address, ms, open, says, timed,
};
use kafka_producer::mock::MockCluster;
use kafka_producer::{ErrorKind, ProducerConfig, ProducerConfigBuilder, ProducerRecord};

fn at<'s>(servers: impl IntoIterator<Item = &'s str>) -> ProducerConfigBuilder {
    ProducerConfig::builder(servers)
        .max_block(ms(300))
        .request_timeout(ms(100))
        .delivery_timeout(ms(500))
        .linger(ms(0))
        .reconnect_backoff(ms(10))
        .reconnect_backoff_max(ms(20))
}

#[test]
fn nobody_listening_is_an_error_at_the_deadline_with_its_cause() {
    let address = dead_address();
    let producer = at_once(|| open(at([address.as_str()])));
    let error = after(ms(300), || producer.send(ProducerRecord::new("orders", b"x")).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::MetadataTimeout);
    assert!(error.is_retriable() && !error.may_have_been_written() && !error.is_fatal());
    says(&error, &["orders", "max.block.ms", &address]);
    assert_eq!(cause(&error).kind(), ErrorKind::Connection);
    assert!(cause(&error).code().is_none());
    let io = std::error::Error::source(cause(&error)).unwrap().downcast_ref::<std::io::Error>().unwrap();
    assert_eq!(io.kind(), std::io::ErrorKind::ConnectionRefused);

    let error = after(ms(50), || producer.connect(ms(50)).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.is_retriable());
    says(&error, &["no broker answered", &address]);

    let error = at_once(|| producer.try_send(ProducerRecord::new("orders", b"x")).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::MetadataTimeout);
    says(&error, &["orders", "does not wait", &address]);

    let error = after(ms(300), || producer.partitions_for("orders").unwrap_err());
    assert_eq!(error.kind(), ErrorKind::MetadataTimeout);
    at_once(|| producer.flush().unwrap());
    at_once(|| producer.close().unwrap());
}

#[test]
fn a_peer_that_speaks_something_else_is_named() {
    let cases: [(Manners, &[&str]); 5] = [
        (Manners::Answers(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"), &["HTTP"]),
        (Manners::Answers(b"\x15\x03\x03\x00\x02\x02\x46"), &["TLS"]),
        (Manners::Greets(b"SSH-2.0-OpenSSH_9.6\r\n"), &["SSH"]),
        (Manners::Greets(b"220 mail.example.com ESMTP\r\n"), &["not a Kafka broker"]),
        (Manners::Greets(b"\xff\xff\xff\xff\x00\x00"), &["not a Kafka broker"]),
    ];
    for (manners, words) in cases {
        let stranger = Stranger::start(manners);
        let address = stranger.address();
        let producer = open(at([address.as_str()]));
        let error = after(ms(300), || producer.send(ProducerRecord::new("orders", b"x")).unwrap_err());
        assert_eq!(error.kind(), ErrorKind::MetadataTimeout, "{manners:?}: {error}");
        says(&error, &["orders", &address]);
        says(&error, words);
        assert_eq!(cause(&error).kind(), ErrorKind::Protocol, "{manners:?}: {error}");
        assert!(!error.is_fatal(), "the stranger may go away");
        at_once(|| producer.close().unwrap());
    }
}

#[test]
fn a_silent_peer_is_given_up_after_request_timeout() {
    let stranger = Stranger::start(Manners::Silent);
    let address = stranger.address();
    let producer = open(at([address.as_str()]));
    let error = after(ms(300), || producer.send(ProducerRecord::new("orders", b"x")).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::MetadataTimeout);
    says(&error, &["orders", &address, "did not answer", "request.timeout.ms"]);
    assert_eq!(cause(&error).kind(), ErrorKind::Connection);
    at_once(|| producer.close().unwrap());
}

#[test]
fn a_silent_peer_holds_nobody_up_that_does_not_wait_for_it() {
    let stranger = Stranger::start(Manners::Silent);
    let address = stranger.address();
    let producer = open(ProducerConfig::builder([address.as_str()]));
    let error = after(ms(100), || producer.connect(ms(100)).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::Timeout);
    at_once(|| producer.close().unwrap());
}

#[test]
fn a_peer_that_closes_at_once_is_told_apart() {
    let stranger = Stranger::start(Manners::ClosesAtOnce);
    let address = stranger.address();
    let producer = open(at([address.as_str()]));
    let error = after(ms(300), || producer.send(ProducerRecord::new("orders", b"x")).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::MetadataTimeout);
    says(&error, &["orders", &address, "closed the connection at once", "TLS"]);
    assert_eq!(cause(&error).kind(), ErrorKind::Connection);
    at_once(|| producer.close().unwrap());
}

#[test]
fn one_good_bootstrap_server_is_enough() {
    let cluster = MockCluster::start(1).unwrap();
    let silent = Stranger::start(Manners::Silent);
    let web = Stranger::start(Manners::Answers(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
    for bad in [dead_address(), silent.address(), web.address()] {
        let good = cluster.bootstrap_servers();
        for servers in [[bad.as_str(), good.as_str()], [good.as_str(), bad.as_str()]] {
            let producer = open(at(servers).max_block(PATIENCE));
            producer.connect(PATIENCE).unwrap();
            producer.send(ProducerRecord::new("t", b"x")).unwrap().get().unwrap();
            producer.close().unwrap();
        }
    }
    assert_eq!(cluster.record_count("t"), 6);
}

#[test]
fn a_producer_opened_while_brokers_are_down_works_once_they_are_up() {
    let cluster = MockCluster::start(1).unwrap();
    cluster.create_topic("t", 1).unwrap();
    cluster.stop_broker(1).unwrap();
    let producer = open(at(cluster.bootstrap_servers().split(',')).max_block(PATIENCE));
    assert_eq!(producer.connect(ms(100)).unwrap_err().kind(), ErrorKind::Timeout);
    std::thread::scope(|s| {
        let sender = s.spawn(|| producer.send(ProducerRecord::new("t", b"x"))?.get());
        cluster.start_broker(1).unwrap();
        producer.connect(PATIENCE).unwrap();
        assert_eq!(sender.join().unwrap().unwrap().to_string(), "t-0@0");
    });
    let ((), took) = timed(|| producer.connect(PATIENCE).unwrap());
    assert!(took < AT_ONCE);
}

#[test]
fn an_unknown_topic_is_named_with_the_broker_s_reason() {
    let cluster = MockCluster::builder().auto_create(false).topic("there", 1).start().unwrap();
    let producer = open(config(&cluster).max_block(ms(300)).retry_backoff(ms(10)).retry_backoff_max(ms(20)));
    let error = after(ms(300), || producer.send(ProducerRecord::new("orders", b"x")).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::MetadataTimeout);
    assert_eq!(error.code(), Some(kafka_producer::protocol::ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
    says(&error, &["orders", "max.block.ms", "UNKNOWN_TOPIC_OR_PARTITION"]);
    assert!(!error.may_have_been_written());
    producer.send(ProducerRecord::new("there", b"x")).unwrap().get().unwrap();

    // A waiting send goes on as soon as the topic is there.
    let producer = open(config(&cluster).max_block(PATIENCE).retry_backoff(ms(10)).retry_backoff_max(ms(20)));
    std::thread::scope(|s| {
        let sender = s.spawn(|| producer.send(ProducerRecord::new("late", b"x"))?.get());
        let asked = |c: &MockCluster| c.stats().requests > 4;
        assert!(cluster.wait_until(PATIENCE, asked));
        cluster.create_topic("late", 1).unwrap();
        assert_eq!(sender.join().unwrap().unwrap().to_string(), "late-0@0");
    });
}
