//! The messages that the codec knows, for tables of what reads them.

/// A table of every message's name and `$read::<Message>`.
macro_rules! every_message {
    ($read:ident) => {
        every_message! { $read:
            ProduceRequest ProduceResponse FetchRequest FetchResponse ListOffsetsRequest ListOffsetsResponse
            MetadataRequest MetadataResponse FindCoordinatorRequest FindCoordinatorResponse
            ApiVersionsRequest ApiVersionsResponse CreateTopicsRequest CreateTopicsResponse
            DeleteTopicsRequest DeleteTopicsResponse InitProducerIdRequest InitProducerIdResponse
            AddPartitionsToTxnRequest AddPartitionsToTxnResponse AddOffsetsToTxnRequest AddOffsetsToTxnResponse
            EndTxnRequest EndTxnResponse TxnOffsetCommitRequest TxnOffsetCommitResponse
            OffsetCommitRequest OffsetCommitResponse OffsetFetchRequest OffsetFetchResponse
            DescribeConfigsRequest DescribeConfigsResponse DescribeClusterRequest DescribeClusterResponse
        }
    };
    ($read:ident: $($Message:ident)*) => { &[$((stringify!($Message), $read::<$Message>)),*] };
}
pub(crate) use every_message;
