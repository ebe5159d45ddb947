//! Serializers, partitioners, the configuration they are given, and the mock producer, through the public API.

mod configured;
mod mock_producer;
mod partitioners;
mod registry;
mod serializers;
mod support;
