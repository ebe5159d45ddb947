//! From keys and values to bytes.
//!
//! Runs on the application's thread, before partitioning and outside every lock; a serializer may block (it then
//! delays its own `send` only, and is not covered by `max.block.ms`). Must not know what becomes of the bytes.

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
    pub(crate) fn new(topic: &'c str, headers: &'c mut Headers<'h>, role: Role) -> Self {
        Self { topic, headers, role }
    }
}

/// Which part of the record a serializer was called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Role {
    /// The record's key.
    Key,
    /// The record's value.
    Value,
}

/// Turns keys or values of type `T` into bytes. A null key or value never reaches it.
///
/// Return the input's own bytes (no copy), or what was appended to `scratch` (cleared before the call and reused from
/// record to record), or a constant. Closures that append are serializers: see [`serializer`].
///
/// ```
/// use kafka_producer::{BoxError, Serializer, serializer::Context};
/// struct Upper;
/// impl Serializer<str> for Upper {
///     fn serialize<'a>(
///         &self, _: &mut Context<'_, '_>, value: &'a str, scratch: &'a mut Vec<u8>,
///     ) -> Result<&'a [u8], BoxError> {
///         scratch.extend(value.bytes().map(|b| b.to_ascii_uppercase()));
///         Ok(scratch)
///     }
/// }
/// ```
pub trait Serializer<T: ?Sized>: Send + Sync {
    /// The bytes of `value`.
    ///
    /// # Errors
    /// The serializer's own cause; `send` reports it as [`ErrorKind::Serialization`](crate::ErrorKind::Serialization). A
    /// panic is caught and reported likewise.
    fn serialize<'a>(
        &self,
        cx: &mut Context<'_, '_>,
        value: &'a T,
        scratch: &'a mut Vec<u8>,
    ) -> Result<&'a [u8], BoxError>;

    /// Called once when the producer closes.
    fn close(&self) {}
}

/// UTF-8, as Java's `StringSerializer`.
#[derive(Clone, Copy, Debug, Default)]
pub struct StringSerializer;

impl Serializer<str> for StringSerializer {
    fn serialize<'a>(
        &self,
        _: &mut Context<'_, '_>,
        v: &'a str,
        _: &'a mut Vec<u8>,
    ) -> Result<&'a [u8], BoxError> {
        Ok(v.as_bytes())
    }
}

impl Serializer<String> for StringSerializer {
    fn serialize<'a>(
        &self,
        _: &mut Context<'_, '_>,
        v: &'a String,
        _: &'a mut Vec<u8>,
    ) -> Result<&'a [u8], BoxError> {
        Ok(v.as_bytes())
    }
}

/// Bytes as they are, as Java's `ByteArraySerializer`: anything that is `AsRef<[u8]>`.
#[derive(Clone, Copy, Debug, Default)]
pub struct BytesSerializer;

impl<T: AsRef<[u8]> + ?Sized> Serializer<T> for BytesSerializer {
    fn serialize<'a>(
        &self,
        _: &mut Context<'_, '_>,
        v: &'a T,
        _: &'a mut Vec<u8>,
    ) -> Result<&'a [u8], BoxError> {
        Ok(v.as_ref())
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
    ) -> Result<&'a [u8], BoxError> {
        self(v, out)?;
        Ok(out)
    }
}

/// Gives a closure the types that the compiler would otherwise not infer.
///
/// ```
/// use kafka_producer::serializer::serializer;
/// let big_endian = serializer(|n: &i64, out: &mut Vec<u8>| {
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
