//! gzip (RFC 1952), one member per batch, through flate2 on zlib-rs.
//!
//! Runs where batches are sealed. The deflate state is reset, not rebuilt, between batches; pieces are streamed through
//! it and its output goes straight into the caller's vector.

use flate2::{Compress, Compression as Level, Decompress, FlushCompress, FlushDecompress, Status};

use super::{CodecError, CompressionType, grow_towards};

const WINDOW_BITS: u8 = 15;
/// How much output room is made at a time.
const STEP: usize = 16 * 1024;

pub(super) struct Encoder {
    state: Compress,
    level: Option<i32>,
}

impl Encoder {
    pub(super) fn new(level: Option<i32>) -> Self {
        Self { state: Compress::new_gzip(flate_level(level), WINDOW_BITS), level }
    }

    pub(super) fn compress<'a>(
        &mut self,
        level: Option<i32>,
        input: impl Iterator<Item = &'a [u8]>,
        out: &mut Vec<u8>,
    ) -> Result<(), CodecError> {
        if level == self.level {
            self.state.reset();
        } else {
            *self = Self::new(level);
        }
        for mut piece in input {
            while !piece.is_empty() {
                let used = self.step(piece, out, FlushCompress::None)?.0;
                piece = piece.get(used..).unwrap_or_default();
            }
        }
        while self.step(&[], out, FlushCompress::Finish)?.1 != Status::StreamEnd {}
        Ok(())
    }

    /// One call of the codec: how much of `piece` it took and what it says.
    fn step(
        &mut self,
        piece: &[u8],
        out: &mut Vec<u8>,
        flush: FlushCompress,
    ) -> Result<(usize, Status), CodecError> {
        if out.len() == out.capacity() {
            out.reserve(STEP);
        }
        let before = self.state.total_in();
        let status = self
            .state
            .compress_vec(piece, out, flush)
            .map_err(|error| CodecError::Failed(CompressionType::Gzip, error.to_string()))?;
        Ok(((self.state.total_in() - before) as usize, status))
    }
}

fn flate_level(level: Option<i32>) -> Level {
    level.and_then(|level| u32::try_from(level).ok()).map_or_else(Level::default, Level::new)
}

/// Reads one member or several, as Java does.
pub(super) fn decompress(mut input: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), CodecError> {
    let corrupt = |reason| CodecError::Corrupt(CompressionType::Gzip, reason);
    let start = out.len();
    loop {
        let mut state = Decompress::new_gzip(WINDOW_BITS);
        loop {
            // Deflate gives at most 1,032 bytes for one: what is left of the input bounds what is worth allocating.
            grow_towards(out, start, limit, STEP.min(input.len().saturating_mul(1032).max(64)))?;
            let (read, written) = (state.total_in(), state.total_out());
            let status = state
                .decompress_vec(input, out, FlushDecompress::None)
                .map_err(|_| corrupt("not a gzip stream"))?;
            input = input.get((state.total_in() - read) as usize..).unwrap_or_default();
            if status == Status::StreamEnd {
                break;
            }
            let stuck = state.total_in() == read && state.total_out() == written;
            if stuck && out.len() < out.capacity() {
                return Err(corrupt("ends early"));
            }
        }
        if out.len() - start > limit {
            return Err(CodecError::TooLarge { limit });
        }
        if input.is_empty() {
            return Ok(());
        }
    }
}
