//! The keys of TLS and SASL: known, so that a Java client's file is understood, and of no effect under PLAINTEXT.
//!
//! Their values are neither parsed nor kept, so that none can leak.

use super::Importance::{High, Low, Medium};
use super::Kind::{Bool, Class, List, Millis, Password, Real, Text};
use super::Status::{Broker, Jvm, Security};
use super::{I32, I64, Key, Kind, key};

const INT: Kind = Kind::Int { min: i32::MIN as i64, max: i32::MAX as i64, off: false };
const INT_MS: Kind = Millis { min: 0, max: I32, off: false };
const LONG_MS: Kind = Millis { min: 0, max: I64, off: false };

const fn seconds(max: i64) -> Kind {
    Kind::Int { min: 0, max, off: false }
}

const fn real(min: f64, max: f64) -> Kind {
    Real { min, max, above_min: false }
}

#[rustfmt::skip]
pub(super) const KEYS: &[Key] = &[
    // TLS.
    key("security.providers", Text, None, Low, Jvm, "JCA provider classes."),
    key("ssl.cipher.suites", List, None, Low, Security, "Cipher suites that may be used."),
    key("ssl.enabled.protocols", List, Some("TLSv1.2,TLSv1.3"), Medium, Security, "TLS versions that may be used."),
    key("ssl.endpoint.identification.algorithm", Text, Some("https"), Low, Security, "`https` checks the broker's name against its certificate; empty does not."),
    key("ssl.engine.factory.class", Class, None, Low, Jvm, "Class that makes TLS engines."),
    key("ssl.key.password", Password, None, High, Security, "Passphrase of the private key."),
    key("ssl.keymanager.algorithm", Text, Some("SunX509"), Low, Jvm, "JSSE key manager."),
    key("ssl.keystore.certificate.chain", Password, None, High, Security, "The client's certificates as PEM text."),
    key("ssl.keystore.key", Password, None, High, Security, "The client's private key as PEM text."),
    key("ssl.keystore.location", Text, None, High, Security, "File with the client's key and certificates."),
    key("ssl.keystore.password", Password, None, High, Security, "Its password."),
    key("ssl.keystore.type", Text, Some("JKS"), Medium, Security, "Its format."),
    key("ssl.protocol", Text, Some("TLSv1.3"), Medium, Security, "Highest TLS version."),
    key("ssl.provider", Text, None, Medium, Jvm, "JSSE provider."),
    key("ssl.secure.random.implementation", Text, None, Low, Jvm, "JCA random source."),
    key("ssl.trustmanager.algorithm", Text, Some("PKIX"), Low, Jvm, "JSSE trust manager."),
    key("ssl.truststore.certificates", Password, None, High, Security, "Trusted certificates as PEM text."),
    key("ssl.truststore.location", Text, None, High, Security, "File with trusted certificates."),
    key("ssl.truststore.password", Password, None, High, Security, "Its password."),
    key("ssl.truststore.type", Text, Some("JKS"), Medium, Security, "Its format."),
    // SASL.
    key("sasl.mechanism", Text, Some("GSSAPI"), Medium, Security, "GSSAPI, PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER."),
    key("sasl.jaas.config", Password, None, Medium, Security, "Login module and credentials."),
    key("sasl.client.callback.handler.class", Class, None, Medium, Jvm, "Class that answers the mechanism's questions."),
    key("sasl.kerberos.kinit.cmd", Text, Some("/usr/bin/kinit"), Low, Jvm, "Path of kinit."),
    key("sasl.kerberos.min.time.before.relogin", LONG_MS, Some("60000"), Low, Jvm, "Pause between logins, in milliseconds."),
    key("sasl.kerberos.service.name", Text, None, Medium, Security, "Principal of the broker's service."),
    key("sasl.kerberos.ticket.renew.jitter", real(0.0, f64::MAX), Some("0.05"), Low, Jvm, "Jitter of ticket renewal."),
    key("sasl.kerberos.ticket.renew.window.factor", real(0.0, f64::MAX), Some("0.8"), Low, Jvm, "Part of its life after which a ticket is renewed."),
    key("sasl.login.callback.handler.class", Class, None, Medium, Jvm, "Class that fetches credentials."),
    key("sasl.login.class", Class, None, Medium, Jvm, "Class that logs in."),
    key("sasl.login.connect.timeout.ms", INT_MS, None, Low, Security, "Time to connect to the token endpoint."),
    key("sasl.login.read.timeout.ms", INT_MS, None, Low, Security, "Time to read from the token endpoint."),
    key("sasl.login.refresh.buffer.seconds", seconds(3600), Some("300"), Low, Security, "Renews a token at least this long before it ends."),
    key("sasl.login.refresh.min.period.seconds", seconds(900), Some("60"), Low, Security, "Shortest time between renewals."),
    key("sasl.login.refresh.window.factor", real(0.5, 1.0), Some("0.8"), Low, Security, "Part of its life after which a token is renewed."),
    key("sasl.login.refresh.window.jitter", real(0.0, 0.25), Some("0.05"), Low, Security, "Jitter on that."),
    key("sasl.login.retry.backoff.max.ms", LONG_MS, Some("10000"), Low, Security, "Longest pause before a token is asked for again."),
    key("sasl.login.retry.backoff.ms", LONG_MS, Some("100"), Low, Security, "Pause before a token is asked for again."),
    key("sasl.oauthbearer.assertion.algorithm", Text, Some("RS256"), Medium, Security, "Signature of the assertion (KIP-1139)."),
    key("sasl.oauthbearer.assertion.claim.aud", Text, None, Medium, Security, "The assertion's audience."),
    key("sasl.oauthbearer.assertion.claim.exp.seconds", seconds(86_400), Some("300"), Low, Security, "The assertion's life."),
    key("sasl.oauthbearer.assertion.claim.iss", Text, None, Medium, Security, "The assertion's issuer."),
    key("sasl.oauthbearer.assertion.claim.jti.include", Bool, Some("false"), Medium, Security, "Whether the assertion has a unique id."),
    key("sasl.oauthbearer.assertion.claim.nbf.seconds", seconds(3600), Some("60"), Low, Security, "How far back the assertion is valid."),
    key("sasl.oauthbearer.assertion.claim.sub", Text, None, Medium, Security, "The assertion's subject."),
    key("sasl.oauthbearer.assertion.file", Text, None, Medium, Security, "File with a ready assertion."),
    key("sasl.oauthbearer.assertion.private.key.file", Text, None, Medium, Security, "File with the key that signs."),
    key("sasl.oauthbearer.assertion.private.key.passphrase", Password, None, Medium, Security, "Its passphrase."),
    key("sasl.oauthbearer.assertion.template.file", Text, None, Medium, Security, "File with fixed claims."),
    key("sasl.oauthbearer.client.credentials.client.id", Text, None, Medium, Security, "OAuth client id."),
    key("sasl.oauthbearer.client.credentials.client.secret", Password, None, Medium, Security, "OAuth client secret."),
    key("sasl.oauthbearer.clock.skew.seconds", INT, Some("30"), Low, Broker, "Validation of tokens."),
    key("sasl.oauthbearer.expected.audience", List, None, Low, Broker, "Validation of tokens."),
    key("sasl.oauthbearer.expected.issuer", Text, None, Low, Broker, "Validation of tokens."),
    key("sasl.oauthbearer.header.urlencode", Bool, Some("false"), Low, Security, "Whether id and secret are URL-encoded in the request for a token."),
    key("sasl.oauthbearer.jwks.endpoint.refresh.ms", LONG_MS, Some("3600000"), Low, Broker, "Key set refresh."),
    key("sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms", LONG_MS, Some("10000"), Low, Broker, "Key set retries."),
    key("sasl.oauthbearer.jwks.endpoint.retry.backoff.ms", LONG_MS, Some("100"), Low, Broker, "Key set retries."),
    key("sasl.oauthbearer.jwks.endpoint.url", Text, None, Medium, Broker, "Where keys are fetched."),
    key("sasl.oauthbearer.jwt.retriever.class", Class, Some("org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever"), Medium, Jvm, "Class that fetches tokens."),
    key("sasl.oauthbearer.jwt.validator.class", Class, Some("org.apache.kafka.common.security.oauthbearer.DefaultJwtValidator"), Medium, Jvm, "Class that checks tokens."),
    key("sasl.oauthbearer.scope", Text, None, Medium, Security, "Scope that is asked for."),
    key("sasl.oauthbearer.scope.claim.name", Text, Some("scope"), Low, Security, "Name of the scope's claim."),
    key("sasl.oauthbearer.sub.claim.name", Text, Some("sub"), Low, Security, "Name of the subject's claim."),
    key("sasl.oauthbearer.token.endpoint.url", Text, None, Medium, Security, "Where tokens are fetched."),
];
