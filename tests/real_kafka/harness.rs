//! The harness itself: that what another client wrote is read back whole, and that nodes stop and start.

use crate::cluster::RealKafka;
use crate::java::Version;
use crate::logs::Batch;
use std::collections::HashMap;

#[test]
#[ignore = "needs Java and Maven: see README"]
fn reads_back_what_java_wrote_to_4_3() {
    reads_back_what_java_wrote(RealKafka::shared(Version::V4_3));
}

#[test]
#[ignore = "needs Java and Maven: see README"]
fn reads_back_what_java_wrote_to_3_9() {
    reads_back_what_java_wrote(RealKafka::shared(Version::V3_9));
}

fn reads_back_what_java_wrote(kafka: &RealKafka) {
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let topic = format!("harness-{codec}");
        kafka.create_topic(&topic, 3, 1, &[]);
        kafka.demand(&format!("produce {topic} 1000 {codec}"));

        let mut values = HashMap::new();
        for record in kafka.read_all(&topic) {
            let value = String::from_utf8(record.value.clone().expect("a value")).expect("text");
            let i: i64 = value.strip_prefix("v-").and_then(|n| n.parse().ok()).expect("v-<n>");
            let key = (i % 3 != 0).then(|| format!("k-{i}").into_bytes());
            assert_eq!(record.key, key);
            assert_eq!(record.timestamp, 1_700_000_000_000 + i);
            assert!(!record.appended_time);
            let headers = if i % 5 == 0 { vec![("n".to_owned(), None)] } else { vec![] };
            assert_eq!(record.headers, headers);
            assert!(values.insert(i, (record.partition, record.offset)).is_none(), "{i} twice");
        }
        assert_eq!(values.len(), 1000);

        let batches = kafka.check_log(0, &topic);
        assert_eq!(batches.iter().map(|b| b.count).sum::<i32>(), 1000);
        assert!(batches.iter().all(|b| b.codec == codec && b.producer.is_some()), "{batches:?}");
        let ends: u64 = kafka.offsets(&topic).iter().map(|(_, end)| end).sum();
        assert_eq!(ends, 1000);

        let keys: Vec<Vec<u8>> = (0..1000).filter(|i| i % 3 != 0).map(|i| format!("k-{i}").into()).collect();
        let placed = kafka.java_partitions(&keys, 3);
        for (key, partition) in keys.iter().zip(placed) {
            let i: i64 = String::from_utf8_lossy(&key[2..]).parse().expect("a number");
            assert_eq!(values[&i].0, partition, "{i}");
        }
    }
}

#[test]
#[ignore = "needs Java and Maven: see README"]
fn topics_change_and_the_change_is_seen() {
    let kafka = RealKafka::shared(Version::V4_3);
    kafka.create_topic("harness-topic", 2, 1, &[("max.message.bytes", "2000")]);
    let first = kafka.topic_id("harness-topic");
    kafka.add_partitions("harness-topic", 4);
    assert_eq!(kafka.describe("harness-topic").len(), 4);
    kafka.set_topic_config("harness-topic", "max.message.bytes", "3000");
    kafka.delete_topic("harness-topic");
    assert!(kafka.helper().ask("describe harness-topic").is_err());
    kafka.create_topic("harness-topic", 1, 1, &[]);
    assert_ne!(first, kafka.topic_id("harness-topic"));
}

#[test]
#[ignore = "needs Java and Maven: see README"]
fn nodes_are_killed_paused_and_started_again() {
    let kafka = RealKafka::start(Version::V4_3, 3);
    let topic = "harness-nodes";
    kafka.create_topic(topic, 3, 3, &[("min.insync.replicas", "2")]);
    kafka.move_partition(topic, 0, &[2, 3, 1]);
    assert_eq!(kafka.describe(topic)[0].leader, Some(2));
    kafka.demand(&format!("produce {topic} 1000 lz4"));

    kafka.kill(1);
    kafka.wait_for(topic, "a new leader", |p| p.leader.is_some_and(|l| l != 2) && p.in_sync.len() == 2);
    kafka.demand(&format!("produce {topic} 1000 lz4"));
    kafka.restart(1);
    kafka.wait_for(topic, "all in sync", |p| p.in_sync.len() == 3);
    kafka.elect_preferred(topic);
    kafka.wait_for(topic, "preferred leaders", |p| p.leader == p.replicas.first().copied());

    kafka.pause(0);
    kafka.resume(0);
    kafka.terminate(2);
    kafka.demand(&format!("produce {topic} 1000 lz4"));
    kafka.restart(2);
    kafka.wait_for(topic, "all in sync", |p| p.in_sync.len() == 3);

    assert_eq!(kafka.read_all(topic).len(), 3000);
    let dumps: Vec<Vec<Batch>> = (0..3).map(|node| kafka.check_log(node, topic)).collect();
    assert_eq!(dumps[0], dumps[1]);
    assert_eq!(dumps[1], dumps[2]);
}
