//! From a line of bytes to a record, as Kafka's `LineMessageReader` does it.

use kafka_producer::ProducerRecord;
use std::borrow::Cow;

type Record<'a> = ProducerRecord<'a, [u8], [u8]>;

/// What the properties of the reader say.
pub(crate) struct LineFormat {
    parse_key: bool,
    parse_headers: bool,
    ignore_error: bool,
    key_separator: String,
    headers_delimiter: String,
    headers_separator: String,
    headers_key_separator: String,
    null_marker: Option<String>,
}

impl Default for LineFormat {
    fn default() -> Self {
        Self {
            parse_key: false,
            parse_headers: false,
            ignore_error: false,
            key_separator: "\t".to_owned(),
            headers_delimiter: "\t".to_owned(),
            headers_separator: ",".to_owned(),
            headers_key_separator: ":".to_owned(),
            null_marker: None,
        }
    }
}

impl LineFormat {
    pub(crate) fn set(&mut self, key: &str, value: String) -> Result<(), String> {
        let is_true = value.trim().eq_ignore_ascii_case("true");
        match key {
            "parse.key" => self.parse_key = is_true,
            "parse.headers" => self.parse_headers = is_true,
            "ignore.error" => self.ignore_error = is_true,
            "null.marker" => self.null_marker = Some(value),
            _ if value.is_empty() => return Err(format!("{key} must not be empty")),
            "key.separator" => self.key_separator = value,
            "headers.delimiter" => self.headers_delimiter = value,
            "headers.separator" => self.headers_separator = value,
            "headers.key.separator" => self.headers_key_separator = value,
            _ => return Err(format!("the reader has no property {key}")),
        }
        Ok(())
    }

    /// Simple lines of key=value; `#` begins a comment.
    pub(crate) fn set_from_file(&mut self, path: &str) -> Result<(), String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
        for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
            let (key, value) =
                line.split_once('=').ok_or_else(|| format!("{path}: {line:?} is not key=value"))?;
            self.set(key.trim(), value.to_owned())?;
        }
        Ok(())
    }

    /// The record that `line` stands for.
    pub(crate) fn record<'a>(&self, topic: &'a str, line: &'a [u8]) -> Result<Record<'a>, String> {
        let mut rest = line;
        let headers =
            self.field(self.parse_headers, &self.headers_delimiter, "headers delimiter", &mut rest)?;
        let key = self.field(self.parse_key, &self.key_separator, "key separator", &mut rest)?;
        let mut record = Record::to(topic);
        if !self.is_null(rest) {
            record = record.value(rest);
        }
        if let Some(key) = key.filter(|key| !self.is_null(key)) {
            record = record.key(key);
        }
        if let Some(headers) = headers.filter(|headers| !self.is_null(headers)) {
            self.add_headers(&mut record, headers)?;
        }
        Ok(record)
    }

    /// Takes what stands before `separator` off `rest`.
    fn field<'a>(
        &self,
        wanted: bool,
        separator: &str,
        name: &str,
        rest: &mut &'a [u8],
    ) -> Result<Option<&'a [u8]>, String> {
        if !wanted {
            return Ok(None);
        }
        match split_once(rest, separator.as_bytes()) {
            Some((field, after)) => {
                *rest = after;
                Ok(Some(field))
            }
            None if self.ignore_error => Ok(None),
            None => Err(format!("no {name} found")),
        }
    }

    fn add_headers<'a>(&self, record: &mut Record<'a>, headers: &'a [u8]) -> Result<(), String> {
        let mut rest = Some(headers);
        while let Some(all) = rest {
            let (pair, after) = match split_once(all, self.headers_separator.as_bytes()) {
                Some((pair, after)) => (pair, Some(after)),
                None => (all, None),
            };
            rest = after;
            let (name, value) = match split_once(pair, self.headers_key_separator.as_bytes()) {
                Some((name, value)) => (name, Some(value).filter(|value| !self.is_null(value))),
                None if self.ignore_error => (pair, None),
                None => return Err("no header key separator found".to_owned()),
            };
            if self.is_null(name) {
                return Err("the name of a header must not be the null marker".to_owned());
            }
            let name =
                std::str::from_utf8(name).map_err(|_| "the name of a header is not UTF-8".to_owned())?;
            record.headers_mut().push(name, value.map(Cow::Borrowed));
        }
        Ok(())
    }

    fn is_null(&self, field: &[u8]) -> bool {
        self.null_marker.as_ref().is_some_and(|marker| marker.as_bytes() == field)
    }
}

/// What stands before and after the first `separator`, which is not empty.
fn split_once<'a>(text: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = text.windows(separator.len()).position(|window| window == separator)?;
    Some((&text[..at], &text[at + separator.len()..]))
}
