//! A consumer's offsets on their way into a transaction.
//!
//! As the rest of the port: calls wait on application threads, under the port's lock; the engine takes the offsets and
//! says what became of them. KIP-98, KIP-447.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::super::state::{Input, Move, Refusal, State, next};
use super::{Inner, TransactionPort};
use crate::clock;
use crate::error::Error;
use crate::transaction::{ConsumerGroupMetadata, Offsets};

/// Offsets that are to become part of the transaction.
#[derive(Debug)]
pub(crate) struct OffsetsJob {
    pub(crate) id: u64,
    pub(crate) offsets: Offsets,
    pub(crate) group: ConsumerGroupMetadata,
    /// Until when brokers are asked to take them; once the engine has seen them.
    pub(crate) deadline: Option<Instant>,
}

/// The last offsets that were handed over, by a call that timed out: whoever repeats it waits for them, and does not hand
/// them over once more.
pub(super) struct TimedOut {
    job: u64,
    offsets: Offsets,
    group: ConsumerGroupMetadata,
}

impl TransactionPort {
    /// Makes a consumer's offsets part of the transaction. A call that timed out goes on in the background: it may be
    /// repeated, and a commit waits for it.
    pub(crate) fn send_offsets(
        &self,
        offsets: &Offsets,
        group: &ConsumerGroupMetadata,
        timeout: Duration,
    ) -> Result<(), Error> {
        self.refuse_on_sender_thread("send_offsets_to_transaction()")?;
        let deadline = clock::deadline(clock::now(), timeout);
        let Some(id) = self.start_offsets(offsets, group)? else { return Ok(()) };
        let mut inner = self.inner.lock();
        loop {
            let at = inner.waiting.iter().position(|(job, _)| *job == id);
            let outcome = at.and_then(|at| inner.waiting.get_mut(at)).map(|(_, outcome)| outcome.take());
            match (at, outcome) {
                (Some(at), Some(Some(outcome))) => {
                    inner.waiting.swap_remove(at);
                    return outcome;
                }
                (Some(_), _) => {}
                // Cannot happen: only this thread takes it out.
                (None, _) => return Ok(()),
            }
            if self.changed.wait_until(&mut inner, deadline).timed_out() {
                let pending = |(job, outcome): &(u64, Option<_>)| *job == id && outcome.is_none();
                if inner.waiting.iter().any(pending) {
                    return Err(inner.give_up_offsets(id, offsets, group));
                }
            }
        }
    }

    /// Hands offsets over; the job's number, or `None` if there is nothing to do.
    pub(crate) fn start_offsets(
        &self,
        offsets: &Offsets,
        group: &ConsumerGroupMetadata,
    ) -> Result<Option<u64>, Error> {
        let mut inner = self.inner.lock();
        inner.check_free(Input::Offsets)?;
        self.refuse_if_closed()?;
        if let Move::Refuse(refusal) = next(inner.state, Input::Offsets) {
            return Err(inner.refused("send_offsets_to_transaction()", refusal));
        }
        if offsets.is_empty() {
            return Ok(None);
        }
        if let Some(id) = inner.repeated(offsets, group) {
            return Ok(Some(id));
        }
        let id = inner.next_job;
        inner.next_job += 1;
        let (offsets, group) = (offsets.clone(), group.clone());
        inner.jobs.push_back(OffsetsJob { id, offsets, group, deadline: None });
        inner.waiting.push((id, None));
        drop(inner);
        self.acc.signals.transaction();
        Ok(Some(id))
    }

    /// The outcome of a job, if it is there; without waiting.
    #[cfg(test)]
    pub(crate) fn poll_offsets(&self, id: u64) -> Option<Result<(), Error>> {
        let mut inner = self.inner.lock();
        let at = inner.waiting.iter().position(|(job, outcome)| *job == id && outcome.is_some())?;
        inner.waiting.swap_remove(at).1
    }

    /// As the thread does that waited for so long.
    #[cfg(test)]
    pub(crate) fn give_up_offsets(&self, id: u64, offsets: &Offsets, group: &ConsumerGroupMetadata) -> Error {
        self.inner.lock().give_up_offsets(id, offsets, group)
    }

    /// Offsets that were handed over.
    pub(crate) fn take_jobs(&self, into: &mut VecDeque<OffsetsJob>) {
        into.append(&mut self.inner.lock().jobs);
    }

    pub(crate) fn job_done(&self, id: u64, outcome: Result<(), Error>) {
        let mut inner = self.inner.lock();
        if let Some((_, slot)) = inner.waiting.iter_mut().find(|(job, _)| *job == id) {
            *slot = Some(outcome);
        }
        drop(inner);
        self.changed.notify_all();
    }
}

impl Inner {
    /// Nobody waits for these offsets any more, but perhaps somebody will.
    fn give_up_offsets(&mut self, id: u64, offsets: &Offsets, group: &ConsumerGroupMetadata) -> Error {
        self.forget_timed_out();
        self.timed_out_offsets = Some(TimedOut { job: id, offsets: offsets.clone(), group: group.clone() });
        if self.state == State::Suspect {
            return self.refused("send_offsets_to_transaction()", Refusal::AbortFirst);
        }
        let message = "send_offsets_to_transaction() has no outcome within max.block.ms; it may be repeated";
        self.timed_out(message.to_owned())
    }

    /// The job of the same offsets, if they were the last and nobody waits for them.
    fn repeated(&mut self, offsets: &Offsets, group: &ConsumerGroupMetadata) -> Option<u64> {
        let last = self.next_job;
        let same = |t: &TimedOut| t.job + 1 == last && t.offsets == *offsets && t.group == *group;
        if self.timed_out_offsets.as_ref().is_some_and(same) {
            return self.timed_out_offsets.take().map(|t| t.job);
        }
        self.forget_timed_out();
        None
    }

    /// What was handed over stays with the transaction, but nobody will ask what became of it.
    pub(super) fn forget_timed_out(&mut self) {
        if let Some(t) = self.timed_out_offsets.take() {
            self.waiting.retain(|(job, _)| *job != t.job);
        }
    }

    pub(super) fn fail_jobs(&mut self, error: &Error) {
        self.jobs.clear();
        for (_, outcome) in &mut self.waiting {
            outcome.get_or_insert_with(|| Err(error.clone()));
        }
    }
}
