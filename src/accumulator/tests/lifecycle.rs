//! One thread: linger and what ends it, flush, close, split, topics that come and go.

use super::*;

#[test]
fn linger_counts_from_the_first_record() {
    let rig = Rig::one(Settings { linger: Duration::from_secs(60), ..settings() });
    assert_eq!(rig.peek(), Peek::Empty);
    rig.put(10).detach();
    let Peek::Lingering { created, until } = rig.peek() else { panic!("{:?}", rig.peek()) };
    assert_eq!(until, created + Duration::from_secs(60));
    rig.put(10).detach();
    assert_eq!(rig.peek(), Peek::Lingering { created, until });
    assert_eq!(rig.acc.peek(&rig.partitions[0], until), Peek::Ready { created, len: None });
    rig.finish();
    let without = Rig::one(Settings { linger: Duration::ZERO, ..settings() });
    without.put(10).detach();
    assert!(matches!(without.peek(), Peek::Ready { .. }));
    without.finish();
    without.assert_clean();
}

#[test]
fn whoever_waits_ends_linger() {
    let rig = Rig::one(settings());
    let handle = rig.put(10);
    assert!(handle.get_timeout(Duration::ZERO).is_none());
    let mut pending = Pending::default();
    rig.acc.signals.take(&mut pending);
    assert_eq!(pending.hurried, [rig.partitions[0].id]);
    assert!(matches!(rig.peek(), Peek::Ready { .. }));
    rig.finish();
    rig.put(10).detach();
    assert!(matches!(rig.peek(), Peek::Lingering { .. }), "the next batch lingers again");
    assert_eq!(rig.acc.flush(now()), Err(1));
    assert!(matches!(rig.peek(), Peek::Ready { .. }));
    rig.finish();
    rig.put(10).detach();
    assert!(matches!(rig.peek(), Peek::Lingering { .. }), "a flush is over for later batches");
    rig.acc.close();
    assert!(matches!(rig.peek(), Peek::Ready { .. }));
    rig.finish();
    rig.assert_clean();
}

#[test]
fn whoever_lacks_memory_ends_linger_everywhere() {
    let rig = Rig::new(Settings { buffer_memory: 1024, ..settings() }, &[Some(1), Some(1)]);
    rig.put(10).detach();
    std::thread::scope(|s| {
        s.spawn(|| rig.append(Target::Partition(1), &[0; 10], soon()).unwrap().detach());
        while rig.acc.pool.waiting() == 0 {
            std::thread::yield_now();
        }
        assert!(matches!(rig.peek(), Peek::Ready { .. }));
        let mut pending = Pending::default();
        rig.acc.signals.take(&mut pending);
        assert!(pending.sweep);
        rig.finish();
    });
    rig.finish();
    rig.assert_clean();
}

#[test]
fn closing_refuses_and_wakes_who_waits_for_memory_or_metadata() {
    let rig = Rig::one(Settings { buffer_memory: 1024, ..settings() });
    rig.put(900).detach();
    std::thread::scope(|s| {
        let memory = s.spawn(|| rig.append(Target::Partition(0), &[0; 900], soon()).unwrap_err().kind());
        let metadata = s.spawn(|| rig.acc.lease("unknown", soon()).map(|_| ()));
        let more = s.spawn(|| rig.acc.resolve_topic("t", 5, soon()).map(|_| ()));
        while rig.acc.pool.waiting() == 0 {
            std::thread::yield_now();
        }
        rig.acc.close();
        assert_eq!(memory.join().unwrap(), ErrorKind::Closed);
        for result in [metadata.join().unwrap(), more.join().unwrap()] {
            let Err(NoTopic::Refused(error)) = result else { panic!("{result:?}") };
            assert_eq!(error.kind(), ErrorKind::Closed);
        }
    });
    assert_eq!(rig.append(Target::Partition(0), &[], soon()).unwrap_err().kind(), ErrorKind::Closed);
    rig.finish();
    rig.assert_clean();
}

#[test]
fn a_closed_topic_stays_closed_whatever_is_asked_or_published() {
    let rig = Rig::one(settings());
    rig.acc.close();
    rig.topic.ask_again();
    rig.topic.report(Error::new(ErrorKind::Connection, "no broker"), false);
    let result = rig.topic.wait(3, now() + Duration::from_secs(20));
    assert!(matches!(&result, Err(NoTopic::Refused(e)) if e.kind() == ErrorKind::Closed), "{result:?}");
    let snapshot = rig.acc.publish_topic(&rig.topic, infos(&[Some(1), Some(1)]));
    assert!(snapshot.partitions.iter().all(|p| p.intake.lock().closed), "new partitions too");
    let result = rig.topic.wait(3, now() + Duration::from_secs(20));
    assert!(matches!(result, Err(NoTopic::Refused(_))));
}

#[test]
fn a_final_refusal_ends_the_wait_and_the_next_one_asks_again() {
    let rig = Rig::one(settings());
    rig.topic.report(Error::new(ErrorKind::Authorization, "no"), true);
    let refused = rig.topic.wait(1, now() + Duration::from_secs(20));
    assert!(matches!(refused, Err(NoTopic::Refused(_))));
    rig.topic.report(Error::new(ErrorKind::Connection, "no broker"), false);
    let timeout = rig.topic.wait(1, now());
    assert!(matches!(&timeout, Err(NoTopic::Timeout(Some(e))) if e.kind() == ErrorKind::Connection));
    assert!(rig.acc.lease("t", Wait::Never).is_ok(), "what is known stays in use");
}

#[test]
fn a_topic_in_use_says_so_from_the_threads_own_table_too() {
    let rig = Rig::one(settings());
    rig.put(1).detach();
    assert!(rig.topic.take_used());
    assert!(!rig.topic.take_used());
    rig.put(1).detach();
    assert!(rig.topic.take_used());
    rig.finish();
}

#[test]
fn a_forgotten_topic_comes_back_with_its_queues() {
    let rig = Rig::new(settings(), &[Some(1), Some(1)]);
    rig.put(1).detach();
    let lease = rig.acc.lease("t", Wait::Never).unwrap();
    rig.acc.forget_topic("t");
    assert!(rig.acc.lease("t", Wait::Never).is_err(), "threads that remember it notice");
    // A send that was under way goes into the queue that later ones will find.
    let record = RecordBody::without_headers(None, Some(b"late"));
    rig.acc
        .append(&lease, Target::Partition(0), &record, facts(), Wait::Never, &mut |_| {})
        .unwrap()
        .detach();
    assert_eq!(rig.acc.pending_records(), 2);
    let mut pending = Pending::default();
    rig.acc.signals.take(&mut pending);
    let again = pending.topics.pop().unwrap();
    let snapshot = rig.acc.publish_topic(&again, infos(&[Some(2)]));
    assert!(Arc::ptr_eq(&snapshot.partitions[0], &rig.partitions[0]));
    // Made anew with fewer partitions, and grown again.
    let snapshot = rig.acc.publish_topic(&again, infos(&[Some(2), Some(3)]));
    assert!(Arc::ptr_eq(&snapshot.partitions[1], &rig.partitions[1]));
    rig.finish();
    rig.assert_clean();
}

#[test]
fn a_record_enters_the_transaction_in_which_its_send_began_or_none() {
    let rig = Rig::one(settings());
    let send = |transaction: u64| {
        let mut lease = rig.acc.lease("t", Wait::Never).unwrap();
        lease.begin_in(transaction);
        let record = RecordBody::without_headers(None, Some(b"v"));
        let result = rig.acc.append(&lease, Target::Partition(0), &record, facts(), Wait::Never, &mut |_| {});
        result.map(|handle| handle.detach()).map_err(|error| error.kind())
    };
    for open in [1, 2] {
        rig.acc.let_in(Some(open));
        // Where a batch has to begin, and where one is open.
        assert_eq!(send(open - 1), Err(ErrorKind::Misuse));
        assert_eq!(send(open), Ok(()));
        assert_eq!(send(open - 1), Err(ErrorKind::Misuse));
        assert_eq!(send(open), Ok(()));
        rig.acc.let_in(None);
        assert_eq!(send(open), Err(ErrorKind::Misuse));
        rig.finish();
    }
    rig.assert_clean();
}

#[test]
fn closing_reaches_forgotten_topics() {
    let rig = Rig::one(settings());
    let lease = rig.acc.lease("t", Wait::Never).unwrap();
    rig.acc.forget_topic("t");
    rig.acc.close();
    let record = RecordBody::without_headers(None, None);
    let result = rig.acc.append(&lease, Target::Partition(0), &record, facts(), Wait::Never, &mut |_| {});
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Closed);
    rig.assert_clean();
}

#[test]
fn leases_may_nest_and_names_do_not_mix() {
    let rig = Rig::one(settings());
    let other = Rig::one(settings());
    let outer = rig.acc.lease("t", Wait::Never).unwrap();
    // A serializer that sends: the same topic, and that of another producer.
    let inner = rig.acc.lease("t", Wait::Never).unwrap();
    let foreign = other.acc.lease("t", Wait::Never).unwrap();
    assert!(Arc::ptr_eq(inner.entry(), outer.entry()));
    assert!(!Arc::ptr_eq(foreign.entry(), outer.entry()));
    [inner, foreign, outer].into_iter().for_each(TopicLease::give_back);
    for i in 0..300 {
        assert!(rig.acc.lease(&format!("unknown-{i}"), Wait::Never).is_err());
        assert_eq!(&*rig.acc.lease("t", Wait::Never).unwrap().entry().name, "t");
    }
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _lease = rig.acc.lease("t", Wait::Never);
        std::panic::panic_any("a serializer fails");
    }));
    assert!(rig.acc.lease("t", Wait::Never).is_ok());
}

#[test]
fn an_outcome_counts_once_and_callbacks_hold_the_memory() {
    let rig = Rig::one(settings());
    let queued = Arc::new(Mutex::new(Vec::new()));
    let sink = queued.clone();
    rig.acc.set_callback_sink(Box::new(move |callbacks, body| sink.lock().push((callbacks, body))));
    rig.put(10).on_complete(|result| assert!(result.is_err()));
    rig.put(10).detach();
    let batch = rig.take().unwrap();
    assert_eq!(rig.acc.pending_records(), 2);
    let failed =
        Outcome::Failed { error: Error::new(ErrorKind::DeliveryTimeout, "late"), records: Box::default() };
    assert!(rig.acc.complete(&rig.partitions[0], &batch, failed));
    assert!(!rig.acc.complete(&rig.partitions[0], &batch, delivered(1)), "answered late");
    drop(batch);
    assert!(rig.acc.unfinished.is_empty());
    assert!(rig.acc.pool.available() < rig.acc.pool.total());
    for (callbacks, body) in queued.lock().drain(..) {
        callbacks.run_each(|done, result| done(result));
        drop(body);
    }
    rig.assert_clean();
    let metrics = rig.acc.metrics_snapshot();
    assert_eq!((metrics.records_failed, metrics.records_failed_unseen), (2, 1));
    assert_eq!(metrics.records_acknowledged, 0);
}

#[test]
fn flush_waits_for_the_parts_of_a_split_batch() {
    let rig = Rig::one(settings());
    let handles = [rig.put(100), rig.put(100)];
    let parent = rig.take().unwrap();
    let generation = rig.acc.unfinished.flush();
    let mut parts = Vec::new();
    let mut batches = Vec::new();
    for first in 0..2 {
        let completion = rig.acc.new_completion(&rig.partitions[0]).unwrap();
        parts.push(SplitPart { first, completion: completion.clone() });
        batches.push(Batch {
            body: Arc::new(rig.acc.body_for_split(&rig.partitions[0], &[0; 3000])),
            raw_len: 3000,
            codec: CompressionType::None,
            records: 1,
            largest: 1,
            waited: parent.waited,
            base_timestamp: 0,
            max_timestamp: 0,
            completion,
            created: parent.created,
            generation: parent.generation,
            turns: 1,
        });
    }
    rig.acc.split(&rig.partitions[0], &parent, parts);
    drop(parent);
    assert_eq!(rig.partitions[0].backlog(), 2);
    rig.succeed(0, &batches[0]);
    assert!(handles[0].is_done() && !handles[1].is_done());
    assert!(!rig.acc.unfinished.wait(generation, now()));
    assert_eq!(rig.acc.pending_records(), 1);
    rig.succeed(0, &batches[1]);
    assert!(rig.acc.unfinished.wait(generation, now()));
    assert!(handles[1].is_done());
    drop(batches);
    rig.assert_clean();
}

#[test]
fn a_batch_lost_on_the_way_fails_its_records_and_holds_up_no_flush() {
    let rig = Rig::one(settings());
    let handle = rig.put(10);
    drop(rig.take());
    assert_eq!(handle.get().unwrap_err().kind(), ErrorKind::Internal);
    assert!(rig.acc.unfinished.is_empty());
    rig.put(10).detach();
    rig.acc.abandon(&Error::new(ErrorKind::Internal, "the sender died"));
    assert!(rig.acc.unfinished.is_empty());
    assert_eq!(rig.acc.pool.available(), rig.acc.pool.total());
}
