//! What `build` writes to the log. A process has one logger, hence a test binary of its own.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use kafka_producer::ProducerConfig;
use log::{Level, LevelFilter, Log, Metadata, Record};
use std::sync::Mutex;

static LINES: Mutex<Vec<(Level, String, String)>> = Mutex::new(Vec::new());

struct Keep;

impl Log for Keep {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let line = (record.level(), record.target().to_owned(), record.args().to_string());
        LINES.lock().unwrap().push(line);
    }

    fn flush(&self) {}
}

#[test]
fn warnings_advice_and_no_secrets() {
    log::set_logger(&Keep).unwrap();
    log::set_max_level(LevelFilter::Trace);
    let one = ProducerConfig::builder(["only:9092"])
        .set("acks", "1")
        .set("sasl.jaas.config", "hunter2")
        .build()
        .unwrap();
    let lines = std::mem::take(&mut *LINES.lock().unwrap());
    let warned: Vec<_> = lines.iter().filter(|line| line.0 == Level::Warn).map(|line| &line.2).collect();
    assert_eq!(warned, one.warnings().iter().collect::<Vec<_>>());
    let advice: Vec<_> = lines.iter().filter(|line| line.0 == Level::Info).collect();
    assert!(advice.len() == 1 && advice[0].2.starts_with("bootstrap.servers: only:9092"), "{advice:?}");
    assert!(lines.iter().all(|line| line.1 == "kafka_producer::config" && !line.2.contains("hunter2")));
    ProducerConfig::new("a:1,b:1").unwrap();
    assert!(LINES.lock().unwrap().is_empty());
}
