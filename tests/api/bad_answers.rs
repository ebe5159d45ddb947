//! Answers that are cut, lengthened or spoilt, of every API in turn: never taken for a success, and asked for again.

use crate::harness::{all_delivered, eventually, fast, hasty, holds, no_violations, send_numbers};
use crate::scripted::{Scripted, ScriptedBroker};
use crate::support::{Producer, ms, open};
use crate::transactions::{send, transactional, values};
use kafka_producer::mock::{BrokerVersion, Fault, MockCluster};
use kafka_producer::protocol::{ApiKey, ErrorCode};
use kafka_producer::{ConsumerGroupMetadata, Offsets, ProducerConfig};

fn to(broker: &ScriptedBroker) -> Producer {
    let config = ProducerConfig::builder([broker.address()]).request_timeout(ms(1000));
    open(hasty(config).retry_backoff(ms(5)).retry_backoff_max(ms(5)))
}

/// The answers of three records' way, save Produce, whose answers `faults` cuts.
#[test]
fn answers_before_the_first_record_are_cut_at_every_byte() {
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    let mut n = 0;
    for (api, longest) in
        [(ApiKey::API_VERSIONS, 260), (ApiKey::METADATA, 130), (ApiKey::INIT_PRODUCER_ID, 30)]
    {
        for len in 0..longest {
            let fault = cluster.inject(Fault::on(api).truncate_answer(len));
            let producer = open(fast(&cluster));
            all_delivered(&send_numbers(&producer, "t", 0, n..n + 3));
            assert_eq!(fault.hits(), 1, "{api} cut at {len}");
            n += 3;
        }
    }
    holds(&cluster, "t", 0, 0..n);
    no_violations(&cluster);
}

#[test]
fn answers_of_coordinators_are_cut_at_every_byte() {
    let apis = [
        (ApiKey::FIND_COORDINATOR, BrokerVersion::V4_3),
        (ApiKey::INIT_PRODUCER_ID, BrokerVersion::V4_3),
        (ApiKey::ADD_PARTITIONS_TO_TXN, BrokerVersion::V3_9),
        (ApiKey::ADD_OFFSETS_TO_TXN, BrokerVersion::V3_9),
        (ApiKey::TXN_OFFSET_COMMIT, BrokerVersion::V4_3),
        (ApiKey::END_TXN, BrokerVersion::V4_3),
    ];
    for (api, version) in apis {
        let cluster = MockCluster::builder().topic("a", 1).version(version).start().unwrap();
        let mut expected = Vec::new();
        for len in 0..60 {
            let fault = cluster.inject(Fault::on(api).truncate_answer(len));
            let producer = transactional(&cluster);
            let transaction = producer.transaction().unwrap();
            let value = format!("{len:02}");
            send(&transaction, "a", &value);
            let group = ConsumerGroupMetadata::new("g");
            transaction.send_offsets(&Offsets::new().with("a", 0, len as i64), &group).unwrap();
            transaction.commit().unwrap();
            expected.push(value);
            assert_eq!(fault.hits(), 1, "{api} cut at {len}");
            assert_eq!(cluster.committed_offset("g", "a", 0).map(|o| o.offset), Some(len as i64), "{api}");
        }
        assert_eq!(values(&cluster, "a"), expected, "{api}");
        no_violations(&cluster);
    }
}

#[test]
fn up_to_64_bytes_behind_any_answer_do_no_harm() {
    for extra in 1..=64usize {
        let broker = ScriptedBroker::start(Scripted {
            bytes: Some(Box::new(move |_, n, answer| {
                if n == 0 {
                    // Any bytes: the golden ratio's.
                    answer.extend((1..=extra).map(|i| (i.wrapping_mul(0x9e37_79b9) >> 8) as u8));
                    let length = (answer.len() - 4) as u32;
                    answer[..4].copy_from_slice(&length.to_be_bytes());
                }
            })),
            ..Scripted::default()
        });
        let producer = to(&broker);
        all_delivered(&send_numbers(&producer, "t", 0, 0..3));
        producer.close().unwrap();
    }
}

/// Replaces `text` in the first answer of `api` that has it.
fn spoil(api: ApiKey, text: &'static [u8], with: fn(&[u8]) -> Vec<u8>) -> Scripted {
    let spoilt = std::sync::atomic::AtomicBool::new(false);
    Scripted {
        bytes: Some(Box::new(move |asked, _, answer| {
            let at = answer.windows(text.len()).position(|w| w == text);
            if let (true, Some(at)) = (asked == api, at) {
                if !spoilt.swap(true, std::sync::atomic::Ordering::SeqCst) {
                    // Of a compact string the length stands before it, in one byte.
                    let new = with(&answer[at - 1..at + text.len()]);
                    answer.splice(at - 1..at + text.len(), new);
                    let length = (answer.len() - 4) as u32;
                    answer[..4].copy_from_slice(&length.to_be_bytes());
                }
            }
        })),
        ..Scripted::default()
    }
}

fn no_text(old: &[u8]) -> Vec<u8> {
    [&old[..1], &vec![0xff; old.len() - 1]].concat()
}

#[test]
fn names_and_messages_that_are_no_text_are_errors_and_asked_for_again() {
    let topic = ScriptedBroker::start(spoil(ApiKey::METADATA, b"orders", no_text));
    all_delivered(&send_numbers(&to(&topic), "orders", 0, 0..3));
    assert!(topic.count(ApiKey::METADATA) > 1);

    let message = Scripted {
        produce: Some(Box::new(|n, mut answer| {
            if n == 0 {
                let partition = &mut answer.responses[0].partition_responses[0];
                partition.error_code = ErrorCode::INVALID_RECORD;
                partition.error_message = Some("because".into());
            }
            answer
        })),
        ..spoil(ApiKey::PRODUCE, b"because", no_text)
    };
    let broker = ScriptedBroker::start(message);
    all_delivered(&send_numbers(&to(&broker), "orders", 0, 0..1));
    let sent: Vec<_> =
        broker.produced().iter().map(|r| r.topic_data[0].partition_data[0].records.clone()).collect();
    assert_eq!(sent.len(), 2, "an answer that cannot be read is none");
    assert_eq!(sent[0], sent[1], "byte for byte, so with the same sequence");
}

#[test]
fn a_host_name_of_a_mebibyte_is_no_host_name() {
    fn endless(_: &[u8]) -> Vec<u8> {
        let mut text = Vec::from([0x81, 0x80, 0x40]);
        text.resize(3 + (1 << 20), b'h');
        text
    }
    let broker = ScriptedBroker::start(spoil(ApiKey::METADATA, b"127.0.0.1", endless));
    let producer = to(&broker);
    all_delivered(&send_numbers(&producer, "t", 0, 0..3));
    eventually("asked again", || broker.count(ApiKey::METADATA) > 1);
}
