//! What Java's `org.apache.kafka.common.serialization` writes, byte for byte.
//!
//! Pure; runs on the application's thread. Text and bytes are handed on as they are, without a copy; numbers are
//! big-endian, floating-point numbers their IEEE 754 bits.

use super::{Context, Serializer};
use crate::error::BoxError;

/// UTF-8, as Java's `StringSerializer`.
#[derive(Clone, Copy, Debug, Default)]
pub struct StringSerializer;

impl Serializer<str> for StringSerializer {
    #[inline]
    fn serialize<'a>(
        &self,
        _: &mut Context<'_, '_>,
        v: &'a str,
        _: &'a mut Vec<u8>,
    ) -> Result<Option<&'a [u8]>, BoxError> {
        Ok(Some(v.as_bytes()))
    }

    fn lends(&self) -> Option<for<'a> fn(&'a str) -> &'a [u8]> {
        Some(str::as_bytes)
    }
}

impl Serializer<String> for StringSerializer {
    #[inline]
    fn serialize<'a>(
        &self,
        _: &mut Context<'_, '_>,
        v: &'a String,
        _: &'a mut Vec<u8>,
    ) -> Result<Option<&'a [u8]>, BoxError> {
        Ok(Some(v.as_bytes()))
    }

    fn lends(&self) -> Option<for<'a> fn(&'a String) -> &'a [u8]> {
        Some(|text| text.as_bytes())
    }
}

/// Bytes as they are, as Java's `ByteArraySerializer`: anything that is `AsRef<[u8]>`.
#[derive(Clone, Copy, Debug, Default)]
pub struct BytesSerializer;

impl<T: AsRef<[u8]> + ?Sized> Serializer<T> for BytesSerializer {
    #[inline]
    fn serialize<'a>(
        &self,
        _: &mut Context<'_, '_>,
        v: &'a T,
        _: &'a mut Vec<u8>,
    ) -> Result<Option<&'a [u8]>, BoxError> {
        Ok(Some(v.as_ref()))
    }

    fn lends(&self) -> Option<for<'a> fn(&'a T) -> &'a [u8]> {
        Some(T::as_ref)
    }
}

macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident: $type:ty;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default)]
        pub struct $name;

        impl Serializer<$type> for $name {
            #[inline]
            fn serialize<'a>(
                &self,
                _: &mut Context<'_, '_>,
                v: &'a $type,
                out: &'a mut Vec<u8>,
            ) -> Result<Option<&'a [u8]>, BoxError> {
                out.extend_from_slice(&v.to_be_bytes());
                Ok(Some(out))
            }
        }
    )*};
}

numbers! {
    /// Two bytes, big-endian, as Java's `ShortSerializer`.
    ShortSerializer: i16;
    /// Four bytes, big-endian, as Java's `IntegerSerializer`.
    IntegerSerializer: i32;
    /// Eight bytes, big-endian, as Java's `LongSerializer`.
    LongSerializer: i64;
    /// The four bytes of IEEE 754, big-endian, as Java's `FloatSerializer`; the bits of a NaN are kept.
    FloatSerializer: f32;
    /// The eight bytes of IEEE 754, big-endian, as Java's `DoubleSerializer`; the bits of a NaN are kept.
    DoubleSerializer: f64;
}

/// One byte, 0 or 1, as Java's `BooleanSerializer`.
#[derive(Clone, Copy, Debug, Default)]
pub struct BooleanSerializer;

impl Serializer<bool> for BooleanSerializer {
    #[inline]
    fn serialize<'a>(
        &self,
        _: &mut Context<'_, '_>,
        v: &'a bool,
        _: &'a mut Vec<u8>,
    ) -> Result<Option<&'a [u8]>, BoxError> {
        Ok(Some(if *v { &[1] } else { &[0] }))
    }
}

/// Always null, as Java's `VoidSerializer`: for records whose key (or value) is never anything. A unit that was set
/// and one that was left out make the same record.
#[derive(Clone, Copy, Debug, Default)]
pub struct VoidSerializer;

impl Serializer<()> for VoidSerializer {
    #[inline]
    fn serialize<'a>(
        &self,
        _: &mut Context<'_, '_>,
        (): &'a (),
        _: &'a mut Vec<u8>,
    ) -> Result<Option<&'a [u8]>, BoxError> {
        Ok(None)
    }
}
