//! Windows of time: what rates, averages and maxima are taken over (`metrics.sample.window.ms`, `metrics.num.samples`).
//!
//! Pure: `now` is an argument, and whoever owns these holds the lock. A window notes the totals at its beginning, so
//! that a rate is a difference and totals stay exact; averages and maxima are kept for each window. Windows begin when
//! somebody looks, the sender before it counts or a reader: what lies between two looks has not changed anything.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// More than this many windows are not kept, whatever `metrics.num.samples` says.
const MAX_WINDOWS: u32 = 1000;
const MIN_WINDOW: Duration = Duration::from_millis(1);
/// Rates of a producer that was just opened are taken over this much at least, or they would be wild.
const SHORTEST: Duration = Duration::from_secs(1);

/// When windows begin; the same for everything that one producer counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    window: Duration,
    keep: u32,
    begins: Instant,
}

impl Frame {
    pub(super) fn new(window: Duration, samples: u32, now: Instant) -> Self {
        Self { window: window.max(MIN_WINDOW), keep: samples.clamp(1, MAX_WINDOWS), begins: now }
    }

    /// When the next window begins.
    pub(super) fn next(&self) -> Instant {
        crate::clock::deadline(self.begins, self.window)
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        now >= self.next()
    }

    /// Goes on to the window that `now` lies in: the beginnings of the windows that have begun since and count.
    pub(super) fn advance(&mut self, now: Instant) -> Vec<Instant> {
        let since = now.saturating_duration_since(self.begins);
        let passed = u32::try_from(since.as_nanos() / self.window.as_nanos()).unwrap_or(u32::MAX);
        let Some(last) = self.window.checked_mul(passed).and_then(|d| self.begins.checked_add(d)) else {
            self.begins = now;
            return vec![now];
        };
        self.begins = last;
        let count = passed.min(self.keep);
        (0..count).rev().filter_map(|back| last.checked_sub(self.window * back)).collect()
    }

    /// The time that a rate since `from` is taken over, in seconds.
    pub(super) fn span(&self, from: Instant, now: Instant) -> f64 {
        now.saturating_duration_since(from).max(SHORTEST.min(self.window)).as_secs_f64()
    }
}

/// The windows of one thing that is counted: `T` are its totals, `W` what is kept for each window.
#[derive(Debug)]
pub(super) struct Ring<T, W> {
    now: Mark<T, W>,
    past: VecDeque<Mark<T, W>>,
}

#[derive(Debug)]
struct Mark<T, W> {
    begins: Instant,
    /// When the window began.
    totals: T,
    tally: W,
}

impl<T: Copy, W: Default> Ring<T, W> {
    pub(super) fn new(begins: Instant, totals: T) -> Self {
        Self { now: Mark { begins, totals, tally: W::default() }, past: VecDeque::new() }
    }

    /// What is kept for the window of now.
    pub(super) fn tally(&mut self) -> &mut W {
        &mut self.now.tally
    }

    /// Begins windows at `starts`; nothing has changed since the first of them.
    pub(super) fn roll(&mut self, frame: &Frame, starts: &[Instant], totals: T) {
        for begins in starts {
            let next = Mark { begins: *begins, totals, tally: W::default() };
            self.past.push_back(std::mem::replace(&mut self.now, next));
        }
        let keep = frame.keep as usize - 1;
        self.past.drain(..self.past.len().saturating_sub(keep));
    }

    /// Totals at the beginning of the oldest window that counts, and when that was.
    pub(super) fn oldest(&self) -> (Instant, T) {
        let mark = self.past.front().unwrap_or(&self.now);
        (mark.begins, mark.totals)
    }

    /// Every window that counts, oldest first.
    pub(super) fn tallies(&self) -> impl Iterator<Item = &W> {
        self.past.iter().map(|m| &m.tally).chain([&self.now.tally])
    }
}

/// Average and maximum over the windows that `metrics.num.samples` and `metrics.sample.window.ms` give.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Summary {
    /// `None`: nothing was measured in these windows.
    pub average: Option<f64>,
    /// `None`: nothing was measured in these windows.
    pub maximum: Option<f64>,
}

/// What one window saw of a quantity.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    count: u64,
    sum: f64,
    max: f64,
}

impl Tally {
    pub(super) fn add(&mut self, value: f64) {
        self.add_many(1, value, value);
    }

    /// `count` values with this sum, of which the largest is `max`.
    pub(super) fn add_many(&mut self, count: u64, sum: f64, max: f64) {
        self.count += count;
        self.sum += sum;
        self.max = self.max.max(max);
    }

    pub(super) fn summary<'t>(tallies: impl Iterator<Item = &'t Self>) -> Summary {
        let mut all = Self::default();
        tallies.for_each(|t| all.add_many(t.count, t.sum, t.max));
        let seen = all.count > 0;
        Summary { average: seen.then(|| all.sum / all.count as f64), maximum: seen.then_some(all.max) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(30);

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn a_window_ends_after_its_time_and_counts_until_the_last_but_one_does() {
        let begin = crate::clock::now();
        let mut frame = Frame::new(WINDOW, 2, begin);
        let mut ring: Ring<u64, Tally> = Ring::new(begin, 0);
        ring.tally().add(8.0);
        assert!(!frame.is_due(begin + secs(29)));
        let starts = frame.advance(begin + secs(31));
        assert_eq!(starts, [begin + secs(30)]);
        ring.roll(&frame, &starts, 100);
        ring.tally().add(2.0);
        assert_eq!(Tally::summary(ring.tallies()), Summary { average: Some(5.0), maximum: Some(8.0) });
        assert_eq!(ring.oldest(), (begin, 0));
        let starts = frame.advance(begin + secs(65));
        ring.roll(&frame, &starts, 150);
        assert_eq!(Tally::summary(ring.tallies()).maximum, Some(2.0));
        assert_eq!(ring.oldest(), (begin + secs(30), 100));
        let starts = frame.advance(begin + secs(1000));
        assert_eq!(starts, [begin + secs(960), begin + secs(990)]);
        ring.roll(&frame, &starts, 150);
        assert_eq!(Tally::summary(ring.tallies()), Summary::default());
        assert_eq!(ring.oldest(), (begin + secs(960), 150));
    }

    #[test]
    fn one_window_and_absurd_settings_work() {
        let begin = crate::clock::now();
        let mut frame = Frame::new(Duration::ZERO, 0, begin);
        let mut ring: Ring<u64, Tally> = Ring::new(begin, 0);
        for n in 1..=50 {
            let starts = frame.advance(begin + Duration::from_millis(n * 7));
            ring.roll(&frame, &starts, n);
            assert_eq!(ring.oldest().1, n);
            assert!(frame.span(ring.oldest().0, begin) > 0.0);
        }
        let frame = Frame::new(Duration::MAX, u32::MAX, begin);
        assert!(!frame.is_due(begin + secs(1_000_000)));
        assert_eq!(frame.keep, MAX_WINDOWS);
    }
}
