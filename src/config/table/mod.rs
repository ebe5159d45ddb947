//! The one table of keys: the parser, the defaults and docs/configuration.md are read from it.
//!
//! Constant data, no lock, any thread. Knows nothing of the settings' effect: what two of them mean together is
//! `check`'s. The keys are those of the Java producer 4.x and, marked [`Status::Ours`], a few of this crate.

mod security;
mod used;

/// One key: how its text is read, what holds without it, and what the documentation says of it.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// In the text form that the parser takes; `None` is Java's null.
    pub(crate) default: Option<&'static str>,
    pub(crate) importance: Importance,
    pub(crate) status: Status,
    pub(crate) doc: &'static str,
}

/// How a value is read and which values are valid.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Bool,
    /// `off`: -1 is taken besides, and says "leave it to somebody else".
    Int {
        min: i64,
        max: i64,
        off: bool,
    },
    /// Whole milliseconds as text, any [`std::time::Duration`] as typed value. `max` is what Java's type holds.
    Millis {
        min: u64,
        max: u64,
        off: bool,
    },
    Real {
        min: f64,
        max: f64,
        above_min: bool,
    },
    Text,
    NonEmpty,
    List,
    OneOf {
        names: &'static [&'static str],
        any_case: bool,
    },
    Class,
    Password,
}

/// Java's own rating of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Importance {
    High,
    Medium,
    Low,
}

/// What becomes of a key that is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// Parsed and acted on.
    Used,
    /// Likewise, and no key of Java's.
    Ours,
    /// Accepted and ignored: it configures something of the JVM.
    Jvm,
    /// Accepted and ignored: Java's clients take it, only brokers act on it.
    Broker,
    /// Accepted and ignored while `security.protocol` is PLAINTEXT.
    Security,
    /// Names classes; here objects are handed to a builder instead.
    Plugin,
}

/// Keys that start so are labels for whoever exports metrics; they are handed to plug-ins.
pub(crate) const METRICS_CONTEXT: &str = "metrics.context.";

/// Parameters of `config.providers`; ignored with it.
pub(crate) const CONFIG_PROVIDERS: &str = "config.providers.";

const I32: u64 = i32::MAX as u64;
const I64: u64 = i64::MAX as u64;

/// Every key, in the order of the documentation.
pub(crate) fn keys() -> impl Iterator<Item = &'static Key> {
    used::KEYS.iter().chain(security::KEYS)
}

/// The key of that name.
pub(crate) fn find(name: &str) -> Option<&'static Key> {
    keys().find(|key| key.name == name)
}

const fn key(
    name: &'static str,
    kind: Kind,
    default: Option<&'static str>,
    importance: Importance,
    status: Status,
    doc: &'static str,
) -> Key {
    Key { name, kind, default, importance, status, doc }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// What Java's `StringSerializer` reads, which the producer itself does not know.
    const ENCODINGS: [&str; 3] =
        ["key.serializer.encoding", "value.serializer.encoding", "serializer.encoding"];

    #[test]
    fn names_are_unique_and_documented() {
        let mut seen = HashSet::new();
        for key in keys() {
            assert!(seen.insert(key.name), "{} is there twice", key.name);
            assert!(key.doc.ends_with('.') && !key.doc.contains('|'), "{}", key.name);
        }
    }

    #[test]
    fn every_default_is_valid() {
        for key in keys() {
            if let Some(default) = key.default {
                super::super::parse::parse(key, default).unwrap();
            }
        }
    }

    /// Keys that name classes in Java are objects here, given to `KafkaProducerBuilder`.
    #[test]
    fn every_key_has_a_typed_method() {
        let settings = include_str!("../setters.rs");
        let objects = include_str!("../../producer/builder.rs");
        for key in keys() {
            let place = match key.status {
                Status::Used | Status::Ours => settings,
                Status::Plugin => objects,
                Status::Jvm | Status::Broker | Status::Security => continue,
            };
            let named = place.contains(&format!("Java: `{}`", key.name));
            let ours = key.status == Status::Ours && place.contains(&format!("\"{}\"", key.name));
            // Nothing can be chosen in these.
            let fixed = ["security.protocol", ENCODINGS[0], ENCODINGS[1], ENCODINGS[2]].contains(&key.name);
            assert!(named || ours || fixed, "{} has no method", key.name);
        }
    }

    /// Java 4.1.0 has 112 keys; the others come from other versions of it.
    #[test]
    fn all_keys_of_java_are_there() {
        let others = [
            "config.providers",
            "auto.include.jmx.reporter",
            "bootstrap.resolve.timeout.ms",
            "buffer.memory.allocation.strategy",
            ENCODINGS[0],
            ENCODINGS[1],
            ENCODINGS[2],
        ];
        let java = keys().filter(|key| key.status != Status::Ours && !others.contains(&key.name)).count();
        assert_eq!(java, 112);
    }
}
