//! A cursor: a place in the change stream of one store, as a word that means nothing to whoever keeps it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::services::registry::archive::Position;

/// The form of the word. Another form will have another number.
const VERSION: u8 = 1;

/// Why a word is no cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CursorFault {
    /// It was never one.
    #[error("this is not a cursor")]
    Malformed,
    /// It is of another store, so the changes that it stands behind are not here.
    #[error("this cursor is of another store: begin with the list of users, /v1/users")]
    Foreign,
}

/// The word for a place.
pub(crate) fn write(store: u64, position: Position) -> String {
    let mut bytes = [0; 17];
    bytes[0] = VERSION;
    bytes[1..9].copy_from_slice(&store.to_be_bytes());
    bytes[9..].copy_from_slice(&position.0.to_be_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The place that a word stands for in this store.
pub(crate) fn read(store: u64, word: &str) -> Result<Position, CursorFault> {
    let bytes = URL_SAFE_NO_PAD.decode(word).map_err(|_| CursorFault::Malformed)?;
    let bytes: [u8; 17] = bytes.try_into().map_err(|_| CursorFault::Malformed)?;
    let number = |place: usize| {
        let bytes = bytes[place..place + 8].try_into().expect("eight bytes");
        u64::from_be_bytes(bytes)
    };
    if bytes[0] != VERSION {
        return Err(CursorFault::Malformed);
    }
    if number(1) != store {
        return Err(CursorFault::Foreign);
    }
    Ok(Position(number(9)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::http::sizes::CURSOR_BYTES;

    fn check(word: &str, expected: Result<u64, CursorFault>) {
        assert_eq!(read(7, word).map(|position| position.0), expected, "{word}");
    }

    #[test]
    fn only_what_was_written_for_this_store_is_read() {
        for position in [0, 1, u64::MAX] {
            check(&write(7, Position(position)), Ok(position));
        }
        let good = write(7, Position(5));
        assert_eq!(good.len(), CURSOR_BYTES);
        assert!(
            good.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        );
        check(&write(8, Position(5)), Err(CursorFault::Foreign));
        let newer = format!("Ag{}", &good[2..]);
        for wrong in [
            "",
            "5",
            "AQ",
            &newer,
            &good[1..],
            &format!("{good}A"),
            &format!("{good}="),
            "é",
        ] {
            check(wrong, Err(CursorFault::Malformed));
        }
    }
}
