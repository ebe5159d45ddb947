//! What reads bytes from the network, each behind one function of the bytes alone, with what must hold of any input.
//!
//! Shared by the mutation run of `cargo test --test hostile_bytes` and by the coverage-guided targets in `fuzz/`.

#[path = "every_message.rs"]
mod every_message;

use every_message::every_message;
use kafka_producer::protocol::frame::FrameBuffer;
use kafka_producer::protocol::header::{self, RequestHeader};
use kafka_producer::protocol::messages::produce_fast::{ProduceRequestWalker, ProduceResponseWalker};
use kafka_producer::protocol::messages::*;
use kafka_producer::protocol::record::RecordBatchView;
use kafka_producer::protocol::{ApiKey, Message, Reader, Writer, varint};

/// A reader of the network: its name, and what runs it over one input. Panics if a property does not hold.
pub(crate) type Target = (&'static str, fn(&[u8]));

/// All of them.
pub(crate) const TARGETS: &[Target] = &[
    ("messages", messages),
    ("produce_answers", produce_answers),
    ("produce_requests", produce_requests),
    ("headers", headers),
    ("frames", frames),
    ("record_batches", record_batches),
    ("varints", varints),
];

type Decode = fn(&[u8], i16);

/// What is read can be written, and is read again as the same.
fn message<M: Message + PartialEq + std::fmt::Debug>(bytes: &[u8], version: i16) {
    let Ok(read) = M::decode(&mut Reader::new(bytes), version) else { return };
    let mut writer = Writer::new();
    read.encode(&mut writer, version).expect("what was read can be written");
    let written = writer.into_parts().0;
    let again = M::decode(&mut Reader::new(&written), version).expect("what was written can be read");
    assert_eq!(again, read);
}

/// Every message by name.
pub(crate) const DECODERS: &[(&str, Decode)] = every_message!(message);

/// Takes two bytes off the front: a choice, and a version.
fn choices(input: &[u8]) -> Option<(usize, i16, &[u8])> {
    let (&[choice, version], rest) = input.split_first_chunk()?;
    Some((usize::from(choice), i16::from(version % 32), rest))
}

/// Any message in any version: the first byte says which, the second the version.
pub(crate) fn messages(input: &[u8]) {
    if let Some((choice, version, bytes)) = choices(input) {
        DECODERS[choice % DECODERS.len()].1(bytes, version);
    }
}

/// The answer on the hot path is read without its struct; both readers say the same of it.
pub(crate) fn produce_answers(input: &[u8]) {
    let Some((_, version, bytes)) = choices(input) else { return };
    let whole = ProduceResponse::decode(&mut Reader::new(bytes), version);
    let walked = ProduceResponseWalker::new(Reader::new(bytes), version)
        .map_err(drop)
        .and_then(|mut walker| walker.by_ref().map(|p| p.map_err(drop)).collect::<Result<Vec<_>, _>>());
    let (Ok(whole), Ok(walked)) = (&whole, &walked) else {
        assert_eq!(whole.is_ok(), walked.is_ok(), "one of two readers takes version {version}");
        return;
    };
    let partitions = || whole.responses.iter().flat_map(|topic| &topic.partition_responses);
    assert_eq!(partitions().count(), walked.len());
    for (theirs, ours) in partitions().zip(walked) {
        assert_eq!(
            (theirs.index, theirs.error_code, theirs.base_offset),
            (ours.index, ours.error_code, ours.base_offset)
        );
        assert_eq!(theirs.record_errors.len(), ours.record_errors.count());
    }
}

/// Requests as the embedded cluster walks over them.
pub(crate) fn produce_requests(input: &[u8]) {
    let Some((_, version, bytes)) = choices(input) else { return };
    let whole = ProduceRequest::decode(&mut Reader::new(bytes), version);
    let walked = ProduceRequestWalker::new(Reader::new(bytes), version)
        .map_err(drop)
        .and_then(|mut walker| walker.by_ref().map(|p| p.map_err(drop)).collect::<Result<Vec<_>, _>>());
    assert_eq!(whole.is_ok(), walked.is_ok(), "one of two readers takes version {version}");
    for partition in walked.iter().flatten() {
        record_batches(partition.records.unwrap_or_default());
    }
}

/// Both headers, for any API.
pub(crate) fn headers(input: &[u8]) {
    let Some((choice, version, bytes)) = choices(input) else { return };
    let _ = header::peek_correlation_id(bytes);
    let key = ApiKey::KNOWN[choice % ApiKey::KNOWN.len()];
    let _ = header::decode_response_header(&mut Reader::new(bytes), key, version);
    if let Ok(header) = RequestHeader::decode(&mut Reader::new(bytes)) {
        let mut writer = Writer::new();
        // A header of an API that is not known is read as the oldest kind.
        header.encode(&mut writer).expect("what was read can be written");
        let written = writer.into_parts().0;
        let again = RequestHeader::decode(&mut Reader::new(&written)).expect("what was written can be read");
        assert_eq!(format!("{again:?}"), format!("{header:?}"));
    }
}

/// A stream that arrives in pieces gives the frames that it would give at once, in no more memory than it deserves.
pub(crate) fn frames(input: &[u8]) {
    const MOST: usize = 1 << 16;
    let Some((&piece, stream)) = input.split_first() else { return };
    let whole = all_frames(stream, stream.len().max(1), MOST);
    let pieces = all_frames(stream, usize::from(piece).max(1), MOST);
    assert_eq!(whole, pieces);
}

fn all_frames(stream: &[u8], piece: usize, most: usize) -> (Vec<Vec<u8>>, Option<String>) {
    let mut buffer = FrameBuffer::new(most);
    let mut frames = Vec::new();
    for bytes in stream.chunks(piece) {
        buffer.extend(bytes);
        loop {
            match buffer.next_frame() {
                Ok(Some(frame)) => frames.push(frame.to_vec()),
                Ok(None) => break,
                Err(error) => return (frames, Some(error.to_string())),
            }
        }
        assert!(buffer.capacity() <= 2 * stream.len() + (64 << 10), "grows as bytes arrive");
    }
    (frames, None)
}

/// Batches, one behind the other, compressed or not; records that were judged good are read without an error.
pub(crate) fn record_batches(mut input: &[u8]) {
    const LIMIT: usize = 1 << 16;
    while let Ok((batch, rest)) = RecordBatchView::parse(input) {
        assert!(rest.len() < input.len(), "no batch is empty");
        input = rest;
        if let Ok(records) = batch.records(LIMIT) {
            assert!(records.bytes().len() <= LIMIT);
            for record in records.iter().flatten() {
                let _ = record.headers.count();
            }
        }
        if let Ok(records) = batch.validate(LIMIT) {
            assert!(records.iter().all(|record| record.is_ok()));
        }
    }
}

/// Numbers of variable length: what is read is the shortest form or longer, never beyond the input.
pub(crate) fn varints(input: &[u8]) {
    if let Some((value, used)) = varint::read_varint_64(input) {
        assert!(used <= input.len() && varint::varint_len(value) <= used);
    }
    if let Some((value, used)) = varint::read_varint_32(input) {
        assert!(used <= input.len() && varint::varint_len(i64::from(value)) <= used);
    }
    let _ = varint::read_unsigned_32(input);
    let _ = varint::read_unsigned_64(input);
}
