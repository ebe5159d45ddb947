//! What the engine asks the driver to do, and the names by which both know connections.

use std::time::Duration;

use super::transaction::Features;
use crate::accumulator::Body;
use crate::protocol::record::BATCH_HEADER_LEN;
use crate::protocol::wire::Splice;
use crate::sync::Arc;

/// One attempt to connect and the connection that comes of it; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ConnId(pub(crate) u64);

/// Where a broker listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Address {
    pub(crate) host: Arc<str>,
    pub(crate) port: u16,
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// What the driver is to do.
#[derive(Debug)]
pub(crate) enum Action {
    /// Resolve, connect, ask for the versions; report by `handle_connected` or `handle_connect_failed`.
    Connect {
        conn: ConnId,
        address: Address,
        /// For each address the name resolves to.
        setup_timeout: Duration,
        /// For the exchange of versions.
        request_timeout: Duration,
    },
    /// Write, behind what is not written yet; report by `handle_written` once all of it is in the socket's hands.
    Send { conn: ConnId, frame: Frame },
    /// Close; report nothing more of it.
    Close { conn: ConnId },
}

/// One request as it goes over the wire: the engine's bytes, with batches spliced in that are not copied.
#[derive(Debug, Default)]
pub(crate) struct Frame {
    pub(crate) head: Vec<u8>,
    pub(crate) splices: Vec<Splice>,
    /// One for each splice.
    pub(crate) batches: Vec<StampedBatch>,
}

/// A batch under one stamp.
#[derive(Debug)]
pub(crate) struct StampedBatch {
    pub(crate) header: [u8; BATCH_HEADER_LEN],
    pub(crate) body: Arc<Body>,
}

impl Frame {
    /// The request's bytes in order.
    pub(crate) fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let mut from = 0;
        let spliced = self.splices.iter().zip(&self.batches).flat_map(move |(splice, batch)| {
            let before = self.head.get(from..splice.at).unwrap_or_default();
            from = splice.at;
            std::iter::once(before).chain([&batch.header[..]]).chain(batch.body.slices())
        });
        let last = self.splices.last().map_or(0, |splice| splice.at);
        spliced.chain(std::iter::once(self.head.get(last..).unwrap_or_default())).filter(|s| !s.is_empty())
    }

    /// Bytes in all.
    pub(crate) fn len(&self) -> usize {
        self.head.len() + self.splices.iter().map(|s| s.len).sum::<usize>()
    }
}

/// What the exchange of versions said of a broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Peer {
    /// API key, lowest version, highest version.
    pub(crate) ranges: Vec<(i16, i16, i16)>,
    pub(crate) features: Features,
}
