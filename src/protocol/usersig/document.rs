//! The document inside a UserSig, and the text that its signature is made over. Reads only what stands for one text
//! alone; never says whether a signature is good.
//!
//! # One text, one document
//! The text is lines, and the signer puts an identifier and a user buffer into it as they are. So whoever chooses an
//! identifier with line feeds chooses lines, and a text that was signed for one user could be read as another's. Three
//! rules make every text the text of one document at most: an identifier has no control characters (a `UserId` has none),
//! numbers have one form, and a user buffer is base64, which has no `:` and so is no line of anything else.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserializer, Error, Unexpected, Visitor};
use serde::{Deserialize, Serialize};

use crate::base::json;

/// The vendor's names of the members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Document {
    /// Not signed, so nothing depends on it, as in the vendor's verifier.
    #[serde(rename = "TLS.ver", default)]
    pub(super) version: Option<String>,
    #[serde(rename = "TLS.identifier")]
    pub(super) identifier: String,
    #[serde(rename = "TLS.sdkappid", deserialize_with = "number")]
    pub(super) sdk_app_id: u64,
    #[serde(rename = "TLS.expire", deserialize_with = "number")]
    pub(super) expire_s: u64,
    #[serde(rename = "TLS.time", deserialize_with = "number")]
    pub(super) time_s: u64,
    #[serde(
        rename = "TLS.userbuf",
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "user_buffer"
    )]
    pub(super) user_buffer: Option<String>,
    #[serde(rename = "TLS.sig")]
    pub(super) signature: String,
}

impl Document {
    /// Reads one; `None` if it is none. Members that nobody here knows are ignored.
    pub(super) fn read(json: &[u8]) -> Option<Self> {
        let value = json::read(json).ok()?;
        // A list would be taken for the members in their order.
        value.is_object().then(|| Self::deserialize(value).ok())?
    }

    /// One without a signature.
    pub(super) fn new(identifier: &str, sdk_app_id: u64, time_s: u64, expire_s: u64) -> Self {
        Self {
            version: Some("2.0".to_owned()),
            identifier: identifier.to_owned(),
            sdk_app_id,
            expire_s,
            time_s,
            user_buffer: None,
            signature: String::new(),
        }
    }

    /// The text that is signed.
    pub(super) fn content(&self) -> String {
        let Self {
            identifier,
            sdk_app_id,
            time_s,
            expire_s,
            ..
        } = self;
        let mut content = format!(
            "TLS.identifier:{identifier}\nTLS.sdkappid:{sdk_app_id}\nTLS.time:{time_s}\nTLS.expire:{expire_s}\n"
        );
        if let Some(buffer) = &self.user_buffer {
            content.push_str("TLS.userbuf:");
            content.push_str(buffer);
            content.push('\n');
        }
        content
    }
}

/// Bytes from base64 as signers write it: old Java and Android put line breaks into long texts, or behind them.
pub(super) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    if !text.contains(['\r', '\n']) {
        return STANDARD.decode(text).ok();
    }
    STANDARD.decode(text.replace(['\r', '\n'], "")).ok()
}

/// A number, or its digits as a text: some signers write them so. Each number has one form, so that it stands for one
/// text.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    struct JsonNumber;

    impl Visitor<'_> for JsonNumber {
        type Value = u64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a whole number, or its digits as a text")
        }

        fn visit_u64<E: Error>(self, number: u64) -> Result<u64, E> {
            Ok(number)
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<u64, E> {
            let number: Option<u64> = text.parse().ok();
            let number = number.filter(|number| number.to_string() == text);
            number.ok_or_else(|| E::invalid_value(Unexpected::Other("a text"), &self))
        }
    }

    deserializer.deserialize_any(JsonNumber)
}

fn user_buffer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let buffer = Option::<String>::deserialize(deserializer)?;
    if buffer.as_ref().is_some_and(|text| decode_base64(text).is_none()) {
        return Err(D::Error::custom("the user buffer is not base64"));
    }
    Ok(buffer)
}
