//! The builder's mechanics: it gathers what is given under Java's names and checks everything in `build`.
//!
//! Runs on the caller's thread, no lock. What each setting means is documented at its method, in `setters`.

use super::ProducerConfig;
use super::check::{Notes, Settings};
use super::parse::{self, Value};
use super::secret::Secret;
use super::table::{self, Key, Status};
use super::{properties, resolve, suggest};
use crate::error::Error;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// Where this module's log events go.
const LOG: &str = "kafka_producer::config";

/// Gathers the settings of a producer; each method takes it by value and gives it back.
///
/// A setting given twice counts as given last, whether as text or by its method. Nothing is checked before
/// [`build`](Self::build). `Debug` prints the keys that were set and no values.
#[derive(Clone, Default)]
#[must_use = "nothing is checked or made before `build`"]
pub struct ProducerConfigBuilder {
    given: BTreeMap<String, Given>,
    declared: Vec<String>,
}

#[derive(Clone)]
enum Given {
    Text(String),
    Typed(Value),
}

impl ProducerConfigBuilder {
    /// A builder to which nothing was given, not even the brokers to start from.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets `key`, by its Java name, to `value`, in the form of Java's files.
    pub fn set(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.given.insert(key.into(), Given::Text(value.into()));
        self
    }

    /// Takes back whatever was set for `key`, as if it had not been given.
    pub fn unset(mut self, key: &str) -> Self {
        self.given.remove(key);
        self
    }

    /// Sets each pair of Java's key and value.
    pub fn properties<K, V>(self, pairs: impl IntoIterator<Item = (K, V)>) -> Self
    where
        K: Into<String>,
        V: Into<String>,
    {
        pairs.into_iter().fold(self, |builder, (key, value)| builder.set(key, value))
    }

    /// Sets what a Java client's .properties file says. Blocks while it is read.
    ///
    /// # Errors
    /// `Config` if the file cannot be read (`source()` says why) or is malformed.
    pub fn file(self, path: impl AsRef<Path>) -> Result<Self, Error> {
        Ok(self.properties(properties::read(path.as_ref())?))
    }

    /// Declares keys of plug-ins (serializers, partitioners, interceptors), which would be unknown otherwise. Their
    /// values are handed on as text, see [`ProducerConfig::plugin_value`]. A name that ends in a dot stands for all
    /// keys that begin with it. `metrics.context.` is declared already.
    pub fn declare_keys(mut self, keys: &[&str]) -> Self {
        self.declared.extend(keys.iter().map(|&key| key.to_owned()));
        self
    }

    pub(super) fn typed(mut self, key: &'static str, value: Value) -> Self {
        self.given.insert(key.to_owned(), Given::Typed(value));
        self
    }

    /// Takes a typed setting back when there is nothing to set.
    pub(super) fn typed_or_unset(self, key: &'static str, value: Option<Value>) -> Self {
        match value {
            Some(value) => self.typed(key, value),
            None => self.unset(key),
        }
    }

    /// Checks everything and makes the config. Logs each of its [`warnings`](ProducerConfig::warnings).
    ///
    /// # Errors
    /// `Config`, naming the key, if a key is unknown, a value is not valid, two settings that were both given
    /// contradict each other, a setting needs a feature of this crate that is off, or no broker was given.
    pub fn build(self) -> Result<ProducerConfig, Error> {
        let mut notes = Notes::default();
        let mut settings = Settings::default();
        let mut plugin_values = BTreeMap::new();
        let mut ignored = Vec::new();
        self.check_declared()?;
        for (name, given) in self.given {
            let Some(key) = table::find(&name) else {
                match given {
                    _ if name.starts_with(table::CONFIG_PROVIDERS) => ignored.push(name),
                    Given::Text(text) if is_declared(&self.declared, &name) => {
                        plugin_values.insert(name, Secret::new(text));
                    }
                    _ => return Err(unknown(&name, &self.declared)),
                }
                continue;
            };
            if is_ignored(key) {
                ignored.push(name);
                continue;
            }
            settings.explicit.insert(key.name, value(key, given)?);
            if name == "metric.reporters" {
                ignored.push(name);
            }
        }
        let mut config = resolve::resolve(&settings, plugin_values, &mut notes)?;
        if !ignored.is_empty() {
            notes.warn(format_args!(
                "ignored, since only a JVM, a broker or a secured connection needs them: {}",
                ignored.join(", ")
            ));
        }
        config.warnings = notes.warnings;
        log(&config);
        Ok(config)
    }

    fn check_declared(&self) -> Result<(), Error> {
        match self.declared.iter().find(|name| table::find(name).is_some()) {
            Some(name) => {
                Err(Error::config(name, "is a key of the producer itself; a plug-in cannot declare it"))
            }
            None => Ok(()),
        }
    }
}

impl fmt::Debug for ProducerConfigBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProducerConfigBuilder")
            .field("keys", &self.given.keys())
            .field("declared", &self.declared)
            .finish()
    }
}

fn value(key: &Key, given: Given) -> Result<Value, Error> {
    match given {
        Given::Typed(value) => parse::check(key, value),
        Given::Text(text) if has_placeholder(&text) => Err(Error::config(
            key.name,
            "the value has a ${...} placeholder, and nothing is filled in here; give the value",
        )),
        Given::Text(text) => parse::parse(key, &text),
    }
}

/// What Java's `config.providers` would replace: taken as it stands it would be a wrong value at best.
fn has_placeholder(text: &str) -> bool {
    text.split_once("${").is_some_and(|(_, rest)| rest.contains('}'))
}

fn is_ignored(key: &Key) -> bool {
    match key.status {
        Status::Jvm | Status::Broker | Status::Security => true,
        Status::Used | Status::Ours | Status::Plugin => false,
    }
}

fn is_declared(declared: &[String], name: &str) -> bool {
    name.starts_with(table::METRICS_CONTEXT)
        || declared.iter().any(|key| key == name || key.ends_with('.') && name.starts_with(key))
}

fn unknown(name: &str, declared: &[String]) -> Error {
    // A line break or an escape sequence in a key must not reach a terminal as it is.
    let shown: String = name.chars().take(200).flat_map(char::escape_debug).collect();
    let declared = declared.iter().map(String::as_str);
    let hint = match suggest::suggest(name, declared) {
        Some(hint) if hint.starts_with("no key: ") => format!("there is {hint}"),
        Some(hint) if hint.starts_with("nothing: ") => {
            format!("remove it, {}", hint.replace("nothing: ", ""))
        }
        Some(hint) => format!("did you mean {hint}?"),
        None => "a plug-in's key must be declared with declare_keys".to_owned(),
    };
    Error::config(&shown, format_args!("unknown key; {hint}"))
}

fn log(config: &ProducerConfig) {
    for warning in config.warnings() {
        log::warn!(target: LOG, "{warning}");
    }
    if let [only] = config.bootstrap_servers() {
        log::info!(
            target: LOG,
            "bootstrap.servers: {only} is the only one; give two, so that the producer can start while one is down"
        );
    }
}
