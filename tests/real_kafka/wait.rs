//! Waiting for another process, with a deadline: the one place that reads a clock and sleeps between two looks.

use std::time::{Duration, Instant, SystemTime};

const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// Looks until `look` returns something.
///
/// Panics with `what` after `limit`.
pub(crate) fn until<T>(what: &str, limit: Duration, look: impl FnMut() -> Option<T>) -> T {
    within(limit, look).unwrap_or_else(|| panic!("{what}: not within {limit:?}"))
}

/// Looks until `look` returns something, or `limit` is over.
pub(crate) fn within<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let start = now();
    loop {
        let found = look();
        if found.is_some() || start.elapsed() >= limit {
            return found;
        }
        pause();
    }
}

/// The time of a measurement.
#[expect(clippy::disallowed_methods, reason = "the harness waits for other processes, by the wall's clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Milliseconds since the epoch, by the clock that the broker has too.
#[expect(clippy::disallowed_methods, reason = "timestamps of records are compared with it")]
pub(crate) fn wall_millis() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_millis()).expect("before the year 292278994")
}

fn pause() {
    for_a_while(BETWEEN_LOOKS);
}

/// How long a fault lasts, or what a bad network adds.
#[expect(clippy::disallowed_methods, reason = "another process gives no event to wait for")]
pub(crate) fn for_a_while(time: Duration) {
    std::thread::sleep(time);
}
