//! A lane against a broker that judges sequences, under every order of answers, losses, late arrivals and deadlines.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::*;
use crate::accumulator::{RecordAccumulator, Settings, Target, Wait};
use crate::clock;
use crate::delivery::RecordFacts;
use crate::metrics::Metrics;
use crate::partitioner::PartitionInfo;
use crate::protocol::record::compression::Compression;
use crate::protocol::record::{CompressionType, RecordBody};
use crate::sync::Arc;
use std::time::Duration;

/// Parcels of 1, 2, 3, 1, 2, 3... records, as the accumulator hands them out.
fn parcels(count: usize) -> VecDeque<Parcel> {
    let settings = Settings {
        batch_size: 1000,
        batch_max_size: 0,
        linger: Duration::ZERO,
        buffer_memory: 1 << 20,
        broker_share: 1.0,
        delivery_timeout: Duration::from_secs(1),
        compression: Compression::new(CompressionType::None),
        adaptive: true,
    };
    let acc = RecordAccumulator::new(settings, Arc::new(Metrics::default()));
    let _ = acc.lease("t", Wait::Never);
    let mut pending = crate::accumulator::Pending::default();
    acc.signals.take(&mut pending);
    let info =
        PartitionInfo { partition: 0, leader: Some(1), replicas: Vec::new(), in_sync_replicas: Vec::new() };
    let entry = acc.publish_topic(&pending.topics[0], vec![info]).partitions[0].clone();
    let lease = acc.lease("t", Wait::Never).unwrap();
    let body = RecordBody::without_headers(None, Some(b"v"));
    let facts = RecordFacts::new(0, None, None);
    let make = |n: usize| {
        for _ in 0..=n % 3 {
            let entered = acc.append(&lease, Target::Partition(0), &body, facts, Wait::Never, &mut |_| {});
            entered.unwrap().detach();
        }
        Parcel::new(acc.take(&entry).unwrap(), clock::now())
    };
    (0..count).map(make).collect()
}

/// What a broker knows of one producer in one partition, and its log.
#[derive(Default)]
struct Broker {
    epoch: i16,
    /// First and next sequence of the last five batches of this epoch.
    last: VecDeque<(i32, i32)>,
    known: bool,
    log: Vec<u64>,
}

#[derive(Debug, PartialEq, Eq)]
enum Said {
    Appended,
    Duplicate,
    OutOfOrder,
    OldEpoch,
}

impl Broker {
    fn take(&mut self, name: u64, stamp: Stamp, records: i32) -> Said {
        let (first, next) = (stamp.sequence, advance(stamp.sequence, records));
        let epoch = stamp.identity.epoch;
        if self.known && epoch < self.epoch {
            return Said::OldEpoch;
        }
        if self.known && epoch == self.epoch {
            if self.last.contains(&(first, next)) {
                return Said::Duplicate;
            }
            // After the end of a transaction it expects the first one.
            if self.last.back().map_or(0, |(_, expected)| *expected) != first {
                return Said::OutOfOrder;
            }
        } else if self.known && first != 0 {
            return Said::OutOfOrder;
        }
        // A broker that knows nothing of the producer takes any sequence.
        if epoch != self.epoch {
            self.last.clear();
        }
        (self.known, self.epoch) = (true, epoch);
        self.last.push_back((first, next));
        if self.last.len() > 5 {
            self.last.pop_front();
        }
        self.log.push(name);
        Said::Appended
    }
}

/// What happens to the oldest request, or to the whole connection.
#[derive(Clone, Copy, Debug)]
enum Event {
    Send,
    Arrive,
    /// Refused before the append, to be repeated.
    Refuse,
    /// Refused for good.
    Reject,
    /// Appended, if the sequence allows, and answered with a code that proves nothing.
    Doubt,
    /// The connection breaks; what was on its way arrives later, or not.
    Break {
        late: bool,
    },
    /// A request of a broken connection arrives.
    Late,
    /// The first parcel that waits to be repeated is too old.
    Expire,
    /// The oldest parcel in flight is too old.
    ExpireInFlight,
    LeaderMoves,
    /// A transaction has ended, and its end gave the next epoch. The broker hears of it then, or with the first batch.
    NextEpoch {
        told: bool,
    },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => Just(Event::Send),
        8 => Just(Event::Arrive),
        2 => Just(Event::Refuse),
        1 => Just(Event::Reject),
        1 => Just(Event::Doubt),
        1 => any::<bool>().prop_map(|late| Event::Break { late }),
        2 => Just(Event::Late),
        1 => Just(Event::Expire),
        1 => Just(Event::ExpireInFlight),
        1 => Just(Event::LeaderMoves),
        1 => any::<bool>().prop_map(|told| Event::NextEpoch { told }),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Delivered,
    Failed,
    Unknown,
}

struct Model {
    lane: Lane,
    broker: Broker,
    fresh: VecDeque<Parcel>,
    flying: VecDeque<Parcel>,
    late: VecDeque<(u64, Stamp, i32)>,
    outcomes: BTreeMap<u64, Outcome>,
    epoch: i16,
}

impl Model {
    fn new(count: usize, sequence: i32) -> Self {
        let mut lane = Lane::default();
        lane.adopt(Identity { id: 7, epoch: 0 });
        // Near the end of the range, where sequences wrap to 0.
        lane.next_sequence = sequence;
        Self {
            lane,
            broker: Broker::default(),
            fresh: parcels(count),
            flying: VecDeque::new(),
            late: VecDeque::new(),
            outcomes: BTreeMap::new(),
            epoch: 0,
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Send => self.send(),
            Event::Arrive => self.answer(|_| None),
            Event::Refuse => self.answer(|_| Some(false)),
            Event::Reject => self.answer(|_| Some(true)),
            Event::Doubt => {
                let Some(parcel) = self.flying.pop_front() else { return };
                self.deliver_to_broker(&parcel);
                self.lost(parcel);
            }
            Event::Break { late } => {
                for parcel in std::mem::take(&mut self.flying) {
                    if late {
                        self.late.push_back((parcel.order, parcel.stamp.unwrap(), parcel.records()));
                    }
                    self.lost(parcel);
                }
            }
            Event::Late => {
                if let Some((name, stamp, records)) = self.late.pop_front() {
                    self.broker.take(name, stamp, records);
                }
            }
            Event::Expire => {
                let first = self.lane.retries().front().map(|p| p.order);
                for parcel in self.lane.take_where(|p| Some(p.order) == first) {
                    self.end(&parcel);
                }
                self.lane.settle();
            }
            Event::ExpireInFlight => {
                if let Some(parcel) = self.flying.iter_mut().find(|p| !p.ended) {
                    parcel.ended = true;
                    self.outcomes.insert(parcel.order, Outcome::Unknown);
                    self.lane.orphaned();
                }
            }
            Event::LeaderMoves => self.lane.leader_changed(),
            Event::NextEpoch { told } => self.next_epoch(told),
        }
    }

    fn next_epoch(&mut self, told: bool) {
        if !self.lane.is_quiet() || !self.lane.retries().is_empty() {
            return;
        }
        self.epoch += 1;
        self.lane.adopt(Identity { id: 7, epoch: self.epoch });
        if told {
            self.broker.epoch = self.epoch;
            self.broker.last.clear();
        }
    }

    fn send(&mut self) {
        self.lane.settle();
        if self.flying.len() == 5 {
            return;
        }
        if self.lane.gate() == Gate::NeedsIdentity {
            assert!(self.flying.is_empty());
            self.epoch += 1;
            self.lane.adopt(Identity { id: 7, epoch: self.epoch });
        }
        let parcel = match self.lane.gate() {
            Gate::Wait => {
                assert!(!self.flying.is_empty(), "it waits for nothing: {:?}", self.lane);
                return;
            }
            Gate::NeedsIdentity => panic!("it has just got one"),
            Gate::Retry => self.lane.pop_retry(),
            Gate::New => self.fresh.pop_front().map(|mut parcel| {
                self.lane.enlist(&mut parcel);
                parcel
            }),
        };
        let Some(mut parcel) = parcel else { return };
        parcel.attempts += 1;
        self.lane.sent(&parcel);
        self.flying.push_back(parcel);
    }

    fn deliver_to_broker(&mut self, parcel: &Parcel) -> Said {
        self.broker.take(parcel.order, parcel.stamp.unwrap(), parcel.records())
    }

    /// The oldest request is answered; `refuse` says that the broker did not try: with a final error?
    fn answer(&mut self, refuse: impl Fn(&Parcel) -> Option<bool>) {
        let Some(parcel) = self.flying.pop_front() else { return };
        if let Some(final_) = refuse(&parcel) {
            self.lane.landed(&parcel);
            return if final_ || parcel.ended { self.end(&parcel) } else { self.lane.repeat(parcel) };
        }
        let said = self.deliver_to_broker(&parcel);
        self.lane.landed(&parcel);
        match said {
            Said::Appended | Said::Duplicate => {
                self.lane.delivered(&parcel);
                self.outcomes.entry(parcel.order).or_insert(Outcome::Delivered);
            }
            Said::OutOfOrder => {
                if self.lane.is_first(&parcel) && !parcel.pinned {
                    self.lane.doubtful();
                }
                if parcel.ended { self.end(&parcel) } else { self.lane.repeat(parcel) }
            }
            Said::OldEpoch => panic!("a live request under an epoch that was left"),
        }
    }

    fn lost(&mut self, mut parcel: Parcel) {
        parcel.pinned = true;
        self.lane.landed(&parcel);
        if parcel.ended { self.end(&parcel) } else { self.lane.repeat(parcel) }
    }

    fn end(&mut self, parcel: &Parcel) {
        let outcome = if parcel.pinned { Outcome::Unknown } else { Outcome::Failed };
        self.outcomes.entry(parcel.order).or_insert(outcome);
        if parcel.pinned { self.lane.doubtful() } else { self.lane.dropped(parcel) }
    }

    /// All is well from now on, and everything goes out. Only what is in doubt behind something that was given up in
    /// doubt may have to wait for its deadline.
    fn finish(&mut self) {
        for _ in 0..20 {
            for _ in 0..40 {
                self.happen(Event::Send);
                self.happen(Event::Arrive);
            }
            if self.lane.retries().iter().any(|p| p.pinned) {
                self.happen(Event::Expire);
            }
        }
        assert!(self.flying.is_empty() && self.fresh.is_empty(), "stuck: {:?}", self.lane);
        while !self.late.is_empty() {
            self.happen(Event::Late);
        }
    }

    fn check(&self) {
        let log = &self.broker.log;
        assert!(log.windows(2).all(|w| w[0] < w[1]), "order or duplicate: {log:?}");
        for (order, outcome) in &self.outcomes {
            match outcome {
                Outcome::Delivered => assert!(log.contains(order), "{order} is lost"),
                Outcome::Failed => assert!(!log.contains(order), "{order} failed for certain"),
                Outcome::Unknown => {}
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_nothing_is_lost_doubled_or_out_of_order(
        events in proptest::collection::vec(event(), 0..120),
        wraps in any::<bool>(),
    ) {
        let mut model = Model::new(30, if wraps { i32::MAX - 5 } else { 0 });
        for event in events {
            model.happen(event);
        }
        model.finish();
        model.check();
        let ended = model.outcomes.len();
        prop_assert_eq!(ended, 30, "every parcel has an outcome");
    }
}

#[test]
fn several_batches_go_under_the_next_epoch_where_all_went_well_under_the_last() {
    let trouble: [fn(&mut Lane, &Parcel); 3] =
        [|_, _| {}, |lane, _| lane.doubtful(), |lane, p| lane.dropped(p)];
    for (n, trouble) in trouble.into_iter().enumerate() {
        for (id, forgotten) in [(1, false), (1, true), (2, false)] {
            let mut all = parcels(3);
            let mut lane = Lane::default();
            lane.adopt(Identity { id: 1, epoch: 0 });
            for parcel in all.iter_mut().take(2) {
                lane.enlist(parcel);
                lane.sent(parcel);
                lane.landed(parcel);
            }
            lane.delivered(&all[0]);
            trouble(&mut lane, &all[1]);
            if forgotten {
                lane.forgotten();
            }
            lane.adopt(Identity { id, epoch: 1 });
            lane.enlist(&mut all[2]);
            lane.sent(&all[2]);
            let goes_on = n == 0 && id == 1 && !forgotten;
            assert_eq!(lane.gate() == Gate::New, goes_on, "{n} {id} {forgotten}: {lane:?}");
        }
    }
}

#[test]
fn parts_divide_the_place_and_the_sequences_of_the_whole() {
    let mut all = parcels(6);
    let mut lane = Lane::default();
    lane.adopt(Identity { id: 1, epoch: 0 });
    let mut whole = all.split_off(2).pop_front().unwrap();
    let mut next = all.pop_front().unwrap();
    lane.enlist(&mut whole);
    lane.enlist(&mut next);
    [&whole, &next].iter().for_each(|p| lane.sent(p));
    [&whole, &next].iter().for_each(|p| lane.landed(p));
    let (a, b) = {
        let mut more = parcels(2);
        (more.pop_front().unwrap(), more.pop_back().unwrap())
    };
    assert_eq!(whole.records(), a.records() + b.records());
    lane.repeat(next);
    lane.replace(&whole, vec![a, b]);
    let places: Vec<(u64, i32)> =
        lane.retries().iter().map(|p| (p.order, p.stamp.unwrap().sequence)).collect();
    assert_eq!(places, [(0, 0), (ORDER_WIDTH / 2, 1), (ORDER_WIDTH, 3)]);
}

#[test]
fn without_an_identity_it_keeps_the_order_of_repeats_only() {
    let mut lane = Lane::default();
    let mut all = parcels(3);
    all.iter_mut().for_each(|p| lane.enlist(p));
    all.iter().for_each(|p| lane.sent(p));
    assert_eq!(lane.gate(), Gate::New);
    let last = all.pop_back().unwrap();
    lane.landed(&last);
    lane.repeat(last);
    assert_eq!(lane.gate(), Gate::Wait);
    for parcel in all.into_iter().rev() {
        assert!(parcel.stamp.is_none());
        lane.landed(&parcel);
        lane.repeat(parcel);
    }
    assert_eq!(lane.gate(), Gate::Retry);
    assert!(lane.retries().iter().zip(lane.retries().iter().skip(1)).all(|(a, b)| a.order < b.order));
}
