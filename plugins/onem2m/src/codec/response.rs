//! Answers of the CSE: response status code and body (TS-0009 §6.3), and which failure of ours each code is.

use serde_json::Value as Json;
use tombolo_sdk::events::{Header, HttpAnswer};
use tombolo_sdk::{Failure, ReasonCode};

/// Response status codes that mean something special to somebody here (TS-0004 §6.6.3).
pub(crate) mod rsc {
    pub(crate) const OK: u16 = 2000;
    pub(crate) const BAD_REQUEST: u16 = 4000;
    pub(crate) const NOT_FOUND: u16 = 4004;
    pub(crate) const CONFLICT: u16 = 4105;
    pub(crate) const ALREADY_REGISTERED: u16 = 4117;
    pub(crate) const ALREADY_EXISTS: u16 = 5106;
}

/// The CSE's own words are cut to this.
const EXPLANATION_CHARS_MAX: usize = 200;

/// What the CSE said.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) rsc: u16,
    pub(crate) body: Json,
    /// There is more: where the next page begins (content status and offset).
    pub(crate) next_offset: Option<u64>,
}

/// It is no answer of a CSE; says what was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotAnswer(pub(crate) &'static str);

/// Reads an answer. COMPAT: the status of HTTP stands in for a missing code.
pub(crate) fn read(answer: &HttpAnswer) -> Result<Answer, NotAnswer> {
    let code = header(&answer.headers, "x-m2m-rsc").and_then(|code| code.trim().parse().ok());
    let Some(rsc) = code.or_else(|| of_status(answer.status)) else {
        return Err(NotAnswer("the header X-M2M-RSC"));
    };
    let body = match serde_json::from_slice(&answer.body) {
        Ok(body) => body,
        Err(_) if answer.body.is_empty() || !is_success(rsc) => Json::Null,
        Err(_) => return Err(NotAnswer("a body of JSON")),
    };
    let is_partial = header(&answer.headers, "x-m2m-cts").is_some_and(|status| status.trim() == "1");
    let offset = header(&answer.headers, "x-m2m-cto").and_then(|offset| offset.trim().parse().ok());
    Ok(Answer { rsc, body, next_offset: offset.filter(|_| is_partial) })
}

impl Answer {
    /// Ok: the CSE has done it.
    pub(crate) fn done(self) -> Result<Self, Failure> {
        if is_success(self.rsc) { Ok(self) } else { Err(self.failure()) }
    }

    /// With the CSE's words, where it has any.
    pub(crate) fn failure(&self) -> Failure {
        let explanation = self.body.get("m2m:dbg").and_then(Json::as_str).unwrap_or_default();
        let explanation: String = explanation.chars().take(EXPLANATION_CHARS_MAX).collect();
        let (code, what) = meaning(self.rsc);
        let message = match explanation.as_str() {
            "" => format!("{what} ({})", self.rsc),
            explanation => format!("{what} ({}): {explanation}", self.rsc),
        };
        Failure::new(code, message)
    }
}

/// A header's value, whatever its case.
pub(crate) fn header<'a>(headers: &'a [Header], name: &str) -> Option<&'a str> {
    let found = headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.and_then(|(_, value)| std::str::from_utf8(value).ok())
}

pub(crate) const fn is_success(rsc: u16) -> bool {
    rsc / 1000 == 2
}

const fn of_status(status: u16) -> Option<u16> {
    match status {
        200 => Some(rsc::OK),
        201 => Some(2001),
        400 => Some(rsc::BAD_REQUEST),
        403 => Some(4103),
        404 => Some(rsc::NOT_FOUND),
        405 => Some(4005),
        409 => Some(rsc::CONFLICT),
        500 => Some(5000),
        501 => Some(5001),
        _ => None,
    }
}

const fn meaning(rsc: u16) -> (ReasonCode, &'static str) {
    match rsc {
        4001 | 4005 | 5001 | 5203 => (ReasonCode::NotSupported, "the CSE does not support it"),
        4004 | 4118 => (ReasonCode::NotFound, "the resource is gone"),
        4008 => (ReasonCode::Timeout, "the CSE ran out of time"),
        4101 | 4103 | 4106 | 4107 | 4126 | 4128 | 5105 | 5205 => {
            (ReasonCode::AccessDenied, "the CSE's access control policies do not allow it")
        }
        4102 | 5207 => (ReasonCode::InvalidArgument, "the CSE does not accept the contents"),
        4105 | 4117 | 5106 => (ReasonCode::InvalidArgument, "it exists already"),
        5103 | 5204 | 6003 | 6028 => (ReasonCode::Unreachable, "the CSE cannot reach its peer"),
        5206 | 6010 => (ReasonCode::QuotaExceeded, "the CSE has no room"),
        4000..=4999 => (ReasonCode::InvalidArgument, "the CSE refuses the request"),
        6000..=6999 => (ReasonCode::Unreachable, "the CSE's network failed"),
        _ => (ReasonCode::Internal, "the CSE failed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> HttpAnswer {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
        HttpAnswer { status, headers, body: body.as_bytes().to_vec() }
    }

    #[test]
    fn the_code_of_the_header_counts() {
        let read = read(&answer(200, &[("x-M2M-RSC", "2001")], r#"{"m2m:ae":{}}"#)).unwrap();
        assert_eq!((read.rsc, read.body.is_object()), (2001, true));
    }

    #[test]
    fn the_status_stands_in_and_other_servers_are_none() {
        assert_eq!(read(&answer(404, &[], "<html>")).unwrap().rsc, 4004);
        assert!(
            read(&answer(502, &[], "")).is_err() && read(&answer(200, &[("X-M2M-RSC", "2000")], "<html>")).is_err()
        );
    }

    #[test]
    fn failures_carry_the_words_of_the_cse() {
        let refused = read(&answer(403, &[("X-M2M-RSC", "4103")], r#"{"m2m:dbg":"no permission"}"#)).unwrap();
        let failure = refused.done().unwrap_err();
        assert_eq!(failure.code, ReasonCode::AccessDenied);
        assert!(failure.message.ends_with("(4103): no permission"), "{}", failure.message);
    }

    #[test]
    fn every_thousand_means_something() {
        let code = |rsc| Answer { rsc, body: Json::Null, next_offset: None }.failure().code;
        assert_eq!(
            (code(4004), code(4999), code(5103)),
            (ReasonCode::NotFound, ReasonCode::InvalidArgument, ReasonCode::Unreachable)
        );
        assert_eq!(
            (code(5000), code(6001), code(4008)),
            (ReasonCode::Internal, ReasonCode::Unreachable, ReasonCode::Timeout)
        );
    }

    #[test]
    fn partial_contents_say_where_to_go_on() {
        let partial = answer(200, &[("X-M2M-RSC", "2000"), ("X-M2M-CTS", "1"), ("X-M2M-CTO", "20")], "{}");
        assert_eq!(read(&partial).unwrap().next_offset, Some(20));
        let whole = answer(200, &[("X-M2M-RSC", "2000"), ("X-M2M-CTS", "2"), ("X-M2M-CTO", "20")], "{}");
        assert_eq!(read(&whole).unwrap().next_offset, None);
    }
}
