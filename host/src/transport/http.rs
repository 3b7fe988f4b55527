//! Requests of HTTP/1.1: how they are written and answers are read, and those to the endpoints that the operator serves to XMPP clients.
//!
//! For those clients one connection per request, opened with a permit and closed afterwards ([`super::requests`] keeps them for bridges).
//! Redirects are answers like others: whoever asked may follow them, by our rules. An answer that is too long or too late is none.

use std::future::Future;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHORIZATION, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use tombolo_core::model::bridge::{HttpAnswer, HttpCall};
use tombolo_core::model::{Failure, ReasonCode, limits};
use tombolo_core::policy::ConnectPermit;

use super::{TlsClient, TlsMaterial, Transport, stream};

impl Transport {
    /// Carries out a request, within this time, trusting whom the system trusts and issuers of `ca`, as PEM. The future can be spawned;
    /// dropping it ends the request.
    pub fn fetch(
        &self,
        permit: ConnectPermit,
        ca: Option<&[u8]>,
        call: HttpCall,
        within: Duration,
    ) -> impl Future<Output = Result<HttpAnswer, Failure>> + Send + use<> {
        let tls = permit.scheme().is_tls().then(|| match ca {
            None => Ok(self.tls.clone()),
            Some(_) => TlsClient::new(&self.anchors, TlsMaterial { ca, ..TlsMaterial::default() }),
        });
        let tls = tls.transpose().map_err(|error| Failure::new(ReasonCode::Unreachable, error.to_string()));
        async move {
            match timeout(within, exchange(&permit, tls?, call)).await {
                Ok(outcome) => outcome,
                Err(_) => Err(Failure::new(ReasonCode::Timeout, "The endpoint did not answer in time.")),
            }
        }
    }
}

async fn exchange(permit: &ConnectPermit, tls: Option<TlsClient>, call: HttpCall) -> Result<HttpAnswer, Failure> {
    let path = call.target.clone();
    let parts = Parts::new(permit, &path, call)?;
    let deadline = Duration::from_millis(limits::CONNECT_DEADLINE_MS);
    let opened = timeout(deadline, stream::open(permit, tls)).await;
    let opened =
        opened.map_err(|_| Failure::new(ReasonCode::Timeout, "Connecting to the endpoint took too long."))??;
    let (mut sender, connection) =
        builder().handshake(TokioIo::new(opened)).await.map_err(|error| broken(permit, &error))?;
    let asked = async {
        let response = sender.send_request(parts.request()).await.map_err(|error| broken(permit, &error))?;
        answer(permit, response).await
    };
    tokio::pin!(asked);
    // The connection moves the bytes; it may end before the answer has been taken from it, never the other way round.
    tokio::select! {
        biased;
        outcome = &mut asked => outcome,
        _ = connection => asked.await,
    }
}

/// How requests are written and answers read.
pub(super) fn builder() -> hyper::client::conn::http1::Builder {
    let mut builder = hyper::client::conn::http1::Builder::new();
    builder.max_headers(limits::HTTP_HEADERS_MAX).max_buf_size(limits::HTTP_BUFFER_BYTES_MAX);
    builder
}

/// What the connection says of itself, and not the mapper (RFC 9110 §7.6.1; lengths are counted here).
pub(super) const OF_THE_CONNECTION: [HeaderName; 9] = [
    CONNECTION,
    CONTENT_LENGTH,
    HOST,
    HeaderName::from_static("keep-alive"),
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// A request that can be written more than once.
#[derive(Debug)]
pub(super) struct Parts {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

impl Parts {
    /// Of a call that goes to this path.
    pub(super) fn new(permit: &ConnectPermit, path: &str, call: HttpCall) -> Result<Self, Failure> {
        let wrong = || Failure::new(ReasonCode::InvalidArgument, "The request cannot be written as HTTP.");
        let method = Method::from_bytes(call.method.as_bytes()).map_err(|_| wrong())?;
        let uri = path.parse::<Uri>().map_err(|_| wrong())?;
        let mut headers = HeaderMap::new();
        for (name, value) in call.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
            if !OF_THE_CONNECTION.contains(&name) {
                headers.append(name, HeaderValue::from_bytes(&value).map_err(|_| wrong())?);
            }
        }
        headers.insert(HOST, HeaderValue::from_str(&authority(permit)).map_err(|_| wrong())?);
        // Tunnels are no requests.
        let is_request = method != Method::CONNECT && uri.scheme().is_none();
        is_request.then(|| Self { method, uri, headers, body: Bytes::from(call.body) }).ok_or_else(wrong)
    }

    /// The request.
    pub(super) fn request(&self) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }

    /// Whether sending it twice is the same as sending it once (RFC 9110 §9.2.2).
    pub(super) fn can_be_repeated(&self) -> bool {
        self.method.is_idempotent()
    }
}

/// Host and port as the header `Host` has them.
fn authority(permit: &ConnectPermit) -> String {
    let host = permit.host();
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let usual = if permit.scheme().is_tls() { 443 } else { 80 };
    if permit.port() == usual { host } else { format!("{host}:{}", permit.port()) }
}

pub(super) async fn answer(permit: &ConnectPermit, response: Response<Incoming>) -> Result<HttpAnswer, Failure> {
    let (head, body) = response.into_parts();
    let headers = head.headers.iter();
    let headers = headers.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect();
    let body = Limited::new(body, limits::HTTP_BODY_BYTES_MAX).collect().await.map_err(|error| {
        tracing::info!(path = permit.endpoint(), %error, "no whole answer from an HTTP endpoint");
        match error.downcast_ref::<http_body_util::LengthLimitError>() {
            Some(_) => Failure::new(ReasonCode::QuotaExceeded, "The endpoint's answer is too long."),
            None => Failure::new(ReasonCode::Closed, "The endpoint broke off its answer."),
        }
    })?;
    Ok(HttpAnswer { status: head.status.as_u16(), headers, body: body.to_bytes().to_vec() })
}

pub(super) fn broken(permit: &ConnectPermit, error: &hyper::Error) -> Failure {
    tracing::info!(path = permit.endpoint(), %error, "no answer from an HTTP endpoint");
    Failure::new(ReasonCode::ProtocolViolation, "The endpoint did not answer as HTTP asks for.")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls_pki_types::{CertificateDer, PrivateKeyDer};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tombolo_core::policy::{HttpRule, HttpTarget};

    use super::*;

    /// An endpoint with a certificate of its own making, which is the answer's second part; gives its port, too.
    async fn endpoint() -> (u16, String) {
        let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let certificates: Vec<CertificateDer<'static>> = vec![own.cert.der().clone()];
        let config = builder.unwrap().with_no_client_auth().with_single_cert(certificates, key).unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut asked = vec![0; 1024];
                let count = stream.read(&mut asked).await.unwrap();
                let line = String::from_utf8_lossy(&asked[..count]).lines().next().unwrap_or_default().to_owned();
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{line}", line.len());
                stream.write_all(answer.as_bytes()).await.unwrap();
                let _ = stream.shutdown().await;
            }
        });
        (port, own.cert.pem())
    }

    #[tokio::test]
    async fn an_endpoint_with_tls_is_asked_if_its_certificate_is_trusted_and_not_otherwise() {
        let (port, pem) = endpoint().await;
        let target = HttpTarget::parse(&format!("https://localhost:{port}/api")).unwrap();
        let rule = HttpRule::new("/", target, Vec::new(), Vec::new()).unwrap();
        let transport = Transport::new(super::super::PeerKey::random()).unwrap();
        let ask = |ca: Option<&[u8]>| {
            let (method, target) = ("GET".to_owned(), "/api/t".to_owned());
            let call = HttpCall { method, target, headers: Vec::new(), body: Vec::new() };
            transport.fetch(rule.permit(), ca, call, Duration::from_secs(10))
        };
        let answer = ask(Some(pem.as_bytes())).await.unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (200, &b"GET /api/t HTTP/1.1"[..]));
        assert_eq!(ask(None).await.unwrap_err().message, "the peer's certificate is not accepted");
    }
}
