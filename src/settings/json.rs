//! JSON as a small tree, over `serde_json`'s parser.
//!
//! Not `serde_json::Value`: its way to print a number and to word a mismatch would be a tenth of the module
//! that every pod loads, and its depth is bounded by a stack that a Wasm VM does not have.

use crate::trouble::push_number;
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

/// The configuration is three levels deep; what lies deeper is not looked at.
const MOST_DEPTH: u32 = 8;

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Json {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Json>),
    /// Keys in their order; one that comes twice is there twice.
    Object(Vec<(String, Json)>),
    /// Too deep to be any of the filter's.
    Deep,
}

/// Reads a whole text.
///
/// # Errors
/// Where the text stops being JSON: line and column, from 1.
pub(super) fn parse(json: &str) -> Result<Json, (usize, usize)> {
    let place = |error: serde_json::Error| (error.line(), error.column());
    let mut text = serde_json::Deserializer::from_str(json);
    let value = Depth(0).deserialize(&mut text).map_err(place)?;
    text.end().map_err(place)?;
    Ok(value)
}

/// So many lists and objects are around the value.
#[derive(Clone, Copy)]
struct Depth(u32);

impl<'de> DeserializeSeed<'de> for Depth {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, text: D) -> Result<Json, D::Error> {
        if self.0 > MOST_DEPTH {
            // Skips without recursion.
            return IgnoredAny::deserialize(text).map(|_| Json::Deep);
        }
        text.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Depth {
    type Value = Json;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value as f64))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
        let mut all = Vec::new();
        while let Some(value) = list.next_element_seed(Depth(self.0.saturating_add(1)))? {
            all.push(value);
        }
        Ok(Json::List(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut all = Vec::new();
        // A key is a text, so the seed gives one.
        while let Some(key) = map.next_key_seed(self)? {
            let value = map.next_value_seed(Depth(self.0.saturating_add(1)))?;
            if let Json::Text(key) = key {
                all.push((key, value));
            }
        }
        Ok(Json::Object(all))
    }
}

impl Json {
    /// A whole number between two others; `1000.0` is one, for a protobuf Struct knows doubles only.
    pub(super) fn whole(&self, least: u32, most: u32) -> Option<u32> {
        match *self {
            Json::Number(number)
                if number.fract() == 0.0
                    && (f64::from(least)..=f64::from(most)).contains(&number) =>
            {
                // Whole and in range: nothing is cut.
                Some(number as u32)
            }
            _ => None,
        }
    }

    /// A text.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Json::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Appends the value as a person would quote it, up to some `room` bytes.
    pub(super) fn quote(&self, into: &mut String, room: usize) {
        if into.len() > room {
            if !into.ends_with('…') {
                into.push('…');
            }
            return;
        }
        match self {
            Json::Null => into.push_str("null"),
            Json::Bool(true) => into.push_str("true"),
            Json::Bool(false) => into.push_str("false"),
            Json::Number(number) => push_decimal(into, *number),
            Json::Text(text) => {
                into.push('"');
                for letter in text.chars() {
                    if into.len() > room {
                        into.push('…');
                        break;
                    }
                    // A line break would break the log's line.
                    into.push(if letter.is_control() { ' ' } else { letter });
                }
                into.push('"');
            }
            Json::List(list) => {
                into.push('[');
                for (at, value) in list.iter().enumerate() {
                    if at > 0 {
                        into.push(',');
                    }
                    value.quote(into, room);
                    if into.len() > room {
                        break;
                    }
                }
                into.push(']');
            }
            Json::Object(_) => into.push_str("{…}"),
            Json::Deep => into.push('…'),
        }
    }
}

/// A number with up to six decimals; one beyond any setting is told by its size.
fn push_decimal(into: &mut String, number: f64) {
    if number < 0.0 {
        into.push('-');
    }
    let size = number.abs();
    if size >= 1e12 {
        into.push_str("a number of 13 digits or more");
        return;
    }
    // Below 10^19, and so within u64.
    let millionths = (size * 1e6 + 0.5) as u64;
    push_number(into, millionths.div_euclid(1_000_000));
    let mut fraction = String::new();
    // The leading 1 keeps the zeros behind the point.
    push_number(
        &mut fraction,
        millionths.rem_euclid(1_000_000).saturating_add(1_000_000),
    );
    let fraction = fraction.get(1..).unwrap_or_default().trim_end_matches('0');
    if !fraction.is_empty() {
        into.push('.');
        into.push_str(fraction);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quoted(json: &str) -> String {
        let mut out = String::new();
        parse(json).unwrap().quote(&mut out, 40);
        out
    }

    #[test]
    fn values_are_quoted_as_they_came() {
        for json in [
            "null",
            "true",
            "false",
            "0",
            "-7",
            "1.5",
            "1000",
            "\"a b\"",
            "[1,\"x\"]",
            "0.001",
            "12.01",
            "1.111",
        ] {
            assert_eq!(quoted(json), json);
        }
        assert_eq!(quoted("1000.0"), "1000");
        assert_eq!(quoted("1e300"), "a number of 13 digits or more");
        assert_eq!(quoted("{\"a\":1}"), "{…}");
        assert!(quoted(&format!("\"{}\"", "é".repeat(500))).len() < 60);
        assert!(quoted(&format!("[{}1]", "1,".repeat(500))).len() < 60);
        assert_eq!(quoted("\"a\\nb\""), "\"a b\"");
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(parse(&deep).is_ok());
        assert!(parse(&"[".repeat(100_000)).is_err());
    }

    #[test]
    fn a_slip_is_told_by_its_place() {
        assert_eq!(parse("{\n \"a\": x}"), Err((2, 7)));
        assert_eq!(parse("{} {}"), Err((1, 4)));
    }
}
