//! Where records without a key go next (KIP-480, KIP-794): evenly, but less to partitions whose queue is long.
//!
//! Pure; runs on application threads when a batch is full, not per record.

/// Chooses one of `count` partitions: each weighs the longest queue plus one, less its own. `queue_len` says how many
/// batches a partition has without outcome, or `None` if it cannot be written to now; if none can, all count alike.
pub(super) fn choose(
    count: usize,
    queue_len: impl Fn(usize) -> Option<u32>,
    adaptive: bool,
    random: u64,
) -> usize {
    let longest = (0..count).filter_map(&queue_len).max();
    let weight = |at: usize| match (longest, queue_len(at)) {
        (None, _) => 1,
        (Some(_), None) => 0,
        (Some(longest), Some(len)) if adaptive => u64::from(longest.saturating_sub(len)) + 1,
        (Some(_), Some(_)) => 1,
    };
    let total: u64 = (0..count).map(weight).sum();
    let Some(mut target) = random.checked_rem(total) else { return 0 };
    // Queues change meanwhile, so the weights may add up to less than they did: then the last that may be chosen.
    let mut last = 0;
    for at in 0..count {
        let weight = weight(at);
        if target < weight {
            return at;
        }
        target -= weight;
        if weight > 0 {
            last = at;
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(lens: &[Option<u32>], adaptive: bool) -> Vec<usize> {
        let mut counts = vec![0; lens.len()];
        for random in 0..10_000 {
            counts[choose(lens.len(), |at| lens[at], adaptive, random)] += 1;
        }
        counts
    }

    #[test]
    fn equal_queues_get_equal_shares() {
        assert_eq!(counts(&[Some(3); 4], true), [2500; 4]);
    }

    #[test]
    fn long_queues_get_less_and_leaderless_partitions_nothing() {
        // weights 4, 0, 1, 5
        assert_eq!(counts(&[Some(1), None, Some(4), Some(0)], true), [4000, 0, 1000, 5000]);
        assert_eq!(counts(&[Some(1), None, Some(4), Some(0)], false), [3334, 0, 3333, 3333]);
    }

    #[test]
    fn without_any_leader_all_count_alike_and_no_partition_is_no_panic() {
        assert_eq!(counts(&[None; 2], true), [5000; 2]);
        assert_eq!(choose(0, |_| None, true, 7), 0);
    }

    #[test]
    fn queues_that_grow_while_choosing_do_not_lead_to_a_partition_without_leader() {
        let looks = std::cell::Cell::new(0);
        let queue_len = |at: usize| {
            looks.set(looks.get() + 1);
            // Partition 2 has no leader; the others fill up after the weights were added.
            (at < 2).then_some(if looks.get() > 7 || at == 0 { 9 } else { 0 })
        };
        assert_ne!(choose(3, queue_len, true, 10), 2);
    }
}
