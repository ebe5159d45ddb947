//! Compressing batches: which codecs there are and which of them this build has.
//!
//! Pure types; no thread, no lock. Codec numbers are those of a batch's attribute bits, names are Java's.

use std::fmt;
use std::str::FromStr;

/// A compression codec, by its number in a batch's attributes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum CompressionType {
    /// No compression.
    #[default]
    None,
    /// gzip (RFC 1952).
    Gzip,
    /// Snappy blocks in xerial's framing.
    Snappy,
    /// An LZ4 frame.
    Lz4,
    /// A Zstandard frame (KIP-110).
    Zstd,
}

impl CompressionType {
    /// Every codec, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The number in a batch's attributes, 0 to 4.
    pub const fn id(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }

    /// The codec with this number.
    pub const fn from_id(id: u8) -> Option<Self> {
        match id {
            0 => Some(Self::None),
            1 => Some(Self::Gzip),
            2 => Some(Self::Snappy),
            3 => Some(Self::Lz4),
            4 => Some(Self::Zstd),
            _ => None,
        }
    }

    /// Java's name, as `compression.type` takes it; also the name of the Cargo feature that a codec needs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// Whether this build can use the codec: its Cargo feature is on.
    pub const fn is_available(self) -> bool {
        match self {
            Self::None => true,
            Self::Gzip => cfg!(feature = "gzip"),
            Self::Snappy => cfg!(feature = "snappy"),
            Self::Lz4 => cfg!(feature = "lz4"),
            Self::Zstd => cfg!(feature = "zstd"),
        }
    }
}

impl fmt::Display for CompressionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is no codec's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnknownCompressionType(String);

impl fmt::Display for UnknownCompressionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown compression type {:?}; known are none, gzip, snappy, lz4, zstd", self.0)
    }
}

impl std::error::Error for UnknownCompressionType {}

impl FromStr for CompressionType {
    type Err = UnknownCompressionType;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|codec| codec.name() == name)
            .ok_or_else(|| UnknownCompressionType(name.to_owned()))
    }
}
