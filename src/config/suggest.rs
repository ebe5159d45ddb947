//! What an unknown key was probably meant to be.
//!
//! Pure, any thread. Runs only on the way to an error.

use super::table;

/// Names of other clients, of older versions and of consumers, and what to say about them. Matched without case and
/// punctuation.
const FOREIGN: &[(&str, &str)] = &[
    // librdkafka.
    ("metadata.broker.list", "bootstrap.servers"),
    ("broker.list", "bootstrap.servers"),
    ("message.max.bytes", "max.request.size"),
    ("queue.buffering.max.ms", "linger.ms"),
    ("queue.buffering.max.kbytes", "buffer.memory (in bytes)"),
    ("queue.buffering.max.messages", "buffer.memory (in bytes; records are not counted)"),
    ("request.required.acks", "acks"),
    ("compression.codec", "compression.type"),
    ("compression.level", "compression.gzip.level, compression.lz4.level or compression.zstd.level"),
    ("batch.num.messages", "batch.size (in bytes)"),
    ("message.send.max.retries", "retries"),
    ("message.timeout.ms", "delivery.timeout.ms"),
    ("max.in.flight", "max.in.flight.requests.per.connection"),
    ("partitioner", "partitioner.class"),
    ("sticky.partitioning.linger.ms", "batch.size (the sticky partition changes by bytes)"),
    ("statistics.interval.ms", "no key: use `KafkaProducerBuilder::report_every`"),
    ("socket.timeout.ms", "request.timeout.ms"),
    ("socket.send.buffer.bytes", "send.buffer.bytes"),
    ("socket.receive.buffer.bytes", "receive.buffer.bytes"),
    ("socket.nagle.disable", "no key: Nagle's algorithm is always off"),
    ("socket.keepalive.enable", "no key: keep-alive is always on"),
    ("topic.metadata.refresh.interval.ms", "metadata.max.age.ms"),
    ("sasl.mechanisms", "sasl.mechanism"),
    ("sasl.username", "sasl.jaas.config"),
    ("sasl.password", "sasl.jaas.config"),
    ("ssl.ca.location", "ssl.truststore.location"),
    ("ssl.ca.pem", "ssl.truststore.certificates"),
    ("ssl.certificate.location", "ssl.keystore.location"),
    ("ssl.certificate.pem", "ssl.keystore.certificate.chain"),
    ("ssl.key.location", "ssl.keystore.location"),
    ("ssl.key.pem", "ssl.keystore.key"),
    ("delivery.report.only.error", "no key: `send(..)?.detach()` asks for no report"),
    ("debug", "no key: logging is by the `log` crate, with a level for each target"),
    ("log_level", "no key: logging is by the `log` crate, with a level for each target"),
    ("api.version.request", "no key: versions are always asked for"),
    (
        "api.version.request.timeout.ms",
        "socket.connection.setup.timeout.ms (versions are asked for in that time)",
    ),
    ("api.version.fallback.ms", "no key: versions are always asked for"),
    ("broker.version.fallback", "no key: versions are always asked for"),
    ("message.copy.max.bytes", "no key: a record is copied once, into its batch"),
    ("receive.message.max.bytes", "no key: answers take memory as their bytes arrive"),
    ("topic.metadata.refresh.fast.interval.ms", "retry.backoff.ms"),
    ("topic.metadata.refresh.sparse", "no key: only topics in use are asked for"),
    ("topic.metadata.propagation.max.ms", "max.block.ms"),
    ("socket.max.fails", "no key: a request that is not answered in time ends its connection"),
    ("broker.address.ttl", "no key: a name is looked up again for each connection"),
    ("broker.address.family", "no key: give `KafkaProducerBuilder::resolver` a look-up of your own"),
    ("reconnect.backoff.jitter.ms", "retry.backoff.jitter"),
    ("enabled_events", "no key: use `KafkaProducerBuilder::on_event`"),
    ("error_cb", "no key: use `KafkaProducerBuilder::on_event`"),
    ("throttle_cb", "no key: use `KafkaProducerBuilder::on_event`"),
    ("stats_cb", "no key: use `KafkaProducerBuilder::report_every`"),
    ("log_cb", "no key: logging is by the `log` crate, with a level for each target"),
    ("log.queue", "no key: logging is by the `log` crate, with a level for each target"),
    ("log.thread.name", "no key: logging is by the `log` crate, with a level for each target"),
    ("log.connection.close", "no key: logging is by the `log` crate, with a level for each target"),
    ("dr_cb", "no key: use `KafkaProducer::send_with`"),
    ("dr_msg_cb", "no key: use `KafkaProducer::send_with`"),
    ("partitioner_cb", "partitioner.class"),
    ("plugin.library.paths", "interceptor.classes"),
    ("queue.buffering.backpressure.threshold", "max.in.flight.requests.per.connection"),
    ("queuing.strategy", "no key: records of a partition are sent in their order"),
    ("enable.gapless.guarantee", "enable.idempotence"),
    ("produce.offset.report", "no key: every handle has its record's offset"),
    ("enable.ssl.certificate.verification", "ssl.endpoint.identification.algorithm"),
    ("ssl.crl.location", "ssl.truststore.location"),
    ("ssl.providers", "no key: this version has no TLS"),
    ("sasl.kerberos.principal", "sasl.jaas.config"),
    ("sasl.kerberos.keytab", "sasl.jaas.config"),
    ("sasl.oauthbearer.config", "sasl.jaas.config"),
    ("sasl.oauthbearer.client.id", "sasl.oauthbearer.client.credentials.client.id"),
    ("sasl.oauthbearer.client.secret", "sasl.oauthbearer.client.credentials.client.secret"),
    // kafkajs.
    ("brokers", "bootstrap.servers"),
    ("idempotent", "enable.idempotence"),
    ("maxInFlightRequests", "max.in.flight.requests.per.connection"),
    ("connectionTimeout", "socket.connection.setup.timeout.ms"),
    ("requestTimeout", "request.timeout.ms"),
    ("initialRetryTime", "retry.backoff.ms"),
    ("maxRetryTime", "retry.backoff.max.ms"),
    ("createPartitioner", "partitioner.class"),
    ("retry.multiplier", "retry.backoff.multiplier"),
    ("retry.factor", "retry.backoff.jitter"),
    ("allowAutoTopicCreation", "no key: the broker's auto.create.topics.enable decides"),
    // sarama.
    ("Producer.MaxMessageBytes", "max.request.size"),
    ("Producer.RequiredAcks", "acks"),
    ("Producer.Timeout", "request.timeout.ms"),
    ("Producer.Idempotent", "enable.idempotence"),
    ("Producer.Compression", "compression.type"),
    ("Producer.CompressionLevel", "compression.gzip.level, compression.lz4.level or compression.zstd.level"),
    ("Producer.Partitioner", "partitioner.class"),
    ("Producer.Retry.Max", "retries"),
    ("Producer.Retry.Backoff", "retry.backoff.ms"),
    ("Producer.Flush.Bytes", "batch.size"),
    ("Producer.Flush.Frequency", "linger.ms"),
    ("Producer.Flush.Messages", "batch.size (in bytes)"),
    ("Producer.Transaction.ID", "transactional.id"),
    ("Net.MaxOpenRequests", "max.in.flight.requests.per.connection"),
    ("Net.DialTimeout", "socket.connection.setup.timeout.ms"),
    ("Net.ReadTimeout", "request.timeout.ms"),
    ("Net.WriteTimeout", "request.timeout.ms"),
    ("Net.KeepAlive", "no key: keep-alive is always on"),
    ("Metadata.RefreshFrequency", "metadata.max.age.ms"),
    ("Metadata.Retry.Backoff", "retry.backoff.ms"),
    ("Metadata.Timeout", "max.block.ms"),
    ("Producer.Transaction.Timeout", "transaction.timeout.ms"),
    ("Producer.Flush.MaxMessages", "batch.size (in bytes)"),
    ("Producer.Return.Successes", "no key: every `send` gives a handle"),
    ("Producer.Return.Errors", "no key: every `send` gives a handle"),
    // franz-go, kafka-go, kafka-python.
    ("Balancer", "partitioner.class"),
    ("ConnIdleTimeout", "connections.max.idle.ms"),
    ("api_version", "no key: versions are always asked for"),
    ("sasl_plain_username", "sasl.jaas.config"),
    ("sasl_plain_password", "sasl.jaas.config"),
    ("ssl_cafile", "ssl.truststore.location"),
    ("ssl_check_hostname", "ssl.endpoint.identification.algorithm"),
    ("SeedBrokers", "bootstrap.servers"),
    ("ProducerLinger", "linger.ms"),
    ("BatchTimeout", "linger.ms"),
    ("BatchBytes", "batch.size"),
    ("ProducerBatchMaxBytes", "max.request.size"),
    ("ProducerBatchCompression", "compression.type"),
    ("MaxBufferedBytes", "buffer.memory"),
    ("MaxBufferedRecords", "buffer.memory (in bytes; records are not counted)"),
    ("RecordDeliveryTimeout", "delivery.timeout.ms"),
    ("RecordRetries", "retries"),
    ("RecordPartitioner", "partitioner.class"),
    ("RequiredAcks", "acks"),
    ("DisableIdempotentWrite", "enable.idempotence"),
    ("MaxProduceRequestsInflightPerBroker", "max.in.flight.requests.per.connection"),
    ("MaxAttempts", "retries"),
    // Java before 1.0, and its Scala producer.
    ("timeout.ms", "request.timeout.ms"),
    ("metadata.fetch.timeout.ms", "max.block.ms"),
    ("block.on.buffer.full", "max.block.ms"),
    ("producer.type", "no key: wait for a handle or do not"),
    ("serializer.class", "value.serializer"),
    ("key.serializer.class", "key.serializer"),
    ("queue.enqueue.timeout.ms", "max.block.ms"),
    ("compressed.topics", "compression.type (for all topics)"),
    ("zookeeper.connect", "bootstrap.servers"),
    ("max.message.size", "max.request.size"),
    // Of consumers and topics.
    ("group.id", "nothing: it is a consumer's key"),
    ("group.instance.id", "nothing: it is a consumer's key"),
    ("auto.offset.reset", "nothing: it is a consumer's key"),
    ("enable.auto.commit", "nothing: it is a consumer's key"),
    ("auto.commit.interval.ms", "nothing: it is a consumer's key"),
    ("session.timeout.ms", "nothing: it is a consumer's key"),
    ("isolation.level", "nothing: it is a consumer's key"),
    ("client.rack", "nothing: it is a consumer's key"),
    ("check.crcs", "nothing: it is a consumer's key"),
    ("fetch.min.bytes", "nothing: it is a consumer's key"),
    ("fetch.max.wait.ms", "nothing: it is a consumer's key"),
    ("heartbeat.interval.ms", "nothing: it is a consumer's key"),
    ("max.poll.records", "nothing: it is a consumer's key"),
    ("max.poll.interval.ms", "nothing: it is a consumer's key"),
    ("key.deserializer", "nothing: it is a consumer's key"),
    ("value.deserializer", "nothing: it is a consumer's key"),
    (
        "allow.auto.create.topics",
        "nothing: it is a consumer's key; the broker's auto.create.topics.enable decides",
    ),
    ("min.insync.replicas", "nothing: it is a topic's setting"),
    ("max.message.bytes", "max.request.size (max.message.bytes is the topic's own limit)"),
];

/// What to give instead of `unknown`, if anything comes near.
pub(super) fn suggest<'a>(unknown: &str, declared: impl Iterator<Item = &'a str>) -> Option<String> {
    let bare = squeeze(unknown);
    if let Some((_, hint)) = FOREIGN.iter().find(|(name, _)| squeeze(name) == bare) {
        return Some((*hint).to_owned());
    }
    let names: Vec<&str> = table::keys().map(|key| key.name).chain(declared).collect();
    // Other spellings (batchSize, BATCH_SIZE) and prefixes of frameworks (spring.kafka.producer.acks).
    if let Some(name) = names.iter().find(|name| squeeze(name) == bare) {
        return Some((*name).to_owned());
    }
    let dotted = unknown.to_ascii_lowercase().replace(['-', '_'], ".");
    let ending = |name: &&&str| dotted.strip_suffix(**name).is_some_and(|prefix| prefix.ends_with('.'));
    if let Some(name) = names.iter().filter(ending).max_by_key(|name| name.len()) {
        return Some((*name).to_owned());
    }
    let (distance, name) =
        names.iter().map(|name| (distance(&bare, &squeeze(name)), *name)).min_by_key(|(far, _)| *far)?;
    (distance <= 2.max(bare.chars().count() / 4)).then(|| name.to_owned())
}

/// Letters and digits alone, in lower case.
fn squeeze(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// Insertions, deletions, replacements and swaps of neighbours that turn one into the other.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = Vec::with_capacity(b.len() + 1);
        row.push(i + 1);
        let mut left = i + 1;
        for (j, y) in b.iter().enumerate() {
            let of = |line: &[usize], at: usize| line.get(at).copied().unwrap_or(usize::MAX - 1);
            let mut best = (of(&above, j) + usize::from(x != y)).min(left + 1).min(of(&above, j + 1) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            if swapped {
                best = best.min(of(&before, j - 1) + 1);
            }
            row.push(best);
            left = best;
        }
        before = std::mem::replace(&mut above, row);
    }
    above.last().copied().unwrap_or(a.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(unknown: &str) -> Option<String> {
        suggest(unknown, std::iter::empty())
    }

    #[test]
    fn typing_errors() {
        for (unknown, key) in [
            ("linger.m", "linger.ms"),
            ("bootstrap.server", "bootstrap.servers"),
            ("ack", "acks"),
            ("aksc", "acks"),
            ("batch_size", "batch.size"),
            ("batchSize", "batch.size"),
            ("LINGER_MS", "linger.ms"),
            ("enable.idempotance", "enable.idempotence"),
            ("max.in.flight.request.per.conection", "max.in.flight.requests.per.connection"),
            ("spring.kafka.producer.retries", "retries"),
            ("producer.compression.type", "compression.type"),
            ("spring.kafka.producer.bootstrap-servers", "bootstrap.servers"),
            ("spring.kafka.producer.key-serializer", "key.serializer"),
            ("KAFKA_LINGER_MS", "linger.ms"),
        ] {
            assert_eq!(hint(unknown).as_deref(), Some(key), "{unknown}");
        }
        assert_eq!(hint("schema.registry.url"), None);
        assert_eq!(hint(""), None);
        assert_eq!(hint("é"), None);
    }

    #[test]
    fn names_of_other_clients() {
        for (unknown, part) in [
            ("message.max.bytes", "max.request.size"),
            ("idempotent", "enable.idempotence"),
            ("maxInFlightRequests", "max.in.flight.requests.per.connection"),
            ("queue.buffering.max.ms", "linger.ms"),
            ("Producer.RequiredAcks", "acks"),
            ("group.id", "consumer"),
        ] {
            assert!(hint(unknown).unwrap().contains(part), "{unknown}");
        }
    }

    #[test]
    fn hints_name_real_keys() {
        for (name, hint) in FOREIGN {
            let first = hint.split([' ', ',']).next().unwrap();
            assert!(
                table::find(first).is_some() || hint.starts_with("no key: ") || hint.starts_with("nothing: "),
                "{name} -> {hint}"
            );
            assert!(table::find(name).is_none(), "{name} is a key itself");
        }
    }

    #[test]
    fn distances() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
        assert_eq!(distance("abc", "acb"), 1);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
