//! Pace: how far application threads run ahead of the sender, per broker.
//!
//! An application that produces faster than its batches are sent would fill all of `buffer.memory` before it waits, and
//! from then on every byte is written, checked and sent from memory that no cache holds any more: measured, that costs
//! a third of the rate and half of the CPU. So who needs memory for a broker that has [`AHEAD`] bytes of full batches
//! waiting stops for a moment, until the sender has taken some. The rest of `buffer.memory` is for what it is meant for,
//! a broker that is slow: each [`PATIENCE`] without enough progress allows a quarter more, and without any twice as much.
//!
//! A broker's queue stops only who has a record for that broker, so a thread that writes to several is late for the others
//! by some milliseconds for each doubling, and then no more. Application threads wait here, the sender counts down; one
//! lock, a leaf, taken only if somebody waits. Must not know batches or partitions, nor `buffer.memory`.

use std::time::{Duration, Instant};

use super::signals::{PLACES, place};
use crate::clock;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Condvar, Mutex};

/// Bytes of full batches for one broker that nobody waits for: they and what is being sent fit into the caches of a core
/// or two, and keep the sender busy while an application thread wakes up.
const AHEAD: usize = 2 << 20;
/// How much less there must be before a thread goes on that has stopped, so that it does not stop at each batch.
const SLACK: usize = 1 << 20;
/// How long a thread stops at most.
const PATIENCE: Duration = Duration::from_millis(5);

/// Brokers whose numbers share a place are paced as one.
pub(super) struct Pace {
    /// All the memory there is: nothing is gained by allowing more.
    total: usize,
    brokers: [Queue; PLACES],
    waiting: AtomicUsize,
    lock: Mutex<()>,
    taken: Condvar,
}

/// The full batches of a broker.
struct Queue {
    bytes: AtomicUsize,
    /// As much as may stand there before anybody stops.
    allowed: AtomicUsize,
    /// Bytes that have ever left.
    left: AtomicUsize,
}

impl Pace {
    pub(super) fn new(total: usize) -> Self {
        Self {
            total: total.max(AHEAD),
            brokers: std::array::from_fn(|_| Queue {
                bytes: AtomicUsize::new(0),
                allowed: AtomicUsize::new(AHEAD),
                left: AtomicUsize::new(0),
            }),
            waiting: AtomicUsize::new(0),
            lock: Mutex::new(()),
            taken: Condvar::new(),
        }
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
        if self.waiting.load(Ordering::SeqCst) > 0 && queue.is_relaxed() {
            drop(self.lock.lock());
            self.taken.notify_all();
        }
    }

    /// Whether to stop before more memory is filled for `broker`.
    #[inline]
    pub(super) fn is_ahead(&self, broker: i32) -> bool {
        let queue = &self.brokers[place(broker)];
        queue.bytes.load(Ordering::Relaxed) > queue.allowed.load(Ordering::Relaxed)
    }

    /// Stops until the sender has caught up, for [`PATIENCE`] or until `deadline` at most.
    pub(super) fn stop(&self, broker: i32, deadline: Instant) {
        let queue = &self.brokers[place(broker)];
        let until = clock::deadline(clock::now(), PATIENCE).min(deadline);
        let (left, allowed) = (queue.left.load(Ordering::Relaxed), queue.allowed.load(Ordering::Relaxed));
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let mut late = false;
        {
            let mut lock = self.lock.lock();
            while !late && !queue.is_relaxed() {
                late = self.taken.wait_until(&mut lock, until).timed_out();
            }
        }
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        if late {
            let progress = queue.left.load(Ordering::Relaxed).wrapping_sub(left);
            let more = if progress < SLACK { allowed } else { allowed / 4 };
            // Of what was allowed when it stopped: threads that stop together allow more once.
            queue.allowed.fetch_max((allowed + more).min(self.total), Ordering::Relaxed);
        } else {
            queue.come_down();
        }
    }
}

impl Queue {
    /// Up at once, down slowly, and not below what stands there: a queue that is long for good, as of a slow broker, stops
    /// nobody.
    fn come_down(&self) {
        let allowed = self.allowed.load(Ordering::Relaxed);
        let least = AHEAD.max(self.bytes.load(Ordering::Relaxed) + SLACK);
        self.allowed.fetch_min((allowed - (allowed - AHEAD) / 8).max(least), Ordering::Relaxed);
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
            while pace.waiting.load(Ordering::SeqCst) == 0 {
                thread::yield_now();
            }
            pace.left(1, SLACK + 1);
        });
        let allowed = pace.brokers[1].allowed.load(Ordering::SeqCst);
        assert!([AHEAD, 2 * AHEAD].contains(&allowed), "{allowed}");
        assert_eq!(pace.waiting.load(Ordering::SeqCst), 0);
    }
}
