//! A broker whose answers are legal in form and wrong in content, or no answers at all: no panic, no hang, no success
//! that is none.

use crate::harness::{all_delivered, failure, hasty, ms, send_numbers};
use crate::scripted::{Scripted, ScriptedBroker};
use crate::support::{PATIENCE, Producer, open, says};
use kafka_producer::protocol::messages::metadata::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition,
};
use kafka_producer::protocol::{ApiKey, ErrorCode};
use kafka_producer::{ErrorKind, ProducerConfig, ProducerConfigBuilder, ProducerRecord};

fn to(broker: &ScriptedBroker) -> ProducerConfigBuilder {
    hasty(ProducerConfig::builder([broker.address()])).retry_backoff(ms(5)).retry_backoff_max(ms(5))
}

fn producer(script: Scripted) -> (ScriptedBroker, Producer) {
    let broker = ScriptedBroker::start(script);
    let producer = open(to(&broker));
    (broker, producer)
}

#[test]
fn the_scripted_broker_is_a_good_one_unless_told_otherwise() {
    let (broker, producer) = producer(Scripted::default());
    let metadata = all_delivered(&send_numbers(&producer, "t", 1, 0..3));
    assert_eq!(metadata[0].offset(), Some(100));
    assert_eq!(broker.count(ApiKey::PRODUCE), broker.produced().len());
}

#[test]
fn a_partition_that_the_answer_omits_is_asked_about_again() {
    let script = Scripted {
        produce: Some(Box::new(|n, mut answer| {
            match n {
                0 => answer.responses.clear(),
                1 => answer.responses.iter_mut().for_each(|t| t.partition_responses.clear()),
                2 => answer.responses.iter_mut().for_each(|t| t.name = "another".into()),
                3 => answer.responses[0].partition_responses.iter_mut().for_each(|p| p.index += 7),
                _ => {}
            }
            answer
        })),
        ..Scripted::default()
    };
    let (broker, producer) = producer(script);
    all_delivered(&send_numbers(&producer, "t", 0, 0..1));
    let sent: Vec<_> =
        broker.produced().into_iter().map(|r| r.topic_data[0].partition_data[0].records.clone()).collect();
    assert_eq!(sent.len(), 5);
    assert!(sent.iter().all(|bytes| *bytes == sent[0]), "the same bytes each time");
}

#[test]
fn an_answer_that_is_always_incomplete_ends_in_doubt_at_the_deadline() {
    let script = Scripted {
        produce: Some(Box::new(|_, mut answer| {
            answer.responses.clear();
            answer
        })),
        ..Scripted::default()
    };
    let broker = ScriptedBroker::start(script);
    let producer = open(to(&broker).delivery_timeout(ms(150)).request_timeout(ms(100)));
    let error = failure(&send_numbers(&producer, "t", 0, 0..1)[0]);
    assert_eq!(error.kind(), ErrorKind::DeliveryTimeout);
    assert!(error.may_have_been_written() && error.to_string().contains("does not mention"), "{error}");
}

#[test]
fn an_answer_that_mentions_partitions_twice_or_foreign_ones_is_read_for_what_it_is() {
    let script = Scripted {
        produce: Some(Box::new(|_, mut answer| {
            let mut again = answer.responses[0].clone();
            again.partition_responses[0].error_code = ErrorCode::POLICY_VIOLATION;
            answer.responses.push(again);
            let mut foreign = answer.responses[0].clone();
            foreign.name = "foreign".into();
            answer.responses.insert(0, foreign);
            answer
        })),
        ..Scripted::default()
    };
    let (_broker, producer) = producer(script);
    all_delivered(&send_numbers(&producer, "t", 0, 0..5));
}

#[test]
fn a_success_without_an_offset_has_none() {
    let script = Scripted {
        produce: Some(Box::new(|_, mut answer| {
            answer.responses[0].partition_responses[0].base_offset = -1;
            answer
        })),
        ..Scripted::default()
    };
    let (_broker, producer) = producer(script);
    for metadata in all_delivered(&send_numbers(&producer, "t", 0, 0..5)) {
        assert_eq!(metadata.offset(), None);
    }
}

#[test]
fn offsets_at_the_end_of_the_world_do_not_overflow() {
    let script = Scripted {
        produce: Some(Box::new(|_, mut answer| {
            answer.responses[0].partition_responses[0].base_offset = i64::MAX;
            answer.responses[0].partition_responses[0].log_append_time_ms = i64::MAX;
            answer.throttle_time_ms = i32::MIN;
            answer
        })),
        ..Scripted::default()
    };
    let (_broker, producer) = producer(script);
    for metadata in all_delivered(&send_numbers(&producer, "t", 0, 0..5)) {
        let _ = (metadata.offset(), metadata.timestamp(), metadata.to_string());
    }
}

/// What a first metadata answer may be made into; the second is good.
fn distortions() -> Vec<(&'static str, fn(&mut MetadataResponse))> {
    fn brokers(answer: &mut MetadataResponse, change: impl Fn(&mut MetadataResponseBroker)) {
        answer.brokers.iter_mut().for_each(change);
    }
    fn partitions(answer: &mut MetadataResponse, change: impl Fn(&mut Vec<MetadataResponsePartition>)) {
        answer.topics.iter_mut().for_each(|t| change(&mut t.partitions));
    }
    vec![
        ("no brokers", |a| a.brokers.clear()),
        ("port 0", |a| brokers(a, |b| b.port = 0)),
        ("port -1", |a| brokers(a, |b| b.port = -1)),
        ("port 70000", |a| brokers(a, |b| b.port = 70_000)),
        ("no host", |a| brokers(a, |b| b.host.clear())),
        ("a host with a NUL", |a| brokers(a, |b| b.host = "127.0\0.1".into())),
        ("a host with a newline", |a| brokers(a, |b| b.host = "127.0.0.1\n".into())),
        ("an endless host", |a| brokers(a, |b| b.host = "a".repeat(10_000))),
        ("a negative node id", |a| brokers(a, |b| b.node_id = -1)),
        ("every broker twice", |a| a.brokers.extend(a.brokers.clone())),
        ("a node id with two ports", |a| {
            let mut twin = a.brokers[0].clone();
            twin.port = 9;
            a.brokers.insert(0, twin);
        }),
        ("an unknown leader", |a| partitions(a, |p| p.iter_mut().for_each(|p| p.leader_id = 99))),
        ("no leader", |a| partitions(a, |p| p.iter_mut().for_each(|p| p.leader_id = -1))),
        ("no partitions", |a| partitions(a, Vec::clear)),
        ("a gap", |a| partitions(a, |p| p[1].partition_index = 5)),
        ("a double", |a| partitions(a, |p| p[1].partition_index = 0)),
        ("a negative partition", |a| partitions(a, |p| p[0].partition_index = -3)),
        ("the last partition", |a| partitions(a, |p| p[1].partition_index = i32::MAX)),
        ("no topic", |a| a.topics.clear()),
        ("another topic", |a| a.topics.iter_mut().for_each(|t| t.name = Some("another".into()))),
        ("every topic twice", |a| a.topics.extend(a.topics.clone())),
        ("an unknown error", |a| a.topics.iter_mut().for_each(|t| t.error_code = ErrorCode(4711))),
        ("endless throttling", |a| a.throttle_time_ms = -1),
    ]
}

#[test]
fn nonsense_in_metadata_is_asked_for_again_with_patience() {
    for (what, distort) in distortions() {
        let script = Scripted {
            metadata: Some(Box::new(move |n, mut answer| {
                if n < 3 {
                    distort(&mut answer);
                }
                answer
            })),
            ..Scripted::default()
        };
        let (broker, producer) = producer(script);
        let handles = send_numbers(&producer, "t", 0, 0..3);
        for handle in &handles {
            let outcome = handle.get_timeout(PATIENCE);
            assert!(matches!(outcome, Some(Ok(_))), "{what}: {outcome:?}");
        }
        producer.close().unwrap();
        assert!(broker.count(ApiKey::METADATA) < 20, "{what}: {}", broker.count(ApiKey::METADATA));
    }
}

#[test]
fn metadata_that_is_always_nonsense_fails_the_send_at_its_deadline_and_asks_at_the_pace_of_the_backoff() {
    for (what, distort) in distortions() {
        let script = Scripted {
            metadata: Some(Box::new(move |_, mut answer| {
                distort(&mut answer);
                answer
            })),
            ..Scripted::default()
        };
        let broker = ScriptedBroker::start(script);
        let timeouts = to(&broker).max_block(ms(60)).delivery_timeout(ms(60)).request_timeout(ms(50));
        let producer = open(timeouts);
        // Either it cannot enter, or it never gets a leader; what is harmless works.
        let outcome = producer.send(ProducerRecord::new("t", b"x")).and_then(|h| h.get());
        if let Err(error) = outcome {
            let kinds = [ErrorKind::MetadataTimeout, ErrorKind::DeliveryTimeout];
            assert!(kinds.contains(&error.kind()), "{what}: {error:?}");
            assert!(!error.may_have_been_written(), "{what}: {error}");
        }
        assert!(broker.count(ApiKey::METADATA) <= 40, "{what}: {}", broker.count(ApiKey::METADATA));
    }
}

#[test]
fn nonsense_in_the_version_answer_is_an_error_that_says_what_is_missing() {
    let broker = ScriptedBroker::start(Scripted {
        api_versions: Some(Box::new(|_, mut answer| {
            answer.api_keys.iter_mut().filter(|k| k.api_key == ApiKey::PRODUCE.0).for_each(|k| {
                k.min_version = 100;
                k.max_version = 120;
            });
            answer
        })),
        ..Scripted::default()
    });
    let error = open(to(&broker)).connect(ms(100)).unwrap_err();
    says(
        &error,
        &["the broker has Produce (0) 100 to 120, this library 3 to 13", "a newer release of this library"],
    );

    let broker = ScriptedBroker::start(Scripted {
        api_versions: Some(Box::new(|_, mut answer| {
            answer.api_keys.iter_mut().for_each(|k| (k.min_version, k.max_version) = (0, 2));
            answer
        })),
        ..Scripted::default()
    });
    let error = open(to(&broker)).connect(ms(100)).unwrap_err();
    says(&error, &["the broker has Produce (0) 0 to 2, this library 3 to 13", "Kafka 2.1 or later"]);

    let broker = ScriptedBroker::start(Scripted {
        api_versions: Some(Box::new(|_, mut answer| {
            answer.api_keys.clear();
            answer
        })),
        ..Scripted::default()
    });
    let error = open(to(&broker)).connect(ms(100)).unwrap_err();
    assert!(error.to_string().contains("no "), "{error}");

    let broker = ScriptedBroker::start(Scripted {
        api_versions: Some(Box::new(|_, mut answer| {
            answer.api_keys.iter_mut().for_each(|k| std::mem::swap(&mut k.min_version, &mut k.max_version));
            answer
        })),
        ..Scripted::default()
    });
    open(to(&broker)).connect(ms(100)).unwrap_err();
}

#[test]
fn a_broker_without_init_producer_id_needs_idempotence_to_be_off() {
    let script = || Scripted {
        api_versions: Some(Box::new(|_, mut answer| {
            answer.api_keys.retain(|k| k.api_key != ApiKey::INIT_PRODUCER_ID.0);
            answer
        })),
        ..Scripted::default()
    };
    let (_broker, idempotent) = producer(script());
    let error = idempotent.send(ProducerRecord::new("t", b"x")).and_then(|h| h.get()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnsupportedVersion);
    assert!(error.to_string().contains("enable.idempotence=false"), "{error}");
    let broker = ScriptedBroker::start(script());
    let plain = open(to(&broker).enable_idempotence(false));
    all_delivered(&send_numbers(&plain, "t", 0, 0..1));
}

#[test]
fn an_impossible_producer_id_never_reaches_the_wire() {
    let script = Scripted {
        init_producer_id: Some(Box::new(|n, mut answer| {
            match n {
                0 => answer.producer_id = -1,
                1 => answer.producer_epoch = -1,
                2 => (answer.producer_id, answer.producer_epoch) = (i64::MIN, i16::MIN),
                _ => {}
            }
            answer
        })),
        ..Scripted::default()
    };
    let (broker, producer) = producer(script);
    all_delivered(&send_numbers(&producer, "t", 0, 0..1));
    assert_eq!(broker.count(ApiKey::INIT_PRODUCER_ID), 4);
    for request in broker.produced() {
        let bytes = request.topic_data[0].partition_data[0].records.clone().unwrap();
        assert_eq!(bytes[43..51], 5000i64.to_be_bytes());
    }
}

#[test]
fn impossible_frame_lengths_close_the_connection() {
    for length in [-1i32, i32::MIN, 0, 3, i32::MAX, 0x1503_0300, 0x4854_5450] {
        let script = Scripted {
            bytes: Some(Box::new(move |api, n, answer| {
                if api != ApiKey::API_VERSIONS && n == 0 {
                    answer[..4].copy_from_slice(&length.to_be_bytes());
                }
            })),
            ..Scripted::default()
        };
        let broker = ScriptedBroker::start(script);
        let producer = open(to(&broker).request_timeout(ms(100)));
        all_delivered(&send_numbers(&producer, "t", 0, 0..3));
    }
}

#[test]
fn bytes_behind_an_answer_do_not_hang_or_confuse_the_client() {
    for extra in [1usize, 7, 64] {
        let script = Scripted {
            bytes: Some(Box::new(move |api, n, answer| {
                if api != ApiKey::API_VERSIONS && n == 0 {
                    answer.extend(std::iter::repeat_n(0xa5, extra));
                    let length = (answer.len() - 4) as u32;
                    answer[..4].copy_from_slice(&length.to_be_bytes());
                }
            })),
            ..Scripted::default()
        };
        let (_broker, producer) = producer(script);
        all_delivered(&send_numbers(&producer, "t", 0, 0..3));
    }
}

#[test]
fn any_single_byte_of_any_answer_may_be_wrong() {
    for at in 4..110 {
        let script = Scripted {
            bytes: Some(Box::new(move |api, n, answer| {
                if api != ApiKey::API_VERSIONS && n == 0 {
                    if let Some(byte) = answer.get_mut(at) {
                        *byte ^= 0xff;
                    }
                }
            })),
            ..Scripted::default()
        };
        let broker = ScriptedBroker::start(script);
        let timeouts = to(&broker).request_timeout(ms(100)).delivery_timeout(ms(400)).max_block(ms(400));
        let producer = open(timeouts.reconnect_backoff_max(ms(5)).metadata_max_age(ms(50)));
        // Some bytes can only be believed, such as an offset or a host's name; what counts is that all of it ends.
        let _ = producer.send(ProducerRecord::new("t", b"x")).and_then(|h| h.get());
        producer.close_timeout(PATIENCE).unwrap();
    }
}
