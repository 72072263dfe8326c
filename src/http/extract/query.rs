//! Query parameters: each known, given once, and readable; anything else is 400 with the parameter's name.

use std::fmt;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::de::value::{MapDeserializer, StringDeserializer};
use serde::de::{self, DeserializeOwned, Deserializer, IntoDeserializer, Visitor};
use serde_path_to_error::Segment;

use crate::http::problem::ApiError;

const QUERY_MOST_BYTES: usize = 4_096;

/// The query parameters, read into `T`. Use `#[serde(deny_unknown_fields, rename_all = "camelCase")]` on it, and
/// `Option` for what may be left out. An empty value is a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryParameters<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for QueryParameters<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        read(parts.uri.query().unwrap_or_default()).map(Self)
    }
}

fn wrong(parameter: &str, detail: impl fmt::Display) -> ApiError {
    ApiError::malformed(format!("the query parameter {parameter}: {detail}")).with("parameter", parameter)
}

fn read<T: DeserializeOwned>(query: &str) -> Result<T, ApiError> {
    if query.len() > QUERY_MOST_BYTES {
        return Err(ApiError::malformed(format!("the query may have {QUERY_MOST_BYTES} bytes at most")));
    }
    let mut parameters: Vec<(String, String)> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decoded(name)
            .ok_or_else(|| ApiError::malformed("a query parameter's name is not percent-encoded UTF-8"))?;
        let value = decoded(value).ok_or_else(|| wrong(&name, "is not percent-encoded UTF-8, or holds NUL"))?;
        if parameters.iter().any(|(other, _)| *other == name) {
            return Err(wrong(&name, "is given twice"));
        }
        parameters.push((name, value));
    }
    let pairs = parameters.into_iter().map(|(name, value)| (name, ParameterValue(value)));
    serde_path_to_error::deserialize(MapDeserializer::new(pairs)).map_err(
        |error: serde_path_to_error::Error<de::value::Error>| {
            let named = error.path().iter().find_map(|segment| match segment {
                Segment::Map { key } => Some(key.clone()),
                _ => None,
            });
            let message = error.inner().to_string();
            let quoted = message.split('`').nth(1).filter(|_| message.contains(" field `")).map(str::to_owned);
            match quoted.or(named) {
                Some(parameter) => wrong(&parameter, message),
                None => ApiError::malformed(message),
            }
        },
    )
}

/// One name or value, decoded as forms are: `+` is a space.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let value = digit(bytes.next()?)? * 16 + digit(bytes.next()?)?;
                u8::try_from(value).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(decoded).ok().filter(|text| !text.contains('\0'))
}

/// A value, read as what the field asks for.
struct ParameterValue(String);

impl IntoDeserializer<'_, de::value::Error> for ParameterValue {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! parsed_values {
    ($($method:ident $visit:ident $kind:ty, $what:literal;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
            // The form that it is printed in, and no other: neither `+1` nor `01`.
            match self.0.parse::<$kind>() {
                Ok(value) if value.to_string() == self.0 => visitor.$visit(value),
                _ => Err(de::Error::custom(concat!("must be ", $what))),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for ParameterValue {
    type Error = de::value::Error;

    parsed_values! {
        deserialize_bool visit_bool bool, "true or false";
        deserialize_u8 visit_u8 u8, "a whole number up to 255";
        deserialize_u16 visit_u16 u16, "a whole number up to 65535";
        deserialize_u32 visit_u32 u32, "a whole number that is not negative";
        deserialize_u64 visit_u64 u64, "a whole number that is not negative";
        deserialize_i32 visit_i32 i32, "a whole number";
        deserialize_i64 visit_i64 i64, "a whole number";
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_string(self.0)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        let text: StringDeserializer<Self::Error> = self.0.into_deserializer();
        text.deserialize_enum(name, variants, visitor)
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i128 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier
        ignored_any
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Browse {
        identifier_class: Option<Class>,
        prefix: Option<String>,
        vanity: Option<bool>,
        limit: Option<u16>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "SCREAMING_SNAKE_CASE")]
    enum Class {
        ShortCode,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its shape matters")]
    struct Needed {
        date: String,
    }

    #[test]
    fn parameters_are_read_as_what_they_are() {
        let browse: Browse = read("identifierClass=SHORT_CODE&prefix=%2B9370&vanity=true&limit=50&").unwrap();
        let expected = Browse {
            identifier_class: Some(Class::ShortCode),
            prefix: Some("+9370".into()),
            vanity: Some(true),
            limit: Some(50),
        };
        assert_eq!(browse, expected);
        assert_eq!(read::<Browse>("").unwrap().limit, None);
        assert_eq!(read::<Browse>("prefix=a+b%20c").unwrap().prefix.unwrap(), "a b c");
    }

    #[test]
    fn a_mistake_is_400_and_names_the_parameter() {
        for (query, parameter) in [
            ("colour=red", "colour"),
            ("limit=1&limit=2", "limit"),
            ("limit=", "limit"),
            ("limit=-1", "limit"),
            ("limit=+1", "limit"),
            ("limit=01", "limit"),
            ("limit=70000", "limit"),
            ("limit=ten", "limit"),
            ("vanity=yes", "vanity"),
            ("vanity", "vanity"),
            ("identifierClass=short_code", "identifierClass"),
            ("identifierClass=", "identifierClass"),
            ("prefix=%zz", "prefix"),
            ("prefix=%f", "prefix"),
            ("prefix=%ff", "prefix"),
            ("prefix=%00", "prefix"),
        ] {
            let problem = read::<Browse>(query).unwrap_err();
            let json = problem.to_json();
            assert_eq!((problem.status().as_u16(), &json["parameter"]), (400, &parameter.into()), "{query}: {json}");
        }
        assert_eq!(read::<Needed>("").unwrap_err().to_json()["parameter"], "date");
        assert!(read::<Browse>("%ff=1").is_err() && read::<Browse>(&"a".repeat(5_000)).is_err());
    }
}
