//! Cuts a list of pieces into blocks of one size, for the codecs whose format is made of independent blocks.
//!
//! Pure; whoever compresses runs it. A block that lies within one piece is passed on as it is, without a copy.

/// Calls `each` with consecutive blocks of `size` bytes of the concatenated `pieces`; only the last may be shorter.
/// Blocks that straddle pieces are put together in `buffer`.
pub(super) fn for_each_block<'a, E>(
    pieces: impl Iterator<Item = &'a [u8]>,
    size: usize,
    buffer: &mut Vec<u8>,
    mut each: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    buffer.clear();
    let mut pieces = pieces.filter(|piece| !piece.is_empty()).peekable();
    while let Some(mut piece) = pieces.next() {
        while !piece.is_empty() {
            let is_tail = piece.len() <= size && pieces.peek().is_none();
            let (block, rest) = piece.split_at(piece.len().min(size - buffer.len()));
            piece = rest;
            if buffer.is_empty() && (block.len() == size || is_tail) {
                each(block)?;
                continue;
            }
            buffer.extend_from_slice(block);
            if buffer.len() == size {
                each(buffer)?;
                buffer.clear();
            }
        }
    }
    if !buffer.is_empty() {
        each(buffer)?;
        buffer.clear();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_full_but_the_last() {
        let bytes: Vec<u8> = (0..=255).collect();
        for size in 1..40 {
            for piece in 1..60 {
                let mut seen = Vec::new();
                let mut lens = Vec::new();
                let pieces = bytes.chunks(piece).flat_map(|piece| [piece, &[]]);
                let done: Result<(), ()> = for_each_block(pieces, size, &mut Vec::new(), |block| {
                    seen.extend_from_slice(block);
                    lens.push(block.len());
                    Ok(())
                });
                assert_eq!(done, Ok(()));
                assert_eq!(seen, bytes);
                let last = lens.pop().unwrap();
                assert!(last <= size && lens.iter().all(|&len| len == size), "{size} {piece}");
            }
        }
    }

    #[test]
    fn whole_blocks_are_not_copied() {
        let bytes = [7u8; 100];
        let mut buffer = Vec::new();
        let done: Result<(), ()> = for_each_block([&bytes[..]].into_iter(), 30, &mut buffer, |_| Ok(()));
        assert_eq!((done, buffer.capacity()), (Ok(()), 0));
    }
}
