//! From keys and values to bytes.
//!
//! Runs on the application's thread, before partitioning and outside every lock; a serializer may block (it then
//! delays its own `send` only, and is not covered by `max.block.ms`). Must not know what becomes of the bytes.
//!
//! `builtin` writes what Java's serializers write, byte for byte; `json` and `uuid` are behind features of those names;
//! `default` says which of them belongs to which type, for [`KafkaProducer::open`](crate::KafkaProducer::open).

mod builtin;
mod default;
#[cfg(feature = "json")]
mod json;
#[cfg(feature = "uuid")]
mod uuid;

pub use self::builtin::{
    BooleanSerializer, BytesSerializer, DoubleSerializer, FloatSerializer, IntegerSerializer, LongSerializer,
    ShortSerializer, StringSerializer, VoidSerializer,
};
pub use self::default::DefaultSerializer;
pub(crate) use self::default::{check_exactly, check_roughly};
#[cfg(feature = "json")]
pub use self::json::JsonSerializer;
#[cfg(feature = "uuid")]
pub use self::uuid::UuidSerializer;

use crate::config::PluginConfig;
use crate::error::BoxError;
use crate::record::Headers;

/// What a serializer may look at, and change, besides the value.
#[derive(Debug)]
#[non_exhaustive]
pub struct Context<'c, 'h> {
    /// The record's topic.
    pub topic: &'c str,
    /// The record's headers; a serializer may add to them.
    pub headers: &'c mut Headers<'h>,
    /// Whether the key is being serialized, or the value.
    pub role: Role,
}

impl<'c, 'h> Context<'c, 'h> {
    /// What a producer hands over; public so that a serializer can be tested alone.
    pub fn new(topic: &'c str, headers: &'c mut Headers<'h>, role: Role) -> Self {
        Self { topic, headers, role }
    }
}

/// Which part of the record a serializer was called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// The record's key.
    Key,
    /// The record's value.
    Value,
}

impl Role {
    /// The key of the configuration that names this role's serializer.
    pub(crate) const fn config_key(self) -> &'static str {
        match self {
            Self::Key => "key.serializer",
            Self::Value => "value.serializer",
        }
    }

    /// `key` or `value`, for messages.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Value => "value",
        }
    }
}

/// Turns keys or values of type `T` into bytes. A null key or value never reaches it.
///
/// Return the input's own bytes (no copy), or what was appended to `scratch` (cleared before the call and reused from
/// record to record), or a constant; or `None` to make the key or value Kafka's null, which is not the same as empty.
/// Closures that append are serializers: see [`serializer`].
///
/// ```
/// use kafka_producer::{BoxError, Serializer, serializer::Context};
/// struct Upper;
/// impl Serializer<str> for Upper {
///     fn serialize<'a>(
///         &self, _: &mut Context<'_, '_>, value: &'a str, scratch: &'a mut Vec<u8>,
///     ) -> Result<Option<&'a [u8]>, BoxError> {
///         scratch.extend(value.bytes().map(|b| b.to_ascii_uppercase()));
///         Ok(Some(scratch))
///     }
/// }
/// ```
pub trait Serializer<T: ?Sized>: Send + Sync {
    /// The bytes of `value`, or `None` for Kafka's null. May block: `send` waits for it, beyond `max.block.ms`.
    ///
    /// # Errors
    /// The serializer's own cause; `send` reports it as [`ErrorKind::Serialization`](crate::ErrorKind::Serialization),
    /// with the cause as its `source()`.
    fn serialize<'a>(
        &self,
        cx: &mut Context<'_, '_>,
        value: &'a T,
        scratch: &'a mut Vec<u8>,
    ) -> Result<Option<&'a [u8]>, BoxError>;

    /// Called once while the producer is opened, before the first record: the place to read one's own keys, which
    /// [`declare_keys`](crate::ProducerConfigBuilder::declare_keys) lets into a configuration.
    ///
    /// # Errors
    /// The serializer's own cause; the producer is then not opened, and reports it as
    /// [`ErrorKind::Config`](crate::ErrorKind::Config).
    fn configure(&mut self, config: &PluginConfig<'_>, role: Role) -> Result<(), BoxError> {
        let _ = (config, role);
        Ok(())
    }

    /// Called once when the producer closes, or when it could not be opened.
    fn close(&self) {}

    /// For the library's own serializers that lend what they are given: how. For a type of the standard library that neither
    /// panics nor blocks, so `send` may do without a guard.
    #[doc(hidden)]
    fn lends(&self) -> Option<for<'a> fn(&'a T) -> &'a [u8]> {
        None
    }
}

/// Any closure that appends.
impl<T: ?Sized, F> Serializer<T> for F
where
    F: Fn(&T, &mut Vec<u8>) -> Result<(), BoxError> + Send + Sync,
{
    fn serialize<'a>(
        &self,
        _: &mut Context<'_, '_>,
        v: &'a T,
        out: &'a mut Vec<u8>,
    ) -> Result<Option<&'a [u8]>, BoxError> {
        self(v, out)?;
        Ok(Some(out))
    }
}

/// Gives a closure the types that the compiler would otherwise not infer.
///
/// ```
/// use kafka_producer::serializer::serializer;
/// let big_endian = serializer(|n: &u32, out: &mut Vec<u8>| {
///     out.extend_from_slice(&n.to_be_bytes());
///     Ok(())
/// });
/// # let _ = big_endian;
/// ```
pub fn serializer<T: ?Sized, F>(f: F) -> F
where
    F: Fn(&T, &mut Vec<u8>) -> Result<(), BoxError> + Send + Sync,
{
    f
}

/// Whether `T` brings no code of the user's into a serializer of the library's own.
pub(crate) fn is_plain<T: ?Sized + 'static>() -> bool {
    use std::any::TypeId;
    let plain = [
        TypeId::of::<str>(),
        TypeId::of::<String>(),
        TypeId::of::<[u8]>(),
        TypeId::of::<Vec<u8>>(),
        TypeId::of::<i16>(),
        TypeId::of::<i32>(),
        TypeId::of::<i64>(),
        TypeId::of::<f32>(),
        TypeId::of::<f64>(),
        TypeId::of::<bool>(),
        TypeId::of::<()>(),
    ];
    plain.contains(&TypeId::of::<T>())
}

#[cfg(test)]
mod tests;
