//! The files for browsers, as they stand in the program. Anyone may have them, from a page of any host. Reads no body, and never
//! says anything of the gateway.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use sha2::{Digest, Sha256};

const TEXT: &str = "text/plain; charset=utf-8";

/// Path, content type and bytes.
const FILES: [(&str, &str, &[u8]); 5] = [
    ("/", "text/html; charset=utf-8", include_bytes!("demo/index.html")),
    (
        "/demo.css",
        "text/css; charset=utf-8",
        include_bytes!("demo/demo.css"),
    ),
    (
        "/demo.js",
        "text/javascript; charset=utf-8",
        include_bytes!("demo/demo.js"),
    ),
    (
        "/client.js",
        "text/javascript; charset=utf-8",
        include_bytes!("client.js"),
    ),
    (
        "/client.d.ts",
        "application/typescript; charset=utf-8",
        include_bytes!("client.d.ts"),
    ),
];

/// What is said with every answer. The page runs and loads nothing but what is served here, and connects to gateways alone.
const HEADERS: [(HeaderName, &str); 5] = [
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src ws: wss:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    // A browser asks each time whether its copy is still good: another version may have been started.
    (CACHE_CONTROL, "no-cache"),
    (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
];

/// Bytes of a hash that tell two versions apart.
const TAG_BYTES: usize = 8;

/// The files with their entity tags.
pub(crate) struct WebFiles(Vec<WebFile>);

struct WebFile {
    path: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
    /// A weak one, as the answer may come in gzip.
    tag: HeaderValue,
}

impl WebFiles {
    pub(crate) fn new() -> Self {
        let file = |(path, content_type, bytes): (&'static str, &'static str, &'static [u8])| WebFile {
            path,
            content_type,
            bytes,
            tag: tag_of(bytes),
        };
        Self(FILES.map(file).into())
    }

    /// The answer to a request.
    pub(crate) fn answer(&self, head: &Parts) -> Response<Full<Bytes>> {
        let mut response = self.found(head);
        let headers = HEADERS.map(|(name, value)| (name, HeaderValue::from_static(value)));
        response.headers_mut().extend(headers);
        response
    }

    fn found(&self, head: &Parts) -> Response<Full<Bytes>> {
        if ![Method::GET, Method::HEAD].contains(&head.method) {
            let mut response = response(StatusCode::METHOD_NOT_ALLOWED, TEXT, b"use GET, HEAD\n");
            let allowed = HeaderValue::from_static("GET, HEAD");
            response.headers_mut().insert(ALLOW, allowed);
            return response;
        }
        let mut files = self.0.iter();
        let Some(file) = files.find(|file| file.path == head.uri.path()) else {
            return response(StatusCode::NOT_FOUND, TEXT, b"there is no such page\n");
        };
        let mut response = if has_it(&head.headers, &file.tag) {
            response(StatusCode::NOT_MODIFIED, file.content_type, b"")
        } else {
            response(StatusCode::OK, file.content_type, file.bytes)
        };
        response.headers_mut().insert(ETAG, file.tag.clone());
        response
    }
}

fn tag_of(bytes: &[u8]) -> HeaderValue {
    let hash = &Sha256::digest(bytes)[..TAG_BYTES];
    let digits: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    HeaderValue::try_from(format!("W/\"{digits}\"")).expect("digits and quotes")
}

/// Whether the client has this version already (RFC 9110, 13.1.2).
fn has_it(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let values = headers.get_all(IF_NONE_MATCH).iter();
    let mut tags = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','));
    tags.any(|known| known.trim() == "*" || *tag == *known.trim())
}

fn response(status: StatusCode, content_type: &'static str, bytes: &'static [u8]) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(bytes)));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static(content_type);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
