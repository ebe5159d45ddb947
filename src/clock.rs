//! The only place that reads a clock.
//!
//! Everything below the producer gets `now` as an argument; this module is where that argument comes from.

use std::time::{Duration, Instant, SystemTime};

/// Monotonic time, for deadlines. Never goes back when the wall clock is set.
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub(crate) fn now() -> Instant {
    #[cfg(test)]
    if let Some(at) = virtual_time::get() {
        return at;
    }
    Instant::now()
}

/// Milliseconds since the Unix epoch, as Kafka stamps records, exact to the millisecond.
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub(crate) fn wall_millis() -> i64 {
    to_millis(SystemTime::now())
}

/// Milliseconds since the Unix epoch at the resolution of the kernel's tick (1 to 10 ms), several times cheaper than
/// [`wall_millis`]: read once per record.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[inline]
pub(crate) fn coarse_wall_millis() -> i64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
    t.tv_sec.saturating_mul(1000).saturating_add(t.tv_nsec / 1_000_000)
}

/// Where the system has no coarse clock this is [`wall_millis`].
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn coarse_wall_millis() -> i64 {
    wall_millis()
}

/// Milliseconds since the Unix epoch of `at`; negative before 1970, saturated at the ends of `i64`.
pub(crate) fn to_millis(at: SystemTime) -> i64 {
    match at.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
    }
}

/// The inverse of [`to_millis`]; `None` for what no `SystemTime` can say.
pub(crate) fn from_millis(millis: i64) -> Option<SystemTime> {
    let distance = Duration::from_millis(millis.unsigned_abs());
    if millis >= 0 {
        SystemTime::UNIX_EPOCH.checked_add(distance)
    } else {
        SystemTime::UNIX_EPOCH.checked_sub(distance)
    }
}

/// `now + wait`, or a century from now where that overflows: `Duration::MAX` means "no bound I would notice".
pub(crate) fn deadline(now: Instant, wait: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    now.checked_add(wait.min(CENTURY)).unwrap_or(now)
}

/// For simulations: what this thread takes for the present.
#[cfg(test)]
pub(crate) mod virtual_time {
    use std::cell::Cell;
    use std::time::Instant;

    thread_local! {
        static NOW: Cell<Option<Instant>> = const { Cell::new(None) };
    }

    pub(crate) fn set(at: Option<Instant>) {
        NOW.set(at);
    }

    pub(super) fn get() -> Option<Instant> {
        NOW.get()
    }
}
