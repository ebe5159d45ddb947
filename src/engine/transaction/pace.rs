//! How soon after a transaction of version 2 the first batch of the next one goes out (KIP-890).
//!
//! A coordinator answers EndTxn before the markers are written. A batch that comes before they are makes its broker wait
//! for them, in steps of 20 ms (`add.partitions.to.txn.retry.backoff.ms`), although they usually take one or two. The
//! producer cannot see the markers, but it sees how long its first batch took: so it learns to wait a little instead.
//! Pure; `now` is an argument.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// What a batch that came too early takes at least: most of a broker's step.
const STEP: Duration = Duration::from_millis(15);
/// So much longer than EndTxn took, it is no slow network.
const TIMES_USUAL: u32 = 4;
/// What is added for each batch that was too early.
const MORE: Duration = Duration::from_micros(500);
/// What is taken off for each that was not: this part. Slowly, since too early costs many times what too late does.
const LESS: u32 = 256;
/// The longest wait. Markers that take longer are worth a step.
const MAX: Duration = Duration::from_millis(5);
/// Less is not worth a timer.
const MIN: Duration = Duration::from_micros(200);
/// A batch that is sent later than this says nothing.
const FRESH: Duration = Duration::from_millis(20);

#[derive(Debug, Default)]
pub(super) struct Pace {
    wait: Duration,
    /// Nothing of the next transaction goes out before; cleared when that time has come.
    until: Option<Instant>,
    /// Partitions, by number, that wait for it.
    held: BTreeSet<u32>,
    /// The last transaction ended then, and nothing is known yet of the first batch since.
    ended: Option<Instant>,
    /// How long EndTxn took.
    usual: Duration,
}

impl Pace {
    /// A transaction has ended; the question took so long.
    pub(super) fn ended(&mut self, took: Duration, now: Instant) {
        self.usual = if self.usual.is_zero() { took } else { (self.usual * 3 + took) / 4 };
        self.ended = Some(now);
        self.until = (self.wait >= MIN).then(|| now + self.wait);
    }

    /// Whether this partition has to wait; it is remembered then.
    pub(super) fn holds(&mut self, partition: u32) -> bool {
        let holds = self.until.is_some();
        if holds {
            self.held.insert(partition);
        }
        holds
    }

    /// When somebody stops waiting.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.until.filter(|_| !self.held.is_empty())
    }

    /// Partitions that need not wait any more.
    pub(super) fn release(&mut self, now: Instant) -> BTreeSet<u32> {
        if self.until.is_none_or(|at| at > now) {
            return BTreeSet::new();
        }
        self.until = None;
        std::mem::take(&mut self.held)
    }

    /// A request with batches that was sent at `sent` is answered.
    pub(super) fn answered(&mut self, sent: Instant, now: Instant) {
        let Some(ended) = self.ended.take() else { return };
        if sent.saturating_duration_since(ended) > FRESH {
            return;
        }
        let took = now.saturating_duration_since(sent);
        if took >= STEP && took >= self.usual * TIMES_USUAL {
            self.wait = (self.wait + MORE).min(MAX);
        } else {
            self.wait -= self.wait / LESS;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::now;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    /// A transaction of which the first batch takes so long; says for how long it was held.
    fn transaction(pace: &mut Pace, at: &mut Instant, took: Duration) -> Duration {
        pace.ended(MS(1), *at);
        let held = pace.until.map_or(Duration::ZERO, |until| until - *at);
        if pace.holds(7) {
            *at += held;
            assert_eq!(pace.next_due(), Some(*at));
            assert_eq!(pace.release(*at), BTreeSet::from([7]));
        }
        assert!(!pace.holds(7));
        let sent = *at;
        *at += took;
        pace.answered(sent, *at);
        held
    }

    #[test]
    fn it_waits_as_long_as_batches_would_come_too_early_and_hardly_longer() {
        let (mut pace, mut at) = (Pace::default(), now());
        let mut early = 0;
        let mut held = Duration::ZERO;
        for _ in 0..1000 {
            // Markers take 1.8 ms.
            let too_early = held < Duration::from_micros(1800);
            early += u32::from(too_early);
            held = transaction(&mut pace, &mut at, if too_early { MS(21) } else { MS(1) });
            assert!(held < MS(3), "{held:?}");
        }
        assert!(early < 40, "{early} were too early");
    }

    #[test]
    fn a_slow_network_is_no_reason_to_wait() {
        let (mut pace, mut at) = (Pace::default(), now());
        for _ in 0..100 {
            pace.ended(MS(30), at);
            assert!(!pace.holds(1));
            pace.answered(at, at + MS(60));
            at += MS(60);
        }
    }

    #[test]
    fn what_is_sent_much_later_or_within_a_transaction_teaches_nothing() {
        let (mut pace, at) = (Pace::default(), now());
        pace.ended(MS(1), at);
        pace.answered(at + MS(30), at + MS(60));
        pace.answered(at + MS(60), at + MS(90));
        assert_eq!(pace.wait, Duration::ZERO);
    }

    #[test]
    fn it_never_waits_long() {
        let (mut pace, mut at) = (Pace::default(), now());
        for _ in 0..1000 {
            assert!(transaction(&mut pace, &mut at, MS(40)) <= MAX);
        }
    }
}
