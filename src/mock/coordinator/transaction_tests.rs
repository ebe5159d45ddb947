//! The state machine of one transactional id: every state with every input.

use super::TransactionState as S;
use super::*;

const TIMEOUT: Duration = Duration::from_secs(60);

fn end(commit: bool, raises: bool) -> End {
    End { commit, raises, markers_due: clock::now() }
}

/// A transaction of producer 7 at epoch 3 in that state, ended as version 1 or 2 does.
fn at(state: S, raises: bool) -> Transaction {
    let mut t = Transaction::new((7, 3), TIMEOUT);
    let ended = |mut t: Transaction, commit| {
        // An end of version 2 raises the epoch to 3 from 2.
        t.epoch = if raises { 2 } else { 3 };
        let owner = t.identity();
        t.end(owner, end(commit, raises), || 99).unwrap();
        t
    };
    if state == S::Empty {
        return t;
    }
    t.enrol((7, 3), [(Arc::from("t"), 0)], None, clock::now()).unwrap();
    let mut t = match state {
        S::Ongoing => return t,
        S::PrepareCommit | S::CompleteCommit => ended(t, true),
        _ => ended(t, false),
    };
    if matches!(state, S::CompleteCommit | S::CompleteAbort) {
        t.complete();
    }
    assert_eq!((t.state, t.identity()), (state, (7, 3)));
    t
}

const STATES: [S; 6] =
    [S::Empty, S::Ongoing, S::PrepareCommit, S::PrepareAbort, S::CompleteCommit, S::CompleteAbort];

#[test]
fn initialising_gives_the_next_epoch_or_asks_for_patience() {
    for raises in [false, true] {
        for state in STATES {
            let mut t = at(state, raises);
            let outcome = t.init(TIMEOUT, None, end(false, raises), || 99);
            match state {
                S::Ongoing => {
                    assert_eq!(outcome, Err(ErrorCode::CONCURRENT_TRANSACTIONS));
                    assert_eq!((t.state, t.epoch), (S::PrepareAbort, 4), "the last owner is fenced");
                }
                S::PrepareCommit | S::PrepareAbort => {
                    assert_eq!(outcome, Err(ErrorCode::CONCURRENT_TRANSACTIONS));
                    assert_eq!((t.state, t.epoch), (state, 3));
                }
                _ => assert_eq!((outcome, t.state), (Ok((7, 4)), S::Empty)),
            }
        }
    }
}

#[test]
fn partitions_join_what_is_open_and_begin_what_is_not() {
    let place = || [(Arc::from("u"), 1)];
    for raises in [false, true] {
        for state in STATES {
            let mut t = at(state, raises);
            // While a transaction ends, nobody is told whose it is.
            let or_wait = |code| match state {
                S::PrepareCommit | S::PrepareAbort => Err(ErrorCode::CONCURRENT_TRANSACTIONS),
                _ => Err(code),
            };
            let outcome = t.enrol((8, 3), place(), None, clock::now());
            assert_eq!(outcome, or_wait(ErrorCode::INVALID_PRODUCER_ID_MAPPING));
            for epoch in [2, 4] {
                let outcome = t.enrol((7, epoch), place(), None, clock::now());
                assert_eq!(outcome, or_wait(ErrorCode::PRODUCER_FENCED));
            }
            let outcome = t.enrol((7, 3), place(), Some(Arc::from("g")), clock::now());
            let expected = match state {
                S::PrepareCommit | S::PrepareAbort => Err(ErrorCode::CONCURRENT_TRANSACTIONS),
                _ => Ok(()),
            };
            assert_eq!(outcome, expected, "{state:?}");
            if outcome.is_ok() {
                let partitions = if state == S::Ongoing { 2 } else { 1 };
                assert_eq!((t.state, t.partitions.len(), t.groups.len()), (S::Ongoing, partitions, 1));
            }
        }
    }
}

#[test]
fn only_what_joined_is_verified() {
    for raises in [false, true] {
        for state in STATES {
            let t = at(state, raises);
            let verify = |topic: &str| t.verify_partition((7, 3), &(Arc::from(topic), 0));
            let stranger = match state {
                S::PrepareCommit | S::PrepareAbort => ErrorCode::CONCURRENT_TRANSACTIONS,
                _ => ErrorCode::TRANSACTION_ABORTABLE,
            };
            assert_eq!(verify("u"), Err(stranger), "{state:?}");
            assert_eq!(verify("t").is_ok(), state == S::Ongoing);
            assert_eq!(t.verify_group((7, 3), "g"), Err(stranger));
            assert_eq!(t.verify_group((7, 2), "g"), Err(ErrorCode::PRODUCER_FENCED));
        }
    }
}

#[test]
fn an_end_of_version_1() {
    use ErrorCode as E;
    for (state, commit, abort) in [
        (S::Empty, Err(E::INVALID_TXN_STATE), Err(E::INVALID_TXN_STATE)),
        (S::Ongoing, Ok(S::PrepareCommit), Ok(S::PrepareAbort)),
        (S::PrepareCommit, Err(E::CONCURRENT_TRANSACTIONS), Err(E::CONCURRENT_TRANSACTIONS)),
        (S::PrepareAbort, Err(E::CONCURRENT_TRANSACTIONS), Err(E::CONCURRENT_TRANSACTIONS)),
        (S::CompleteCommit, Ok(S::CompleteCommit), Err(E::INVALID_TXN_STATE)),
        (S::CompleteAbort, Err(E::INVALID_TXN_STATE), Ok(S::CompleteAbort)),
    ] {
        for (commits, expected) in [(true, commit), (false, abort)] {
            let mut t = at(state, false);
            let outcome = t.end((7, 3), end(commits, false), || 99);
            assert_eq!(outcome.map(|_| t.state), expected, "{state:?} {commits}");
            assert_eq!(t.identity(), (7, 3));
            assert_eq!(at(state, false).end((7, 2), end(commits, false), || 99), Err(E::PRODUCER_FENCED));
            assert_eq!(at(state, false).end((7, 4), end(commits, false), || 99), Err(E::PRODUCER_FENCED));
        }
    }
}

#[test]
fn an_end_of_version_2_by_the_current_epoch() {
    use ErrorCode as E;
    for (state, commit, abort) in [
        (S::Empty, Err(E::INVALID_TXN_STATE), Ok(S::PrepareAbort)),
        (S::Ongoing, Ok(S::PrepareCommit), Ok(S::PrepareAbort)),
        (S::PrepareCommit, Err(E::CONCURRENT_TRANSACTIONS), Err(E::CONCURRENT_TRANSACTIONS)),
        (S::PrepareAbort, Err(E::CONCURRENT_TRANSACTIONS), Err(E::CONCURRENT_TRANSACTIONS)),
        (S::CompleteCommit, Err(E::INVALID_TXN_STATE), Ok(S::PrepareAbort)),
        (S::CompleteAbort, Err(E::INVALID_TXN_STATE), Ok(S::PrepareAbort)),
    ] {
        for (commits, expected) in [(true, commit), (false, abort)] {
            let mut t = at(state, true);
            let outcome = t.end((7, 3), end(commits, true), || 99);
            assert_eq!(outcome.map(|_| t.state), expected, "{state:?} {commits}");
            assert_eq!(t.identity(), (7, if outcome.is_ok() { 4 } else { 3 }));
        }
    }
}

#[test]
fn an_end_of_version_2_asked_for_again() {
    use ErrorCode as E;
    for (state, commit, abort) in [
        (S::Empty, Err(E::PRODUCER_FENCED), Err(E::PRODUCER_FENCED)),
        (S::Ongoing, Err(E::PRODUCER_FENCED), Err(E::PRODUCER_FENCED)),
        (S::PrepareCommit, Err(E::CONCURRENT_TRANSACTIONS), Err(E::CONCURRENT_TRANSACTIONS)),
        (S::PrepareAbort, Err(E::CONCURRENT_TRANSACTIONS), Err(E::CONCURRENT_TRANSACTIONS)),
        (S::CompleteCommit, Ok((7, 3)), Err(E::INVALID_TXN_STATE)),
        (S::CompleteAbort, Err(E::INVALID_TXN_STATE), Ok((7, 3))),
    ] {
        for (commits, expected) in [(true, commit), (false, abort)] {
            let mut t = at(state, true);
            assert_eq!(t.end((7, 2), end(commits, true), || 99), expected, "{state:?} {commits}");
            assert_eq!((t.state, t.identity()), (state, (7, 3)));
            let or_wait = |code| match state {
                S::PrepareCommit | S::PrepareAbort => Err(E::CONCURRENT_TRANSACTIONS),
                _ => Err(code),
            };
            assert_eq!(t.end((7, 1), end(commits, true), || 99), or_wait(E::PRODUCER_FENCED));
            assert_eq!(t.end((8, 3), end(commits, true), || 99), or_wait(E::INVALID_PRODUCER_ID_MAPPING));
        }
    }
}

#[test]
fn the_last_epoch_is_never_a_producers() {
    let mut t = Transaction::new((7, LAST_EPOCH), TIMEOUT);
    assert_eq!(t.init(TIMEOUT, Some((7, LAST_EPOCH)), end(false, true), || 99), Ok((99, 0)));
    // The answer was lost: whoever asks with the old id gets the epoch after.
    assert_eq!(t.init(TIMEOUT, Some((7, LAST_EPOCH)), end(false, true), || 100), Ok((99, 0)));
    let mut t = Transaction::new((7, LAST_EPOCH), TIMEOUT);
    t.enrol((7, LAST_EPOCH), [(Arc::from("t"), 0)], None, clock::now()).unwrap();
    t.fence(end(false, false), || 99);
    assert_eq!(t.identity(), (7, i16::MAX));
    t.complete();
    assert_eq!(t.init(TIMEOUT, None, end(false, false), || 99), Ok((99, 0)));
}

#[test]
fn time_runs_while_a_transaction_is_open() {
    let now = clock::now();
    let mut t = Transaction::new((7, 0), TIMEOUT);
    assert_eq!(t.next_event(), None);
    t.enrol((7, 0), [(Arc::from("t"), 0)], None, now).unwrap();
    t.enrol((7, 0), [(Arc::from("t"), 1)], None, now + TIMEOUT / 2).unwrap();
    assert_eq!(t.next_event(), Some(now + TIMEOUT), "counted from the first partition");
    let due = now + Duration::from_secs(5);
    t.end((7, 0), End { commit: true, raises: true, markers_due: due }, || 99).unwrap();
    assert_eq!((t.next_event(), t.ends_with(now), t.ends_with(due)), (Some(due), None, Some(true)));
    t.complete();
    assert_eq!((t.next_event(), t.ends_with(due)), (None, None));
}
