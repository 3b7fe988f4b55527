//! HTTP over XMPP (XEP-0332): requests, answers, their headers (XEP-0131), and bodies that come in parts.
//!
//! Bodies within a stanza are read in all three ways and written as text where that changes nothing, else in base64. Bodies that would come
//! by other means (XEP-0047, 0137, 0166 and streams of the reference implementation) are refused as not implemented; we never use them
//! ourselves, whatever a request allows, and do not allow them in requests of ours.
//!
//! COMPAT: slixmpp calls the elements `<request>` and `<response>`; whoever asks so is answered so, and it is asked so itself.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minidom::Element;

use super::ns;
use super::stanza::StanzaFault;
use super::xml::{Tag, escaped, flag, text_of};
use crate::model::bridge::Header;
use crate::model::limits::{HTTP_PART_BYTES_RANGE, NAME_BYTES_MAX};

/// Methods that a request may have (XEP-0332 §5).
pub const METHODS: [&str; 8] = ["OPTIONS", "GET", "HEAD", "POST", "PUT", "DELETE", "TRACE", "PATCH"];

/// The body of a request or answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// All of it; empty for none.
    Whole(Vec<u8>),
    /// It comes as [`Part`]s of the stream of this name.
    Parts(String),
}

/// `<req>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The element has its long name; the answer's is to have it, too.
    pub is_long: bool,
    /// One of [`METHODS`].
    pub method: String,
    /// Path and query, as the client wrote it.
    pub resource: String,
    /// In their order.
    pub headers: Vec<Header>,
    /// Bytes that one part of the answer's body may have.
    pub part_bytes_max: Option<usize>,
    /// What is sent.
    pub body: Body,
}

/// `<resp>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// As HTTP has it.
    pub status: u16,
    /// The reason phrase; empty for none.
    pub message: String,
    /// In their order.
    pub headers: Vec<Header>,
    /// What is sent.
    pub body: Body,
}

/// What messages say about a body that comes in parts. Streams belong to the full JID that named them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// `<chunk>`.
    Chunk {
        /// Which stream.
        stream: String,
        /// Its place, from 0.
        number: u32,
        /// No further one follows.
        is_last: bool,
        /// Its content.
        bytes: Vec<u8>,
    },
    /// `<close>`, or `<cancel>` as the reference implementation writes it: nobody wants to hear or say more of it. Also what cannot be read.
    Close(String),
}

impl Request {
    /// Reads `<req>`.
    pub fn parse(req: &Element) -> Result<Self, StanzaFault> {
        let method = text_of(req, "method");
        if !METHODS.contains(&method.as_str()) {
            return Err(StanzaFault::bad_request(format!("The method is one of {}.", METHODS.join(", "))));
        }
        let resource = req.attr("resource").ok_or_else(|| StanzaFault::bad_request("A request has a resource."))?;
        let part_bytes_max = req.attr("maxChunkSize").map(|text| text.trim().parse::<usize>()).transpose();
        let part_bytes_max = part_bytes_max.map_err(|_| StanzaFault::bad_request("maxChunkSize is a number."))?;
        Ok(Self {
            is_long: req.name() == "request",
            method,
            resource: resource.to_owned(),
            headers: headers_of(req),
            part_bytes_max: part_bytes_max
                .map(|bytes| bytes.clamp(*HTTP_PART_BYTES_RANGE.start(), *HTTP_PART_BYTES_RANGE.end())),
            body: body_of(req)?,
        })
    }

    /// Writes `<req>`, or by its long name.
    pub fn to_element(&self) -> Element {
        let mut req = Tag::new(if self.is_long { "request" } else { "req" }, ns::HTTP)
            .attr("method", &self.method)
            .attr("resource", &self.resource)
            .attr("version", "1.1")
            .maybe("maxChunkSize", self.part_bytes_max.map(|bytes| bytes.to_string()));
        // What is not said is allowed. COMPAT: the last one is the reference implementation's.
        for means in ["sipub", "ibb", "jingle", "s5"] {
            req = req.truth(means, false);
        }
        req.children(headers(&self.headers)).children(body(&self.body, &self.headers)).build()
    }
}

impl Response {
    /// Reads `<resp>`.
    pub fn parse(resp: &Element) -> Result<Self, StanzaFault> {
        if !resp.is("resp", ns::HTTP) && !resp.is("response", ns::HTTP) {
            return Err(StanzaFault::bad_request("It is no answer of HTTP."));
        }
        let status = resp.attr("statusCode").and_then(|text| text.trim().parse().ok());
        let status = status.ok_or_else(|| StanzaFault::bad_request("An answer has a statusCode."))?;
        Ok(Self { status, message: text_of(resp, "statusMessage"), headers: headers_of(resp), body: body_of(resp)? })
    }

    /// Writes `<resp>`, or by its long name.
    pub fn to_element(&self, is_long: bool) -> Element {
        Tag::new(if is_long { "response" } else { "resp" }, ns::HTTP)
            .attr("version", "1.1")
            .attr("statusCode", self.status.to_string())
            .filled("statusMessage", &self.message)
            .children(headers(&self.headers))
            .children(body(&self.body, &self.headers))
            .build()
    }
}

impl Part {
    /// Reads the payload of a message; none: it is another.
    pub fn parse(payload: &Element) -> Option<Self> {
        if payload.ns() != ns::HTTP {
            return None;
        }
        let stream = text_of(payload, "streamId");
        match payload.name() {
            "close" | "cancel" => Some(Self::Close(stream)),
            "chunk" => {
                let number = payload.attr("nr").and_then(|text| text.trim().parse().ok());
                Some(match number.zip(from_base64(&payload.text())) {
                    Some((number, bytes)) => Self::Chunk { stream, number, is_last: flag(payload, "last"), bytes },
                    None => Self::Close(stream),
                })
            }
            _ => None,
        }
    }

    /// Writes the payload of a message; of the two names for the end, that of the specification.
    pub fn to_element(&self) -> Element {
        match self {
            Self::Close(stream) => Tag::new("close", ns::HTTP).attr("streamId", stream).build(),
            Self::Chunk { stream, number, is_last, bytes } => Tag::new("chunk", ns::HTTP)
                .attr("streamId", stream)
                .attr("nr", number.to_string())
                .flag("last", *is_last)
                .text(&STANDARD.encode(bytes))
                .build(),
        }
    }
}

/// The end of a stream by both its names, for one message: peers know one of them.
pub fn end(stream: &str) -> [Element; 2] {
    ["close", "cancel"].map(|name| Tag::new(name, ns::HTTP).attr("streamId", stream).build())
}

fn headers_of(parent: &Element) -> Vec<Header> {
    let headers = parent.get_child("headers", ns::SHIM).into_iter().flat_map(Element::children);
    let headers = headers.filter(|header| header.is("header", ns::SHIM));
    headers.map(|header| (text_of(header, "name"), header.text().trim().to_owned().into_bytes())).collect()
}

fn headers(of: &[Header]) -> Option<Tag> {
    let header = |(name, value): &Header| {
        // What is no UTF-8 is Latin-1 by the older rules of HTTP.
        let text = std::str::from_utf8(value)
            .map_or_else(|_| value.iter().map(|byte| char::from(*byte)).collect(), str::to_owned);
        Tag::new("header", ns::SHIM).attr("name", name).text(&text)
    };
    (!of.is_empty()).then(|| Tag::new("headers", ns::SHIM).children(of.iter().map(header)))
}

fn body_of(parent: &Element) -> Result<Body, StanzaFault> {
    let none = || Ok(Body::Whole(Vec::new()));
    let Some(data) = parent.get_child("data", ns::HTTP) else { return none() };
    let Some(content) = data.children().next() else { return none() };
    match content.name() {
        "text" => Ok(Body::Whole(content.text().into_bytes())),
        "xml" => Ok(Body::Whole(embedded(content).into_bytes())),
        "base64" => {
            let bytes = from_base64(&content.text());
            bytes.map(Body::Whole).ok_or_else(|| StanzaFault::bad_request("The body is no base64."))
        }
        "chunkedBase64" => match content.attr("streamId") {
            Some(stream) if stream.len() <= NAME_BYTES_MAX => Ok(Body::Parts(stream.to_owned())),
            _ => Err(StanzaFault::bad_request("A body in parts has a streamId.")),
        },
        _ => Err(StanzaFault::not_implemented().with_text("Bodies come as text, xml, base64 or chunkedBase64.")),
    }
}

/// What stands in `<xml>`, as a document of its own.
fn embedded(xml: &Element) -> String {
    let elements: String = xml.children().map(String::from).collect();
    if elements.is_empty() { xml.text() } else { elements }
}

fn body(body: &Body, headers: &[Header]) -> Option<Tag> {
    let data = match body {
        Body::Whole(bytes) if bytes.is_empty() => None,
        Body::Whole(bytes) => Some(match text_in(bytes, headers) {
            Some(text) => Tag::new("text", ns::HTTP).text(text).build(),
            None => Tag::new("base64", ns::HTTP).text(&STANDARD.encode(bytes)).build(),
        }),
        Body::Parts(stream) => Some(Tag::new("chunkedBase64", ns::HTTP).attr("streamId", stream).build()),
    };
    data.map(|data| Tag::new("data", ns::HTTP).child(data))
}

/// The body as text, if it says that it is one, XML carries it unchanged, and it takes no more room than in base64.
fn text_in<'a>(bytes: &'a [u8], headers: &[Header]) -> Option<&'a str> {
    let named = |wanted: &str| headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
    let kind = String::from_utf8_lossy(&named("content-type")?.1).to_ascii_lowercase();
    let is_text = kind.starts_with("text/") || ["json", "xml", "javascript"].iter().any(|word| kind.contains(word));
    let is_unicode = !kind.contains("charset") || kind.contains("utf-8") || bytes.is_ascii();
    let text = std::str::from_utf8(bytes).ok()?;
    let is_carried = !text.contains('\r') && super::xml::clean(text) == text;
    let is_short = escaped(text) <= bytes.len() / 3 * 4 + 16;
    (is_text && is_unicode && is_carried && is_short && named("content-encoding").is_none()).then_some(text)
}

fn from_base64(text: &str) -> Option<Vec<u8>> {
    let text: String = text.chars().filter(|character| !character.is_ascii_whitespace()).collect();
    STANDARD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Condition;

    fn request(attributes: &str, children: &str) -> Result<Request, StanzaFault> {
        let headers = "<headers xmlns='http://jabber.org/protocol/shim'><header name='Accept'> a/b </header></headers>";
        let xml = format!("<req xmlns='urn:xmpp:http' version='1.1' {attributes}>{headers}{children}</req>");
        Request::parse(&xml.parse().unwrap())
    }

    fn body(data: &str) -> Result<Body, Condition> {
        let request = request("method='PUT' resource='/x'", &format!("<data>{data}</data>"));
        request.map(|request| request.body).map_err(|fault| fault.condition)
    }

    #[test]
    fn reads_a_request() {
        let read = request("method='GET' resource='/api/m1?x=1' maxChunkSize='100' sipub='false'", "").unwrap();
        let expected = Request {
            is_long: false,
            method: "GET".into(),
            resource: "/api/m1?x=1".into(),
            headers: vec![("Accept".into(), b"a/b".to_vec())],
            part_bytes_max: Some(256),
            body: Body::Whole(Vec::new()),
        };
        assert_eq!(read, expected);
        for attributes in ["method='GET'", "resource='/'", "method='BREW' resource='/'", "method='get' resource='/'"] {
            assert_eq!(request(attributes, "").unwrap_err().condition, Condition::BadRequest, "{attributes}");
        }
    }

    #[test]
    fn reads_bodies_that_come_within_xmpp_and_no_others() {
        let whole = |text: &str| Ok(Body::Whole(text.into()));
        assert_eq!(body(""), whole(""));
        assert_eq!(body("<text>21 &amp; up</text>"), whole("21 & up"));
        assert_eq!(body("<base64>\n  MjEu\n  NQ==\n</base64>"), whole("21.5"));
        assert_eq!(body("<chunkedBase64 streamId='s'/>"), Ok(Body::Parts("s".into())));
        let Ok(Body::Whole(xml)) = body("<xml><t xmlns='n'>1</t></xml>") else { panic!() };
        assert_eq!(String::from_utf8(xml).unwrap().replace('"', "'"), "<t xmlns='n'>1</t>");
        assert_eq!(body("<base64>!</base64>"), Err(Condition::BadRequest));
        for other in ["<ibb sid='s'/>", "<sipub/>", "<jingle/>", "<s5 sid='s'/>", "<sha256/>"] {
            assert_eq!(body(other), Err(Condition::FeatureNotImplemented), "{other}");
        }
    }

    #[test]
    fn requests_and_answers_are_read_as_they_were_written() {
        let headers = vec![("Content-Type".to_owned(), b"text/plain".to_vec())];
        for (is_long, body) in [(false, Body::Whole(b"21.5".to_vec())), (true, Body::Parts("s".into()))] {
            let (method, resource, part_bytes_max) = ("PUT".to_owned(), "/x?y".to_owned(), Some(4096));
            let (headers, body) = (headers.clone(), body.clone());
            let answer =
                Response { status: 404, message: "Not Found".into(), headers: headers.clone(), body: body.clone() };
            assert_eq!(Response::parse(&answer.to_element(is_long)), Ok(answer));
            let request = Request { is_long, method, resource, headers, part_bytes_max, body };
            let written = request.to_element();
            assert_eq!((written.attr("ibb"), written.attr("sipub")), (Some("false"), Some("false")));
            assert_eq!(Request::parse(&written), Ok(request));
        }
        for odd in [
            "<resp xmlns='urn:xmpp:http'/>",
            "<resp xmlns='urn:xmpp:http' statusCode='x'/>",
            "<resp xmlns='other' statusCode='200'/>",
        ] {
            assert!(Response::parse(&odd.parse().unwrap()).is_err(), "{odd}");
        }
    }

    #[test]
    fn writes_text_only_where_it_stays_what_it_is() {
        let child = |kind: &str, bytes: &[u8]| {
            let headers = vec![("Content-Type".to_owned(), kind.as_bytes().to_vec())];
            let body = Body::Whole(bytes.to_vec());
            let element = Response { status: 200, message: "OK".into(), headers, body }.to_element(false);
            let data = element.get_child("data", ns::HTTP)?;
            Some(data.children().next().unwrap().name().to_owned())
        };
        assert_eq!(child("application/json", b"{}").as_deref(), Some("text"));
        assert_eq!(child("text/plain; charset=utf-8", "é".as_bytes()).as_deref(), Some("text"));
        for (kind, bytes) in [
            ("image/png", &b"{}"[..]),
            ("text/plain", b"a\r\nb"),
            ("text/plain", b"\xff"),
            ("text/plain; charset=latin1", "é".as_bytes()),
            ("text/html", b"<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<"),
        ] {
            assert_eq!(child(kind, bytes).as_deref(), Some("base64"), "{kind}");
        }
        assert_eq!(child("text/plain", b""), None);
    }

    #[test]
    fn parts_are_read_as_they_were_written_and_both_names_of_the_end_are_known() {
        let chunk = Part::Chunk { stream: "s".into(), number: 7, is_last: true, bytes: b"\x00\xff".to_vec() };
        assert_eq!(Part::parse(&chunk.to_element()), Some(chunk));
        let parse = |xml: &str| Part::parse(&xml.parse().unwrap());
        for name in ["close", "cancel"] {
            assert_eq!(parse(&format!("<{name} xmlns='urn:xmpp:http' streamId='s'/>")), Some(Part::Close("s".into())));
        }
        for odd in ["nr='x'>", "nr='0'>%", "nr='-1'>"] {
            let xml = format!("<chunk xmlns='urn:xmpp:http' streamId='s' {odd}</chunk>");
            assert_eq!(parse(&xml), Some(Part::Close("s".into())), "{odd}");
        }
        assert_eq!(parse("<req xmlns='urn:xmpp:http'/>"), None);
    }
}
