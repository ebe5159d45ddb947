//! Which batches have no outcome yet, by generation, so that `flush` waits for those that were there when it began and
//! for no others.
//!
//! One lock, a leaf, taken twice per batch.

use std::collections::VecDeque;
use std::time::Instant;

use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Condvar, Mutex};

/// A batch belongs to the generation in which it was begun; each flush ends one.
#[derive(Default)]
pub(crate) struct Unfinished {
    /// The generation of new batches; a copy of what the lock guards, to be read without it.
    current: AtomicU64,
    /// Records in batches that the sender has taken and not ended.
    taken_records: AtomicU64,
    state: Mutex<Generations>,
    ended: Condvar,
}

#[derive(Default)]
struct Generations {
    /// Number of the generation at the front.
    first: u64,
    /// Unfinished batches per generation, the current one last.
    batches: VecDeque<usize>,
}

impl Unfinished {
    /// A batch begins; returns its generation.
    pub(crate) fn begin(&self, batches: usize) -> u64 {
        let mut state = self.state.lock();
        let current = self.current.load(Ordering::Relaxed);
        state.add(current, batches);
        current
    }

    /// More batches of a generation that has not ended: the parts of a split.
    pub(crate) fn begin_in(&self, generation: u64, batches: usize) {
        self.state.lock().add(generation, batches);
    }

    /// A batch of this generation has its outcome.
    pub(crate) fn end(&self, generation: u64) {
        let mut state = self.state.lock();
        let at = generation.saturating_sub(state.first) as usize;
        if let Some(n) = state.batches.get_mut(at) {
            *n = n.saturating_sub(1);
        }
        let current = self.current.load(Ordering::Relaxed);
        let mut moved = false;
        while state.first < current && state.batches.front().is_none_or(|n| *n == 0) {
            state.batches.pop_front();
            state.first += 1;
            moved = true;
        }
        if moved {
            self.ended.notify_all();
        }
    }

    /// Batches of this generation are wanted out: it is not the current one any more.
    #[inline]
    pub(crate) fn is_flushing(&self, generation: u64) -> bool {
        generation < self.current.load(Ordering::Relaxed)
    }

    /// Ends the current generation; returns it, to be waited for.
    pub(crate) fn flush(&self) -> u64 {
        let mut state = self.state.lock();
        let generation = self.current.fetch_add(1, Ordering::SeqCst);
        if state.batches.iter().all(|n| *n == 0) {
            state.batches.clear();
            state.first = generation + 1;
        }
        generation
    }

    /// Waits until every batch up to `generation` has its outcome; `false` if `deadline` came first.
    pub(crate) fn wait(&self, generation: u64, deadline: Instant) -> bool {
        let mut state = self.state.lock();
        while state.first <= generation {
            if self.ended.wait_until(&mut state, deadline).timed_out() {
                return state.first > generation;
            }
        }
        true
    }

    /// The sender took a batch of `records`.
    pub(crate) fn taken(&self, records: u32) {
        self.taken_records.fetch_add(u64::from(records), Ordering::Relaxed);
    }

    /// A batch that the sender had taken ended.
    pub(crate) fn taken_ended(&self, records: u32) {
        self.taken_records.fetch_sub(u64::from(records), Ordering::Relaxed);
    }

    pub(crate) fn taken_records(&self) -> u64 {
        self.taken_records.load(Ordering::Relaxed)
    }

    /// Whether no batch is without outcome.
    pub(crate) fn is_empty(&self) -> bool {
        self.state.lock().batches.iter().all(|n| *n == 0)
    }
}

impl Generations {
    fn add(&mut self, generation: u64, batches: usize) {
        let at = generation.saturating_sub(self.first) as usize;
        if self.batches.len() <= at {
            self.batches.resize(at + 1, 0);
        }
        self.batches[at] += batches;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::now;

    #[test]
    fn a_flush_waits_for_what_was_there_and_for_nothing_later() {
        let unfinished = Unfinished::default();
        let (a, b) = (unfinished.begin(1), unfinished.begin(1));
        let generation = unfinished.flush();
        let later = unfinished.begin(1);
        assert!(unfinished.is_flushing(a) && !unfinished.is_flushing(later));
        unfinished.end(a);
        assert!(!unfinished.wait(generation, now()));
        unfinished.end(b);
        assert!(unfinished.wait(generation, now()));
        assert!(!unfinished.is_empty());
    }

    #[test]
    fn a_flush_of_nothing_returns_and_the_list_stays_short() {
        let unfinished = Unfinished::default();
        for _ in 0..100 {
            let generation = unfinished.flush();
            assert!(unfinished.wait(generation, now()));
            unfinished.end(unfinished.begin(1));
        }
        assert!(unfinished.state.lock().batches.len() <= 2);
    }

    #[test]
    fn an_old_generation_holds_back_a_younger_flush() {
        let unfinished = Unfinished::default();
        let old = unfinished.begin(1);
        let first = unfinished.flush();
        let young = unfinished.begin(1);
        let second = unfinished.flush();
        unfinished.end(young);
        assert!(!unfinished.wait(second, now()));
        unfinished.begin_in(old, 1);
        unfinished.end(old);
        assert!(!unfinished.wait(first, now()));
        unfinished.end(old);
        assert!(unfinished.wait(second, now()));
    }
}
