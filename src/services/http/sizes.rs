//! How many bytes a request's body may have. Each limit follows from what the command takes, so that nothing that may be
//! asked for is too long to be sent. Reads no body.

use crate::base::limits::{MESSAGE_BODY_BYTES_MAX, QUERY_USERS_MAX, SEND_TARGETS_MAX, USER_ID_BYTES_MAX};

/// Accounts in one request (Tencent Cloud IM, 269/4919, 269/36443, 269/38417).
pub(super) const ACCOUNTS_MAX: usize = 100;

/// Bytes of a name or a picture's address (Tencent Cloud IM, 269/1608).
pub(super) const FIELD_BYTES_MAX: usize = 500;

/// Dead letters that one request may name.
pub(super) const NAMED_MAX: usize = 1_000;

/// A cursor's of one place: the form, the store's number, the lane and the place, in base64.
pub(super) const CURSOR_BYTES: usize = 28;

/// Lanes of one request: a cursor of as many has at most 4 KiB, and fits into the headers of every answer and request.
pub(super) const LANES_MAX: usize = 256;

/// A byte of text may be written as an escape of six: the usual JSON libraries of Python and PHP do so for all that is
/// not ASCII, and a client may for everything.
const ESCAPED: usize = 6;

/// Around an entry of a list: quotation marks, names of members, indentation.
const ENTRY_BYTES: usize = 128;

/// Around an account with its profile: the names of its members, and members that are of no interest here.
const PROFILE_BYTES: usize = 1_024;

/// Around everything else.
const FRAME_BYTES: usize = 4 * 1024;

/// A command about one thing, with much more around it than any client sends.
pub(super) const ORDINARY: usize = 128 * 1024;

/// UserIDs to query.
pub(super) const QUERY: usize = larger(
    ORDINARY,
    list(QUERY_USERS_MAX, ESCAPED * USER_ID_BYTES_MAX + ENTRY_BYTES),
);

/// UserIDs to check or to delete.
pub(super) const ACCOUNTS: usize = larger(
    ORDINARY,
    list(ACCOUNTS_MAX, ESCAPED * USER_ID_BYTES_MAX + ENTRY_BYTES),
);

/// Accounts with their names and pictures.
pub(super) const PROFILES: usize = larger(
    ORDINARY,
    list(
        ACCOUNTS_MAX,
        ESCAPED * (USER_ID_BYTES_MAX + 2 * FIELD_BYTES_MAX) + PROFILE_BYTES,
    ),
);

/// Dead letters by their cursors.
pub(super) const CURSORS: usize = larger(ORDINARY, list(NAMED_MAX, ESCAPED * CURSOR_BYTES + ENTRY_BYTES));

/// A message with its targets: each may name a platform, an instance and a session, and be on a line of its own.
pub(super) const MESSAGE: usize = larger(
    ORDINARY,
    list(SEND_TARGETS_MAX, ESCAPED * USER_ID_BYTES_MAX + 2 * ENTRY_BYTES) + ESCAPED * MESSAGE_BODY_BYTES_MAX,
);

/// The largest of them: as much is read, and thrown away, of a body that nobody wants.
pub(super) const LARGEST: usize = larger(
    MESSAGE,
    larger(PROFILES, larger(QUERY, larger(ACCOUNTS, CURSORS))),
);

/// All bodies under way together. A thousand usual queries and some dozens of the largest bodies have room; what they
/// make the gateway keep is bounded.
pub(super) const ALL_BYTES_MAX: usize = 64 * 1024 * 1024;

const _: () = assert!(LARGEST <= ALL_BYTES_MAX);

const fn list(entries: usize, bytes: usize) -> usize {
    FRAME_BYTES + entries * bytes
}

const fn larger(one: usize, other: usize) -> usize {
    if one > other { one } else { other }
}
