//! How a message is declared: once, as a list of fields with the versions that have them, from which the struct, its
//! defaults, the encoder and the decoder follow.
//!
//! Owns: the layout rules of a field (KIP-482: flexible versions, tagged fields) and the macros. Runs on any thread,
//! takes no lock. Must not know: any single message.
//!
//! A field says `versions` (present from/to), and if need be `nullable` (the versions in which null is allowed),
//! `default` (its value where absent), `ignorable: true` (may be dropped silently from a version that lacks it) and
//! `tag` (sent as a tagged field, only if it differs from its default; tags ascend within a struct).

use crate::protocol::ErrorCode;
use crate::protocol::wire::{DecodeError, DecodeErrorKind, EncodeError, Reader, Writer};

/// The layout that a version gives a field.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub(crate) version: i16,
    pub(crate) flexible: bool,
    pub(crate) nullable: bool,
}

impl Layout {
    pub(crate) fn new(version: i16, flexible_from: Option<i16>) -> Self {
        Self { version, flexible: flexible_from.is_some_and(|from| version >= from), nullable: false }
    }

    pub(crate) fn nullable(self, nullable: bool) -> Self {
        Self { nullable, ..self }
    }

    /// The least that a length prefix of `old` bytes takes.
    fn length_size(self, old: usize) -> usize {
        if self.flexible { 1 } else { old }
    }
}

/// A type that may stand in a message: a primitive, a string, an array, or another declared struct.
pub(crate) trait Field: Sized {
    /// A lower bound of the bytes one value takes, by which array counts are judged before room is reserved.
    fn min_size(layout: Layout) -> usize;
    fn put(&self, w: &mut Writer, layout: Layout) -> Result<(), EncodeError>;
    fn get(r: &mut Reader<'_>, layout: Layout) -> Result<Self, DecodeError>;
}

/// Writes a field and names it in errors. Out of line and once for each type, not each field: messages have hundreds of
/// fields, and the busy ones have streaming codecs of their own.
#[inline(never)]
pub(crate) fn put_named<T: Field>(
    value: &T,
    w: &mut Writer,
    layout: Layout,
    name: &'static str,
) -> Result<(), EncodeError> {
    value.put(w, layout).map_err(|e| e.in_field(name))
}

/// Reads a field into `into`; otherwise as [`put_named`].
#[inline(never)]
pub(crate) fn get_named<T: Field>(
    into: &mut T,
    r: &mut Reader<'_>,
    layout: Layout,
    name: &'static str,
) -> Result<(), DecodeError> {
    *into = T::get(r, layout).map_err(|e| e.in_field(name))?;
    Ok(())
}

macro_rules! primitive {
    ($($ty:ty, $size:literal, |$w:ident, $value:ident| $put:expr, |$r:ident| $get:expr;)*) => { $(
        impl Field for $ty {
            #[inline]
            fn min_size(_: Layout) -> usize {
                $size
            }
            #[inline]
            fn put(&self, $w: &mut Writer, _: Layout) -> Result<(), EncodeError> {
                let $value = self;
                $put;
                Ok(())
            }
            #[inline]
            fn get($r: &mut Reader<'_>, _: Layout) -> Result<Self, DecodeError> {
                $get
            }
        }
    )* };
}

primitive! {
    bool, 1, |w, v| w.bool(*v), |r| r.bool();
    i8, 1, |w, v| w.i8(*v), |r| r.i8();
    i16, 2, |w, v| w.i16(*v), |r| r.i16();
    i32, 4, |w, v| w.i32(*v), |r| r.i32();
    i64, 8, |w, v| w.i64(*v), |r| r.i64();
    [u8; 16], 16, |w, v| w.uuid(v), |r| r.uuid();
    ErrorCode, 2, |w, v| w.i16(v.0), |r| r.i16().map(ErrorCode);
}

impl Field for String {
    fn min_size(layout: Layout) -> usize {
        layout.length_size(2)
    }
    fn put(&self, w: &mut Writer, layout: Layout) -> Result<(), EncodeError> {
        w.string(self, layout.flexible)
    }
    fn get(r: &mut Reader<'_>, layout: Layout) -> Result<Self, DecodeError> {
        r.string(layout.flexible).map(Self::from)
    }
}

impl Field for Option<String> {
    fn min_size(layout: Layout) -> usize {
        layout.length_size(2)
    }
    fn put(&self, w: &mut Writer, layout: Layout) -> Result<(), EncodeError> {
        check_null(self.is_none(), layout)?;
        w.nullable_string(self.as_deref(), layout.flexible)
    }
    fn get(r: &mut Reader<'_>, layout: Layout) -> Result<Self, DecodeError> {
        let text = r.nullable_string(layout.flexible)?;
        refuse_null(text.is_none(), r, layout)?;
        Ok(text.map(String::from))
    }
}

impl Field for Option<Vec<u8>> {
    fn min_size(layout: Layout) -> usize {
        layout.length_size(4)
    }
    fn put(&self, w: &mut Writer, layout: Layout) -> Result<(), EncodeError> {
        check_null(self.is_none(), layout)?;
        w.nullable_bytes(self.as_deref(), layout.flexible)
    }
    fn get(r: &mut Reader<'_>, layout: Layout) -> Result<Self, DecodeError> {
        let bytes = r.nullable_bytes(layout.flexible)?;
        refuse_null(bytes.is_none(), r, layout)?;
        Ok(bytes.map(<[u8]>::to_vec))
    }
}

impl<T: Field> Field for Vec<T> {
    fn min_size(layout: Layout) -> usize {
        layout.length_size(4)
    }
    fn put(&self, w: &mut Writer, layout: Layout) -> Result<(), EncodeError> {
        w.length(Some(self.len()), layout.flexible)?;
        self.iter().try_for_each(|element| element.put(w, layout))
    }
    fn get(r: &mut Reader<'_>, layout: Layout) -> Result<Self, DecodeError> {
        let count = r.array_len(layout.flexible, T::min_size(layout))?;
        elements(r, count, layout)
    }
}

impl<T: Field> Field for Option<Vec<T>> {
    fn min_size(layout: Layout) -> usize {
        layout.length_size(4)
    }
    fn put(&self, w: &mut Writer, layout: Layout) -> Result<(), EncodeError> {
        check_null(self.is_none(), layout)?;
        match self {
            Some(elements) => elements.put(w, layout),
            None => w.length(None, layout.flexible),
        }
    }
    fn get(r: &mut Reader<'_>, layout: Layout) -> Result<Self, DecodeError> {
        let count = r.nullable_array_len(layout.flexible, T::min_size(layout))?;
        refuse_null(count.is_none(), r, layout)?;
        count.map(|count| elements(r, count, layout)).transpose()
    }
}

fn elements<T: Field>(r: &mut Reader<'_>, count: usize, layout: Layout) -> Result<Vec<T>, DecodeError> {
    // The count was checked against the bytes left, so this cannot reserve more than a small multiple of them.
    let mut elements = Vec::with_capacity(count);
    for _ in 0..count {
        elements.push(T::get(r, layout)?);
    }
    Ok(elements)
}

fn check_null(is_null: bool, layout: Layout) -> Result<(), EncodeError> {
    if is_null && !layout.nullable { Err(EncodeError::UnexpectedNull { field: "" }) } else { Ok(()) }
}

fn refuse_null(is_null: bool, r: &Reader<'_>, layout: Layout) -> Result<(), DecodeError> {
    if is_null && !layout.nullable { Err(r.error(DecodeErrorKind::UnexpectedNull)) } else { Ok(()) }
}

/// `$default` or, without one, `Default::default()`.
macro_rules! or_default {
    () => {
        Default::default()
    };
    ($default:expr) => {
        $default
    };
}

/// Whether a version is in a range; without a range, it is not.
macro_rules! in_versions {
    ($version:expr) => {
        false
    };
    ($version:expr, $versions:expr) => {
        ($versions).contains(&$version)
    };
}

/// The literal given as an `Option`.
macro_rules! optional {
    () => {
        None
    };
    ($value:literal) => {
        Some($value)
    };
}

/// `true` if the flag was given as `true`.
macro_rules! flag {
    () => {
        false
    };
    ($value:literal) => {
        $value
    };
}

/// Declares one struct of a message: the type, its defaults, and its codec for every version.
macro_rules! structure {
    (
        $(#[$meta:meta])* $Name:ident {
            $( $(#[$field_meta:meta])* $field:ident : $ty:ty {
                versions: $versions:expr
                $(, nullable: $nullable:expr)?
                $(, default: $default:expr)?
                $(, ignorable: $ignorable:literal)?
                $(, tag: $tag:literal)?
            } ),* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $Name {
            $( $(#[$field_meta])* pub $field: $ty, )*
        }

        impl Default for $Name {
            fn default() -> Self {
                Self { $( $field: $crate::protocol::messages::declare::or_default!($($default)?), )* }
            }
        }

        impl $crate::protocol::messages::declare::Field for $Name {
            fn min_size(layout: $crate::protocol::messages::declare::Layout) -> usize {
                use $crate::protocol::messages::declare::{Field, optional};
                let mut size = usize::from(layout.flexible);
                $(
                    let tag: Option<u32> = optional!($($tag)?);
                    if tag.is_none() && ($versions).contains(&layout.version) {
                        size += <$ty as Field>::min_size(layout);
                    }
                )*
                size
            }

            fn put(
                &self,
                w: &mut $crate::protocol::wire::Writer,
                layout: $crate::protocol::messages::declare::Layout,
            ) -> Result<(), $crate::protocol::wire::EncodeError> {
                use $crate::protocol::messages::declare::{Field, flag, in_versions, optional, or_default, put_named};
                use $crate::protocol::wire::EncodeError;
                let mut tags = 0_u32;
                $( {
                    let name = concat!(stringify!($Name), ".", stringify!($field));
                    let tag: Option<u32> = optional!($($tag)?);
                    let present = ($versions).contains(&layout.version);
                    if present && tag.is_none() {
                        let layout = layout.nullable(in_versions!(layout.version $(, $nullable)?));
                        put_named(&self.$field, w, layout, name)?;
                    } else {
                        let default: $ty = or_default!($($default)?);
                        if self.$field != default {
                            if present && layout.flexible {
                                tags += 1;
                            } else if !flag!($($ignorable)?) {
                                return Err(EncodeError::FieldNotInVersion { field: name, version: layout.version });
                            }
                        }
                    }
                } )*
                if !layout.flexible {
                    return Ok(());
                }
                w.uvarint(tags);
                if tags == 0 {
                    return Ok(());
                }
                $( {
                    let tag: Option<u32> = optional!($($tag)?);
                    let default: $ty = or_default!($($default)?);
                    if let Some(tag) = tag {
                        if ($versions).contains(&layout.version) && self.$field != default {
                            let layout = layout.nullable(in_versions!(layout.version $(, $nullable)?));
                            w.tagged_field(tag, |w| Field::put(&self.$field, w, layout))?;
                        }
                    }
                } )*
                Ok(())
            }

            fn get(
                r: &mut $crate::protocol::wire::Reader<'_>,
                layout: $crate::protocol::messages::declare::Layout,
            ) -> Result<Self, $crate::protocol::wire::DecodeError> {
                use $crate::protocol::messages::declare::{get_named, in_versions, optional};
                let mut value = Self::default();
                $( {
                    let tag: Option<u32> = optional!($($tag)?);
                    if tag.is_none() && ($versions).contains(&layout.version) {
                        let layout = layout.nullable(in_versions!(layout.version $(, $nullable)?));
                        let name = concat!(stringify!($Name), ".", stringify!($field));
                        get_named(&mut value.$field, r, layout, name)?;
                    }
                } )*
                if layout.flexible {
                    r.tagged_fields(|tag, r| {
                        $( {
                            let known: Option<u32> = optional!($($tag)?);
                            if known == Some(tag) && ($versions).contains(&layout.version) {
                                let layout = layout.nullable(in_versions!(layout.version $(, $nullable)?));
                                let name = concat!(stringify!($Name), ".", stringify!($field));
                                get_named(&mut value.$field, r, layout, name)?;
                                return Ok(true);
                            }
                        } )*
                        let _ = (tag, r);
                        Ok(false)
                    })?;
                }
                Ok(value)
            }
        }
    };
}

/// Makes a declared struct a whole message, with the versions of its API.
macro_rules! whole_message {
    ($Name:ident, $versions:expr, $flexible:expr) => {
        impl $crate::protocol::messages::Message for $Name {
            const NAME: &'static str = stringify!($Name);

            fn encode(
                &self,
                w: &mut $crate::protocol::wire::Writer,
                version: i16,
            ) -> Result<(), $crate::protocol::wire::EncodeError> {
                use $crate::protocol::messages::declare::{Field, Layout};
                if !($versions).contains(&version) {
                    return Err($crate::protocol::wire::EncodeError::UnsupportedVersion {
                        message: stringify!($Name),
                        version,
                    });
                }
                self.put(w, Layout::new(version, $flexible))
            }

            fn decode(
                r: &mut $crate::protocol::wire::Reader<'_>,
                version: i16,
            ) -> Result<Self, $crate::protocol::wire::DecodeError> {
                use $crate::protocol::messages::declare::{Field, Layout};
                if !($versions).contains(&version) {
                    let kind = $crate::protocol::wire::DecodeErrorKind::UnsupportedVersion;
                    return Err(r.error(kind).in_field(stringify!($Name)));
                }
                Self::get(r, Layout::new(version, $flexible))
            }
        }
    };
}

/// Declares one API: its key, its versions, the first flexible one, the request, the response and their parts.
macro_rules! api {
    (
        key: $key:expr, versions: $versions:expr, flexible: $flexible:expr;
        $(#[$request_meta:meta])* request $Request:ident { $($request:tt)* }
        $(#[$response_meta:meta])* response $Response:ident { $($response:tt)* }
        $( $(#[$part_meta:meta])* part $Part:ident { $($part:tt)* } )*
    ) => {
        $crate::protocol::messages::declare::structure! { $(#[$request_meta])* $Request { $($request)* } }
        $crate::protocol::messages::declare::structure! { $(#[$response_meta])* $Response { $($response)* } }
        $( $crate::protocol::messages::declare::structure! { $(#[$part_meta])* $Part { $($part)* } } )*
        $crate::protocol::messages::declare::whole_message!($Request, $versions, $flexible);
        $crate::protocol::messages::declare::whole_message!($Response, $versions, $flexible);

        impl $crate::protocol::messages::Request for $Request {
            type Response = $Response;
            const API_KEY: $crate::protocol::api_key::ApiKey = $key;
            const VERSIONS: std::ops::RangeInclusive<i16> = $versions;
            const FLEXIBLE_FROM: Option<i16> = $flexible;
        }
    };
}

pub(crate) use {api, flag, in_versions, optional, or_default, structure, whole_message};
