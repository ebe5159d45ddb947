//! The event listener: what it hears, and that nobody waits for it.

use crate::harness::{all_delivered, failure, fast, send_numbers};
use crate::support::{PATIENCE, Producer, eventually, gate, ms, says};
use kafka_producer::metrics::RequestOutcome;
use kafka_producer::mock::{Fault, MockCluster};
use kafka_producer::protocol::{ApiKey, ErrorCode};
use kafka_producer::{
    BytesSerializer, DeliveryFuture, Event, KafkaProducer, ProducerConfigBuilder, ProducerRecord,
    StringSerializer,
};
use std::sync::{Arc, Mutex};

type Heard = Arc<Mutex<Vec<Event>>>;

fn listened(config: ProducerConfigBuilder, listener: impl FnMut(&Event) + Send + 'static) -> Producer {
    let config = config.build().unwrap();
    KafkaProducer::builder(config, StringSerializer, BytesSerializer).on_event(listener).build().unwrap()
}

/// A producer and what its listener heard.
fn hearing(config: ProducerConfigBuilder) -> (Producer, Heard) {
    let heard = Heard::default();
    let told = heard.clone();
    (listened(config, move |event| told.lock().unwrap().push(event.clone())), heard)
}

/// Waits until such an event was heard.
#[track_caller]
fn hears(heard: &Heard, what: impl Fn(&Event) -> bool) {
    let came = || heard.lock().unwrap().iter().any(&what);
    if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| eventually(came))).is_err() {
        panic!("not heard; but: {:#?}", heard.lock().unwrap());
    }
}

#[test]
fn connections_and_requests() {
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    let (producer, heard) = hearing(fast(&cluster));
    all_delivered(&send_numbers(&producer, "t", 0, 0..1));
    let address = cluster.address(1).unwrap();
    hears(
        &heard,
        |e| matches!(e, Event::Connected { broker, .. } if broker.address == address && broker.id < 0),
    );
    hears(
        &heard,
        |e| matches!(e, Event::Connected { broker, took, .. } if broker.id == 1 && *took < PATIENCE),
    );
    hears(&heard, |e| matches!(e, Event::MetadataUpdated { brokers: 1, topics: 1, .. }));
    let answered = |e: &Event, wanted: ApiKey| {
        matches!(e, Event::RequestDone { api, bytes_out: 1.., bytes_in: 1.., outcome: RequestOutcome::Answered, .. }
            if *api == wanted)
    };
    for api in [ApiKey::METADATA, ApiKey::INIT_PRODUCER_ID, ApiKey::PRODUCE] {
        hears(&heard, |e| answered(e, api));
    }
    let version = cluster.requests(ApiKey::PRODUCE)[0].version;
    hears(&heard, |e| {
        matches!(e, Event::RequestDone { broker, api: ApiKey::PRODUCE, version: v, .. }
        if *v == version && broker.to_string() == format!("{address} (node 1)"))
    });
    producer.close().unwrap();
    // Everything that happened was told before `close` returned.
    let done = heard.lock().unwrap().iter().filter(|e| matches!(e, Event::RequestDone { .. })).count();
    assert_eq!(done as u64, producer.metrics().responses);
    let ends = |e: &&Event| matches!(e, Event::Disconnected { reason: None, lost_requests: 0, .. });
    let ended = heard.lock().unwrap().iter().filter(ends).count();
    assert_eq!(ended as u64, producer.metrics().connections_created);
    assert_eq!(producer.metrics().events_dropped, 0);
    assert_eq!(Arc::strong_count(&heard), 1, "the thread has ended and let go of the listener");
}

#[test]
fn trouble() {
    let cluster = MockCluster::builder().brokers(2).topic("t", 1).start().unwrap();
    cluster.set_leader("t", 0, 1).unwrap();
    let (producer, heard) = hearing(fast(&cluster));
    let send = |n: u32| all_delivered(&send_numbers(&producer, "t", 0, n..n + 1));
    send(0);
    cluster.inject(Fault::on(ApiKey::PRODUCE).error_before(ErrorCode::NOT_ENOUGH_REPLICAS));
    send(1);
    hears(&heard, |e| {
        matches!(
            e,
            Event::RequestDone { outcome: RequestOutcome::Refused(ErrorCode::NOT_ENOUGH_REPLICAS), .. }
        )
    });
    hears(&heard, |e| {
        matches!(e, Event::Retry { topic_partition, records: 1, attempts: 1, error: Some(error), .. }
        if topic_partition.to_string() == "t-0" && error.code() == Some(ErrorCode::NOT_ENOUGH_REPLICAS))
    });
    cluster.inject(Fault::on(ApiKey::PRODUCE).throttle(ms(3)));
    send(2);
    hears(&heard, |e| matches!(e, Event::Throttled { broker, time, .. } if broker.id == 1 && *time == ms(3)));
    cluster.inject(Fault::on(ApiKey::PRODUCE).drop_before());
    send(3);
    hears(&heard, |e| {
        matches!(e, Event::Disconnected { broker, reason: Some(reason), lost_requests: 1, .. }
        if broker.id == 1 && reason.broker().is_some())
    });
    hears(&heard, |e| matches!(e, Event::RequestDone { outcome: RequestOutcome::Lost, bytes_in: 0, .. }));
    cluster.set_leader("t", 0, 2).unwrap();
    send(4);
    hears(&heard, |e| {
        matches!(e, Event::LeaderChanged { topic_partition, old: Some(1), new: Some(2), .. }
        if topic_partition.to_string() == "t-0")
    });
    cluster.inject(Fault::on(ApiKey::PRODUCE).error_before(ErrorCode::CLUSTER_AUTHORIZATION_FAILED));
    failure(&send_numbers(&producer, "t", 0, 5..6)[0]);
    hears(&heard, |e| {
        matches!(e, Event::Failed { topic_partition, records: 1, error, .. }
        if topic_partition.to_string() == "t-0"
            && error.code() == Some(ErrorCode::CLUSTER_AUTHORIZATION_FAILED))
    });
    hears(&heard, |e| matches!(e, Event::Fatal { error, .. } if error.is_fatal()));
}

#[test]
fn a_broker_that_refuses_connections() {
    let cluster = MockCluster::start(1).unwrap();
    cluster.inject(Fault::refuse_connections().times(2));
    let (producer, heard) = hearing(fast(&cluster));
    all_delivered(&send_numbers(&producer, "t", 0, 0..1));
    let address = cluster.address(1).unwrap();
    hears(&heard, |e| {
        matches!(e, Event::ConnectFailed { broker, error, .. }
        if broker.address == address && error.broker().is_some())
    });
}

#[test]
fn a_batch_that_is_too_large_is_told_of() {
    let cluster = MockCluster::builder().topic("t", 1).max_message_bytes(2000).start().unwrap();
    let (producer, heard) = hearing(fast(&cluster).linger(PATIENCE).batch_size(10_000));
    let value = [7; 1000];
    let handles: Vec<_> =
        (0..4).map(|_| producer.send(ProducerRecord::new("t", &value).partition(0)).unwrap()).collect();
    all_delivered(&handles);
    hears(
        &heard,
        |e| matches!(e, Event::Split { topic_partition, records: 4, .. } if topic_partition.to_string() == "t-0"),
    );
}

#[test]
fn a_request_says_how_long_it_took_and_how_many_bytes_it_was() {
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    cluster.inject(Fault::on(ApiKey::PRODUCE).delay(ms(60)));
    let (producer, heard) = hearing(fast(&cluster));
    producer.send(ProducerRecord::new("t", &[7; 5000])).unwrap().get().unwrap();
    hears(&heard, |e| {
        matches!(e, Event::RequestDone { api: ApiKey::PRODUCE, bytes_out: 5000..6000, bytes_in: 20..200, took, .. }
            if *took >= ms(60) && *took < PATIENCE)
    });
    producer.close().unwrap();
    let bytes = |of: fn(&Event) -> usize| heard.lock().unwrap().iter().map(of).sum::<usize>() as u64;
    let out = |e: &Event| if let Event::RequestDone { bytes_out, .. } = e { *bytes_out } else { 0 };
    assert_eq!(bytes(out), producer.metrics().bytes_out, "each byte belongs to a request");
}

#[test]
fn without_answers_requests_are_told_as_written() {
    let cluster = MockCluster::start(1).unwrap();
    let config = fast(&cluster).enable_idempotence(false).acks(kafka_producer::Acks::None);
    let (producer, heard) = hearing(config);
    all_delivered(&send_numbers(&producer, "t", 0, 0..1));
    hears(&heard, |e| matches!(e, Event::RequestDone { outcome: RequestOutcome::Written, .. }));
    assert_eq!(producer.metrics().requests_in_flight, 0);
}

/// The sender never waits for the listener: what its queue cannot hold is counted.
#[test]
fn a_listener_that_is_stuck_loses_events_and_delays_nobody() {
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    let (open, opened) = gate();
    let producer = listened(fast(&cluster), move |_| {
        let _ = opened.recv_timeout(PATIENCE);
    });
    for n in 0..1200 {
        all_delivered(&send_numbers(&producer, "t", 0, n..n + 1));
    }
    assert!(producer.metrics().events_dropped > 0);
    let error = producer.close_timeout(ms(50)).unwrap_err();
    says(&error, &["event listener"]);
    drop(open);
    producer.close().unwrap();
}

#[test]
fn a_listener_that_panics_is_called_again() {
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    let calls = Arc::new(Mutex::new(0));
    let counted = calls.clone();
    let producer = listened(fast(&cluster), move |_| {
        *counted.lock().unwrap_or_else(std::sync::PoisonError::into_inner) += 1;
        panic!("the listener's own fault");
    });
    all_delivered(&send_numbers(&producer, "t", 0, 0..2));
    producer.close().unwrap();
    assert!(*calls.lock().unwrap_or_else(std::sync::PoisonError::into_inner) > 3);
}

/// What transactions ask is told like everything else, and the time that their calls take is counted.
#[test]
fn transactions() {
    let cluster = MockCluster::builder().topic("t", 1).start().unwrap();
    let (producer, heard) = hearing(fast(&cluster).transactional_id("told"));
    cluster.inject(Fault::on(ApiKey::END_TXN).error_before(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS));
    producer.init_transactions().unwrap();
    producer.begin_transaction().unwrap();
    send_numbers(&producer, "t", 0, 0..1).into_iter().for_each(DeliveryFuture::detach);
    producer.commit_transaction().unwrap();
    producer.begin_transaction().unwrap();
    producer.abort_transaction().unwrap();
    for (wanted, result) in [
        (ApiKey::FIND_COORDINATOR, RequestOutcome::Answered),
        (ApiKey::INIT_PRODUCER_ID, RequestOutcome::Answered),
        (ApiKey::END_TXN, RequestOutcome::Refused(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS)),
        (ApiKey::END_TXN, RequestOutcome::Answered),
    ] {
        hears(
            &heard,
            |e| matches!(e, Event::RequestDone { api, outcome, .. } if *api == wanted && *outcome == result),
        );
    }
    let m = producer.metrics();
    for name in ["init", "begin", "commit", "abort"] {
        assert!(m.value(&format!("txn-{name}-time-ns-total")).unwrap() > 0.0, "{name}");
    }
    assert_eq!(m.txn_send_offsets_nanos, 0);
}
