//! Serializers, partitioners, the configuration they are given, and the mock producer, through the public API.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod configured;
mod mock_producer;
mod mock_transactions;
mod partitioners;
mod properties_files;
mod registry;
mod serializers;
mod support;
