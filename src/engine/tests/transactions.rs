//! Transactions, story by story: what is asked of whom, what waits for what, and what a failure costs.

use std::time::Duration;

use super::scenario::{NO_REPLICAS, Story, produce};
use super::world::ms;
use crate::engine::transaction::{Call, TransactionState};
use crate::engine::{TransactionPort, TransactionSettings};
use crate::error::{Error, ErrorKind};
use crate::mock::{Fault, Key};
use crate::protocol::{ApiKey, ErrorCode};
use crate::sync::Arc;
use crate::transaction::{ConsumerGroupMetadata, Offsets};

pub(super) const ID: &str = "bank";
pub(super) const GROUP: &str = "tellers";

pub(super) struct Tale {
    pub(super) story: Story,
    pub(super) port: Arc<TransactionPort>,
}

impl Tale {
    /// A producer that is initialised, and knows its topic.
    pub(super) fn new(version: i16, change: impl FnOnce(&mut super::world::Setup)) -> Self {
        let story = Story::new(|s| {
            s.cluster.transaction_version = Some(version);
            s.engine.transactional = Some(TransactionSettings { id: ID.into(), timeout: ms(60_000) });
            change(s);
        });
        let port = story.world.engine.transaction_port().expect("transactional");
        let mut tale = Self { story, port };
        tale.call(Call::Init, ms(100)).expect("initialised");
        tale
    }

    pub(super) fn begin(&self) {
        self.port.begin(Duration::ZERO).expect("between transactions");
    }

    /// A call and its outcome, which must come within that time.
    #[track_caller]
    pub(super) fn call(&mut self, call: Call, within: Duration) -> Result<(), Error> {
        self.port.start(call)?;
        let port = self.port.clone();
        let mut outcome = None;
        self.story.world.until(within, |_| {
            outcome = port.poll(call);
            outcome.is_some()
        });
        outcome.unwrap_or_else(|| panic!("{call:?} has no outcome after {within:?}"))
    }

    #[track_caller]
    pub(super) fn commit(&mut self, within: Duration) {
        self.call(Call::Commit, within).expect("committed");
    }

    #[track_caller]
    pub(super) fn abort(&mut self, within: Duration) {
        self.call(Call::Abort, within).expect("aborted");
    }

    pub(super) fn committed(&self, partition: i32) -> usize {
        let topology = &self.story.world.cluster.topology;
        topology.partition("t", partition).map_or(0, |p| p.log.committed_records().len())
    }

    /// The markers are written.
    fn settle(&mut self) {
        self.story.pass(ms(150));
        let now = self.story.world.now;
        self.story.world.cluster.advance(now);
    }

    fn epochs(&self, partition: i32) -> Vec<i16> {
        self.story.batches(partition).iter().filter_map(|b| b.producer_epoch).collect()
    }

    pub(super) fn offsets(&self) -> Option<u64> {
        let offsets = Offsets::new().with("in", 0, 7);
        self.port.start_offsets(&offsets, &ConsumerGroupMetadata::new(GROUP)).expect("in a transaction")
    }
}

pub(super) const BOTH: [i16; 2] = [1, 2];

#[test]
fn nothing_is_visible_before_the_commit_and_nothing_of_what_is_aborted() {
    for version in BOTH {
        let mut tale = Tale::new(version, |_| {});
        tale.begin();
        (0..3).for_each(|partition| {
            tale.story.send(partition);
        });
        tale.story.all_acked(ms(100));
        assert_eq!((tale.story.written(0), tale.committed(0)), (1, 0));
        tale.commit(ms(50));
        assert_eq!([0, 1, 2].map(|p| tale.committed(p)), [1, 1, 1]);
        tale.begin();
        tale.story.send(0);
        tale.story.all_acked(ms(100));
        tale.abort(ms(50));
        assert_eq!((tale.story.written(0), tale.committed(0)), (2, 1));
        let enrols = u64::from(version == 1);
        assert_eq!(tale.story.requests(ApiKey::ADD_PARTITIONS_TO_TXN) > 0, enrols > 0);
        assert_eq!(tale.epochs(0), if version == 1 { [0, 0] } else { [0, 1] });
    }
}

#[test]
fn an_empty_transaction_asks_nobody() {
    for version in BOTH {
        let mut tale = Tale::new(version, |_| {});
        for call in [Call::Commit, Call::Abort] {
            tale.begin();
            tale.call(call, Duration::ZERO).expect("at once");
        }
        assert_eq!(tale.story.requests(ApiKey::END_TXN), 0);
    }
}

#[test]
fn what_is_part_of_the_transaction_does_not_wait_for_what_becomes_it() {
    let mut tale = Tale::new(1, |_| {});
    tale.begin();
    tale.story.send(0);
    tale.story.all_acked(ms(100));
    tale.story.fault(Fault::on(ApiKey::ADD_PARTITIONS_TO_TXN).delay(ms(400)));
    let waits = tale.story.send(1);
    for _ in 0..20 {
        let flows = tale.story.send(0);
        tale.story.pass(ms(10));
        assert!(tale.story.is_acked(flows) && tale.story.is_open(waits));
    }
    tale.commit(ms(500));
    assert_eq!((tale.committed(0), tale.committed(1)), (21, 1));
}

#[test]
fn a_partition_that_brokers_do_not_know_keeps_no_other_back() {
    let mut tale = Tale::new(1, |s| s.acc.delivery_timeout = ms(2000));
    let unknown = Fault::on(ApiKey::ADD_PARTITIONS_TO_TXN).topic("t").partition(2).times(1000);
    tale.story.fault(unknown.error_before(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
    tale.begin();
    let never = tale.story.send(2);
    let first = tale.story.send(0);
    tale.story.pass(ms(20));
    let second = tale.story.send(1);
    tale.story.pass(ms(30));
    assert!(tale.story.is_acked(first) && tale.story.is_acked(second));
    let error = tale.call(Call::Commit, ms(2500)).expect_err("one expires");
    assert!(error.requires_abort() && error.failed_records() == 1, "{error:?}");
    assert!(!tale.story.error(never).may_have_been_written());
    tale.abort(ms(300));
    assert_eq!(tale.committed(0), 0);
}

#[test]
fn a_group_that_does_not_answer_keeps_no_partition_back() {
    let mut tale = Tale::new(1, |s| s.brokers = 2);
    tale.story.world.move_coordinator(Key::Group(GROUP), 1).unwrap();
    tale.story.world.move_coordinator(Key::Transaction(ID), 2).unwrap();
    tale.story.fault(Fault::on(ApiKey::TXN_OFFSET_COMMIT).delay(ms(700)));
    tale.begin();
    let job = tale.offsets().expect("something to commit");
    tale.story.pass(ms(300));
    let sent = tale.story.send(1);
    tale.story.pass(ms(300));
    assert!(tale.story.is_acked(sent) && tale.port.poll_offsets(job).is_none());
    tale.commit(ms(2000));
    tale.port.poll_offsets(job).expect("before the commit").expect("committed");
    assert_eq!(tale.story.world.committed_offset(GROUP, "in"), Some(7));
}

#[test]
fn the_next_transaction_waits_milliseconds_for_the_markers_of_the_last() {
    for version in BOTH {
        let mut tale = Tale::new(version, |s| s.cluster.marker_delay = ms(8));
        let before = tale.story.world.now;
        for _ in 0..20 {
            tale.begin();
            tale.story.send(0);
            tale.commit(ms(200));
        }
        let each = (tale.story.world.now - before) / 20;
        assert!(each < ms(25), "{each:?} a transaction in version {version}");
        tale.settle();
        assert_eq!(tale.committed(0), 20);
    }
}

#[test]
fn a_coordinator_that_moves_or_loads_is_found_again() {
    for version in BOTH {
        let mut tale = Tale::new(version, |s| s.cluster.coordinator_load_time = ms(150));
        for node in [1, 2, 3, 1] {
            tale.begin();
            tale.story.send(0);
            tale.story.all_acked(ms(1000));
            tale.story.world.move_coordinator(Key::Transaction(ID), node).unwrap();
            tale.commit(ms(1500));
        }
        assert_eq!(tale.committed(0), 4);
        tale.story.audit();
    }
}

#[test]
fn a_coordinator_that_froze_is_left_as_soon_as_the_cluster_has_another() {
    for version in BOTH {
        let mut tale = Tale::new(version, |s| s.engine.request_timeout = ms(20_000));
        tale.story.world.move_coordinator(Key::Transaction(ID), 2).unwrap();
        tale.begin();
        tale.story.send(0);
        tale.commit(ms(1000));
        tale.begin();
        tale.story.send(0);
        tale.story.all_acked(ms(100));
        // Its connections stay, and nothing comes.
        tale.story.world.cluster.topology.stop_node(2);
        tale.commit(ms(4000));
        assert_eq!(tale.committed(0), 2);
    }
}

#[test]
fn a_lost_answer_to_the_commit_is_asked_for_again() {
    for (version, acted) in [(1, true), (1, false), (2, true), (2, false)] {
        let mut tale = Tale::new(version, |_| {});
        tale.begin();
        tale.story.send(0);
        let fault = Fault::on(ApiKey::END_TXN);
        tale.story.fault(if acted { fault.drop_after() } else { fault.drop_before() });
        tale.commit(ms(1000));
        assert_eq!(tale.committed(0), 1);
        tale.begin();
        tale.story.send(0);
        tale.commit(ms(1000));
        // In version 1 the request that was lost could end the next transaction.
        assert_eq!(tale.epochs(0), [0, 1], "version {version}");
        tale.story.audit();
    }
}

#[test]
fn an_unknown_server_error_is_no_outcome() {
    for version in BOTH {
        let mut tale = Tale::new(version, |_| {});
        tale.begin();
        tale.story.send(0);
        tale.story.fault(Fault::on(ApiKey::END_TXN).times(3).error_before(ErrorCode::UNKNOWN_SERVER_ERROR));
        tale.port.start(Call::Commit).unwrap();
        tale.story.pass(ms(200));
        let error = tale.port.give_up(Call::Commit);
        assert!(error.kind() == ErrorKind::Timeout && !error.requires_abort(), "{error:?}");
        let refused = tale.port.start(Call::Abort).expect_err("perhaps it is committed");
        assert_eq!(refused.kind(), ErrorKind::Misuse);
        tale.port.request_abort();
        tale.commit(ms(2000));
        assert_eq!(tale.committed(0), 1);
    }
}

#[test]
fn what_expires_in_flight_cannot_land_in_the_next_transaction() {
    for version in BOTH {
        let mut tale = Tale::new(version, |s| {
            s.acc.delivery_timeout = ms(300);
            s.engine.request_timeout = ms(400);
        });
        tale.begin();
        tale.story.send(0);
        tale.story.all_acked(ms(100));
        tale.story.fault(produce().swallow_answer());
        let late = tale.story.send(0);
        let error = tale.call(Call::Commit, ms(350)).expect_err("it expires");
        assert!(error.requires_abort() && error.failed_records() == 1, "{error:?}");
        assert!(tale.story.error(late).requires_abort() && tale.story.error(late).may_have_been_written());
        tale.abort(ms(600));
        let bumps = tale.story.requests(ApiKey::INIT_PRODUCER_ID) - 1;
        assert_eq!(bumps, u64::from(version == 1), "version 2 raises the epoch with the end");
        tale.begin();
        tale.story.send(0);
        tale.commit(ms(100));
        assert_eq!((tale.epochs(0).last(), tale.committed(0)), (Some(&1), 1));
    }
}

#[test]
fn a_hole_in_the_sequence_fails_the_transaction_and_raises_no_epoch_within_it() {
    for version in BOTH {
        let mut tale = Tale::new(version, |_| {});
        tale.begin();
        tale.story.send(0);
        tale.story.all_acked(ms(100));
        tale.story.fault(produce().error_before(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER));
        (0..3).for_each(|_| {
            tale.story.send(0);
        });
        tale.story.all_done(ms(100));
        assert!(tale.port.check_send().expect_err("failed").requires_abort());
        assert!(tale.call(Call::Commit, Duration::ZERO).expect_err("failed").requires_abort());
        assert!(tale.epochs(0).iter().all(|epoch| *epoch == 0));
        tale.abort(ms(100));
        tale.begin();
        tale.story.send(0);
        tale.commit(ms(100));
        assert_eq!((tale.epochs(0).last(), tale.committed(0)), (Some(&1), 1));
        tale.story.audit();
    }
}

#[test]
fn an_abort_drops_what_is_not_sent_and_waits_for_what_is() {
    let mut tale = Tale::new(2, |s| s.engine.max_in_flight = 1);
    tale.begin();
    tale.story.fault(produce().delay(ms(200)));
    let flying = tale.story.send(0);
    tale.story.pass(ms(5));
    let waiting = tale.story.send(0);
    tale.port.start(Call::Abort).unwrap();
    tale.story.pass(ms(1));
    assert_eq!(tale.story.error(waiting).kind(), ErrorKind::TransactionAborted);
    assert!(!tale.story.error(waiting).may_have_been_written() && tale.story.is_open(flying));
    assert_eq!(tale.port.state(), TransactionState::Aborting);
    tale.story.pass(ms(250));
    assert!(tale.story.is_acked(flying));
    tale.port.poll(Call::Abort).expect("over").expect("aborted");
    assert_eq!(tale.committed(0), 0);
}

#[test]
fn a_producer_that_was_fenced_says_so_in_every_call() {
    for version in BOTH {
        let mut tale = Tale::new(version, |_| {});
        tale.begin();
        tale.story.send(0);
        tale.story.all_acked(ms(100));
        let now = tale.story.world.now;
        tale.story.world.cluster.fence_transaction(ID, now).unwrap();
        let error = tale.call(Call::Commit, ms(50)).expect_err("fenced");
        assert!(error.kind() == ErrorKind::Fenced && error.is_fatal(), "{error:?}");
        let calls = [
            tale.port.check_send().map(|_| ()),
            tale.port.begin(Duration::ZERO),
            tale.port.start(Call::Commit),
            tale.port.start(Call::Abort),
            tale.port.start(Call::Init),
        ];
        assert!(calls.iter().all(|c| c.as_ref().is_err_and(|e| e.kind() == ErrorKind::Fenced)), "{calls:?}");
        assert_eq!(tale.committed(0), 0);
    }
}

#[test]
fn an_epoch_that_a_coordinator_calls_wrong_too_early_is_not_taken_for_fencing() {
    let mut tale = Tale::new(2, |s| s.cluster.marker_delay = ms(100));
    tale.begin();
    tale.story.send(0);
    tale.commit(ms(50));
    tale.begin();
    tale.story.fault(produce().error_before(ErrorCode::INVALID_RECORD));
    tale.story.send(0);
    tale.story.all_done(ms(20));
    tale.abort(ms(300));
    tale.begin();
    tale.story.send(0);
    tale.commit(ms(300));
    tale.settle();
    assert_eq!(tale.committed(0), 2);
}

#[test]
fn a_timeout_above_the_broker_s_names_its_setting() {
    let mut story = Story::new(|s| {
        s.cluster.max_transaction_timeout = ms(1000);
        s.engine.transactional = Some(TransactionSettings { id: ID.into(), timeout: ms(2000) });
    });
    let port = story.world.engine.transaction_port().expect("transactional");
    port.start(Call::Init).unwrap();
    story.pass(ms(100));
    let error = port.poll(Call::Init).expect("an outcome").expect_err("refused");
    assert!(error.to_string().contains("transaction.max.timeout.ms"), "{error}");
}

#[test]
fn who_may_not_use_the_id_may_try_again() {
    let mut story = Story::new(|s| {
        s.engine.transactional = Some(TransactionSettings { id: ID.into(), timeout: ms(2000) });
    });
    let denied = ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
    story.fault(Fault::on(ApiKey::INIT_PRODUCER_ID).error_before(denied));
    let port = story.world.engine.transaction_port().expect("transactional");
    port.start(Call::Init).unwrap();
    story.pass(ms(100));
    let error = port.poll(Call::Init).expect("an outcome").expect_err("refused");
    assert!(error.kind() == ErrorKind::Authorization && !error.is_fatal(), "{error:?}");
    port.start(Call::Init).unwrap();
    story.pass(ms(100));
    port.poll(Call::Init).expect("an outcome").expect("allowed by now");
}

#[test]
fn closing_aborts_what_is_open() {
    for version in BOTH {
        let mut tale = Tale::new(version, |_| {});
        tale.begin();
        tale.story.send(0);
        tale.story.all_acked(ms(100));
        tale.story.world.acc.close();
        tale.story.world.engine.begin_close();
        assert!(tale.story.world.until(ms(100), |w| w.engine.is_closed()));
        let log = &tale.story.world.cluster.topology.partition("t", 0).expect("a partition").log;
        assert_eq!((log.committed_records().len(), log.last_stable_offset()), (0, log.end_offset()));
    }
}

#[test]
fn retries_do_not_count_while_the_transaction_before_is_ended() {
    let mut tale = Tale::new(2, |s| s.engine.retries = 1);
    tale.begin();
    tale.story.fault(produce().times(6).error_before(ErrorCode::CONCURRENT_TRANSACTIONS));
    tale.story.send(0);
    tale.story.fault(produce().error_before(NO_REPLICAS));
    tale.commit(ms(1000));
    assert_eq!(tale.committed(0), 1);
}

#[test]
fn several_batches_of_a_partition_begin_the_next_transaction_and_what_is_refused_costs_no_backoff() {
    for early in [false, true] {
        let mut tale = Tale::new(2, |s| {
            s.engine.retry_backoff.initial = ms(5000);
            s.engine.retry_backoff.max = ms(5000);
        });
        tale.begin();
        tale.story.send(0);
        tale.commit(ms(100));
        tale.begin();
        let fault = produce().delay(ms(20));
        let too_early = ErrorCode::CONCURRENT_TRANSACTIONS;
        tale.story.fault(if early { fault.error_before(too_early) } else { fault });
        for _ in 0..4 {
            tale.story.send(0);
        }
        tale.story.pass(ms(10));
        // The first was sent in the transaction before.
        assert_eq!(tale.story.batches(0).len(), 1 + 4, "none waits for another's answer");
        tale.commit(ms(100));
        assert_eq!(tale.committed(0), 5);
        tale.story.audit();
    }
}

#[test]
fn a_batch_that_is_refused_for_the_sake_of_the_one_before_has_all_its_retries() {
    let mut tale = Tale::new(2, |s| s.engine.retries = 1);
    tale.begin();
    tale.story.send(0);
    tale.commit(ms(100));
    tale.begin();
    tale.story.fault(produce().delay(ms(20)).error_before(ErrorCode::CONCURRENT_TRANSACTIONS));
    for _ in 0..4 {
        tale.story.send(0);
    }
    tale.story.pass(ms(10));
    // The first goes alone then, and the others meet trouble of their own.
    tale.story.fault(produce().after(1).times(1).error_before(NO_REPLICAS));
    tale.commit(ms(2000));
    assert_eq!(tale.committed(0), 5);
    tale.story.audit();
}
