//! The messages of `ValidateLease` and `ValidateLeases` read where they lie, without a copy of their texts: with a thousand pairs
//! that takes a fifth off a call, and what is refused has cost nearly nothing (docs/performance.md).
//!
//! What must stay true: what is read here is what the generated messages read. Whatever an encoder of these messages would not have
//! written (unknown fields, another wire type, a longer varint than needed, text that is not UTF-8) is left to them.

use std::ops::Range;

use crate::operations::validate::Question;

/// `ValidateLeaseRequest.identifier`: field 1, length-delimited.
const IDENTIFIER: u8 = 1 << 3 | 2;
/// `ValidateLeaseRequest.tenant_id`: field 2, length-delimited.
const TENANT_ID: u8 = 2 << 3 | 2;
/// `ValidateLeasesRequest.items`: field 1, length-delimited.
const ITEMS: u8 = 1 << 3 | 2;

/// What a `ValidateLeaseRequest` asks, where it is plain.
pub(super) fn pair(message: &[u8]) -> Option<Question<'_>> {
    Message::of(message).pair(0..message.len())
}

/// What a `ValidateLeasesRequest` asks, where it is plain.
pub(super) fn pairs(message: &[u8]) -> Option<Vec<Question<'_>>> {
    let (message, mut questions) = (Message::of(message), Vec::new());
    let mut rest = 0..message.bytes.len();
    while !rest.is_empty() {
        let (item, behind) = message.item(rest)?;
        questions.push(message.pair(item)?);
        rest = behind;
    }
    Some(questions)
}

/// The first of them, where that is plain and they are no more than `most`.
pub(super) fn first(message: &[u8], most: usize) -> Option<Question<'_>> {
    let message = Message { bytes: message, text: None };
    let (item, mut rest) = message.item(0..message.bytes.len())?;
    let mut more = 1;
    while !rest.is_empty() {
        (_, rest) = message.item(rest)?;
        more += 1;
    }
    (more <= most).then(|| message.pair(item))?
}

/// A message, and the whole of it as a text where it is one: then it has been looked at once, and not for each text in it. Keys and
/// lengths below 128 are characters too.
struct Message<'a> {
    bytes: &'a [u8],
    text: Option<&'a str>,
}

impl<'a> Message<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        Self { bytes, text: str::from_utf8(bytes).ok() }
    }

    fn text(&self, place: Range<usize>) -> Option<&'a str> {
        match self.text {
            Some(text) => text.get(place),
            None => str::from_utf8(self.bytes.get(place)?).ok(),
        }
    }

    fn pair(&self, mut place: Range<usize>) -> Option<Question<'a>> {
        let mut question = Question { identifier: "", tenant: "" };
        while !place.is_empty() {
            let (key, value, rest) = self.field(place)?;
            let text = self.text(value)?;
            match key {
                IDENTIFIER => question.identifier = text,
                TENANT_ID => question.tenant = text,
                _ => return None,
            }
            place = rest;
        }
        Some(question)
    }

    fn item(&self, place: Range<usize>) -> Option<(Range<usize>, Range<usize>)> {
        let (key, item, rest) = self.field(place)?;
        (key == ITEMS).then_some((item, rest))
    }

    /// The key and the place of the field that begins there, and what follows it. A length has one byte or two.
    fn field(&self, place: Range<usize>) -> Option<(u8, Range<usize>, Range<usize>)> {
        let (key, head, length) = match *self.bytes.get(place.clone())? {
            [key, length @ ..0x80, ..] => (key, 2, usize::from(length)),
            [key, low, high @ 1..0x80, ..] => (key, 3, usize::from(low & 0x7f) | usize::from(high) << 7),
            _ => return None,
        };
        let begin = place.start + head;
        let end = begin + length;
        (end <= place.end).then_some((key, begin..end, end..place.end))
    }
}

#[cfg(test)]
mod tests {
    use numbering_proto::v1::{ValidateLeaseRequest, ValidateLeasesRequest};
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;

    type Texts = Vec<(String, String)>;

    fn generated(message: &[u8]) -> Option<Texts> {
        let items = ValidateLeasesRequest::decode(message).ok()?.items;
        Some(items.into_iter().map(|item| (item.identifier, item.tenant_id)).collect())
    }

    fn plain(message: &[u8]) -> Option<Texts> {
        let questions = pairs(message)?;
        Some(questions.into_iter().map(|asked| (asked.identifier.to_owned(), asked.tenant.to_owned())).collect())
    }

    fn first_of(message: &[u8]) -> Option<(String, String)> {
        first(message, 5).map(|asked| (asked.identifier.to_owned(), asked.tenant.to_owned()))
    }

    fn written() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec((".{0,40}", ".{0,200}"), 0..5).prop_map(|pairs| {
            let items = pairs
                .into_iter()
                .map(|(identifier, tenant_id)| ValidateLeaseRequest { identifier, tenant_id })
                .collect();
            ValidateLeasesRequest { items }.encode_to_vec()
        })
    }

    proptest! {
        #[test]
        fn what_an_encoder_writes_is_plain(message in written()) {
            prop_assert!(plain(&message).is_some());
            prop_assert_eq!(plain(&message), generated(&message));
            prop_assert_eq!(first_of(&message), generated(&message).and_then(|all| all.first().cloned()));
        }

        #[test]
        fn what_is_broken_is_read_as_by_the_generated_messages_or_left_to_them(
            mut message in written(),
            broken in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        ) {
            for (place, byte) in broken {
                if !message.is_empty() {
                    let place = place.index(message.len());
                    message[place] = byte;
                }
            }
            if let Some(read) = plain(&message) {
                prop_assert_eq!(Some(read), generated(&message), "{:?}", message);
            }
            if let (Some(read), Some(generated)) = (first_of(&message), generated(&message)) {
                prop_assert_eq!(Some(&read), generated.first(), "{:?}", message);
            }
        }
    }

    #[test]
    fn what_is_not_plain_is_left_to_the_generated_messages() {
        let known = b"\x0a\x01a\x12\x01b";
        assert!(pair(known).is_some_and(|asked| asked.identifier == "a" && asked.tenant == "b"));
        let twice = [known.as_slice(), b"\x0a\x01c"].concat();
        assert!(
            pair(&twice).is_some_and(|asked| asked.identifier == "c" && asked.tenant == "b"),
            "the last one counts"
        );
        for message in [
            [known.as_slice(), b"\x1a\x01c"].concat(),
            [known.as_slice(), b"\x18\x01"].concat(),
            b"\x0a\x81\x00a".to_vec(),
            b"\x0a\x01\xff".to_vec(),
            b"\x0a\x02a".to_vec(),
            b"\x0a\x80".to_vec(),
            b"\x0a".to_vec(),
            [b"\x0a\x80\x80\x01".as_slice(), &[b'a'; 1 << 14]].concat(),
        ] {
            assert!(pair(&message).is_none(), "{message:?}");
        }
        let items = [b"\x0a\x06".as_slice(), known].concat();
        let two = [items.as_slice(), items.as_slice()].concat();
        assert!(first(&two, 2).is_some_and(|asked| asked.identifier == "a") && first(&two, 1).is_none());
        assert_eq!(pairs(&items).map(|asked| asked.len()), Some(1));
        let long = ValidateLeasesRequest {
            items: vec![ValidateLeaseRequest { identifier: "a".repeat(1 << 14), tenant_id: String::new() }],
        };
        for message in [
            [b"\x12\x06".as_slice(), known].concat(),
            [items.as_slice(), b"\x12\x00"].concat(),
            b"\x0a\x07\x0a\x01a\x12\x01b".to_vec(),
            long.encode_to_vec(),
        ] {
            assert!(pairs(&message).is_none(), "{message:?}");
        }
    }
}
