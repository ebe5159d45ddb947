//! DescribeConfigs (key 32). KIP-133, 226, 569.

use super::declare::api;
use crate::protocol::ErrorCode;
use crate::protocol::api_key::ApiKey;

api! {
    key: ApiKey::DESCRIBE_CONFIGS, versions: 1..=4, flexible: Some(4);

    /// Asks for the settings of topics or brokers.
    request DescribeConfigsRequest {
        /// What to describe.
        resources: Vec<DescribeConfigsResource> { versions: 1.. },
        /// Whether to list where else the value could come from.
        include_synonyms: bool { versions: 1.. },
        /// Whether to explain each setting.
        include_documentation: bool { versions: 3.. },
    }

    /// The settings of each resource.
    response DescribeConfigsResponse {
        /// For how long a quota delayed the request, in milliseconds.
        throttle_time_ms: i32 { versions: 1.. },
        /// The resources.
        results: Vec<DescribeConfigsResult> { versions: 1.. },
    }

    /// A resource to describe.
    part DescribeConfigsResource {
        /// 2: topic; 4: broker.
        resource_type: i8 { versions: 1.. },
        /// The topic's name or the broker's id.
        resource_name: String { versions: 1.. },
        /// The settings to list; `None` for all.
        configuration_keys: Option<Vec<String>> { versions: 1.., nullable: 1.., default: Some(Vec::new()) },
    }

    /// The settings of one resource.
    part DescribeConfigsResult {
        /// Whether the resource could be described.
        error_code: ErrorCode { versions: 1.. },
        /// Why not.
        error_message: Option<String> { versions: 1.., nullable: 1.. },
        /// 2: topic; 4: broker.
        resource_type: i8 { versions: 1.. },
        /// The topic's name or the broker's id.
        resource_name: String { versions: 1.. },
        /// The settings.
        configs: Vec<DescribeConfigsResourceResult> { versions: 1.. },
    }

    /// One setting.
    part DescribeConfigsResourceResult {
        /// Its name.
        name: String { versions: 1.. },
        /// Its value; `None` for secrets.
        value: Option<String> { versions: 1.., nullable: 1.. },
        /// Whether it cannot be changed.
        read_only: bool { versions: 1.. },
        /// Where the value comes from; -1 if not told.
        config_source: i8 { versions: 1.., default: -1, ignorable: true },
        /// Whether it is a secret.
        is_sensitive: bool { versions: 1.. },
        /// Where else the value could come from.
        synonyms: Vec<DescribeConfigsSynonym> { versions: 1.., ignorable: true },
        /// The setting's type, as Kafka numbers them; 0 if not told.
        config_type: i8 { versions: 3.., ignorable: true },
        /// What the setting does.
        documentation: Option<String> { versions: 3.., nullable: 3.., ignorable: true },
    }

    /// One source of a setting's value.
    part DescribeConfigsSynonym {
        /// The setting's name there.
        name: String { versions: 1.. },
        /// Its value there.
        value: Option<String> { versions: 1.., nullable: 1.. },
        /// Which source.
        source: i8 { versions: 1.. },
    }
}
