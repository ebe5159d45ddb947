//! The short cut: the road of a record where nothing is in its way, as nothing is for nearly all.
//!
//! Its serializers lend what they are given, its topic is known to the thread, and its batch is there with room for it. Whatever
//! is not so is found out before anything has been done, and the record goes [the whole road](super::road), which says why
//! if it is refused. Each look costs every record, so there are few. Small records without headers have the shortest one.

use super::KafkaProducer;
use super::road::timestamp;
use crate::accumulator::Target;
use crate::delivery::{DeliveryFuture, Place, RecordFacts, on_own_thread};
use crate::protocol::record::RecordBody;
use crate::record::ProducerRecord;

impl<K: ?Sized + 'static, V: ?Sized + 'static> KafkaProducer<K, V> {
    /// Takes `record` in and makes its `handle` if it is small, has no headers and all is simple; if not, nothing has happened.
    /// For callers who may wait. `entered` as for [`admit`](Self::admit).
    #[inline(always)]
    pub(super) fn admit_small(
        &self,
        record: &ProducerRecord<'_, K, V>,
        entered: &mut impl FnMut(Place<'_>),
        handle: &mut DeliveryFuture,
    ) -> Option<()> {
        let lent = self.lent.as_ref()?;
        let (key, value) = (record.key_ref().map(lent.key), record.value_ref().map(lent.value));
        let body = RecordBody::without_headers(key, value);
        if !body.is_small() || !record.headers_ref().is_empty() {
            return None;
        }
        self.cut_short::<_, true>(record, (key, value), &body, true, entered, handle)
    }

    /// The same of a record of any size and with any headers. `patient`: the caller may wait, and so may compress.
    pub(super) fn admit_quickly(
        &self,
        record: &ProducerRecord<'_, K, V>,
        patient: bool,
        entered: &mut impl FnMut(Place<'_>),
        handle: &mut DeliveryFuture,
    ) -> Option<()> {
        let lent = self.lent.as_ref()?;
        let (key, value) = (record.key_ref().map(lent.key), record.value_ref().map(lent.value));
        let body = RecordBody::new(key, value, record.headers_ref().iter());
        self.cut_short::<_, false>(record, (key, value), &body, patient, entered, handle)
    }

    #[inline(always)]
    fn cut_short<'r, H, const IS_SMALL: bool>(
        &self,
        record: &ProducerRecord<'_, K, V>,
        (key, value): (Option<&[u8]>, Option<&[u8]>),
        body: &RecordBody<'r, H>,
        patient: bool,
        entered: &mut impl FnMut(Place<'_>),
        handle: &mut DeliveryFuture,
    ) -> Option<()>
    where
        H: Iterator<Item = (&'r str, Option<&'r [u8]>)> + Clone,
    {
        let may_enter = body.upper_bound() <= self.longest_record
            && self.interceptors.is_empty()
            && !self.status.has_failed();
        if !may_enter {
            return None;
        }
        let timestamp = timestamp(record.timestamp_ref());
        if timestamp < 0 {
            return None;
        }
        let transaction = match &self.transactions {
            Some(transactions) => transactions.open()?,
            None => 0,
        };
        let mut topic = self.acc.remembered(record.topic())?;
        topic.begin_in(transaction);
        let target = match record.partition_ref() {
            // A negative one is none that exists.
            Some(partition) => Target::Partition(partition as usize),
            None => self.by_key(key, &topic),
        };
        let facts = RecordFacts::new(timestamp, key, value);
        let helps = || patient && !on_own_thread(self.acc.id);
        let to = (&topic, target);
        let done = self.acc.append_quickly::<_, IS_SMALL>(to, body, facts, helps, entered, handle);
        topic.give_back();
        done
    }
}
