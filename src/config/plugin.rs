//! What a plug-in (serializer, partitioner, interceptor) is told when the producer is opened.
//!
//! A view; any thread, no lock.

use super::ProducerConfig;
use std::fmt;

/// The configuration as a plug-in sees it: the keys declared with
/// [`declare_keys`](super::ProducerConfigBuilder::declare_keys), and the producer's own settings.
///
/// ```
/// use kafka_producer::config::{PluginConfig, ProducerConfig};
///
/// let config = ProducerConfig::builder(["localhost:9092"])
///     .declare_keys(&["schema.registry."])
///     .set("schema.registry.url", "http://registry:8081")
///     .build()?;
/// let seen = PluginConfig::new(&config);
/// assert_eq!(seen.value("schema.registry.url"), Some("http://registry:8081"));
/// # Ok::<(), kafka_producer::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct PluginConfig<'c> {
    producer: &'c ProducerConfig,
}

impl<'c> PluginConfig<'c> {
    /// What a producer with this configuration hands over; public so that a plug-in can be tested alone.
    pub fn new(producer: &'c ProducerConfig) -> Self {
        Self { producer }
    }

    /// The value given for a declared key.
    pub fn value(&self, key: &str) -> Option<&'c str> {
        self.producer.plugin_value(key)
    }

    /// All declared keys that were given, ordered by key, also those meant for other plug-ins. The values may be
    /// secrets.
    pub fn values(&self) -> impl Iterator<Item = (&'c str, &'c str)> {
        self.producer.plugin_values()
    }

    /// The producer's own settings.
    pub fn producer(&self) -> &'c ProducerConfig {
        self.producer
    }
}

/// Prints keys, never values.
impl fmt::Debug for PluginConfig<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<&str> = self.values().map(|(key, _)| key).collect();
        f.debug_struct("PluginConfig").field("keys", &keys).finish_non_exhaustive()
    }
}
