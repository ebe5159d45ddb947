//! Where a record goes: the partition that its key or its caller chose, or the sticky choice (KIP-480, KIP-794).
//!
//! Runs on application threads, per record as far as the sticky choice stands, per batch where it moves. Takes the list of
//! stalled brokers, a leaf; tries a partition's lock and never waits for it. How the next one is chosen is `sticky`'s.

use super::entry::PartitionEntry;
use super::intake::Route;
use super::memory::NO_LEADER;
use super::{RecordAccumulator, TopicLease, sticky};
use crate::sync::Arc;
use crate::sync::atomic::Ordering;

/// Where a record goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Partition(usize),
    /// Where the sticky choice is now.
    Sticky,
}

/// So many batches more may wait at a partition that a thread takes to get out of another one's way.
const MORE_BACKLOG: u32 = 2;

impl RecordAccumulator {
    /// The partition for a record, if there is one, and how it comes there. `switched`: it has left a sticky choice already.
    #[inline(always)]
    pub(super) fn destination<'t>(
        &self,
        topic: &'t TopicLease,
        target: Target,
        switched: bool,
    ) -> Option<(&'t Arc<PartitionEntry>, Route)> {
        let partitions = &topic.snapshot().partitions;
        match target {
            Target::Partition(at) => Some((partitions.get(at)?, Route::Fixed)),
            Target::Sticky => {
                let shared = || topic.entry().sticky.load(Ordering::Relaxed);
                let sticky = topic.detour().unwrap_or_else(shared) as usize;
                let entry = match partitions.get(sticky) {
                    Some(entry) => entry,
                    None => partitions.get(self.next_sticky(topic, &[]))?,
                };
                Some((entry, if switched { Route::StickyHere } else { Route::Sticky }))
            }
        }
    }

    /// Whether a record that may go anywhere could leave a crowded leader's partition for another leader's.
    pub(super) fn has_other_leader(&self, topic: &TopicLease, leader: i32, crowded: &[i32]) -> bool {
        // Shares apply only then; and the list is walked only for a record that found no memory.
        let elsewhere = |l: i32| l != NO_LEADER && l != leader && !crowded.contains(&l);
        self.pool.shares_apply() && topic.snapshot().partitions.iter().any(|p| elsewhere(p.leader()))
    }

    /// Records without a key leave the partition where they are now. A thread that was elsewhere on its own returns to the
    /// others; who was with them moves the choice on, not to a partition of a crowded leader.
    #[cold]
    pub(super) fn leave_sticky(&self, topic: &TopicLease, crowded: &[i32]) {
        if topic.detour().is_some() {
            topic.set_detour(None);
        } else {
            self.next_sticky(topic, crowded);
        }
    }

    /// Moves the topic's sticky choice on, not to a partition of a crowded leader unless there is no other. Threads that do
    /// so at once choose one after the other; the last stays.
    fn next_sticky(&self, topic: &TopicLease, crowded: &[i32]) -> usize {
        let (entry, snapshot) = (topic.entry(), topic.snapshot());
        let choice = self.choose_sticky(topic, |p| !crowded.contains(&p.leader()));
        let any = || sticky::any(snapshot.partitions.len(), entry.spread.next(false));
        let at = choice.or_else(any).unwrap_or(0);
        entry.sticky.store(u32::try_from(at).unwrap_or(u32::MAX), Ordering::Relaxed);
        at
    }

    /// Among the partitions that are `open` and whose brokers take something.
    fn choose_sticky(&self, topic: &TopicLease, open: impl Fn(&PartitionEntry) -> bool) -> Option<usize> {
        let (entry, snapshot) = (topic.entry(), topic.snapshot());
        let stalled = self.stalled.read();
        let takes = |l: i32| l != NO_LEADER && !stalled.contains(&l);
        let queue_len = |at: usize| {
            snapshot.partitions.get(at).filter(|p| takes(p.leader()) && open(p)).map(|p| p.backlog())
        };
        let adaptive = self.settings.adaptive;
        sticky::choose(snapshot.partitions.len(), queue_len, adaptive, entry.spread.next(adaptive))
    }

    /// Where a record goes whose partition's lock is taken. One without a key that has met another application thread there
    /// takes a partition of its own until a batch there is full: threads that wait for one another's lock take turns at the
    /// scheduler's pace, and one that is put to sleep holding it stops all of them.
    #[cold]
    pub(super) fn make_way<'t>(
        &self,
        topic: &'t TopicLease,
        taken: &'t Arc<PartitionEntry>,
        route: Route,
    ) -> &'t Arc<PartitionEntry> {
        // The sender only looks; it may be gone by now, and says so after it has.
        if route == Route::Fixed || taken.is_looked_at() || taken.intake.try_lock().is_some() {
            return taken;
        }
        // Waiting for a lock is better than waiting for a slow broker.
        let most = if self.settings.adaptive { taken.backlog() + MORE_BACKLOG } else { u32::MAX };
        let serves = |p: &PartitionEntry| p.id != taken.id && p.backlog() <= most;
        let at = self.choose_sticky(topic, serves);
        let other = at.and_then(|at| Some((at, topic.snapshot().partitions.get(at)?)));
        // Queues may have grown since.
        match other.filter(|(_, p)| serves(p)) {
            Some((at, other)) => {
                topic.set_detour(u32::try_from(at).ok());
                other
            }
            None => taken,
        }
    }
}
