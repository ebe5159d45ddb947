//! A third implementation of the messages, made from a table of facts: it writes random messages of any version together
//! with what each field must read as.

use std::collections::BTreeMap;

/// One message of `schema.txt`.
pub(crate) struct Schema {
    pub(crate) name: String,
    pub(crate) versions: (i16, i16),
    flexible: i16,
    fields: Vec<Node>,
}

struct Node {
    name: String,
    kind: String,
    array: bool,
    versions: (i16, i16),
    null: Option<(i16, i16)>,
    tag: Option<u32>,
    default: Option<i64>,
    children: Vec<Self>,
}

fn range(text: &str) -> (i16, i16) {
    let (from, to) = text.split_once('-').unwrap();
    (from.parse().unwrap(), to.parse().unwrap())
}

fn node(words: &[&str]) -> Node {
    let (array, kind) = match words[1].strip_prefix("[]") {
        Some(kind) => (true, kind),
        None => (false, words[1]),
    };
    let option = |key: &str| words[3..].iter().find_map(|word| word.strip_prefix(key));
    Node {
        name: words[0].to_owned(),
        kind: kind.to_owned(),
        array,
        versions: range(words[2]),
        null: option("null=").map(range),
        tag: option("tag=").map(|tag| tag.parse().unwrap()),
        default: option("default=").map(|default| default.parse().unwrap()),
        children: Vec::new(),
    }
}

/// Reads the whole table.
pub(crate) fn all() -> Vec<Schema> {
    let mut schemas: Vec<Schema> = Vec::new();
    for line in include_str!("schema.txt").lines().filter(|line| !line.starts_with('#')) {
        let depth = (line.len() - line.trim_start().len()) / 2;
        let words: Vec<&str> = line.split_whitespace().collect();
        if depth == 0 {
            let flexible = words[2].strip_prefix("flexible=").unwrap().parse().unwrap();
            let versions = range(words[1]);
            schemas.push(Schema { name: words[0].to_owned(), versions, flexible, fields: Vec::new() });
            continue;
        }
        let mut siblings = &mut schemas.last_mut().unwrap().fields;
        for _ in 1..depth {
            siblings = &mut siblings.last_mut().unwrap().children;
        }
        siblings.push(node(&words));
    }
    schemas
}

/// What each field reads as: its path, such as `topics[0].name`, to its value; `path#` to an array's length.
pub(crate) type Facts = BTreeMap<String, String>;

/// A message as bytes, and what must be read from them.
pub(crate) struct Sample {
    pub(crate) bytes: Vec<u8>,
    pub(crate) facts: Facts,
}

impl Schema {
    /// The first flexible version.
    pub(crate) fn flexible_from(&self) -> i16 {
        self.flexible
    }

    /// Makes a message out of `entropy`; when that runs out, the simplest values follow. With `unknown_tags`, each struct
    /// of a flexible version carries a tagged field that nobody knows.
    pub(crate) fn sample(&self, version: i16, entropy: &[u8], unknown_tags: bool) -> Sample {
        let mut maker = Maker {
            entropy: entropy.iter(),
            version,
            flexible: version >= self.flexible,
            unknown_tags,
            out: Vec::new(),
            facts: Facts::new(),
        };
        maker.fields(&self.fields, "", false);
        Sample { bytes: maker.out, facts: maker.facts }
    }
}

struct Maker<'a> {
    entropy: std::slice::Iter<'a, u8>,
    version: i16,
    flexible: bool,
    unknown_tags: bool,
    out: Vec<u8>,
    facts: Facts,
}

fn contains(range: (i16, i16), version: i16) -> bool {
    (range.0..=range.1).contains(&version)
}

impl Maker<'_> {
    fn byte(&mut self) -> u8 {
        self.entropy.next().copied().unwrap_or(0)
    }

    fn fact(&mut self, path: &str, value: impl ToString) {
        self.facts.insert(path.to_owned(), value.to_string());
    }

    fn uvarint(&mut self, mut value: usize) {
        while value >= 128 {
            self.out.push((value % 128) as u8 + 128);
            value /= 128;
        }
        self.out.push(value as u8);
    }

    /// `None` is null. Strings have short old lengths, everything else long ones.
    fn length(&mut self, len: Option<usize>, short: bool) {
        match (self.flexible, short) {
            (true, _) => self.uvarint(len.map_or(0, |len| len + 1)),
            (false, true) => self.out.extend(len.map_or(-1, |len| len as i16).to_be_bytes()),
            (false, false) => self.out.extend(len.map_or(-1, |len| len as i32).to_be_bytes()),
        }
    }

    /// With `set`, no value may be its default, since a tagged field that is would not be sent.
    fn fields(&mut self, nodes: &[Node], path: &str, set: bool) {
        let version = self.version;
        let nodes = || nodes.iter().filter(move |node| contains(node.versions, version));
        for node in nodes().filter(|node| node.tag.is_none()) {
            self.field(node, &format!("{path}{}", node.name), set);
        }
        if !self.flexible {
            return;
        }
        let mut tagged = Vec::new();
        for node in nodes() {
            let Some(tag) = node.tag else { continue };
            if self.byte() % 2 == 1 {
                let outer = std::mem::take(&mut self.out);
                self.field(node, &format!("{path}{}", node.name), true);
                tagged.push((tag as usize, std::mem::replace(&mut self.out, outer)));
            }
        }
        if self.unknown_tags {
            tagged.push((1000, vec![0xff; 3]));
        }
        self.uvarint(tagged.len());
        for (tag, content) in tagged {
            self.uvarint(tag);
            self.uvarint(content.len());
            self.out.extend(content);
        }
    }

    fn field(&mut self, node: &Node, path: &str, set: bool) {
        let nullable = node.null.is_some_and(|range| contains(range, self.version));
        if nullable && !set && self.byte() % 3 == 1 {
            self.length(None, node.kind == "string" && !node.array);
            return self.fact(path, "None");
        }
        if !node.array {
            return self.value(node, path, set);
        }
        let len = usize::from(self.byte() % 3).max(usize::from(set));
        self.length(Some(len), false);
        self.fact(&format!("{path}#"), len);
        for i in 0..len {
            self.value(node, &format!("{path}[{i}]"), false);
        }
    }

    fn value(&mut self, node: &Node, path: &str, set: bool) {
        match node.kind.as_str() {
            "struct" => self.fields(&node.children, &format!("{path}."), set),
            "bool" => {
                let value = set || self.byte() % 2 == 1;
                self.out.push(u8::from(value));
                self.fact(path, value);
            }
            "string" => {
                let len = usize::from(self.byte() % 9).max(usize::from(set));
                let letters = ["a", "Z", "0", "-", "_", ".", "é", "語"];
                let text: String = (0..len).map(|_| letters[usize::from(self.byte() % 8)]).collect();
                self.length(Some(text.len()), true);
                self.out.extend(text.as_bytes());
                self.fact(path, format!("{text:?}"));
            }
            "uuid" => {
                let mut bytes: [u8; 16] = std::array::from_fn(|_| self.byte());
                bytes[15] |= u8::from(set);
                self.raw(path, &bytes);
            }
            "bytes" => {
                let len = usize::from(self.byte()) % 150;
                let bytes: Vec<u8> = (0..len).map(|_| self.byte()).collect();
                self.length(Some(len), false);
                self.raw(path, &bytes);
            }
            width => {
                let width = width[1..].parse::<usize>().unwrap() / 8;
                self.integer(node, path, width, set);
            }
        }
    }

    fn raw(&mut self, path: &str, bytes: &[u8]) {
        self.out.extend(bytes);
        self.fact(&format!("{path}#"), bytes.len());
        for (i, byte) in bytes.iter().enumerate() {
            self.fact(&format!("{path}[{i}]"), byte);
        }
    }

    fn integer(&mut self, node: &Node, path: &str, width: usize, set: bool) {
        let mut value = match self.byte() % 4 {
            0 => 0,
            1 => -1,
            2 => i64::from(self.byte()) % 100,
            _ => {
                let bytes = std::array::from_fn(|_| self.byte());
                i64::from_be_bytes(bytes) >> (64 - 8 * width)
            }
        };
        if set && value == node.default.unwrap_or(0) {
            value = 5;
        }
        self.out.extend(&value.to_be_bytes()[8 - width..]);
        self.fact(path, value);
    }
}

/// Reads the facts back from the `{:?}` of a message. Wrappers such as `Some(..)` are looked through.
pub(crate) fn facts_of(debug: &str) -> Facts {
    let mut facts = Facts::new();
    let rest = read_value(debug, "", &mut facts);
    assert_eq!(rest.trim(), "", "{debug}");
    facts
}

fn read_value<'a>(text: &'a str, path: &str, facts: &mut Facts) -> &'a str {
    let text = text.trim_start();
    if let Some(inner) = text.strip_prefix('"') {
        let end = inner.find('"').unwrap();
        facts.insert(path.to_owned(), text[..end + 2].to_owned());
        return &inner[end + 1..];
    }
    if let Some(mut rest) = text.strip_prefix('[') {
        let mut len = 0;
        while !rest.trim_start().starts_with(']') {
            rest = read_value(rest, &format!("{path}[{len}]"), facts).trim_start();
            rest = rest.strip_prefix(',').unwrap_or(rest);
            len += 1;
        }
        facts.insert(format!("{path}#"), len.to_string());
        return &rest.trim_start()[1..];
    }
    let end = text.find(|c: char| !(c.is_alphanumeric() || "_-.+".contains(c))).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    let rest = rest.trim_start();
    if let Some(mut rest) = rest.strip_prefix('{') {
        while !rest.trim_start().starts_with('}') {
            let (name, value) = rest.trim_start().split_once(':').unwrap();
            let prefix = if path.is_empty() { String::new() } else { format!("{path}.") };
            rest = read_value(value, &format!("{prefix}{name}"), facts).trim_start();
            rest = rest.strip_prefix(',').unwrap_or(rest);
        }
        return &rest.trim_start()[1..];
    }
    if let Some(inner) = rest.strip_prefix('(') {
        return read_value(inner, path, facts).trim_start().strip_prefix(')').unwrap();
    }
    facts.insert(path.to_owned(), word.to_owned());
    rest
}
