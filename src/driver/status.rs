//! What the sender thread tells application threads besides outcomes. One lock, a leaf, and a flag that is read without
//! it.

use std::time::Instant;

use crate::error::{Error, ErrorKind};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Condvar, Mutex};

#[derive(Debug, Default)]
pub(crate) struct Status {
    /// Whether `state.fatal` is set: looked at by every `send`.
    failed: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    connected: bool,
    fatal: Option<Error>,
    trouble: Option<Error>,
    stopped: bool,
    /// Records that `close` had to fail because its time was over.
    lost: u64,
}

impl Status {
    /// Whether nothing can be sent any more.
    #[inline]
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Why nothing can be sent any more, if so.
    #[inline]
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.has_failed() { self.fatal().map_or(Ok(()), Err) } else { Ok(()) }
    }

    #[cold]
    fn fatal(&self) -> Option<Error> {
        self.state.lock().fatal.clone()
    }

    /// The last failure to connect or to get metadata: the likely cause of a timeout.
    pub(crate) fn trouble(&self) -> Option<Error> {
        self.state.lock().trouble.clone()
    }

    /// Waits until a broker has answered.
    pub(crate) fn wait_connected(&self, deadline: Instant) -> Result<(), Error> {
        let mut state = self.state.lock();
        loop {
            if let Some(fatal) = &state.fatal {
                return Err(fatal.clone());
            }
            if state.connected {
                return Ok(());
            }
            if state.stopped {
                return Err(Error::new(
                    ErrorKind::Closed,
                    "the producer was closed while waiting for a connection",
                ));
            }
            if self.changed.wait_until(&mut state, deadline).timed_out() && !state.connected {
                let error = Error::new(ErrorKind::Timeout, "no broker answered in time").with_retriable(true);
                return Err(match &state.trouble {
                    Some(trouble) => error.with_source(trouble.clone()),
                    None => error,
                });
            }
        }
    }

    /// Waits until the sender thread has ended; `false` if `deadline` came first.
    pub(crate) fn wait_stopped(&self, deadline: Instant) -> bool {
        let mut state = self.state.lock();
        while !state.stopped {
            if self.changed.wait_until(&mut state, deadline).timed_out() {
                return state.stopped;
            }
        }
        true
    }

    /// Whether the sender thread has ended.
    pub(crate) fn is_stopped(&self) -> bool {
        self.state.lock().stopped
    }

    /// Records that `close` had to fail; told once.
    pub(crate) fn take_lost(&self) -> u64 {
        std::mem::take(&mut self.state.lock().lost)
    }

    // ---- sender thread ------------------------------------------------------

    pub(super) fn set_connected(&self) {
        self.state.lock().connected = true;
        self.changed.notify_all();
    }

    pub(super) fn set_trouble(&self, trouble: &Error) {
        self.state.lock().trouble = Some(trouble.clone());
    }

    pub(super) fn set_fatal(&self, fatal: Error) {
        self.state.lock().fatal.get_or_insert(fatal);
        self.failed.store(true, Ordering::SeqCst);
        self.changed.notify_all();
    }

    pub(super) fn set_lost(&self, records: u64) {
        self.state.lock().lost = records;
    }

    pub(super) fn set_stopped(&self) {
        self.state.lock().stopped = true;
        self.changed.notify_all();
    }
}
