//! Every kind of plug-in is configured once before the first record and closed once.

use crate::support::config;
use kafka_producer::config::PluginConfig;
use kafka_producer::mock::MockCluster;
use kafka_producer::partitioner::{KeyedRecord, TopicView};
use kafka_producer::serializer::{Context, Role};
use kafka_producer::{
    BoxError, Choice, ErrorKind, Interceptor, KafkaProducer, Partitioner, ProducerConfigBuilder,
    ProducerRecord, Serializer,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[derive(Clone, Default)]
struct Journal(Arc<Mutex<Vec<String>>>);

impl Journal {
    fn note(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// One plug-in of each kind; its key `fails` names who shall fail.
struct Plug(&'static str, Journal);

impl Plug {
    fn configured(&self, config: &PluginConfig<'_>, as_what: &str) -> Result<(), BoxError> {
        self.1.note(format!("{} {as_what} {}", self.0, config.value("plug.greeting").unwrap_or("-")));
        assert!(!config.producer().bootstrap_servers().is_empty());
        let told = |what: &str| config.value("plug.fails") == Some(&format!("{what}{}", self.0));
        assert!(!told("loudly "), "told to panic");
        if told("") { Err("told to".into()) } else { Ok(()) }
    }
}

impl Serializer<str> for Plug {
    fn serialize<'a>(
        &self,
        _: &mut Context<'_, '_>,
        value: &'a str,
        _: &'a mut Vec<u8>,
    ) -> Result<Option<&'a [u8]>, BoxError> {
        Ok(Some(value.as_bytes()))
    }
    fn configure(&mut self, config: &PluginConfig<'_>, role: Role) -> Result<(), BoxError> {
        self.configured(config, if role == Role::Key { "as key" } else { "as value" })
    }
    fn close(&self) {
        self.1.note(format!("{} closed", self.0));
        assert_ne!(self.0, "panics", "in close");
    }
}

impl Partitioner for Plug {
    fn partition(&self, _: &KeyedRecord<'_>, _: &TopicView<'_>) -> Result<Choice, BoxError> {
        Ok(Choice::Exact(0))
    }
    fn configure(&mut self, config: &PluginConfig<'_>) -> Result<(), BoxError> {
        self.configured(config, "as partitioner")
    }
    fn close(&self) {
        self.1.note(format!("{} closed", self.0));
    }
}

impl Interceptor<str, str> for Plug {
    fn configure(&mut self, config: &PluginConfig<'_>) -> Result<(), BoxError> {
        self.configured(config, "as interceptor")
    }
    fn close(&self) {
        self.1.note(format!("{} closed", self.0));
    }
}

fn open(
    cluster: &MockCluster,
    journal: &Journal,
    key: &'static str,
    fails: &str,
) -> Result<KafkaProducer<str, str>, kafka_producer::Error> {
    let config = config(cluster)
        .declare_keys(&["plug."])
        .set("plug.greeting", "hello")
        .set("plug.fails", fails)
        .build()
        .unwrap();
    let plug = |name| Plug(name, journal.clone());
    KafkaProducer::builder(config, plug(key), plug("v")).partitioner(plug("p")).interceptor(plug("i")).build()
}

const CONFIGURED: [&str; 4] =
    ["k as key hello", "v as value hello", "p as partitioner hello", "i as interceptor hello"];

#[test]
fn plug_ins_are_configured_and_closed_once() {
    let cluster = MockCluster::start(1).unwrap();
    let journal = Journal::default();
    let producer = open(&cluster, &journal, "k", "").unwrap();
    assert_eq!(journal.take(), CONFIGURED);
    producer.send(ProducerRecord::new("t", "v").key("k")).unwrap().get().unwrap();
    assert!(journal.take().is_empty());
    producer.close().unwrap();
    drop(producer);
    assert_eq!(journal.take(), ["k closed", "v closed", "p closed", "i closed"]);
}

/// In the order in which they are configured, with the key that names each.
const PLUG_INS: [(&str, &str); 4] = [
    ("k", "key.serializer"),
    ("v", "value.serializer"),
    ("p", "partitioner.class"),
    ("i", "interceptor.classes"),
];

#[test]
fn a_plug_in_that_cannot_be_configured_is_named_and_all_are_closed() {
    let cluster = MockCluster::start(1).unwrap();
    for (at, (name, key)) in PLUG_INS.into_iter().enumerate() {
        let journal = Journal::default();
        let error = open(&cluster, &journal, "k", name).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        let text = error.to_string();
        assert!(text.starts_with(&format!("{key}: ")) && text.ends_with(": told to"), "{text}");
        let notes = journal.take();
        assert_eq!(notes[..=at], CONFIGURED[..=at]);
        assert_eq!(notes[at + 1..], ["k closed", "v closed", "p closed", "i closed"]);
    }
}

#[test]
fn a_plug_in_that_panics_in_configure_is_an_error_and_all_are_closed() {
    let cluster = MockCluster::start(1).unwrap();
    for (at, (name, key)) in PLUG_INS.into_iter().enumerate() {
        let journal = Journal::default();
        let error = open(&cluster, &journal, "k", &format!("loudly {name}")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        let text = error.to_string();
        assert!(text.starts_with(&format!("{key}: ")), "{text}");
        assert!(text.contains("panicked") && text.ends_with("told to panic"), "{text}");
        assert_eq!(journal.take()[at + 1..], ["k closed", "v closed", "p closed", "i closed"]);
    }
}

#[test]
fn plug_ins_of_a_producer_that_is_not_opened_are_closed_whatever_the_reason() {
    let cluster = MockCluster::start(1).unwrap();
    let closed = ["k closed", "v closed", "p closed", "i closed"];
    let journal = Journal::default();
    let plug = |name| Plug(name, journal.clone());
    let build = |config: ProducerConfigBuilder, every| {
        KafkaProducer::<str, str>::builder(config.build().unwrap(), plug("k"), plug("v"))
            .partitioner(plug("p"))
            .interceptor(plug("i"))
            .report_every(every, |_| {})
            .build()
    };
    let error = build(config(&cluster), Duration::ZERO).unwrap_err();
    assert_eq!((error.kind(), journal.take()), (ErrorKind::Misuse, closed.map(str::to_owned).to_vec()));
    let wrong = config(&cluster).set("key.serializer", "LongSerializer");
    let error = build(wrong, Duration::MAX).unwrap_err();
    assert_eq!((error.kind(), journal.take()), (ErrorKind::Config, closed.map(str::to_owned).to_vec()));
    // A report that is never due is no reason.
    let producer = build(config(&cluster), Duration::MAX).unwrap();
    producer.send(ProducerRecord::new("t", "v")).unwrap().get().unwrap();
    producer.close().unwrap();
}

#[test]
fn a_producer_that_is_dropped_closes_its_plug_ins() {
    let cluster = MockCluster::start(1).unwrap();
    let journal = Journal::default();
    let producer = open(&cluster, &journal, "k", "").unwrap();
    producer.send(ProducerRecord::new("t", "v").key("k")).unwrap().detach();
    journal.take();
    drop(producer);
    assert_eq!(journal.take(), ["k closed", "v closed", "p closed", "i closed"]);
    assert_eq!(cluster.records("t", 0).len(), 1, "and sends what it has");
}

#[test]
fn a_panic_in_one_close_does_not_keep_the_others_from_it() {
    let cluster = MockCluster::start(1).unwrap();
    let journal = Journal::default();
    let producer = open(&cluster, &journal, "panics", "").unwrap();
    journal.take();
    producer.close().unwrap();
    assert_eq!(journal.take(), ["panics closed", "v closed", "p closed", "i closed"]);
}
