//! Where the promise of acks=1 ends and that of acks=all does not: a leader is killed before its follower has the record.

use crate::cluster::RealKafka;
use crate::java::Version;
use crate::numbered::{Producer, producer};
use crate::wait;
use kafka_producer::{Error, ProducerRecord, RecordMetadata};
use std::time::Duration;

/// Within `broker.session.timeout.ms` (4 s), or the follower would leave the in-sync replicas and could not lead.
const SHORTLY: Duration = Duration::from_secs(3);
const SOON: Duration = Duration::from_secs(120);
const TRIES: u32 = 10;

/// What the second `send` was told in the end, and the topic. On a busy machine it may take some tries, each with a topic
/// of its own: if the leader dies too late, that shows nothing.
fn kill_before_replication(
    kafka: &RealKafka,
    producer: &Producer,
    name: &str,
    acknowledges: bool,
) -> (Result<RecordMetadata, Error>, String) {
    let mut topics = (1..=TRIES).map(|n| format!("{name}-{n}"));
    let tried = topics.find_map(|topic| {
        let outcome = try_to_kill_before_replication(kafka, producer, &topic, acknowledges)?;
        Some((outcome, topic))
    });
    tried.expect("too slow a machine")
}

/// Sends "kept", freezes the follower, sends "at risk", kills the leader before the follower has it, lets the follower
/// lead, sends "after". What the second `send` was told before the leader died, and in the end; `None` if it took too long.
fn try_to_kill_before_replication(
    kafka: &RealKafka,
    producer: &Producer,
    topic: &str,
    acknowledges: bool,
) -> Option<Result<RecordMetadata, Error>> {
    kafka.create_topic(topic, 1, 2, &[]);
    kafka.wait_for(topic, "both in sync", |p| p.in_sync.len() == 2);
    let replicas = kafka.describe(topic)[0].replicas.clone();
    let [leader, follower] = [replicas[0], replicas[1]];
    let send = |value: &str| producer.send(ProducerRecord::new(topic, value.as_bytes())).expect("it enters");
    // Whatever the producer under test asks for: both replicas have this one.
    let careful = crate::numbered::producer(kafka, &[("acks", "all")]);
    let kept = careful.send(ProducerRecord::new(topic, b"kept")).expect("it enters");
    kept.get().expect("both replicas have it");
    careful.close().expect("nothing is left");
    producer.partitions_for(topic).expect("nothing waits for metadata below");

    kafka.pause(follower as usize - 1);
    let frozen = wait::now();
    // The follower's last request still lies with the leader, whose answer waits in the follower's socket: it takes the
    // first of what is written now along.
    for _ in 0..3 {
        let perhaps = send("perhaps");
        if acknowledges {
            perhaps.get_timeout(SOON).expect("the leader is enough").expect("delivered");
        }
    }
    let at_risk = send("at risk");
    let early = at_risk.get_timeout(if acknowledges { SOON } else { Duration::from_secs(1) });
    kafka.kill(leader as usize - 1);
    kafka.resume(follower as usize - 1);
    let in_time = frozen.elapsed() < SHORTLY;
    if in_time {
        assert_eq!(early.is_some(), acknowledges, "whether the leader alone acknowledges: {early:?}");
        kafka.wait_for(topic, "the follower leads", |p| p.leader == Some(follower));
        let _ = at_risk.get_timeout(SOON).expect("an outcome without the old leader");
        send("after").get().expect("delivered by the new leader");
    }
    kafka.restart(leader as usize - 1);
    kafka.wait_for(topic, "both in sync again", |p| p.in_sync.len() == 2);
    let outcome = at_risk.get_timeout(SOON).expect("an outcome");
    in_time.then_some(outcome)
}

fn values(kafka: &RealKafka, topic: &str) -> Vec<String> {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("as sent");
    kafka.read_all(topic).into_iter().filter_map(|r| r.value.map(text)).collect()
}

#[test]
#[ignore = "needs Java and Maven: see README"]
fn a_leader_killed_before_replication_loses_what_acks_1_acknowledged_and_nothing_of_acks_all() {
    let kafka = RealKafka::start(Version::V4_3, 3);

    let one = producer(&kafka, &[("acks", "1"), ("enable.idempotence", "false"), ("linger.ms", "0")]);
    let (outcome, topic) = kill_before_replication(&kafka, &one, "leader-only", true);
    assert_eq!(outcome.expect("it was acknowledged").offset(), Some(4));
    one.close().expect("nothing is left");
    let mut left = values(&kafka, &topic);
    left.retain(|value| value != "perhaps");
    assert_eq!(left, ["kept", "after"], "acknowledged, lost, and nobody was told");

    let all = producer(&kafka, &[("acks", "all"), ("linger.ms", "0")]);
    let (outcome, topic) = kill_before_replication(&kafka, &all, "all", false);
    outcome.expect("sent again to the new leader");
    all.close().expect("nothing is left");
    assert_eq!(values(&kafka, &topic), ["kept", "perhaps", "perhaps", "perhaps", "at risk", "after"]);
}
