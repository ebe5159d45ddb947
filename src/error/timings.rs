//! Where the time of a record went that was not delivered.

use std::fmt;
use std::time::Duration;

/// Where the time went: each part is how long the record, or the batch it was in, was at that station.
///
/// The first two are the wait of the `send` that began the batch, before `delivery.timeout.ms` counts; `metadata` also
/// has the time in which the batch was ready but its partition had no leader. The parts do not overlap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timings {
    /// For the topic's partitions to be known, or for a leader.
    pub metadata: Duration,
    /// For room in `buffer.memory`.
    pub memory: Duration,
    /// In the partition's queue: `linger.ms`, and until the broker was connected and had room for the first request.
    pub queue: Duration,
    /// Between a failed attempt and the next: `retry.backoff.ms`, and until the broker had room again.
    pub backoff: Duration,
    /// Written to a broker and not answered, all attempts together.
    pub in_flight: Duration,
}

impl Timings {
    /// All parts together.
    pub fn total(&self) -> Duration {
        self.metadata + self.memory + self.queue + self.backoff + self.in_flight
    }

    /// Each part with its name.
    fn parts(&self) -> [(&'static str, Duration); 5] {
        [
            ("metadata", self.metadata),
            ("memory", self.memory),
            ("queue", self.queue),
            ("backoff", self.backoff),
            ("in flight", self.in_flight),
        ]
    }
}

/// `queue 12 ms, in flight 29988 ms`; parts below a millisecond are left out.
impl fmt::Display for Timings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut between = "";
        for (name, time) in self.parts() {
            if time.as_millis() > 0 {
                write!(f, "{between}{name} {} ms", time.as_millis())?;
                between = ", ";
            }
        }
        if between.is_empty() { f.write_str("no time") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text() {
        let ms = Duration::from_millis;
        let all = Timings { metadata: ms(1), memory: ms(2), queue: ms(3), backoff: ms(4), in_flight: ms(5) };
        assert_eq!(all.to_string(), "metadata 1 ms, memory 2 ms, queue 3 ms, backoff 4 ms, in flight 5 ms");
        assert_eq!(all.total(), ms(15));
        let some = Timings { queue: ms(7), backoff: Duration::from_micros(900), ..Timings::default() };
        assert_eq!(some.to_string(), "queue 7 ms");
        assert_eq!(Timings::default().to_string(), "no time");
    }
}
