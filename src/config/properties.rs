//! Java's .properties files: text to pairs of key and value.
//!
//! Pure but for [`read`], which blocks on the file system, on the caller's thread. Knows no key. Messages carry line
//! numbers and never a line's content, which may be a password.

use crate::error::{Error, ErrorKind};
use std::path::Path;

/// Reads a file. UTF-8 if it is UTF-8, else ISO-8859-1, which is what Java's format was before.
pub(super) fn read(path: &Path) -> Result<Vec<(String, String)>, Error> {
    let fail = |message: String| Error::new(ErrorKind::Config, format!("{}: {message}", path.display()));
    let bytes = std::fs::read(path).map_err(|e| fail("cannot be read".to_owned()).with_source(e))?;
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => error.as_bytes().iter().map(|&byte| char::from(byte)).collect(),
    };
    parse(text.strip_prefix('\u{feff}').unwrap_or(&text)).map_err(fail)
}

/// The pairs in their order, repetitions included. The error says where the text is malformed.
pub(super) fn parse(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut pairs = Vec::new();
    let mut lines = Lines { rest: text, number: 0 };
    while let Some((number, line)) = lines.logical() {
        let (key, value) = split(&line);
        let at = |what: &str| format!("line {number}: {what}");
        pairs.push((unescape(key).map_err(|e| at(&e))?, unescape(value).map_err(|e| at(&e))?));
    }
    Ok(pairs)
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{c}')
}

/// Lines of the text, and lines of meaning made of them.
struct Lines<'a> {
    rest: &'a str,
    number: usize,
}

impl<'a> Lines<'a> {
    /// Up to LF, CR or CRLF.
    fn natural(&mut self) -> Option<&'a str> {
        if self.rest.is_empty() {
            return None;
        }
        self.number += 1;
        let Some(end) = self.rest.find(['\n', '\r']) else {
            return Some(std::mem::take(&mut self.rest));
        };
        let (line, ending) = self.rest.split_at(end);
        let skip = if ending.starts_with("\r\n") { 2 } else { 1 };
        self.rest = ending.get(skip..).unwrap_or_default();
        Some(line)
    }

    /// The next line that is neither blank nor a comment, with its continuations, and its number. A backslash alone
    /// continues nothing: what follows begins a line, and may be a comment, as in Java.
    fn logical(&mut self) -> Option<(usize, String)> {
        let mut line = String::new();
        let mut number = self.number;
        loop {
            let Some(more) = self.natural() else {
                return (!line.is_empty()).then_some((number, line));
            };
            let more = more.trim_start_matches(is_blank);
            if line.is_empty() {
                if more.starts_with(['#', '!']) {
                    continue;
                }
                number = self.number;
            }
            line.push_str(more);
            if ends_in_continuation(&line) {
                line.pop();
            } else if !line.is_empty() {
                return Some((number, line));
            }
        }
    }
}

/// Whether the last backslash is not itself escaped.
fn ends_in_continuation(line: &str) -> bool {
    line.bytes().rev().take_while(|&byte| byte == b'\\').count() % 2 == 1
}

/// Cuts at the first `=`, `:` or blank that is not escaped.
fn split(line: &str) -> (&str, &str) {
    let mut escaped = false;
    for (at, c) in line.char_indices() {
        if !escaped && (matches!(c, '=' | ':') || is_blank(c)) {
            let (key, rest) = line.split_at(at);
            let rest = rest.trim_start_matches(is_blank);
            let value = rest.strip_prefix(['=', ':']).unwrap_or(rest);
            return (key, value.trim_start_matches(is_blank));
        }
        escaped = c == '\\' && !escaped;
    }
    (line, "")
}

fn unescape(text: &str) -> Result<String, String> {
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let c = if c == '\\' {
            chars.next()
        } else {
            units.extend_from_slice(c.encode_utf16(&mut [0; 2]));
            continue;
        };
        match c {
            Some('u') => units.push(unit(&mut chars)?),
            Some(c) => {
                let c = match c {
                    't' => '\t',
                    'n' => '\n',
                    'r' => '\r',
                    'f' => '\u{c}',
                    c => c,
                };
                units.extend_from_slice(c.encode_utf16(&mut [0; 2]));
            }
            None => {}
        }
    }
    // Escapes may spell the halves of a surrogate pair; a half alone becomes U+FFFD.
    Ok(String::from_utf16_lossy(&units))
}

fn unit(chars: &mut std::str::Chars<'_>) -> Result<u16, String> {
    let digits: Option<u32> = (0..4).try_fold(0, |number, _| Some(number * 16 + chars.next()?.to_digit(16)?));
    digits.and_then(|number| u16::try_from(number).ok()).ok_or_else(|| {
        "malformed \\u escape: four hexadecimal digits belong after it (in a Windows path, double the backslash)"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn pairs(text: &str) -> Vec<(String, String)> {
        parse(text).unwrap()
    }

    fn one(text: &str) -> (String, String) {
        let mut all = pairs(text);
        assert_eq!(all.len(), 1, "{text:?}");
        all.remove(0)
    }

    #[test]
    fn separators_and_blanks() {
        for text in ["a=b", "a:b", "a b", "  a = b", "a\t:\tb", "a  b", "\u{c}a= b"] {
            assert_eq!(one(text), ("a".into(), "b".into()), "{text:?}");
        }
        assert_eq!(one("a"), ("a".into(), String::new()));
        assert_eq!(one("a="), ("a".into(), String::new()));
        assert_eq!(one("a = b c = d "), ("a".into(), "b c = d ".into()));
        assert_eq!(one("a==b"), ("a".into(), "=b".into()));
        assert_eq!(one(r"a\=b\ c=d"), ("a=b c".into(), "d".into()));
    }

    #[test]
    fn comments_and_line_ends() {
        let text = "# c\r\n! c\\\r\na=1\rb=2\n\n   \n  # c\nc=3#x";
        let expected = [("a", "1"), ("b", "2"), ("c", "3#x")];
        assert_eq!(pairs(text), expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
    }

    #[test]
    fn continuation_lines() {
        assert_eq!(one("a=b,\\\n   c,\\\r\n\td"), ("a".into(), "b,c,d".into()));
        assert_eq!(one("a=b\\\n#c"), ("a".into(), "b#c".into()));
        assert_eq!(one("a=b\\"), ("a".into(), "b".into()));
        assert_eq!(pairs("a=b\\\n\nc=d").len(), 2, "a blank line ends what it continues");
        assert_eq!(one("\\\n  # c\n\\\n\n\\\na=\\\nb"), ("a".into(), "b".into()));
        assert!(pairs("\\").is_empty() && pairs("\\\n\\\n").is_empty());
        assert_eq!(pairs("a=b\\\\\nc=d").len(), 2);
    }

    #[test]
    fn escapes() {
        assert_eq!(one(r"a=\t\n\r\f\\\q\:").1, "\t\n\r\u{c}\\q:");
        assert_eq!(one(r"a=\u00e9\uD83D\uDE00").1, "é😀");
        assert_eq!(one(r"a=\ud83dx").1, "\u{fffd}x");
        assert!(parse("a=1\nb=\\u12G4secret").unwrap_err().starts_with("line 2: "));
        assert!(!parse("b=\\u12G4secret").unwrap_err().contains("secret"));
        assert!(parse("b=\\u1").is_err());
    }

    /// Texts made at random of what the format knows, and what `Properties.load` of Java 17 makes of each: text, then
    /// `key=value` for each key, all in hex, or `malformed`.
    #[test]
    fn texts_are_read_as_java_reads_them() {
        let unhex = |hex: &str| {
            let bytes = (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap());
            String::from_utf8(bytes.collect()).unwrap()
        };
        for case in include_str!("../../tests/fixtures/properties-of-java.txt").lines() {
            let mut words = case.split(' ');
            let text = unhex(words.next().unwrap());
            let ours = parse(&text);
            if case.ends_with(" malformed") {
                assert!(ours.is_err(), "{text:?}: {ours:?}");
                continue;
            }
            let mut java: BTreeMap<_, _> =
                words.map(|w| w.split_once('=').unwrap()).map(|(k, v)| (unhex(k), unhex(v))).collect();
            let ours = ours.unwrap_or_else(|e| panic!("{text:?}: {e}"));
            let mut ours: BTreeMap<_, _> = ours.into_iter().collect();
            // Java makes an empty pair of a backslash that is alone on the last line, which nobody misses.
            if text.trim_end().ends_with('\\') {
                java.remove("");
                ours.remove("");
            }
            assert_eq!(ours, java, "{text:?}");
        }
    }

    #[test]
    fn last_wins_is_left_to_the_builder() {
        assert_eq!(pairs("a=1\na=2").len(), 2);
    }
}
