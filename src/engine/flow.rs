//! How much there is to send: how long a request gathers batches is how soon they come.
//!
//! Where records come fast, a request that waits a little longer carries many more of them, and what it costs is shared by
//! all; where they do not, it would only be late. Pure, on the sender thread.

use std::time::{Duration, Instant};

/// What comes within so long shares a request, beyond the least that is worth one.
const GATHERS_FOR: Duration = Duration::from_micros(300);
/// The rate is that of so long a time, at least, and of the one before it.
const WINDOW: Duration = Duration::from_millis(1);

/// Bytes of batches that are sent, and how fast.
#[derive(Debug, Default)]
pub(super) struct Flow {
    since: Option<Instant>,
    bytes: usize,
    expected: usize,
}

impl Flow {
    /// So many bytes more are sent.
    pub(super) fn add(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// How many bytes will come while a request gathers, if they come as they did.
    pub(super) fn expected(&mut self, now: Instant) -> usize {
        let since = *self.since.get_or_insert(now);
        let time = now.saturating_duration_since(since);
        if time >= WINDOW {
            let current = (self.bytes as f64 * (GATHERS_FOR.as_secs_f64() / time.as_secs_f64())) as usize;
            // What was before a pause says nothing.
            let before = if time < 2 * WINDOW { self.expected } else { current };
            self.expected = (before + current) / 2;
            (self.since, self.bytes) = (Some(now), 0);
        }
        self.expected
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn what_is_expected_follows_the_rate_within_a_few_milliseconds() {
        let mut flow = Flow::default();
        let mut now = crate::clock::now();
        assert_eq!(flow.expected(now), 0);
        for _ in 0..10 {
            flow.add(500_000);
            flow.add(500_000);
            now += MS;
            flow.expected(now);
        }
        assert!((290_000..=300_000).contains(&flow.expected(now)));
        assert!((290_000..=300_000).contains(&flow.expected(now + MS / 2)), "too soon to tell");
        for _ in 0..10 {
            now += MS;
            flow.expected(now);
        }
        assert!(flow.expected(now) < 1000);
    }

    #[test]
    fn after_a_pause_nothing_is_expected() {
        let mut flow = Flow::default();
        let mut now = crate::clock::now();
        flow.expected(now);
        for _ in 0..10 {
            flow.add(1_000_000);
            now += MS;
            flow.expected(now);
        }
        now += Duration::from_secs(3600);
        assert!(flow.expected(now) < 1000);
    }
}
