//! How the sink reads Produce requests: as a stream, front to back, writing the answer side by side.
//!
//! A [`Lane`] belongs to one connection and its thread. It looks at no more than the answer needs: of a batch the header,
//! whose rest the inbox discards as it arrives. So a request need never be in memory as a whole. It is read in units,
//! each taken when it is there completely: the header up to the number of topics; a topic's name and number of
//! partitions; a partition's index and the head of its batch; the tagged fields behind each. Nothing counts before a
//! request has arrived to its end. With `verify` the same walk begins only then, and has the batches judged.

use super::inbox::{Inbox, PREFIX};
use super::sink::{Key, Sink, SinkTopic, Tally};
use super::state::ClusterState;
use super::stats::is_compressed;
use crate::protocol::record::BATCH_HEADER_LEN;
use crate::protocol::wire::{DecodeError, DecodeErrorKind, FrameStart, Reader, Writer};
use crate::protocol::{ApiKey, ErrorCode};
use crate::sync::{Arc, Mutex};
use std::io;

/// Where topics are named by id.
const TOPIC_IDS_FROM: i16 = 13;
const FLEXIBLE_FROM: i16 = 9;
/// A batch's header ends with the number of its records.
const RECORD_COUNT_AT: usize = BATCH_HEADER_LEN - size_of::<u32>();

/// What came of a look into the inbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// More bytes are needed.
    Waits,
    /// A request has come to its end, and its answer is written if it wants one.
    Answered,
    /// A request that makes no sense has come to its end.
    Nonsense,
    /// At the front is no request for the sink, or not enough of one to tell: it is the state's, which also knows what
    /// to do with nonsense.
    NotMine,
}

/// One connection's way into the sink.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// The request that is under way.
    walk: Option<Walk>,
    /// Its answer.
    writer: Writer,
    /// Its batches, which get their offsets when it is complete.
    claims: Vec<Claim>,
    /// The topic of the last batch, since the next is mostly of the same.
    last: Option<(Key, Arc<SinkTopic>)>,
    /// The sink's generation that `last` is of.
    generation: u64,
    /// A unit was cut off: to be tried again with so many bytes, or all of its frame, so that reading a long one is no
    /// more than twice the work.
    again_at: usize,
}

/// How far a request is read.
#[derive(Debug)]
struct Walk {
    head: Head,
    stage: Stage,
    /// Bytes of the frame that are not yet consumed.
    left: usize,
    topics: usize,
    partitions: usize,
    topic: Option<Arc<SinkTopic>>,
    answer: Option<FrameStart>,
    tally: Tally,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Topic,
    Partition,
    PartitionEnd,
    TopicEnd,
    RequestEnd,
    Done,
    /// Nothing that makes sense; what is left of the frame is consumed.
    Lost,
}

/// The fields of a request that shape its answer.
#[derive(Clone, Copy, Debug)]
struct Head {
    version: i16,
    correlation_id: i32,
    flexible: bool,
    acks: i16,
}

/// Records that want an offset, and where in the answer it goes.
#[derive(Debug)]
struct Claim {
    topic: Arc<SinkTopic>,
    partition: i32,
    records: u32,
    at: usize,
}

/// Why a unit cannot be read.
#[derive(Debug)]
enum Unfit {
    /// It ends too early; that may mend as more arrives.
    Cut,
    Nonsense,
}

impl From<DecodeError> for Unfit {
    fn from(error: DecodeError) -> Self {
        if error.kind() == DecodeErrorKind::UnexpectedEnd { Self::Cut } else { Self::Nonsense }
    }
}

impl Lane {
    /// Reads on in the request under way, or in the next if it is one to be discarded, up to its end if possible, and
    /// appends its answer to `out`.
    pub(super) fn next(
        &mut self,
        sink: &Sink,
        state: &Mutex<ClusterState>,
        inbox: &mut Inbox,
        out: &mut Vec<u8>,
    ) -> io::Result<Step> {
        if self.walk.is_none() {
            self.walk = self.begin(sink, inbox)?;
        }
        let Some(mut walk) = self.walk.take() else { return Ok(Step::NotMine) };
        let step = self.go(sink, state, &mut walk, inbox);
        match step {
            Step::Waits => self.walk = Some(walk),
            Step::Answered => self.finish(sink, &walk, out),
            Step::Nonsense | Step::NotMine => {}
        }
        Ok(step)
    }

    /// The request at the front, if it is one for the sink and there as far as needed. Else nothing is consumed.
    fn begin(&mut self, sink: &Sink, inbox: &mut Inbox) -> io::Result<Option<Walk>> {
        let Some((len, received)) = inbox.front()? else { return Ok(None) };
        if received.len() < len && (sink.verifies() || received.len() < self.again_at) {
            return Ok(None);
        }
        let mut r = Reader::new(received);
        let Ok(Some((head, topics))) = read_head(&mut r, len) else {
            self.again_at = 2 * received.len();
            return Ok(None);
        };
        self.again_at = 0;
        let generation = sink.generation();
        if self.generation != generation {
            (self.generation, self.last) = (generation, None);
        }
        self.claims.clear();
        let w = &mut self.writer;
        w.clear();
        let answer = w.begin_frame();
        w.i32(head.correlation_id);
        w.no_tagged_fields(head.flexible);
        if w.length(Some(topics), head.flexible).is_err() {
            return Ok(None);
        }
        let read = r.position();
        inbox.consume(PREFIX + read);
        Ok(Some(Walk {
            head,
            stage: if topics > 0 { Stage::Topic } else { Stage::RequestEnd },
            left: len - read,
            topics,
            partitions: 0,
            topic: None,
            answer: Some(answer),
            tally: Tally { requests: 1, bytes: len as u64, ..Tally::default() },
        }))
    }

    /// Unit by unit, as far as the bytes go.
    fn go(&mut self, sink: &Sink, state: &Mutex<ClusterState>, walk: &mut Walk, inbox: &mut Inbox) -> Step {
        while !inbox.owes() {
            match walk.stage {
                Stage::Done => return Step::Answered,
                Stage::Lost => return Step::Nonsense,
                _ => {}
            }
            let received = inbox.bytes();
            let received = received.get(..walk.left).unwrap_or(received);
            let all = received.len() == walk.left;
            if !all && received.len() < self.again_at {
                break;
            }
            let mut r = Reader::new(received);
            match self.unit(sink, state, walk, &mut r) {
                Ok(unread) => {
                    let used = r.position() + unread;
                    walk.left -= used;
                    inbox.consume(used);
                    self.again_at = 0;
                }
                Err(Unfit::Cut) if !all => {
                    self.again_at = 2 * received.len();
                    break;
                }
                Err(_) => {
                    // A client is not hung up on while it still writes: it might lose the answers before.
                    walk.stage = Stage::Lost;
                    self.again_at = 0;
                    inbox.consume(std::mem::take(&mut walk.left));
                }
            }
        }
        Step::Waits
    }

    /// One unit; changes nothing if it cannot be read. Returns how many bytes behind it are of no interest.
    fn unit(
        &mut self,
        sink: &Sink,
        state: &Mutex<ClusterState>,
        walk: &mut Walk,
        r: &mut Reader<'_>,
    ) -> Result<usize, Unfit> {
        match walk.stage {
            Stage::Topic => self.topic(sink, state, walk, r).map(|()| 0),
            Stage::Partition => self.partition(sink, walk, r),
            Stage::PartitionEnd => {
                skip_tags(r, walk.head.flexible)?;
                walk.partitions -= 1;
                walk.stage = if walk.partitions > 0 { Stage::Partition } else { Stage::TopicEnd };
                Ok(0)
            }
            Stage::TopicEnd => {
                skip_tags(r, walk.head.flexible)?;
                self.writer.no_tagged_fields(walk.head.flexible);
                walk.topics -= 1;
                walk.stage = if walk.topics > 0 { Stage::Topic } else { Stage::RequestEnd };
                Ok(0)
            }
            Stage::RequestEnd => self.end(walk, r).map(|()| 0),
            Stage::Done | Stage::Lost => Ok(0),
        }
    }

    fn topic(
        &mut self,
        sink: &Sink,
        state: &Mutex<ClusterState>,
        walk: &mut Walk,
        r: &mut Reader<'_>,
    ) -> Result<(), Unfit> {
        let flexible = walk.head.flexible;
        let by_id = walk.head.version >= TOPIC_IDS_FROM;
        let (id, name) = if by_id { (r.uuid()?, "") } else { ([0; 16], r.string(flexible)?) };
        let partitions = count(r, flexible, walk.left)?;
        walk.topic = if by_id {
            self.writer.uuid(&id);
            self.find(sink, state, |last| *last == Key::Id(id), || Key::Id(id))
        } else {
            self.writer.string(name, flexible).map_err(|_| Unfit::Nonsense)?;
            let is_last = |last: &Key| matches!(last, Key::Name(n) if **n == *name);
            self.find(sink, state, is_last, || Key::Name(name.into()))
        };
        self.writer.length(Some(partitions), flexible).map_err(|_| Unfit::Nonsense)?;
        walk.partitions = partitions;
        walk.stage = if partitions > 0 { Stage::Partition } else { Stage::TopicEnd };
        Ok(())
    }

    /// The last topic, if it is the one, or another.
    fn find(
        &mut self,
        sink: &Sink,
        state: &Mutex<ClusterState>,
        is_last: impl Fn(&Key) -> bool,
        key: impl Fn() -> Key,
    ) -> Option<Arc<SinkTopic>> {
        if let Some((_, topic)) = self.last.as_ref().filter(|(last, _)| is_last(last)) {
            return Some(Arc::clone(topic));
        }
        let topic = sink.topic(&key(), state);
        self.last = topic.clone().map(|topic| (key(), topic));
        topic
    }

    /// Index and batch, of which only the head need be there if nobody judges it.
    fn partition(&mut self, sink: &Sink, walk: &mut Walk, r: &mut Reader<'_>) -> Result<usize, Unfit> {
        let index = r.i32()?;
        let len = r.length(walk.head.flexible, false)?.unwrap_or(0);
        if len > walk.left - r.position() {
            return Err(Unfit::Nonsense);
        }
        let batch = r.take(if sink.verifies() { len } else { len.min(BATCH_HEADER_LEN) })?;
        let outcome = self.outcome(sink, walk, index, batch);
        if let Ok((_, records)) = outcome {
            walk.tally.batches += 1;
            walk.tally.compressed += u64::from(is_compressed(batch));
            walk.tally.records += u64::from(records);
        } else {
            walk.tally.refused += 1;
        }
        write_outcome(&mut self.writer, walk.head, index, outcome)?;
        walk.stage = Stage::PartitionEnd;
        Ok(len - batch.len())
    }

    /// The base offset, if it is known already, and the number of records.
    fn outcome(
        &mut self,
        sink: &Sink,
        walk: &Walk,
        partition: i32,
        batch: &[u8],
    ) -> Result<(i64, u32), ErrorCode> {
        let Some(topic) = &walk.topic else {
            let by_id = walk.head.version >= TOPIC_IDS_FROM;
            return Err(if by_id {
                ErrorCode::UNKNOWN_TOPIC_ID
            } else {
                ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
            });
        };
        let place = topic.partition(partition).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
        if sink.verifies() {
            return place.judge(batch, walk.head.version);
        }
        let count = batch.get(RECORD_COUNT_AT..BATCH_HEADER_LEN).and_then(|b| b.first_chunk());
        let records = count.map(|b| u32::from_be_bytes(*b)).ok_or(ErrorCode::CORRUPT_MESSAGE)?;
        let at = self.writer.total_len() + OFFSET_AT;
        self.claims.push(Claim { topic: Arc::clone(topic), partition, records, at });
        Ok((0, records))
    }

    fn end(&mut self, walk: &mut Walk, r: &mut Reader<'_>) -> Result<(), Unfit> {
        skip_tags(r, walk.head.flexible)?;
        if r.position() != walk.left {
            return Err(Unfit::Nonsense);
        }
        self.writer.i32(0);
        self.writer.no_tagged_fields(walk.head.flexible);
        if let Some(start) = walk.answer.take() {
            self.writer.end_frame(start).map_err(|_| Unfit::Nonsense)?;
        }
        walk.stage = Stage::Done;
        Ok(())
    }

    /// The request has arrived: its batches get their offsets, and they count.
    fn finish(&mut self, sink: &Sink, walk: &Walk, out: &mut Vec<u8>) {
        let (mut answer, splices) = std::mem::take(&mut self.writer).into_parts();
        for claim in self.claims.drain(..) {
            let Some(partition) = claim.topic.partition(claim.partition) else { continue };
            let offset = partition.swallow(claim.records);
            if let Some(place) = answer.get_mut(claim.at..).and_then(<[u8]>::first_chunk_mut) {
                *place = offset.to_be_bytes();
            }
        }
        if walk.head.acks != 0 {
            out.extend_from_slice(&answer);
        }
        self.writer = Writer::reuse(answer, splices);
        sink.count(&walk.tally);
    }
}

/// Everything up to the number of topics, of a frame of `len` bytes; `None` if it is none for the sink.
fn read_head(r: &mut Reader<'_>, len: usize) -> Result<Option<(Head, usize)>, Unfit> {
    let api = ApiKey(r.i16()?);
    let version = r.i16()?;
    if api != ApiKey::PRODUCE || !api.versions().is_some_and(|versions| versions.contains(&version)) {
        return Ok(None);
    }
    let correlation_id = r.i32()?;
    r.nullable_string(false)?;
    let flexible = version >= FLEXIBLE_FROM;
    skip_tags(r, flexible)?;
    if r.nullable_string(flexible)?.is_some() {
        // Transactions are the state's.
        return Ok(None);
    }
    let acks = r.i16()?;
    r.i32()?;
    let topics = count(r, flexible, len)?;
    Ok(Some((Head { version, correlation_id, flexible, acks }, topics)))
}

/// The length of an array in a frame of which `left` bytes were left where `r` began.
fn count(r: &mut Reader<'_>, flexible: bool, left: usize) -> Result<usize, Unfit> {
    let count = r.length(flexible, false)?.ok_or(Unfit::Nonsense)?;
    // Each element takes a byte at least.
    if count > left - r.position() { Err(Unfit::Nonsense) } else { Ok(count) }
}

fn skip_tags(r: &mut Reader<'_>, flexible: bool) -> Result<(), Unfit> {
    if flexible { Ok(r.skip_tagged_fields()?) } else { Ok(()) }
}

/// Where in a partition's outcome the offset is: behind index and error code.
const OFFSET_AT: usize = 6;

fn write_outcome(
    w: &mut Writer,
    head: Head,
    index: i32,
    outcome: Result<(i64, u32), ErrorCode>,
) -> Result<(), Unfit> {
    let (code, offset) = match outcome {
        Ok((offset, _)) => (ErrorCode::NONE, offset),
        Err(code) => (code, -1),
    };
    w.i32(index);
    w.i16(code.0);
    w.i64(offset);
    w.i64(-1);
    if head.version >= 5 {
        w.i64(if outcome.is_ok() { 0 } else { -1 });
    }
    if head.version >= 8 {
        w.length(Some(0), head.flexible).map_err(|_| Unfit::Nonsense)?;
        w.nullable_string(None, head.flexible).map_err(|_| Unfit::Nonsense)?;
    }
    w.no_tagged_fields(head.flexible);
    Ok(())
}

#[cfg(test)]
#[path = "sink_stream_tests.rs"]
mod tests;
