//! Headers: ordered, repeatable names with nullable values (KIP-82).

use std::borrow::Cow;

/// One borrowed header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// The name; not unique.
    pub name: &'a str,
    /// The value; `None` is Kafka's null.
    pub value: Option<&'a [u8]>,
}

impl<'a> Header<'a> {
    /// A header with a value.
    pub fn new<B: AsRef<[u8]> + ?Sized>(name: &'a str, value: &'a B) -> Self {
        Self { name, value: Some(value.as_ref()) }
    }

    /// A header whose value is null.
    pub fn null(name: &'a str) -> Self {
        Self { name, value: None }
    }
}

/// One header of a list: its name, and its value unless that is null.
type Owned<'a> = (Cow<'a, str>, Option<Cow<'a, [u8]>>);

/// The headers of a record: the caller's slice, or a list that was built or changed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Headers<'a> {
    /// Borrowed as a whole.
    Slice(&'a [Header<'a>]),
    /// Built one by one.
    List(Vec<Owned<'a>>),
}

impl<'a> Headers<'a> {
    /// No headers.
    pub fn empty() -> Self {
        Self::Slice(&[])
    }

    /// How many there are, repeated names counted each.
    #[inline]
    pub fn len(&self) -> usize {
        match self {
            Self::Slice(s) => s.len(),
            Self::List(l) => l.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends one; `None` is Kafka's null.
    pub fn push(&mut self, name: impl Into<Cow<'a, str>>, value: Option<Cow<'a, [u8]>>) {
        self.make_list().push((name.into(), value));
    }

    /// Removes every header of this name; says how many there were.
    pub fn remove(&mut self, name: &str) -> usize {
        let list = self.make_list();
        let before = list.len();
        list.retain(|(n, _)| n != name);
        before - list.len()
    }

    /// The value of the last header of this name, as Java's `lastHeader`.
    pub fn last(&self, name: &str) -> Option<Option<&[u8]>> {
        self.iter().filter(|(n, _)| *n == name).last().map(|(_, v)| v)
    }

    /// In order.
    pub fn iter(&self) -> HeadersIter<'_, 'a> {
        HeadersIter { headers: self, next: 0 }
    }

    fn make_list(&mut self) -> &mut Vec<Owned<'a>> {
        if let Self::Slice(s) = self {
            let list = s.iter().map(|h| (Cow::Borrowed(h.name), h.value.map(Cow::Borrowed))).collect();
            *self = Self::List(list);
        }
        match self {
            Self::List(l) => l,
            Self::Slice(_) => unreachable!("was just turned into a list"),
        }
    }

    pub(crate) fn into_owned(self) -> Headers<'static> {
        Headers::List(
            self.iter()
                .map(|(n, v)| (Cow::Owned(n.to_owned()), v.map(|v| Cow::Owned(v.to_owned()))))
                .collect(),
        )
    }
}

impl<'h, 'a> IntoIterator for &'h Headers<'a> {
    type Item = (&'h str, Option<&'h [u8]>);
    type IntoIter = HeadersIter<'h, 'a>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Iterates over name and value of each header, in order.
#[derive(Clone, Debug)]
pub struct HeadersIter<'h, 'a> {
    headers: &'h Headers<'a>,
    next: usize,
}

impl<'h> Iterator for HeadersIter<'h, '_> {
    type Item = (&'h str, Option<&'h [u8]>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let item = match self.headers {
            Headers::Slice(s) => s.get(self.next).map(|h| (h.name, h.value)),
            Headers::List(l) => l.get(self.next).map(|(n, v)| (&**n, v.as_deref())),
        };
        self.next += usize::from(item.is_some());
        item
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.headers.len() - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for HeadersIter<'_, '_> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_repeat_in_order_and_null_is_not_empty() {
        let borrowed = [Header::new("a", b"1"), Header::null("b"), Header::new("a", b"")];
        let mut headers = Headers::Slice(&borrowed);
        headers.push("a", None);
        let all: Vec<_> = headers.iter().collect();
        assert_eq!(all, [("a", Some(&b"1"[..])), ("b", None), ("a", Some(&b""[..])), ("a", None)]);
        assert_eq!(headers.last("a"), Some(None));
        assert_eq!(headers.remove("a"), 3);
        assert_eq!(headers.len(), 1);
    }
}
