//! Reading a URL: percent-decoding and query parameters. Never keeps what it read.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// All but letters, digits, `-`, `_` and `.`.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

/// Decodes `%XX`. `None` if an escape is cut off or not UTF-8.
pub(crate) fn decode(text: &str) -> Option<Cow<'_, str>> {
    // The library would leave what is no escape as it is.
    let is_escape = |behind: &str| {
        let digits = behind.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if !text.split('%').skip(1).all(is_escape) {
        return None;
    }
    percent_decode_str(text).decode_utf8().ok()
}

/// Percent-encodes all but letters, digits, `-`, `_` and `.`.
pub(crate) fn encode(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}

/// The first value of a query parameter, decoded as forms write it, with `+` for a space. `Err` if it cannot be decoded.
pub(crate) fn parameter<'a>(query: &'a str, name: &str) -> Result<Option<Cow<'a, str>>, Undecodable> {
    let mut pairs = query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let Some((_, value)) = pairs.find(|(key, _)| *key == name) else {
        return Ok(None);
    };
    let decoded = if value.contains('+') {
        decode(&value.replace('+', " ")).map(|value| Cow::Owned(value.into_owned()))
    } else {
        decode(value)
    };
    decoded.map(Some).ok_or(Undecodable)
}

/// A percent-escape that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Undecodable;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(query: &str, name: &str, expected: Result<Option<&str>, Undecodable>) {
        let value = parameter(query, name);
        assert_eq!(
            value.as_ref().map(Option::as_deref),
            expected.as_ref().map(|value| *value),
            "{query}"
        );
    }

    #[test]
    fn reads_parameters_in_any_order() {
        check("a=1&usersig=eJ*-_&b", "usersig", Ok(Some("eJ*-_")));
        check("usersig=eJ%2A-%5f&usersig=2", "usersig", Ok(Some("eJ*-_")));
        check("identifier=a+b%20c%2Bd", "identifier", Ok(Some("a b c+d")));
        check("a=1", "usersig", Ok(None));
        check("usersig", "usersig", Ok(Some("")));
        check("", "usersig", Ok(None));
        for broken in ["u=%", "u=%2", "u=%zz", "u=%ff", "u=%%41"] {
            check(broken, "u", Err(Undecodable));
        }
    }

    #[test]
    fn what_is_encoded_is_decoded_to_the_same() {
        assert_eq!(encode("a-b_c.d/e f%+"), "a-b_c.d%2Fe%20f%25%2B");
        assert_eq!(decode(&encode("a-b_c.d/e f%+")).as_deref(), Some("a-b_c.d/e f%+"));
    }

    #[test]
    fn a_plus_in_a_path_is_itself() {
        assert_eq!(decode("a+b%2f").as_deref(), Some("a+b/"));
    }
}
