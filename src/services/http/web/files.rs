//! The files for browsers, as they stand in the program. Anyone may have them, from a page of any host. Reads no body, and never
//! says anything of the gateway.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, CONTENT_SECURITY_POLICY, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};

use crate::services::http::server::asset::Asset;

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

/// The page runs and loads nothing but what is served here, and connects to gateways alone.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src ws: wss:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The files by their paths.
pub(crate) struct WebFiles(Vec<(&'static str, Asset)>);

impl WebFiles {
    pub(crate) fn new() -> Self {
        let own = [
            (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
            (ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
        ];
        let asset = |(path, content_type, bytes)| (path, Asset::new(bytes, content_type, own.clone()));
        Self(FILES.map(asset).into())
    }

    /// The answer to a request.
    pub(crate) fn answer(&self, head: &Parts) -> Response<Full<Bytes>> {
        if ![Method::GET, Method::HEAD].contains(&head.method) {
            let mut response = refusal(StatusCode::METHOD_NOT_ALLOWED, "use GET, HEAD\n");
            let allowed = HeaderValue::from_static("GET, HEAD");
            response.headers_mut().insert(ALLOW, allowed);
            return response;
        }
        let found = self.0.iter().find(|(path, _)| *path == head.uri.path());
        match found {
            Some((_, file)) => file.answer(&head.headers),
            None => refusal(StatusCode::NOT_FOUND, "there is no such page\n"),
        }
    }
}

fn refusal(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    response
}
