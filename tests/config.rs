//! Settings as a user gives them: what they come to, and what is refused in which words.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use kafka_producer::config::{
    Acks, Compression, CompressionType, DnsLookup, MetadataRecoveryStrategy, PartitionerName, ProducerConfig,
    ProducerConfigBuilder, RecordingLevel, SerializerName,
};
use kafka_producer::{Error, ErrorKind};
use std::time::Duration;

fn builder() -> ProducerConfigBuilder {
    ProducerConfig::builder(["a:9092", "b:9092"])
}

fn with(pairs: &[(&str, &str)]) -> Result<ProducerConfig, Error> {
    builder().properties(pairs.iter().copied()).build()
}

/// The config, and that it came with no warning.
fn quiet(pairs: &[(&str, &str)]) -> ProducerConfig {
    let config = with(pairs).unwrap();
    assert_eq!(config.warnings(), &[] as &[String], "{pairs:?}");
    config
}

/// The config, and that its only warning holds these parts.
fn warned(pairs: &[(&str, &str)], parts: &[&str]) -> ProducerConfig {
    let config = with(pairs).unwrap();
    assert_eq!(config.warnings().len(), 1, "{pairs:?}: {:?}", config.warnings());
    for part in parts {
        assert!(config.warnings()[0].contains(part), "{part} in {}", config.warnings()[0]);
    }
    config
}

fn refused(pairs: &[(&str, &str)], parts: &[&str]) {
    let error = with(pairs).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    for part in parts {
        assert!(error.to_string().contains(part), "{pairs:?}: {part:?} in {error}");
    }
}

fn ms(number: u64) -> Duration {
    Duration::from_millis(number)
}

#[test]
fn defaults_are_those_of_java_4() {
    let config = ProducerConfig::new(" a:9092 , b:9093 ").unwrap();
    let servers: Vec<String> = config.bootstrap_servers().iter().map(ToString::to_string).collect();
    assert_eq!(servers, ["a:9092", "b:9093"]);
    assert_eq!(config.client_id(), None);
    assert_eq!((config.key_serializer(), config.value_serializer()), (None, None));
    assert_eq!((config.acks(), config.idempotence(), config.retries()), (Acks::All, true, i32::MAX as u32));
    assert_eq!(config.max_in_flight_requests_per_connection(), 5);
    assert_eq!(
        (config.batch_size(), config.buffer_memory(), config.max_request_size()),
        (16384, 33554432, 1048576)
    );
    assert_eq!((config.linger(), config.max_block()), (ms(5), ms(60_000)));
    assert_eq!((config.delivery_timeout(), config.request_timeout()), (ms(120_000), ms(30_000)));
    assert_eq!(config.compression(), Compression::new(CompressionType::None));
    assert_eq!((config.partitioner(), config.partitioner_ignore_keys()), (None, false));
    assert!(config.partitioner_adaptive_partitioning_enable());
    assert_eq!(config.partitioner_availability_timeout(), None);
    assert_eq!((config.transactional_id(), config.transaction_timeout()), (None, ms(60_000)));
    assert!(!config.transaction_two_phase_commit_enable());
    assert_eq!(config.client_dns_lookup(), DnsLookup::UseAllDnsIps);
    assert_eq!(config.connections_max_idle(), Some(ms(540_000)));
    assert_eq!((config.metadata_max_age(), config.metadata_max_idle()), (ms(300_000), ms(300_000)));
    assert_eq!(config.metadata_recovery_strategy(), MetadataRecoveryStrategy::Rebootstrap);
    assert_eq!(config.metadata_recovery_rebootstrap_trigger(), ms(300_000));
    assert_eq!((config.reconnect_backoff(), config.reconnect_backoff_max()), (ms(50), ms(1000)));
    assert_eq!((config.retry_backoff(), config.retry_backoff_max()), (ms(100), ms(1000)));
    assert_eq!((config.retry_backoff_multiplier(), config.retry_backoff_jitter()), (2.0, 0.2));
    assert_eq!(config.socket_connection_setup_timeout(), ms(10_000));
    assert_eq!(config.socket_connection_setup_timeout_max(), ms(30_000));
    assert_eq!((config.send_buffer(), config.receive_buffer()), (Some(131_072), Some(32_768)));
    assert_eq!((config.metrics_num_samples(), config.metrics_sample_window()), (2, ms(30_000)));
    assert_eq!(
        (config.metrics_recording_level(), config.enable_metrics_push()),
        (RecordingLevel::Info, true)
    );
    assert_eq!((config.buffer_memory_per_broker_ratio(), config.drop_close_timeout()), (0.5, ms(5000)));
    assert_eq!(config.warnings(), &[] as &[String]);
}

#[test]
fn a_send_buffer_that_is_not_set_grows_with_the_batches() {
    let of = |batch: &str, buffer: Option<&str>| {
        let pairs = [("bootstrap.servers", "b:1"), ("batch.size", batch)];
        let buffer = buffer.map(|bytes| ("send.buffer.bytes", bytes));
        ProducerConfig::from_properties(pairs.into_iter().chain(buffer)).unwrap().send_buffer()
    };
    let unset: Vec<_> = ["0", "16384", "131072", "200000", "1000000"].map(|batch| of(batch, None)).into();
    assert_eq!(unset, [131_072, 131_072, 131_072, 200_000, 524_288].map(Some));
    assert_eq!(of("1000000", Some("131072")), Some(131_072));
    assert_eq!(of("1000000", Some("-1")), None);
}

#[test]
#[cfg(feature = "gzip")]
fn typed_methods_and_text_are_the_same() {
    let typed = builder()
        .client_id("c")
        .acks(Acks::All)
        .enable_idempotence(true)
        .retries(7)
        .max_in_flight_requests_per_connection(3)
        .batch_size(100_000)
        .linger(ms(50))
        .buffer_memory(1 << 26)
        .buffer_memory_per_broker_ratio(0.25)
        .max_request_size(2_000_000)
        .max_block(ms(1))
        .delivery_timeout(ms(90_000))
        .request_timeout(ms(9000))
        .compression(Compression::with_level(CompressionType::Gzip, 4).unwrap())
        .partitioner(PartitionerName::Consistent)
        .partitioner_ignore_keys(true)
        .partitioner_adaptive_partitioning_enable(false)
        .partitioner_availability_timeout(ms(30))
        .drop_close_timeout(ms(1))
        .key_serializer(SerializerName::Uuid)
        .value_serializer(SerializerName::Double);
    let text = [
        ("client.id", "c"),
        ("acks", " ALL "),
        ("enable.idempotence", "TRUE"),
        ("retries", "7"),
        ("max.in.flight.requests.per.connection", "3"),
        ("batch.size", "100000"),
        ("linger.ms", "50"),
        ("buffer.memory", "67108864"),
        ("buffer.memory.per.broker.ratio", "0.25"),
        ("max.request.size", "2000000"),
        ("max.block.ms", "1"),
        ("delivery.timeout.ms", "90000"),
        ("request.timeout.ms", "9000"),
        ("compression.type", "gzip"),
        ("compression.gzip.level", "4"),
        ("partitioner.class", "consistent"),
        ("partitioner.ignore.keys", "true"),
        ("partitioner.adaptive.partitioning.enable", "false"),
        ("partitioner.availability.timeout.ms", "30"),
        ("drop.close.timeout.ms", "1"),
        ("key.serializer", "org.apache.kafka.common.serialization.UUIDSerializer"),
        ("value.serializer", "DoubleSerializer"),
    ];
    assert_eq!(typed.build().unwrap(), quiet(&text));
}

#[test]
fn typed_methods_and_text_are_the_same_for_network_metrics_and_transactions() {
    let typed = builder()
        .transactional_id("t")
        .transaction_timeout(ms(7))
        .client_dns_lookup(DnsLookup::ResolveCanonicalBootstrapServersOnly)
        .connections_max_idle(None)
        .metadata_max_age(ms(1))
        .metadata_max_idle(ms(5000))
        .metadata_recovery_strategy(MetadataRecoveryStrategy::None)
        .metadata_recovery_rebootstrap_trigger(ms(2))
        .reconnect_backoff(ms(10))
        .reconnect_backoff_max(ms(20))
        .retry_backoff(ms(30))
        .retry_backoff_max(ms(40))
        .retry_backoff_multiplier(1.5)
        .retry_backoff_jitter(0.0)
        .socket_connection_setup_timeout(ms(50))
        .socket_connection_setup_timeout_max(ms(60))
        .send_buffer(None)
        .receive_buffer(Some(70))
        .metrics_num_samples(3)
        .metrics_sample_window(ms(80))
        .metrics_recording_level(RecordingLevel::Debug)
        .enable_metrics_push(false);
    let text = [
        ("transactional.id", "t"),
        ("transaction.timeout.ms", "7"),
        ("client.dns.lookup", "resolve_canonical_bootstrap_servers_only"),
        ("connections.max.idle.ms", "-1"),
        ("metadata.max.age.ms", "1"),
        ("metadata.max.idle.ms", "5000"),
        ("metadata.recovery.strategy", "NONE"),
        ("metadata.recovery.rebootstrap.trigger.ms", "2"),
        ("reconnect.backoff.ms", "10"),
        ("reconnect.backoff.max.ms", "20"),
        ("retry.backoff.ms", "30"),
        ("retry.backoff.max.ms", "40"),
        ("retry.backoff.multiplier", "1.5"),
        ("retry.backoff.jitter", "0"),
        ("socket.connection.setup.timeout.ms", "50"),
        ("socket.connection.setup.timeout.max.ms", "60"),
        ("send.buffer.bytes", "-1"),
        ("receive.buffer.bytes", "70"),
        ("metrics.num.samples", "3"),
        ("metrics.sample.window.ms", "80"),
        ("metrics.recording.level", "DEBUG"),
        ("enable.metrics.push", "false"),
    ];
    let text = warned(&text, &["client.dns.lookup", "no difference"]);
    assert_eq!(typed.build().unwrap(), text);
    assert_eq!((text.send_buffer(), text.connections_max_idle()), (None, None));
}

#[test]
fn levels_can_be_set_beside_a_codec_that_a_file_names() {
    for (level, shown) in [(9, Some(9)), (-1, None)] {
        let typed = builder().set("compression.type", "gzip").compression_gzip_level(level).build();
        if CompressionType::Gzip.is_available() {
            assert_eq!(typed.unwrap().compression().level(), shown);
        }
    }
    let levels = builder().compression_gzip_level(1).compression_lz4_level(17).compression_zstd_level(-7);
    assert_eq!(levels.build().unwrap().compression(), Compression::new(CompressionType::None));
    for (wrong, key) in [
        (builder().compression_gzip_level(0), "compression.gzip.level: 0 "),
        (builder().compression_lz4_level(18), "compression.lz4.level: 18 "),
        (builder().compression_zstd_level(23), "compression.zstd.level: 23 "),
        (builder().compression_zstd_level(i32::MIN), "compression.zstd.level: -2147483648 "),
    ] {
        let error = wrong.build().unwrap_err().to_string();
        assert!(error.starts_with(key), "{error}");
    }
}

/// Elsewhere a blank at the end of a line would make the value invalid or another one; an id with one is another id, to
/// the broker too.
#[test]
fn blanks_around_a_value_do_not_count_save_in_ids() {
    let config = quiet(&[
        ("linger.ms", " 7\t"),
        ("acks", " 1 "),
        ("enable.idempotence", "false "),
        ("compression.type", "none "),
        ("partitioner.class", " RoundRobinPartitioner "),
        ("key.serializer", " StringSerializer\t"),
        ("retry.backoff.jitter", " 0.1 "),
    ]);
    assert_eq!((config.linger(), config.acks(), config.idempotence()), (ms(7), Acks::Leader, false));
    assert_eq!(config.partitioner(), Some(PartitionerName::RoundRobin));
    assert_eq!(config.key_serializer(), Some(SerializerName::String));
    let config = warned(&[("transactional.id", "ledger ")], &["transactional.id: \"ledger \" has blanks"]);
    assert_eq!(config.transactional_id(), Some("ledger "));
    assert_eq!(warned(&[("client.id", " c")], &["client.id: \" c\""]).client_id(), Some(" c"));
    refused(&[("transactional.id", "  ")], &["transactional.id: ", "not empty"]);
}

/// Java's `StringSerializer` reads these keys; another encoding would write other bytes.
#[test]
fn text_is_utf_8_whatever_java_s_string_serializer_is_told() {
    for key in ["key.serializer.encoding", "value.serializer.encoding", "serializer.encoding"] {
        quiet(&[(key, "UTF-8")]);
        quiet(&[(key, "utf8")]);
        refused(&[(key, "ISO-8859-1")], &[key, "ISO-8859-1", "UTF-8"]);
    }
}

#[test]
#[cfg(feature = "gzip")]
fn the_last_setting_of_a_key_counts() {
    assert_eq!(builder().linger(ms(1)).set("linger.ms", "2").build().unwrap().linger(), ms(2));
    assert_eq!(builder().set("linger.ms", "x").linger(ms(1)).build().unwrap().linger(), ms(1));
    assert_eq!(builder().set("linger.ms", "x").unset("linger.ms").build().unwrap().linger(), ms(5));
    let level_then_default =
        builder().set("compression.gzip.level", "4").compression(CompressionType::Gzip).build().unwrap();
    assert_eq!(level_then_default.compression().level(), None);
}

#[test]
fn values_out_of_range_name_key_value_and_what_is_valid() {
    for (key, value, valid) in [
        ("linger.ms", "-1", "0 or more"),
        ("linger.ms", "5ms", "whole milliseconds"),
        ("linger.ms", "", "whole milliseconds"),
        ("linger.ms", "5L", "whole milliseconds"),
        ("linger.ms", "1e3", "whole milliseconds"),
        ("linger.ms", "0x10", "whole milliseconds"),
        ("linger.ms", "9223372036854775808", "0 or more"),
        ("linger.ms", "-9223372036854775809", "0 or more"),
        ("batch.size", "16_384", "a whole number"),
        ("batch.size", "16,384", "a whole number"),
        ("batch.size", "16384.0", "a whole number"),
        ("batch.size", "2147483648", "from 0 to 2147483647"),
        ("batch.size", "null", "a whole number"),
        ("retries", "-1", "from 0 to 2147483647"),
        ("acks", "true", "all, -1, 0, 1"),
        ("acks", "", "all, -1, 0, 1"),
        ("enable.idempotence", "1", "true or false"),
        ("enable.idempotence", "", "true or false"),
        ("retry.backoff.multiplier", "inf", "from 1 to 100"),
        ("retry.backoff.jitter", "-0.1", "from 0 to 0.9"),
        ("retry.backoff.jitter", "0,2", "from 0 to 0.9"),
        ("request.timeout.ms", "0", "from 1 to 2147483647"),
        ("request.timeout.ms", "2147483648", "from 1 to 2147483647"),
        ("delivery.timeout.ms", "0", "from 1 to 2147483647"),
        ("batch.size", "-1", "from 0 to 2147483647"),
        ("buffer.memory", "0", "1 or more"),
        ("buffer.memory", "9223372036854775808", "1 or more"),
        ("max.request.size", "0", "from 1"),
        ("retries", "1.5", "a whole number"),
        ("max.in.flight.requests.per.connection", "0", "from 1"),
        ("metadata.max.idle.ms", "4999", "5000 or more"),
        ("connections.max.idle.ms", "0", "or -1"),
        ("send.buffer.bytes", "-2", "or -1"),
        ("acks", "2", "all, -1, 0, 1"),
        ("compression.type", "GZIP", "none, gzip, snappy, lz4, zstd"),
        ("compression.gzip.level", "10", "from 1 to 9, or -1"),
        ("compression.lz4.level", "0", "from 1 to 17"),
        ("compression.zstd.level", "23", "from -131072 to 22"),
        ("enable.idempotence", "yes", "true or false"),
        ("client.dns.lookup", "default", "use_all_dns_ips"),
        ("metadata.recovery.strategy", "some", "rebootstrap, none"),
        ("metrics.recording.level", "info", "INFO, DEBUG, TRACE"),
        ("security.protocol", "TLS", "PLAINTEXT, SSL"),
        ("transactional.id", "", "not empty"),
        ("buffer.memory.per.broker.ratio", "0", "above 0 to 1"),
        ("buffer.memory.per.broker.ratio", "NaN", "above 0 to 1"),
        ("retry.backoff.multiplier", "0.5", "from 1 to 100"),
        ("retry.backoff.jitter", "1", "from 0 to 0.9"),
    ] {
        refused(&[(key, value)], &[&format!("{key}: "), value, valid]);
    }
    refused(&[("client.id", &"x".repeat(32_768))], &["client.id: ", "32768 bytes"]);
}

#[test]
fn durations_that_do_not_fit_are_refused_and_the_longest_never_overflow() {
    for error in [
        builder().request_timeout(Duration::MAX).build(),
        builder().delivery_timeout(Duration::MAX).build(),
        builder().transaction_timeout(ms(1 << 31)).build(),
        builder().request_timeout(Duration::ZERO).build(),
        builder().delivery_timeout(Duration::ZERO).build(),
        builder().metadata_max_idle(Duration::ZERO).build(),
        builder().connections_max_idle(Some(Duration::ZERO)).build(),
        builder().batch_size(usize::MAX).build(),
        builder().retries(u32::MAX).build(),
    ] {
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Config);
    }
    let century = Duration::from_secs(100 * 365 * 24 * 3600);
    let config = builder()
        .max_block(Duration::MAX)
        .linger(Duration::MAX)
        .metadata_max_age(Duration::MAX)
        .reconnect_backoff(Duration::MAX)
        .retry_backoff(Duration::MAX)
        .socket_connection_setup_timeout(Duration::MAX)
        .connections_max_idle(Some(Duration::MAX))
        .drop_close_timeout(Duration::MAX)
        .delivery_timeout(ms(i32::MAX as u64))
        .build();
    // Linger counts as Java's int, which leaves nothing of so long a delivery timeout: both were given.
    assert!(config.unwrap_err().to_string().contains("linger.ms"));
    let config = builder()
        .max_block(Duration::MAX)
        .linger(Duration::MAX)
        .retry_backoff(Duration::MAX)
        .build()
        .unwrap();
    assert_eq!((config.max_block(), config.retry_backoff_max()), (century, century));
    assert_eq!((config.linger(), config.delivery_timeout()), (ms(i32::MAX as u64), ms(i32::MAX as u64)));
    let text = quiet(&[("max.block.ms", "9223372036854775807")]);
    assert_eq!(text.max_block(), century);
    builder()
        .linger(Duration::ZERO)
        .max_block(Duration::ZERO)
        .metadata_max_age(Duration::ZERO)
        .build()
        .unwrap();
    assert_eq!(
        builder().linger(Duration::from_micros(500)).build().unwrap().linger(),
        Duration::from_micros(500)
    );
}

#[test]
fn bootstrap_servers() {
    for servers in [&[][..], &[""], &[" , "]] {
        let error = ProducerConfig::builder(servers.iter().copied()).build().unwrap_err();
        assert!(error.to_string().starts_with("bootstrap.servers: no broker is given"), "{error}");
    }
    let error = ProducerConfig::from_properties([("acks", "all")]).unwrap_err();
    assert!(error.to_string().starts_with("bootstrap.servers: "), "{error}");
    let config = ProducerConfig::builder(["[::1]:9092,PLAINTEXT://h:1", "h:1"]).build().unwrap();
    assert_eq!((config.bootstrap_servers()[0].host(), config.bootstrap_servers()[0].port()), ("::1", 9092));
    assert_eq!(config.bootstrap_servers().len(), 2);
    assert!(config.warnings()[0].contains("h:1 is there more than once"));
    for (wrong, cause) in [("host", "no port"), ("host:99999", "no valid port"), ("http://a", "HTTP")] {
        let error = ProducerConfig::new(&format!("a:1,{wrong}")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains(cause) && error.to_string().contains(wrong), "{error}");
    }
}

#[test]
fn default_idempotence_yields_and_explicit_idempotence_does_not() {
    for (key, value) in [("acks", "1"), ("acks", "0"), ("retries", "0")] {
        let config = warned(&[(key, value)], &["enable.idempotence", key]);
        assert!(!config.idempotence());
        refused(&[(key, value), ("enable.idempotence", "true")], &[key, "enable.idempotence=true"]);
        refused(&[(key, value), ("transactional.id", "t")], &[key, "transactional.id"]);
        assert!(!quiet(&[(key, value), ("enable.idempotence", "false")]).idempotence());
    }
    let both = with(&[("acks", "1"), ("retries", "0")]).unwrap();
    assert_eq!(both.warnings().len(), 2);
    refused(
        &[("transactional.id", "t"), ("enable.idempotence", "false")],
        &["transactional.id", "enable.idempotence"],
    );
}

#[test]
fn more_than_five_in_flight_contradict_even_default_idempotence() {
    let six = ("max.in.flight.requests.per.connection", "6");
    refused(&[six], &[six.0, "enable.idempotence=true (the default)", "at most 5"]);
    refused(&[six, ("enable.idempotence", "true")], &[six.0, "enable.idempotence=true,"]);
    refused(&[six, ("transactional.id", "t")], &[six.0]);
    assert_eq!(quiet(&[six, ("enable.idempotence", "false")]).max_in_flight_requests_per_connection(), 6);
    warned(&[six, ("acks", "1")], &["acks"]);
}

#[test]
fn delivery_timeout_has_room_for_linger_and_a_request() {
    let times =
        |config: ProducerConfig| (config.linger(), config.request_timeout(), config.delivery_timeout());
    let (linger, request, delivery) = ("linger.ms", "request.timeout.ms", "delivery.timeout.ms");
    // A default delivery timeout is raised, as in Java.
    assert_eq!(
        times(warned(&[(request, "150000")], &[delivery, "150005"])),
        (ms(5), ms(150_000), ms(150_005))
    );
    assert_eq!(times(warned(&[(linger, "100000")], &[delivery])), (ms(100_000), ms(30_000), ms(130_000)));
    let most = ms(i32::MAX as u64);
    assert_eq!(times(warned(&[(request, "2147483647")], &[delivery])), (ms(5), most, most));
    // An explicit one makes the other defaults yield.
    assert_eq!(times(warned(&[(delivery, "10000")], &[request, delivery])), (ms(5), ms(9995), ms(10_000)));
    assert_eq!(
        times(warned(&[(delivery, "10000"), (linger, "0")], &[request])),
        (ms(0), ms(10_000), ms(10_000))
    );
    assert_eq!(times(warned(&[(delivery, "20"), (request, "18")], &[linger])), (ms(2), ms(18), ms(20)));
    let tiny = with(&[(delivery, "3")]).unwrap();
    assert_eq!(tiny.warnings().len(), 2);
    assert_eq!(times(tiny), (ms(0), ms(3), ms(3)));
    // Explicit ones contradict each other, and the message names those that do.
    refused(&[(delivery, "10"), (linger, "10")], &["delivery.timeout.ms: 10", "linger.ms=10"]);
    refused(&[(delivery, "10"), (request, "11")], &["delivery.timeout.ms: 10", "request.timeout.ms=11"]);
    refused(
        &[(delivery, "10"), (request, "9"), (linger, "2")],
        &[delivery, "linger.ms=2", "request.timeout.ms=9"],
    );
    quiet(&[(delivery, "11"), (request, "9"), (linger, "2")]);
}

#[test]
fn batches_fit_into_memory() {
    let sizes = |config: ProducerConfig| (config.batch_size(), config.buffer_memory());
    assert_eq!(sizes(quiet(&[("batch.size", "0")])).0, 1);
    assert_eq!(sizes(warned(&[("buffer.memory", "1000")], &["batch.size", "buffer.memory"])), (1000, 1000));
    let raised = warned(&[("batch.size", "40000000")], &["batch.size", "buffer.memory"]);
    assert_eq!(sizes(raised), (40_000_000, 80_000_000));
    refused(
        &[("batch.size", "2000"), ("buffer.memory", "1000")],
        &["batch.size: 2000", "buffer.memory=1000"],
    );
}

#[test]
fn batches_grow_unless_their_size_was_set() {
    let sizes = |config: ProducerConfig| (config.batch_size(), config.batch_max_size());
    assert_eq!(sizes(quiet(&[])), (16_384, 262_144));
    assert_eq!(sizes(quiet(&[("batch.size", "16384")])), (16_384, 16_384));
    assert_eq!(sizes(quiet(&[("batch.size", "1000000")])), (1_000_000, 1_000_000));
    assert_eq!(sizes(quiet(&[("batch.size", "1000"), ("batch.max.size", "5000")])), (1000, 5000));
    assert_eq!(sizes(quiet(&[("batch.size", "5000"), ("batch.max.size", "5000")])), (5000, 5000));
    assert_eq!(sizes(quiet(&[("batch.max.size", "1000000")])), (16_384, 1_000_000));
    assert_eq!(sizes(warned(&[("batch.max.size", "1000")], &["batch.size", "batch.max.size"])), (1000, 1000));
    assert_eq!(sizes(quiet(&[("batch.max.size", "0")])), (16_384, 16_384));
    assert_eq!(sizes(quiet(&[("batch.size", "1000"), ("batch.max.size", "0")])), (1000, 1000));
    refused(
        &[("batch.size", "2000"), ("batch.max.size", "1000")],
        &["batch.max.size: 1000", "batch.size=2000"],
    );
}

#[test]
fn backoffs_and_their_maximum() {
    let reconnect = |config: ProducerConfig| (config.reconnect_backoff(), config.reconnect_backoff_max());
    let retry = |config: ProducerConfig| (config.retry_backoff(), config.retry_backoff_max());
    assert_eq!(reconnect(quiet(&[("reconnect.backoff.ms", "20")])), (ms(20), ms(20)));
    assert_eq!(reconnect(quiet(&[("reconnect.backoff.ms", "2000")])), (ms(2000), ms(2000)));
    let max = ("reconnect.backoff.max.ms", "30");
    assert_eq!(reconnect(warned(&[max], &["reconnect.backoff.ms"])), (ms(30), ms(30)));
    assert_eq!(reconnect(quiet(&[max, ("reconnect.backoff.ms", "20")])), (ms(20), ms(30)));
    assert_eq!(retry(quiet(&[("retry.backoff.ms", "20")])), (ms(20), ms(1000)));
    assert_eq!(
        retry(warned(&[("retry.backoff.ms", "2000")], &["retry.backoff.max.ms"])),
        (ms(2000), ms(2000))
    );
    let both = [("retry.backoff.ms", "90"), ("retry.backoff.max.ms", "80")];
    assert_eq!(retry(warned(&both, &["retry.backoff.ms", "retry.backoff.max.ms=80"])), (ms(80), ms(80)));
    let setup = warned(&[("socket.connection.setup.timeout.ms", "60000")], &["timeout.max.ms"]);
    assert_eq!(setup.socket_connection_setup_timeout_max(), ms(60_000));
}

#[test]
fn transactions() {
    let config = quiet(&[("transactional.id", "t"), ("transaction.timeout.ms", "900000")]);
    assert_eq!((config.transactional_id(), config.transaction_timeout()), (Some("t"), ms(900_000)));
    let two_phase = ("transaction.two.phase.commit.enable", "true");
    assert!(quiet(&[two_phase, ("transactional.id", "t")]).transaction_two_phase_commit_enable());
    refused(&[two_phase, ("transaction.timeout.ms", "60000")], &["transaction.timeout.ms", two_phase.0]);
}

#[test]
fn only_the_level_of_the_codec_in_use_counts() {
    let levels = [("compression.zstd.level", "7"), ("compression.lz4.level", "2")];
    assert_eq!(quiet(&levels).compression(), Compression::new(CompressionType::None));
    for codec in CompressionType::ALL.into_iter().filter(|codec| codec.is_available()) {
        assert_eq!(quiet(&[("compression.type", codec.name())]).compression(), Compression::new(codec));
    }
}

#[test]
fn an_absent_codec_names_its_feature() {
    for codec in CompressionType::ALL.into_iter().filter(|codec| !codec.is_available()) {
        let name = codec.name();
        refused(&[("compression.type", name)], &["compression.type: ", &format!("cargo feature \"{name}\"")]);
        let typed = builder().compression(codec).build().unwrap_err();
        assert!(typed.to_string().contains("cargo feature"), "{typed}");
    }
}

#[test]
fn unknown_keys_name_the_nearest_one() {
    for (key, hint) in [
        ("linger", "linger.ms"),
        ("batchSize", "batch.size"),
        ("message.max.bytes", "max.request.size"),
        ("maxInFlightRequests", "max.in.flight.requests.per.connection"),
        ("idempotent", "enable.idempotence"),
        ("queue.buffering.max.ms", "linger.ms"),
        ("request.required.acks", "acks"),
        ("metadata.broker.list", "bootstrap.servers"),
        ("compression.codec", "compression.type"),
        ("group.id", "consumer"),
        ("something.else.entirely", "declare_keys"),
    ] {
        refused(&[(key, "hunter2")], &[&format!("{key}: unknown key"), hint]);
        assert!(!with(&[(key, "hunter2")]).unwrap_err().to_string().contains("hunter2"));
    }
    refused(&[("evil\n\u{1b}[31m", "")], &["evil\\n\\u{1b}[31m"]);
}

#[test]
fn class_names_of_java() {
    for (class, name) in [
        ("org.apache.kafka.clients.producer.RoundRobinPartitioner", PartitionerName::RoundRobin),
        ("RoundRobinPartitioner", PartitionerName::RoundRobin),
        ("UniformStickyPartitioner", PartitionerName::UniformSticky),
        ("DefaultPartitioner", PartitionerName::Default),
        ("org.apache.kafka.clients.producer.UniformStickyPartitioner", PartitionerName::UniformSticky),
        ("org.apache.kafka.clients.producer.internals.DefaultPartitioner", PartitionerName::Default),
        ("murmur2_random", PartitionerName::Murmur2Random),
        ("fnv1a", PartitionerName::Fnv1a),
    ] {
        assert_eq!(quiet(&[("partitioner.class", class)]).partitioner(), Some(name));
    }
    assert_eq!(quiet(&[("partitioner.class", "")]).partitioner(), None);
    for simple in [
        "ByteArray",
        "String",
        "Integer",
        "Long",
        "Short",
        "Float",
        "Double",
        "UUID",
        "Void",
        "ByteBuffer",
        "Bytes",
        "Boolean",
    ] {
        let class = format!("org.apache.kafka.common.serialization.{simple}Serializer");
        let config = quiet(&[("key.serializer", &class)]);
        assert_eq!(config.key_serializer().unwrap().java_class(), class);
        assert!(!config.key_serializer().unwrap().type_name().is_empty());
    }
    for (key, class, method) in [
        ("key.serializer", "io.confluent.kafka.serializers.KafkaAvroSerializer", "KafkaProducer::new"),
        ("value.serializer", "com.example.OrderSerializer", "KafkaProducer::builder"),
        ("value.serializer", "org.apache.kafka.common.serialization.ListSerializer", "KafkaProducer::new"),
        (
            "value.serializer",
            "org.apache.kafka.common.serialization.StringDeserializer",
            "KafkaProducer::new",
        ),
        ("value.serializer", "com.example.StringSerializer", "KafkaProducer::new"),
        ("value.serializer", "stringserializer", "KafkaProducer::new"),
        ("partitioner.class", "com.example.ByRegion", "KafkaProducerBuilder::partitioner"),
        ("partitioner.class", "com.example.RoundRobinPartitioner", "KafkaProducerBuilder::partitioner"),
        ("partitioner.class", "Round_Robin", "round_robin"),
        ("interceptor.classes", "com.example.Audit", "KafkaProducerBuilder::interceptor"),
        ("metric.reporters", "com.example.Statsd", "KafkaProducerBuilder::report_every"),
    ] {
        refused(&[(key, class)], &[key, class, method]);
    }
    quiet(&[("interceptor.classes", "")]);
}

#[test]
fn other_security_protocols_are_not_supported_yet() {
    for name in ["SSL", "sasl_ssl", "SASL_PLAINTEXT"] {
        refused(
            &[("security.protocol", name)],
            &["security.protocol: ", "not supported by this version yet"],
        );
    }
    quiet(&[("security.protocol", "plaintext")]);
}

#[test]
fn keys_of_the_jvm_of_brokers_and_of_security_are_listed_in_one_warning() {
    let keys = [
        ("ssl.provider", "x"),
        ("ssl.truststore.password", "hunter2"),
        ("sasl.jaas.config", "hunter2"),
        ("sasl.oauthbearer.expected.issuer", "x"),
        ("sasl.login.refresh.buffer.seconds", "not even a number"),
        ("metric.reporters", "org.apache.kafka.common.metrics.JmxReporter"),
        ("config.providers", "file"),
        ("config.providers.file.class", "x"),
    ];
    let config = warned(&keys, &keys.map(|(key, _)| key));
    assert!(!config.warnings()[0].contains("hunter2"));
}

#[test]
fn placeholders_are_not_filled_in() {
    refused(&[("client.id", "${file:/etc/passwd:root}")], &["client.id: ", "${...}"]);
    refused(&[("batch.size", "${env:SIZE}")], &["batch.size: ", "nothing is filled in"]);
    assert_eq!(quiet(&[("client.id", "a${b")]).client_id(), Some("a${b"));
}

#[test]
fn keys_of_plugins() {
    let config = builder()
        .declare_keys(&["my.key", "schema.registry."])
        .set("my.key", " a ")
        .set("schema.registry.url", "u")
        .set("metrics.context.zone", "z")
        .build()
        .unwrap();
    assert_eq!(config.plugin_value("my.key"), Some(" a "));
    assert_eq!(config.plugin_value("schema.registry.url"), Some("u"));
    assert_eq!(config.plugin_value("nothing"), None);
    let all: Vec<_> = config.plugin_values().collect();
    assert_eq!(all, [("metrics.context.zone", "z"), ("my.key", " a "), ("schema.registry.url", "u")]);
    let error = builder().declare_keys(&["my.key"]).set("my.kee", "").build().unwrap_err();
    assert!(error.to_string().contains("my.key"), "{error}");
    let error = builder().declare_keys(&["acks"]).build().unwrap_err();
    assert!(error.to_string().starts_with("acks: "), "{error}");
}

#[test]
fn nothing_secret_is_printed() {
    let keys =
        ["ssl.key.password", "ssl.keystore.key", "sasl.jaas.config", "my.password", "metrics.context.x"];
    let secret = keys.iter().fold(builder().declare_keys(&["my.password"]), |b, &key| b.set(key, "hunter2"));
    assert!(!format!("{secret:?}").contains("hunter2"), "{secret:?}");
    assert!(format!("{secret:?}").contains("sasl.jaas.config"));
    let config = secret.build().unwrap();
    assert!(!format!("{config:#?} {:?}", config.warnings()).contains("hunter2"));
    assert_eq!(config.plugin_value("my.password"), Some("hunter2"));
}

mod files {
    use super::*;
    use std::path::PathBuf;

    fn fixture(name: &str) -> PathBuf {
        [env!("CARGO_MANIFEST_DIR"), "tests", "fixtures", name].iter().collect()
    }

    #[test]
    #[cfg(feature = "lz4")]
    fn order_service() {
        let config = ProducerConfig::from_file(fixture("orders-service.properties")).unwrap();
        assert_eq!(config.warnings(), &[] as &[String]);
        assert_eq!(config.bootstrap_servers().len(), 3);
        assert_eq!(config.bootstrap_servers()[2].to_string(), "broker-3.orders.internal:9092");
        assert_eq!(config.client_id(), Some("order-service"));
        assert_eq!(config.key_serializer(), Some(SerializerName::String));
        assert_eq!(config.value_serializer(), Some(SerializerName::ByteArray));
        assert_eq!((config.batch_size(), config.linger()), (65536, ms(10)));
        assert_eq!((config.delivery_timeout(), config.request_timeout()), (ms(180_000), ms(20_000)));
        assert_eq!(config.compression().codec(), CompressionType::Lz4);
        assert!(config.idempotence());
    }

    #[test]
    #[cfg(feature = "gzip")]
    fn clickstream() {
        let config = ProducerConfig::from_file(fixture("clickstream.properties")).unwrap();
        assert_eq!(config.bootstrap_servers().len(), 2);
        assert_eq!(config.client_id(), Some("clickstream-München"));
        assert_eq!((config.acks(), config.idempotence(), config.retries()), (Acks::Leader, false, 10));
        assert_eq!(config.max_in_flight_requests_per_connection(), 20);
        assert_eq!(
            (config.send_buffer(), config.receive_buffer(), config.connections_max_idle()),
            (None, None, None)
        );
        assert_eq!((config.retry_backoff(), config.reconnect_backoff_max()), (ms(250), ms(500)));
        assert_eq!(config.partitioner(), Some(PartitionerName::RoundRobin));
        assert_eq!(config.key_serializer().unwrap().type_name(), "()");
        assert_eq!(config.compression(), Compression::new(CompressionType::Gzip));
        assert_eq!(config.warnings().len(), 2, "{:?}", config.warnings());
        assert!(config.warnings()[0].starts_with("enable.idempotence: "));
        assert!(
            config.warnings()[1]
                .contains("sasl.jaas.config, sasl.mechanism, sasl.oauthbearer.expected.audience")
        );
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn ledger() {
        let path = fixture("ledger-transactions.properties");
        let error = ProducerConfig::from_file(&path).unwrap_err().to_string();
        assert!(error.starts_with("schema.registry.") && !error.contains("hunter2"), "{error}");
        let builder = ProducerConfigBuilder::new().declare_keys(&["schema.registry."]).file(&path).unwrap();
        let config = builder.max_block(ms(1)).build().unwrap();
        assert_eq!(config.bootstrap_servers()[0].to_string(), "[2001:db8::10]:9092");
        assert_eq!(config.transactional_id(), Some("ledger-writer-7"));
        assert_eq!((config.transaction_timeout(), config.max_block()), (ms(120_000), ms(1)));
        assert_eq!(config.value_serializer(), Some(SerializerName::ByteBuffer));
        assert_eq!(config.plugin_value("schema.registry.url"), Some("https://registry.example.com"));
        assert_eq!(config.plugin_value("metrics.context.environment"), Some("production"));
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    /// What Java's `Properties.load` understands, in a file as operators keep them.
    #[test]
    fn odd_files() {
        let path = std::env::temp_dir().join(format!("kafka-producer-odd-{}.properties", std::process::id()));
        let read = |text: &[u8]| {
            std::fs::write(&path, text).unwrap();
            ProducerConfig::from_file(&path)
        };
        let config = read(
            b"\xef\xbb\xbf  ! a byte order mark, CR alone, blanks, and nothing after the last line\r\
              bootstrap.servers \\\r\n   : one\\:9092,\\\r\n\t two:9092\r\n\\\r\n#no key\r\n\
              linger.ms=1\nlinger.ms=2\n\x0c linger.ms 3\n\
              client.id=\\u0063\\u00e4\\\n  f\\u00E9\n\
              b\\u0061tch.size\t= 1000\n\
              m\\etadata.max.age.ms:7",
        );
        let config = config.unwrap();
        assert_eq!(config.bootstrap_servers().len(), 2);
        assert_eq!((config.linger(), config.batch_size()), (ms(3), 1000));
        assert_eq!((config.client_id(), config.metadata_max_age()), (Some("c\u{e4}f\u{e9}"), ms(7)));
        assert_eq!(config.warnings(), &[] as &[String]);
        for (text, parts) in [
            (&b"a=1\n\nclient.id=C:\\users"[..], ["line 3: ", "double the backslash"]),
            (b"", ["bootstrap.servers: ", "no broker"]),
            (b"=a:9092", [": unknown key", "declare_keys"]),
            (
                b"bootstrap.servers=a:1,b:1\nLinger.ms=1",
                ["Linger.ms: unknown key", "did you mean linger.ms?"],
            ),
            (b"bootstrap.servers=a:1 b:1", ["bootstrap.servers: ", "commas"]),
            (b"bootstrap.servers=\"a:1\"", ["bootstrap.servers: ", "valid"]),
        ] {
            let error = read(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            for part in parts {
                assert!(error.to_string().contains(part), "{part:?} in {error}");
            }
        }
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_file_that_is_not_there() {
        let error = ProducerConfig::from_file(fixture("absent.properties")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("absent.properties"), "{error}");
        assert!(std::error::Error::source(&error).is_some());
    }
}
