//! Input that no well-meaning program or broker produces: what is sent, what is answered, who listens. Each case ends in a
//! clear error or in nothing at all, and harms no other record. `tests/README.md` lists all cases with their tests.

use crate::harness::{
    SHORT, all_delivered, eventually, failure, fast, hasty, holds, no_violations, numbers, outcome,
    send_numbers, sent_batches,
};
use crate::scripted::{Scripted, ScriptedBroker};
use crate::support::{Manners, PATIENCE, Producer, Stranger, at_once, config, gate, ms, open, says};
use kafka_producer::mock::{Fault, MockCluster};
use kafka_producer::partitioner::from_fn;
use kafka_producer::protocol::{ApiKey, ErrorCode};
use kafka_producer::{
    BytesSerializer, Choice, ErrorKind, Header, KafkaProducer, ProducerConfig, ProducerConfigBuilder,
    ProducerRecord, StringSerializer,
};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

fn to(broker: &ScriptedBroker) -> ProducerConfigBuilder {
    hasty(ProducerConfig::builder([broker.address()])).retry_backoff(ms(5)).retry_backoff_max(ms(5))
}

type Bytes = Box<dyn Fn(ApiKey, usize, &mut Vec<u8>) + Send + Sync>;

fn altered(bytes: Bytes) -> Scripted {
    Scripted { bytes: Some(bytes), ..Scripted::default() }
}

/// Sends until the error tells all of it: a busy machine may be late in meeting the trouble.
#[track_caller]
fn refused_because(producer: &Producer, parts: &[&str]) {
    eventually(&format!("{parts:?}"), || {
        let error = producer.send(ProducerRecord::new("t", b"x")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::MetadataTimeout, "{error}");
        let text = error.to_string();
        parts.iter().all(|part| text.contains(part))
    });
}

#[test]
fn a_frame_of_impossible_length_is_an_error_that_names_broker_and_length() {
    const CAP: i32 = 100 << 20;
    for length in [-1, 0, 3, CAP + 1, i32::MAX] {
        let broker = ScriptedBroker::start(altered(Box::new(move |api, _, answer| {
            if api == ApiKey::METADATA {
                answer[..4].copy_from_slice(&length.to_be_bytes());
            }
        })));
        let producer = open(to(&broker).max_block(ms(50)).request_timeout(ms(50)));
        refused_because(&producer, &[broker.address(), &length.to_string()]);
    }
}

/// Replaces the body of the first answer of `api`, correlation id and header tags kept.
fn body(api: ApiKey, header: usize, body: &'static [u8]) -> Scripted {
    altered(Box::new(move |asked, n, answer| {
        if asked == api && n == 0 {
            answer.truncate(header);
            answer.extend_from_slice(body);
            let length = (answer.len() - 4) as u32;
            answer[..4].copy_from_slice(&length.to_be_bytes());
        }
    }))
}

#[test]
fn counts_and_lengths_that_cannot_be_are_errors_and_the_question_is_asked_again() {
    // Length, correlation id, header tags; then in compact form 2^32-2, a varint without end, a varint too long, and a
    // plausible count of things that are not there.
    const COMPACT: [&[u8]; 4] = [
        b"\0\0\0\0\xff\xff\xff\xff\x0f",
        b"\0\0\0\0\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
        b"\0\0\0\0\xff\xff\xff\xff\xff",
        b"\0\0\0\0\x7f\x01",
    ];
    let mut scripts: Vec<Scripted> =
        COMPACT.into_iter().map(|bytes| body(ApiKey::METADATA, 9, bytes)).collect();
    scripts.extend(COMPACT.into_iter().map(|bytes| body(ApiKey::PRODUCE, 9, &bytes[4..])));
    // In the older form: -2, i32::MIN, i32::MAX.
    for count in [&b"\0\0\0\0\xff\xff\xff\xfe"[..], b"\0\0\0\0\x80\0\0\0", b"\0\0\0\0\x7f\xff\xff\xff"] {
        for (api, skip) in [(ApiKey::METADATA, 0), (ApiKey::PRODUCE, 4)] {
            let old = Scripted {
                api_versions: Some(Box::new(|_, mut answer| {
                    answer.api_keys.iter_mut().for_each(|k| k.max_version = k.max_version.min(8));
                    answer
                })),
                ..body(api, 8, &count[skip..])
            };
            scripts.push(old);
        }
    }
    // A tagged field larger than what follows it; a host that is no text.
    for api in [ApiKey::METADATA, ApiKey::PRODUCE, ApiKey::INIT_PRODUCER_ID] {
        scripts.push(altered(Box::new(move |asked, n, answer| {
            if asked == api && n == 0 {
                answer.pop();
                answer.extend_from_slice(b"\x01\x00\xff\xff\x7f");
                let length = (answer.len() - 4) as u32;
                answer[..4].copy_from_slice(&length.to_be_bytes());
            }
        })));
    }
    scripts.push(altered(Box::new(|api, n, answer| {
        let at = answer.windows(9).position(|w| w == b"127.0.0.1");
        if let (ApiKey::METADATA, 0, Some(at)) = (api, n, at) {
            answer[at..at + 9].fill(0xff);
        }
    })));
    for (case, script) in scripts.into_iter().enumerate() {
        let broker = ScriptedBroker::start(script);
        let producer = open(to(&broker).request_timeout(ms(1000)));
        let sent = send_numbers(&producer, "t", 0, 0..3);
        for handle in &sent {
            assert!(outcome(handle).is_ok(), "case {case}: {:?}", outcome(handle));
        }
    }
}

#[test]
fn an_answer_to_the_question_for_an_id_is_cut_at_every_byte() {
    for len in 0..32 {
        let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
        let fault = cluster.inject(Fault::on(ApiKey::INIT_PRODUCER_ID).truncate_answer(len));
        let producer = open(fast(&cluster));
        all_delivered(&send_numbers(&producer, "t", 0, 0..2));
        assert_eq!(fault.hits(), 1);
        holds(&cluster, "t", 0, 0..2);
        no_violations(&cluster);
    }
}

#[test]
fn an_error_that_says_nothing_is_repeated_with_the_same_bytes_until_the_deadline() {
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    let producer = open(fast(&cluster).delivery_timeout(SHORT).request_timeout(ms(100)));
    let fault =
        cluster.inject(Fault::on(ApiKey::PRODUCE).always().error_before(ErrorCode::UNKNOWN_SERVER_ERROR));
    let error = failure(&send_numbers(&producer, "t", 0, 0..1)[0]);
    assert_eq!(error.kind(), ErrorKind::DeliveryTimeout);
    assert_eq!(error.code(), Some(ErrorCode::UNKNOWN_SERVER_ERROR));
    assert!(error.may_have_been_written() && fault.hits() > 2);
    let sent = sent_batches(&cluster, "t", 0);
    assert!(sent.iter().all(|b| *b == sent[0] && b.base_sequence == Some(0)), "{sent:?}");
    fault.remove();
    all_delivered(&send_numbers(&producer, "t", 0, 1..3));
    // The last attempt may have been under way until the fault was gone.
    let there = numbers(&cluster, "t", 0);
    assert!(matches!(there[..], [1, 2] | [0, 1, 2]), "{there:?}");
    no_violations(&cluster);
}

#[test]
fn a_topic_of_a_million_partitions_is_one_like_any_other() {
    const MANY: i32 = 1_000_000;
    let broker = ScriptedBroker::start(Scripted {
        metadata: Some(Box::new(|_, mut answer| {
            for topic in &mut answer.topics {
                let partition = topic.partitions[0].clone();
                topic.partitions = (0..MANY)
                    .map(|index| {
                        let mut partition = partition.clone();
                        partition.partition_index = index;
                        partition
                    })
                    .collect();
            }
            answer
        })),
        ..Scripted::default()
    });
    // Such an answer takes a busy machine long to make and to read.
    let long = Duration::from_secs(600);
    let producer = open(to(&broker).max_block(long).request_timeout(long).delivery_timeout(2 * long));
    all_delivered(&send_numbers(&producer, "t", MANY - 1, 0..2));
    assert_eq!(producer.partitions_for("t").unwrap().len(), MANY as usize);
    assert_eq!(broker.produced()[0].topic_data[0].partition_data[0].index, MANY - 1);
}

#[test]
fn metadata_older_than_what_is_known_is_not_believed() {
    let broker = ScriptedBroker::start(Scripted {
        metadata: Some(Box::new(|n, mut answer| {
            // Only by its id can a topic be told from one that was created anew, whose epochs begin again.
            answer.topics.iter_mut().for_each(|t| t.topic_id = [7; 16]);
            if n > 0 {
                for partition in answer.topics.iter_mut().flat_map(|t| &mut t.partitions) {
                    (partition.leader_epoch, partition.leader_id) = (2, 99);
                }
            }
            answer
        })),
        ..Scripted::default()
    });
    let timeouts = to(&broker).delivery_timeout(ms(10_000)).request_timeout(ms(5000)).metadata_max_age(ms(5));
    let producer = open(timeouts);
    let asked = || broker.count(ApiKey::METADATA);
    for n in 0..1000 {
        all_delivered(&send_numbers(&producer, "t", 0, n..n + 1));
        if asked() > 5 {
            return;
        }
        std::thread::park_timeout(ms(1));
    }
    panic!("asked {} times only", asked());
}

#[test]
fn apis_that_are_offered_twice_do_no_harm() {
    let broker = ScriptedBroker::start(Scripted {
        api_versions: Some(Box::new(|_, mut answer| {
            answer.api_keys.extend(answer.api_keys.clone());
            answer
        })),
        ..Scripted::default()
    });
    all_delivered(&send_numbers(&open(to(&broker)), "t", 0, 0..3));
}

#[test]
fn peers_that_drip_reset_or_half_close_are_given_up_and_others_serve() {
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    for (manners, word) in
        [(Manners::Drips, "did not answer"), (Manners::Resets, "reset"), (Manners::HalfCloses, "closed")]
    {
        let stranger = Stranger::start(manners);
        let address = stranger.address();
        let alone = ProducerConfig::builder([address.as_str()]);
        let producer = open(hasty(alone).request_timeout(ms(100)).max_block(ms(100)));
        refused_because(&producer, &[&address, word]);
        at_once(|| producer.close().unwrap());

        let both = ProducerConfig::builder([address, cluster.bootstrap_servers()]);
        let producer = open(hasty(both).request_timeout(ms(100)));
        all_delivered(&send_numbers(&producer, "t", 0, 0..2));
        at_once(|| producer.close().unwrap());
    }
}

#[test]
fn a_connection_that_breaks_as_it_is_written_to_costs_a_repeat_and_nothing_else() {
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    let producer = open(fast(&cluster));
    for n in 0..50 {
        let handles = send_numbers(&producer, "t", 0, n..n + 1);
        cluster.disconnect(1).unwrap();
        all_delivered(&handles);
    }
    holds(&cluster, "t", 0, 0..50);
    no_violations(&cluster);
}

#[test]
fn the_largest_record_is_taken_and_one_byte_more_is_not() {
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    let producer = open(config(&cluster).max_request_size(100_000));
    let bytes = vec![b'x'; 100_000];
    let send = |key: usize, value: usize| {
        let key = std::str::from_utf8(&bytes[..key]).unwrap();
        producer.send(ProducerRecord::new("t", &bytes[..value]).key(key))
    };
    for (key, value) in [(1, 5000), (1, 99_900), (99_000, 100), (0, 0)] {
        send(key, value).unwrap().get().unwrap();
    }
    let before = cluster.stats().produce_requests;
    for (key, value) in [(0, 100_000), (100_000, 0), (50_000, 50_000)] {
        let error = at_once(|| send(key, value).unwrap_err());
        assert_eq!(error.kind(), ErrorKind::RecordTooLarge);
        says(&error, &["max.request.size", "100000"]);
    }
    // The limit itself: found by trying, one byte decides.
    let fits = (99_000..100_000).take_while(|n| send(0, *n).map(|handle| handle.detach()).is_ok()).count();
    assert!(fits > 900, "{fits}");
    let largest = 98_999 + fits;
    send(0, largest).unwrap().get().unwrap();
    assert_eq!(send(0, largest + 1).unwrap_err().kind(), ErrorKind::RecordTooLarge);
    assert!(cluster.stats().produce_requests > before);
    assert_eq!(cluster.record_count("t"), 4 + fits + 1, "nothing of what was refused went out");
}

#[test]
fn more_than_two_gibibytes_are_refused_without_being_touched() {
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    let limits = config(&cluster).max_request_size(i32::MAX as usize).buffer_memory(8 << 30);
    let producer = open(limits);
    // Zeroed pages that nobody reads cost no memory.
    let huge = vec![0; 2_200_000_000];
    let third = &huge[..800_000_000];
    let headers = [Header::new("a", third), Header::new("b", third), Header::new("c", third)];
    for record in [
        ProducerRecord::new("t", &huge),
        ProducerRecord::new("t", third).headers(&headers),
        ProducerRecord::new("t", b"v").headers(&headers),
    ] {
        let error = at_once(|| producer.send(record).unwrap_err());
        assert_eq!(error.kind(), ErrorKind::RecordTooLarge);
        says(&error, &["max.request.size", "2147483647"]);
    }
    producer.send(ProducerRecord::new("t", b"v")).unwrap().get().unwrap();
}

#[test]
fn a_hundred_thousand_headers_are_read_back_also_after_a_retry() {
    let cluster = MockCluster::builder().topic("t", 1).max_message_bytes(8 << 20).start().unwrap();
    let producer = open(fast(&cluster).max_request_size(8 << 20));
    let fault = cluster.inject(Fault::on(ApiKey::PRODUCE).drop_before().times(1));
    let names: Vec<String> = (0..100_000).map(|n| format!("h{}", n % 1000)).collect();
    let headers: Vec<Header<'_>> = names
        .iter()
        .enumerate()
        .map(|(n, name)| match n % 3 {
            0 => Header::null(name),
            1 => Header::new(name, b""),
            _ => Header::new(name, name.as_bytes()),
        })
        .collect();
    producer.send(ProducerRecord::new("t", b"v").headers(&headers)).unwrap().get().unwrap();
    assert_eq!(fault.hits(), 1);
    let stored = &cluster.records("t", 0)[0].headers;
    assert_eq!(stored.len(), headers.len());
    assert!(stored.iter().zip(&headers).all(|(s, h)| s.0 == h.name && s.1.as_deref() == h.value));
}

/// Named by the broker, in the answer for one topic of several.
#[test]
fn a_topic_that_the_broker_calls_invalid_fails_at_once_and_others_flow() {
    let cluster = MockCluster::builder().topic("good", 1).start().unwrap();
    let refusal = Fault::on(ApiKey::METADATA).topic("bad").always();
    cluster.inject(refusal.error_before(ErrorCode::INVALID_TOPIC_EXCEPTION));
    let producer = open(fast(&cluster));
    let good = send_numbers(&producer, "good", 0, 0..10);
    let error = at_once(|| producer.send(ProducerRecord::new("bad", b"x")).unwrap_err());
    assert_eq!(error.code(), Some(ErrorCode::INVALID_TOPIC_EXCEPTION));
    says(&error, &["bad"]);
    all_delivered(&good);
    all_delivered(&send_numbers(&producer, "good", 0, 10..20));
}

#[test]
fn a_plug_in_that_takes_its_time_holds_up_its_own_caller_only() {
    let cluster = MockCluster::builder().topic("t", 2).start().unwrap();
    let (open_gate, wait_at) = gate();
    let slow = from_fn(move |record, _| {
        if record.key == Some(b"slow") {
            wait_at.recv_timeout(PATIENCE).expect("the gate opens");
        }
        Choice::Exact(1)
    });
    let producer = KafkaProducer::<str, [u8]>::builder(
        fast(&cluster).build().unwrap(),
        StringSerializer,
        BytesSerializer,
    )
    .partitioner(slow)
    .build()
    .unwrap();
    std::thread::scope(|s| {
        let waiting = s.spawn(|| producer.send(ProducerRecord::new("t", b"x").key("slow"))?.get());
        for _ in 0..100 {
            producer.send(ProducerRecord::new("t", b"x").key("quick")).unwrap().get().unwrap();
        }
        producer.flush().unwrap();
        assert!(!waiting.is_finished());
        open_gate.send(()).unwrap();
        assert_eq!(waiting.join().unwrap().unwrap().offset(), Some(100));
    });
}

/// The process ends while the producer's threads are at work; that this suite ends is the rest of the test.
#[test]
fn a_producer_may_live_in_a_static() {
    static CLUSTER: OnceLock<MockCluster> = OnceLock::new();
    static PRODUCER: OnceLock<Arc<Producer>> = OnceLock::new();
    let cluster = CLUSTER.get_or_init(|| MockCluster::start(1).unwrap());
    let producer = PRODUCER.get_or_init(|| Arc::new(open(fast(cluster))));
    all_delivered(&send_numbers(producer, "t", 0, 0..3));
    producer.send(ProducerRecord::new("t", b"never waited for")).unwrap().detach();
}
