//! Three real nodes under fire: every few seconds one of them is killed, terminated, frozen, or leaders and partitions
//! change, while four threads send 10,000 records a second.
//!
//! `KAFKA_PRODUCER_FIRE_SECONDS` says for how long (60), `KAFKA_PRODUCER_FIRE_SEED` which faults come. What it prints is
//! the table of docs/reliability.md: `cargo test --release --test real_kafka fire -- --ignored --nocapture`.

use crate::cluster::RealKafka;
use crate::flames::{Fire, Kind, Witness};
use crate::java::Version;
use crate::load::{Load, Plan, StopAtEnd};
use crate::numbered::producer;
use crate::wait;
use std::sync::Arc;
use std::time::Duration;

const PARTITIONS: i32 = 6;
const TOPICS: [&str; 2] = ["fire", "fire-second"];
const ROUND: [Kind; 6] = [
    Kind::Kill,
    Kind::FreezeLong,
    Kind::MoveLeaders,
    Kind::Terminate,
    Kind::FreezeShortly,
    Kind::AddPartition,
];

/// A number that the environment may set.
pub(crate) fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

impl Witness for [Arc<Load>; 2] {
    fn take_longest_gap(&self) -> Duration {
        self.iter().map(|load| load.take_longest_gap()).max().unwrap_or_default()
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
    let seed = setting("KAFKA_PRODUCER_FIRE_SEED", 1);
    let fire = Fire { kafka: &kafka, topics: &TOPICS, partitions: PARTITIONS as u32, witness: &loads, seed };
    let burnt = std::thread::scope(|scope| {
        let _stop = [StopAtEnd(&loads[0]), StopAtEnd(&loads[1])];
        loads.iter().for_each(|load| load.run(scope, &producer));
        wait::until("records flow", Duration::from_secs(120), || {
            loads.iter().all(|load| load.done() > 1000).then_some(())
        });
        fire.burn(&ROUND, Duration::from_secs(seconds))
    });
    producer.close().expect("nothing is left");

    for load in &loads {
        let summary = load.verify(&kafka);
        println!("{summary:?}");
        assert_eq!(summary.acknowledged, summary.sent, "{:?}", summary.failures);
    }
    burnt.assert_no_long_gaps();
}
