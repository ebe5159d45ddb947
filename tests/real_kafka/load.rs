//! A steady load from several threads for as long as a test likes, and the account of what became of every record.

use crate::cluster::RealKafka;
use crate::numbered::{Expected, Fate, Placed, Producer, Sample};
use crate::wait;
use kafka_producer::{Error, RecordMetadata};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Scope;
use std::time::{Duration, Instant};

/// What is sent, how fast.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) topic: &'static str,
    pub(crate) partitions: i32,
    pub(crate) threads: u64,
    /// Of all threads together.
    pub(crate) records_per_second: u64,
    /// One thread sends no more than that.
    pub(crate) per_thread: u64,
}

/// The account of a load that is running or has run.
#[derive(Debug)]
pub(crate) struct Load {
    plan: Plan,
    stop: AtomicBool,
    since: i64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    fates: Vec<Fate>,
    done: u64,
    sent: u64,
    failures: BTreeMap<String, u64>,
    twice: Vec<u64>,
    last_ack: HashMap<i32, Instant>,
    longest_gap: Duration,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Summary {
    pub(crate) sent: u64,
    pub(crate) acknowledged: u64,
    /// The kind of error, and how many records ended with it.
    pub(crate) failures: BTreeMap<String, u64>,
}

impl Load {
    pub(crate) fn new(plan: Plan) -> Arc<Self> {
        let state = State {
            fates: vec![Fate::Absent; (plan.threads * plan.per_thread) as usize],
            done: 0,
            sent: 0,
            failures: BTreeMap::new(),
            twice: Vec::new(),
            last_ack: HashMap::new(),
            longest_gap: Duration::ZERO,
        };
        let since = wait::wall_millis();
        Arc::new(Self { plan, stop: AtomicBool::new(false), since, state: Mutex::new(state) })
    }

    /// Starts the threads; they end at [`stop`](Self::stop).
    pub(crate) fn run<'scope>(
        self: &Arc<Self>,
        scope: &'scope Scope<'scope, '_>,
        producer: &'scope Producer,
    ) {
        for thread in 0..self.plan.threads {
            let load = Arc::clone(self);
            scope.spawn(move || load.send(producer, thread));
        }
    }

    /// No further record is sent. Also ends the threads of a test that fails, whose scope waits for them.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(self: &Arc<Self>, producer: &Producer, thread: u64) {
        let plan = self.plan;
        let start = wait::now();
        let a_second = plan.records_per_second as f64 / plan.threads as f64;
        for i in 0..plan.per_thread {
            let due = Duration::from_secs_f64(i as f64 / a_second);
            if let Some(early) = due.checked_sub(start.elapsed()).filter(|e| e.as_millis() > 1) {
                wait::for_a_while(early);
            }
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let number = thread * plan.per_thread + i;
            self.state().sent += 1;
            let load = Arc::clone(self);
            let done =
                move |result: Result<RecordMetadata, Error>| load.note(number, result.map(Placed::from));
            let sample = Sample::new(number, plan.partitions);
            if let Err(error) = sample.lend(plan.topic, |record| producer.send_with(record, done)) {
                self.note(number, Err(error));
            }
        }
    }

    fn note(&self, number: u64, result: Result<Placed, Error>) {
        let now = wait::now();
        let mut state = self.state();
        state.done += 1;
        let fate = match result {
            Ok(placed) => {
                if let Some(last) = state.last_ack.insert(placed.partition, now) {
                    state.longest_gap = state.longest_gap.max(now.duration_since(last));
                }
                Fate::There(Some(placed))
            }
            Err(error) => {
                *state.failures.entry(format!("{:?}", error.kind())).or_default() += 1;
                if error.may_have_been_written() { Fate::Perhaps } else { Fate::Absent }
            }
        };
        if std::mem::replace(&mut state.fates[number as usize], fate) != Fate::Absent {
            state.twice.push(number);
        }
    }

    /// The longest time between two acknowledgements of one partition since this was asked last, those times that have
    /// not ended included.
    pub(crate) fn take_longest_gap(&self) -> Duration {
        let now = wait::now();
        let mut state = self.state();
        let open = state.last_ack.values().map(|last| now.duration_since(*last)).max();
        let gap = std::mem::take(&mut state.longest_gap).max(open.unwrap_or_default());
        state.last_ack.values_mut().for_each(|last| *last = now);
        gap
    }

    /// How many records have their outcome.
    pub(crate) fn done(&self) -> u64 {
        self.state().done
    }

    /// Call it when the producer is closed: every record has one outcome, and the topic holds exactly what they say.
    pub(crate) fn verify(&self, kafka: &RealKafka) -> Summary {
        let (summary, fates) = {
            let state = self.state();
            assert_eq!(state.done, state.sent, "one outcome for each record");
            assert!(state.twice.is_empty(), "two outcomes: {:?}", state.twice);
            let acknowledged =
                state.fates.iter().filter(|fate| matches!(fate, Fate::There(_))).count() as u64;
            let failures = state.failures.clone();
            (Summary { sent: state.sent, acknowledged, failures }, state.fates.clone())
        };
        let Plan { topic, partitions, per_thread, .. } = self.plan;
        Expected { topic, partitions, per_thread, outcomes: &fates, since: self.since }.verify(kafka);
        summary
    }
}

/// Stops the load when the test is over, however it ends.
#[derive(Debug)]
pub(crate) struct StopAtEnd<'a>(pub(crate) &'a Load);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}
