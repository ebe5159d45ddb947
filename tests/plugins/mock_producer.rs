//! `MockProducer`: what a test sees, what it can make happen, and that nothing hangs.

use kafka_producer::mock::{MockError, MockProducer, Operation};
use kafka_producer::partitioner::{RoundRobin, from_fn, partition_for_key, typed_fn};
use kafka_producer::protocol::ErrorCode;
use kafka_producer::{
    BytesSerializer, Choice, DeliveryFuture, Error, ErrorKind, MetricsSnapshot, Producer, ProducerRecord,
    StringSerializer,
};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

type Mock = MockProducer<str, [u8]>;

fn send(mock: &Mock, value: &[u8]) -> DeliveryFuture {
    mock.send(ProducerRecord::new("t", value)).unwrap()
}

#[test]
fn auto_complete_acknowledges_inside_send_with_offsets_per_partition() {
    let mock = Mock::auto_complete().topic("t", 3);
    for (partition, offset) in [(0, 0), (2, 0), (0, 1), (2, 1), (2, 2)] {
        let handle = mock.send(ProducerRecord::new("t", b"v").partition(partition)).unwrap();
        let metadata = handle.try_get().unwrap().unwrap();
        assert_eq!(metadata.to_string(), format!("t-{partition}@{offset}"));
    }
    assert!(mock.flushed());
    assert_eq!(mock.sent_count(), 5);
    assert_eq!(mock.metrics().records_acknowledged, 5);
}

#[test]
fn manual_ends_the_oldest_and_failures_take_no_offset() {
    let mock = Mock::manual();
    let handles: Vec<_> = [b"a", b"b", b"c"].map(|v| send(&mock, v)).into();
    assert!(handles.iter().all(|h| !h.is_done()));
    assert_eq!(mock.pending(), 3);
    assert!(mock.complete_next());
    assert!(mock.fail_next(
        MockError::new(ErrorKind::Broker, "storage").code(ErrorCode::KAFKA_STORAGE_ERROR).retriable()
    ));
    assert!(mock.complete_next());
    assert!(!mock.complete_next() && !mock.fail_next(MockError::new(ErrorKind::Broker, "nothing to fail")));
    assert_eq!(handles[0].get().unwrap().offset(), Some(0));
    let error = handles[1].get().unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Broker, Some(ErrorCode::KAFKA_STORAGE_ERROR)));
    assert!(error.is_retriable() && !error.is_fatal() && !error.may_have_been_written());
    assert_eq!(error.topic_partition().unwrap().to_string(), "t-0");
    assert_eq!(handles[2].get().unwrap().offset(), Some(1));
}

#[test]
fn what_was_sent_can_be_looked_at_whatever_became_of_it() {
    let mock = MockProducer::<String, str>::manual();
    let key = String::from("k");
    let at = std::time::SystemTime::UNIX_EPOCH + Duration::from_millis(1_234);
    let record = ProducerRecord::new("t", "v").key(&key).header("h", b"1").timestamp(at);
    let handle = mock.send(record).unwrap();
    mock.fail_next(MockError::new(ErrorKind::DeliveryTimeout, "late").may_have_been_written());
    assert!(handle.get().unwrap_err().may_have_been_written());
    let sent = mock.sent();
    assert_eq!(sent[0].key_ref().map(String::as_str), Some("k"));
    assert_eq!(sent[0].value_ref(), Some("v"));
    assert_eq!(sent[0].headers_ref().last("h"), Some(Some(&b"1"[..])));
    assert_eq!(sent[0].timestamp_ref(), Some(at));
    let mut seen = 0;
    mock.for_each_sent(|record| seen += usize::from(record.topic() == "t"));
    assert_eq!(seen, 1);
}

#[test]
fn clear_forgets_and_fails_what_is_pending() {
    let mock = Mock::manual();
    let handle = send(&mock, b"v");
    mock.clear();
    assert_eq!(handle.get().unwrap_err().kind(), ErrorKind::Purged);
    assert_eq!((mock.sent_count(), mock.pending()), (0, 0));
}

#[test]
fn dropping_the_mock_fails_what_is_pending() {
    let mock = Mock::manual();
    let handle = send(&mock, b"v");
    drop(mock);
    assert_eq!(handle.get().unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn flush_and_close_acknowledge_and_after_close_nothing_enters() {
    let mock = Mock::manual();
    let first = send(&mock, b"1");
    mock.flush().unwrap();
    assert_eq!(first.get().unwrap().offset(), Some(0));
    let second = send(&mock, b"2");
    assert!(!mock.closed());
    mock.close().unwrap();
    mock.close().unwrap();
    assert!(mock.closed());
    assert_eq!(second.get().unwrap().offset(), Some(1));
    for error in [
        mock.send(ProducerRecord::new("t", b"v")).unwrap_err(),
        mock.flush().unwrap_err(),
        mock.partitions_for("t").unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Closed);
    }
    assert_eq!(mock.sent_count(), 2);
}

#[test]
fn metrics_are_counted_or_those_that_a_test_sets() {
    let mock = Mock::auto_complete();
    mock.send(ProducerRecord::new("t", b"v")).unwrap().get().unwrap();
    assert_eq!((mock.metrics().records_acknowledged, mock.metrics().records_failed), (1, 0));
    let mut full = MetricsSnapshot::default();
    (full.buffer_total_bytes, full.waiting_threads) = (100, 7);
    mock.set_metrics(full.clone());
    assert_eq!(mock.metrics(), full);
    mock.set_metrics(None);
    assert_eq!(mock.metrics().records_acknowledged, 1);
}

#[test]
fn each_operation_can_be_made_to_fail() {
    let mock = Mock::auto_complete();
    let boom = || MockError::new(ErrorKind::BufferExhausted, "full").retriable();
    type Call<'a> = &'a dyn Fn() -> Result<(), Error>;
    let calls: [(Operation, Call<'_>); 4] = [
        (Operation::Send, &|| mock.send(ProducerRecord::new("t", b"v")).map(DeliveryFuture::detach)),
        (Operation::Flush, &|| mock.flush_timeout(Duration::ZERO)),
        (Operation::PartitionsFor, &|| mock.partitions_for("t").map(|p| assert_eq!(p.len(), 1))),
        (Operation::Close, &|| mock.close_timeout(Duration::ZERO)),
    ];
    for (operation, call) in calls {
        mock.fail_on(operation, boom());
        for _ in 0..2 {
            assert_eq!(call().unwrap_err().kind(), ErrorKind::BufferExhausted, "{operation:?}");
        }
        mock.heal();
        mock.fail_times(operation, 1, boom());
        assert!(call().is_err(), "{operation:?}");
        call().unwrap_or_else(|error| panic!("{operation:?}: {error}"));
        assert_eq!(mock.calls(operation), 4);
    }
    assert_eq!(mock.sent_count(), 1, "what was refused did not enter");
    assert_eq!(mock.metrics().records_refused, 3);
}

#[test]
fn records_can_enter_and_fail_by_themselves() {
    let mock = Mock::auto_complete();
    mock.fail_each_record(MockError::new(ErrorKind::RecordTooLarge, "too large"));
    let handle = send(&mock, b"v");
    assert_eq!(handle.try_get().unwrap().unwrap_err().kind(), ErrorKind::RecordTooLarge);
    mock.heal();
    assert_eq!(send(&mock, b"v").get().unwrap().offset(), Some(0));
    assert_eq!(mock.sent_count(), 2);
}

#[test]
fn callbacks_run_on_the_calling_thread_and_may_send() {
    let mock = Arc::new(Mock::manual());
    let here = std::thread::current().id();
    let seen = Arc::new(Mutex::new(Vec::new()));
    for n in 0..2 {
        let (seen, again) = (seen.clone(), mock.clone());
        mock.send_with(ProducerRecord::new("t", b"v"), move |result| {
            assert_eq!(std::thread::current().id(), here);
            seen.lock().unwrap().push((n, result.map(|m| m.offset()).map_err(|e| e.kind())));
            if n == 0 {
                again.send(ProducerRecord::new("t", b"again")).unwrap().detach();
            }
        })
        .unwrap();
    }
    mock.flush().unwrap();
    assert_eq!(*seen.lock().unwrap(), [(0, Ok(Some(0))), (1, Ok(Some(1)))]);
    assert_eq!(mock.pending(), 1, "what a callback sent is not part of the flush");

    let late = send(&mock, b"late");
    mock.flush().unwrap();
    let called = Arc::new(AtomicUsize::new(0));
    let count = called.clone();
    late.on_complete(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
    });
    assert_eq!(called.load(Ordering::SeqCst), 1, "a callback that comes late runs at once");
}

#[test]
fn a_panic_in_a_callback_reaches_the_test() {
    let mock = Mock::auto_complete();
    let sent = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        mock.send_with(ProducerRecord::new("t", b"v"), |_| panic!("an assertion"))
    }));
    // The callback was registered after the record had ended, so it ran inside `send_with`.
    assert!(sent.is_err());
    assert_eq!(send(&mock, b"v").get().unwrap().offset(), Some(1));
}

#[test]
fn partitions_out_of_range_are_refused() {
    let mock = Mock::auto_complete().topic("t", 2);
    assert_eq!(mock.partitions_for("t").unwrap().len(), 2);
    for wrong in [2, -1] {
        let error = mock.send(ProducerRecord::new("t", b"v").partition(wrong)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Partitioning);
    }
    let unknown = mock.send(ProducerRecord::new("other", b"v").partition(9)).unwrap();
    assert_eq!(unknown.get().unwrap().partition(), 9);
    assert_eq!(mock.sent_count(), 1);
}

#[test]
fn with_serializers_keys_go_where_the_real_producer_puts_them() {
    let mock = Mock::auto_complete().topic("t", 10).serializers(StringSerializer, BytesSerializer);
    for key in ["a", "user-1", ""] {
        let metadata = mock.send(ProducerRecord::new("t", b"abc").key(key)).unwrap().get().unwrap();
        assert_eq!(metadata.partition(), partition_for_key(key.as_bytes(), 10));
        assert_eq!(metadata.serialized_key_size(), Some(key.len()));
        assert_eq!(metadata.serialized_value_size(), Some(3));
    }
    let refuse = |_: &[u8], _: &mut Vec<u8>| Err("no".into());
    let mock = Mock::auto_complete().serializers(StringSerializer, refuse);
    let error = mock.send(ProducerRecord::new("t", b"abc")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Serialization);
    assert_eq!(mock.sent_count(), 0);
}

#[test]
fn partitioners_are_asked() {
    let mock = Mock::auto_complete().topic("t", 3).partitioner(RoundRobin::new());
    let places: Vec<_> = (0..4).map(|_| send(&mock, b"v").get().unwrap().partition()).collect();
    assert_eq!(places, [0, 1, 2, 0]);
    let by_length = typed_fn(|r: &kafka_producer::partitioner::TypedRecord<'_, str, [u8]>, _: &_| {
        Choice::Exact(r.value.map_or(0, |v| v.len() as i32))
    });
    let mock = Mock::auto_complete().topic("t", 3).partitioner(by_length);
    assert_eq!(send(&mock, b"vv").get().unwrap().partition(), 2);
    assert_eq!(mock.send(ProducerRecord::new("t", b"vvv")).unwrap_err().kind(), ErrorKind::Partitioning);
    let mock = Mock::auto_complete().topic("t", 3).partitioner(from_fn(|_, _| Choice::Sticky));
    assert_eq!(send(&mock, b"v").get().unwrap().partition(), 0);
}

#[test]
fn it_is_a_producer_like_any_other() {
    fn generic<P: Producer<str, [u8]>>(producer: &P) -> usize {
        let all = producer.send_all([b"a", b"b"].map(|v| ProducerRecord::new("t", v))).unwrap();
        all.get().unwrap().len()
    }
    let mock = Arc::new(Mock::auto_complete());
    assert_eq!(generic(&mock), 2);
    let dynamic: Arc<dyn Producer<str, [u8]>> = mock.clone();
    dynamic.send(ProducerRecord::new("t", b"v")).unwrap().get().unwrap();
    let _: Box<dyn Producer<Vec<u8>, i64>> = Box::new(MockProducer::auto_complete());
    assert_eq!(mock.sent_count(), 3);
}

#[test]
fn many_threads_may_use_it() {
    let mock = Mock::auto_complete();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..250).for_each(|_| assert!(send(&mock, b"v").is_done())));
        }
    });
    assert_eq!(send(&mock, b"v").get().unwrap().offset(), Some(1000));
}
