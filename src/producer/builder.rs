//! Putting a producer together.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::lifecycle::close_all;
use super::road::Lent;
use super::{KafkaProducer, settings};
use crate::accumulator::RecordAccumulator;
use crate::config::{PluginConfig, ProducerConfig};
use crate::driver::{Callbacks, Listener, Lookup, Monitor, Report, Resolver, SenderHandle, Status, start};
use crate::engine::{Engine, TransactionPort};
use crate::error::{BoxError, Error, ErrorKind, panic_text};
use crate::interceptor::{Interceptor, Interceptors};
use crate::metrics::{Event, Metrics, MetricsSnapshot};
use crate::partitioner::{self, TypedPartitioner};
use crate::serializer::{Role, Serializer, check_roughly, is_plain};
use crate::sync::Arc;
use crate::sync::atomic::AtomicBool;

/// Opens a producer with parts that a configuration cannot name.
pub struct KafkaProducerBuilder<K: ?Sized + 'static, V: ?Sized + 'static> {
    config: ProducerConfig,
    key: Box<dyn Serializer<K>>,
    value: Box<dyn Serializer<V>>,
    partitioner: Option<Box<dyn TypedPartitioner<K, V>>>,
    interceptors: Vec<Box<dyn Interceptor<K, V>>>,
    lookup: Option<Arc<Lookup>>,
    listener: Option<Listener>,
    reports: Vec<Report>,
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> KafkaProducerBuilder<K, V> {
    pub(super) fn new(
        config: ProducerConfig,
        key: Box<dyn Serializer<K>>,
        value: Box<dyn Serializer<V>>,
    ) -> Self {
        Self {
            config,
            key,
            value,
            partitioner: None,
            interceptors: Vec::new(),
            lookup: None,
            listener: None,
            reports: Vec::new(),
        }
    }

    /// Asks `partitioner` for every record that names no partition itself, instead of the default one or the one that
    /// `partitioner.class` names. A [`Partitioner`](crate::Partitioner), or a [`TypedPartitioner`] of these types.
    #[must_use]
    pub fn partitioner(mut self, partitioner: impl TypedPartitioner<K, V> + 'static) -> Self {
        self.partitioner = Some(Box::new(partitioner));
        self
    }

    /// Adds an interceptor behind those added before. Java: `interceptor.classes`.
    #[must_use]
    pub fn interceptor(mut self, interceptor: impl Interceptor<K, V> + 'static) -> Self {
        self.interceptors.push(Box::new(interceptor));
        self
    }

    /// Asks `lookup` for the addresses of every broker, bootstrap or from the metadata, instead of the system's resolver:
    /// for a tunnel, ports that are mapped, a name server of your own, tests. It is given host and port as the
    /// configuration or the broker has them, and all addresses that it returns are tried in turn, with their ports.
    ///
    /// # Blocking
    /// It runs on `kafka-connector` threads and may take its time: only the broker that it was asked for waits, and it is
    /// not asked for that broker again meanwhile. A panic counts as an error.
    ///
    /// ```
    /// use kafka_producer::mock::MockCluster;
    /// use kafka_producer::{BytesSerializer, KafkaProducer, ProducerConfig, ProducerRecord, StringSerializer};
    /// use std::net::SocketAddr;
    ///
    /// # let cluster = MockCluster::start(1)?;
    /// # let port: u16 = cluster.bootstrap_servers().rsplit(':').next().unwrap().parse()?;
    /// // The cluster calls itself kafka.internal, and is reached through a tunnel on this machine.
    /// let config = ProducerConfig::new(&format!("kafka.internal:{port}"))?;
    /// let producer = KafkaProducer::<str, [u8]>::builder(config, StringSerializer, BytesSerializer)
    ///     .resolver(|_host, port| Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))]))
    ///     .build()?;
    /// producer.send(ProducerRecord::new("orders", b"created"))?.get()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn resolver(
        mut self,
        lookup: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> Self {
        self.lookup = Some(Arc::new(lookup));
        self
    }

    /// Calls `listener` with what the producer does and meets: connections, requests, retries, throttling, leaders,
    /// failures. Replaces one that was set before.
    ///
    /// It runs on a thread of its own (`kafka-monitor`), never on the one that sends. Up to 1024 events wait for it; what
    /// comes beyond that is dropped and counted ([`MetricsSnapshot::events_dropped`]). Panics are logged. There, `send`
    /// never blocks, and `flush`, `close` and `get` on a pending handle are refused, as in a callback.
    #[must_use]
    pub fn on_event(mut self, listener: impl FnMut(&Event) + Send + 'static) -> Self {
        self.listener = Some(Box::new(listener));
        self
    }

    /// Calls `reporter` with the metrics every `interval`, and a last time when the producer closes. May be called
    /// several times: each reporter has its own interval. Java: `metric.reporters`.
    ///
    /// It runs on the thread that [`on_event`](Self::on_event) describes; a slow one delays events and other reporters.
    #[must_use]
    pub fn report_every(
        mut self,
        interval: Duration,
        reporter: impl FnMut(&MetricsSnapshot) + Send + 'static,
    ) -> Self {
        self.reports.push(Report { every: interval, run: Box::new(reporter) });
        self
    }

    /// Logs one line of metrics every `interval`, and a last one when the producer closes: level `info`, target
    /// `kafka_producer::metrics`.
    #[must_use]
    pub fn log_metrics_every(self, interval: Duration) -> Self {
        self.report_every(interval, |m| log::info!(target: "kafka_producer::metrics", "{m}"))
    }

    /// Opens the producer. Returns at once, also while no broker can be reached.
    ///
    /// # Errors
    /// As [`KafkaProducer::new`]; [`Misuse`](crate::ErrorKind::Misuse) for a report every zero seconds.
    pub fn build(mut self) -> Result<KafkaProducer<K, V>, Error> {
        let config = self.config.clone();
        let threads = self.prepare(&config);
        let interceptors = Arc::new(Interceptors::new(self.interceptors));
        let Threads { acc, status, sender, callbacks, transactions, monitor } =
            threads.inspect_err(|_| {
                close_all(&*self.key, &*self.value, self.partitioner.as_deref());
                interceptors.close();
            })?;
        Ok(KafkaProducer {
            lent: match (self.key.lends(), self.value.lends(), &self.partitioner) {
                (Some(key), Some(value), None) if is_plain::<K>() && is_plain::<V>() => {
                    Some(Lent { key, value })
                }
                _ => None,
            },
            longest_record: config.max_request_size().min(acc.longest_record()),
            key: self.key,
            value: self.value,
            interceptors,
            partitioner: self.partitioner,
            ignore_keys: config.partitioner_ignore_keys(),
            max_block: config.max_block(),
            max_request_size: config.max_request_size(),
            patience: settings::patience(&config),
            drop_timeout: config.drop_close_timeout(),
            process: std::process::id(),
            acc,
            status,
            sender,
            callbacks,
            monitor,
            close_called: AtomicBool::new(false),
            plug_ins_closed: AtomicBool::new(false),
            transactions,
        })
    }

    /// Whatever may fail. If it does, the plug-ins are closed by the caller: from here on they belong to the producer.
    fn prepare(&mut self, config: &ProducerConfig) -> Result<Threads, Error> {
        settings::refuse_what_is_missing(config)?;
        if self.reports.iter().any(|report| report.every.is_zero()) {
            return Err(Error::new(ErrorKind::Misuse, "report_every: the interval must be more than zero"));
        }
        check_roughly::<K>(config, Role::Key)?;
        check_roughly::<V>(config, Role::Value)?;
        if self.partitioner.is_none() {
            let named = config.partitioner().and_then(partitioner::by_name);
            self.partitioner = named.map(|p| Box::new(p) as Box<dyn TypedPartitioner<K, V>>);
        }
        self.configure(&PluginConfig::new(config))?;
        let adaptive = self.partitioner.as_ref().is_none_or(|p| p.is_adaptive());
        let resolver = self.lookup.take().map_or_else(Resolver::default, Resolver::new);
        let reports = std::mem::take(&mut self.reports);
        Threads::start(config, adaptive, resolver, self.listener.take(), reports)
    }

    /// Shows every plug-in the configuration, before anything of the producer runs.
    fn configure(&mut self, config: &PluginConfig<'_>) -> Result<(), Error> {
        configured(Role::Key.config_key(), "key serializer", || self.key.configure(config, Role::Key))?;
        configured(Role::Value.config_key(), "value serializer", || {
            self.value.configure(config, Role::Value)
        })?;
        if let Some(partitioner) = &mut self.partitioner {
            configured("partitioner.class", "partitioner", || partitioner.configure(config))?;
        }
        for interceptor in &mut self.interceptors {
            configured("interceptor.classes", "interceptor", || interceptor.configure(config))?;
        }
        Ok(())
    }
}

/// Runs a plug-in's `configure`. A panic there must not keep the others from being closed.
fn configured(key: &str, what: &str, run: impl FnOnce() -> Result<(), BoxError>) -> Result<(), Error> {
    let error = |how: &str| Error::config(key, format_args!("the {what} {how}"));
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(cause)) => Err(error("cannot be configured").with_source(cause)),
        Err(panic) => Err(error("panicked in configure").with_source(panic_text(&*panic))),
    }
}

/// What runs beneath a producer.
struct Threads {
    acc: Arc<RecordAccumulator>,
    status: Arc<Status>,
    sender: SenderHandle,
    callbacks: Callbacks,
    transactions: Option<Arc<TransactionPort>>,
    monitor: Option<Monitor>,
}

impl Threads {
    fn start(
        config: &ProducerConfig,
        adaptive: bool,
        resolver: Resolver,
        listener: Option<Listener>,
        reports: Vec<Report>,
    ) -> Result<Self, Error> {
        let client_id = settings::client_id(config);
        let metrics = Metrics::new(&client_id, config.metrics_sample_window(), config.metrics_num_samples());
        let acc = RecordAccumulator::new(settings::accumulator(config, adaptive), Arc::new(metrics));
        if let Some(timeout) = config.partitioner_availability_timeout() {
            acc.set_availability_timeout(timeout);
        }
        let status = Arc::new(Status::default());
        let callbacks = Callbacks::start(acc.id)?;
        acc.set_callback_sink(callbacks.sink());
        let monitor = Monitor::start(&acc, listener, reports)?;
        let engine = Engine::new(settings::engine(config, &client_id), acc.clone());
        let transactions = engine.transaction_port();
        let sockets = settings::sockets(config, &client_id, resolver);
        let sender = start(engine, acc.clone(), status.clone(), sockets)?;
        Ok(Self { acc, status, sender, callbacks, transactions, monitor })
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
