//! Codecs as a reader sees them, and batches that a broker finds too large.

use crate::harness::{failure, fast, memory_returned, no_violations, outcome};
use crate::support::open;
use kafka_producer::config::{Compression, CompressionType};
use kafka_producer::mock::MockCluster;
use kafka_producer::protocol::ErrorCode;
use kafka_producer::{ErrorKind, Header, ProducerRecord};
use std::sync::mpsc;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(60);

fn codecs() -> Vec<CompressionType> {
    let mut codecs = vec![CompressionType::None];
    codecs.extend(cfg!(feature = "gzip").then_some(CompressionType::Gzip));
    codecs.extend(cfg!(feature = "snappy").then_some(CompressionType::Snappy));
    codecs.extend(cfg!(feature = "lz4").then_some(CompressionType::Lz4));
    codecs.extend(cfg!(feature = "zstd").then_some(CompressionType::Zstd));
    codecs
}

/// Text that compresses well and differs from number to number.
fn text(n: u32, len: usize) -> Vec<u8> {
    format!("record number {n}: ")
        .bytes()
        .chain((0..).map(|i: u32| b'a' + (i / 16 % 20) as u8))
        .take(len)
        .collect()
}

/// Bytes that no codec makes smaller.
fn noise(mut seed: u64, len: usize) -> Vec<u8> {
    let next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 56) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

#[test]
fn what_each_codec_wrote_is_read_back_equal() {
    for codec in codecs() {
        for size in [1, 100, 5_000, 100_000] {
            let cluster = MockCluster::start(1).unwrap();
            let producer = open(fast(&cluster).compression(codec).linger(Duration::from_millis(20)));
            let header = [Header { name: "n", value: Some(b"v") }, Header { name: "empty", value: None }];
            let count = (400_000 / size).clamp(4, 300) as u32;
            for n in 0..count {
                let (key, value) = (n.to_string(), text(n, size));
                let record = ProducerRecord::new("t", &value).key(&key).partition(0).headers(&header);
                producer.send(record).unwrap().detach();
            }
            producer.flush().unwrap();
            let records = cluster.records("t", 0);
            assert_eq!(records.len(), count as usize, "{codec:?} {size}");
            for (n, record) in (0u32..).zip(&records) {
                assert_eq!(record.key.as_deref(), Some(n.to_string().as_bytes()));
                assert_eq!(record.value.as_ref(), Some(&text(n, size)), "{codec:?} {size}");
                assert_eq!(record.headers.len(), 2);
            }
            if size >= 100 {
                assert!(cluster.batches("t", 0).iter().all(|b| b.compression == codec), "{codec:?} {size}");
            }
            no_violations(&cluster);
        }
    }
}

#[test]
fn what_does_not_compress_stays_as_it_is() {
    for codec in codecs() {
        let cluster = MockCluster::start(1).unwrap();
        let producer = open(fast(&cluster).compression(codec));
        for n in 0..20 {
            let value = noise(n, 3000);
            producer.send(ProducerRecord::new("t", &value).partition(0)).unwrap().detach();
        }
        producer.flush().unwrap();
        let batches = cluster.batches("t", 0);
        assert!(batches.iter().all(|b| b.compression == CompressionType::None), "{codec:?}");
        let values: Vec<_> = cluster.records("t", 0).into_iter().map(|r| r.value.unwrap()).collect();
        assert_eq!(values, (0..20).map(|n| noise(n, 3000)).collect::<Vec<_>>());
        no_violations(&cluster);
    }
}

#[test]
fn compression_puts_more_records_into_a_batch() {
    for codec in codecs().into_iter().filter(|c| *c != CompressionType::None) {
        let cluster = MockCluster::start(1).unwrap();
        let producer = open(fast(&cluster).compression(codec).linger(Duration::from_secs(20)));
        // The first batches teach the ratio; what comes after fills batch.size with compressed bytes.
        for n in 0..2000 {
            let value = text(n, 1000);
            producer.send(ProducerRecord::new("t", &value).partition(0)).unwrap().detach();
        }
        producer.flush().unwrap();
        assert_eq!(cluster.record_count("t"), 2000);
        let most = cluster.batches("t", 0).iter().map(|b| b.record_count).max().unwrap();
        assert!(most > 40, "{codec:?}: at most {most} records of 1000 bytes in a batch");
        let metrics = producer.metrics();
        assert!(metrics.batch_bytes_sent * 2 < metrics.uncompressed_bytes, "{codec:?}: {metrics:?}");
    }
}

#[test]
fn every_level_is_readable() {
    for codec in codecs() {
        let Some(levels) = codec.levels() else { continue };
        for level in [*levels.start(), *levels.end()] {
            let compression = Compression::with_level(codec, level).unwrap();
            let cluster = MockCluster::start(1).unwrap();
            let producer = open(fast(&cluster).compression(compression));
            let value = text(1, 20_000);
            producer.send(ProducerRecord::new("t", &value).partition(0)).unwrap().get().unwrap();
            assert_eq!(cluster.records("t", 0)[0].value, Some(value), "{codec:?} {level}");
            assert_eq!(cluster.batches("t", 0)[0].compression, codec);
        }
    }
}

/// Batches of 20 records that the broker takes only in parts.
#[test]
fn a_batch_too_large_is_split_and_handles_callbacks_and_flush_follow() {
    for codec in codecs() {
        let cluster = MockCluster::builder().topic("t", 1).max_message_bytes(2_000).start().unwrap();
        let config = fast(&cluster).compression(codec).linger(LONG).delivery_timeout(2 * LONG);
        let producer = open(config.batch_size(100_000));
        let (tx, rx) = mpsc::channel();
        let mut handles = Vec::new();
        // Half text, half noise: it compresses, and is too large all the same.
        let value = |n: u32| [text(n, 250), noise(u64::from(n), 250)].concat();
        for n in 0..40 {
            let value = value(n);
            let record = || ProducerRecord::new("t", &value).key("k");
            if n % 2 == 0 {
                handles.push((n, producer.send(record()).unwrap()));
            } else {
                let tx = tx.clone();
                producer.send_with(record(), move |r| tx.send((n, r.unwrap())).unwrap()).unwrap();
            }
        }
        producer.flush().unwrap();
        assert!(handles.iter().all(|(_, h)| h.is_done()), "{codec:?}: flush waits for the parts");
        for (n, handle) in handles {
            let metadata = outcome(&handle).unwrap();
            assert_eq!(metadata.offset(), Some(i64::from(n)), "{codec:?}");
            assert_eq!(metadata.serialized_value_size(), Some(500));
        }
        for n in (1..40).step_by(2) {
            let (at, metadata) = rx.try_recv().unwrap();
            assert_eq!(
                (at, metadata.offset()),
                (n, Some(i64::from(n))),
                "{codec:?}: callbacks keep their order"
            );
        }
        let values: Vec<_> = cluster.records("t", 0).into_iter().map(|r| r.value.unwrap()).collect();
        assert_eq!(values, (0..40).map(value).collect::<Vec<_>>(), "{codec:?}");
        let sequences: Vec<_> = cluster.records("t", 0).into_iter().map(|r| r.sequence.unwrap()).collect();
        assert_eq!(sequences, (0..40).collect::<Vec<_>>());
        assert!(producer.metrics().batches_split >= 1);
        memory_returned(&producer);
        no_violations(&cluster);
    }
}

#[test]
fn a_record_too_large_for_the_broker_fails_alone() {
    let cluster = MockCluster::builder().topic("t", 1).max_message_bytes(2_000).start().unwrap();
    let producer = open(fast(&cluster).linger(LONG).delivery_timeout(2 * LONG).batch_size(100_000));
    let handles: Vec<_> = (0..20)
        .map(|n| {
            let value = noise(n, if n == 7 { 5_000 } else { 400 });
            producer.send(ProducerRecord::new("t", &value)).unwrap()
        })
        .collect();
    producer.flush().unwrap();
    let error = failure(&handles[7]);
    assert_eq!((error.kind(), error.code()), (ErrorKind::RecordTooLarge, Some(ErrorCode::MESSAGE_TOO_LARGE)));
    assert!(!error.may_have_been_written());
    for (n, handle) in handles.iter().enumerate().filter(|(n, _)| *n != 7) {
        assert!(outcome(handle).is_ok(), "record {n}");
    }
    let values: Vec<_> = cluster.records("t", 0).into_iter().map(|r| r.value.unwrap()).collect();
    let expected: Vec<_> = (0..20).filter(|n| *n != 7).map(|n| noise(n, 400)).collect();
    assert_eq!(values, expected);
    no_violations(&cluster);
}
