//! Who is asked: the leader, and nobody else.

use crate::harness::{fast, no_violations};
use crate::support::open;
use kafka_producer::ProducerRecord;
use kafka_producer::mock::{BrokerVersion, MockCluster, RequestBody};
use kafka_producer::protocol::ApiKey;

const PARTITIONS: i32 = 12;

/// The cluster's followers answer NOT_LEADER_OR_FOLLOWER; the journal shows that they had no occasion to.
#[test]
fn while_leaders_stand_still_no_follower_is_asked_and_metadata_once() {
    for version in BrokerVersion::ALL {
        let builder = MockCluster::builder().brokers(3).version(version).journal(100_000);
        let cluster = builder.topic("t", PARTITIONS).start().unwrap();
        let leaders: Vec<_> = (0..PARTITIONS).map(|p| cluster.leader("t", p)).collect();
        let producer = open(fast(&cluster).batch_size(500));
        std::thread::scope(|s| {
            for thread in 0..4 {
                let producer = &producer;
                s.spawn(move || {
                    for n in 0..1000 {
                        let key = format!("{thread}-{n}");
                        producer.send(ProducerRecord::new("t", &[7; 50]).key(&key)).unwrap().detach();
                    }
                });
            }
        });
        producer.close().unwrap();
        assert_eq!(cluster.record_count("t"), 4000);

        let mut batches = 0;
        for request in cluster.requests(ApiKey::PRODUCE) {
            let RequestBody::Produce { batches: asked, .. } = request.body else { panic!("no Produce") };
            for batch in asked {
                assert_eq!(leaders[batch.partition as usize], Some(request.node), "{version}: {batch:?}");
                batches += 1;
            }
        }
        let stats = cluster.stats();
        assert_eq!(
            (batches, stats.refused_batches, stats.duplicate_batches),
            (stats.batches, 0, 0),
            "{version}"
        );
        // One names the brokers, one the topic; a third if the two met.
        let metadata = cluster.requests(ApiKey::METADATA).len();
        assert!(metadata <= 3, "{version}: asked {metadata} times");
        no_violations(&cluster);
    }
}
