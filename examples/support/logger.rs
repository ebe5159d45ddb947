//! Shows the producer's own log on stderr: warnings, or what the environment variable `RUST_LOG` says.

use log::{LevelFilter, Log, Metadata, Record};

struct Stderr;

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("kafka_producer")
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            eprintln!("{:5} {}: {}", record.level(), record.target(), record.args());
        }
    }

    fn flush(&self) {}
}

/// Starts to log. `RUST_LOG` is off, error, warn, info, debug or trace.
pub(crate) fn start() {
    let wanted = std::env::var("RUST_LOG").ok().and_then(|level| level.parse().ok());
    if log::set_logger(&Stderr).is_ok() {
        log::set_max_level(wanted.unwrap_or(LevelFilter::Warn));
    }
}
