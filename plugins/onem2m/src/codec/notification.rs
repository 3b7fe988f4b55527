//! Notifications of the CSE (TS-0004 §7.5.1) and the answers to them (TS-0009 §6.3).

use serde_json::Value as Json;
use tombolo_sdk::events::{HttpAnswer, HttpCall};

use super::request;
use super::resource::Resource;
use super::response::{header, is_success, rsc};
use super::{net, text, whole};

/// What the CSE tells of a subscription.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Notification {
    /// Address of the subscription, structured or not. COMPAT: missing in the verification of some CSEs.
    pub(crate) subscription: Option<String>,
    pub(crate) what: What,
}

/// The kinds of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum What {
    /// Whether notifications are welcome here.
    Verification,
    /// The subscription is gone.
    SubscriptionDeleted,
    Event {
        kind: u8,
        resource: Resource,
    },
}

/// Why it cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotNotification;

/// Reads a notification.
pub(crate) fn read(body: &[u8]) -> Result<Notification, NotNotification> {
    let json: Json = serde_json::from_slice(body).map_err(|_| NotNotification)?;
    let told = json.get("m2m:sgn").or_else(|| json.get("sgn")).ok_or(NotNotification)?;
    let flag = |name: &str| told.get(name).is_some_and(|flag| flag == true || flag == "true");
    let what = if flag("vrq") {
        What::Verification
    } else if flag("sud") {
        What::SubscriptionDeleted
    } else {
        event(told.get("nev").ok_or(NotNotification)?)?
    };
    Ok(Notification { subscription: told.get("sur").and_then(text), what })
}

/// COMPAT: some CSEs leave the kind out; then it is the child that the subscription is about.
fn event(event: &Json) -> Result<What, NotNotification> {
    let kind = event.get("net").and_then(whole).and_then(|kind| u8::try_from(kind).ok());
    let resource = event.get("rep").and_then(Resource::read).ok_or(NotNotification)?;
    Ok(What::Event { kind: kind.unwrap_or(net::CHILD_CREATED), resource })
}

/// The answer with this code to a request.
pub(crate) fn answer(call: &HttpCall, code: u16, release: &str) -> HttpAnswer {
    reply(header(&call.headers, "x-m2m-ri").unwrap_or_default(), code, release)
}

/// The same, for who kept the request's identifier only.
pub(crate) fn reply(identifier: &str, code: u16, release: &str) -> HttpAnswer {
    let status = match code {
        _ if is_success(code) => 200,
        rsc::NOT_FOUND => 404,
        rsc::BAD_REQUEST => 400,
        _ => 500,
    };
    let headers = vec![
        request::header("X-M2M-RSC", &code.to_string()),
        request::header("X-M2M-RI", identifier),
        request::header("X-M2M-RVI", release),
    ];
    HttpAnswer { status, headers, body: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Notification {
        read(text.as_bytes()).unwrap()
    }

    #[test]
    fn understands_what_an_acme_cse_says() {
        let asked = told(r#"{"m2m:sgn": {"vrq": true, "sur": "/id-in/sub8S0wjqK9Pn", "cr": "Ctombolo"}}"#);
        assert_eq!((asked.subscription.as_deref(), asked.what), (Some("/id-in/sub8S0wjqK9Pn"), What::Verification));
        let event =
            told(r#"{"m2m:sgn": {"nev": {"net": 3, "rep": {"m2m:cin": {"con": "1", "ri": "c"}}}, "sur": "/id-in/s"}}"#);
        assert!(
            matches!(event.what, What::Event { kind: 3, resource } if resource.text("con").as_deref() == Some("1"))
        );
        let gone = told(r#"{"m2m:sgn": {"sud": true, "sur": "/id-in/s"}}"#);
        assert_eq!(gone.what, What::SubscriptionDeleted);
    }

    #[test]
    fn numbers_may_be_texts_and_kinds_may_be_missing() {
        let event = told(r#"{"m2m:sgn": {"nev": {"net": "1", "rep": {"m2m:cnt": {}}}, "sur": "Mobius/a/s"}}"#);
        assert!(matches!(event.what, What::Event { kind: 1, .. }));
        let event = told(r#"{"m2m:sgn": {"nev": {"rep": {"m2m:cin": {}}}}}"#);
        assert!(matches!(event.what, What::Event { kind: 3, .. }));
    }

    #[test]
    fn refuses_what_is_none() {
        for text in
            ["", "{}", "[]", r#"{"m2m:sgn": 1}"#, r#"{"m2m:sgn": {"nev": {}}}"#, r#"{"m2m:sgn": {"nev": {"rep": []}}}"#]
        {
            assert_eq!(read(text.as_bytes()), Err(NotNotification), "{text}");
        }
    }

    #[test]
    fn answers_repeat_the_identifier() {
        let headers = vec![request::header("x-m2m-ri", "abc")];
        let call = HttpCall { method: "POST".into(), target: "/".into(), headers, body: Vec::new() };
        let answer = answer(&call, 2000, "3");
        assert_eq!((answer.status, header(&answer.headers, "X-M2M-RI")), (200, Some("abc")));
        assert_eq!(super::answer(&call, 4004, "3").status, 404);
    }
}
