//! What is done to three nodes under fire: one of them is killed, terminated, frozen, or leaders and partitions change;
//! and how long acknowledgements stay away meanwhile.

use crate::answers::Asker;
use crate::cluster::RealKafka;
use crate::wait;
use kafka_producer::protocol::messages::MetadataRequest;
use kafka_producer::protocol::messages::metadata::MetadataRequestTopic;
use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

/// What the client may add to the cluster's own outage.
const PATIENCE: Duration = Duration::from_secs(2);
/// Two cores run three brokers, a JVM that starts, and the clients; on a slow machine all that takes several times as long.
/// A client that waited for `request.timeout.ms` would add thirty seconds.
const BUSY_MACHINE: Duration = Duration::from_secs(8);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Kill,
    Terminate,
    FreezeShortly,
    FreezeLong,
    MoveLeaders,
    AddPartition,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "kill -9 and restart",
            Self::Terminate => "SIGTERM and restart",
            Self::FreezeShortly => "SIGSTOP, 1 to 4 s",
            Self::FreezeLong => "SIGSTOP, 8 to 20 s",
            Self::MoveLeaders => "all leaders moved",
            Self::AddPartition => "a partition added",
        })
    }
}

/// What was seen of one kind of fault.
#[derive(Debug, Default)]
struct Seen {
    times: u32,
    /// The longest that a partition had no leader that answers.
    cluster: Duration,
    /// The longest between two acknowledgements of a partition.
    client: Duration,
    /// The most that the client added.
    added: Duration,
}

/// Who watches what becomes of the records meanwhile.
pub(crate) trait Witness {
    /// The longest time between two acknowledgements of one partition since this was asked last, those times that have
    /// not ended included.
    fn take_longest_gap(&self) -> Duration;

    /// A fault begins.
    fn begins(&self, _kind: Kind) {}

    /// The cluster is whole again, and some quiet time is over. `false` ends the fire.
    fn over(&self, _kafka: &RealKafka) -> bool {
        true
    }
}

/// The fire: its fuel, its chance, and what it did so far.
pub(crate) struct Fire<'a> {
    pub(crate) kafka: &'a RealKafka,
    pub(crate) topics: &'a [&'a str],
    /// Of the last topic, which is the one that grows.
    pub(crate) partitions: u32,
    pub(crate) witness: &'a dyn Witness,
    /// Which victims and times come.
    pub(crate) seed: u64,
}

impl Fire<'_> {
    /// The faults of `round` one after another, again and again, for at least `time`. Prints the table of what was seen.
    pub(crate) fn burn(self, round: &[Kind], time: Duration) -> Burnt {
        let began = wait::now();
        let mut burning = Burning { random: self.seed, partitions: self.partitions, fire: self };
        let mut seen = BTreeMap::<Kind, Seen>::new();
        for &kind in round.iter().cycle() {
            if began.elapsed() >= time {
                break;
            }
            let (cluster, client) = burning.fault(kind);
            println!("{kind}: the cluster {cluster:.1?}, the longest gap {client:.1?}");
            let seen = seen.entry(kind).or_default();
            seen.times += 1;
            seen.cluster = seen.cluster.max(cluster);
            seen.client = seen.client.max(client);
            seen.added = seen.added.max(client.saturating_sub(cluster));
            if !burning.fire.witness.over(burning.fire.kafka) {
                break;
            }
        }
        for (kind, Seen { times, cluster, client, added }) in &seen {
            println!("| {kind} | {times} | {cluster:.1?} | {client:.1?} | {added:.1?} |");
        }
        Burnt(seen)
    }
}

/// What a fire did.
#[derive(Debug)]
pub(crate) struct Burnt(BTreeMap<Kind, Seen>);

impl Burnt {
    /// The producer came back soon after the cluster, each time.
    pub(crate) fn assert_no_long_gaps(&self) {
        for (kind, seen) in &self.0 {
            assert!(seen.added <= PATIENCE + BUSY_MACHINE, "{kind}: {seen:?}");
        }
    }
}

struct Burning<'a> {
    fire: Fire<'a>,
    random: u64,
    partitions: u32,
}

impl Burning<'_> {
    fn below(&mut self, end: u64) -> u64 {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % end
    }

    fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from))
    }

    /// One fault and what follows until the cluster is whole again, and a quiet time. Returns how long partitions had no
    /// leader that answers, and the longest time without an acknowledgement.
    fn fault(&mut self, kind: Kind) -> (Duration, Duration) {
        self.fire.witness.take_longest_gap();
        let began = wait::now();
        let victim = self.below(3) as usize;
        self.fire.witness.begins(kind);
        let cluster = match kind {
            Kind::Kill => self.down(victim, began, RealKafka::kill),
            Kind::Terminate => self.down(victim, began, RealKafka::terminate),
            Kind::FreezeShortly | Kind::FreezeLong => self.freeze(victim, began, kind),
            Kind::MoveLeaders => self.move_leaders(),
            Kind::AddPartition => self.add_partition(),
        };
        let quiet = self.millis(5000, 10_000);
        wait::for_a_while(quiet);
        (cluster, self.fire.witness.take_longest_gap())
    }

    /// Until no partition is led by the victim, as the cluster tells.
    fn until_led_by_others(&self, victim: usize, began: Instant) -> Duration {
        let id = victim as i32 + 1;
        let mut asker = Asker::connect(self.fire.kafka, (victim + 1) % 3);
        let topic = |name: &&str| MetadataRequestTopic { name: Some((*name).into()), topic_id: [0; 16] };
        let request = MetadataRequest {
            topics: Some(self.fire.topics.iter().map(topic).collect()),
            allow_auto_topic_creation: false,
            ..MetadataRequest::default()
        };
        wait::until("led by others", Duration::from_secs(120), || {
            let answer = asker.ask(&request, 12);
            let mut partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
            partitions.all(|p| p.leader_id >= 0 && p.leader_id != id).then_some(())
        });
        began.elapsed()
    }

    /// Waits until every replica is in sync, and gives the leaderships back.
    fn whole(&self) {
        let kafka = self.fire.kafka;
        for topic in self.fire.topics {
            kafka.wait_for(topic, "all in sync", |p| p.in_sync.len() == 3);
            kafka.elect_preferred(topic);
        }
    }

    fn down(&mut self, victim: usize, began: Instant, how: fn(&RealKafka, usize)) -> Duration {
        how(self.fire.kafka, victim);
        let cluster = self.until_led_by_others(victim, began);
        let down = self.millis(0, 3000);
        wait::for_a_while(down);
        self.fire.kafka.restart(victim);
        self.whole();
        cluster
    }

    fn freeze(&mut self, victim: usize, began: Instant, kind: Kind) -> Duration {
        let time =
            if kind == Kind::FreezeShortly { self.millis(1000, 4000) } else { self.millis(8000, 20_000) };
        self.fire.kafka.pause(victim);
        let cluster =
            if kind == Kind::FreezeShortly { time } else { self.until_led_by_others(victim, began) };
        wait::for_a_while(time.saturating_sub(began.elapsed()));
        self.fire.kafka.resume(victim);
        self.whole();
        cluster.min(time)
    }

    fn move_leaders(&mut self) -> Duration {
        let kafka = self.fire.kafka;
        for topic in self.fire.topics {
            for partition in kafka.describe(topic) {
                let mut nodes = partition.replicas.clone();
                nodes.rotate_left(1);
                kafka.move_partition(topic, partition.number, &nodes);
            }
        }
        // Each move takes milliseconds, one after another.
        Duration::ZERO
    }

    fn add_partition(&mut self) -> Duration {
        self.partitions += 1;
        let growing = self.fire.topics.last().expect("a topic");
        self.fire.kafka.add_partitions(growing, self.partitions);
        Duration::ZERO
    }
}
