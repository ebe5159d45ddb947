//! Names of brokers: several addresses of which the first are dead, look-ups that fail, hang or panic.

use crate::harness::{all_delivered, hasty, send_numbers};
use crate::support::{
    Manners, PATIENCE, Producer, Stranger, after, at_once, cause, dead_address, eventually, gate, ms, says,
};
use kafka_producer::mock::MockCluster;
use kafka_producer::{
    BytesSerializer, Error, ErrorKind, KafkaProducer, ProducerConfig, ProducerConfigBuilder, ProducerRecord,
    StringSerializer,
};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn open_with(
    config: ProducerConfigBuilder,
    lookup: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
) -> Producer {
    KafkaProducer::builder(config.build().unwrap(), StringSerializer, BytesSerializer)
        .resolver(lookup)
        .build()
        .unwrap()
}

fn named() -> ProducerConfigBuilder {
    hasty(ProducerConfig::builder(["broker.example:9092"]))
}

fn address_of(cluster: &MockCluster) -> SocketAddr {
    cluster.address(1).unwrap().parse().unwrap()
}

/// The bootstrap name has these addresses; what the metadata names is found as it is.
fn several(addresses: Vec<SocketAddr>) -> impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>> {
    move |host, port| match host {
        "broker.example" => Ok(addresses.clone()),
        host => Ok(vec![SocketAddr::new(host.parse().map_err(io::Error::other)?, port)]),
    }
}

#[test]
fn a_name_whose_first_address_is_dead_is_reached_at_the_next() {
    let cluster = MockCluster::start(1).unwrap();
    let mut addresses: Vec<SocketAddr> = (0..2).map(|_| dead_address().parse().unwrap()).collect();
    addresses.push(address_of(&cluster));
    let producer = open_with(named(), several(addresses));
    all_delivered(&send_numbers(&producer, "t", 0, 0..3));
    assert_eq!(cluster.record_count("t"), 3);
}

/// On Linux every address that begins with 127 is this machine's; nobody listens at the second.
#[test]
#[cfg(target_os = "linux")]
fn an_address_of_the_same_port_where_nobody_listens_is_passed_over() {
    let cluster = MockCluster::start(1).unwrap();
    let port = address_of(&cluster).port();
    let both = vec![SocketAddr::from(([127, 0, 0, 2], port)), SocketAddr::from(([127, 0, 0, 1], port))];
    let config = crate::harness::fast(&cluster);
    // Every connection, the one to the broker that the metadata names too.
    let producer = open_with(config, move |_, _| Ok(both.clone()));
    all_delivered(&send_numbers(&producer, "t", 0, 0..3));
    cluster.disconnect(1).unwrap();
    all_delivered(&send_numbers(&producer, "t", 0, 3..6));
    crate::harness::no_violations(&cluster);
}

#[test]
fn the_system_s_names_are_tried_at_every_address_too() {
    let cluster = MockCluster::start(1).unwrap();
    let server = format!("localhost:{}", address_of(&cluster).port());
    // Often ::1 comes first, where the cluster does not listen.
    let config = hasty(ProducerConfig::builder([server]));
    let producer = crate::support::open(config);
    all_delivered(&send_numbers(&producer, "t", 0, 0..3));
}

/// Each silent address takes request.timeout.ms, and one attempt has time for a few only.
#[test]
fn more_silent_addresses_than_one_attempt_has_time_for_do_not_hide_the_good_one() {
    let cluster = MockCluster::start(1).unwrap();
    let silent: Vec<_> = (0..6).map(|_| Stranger::start(Manners::Silent)).collect();
    let mut addresses: Vec<SocketAddr> = silent.iter().map(|s| s.address().parse().unwrap()).collect();
    addresses.push(address_of(&cluster));
    let config = named().socket_connection_setup_timeout(ms(20)).request_timeout(ms(100)).linger(ms(0));
    let producer = open_with(config.delivery_timeout(PATIENCE), several(addresses));
    producer.connect(PATIENCE).unwrap();
    producer.close().unwrap();
}

#[test]
fn a_name_that_cannot_be_resolved_is_the_error_s_cause_until_it_can() {
    let cluster = MockCluster::start(1).unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let (counted, good) = (Arc::clone(&asked), several(vec![address_of(&cluster)]));
    let known = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let found = Arc::clone(&known);
    let producer = open_with(named(), move |host, port| {
        counted.fetch_add(1, Ordering::SeqCst);
        if found.load(Ordering::SeqCst) { good(host, port) } else { Err(io::Error::other("no such name")) }
    });
    eventually(|| asked.load(Ordering::SeqCst) > 2);
    let error =
        after(ms(100), || producer.send_timeout(ProducerRecord::new("t", b"x"), ms(100)).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::MetadataTimeout);
    says(&error, &["cannot resolve broker.example", "no such name"]);
    assert_eq!(cause(&error).kind(), ErrorKind::Connection);
    assert!(error.is_retriable() && !error.is_fatal());
    known.store(true, Ordering::SeqCst);
    all_delivered(&send_numbers(&producer, "t", 0, 0..3));
}

#[test]
fn a_look_up_that_hangs_is_asked_once_and_holds_up_neither_errors_nor_close() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let (open_gate, closed) = gate();
    let config = named().socket_connection_setup_timeout(ms(10)).request_timeout(ms(10));
    let producer = open_with(config.linger(ms(0)).delivery_timeout(ms(100)), move |_, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        let _ = closed.recv();
        Err(io::Error::other("too late"))
    });
    // By then the engine has given the first attempt up, and begun others.
    let again = |e: Error| e.to_string().contains("not begun again");
    eventually(|| producer.connect(ms(20)).is_err_and(again));
    assert_eq!(asked.load(Ordering::SeqCst), 1, "one thread hangs, not one for each attempt");
    at_once(|| producer.close().unwrap());
    drop(open_gate);
}

#[test]
fn a_look_up_that_panics_is_an_error_like_any_other() {
    let cluster = MockCluster::start(1).unwrap();
    let asked = AtomicUsize::new(0);
    let good = several(vec![address_of(&cluster)]);
    let producer = open_with(named(), move |host, port| {
        assert!(asked.fetch_add(1, Ordering::SeqCst) > 2, "not yet");
        good(host, port)
    });
    all_delivered(&send_numbers(&producer, "t", 0, 0..3));
}
