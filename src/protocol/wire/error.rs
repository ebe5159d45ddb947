//! What can be wrong with bytes that are read, or with values that are written.

use std::fmt;

/// Why bytes could not be read as what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError {
    kind: DecodeErrorKind,
    at: usize,
    field: &'static str,
}

/// What was wrong with the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// The bytes end before the value does.
    UnexpectedEnd,
    /// A length or count below -1.
    NegativeLength,
    /// An array count that the remaining bytes cannot hold.
    CountTooBig,
    /// A string longer than [`MAX_STRING_LEN`](super::MAX_STRING_LEN).
    StringTooLong,
    /// A string that is not UTF-8.
    InvalidUtf8,
    /// A varint with more bits than its type.
    VarintOverflow,
    /// Null where the version does not allow it.
    UnexpectedNull,
    /// Bytes are left behind the end of the value.
    TrailingBytes,
    /// A version that this codec does not know.
    UnsupportedVersion,
}

impl DecodeError {
    pub(crate) const fn new(kind: DecodeErrorKind, at: usize) -> Self {
        Self { kind, at, field: "" }
    }

    /// Names the field; the innermost name wins, since callers add theirs on the way out.
    #[cold]
    pub(crate) const fn in_field(self, field: &'static str) -> Self {
        if self.field.is_empty() { Self { field, ..self } } else { self }
    }

    /// What was wrong.
    pub const fn kind(&self) -> DecodeErrorKind {
        self.kind
    }

    /// The offset at which it was noticed.
    pub const fn position(&self) -> usize {
        self.at
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            DecodeErrorKind::UnexpectedEnd => "the bytes end too early",
            DecodeErrorKind::NegativeLength => "negative length",
            DecodeErrorKind::CountTooBig => "more array elements than the bytes can hold",
            DecodeErrorKind::StringTooLong => "string too long",
            DecodeErrorKind::InvalidUtf8 => "string is not UTF-8",
            DecodeErrorKind::VarintOverflow => "varint too long",
            DecodeErrorKind::UnexpectedNull => "null where a value is required",
            DecodeErrorKind::TrailingBytes => "bytes left over",
            DecodeErrorKind::UnsupportedVersion => "unsupported version",
        };
        write!(f, "{what} at byte {}", self.at)?;
        if !self.field.is_empty() {
            write!(f, " in {}", self.field)?;
        }
        Ok(())
    }
}

impl std::error::Error for DecodeError {}

/// Why a value could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// The message has no such version.
    UnsupportedVersion {
        /// The message's name.
        message: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// The field holds something, but the version has no such field.
    FieldNotInVersion {
        /// Struct and field.
        field: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// The field is null, but the version does not allow it.
    UnexpectedNull {
        /// Struct and field.
        field: &'static str,
    },
    /// A string, array or frame is longer than its length prefix can say.
    TooLong {
        /// Struct and field, if known.
        field: &'static str,
    },
    /// A streaming encoder was given more or fewer elements than announced.
    Miscounted,
}

impl EncodeError {
    #[cold]
    pub(crate) fn in_field(self, field: &'static str) -> Self {
        match self {
            Self::UnexpectedNull { field: "" } => Self::UnexpectedNull { field },
            Self::TooLong { field: "" } => Self::TooLong { field },
            other => other,
        }
    }
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnsupportedVersion { message, version } => write!(f, "{message} has no version {version}"),
            Self::FieldNotInVersion { field, version } => {
                write!(f, "{field} is set but version {version} has no such field")
            }
            Self::UnexpectedNull { field } => write!(f, "{field} is null where a value is required"),
            Self::TooLong { field: "" } => f.write_str("a value is too long for its length prefix"),
            Self::TooLong { field } => write!(f, "{field} is too long for its length prefix"),
            Self::Miscounted => f.write_str("more or fewer elements were written than announced"),
        }
    }
}

impl std::error::Error for EncodeError {}
