//! Pace: how far application threads run ahead of the sender, per broker.
//!
//! An application that produces faster than its batches are sent would fill all of `buffer.memory` before it waits, and
//! from then on every byte is written, checked and sent from memory that no cache holds any more: measured, that costs
//! a third of the rate and half of the CPU. So who needs memory for a broker that has [`AHEAD`] bytes of full batches
//! waiting stops for a moment, until the sender has taken some. The rest of `buffer.memory` is for what it is meant for,
//! a broker that is slow: each [`PATIENCE`] in which it took less than [`SLACK`] allows twice as much, and one that was too
//! short all the same a little more than stands there. A broker that is faster than that sets the pace.
//!
//! A broker's queue stops only who has a record for that broker, so a thread that writes to several is late for the others
//! by some milliseconds for each doubling, and then no more. Threads that stop beside others, which the sender lets go on
//! one by one, wait for their turn up to [`TURNS`] times as long, or the last of them would allow itself more each time.
//!
//! Application threads wait here, the sender counts down; one lock, a leaf, taken only if somebody waits. Must not know
//! batches or partitions, nor `buffer.memory`.

use std::time::{Duration, Instant};

use super::signals::{PLACES, place};
use crate::clock;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Condvar, Mutex};

/// Bytes of full batches for one broker that nobody waits for: they and what is being sent fit into the caches of a core
/// or two, and keep the sender busy while an application thread wakes up.
const AHEAD: usize = 2 << 20;
/// How much less there must be before a thread goes on that has stopped, so that it does not stop at each batch.
const SLACK: usize = 512 << 10;
/// For how much that is taken one thread goes on, of those that have stopped.
const STEP: usize = SLACK / 4;
/// How long a thread stops at most, if no other goes on meanwhile.
const PATIENCE: Duration = Duration::from_millis(5);
/// And so many times as long if others do: of eight with batches of 1 MB the last goes on after seven batches.
const TURNS: usize = 4;

/// Brokers whose numbers share a place are paced as one.
pub(super) struct Pace {
    /// All the memory there is: nothing is gained by allowing more.
    total: usize,
    /// By place.
    brokers: Box<[Queue]>,
}

/// The full batches of a broker.
struct Queue {
    bytes: AtomicUsize,
    /// As much as may stand there before anybody stops.
    allowed: AtomicUsize,
    /// Bytes that have ever left.
    left: AtomicUsize,
    /// Threads that stop.
    waiting: AtomicUsize,
    /// How often one of them went on because the sender had caught up.
    gone_on: AtomicUsize,
    lock: Mutex<()>,
    taken: Condvar,
}

impl Pace {
    pub(super) fn new(total: usize) -> Self {
        Self { total: total.max(AHEAD), brokers: (0..PLACES).map(|_| Queue::new()).collect() }
    }

    /// A batch for `broker` is full, or closed for another reason.
    pub(super) fn queued(&self, broker: i32, bytes: usize) {
        self.brokers[place(broker)].bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// It has left its queue. `broker` is who it was queued for, wherever it goes now.
    pub(super) fn left(&self, broker: i32, bytes: usize) {
        let queue = &self.brokers[place(broker)];
        queue.left.fetch_add(bytes, Ordering::Relaxed);
        let before = queue.bytes.fetch_sub(bytes, Ordering::SeqCst);
        if before == bytes {
            queue.allowed.store(AHEAD, Ordering::Relaxed);
        }
        // Who stops says so before looking at the bytes a last time.
        if queue.waiting.load(Ordering::SeqCst) > 0 && queue.is_relaxed() {
            drop(queue.lock.lock());
            let after = before.wrapping_sub(bytes);
            let was_ahead = before + SLACK > queue.allowed.load(Ordering::Relaxed);
            if after == 0 {
                queue.taken.notify_all();
            } else if was_ahead || before / STEP != after / STEP {
                // One thread fills what was taken as well as several that take turns on a processor.
                queue.taken.notify_one();
            }
        }
    }

    /// Whether to stop before more memory is filled for `broker`.
    #[inline]
    pub(super) fn is_ahead(&self, broker: i32) -> bool {
        let queue = &self.brokers[place(broker)];
        queue.bytes.load(Ordering::Relaxed) > queue.allowed.load(Ordering::Relaxed)
    }

    /// Stops until the sender has caught up, for [`PATIENCE`] or until `deadline` at most; a few times as long while others
    /// that have stopped go on, one by one. `false`: in vain.
    pub(super) fn stop(&self, broker: i32, deadline: Instant) -> bool {
        let queue = &self.brokers[place(broker)];
        let (left, allowed) = (queue.left.load(Ordering::Relaxed), queue.allowed.load(Ordering::Relaxed));
        queue.waiting.fetch_add(1, Ordering::SeqCst);
        let mut turns = 1;
        let goes_on = loop {
            let gone_on = queue.gone_on.load(Ordering::Relaxed);
            let until = clock::deadline(clock::now(), PATIENCE).min(deadline);
            if queue.wait_until(until) {
                queue.gone_on.fetch_add(1, Ordering::Relaxed);
                // Who had to wait for longer is no reason to allow less.
                if turns == 1 {
                    queue.come_down();
                }
                break true;
            }
            if queue.is_relaxed() {
                // Another one allowed more just now.
                break true;
            }
            let others_go_on = queue.gone_on.load(Ordering::Relaxed) != gone_on;
            if !others_go_on || turns == TURNS || until == deadline {
                break false;
            }
            turns += 1;
        };
        queue.waiting.fetch_sub(1, Ordering::SeqCst);
        if !goes_on {
            let progress = queue.left.load(Ordering::Relaxed).wrapping_sub(left);
            queue.allow_more(progress, allowed, self.total);
        }
        goes_on
    }
}

#[cfg(test)]
impl Pace {
    /// Nobody's full batches wait.
    pub(super) fn is_idle(&self) -> bool {
        self.brokers.iter().all(|queue| queue.bytes.load(Ordering::Relaxed) == 0)
    }
}

impl Queue {
    fn new() -> Self {
        Self {
            bytes: AtomicUsize::new(0),
            allowed: AtomicUsize::new(AHEAD),
            left: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            gone_on: AtomicUsize::new(0),
            lock: Mutex::new(()),
            taken: Condvar::new(),
        }
    }

    /// Whether it was relaxed by then.
    fn wait_until(&self, until: Instant) -> bool {
        let mut lock = self.lock.lock();
        let mut late = false;
        while !late && !self.is_relaxed() {
            late = self.taken.wait_until(&mut lock, until).timed_out();
        }
        !late
    }

    /// Somebody has stopped in vain while so many bytes left, when so many were `allowed`.
    fn allow_more(&self, progress: usize, allowed: usize, total: usize) {
        let more = if progress < SLACK {
            // Of what was allowed when it stopped: threads that stop together allow more once.
            2 * allowed
        } else {
            // It is a part of what stands there that is not taken, or there are many threads.
            self.bytes.load(Ordering::Relaxed) + 2 * SLACK
        };
        self.allowed.fetch_max(more.min(total), Ordering::Relaxed);
    }

    /// Up at once, down slowly: what stands there for good makes a stop in vain each time it has come down too far.
    fn come_down(&self) {
        let allowed = self.allowed.load(Ordering::Relaxed);
        self.allowed.fetch_min(allowed - (allowed - AHEAD) / 64, Ordering::Relaxed);
    }

    fn is_relaxed(&self) -> bool {
        self.bytes.load(Ordering::SeqCst) + SLACK <= self.allowed.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    fn soon() -> Instant {
        clock::now() + Duration::from_secs(20)
    }

    #[test]
    fn only_a_long_queue_stops_and_only_for_its_broker() {
        let pace = Pace::new(64 << 20);
        pace.queued(1, AHEAD);
        assert!(!pace.is_ahead(1));
        pace.queued(1, 1);
        assert!(pace.is_ahead(1) && !pace.is_ahead(2));
        pace.left(1, 1);
        assert!(!pace.is_ahead(1));
    }

    #[test]
    fn a_broker_that_takes_nothing_soon_stops_nobody() {
        let pace = Pace::new(64 << 20);
        let mut stops = 0;
        for _ in 0..64 {
            pace.queued(1, 1 << 20);
            if pace.is_ahead(1) {
                pace.stop(1, soon());
                stops += 1;
                assert!(!pace.is_ahead(1), "one stop is enough");
            }
        }
        assert_eq!(stops, 5, "2, 4, 8, 16 and 32 MiB");
        // All is taken: from the beginning.
        pace.left(1, 64 << 20);
        pace.queued(1, AHEAD + 1);
        assert!(pace.is_ahead(1));
    }

    #[test]
    fn threads_that_stop_together_allow_more_once() {
        let pace = Pace::new(64 << 20);
        pace.queued(1, AHEAD + 1);
        thread::scope(|s| {
            for _ in 0..8 {
                s.spawn(|| pace.stop(1, soon()));
            }
        });
        let allowed = pace.brokers[1].allowed.load(Ordering::SeqCst);
        assert_eq!(allowed, 2 * AHEAD, "who comes later finds room");
    }

    #[test]
    fn threads_that_stop_go_on_one_by_one_as_batches_leave() {
        let pace = Pace::new(64 << 20);
        let batch = 16 << 10;
        pace.queued(1, AHEAD + batch);
        thread::scope(|s| {
            let threads: Vec<_> = (0..8).map(|_| s.spawn(|| pace.stop(1, soon()))).collect();
            for _ in 0..AHEAD / batch {
                pace.left(1, batch);
            }
            assert_eq!(threads.into_iter().map(|t| t.join()).filter(Result::is_ok).count(), 8);
        });
        assert_eq!(pace.brokers[1].waiting.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn what_stands_there_for_good_stops_nobody_for_long() {
        let pace = Pace::new(64 << 20);
        let (standing, record) = (10 << 20, 1 << 20);
        pace.queued(1, standing);
        pace.brokers[1].allowed.store(standing + SLACK / 4, Ordering::Relaxed);
        let in_vain = (0..80).filter(|_| {
            // What comes beside it is taken at once.
            pace.queued(1, record);
            let goes_on = thread::scope(|s| {
                s.spawn(|| pace.left(1, record));
                !pace.is_ahead(1) || pace.stop(1, soon())
            });
            !goes_on
        });
        let in_vain = in_vain.count();
        assert!(in_vain < 30, "{in_vain}");
    }

    #[test]
    fn a_call_that_may_not_wait_does_not() {
        let pace = Pace::new(64 << 20);
        pace.queued(1, AHEAD + 1);
        let began = clock::now();
        pace.stop(1, began);
        assert!(!pace.is_ahead(1), "nor does the next one");
    }

    #[test]
    fn who_stops_goes_on_when_the_sender_has_caught_up() {
        let pace = Pace::new(64 << 20);
        pace.queued(1, AHEAD + 1);
        // The patience could be over first on a busy machine; that shows in what is allowed.
        thread::scope(|s| {
            s.spawn(|| pace.stop(1, soon()));
            while pace.brokers[1].waiting.load(Ordering::SeqCst) == 0 {
                thread::yield_now();
            }
            pace.left(1, SLACK + 1);
        });
        let allowed = pace.brokers[1].allowed.load(Ordering::SeqCst);
        assert!([AHEAD, 2 * AHEAD].contains(&allowed), "{allowed}");
        assert_eq!(pace.brokers[1].waiting.load(Ordering::SeqCst), 0);
    }
}
