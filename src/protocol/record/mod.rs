//! Record batches, format v2 (KIP-98): encoding, header and checksum, reading, compression.
