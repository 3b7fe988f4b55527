//! Requests to the CSE: a primitive and the HTTP call that it becomes (TS-0009 §6). Owns headers and query; never what a body means.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use tombolo_sdk::events::HttpCall;

use super::address;

/// What is asked of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Operation {
    /// A child of this type.
    Create(u16),
    Retrieve,
    Update,
    Delete,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Primitive {
    pub(crate) operation: Operation,
    /// Address of the target.
    pub(crate) to: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) body: Option<Json>,
}

/// In whose name requests are made.
#[derive(Clone, Debug)]
pub(crate) struct Speaker<'a> {
    /// AE-ID or, before there is one, how a registration begins.
    pub(crate) origin: &'a str,
    /// Release version indicator.
    pub(crate) release: &'a str,
}

impl Primitive {
    pub(crate) fn create(to: impl Into<String>, ty: u16, body: Json) -> Self {
        Self { operation: Operation::Create(ty), to: to.into(), query: Vec::new(), body: Some(body) }
    }

    pub(crate) fn retrieve(to: impl Into<String>) -> Self {
        Self { operation: Operation::Retrieve, to: to.into(), query: Vec::new(), body: None }
    }

    pub(crate) fn update(to: impl Into<String>, body: Json) -> Self {
        Self { operation: Operation::Update, to: to.into(), query: Vec::new(), body: Some(body) }
    }

    pub(crate) fn delete(to: impl Into<String>) -> Self {
        Self { operation: Operation::Delete, to: to.into(), query: Vec::new(), body: None }
    }

    /// The same with one more filter criterion or response option.
    pub(crate) fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.query.push((name.to_owned(), value.to_string()));
        self
    }

    /// The HTTP request with this number.
    pub(crate) fn call(&self, speaker: &Speaker<'_>, number: u64) -> HttpCall {
        let mut headers = vec![
            header("X-M2M-Origin", speaker.origin),
            header("X-M2M-RI", &format!("tombolo-{number}")),
            header("X-M2M-RVI", speaker.release),
            header("Accept", "application/json"),
        ];
        let (method, kind) = match self.operation {
            Operation::Create(ty) => ("POST", Some(format!("application/json;ty={ty}"))),
            Operation::Update => ("PUT", Some("application/json".to_owned())),
            Operation::Retrieve => ("GET", None),
            Operation::Delete => ("DELETE", None),
        };
        headers.extend(kind.map(|kind| header("Content-Type", &kind)));
        let body = self.body.as_ref().map(|body| body.to_string().into_bytes()).unwrap_or_default();
        HttpCall { method: method.into(), target: self.target(), headers, body }
    }

    fn target(&self) -> String {
        let mut target = address::path(&self.to);
        for (position, (name, value)) in self.query.iter().enumerate() {
            target.push(if position == 0 { '?' } else { '&' });
            target.push_str(&format!("{name}={}", address::query_value(value)));
        }
        target
    }
}

pub(super) fn header(name: &str, value: &str) -> (String, Vec<u8>) {
    (name.to_owned(), value.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SPEAKER: Speaker<'static> = Speaker { origin: "Ctombolo", release: "3" };

    fn headers(call: &HttpCall) -> Vec<String> {
        call.headers.iter().map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value))).collect()
    }

    #[test]
    fn a_creation_says_what_is_created() {
        let call = Primitive::create("cse-in/dev", 4, json!({"m2m:cin": {"con": "1"}})).call(&SPEAKER, 7);
        assert_eq!((call.method.as_str(), call.target.as_str()), ("POST", "/cse-in/dev"));
        assert_eq!(
            headers(&call),
            [
                "X-M2M-Origin: Ctombolo",
                "X-M2M-RI: tombolo-7",
                "X-M2M-RVI: 3",
                "Accept: application/json",
                "Content-Type: application/json;ty=4"
            ]
        );
        assert_eq!(call.body, br#"{"m2m:cin":{"con":"1"}}"#);
    }

    #[test]
    fn criteria_stand_in_the_query() {
        let call = Primitive::retrieve("/id-in/cse-in").with("fu", 1).with("lbl", "a b").call(&SPEAKER, 1);
        assert_eq!((call.method.as_str(), call.target.as_str()), ("GET", "/~/id-in/cse-in?fu=1&lbl=a%20b"));
        assert_eq!((headers(&call).len(), call.body.len()), (4, 0));
    }

    #[test]
    fn the_other_operations_have_their_methods() {
        assert_eq!(Primitive::update("x", json!({})).call(&SPEAKER, 1).method, "PUT");
        assert_eq!(Primitive::delete("x").call(&SPEAKER, 1).method, "DELETE");
    }
}
