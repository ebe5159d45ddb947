//! Putting a producer together.

use std::fmt;

use super::{KafkaProducer, settings};
use crate::accumulator::RecordAccumulator;
use crate::config::ProducerConfig;
use crate::driver::{Callbacks, Status, start};
use crate::engine::Engine;
use crate::error::Error;
use crate::interceptor::{Interceptor, Interceptors};
use crate::metrics::Metrics;
use crate::partitioner::Partitioner;
use crate::serializer::Serializer;
use crate::sync::Arc;
use crate::sync::atomic::AtomicBool;

/// Opens a producer with parts that a configuration cannot name.
pub struct KafkaProducerBuilder<K: ?Sized + 'static, V: ?Sized + 'static> {
    config: ProducerConfig,
    key: Box<dyn Serializer<K>>,
    value: Box<dyn Serializer<V>>,
    partitioner: Option<Box<dyn Partitioner>>,
    interceptors: Vec<Box<dyn Interceptor<K, V>>>,
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> KafkaProducerBuilder<K, V> {
    pub(super) fn new(
        config: ProducerConfig,
        key: Box<dyn Serializer<K>>,
        value: Box<dyn Serializer<V>>,
    ) -> Self {
        Self { config, key, value, partitioner: None, interceptors: Vec::new() }
    }

    /// Asks `partitioner` for every record that names no partition itself, instead of the default one.
    #[must_use]
    pub fn partitioner(mut self, partitioner: impl Partitioner + 'static) -> Self {
        self.partitioner = Some(Box::new(partitioner));
        self
    }

    /// Adds an interceptor behind those added before.
    #[must_use]
    pub fn interceptor(mut self, interceptor: impl Interceptor<K, V> + 'static) -> Self {
        self.interceptors.push(Box::new(interceptor));
        self
    }

    /// Opens the producer. Returns at once, also while no broker can be reached.
    ///
    /// # Errors
    /// As [`KafkaProducer::new`].
    pub fn build(self) -> Result<KafkaProducer<K, V>, Error> {
        let config = &self.config;
        settings::refuse_what_is_missing(config, self.partitioner.is_some())?;
        let client_id = settings::client_id(config);
        let metrics = Arc::new(Metrics::default());
        let acc = RecordAccumulator::new(settings::accumulator(config), metrics);
        let status = Arc::new(Status::default());
        let callbacks = Callbacks::start(acc.id)?;
        acc.set_callback_sink(callbacks.sink());
        let engine = Engine::new(settings::engine(config, &client_id), acc.clone());
        let sender = start(engine, acc.clone(), status.clone(), settings::sockets(config, &client_id))?;
        Ok(KafkaProducer {
            key: self.key,
            value: self.value,
            interceptors: Arc::new(Interceptors::new(self.interceptors)),
            partitioner: self.partitioner,
            ignore_keys: config.partitioner_ignore_keys(),
            max_block: config.max_block(),
            max_request_size: config.max_request_size(),
            patience: settings::patience(config),
            drop_timeout: config.drop_close_timeout(),
            acc,
            status,
            sender,
            callbacks,
            plug_ins_closed: AtomicBool::new(false),
        })
    }
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> fmt::Debug for KafkaProducerBuilder<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaProducerBuilder")
            .field("config", &self.config)
            .field("interceptors", &self.interceptors.len())
            .finish_non_exhaustive()
    }
}
