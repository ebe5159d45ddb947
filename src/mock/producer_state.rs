//! What a broker remembers of each idempotent producer, per partition, and what it accepts from it next.
//!
//! Owned by one [`PartitionLog`](super::log::PartitionLog); runs under whatever lock guards that log; takes none. Must
//! not know how a producer assigns sequences: everything is derived from the batches that arrive. KIP-98 (sequences),
//! KIP-360 (unknown producers, epoch bumps), KIP-890 (what was not yet verified comes first).

use std::collections::{HashMap, VecDeque};

/// As many batches as a producer may have in flight per connection when it is idempotent.
const REMEMBERED_BATCHES: usize = 5;

/// The producer's fields of one batch header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) producer_id: i64,
    pub(crate) epoch: i16,
    pub(crate) base_sequence: i32,
    pub(crate) last_offset_delta: i32,
}

impl Stamp {
    /// Sequences wrap from `i32::MAX` to 0.
    fn last_sequence(&self) -> i32 {
        add_wrapping_to_zero(self.base_sequence, self.last_offset_delta)
    }
}

/// What is to be done with a batch that a producer stamped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Append,
    /// One of the last batches again: it is already in the log, at `base_offset`.
    Duplicate {
        base_offset: i64,
        log_append_time: Option<i64>,
    },
}

/// Why a batch cannot be appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SequenceError {
    /// Epoch older than the newest one seen from this producer id.
    OldEpoch { current: i16 },
    /// Not the sequence that follows the last one; `expected` is what would have been taken.
    OutOfOrder { expected: i32 },
    /// No record of this producer id, and the sequence is not 0. Brokers before 2.5 answer so.
    UnknownProducer,
}

#[derive(Debug, Default)]
pub(crate) struct ProducerStates {
    by_id: HashMap<i64, Producer>,
    /// By producer id: epoch and lowest sequence of the batches that had to be verified since the last append. A later
    /// batch must not overtake one that could not be verified.
    verifying: HashMap<i64, (i16, i32)>,
}

#[derive(Debug)]
struct Producer {
    epoch: i16,
    /// Of `epoch` only; newest at the back; at most [`REMEMBERED_BATCHES`].
    batches: VecDeque<Remembered>,
}

#[derive(Clone, Copy, Debug)]
struct Remembered {
    base_sequence: i32,
    last_sequence: i32,
    base_offset: i64,
    log_append_time: Option<i64>,
}

impl ProducerStates {
    /// Judges a batch; changes nothing. `strict_unknown` is what brokers before 2.5 did with an unknown producer id.
    pub(crate) fn check(&self, stamp: &Stamp, strict_unknown: bool) -> Result<Decision, SequenceError> {
        // Whatever the epochs: a real broker does not look at them here.
        let lowest = self.verifying.get(&stamp.producer_id);
        if let Some(&(_, expected)) = lowest.filter(|(_, lowest)| stamp.base_sequence > *lowest) {
            return Err(SequenceError::OutOfOrder { expected });
        }
        let Some(producer) = self.by_id.get(&stamp.producer_id) else {
            return if strict_unknown && stamp.base_sequence != 0 {
                Err(SequenceError::UnknownProducer)
            } else {
                Ok(Decision::Append)
            };
        };
        if let Some(known) = producer.duplicate_of(stamp) {
            return Ok(Decision::Duplicate {
                base_offset: known.base_offset,
                log_append_time: known.log_append_time,
            });
        }
        if stamp.epoch < producer.epoch {
            return Err(SequenceError::OldEpoch { current: producer.epoch });
        }
        let expected = if stamp.epoch > producer.epoch { 0 } else { producer.next_sequence() };
        if stamp.base_sequence == expected {
            Ok(Decision::Append)
        } else {
            Err(SequenceError::OutOfOrder { expected })
        }
    }

    /// A batch has to be verified before it begins a transaction here. `from_zero`: without a batch of this epoch,
    /// only sequence 0 will do.
    pub(crate) fn verify(&mut self, stamp: &Stamp, from_zero: bool) {
        let known = self.by_id.get(&stamp.producer_id);
        let known = known.is_some_and(|p| p.epoch == stamp.epoch && !p.batches.is_empty());
        let sequence = if from_zero && !known { 0 } else { stamp.base_sequence };
        let lowest = self.verifying.entry(stamp.producer_id).or_insert((stamp.epoch, sequence));
        if stamp.epoch > lowest.0 {
            *lowest = (stamp.epoch, sequence);
        } else if stamp.epoch == lowest.0 {
            lowest.1 = lowest.1.min(sequence);
        }
    }

    /// Remembers a batch that [`check`](Self::check) allowed and that was appended at `base_offset`.
    pub(crate) fn remember(&mut self, stamp: &Stamp, base_offset: i64, log_append_time: Option<i64>) {
        self.verifying.remove(&stamp.producer_id);
        let producer = self
            .by_id
            .entry(stamp.producer_id)
            .or_insert_with(|| Producer { epoch: stamp.epoch, batches: VecDeque::new() });
        if producer.epoch != stamp.epoch {
            producer.epoch = stamp.epoch;
            producer.batches.clear();
        }
        if producer.batches.len() == REMEMBERED_BATCHES {
            producer.batches.pop_front();
        }
        producer.batches.push_back(Remembered {
            base_sequence: stamp.base_sequence,
            last_sequence: stamp.last_sequence(),
            base_offset,
            log_append_time,
        });
    }

    /// The newest epoch seen from a producer.
    pub(crate) fn epoch(&self, producer_id: i64) -> Option<i16> {
        self.by_id.get(&producer_id).map(|p| p.epoch)
    }

    /// A marker tells of an epoch too; a new one starts its sequences at 0.
    pub(crate) fn end_transaction(&mut self, producer_id: i64, epoch: i16) {
        self.verifying.remove(&producer_id);
        let producer =
            self.by_id.entry(producer_id).or_insert_with(|| Producer { epoch, batches: VecDeque::new() });
        if producer.epoch != epoch {
            producer.epoch = epoch;
            producer.batches.clear();
        }
    }

    /// Forgets one producer, as a broker does when `transactional.id.expiration.ms` or retention took its records.
    pub(crate) fn forget(&mut self, producer_id: i64) -> bool {
        self.by_id.remove(&producer_id).is_some()
    }

    pub(crate) fn clear(&mut self) {
        self.by_id.clear();
        self.verifying.clear();
    }
}

impl Producer {
    fn duplicate_of(&self, stamp: &Stamp) -> Option<&Remembered> {
        let last = stamp.last_sequence();
        self.batches.iter().find(|b| {
            self.epoch == stamp.epoch && b.base_sequence == stamp.base_sequence && b.last_sequence == last
        })
    }

    fn next_sequence(&self) -> i32 {
        self.batches.back().map_or(0, |b| add_wrapping_to_zero(b.last_sequence, 1))
    }
}

/// `sequence + increment` in the cycle 0..=`i32::MAX`; both are non-negative.
fn add_wrapping_to_zero(sequence: i32, increment: i32) -> i32 {
    let sum = (i64::from(sequence) + i64::from(increment)) % (i64::from(i32::MAX) + 1);
    i32::try_from(sum).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(producer_id: i64, epoch: i16, base_sequence: i32, records: i32) -> Stamp {
        Stamp { producer_id, epoch, base_sequence, last_offset_delta: records - 1 }
    }

    fn append(states: &mut ProducerStates, stamp: Stamp, offset: i64) {
        assert_eq!(states.check(&stamp, false), Ok(Decision::Append));
        states.remember(&stamp, offset, None);
    }

    #[test]
    fn one_of_the_last_five_batches_is_a_duplicate_and_an_older_one_is_out_of_order() {
        let mut states = ProducerStates::default();
        for i in 0..6 {
            append(&mut states, stamp(1, 0, i * 10, 10), i64::from(i) * 10);
        }
        let again = states.check(&stamp(1, 0, 10, 10), false);
        assert_eq!(again, Ok(Decision::Duplicate { base_offset: 10, log_append_time: None }));
        assert_eq!(states.check(&stamp(1, 0, 0, 10), false), Err(SequenceError::OutOfOrder { expected: 60 }));
    }

    #[test]
    fn the_same_start_with_another_end_is_no_duplicate() {
        let mut states = ProducerStates::default();
        append(&mut states, stamp(1, 0, 0, 10), 0);
        assert_eq!(states.check(&stamp(1, 0, 0, 9), false), Err(SequenceError::OutOfOrder { expected: 10 }));
    }

    #[test]
    fn a_new_epoch_starts_at_zero_and_fences_the_old_one() {
        let mut states = ProducerStates::default();
        append(&mut states, stamp(1, 3, 0, 4), 0);
        assert_eq!(states.check(&stamp(1, 4, 4, 1), false), Err(SequenceError::OutOfOrder { expected: 0 }));
        append(&mut states, stamp(1, 4, 0, 1), 4);
        assert_eq!(states.check(&stamp(1, 3, 4, 1), false), Err(SequenceError::OldEpoch { current: 4 }));
        assert_eq!(states.check(&stamp(1, 3, 0, 4), false), Err(SequenceError::OldEpoch { current: 4 }));
    }

    #[test]
    fn an_unknown_producer_may_start_anywhere_unless_the_broker_is_old() {
        let states = ProducerStates::default();
        assert_eq!(states.check(&stamp(9, 0, 77, 1), false), Ok(Decision::Append));
        assert_eq!(states.check(&stamp(9, 0, 77, 1), true), Err(SequenceError::UnknownProducer));
        assert_eq!(states.check(&stamp(9, 0, 0, 1), true), Ok(Decision::Append));
    }

    #[test]
    fn nothing_overtakes_what_waits_for_its_verification() {
        let mut states = ProducerStates::default();
        states.verify(&stamp(1, 0, 5, 5), false);
        states.verify(&stamp(1, 0, 10, 5), false);
        assert_eq!(states.check(&stamp(1, 0, 10, 5), false), Err(SequenceError::OutOfOrder { expected: 5 }));
        append(&mut states, stamp(1, 0, 5, 5), 0);
        append(&mut states, stamp(1, 0, 10, 5), 5);
        // The next transaction of the same epoch goes on.
        states.end_transaction(1, 0);
        states.verify(&stamp(1, 0, 15, 1), true);
        append(&mut states, stamp(1, 0, 15, 1), 11);
        // One of a new epoch begins at 0.
        states.end_transaction(1, 1);
        states.verify(&stamp(1, 1, 3, 1), true);
        assert_eq!(states.check(&stamp(1, 1, 3, 1), false), Err(SequenceError::OutOfOrder { expected: 0 }));
        append(&mut states, stamp(1, 1, 0, 3), 13);
        append(&mut states, stamp(1, 1, 3, 1), 16);
    }

    #[test]
    fn sequences_wrap_to_zero() {
        let mut states = ProducerStates::default();
        append(&mut states, stamp(1, 0, i32::MAX - 1, 2), 0);
        append(&mut states, stamp(1, 0, 0, 1), 2);
        append(&mut states, stamp(1, 0, 1, 1), 3);
        let mut across = ProducerStates::default();
        append(&mut across, stamp(1, 0, i32::MAX, 3), 0);
        append(&mut across, stamp(1, 0, 2, 1), 3);
    }
}
