//! Which serializer belongs to a type, and whether that is the one a configuration names.
//!
//! Pure. A configuration names serializers by Java's classes; it cannot make one for a type of the caller's, but it can
//! contradict the types in use, and a file that says one thing while the program writes another is a mistake to report.

use std::any::{TypeId, type_name};

use super::{
    BooleanSerializer, BytesSerializer, DoubleSerializer, FloatSerializer, IntegerSerializer, LongSerializer,
    Role, Serializer, ShortSerializer, StringSerializer, VoidSerializer,
};
use crate::config::{ProducerConfig, SerializerName};
use crate::error::Error;

/// The serializer that [`KafkaProducer::open`](crate::KafkaProducer::open) takes for a type.
///
/// Implemented for `str`, `String`, `[u8]`, `Vec<u8>`, `i16`, `i32`, `i64`, `f32`, `f64`, `bool` and `()`, and for
/// `uuid::Uuid` with the feature `uuid`: as Java writes its types. Implement it for your own:
///
/// ```
/// use kafka_producer::BoxError;
/// use kafka_producer::serializer::{Context, DefaultSerializer, Serializer};
///
/// struct Celsius(f32);
///
/// #[derive(Default)]
/// struct AsText;
///
/// impl Serializer<Celsius> for AsText {
///     fn serialize<'a>(
///         &self, _: &mut Context<'_, '_>, value: &'a Celsius, out: &'a mut Vec<u8>,
///     ) -> Result<Option<&'a [u8]>, BoxError> {
///         out.extend(value.0.to_string().bytes());
///         Ok(Some(out))
///     }
/// }
///
/// impl DefaultSerializer for Celsius {
///     type Serializer = AsText;
/// }
/// ```
pub trait DefaultSerializer {
    /// Its serializer.
    type Serializer: Serializer<Self> + Default + 'static;

    /// What `key.serializer` and `value.serializer` may say when this type is in use. Empty, as for types that Java
    /// does not have: the keys must be left out.
    const NAMES: &'static [SerializerName] = &[];
}

/// Calls `$each!` with every type of Java's own serializers.
macro_rules! java_types {
    ($each:ident) => {
        $each! {
            str: StringSerializer, [String];
            String: StringSerializer, [String];
            [u8]: BytesSerializer, [ByteArray, ByteBuffer, Bytes];
            Vec<u8>: BytesSerializer, [ByteArray, ByteBuffer, Bytes];
            i16: ShortSerializer, [Short];
            i32: IntegerSerializer, [Integer];
            i64: LongSerializer, [Long];
            f32: FloatSerializer, [Float];
            f64: DoubleSerializer, [Double];
            bool: BooleanSerializer, [Boolean];
            (): VoidSerializer, [Void];
        }
    };
}

macro_rules! implement {
    ($($type:ty: $serializer:ty, [$($name:ident),*];)*) => {$(
        impl DefaultSerializer for $type {
            type Serializer = $serializer;
            const NAMES: &'static [SerializerName] = &[$(SerializerName::$name),*];
        }
    )*};
}
java_types!(implement);

#[cfg(feature = "uuid")]
impl DefaultSerializer for ::uuid::Uuid {
    type Serializer = super::UuidSerializer;
    const NAMES: &'static [SerializerName] = &[SerializerName::Uuid];
}

/// For `open`, which picks the serializer by type: a name in the configuration must be that serializer's.
pub(crate) fn check_exactly<T: DefaultSerializer + ?Sized>(
    config: &ProducerConfig,
    role: Role,
) -> Result<(), Error> {
    match named(config, role) {
        Some(name) if !T::NAMES.contains(&name) => Err(mismatch::<T>(role, name, T::NAMES)),
        _ => Ok(()),
    }
}

/// For serializers given as objects: what they write is theirs to say, but a name that cannot fit the type in use is a
/// mistake. Text and bytes fit each other, and nothing is known of the caller's own types.
pub(crate) fn check_roughly<T: ?Sized + 'static>(config: &ProducerConfig, role: Role) -> Result<(), Error> {
    let (Some(name), Some(names)) = (named(config, role), names_of::<T>()) else { return Ok(()) };
    if names.contains(&name) || is_bytes(name) && names.iter().any(|n| is_bytes(*n)) {
        return Ok(());
    }
    Err(mismatch::<T>(role, name, names))
}

fn named(config: &ProducerConfig, role: Role) -> Option<SerializerName> {
    match role {
        Role::Key => config.key_serializer(),
        Role::Value => config.value_serializer(),
    }
}

/// The names that fit `T`, if it is one of Java's types.
fn names_of<T: ?Sized + 'static>() -> Option<&'static [SerializerName]> {
    macro_rules! find {
        ($($type:ty: $serializer:ty, [$($name:ident),*];)*) => {$(
            if TypeId::of::<T>() == TypeId::of::<$type>() {
                return Some(<$type as DefaultSerializer>::NAMES);
            }
        )*};
    }
    java_types!(find);
    #[cfg(feature = "uuid")]
    if TypeId::of::<T>() == TypeId::of::<::uuid::Uuid>() {
        return Some(<::uuid::Uuid as DefaultSerializer>::NAMES);
    }
    None
}

fn is_bytes(name: SerializerName) -> bool {
    use SerializerName::{ByteArray, ByteBuffer, Bytes, String};
    matches!(name, String | ByteArray | ByteBuffer | Bytes)
}

#[cold]
fn mismatch<T: ?Sized>(role: Role, name: SerializerName, fitting: &[SerializerName]) -> Error {
    let (part, type_name) = (role.name(), type_name::<T>());
    let advice = match fitting.first() {
        Some(fits) => {
            format!(
                "set it to {}, remove it, or change the {part} type to {}",
                fits.java_class(),
                name.type_name()
            )
        }
        None => format!("remove it, or change the {part} type to {}", name.type_name()),
    };
    let class = name.java_class();
    Error::config(
        role.config_key(),
        format_args!(
            "{class} writes {}, but this producer's {part}s are of type {type_name}; {advice}",
            name.type_name()
        ),
    )
}
