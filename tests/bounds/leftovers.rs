//! A thousand producers come and go, and nothing of them stays.

use crate::process::{child, config, eventually, heap, ms, open, open_files, run_child, threads};
use kafka_producer::ProducerRecord;
use kafka_producer::mock::MockCluster;
use std::net::TcpListener;

fn all_threads() -> usize {
    threads("")
}

/// One of a thousand, in one of several ways; `silent` accepts and never answers.
fn one(address: &str, silent: &str, n: usize) {
    match n % 5 {
        0 => {
            let producer = open(config(address));
            producer.send(ProducerRecord::new("t", b"x")).unwrap().get().unwrap();
            producer.close().unwrap();
        }
        1 => drop(open(config(address))),
        2 => {
            // In the middle of a handshake that would last for request.timeout.ms.
            let producer = open(config(silent));
            drop(producer.connect(ms(1)));
            producer.close().unwrap();
        }
        3 => {
            let producer = open(config(address));
            producer.send_with(ProducerRecord::new("t", b"x"), |_| {}).unwrap();
        }
        _ => {
            let producer = open(config(address));
            producer.send(ProducerRecord::new("t", &[7; 100_000])).unwrap().detach();
            drop(producer.close_timeout(ms(0)));
        }
    }
}

#[test]
fn a_thousand_producers_leave_nothing() {
    let Some(address) = child() else {
        let cluster = MockCluster::builder().topic("t", 2).start().unwrap();
        run_child("leftovers::a_thousand_producers_leave_nothing", &cluster);
        return;
    };
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    // Whether a connection came that far before it was closed is not sure.
    silent.set_nonblocking(true).unwrap();
    let silent_address = silent.local_addr().unwrap().to_string();
    // The first ones fill what the process keeps for all of them.
    (0..20).for_each(|n| one(&address, &silent_address, n));
    eventually(|| threads("kafka-") == 0);
    let (threads_before, files, bytes) = (all_threads(), open_files(), heap());
    for n in 0..1000 {
        one(&address, &silent_address, n);
        if n % 5 == 2 {
            // Close has waited for them; the kernel may list a thread a moment longer.
            eventually(|| threads("kafka-") == 0);
            drop(silent.accept());
        }
    }
    eventually(|| all_threads() == threads_before && open_files() == files);
    let grown = heap().saturating_sub(bytes);
    println!("after 1,000 producers: {} threads, {files} files, {grown} bytes more", all_threads());
    assert!(grown < 16 * 1024, "{grown} bytes stayed");
}
