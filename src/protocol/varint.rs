//! Variable-length integers: the zigzag ones inside record batches and the unsigned ones of flexible messages.
//!
//! Pure functions, any thread, no lock, no allocation. Seven bits a byte, lowest first, the top bit says "more follows"
//! (KIP-98 for records, KIP-482 for messages). Reading is total: a value that is cut short or too long is `None`.

/// The most bytes a 32-bit value takes.
pub const MAX_LEN_32: usize = 5;
/// The most bytes a 64-bit value takes.
pub const MAX_LEN_64: usize = 10;

/// Maps signed to unsigned so that small magnitudes of either sign stay short: 0, -1, 1, -2 become 0, 1, 2, 3.
#[inline]
pub const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// The inverse of [`zigzag`].
#[inline]
pub const fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// How many bytes `value` takes as an unsigned varint.
#[inline]
pub const fn unsigned_len(value: u64) -> usize {
    // Nearly always one of these; and counting zeros is slow on processors that are asked the old way.
    if value < 0x80 {
        return 1;
    }
    if value < 0x4000 {
        return 2;
    }
    // ceil(bits / 7) without a division by seven: 9/64 is near enough to 1/7 for every width up to 64.
    let highest_bit = 63 - value.leading_zeros();
    ((highest_bit * 9 + 73) / 64) as usize
}

/// How many bytes `value` takes as a zigzag varint. A 32-bit value takes the same bytes whichever width it is seen as.
#[inline]
pub const fn varint_len(value: i64) -> usize {
    unsigned_len(zigzag(value))
}

/// A few varints and bytes put together on the stack, so that they reach their destination in one copy.
///
/// It holds 40 bytes, above what any part of a record's frame needs; what does not fit is dropped, and asserted in
/// debug builds.
#[derive(Clone, Copy, Debug)]
pub struct StackBuffer {
    bytes: [u8; Self::CAPACITY],
    len: usize,
}

impl StackBuffer {
    const CAPACITY: usize = 40;

    /// An empty buffer.
    #[inline]
    pub const fn new() -> Self {
        Self { bytes: [0; Self::CAPACITY], len: 0 }
    }

    /// Forgets the contents.
    #[inline]
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// What was put in so far.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// Adds one byte.
    #[inline]
    pub fn byte(&mut self, byte: u8) {
        if let Some(slot) = self.bytes.get_mut(self.len) {
            *slot = byte;
            self.len += 1;
        } else {
            debug_assert!(false, "stack buffer is full");
        }
    }

    /// Adds a zigzag varint of either width.
    #[inline]
    pub fn varint(&mut self, value: i64) {
        self.unsigned(zigzag(value));
    }

    /// Adds an unsigned varint.
    #[inline]
    pub fn unsigned(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.byte((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.byte(value as u8);
    }
}

/// A few bytes in one register, lowest first, so that they reach their destination in one store. What is more than
/// [`CAPACITY`](Self::CAPACITY) is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PackedVarints {
    bits: u64,
    len: u32,
}

impl PackedVarints {
    /// The first value that [`add_short`](Self::add_short) does not take.
    pub const SHORT_LIMIT: u64 = 1 << 14;
    /// How many bytes it holds, and how many [`put`](Self::put) writes.
    pub const CAPACITY: usize = 8;

    /// How many bytes there are.
    #[inline(always)]
    pub const fn len(self) -> usize {
        self.len as usize
    }

    /// Whether there are none.
    #[inline(always)]
    pub const fn is_empty(self) -> bool {
        self.len == 0
    }

    /// Adds an unsigned varint below [`SHORT_LIMIT`](Self::SHORT_LIMIT).
    #[inline(always)]
    pub fn add_short(&mut self, value: u64) {
        debug_assert!(value < Self::SHORT_LIMIT && self.len <= 6);
        let second = u64::from(value >= 0x80);
        let spread = value & 0x7f | (value & 0x3f80) << 1 | second << 7;
        self.bits |= spread << (8 * self.len);
        self.len += 1 + second as u32;
    }

    /// Adds any unsigned varint for which there is room.
    pub fn add(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.byte(value as u8 | 0x80);
            value >>= 7;
        }
        self.byte(value as u8);
    }

    /// Adds one byte.
    #[inline(always)]
    pub fn byte(&mut self, byte: u8) {
        debug_assert!(self.len() < Self::CAPACITY);
        self.bits |= u64::from(byte) << (8 * self.len % 64);
        self.len += 1;
    }

    /// Adds all that is in `other`.
    #[inline(always)]
    pub fn append(&mut self, other: Self) {
        debug_assert!(self.len() + other.len() <= Self::CAPACITY && self.len() < Self::CAPACITY);
        self.bits |= other.bits << (8 * self.len % 64);
        self.len += other.len;
    }

    /// Appends the contents to `out` by storing all eight bytes and cutting off what is too much: `out` needs that much
    /// room, or it grows.
    #[inline(always)]
    pub fn put(self, out: &mut Vec<u8>) {
        let end = out.len() + self.len as usize;
        out.extend_from_slice(&self.bits.to_le_bytes());
        out.truncate(end);
    }
}

/// Attributes, timestamp and offset of a record, which stand between its length and its key: kept from record to record,
/// since the next record's are nearly always the same but for one more in the offset.
#[derive(Clone, Copy, Debug)]
pub struct Preamble {
    /// Nothing if they do not fit.
    packed: PackedVarints,
    timestamp_delta: i64,
    /// Whose it is: that record's offset in its batch.
    offset_delta: u32,
    /// One more in the offset.
    step: u64,
}

impl Preamble {
    /// What it may take.
    pub const CAPACITY: usize = PackedVarints::CAPACITY - 2;

    /// Of no record yet.
    pub const fn new() -> Self {
        Self {
            packed: PackedVarints { bits: 0, len: 0 },
            timestamp_delta: 0,
            offset_delta: u32::MAX,
            step: 0,
        }
    }

    /// For the record at `offset_delta`; nothing, which it never is, if it does not fit.
    #[inline(always)]
    pub fn of(&mut self, offset_delta: u32, timestamp_delta: i64) -> PackedVarints {
        let is_next = offset_delta == self.offset_delta && timestamp_delta == self.timestamp_delta;
        if !is_next {
            self.make(offset_delta, timestamp_delta);
        }
        self.packed
    }

    /// Goes on to the next record.
    #[inline(always)]
    pub fn advance(&mut self) {
        self.packed.bits = self.packed.bits.wrapping_add(self.step);
        self.offset_delta = self.offset_delta.wrapping_add(1);
        // Its lowest seven bits, of which zigzag takes one, are full: more than an addition. No record has this number.
        if self.offset_delta % 64 == 0 {
            self.offset_delta = u32::MAX;
        }
    }

    #[cold]
    fn make(&mut self, offset_delta: u32, timestamp_delta: i64) {
        let (time, offset) = (zigzag(timestamp_delta), u64::from(offset_delta) << 1);
        let mut packed = PackedVarints::default();
        if 1 + unsigned_len(time) + unsigned_len(offset) <= Self::CAPACITY {
            packed.byte(0);
            packed.add(time);
            self.step = 2 << (8 * packed.len);
            packed.add(offset);
        }
        (self.packed, self.timestamp_delta, self.offset_delta) = (packed, timestamp_delta, offset_delta);
    }
}

impl Default for Preamble {
    fn default() -> Self {
        Self::new()
    }
}

impl Default for StackBuffer {
    fn default() -> Self {
        Self::new()
    }
}

/// Writes `value` as an unsigned varint at the front of `out`; the bytes taken, or `None` if `out` is too short (its
/// contents are then unspecified).
#[inline]
pub fn write_unsigned(out: &mut [u8], mut value: u64) -> Option<usize> {
    let mut used = 0;
    while value >= 0x80 {
        *out.get_mut(used)? = (value & 0x7f) as u8 | 0x80;
        value >>= 7;
        used += 1;
    }
    *out.get_mut(used)? = value as u8;
    Some(used + 1)
}

/// Writes `value` as a zigzag varint at the front of `out`, like [`write_unsigned`].
#[inline]
pub fn write_varint(out: &mut [u8], value: i64) -> Option<usize> {
    write_unsigned(out, zigzag(value))
}

/// Reads an unsigned 32-bit varint from the front of `input`: the value and the bytes it took. `None` if `input` ends
/// too early or the value does not fit.
#[inline]
pub fn read_unsigned_32(input: &[u8]) -> Option<(u32, usize)> {
    match input.first() {
        Some(&byte) if byte < 0x80 => Some((u32::from(byte), 1)),
        _ => {
            let (value, used) = read_long(input, MAX_LEN_32)?;
            Some((u32::try_from(value).ok()?, used))
        }
    }
}

/// Reads an unsigned 64-bit varint, like [`read_unsigned_32`].
#[inline]
pub fn read_unsigned_64(input: &[u8]) -> Option<(u64, usize)> {
    match input.first() {
        Some(&byte) if byte < 0x80 => Some((u64::from(byte), 1)),
        _ => read_long(input, MAX_LEN_64),
    }
}

/// Reads a zigzag 32-bit varint, like [`read_unsigned_32`].
#[inline]
pub fn read_varint_32(input: &[u8]) -> Option<(i32, usize)> {
    let (value, used) = read_unsigned_32(input)?;
    Some(((value >> 1) as i32 ^ -((value & 1) as i32), used))
}

/// Reads a zigzag 64-bit varint, like [`read_unsigned_32`].
#[inline]
pub fn read_varint_64(input: &[u8]) -> Option<(i64, usize)> {
    let (value, used) = read_unsigned_64(input)?;
    Some((unzigzag(value), used))
}

fn read_long(input: &[u8], max_len: usize) -> Option<(u64, usize)> {
    let mut value = 0u64;
    for (index, &byte) in input.iter().take(max_len).enumerate() {
        let bits = u64::from(byte & 0x7f);
        let shift = 7 * index as u32;
        if shift == 63 && bits > 1 {
            return None;
        }
        value |= bits << shift;
        if byte < 0x80 {
            return Some((value, index + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_varints_are_the_same_bytes() {
        let edges = [0, 1, 0x7f, 0x80, 0x3fff, 0x4000, 0x1f_ffff];
        for (first, second) in edges.iter().flat_map(|a| edges.iter().map(move |b| (*a, *b))) {
            let (mut packed, mut plain) = (PackedVarints::default(), StackBuffer::new());
            packed.add(first);
            packed.byte(7);
            packed.add(second);
            plain.unsigned(first);
            plain.byte(7);
            plain.unsigned(second);
            let mut out = vec![9];
            packed.put(&mut out);
            assert_eq!(out[1..], *plain.as_slice());
            if first.max(second) < PackedVarints::SHORT_LIMIT {
                let (mut short, mut rest) = (PackedVarints::default(), PackedVarints::default());
                short.add_short(first);
                rest.byte(7);
                rest.add_short(second);
                short.append(rest);
                assert_eq!(short, packed);
            }
        }
    }

    #[test]
    fn a_preamble_that_goes_on_is_as_good_as_a_new_one() {
        // Times change now and then, also back, and some do not fit; some records go another way, and are left out.
        let time = |n: u32| [0, 0, 3, -1, 70, i64::MAX, 9_000, 8_191][(n / 50 % 8) as usize];
        let mut kept = Preamble::new();
        for n in (0..40_000).chain([1 << 20, u32::MAX - 1]).filter(|n| n % 97 != 5) {
            let mut plain = StackBuffer::new();
            plain.byte(0);
            plain.varint(time(n));
            plain.varint(i64::from(n));
            let mut out = Vec::new();
            kept.of(n, time(n)).put(&mut out);
            let fits = plain.as_slice().len() <= Preamble::CAPACITY;
            assert_eq!(out, if fits { plain.as_slice() } else { &[] }, "{n}");
            if fits || n % 2 == 0 {
                kept.advance();
            }
        }
    }

    fn edges() -> impl Iterator<Item = i64> {
        (0..64).flat_map(|bit| {
            let value = 1i64.wrapping_shl(bit);
            [value, value.wrapping_neg(), value.wrapping_sub(1), value.wrapping_add(1), !value]
        })
    }

    #[test]
    fn known_bytes() {
        for (value, bytes) in [
            (0i64, &[0x00][..]),
            (-1, &[0x01]),
            (1, &[0x02]),
            (63, &[0x7e]),
            (-64, &[0x7f]),
            (64, &[0x80, 0x01]),
            (-65, &[0x81, 0x01]),
            (8191, &[0xfe, 0x7f]),
            (8192, &[0x80, 0x80, 0x01]),
            (i64::from(i32::MAX), &[0xfe, 0xff, 0xff, 0xff, 0x0f]),
            (i64::from(i32::MIN), &[0xff, 0xff, 0xff, 0xff, 0x0f]),
            (i64::MIN, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
        ] {
            let mut buffer = StackBuffer::new();
            buffer.varint(value);
            assert_eq!(buffer.as_slice(), bytes, "{value}");
            assert_eq!(varint_len(value), bytes.len(), "{value}");
            assert_eq!(read_varint_64(bytes), Some((value, bytes.len())));
        }
    }

    #[test]
    fn every_width_comes_back() {
        for value in edges() {
            let mut out = [0u8; MAX_LEN_64];
            let used = write_varint(&mut out, value).unwrap();
            assert_eq!(used, varint_len(value), "{value}");
            assert_eq!(read_varint_64(&out), Some((value, used)));
            assert_eq!(unzigzag(zigzag(value)), value);
            if let Ok(small) = i32::try_from(value) {
                assert_eq!(read_varint_32(&out), Some((small, used)));
            }
            assert_eq!(read_varint_64(&out[..used - 1]), None, "cut short: {value}");
            assert_eq!(write_varint(&mut out[..used - 1], value), None);

            let unsigned = value as u64;
            let used = write_unsigned(&mut out, unsigned).unwrap();
            assert_eq!(used, unsigned_len(unsigned));
            assert_eq!(read_unsigned_64(&out), Some((unsigned, used)));
            assert_eq!(read_unsigned_32(&out).map(|(v, _)| v), u32::try_from(unsigned).ok());
        }
    }

    #[test]
    fn too_long_is_refused() {
        assert_eq!(read_unsigned_32(&[0xff, 0xff, 0xff, 0xff, 0x10]), None);
        assert_eq!(read_unsigned_32(&[0x80; 6]), None);
        assert_eq!(read_unsigned_64(&[0x80; 20]), None);
        let over = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        assert_eq!(read_unsigned_64(&over), None);
        assert_eq!(read_varint_32(&[]), None);
    }
}
