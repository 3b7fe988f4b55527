//! oneM2M primitives to HTTP and back (TS-0004 short names in JSON, bound as TS-0009 says). No state, no opinion about what resources mean.
//!
//! [`request`] writes what goes to the CSE, [`response`] reads what it answers, [`resource`] what a representation holds,
//! [`notification`] what the CSE sends by itself; [`address`] and [`time`] are the two texts that all of them use.

pub(crate) mod address;
pub(crate) mod base64;
pub(crate) mod notification;
pub(crate) mod request;
pub(crate) mod resource;
pub(crate) mod response;
pub(crate) mod time;

use serde_json::Value as Json;

/// Numbers of resource types (TS-0004 §6.3.4.2.1).
pub(crate) mod ty {
    pub(crate) const ACP: u16 = 1;
    pub(crate) const AE: u16 = 2;
    pub(crate) const CONTAINER: u16 = 3;
    pub(crate) const CONTENT_INSTANCE: u16 = 4;
    pub(crate) const SUBSCRIPTION: u16 = 23;
    pub(crate) const FLEX_CONTAINER: u16 = 28;
    pub(crate) const TIME_SERIES: u16 = 29;
    pub(crate) const TIME_SERIES_INSTANCE: u16 = 30;
}

/// Kinds of notification events (TS-0004 §6.3.4.2.19).
pub(crate) mod net {
    pub(crate) const UPDATED: u8 = 1;
    pub(crate) const DELETED: u8 = 2;
    pub(crate) const CHILD_CREATED: u8 = 3;
}

/// A text, or a number that some CSE writes where a text belongs.
pub(crate) fn text(json: &Json) -> Option<String> {
    match json {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A whole number. COMPAT: some CSEs write numbers as texts.
pub(crate) fn whole(json: &Json) -> Option<i64> {
    json.as_i64().or_else(|| json.as_str()?.parse().ok())
}

/// A list of texts. COMPAT: older releases join them with blanks.
pub(crate) fn texts(json: &Json) -> Vec<String> {
    match json {
        Json::Array(list) => list.iter().filter_map(text).collect(),
        Json::String(joined) => joined.split_whitespace().map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}
