//! Where application threads and the engine meet over a transaction: calls go in, outcomes come out.
//!
//! Shared; one lock, a leaf, with the condition variable that belongs to it. `send` reads atomics only. Calls wait on
//! application threads only; the engine never waits here. It must not know brokers or requests. KIP-98, KIP-447.

use std::collections::VecDeque;
use std::thread::ThreadId;
use std::time::{Duration, Instant};

mod offsets;
mod refusals;

pub(crate) use offsets::OffsetsJob;
use offsets::TimedOut;

use super::state::{Input, Move, Refusal, State, next};
use crate::accumulator::{RecordAccumulator, closed_error};
use crate::clock;
use crate::error::{Error, ErrorKind};
use crate::sync::atomic::{AtomicU8, Ordering};
use crate::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};

/// A call whose outcome is the engine's to say. Only one of them at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Init,
    Commit,
    Abort,
}

impl Call {
    fn input(self) -> Input {
        match self {
            Self::Init => Input::Init,
            Self::Commit => Input::Commit,
            Self::Abort => Input::Abort,
        }
    }

    fn name(self) -> &'static str {
        name(self.input())
    }
}

fn name(input: Input) -> &'static str {
    match input {
        Input::Init => "init_transactions()",
        Input::Begin => "begin_transaction()",
        Input::Offsets => "send_offsets_to_transaction()",
        Input::Commit => "commit_transaction()",
        Input::Abort => "abort_transaction()",
        _ => "the call",
    }
}

/// The transactions of one producer.
pub(crate) struct TransactionPort {
    acc: Arc<RecordAccumulator>,
    /// `Inner::state`, to be read without the lock.
    phase: AtomicU8,
    inner: Mutex<Inner>,
    changed: Condvar,
    /// Whoever waits there would wait for itself.
    sender: OnceLock<ThreadId>,
}

struct Inner {
    state: State,
    /// How many transactions have begun.
    begun: u64,
    /// Why the transaction can only be aborted, or the producer not go on.
    error: Option<Error>,
    /// Records of this transaction that failed.
    failed_records: u64,
    /// The call that is under way, or timed out and has not been repeated.
    slot: Option<Slot>,
    jobs: VecDeque<OffsetsJob>,
    /// Calls of `send_offsets` that somebody waits for, and their outcomes.
    waiting: Vec<(u64, Option<Result<(), Error>>)>,
    next_job: u64,
    timed_out_offsets: Option<TimedOut>,
    /// The last failure of a coordinator call: the likely cause of a timeout.
    trouble: Option<Error>,
    /// There is no engine any more.
    stopped: Option<Error>,
}

struct Slot {
    call: Call,
    /// Somebody waits for it.
    waited: bool,
    outcome: Option<Result<(), Error>>,
}

impl TransactionPort {
    pub(crate) fn new(acc: Arc<RecordAccumulator>) -> Arc<Self> {
        Arc::new(Self {
            acc,
            phase: AtomicU8::new(State::Uninitialized as u8),
            inner: Mutex::new(Inner {
                state: State::Uninitialized,
                begun: 0,
                error: None,
                failed_records: 0,
                slot: None,
                jobs: VecDeque::new(),
                waiting: Vec::new(),
                next_job: 0,
                timed_out_offsets: None,
                trouble: None,
                stopped: None,
            }),
            changed: Condvar::new(),
            sender: OnceLock::new(),
        })
    }

    // ---- application threads -----------------------------------------------------

    /// Whether a record may enter now: a transaction is open and nothing of it failed. Returns the transaction's number.
    #[inline]
    pub(crate) fn check_send(&self) -> Result<u64, Error> {
        self.open().map_or_else(|| self.refuse_send(), Ok)
    }

    /// The transaction that is open, if there is one for certain.
    pub(crate) fn open(&self) -> Option<u64> {
        let transaction = self.acc.transaction();
        let open = self.phase.load(Ordering::Acquire) == State::Open as u8 && transaction != 0;
        open.then_some(transaction)
    }

    #[cold]
    fn refuse_send(&self) -> Result<u64, Error> {
        let inner = self.inner.lock();
        match next(inner.state, Input::Offsets) {
            Move::Refuse(refusal) => Err(inner.refused("send()", refusal)),
            // It does not wait for the coordinator as others do: what it says holds in either case.
            Move::Wait => Err(inner.refused("send()", Refusal::AbortFirst)),
            _ => inner.stopped.clone().map_or(Ok(self.acc.transaction()), Err),
        }
    }

    /// Whether `init` has succeeded. One that timed out has to be repeated, even if it is over by now.
    pub(crate) fn is_initialized(&self) -> bool {
        let timed_out = |slot: &Slot| slot.call == Call::Init && !slot.waited;
        !matches!(self.state(), State::Uninitialized | State::Initializing)
            && !self.inner.lock().slot.as_ref().is_some_and(timed_out)
    }

    /// Gets the producer id and fences earlier producers with the same transactional id. Waits at most `timeout`; a
    /// call that timed out may be repeated, and waits for the same outcome then.
    pub(crate) fn init(&self, timeout: Duration) -> Result<(), Error> {
        self.call(Call::Init, timeout)
    }

    /// Begins a transaction: at once, unless an abort that nobody waited for is still under way.
    pub(crate) fn begin(&self, timeout: Duration) -> Result<(), Error> {
        let deadline = clock::deadline(clock::now(), timeout);
        let mut inner = self.inner.lock();
        loop {
            inner.check_free(Input::Begin)?;
            self.refuse_if_closed()?;
            match next(inner.state, Input::Begin) {
                Move::To(state) => {
                    inner.error = None;
                    inner.failed_records = 0;
                    self.set_state(&mut inner, state);
                    return Ok(());
                }
                Move::Wait => {
                    self.refuse_on_sender_thread("begin_transaction()")?;
                    let late = self.changed.wait_until(&mut inner, deadline).timed_out();
                    if late && inner.state == State::Suspect {
                        return Err(inner.refused("begin_transaction()", Refusal::AbortFirst));
                    }
                    if late && next(inner.state, Input::Begin) == Move::Wait {
                        let message = "begin_transaction(): the last transaction is still being aborted";
                        return Err(inner.timed_out(message.to_owned()));
                    }
                }
                Move::Refuse(refusal) => return Err(inner.refused("begin_transaction()", refusal)),
                Move::Stay | Move::Join => return Ok(()),
            }
        }
    }

    /// Sends what is there, waits for it, and commits. If the outcome is unknown the call may only be repeated.
    pub(crate) fn commit(&self, timeout: Duration) -> Result<(), Error> {
        self.call(Call::Commit, timeout)
    }

    /// Drops what is not sent, waits for what is, and aborts.
    pub(crate) fn abort(&self, timeout: Duration) -> Result<(), Error> {
        self.call(Call::Abort, timeout)
    }

    /// Aborts the open transaction, if there is one, and waits for nothing.
    pub(crate) fn request_abort(&self) {
        let mut inner = self.inner.lock();
        inner.tell_failed();
        self.apply(&mut inner, Input::Drop);
        // Nobody will repeat an abort that timed out: the next transaction waits for it instead.
        inner.slot = inner.slot.take().filter(|slot| slot.call != Call::Abort || slot.waited);
        drop(inner);
        self.changed.notify_all();
        self.acc.signals.transaction();
    }

    fn call(&self, call: Call, timeout: Duration) -> Result<(), Error> {
        self.refuse_on_sender_thread(call.name())?;
        let deadline = clock::deadline(clock::now(), timeout);
        self.start(call)?;
        self.wait(call, deadline)
    }

    /// Begins a call, or joins one that timed out before.
    pub(crate) fn start(&self, call: Call) -> Result<(), Error> {
        let mut inner = self.inner.lock();
        if inner.state == State::Fatal || inner.stopped.is_some() {
            // Another thread that waits takes its outcome, and whoever repeats what succeeded meanwhile is told that.
            let succeeded = |slot: &Slot| matches!(slot.outcome, Some(Ok(())));
            inner.slot = inner.slot.take().filter(|slot| slot.waited || succeeded(slot));
        }
        if let Some(slot) = inner.slot.as_mut().filter(|slot| slot.call == call && !slot.waited) {
            slot.waited = true;
            return Ok(());
        }
        inner.check_free(call.input())?;
        self.refuse_if_closed()?;
        match next(inner.state, call.input()) {
            Move::To(state) => self.set_state(&mut inner, state),
            Move::Stay | Move::Join | Move::Wait => {}
            Move::Refuse(refusal) => return Err(inner.refused(call.name(), refusal)),
        }
        inner.slot = Some(Slot { call, waited: true, outcome: None });
        drop(inner);
        if call == Call::Commit {
            // Ends linger for everything there is. After the change of state: what enters later is refused.
            self.acc.unfinished.flush();
            self.acc.signals.sweep();
        }
        self.acc.signals.transaction();
        Ok(())
    }

    fn wait(&self, call: Call, deadline: Instant) -> Result<(), Error> {
        let mut inner = self.inner.lock();
        loop {
            if let Some(outcome) = inner.take_outcome(call) {
                return outcome;
            }
            if self.changed.wait_until(&mut inner, deadline).timed_out() {
                return inner.take_outcome(call).unwrap_or_else(|| Err(inner.give_up(call)));
            }
        }
    }

    /// The outcome of a call, if it is there; without waiting.
    #[cfg(test)]
    pub(crate) fn poll(&self, call: Call) -> Option<Result<(), Error>> {
        self.inner.lock().take_outcome(call)
    }

    /// As the thread does that waited for so long.
    #[cfg(test)]
    pub(crate) fn give_up(&self, call: Call) -> Error {
        self.inner.lock().give_up(call)
    }

    fn refuse_if_closed(&self) -> Result<(), Error> {
        if self.acc.is_closed() { Err(closed_error()) } else { Ok(()) }
    }

    fn refuse_on_sender_thread(&self, what: &str) -> Result<(), Error> {
        if self.sender.get() != Some(&std::thread::current().id()) {
            return Ok(());
        }
        let message =
            format!("{what} on the producer's own thread would wait for itself; call it on another");
        Err(Error::new(ErrorKind::Misuse, message))
    }

    // ---- the sender thread ---------------------------------------------------------

    /// Notes which thread must not wait here.
    pub(crate) fn runs_here(&self) {
        self.sender.get_or_init(|| std::thread::current().id());
    }

    pub(crate) fn state(&self) -> State {
        State::of(self.phase.load(Ordering::Acquire))
    }

    /// Why the transaction can only be aborted.
    pub(crate) fn cause(&self) -> Option<Error> {
        self.inner.lock().error.clone()
    }

    pub(crate) fn trouble(&self) -> Option<Error> {
        self.inner.lock().trouble.clone()
    }

    /// What went wrong last; told to whoever times out.
    pub(crate) fn note_trouble(&self, error: Error) {
        self.inner.lock().trouble = Some(error);
    }

    pub(crate) fn initialized(&self) {
        self.conclude(Input::Initialized, &Ok(()));
    }

    pub(crate) fn init_refused(&self, error: Error) {
        self.conclude(Input::InitRefused, &Err(error));
    }

    /// The transaction is committed or aborted, as was asked.
    pub(crate) fn ended(&self) {
        self.conclude(Input::Ended, &Ok(()));
    }

    /// Records of the transaction failed, or none but something else did: it can only be aborted. Nobody is told
    /// before [`tell_failed`](Self::tell_failed), since more of it will fail.
    pub(crate) fn failed(&self, error: &Error, records: u64) {
        self.fails(Input::Failed, error, records);
    }

    /// As [`failed`](Self::failed), but perhaps another producer took over. Nobody is told before that is
    /// [settled](Self::settled), or fatal.
    pub(crate) fn suspected(&self, error: &Error, records: u64) {
        self.fails(Input::Suspected, error, records);
    }

    /// No other producer took over.
    pub(crate) fn settled(&self) {
        let mut inner = self.inner.lock();
        self.apply(&mut inner, Input::Settled);
        drop(inner);
        self.changed.notify_all();
    }

    fn fails(&self, input: Input, error: &Error, records: u64) {
        let mut inner = self.inner.lock();
        inner.failed_records += records;
        if self.apply(&mut inner, input) {
            inner.error = Some(error.clone());
        }
    }

    /// Answers whoever waits for a commit that cannot succeed any more.
    pub(crate) fn tell_failed(&self) {
        self.inner.lock().tell_failed();
        self.changed.notify_all();
    }

    /// The producer cannot go on. `in_doubt`: the commit that is under way may have happened.
    pub(crate) fn fatal(&self, error: &Error, in_doubt: bool) {
        let mut inner = self.inner.lock();
        if inner.state != State::Fatal {
            self.apply(&mut inner, Input::Fatal);
            inner.error = Some(error.clone());
        }
        inner.fail_jobs(error);
        inner.answer(&Err(error.clone().with_maybe_written(in_doubt)));
        drop(inner);
        self.changed.notify_all();
    }

    /// The producer closes: no call begins anything any more, and an open transaction is aborted.
    pub(crate) fn close(&self) {
        let mut inner = self.inner.lock();
        let before = inner.state;
        inner.tell_failed();
        self.apply(&mut inner, Input::Close);
        if before == State::Initializing {
            inner.answer(&Err(closed_error()));
        }
        drop(inner);
        self.changed.notify_all();
    }

    /// There is no engine any more: whoever waits is told so.
    pub(crate) fn stop(&self, error: &Error) {
        let mut inner = self.inner.lock();
        inner.stopped.get_or_insert_with(|| error.clone());
        inner.fail_jobs(error);
        let error = inner.left_behind(error);
        inner.answer(&Err(error));
        drop(inner);
        self.changed.notify_all();
    }

    fn conclude(&self, input: Input, outcome: &Result<(), Error>) {
        let mut inner = self.inner.lock();
        let before = inner.state;
        if self.apply(&mut inner, input) {
            inner.trouble = None;
            if input == Input::Ended && before != State::Committing && inner.has(Call::Commit) {
                // It should have been told before: what was aborted is never called committed.
                let error = inner.refused(Call::Commit.name(), Refusal::AbortFirst);
                inner.answer(&Err(error));
            }
            inner.answer(outcome);
        }
        drop(inner);
        self.changed.notify_all();
    }

    /// Moves as the table says; `true` if that is another state.
    fn apply(&self, inner: &mut MutexGuard<'_, Inner>, input: Input) -> bool {
        match next(inner.state, input) {
            Move::To(state) => {
                self.set_state(inner, state);
                true
            }
            Move::Stay | Move::Join | Move::Wait | Move::Refuse(_) => false,
        }
    }

    fn set_state(&self, inner: &mut MutexGuard<'_, Inner>, state: State) {
        // Not logged: under the lock a logger that sends would wait for itself.
        inner.state = state;
        // A thread may have passed `check_send` before: it finds the door shut, or its record is part of the flush.
        match state {
            State::Open => {
                inner.forget_timed_out();
                inner.begun += 1;
                self.acc.let_in(Some(inner.begun));
            }
            // What enters one that failed is failed there.
            State::Abortable | State::Suspect | State::Fatal => {}
            _ => self.acc.let_in(None),
        }
        self.phase.store(state as u8, Ordering::Release);
    }
}

impl Inner {
    fn take_outcome(&mut self, call: Call) -> Option<Result<(), Error>> {
        let slot = self.slot.as_mut().filter(|slot| slot.call == call)?;
        let outcome = slot.outcome.take()?;
        self.slot = None;
        Some(outcome)
    }

    /// Nobody waits for the call any more; the next one of its kind will.
    fn give_up(&mut self, call: Call) -> Error {
        if self.state == State::Suspect {
            // Whatever the coordinator says, nothing is committed.
            self.slot = None;
            return self.refused(call.name(), Refusal::AbortFirst);
        }
        if let Some(slot) = self.slot.as_mut().filter(|slot| slot.call == call) {
            slot.waited = false;
        }
        let known = match call {
            Call::Commit => "; it may be committed or not: call commit_transaction() again, nothing else",
            Call::Init | Call::Abort => "; call it again",
        };
        self.timed_out(format!("{} has no outcome within max.block.ms{known}", call.name()))
    }

    fn has(&self, call: Call) -> bool {
        self.slot.as_ref().is_some_and(|slot| slot.call == call)
    }

    /// Answers whoever waits for a commit that cannot succeed any more. To be done before the abort begins, which has
    /// an outcome of its own.
    fn tell_failed(&mut self) {
        if self.state == State::Abortable {
            let error = self.refused(Call::Commit.name(), Refusal::AbortFirst);
            self.answer(&Err(error));
        }
    }

    fn answer(&mut self, outcome: &Result<(), Error>) {
        if let Some(slot) = &mut self.slot {
            slot.outcome.get_or_insert_with(|| outcome.clone());
        }
    }
}

impl std::fmt::Debug for TransactionPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TransactionPort").field("state", &self.state()).finish_non_exhaustive()
    }
}
