//! Zstandard frames (RFC 8878), one per batch, with the content's size in the frame's header.
//!
//! Runs where batches are sealed. The context lives on from batch to batch; pieces are streamed through it and its
//! output goes straight into the caller's vector. The one codec here that compiles C.

use zstd::zstd_safe::{
    CCtx, CParameter, DCtx, DParameter, ErrorCode, InBuffer, OutBuffer, ResetDirective, get_error_name,
    zstd_sys::ZSTD_EndDirective,
};

use super::{CodecError, CompressionType, grow_towards};

/// How much output room is made at a time.
const STEP: usize = 16 * 1024;
/// The windows that a reader accepts, as powers of two: 8 MiB, which every reader of the format should, up to 128 MiB.
const WINDOW_LOG: std::ops::RangeInclusive<u32> = 23..=27;

pub(super) struct Encoder {
    context: CCtx<'static>,
}

impl Encoder {
    pub(super) fn new() -> Result<Self, CodecError> {
        let context = CCtx::try_create()
            .ok_or_else(|| CodecError::Failed(CompressionType::Zstd, "out of memory".to_owned()))?;
        Ok(Self { context })
    }

    pub(super) fn compress<'a, I>(
        &mut self,
        level: Option<i32>,
        input: I,
        out: &mut Vec<u8>,
    ) -> Result<(), CodecError>
    where
        I: Iterator<Item = &'a [u8]> + Clone,
    {
        let total: u64 = input.clone().map(|piece| piece.len() as u64).sum();
        let level = level.unwrap_or(zstd::DEFAULT_COMPRESSION_LEVEL);
        self.context.reset(ResetDirective::SessionOnly).map_err(failed)?;
        self.context.set_parameter(CParameter::CompressionLevel(level)).map_err(failed)?;
        self.context.set_pledged_src_size(Some(total)).map_err(failed)?;
        for piece in input {
            let mut piece = InBuffer::around(piece);
            while piece.pos() < piece.src.len() {
                self.step(&mut piece, out, ZSTD_EndDirective::ZSTD_e_continue)?;
            }
        }
        let mut nothing = InBuffer::around(&[]);
        while self.step(&mut nothing, out, ZSTD_EndDirective::ZSTD_e_end)? != 0 {}
        Ok(())
    }

    /// One call of the codec; what it wants to be called again for.
    fn step(
        &mut self,
        piece: &mut InBuffer<'_>,
        out: &mut Vec<u8>,
        end: ZSTD_EndDirective,
    ) -> Result<usize, CodecError> {
        if out.len() == out.capacity() {
            out.reserve(STEP);
        }
        let at = out.len();
        self.context.compress_stream2(&mut OutBuffer::around_pos(out, at), piece, end).map_err(failed)
    }
}

pub(super) fn decompress(input: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), CodecError> {
    let corrupt = |reason| CodecError::Corrupt(CompressionType::Zstd, reason);
    let mut context = DCtx::try_create()
        .ok_or_else(|| CodecError::Failed(CompressionType::Zstd, "out of memory".to_owned()))?;
    // A frame may ask for a window far above its content, and the decoder would allocate it.
    let window = limit.checked_next_power_of_two().map_or(u32::MAX, usize::ilog2);
    let window = window.clamp(*WINDOW_LOG.start(), *WINDOW_LOG.end());
    context.set_parameter(DParameter::WindowLogMax(window)).map_err(failed)?;
    let start = out.len();
    let mut input = InBuffer::around(input);
    let mut wanted = 1;
    while wanted != 0 || input.pos() < input.src.len() {
        grow_towards(out, start, limit, STEP)?;
        let before = (input.pos(), out.len());
        let at = out.len();
        wanted = context
            .decompress_stream(&mut OutBuffer::around_pos(out, at), &mut input)
            .map_err(|_| corrupt("not a Zstandard frame"))?;
        let stuck = before == (input.pos(), out.len());
        if wanted != 0 && stuck && out.len() < out.capacity() {
            return Err(corrupt("ends early"));
        }
    }
    if out.len() - start > limit { Err(CodecError::TooLarge { limit }) } else { Ok(()) }
}

fn failed(code: ErrorCode) -> CodecError {
    CodecError::Failed(CompressionType::Zstd, get_error_name(code).to_owned())
}
