//! Topics and leaders of a [`RealKafka`], through Kafka's admin client. Each call returns when its effect is visible.

use crate::cluster::RealKafka;
use crate::wait;
use std::time::Duration;

/// Long enough for what takes a node seconds, on a machine that is busy with other nodes' starts.
const PATIENCE: Duration = Duration::from_secs(180);

/// A partition as the cluster describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Partition {
    /// Its number.
    pub(crate) number: i32,
    /// The node that leads it, if one does. Node ids count from 1.
    pub(crate) leader: Option<i32>,
    /// The nodes that hold it.
    pub(crate) replicas: Vec<i32>,
    /// Those of them that are in sync.
    pub(crate) in_sync: Vec<i32>,
}

impl RealKafka {
    /// Creates a topic; panics if that fails. `configs` are topic settings such as `max.message.bytes`.
    pub(crate) fn create_topic(
        &self,
        topic: &str,
        partitions: u32,
        replication: u32,
        configs: &[(&str, &str)],
    ) {
        let mut request = format!("create {topic} {partitions} {replication}");
        for (key, value) in configs {
            request.push_str(&format!(" {key}={value}"));
        }
        self.demand(&request);
    }

    /// Creates a topic and returns as soon as the controller has agreed, before its leaders are at work.
    pub(crate) fn create_topic_without_waiting(&self, topic: &str, partitions: u32) {
        self.demand(&format!("create-only {topic} {partitions} 1"));
    }

    /// Deletes a topic.
    pub(crate) fn delete_topic(&self, topic: &str) {
        self.demand(&format!("delete {topic}"));
    }

    /// Gives a topic more partitions.
    pub(crate) fn add_partitions(&self, topic: &str, total: u32) {
        self.demand(&format!("grow {topic} {total}"));
    }

    /// Sets one of a topic's settings.
    pub(crate) fn set_topic_config(&self, topic: &str, key: &str, value: &str) {
        self.demand(&format!("config {topic} {key}={value}"));
    }

    /// All partitions, by number.
    pub(crate) fn describe(&self, topic: &str) -> Vec<Partition> {
        self.demand(&format!("describe {topic}")).iter().map(|line| Partition::parse(line)).collect()
    }

    /// Waits until `holds` is true of every partition of a topic.
    pub(crate) fn wait_for(&self, topic: &str, what: &str, holds: impl Fn(&Partition) -> bool) {
        wait::until(&format!("{topic}: {what}"), PATIENCE, || {
            self.describe(topic).iter().all(&holds).then_some(())
        });
    }

    /// Gives a partition the replicas `nodes` (ids from 1) and makes the first of them its leader.
    pub(crate) fn move_partition(&self, topic: &str, partition: i32, nodes: &[i32]) {
        let nodes: Vec<String> = nodes.iter().map(ToString::to_string).collect();
        self.insist(&format!("move {topic} {partition} {}", nodes.join(",")));
    }

    /// Gives every partition its preferred leader back.
    pub(crate) fn elect_preferred(&self, topic: &str) {
        self.insist(&format!("elect {topic}"));
    }

    /// The id that tells two topics of the same name apart.
    pub(crate) fn topic_id(&self, topic: &str) -> String {
        self.demand(&format!("id {topic}")).concat()
    }

    /// For each partition the first offset and the one after the last.
    pub(crate) fn offsets(&self, topic: &str) -> Vec<(u64, u64)> {
        let parse = |line: &String| {
            let mut words = line.split(' ').skip(1).map(|w| w.parse().expect("an offset"));
            (words.next().expect("first"), words.next().expect("end"))
        };
        self.demand(&format!("ends {topic}")).iter().map(parse).collect()
    }

    /// Asks for what may be asked again, until it is done: a node that was away may have to register anew before it can
    /// lead, although it is in sync.
    fn insist(&self, request: &str) {
        let mut refusal = String::new();
        let done = wait::within(PATIENCE, || self.helper().ask(request).map_err(|e| refusal = e).ok());
        assert!(done.is_some(), "{request}: {refusal}");
    }

    /// Asks the helper and panics if it fails. Questions are asked again where Java's admin client found no node in
    /// time, as it does on a busy machine while one of them is down.
    pub(crate) fn demand(&self, request: &str) -> Vec<String> {
        let question = ["ends ", "describe ", "id "].iter().any(|q| request.starts_with(q));
        let mut answer = self.helper().ask(request);
        for _ in 0..3 {
            if !question || !matches!(&answer, Err(message) if message.contains("TimeoutException")) {
                break;
            }
            answer = self.helper().ask(request);
        }
        answer.unwrap_or_else(|message| panic!("{request}: {message}"))
    }
}

impl Partition {
    fn parse(line: &str) -> Self {
        let words: Vec<&str> = line.split(' ').collect();
        let [number, leader, replicas, in_sync] = words[..] else { panic!("not a partition: {line}") };
        let ids = |list: &str| list.split(',').filter_map(|id| id.parse().ok()).collect();
        Self {
            number: number.parse().expect("a number"),
            leader: leader.parse().ok().filter(|id| *id >= 0),
            replicas: ids(replicas),
            in_sync: ids(in_sync),
        }
    }
}
