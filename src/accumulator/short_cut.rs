//! The end of the short cut: a record that finds an open batch with room for it, and its partition's lock free.
//!
//! Nearly all do. What takes more than that is found out before anything has been done, and then the whole of
//! [`append`](super::append) is gone through. Only what each record needs stands here, so that the compiler keeps it in
//! registers; what a batch needs is out of line.
//!
//! A handle is made in its place, before the record is written. It is written in pieces and moved as a whole, by the caller
//! too, and a processor that reads as a whole what was just written in pieces waits until the pieces have left its store
//! buffer: after the record, if that was written before them. Measured, that was a fifth of a `send` of 100 bytes.

use super::entry::PartitionEntry;
use super::intake::{Intake, Notice, Quick};
use super::{RecordAccumulator, Target, TopicLease};
use crate::delivery::{DeliveryFuture, Place, RecordFacts};
use crate::protocol::record::RecordBody;
use crate::sync::{Arc, MutexGuard};

impl RecordAccumulator {
    /// Appends `record` and makes its `handle` if that is simple; if it is not, nothing has happened. `IS_SMALL`: so it is, or
    /// it is refused. `helps`: the thread may compress. `entered` as for [`append`](Self::append).
    #[inline(always)]
    pub(crate) fn append_quickly<'r, H, const IS_SMALL: bool>(
        &self,
        (topic, target): (&TopicLease, Target),
        record: &RecordBody<'r, H>,
        facts: RecordFacts,
        helps: impl FnOnce() -> bool,
        entered: &mut impl FnMut(Place<'_>),
        handle: &mut DeliveryFuture,
    ) -> Option<()>
    where
        H: Iterator<Item = (&'r str, Option<&'r [u8]>)> + Clone,
    {
        let (entry, route) = self.destination(topic, target, false)?;
        let mut intake = entry.intake.try_lock()?;
        if self.has_ended(topic) {
            return None;
        }
        let limits = (self.limits, entry.ratio());
        let quick = intake.append_here::<_, IS_SMALL>(record, facts, route, limits, entered, handle)?;
        self.entered_quickly(topic, entry, intake, quick, helps);
        Some(())
    }

    /// Lets go of the lock and does what is to be done now and then.
    #[inline(always)]
    pub(super) fn entered_quickly(
        &self,
        topic: &TopicLease,
        entry: &Arc<PartitionEntry>,
        intake: MutexGuard<'_, Intake>,
        quick: Quick,
        helps: impl FnOnce() -> bool,
    ) {
        if quick.full {
            self.fill_up(entry, intake, helps());
        } else {
            drop(intake);
        }
        if quick.switch {
            self.leave_sticky(topic, &[]);
        }
    }

    #[cold]
    fn fill_up(&self, entry: &Arc<PartitionEntry>, mut intake: MutexGuard<'_, Intake>, helps: bool) {
        let growth = self.growth(entry);
        let waiting = intake.grow_or_close(0, self.limits, growth, entry, &self.pool).waiting();
        drop(intake);
        self.announce(entry, Notice::Closed(waiting, None), helps);
    }

    /// As a producer does: the short cut, or else the whole way.
    #[cfg(test)]
    pub(crate) fn append_either_way<'r, H>(
        &self,
        topic: &TopicLease,
        target: Target,
        record: &RecordBody<'r, H>,
        facts: RecordFacts,
        wait: super::Wait<'_>,
    ) -> Result<DeliveryFuture, crate::Error>
    where
        H: Iterator<Item = (&'r str, Option<&'r [u8]>)> + Clone,
    {
        let mut handle = DeliveryFuture::vacant();
        let (to, helps, entered) = ((topic, target), || wait.is_patient(), &mut |_: Place<'_>| {});
        let done = self
            .append_quickly::<_, true>(to, record, facts, helps, entered, &mut handle)
            .or_else(|| self.append_quickly::<_, false>(to, record, facts, helps, entered, &mut handle));
        match done {
            Some(()) => Ok(handle),
            None => self.append(topic, target, record, facts, wait, &mut |_| {}),
        }
    }
}
