//! LZ4 frames of independent 64 KiB blocks, without block or content checksums: what Java's client writes.
//!
//! Runs where batches are sealed. The frame is written here, around the block codec, so that hash tables and buffers
//! live on from batch to batch; an incompressible block is stored. Reading takes any frame that Java takes: independent
//! blocks of any size, with checksums or without, which are verified.

use lz4_flex::block::{CompressTable, compress_into_with_table, decompress_into, get_maximum_output_size};

use super::blocks::for_each_block;
use super::{CodecError, CompressionType, grow_towards};

const MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
const VERSION_1: u8 = 0b0100_0000;
const VERSION_MASK: u8 = 0b1100_0000;
const INDEPENDENT: u8 = 1 << 5;
const BLOCK_CHECKSUM: u8 = 1 << 4;
const CONTENT_SIZE: u8 = 1 << 3;
const CONTENT_CHECKSUM: u8 = 1 << 2;
const RESERVED: u8 = 1 << 1;
const DICTIONARY: u8 = 1;
/// The descriptor's second byte for blocks of 64 KiB.
const BLOCK_64K: u8 = 4 << 4;
const BLOCK: usize = 64 * 1024;
/// In a block's length: its bytes are stored as they are.
const STORED: u32 = 1 << 31;
/// A block gives at most 255 bytes for one of its own.
const MAX_RATIO: usize = 255;

pub(super) struct Encoder {
    /// 16-bit positions: for blocks below 64 KiB, most batches.
    small: CompressTable,
    /// 32-bit positions: for full blocks.
    large: CompressTable,
    /// A block put together from several pieces.
    block: Vec<u8>,
    /// A compressed block, before its length is known; kept at its length.
    packed: Vec<u8>,
}

impl Default for Encoder {
    fn default() -> Self {
        let packed = vec![0; get_maximum_output_size(BLOCK)];
        Self { small: CompressTable::small(), large: CompressTable::large(), block: Vec::new(), packed }
    }
}

impl Encoder {
    pub(super) fn compress<'a>(
        &mut self,
        input: impl Iterator<Item = &'a [u8]>,
        out: &mut Vec<u8>,
    ) -> Result<(), CodecError> {
        let Self { small, large, block, packed } = self;
        let descriptor = [VERSION_1 | INDEPENDENT, BLOCK_64K];
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&descriptor);
        out.push(descriptor_checksum(&descriptor));
        for_each_block(input, BLOCK, block, |block| {
            let table = if block.len() < usize::from(u16::MAX) { &mut *small } else { &mut *large };
            let len = compress_into_with_table(block, packed, table)
                .map_err(|error| CodecError::Failed(CompressionType::Lz4, error.to_string()))?;
            let (mark, bytes) = match packed.get(..len) {
                Some(packed) if len < block.len() => (len as u32, packed),
                _ => (block.len() as u32 | STORED, block),
            };
            out.extend_from_slice(&mark.to_le_bytes());
            out.extend_from_slice(bytes);
            Ok(())
        })?;
        out.extend_from_slice(&[0; 4]);
        Ok(())
    }
}

/// The descriptor as read: what its flags ask of the rest.
struct Descriptor {
    max_block: usize,
    block_checksum: bool,
    content_checksum: bool,
    content_size: Option<u64>,
}

pub(super) fn decompress(input: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), CodecError> {
    let mut input = Input { rest: input };
    let descriptor = input.descriptor()?;
    let start = out.len();
    loop {
        let mark = u32::from_le_bytes(input.chunk()?);
        if mark == 0 {
            break;
        }
        let block = input.take((mark & !STORED) as usize)?;
        if block.len() > descriptor.max_block {
            return Err(corrupt("block is larger than the frame allows"));
        }
        if descriptor.block_checksum && u32::from_le_bytes(input.chunk()?) != xxh32(block) {
            return Err(corrupt("block checksum"));
        }
        let room = limit - (out.len() - start);
        let stored = mark & STORED != 0;
        let possible = if stored {
            block.len()
        } else {
            descriptor.max_block.min(block.len().saturating_mul(MAX_RATIO))
        };
        grow_towards(out, start, limit, possible)?;
        if !stored {
            decompress_block(block, possible, room, limit, out)?;
        } else if block.len() <= room {
            out.extend_from_slice(block);
        } else {
            return Err(CodecError::TooLarge { limit });
        }
    }
    let content = out.get(start..).unwrap_or_default();
    if descriptor.content_checksum && u32::from_le_bytes(input.chunk()?) != xxh32(content) {
        return Err(corrupt("content checksum"));
    }
    if descriptor.content_size.is_some_and(|size| size != content.len() as u64) {
        return Err(corrupt("content size"));
    }
    if input.rest.is_empty() { Ok(()) } else { Err(corrupt("bytes after the frame")) }
}

fn decompress_block(
    block: &[u8],
    possible: usize,
    room: usize,
    limit: usize,
    out: &mut Vec<u8>,
) -> Result<(), CodecError> {
    let start = out.len();
    out.resize(start + possible.min(room), 0);
    let to = out.get_mut(start..).unwrap_or_default();
    match decompress_into(block, to) {
        Ok(len) => {
            out.truncate(start + len);
            Ok(())
        }
        Err(_) if room < possible => Err(CodecError::TooLarge { limit }),
        Err(_) => Err(corrupt("not an LZ4 block")),
    }
}

struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], CodecError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or_else(|| corrupt("ends early"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn chunk<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        let (chunk, rest) = self.rest.split_first_chunk().ok_or_else(|| corrupt("ends early"))?;
        self.rest = rest;
        Ok(*chunk)
    }

    fn descriptor(&mut self) -> Result<Descriptor, CodecError> {
        if self.chunk()? != MAGIC {
            return Err(corrupt("not an LZ4 frame"));
        }
        let covered = self.rest;
        let [flags, block_size] = self.chunk()?;
        if flags & (VERSION_MASK | RESERVED | DICTIONARY) != VERSION_1 || flags & INDEPENDENT == 0 {
            return Err(corrupt("unsupported frame"));
        }
        let max_block = match block_size {
            0x40 => BLOCK,
            0x50 => 256 * 1024,
            0x60 => 1024 * 1024,
            0x70 => 4 * 1024 * 1024,
            _ => return Err(corrupt("unknown block size")),
        };
        let sized = flags & CONTENT_SIZE != 0;
        let content_size = if sized { Some(u64::from_le_bytes(self.chunk()?)) } else { None };
        let covered = covered.get(..if sized { 10 } else { 2 }).unwrap_or_default();
        if self.chunk()? != [descriptor_checksum(covered)] {
            return Err(corrupt("descriptor checksum"));
        }
        Ok(Descriptor {
            max_block,
            block_checksum: flags & BLOCK_CHECKSUM != 0,
            content_checksum: flags & CONTENT_CHECKSUM != 0,
            content_size,
        })
    }
}

fn corrupt(reason: &'static str) -> CodecError {
    CodecError::Corrupt(CompressionType::Lz4, reason)
}

fn descriptor_checksum(descriptor: &[u8]) -> u8 {
    (xxh32(descriptor) >> 8) as u8
}

fn le_word(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |word| u32::from_le_bytes(*word))
}

/// XXH32 with seed 0, the frame format's checksum. Frames that we write need it for two bytes only.
fn xxh32(bytes: &[u8]) -> u32 {
    const P1: u32 = 0x9e37_79b1;
    const P2: u32 = 0x85eb_ca77;
    const P3: u32 = 0xc2b2_ae3d;
    const P4: u32 = 0x27d4_eb2f;
    const P5: u32 = 0x1656_67b1;
    let stripes = bytes.chunks_exact(16);
    let words = stripes.remainder().chunks_exact(4);
    let mut hash = P5;
    if bytes.len() >= 16 {
        let mut lanes = [P1.wrapping_add(P2), P2, 0, P1.wrapping_neg()];
        for stripe in stripes {
            for (lane, word) in lanes.iter_mut().zip(stripe.chunks_exact(4)) {
                *lane = lane.wrapping_add(le_word(word).wrapping_mul(P2)).rotate_left(13).wrapping_mul(P1);
            }
        }
        let [a, b, c, d] = lanes;
        hash = a.rotate_left(1).wrapping_add(b.rotate_left(7));
        hash = hash.wrapping_add(c.rotate_left(12)).wrapping_add(d.rotate_left(18));
    }
    hash = hash.wrapping_add(bytes.len() as u32);
    let tail = words.remainder();
    for word in words {
        hash = hash.wrapping_add(le_word(word).wrapping_mul(P3));
        hash = hash.rotate_left(17).wrapping_mul(P4);
    }
    for &byte in tail {
        hash = hash.wrapping_add(u32::from(byte).wrapping_mul(P5)).rotate_left(11).wrapping_mul(P1);
    }
    hash = (hash ^ (hash >> 15)).wrapping_mul(P2);
    hash = (hash ^ (hash >> 13)).wrapping_mul(P3);
    hash ^ (hash >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xxh32_known_values() {
        assert_eq!(xxh32(b""), 0x02cc_5d05);
        assert_eq!(xxh32(b"a"), 0x550d_7456);
        assert_eq!(xxh32(b"abc"), 0x32d1_53ff);
        assert_eq!(xxh32(b"Nobody inspects the spammish repetition"), 0xe229_3b2f);
    }

    #[test]
    fn the_frame_starts_as_every_kafka_client_starts_it() {
        let mut out = Vec::new();
        Encoder::default().compress([&b"x"[..]].into_iter(), &mut out).unwrap();
        assert_eq!(out[..7], [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82]);
        assert_eq!(out[7..], [1, 0, 0, 0x80, b'x', 0, 0, 0, 0], "stored block, end mark");
    }
}
