//! Transactions used by several threads, closed at any point, and with calls that may hardly wait.

use crate::harness::{eventually, fast, no_violations};
use crate::support::{AT_ONCE, PATIENCE, Producer, ms, open, timed};
use crate::transactions::{ID, transactional, values};
use kafka_producer::mock::{BrokerVersion, Fault, MockCluster, TransactionState};
use kafka_producer::protocol::ApiKey;
use kafka_producer::{ConsumerGroupMetadata, Error, ErrorKind, Offsets, ProducerRecord};
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

fn both() -> [MockCluster; 2] {
    [BrokerVersion::V3_9, BrokerVersion::V4_3]
        .map(|version| MockCluster::builder().brokers(3).topic("a", 3).version(version).start().unwrap())
}

/// Calls until it succeeds; nothing but its time may be over.
#[track_caller]
fn until_ok(what: &str, call: impl Fn() -> Result<(), Error>) {
    eventually(what, || match call() {
        Ok(()) => true,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Timeout, "{what}: {error}");
            false
        }
    });
}

#[test]
fn every_call_may_time_out_and_be_repeated() {
    let group = ConsumerGroupMetadata::new("g");
    for cluster in both() {
        let producer = open(fast(&cluster).transactional_id(ID).max_block(ms(2)));
        eventually("the topic is known", || producer.partitions_for("a").is_ok());
        for api in [
            ApiKey::INIT_PRODUCER_ID,
            ApiKey::ADD_PARTITIONS_TO_TXN,
            ApiKey::ADD_OFFSETS_TO_TXN,
            ApiKey::TXN_OFFSET_COMMIT,
            ApiKey::END_TXN,
        ] {
            cluster.inject(Fault::on(api).always().delay(ms(5)));
        }
        let mut expected = Vec::new();
        until_ok("init", || producer.init_transactions());
        for n in 0..9 {
            until_ok("begin", || producer.begin_transaction());
            let value = format!("{n}");
            producer.send(ProducerRecord::new("a", value.as_bytes())).unwrap().detach();
            let offsets = Offsets::new().with("a", 0, n);
            until_ok("offsets", || producer.send_offsets_to_transaction(&offsets, &group));
            if n % 3 == 2 {
                until_ok("abort", || producer.abort_transaction());
            } else {
                until_ok("commit", || producer.commit_transaction());
                expected.push(value);
            }
        }
        assert!(cluster.wait_until(PATIENCE, |c| values(c, "a") == expected));
        assert_eq!(cluster.committed_offset("g", "a", 0).map(|o| o.offset), Some(7));
        no_violations(&cluster);
    }
}

/// What a thread sent while it knew which transaction was open.
type Sent = Vec<(usize, String)>;

/// Sends until it is told to stop. `open` is the number of the open transaction, 0 around its ends.
fn send_along(producer: &Producer, name: usize, open: &AtomicUsize, stop: &AtomicBool) -> (Sent, Sent) {
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for n in 0.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let value = format!("{name}-{n}");
        let before = open.load(Ordering::SeqCst);
        let sent = producer.send(ProducerRecord::new("a", value.as_bytes()));
        let after = open.load(Ordering::SeqCst);
        match sent {
            Ok(handle) => {
                handle.detach();
                let of = if before == after { &mut known } else { &mut unknown };
                of.push((before, value));
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Misuse, "{error}");
                thread::yield_now();
            }
        }
    }
    (known, unknown)
}

#[test]
fn what_threads_send_while_another_ends_transactions_shares_their_fate() {
    for cluster in both() {
        let producer = transactional(&cluster);
        producer.init_transactions().unwrap();
        let (open, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let sent: Vec<(Sent, Sent)> = thread::scope(|scope| {
            let along = |name| {
                let (producer, open, stop) = (&producer, &open, &stop);
                scope.spawn(move || send_along(producer, name, open, stop))
            };
            let threads: Vec<_> = (0..3).map(along).collect();
            for n in 1..=40 {
                let transaction = producer.transaction().unwrap();
                open.store(n, Ordering::SeqCst);
                let so_far = producer.metrics().records_sent;
                eventually("some are sent", || producer.metrics().records_sent > so_far);
                open.store(0, Ordering::SeqCst);
                match n % 4 {
                    0 => transaction.abort().unwrap(),
                    1 => drop(transaction),
                    _ => transaction.commit().unwrap(),
                }
            }
            stop.store(true, Ordering::SeqCst);
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        producer.close().unwrap();
        let seen = values(&cluster, "a");
        let once: HashSet<&String> = seen.iter().collect();
        assert_eq!(once.len(), seen.len(), "doubled");
        let mut judged = 0;
        for (known, _) in &sent {
            for (of, value) in known.iter().filter(|(of, _)| *of > 0) {
                assert_eq!(once.contains(value), of % 4 >= 2, "{value} of transaction {of}");
                judged += 1;
            }
        }
        assert!(judged > 0);
        let entered: HashSet<&String> =
            sent.iter().flat_map(|(a, b)| a.iter().chain(b)).map(|(_, v)| v).collect();
        assert!(once.is_subset(&entered), "a record that send refused");
        no_violations(&cluster);
    }
}

/// Uses transactions until it is refused; says each step before it, and returns how the last one ended.
fn use_until_closed(producer: &Producer, id: &str, step: Sender<()>) -> Vec<(String, Result<(), Error>)> {
    let group = ConsumerGroupMetadata::new("g");
    let mut ends = Vec::new();
    let say = || {
        let _ = step.send(());
    };
    for n in 0.. {
        say();
        let Ok(transaction) = producer.transaction() else { break };
        let value = format!("{id} {n}");
        say();
        let Ok(handle) = transaction.send(ProducerRecord::new("a", value.as_bytes())) else { break };
        handle.detach();
        say();
        if transaction.send_offsets(&Offsets::new().with("a", 0, n), &group).is_err() {
            break;
        }
        say();
        let end = transaction.commit().map_err(Error::from);
        let refused = end.is_err();
        ends.push((value, end));
        if refused {
            break;
        }
    }
    ends
}

#[test]
fn closing_at_any_point_leaves_no_transaction_open_and_no_lie() {
    for cluster in both() {
        let mut n = 0;
        for steps in 1..=12 {
            for delayed in [None, Some(ApiKey::END_TXN), Some(ApiKey::PRODUCE)] {
                n += 1;
                let id = format!("{ID}-{n}");
                let producer = open(fast(&cluster).transactional_id(&id));
                if let Some(api) = delayed {
                    cluster.inject(Fault::on(api).always().delay(ms(3)));
                }
                let (say, said): (Sender<()>, Receiver<()>) = channel();
                let (ends, took) = timed(|| {
                    thread::scope(|scope| {
                        let user = scope.spawn(|| use_until_closed(&producer, &id, say));
                        said.iter().take(steps).for_each(drop);
                        producer.close().unwrap();
                        user.join().unwrap()
                    })
                });
                assert!(took < AT_ONCE, "{took:?}");
                cluster.clear_faults();
                let over =
                    |c: &MockCluster| c.transaction(&id).is_none_or(|t| t.state != TransactionState::Ongoing);
                assert!(over(&cluster), "{id}: {:?}", cluster.transaction(&id));
                let all = values(&cluster, "a");
                for (value, end) in ends {
                    let seen = all.contains(&value);
                    match end {
                        Ok(()) => assert!(seen, "{id}: {value} was committed"),
                        Err(error) if error.may_have_been_written() => {}
                        Err(error) => assert!(!seen, "{id}: {value}: {error}"),
                    }
                }
            }
        }
        no_violations(&cluster);
    }
}
