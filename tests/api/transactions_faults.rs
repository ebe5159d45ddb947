//! Transactions in trouble: fenced, without an answer, expired, with a coordinator that moves, loads and restarts.

use crate::harness::{SHORT, eventually, fast, no_violations};
use crate::support::{AT_ONCE, PATIENCE, at_once, cause, ms, open, says};
use crate::transactions::{ID, impatient, send, transactional, values};
use kafka_producer::mock::{BrokerVersion, Fault, MockCluster, TransactionState};
use kafka_producer::protocol::{ApiKey, ErrorCode};
use kafka_producer::{ConsumerGroupMetadata, Error, ErrorKind, Offsets, ProducerRecord};
use std::time::Duration;

fn both() -> [MockCluster; 2] {
    [BrokerVersion::V3_9, BrokerVersion::V4_3]
        .map(|version| MockCluster::builder().brokers(3).topic("a", 3).version(version).start().unwrap())
}

fn fenced<T: std::fmt::Debug>(result: Result<T, Error>) {
    let error = result.expect_err("another producer took over");
    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
    assert!(error.is_fatal() && !error.requires_abort());
}

#[test]
fn a_second_producer_fences_the_first_which_says_so_in_every_call() {
    for cluster in both() {
        let first = transactional(&cluster);
        let transaction = first.transaction().unwrap();
        send(&transaction, "a", "first");
        first.flush().unwrap();

        let second = transactional(&cluster);
        let other = second.transaction().unwrap();
        assert_ne!(cluster.transaction(ID).unwrap().state, TransactionState::Ongoing);
        send(&other, "a", "second");

        let error = transaction.commit().unwrap_err();
        assert!(!error.outcome_unknown());
        fenced::<()>(Err(error.into_error()));
        let group = ConsumerGroupMetadata::new("g");
        at_once(|| {
            fenced(first.send(ProducerRecord::new("a", b"late")));
            fenced(first.transaction());
            fenced(first.init_transactions());
            fenced(first.begin_transaction());
            fenced(first.commit_transaction());
            fenced(first.abort_transaction());
            fenced(first.send_offsets_to_transaction(&Offsets::new().with("a", 0, 1), &group));
        });
        let _ = at_once(|| first.close());
        other.commit().unwrap();
        assert_eq!(values(&cluster, "a"), ["second"]);
    }
}

#[test]
fn a_fenced_producer_that_sends_first_learns_it_too() {
    for cluster in both() {
        let first = transactional(&cluster);
        let transaction = first.transaction().unwrap();
        send(&transaction, "a", "before");
        first.flush().unwrap();
        cluster.fence(ID).unwrap();
        send(&transaction, "a", "after");
        // A partition's leader knows only that the epoch is old; the coordinator knows why.
        fenced::<()>(Err(transaction.commit().unwrap_err().into_error()));
        fenced(first.begin_transaction());
        assert!(values(&cluster, "a").is_empty());
    }
}

#[test]
fn a_fenced_producer_learns_it_from_every_call_that_may_wait() {
    let group = ConsumerGroupMetadata::new("g");
    let offsets = Offsets::new().with("a", 0, 1);
    for cluster in both() {
        for call in 0..4 {
            let first = transactional(&cluster);
            let transaction = first.transaction().unwrap();
            send(&transaction, "a", "before");
            first.flush().unwrap();
            cluster.fence(ID).unwrap();
            send(&transaction, "a", "after");
            let said = match call {
                0 => transaction.send_offsets(&offsets, &group),
                1 => transaction.commit().map_err(Error::from),
                2 => transaction.abort(),
                _ => {
                    drop(transaction);
                    first.transaction().map(drop)
                }
            };
            fenced(said);
        }
        assert!(values(&cluster, "a").is_empty());
    }
}

#[test]
fn a_successor_goes_on_where_a_lost_process_stopped() {
    for cluster in both() {
        let lost = transactional(&cluster);
        let transaction = lost.transaction().unwrap();
        send(&transaction, "a", "lost");
        lost.flush().unwrap();
        // Nobody aborts: as if the process had been killed.
        std::mem::forget(transaction);
        let next = transactional(&cluster);
        next.init_transactions().unwrap();
        assert_ne!(cluster.transaction(ID).unwrap().state, TransactionState::Ongoing);
        let transaction = next.transaction().unwrap();
        send(&transaction, "a", "next");
        transaction.commit().unwrap();
        assert_eq!(values(&cluster, "a"), ["next"]);
    }
}

#[test]
fn a_commit_without_answer_gives_the_guard_back_and_is_repeated_until_it_is_known() {
    for cluster in both() {
        let producer = impatient(&cluster, 300);
        let transaction = producer.transaction().unwrap();
        send(&transaction, "a", "x");
        producer.flush().unwrap();
        // It commits, and the answer takes its time.
        cluster.inject(Fault::on(ApiKey::END_TXN).delay(ms(300) + SHORT));
        let unknown = transaction.commit().unwrap_err();
        assert!(unknown.outcome_unknown(), "{unknown}");
        assert_eq!(unknown.error().kind(), ErrorKind::Timeout);
        assert_eq!((unknown.failed_records(), unknown.first_failure().is_none()), (0, true));
        says(&unknown, &["commit"]);
        // Nothing else is allowed, and nothing aborts.
        let transaction = unknown.into_transaction();
        assert!(transaction.send(ProducerRecord::new("a", b"late")).is_err());
        for call in [producer.begin_transaction(), producer.abort_transaction(), producer.init_transactions()]
        {
            let error = call.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Misuse, "{error}");
            says(&error, &["commit_transaction()"]);
        }
        let mut open = Some(transaction);
        eventually("the outcome is known", || match producer.commit_transaction() {
            Ok(()) => true,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
                false
            }
        });
        drop(open.take());
        assert_eq!(values(&cluster, "a"), ["x"]);
        let transaction = producer.transaction().unwrap();
        send(&transaction, "a", "y");
        eventually("the next one", || producer.commit_transaction().is_ok());
        drop(transaction);
        assert_eq!(values(&cluster, "a"), ["x", "y"]);
    }
}

#[test]
fn dropping_a_commit_without_outcome_aborts_nothing() {
    for cluster in both() {
        let producer = impatient(&cluster, 200);
        let transaction = producer.transaction().unwrap();
        send(&transaction, "a", "x");
        producer.flush().unwrap();
        let refuse =
            Fault::on(ApiKey::END_TXN).always().error_before(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS);
        let loading = cluster.inject(refuse);
        let error: Error = transaction.commit().unwrap_err().into();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        assert!(loading.hits() > 0);
        loading.remove();
        eventually("it is committed", || producer.commit_transaction().is_ok());
        assert_eq!(values(&cluster, "a"), ["x"]);
    }
}

#[test]
fn an_expired_record_makes_the_commit_fail_and_cannot_land_in_the_next_transaction() {
    for cluster in both() {
        let producer = open(
            fast(&cluster)
                .transactional_id(ID)
                .request_timeout(ms(300))
                .delivery_timeout(SHORT)
                .linger(Duration::ZERO),
        );
        let transaction = producer.transaction().unwrap();
        send(&transaction, "a", "first");
        producer.flush().unwrap();
        // Appended, and never answered: nobody knows.
        let silent = cluster.inject(Fault::on(ApiKey::PRODUCE).always().swallow_answer());
        let handle = transaction.send(ProducerRecord::new("a", b"late").partition(0)).unwrap();
        let error = handle.get().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DeliveryTimeout, "{error}");
        let error = transaction.commit().unwrap_err();
        assert!(error.error().requires_abort() && error.failed_records() == 1, "{error:?}");
        assert_eq!(error.first_failure().unwrap().kind(), ErrorKind::DeliveryTimeout);
        silent.remove();
        let before = cluster.transaction(ID).unwrap();
        error.into_transaction().abort().unwrap();
        let transaction = producer.transaction().unwrap();
        send(&transaction, "a", "next");
        transaction.commit().unwrap();
        assert_eq!(values(&cluster, "a"), ["next"]);
        let after = cluster.transaction(ID).unwrap();
        let identity = |t: &kafka_producer::mock::TransactionInfo| (t.producer_id, t.producer_epoch);
        assert!(identity(&after) > identity(&before), "a late request would be taken for one of the next");
        no_violations(&cluster);
    }
}

#[test]
fn the_coordinator_moves_loads_and_restarts() {
    for cluster in both() {
        cluster.set_coordinator_load_time(ms(30));
        let producer = transactional(&cluster);
        let mut expected = Vec::new();
        for n in 0..30 {
            let transaction = producer.transaction().unwrap();
            let value = format!("{n:02}");
            send(&transaction, "a", &value);
            transaction
                .send_offsets(&Offsets::new().with("a", 0, n), &ConsumerGroupMetadata::new("g"))
                .unwrap();
            if n % 2 == 0 {
                cluster.move_coordinator(ID, 1 + (n as i32 / 2) % 3).unwrap();
                cluster.move_group_coordinator("g", 1 + (n as i32 / 3) % 3).unwrap();
            }
            if n % 10 == 5 {
                let node = cluster.transaction_coordinator(ID).unwrap();
                cluster.stop_broker(node).unwrap();
                transaction.commit().unwrap();
                cluster.start_broker(node).unwrap();
            } else {
                transaction.commit().unwrap();
            }
            expected.push(value);
        }
        assert_eq!(values(&cluster, "a"), expected);
        assert_eq!(cluster.committed_offset("g", "a", 0).map(|o| o.offset), Some(29));
        no_violations(&cluster);
    }
}

#[test]
fn lost_answers_before_and_after_the_coordinator_acted_change_nothing() {
    let apis = [
        ApiKey::FIND_COORDINATOR,
        ApiKey::INIT_PRODUCER_ID,
        ApiKey::ADD_PARTITIONS_TO_TXN,
        ApiKey::ADD_OFFSETS_TO_TXN,
        ApiKey::TXN_OFFSET_COMMIT,
        ApiKey::END_TXN,
        ApiKey::PRODUCE,
    ];
    for cluster in both() {
        let mut expected = Vec::new();
        for (n, api) in apis.into_iter().enumerate() {
            for after in [false, true] {
                let fault = Fault::on(api);
                cluster.inject(if after { fault.drop_after() } else { fault.drop_before() });
                let producer = transactional(&cluster);
                let transaction = producer.transaction().unwrap();
                let value = format!("{n}-{after}");
                send(&transaction, "a", &value);
                transaction
                    .send_offsets(&Offsets::new().with("a", 0, 1), &ConsumerGroupMetadata::new("g"))
                    .unwrap();
                transaction.commit().unwrap();
                expected.push(value);
                cluster.clear_faults();
            }
        }
        assert_eq!(values(&cluster, "a"), expected);
        no_violations(&cluster);
    }
}

#[test]
fn transactions_follow_each_other_without_idle_waits_while_markers_are_written() {
    for cluster in both() {
        let producer = open(fast(&cluster).transactional_id(ID).retry_backoff(Duration::from_secs(5)));
        cluster.set_marker_delay(ms(20));
        producer.init_transactions().unwrap();
        at_once(|| {
            for n in 0..5 {
                let transaction = producer.transaction().unwrap();
                send(&transaction, "a", &n.to_string());
                transaction.commit().unwrap();
            }
        });
        assert!(cluster.wait_until(PATIENCE, |c| values(c, "a").len() == 5));
    }
}

#[test]
fn a_transaction_that_outlives_its_timeout_is_over() {
    for cluster in both() {
        let producer = transactional(&cluster);
        let transaction = producer.transaction().unwrap();
        send(&transaction, "a", "late");
        producer.flush().unwrap();
        assert!(cluster.time_out_transaction(ID));
        let error = transaction.commit().unwrap_err();
        assert!(!error.outcome_unknown(), "{error}");
        assert!(error.error().is_fatal() || error.error().requires_abort(), "{error:?}");
        assert!(values(&cluster, "a").is_empty());
    }
}

#[test]
fn what_is_not_allowed_says_so() {
    for cluster in both() {
        let denied = Fault::on(ApiKey::INIT_PRODUCER_ID);
        cluster.inject(denied.error_before(ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED));
        let producer = transactional(&cluster);
        let error = at_once(|| producer.transaction()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Authorization, "{error}");
        assert_eq!(error.code(), Some(ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED));
        // Somebody has put it right meanwhile.
        if !error.is_fatal() {
            producer.transaction().unwrap().commit().unwrap();
        }
    }
}

#[test]
fn without_brokers_every_call_ends_at_its_deadline() {
    let [cluster, _] = both();
    let producer = open(fast(&cluster).transactional_id(ID).max_block(ms(200)));
    for node in 1..=3 {
        cluster.stop_broker(node).unwrap();
    }
    for _ in 0..2 {
        let (result, took) = crate::support::timed(|| producer.transaction().map(drop));
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        assert!(error.is_retriable() && took >= ms(200) && took < AT_ONCE, "{took:?}");
        assert_eq!(cause(&error).kind(), ErrorKind::Connection, "{error}");
    }
    for node in 1..=3 {
        cluster.start_broker(node).unwrap();
    }
    eventually("it works now", || producer.transaction().is_ok_and(|t| t.commit().is_ok()));
}

#[test]
fn nobody_is_told_to_repeat_a_commit_that_a_close_has_cut_short() {
    for cluster in both() {
        let producer = impatient(&cluster, 200);
        let transaction = producer.transaction().unwrap();
        send(&transaction, "a", "x");
        producer.flush().unwrap();
        cluster.inject(Fault::on(ApiKey::END_TXN).times(100).drop_before());
        let unknown = transaction.commit().unwrap_err();
        assert!(unknown.outcome_unknown(), "{unknown}");
        let _ = producer.close_timeout(Duration::ZERO);
        let closed = unknown.into_transaction().commit().unwrap_err();
        // Still unknown, but not to be learnt here.
        assert_eq!(closed.error().kind(), ErrorKind::Closed, "{closed}");
        assert!(closed.error().may_have_been_written() && !closed.outcome_unknown(), "{closed}");
    }
}
