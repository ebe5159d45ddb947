//! Exponential backoff with jitter (KIP-580), from a seed.

use std::time::Duration;

/// SplitMix64: the engine's only randomness, so that a run can be repeated from its seed.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In `0.0..1.0`.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// How long to wait before the next attempt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Backoff {
    pub(crate) initial: Duration,
    pub(crate) max: Duration,
    pub(crate) multiplier: f64,
    /// Each wait is multiplied by a number between 1 - jitter and 1 + jitter.
    pub(crate) jitter: f64,
}

impl Backoff {
    /// The wait after `failures` failures in a row (at least one). Never more than `max`; constant where `max` is not
    /// above `initial`, as in Java.
    pub(crate) fn after(&self, failures: u32, rng: &mut Rng) -> Duration {
        let cap = self.max.as_secs_f64();
        if self.max <= self.initial {
            return self.max;
        }
        let exponent = failures.saturating_sub(1).min(64);
        let raw = self.initial.as_secs_f64() * self.multiplier.powi(exponent as i32);
        let jittered = raw.min(cap) * (1.0 + self.jitter * (2.0 * rng.unit() - 1.0));
        Duration::from_secs_f64(jittered.clamp(0.0, cap))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn doubles_up_to_the_maximum_within_the_jitter() {
        let backoff = Backoff { initial: MS(100), max: MS(1000), multiplier: 2.0, jitter: 0.2 };
        let mut rng = Rng::new(1);
        for (failures, ideal) in [(1, 100), (2, 200), (3, 400), (4, 800), (5, 1000), (90, 1000)] {
            for _ in 0..200 {
                let wait = backoff.after(failures, &mut rng);
                assert!(
                    wait >= MS(ideal * 79 / 100) && wait <= MS((ideal * 121 / 100).min(1000)),
                    "{wait:?}"
                );
            }
        }
    }

    #[test]
    fn a_maximum_below_the_initial_wait_makes_it_constant() {
        let backoff = Backoff { initial: MS(100), max: MS(50), multiplier: 2.0, jitter: 0.2 };
        assert_eq!(backoff.after(7, &mut Rng::new(1)), MS(50));
    }
}
