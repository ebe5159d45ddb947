//! What a Schema Registry serializer needs, shown with a small registry: it blocks in `serialize` to ask for a schema's
//! id, remembers it, reads its own key of the configuration, has errors of its own and is closed.

use crate::support::{config, only_record};
use kafka_producer::config::PluginConfig;
use kafka_producer::mock::MockCluster;
use kafka_producer::serializer::{Context, Role};
use kafka_producer::{BoxError, ErrorKind, KafkaProducer, ProducerRecord, Serializer, StringSerializer};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// `POST /subjects/<subject>/versions` is answered with an id, or with 422 for the subject `refused-value`.
struct Registry {
    url: String,
    requests: Arc<AtomicUsize>,
}

impl Registry {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = requests.clone();
        std::thread::Builder::new()
            .name("registry".into())
            .spawn(move || {
                for stream in listener.incoming().flatten() {
                    let _ = answer(stream, &counted);
                }
            })
            .unwrap();
        Self { url, requests }
    }
}

fn answer(stream: TcpStream, requests: &AtomicUsize) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().unwrap_or(0);
            }
            Some(_) => {}
            None => break,
        }
    }
    let mut schema = vec![0; length];
    reader.read_exact(&mut schema)?;
    let id = 100 + requests.fetch_add(1, Ordering::SeqCst);
    let (status, body) = if first.contains("/subjects/refused-value/") {
        ("422 Unprocessable Entity", "{\"error_code\":42201}".to_owned())
    } else {
        ("200 OK", format!("{{\"id\":{id}}}"))
    };
    let answer =
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    reader.get_mut().write_all(answer.as_bytes())
}

#[derive(Debug)]
struct RegistryError {
    subject: String,
    status: String,
}
impl std::fmt::Display for RegistryError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the registry refused the schema of {}: {}", self.subject, self.status)
    }
}
impl std::error::Error for RegistryError {}

struct Order {
    id: i32,
}

/// A zero byte, the schema's id in four bytes, then the payload: the wire format of schema registries.
#[derive(Default)]
struct RegistrySerializer {
    address: String,
    ids: Mutex<HashMap<String, u32>>,
    closed: Arc<AtomicBool>,
}

impl RegistrySerializer {
    fn id_of(&self, subject: &str) -> Result<u32, BoxError> {
        let mut ids = self.ids.lock().unwrap();
        if let Some(id) = ids.get(subject) {
            return Ok(*id);
        }
        let mut stream = TcpStream::connect(&self.address)?;
        let schema = r#"{"schema":"\"int\""}"#;
        write!(
            stream,
            "POST /subjects/{subject}/versions HTTP/1.1\r\nHost: registry\r\nContent-Length: {}\r\n\r\n{schema}",
            schema.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let status = answer.lines().next().unwrap_or_default().to_owned();
        if !status.contains(" 200 ") {
            return Err(RegistryError { subject: subject.to_owned(), status }.into());
        }
        let digits = answer.rsplit(':').next().unwrap_or_default().trim_end_matches('}');
        let id = digits.parse()?;
        ids.insert(subject.to_owned(), id);
        Ok(id)
    }
}

impl Serializer<Order> for RegistrySerializer {
    fn serialize<'a>(
        &self,
        cx: &mut Context<'_, '_>,
        order: &'a Order,
        scratch: &'a mut Vec<u8>,
    ) -> Result<Option<&'a [u8]>, BoxError> {
        let role = if cx.role == Role::Key { "key" } else { "value" };
        let id = self.id_of(&format!("{}-{role}", cx.topic))?;
        scratch.push(0);
        scratch.extend(id.to_be_bytes());
        scratch.extend(order.id.to_be_bytes());
        Ok(Some(scratch))
    }

    fn configure(&mut self, config: &PluginConfig<'_>, _: Role) -> Result<(), BoxError> {
        let url = config.value("schema.registry.url").ok_or("schema.registry.url is missing")?;
        self.address =
            url.strip_prefix("http://").ok_or("schema.registry.url must begin with http://")?.to_owned();
        Ok(())
    }

    fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_schema_registry_serializer_works() {
    let registry = Registry::start();
    let cluster = MockCluster::builder().topic("orders", 1).topic("refused", 1).start().unwrap();
    let config = config(&cluster)
        .declare_keys(&["schema.registry."])
        .set("schema.registry.url", &registry.url)
        .set("schema.registry.basic.auth.user.info", "user:secret")
        .build()
        .unwrap();
    let serializer = RegistrySerializer::default();
    let closed = serializer.closed.clone();
    let producer = KafkaProducer::<str, Order>::new(config, StringSerializer, serializer).unwrap();

    let handle = producer.send(ProducerRecord::new("orders", &Order { id: 7 }).key("k")).unwrap();
    assert_eq!(handle.get().unwrap().serialized_value_size(), Some(9));
    assert_eq!(only_record(&cluster, "orders").value.unwrap(), [0, 0, 0, 0, 100, 0, 0, 0, 7]);

    for _ in 0..10 {
        producer.send(ProducerRecord::new("orders", &Order { id: 8 })).unwrap().get().unwrap();
    }
    assert_eq!(registry.requests.load(Ordering::SeqCst), 1, "the id is remembered");

    let error = producer.send(ProducerRecord::new("refused", &Order { id: 9 })).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Serialization);
    let cause = std::error::Error::source(&error).unwrap().downcast_ref::<RegistryError>().unwrap();
    assert_eq!(cause.subject, "refused-value");
    assert!(!error.may_have_been_written());

    assert!(!closed.load(Ordering::SeqCst));
    producer.close().unwrap();
    producer.close().unwrap();
    assert!(closed.load(Ordering::SeqCst));
}

#[test]
fn without_its_key_the_producer_is_not_opened_and_the_serializer_is_closed() {
    let cluster = MockCluster::start(1).unwrap();
    let serializer = RegistrySerializer::default();
    let closed = serializer.closed.clone();
    let result =
        KafkaProducer::<str, Order>::new(config(&cluster).build().unwrap(), StringSerializer, serializer);
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    let text = error.to_string();
    assert!(
        text.starts_with("value.serializer: ") && text.ends_with("schema.registry.url is missing"),
        "{text}"
    );
    assert!(closed.load(Ordering::SeqCst));
}
