//! Consumer groups, as far as their offsets go: committed ones, and those of transactions that have not ended.
//!
//! Owned by the cluster's state, under its lock; takes none. Nobody joins a group here: members are what a test says,
//! and a group of which it said nothing takes offsets from everybody. KIP-98, KIP-447 (who may commit in a transaction).

use crate::protocol::ErrorCode;
use std::collections::BTreeMap;

/// An offset that a consumer group has committed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CommittedOffset {
    /// The next record to read.
    pub offset: i64,
    /// The leader's epoch at the last record read, if it was said.
    pub leader_epoch: Option<i32>,
    /// The note beside it; empty if there is none.
    pub metadata: String,
}

impl CommittedOffset {
    pub(crate) fn new(offset: i64, leader_epoch: i32, metadata: Option<String>) -> Self {
        let leader_epoch = (leader_epoch >= 0).then_some(leader_epoch);
        Self { offset, leader_epoch, metadata: metadata.unwrap_or_default() }
    }
}

/// A topic and a partition of it.
pub(crate) type GroupPlace = (String, i32);

/// Who claims to commit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member<'a> {
    /// -1 for none.
    pub(crate) generation: i32,
    pub(crate) id: &'a str,
    pub(crate) instance: Option<&'a str>,
}

#[derive(Debug, Default)]
pub(crate) struct Groups {
    by_id: BTreeMap<String, Group>,
}

#[derive(Debug, Default)]
struct Group {
    committed: BTreeMap<GroupPlace, CommittedOffset>,
    /// By producer id: what becomes committed if its transaction does.
    pending: BTreeMap<i64, BTreeMap<GroupPlace, CommittedOffset>>,
    generation: Option<i32>,
    /// Id and static id.
    members: Vec<(String, Option<String>)>,
}

impl Groups {
    /// What the group's coordinator says to a member; everybody is one in a group of which nothing was said.
    pub(crate) fn check(&self, group: &str, member: Member<'_>) -> Result<(), ErrorCode> {
        let Some(group) = self.by_id.get(group) else { return Ok(()) };
        let Some(generation) = group.generation else { return Ok(()) };
        if member.generation < 0 && member.id.is_empty() {
            // A producer that knows the group's name only, as before KIP-447.
            return Ok(());
        }
        let by_instance = group.members.iter().find(|(_, i)| i.is_some() && i.as_deref() == member.instance);
        if by_instance.is_some_and(|(id, _)| id != member.id) {
            return Err(ErrorCode::FENCED_INSTANCE_ID);
        }
        if !group.members.iter().any(|(id, _)| id == member.id) {
            return Err(ErrorCode::UNKNOWN_MEMBER_ID);
        }
        if member.generation == generation { Ok(()) } else { Err(ErrorCode::ILLEGAL_GENERATION) }
    }

    /// The group's generation and one more member of it; the members of older generations are gone.
    pub(crate) fn set_member(&mut self, group: &str, generation: i32, id: &str, instance: Option<&str>) {
        let group = self.by_id.entry(group.to_owned()).or_default();
        if group.generation != Some(generation) {
            group.members.clear();
        }
        group.generation = Some(generation);
        group.members.push((id.to_owned(), instance.map(str::to_owned)));
    }

    pub(crate) fn commit(&mut self, group: &str, place: GroupPlace, offset: CommittedOffset) {
        self.by_id.entry(group.to_owned()).or_default().committed.insert(place, offset);
    }

    /// Committed if and when the producer's transaction is.
    pub(crate) fn commit_later(
        &mut self,
        group: &str,
        producer_id: i64,
        place: GroupPlace,
        offset: CommittedOffset,
    ) {
        let group = self.by_id.entry(group.to_owned()).or_default();
        group.pending.entry(producer_id).or_default().insert(place, offset);
    }

    /// The producer's transaction has ended.
    pub(crate) fn end(&mut self, group: &str, producer_id: i64, commit: bool) {
        let Some(group) = self.by_id.get_mut(group) else { return };
        let pending = group.pending.remove(&producer_id).unwrap_or_default();
        if commit {
            group.committed.extend(pending);
        }
    }

    pub(crate) fn committed(&self, group: &str, topic: &str, partition: i32) -> Option<&CommittedOffset> {
        self.by_id.get(group)?.committed.get(&(topic.to_owned(), partition))
    }

    /// All of a group's committed offsets, by topic and partition.
    pub(crate) fn all_committed(&self, group: &str) -> impl Iterator<Item = (&GroupPlace, &CommittedOffset)> {
        self.by_id.get(group).into_iter().flat_map(|g| &g.committed)
    }

    /// Whether an open transaction may change this offset yet.
    pub(crate) fn is_unstable(&self, group: &str, topic: &str, partition: i32) -> bool {
        let place = (topic.to_owned(), partition);
        self.by_id.get(group).is_some_and(|g| g.pending.values().any(|p| p.contains_key(&place)))
    }
}
