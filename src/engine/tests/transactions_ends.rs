//! Ends of transactions that something else gets in the way of: a failure, a close, offsets, an answer that comes late.

use std::time::Duration;

use super::scenario::{Story, produce};
use super::transactions::{BOTH, GROUP, ID, Tale};
use super::world::ms;
use crate::accumulator::Pending;
use crate::engine::TransactionSettings;
use crate::engine::transaction::{Call, TransactionState};
use crate::error::{Error, ErrorKind};
use crate::mock::Fault;
use crate::protocol::{ApiKey, ErrorCode};
use crate::transaction::{ConsumerGroupMetadata, Offsets};

fn broken() -> Error {
    Error::new(ErrorKind::Broker, "refused")
}

#[test]
fn a_commit_that_failed_is_told_so_before_the_abort_that_follows_has_an_outcome() {
    for version in BOTH {
        for closes in [true, false] {
            let mut tale = Tale::new(version, |_| {});
            tale.begin();
            tale.story.send(0);
            tale.story.all_acked(ms(100));
            tale.port.start(Call::Commit).unwrap();
            // As an answer does that comes before the look at who closes.
            tale.port.failed(&broken(), 1);
            if closes {
                tale.port.close()
            } else {
                tale.port.request_abort()
            }
            assert_eq!(tale.port.state(), TransactionState::Aborting);
            tale.story.pass(ms(100));
            let error = tale.port.poll(Call::Commit).expect("an outcome").expect_err("aborted");
            assert!(error.requires_abort() && error.failed_records() == 1, "{error:?}");
            assert_eq!((tale.committed(0), tale.story.requests(ApiKey::END_TXN)), (0, 1));
        }
    }
}

/// Offsets are handed over and the transaction is ended after the sender has looked at what is new.
fn offsets_at_the_last_moment(tale: &mut Tale, end: Call) -> u64 {
    let job = tale.offsets().expect("something to commit");
    tale.port.start(end).unwrap();
    tale.story.world.acc.signals.take(&mut Pending::default());
    tale.story.world.turn();
    job
}

#[test]
fn offsets_that_race_with_the_end_belong_to_the_transaction_they_were_handed_to() {
    for (version, sends) in [(1, true), (1, false), (2, true), (2, false)] {
        let mut tale = Tale::new(version, |_| {});
        tale.begin();
        if sends {
            tale.story.send(0);
            tale.story.all_acked(ms(100));
        }
        let job = offsets_at_the_last_moment(&mut tale, Call::Commit);
        assert!(tale.port.poll(Call::Commit).is_none());
        tale.story.pass(ms(200));
        tale.port.poll(Call::Commit).expect("an outcome").expect("committed");
        tale.port.poll_offsets(job).expect("an outcome").expect("committed");
        assert_eq!(tale.story.world.committed_offset(GROUP, "in"), Some(7));
    }
}

#[test]
fn offsets_that_race_with_an_abort_fail_at_once_and_land_nowhere() {
    for (version, sends) in [(1, true), (1, false), (2, true), (2, false)] {
        let mut tale = Tale::new(version, |_| {});
        tale.begin();
        if sends {
            tale.story.send(0);
            tale.story.all_acked(ms(100));
        }
        let job = offsets_at_the_last_moment(&mut tale, Call::Abort);
        tale.port.poll_offsets(job).expect("an outcome").expect_err("aborted");
        tale.story.pass(ms(100));
        tale.port.poll(Call::Abort).expect("an outcome").expect("aborted");
        tale.begin();
        tale.story.send(0);
        tale.commit(ms(200));
        assert_eq!(tale.story.world.committed_offset(GROUP, "in"), None);
    }
}

#[test]
fn offsets_that_race_with_a_failure_are_told_of_it() {
    let mut tale = Tale::new(1, |_| {});
    tale.begin();
    let job = tale.offsets().expect("something to commit");
    tale.port.failed(&broken(), 1);
    tale.port.start(Call::Abort).unwrap();
    tale.story.world.acc.signals.take(&mut Pending::default());
    tale.story.world.turn();
    tale.port.poll_offsets(job).expect("an outcome").expect_err("aborted");
    tale.port.poll(Call::Abort).expect("an outcome").expect("nothing to abort");
}

#[test]
fn an_init_that_succeeded_after_its_time_is_repeated_for_its_outcome() {
    let mut story = Story::new(|s| {
        s.engine.transactional = Some(TransactionSettings { id: ID.into(), timeout: ms(60_000) });
    });
    let port = story.world.engine.transaction_port().expect("transactional");
    port.start(Call::Init).unwrap();
    assert_eq!(port.give_up(Call::Init).kind(), ErrorKind::Timeout);
    story.pass(ms(100));
    // So that `transaction()` repeats it, which has its outcome at once.
    assert_eq!((port.state(), port.is_initialized()), (TransactionState::Ready, false));
    port.start(Call::Init).unwrap();
    port.poll(Call::Init).expect("at once").expect("initialised meanwhile");
    assert!(port.is_initialized());
    port.begin(Duration::ZERO).expect("initialised");
}

#[test]
fn a_commit_that_the_engine_leaves_behind_may_have_happened() {
    let mut tale = Tale::new(2, |_| {});
    tale.begin();
    tale.story.send(0);
    tale.story.all_acked(ms(100));
    tale.port.start(Call::Commit).unwrap();
    tale.port.stop(&Error::new(ErrorKind::Closed, "gone"));
    let told = tale.port.poll(Call::Commit).expect("an outcome").expect_err("nobody knows");
    let again = tale.port.start(Call::Commit).expect_err("nobody knows");
    for error in [told, again] {
        assert!(error.kind() == ErrorKind::Closed && error.may_have_been_written(), "{error:?}");
    }
}

#[test]
fn an_open_transaction_that_the_engine_leaves_behind_did_not_happen() {
    let tale = Tale::new(2, |_| {});
    tale.begin();
    tale.port.stop(&Error::new(ErrorKind::Closed, "gone"));
    assert!(!tale.port.start(Call::Commit).expect_err("gone").may_have_been_written());
}

#[test]
fn closing_aborts_a_commit_that_fails_meanwhile() {
    for version in BOTH {
        let mut tale = Tale::new(version, |_| {});
        tale.begin();
        tale.story.send(1);
        tale.story.all_acked(ms(100));
        tale.story.fault(produce().delay(ms(50)).error_before(ErrorCode::MESSAGE_TOO_LARGE));
        tale.story.send(0);
        tale.port.start(Call::Commit).unwrap();
        tale.story.pass(ms(5));
        tale.story.world.acc.close();
        tale.story.world.engine.begin_close();
        assert!(tale.story.world.until(ms(300), |w| w.engine.is_closed()));
        let error = tale.port.poll(Call::Commit).expect("an outcome").expect_err("a batch failed");
        assert!(error.requires_abort(), "{error:?}");
        let log = &tale.story.world.cluster.topology.partition("t", 1).expect("a partition").log;
        assert_eq!((log.committed_records().len(), log.last_stable_offset()), (0, log.end_offset()));
    }
}

#[test]
fn offsets_that_no_broker_takes_fail_after_the_delivery_timeout() {
    for version in BOTH {
        let mut tale = Tale::new(version, |s| s.acc.delivery_timeout = ms(2000));
        let refused = Fault::on(ApiKey::TXN_OFFSET_COMMIT).times(1000);
        tale.story.fault(refused.error_before(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
        tale.begin();
        let job = tale.offsets().expect("something to commit");
        let error = tale.call(Call::Commit, ms(2500)).expect_err("the offsets fail");
        assert!(error.requires_abort(), "{error:?}");
        let error = tale.port.poll_offsets(job).expect("an outcome").expect_err("refused");
        assert!(error.kind() == ErrorKind::Timeout && error.requires_abort(), "{error:?}");
        tale.abort(ms(300));
        assert_eq!(tale.story.world.committed_offset(GROUP, "in"), None);
    }
}

#[test]
fn an_abort_that_overtakes_the_joining_of_partitions_costs_no_more_than_their_answer() {
    for refused in [false, true] {
        let mut tale = Tale::new(1, |_| {});
        tale.begin();
        let fault = Fault::on(ApiKey::ADD_PARTITIONS_TO_TXN).delay(ms(30));
        let coded = ErrorCode::CONCURRENT_TRANSACTIONS;
        tale.story.fault(if refused { fault.error_before(coded) } else { fault });
        tale.story.send(0);
        tale.story.pass(ms(10));
        assert_eq!(tale.story.requests(ApiKey::ADD_PARTITIONS_TO_TXN), 1);
        tale.abort(ms(60));
        assert_eq!(tale.story.requests(ApiKey::END_TXN), 1);
        tale.begin();
        tale.story.send(0);
        tale.commit(ms(100));
        // Where the coordinator knows of nothing that could be aborted, a new epoch makes sure.
        assert_eq!(tale.story.requests(ApiKey::INIT_PRODUCER_ID), 1 + u64::from(refused));
        assert_eq!(tale.committed(0), 1);
        tale.story.audit();
    }
}

#[test]
fn a_lost_question_for_partitions_is_aborted() {
    for acted in [true, false] {
        let mut tale = Tale::new(1, |_| {});
        tale.begin();
        let fault = Fault::on(ApiKey::ADD_PARTITIONS_TO_TXN);
        tale.story.fault(if acted { fault.drop_after() } else { fault.drop_before() });
        tale.story.send(0);
        tale.story.pass(ms(10));
        tale.abort(ms(500));
        assert_eq!(tale.story.requests(ApiKey::END_TXN), 1);
        tale.begin();
        // If the question still comes, it is about an epoch that is over.
        assert_eq!(tale.story.requests(ApiKey::INIT_PRODUCER_ID), 2);
        tale.story.send(0);
        tale.commit(ms(300));
        assert_eq!(tale.committed(0), 1);
        tale.story.audit();
    }
}

/// A batch is under way that its leader will refuse: another producer has taken the id, or none has.
fn refused_under_way(version: i16, fenced: bool) -> Tale {
    let mut tale = Tale::new(version, |_| {});
    tale.begin();
    tale.story.send(0);
    tale.story.all_acked(ms(100));
    if fenced {
        let now = tale.story.world.now;
        tale.story.world.cluster.fence_transaction(ID, now).unwrap();
        tale.story.fault(produce().delay(ms(20)));
    } else {
        tale.story.fault(produce().delay(ms(20)).error_before(ErrorCode::INVALID_PRODUCER_EPOCH));
    }
    tale.story.send(0);
    tale.story.pass(ms(5));
    tale
}

fn is_fenced(outcome: Option<Result<(), Error>>) {
    let error = outcome.expect("an outcome").expect_err("another producer has the id");
    assert!(error.kind() == ErrorKind::Fenced && error.is_fatal(), "{error:?}");
}

#[test]
fn a_commit_whose_batch_came_too_late_for_its_epoch_says_who_has_the_id() {
    for version in BOTH {
        let mut tale = refused_under_way(version, true);
        let job = tale.offsets().expect("something to commit");
        tale.port.start(Call::Commit).unwrap();
        tale.story.pass(ms(300));
        is_fenced(tale.port.poll(Call::Commit));
        is_fenced(tale.port.poll_offsets(job));
        assert_eq!(tale.committed(0), 0);
    }
}

#[test]
fn calls_that_come_while_the_coordinator_is_asked_wait_for_what_it_says() {
    for version in BOTH {
        for fenced in [true, false] {
            let mut tale = refused_under_way(version, fenced);
            tale.story.fault(Fault::on(ApiKey::END_TXN).delay(ms(100)));
            tale.story.pass(ms(50));
            assert_eq!(tale.port.state(), TransactionState::Suspect, "{version} {fenced}");
            assert!(tale.port.check_send().expect_err("failed").requires_abort());
            assert!(tale.port.begin(Duration::ZERO).is_err());
            let job = tale.offsets().expect("something to commit");
            tale.port.start(Call::Commit).unwrap();
            tale.story.pass(ms(20));
            assert!(tale.port.poll(Call::Commit).is_none() && tale.port.poll_offsets(job).is_none());
            tale.story.pass(ms(300));
            let (commit, offsets) = (tale.port.poll(Call::Commit), tale.port.poll_offsets(job));
            if fenced {
                is_fenced(commit);
                is_fenced(offsets);
                is_fenced(Some(tale.port.begin(Duration::ZERO)));
                continue;
            }
            for outcome in [commit, offsets] {
                assert!(outcome.expect("an outcome").expect_err("a batch failed").requires_abort());
            }
            // It is aborted already.
            let asked = tale.story.requests(ApiKey::END_TXN);
            tale.abort(ms(10));
            assert_eq!(tale.story.requests(ApiKey::END_TXN), asked);
            tale.begin();
            tale.story.send(0);
            tale.commit(ms(300));
            assert_eq!(tale.committed(0), 1);
            tale.story.audit();
        }
    }
}

#[test]
fn a_suspicion_that_is_not_settled_in_time_is_no_commit_without_outcome() {
    for version in BOTH {
        let mut tale = refused_under_way(version, false);
        tale.story.fault(Fault::on(ApiKey::END_TXN).delay(ms(100)));
        tale.port.start(Call::Commit).unwrap();
        tale.story.pass(ms(50));
        let error = tale.port.give_up(Call::Commit);
        assert!(error.requires_abort() && error.to_string().contains("another producer"), "{error:?}");
        // The guard is dropped then.
        tale.port.request_abort();
        tale.story.pass(ms(300));
        tale.begin();
        tale.story.send(0);
        tale.commit(ms(300));
        assert_eq!(tale.committed(0), 1);
    }
}

#[test]
fn closing_ends_what_is_suspected() {
    for version in BOTH {
        for fenced in [true, false] {
            let mut tale = refused_under_way(version, fenced);
            tale.story.fault(Fault::on(ApiKey::END_TXN).delay(ms(50)));
            tale.port.start(Call::Commit).unwrap();
            tale.story.pass(ms(40));
            tale.story.world.acc.close();
            tale.story.world.engine.begin_close();
            assert!(tale.story.world.until(ms(400), |w| w.engine.is_closed()));
            let error = tale.port.poll(Call::Commit).expect("an outcome").expect_err("not committed");
            assert_eq!((error.requires_abort(), error.is_fatal()), (!fenced, fenced), "{error:?}");
            let log = &tale.story.world.cluster.topology.partition("t", 0).expect("a partition").log;
            assert_eq!((log.committed_records().len(), log.last_stable_offset()), (0, log.end_offset()));
        }
    }
}

#[test]
fn a_call_that_comes_after_the_end_takes_no_outcome_from_another_thread() {
    let gone = Error::new(ErrorKind::Closed, "gone");
    for fatal in [true, false] {
        let mut tale = Tale::new(2, |_| {});
        tale.begin();
        tale.story.send(0);
        tale.story.all_acked(ms(100));
        tale.port.start(Call::Commit).unwrap();
        if fatal {
            tale.port.fatal(&gone.clone().with_fatal(true), false);
        } else {
            tale.port.stop(&gone);
        }
        // Before the thread that commits has woken up.
        assert!(tale.port.start(Call::Abort).is_err() && tale.port.start(Call::Commit).is_err());
        assert!(tale.port.poll(Call::Commit).expect("an outcome").is_err());
    }
}

#[test]
fn a_commit_that_succeeded_after_its_time_is_told_so_even_by_a_producer_that_ended_since() {
    let gone = Error::new(ErrorKind::Closed, "gone");
    for fatal in [true, false] {
        let mut tale = Tale::new(2, |_| {});
        tale.begin();
        tale.story.send(0);
        tale.port.start(Call::Commit).unwrap();
        tale.port.give_up(Call::Commit);
        tale.story.pass(ms(100));
        assert_eq!((tale.port.state(), tale.committed(0)), (TransactionState::Ready, 1));
        if fatal {
            tale.port.fatal(&gone.clone().with_fatal(true), false);
        } else {
            tale.port.stop(&gone);
        }
        tale.port.start(Call::Commit).expect("it was committed");
        tale.port.poll(Call::Commit).expect("at once").expect("it was committed");
        assert!(tale.port.start(Call::Commit).is_err());
    }
}

#[test]
fn offsets_that_are_repeated_after_a_timeout_are_waited_for_and_not_sent_twice() {
    for version in BOTH {
        let mut tale = Tale::new(version, |_| {});
        let group = ConsumerGroupMetadata::new(GROUP);
        let offsets = |at| Offsets::new().with("in", 0, at);
        tale.begin();
        let job = tale.port.start_offsets(&offsets(7), &group).unwrap().expect("something to commit");
        assert_eq!(tale.port.give_up_offsets(job, &offsets(7), &group).kind(), ErrorKind::Timeout);
        assert_eq!(tale.port.start_offsets(&offsets(7), &group).unwrap(), Some(job));
        tale.port.give_up_offsets(job, &offsets(7), &group);
        tale.story.pass(ms(200));
        // Over by now, and so is the repeated call.
        assert_eq!(tale.port.start_offsets(&offsets(7), &group).unwrap(), Some(job));
        tale.port.poll_offsets(job).expect("at once").expect("taken");
        assert_eq!(tale.story.requests(ApiKey::TXN_OFFSET_COMMIT), 1);
        // Others count after them, and so do the same ones if others came between.
        let next = tale.port.start_offsets(&offsets(8), &group).unwrap().expect("others");
        tale.port.give_up_offsets(next, &offsets(8), &group);
        assert_ne!(tale.port.start_offsets(&offsets(7), &group).unwrap(), Some(next));
        tale.port.start_offsets(&offsets(8), &group).unwrap();
        tale.commit(ms(400));
        assert_eq!(tale.story.world.committed_offset(GROUP, "in"), Some(8));
    }
}

#[test]
fn a_commit_that_is_fenced_after_an_attempt_without_answer_may_have_happened() {
    for version in BOTH {
        for lost in [true, false] {
            let mut tale = Tale::new(version, |_| {});
            tale.begin();
            tale.story.send(0);
            tale.story.all_acked(ms(100));
            if lost {
                tale.story.fault(Fault::on(ApiKey::END_TXN).drop_after());
                tale.port.start(Call::Commit).unwrap();
                tale.story.pass(ms(20));
            }
            let now = tale.story.world.now;
            tale.story.world.cluster.fence_transaction(ID, now).unwrap();
            if !lost {
                tale.port.start(Call::Commit).unwrap();
            }
            tale.story.pass(ms(500));
            let error = tale.port.poll(Call::Commit).expect("an outcome").expect_err("fenced");
            assert_eq!((error.kind(), error.is_fatal()), (ErrorKind::Fenced, true), "{error:?}");
            assert_eq!(error.may_have_been_written(), lost, "{error:?}");
            assert_eq!(tale.committed(0), usize::from(lost));
        }
    }
}
