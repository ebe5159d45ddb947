//! Hooks before a record is serialized and after its outcome is known (KIP-42).
//!
//! `on_send` runs on the application's thread, `on_acknowledgement` on the callback thread (on the caller's for
//! records that never entered). Panics are caught and logged; they do not fail the record.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::config::PluginConfig;
use crate::error::{BoxError, Error, panic_text};
use crate::record::{ProducerRecord, RecordMetadata};

/// What an interceptor is told at the end of a record.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Outcome<'o> {
    /// The topic the record was sent to.
    pub topic: &'o str,
    /// Its partition. Of a record that did not enter, the one that it named, or that was chosen before it was refused.
    pub partition: Option<i32>,
    /// How it ended.
    pub result: &'o Result<RecordMetadata, Error>,
}

/// Sees, and may change, each record before it is serialized, and sees each outcome.
pub trait Interceptor<K: ?Sized, V: ?Sized>: Send + Sync {
    /// Called in `send`, before serialization; may change topic, partition, timestamp, headers, key and value.
    fn on_send(&self, record: &mut ProducerRecord<'_, K, V>) {
        let _ = record;
    }

    /// Called once for each record that went through `on_send`, whether it was delivered, failed or never entered.
    fn on_acknowledgement(&self, outcome: &Outcome<'_>) {
        let _ = outcome;
    }

    /// Called once while the producer is opened, before the first record: the place to read one's own keys, which
    /// [`declare_keys`](crate::ProducerConfigBuilder::declare_keys) lets into a configuration.
    ///
    /// # Errors
    /// The interceptor's own cause; the producer is then not opened, and reports it as
    /// [`ErrorKind::Config`](crate::ErrorKind::Config).
    fn configure(&mut self, config: &PluginConfig<'_>) -> Result<(), BoxError> {
        let _ = config;
        Ok(())
    }

    /// Called once when the producer closes, or when it could not be opened.
    fn close(&self) {}
}

/// The interceptors of one producer, called in the order in which they were added.
pub(crate) struct Interceptors<K: ?Sized, V: ?Sized>(Vec<Box<dyn Interceptor<K, V>>>);

impl<K: ?Sized, V: ?Sized> Interceptors<K, V> {
    pub(crate) fn new(chain: Vec<Box<dyn Interceptor<K, V>>>) -> Self {
        Self(chain)
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A panic in one keeps what it had changed and goes on with the next.
    pub(crate) fn on_send(&self, record: &mut ProducerRecord<'_, K, V>) {
        for interceptor in &self.0 {
            guarded("on_send", || interceptor.on_send(record));
        }
    }

    pub(crate) fn on_acknowledgement(&self, outcome: &Outcome<'_>) {
        for interceptor in &self.0 {
            guarded("on_acknowledgement", || interceptor.on_acknowledgement(outcome));
        }
    }

    pub(crate) fn close(&self) {
        for interceptor in &self.0 {
            guarded("close", || interceptor.close());
        }
    }
}

impl<K: ?Sized, V: ?Sized> fmt::Debug for Interceptors<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Interceptors({})", self.0.len())
    }
}

fn guarded(method: &str, call: impl FnOnce()) {
    // The interceptor is shared and immutable from here; what it breaks inside is its own.
    if let Err(panic) = catch_unwind(AssertUnwindSafe(call)) {
        let text = panic_text(&*panic);
        log::error!(target: "kafka_producer::interceptor", "an interceptor panicked in {method}; ignored: {text}");
    }
}
