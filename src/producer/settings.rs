//! From the configuration to what each layer is told.

use std::time::Duration;

use crate::accumulator;
use crate::config::{Acks, MetadataRecoveryStrategy, ProducerConfig};
use crate::driver::{Resolver, SocketSettings};
use crate::engine::{Address, Backoff, EngineSettings, MetadataSettings, TransactionSettings};
use crate::error::Error;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicU64, Ordering};

/// Waits that a configuration may set to zero must not become busy loops.
const MIN_WAIT: Duration = Duration::from_millis(1);
/// What `connections.max.idle.ms` = -1 comes to.
const NEVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Settings that this version knows but cannot honour.
pub(super) fn refuse_what_is_missing(config: &ProducerConfig) -> Result<(), Error> {
    if config.transaction_two_phase_commit_enable() {
        let message = "no released broker lets another system end a producer's transactions (KIP-939); \
                       they would still expire, so leave it out";
        return Err(Error::config("transaction.two.phase.commit.enable", message));
    }
    Ok(())
}

/// `client.id`, or the transactional id or a number of our own, as Java does.
pub(super) fn client_id(config: &ProducerConfig) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    match (config.client_id(), config.transactional_id()) {
        (Some(id), _) => id.to_owned(),
        (None, Some(id)) => format!("producer-{id}"),
        (None, None) => format!("producer-{}", NEXT.fetch_add(1, Ordering::Relaxed)),
    }
}

/// By then every record has an outcome: it expires, and a request that is under way is answered or given up.
pub(super) fn patience(config: &ProducerConfig) -> Duration {
    config.delivery_timeout().saturating_add(Duration::from_secs(5))
}

/// `adaptive`: whether the partitioner lets the sticky choice look at queues.
pub(super) fn accumulator(config: &ProducerConfig, adaptive: bool) -> accumulator::Settings {
    let batch_max_size = match config.acks() {
        // Nobody would say that a batch is too large for the broker: its records would be lost.
        Acks::None => 0,
        Acks::Leader | Acks::All => config.batch_max_size().min(config.max_request_size()),
    };
    accumulator::Settings {
        batch_size: config.batch_size(),
        batch_max_size,
        linger: config.linger(),
        buffer_memory: config.buffer_memory(),
        broker_share: config.buffer_memory_per_broker_ratio(),
        delivery_timeout: config.delivery_timeout(),
        compression: config.compression(),
        adaptive: adaptive && config.partitioner_adaptive_partitioning_enable(),
    }
}

pub(super) fn sockets(config: &ProducerConfig, client_id: &str, resolver: Resolver) -> SocketSettings {
    SocketSettings {
        client_id: client_id.to_owned(),
        send_buffer: config.send_buffer(),
        receive_buffer: config.receive_buffer(),
        resolver,
    }
}

pub(super) fn engine(config: &ProducerConfig, client_id: &str) -> EngineSettings {
    let backoff = |initial: Duration, max: Duration| Backoff {
        initial: initial.max(MIN_WAIT),
        max: max.max(MIN_WAIT),
        multiplier: config.retry_backoff_multiplier(),
        jitter: config.retry_backoff_jitter(),
    };
    let servers = config.bootstrap_servers().iter();
    EngineSettings {
        client_id: client_id.to_owned(),
        bootstrap: servers.map(|s| Address { host: Arc::from(s.host()), port: s.port() }).collect(),
        acks: config.acks().wire(),
        idempotent: config.idempotence(),
        retries: config.retries(),
        max_in_flight: config.max_in_flight_requests_per_connection(),
        max_request_size: config.max_request_size(),
        request_timeout: config.request_timeout(),
        connections_max_idle: config.connections_max_idle().unwrap_or(NEVER),
        retry_backoff: backoff(config.retry_backoff(), config.retry_backoff_max()),
        reconnect_backoff: backoff(config.reconnect_backoff(), config.reconnect_backoff_max()),
        setup_timeout: backoff(
            config.socket_connection_setup_timeout(),
            config.socket_connection_setup_timeout_max(),
        ),
        metadata: metadata(config, backoff(config.retry_backoff(), config.retry_backoff_max())),
        allow_auto_create: true,
        seed: seed(),
        transactional: config
            .transactional_id()
            .map(|id| TransactionSettings { id: id.to_owned(), timeout: config.transaction_timeout() }),
    }
}

fn metadata(config: &ProducerConfig, backoff: Backoff) -> MetadataSettings {
    let rebootstrap = config.metadata_recovery_strategy() == MetadataRecoveryStrategy::Rebootstrap;
    MetadataSettings {
        max_age: config.metadata_max_age().max(MIN_WAIT).min(NEVER),
        max_idle: config.metadata_max_idle().min(NEVER),
        backoff,
        rebootstrap_after: rebootstrap.then(|| config.metadata_recovery_rebootstrap_trigger().min(NEVER)),
    }
}

/// Random per producer, from the standard library's per-process keys: spreads jitter and the first bootstrap server.
fn seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> ProducerConfig {
        ProducerConfig::builder(["a:1,b:2"]).properties(pairs.iter().copied()).build().unwrap()
    }

    /// Each value differs from the default and from the others.
    #[test]
    fn each_setting_reaches_the_layer_that_it_is_for() {
        let ms = Duration::from_millis;
        let config = config(&[
            ("retries", "11"),
            ("max.in.flight.requests.per.connection", "3"),
            ("max.request.size", "1001"),
            ("request.timeout.ms", "1002"),
            ("connections.max.idle.ms", "1003"),
            ("retry.backoff.ms", "101"),
            ("retry.backoff.max.ms", "102"),
            ("retry.backoff.multiplier", "3.5"),
            ("retry.backoff.jitter", "0.3"),
            ("reconnect.backoff.ms", "103"),
            ("reconnect.backoff.max.ms", "104"),
            ("socket.connection.setup.timeout.ms", "1004"),
            ("socket.connection.setup.timeout.max.ms", "1005"),
            ("metadata.max.age.ms", "1006"),
            ("metadata.max.idle.ms", "5007"),
            ("metadata.recovery.rebootstrap.trigger.ms", "1008"),
            ("send.buffer.bytes", "1009"),
            ("receive.buffer.bytes", "1010"),
            ("transactional.id", "t"),
            ("transaction.timeout.ms", "1011"),
        ]);
        let e = engine(&config, "c");
        assert_eq!((e.acks, e.idempotent, e.retries, e.max_in_flight), (-1, true, 11, 3));
        assert_eq!((e.max_request_size, e.request_timeout), (1001, ms(1002)));
        assert_eq!(e.connections_max_idle, ms(1003));
        for (backoff, initial, max) in
            [(&e.retry_backoff, 101, 102), (&e.reconnect_backoff, 103, 104), (&e.setup_timeout, 1004, 1005)]
        {
            assert_eq!((backoff.initial, backoff.max), (ms(initial), ms(max)));
            assert_eq!((backoff.multiplier, backoff.jitter), (3.5, 0.3));
        }
        assert_eq!((e.metadata.max_age, e.metadata.max_idle), (ms(1006), ms(5007)));
        assert_eq!(e.metadata.rebootstrap_after, Some(ms(1008)));
        let transactional = e.transactional.unwrap();
        assert_eq!((&*transactional.id, transactional.timeout), ("t", ms(1011)));
        let s = sockets(&config, "c", Resolver::default());
        assert_eq!((s.send_buffer, s.receive_buffer), (Some(1009), Some(1010)));
        assert_eq!(client_id(&config), "producer-t");
    }

    #[test]
    fn what_is_turned_off_is_off() {
        let config = config(&[
            ("metadata.recovery.strategy", "none"),
            ("connections.max.idle.ms", "-1"),
            ("acks", "0"),
            ("send.buffer.bytes", "-1"),
            ("partitioner.adaptive.partitioning.enable", "false"),
            ("client.id", "own"),
        ]);
        let e = engine(&config, "c");
        assert_eq!((e.metadata.rebootstrap_after, e.connections_max_idle), (None, NEVER));
        assert_eq!((e.acks, e.idempotent, e.transactional.is_none()), (0, false, true));
        assert_eq!(sockets(&config, "c", Resolver::default()).send_buffer, None);
        assert!(!accumulator(&config, true).adaptive);
        assert_eq!(client_id(&config), "own");
    }
}
