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
    /// The broker has acknowledged a parcel under this identity, so it knows our sequence. Until then one parcel goes at
    /// a time: a broker takes any first sequence of a producer that it has not met, so of two that are under way
    /// together the second may be taken and the first be out of order for good. Brand-new topics do that, whose
    /// leader is named before it is at work.
    met: bool,
    /// A parcel ended and nobody knows whether it was appended, or the broker's sequence is not ours: only a new epoch
    /// helps.
    must_bump: bool,
}

impl Lane {
    pub(crate) fn gate(&self) -> Gate {
        let quiet = self.in_flight.is_empty();
        if self.orphans > 0 || ((!self.retry.is_empty() || self.must_bump || self.gap.is_some()) && !quiet) {
            return Gate::Wait;
        }
        if self.must_bump && !self.holds_pinned() {
            return Gate::NeedsIdentity;
        }
        if self.identity.is_some() && !self.met && !quiet {
            return Gate::Wait;
        }
        if self.retry.is_empty() { Gate::New } else { Gate::Retry }
    }

    /// Whether nothing is in flight.
    pub(crate) fn is_quiet(&self) -> bool {
        self.in_flight.is_empty()
    }

    pub(crate) fn retries(&self) -> &VecDeque<Parcel> {
        &self.retry
    }

    fn holds_pinned(&self) -> bool {
        self.retry.iter().any(|p| p.pinned)
    }

    /// Takes the identity that a new stamp is made of; the first one, or after [`Gate::NeedsIdentity`].
    pub(crate) fn adopt(&mut self, identity: Identity) {
        self.identity = Some(identity);
        self.met = false;
        self.must_bump = false;
        self.gap = None;
        self.next_sequence = 0;
        self.restamp_from(0);
    }

    pub(crate) fn identity(&self) -> Option<Identity> {
        self.identity
    }

    /// Gives what is to be repeated consecutive sequences. Every attempt so far was definitely rejected.
    fn restamp_from(&mut self, sequence: i32) {
        self.next_sequence = sequence;
        let Some(identity) = self.identity else { return };
        for parcel in &mut self.retry {
            debug_assert!(!parcel.pinned, "a parcel in doubt keeps its stamp");
            parcel.stamp = Some(Stamp { identity, sequence: self.next_sequence });
            self.next_sequence = advance(self.next_sequence, parcel.records());
        }
    }

    /// Closes a gap once nothing is in flight: what stood behind it moves up. Where a parcel behind it is in doubt its
    /// stamp stays, and so does the gap.
    pub(crate) fn settle(&mut self) {
        if !self.in_flight.is_empty() || self.must_bump || self.holds_pinned() {
            return;
        }
        if let Some((_, sequence)) = self.gap.take() {
            self.restamp_from(sequence);
        }
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
        self.in_flight.push_back(parcel.order);
    }

    /// A parcel in flight got its outcome before its answer.
    pub(crate) fn orphaned(&mut self) {
        self.orphans += 1;
    }

    /// A parcel in flight was answered, or its connection is gone.
    pub(crate) fn landed(&mut self, parcel: &Parcel) {
        self.in_flight.retain(|order| *order != parcel.order);
        if parcel.ended {
            self.orphans = self.orphans.saturating_sub(1);
        }
    }

    /// Whether no parcel before this one is without outcome.
    pub(crate) fn is_first(&self, parcel: &Parcel) -> bool {
        self.in_flight.iter().all(|order| *order >= parcel.order)
            && self.retry.front().is_none_or(|p| p.order > parcel.order)
    }

    /// It was appended: the broker's sequence is beyond it.
    pub(crate) fn delivered(&mut self, parcel: &Parcel) {
        self.met |= parcel.stamp.map(|s| s.identity) == self.identity;
        if self.gap.is_some_and(|(order, _)| order < parcel.order) {
            self.gap = None;
        }
    }

    /// The partition may have been made anew: its broker may not know our sequence any more.
    pub(crate) fn forgotten(&mut self) {
        self.met = false;
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
        let (out, keep) = std::mem::take(&mut self.retry).into_iter().partition(|p| done(p));
        self.retry = keep;
        Vec::from_iter::<VecDeque<Parcel>>(out)
    }
}

#[cfg(test)]
#[path = "lane_tests.rs"]
mod tests;
