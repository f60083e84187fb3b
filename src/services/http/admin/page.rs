//! The operator's page: one HTML file with its style and its script in it, which a browser may run and nothing else. It holds
//! no data: the script asks the other pages for it, as any caller does. Never changes while the program runs.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, X_FRAME_OPTIONS};
use sha2::{Digest, Sha256};

use crate::services::http::server::asset::Asset;

const HTML: &str = include_str!("page/index.html");
const STYLE: &str = include_str!("page/style.css");

/// One script: what is reckoned, how it is drawn, what is shown, and what is done when.
const SCRIPT: &str = concat!(
    "\"use strict\";\n",
    include_str!("page/figures.js"),
    include_str!("page/elements.js"),
    include_str!("page/sections.js"),
    include_str!("page/user.js"),
    include_str!("page/page.js"),
);

/// What stands for them in the HTML.
const STYLE_PLACE: &str = "{style}";
const SCRIPT_PLACE: &str = "{script}";

/// Keeps what runs in other windows away from this one, and this page's bytes out of other pages.
const SAME_ORIGIN: [(HeaderName, HeaderValue); 2] = [
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
];

/// The page as it is sent.
pub(super) static PAGE: LazyLock<Asset> = LazyLock::new(|| {
    let html = HTML.replace(STYLE_PLACE, STYLE).replace(SCRIPT_PLACE, SCRIPT);
    let own = [
        (CONTENT_SECURITY_POLICY, policy()),
        (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    ];
    Asset::new(
        html,
        "text/html; charset=utf-8",
        own.into_iter().chain(SAME_ORIGIN),
    )
});

/// Only this style and this script, and requests only to where the page came from.
fn policy() -> HeaderValue {
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text));
    let (style, script) = (hash(STYLE), hash(SCRIPT));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).expect("base64 is plain text")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is between the only such tags of the page.
    fn inside<'a>(html: &'a str, tag: &str) -> &'a str {
        let (start, end) = (format!("<{tag}>"), format!("</{tag}>"));
        assert_eq!(
            (html.matches(&start).count(), html.matches(&end).count()),
            (1, 1),
            "{tag}"
        );
        html.split_once(&start).unwrap().1.split_once(&end).unwrap().0
    }

    #[test]
    fn the_policy_allows_what_the_page_holds_and_nothing_else() {
        let policy = policy();
        let html = HTML.replace(STYLE_PLACE, STYLE).replace(SCRIPT_PLACE, SCRIPT);
        for tag in ["style", "script"] {
            let hash = STANDARD.encode(Sha256::digest(inside(&html, tag)));
            let allowed = format!("{tag}-src 'sha256-{hash}';");
            assert!(policy.to_str().unwrap().contains(&allowed), "{tag}: {allowed}");
        }
        // A browser would refuse each of them: what a style or a script in an attribute says would not happen.
        for refused in [
            " style=",
            " onclick=",
            " src=",
            "<link rel=\"stylesheet\"",
            "<iframe",
        ] {
            assert!(!HTML.contains(refused), "{refused}");
        }
    }

    #[test]
    fn what_others_have_written_is_never_read_as_html_or_code() {
        for reader in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "Function(",
            "srcdoc",
            "createContextualFragment",
            "DOMParser",
            "javascript:",
            "localStorage",
            "http:",
            "https:",
        ] {
            let allowed = SCRIPT.replace("http://www.w3.org/2000/svg", "");
            assert!(!allowed.contains(reader), "{reader}");
        }
    }
}
