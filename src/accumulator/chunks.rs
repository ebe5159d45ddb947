//! A batch's bytes: a list of chunks that fills from the front and is read as slices.
//!
//! Written by one application thread at a time under its partition's lock, immutable once closed; must not know what
//! the bytes mean.

use super::memory::{Chunk, MemoryPool, NO_LEADER};
use crate::protocol::record::RecordSink;
use crate::sync::Arc;

/// The chunks of one batch. A batch of one chunk, the usual one, needs no list.
#[derive(Debug)]
pub(crate) struct ChunkList {
    full: Vec<Chunk>,
    current: Chunk,
    chunk_size: usize,
}

impl ChunkList {
    pub(super) fn new(first: Chunk, chunk_size: usize) -> Self {
        Self { full: Vec::new(), current: first, chunk_size }
    }

    /// Bytes that fit without another chunk.
    #[inline]
    pub(super) fn room(&self) -> usize {
        self.chunk_size - self.current.bytes.len()
    }

    pub(super) fn chunk_size(&self) -> usize {
        self.chunk_size
    }

    /// The current chunk, for a record that fits into it whole.
    #[inline]
    pub(super) fn current(&mut self) -> &mut Vec<u8> {
        &mut self.current.bytes
    }

    /// For a record that may cross chunks, with `spare` to go on in.
    pub(super) fn across<'a>(&'a mut self, spare: &'a mut Vec<Chunk>) -> Across<'a> {
        Across { list: self, spare }
    }

    /// Who led the partition when the first chunk was taken.
    pub(super) fn leader(&self) -> i32 {
        self.full.first().unwrap_or(&self.current).leader()
    }

    fn slices(&self) -> impl Iterator<Item = &[u8]> + Clone {
        self.full.iter().chain(std::iter::once(&self.current)).map(|c| &c.bytes[..])
    }

    /// Puts `bytes` in place of the contents; returns the chunks this leaves empty, or `None` (nothing changed) if
    /// the list is too short.
    fn overwrite(&mut self, mut bytes: &[u8]) -> Option<Vec<Chunk>> {
        if bytes.len() > (self.full.len() + 1) * self.chunk_size {
            return None;
        }
        let mut kept = 0;
        for chunk in self.full.iter_mut().chain([&mut self.current]) {
            let (now, rest) = bytes.split_at(bytes.len().min(self.chunk_size));
            chunk.bytes.clear();
            chunk.bytes.extend_from_slice(now);
            kept += usize::from(!now.is_empty());
            bytes = rest;
        }
        if kept > self.full.len() || self.full.is_empty() {
            return Some(Vec::new());
        }
        // The last chunk became empty, and with it perhaps more before it; one stays as the current chunk.
        let mut left = self.full.split_off(kept.max(1) - 1);
        let last = left.remove(0);
        left.push(std::mem::replace(&mut self.current, last));
        Some(left)
    }
}

/// Writes on from chunk to chunk. The caller has made sure that there are enough of them.
pub(super) struct Across<'a> {
    list: &'a mut ChunkList,
    spare: &'a mut Vec<Chunk>,
}

impl RecordSink for Across<'_> {
    fn put(&mut self, mut bytes: &[u8]) {
        loop {
            let (now, rest) = bytes.split_at(bytes.len().min(self.list.room()));
            self.list.current.bytes.extend_from_slice(now);
            if rest.is_empty() {
                return;
            }
            bytes = rest;
            let Some(next) = self.spare.pop() else {
                debug_assert!(false, "the caller counted the chunks");
                return;
            };
            let filled = std::mem::replace(&mut self.list.current, next);
            if self.list.full.capacity() == 0 && self.spare.is_empty() {
                // The list that the chunk came in is as good as a new one.
                std::mem::swap(&mut self.list.full, self.spare);
            }
            self.list.full.push(filled);
        }
    }
}

/// The body of a closed batch; its chunks go back to the pool with the last request that refers to it.
#[derive(Debug)]
pub(crate) struct Body {
    chunks: Option<ChunkList>,
    len: usize,
    /// What the batch takes besides its bytes.
    paper: Vec<Chunk>,
    pool: Arc<MemoryPool>,
}

impl Body {
    pub(super) fn new(chunks: ChunkList, len: usize, paper: Vec<Chunk>, pool: Arc<MemoryPool>) -> Self {
        debug_assert_eq!(chunks.slices().map(<[u8]>::len).sum::<usize>(), len);
        Self { chunks: Some(chunks), len, paper, pool }
    }

    /// Bytes in the body.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Who led the partition when its first chunk was taken; the same for as long as the body lives.
    pub(super) fn leader(&self) -> i32 {
        self.chunks.as_ref().map_or(NO_LEADER, ChunkList::leader)
    }

    /// The body's pieces in order, none empty but perhaps the last.
    pub(crate) fn slices(&self) -> impl Iterator<Item = &[u8]> + Clone {
        self.chunks.iter().flat_map(ChunkList::slices)
    }

    /// Replaces the contents by `bytes` where they take fewer chunks or as many, and returns the rest to the pool.
    pub(super) fn replace(&mut self, bytes: &[u8]) -> bool {
        let Some(left) = self.chunks.as_mut().and_then(|chunks| chunks.overwrite(bytes)) else {
            return false;
        };
        self.len = bytes.len();
        if !left.is_empty() {
            self.pool.give_back_list(left, None);
        }
        true
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if let Some(ChunkList { full, current, .. }) = self.chunks.take() {
            self.pool.give_back_list(full, Some(current));
        }
        if !self.paper.is_empty() {
            self.pool.give_back_list(std::mem::take(&mut self.paper), None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(pool: &Arc<MemoryPool>, bytes: &[u8]) -> Body {
        let mut chunks = Vec::new();
        pool.try_take(1, bytes.len().div_ceil(4).max(1), &mut chunks).unwrap();
        let mut list = ChunkList::new(chunks.pop().unwrap(), 4);
        list.across(&mut chunks).put(bytes);
        assert!(chunks.is_empty());
        Body::new(list, bytes.len(), Vec::new(), pool.clone())
    }

    #[test]
    fn bytes_cross_chunks_and_every_chunk_comes_back() {
        let pool = Arc::new(MemoryPool::new(64, 4, 1.0));
        for len in 0..20u8 {
            let bytes: Vec<u8> = (0..len).collect();
            let body = body(&pool, &bytes);
            assert_eq!(body.slices().collect::<Vec<_>>().concat(), bytes);
            drop(body);
            assert_eq!(pool.available(), 64);
        }
    }

    #[test]
    fn smaller_contents_free_chunks_at_once() {
        let pool = Arc::new(MemoryPool::new(64, 4, 1.0));
        for from in 1..=20usize {
            for to in 0..=24usize {
                let mut body = body(&pool, &vec![1; from]);
                let bytes: Vec<u8> = (0..to as u8).collect();
                let fits = to <= from.div_ceil(4) * 4;
                assert_eq!(body.replace(&bytes), fits, "{from} -> {to}");
                if fits {
                    assert_eq!(body.slices().collect::<Vec<_>>().concat(), bytes);
                    assert_eq!(pool.available(), 64 - to.div_ceil(4).max(1) * 4, "{from} -> {to}");
                }
            }
        }
        assert_eq!(pool.available(), 64);
    }
}
