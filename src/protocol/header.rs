//! Request and response headers, and whole requests and responses as frames.
//!
//! Owns: which header goes with which version (KIP-482, KIP-511) and the frame's length prefix. Runs on any thread,
//! takes no lock. Must not know: connections, correlation ids in flight.

use super::api_key::ApiKey;
use super::messages::{Message, Request};
use super::wire::{DecodeError, EncodeError, FrameStart, Reader, Writer};

/// The header of a request, as a broker reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHeader<'a> {
    /// Which API.
    pub api_key: ApiKey,
    /// Which version of it, for the body and its answer.
    pub api_version: i16,
    /// What the answer must repeat.
    pub correlation_id: i32,
    /// The client's name for itself.
    pub client_id: Option<&'a str>,
}

impl<'a> RequestHeader<'a> {
    /// Reads the header; the body follows in `r`. The header of an API unknown here is read as version 1, whose fields
    /// version 2 shares, so that a broker can still say what it was asked.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let api_key = ApiKey(r.i16()?);
        let api_version = r.i16()?;
        let correlation_id = r.i32()?;
        let client_id = r.nullable_string(false)?;
        if api_key.request_header_version(api_version) >= 2 {
            r.skip_tagged_fields()?;
        }
        Ok(Self { api_key, api_version, correlation_id, client_id })
    }

    /// Appends the header. The client id keeps the old form in every version, so that an old broker can read the header
    /// of an ApiVersions request that is too new for it.
    pub fn encode(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.i16(self.api_key.0);
        w.i16(self.api_version);
        w.i32(self.correlation_id);
        w.nullable_string(self.client_id, false).map_err(|e| e.in_field("RequestHeader.client_id"))?;
        w.no_tagged_fields(self.api_key.request_header_version(self.api_version) >= 2);
        Ok(())
    }
}

/// Begins a request's frame: room for the length, then the header. The body follows, then [`Writer::end_frame`].
pub fn begin_request(w: &mut Writer, header: &RequestHeader<'_>) -> Result<FrameStart, EncodeError> {
    let start = w.begin_frame();
    header.encode(w)?;
    Ok(start)
}

/// Appends a whole request as a frame: length, header, body.
///
/// # Errors
/// As [`Message::encode`], and if the client id is too long. `w` may then hold a part of the frame; clear it.
pub fn encode_request<R: Request>(
    w: &mut Writer,
    version: i16,
    correlation_id: i32,
    client_id: Option<&str>,
    request: &R,
) -> Result<(), EncodeError> {
    let header = RequestHeader { api_key: R::API_KEY, api_version: version, correlation_id, client_id };
    let start = begin_request(w, &header)?;
    request.encode(w, version)?;
    w.end_frame(start)
}

/// Begins a response's frame: room for the length, then the header. The body follows, then [`Writer::end_frame`].
pub fn begin_response(w: &mut Writer, api_key: ApiKey, version: i16, correlation_id: i32) -> FrameStart {
    let start = w.begin_frame();
    w.i32(correlation_id);
    w.no_tagged_fields(api_key.response_header_version(version) >= 1);
    start
}

/// Appends a whole response to a request `R` as a frame: length, header, body.
///
/// # Errors
/// As [`Message::encode`]. `w` may then hold a part of the frame; clear it.
pub fn encode_response<R: Request>(
    w: &mut Writer,
    version: i16,
    correlation_id: i32,
    response: &R::Response,
) -> Result<(), EncodeError> {
    let start = begin_response(w, R::API_KEY, version, correlation_id);
    response.encode(w, version)?;
    w.end_frame(start)
}

/// The correlation id alone, which stands first in every response header, to find out which request was answered.
pub fn peek_correlation_id(frame: &[u8]) -> Result<i32, DecodeError> {
    Reader::new(frame).i32()
}

/// Reads the header of the answer to a request of `version`, and returns its correlation id; the body follows in `r`.
pub fn decode_response_header(r: &mut Reader<'_>, api_key: ApiKey, version: i16) -> Result<i32, DecodeError> {
    let correlation_id = r.i32()?;
    if api_key.response_header_version(version) >= 1 {
        r.skip_tagged_fields()?;
    }
    Ok(correlation_id)
}

/// Reads a whole answer to a request `R` of `version`, without the frame's length. Returns the correlation id, too.
/// Bytes behind the body are tolerated, as Java does.
pub fn decode_response<R: Request>(frame: &[u8], version: i16) -> Result<(i32, R::Response), DecodeError> {
    let mut r = Reader::new(frame);
    let correlation_id = decode_response_header(&mut r, R::API_KEY, version)?;
    Ok((correlation_id, R::Response::decode(&mut r, version)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::messages::{
        ApiVersionsRequest, ApiVersionsResponse, MetadataRequest, ProduceRequest,
    };

    fn frame(w: Writer) -> Vec<u8> {
        w.into_parts().0
    }

    #[test]
    fn an_old_header_has_no_tagged_fields() {
        let mut w = Writer::new();
        encode_request(&mut w, 0, 7, Some("me"), &MetadataRequest::default()).unwrap();
        assert_eq!(frame(w), [0, 0, 0, 16, 0, 3, 0, 0, 0, 0, 0, 7, 0, 2, b'm', b'e', 0, 0, 0, 0]);
    }

    #[test]
    fn a_flexible_header_keeps_the_old_client_id() {
        let mut w = Writer::new();
        encode_request(&mut w, 3, 7, None, &ApiVersionsRequest::default()).unwrap();
        let bytes = frame(w);
        assert_eq!(bytes, [0, 0, 0, 14, 0, 18, 0, 3, 0, 0, 0, 7, 0xff, 0xff, 0, 1, 1, 0]);
        let mut r = Reader::new(&bytes[4..]);
        let header = RequestHeader::decode(&mut r).unwrap();
        assert_eq!((header.api_key, header.api_version), (ApiKey::API_VERSIONS, 3));
        assert_eq!((header.correlation_id, header.client_id), (7, None));
        assert_eq!(ApiVersionsRequest::decode(&mut r, 3).unwrap(), ApiVersionsRequest::default());
        r.finish().unwrap();
    }

    #[test]
    fn the_frame_length_counts_spliced_bytes() {
        let mut w = Writer::new();
        let header =
            RequestHeader { api_key: ApiKey::PRODUCE, api_version: 9, correlation_id: 1, client_id: None };
        let start = begin_request(&mut w, &header).unwrap();
        w.splice(1000);
        w.i8(1);
        w.end_frame(start).unwrap();
        assert_eq!(w.splices(), [crate::protocol::wire::Splice { at: 15, len: 1000 }]);
        assert_eq!(w.total_len(), 1016);
        assert_eq!(Reader::new(w.as_slice()).i32().unwrap(), 1012);
    }

    #[test]
    fn the_answer_to_api_versions_is_readable_before_versions_are_settled() {
        let answer = ApiVersionsResponse {
            error_code: crate::protocol::ErrorCode::UNSUPPORTED_VERSION,
            ..ApiVersionsResponse::default()
        };
        let mut w = Writer::new();
        let start = begin_response(&mut w, ApiKey::API_VERSIONS, 4, 9);
        answer.encode(&mut w, 0).unwrap();
        w.end_frame(start).unwrap();
        let bytes = frame(w);
        assert_eq!(peek_correlation_id(&bytes[4..]).unwrap(), 9);
        let mut r = Reader::new(&bytes[4..]);
        assert_eq!(decode_response_header(&mut r, ApiKey::API_VERSIONS, 4).unwrap(), 9);
        assert_eq!(ApiVersionsResponse::decode_any(&mut r, 4).unwrap(), answer);
        r.finish().unwrap();
    }

    #[test]
    fn whole_responses_come_back() {
        let mut w = Writer::new();
        let answer = crate::protocol::messages::ProduceResponse { throttle_time_ms: 3, ..Default::default() };
        encode_response::<ProduceRequest>(&mut w, 12, 5, &answer).unwrap();
        let bytes = frame(w);
        assert_eq!(decode_response::<ProduceRequest>(&bytes[4..], 12).unwrap(), (5, answer));
    }

    #[test]
    fn header_versions_follow_the_flexible_versions() {
        assert_eq!(ApiKey::PRODUCE.request_header_version(8), 1);
        assert_eq!(ApiKey::PRODUCE.request_header_version(9), 2);
        assert_eq!(ApiKey::PRODUCE.response_header_version(9), 1);
        assert_eq!(ApiKey::API_VERSIONS.request_header_version(4), 2);
        assert_eq!(ApiKey::API_VERSIONS.response_header_version(4), 0);
        assert_eq!(ApiKey(999).request_header_version(4), 1);
    }
}
