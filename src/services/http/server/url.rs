//! Reading a URL: percent-decoding and query parameters. Never keeps what it read.

use std::borrow::Cow;

/// Decodes `%XX`, and `+` as a space where forms write one. `None` if an escape is cut off or not UTF-8.
pub(crate) fn decode(text: &str, plus: Plus) -> Option<Cow<'_, str>> {
    let spaces = plus == Plus::Space && text.contains('+');
    if !text.contains('%') && !spaces {
        return Some(Cow::Borrowed(text));
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        match first {
            b'%' => {
                let (digits, behind) = rest.split_at_checked(2)?;
                decoded.push(hex(digits[0])? << 4 | hex(digits[1])?);
                rest = behind;
            }
            b'+' if spaces => decoded.push(b' '),
            other => decoded.push(*other),
        }
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}

/// What a `+` means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plus {
    /// A space: in a query.
    Space,
    /// Itself: in a path.
    Itself,
}

/// Percent-encodes all but letters, digits, `-`, `_` and `.`.
#[must_use]
pub fn encode(text: &str) -> String {
    let encoded = text.bytes().map(|byte| match byte {
        b'-' | b'_' | b'.' => char::from(byte).to_string(),
        _ if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    });
    encoded.collect()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

/// The first value of a query parameter, decoded. `Err` if it cannot be decoded.
pub(crate) fn parameter<'a>(query: &'a str, name: &str) -> Result<Option<Cow<'a, str>>, Undecodable> {
    let pairs = query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    for (key, value) in pairs {
        if key == name {
            return decode(value, Plus::Space).map(Some).ok_or(Undecodable);
        }
    }
    Ok(None)
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
        for broken in ["u=%", "u=%2", "u=%zz", "u=%ff"] {
            check(broken, "u", Err(Undecodable));
        }
    }

    #[test]
    fn what_is_encoded_is_decoded_to_the_same() {
        assert_eq!(encode("a-b_c.d/e f%+"), "a-b_c.d%2Fe%20f%25%2B");
        assert_eq!(
            decode(&encode("a-b_c.d/e f%+"), Plus::Space).as_deref(),
            Some("a-b_c.d/e f%+")
        );
    }

    #[test]
    fn a_plus_in_a_path_is_itself() {
        assert_eq!(decode("a+b%2f", Plus::Itself).as_deref(), Some("a+b/"));
    }
}
