//! One partition until a batch is full, then another.

use super::{Choice, KeyedRecord, Partitioner, TopicView};
use crate::error::BoxError;

/// Sends every record, whatever its key, to the sticky choice, which moves on when `batch.size` bytes were appended;
/// each partition gets the same bytes. As Java's `UniformStickyPartitioner`, but it moves on when a batch is full and not
/// whenever one is sent, which gave slow brokers more than fast ones (KIP-794).
#[derive(Clone, Copy, Debug, Default)]
pub struct UniformSticky;

impl Partitioner for UniformSticky {
    #[inline]
    fn partition(&self, _: &KeyedRecord<'_>, _: &TopicView<'_>) -> Result<Choice, BoxError> {
        Ok(Choice::Sticky)
    }

    fn is_adaptive(&self) -> bool {
        false
    }
}
