//! Where records without a key go next (KIP-480, KIP-794): evenly, but less to partitions whose queue is long.
//!
//! Pure; runs on application threads when a batch is full, not per record.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

use crate::sync::atomic::{AtomicU64, Ordering};

/// Chooses one of `count` partitions: each weighs the longest queue plus one, less its own. `queue_len` says how many
/// batches a partition has without outcome, or `None` if it cannot be written to now; if none can, none is chosen.
/// `spread` is the next of a [`Spread`].
pub(super) fn choose(
    count: usize,
    queue_len: impl Fn(usize) -> Option<u32>,
    adaptive: bool,
    spread: u64,
) -> Option<usize> {
    let longest = (0..count).filter_map(&queue_len).max()?;
    let weight = |at: usize| match queue_len(at) {
        None => 0,
        Some(len) if adaptive => u64::from(longest.saturating_sub(len)) + 1,
        Some(_) => 1,
    };
    let total: u64 = (0..count).map(weight).sum();
    // Scaled, not the remainder: the upper bits are the ones that are spread.
    let mut target = ((u128::from(spread) * u128::from(total)) >> 64) as u64;
    // Queues change meanwhile, so the weights may add up to less than they did: then the last that may be chosen.
    let mut last = None;
    for at in 0..count {
        let weight = weight(at);
        if target < weight {
            return Some(at);
        }
        target -= weight;
        if weight > 0 {
            last = Some(at);
        }
    }
    last
}

/// Chooses one of `count` partitions where all count alike.
pub(super) fn any(count: usize, spread: u64) -> Option<usize> {
    choose(count, |_| Some(0), false, spread)
}

/// Numbers to choose by. Begins at random, so that producers do not walk in step.
#[derive(Debug)]
pub(super) struct Spread(AtomicU64);

impl Spread {
    pub(super) fn new() -> Self {
        // The standard library's per-process random keys.
        Self(AtomicU64::new(RandomState::new().build_hasher().finish()))
    }

    /// Without weights the golden ratio's multiples, which lie evenly however many are taken: partitions get the same
    /// number of turns within a few, where random ones would differ by the root of that number. Weights change with every
    /// choice, and a regular walk over a table that answers it can fall into step with it: there they are mixed to be
    /// as good as random.
    pub(super) fn next(&self, weighted: bool) -> u64 {
        const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
        let next = self.0.fetch_add(GOLDEN, Ordering::Relaxed);
        if weighted { mix(next) } else { next }
    }
}

/// SplitMix64's finalizer: every bit of the input changes half of the output's.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(lens: &[Option<u32>], adaptive: bool, turns: usize) -> Vec<usize> {
        let spread = Spread::new();
        let mut counts = vec![0; lens.len()];
        for _ in 0..turns {
            counts[choose(lens.len(), |at| lens[at], adaptive, spread.next(false)).unwrap()] += 1;
        }
        counts
    }

    #[track_caller]
    fn assert_close(counts: &[usize], expected: &[usize]) {
        let close = counts.iter().zip(expected).all(|(c, e)| c.abs_diff(*e) <= 5);
        assert!(close, "{counts:?} should be near {expected:?}");
    }

    #[test]
    fn equal_queues_get_equal_shares() {
        for adaptive in [true, false] {
            assert_close(&counts(&[Some(3); 4], adaptive, 10_000), &[2500; 4]);
            assert_close(&counts(&[Some(0); 7], adaptive, 700), &[100; 7]);
        }
    }

    #[test]
    fn long_queues_get_less_and_leaderless_partitions_nothing() {
        // weights 4, 0, 1, 5
        let lens = [Some(1), None, Some(4), Some(0)];
        assert_close(&counts(&lens, true, 10_000), &[4000, 0, 1000, 5000]);
        assert_close(&counts(&lens, false, 10_000), &[3333, 0, 3333, 3333]);
        assert_eq!(counts(&lens, true, 1000)[1], 0);
    }

    #[test]
    fn weighted_choices_are_as_good_as_random() {
        let spread = Spread::new();
        let mut counts = [0usize; 4];
        let mut last = 0;
        for _ in 0..40_000 {
            // The last choice weighs less than the others, as right after its batch was closed.
            last = choose(4, |at| Some(u32::from(at == last)), true, spread.next(true)).unwrap();
            counts[last] += 1;
        }
        assert!(counts.iter().all(|n| n.abs_diff(10_000) < 500), "{counts:?}");
    }

    #[test]
    fn without_any_leader_none_is_chosen_and_no_partition_is_no_panic() {
        assert_eq!(choose(2, |_| None, true, 7), None);
        assert_eq!((choose(0, |_| None, true, 7), any(0, 7)), (None, None));
        assert_eq!(choose(3, |_| Some(0), true, u64::MAX), Some(2));
        let spread = Spread::new();
        let first = (0..10_000).filter(|_| any(2, spread.next(false)) == Some(0)).count();
        assert!(first.abs_diff(5000) <= 5, "{first}");
    }
}
