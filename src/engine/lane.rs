//! One partition's sequence of parcels: which may go next, under which stamp, and what to do about gaps (KIP-98,
//! KIP-360).
//!
//! Pure: no clock, no I/O, no lock. Without idempotence it keeps the order of retries only.
//!
//! Two modes. In the normal one new batches go out one behind the other, several at a time. As soon as one has to be
//! sent again the lane *recovers*: it waits until nothing is in flight, settles its stamps, and sends what is to be
//! repeated one by one, in order, before anything new.

use std::collections::VecDeque;

use super::parcel::{Identity, Parcel, Stamp, advance};

/// What a lane may send now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// A new batch.
    New,
    /// The first parcel to be repeated.
    Retry,
    /// Nothing, until what is in flight is answered.
    Wait,
    /// Nothing, until it has a new identity.
    NeedsIdentity,
}

/// Orders that a parcel owns, so that its parts have room: 16 million parts.
const ORDER_WIDTH: u64 = 1 << 24;

#[derive(Debug, Default)]
pub(crate) struct Lane {
    identity: Option<Identity>,
    next_sequence: i32,
    next_order: u64,
    /// Orders of the parcels in flight, ascending.
    in_flight: VecDeque<u64>,
    /// Parcels in flight that ended without an answer: nothing new goes out before they are answered.
    orphans: usize,
    /// Parcels to be repeated, in order.
    retry: VecDeque<Parcel>,
    /// The first parcel that ended without being appended, with parcels behind it: order and sequence.
    gap: Option<(u64, i32)>,
    /// A parcel ended and nobody knows whether it was appended, or the broker's sequence is not ours: only a new epoch
    /// helps.
    must_bump: bool,
    /// The broker acknowledged a batch of this identity, or of the epoch before. Before that it may know nothing of this
    /// producer, and then it takes any sequence: a second batch could overtake a first one that was refused.
    established: bool,
    /// What is in flight went to an earlier leader: nothing follows it to the new one before it is answered.
    moved: bool,
    /// What is in flight is sent again after an attempt that may have been appended. A broker knows a duplicate among
    /// the last five batches only, and up to four came behind that attempt: anything more would push it out.
    in_doubt: bool,
}

impl Lane {
    pub(crate) fn gate(&self) -> Gate {
        let alone = self.moved || self.in_doubt || self.recovers() || !self.may_pipeline();
        if alone && !self.in_flight.is_empty() {
            return Gate::Wait;
        }
        if self.orphans > 0 {
            return Gate::Wait;
        }
        if (self.must_bump || self.gap_before_pinned()) && !self.holds_doubt() {
            return Gate::NeedsIdentity;
        }
        if self.retry.is_empty() { Gate::New } else { Gate::Retry }
    }

    /// Whether nothing can be sent under the present identity.
    pub(crate) fn needs_identity(&self) -> bool {
        self.gate() == Gate::NeedsIdentity
    }

    fn recovers(&self) -> bool {
        !self.retry.is_empty() || self.must_bump || self.gap.is_some()
    }

    fn may_pipeline(&self) -> bool {
        self.established || self.identity.is_none()
    }

    /// As if so many records had been sent before.
    #[cfg(test)]
    pub(crate) fn begin_at(&mut self, sequence: i32) {
        self.next_sequence = sequence;
    }

    /// Whether exactly these orders are in flight.
    #[cfg(test)]
    pub(crate) fn flies(&self, orders: &[u64]) -> bool {
        self.in_flight.iter().eq(orders)
    }

    /// Whether nothing is in flight.
    pub(crate) fn is_quiet(&self) -> bool {
        self.in_flight.is_empty()
    }

    pub(crate) fn retries(&self) -> &VecDeque<Parcel> {
        &self.retry
    }

    /// Whether a parcel that is to be repeated may have been appended. One behind a gap has not been and will not be:
    /// no broker takes it before the gap is filled, and every attempt of what belongs there was answered.
    fn holds_doubt(&self) -> bool {
        let gap = self.gap.map_or(u64::MAX, |(order, _)| order);
        self.retry.iter().any(|p| p.pinned && p.order < gap)
    }

    /// Attempts of these may still be under way, so their sequences must not become valid: only an epoch helps.
    fn gap_before_pinned(&self) -> bool {
        self.gap.is_some_and(|(order, _)| self.retry.iter().any(|p| p.pinned && p.order > order))
    }

    /// Takes the identity that a new stamp is made of; the first one, or after [`Gate::NeedsIdentity`].
    ///
    /// Where nothing went wrong under the epoch before, the broker knows this producer still: it takes no sequence but 0
    /// under the new epoch, and so none behind a batch that it refused.
    pub(crate) fn adopt(&mut self, identity: Identity) {
        let same_producer = self.identity.is_some_and(|old| old.id == identity.id);
        self.established &= same_producer && !self.must_bump && self.gap.is_none() && self.retry.is_empty();
        self.identity = Some(identity);
        self.must_bump = false;
        self.gap = None;
        // What is still pinned stood behind a gap; the old epoch goes, and with it the doubt.
        self.retry.iter_mut().for_each(|p| p.pinned = false);
        self.restamp(0, 0);
    }

    pub(crate) fn identity(&self) -> Option<Identity> {
        self.identity
    }

    /// Gives what is to be repeated, from `order` on, consecutive sequences. Every attempt so far was definitely
    /// rejected.
    fn restamp(&mut self, order: u64, sequence: i32) {
        self.next_sequence = sequence;
        let Some(identity) = self.identity else { return };
        for parcel in self.retry.iter_mut().filter(|p| p.order >= order) {
            debug_assert!(!parcel.pinned, "a parcel in doubt keeps its stamp");
            parcel.stamp = Some(Stamp { identity, sequence: self.next_sequence });
            self.next_sequence = advance(self.next_sequence, parcel.records());
        }
    }

    /// Closes a gap once nothing is in flight: what stood behind it moves up, unless that needs a new epoch.
    pub(crate) fn settle(&mut self) {
        if !self.in_flight.is_empty() || self.must_bump || self.gap_before_pinned() {
            return;
        }
        if let Some((order, sequence)) = self.gap.take() {
            self.restamp(order, sequence);
        }
    }

    /// The leader changed.
    pub(crate) fn leader_changed(&mut self) {
        self.moved = !self.in_flight.is_empty();
    }

    /// The topic was created anew: its brokers know nothing of this producer.
    pub(crate) fn forgotten(&mut self) {
        self.established = false;
    }

    /// The next parcel to be repeated; the gate says whether it may go.
    pub(crate) fn pop_retry(&mut self) -> Option<Parcel> {
        self.retry.pop_front()
    }

    /// Takes back a parcel that could not go after all.
    pub(crate) fn put_back(&mut self, parcel: Parcel) {
        self.retry.push_front(parcel);
    }

    /// Gives a new parcel its place and, with an identity, its stamp.
    pub(crate) fn enlist(&mut self, parcel: &mut Parcel) {
        parcel.order = self.next_order;
        parcel.width = ORDER_WIDTH;
        self.next_order += ORDER_WIDTH;
        if let Some(identity) = self.identity {
            parcel.stamp = Some(Stamp { identity, sequence: self.next_sequence });
            self.next_sequence = advance(self.next_sequence, parcel.records());
        }
    }

    pub(crate) fn sent(&mut self, parcel: &Parcel) {
        self.in_doubt |= parcel.pinned && parcel.stamp.is_some();
        self.in_flight.push_back(parcel.order);
    }

    /// A parcel in flight got its outcome before its answer.
    pub(crate) fn orphaned(&mut self) {
        self.orphans += 1;
    }

    /// A parcel in flight was answered, or its connection is gone.
    pub(crate) fn landed(&mut self, parcel: &Parcel) {
        self.in_flight.retain(|order| *order != parcel.order);
        self.moved &= !self.in_flight.is_empty();
        self.in_doubt &= !self.in_flight.is_empty();
        if parcel.ended {
            self.orphans = self.orphans.saturating_sub(1);
        }
    }

    /// Whether no parcel before this one is without outcome, and none left a gap: then a sequence error is its own.
    pub(crate) fn is_first(&self, parcel: &Parcel) -> bool {
        self.gap.is_none_or(|(order, _)| order > parcel.order)
            && self.in_flight.iter().all(|order| *order >= parcel.order)
            && self.retry.front().is_none_or(|p| p.order > parcel.order)
    }

    /// It was appended: the broker's sequence is beyond it.
    pub(crate) fn delivered(&mut self, parcel: &Parcel) {
        self.established |= parcel.stamp.is_some_and(|s| Some(s.identity) == self.identity);
        if self.gap.is_some_and(|(order, _)| order < parcel.order) {
            self.gap = None;
        }
    }

    /// It is to be sent again, in its place.
    pub(crate) fn repeat(&mut self, parcel: Parcel) {
        let at = self.retry.partition_point(|p| p.order < parcel.order);
        self.retry.insert(at, parcel);
    }

    /// It ended without having been appended; its sequence is free.
    pub(crate) fn dropped(&mut self, parcel: &Parcel) {
        let Some(stamp) = parcel.stamp else { return };
        if Some(stamp.identity) != self.identity {
            return;
        }
        if self.gap.is_none_or(|(order, _)| parcel.order < order) {
            self.gap = Some((parcel.order, stamp.sequence));
        }
    }

    /// It ended and nobody knows whether it was appended, or the broker will not have this epoch.
    pub(crate) fn doubtful(&mut self) {
        self.must_bump |= self.identity.is_some();
    }

    /// Puts the parts of a split parcel in its place, under its sequences.
    pub(crate) fn replace(&mut self, parcel: &Parcel, parts: Vec<Parcel>) {
        // Each parcel owns a range of orders, which its parts divide: unique, ascending, between the neighbours'.
        let width = parcel.width / parts.len().max(1) as u64;
        let mut sequence = parcel.stamp.map(|s| s.sequence);
        let at = self.retry.partition_point(|p| p.order < parcel.order);
        for (n, mut part) in parts.into_iter().enumerate() {
            part.order = parcel.order + width * n as u64;
            part.width = width;
            part.stamp = parcel.stamp.zip(sequence).map(|(s, sequence)| Stamp { sequence, ..s });
            sequence = part.next_sequence();
            self.retry.insert(at + n, part);
        }
    }

    /// Takes out every parcel that is to be repeated and for which `done` holds.
    pub(crate) fn take_where(&mut self, done: impl Fn(&Parcel) -> bool) -> Vec<Parcel> {
        if !self.retry.iter().any(&done) {
            return Vec::new();
        }
        let (out, keep): (VecDeque<_>, _) = std::mem::take(&mut self.retry).into_iter().partition(done);
        self.retry = keep;
        out.into()
    }
}

#[cfg(test)]
#[path = "lane_tests.rs"]
mod tests;
