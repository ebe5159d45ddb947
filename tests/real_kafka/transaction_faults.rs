//! Transactions while nodes die and freeze, the coordinator among them: no part of one, nothing lost, nothing doubled, and
//! no call beyond its deadline.
//!
//! `KAFKA_PRODUCER_FAULT_SECONDS` makes it longer than the 40 seconds of CI; 180 for a thorough run.

use crate::cluster::RealKafka;
use crate::java::Version;
use crate::ledger::{Ledger, TOPICS, create_topics};
use crate::numbered::{Producer, producer};
use crate::wait;
use kafka_producer::{Error, ErrorKind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Shorter than an outage: calls time out in the middle of things, and are repeated.
const MAX_BLOCK: Duration = Duration::from_secs(3);
/// What a busy machine may add.
const SLACK: Duration = Duration::from_secs(10);
const NAME: &str = "txn-faults";

#[derive(Debug, Default)]
struct Tally {
    committed: u32,
    aborted: u32,
    /// Transactions that something failed in.
    failed: u32,
    /// Commits that had to be repeated.
    repeated: u32,
}

#[test]
#[ignore = "needs Java and Maven: see README"]
fn transactions_go_on_while_nodes_are_killed_and_paused() {
    let seconds =
        std::env::var("KAFKA_PRODUCER_FAULT_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(40);
    let kafka = RealKafka::start(Version::V4_3, 3);
    create_topics(&kafka, NAME);
    let settings = [
        ("transactional.id", NAME),
        ("max.block.ms", "3000"),
        ("request.timeout.ms", "3000"),
        ("delivery.timeout.ms", "8000"),
        ("linger.ms", "0"),
    ];
    let producer = producer(&kafka, &settings);
    let mut ledger = Ledger::new(NAME);
    let mut tally = Tally::default();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (kafka, over) = (&kafka, &over);
        scope.spawn(move || {
            trouble(kafka, Duration::from_secs(seconds));
            over.store(true, Ordering::SeqCst);
        });
        for n in 0.. {
            one(&producer, &mut ledger, n, &mut tally);
            if over.load(Ordering::SeqCst) {
                break;
            }
        }
    });
    // All nodes are back: now it works without trouble. The last one may have come back just now.
    for (suffix, _) in TOPICS {
        kafka.wait_for(&format!("{NAME}-{suffix}"), "all in sync", |p| p.in_sync.len() == 3);
    }
    wait::until("transactions begin in time", Duration::from_secs(120), || {
        producer.transaction().ok().map(drop)
    });
    for n in 0..20 {
        ledger.run(&producer, 6 * n, 20);
    }
    producer.close().expect("nothing is left");
    eprintln!("{tally:?}");
    // Hundreds; a tenth of that on a machine that is busy starting nodes most of the time.
    assert!(tally.committed > 20, "{tally:?}");
    ledger.verify(&kafka);
}

/// A node every ten seconds: killed or frozen, in turn, and each other time the coordinator's.
fn trouble(kafka: &RealKafka, how_long: Duration) {
    let began = wait::now();
    for round in 0.. {
        if began.elapsed() >= how_long {
            return;
        }
        let round_began = wait::now();
        let coordinator = || {
            let line = kafka.helper().ask(&format!("coordinator {NAME}")).ok()?.concat();
            line.split(' ').next()?.parse::<usize>().ok()?.checked_sub(1)
        };
        let node = if round % 2 == 0 { coordinator().unwrap_or(0) } else { round % 3 };
        if round % 4 < 2 {
            kafka.kill(node);
            pause(Duration::from_secs(4));
            kafka.restart(node);
        } else {
            kafka.pause(node);
            pause(Duration::from_secs(6));
            kafka.resume(node);
        }
        pause(Duration::from_secs(10).saturating_sub(round_began.elapsed()));
    }
}

fn pause(time: Duration) {
    let _ = wait::within::<()>(time, || None);
}

fn one(producer: &Producer, ledger: &mut Ledger, n: u32, tally: &mut Tally) {
    let transaction = match in_time("transaction()", || producer.transaction()) {
        Ok(transaction) => transaction,
        // Still aborting the last one, or not initialised yet.
        Err(error) if error.kind() == ErrorKind::Timeout => return tally.failed += 1,
        Err(error) => panic!("{error}"),
    };
    let sent = match ledger.send(&transaction, n, 1 + n % 50) {
        Ok(sent) => sent,
        Err(error) => return failed(&error, tally),
    };
    match n % 6 {
        1 => match in_time("abort()", || transaction.abort()) {
            Ok(()) => tally.aborted += 1,
            Err(error) => failed(&error, tally),
        },
        4 => in_time("drop", || drop(transaction)),
        _ => {
            let mut open = transaction;
            loop {
                match in_time("commit()", || open.commit()) {
                    Ok(()) => {
                        tally.committed += 1;
                        return ledger.commit(sent);
                    }
                    Err(error) if error.outcome_unknown() => {
                        tally.repeated += 1;
                        open = error.into_transaction();
                    }
                    Err(error) => return failed(&error.into_error(), tally),
                }
            }
        }
    }
}

fn failed(error: &Error, tally: &mut Tally) {
    assert!(!error.is_fatal() && error.kind() != ErrorKind::Misuse, "{error}");
    tally.failed += 1;
}

fn in_time<T>(what: &str, call: impl FnOnce() -> T) -> T {
    let began = wait::now();
    let result = call();
    assert!(began.elapsed() < MAX_BLOCK + SLACK, "{what} took {:?}", began.elapsed());
    result
}
