//! Snappy in xerial's framing: what Java's `SnappyOutputStream` writes and every Kafka client reads.
//!
//! Runs where batches are sealed. A 16-byte header, then blocks of at most 32 KiB of input, each behind its compressed
//! length. Reading also takes a bare Snappy block, which some clients write.

use super::blocks::for_each_block;
use super::{CodecError, CompressionType, grow_towards};

const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
/// Version 1, readable by version 1, both big-endian.
const VERSIONS: [u8; 8] = [0, 0, 0, 1, 0, 0, 0, 1];
const BLOCK: usize = 32 * 1024;
/// A copy element makes at most 64 bytes from three, a literal never more than itself; so no honest block claims more.
const MAX_RATIO: usize = 64;

pub(super) struct Encoder {
    state: snap::raw::Encoder,
    /// A block put together from several pieces.
    block: Vec<u8>,
    /// A compressed block, before its length is known; kept at its length.
    packed: Vec<u8>,
}

impl Default for Encoder {
    fn default() -> Self {
        let packed = vec![0; snap::raw::max_compress_len(BLOCK)];
        Self { state: snap::raw::Encoder::new(), block: Vec::new(), packed }
    }
}

impl Encoder {
    pub(super) fn compress<'a>(
        &mut self,
        input: impl Iterator<Item = &'a [u8]>,
        out: &mut Vec<u8>,
    ) -> Result<(), CodecError> {
        let Self { state, block, packed } = self;
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSIONS);
        for_each_block(input, BLOCK, block, |block| {
            let len = state.compress(block, packed).map_err(failed)?;
            out.extend_from_slice(&(len as u32).to_be_bytes());
            out.extend_from_slice(packed.get(..len).unwrap_or_default());
            Ok(())
        })
    }
}

pub(super) fn decompress(input: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), CodecError> {
    let Some(after_magic) = input.strip_prefix(&MAGIC) else {
        return decompress_block(input, out.len(), limit, out);
    };
    let mut rest = after_magic.get(VERSIONS.len()..).ok_or_else(|| corrupt("header is cut short"))?;
    let start = out.len();
    while !rest.is_empty() {
        let (len, after) = rest.split_first_chunk().ok_or_else(|| corrupt("ends within a length"))?;
        let len = u32::from_be_bytes(*len) as usize;
        let (block, after) = after.split_at_checked(len).ok_or_else(|| corrupt("ends within a block"))?;
        decompress_block(block, start, limit, out)?;
        rest = after;
    }
    Ok(())
}

/// Appends a block to `out`, where the whole batch starts at `first`.
fn decompress_block(block: &[u8], first: usize, limit: usize, out: &mut Vec<u8>) -> Result<(), CodecError> {
    let claimed = snap::raw::decompress_len(block).map_err(|_| corrupt("block without a length"))?;
    if claimed > limit - (out.len() - first) {
        return Err(CodecError::TooLarge { limit });
    }
    if claimed > block.len().saturating_mul(MAX_RATIO) {
        return Err(corrupt("block claims more than it can hold"));
    }
    grow_towards(out, first, limit, claimed)?;
    let start = out.len();
    out.resize(start + claimed, 0);
    let to = out.get_mut(start..).unwrap_or_default();
    let len = snap::raw::Decoder::new().decompress(block, to).map_err(|_| corrupt("not a Snappy block"))?;
    out.truncate(start + len);
    Ok(())
}

fn corrupt(reason: &'static str) -> CodecError {
    CodecError::Corrupt(CompressionType::Snappy, reason)
}

fn failed(error: snap::Error) -> CodecError {
    CodecError::Failed(CompressionType::Snappy, error.to_string())
}
