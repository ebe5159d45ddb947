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
    /// From when the call first has to wait: until when, and what for. Nothing is written here before.
    spent: Cell<Option<(Instant, Waited)>>,
}

/// What a call has waited for so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Waited {
    pub(crate) metadata: Duration,
    pub(crate) memory: Duration,
}

impl Budget {
    pub(crate) fn new(max: Duration) -> Self {
        Self { max, spent: Cell::new(None) }
    }

    fn spent(&self) -> (Instant, Waited) {
        let begin = || (clock::deadline(clock::now(), self.max), Waited::default());
        let spent = self.spent.get().unwrap_or_else(begin);
        self.spent.set(Some(spent));
        spent
    }
}

impl Wait<'_> {
    /// Whether the caller may take its time.
    pub(super) fn is_patient(self) -> bool {
        !matches!(self, Self::Never)
    }

    /// Until when to wait; `None`: not at all.
    pub(super) fn deadline(self) -> Option<Instant> {
        match self {
            Self::Never => None,
            #[cfg(test)]
            Self::Until(deadline) => Some(deadline),
            Self::Within(budget) => Some(budget.spent().0),
        }
    }

    /// What the call has waited for so far.
    pub(crate) fn waited(self) -> Waited {
        match self {
            Self::Never => Waited::default(),
            #[cfg(test)]
            Self::Until(_) => Waited::default(),
            Self::Within(budget) => budget.spent.get().map_or_else(Waited::default, |(_, waited)| waited),
        }
    }

    pub(super) fn note(self, change: impl FnOnce(&mut Waited)) {
        if let Self::Within(budget) = self {
            let (deadline, mut waited) = budget.spent();
            change(&mut waited);
            budget.spent.set(Some((deadline, waited)));
        }
    }

    /// An error of a call that has waited, with what for.
    #[cold]
    pub(crate) fn explain(self, error: Error) -> Error {
        let Waited { metadata, memory } = self.waited();
        error.with_timings(Timings { metadata, memory, ..Timings::default() })
    }
}
