//! Latencies of the sampled records, in constant memory: counts in buckets less than 1 % wide.

#![allow(dead_code, reason = "no example needs all of it")]

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Buckets for each power of two; below that many microseconds, buckets of one microsecond.
const FINE: u64 = 128;
const FINE_BITS: u32 = FINE.ilog2();
/// Latencies up to 2^36 microseconds, which is 19 hours.
const BUCKETS: usize = (FINE * (36 - FINE_BITS as u64 + 1)) as usize;

/// Filled by the callback thread, read by any.
pub(crate) struct Latencies {
    buckets: Vec<AtomicU64>,
    count: AtomicU64,
    sum: AtomicU64,
    max: AtomicU64,
}

/// Some of them, in milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Summary {
    pub(crate) average: f64,
    pub(crate) max: f64,
}

impl Latencies {
    pub(crate) fn new() -> Self {
        let zero = || AtomicU64::new(0);
        Self { buckets: (0..BUCKETS).map(|_| zero()).collect(), count: zero(), sum: zero(), max: zero() }
    }

    pub(crate) fn record(&self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.buckets[bucket_of(micros)].fetch_add(1, Relaxed);
        self.count.fetch_add(1, Relaxed);
        self.sum.fetch_add(micros, Relaxed);
        self.max.fetch_max(micros, Relaxed);
    }

    pub(crate) fn summary(&self) -> Summary {
        summary(self.count.load(Relaxed), self.sum.load(Relaxed), self.max.load(Relaxed))
    }

    /// The latency that `part` (0 to 1) of the records did not exceed, in milliseconds.
    pub(crate) fn percentile(&self, part: f64) -> f64 {
        let wanted = (part * self.count.load(Relaxed) as f64) as u64;
        let mut seen = 0;
        for (index, bucket) in self.buckets.iter().enumerate() {
            seen += bucket.load(Relaxed);
            if seen > wanted {
                return millis(floor_of(index));
            }
        }
        self.summary().max
    }

    /// How many there were.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Relaxed)
    }

    /// The records since the last call, for the lines that are printed as the test goes on. Percentiles and
    /// `summary` do not see them any more: keep a separate `Latencies` for this.
    pub(crate) fn take(&self) -> Summary {
        summary(self.count.swap(0, Relaxed), self.sum.swap(0, Relaxed), self.max.swap(0, Relaxed))
    }
}

fn summary(count: u64, sum: u64, max: u64) -> Summary {
    Summary { average: millis(sum) / count.max(1) as f64, max: millis(max) }
}

fn millis(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

fn bucket_of(micros: u64) -> usize {
    if micros < FINE {
        return micros as usize;
    }
    let power = micros.ilog2();
    let within = (micros >> (power - FINE_BITS)) - FINE;
    let index = FINE * u64::from(power - FINE_BITS + 1) + within;
    (index as usize).min(BUCKETS - 1)
}

fn floor_of(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    match bucket.checked_sub(FINE) {
        None => bucket,
        Some(above) => (FINE + above % FINE) << (above / FINE),
    }
}
