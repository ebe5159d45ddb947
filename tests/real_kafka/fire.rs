//! Three real nodes under fire: every few seconds one of them is killed, terminated, frozen, or leaders and partitions
//! change, while four threads send 10,000 records a second.
//!
//! `KAFKA_PRODUCER_FIRE_SECONDS` says for how long (60), `KAFKA_PRODUCER_FIRE_SEED` which faults come. What it prints is
//! the table of docs/reliability.md: `cargo test --release --test real_kafka fire -- --ignored --nocapture`.

use crate::answers::Asker;
use crate::cluster::RealKafka;
use crate::java::Version;
use crate::load::{Load, Plan, StopAtEnd};
use crate::numbered::producer;
use crate::wait;
use kafka_producer::protocol::messages::MetadataRequest;
use kafka_producer::protocol::messages::metadata::MetadataRequestTopic;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

const PARTITIONS: i32 = 6;
const TOPICS: [&str; 2] = ["fire", "fire-second"];
/// What the client may add to the cluster's own outage.
const PATIENCE: Duration = Duration::from_secs(2);
/// Two cores run three brokers, a JVM that starts, and the clients.
const BUSY_MACHINE: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
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

struct Fire {
    kafka: RealKafka,
    loads: Vec<Arc<Load>>,
    random: u64,
    seen: BTreeMap<Kind, Seen>,
    partitions: u32,
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

impl Fire {
    fn below(&mut self, end: u64) -> u64 {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % end
    }

    fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from))
    }

    /// One fault and what follows until the cluster is whole again.
    fn fault(&mut self, kind: Kind) {
        self.take_gap();
        let began = wait::now();
        let victim = self.below(3) as usize;
        let cluster = match kind {
            Kind::Kill => self.down(victim, began, RealKafka::kill),
            Kind::Terminate => self.down(victim, began, RealKafka::terminate),
            Kind::FreezeShortly | Kind::FreezeLong => self.freeze(victim, began, kind),
            Kind::MoveLeaders => self.move_leaders(),
            Kind::AddPartition => self.add_partition(),
        };
        let quiet = self.millis(5000, 10_000);
        wait::for_a_while(quiet);
        let client = self.take_gap();
        let added = client.saturating_sub(cluster);
        println!("{kind}: the cluster {cluster:.1?}, the longest gap {client:.1?}");
        let seen = self.seen.entry(kind).or_default();
        seen.times += 1;
        seen.cluster = seen.cluster.max(cluster);
        seen.client = seen.client.max(client);
        seen.added = seen.added.max(added);
    }

    fn take_gap(&self) -> Duration {
        self.loads.iter().map(|load| load.take_longest_gap()).max().unwrap_or_default()
    }

    /// Until no partition is led by the victim, as the cluster tells.
    fn until_led_by_others(&self, victim: usize, began: Instant) -> Duration {
        let id = victim as i32 + 1;
        let mut asker = Asker::connect(&self.kafka, (victim + 1) % 3);
        let topic = |name: &str| MetadataRequestTopic { name: Some(name.into()), topic_id: [0; 16] };
        let request = MetadataRequest {
            topics: Some(TOPICS.map(topic).to_vec()),
            allow_auto_topic_creation: false,
            ..MetadataRequest::default()
        };
        wait::until("led by others", Duration::from_secs(60), || {
            let answer = asker.ask(&request, 12);
            let mut partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
            partitions.all(|p| p.leader_id >= 0 && p.leader_id != id).then_some(())
        });
        began.elapsed()
    }

    /// Waits until every replica is in sync, and gives the leaderships back.
    fn whole(&self) {
        for topic in TOPICS {
            self.kafka.wait_for(topic, "all in sync", |p| p.in_sync.len() == 3);
            // A node that was frozen may have to register anew first.
            wait::until("leaders as they were", Duration::from_secs(60), || {
                self.kafka.helper().ask(&format!("elect {topic}")).ok()
            });
        }
    }

    fn down(&mut self, victim: usize, began: Instant, how: fn(&RealKafka, usize)) -> Duration {
        how(&self.kafka, victim);
        let cluster = self.until_led_by_others(victim, began);
        let down = self.millis(0, 3000);
        wait::for_a_while(down);
        self.kafka.restart(victim);
        self.whole();
        cluster
    }

    fn freeze(&mut self, victim: usize, began: Instant, kind: Kind) -> Duration {
        let time =
            if kind == Kind::FreezeShortly { self.millis(1000, 4000) } else { self.millis(8000, 20_000) };
        self.kafka.pause(victim);
        let cluster =
            if kind == Kind::FreezeShortly { time } else { self.until_led_by_others(victim, began) };
        wait::for_a_while(time.saturating_sub(began.elapsed()));
        self.kafka.resume(victim);
        self.whole();
        cluster.min(time)
    }

    fn move_leaders(&mut self) -> Duration {
        for topic in TOPICS {
            for partition in self.kafka.describe(topic) {
                let mut nodes = partition.replicas.clone();
                nodes.rotate_left(1);
                self.kafka.move_partition(topic, partition.number, &nodes);
            }
        }
        // Each move takes milliseconds, one after another.
        Duration::ZERO
    }

    fn add_partition(&mut self) -> Duration {
        self.partitions += 1;
        self.kafka.add_partitions(TOPICS[1], self.partitions);
        Duration::ZERO
    }

    fn burn(&mut self, time: Duration) {
        const ROUND: [Kind; 6] = [
            Kind::Kill,
            Kind::FreezeLong,
            Kind::MoveLeaders,
            Kind::Terminate,
            Kind::FreezeShortly,
            Kind::AddPartition,
        ];
        let began = wait::now();
        for kind in ROUND.into_iter().cycle() {
            if began.elapsed() >= time {
                return;
            }
            self.fault(kind);
        }
    }
}

#[test]
#[ignore = "needs Java and Maven: see README"]
fn a_cluster_under_fire() {
    let kafka = RealKafka::start(Version::V4_3, 3);
    for topic in TOPICS {
        kafka.create_topic(topic, PARTITIONS as u32, 3, &[("min.insync.replicas", "2")]);
    }
    let seconds = setting("KAFKA_PRODUCER_FIRE_SECONDS", 60);
    let producer = producer(&kafka, &[("max.block.ms", "120000")]);
    let load = |topic| {
        let per_thread = 2500 * (seconds + 300);
        Load::new(Plan { topic, partitions: PARTITIONS, threads: 2, records_per_second: 5000, per_thread })
    };
    let loads = TOPICS.map(load);
    let random = setting("KAFKA_PRODUCER_FIRE_SEED", 1);
    let partitions = PARTITIONS as u32;
    let mut fire = Fire { kafka, loads: loads.to_vec(), random, seen: BTreeMap::new(), partitions };
    std::thread::scope(|scope| {
        let _stop = [StopAtEnd(&loads[0]), StopAtEnd(&loads[1])];
        loads.iter().for_each(|load| load.run(scope, &producer));
        wait::until("records flow", Duration::from_secs(60), || {
            loads.iter().all(|load| load.done() > 1000).then_some(())
        });
        fire.burn(Duration::from_secs(seconds));
    });
    producer.close().expect("nothing is left");

    for (kind, Seen { times, cluster, client, added }) in &fire.seen {
        println!("| {kind} | {times} | {cluster:.1?} | {client:.1?} | {added:.1?} |");
    }
    for load in &loads {
        let summary = load.verify(&fire.kafka);
        println!("{summary:?}");
        assert_eq!(summary.acknowledged, summary.sent, "{:?}", summary.failures);
    }
    for (kind, seen) in &fire.seen {
        assert!(seen.added <= PATIENCE + BUSY_MACHINE, "{kind}: {seen:?}");
    }
}
