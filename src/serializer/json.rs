//! JSON through serde.

use super::{Context, Serializer};
use crate::error::BoxError;

/// JSON text in UTF-8, of anything that serde can serialize. Needs the feature `json`.
///
/// ```
/// use kafka_producer::{JsonSerializer, KafkaProducer, ProducerConfig, ProducerRecord, StringSerializer};
/// use kafka_producer::mock::MockCluster;
///
/// #[derive(serde::Serialize)]
/// struct Order { id: u64, item: String }
///
/// let cluster = MockCluster::start(1)?;
/// let config = ProducerConfig::new(&cluster.bootstrap_servers())?;
/// let producer = KafkaProducer::<str, Order>::new(config, StringSerializer, JsonSerializer)?;
/// let order = Order { id: 7, item: "tea".into() };
/// producer.send(ProducerRecord::new("orders", &order).key("user-1"))?.get()?;
/// # producer.close()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// To have [`KafkaProducer::open`](crate::KafkaProducer::open) pick it for a type of yours, implement
/// [`DefaultSerializer`](super::DefaultSerializer) for that type.
///
/// # Errors
/// What `Serialize` of the type reports, and what JSON cannot say (maps whose keys are no text), as `serde_json::Error`.
/// A float that is not finite becomes `null`.
#[derive(Clone, Copy, Debug, Default)]
pub struct JsonSerializer;

impl<T: serde::Serialize + ?Sized> Serializer<T> for JsonSerializer {
    fn serialize<'a>(
        &self,
        _: &mut Context<'_, '_>,
        v: &'a T,
        out: &'a mut Vec<u8>,
    ) -> Result<Option<&'a [u8]>, BoxError> {
        serde_json::to_writer(&mut *out, v)?;
        Ok(Some(out))
    }
}
