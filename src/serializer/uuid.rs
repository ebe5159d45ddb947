//! UUIDs as Java writes them.

use super::{Context, Serializer};
use crate::error::BoxError;
use ::uuid::Uuid;
use ::uuid::fmt::Hyphenated;

/// The text form of a UUID, 36 characters in lower case, as Java's `UUIDSerializer`. Needs the feature `uuid`.
#[derive(Clone, Copy, Debug, Default)]
pub struct UuidSerializer;

impl Serializer<Uuid> for UuidSerializer {
    fn serialize<'a>(
        &self,
        _: &mut Context<'_, '_>,
        v: &'a Uuid,
        out: &'a mut Vec<u8>,
    ) -> Result<Option<&'a [u8]>, BoxError> {
        let mut text = [0; Hyphenated::LENGTH];
        out.extend_from_slice(v.hyphenated().encode_lower(&mut text).as_bytes());
        Ok(Some(out))
    }
}
