//! Whether a call may wait, for how long, and what it has waited for.
//!
//! Lives on the stack of one `send`; no lock. Must not know what is waited for.

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::clock;
use crate::error::{Error, Timings};

/// Whether a caller may wait.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wait<'b> {
    /// Not at all.
    Never,
    /// Until then.
    #[cfg(test)]
    Until(Instant),
    /// As long as this lasts.
    Within(&'b Budget),
}

/// The time that one call may spend waiting, for whatever it has to wait. The clock is read only if it does wait.
#[derive(Debug)]
pub(crate) struct Budget {
    max: Duration,
    deadline: Cell<Option<Instant>>,
    waited: Cell<Waited>,
}

/// What a call has waited for so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Waited {
    pub(crate) metadata: Duration,
    pub(crate) memory: Duration,
}

impl Budget {
    pub(crate) fn new(max: Duration) -> Self {
        Self { max, deadline: Cell::new(None), waited: Cell::default() }
    }

    fn deadline(&self) -> Instant {
        let deadline = self.deadline.get().unwrap_or_else(|| clock::deadline(clock::now(), self.max));
        self.deadline.set(Some(deadline));
        deadline
    }
}

impl Wait<'_> {
    /// Until when to wait; `None`: not at all.
    pub(super) fn deadline(self) -> Option<Instant> {
        match self {
            Self::Never => None,
            #[cfg(test)]
            Self::Until(deadline) => Some(deadline),
            Self::Within(budget) => Some(budget.deadline()),
        }
    }

    /// What the call has waited for so far.
    pub(crate) fn waited(self) -> Waited {
        match self {
            Self::Never => Waited::default(),
            #[cfg(test)]
            Self::Until(_) => Waited::default(),
            Self::Within(budget) => budget.waited.get(),
        }
    }

    pub(super) fn note(self, change: impl FnOnce(&mut Waited)) {
        if let Self::Within(budget) = self {
            let mut waited = budget.waited.get();
            change(&mut waited);
            budget.waited.set(waited);
        }
    }

    /// An error of a call that has waited, with what for.
    #[cold]
    pub(crate) fn explain(self, error: Error) -> Error {
        let Waited { metadata, memory } = self.waited();
        error.with_timings(Timings { metadata, memory, ..Timings::default() })
    }
}
