//! Waiting for another process, with a deadline: the one place that reads a clock and sleeps between two looks.

use std::time::{Duration, Instant};

const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// Looks until `look` returns something.
///
/// Panics with `what` after `limit`.
pub(crate) fn until<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let start = now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}");
        pause();
    }
}

/// The time of a measurement.
#[expect(clippy::disallowed_methods, reason = "the harness waits for other processes, by the wall's clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "another process gives no event to wait for")]
fn pause() {
    std::thread::sleep(BETWEEN_LOOKS);
}
