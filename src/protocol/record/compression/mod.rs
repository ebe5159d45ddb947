//! Compressing batches: which codecs there are, which of them this build has, and one compressor for all.
//!
//! A [`Compressor`] is owned by whoever seals batches, one per core, and keeps its codecs' state from batch to batch; no
//! lock in here. Pieces of input are not joined, except into blocks where a format wants them. Codec numbers are those
//! of a batch's attribute bits, names and levels are Java's (KIP-390, KIP-110 for zstd).

#[cfg(any(feature = "snappy", feature = "lz4"))]
mod blocks;
#[cfg(feature = "gzip")]
mod gzip;
#[cfg(feature = "lz4")]
mod lz4;
#[cfg(feature = "snappy")]
mod snappy;
#[cfg(feature = "zstd")]
mod zstd;

use std::fmt;
use std::ops::RangeInclusive;
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

/// A codec and how hard it tries.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Compression {
    codec: CompressionType,
    level: Option<i32>,
}

/// A level that its codec does not have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InvalidLevel {
    codec: CompressionType,
    level: i32,
}

impl fmt::Display for InvalidLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { codec, level } = self;
        match codec.levels() {
            Some(levels) => {
                let (low, high) = levels.into_inner();
                let default = if *codec == CompressionType::Gzip { "-1 or " } else { "" };
                write!(f, "{codec} has no level {level}; it has {default}{low} to {high}")
            }
            None => write!(f, "{codec} has no levels, and {level} was given"),
        }
    }
}

impl std::error::Error for InvalidLevel {}

impl CompressionType {
    /// The levels that Java lets one choose for this codec (for gzip besides -1, its default); `None` if it has none.
    pub const fn levels(self) -> Option<RangeInclusive<i32>> {
        match self {
            Self::None | Self::Snappy => None,
            Self::Gzip => Some(1..=9),
            Self::Lz4 => Some(1..=17),
            Self::Zstd => Some(-131_072..=22),
        }
    }
}

impl Compression {
    /// The codec at its default level.
    pub const fn new(codec: CompressionType) -> Self {
        Self { codec, level: None }
    }

    /// The codec at a level of [`CompressionType::levels`]; for gzip -1 is the default. lz4 takes a level and does not
    /// apply it: its encoder has one speed, the fast one.
    pub fn with_level(codec: CompressionType, level: i32) -> Result<Self, InvalidLevel> {
        if codec == CompressionType::Gzip && level == -1 {
            return Ok(Self::new(codec));
        }
        match codec.levels() {
            Some(levels) if levels.contains(&level) => Ok(Self { codec, level: Some(level) }),
            _ => Err(InvalidLevel { codec, level }),
        }
    }

    /// The codec.
    pub const fn codec(self) -> CompressionType {
        self.codec
    }

    /// Whether there is one.
    pub(crate) fn compresses(self) -> bool {
        self.codec != CompressionType::None
    }

    /// The level, if one was chosen.
    pub const fn level(self) -> Option<i32> {
        self.level
    }

    /// Whether this build can use the codec: its Cargo feature is on.
    pub const fn is_available(self) -> bool {
        self.codec.is_available()
    }
}

impl From<CompressionType> for Compression {
    fn from(codec: CompressionType) -> Self {
        Self::new(codec)
    }
}

/// Why a batch was not compressed, or not decompressed.
#[derive(Debug)]
#[non_exhaustive]
pub enum CodecError {
    /// The codec's Cargo feature is off in this build.
    Unavailable(CompressionType),
    /// The bytes are not what the codec writes.
    Corrupt(CompressionType, &'static str),
    /// Decompressed, the bytes take more than was allowed.
    TooLarge {
        /// What was allowed, in bytes.
        limit: usize,
    },
    /// The codec itself failed; the text is its own.
    Failed(CompressionType, String),
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(codec) => {
                write!(f, "compression type {codec} needs the Cargo feature \"{codec}\", which is off")
            }
            Self::Corrupt(codec, reason) => write!(f, "corrupt {codec} data: {reason}"),
            Self::TooLarge { limit } => write!(f, "decompresses to more than {limit} bytes"),
            Self::Failed(codec, reason) => write!(f, "{codec} codec failed: {reason}"),
        }
    }
}

impl std::error::Error for CodecError {}

/// Compresses batch after batch, keeping tables and buffers.
///
/// A codec's state is made on its first use: gzip about 300 KB, lz4 about 160 KB, snappy about 105 KB, zstd by level.
#[derive(Default)]
pub struct Compressor {
    #[cfg(feature = "gzip")]
    gzip: Option<gzip::Encoder>,
    #[cfg(feature = "snappy")]
    snappy: Option<snappy::Encoder>,
    #[cfg(feature = "lz4")]
    lz4: Option<lz4::Encoder>,
    #[cfg(feature = "zstd")]
    zstd: Option<zstd::Encoder>,
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressor").finish_non_exhaustive()
    }
}

impl Compressor {
    /// A compressor without any codec's state yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Compresses the concatenation of `input`'s pieces and appends the result to `out`, which an error leaves with
    /// something or other appended. `input` is cloned to learn its length.
    pub fn compress<'a, I>(
        &mut self,
        compression: Compression,
        input: I,
        out: &mut Vec<u8>,
    ) -> Result<(), CodecError>
    where
        I: Iterator<Item = &'a [u8]> + Clone,
    {
        let level = compression.level();
        match compression.codec() {
            CompressionType::None => {
                input.for_each(|piece| out.extend_from_slice(piece));
                Ok(())
            }
            #[cfg(feature = "gzip")]
            CompressionType::Gzip => {
                self.gzip.get_or_insert_with(|| gzip::Encoder::new(level)).compress(level, input, out)
            }
            #[cfg(feature = "snappy")]
            CompressionType::Snappy => self.snappy.get_or_insert_default().compress(input, out),
            #[cfg(feature = "lz4")]
            CompressionType::Lz4 => self.lz4.get_or_insert_default().compress(input, out),
            #[cfg(feature = "zstd")]
            CompressionType::Zstd => match &mut self.zstd {
                Some(encoder) => encoder.compress(level, input, out),
                none => none.insert(zstd::Encoder::new()?).compress(level, input, out),
            },
            #[allow(unreachable_patterns, reason = "reachable when a codec's feature is off")]
            absent => {
                let _ = level;
                Err(CodecError::Unavailable(absent))
            }
        }
    }
}

/// Decompresses `input` and appends the result to `out`. At most `limit` bytes are appended or even allocated for the
/// purpose, beside the codec's own state (for zstd a window of up to 8 MiB, or `limit` if that is more); more than that is [`CodecError::TooLarge`].
pub fn decompress(
    codec: CompressionType,
    input: &[u8],
    limit: usize,
    out: &mut Vec<u8>,
) -> Result<(), CodecError> {
    match codec {
        CompressionType::None if input.len() > limit => Err(CodecError::TooLarge { limit }),
        CompressionType::None => {
            out.extend_from_slice(input);
            Ok(())
        }
        #[cfg(feature = "gzip")]
        CompressionType::Gzip => gzip::decompress(input, limit, out),
        #[cfg(feature = "snappy")]
        CompressionType::Snappy => snappy::decompress(input, limit, out),
        #[cfg(feature = "lz4")]
        CompressionType::Lz4 => lz4::decompress(input, limit, out),
        #[cfg(feature = "zstd")]
        CompressionType::Zstd => zstd::decompress(input, limit, out),
        #[allow(unreachable_patterns, reason = "reachable when a codec's feature is off")]
        absent => Err(CodecError::Unavailable(absent)),
    }
}

/// Makes room in `out` for `wanted` more bytes, doubling what was appended since `start` but never beyond `limit` and one
/// byte: the byte lets a stream that ends exactly there say so. `Err` if more than `limit` was appended already.
#[cfg(any(feature = "gzip", feature = "snappy", feature = "lz4", feature = "zstd"))]
fn grow_towards(out: &mut Vec<u8>, start: usize, limit: usize, wanted: usize) -> Result<(), CodecError> {
    let used = out.len() - start;
    let room = match limit.checked_sub(used) {
        Some(room) => room.saturating_add(1),
        None => return Err(CodecError::TooLarge { limit }),
    };
    if out.capacity() - out.len() < wanted.min(room) {
        out.reserve_exact(wanted.max(used).min(room));
    }
    Ok(())
}
