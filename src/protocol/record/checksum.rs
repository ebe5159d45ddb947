//! The checksum of batches: CRC-32C (Castagnoli), with the processor's instructions for it where there are any.
//!
//! Pure functions, no lock.

use crc_fast::{CrcAlgorithm, Digest};

/// The checksum over `head` and the pieces of `rest`, one after the other.
pub(crate) fn crc32c<'a>(head: &[u8], rest: impl IntoIterator<Item = &'a [u8]>) -> u32 {
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    digest.update(head);
    for piece in rest {
        digest.update(piece);
    }
    // The algorithm's width is 32 bits.
    digest.finalize() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_castagnoli_polynomial_however_the_bytes_are_cut() {
        assert_eq!(crc32c(b"123456789", []), 0xe306_9283);
        assert_eq!(crc32c(b"1234", [&b""[..], b"56789"]), 0xe306_9283);
        assert_eq!(crc32c(&[], []), 0);
        // RFC 3720, B.4.
        assert_eq!(crc32c(&[0u8; 32], []), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32], []), 0x62a8_ab43);
    }

    #[test]
    fn every_length_and_alignment_agrees_with_another_implementation() {
        let bytes: Vec<u8> = (0..5000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        for len in (0..600).chain((600..4900).step_by(97)) {
            let (from, cut) = (len % 67, len / 3);
            let piece = &bytes[from..from + len];
            let expected = ::crc32c::crc32c(piece);
            assert_eq!(crc32c(piece, []), expected, "{len}");
            assert_eq!(crc32c(&piece[..cut], [&piece[cut..]]), expected, "{len} cut at {cut}");
        }
    }
}
