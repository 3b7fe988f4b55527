//! Which headers pass, and what statuses are called. What belongs to one connection stays there (RFC 9110 §7.6.1).

use super::No;
use crate::model::bridge::{Header, HttpAnswer};
use crate::model::{Failure, ReasonCode, limits};

/// Of one connection, hence neither of the caller's nor of the target's business.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Written anew for the target: whom it is for, how long it is, and no waiting in the middle.
const OURS: [&str; 3] = ["host", "content-length", "expect"];

/// The headers of a request as the target gets them.
pub(super) fn for_target(headers: &[Header]) -> Result<Vec<Header>, No> {
    if !fit(headers) {
        return Err(No::from(431));
    }
    if !headers.iter().all(is_well_formed) {
        return Err(No::from(400));
    }
    Ok(passing(headers).filter(|(name, _)| !is_one_of(name, &OURS)).cloned().collect())
}

/// An answer as the caller gets it. An error: the target's answer cannot be passed on.
pub(super) fn for_caller(answer: HttpAnswer, method: &str) -> Result<HttpAnswer, Failure> {
    let HttpAnswer { status, headers, body } = answer;
    let broken = |what: &str| Failure::new(ReasonCode::ProtocolViolation, what);
    if !(200..=999).contains(&status) {
        return Err(broken("The endpoint's answer is not final."));
    }
    if body.len() > limits::HTTP_BODY_BYTES_MAX {
        return Err(broken("The endpoint's answer is too long."));
    }
    let headers: Vec<Header> = passing(&headers).filter(|header| is_well_formed(header)).cloned().collect();
    if !fit(&headers) {
        return Err(broken("The endpoint's answer has too many headers."));
    }
    let has_body = method != "HEAD" && !matches!(status, 204 | 304);
    Ok(HttpAnswer { status, headers, body: if has_body { body } else { Vec::new() } })
}

fn fit(headers: &[Header]) -> bool {
    let bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    headers.len() <= limits::HTTP_HEADERS_MAX && bytes <= limits::HTTP_HEADERS_BYTES_MAX
}

fn passing(headers: &[Header]) -> impl Iterator<Item = &Header> {
    let named: Vec<String> = headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("connection"))
        .flat_map(|(_, value)| {
            let names = String::from_utf8_lossy(value).to_ascii_lowercase();
            names.split(',').map(|name| name.trim().to_owned()).collect::<Vec<_>>()
        })
        .collect();
    headers.iter().filter(move |(name, _)| !is_one_of(name, &HOP_BY_HOP) && !named.contains(&name.to_ascii_lowercase()))
}

fn is_one_of(name: &str, names: &[&str]) -> bool {
    names.iter().any(|one| name.eq_ignore_ascii_case(one))
}

/// A token as name, no control character in the value (RFC 9110 §5).
fn is_well_formed((name, value): &Header) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty()
        && name.bytes().all(is_token)
        && value.iter().all(|byte| *byte == b'\t' || !byte.is_ascii_control())
}

/// What people call a status; empty for those that are rare.
pub(super) fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "",
    }
}
