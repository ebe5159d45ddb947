//! What the codec allocates: bounded by the bytes received, and nothing on the hot path. Alone in its binary, because it
//! counts the whole process's allocations.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "hostile_bytes/every_message.rs"]
mod every_message;
#[path = "protocol/schema.rs"]
#[allow(dead_code, reason = "shared with the other protocol tests, which use all of it")]
mod schema;

use every_message::every_message;
use kafka_producer::protocol::messages::produce_fast::*;
use kafka_producer::protocol::messages::*;
use kafka_producer::protocol::{FrameBuffer, Message, Reader, Writer};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::hint::black_box;

#[global_allocator]
static GLOBAL: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// An element of one byte on the wire is at most this big in memory, with what the levels above it reserved.
const BYTES_PER_BYTE: usize = 32;

/// How many bytes and how many times `run` allocates, freed or not.
fn allocated(run: impl FnOnce()) -> (usize, usize) {
    let region = Region::new(GLOBAL);
    run();
    let stats = region.change();
    let grown = usize::try_from(stats.bytes_reallocated).unwrap_or(0);
    (stats.bytes_allocated + grown, stats.allocations + stats.reallocations)
}

fn entropy(seed: u64) -> Vec<u8> {
    let mut state = seed;
    (0..500)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .collect()
}

fn decode<M: Message>(bytes: &[u8], version: i16) {
    let _ = black_box(M::decode(&mut Reader::new(bytes), version));
}

type Decode = fn(&[u8], i16);

const DECODERS: &[(&str, Decode)] = every_message!(decode);

/// Every byte of every message once set to what makes lengths and counts huge.
fn reading_allocates_no_more_than_was_received() {
    for schema in schema::all() {
        let (_, decode) = DECODERS.iter().find(|(name, _)| *name == schema.name).unwrap();
        for version in schema.versions.0..=schema.versions.1 {
            for seed in 0..3 {
                let sample = schema.sample(version, &entropy(seed), false).bytes;
                for place in 0..sample.len() {
                    for value in [0x7f, 0xff, 0x04] {
                        let mut bytes = sample.clone();
                        bytes[place] = value;
                        bytes.resize(bytes.len() + 300, 1);
                        let (count, _) = allocated(|| decode(&bytes, version));
                        let most = bytes.len() * BYTES_PER_BYTE;
                        assert!(
                            count <= most,
                            "{} {version}: {count} bytes for {}",
                            schema.name,
                            bytes.len()
                        );
                    }
                }
            }
        }
    }
}

/// One produce request of two topics with three partitions each, as the sender writes it.
fn write_request(w: &mut Writer) {
    let head = ProduceHead { transactional_id: Some("tx"), acks: -1, timeout_ms: 30_000 };
    let mut request = ProduceRequestWriter::begin(w, 12, &head, 2).unwrap();
    for topic in ["orders", "payments"] {
        request.topic(topic, &[0; 16], 3).unwrap();
        for index in 0..3 {
            request.partition(index, 16_000).unwrap();
        }
        request.end_topic().unwrap();
    }
    request.finish().unwrap();
}

fn the_hot_path_allocates_nothing() {
    let mut w = Writer::new();
    write_request(&mut w);
    let round = || {
        w.clear();
        write_request(&mut w);
    };
    assert_eq!(allocated(round).1, 0, "a written request");

    let schemas = schema::all();
    let sample = |name: &str, seed| {
        let schema = schemas.iter().find(|schema| schema.name == name).unwrap();
        schema.sample(12, &entropy(seed), true).bytes
    };
    for seed in 0..20 {
        let request = sample("ProduceRequest", seed);
        let walk =
            || assert!(ProduceRequestWalker::new(Reader::new(&request), 12).unwrap().all(|p| p.is_ok()));
        assert_eq!(allocated(walk).1, 0, "a walked request");
        let response = sample("ProduceResponse", seed);
        let walk =
            || assert!(ProduceResponseWalker::new(Reader::new(&response), 12).unwrap().all(|p| p.is_ok()));
        assert_eq!(allocated(walk).1, 0, "a walked response");
    }

    let mut frames = FrameBuffer::default();
    let stream = [&[0, 0, 0x20, 0][..], &[7; 0x2000]].concat();
    let mut receive = || {
        frames.extend(&stream);
        while frames.next_frame().unwrap().is_some() {}
    };
    receive();
    assert_eq!(allocated(|| (0..1000).for_each(|_| receive())).1, 0, "received frames");
}

/// One test, since tests of one binary run at the same time and would count each other.
#[test]
fn memory() {
    the_hot_path_allocates_nothing();
    reading_allocates_no_more_than_was_received();
}
