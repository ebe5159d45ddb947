//! The transactions of one partition's log: open ones, and aborted ones as Fetch answers list them.
//!
//! Part of a [`PartitionLog`](super::log::PartitionLog), under whatever lock guards it; takes none. Must not know who
//! ends a transaction, or why. KIP-98.

use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(super) struct TransactionIndex {
    /// By producer id: the offset of the transaction's first record.
    open: BTreeMap<i64, i64>,
    /// In the order of their markers.
    aborted: Vec<Aborted>,
}

#[derive(Clone, Copy, Debug)]
struct Aborted {
    producer_id: i64,
    first_offset: i64,
    /// The marker's.
    last_offset: i64,
}

impl TransactionIndex {
    pub(super) fn is_open(&self, producer_id: i64) -> bool {
        self.open.contains_key(&producer_id)
    }

    /// The first record of the oldest open transaction.
    pub(super) fn first_open(&self) -> Option<i64> {
        self.open.values().copied().min()
    }

    pub(super) fn open(&mut self, producer_id: i64, offset: i64) {
        self.open.insert(producer_id, offset);
    }

    /// The marker at `offset` ends the producer's transaction, if it has records here.
    pub(super) fn close(&mut self, producer_id: i64, commit: bool, offset: i64) {
        let Some(first_offset) = self.open.remove(&producer_id) else { return };
        if !commit {
            self.aborted.push(Aborted { producer_id, first_offset, last_offset: offset });
        }
    }

    /// Whether the record that this producer wrote at `offset` in a transaction was aborted.
    pub(super) fn was_aborted(&self, producer_id: i64, offset: i64) -> bool {
        self.aborted
            .iter()
            .any(|a| a.producer_id == producer_id && (a.first_offset..=a.last_offset).contains(&offset))
    }

    /// Producer id and first offset of those with records in `from..to`.
    pub(super) fn aborted_in(&self, from: i64, to: i64) -> Vec<(i64, i64)> {
        let touches = |a: &&Aborted| a.last_offset >= from && a.first_offset < to;
        self.aborted.iter().filter(touches).map(|a| (a.producer_id, a.first_offset)).collect()
    }

    pub(super) fn forget_before(&mut self, offset: i64) {
        self.aborted.retain(|a| a.last_offset >= offset);
    }
}
