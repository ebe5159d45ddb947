//! ApiVersions: the preset's ranges, as far as this cluster serves them, and its features. KIP-511, KIP-584.

use super::{Answer, Handler};
use crate::mock::fault::{Plan, When};
use crate::mock::journal::RequestBody;
use crate::mock::state::{Call, ClusterState, Reply, Then, encode_answer};
use crate::mock::versions::ApiRange;
use crate::protocol::messages::api_versions::{ApiVersion, FinalizedFeatureKey, SupportedFeatureKey};
use crate::protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};
use crate::protocol::{ApiKey, ErrorCode};
use std::time::Duration;

/// What is advertised: not every message that the codec has, but every one that has a handler.
const SERVED: [ApiKey; 16] = [
    ApiKey::PRODUCE,
    ApiKey::FETCH,
    ApiKey::LIST_OFFSETS,
    ApiKey::METADATA,
    ApiKey::OFFSET_COMMIT,
    ApiKey::OFFSET_FETCH,
    ApiKey::FIND_COORDINATOR,
    ApiKey::API_VERSIONS,
    ApiKey::CREATE_TOPICS,
    ApiKey::DELETE_TOPICS,
    ApiKey::INIT_PRODUCER_ID,
    ApiKey::ADD_PARTITIONS_TO_TXN,
    ApiKey::ADD_OFFSETS_TO_TXN,
    ApiKey::END_TXN,
    ApiKey::TXN_OFFSET_COMMIT,
    ApiKey::DESCRIBE_CLUSTER,
];

impl Handler for ApiVersionsRequest {
    fn summary(&self, _: &ClusterState) -> RequestBody {
        RequestBody::ApiVersions {
            software_name: self.client_software_name.clone(),
            software_version: self.client_software_version.clone(),
        }
    }

    fn answer(self, cluster: &mut ClusterState, call: &Call, plan: &Plan) -> Answer<ApiVersionsResponse> {
        let fault = plan.error(When::Before).or_else(|| plan.error(When::After));
        Answer::Respond(ApiVersionsResponse {
            error_code: fault.map_or(ErrorCode::NONE, |f| f.code),
            api_keys: if fault.is_some() { Vec::new() } else { api_keys(cluster) },
            throttle_time_ms: plan.throttle_ms(),
            ..features(cluster, call.version)
        })
    }
}

/// The features, and nothing else.
fn features(cluster: &ClusterState, version: i16) -> ApiVersionsResponse {
    let Some(levels) = cluster.options.version.transaction_versions() else {
        return ApiVersionsResponse::default();
    };
    let name = "transaction.version".to_owned();
    // Readers of version 3 stumble over a lowest level of 0 (KAFKA-17011).
    let min_version = if version < 4 { 1 } else { *levels.start() };
    let level = cluster.transaction_version();
    let finalized =
        FinalizedFeatureKey { name: name.clone(), max_version_level: level, min_version_level: level };
    ApiVersionsResponse {
        supported_features: vec![SupportedFeatureKey { name, min_version, max_version: *levels.end() }],
        finalized_features_epoch: cluster.features_epoch(),
        // Level 0 is the same as not having it.
        finalized_features: if level > 0 { vec![finalized] } else { Vec::new() },
        ..ApiVersionsResponse::default()
    }
}

fn api_keys(cluster: &ClusterState) -> Vec<ApiVersion> {
    SERVED
        .iter()
        .filter_map(|&api| cluster.range_of(api))
        .map(|r| ApiVersion { api_key: r.key, min_version: offered_from(r), max_version: r.max })
        .collect()
}

/// Every release offers Produce from version 0, the newest in words only: librdkafka compresses with gzip, snappy and lz4
/// only where version 0 is offered (KAFKA-18659). A request in versions 0 to 2 ends the connection, as with Kafka 4.
fn offered_from(range: ApiRange) -> i16 {
    if range.key == ApiKey::PRODUCE.0 { 0 } else { range.min }
}

/// A version that the broker lacks is answered in version 0, with the range of ApiVersions itself.
pub(in crate::mock) fn refuse(cluster: &ClusterState, call: &Call) -> Reply {
    let own = |v: &ApiVersion| v.api_key == ApiKey::API_VERSIONS.0;
    let response = ApiVersionsResponse {
        error_code: ErrorCode::UNSUPPORTED_VERSION,
        api_keys: api_keys(cluster).into_iter().filter(own).collect(),
        ..Default::default()
    };
    match encode_answer(call, 0, &response) {
        Some(bytes) => Reply { bytes, then: Then::Continue, delay: Duration::ZERO },
        None => Reply { bytes: Vec::new(), then: Then::Close, delay: Duration::ZERO },
    }
}
