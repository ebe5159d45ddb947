//! A bad network between the producer and real brokers: nothing lost, doubled or out of order, and nothing waits longer
//! than it must.

use crate::cluster::RealKafka;
use crate::java::Version;
use crate::load::{Load, Plan, StopAtEnd};
use crate::numbered::{Expected, Placed, Producer, Sample, producer_at};
use crate::proxy::{Proxy, Rule, Toward};
use crate::wait;
use std::sync::OnceLock;
use std::time::Duration;

const PARTITIONS: i32 = 6;
/// Far more than it takes, and less than the load lasts.
const PATIENCE: Duration = Duration::from_secs(90);

/// Three nodes that the tests of this file share, each behind a proxy.
struct Network {
    kafka: RealKafka,
    proxies: Vec<Proxy>,
}

impl Network {
    fn shared() -> &'static Self {
        static NETWORK: OnceLock<Network> = OnceLock::new();
        NETWORK.get_or_init(|| {
            let proxies: Vec<Proxy> = (0..3).map(|_| Proxy::start()).collect();
            let fronts: Vec<_> = proxies.iter().map(Proxy::address).collect();
            let kafka = RealKafka::start_behind(Version::V4_3, 3, &fronts);
            proxies.iter().enumerate().for_each(|(i, proxy)| proxy.aim(kafka.behind(i)));
            Self { kafka, proxies }
        })
    }

    fn producer(&self, settings: &[(&str, &str)]) -> Producer {
        let fronts: Vec<String> = self.proxies.iter().map(|proxy| proxy.address().to_string()).collect();
        let quick = [
            ("request.timeout.ms", "700"),
            ("delivery.timeout.ms", "180000"),
            ("retry.backoff.ms", "20"),
            ("retry.backoff.max.ms", "100"),
            ("reconnect.backoff.ms", "10"),
            ("reconnect.backoff.max.ms", "100"),
            ("socket.connection.setup.timeout.ms", "1000"),
        ];
        producer_at(&fronts.join(","), &[&quick, settings].concat())
    }

    fn rule(&self, toward: Toward, rule: Rule) {
        self.proxies.iter().for_each(|proxy| proxy.rule(toward, rule));
    }

    fn heal(&self) {
        self.proxies.iter().for_each(Proxy::heal);
    }
}

/// Sends at 3,000 records a second while `disturb` runs, then heals the network and checks everything.
fn under(topic: &'static str, disturb: impl FnOnce(&Network, &Load)) {
    let network = Network::shared();
    network.heal();
    network.kafka.create_topic(topic, PARTITIONS as u32, 3, &[("min.insync.replicas", "2")]);
    let producer = network.producer(&[]);
    let plan =
        Plan { topic, partitions: PARTITIONS, threads: 3, records_per_second: 3000, per_thread: 120_000 };
    let load = Load::new(plan);
    std::thread::scope(|scope| {
        let _stop = StopAtEnd(&load);
        load.run(scope, &producer);
        wait::until("records flow", PATIENCE, || (load.done() > 500).then_some(()));
        disturb(network, &load);
        network.heal();
        let before = load.done();
        wait::until("records flow again", PATIENCE, || (load.done() > before + 500).then_some(()));
    });
    producer.close().expect("nothing is left");
    let summary = load.verify(&network.kafka);
    assert_eq!(summary.acknowledged, summary.sent, "{:?}", summary.failures);
}

fn for_seconds(seconds: f64) {
    wait::for_a_while(Duration::from_secs_f64(seconds));
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
#[ignore = "needs Java and Maven: see README"]
fn latency_that_jumps() {
    under("late", |network, _| {
        network.rule(Toward::Broker, Rule::Delay(ms(10), ms(30)));
        network.rule(Toward::Client, Rule::Delay(ms(10), ms(30)));
        for_seconds(3.0);
    });
}

#[test]
#[ignore = "needs Java and Maven: see README"]
fn a_line_of_a_few_hundred_kilobytes_a_second() {
    under("narrow", |network, _| {
        network.rule(Toward::Broker, Rule::Rate(200_000));
        for_seconds(3.0);
    });
}

#[test]
#[ignore = "needs Java and Maven: see README"]
fn bytes_that_drip() {
    under("dripping", |network, _| {
        network.rule(Toward::Client, Rule::Drip(ms(1)));
        for_seconds(2.0);
        network.rule(Toward::Client, Rule::Pass);
        network.rule(Toward::Broker, Rule::Drip(ms(1)));
        for_seconds(2.0);
    });
}

#[test]
#[ignore = "needs Java and Maven: see README"]
fn answers_that_never_come_although_the_broker_acted() {
    under("swallowed", |network, _| {
        for _ in 0..4 {
            network.rule(Toward::Client, Rule::Swallow);
            for_seconds(0.5);
            network.heal();
            for_seconds(0.8);
        }
    });
}

#[test]
#[ignore = "needs Java and Maven: see README"]
fn one_direction_is_blocked_and_then_the_other() {
    under("one-way", |network, _| {
        for toward in [Toward::Broker, Toward::Client] {
            network.rule(toward, Rule::Block);
            for_seconds(2.0);
            network.heal();
            for_seconds(1.0);
        }
    });
}

#[test]
#[ignore = "needs Java and Maven: see README"]
fn connections_that_are_half_open() {
    under("half-open", |network, _| {
        let proxy = &network.proxies[1];
        proxy.rule(Toward::Broker, Rule::Block);
        proxy.rule(Toward::Client, Rule::Block);
        for_seconds(3.0);
    });
}

#[test]
#[ignore = "needs Java and Maven: see README"]
fn resets_by_the_dozen() {
    under("reset", |network, _| {
        for round in 0..40 {
            network.proxies[round % 3].reset_all();
            for_seconds(0.1);
        }
    });
}

#[test]
#[ignore = "needs Java and Maven: see README"]
fn requests_and_answers_cut_at_random_places() {
    under("cut", |network, _| {
        for round in 0..60 {
            let proxy = &network.proxies[round % 3];
            let toward = if round % 2 == 0 { Toward::Broker } else { Toward::Client };
            let bytes = 1 + round * round * 37 % 9000;
            proxy.rule(toward, if round % 4 < 2 { Rule::CutAfter(bytes) } else { Rule::ResetAfter(bytes) });
            proxy.reset_all();
            for_seconds(0.05);
        }
    });
}

/// Connections that end behind their first, second, third ... byte that way, until a whole exchange goes through.
fn cut_everywhere(topic: &'static str, toward: Toward) {
    let network = Network::shared();
    network.heal();
    network.kafka.create_topic(topic, 1, 1, &[]);
    let producer = network.producer(&[
        ("linger.ms", "0"),
        ("retry.backoff.ms", "1"),
        ("retry.backoff.max.ms", "1"),
        ("reconnect.backoff.ms", "1"),
        ("reconnect.backoff.max.ms", "1"),
    ]);
    let since = wait::wall_millis();
    let mut outcomes = Vec::new();
    let mut send = |n: u64| {
        let metadata = Sample::new(n, 1).send(&producer, topic).expect("it enters").get();
        outcomes.push(Some(Placed::from(metadata.expect("it is delivered"))));
    };
    send(0);
    let leader = network.kafka.describe(topic)[0].leader.expect("a leader");
    let proxy = &network.proxies[leader as usize - 1];
    let mut records = 1;
    for n in 1.. {
        let before = proxy.cuts();
        proxy.rule(toward, if n % 2 == 0 { Rule::CutAfter(n) } else { Rule::ResetAfter(n) });
        proxy.reset_all();
        send(records);
        records += 1;
        if proxy.cuts() == before && n > 150 {
            break;
        }
    }
    assert!(records > 150, "{records}: no longer exchange than that was cut");
    network.heal();
    producer.close().expect("nothing is left");
    Expected { topic, partitions: 1, per_thread: records, outcomes: &outcomes, since }.verify(&network.kafka);
}

#[test]
#[ignore = "needs Java and Maven: see README"]
fn a_request_cut_behind_every_byte() {
    cut_everywhere("cut-requests", Toward::Broker);
}

#[test]
#[ignore = "needs Java and Maven: see README"]
fn an_answer_cut_behind_every_byte() {
    cut_everywhere("cut-answers", Toward::Client);
}
