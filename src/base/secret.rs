//! A text that nobody may see: it is never printed, and its bytes are overwritten when it goes. Keeps no copy that it did
//! not make itself.

use std::fmt;

use zeroize::Zeroizing;

/// A secret text. Comparing two takes time by what they hold: what a stranger sends is compared by a MAC or in constant time.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// The text, for whoever proves something with it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_not_printed() {
        let secret = Secret::from("a-secret-of-this-test");
        assert_eq!(format!("{secret:?}"), "Secret");
        assert_eq!(secret.expose(), "a-secret-of-this-test");
    }
}
