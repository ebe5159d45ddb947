//! From checked settings to a `ProducerConfig`: effective values, and the names that need an object instead.
//!
//! Pure, any thread.

use super::ProducerConfig;
use super::address;
use super::check::{self, Notes, Settings};
use super::names::{DnsLookup, MetadataRecoveryStrategy, PartitionerName, RecordingLevel, SerializerName};
use super::secret::Secret;
use crate::error::Error;
use crate::protocol::record::compression::{Compression, CompressionType};
use std::collections::BTreeMap;

const AVAILABILITY: &str = "partitioner.availability.timeout.ms";

pub(super) fn resolve(
    settings: &Settings,
    plugin_values: BTreeMap<String, Secret>,
    notes: &mut Notes,
) -> Result<ProducerConfig, Error> {
    security_protocol(settings)?;
    plugins(settings, notes)?;
    let bootstrap_servers = address::parse_all(&settings.list("bootstrap.servers")?, notes)?;
    let timing = check::timing(settings, notes)?;
    let reliability = check::reliability(settings, notes)?;
    let memory = check::memory(settings, notes)?;
    let text = |key| Ok::<_, Error>(settings.text(key)?.unwrap_or_default());
    Ok(ProducerConfig {
        bootstrap_servers,
        client_id: check::id(settings, "client.id", notes)?,
        key_serializer: serializer(settings, "key.serializer")?,
        value_serializer: serializer(settings, "value.serializer")?,
        acks: reliability.acks,
        idempotence: reliability.idempotence,
        retries: reliability.retries,
        max_in_flight: reliability.max_in_flight,
        batch_size: memory.batch,
        batch_max_size: memory.largest_batch,
        linger: timing.linger,
        buffer_memory: memory.buffer,
        buffer_memory_per_broker_ratio: settings.real("buffer.memory.per.broker.ratio")?,
        max_request_size: settings.int("max.request.size")?,
        max_block: settings.time("max.block.ms")?,
        delivery_timeout: timing.delivery,
        request_timeout: timing.request,
        compression: compression(settings)?,
        partitioner: partitioner(settings)?,
        partitioner_ignore_keys: settings.flag("partitioner.ignore.keys")?,
        partitioner_adaptive: settings.flag("partitioner.adaptive.partitioning.enable")?,
        partitioner_availability_timeout: settings.time(AVAILABILITY).map(check::unless_zero)?,
        drop_close_timeout: settings.time("drop.close.timeout.ms")?,
        transactional_id: reliability.transactional_id,
        transaction_timeout: reliability.transaction_timeout,
        two_phase_commit: reliability.two_phase_commit,
        dns_lookup: DnsLookup::parse(&text("client.dns.lookup")?),
        connections_max_idle: settings.time_or_off("connections.max.idle.ms")?,
        metadata_max_age: settings.time("metadata.max.age.ms")?,
        metadata_max_idle: settings.time("metadata.max.idle.ms")?,
        metadata_recovery: MetadataRecoveryStrategy::parse(&text("metadata.recovery.strategy")?),
        rebootstrap_trigger: settings.time("metadata.recovery.rebootstrap.trigger.ms")?,
        reconnect_backoff: check::reconnect(settings, notes)?,
        retry_backoff: check::growing(settings, notes, "retry.backoff.ms", "retry.backoff.max.ms")?,
        retry_backoff_multiplier: settings.real("retry.backoff.multiplier")?,
        retry_backoff_jitter: settings.real("retry.backoff.jitter")?,
        connection_setup_timeout: check::growing(
            settings,
            notes,
            "socket.connection.setup.timeout.ms",
            "socket.connection.setup.timeout.max.ms",
        )?,
        send_buffer: check::send_buffer(settings)?,
        receive_buffer: settings.int_or_off("receive.buffer.bytes")?,
        metrics_num_samples: settings.int("metrics.num.samples")?,
        metrics_sample_window: settings.time("metrics.sample.window.ms")?,
        metrics_recording_level: RecordingLevel::parse(&text("metrics.recording.level")?),
        metrics_push: settings.flag("enable.metrics.push")?,
        plugin_values,
        warnings: Vec::new(),
    })
}

fn security_protocol(settings: &Settings) -> Result<(), Error> {
    match settings.text("security.protocol")? {
        Some(name) if name != "PLAINTEXT" => {
            let message = format!("{name} is not supported by this version yet; only PLAINTEXT is");
            Err(Error::config("security.protocol", message))
        }
        _ => Ok(()),
    }
}

/// Keys that name classes for which objects are given here, and what this version does not do.
fn plugins(settings: &Settings, notes: &mut Notes) -> Result<(), Error> {
    if let Some(class) = settings.list("interceptor.classes")?.first() {
        let message = format!(
            "{class:?} names a class of Java's; remove the key and give the interceptor itself to \
             KafkaProducerBuilder::interceptor"
        );
        return Err(Error::config("interceptor.classes", message));
    }
    let is_jmx = |class: &String| class.rsplit('.').next() == Some("JmxReporter");
    if let Some(class) = settings.list("metric.reporters")?.iter().find(|class| !is_jmx(class)) {
        let message = format!(
            "{class:?} names a class of Java's; remove the key and give a closure to KafkaProducerBuilder::report_every"
        );
        return Err(Error::config("metric.reporters", message));
    }
    let lookup = DnsLookup::parse(&settings.text("client.dns.lookup")?.unwrap_or_default());
    if lookup == DnsLookup::ResolveCanonicalBootstrapServersOnly {
        notes.warn(format_args!(
            "client.dns.lookup: {} makes no difference without Kerberos and TLS; every address of a name is tried",
            lookup.name()
        ));
    }
    if settings.has("enable.metrics.push") && settings.flag("enable.metrics.push")? {
        notes.warn("enable.metrics.push: this version pushes no metrics to brokers");
    }
    Ok(())
}

fn serializer(settings: &Settings, key: &str) -> Result<Option<SerializerName>, Error> {
    let Some(class) = settings.text(key)? else { return Ok(None) };
    SerializerName::parse(&class).map(Some).ok_or_else(|| {
        Error::config(
            key,
            format_args!(
                "{class:?} is no serializer that has a name here (those of single values in Java's \
                 org.apache.kafka.common.serialization have); remove the key and give the serializer itself to \
                 KafkaProducer::new or KafkaProducer::builder"
            ),
        )
    })
}

fn partitioner(settings: &Settings) -> Result<Option<PartitionerName>, Error> {
    let key = "partitioner.class";
    let Some(class) = settings.text(key)? else { return Ok(None) };
    PartitionerName::parse(&class).map(Some).ok_or_else(|| {
        Error::config(
            key,
            format_args!(
                "{class:?} is no partitioner that has a name here; give one of {}, or remove the key and give the \
                 partitioner itself to KafkaProducerBuilder::partitioner",
                PartitionerName::names()
            ),
        )
    })
}

/// The key that holds a codec's level.
pub(super) fn level_key(codec: CompressionType) -> Option<&'static str> {
    match codec {
        CompressionType::Gzip => Some("compression.gzip.level"),
        CompressionType::Lz4 => Some("compression.lz4.level"),
        CompressionType::Zstd => Some("compression.zstd.level"),
        _ => None,
    }
}

/// The codec, at a level if one was set; levels of other codecs do not matter, as in Java.
fn compression(settings: &Settings) -> Result<Compression, Error> {
    let key = "compression.type";
    let name = settings.text(key)?.unwrap_or_default();
    let codec: CompressionType = name.parse().map_err(|error| Error::config(key, error))?;
    if !codec.is_available() {
        let message = format!(
            "{name} needs the cargo feature \"{name}\" of kafka-producer, which is off in this build"
        );
        return Err(Error::config(key, message));
    }
    let Some(key) = level_key(codec).filter(|key| settings.has(key)) else {
        return Ok(Compression::new(codec));
    };
    match settings.int_or_off(key)? {
        Some(level) => Compression::with_level(codec, level).map_err(|error| Error::config(key, error)),
        None => Ok(Compression::new(codec)),
    }
}
