//! A file that is part of the program, as an answer: one that browsers keep, and ask about before they use it again. Holds
//! nothing that was learned while the program runs.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{
    CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};
use sha2::{Digest, Sha256};

/// For a browser: the type is the one that is named, and whoever is linked to from here is not told from where.
const GUARDS: [(HeaderName, &str); 2] = [
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
];

/// A file with its headers.
pub(crate) struct Asset {
    bytes: Bytes,
    headers: HeaderMap,
}

impl Asset {
    /// A file of this type, with headers of its own.
    pub(crate) fn new(
        bytes: impl Into<Bytes>,
        content_type: &'static str,
        own: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
    ) -> Self {
        let bytes = bytes.into();
        let digest = URL_SAFE_NO_PAD.encode(&Sha256::digest(&bytes)[..16]);
        // Weak, as it stands for the file in every content coding (RFC 9110, 8.8.3).
        let tag = HeaderValue::from_str(&format!("W/\"{digest}\"")).expect("base64 is plain text");
        let guards = GUARDS.map(|(name, value)| (name, HeaderValue::from_static(value)));
        let mut headers: HeaderMap = own.into_iter().chain(guards).collect();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(ETAG, tag);
        Self { bytes, headers }
    }

    /// The answer to a GET or HEAD with these headers.
    pub(crate) fn answer(&self, asked: &HeaderMap) -> Response<Full<Bytes>> {
        let (status, bytes) = if self.is_known(asked) {
            (StatusCode::NOT_MODIFIED, Bytes::new())
        } else {
            (StatusCode::OK, self.bytes.clone())
        };
        let mut response = Response::new(Full::new(bytes));
        *response.status_mut() = status;
        response.headers_mut().clone_from(&self.headers);
        response
    }

    /// Whether whoever asks has it already (RFC 9110, 13.1.2).
    fn is_known(&self, asked: &HeaderMap) -> bool {
        let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
        let own = self.headers[ETAG].to_str().map(opaque);
        let known = asked.get_all(IF_NONE_MATCH).iter();
        let mut known = known
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','));
        known.any(|tag| tag.trim() == "*" || own.as_ref().is_ok_and(|own| *own == opaque(tag)))
    }
}

#[cfg(test)]
mod tests {
    use hyper::body::Body;

    use super::*;

    fn check(tags: &[&str], status: StatusCode) {
        let asset = Asset::new("text", "text/plain", []);
        let tags = tags.iter().map(|tag| (IF_NONE_MATCH, tag.parse().unwrap()));
        let answer = asset.answer(&tags.collect());
        assert_eq!(answer.status(), status);
        assert_eq!(answer.body().is_end_stream(), status == StatusCode::NOT_MODIFIED);
        assert_eq!(answer.headers()[CACHE_CONTROL], "no-cache");
    }

    #[test]
    fn who_has_the_file_is_not_sent_it_again() {
        let asset = Asset::new("text", "text/plain", []);
        let tag = asset.headers[ETAG].to_str().unwrap();
        let strong = tag.trim_start_matches("W/");
        let other = Asset::new("texts", "text/plain", []);
        let other = other.headers[ETAG].to_str().unwrap();
        check(&[], StatusCode::OK);
        check(&[other], StatusCode::OK);
        check(&["W/\"\", x"], StatusCode::OK);
        for known in [tag, strong, "*", &format!("{other} , {tag}")] {
            check(&[known], StatusCode::NOT_MODIFIED);
        }
        check(&[other, tag], StatusCode::NOT_MODIFIED);
    }
}
