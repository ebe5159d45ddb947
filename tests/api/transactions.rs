//! Transactions against the embedded cluster: what is committed, what is aborted, the guard, and one behind the other.

use crate::harness::{SHORT, eventually, fast, no_violations};
use crate::support::{PATIENCE, Producer, at_once, cause, ms, open, timed};
use kafka_producer::mock::{BrokerVersion, Fault, MockCluster, MockClusterBuilder, TransactionState};
use kafka_producer::protocol::{ApiKey, ErrorCode};
use kafka_producer::{
    ConsumerGroupMetadata, Error, ErrorKind, OffsetAndMetadata, Offsets, Producer as _, ProducerRecord,
    Transaction,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

pub(crate) const ID: &str = "id";

pub(crate) fn transactional(cluster: &MockCluster) -> Producer {
    open(fast(cluster).transactional_id(ID))
}

/// One that is initialised, however long that takes on a busy machine, and waits for so many milliseconds only.
pub(crate) fn impatient(cluster: &MockCluster, max_block: u64) -> Producer {
    let producer = open(fast(cluster).transactional_id(ID).max_block(ms(max_block)));
    eventually("it is initialised", || producer.init_transactions().is_ok());
    producer
}

/// A cluster of each protocol version.
fn both() -> [MockCluster; 2] {
    let start = |version| {
        let builder = MockCluster::builder().brokers(3).topic("a", 3).topic("b", 2);
        builder.version(version).start().unwrap()
    };
    [start(BrokerVersion::V3_9), start(BrokerVersion::V4_3)]
}

pub(crate) fn values(cluster: &MockCluster, topic: &str) -> Vec<String> {
    let mut all = Vec::new();
    for partition in 0..cluster.partition_count(topic).unwrap() as i32 {
        let records = cluster.committed_records(topic, partition);
        all.extend(records.into_iter().map(|r| String::from_utf8(r.value.unwrap()).unwrap()));
    }
    all.sort();
    all
}

pub(crate) fn send(transaction: &Transaction<'_, str, [u8]>, topic: &str, value: &str) {
    transaction.send(ProducerRecord::new(topic, value.as_bytes())).unwrap().detach();
}

#[test]
fn committed_records_are_seen_and_aborted_ones_are_not() {
    for cluster in both() {
        let producer = transactional(&cluster);
        for n in 0..30 {
            let transaction = producer.transaction().unwrap();
            for partition in 0..3 {
                let value = format!("{n:02}-{partition}");
                let record = ProducerRecord::new("a", value.as_bytes()).partition(partition);
                transaction.send(record).unwrap().detach();
                send(&transaction, "b", &value);
            }
            match n % 3 {
                0 => transaction.commit().unwrap(),
                1 => transaction.abort().unwrap(),
                _ => drop(transaction),
            }
        }
        producer.close().unwrap();
        let expected: Vec<String> =
            (0..30).step_by(3).flat_map(|n| (0..3).map(move |p| format!("{n:02}-{p}"))).collect();
        assert_eq!(values(&cluster, "a"), expected);
        assert_eq!(values(&cluster, "b"), expected);
        no_violations(&cluster);
    }
}

#[test]
fn nothing_is_seen_before_the_commit_and_all_after_it() {
    for cluster in both() {
        let producer = transactional(&cluster);
        let transaction = producer.transaction().unwrap();
        send(&transaction, "a", "1");
        send(&transaction, "b", "2");
        producer.flush().unwrap();
        assert_eq!(cluster.record_count("a") + cluster.record_count("b"), 2);
        assert!(values(&cluster, "a").is_empty() && values(&cluster, "b").is_empty());
        assert_eq!(cluster.transaction(ID).unwrap().state, TransactionState::Ongoing);
        transaction.commit().unwrap();
        assert_eq!((values(&cluster, "a"), values(&cluster, "b")), (vec!["1".into()], vec!["2".into()]));
        assert_eq!(cluster.transaction(ID).unwrap().state, TransactionState::CompleteCommit);
    }
}

#[test]
fn empty_transactions_ask_nobody() {
    for cluster in both() {
        let producer = transactional(&cluster);
        for n in 0..50 {
            let transaction = producer.transaction().unwrap();
            match n % 3 {
                0 => transaction.commit().unwrap(),
                1 => transaction.abort().unwrap(),
                _ => drop(transaction),
            }
        }
        assert_eq!(cluster.requests(ApiKey::END_TXN).len(), 0);
        assert_eq!(cluster.requests(ApiKey::INIT_PRODUCER_ID).len(), 1);
    }
}

#[test]
fn offsets_belong_to_the_transaction() {
    for cluster in both() {
        let producer = transactional(&cluster);
        let group = ConsumerGroupMetadata::new("g").member("m", 4).static_member("s");
        cluster.set_group_member("g", 4, "m", Some("s"));
        for (offset, commit) in [(10, true), (20, false), (30, true), (40, false)] {
            let transaction = producer.transaction().unwrap();
            send(&transaction, "b", "copy");
            let at = OffsetAndMetadata::new(offset).with_leader_epoch(2).with_metadata("note");
            let offsets = Offsets::new().with("a", 0, at).with("a", 2, offset + 1);
            transaction.send_offsets(&offsets, &group).unwrap();
            if commit { transaction.commit().unwrap() } else { transaction.abort().unwrap() }
        }
        let committed = |partition| cluster.committed_offset("g", "a", partition);
        assert_eq!(committed(0).map(|o| o.offset), Some(30));
        assert_eq!(committed(2).map(|o| o.offset), Some(31));
        assert_eq!(committed(1), None);
        assert_eq!(values(&cluster, "b"), ["copy", "copy"]);
    }
}

#[test]
fn offsets_alone_make_a_transaction_and_none_are_none() {
    for cluster in both() {
        let producer = transactional(&cluster);
        let group = ConsumerGroupMetadata::new("g");
        let transaction = producer.transaction().unwrap();
        transaction.send_offsets(&Offsets::new(), &group).unwrap();
        transaction.commit().unwrap();
        assert_eq!(cluster.requests(ApiKey::TXN_OFFSET_COMMIT).len(), 0);
        let transaction = producer.transaction().unwrap();
        transaction.send_offsets(&Offsets::new().with("a", 0, 1), &group).unwrap();
        transaction.commit().unwrap();
        assert_eq!(cluster.committed_offset("g", "a", 0).map(|o| o.offset), Some(1));
    }
}

#[test]
fn the_group_s_refusal_aborts_the_transaction_and_no_more() {
    for cluster in both() {
        cluster.set_group_member("g", 4, "m", None);
        let producer = transactional(&cluster);
        let transaction = producer.transaction().unwrap();
        send(&transaction, "a", "lost");
        // Of a generation that is over: the partitions are somebody else's.
        let stale = ConsumerGroupMetadata::new("g").member("m", 3);
        let error = transaction.send_offsets(&Offsets::new().with("a", 0, 1), &stale).unwrap_err();
        assert!(error.requires_abort() && !error.is_fatal(), "{error}");
        assert_eq!(error.code(), Some(ErrorCode::ILLEGAL_GENERATION), "{error:?}");
        let error = transaction.commit().unwrap_err();
        assert!(error.error().requires_abort() && !error.outcome_unknown());
        drop(error);
        let transaction = producer.transaction().unwrap();
        send(&transaction, "a", "kept");
        transaction.commit().unwrap();
        assert_eq!(values(&cluster, "a"), ["kept"]);
        assert_eq!(cluster.committed_offset("g", "a", 0), None);
    }
}

#[test]
fn many_threads_send_into_one_transaction() {
    for cluster in both() {
        let producer = transactional(&cluster);
        let called = Arc::new(AtomicU64::new(0));
        for _ in 0..3 {
            let transaction = producer.transaction().unwrap();
            std::thread::scope(|scope| {
                for thread in 0..4 {
                    let (transaction, called) = (&transaction, &called);
                    scope.spawn(move || {
                        for n in 0..200 {
                            let (value, called) = (format!("{thread}-{n}"), called.clone());
                            let record = ProducerRecord::new("a", value.as_bytes());
                            transaction
                                .send_with(record, move |result| {
                                    result.unwrap();
                                    called.fetch_add(1, Ordering::SeqCst);
                                })
                                .unwrap();
                        }
                    });
                }
            });
            let before = called.load(Ordering::SeqCst) / 800 * 800;
            transaction.commit().unwrap();
            // Who returns from commit has seen what the callbacks did.
            assert!(called.load(Ordering::SeqCst) >= before + 800);
        }
        assert_eq!(called.load(Ordering::SeqCst), 2400);
        assert_eq!(values(&cluster, "a").len(), 2400);
    }
}

#[test]
fn records_without_outcome_fail_with_the_abort() {
    for cluster in both() {
        let producer = open(fast(&cluster).transactional_id(ID).linger(PATIENCE));
        let transaction = producer.transaction().unwrap();
        let handle = transaction.send(ProducerRecord::new("a", b"never sent")).unwrap();
        transaction.abort().unwrap();
        let error = handle.try_get().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TransactionAborted);
        assert!(!error.may_have_been_written());
        assert_eq!(cluster.record_count("a"), 0);
        assert_eq!(producer.metrics().records_failed_unseen, 0);
    }
}

#[test]
fn commit_ends_linger() {
    for cluster in both() {
        let producer = open(fast(&cluster).transactional_id(ID).linger(PATIENCE));
        let transaction = producer.transaction().unwrap();
        send(&transaction, "a", "x");
        at_once(|| transaction.commit()).unwrap();
        assert_eq!(values(&cluster, "a"), ["x"]);
    }
}

#[test]
fn dropping_the_guard_never_blocks_and_the_next_one_waits_for_the_abort() {
    for cluster in both() {
        let producer = transactional(&cluster);
        let transaction = producer.transaction().unwrap();
        send(&transaction, "a", "dropped");
        producer.flush().unwrap();
        cluster.inject(Fault::on(ApiKey::END_TXN).delay(SHORT));
        let (_, took) = timed(|| drop(transaction));
        assert!(took < SHORT, "{took:?}");
        let transaction = producer.transaction().unwrap();
        assert_eq!(cluster.transaction(ID).unwrap().state, TransactionState::CompleteAbort);
        send(&transaction, "a", "next");
        transaction.commit().unwrap();
        assert_eq!(values(&cluster, "a"), ["next"]);
    }
}

#[test]
fn an_abort_that_is_not_over_in_time_is_waited_for_by_the_next_one() {
    for cluster in both() {
        let producer = impatient(&cluster, 200);
        let transaction = producer.transaction().unwrap();
        send(&transaction, "a", "aborted");
        producer.flush().unwrap();
        let slow = cluster.inject(Fault::on(ApiKey::END_TXN).delay(SHORT));
        let error = transaction.abort().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        eventually("the next one begins", || match producer.transaction() {
            Ok(transaction) => {
                send(&transaction, "a", "kept");
                transaction.commit().is_ok()
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
                false
            }
        });
        assert!(slow.hits() > 0);
        assert_eq!(values(&cluster, "a"), ["kept"]);
    }
}

#[test]
fn close_and_drop_of_the_producer_abort_what_is_open() {
    for cluster in both() {
        for explicit in [true, false] {
            let producer = transactional(&cluster);
            producer.init_transactions().unwrap();
            producer.begin_transaction().unwrap();
            producer.send(ProducerRecord::new("a", b"open")).unwrap().get().unwrap();
            if explicit {
                producer.close().unwrap();
            }
            drop(producer);
            assert_eq!(cluster.transaction(ID).unwrap().state, TransactionState::CompleteAbort);
        }
        assert!(values(&cluster, "a").is_empty());
    }
}

#[test]
fn it_works_behind_dyn_producer() {
    let [cluster, _] = both();
    let producer = transactional(&cluster);
    producer.init_transactions().unwrap();
    let shared: Arc<dyn kafka_producer::Producer<str, [u8]>> = Arc::new(producer);
    let transaction = Transaction::begin(&shared).unwrap();
    send(&transaction, "a", "x");
    transaction.commit().unwrap();
    drop(Transaction::begin(&*shared).unwrap());
    shared.begin_transaction().unwrap();
    shared.commit_transaction().unwrap();
    assert_eq!(values(&cluster, "a"), ["x"]);
}

#[test]
fn a_record_that_fails_makes_commit_fail_and_the_error_says_which() {
    for cluster in both() {
        let producer = transactional(&cluster);
        let transaction = producer.transaction().unwrap();
        let refuse = Fault::on(ApiKey::PRODUCE).topic("b").always().error_before(ErrorCode::INVALID_RECORD);
        let refused = cluster.inject(refuse);
        send(&transaction, "a", "good");
        producer.flush().unwrap();
        let handles: Vec<_> = (0..3)
            .map(|_| transaction.send(ProducerRecord::new("b", b"bad").partition(1)).unwrap())
            .collect();
        let error = transaction.commit().unwrap_err();
        assert!(!error.outcome_unknown());
        assert_eq!((error.error().kind(), error.failed_records()), (ErrorKind::TransactionAbortable, 3));
        assert!(error.error().requires_abort() && !error.error().is_fatal());
        let first = error.first_failure().unwrap();
        assert_eq!(first.code(), Some(ErrorCode::INVALID_RECORD));
        assert_eq!(first.topic_partition().unwrap().to_string(), "b-1");
        assert_eq!(cause(error.error()).code(), first.code());
        assert!(handles.iter().all(|h| h.get().unwrap_err().code() == Some(ErrorCode::INVALID_RECORD)));
        // A record that comes too late is refused and names the cause.
        let transaction = error.into_transaction();
        let late = transaction.send(ProducerRecord::new("a", b"late")).unwrap_err();
        assert!(late.requires_abort(), "{late}");
        transaction.abort().unwrap();

        refused.remove();
        let transaction = producer.transaction().unwrap();
        send(&transaction, "b", "better");
        transaction.commit().unwrap();
        assert!(values(&cluster, "a").is_empty());
        assert_eq!(values(&cluster, "b"), ["better"]);
        no_violations(&cluster);
    }
}

#[test]
fn a_record_that_does_not_enter_spoils_nothing() {
    for cluster in both() {
        let producer = transactional(&cluster);
        let transaction = producer.transaction().unwrap();
        let huge = vec![0; 2 << 20];
        let error = transaction.send(ProducerRecord::new("a", &huge)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::RecordTooLarge);
        assert!(!error.requires_abort());
        send(&transaction, "a", "small");
        transaction.commit().unwrap();
        assert_eq!(values(&cluster, "a"), ["small"]);
    }
}

#[test]
fn a_question_mark_after_a_failed_commit_aborts_and_the_next_one_is_clean() {
    fn work(producer: &Producer) -> Result<(), Error> {
        let transaction = producer.transaction()?;
        transaction.send(ProducerRecord::new("a", b"x"))?.detach();
        transaction.commit()?;
        Ok(())
    }
    for cluster in both() {
        let producer = transactional(&cluster);
        cluster.inject(Fault::on(ApiKey::PRODUCE).error_before(ErrorCode::INVALID_RECORD));
        assert!(work(&producer).unwrap_err().requires_abort());
        work(&producer).unwrap();
        assert_eq!(values(&cluster, "a"), ["x"]);
    }
}

#[test]
fn the_version_of_the_protocol_is_looked_at_when_a_transaction_ends() {
    let builder: MockClusterBuilder = MockCluster::builder().topic("a", 1);
    let cluster = builder.version(BrokerVersion::V4_3).transaction_version(1).start().unwrap();
    let producer = transactional(&cluster);
    let commit = |value: &str| {
        let transaction = producer.transaction().unwrap();
        send(&transaction, "a", value);
        transaction.commit().unwrap();
    };
    commit("1");
    assert_eq!(cluster.requests(ApiKey::ADD_PARTITIONS_TO_TXN).len(), 1);
    cluster.set_transaction_version(2).unwrap();
    // Known with the next connection.
    cluster.disconnect(1).unwrap();
    eventually("the new version is in use", || {
        let before = cluster.requests(ApiKey::ADD_PARTITIONS_TO_TXN).len();
        commit("2");
        cluster.requests(ApiKey::ADD_PARTITIONS_TO_TXN).len() == before
    });
    commit("3");
    let seen = values(&cluster, "a");
    assert!(seen.first().is_some_and(|v| v == "1") && seen.last().is_some_and(|v| v == "3"), "{seen:?}");
    no_violations(&cluster);
}

/// Without the guard, which the compiler keeps from being committed while somebody sends through it.
#[test]
fn a_record_that_races_with_the_commit_is_part_of_it_or_refused() {
    for cluster in both() {
        let producer = transactional(&cluster);
        producer.init_transactions().unwrap();
        let (over, entered) = (AtomicBool::new(false), AtomicBool::new(false));
        let mut accepted: Vec<String> = std::thread::scope(|scope| {
            let (producer, over, entered) = (&producer, &over, &entered);
            let send = |thread: u32| {
                let mut accepted = Vec::new();
                for n in 0.. {
                    if over.load(Ordering::SeqCst) {
                        break;
                    }
                    let value = format!("{thread}-{n}");
                    match producer.send(ProducerRecord::new("a", value.as_bytes())) {
                        Ok(handle) => {
                            entered.store(true, Ordering::SeqCst);
                            accepted.push((value, handle));
                        }
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::Misuse, "{error}");
                            std::thread::yield_now();
                        }
                    }
                }
                // The last commit is over: nothing may be left behind.
                accepted
                    .into_iter()
                    .map(|(value, handle)| {
                        handle.try_get().expect("it has its outcome").expect("it is delivered");
                        value
                    })
                    .collect::<Vec<_>>()
            };
            let threads: Vec<_> = (0..3).map(|thread| scope.spawn(move || send(thread))).collect();
            // On a busy machine it may take more for the threads to meet one that is open.
            for _ in (0..10_000).take_while(|n| *n < 60 || !entered.load(Ordering::SeqCst)) {
                producer.begin_transaction().unwrap();
                std::thread::yield_now();
                producer.commit_transaction().unwrap();
            }
            over.store(true, Ordering::SeqCst);
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        accepted.sort();
        assert!(!accepted.is_empty());
        assert!(values(&cluster, "a") == accepted, "what was accepted is not what was committed");
        no_violations(&cluster);
    }
}

#[test]
fn the_time_of_each_call_is_counted() {
    let [cluster, _] = both();
    let producer = transactional(&cluster);
    let transaction = producer.transaction().unwrap();
    send(&transaction, "a", "x");
    transaction.send_offsets(&Offsets::new().with("a", 0, 1), &ConsumerGroupMetadata::new("g")).unwrap();
    transaction.commit().unwrap();
    producer.transaction().unwrap().abort().unwrap();
    let metrics = producer.metrics();
    for call in ["init", "begin", "send-offsets", "commit", "abort"] {
        let name = format!("txn-{call}-time-ns-total");
        assert!(metrics.value(&name).is_some_and(|nanos| nanos > 0.0), "{name}");
    }
}
