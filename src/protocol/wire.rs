//! The primitives of Kafka's wire format: integers, varints, strings, bytes, arrays, uuids, tagged fields.
//!
//! Owns: the cursor over received bytes and the buffer that requests are written into. Runs on any thread, takes no
//! lock. Must not know: messages, versions, sockets. Reading is total: each read checks what is left, and a count is
//! believed only as far as the bytes behind it could carry it. KIP-482 (compact types, tagged fields).

mod error;
mod reader;
mod writer;

pub use error::{DecodeError, DecodeErrorKind, EncodeError};
pub use reader::Reader;
pub use writer::{FrameStart, Splice, Writer};

/// The longest string that Kafka accepts, in bytes; old and compact strings share the limit.
pub const MAX_STRING_LEN: usize = i16::MAX as usize;

#[cfg(test)]
mod tests {
    use super::*;

    fn written(put: impl FnOnce(&mut Writer)) -> Vec<u8> {
        let mut w = Writer::new();
        put(&mut w);
        w.into_parts().0
    }

    fn kind<T: std::fmt::Debug>(result: Result<T, DecodeError>) -> DecodeErrorKind {
        result.unwrap_err().kind()
    }

    #[test]
    fn integers_are_big_endian() {
        let bytes = written(|w| {
            w.i16(-2);
            w.i32(0x0102_0304);
            w.i64(-3);
            w.i8(-1);
            w.bool(true);
        });
        assert_eq!(bytes[..6], [0xff, 0xfe, 1, 2, 3, 4]);
        let mut r = Reader::new(&bytes);
        assert_eq!((r.i16(), r.i32(), r.i64()), (Ok(-2), Ok(0x0102_0304), Ok(-3)));
        assert_eq!((r.i8(), r.bool()), (Ok(-1), Ok(true)));
        assert_eq!(kind(r.u8()), DecodeErrorKind::UnexpectedEnd);
        assert_eq!(Reader::new(&[1, 0, 0, 0]).u32(), Ok(0x0100_0000));
    }

    #[test]
    fn varints_come_back_and_too_long_ones_do_not() {
        for value in [0, 1, 127, 128, 16_383, 16_384, u32::MAX] {
            let bytes = written(|w| w.uvarint(value));
            assert_eq!(Reader::new(&bytes).uvarint(), Ok(value));
            let cut = &bytes[..bytes.len() - 1];
            assert_eq!(kind(Reader::new(cut).uvarint()), DecodeErrorKind::UnexpectedEnd);
        }
        for value in [0, -1, 1, i32::MIN, i32::MAX] {
            let bytes = written(|w| w.varint(value.into()));
            assert_eq!(Reader::new(&bytes).varint(), Ok(value));
            assert_eq!(Reader::new(&bytes).varlong(), Ok(value.into()));
        }
        let bytes = written(|w| w.varint(i64::MIN));
        assert_eq!(Reader::new(&bytes).varlong(), Ok(i64::MIN));
        for bytes in [&[0xff, 0xff, 0xff, 0xff, 0x1f][..], &[0x80; 5], &[0x80; 20]] {
            assert_eq!(kind(Reader::new(bytes).uvarint()), DecodeErrorKind::VarintOverflow);
        }
    }

    #[test]
    fn strings_in_both_forms() {
        for (compact, null, text) in [(false, &[0xff, 0xff][..], &[0, 1, b'x'][..]), (true, &[0], &[2, b'x'])]
        {
            assert_eq!(written(|w| w.nullable_string(None, compact).unwrap()), null);
            assert_eq!(written(|w| w.string("x", compact).unwrap()), text);
            assert_eq!(Reader::new(null).nullable_string(compact), Ok(None));
            assert_eq!(kind(Reader::new(null).string(compact)), DecodeErrorKind::UnexpectedNull);
            assert_eq!(Reader::new(text).string(compact), Ok("x"));
            let long = "x".repeat(MAX_STRING_LEN + 1);
            assert_eq!(Writer::new().string(&long, compact), Err(EncodeError::TooLong { field: "" }));
        }
        assert_eq!(kind(Reader::new(&[0xff, 0xfe]).string(false)), DecodeErrorKind::NegativeLength);
        assert_eq!(kind(Reader::new(&[2, 0xff]).string(true)), DecodeErrorKind::InvalidUtf8);
        assert_eq!(kind(Reader::new(&[0x81, 0x80, 0x02]).string(true)), DecodeErrorKind::StringTooLong);
        assert_eq!(kind(Reader::new(&[5, b'x']).string(true)), DecodeErrorKind::UnexpectedEnd);
    }

    #[test]
    fn counts_are_believed_only_as_far_as_bytes_could_carry_them() {
        let bytes = [0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(Reader::new(&bytes).array_len(false, 3), Ok(2));
        assert_eq!(kind(Reader::new(&bytes).array_len(false, 4)), DecodeErrorKind::CountTooBig);
        let most = [0x7f, 0xff, 0xff, 0xff];
        assert_eq!(kind(Reader::new(&most).array_len(false, 0)), DecodeErrorKind::CountTooBig);
        assert_eq!(Reader::new(&[0xff; 4]).nullable_array_len(false, 1), Ok(None));
        assert_eq!(kind(Reader::new(&[0xff; 4]).array_len(false, 1)), DecodeErrorKind::UnexpectedNull);
    }

    #[test]
    fn bytes_in_both_forms() {
        for compact in [false, true] {
            let bytes = written(|w| w.nullable_bytes(Some(&[7; 200]), compact).unwrap());
            assert_eq!(Reader::new(&bytes).bytes(compact), Ok(&[7; 200][..]));
            let null = written(|w| w.nullable_bytes(None, compact).unwrap());
            assert_eq!(Reader::new(&null).nullable_bytes(compact), Ok(None));
        }
    }

    #[test]
    fn a_known_tagged_field_must_fill_its_size() {
        let bytes = written(|w| {
            w.uvarint(2);
            w.tagged_field(0, |w| w.string("hello", true)).unwrap();
            w.tagged_field(7, |w| {
                w.raw(&[1; 300]);
                Ok(())
            })
            .unwrap();
        });
        let mut seen = String::new();
        let mut r = Reader::new(&bytes);
        r.tagged_fields(|tag, r| {
            if tag == 0 {
                seen.push_str(r.string(true)?);
            }
            Ok(tag == 0)
        })
        .unwrap();
        assert_eq!(seen, "hello");
        r.finish().unwrap();
        assert_eq!(kind(Reader::new(&bytes).tagged_fields(|_, _| Ok(true))), DecodeErrorKind::TrailingBytes);
        let cut = &bytes[..bytes.len() - 1];
        assert_eq!(kind(Reader::new(cut).skip_tagged_fields()), DecodeErrorKind::UnexpectedEnd);
    }

    #[test]
    fn a_frame_too_long_for_its_prefix_is_refused() {
        let mut w = Writer::new();
        let start = w.begin_frame();
        w.splice(i32::MAX as usize);
        w.i8(0);
        assert_eq!(w.end_frame(start), Err(EncodeError::TooLong { field: "" }));
    }

    #[test]
    fn a_reused_writer_starts_empty() {
        let mut w = Writer::new();
        w.i64(1);
        w.splice(3);
        let (buf, splices) = w.into_parts();
        let capacity = buf.capacity();
        let mut w = Writer::reuse(buf, splices);
        assert_eq!((w.total_len(), w.splices().len()), (0, 0));
        w.i64(2);
        assert_eq!(w.into_parts().0.capacity(), capacity);
    }

    #[test]
    fn errors_say_what_and_where() {
        let error = Reader::new(&[0, 5]).string(false).unwrap_err().in_field("Topic.name").in_field("outer");
        assert_eq!(error.to_string(), "the bytes end too early at byte 2 in Topic.name");
        assert_eq!(error.position(), 2);
        let error = EncodeError::TooLong { field: "" }.in_field("Topic.name");
        assert_eq!(error.to_string(), "Topic.name is too long for its length prefix");
    }
}
