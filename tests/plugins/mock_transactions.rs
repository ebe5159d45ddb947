//! Transactions of `MockProducer`, and the guard over it: what is committed, what is aborted, what is refused.

use kafka_producer::mock::{MockError, MockProducer, Operation};
use kafka_producer::{
    ConsumerGroupMetadata, Error, ErrorKind, Offsets, Producer, ProducerRecord, Transaction,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

type Mock = MockProducer<str, str>;

fn record(value: &str) -> ProducerRecord<'_, str, str> {
    ProducerRecord::new("t", value)
}

fn ready() -> Mock {
    let mock = Mock::auto_complete();
    mock.init_transactions().unwrap();
    mock
}

fn committed(mock: &Mock) -> Vec<String> {
    mock.committed().iter().filter_map(|r| r.value_ref().map(str::to_owned)).collect()
}

#[track_caller]
fn misused<T>(result: Result<T, Error>, advice: &str) {
    let Err(error) = result else { panic!("accepted") };
    assert_eq!(error.kind(), ErrorKind::Misuse, "{error}");
    assert!(error.to_string().contains(advice), "{error}");
    assert!(!error.is_fatal() && !error.requires_abort() && !error.may_have_been_written());
}

#[test]
fn committed_and_aborted_transactions_are_told_apart() {
    let mock = ready();
    assert!(mock.transactions_initialized() && !mock.transaction_in_flight());
    for (value, commit) in [("a", true), ("b", false), ("c", true)] {
        mock.begin_transaction().unwrap();
        assert!(mock.transaction_in_flight());
        mock.send(record(value)).unwrap().get().unwrap();
        assert_eq!(mock.uncommitted().len(), 1);
        if commit { mock.commit_transaction() } else { mock.abort_transaction() }.unwrap();
        assert!(mock.uncommitted().is_empty());
    }
    assert_eq!(committed(&mock), ["a", "c"]);
    assert_eq!((mock.sent_count(), mock.commit_count(), mock.abort_count()), (3, 2, 1));
}

#[test]
fn offsets_count_once_they_are_committed() {
    let mock = ready();
    let group = ConsumerGroupMetadata::new("g").member("m", 3);
    for (offset, commit) in [(1, true), (2, false), (3, true)] {
        mock.begin_transaction().unwrap();
        mock.send_offsets_to_transaction(&Offsets::new().with("in", 0, offset), &group).unwrap();
        mock.send_offsets_to_transaction(&Offsets::new().with("in", 1, offset * 10), &group).unwrap();
        assert_eq!(mock.uncommitted_offsets("g").len(), 2);
        if commit { mock.commit_transaction() } else { mock.abort_transaction() }.unwrap();
    }
    assert_eq!(mock.committed_offsets("g").to_string(), "in-0@3, in-1@30");
    assert_eq!(mock.committed_offsets("other"), Offsets::new());
    let history = mock.offsets_history();
    assert_eq!(history.len(), 2);
    assert_eq!((history[0][0].0.as_str(), history[0][0].1.to_string()), ("g", "in-0@1, in-1@10".into()));
    assert!(mock.sent_offsets());
}

#[test]
fn no_offsets_are_no_call() {
    let mock = ready();
    mock.begin_transaction().unwrap();
    mock.send_offsets_to_transaction(&Offsets::new(), &ConsumerGroupMetadata::new("g")).unwrap();
    assert!(!mock.sent_offsets());
    mock.commit_transaction().unwrap();
    assert!(mock.offsets_history().is_empty());
}

#[test]
fn what_is_called_at_the_wrong_time_says_what_to_call() {
    let mock = Mock::auto_complete();
    let group = ConsumerGroupMetadata::new("g");
    let offsets = Offsets::new().with("in", 0, 1);
    misused(mock.begin_transaction(), "init_transactions()");
    misused(mock.commit_transaction(), "init_transactions()");
    misused(mock.abort_transaction(), "init_transactions()");
    misused(mock.send_offsets_to_transaction(&offsets, &group), "init_transactions()");
    mock.init_transactions().unwrap();
    misused(mock.init_transactions(), "begin_transaction()");
    misused(mock.send(record("x")), "begin_transaction()");
    misused(mock.commit_transaction(), "begin_transaction()");
    misused(mock.abort_transaction(), "begin_transaction()");
    misused(mock.send_offsets_to_transaction(&offsets, &group), "begin_transaction()");
    mock.begin_transaction().unwrap();
    misused(mock.begin_transaction(), "commit_transaction()");
    misused(mock.send_offsets_to_transaction(&offsets, &ConsumerGroupMetadata::new("")), "group.id");
    misused(mock.send_offsets_to_transaction(&Offsets::new().with("in", 0, -1), &group), "next offset");
    mock.commit_transaction().unwrap();
    misused(mock.commit_transaction(), "begin_transaction()");
    assert_eq!(mock.sent_count(), 0);
}

#[test]
fn commit_ends_what_is_pending_and_abort_fails_it() {
    let mock = Mock::manual();
    mock.init_transactions().unwrap();
    mock.begin_transaction().unwrap();
    let first = mock.send(record("a")).unwrap();
    mock.commit_transaction().unwrap();
    assert_eq!(first.try_get().unwrap().unwrap().offset(), Some(0));
    mock.begin_transaction().unwrap();
    let second = mock.send(record("b")).unwrap();
    mock.abort_transaction().unwrap();
    assert_eq!(second.try_get().unwrap().unwrap_err().kind(), ErrorKind::TransactionAborted);
    assert_eq!(committed(&mock), ["a"]);
}

#[test]
fn a_failed_record_makes_commit_fail_and_the_guard_says_which() {
    let mock = Mock::manual();
    let transaction = mock.transaction().unwrap();
    for partition in 0..3 {
        transaction.send(record("v").partition(partition)).unwrap().detach();
    }
    mock.complete_next();
    mock.fail_next(MockError::new(ErrorKind::DeliveryTimeout, "late").may_have_been_written());
    mock.fail_next(MockError::new(ErrorKind::Broker, "too"));
    let failed = transaction.send(record("more")).unwrap_err();
    assert!(failed.requires_abort() && !failed.is_fatal(), "{failed}");

    let error = transaction.commit().unwrap_err();
    assert!(error.error().requires_abort() && !error.outcome_unknown());
    assert_eq!((error.error().kind(), error.failed_records()), (ErrorKind::TransactionAbortable, 2));
    let first = error.first_failure().unwrap();
    assert_eq!(first.kind(), ErrorKind::DeliveryTimeout);
    assert_eq!(first.topic_partition().unwrap().to_string(), "t-1");
    error.into_transaction().abort().unwrap();
    assert!(committed(&mock).is_empty());

    mock.transaction().unwrap().commit().unwrap();
    assert_eq!((mock.commit_count(), mock.abort_count()), (1, 1));
}

#[test]
fn dropping_the_guard_aborts_also_through_a_question_mark() {
    fn fails(mock: &Mock) -> Result<(), Error> {
        let transaction = mock.transaction()?;
        transaction.send(record("a"))?.detach();
        mock.fail_times(Operation::Send, 1, MockError::new(ErrorKind::BufferExhausted, "full"));
        transaction.send(record("b"))?.detach();
        transaction.commit()?;
        Ok(())
    }
    let mock = Mock::auto_complete();
    drop(mock.transaction().unwrap());
    assert_eq!(fails(&mock).unwrap_err().kind(), ErrorKind::BufferExhausted);
    assert_eq!((mock.abort_count(), mock.commit_count()), (2, 0));
    // A commit that failed for good, too.
    mock.fail_times(
        Operation::CommitTransaction,
        1,
        MockError::new(ErrorKind::Broker, "no").requires_abort(),
    );
    let error: Error = mock.transaction().unwrap().commit().unwrap_err().into();
    assert!(error.requires_abort());
    assert_eq!((mock.abort_count(), mock.commit_count()), (3, 0));
    assert!(!mock.transaction_in_flight());
}

#[test]
fn a_commit_without_outcome_can_only_be_committed_again() {
    let mock = Mock::auto_complete();
    let transaction = mock.transaction().unwrap();
    transaction.send(record("a")).unwrap().detach();
    mock.fail_times(
        Operation::CommitTransaction,
        2,
        MockError::new(ErrorKind::Timeout, "no answer").retriable(),
    );
    let unknown = transaction.commit().unwrap_err();
    assert!(unknown.outcome_unknown() && unknown.first_failure().is_none());
    let transaction = unknown.into_transaction();
    assert!(transaction.send(record("b")).is_err());
    let transaction = transaction.commit().unwrap_err().into_transaction();
    misused(transaction.abort(), "commit_transaction()");
    misused(mock.begin_transaction(), "commit_transaction()");
    misused(mock.abort_transaction(), "commit_transaction()");
    assert_eq!((mock.abort_count(), mock.commit_count()), (0, 0));
    mock.commit_transaction().unwrap();
    assert_eq!(committed(&mock), ["a"]);
    assert_eq!(mock.abort_count(), 0);
}

#[test]
fn a_record_that_fails_while_the_commit_has_no_outcome_makes_it_fail() {
    let mock = Mock::manual();
    let transaction = mock.transaction().unwrap();
    transaction.send(record("a")).unwrap().detach();
    let timeout = MockError::new(ErrorKind::Timeout, "no answer").retriable();
    mock.fail_times(Operation::CommitTransaction, 1, timeout);
    let transaction = transaction.commit().unwrap_err().into_transaction();
    mock.fail_next(MockError::new(ErrorKind::Broker, "refused"));
    let failed = transaction.commit().unwrap_err();
    assert!(failed.error().requires_abort() && failed.failed_records() == 1, "{failed:?}");
    assert!(committed(&mock).is_empty());
}

#[test]
fn a_commit_that_is_refused_leaves_the_transaction_as_it_was() {
    let mock = Mock::auto_complete();
    let transaction = mock.transaction().unwrap();
    mock.fail_times(Operation::CommitTransaction, 1, MockError::new(ErrorKind::Misuse, "in a callback"));
    let error = transaction.commit().unwrap_err();
    assert!(!error.outcome_unknown());
    error.into_transaction().commit().unwrap();
    let transaction = mock.transaction().unwrap();
    mock.fail_times(Operation::CommitTransaction, 1, MockError::new(ErrorKind::Misuse, "in a callback"));
    drop(transaction.commit());
    assert_eq!((mock.commit_count(), mock.abort_count()), (1, 1));
}

#[test]
fn a_fenced_producer_says_so_in_every_call() {
    let mock = Mock::auto_complete();
    let transaction = mock.transaction().unwrap();
    mock.fence_producer();
    let fenced = |result: Result<(), Error>| {
        let error = result.unwrap_err();
        assert!(error.kind() == ErrorKind::Fenced && error.is_fatal() && !error.requires_abort());
    };
    fenced(transaction.send(record("x")).map(drop));
    let group = ConsumerGroupMetadata::new("g");
    fenced(transaction.send_offsets(&Offsets::new().with("in", 0, 1), &group));
    let error = transaction.commit().unwrap_err();
    assert!(!error.outcome_unknown());
    fenced(Err(error.into()));
    fenced(mock.abort_transaction());
    fenced(mock.begin_transaction());
    fenced(mock.init_transactions());
    assert!(committed(&mock).is_empty());
}

#[test]
fn each_call_can_be_made_to_fail() {
    let mock = Mock::auto_complete();
    let error = || MockError::new(ErrorKind::Timeout, "made up").retriable();
    mock.fail_times(Operation::InitTransactions, 1, error());
    assert_eq!(mock.transaction().unwrap_err().kind(), ErrorKind::Timeout);
    mock.fail_times(Operation::BeginTransaction, 1, error());
    assert_eq!(mock.transaction().unwrap_err().kind(), ErrorKind::Timeout);
    let transaction = mock.transaction().unwrap();
    mock.fail_times(
        Operation::SendOffsets,
        1,
        MockError::new(ErrorKind::Broker, "generation").requires_abort(),
    );
    let offsets = Offsets::new().with("in", 0, 1);
    let group = ConsumerGroupMetadata::new("g");
    assert!(transaction.send_offsets(&offsets, &group).unwrap_err().requires_abort());
    // Abortable: commit must not succeed now.
    assert!(transaction.commit().unwrap_err().error().requires_abort());
    mock.begin_transaction().unwrap();
    mock.fail_times(Operation::AbortTransaction, 1, error());
    assert_eq!(mock.abort_transaction().unwrap_err().kind(), ErrorKind::Timeout);
    mock.abort_transaction().unwrap();
    assert_eq!(mock.calls(Operation::InitTransactions), 2);
}

#[test]
fn close_aborts_and_callbacks_run_before_commit_returns() {
    let mock = Mock::manual();
    let transaction = mock.transaction().unwrap();
    let called = Arc::new(AtomicU64::new(0));
    for _ in 0..3 {
        let called = called.clone();
        transaction
            .send_with(record("v"), move |r| {
                called.fetch_add(u64::from(r.is_ok()), Ordering::SeqCst);
            })
            .unwrap();
    }
    transaction.commit().unwrap();
    assert_eq!(called.load(Ordering::SeqCst), 3);
    mock.begin_transaction().unwrap();
    let late = mock.send(record("late")).unwrap();
    mock.close().unwrap();
    assert_eq!(late.get().unwrap_err().kind(), ErrorKind::TransactionAborted);
    assert_eq!((mock.commit_count(), mock.abort_count()), (1, 1));
    assert_eq!(mock.begin_transaction().unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn the_guard_works_with_any_pointer_to_any_producer() {
    fn run<P: Producer<str, str>>(producer: &P) {
        let transaction = Transaction::begin(producer).unwrap();
        transaction.send_all(["a", "b"].map(record)).unwrap().get().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| transaction.try_send(record("c")).unwrap().detach());
        });
        transaction.commit().unwrap();
    }
    let shared = Arc::new(ready());
    let dynamic: Arc<dyn Producer<str, str>> = shared.clone();
    run(&shared);
    run(&dynamic);
    run(&&*shared);
    drop(Transaction::begin(&dynamic).unwrap());
    assert_eq!((shared.commit_count(), shared.abort_count(), shared.committed().len()), (3, 1, 9));
}

#[test]
fn clear_forgets_what_was_committed() {
    let mock = Mock::auto_complete();
    let transaction = mock.transaction().unwrap();
    transaction.send(record("a")).unwrap().detach();
    transaction.commit().unwrap();
    mock.clear();
    assert_eq!((mock.commit_count(), mock.committed().len()), (0, 0));
    assert!(mock.transactions_initialized());
}
