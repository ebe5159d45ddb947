//! A process that forks while it has a producer.

use crate::process::{child, config, finish, ms, open, start};
use fork::{Fork, fork, waitpid};
use kafka_producer::mock::MockCluster;
use kafka_producer::{ErrorKind, ProducerRecord};
use std::time::Instant;

const NAME: &str = "forked::a_child_is_told_and_the_parent_goes_on";

/// Runs in the child of the child; what it finds wrong is its exit code.
fn inherit(producer: crate::process::Producer) -> i32 {
    let began = Instant::now();
    let refused = [producer.flush(), producer.connect(ms(10_000)), producer.purge(), producer.close()];
    for (n, call) in (1..).zip(refused) {
        let Err(error) = call else { return n };
        if error.kind() != ErrorKind::Misuse || !error.to_string().contains("forked") {
            return 10 + n;
        }
    }
    drop(producer);
    if began.elapsed() < ms(5000) { 0 } else { 99 }
}

#[test]
fn a_child_is_told_and_the_parent_goes_on() {
    let Some(address) = child() else {
        let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
        finish(start(NAME, &cluster.bootstrap_servers()));
        let values: Vec<_> = cluster.records("t", 0).into_iter().map(|r| r.value.unwrap()).collect();
        assert_eq!(values, [b"before".to_vec(), b"under way".to_vec(), b"after".to_vec()]);
        assert!(cluster.violations().is_empty());
        return;
    };
    let producer = open(config(&address).linger(ms(200)));
    producer.send(ProducerRecord::new("t", b"before")).unwrap().get().unwrap();
    let under_way = producer.send(ProducerRecord::new("t", b"under way")).unwrap();
    match fork().unwrap() {
        Fork::Child => std::process::exit(inherit(producer)),
        Fork::Parent(pid) => {
            assert_eq!(waitpid(pid).unwrap(), 0);
            under_way.get().unwrap();
            producer.send(ProducerRecord::new("t", b"after")).unwrap().get().unwrap();
            producer.close().unwrap();
        }
    }
}
