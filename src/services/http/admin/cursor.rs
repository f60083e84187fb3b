//! A cursor: places in lanes of one store, as a word that means nothing to whoever keeps it. A store with one lane has one form, a store
//! with more another; lists of users of such a store have a third.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use prost::encoding::{decode_varint, encode_varint};

use crate::base::ids::{PartitionId, UserId};
use crate::services::http::sizes::LANES_MAX;
use crate::services::registry::archive::Position;

/// The forms of the word. Another form will have another number.
const SOLE_PLACE: u8 = 1;
const PLACES: u8 = 2;
const USERS: u8 = 3;

/// Between cursors that are sent as one.
const JOINT: char = ',';

/// Why a word is no cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CursorFault {
    /// It was never one.
    #[error("this is not a cursor")]
    Malformed,
    /// It is of another store, so the changes that it stands behind are not here.
    #[error("this cursor is of another store: begin with the list of users, /v1/users")]
    Foreign,
    /// It is of the list of users where one of the stream is wanted, or the other way round.
    #[error("this cursor is of another list")]
    OtherList,
    /// Two of several cursors have a place in the same lane.
    #[error("two of these cursors are of lane {0}")]
    Twice(u16),
    /// They have more places than there are lanes in a request.
    #[error("these cursors are of more than {LANES_MAX} lanes")]
    TooMany,
}

/// Behind which place a reader is in each lane.
pub(crate) type LanePlaces = BTreeMap<PartitionId, Position>;

/// A place in the list of users, which goes from lane to lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UsersPlace {
    /// The lanes that are not listed to their ends, in their order.
    pub(crate) lanes: Vec<PartitionId>,
    /// The last user that was listed of the first of them.
    pub(crate) user: Option<UserId>,
}

/// The store that cursors are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CursorStore {
    pub(crate) id: u64,
    /// How many lanes it has.
    pub(crate) lanes: u16,
}

impl CursorStore {
    /// The word for places. In a store with one lane that is the only one.
    pub(crate) fn write(self, places: &LanePlaces) -> String {
        if self.lanes == 1 {
            let place = places.get(&PartitionId::SOLE).copied().unwrap_or_default();
            let mut bytes = self.begin(SOLE_PLACE);
            bytes.extend(place.0.to_be_bytes());
            return URL_SAFE_NO_PAD.encode(bytes);
        }
        let mut bytes = self.begin(PLACES);
        let mut before = 0;
        for (lane, place) in places {
            encode_varint(u64::from(lane.0) - before, &mut bytes);
            encode_varint(place.0, &mut bytes);
            before = u64::from(lane.0);
        }
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The word for one place.
    pub(crate) fn write_one(self, lane: PartitionId, place: Position) -> String {
        self.write(&LanePlaces::from([(lane, place)]))
    }

    /// The places that a word stands for in this store. Several words may be joined.
    pub(crate) fn read(self, words: &str) -> Result<LanePlaces, CursorFault> {
        let mut places = LanePlaces::new();
        for word in words.split(JOINT) {
            for (lane, place) in self.read_one(word)? {
                if places.insert(lane, place).is_some() {
                    return Err(CursorFault::Twice(lane.0));
                }
            }
        }
        match places.len() <= LANES_MAX {
            true => Ok(places),
            false => Err(CursorFault::TooMany),
        }
    }

    fn read_one(self, word: &str) -> Result<LanePlaces, CursorFault> {
        let (form, rest) = self.open(word)?;
        let mut rest = &rest[..];
        match (form, self.lanes) {
            (SOLE_PLACE, 1) => {
                let place = rest.try_into().map_err(|_| CursorFault::Malformed)?;
                return Ok([(PartitionId::SOLE, Position(u64::from_be_bytes(place)))].into());
            }
            (PLACES, 2..) => {}
            (USERS, _) => return Err(CursorFault::OtherList),
            _ => return Err(CursorFault::Malformed),
        }
        let mut places = LanePlaces::new();
        while !rest.is_empty() {
            let before = places.last_key_value().map(|(lane, _)| *lane);
            let lane = self.lane_behind(before, &mut rest)?;
            let place = decode_varint(&mut rest).map_err(|_| CursorFault::Malformed)?;
            places.insert(lane, Position(place));
        }
        // There is one word for each of them, and none for nothing.
        match self.write(&places) == word && !places.is_empty() {
            true => Ok(places),
            false => Err(CursorFault::Malformed),
        }
    }

    /// The word for a place in the list of users.
    pub(crate) fn write_users(self, place: &UsersPlace) -> String {
        let mut bytes = self.begin(USERS);
        encode_varint(place.lanes.len() as u64, &mut bytes);
        let mut before = 0;
        for lane in &place.lanes {
            encode_varint(u64::from(lane.0) - before, &mut bytes);
            before = u64::from(lane.0);
        }
        bytes.extend(place.user.iter().flat_map(UserId::as_bytes));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The place in the list of users that a word stands for in this store.
    pub(crate) fn read_users(self, word: &str) -> Result<UsersPlace, CursorFault> {
        let (form, rest) = self.open(word)?;
        let mut rest = &rest[..];
        match form {
            USERS => {}
            SOLE_PLACE | PLACES => return Err(CursorFault::OtherList),
            _ => return Err(CursorFault::Malformed),
        }
        let count = decode_varint(&mut rest).map_err(|_| CursorFault::Malformed)?;
        if count == 0 || count > u64::from(self.lanes) {
            return Err(CursorFault::Malformed);
        }
        let mut lanes: Vec<PartitionId> = Vec::new();
        for _ in 0..count {
            lanes.push(self.lane_behind(lanes.last().copied(), &mut rest)?);
        }
        let user = match rest {
            [] => None,
            name => Some(UserId::new(name).map_err(|_| CursorFault::Malformed)?),
        };
        let is_there = user.is_none_or(|user| user.partition(self.lanes) == lanes[0]);
        let place = UsersPlace { lanes, user };
        match self.write_users(&place) == word && is_there {
            true => Ok(place),
            false => Err(CursorFault::Malformed),
        }
    }

    fn begin(self, form: u8) -> Vec<u8> {
        let mut bytes = vec![form];
        bytes.extend(self.id.to_be_bytes());
        bytes
    }

    /// The form of a word, and what stands behind the store.
    fn open(self, word: &str) -> Result<(u8, Vec<u8>), CursorFault> {
        let mut bytes = URL_SAFE_NO_PAD.decode(word).map_err(|_| CursorFault::Malformed)?;
        let (form, rest) = bytes.split_first().ok_or(CursorFault::Malformed)?;
        let form = *form;
        let (store, _) = rest.split_first_chunk().ok_or(CursorFault::Malformed)?;
        match (form, u64::from_be_bytes(*store) == self.id) {
            (SOLE_PLACE | PLACES | USERS, true) => Ok((form, bytes.split_off(1 + size_of::<u64>()))),
            (SOLE_PLACE | PLACES | USERS, false) => Err(CursorFault::Foreign),
            _ => Err(CursorFault::Malformed),
        }
    }

    /// The next lane of ascending ones.
    fn lane_behind(self, before: Option<PartitionId>, rest: &mut &[u8]) -> Result<PartitionId, CursorFault> {
        let step = decode_varint(rest).map_err(|_| CursorFault::Malformed)?;
        let lane = step.checked_add(before.map_or(0, |lane| u64::from(lane.0)));
        let lane = lane.and_then(|lane| u16::try_from(lane).ok()).map(PartitionId);
        let lane = lane.filter(|lane| lane.0 < self.lanes && before.is_none_or(|before| before < *lane));
        lane.ok_or(CursorFault::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::http::sizes::CURSOR_BYTES;

    const SOLE: CursorStore = CursorStore { id: 7, lanes: 1 };
    const MANY: CursorStore = CursorStore { id: 7, lanes: 4_096 };

    fn check<T: PartialEq + std::fmt::Debug>(
        read: Result<T, CursorFault>,
        expected: Result<T, CursorFault>,
        word: &str,
    ) {
        assert_eq!(read, expected, "{word}");
    }

    fn places(pairs: &[(u16, u64)]) -> LanePlaces {
        let pair = |(lane, place): &(u16, u64)| (PartitionId(*lane), Position(*place));
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn only_what_was_written_for_a_store_with_one_lane_is_read_there() {
        for place in [0, 1, u64::MAX] {
            let word = SOLE.write(&places(&[(0, place)]));
            check(SOLE.read(&word), Ok(places(&[(0, place)])), &word);
        }
        let good = SOLE.write(&places(&[(0, 5)]));
        assert_eq!(good, "AQAAAAAAAAAHAAAAAAAAAAU", "others keep it");
        let foreign = CursorStore { id: 8, ..SOLE };
        check(foreign.read(&good), Err(CursorFault::Foreign), &good);
        let newer = format!("Bg{}", &good[2..]);
        let of_many = MANY.write(&places(&[(0, 5)]));
        for wrong in [
            "",
            "5",
            "AQ",
            &newer,
            &of_many,
            &good[1..],
            &format!("{good}A"),
            &format!("{good}="),
            "é",
        ] {
            check(SOLE.read(wrong), Err(CursorFault::Malformed), wrong);
        }
        let twice = format!("{good},{good}");
        check(SOLE.read(&twice), Err(CursorFault::Twice(0)), &twice);
    }

    #[test]
    fn only_what_was_written_for_a_store_with_many_lanes_is_read_there() {
        for pairs in [
            &[(0, 0)][..],
            &[(4_095, u64::MAX)],
            &[(0, 1), (1, 300), (7, 0), (4_095, 5)],
        ] {
            let word = MANY.write(&places(pairs));
            check(MANY.read(&word), Ok(places(pairs)), &word);
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
            assert!(word.bytes().all(plain), "{word}");
            for end in 0..word.len() {
                assert_ne!(MANY.read(&word[..end]), Ok(places(pairs)));
            }
        }
        let longest = MANY.write_one(PartitionId(4_095), Position(u64::MAX));
        assert_eq!(longest.len(), CURSOR_BYTES);
        let [one, other] = [3, 5].map(|lane| MANY.write_one(PartitionId(lane), Position(9)));
        let both = format!("{other},{one}");
        check(MANY.read(&both), Ok(places(&[(3, 9), (5, 9)])), &both);
        let twice = format!("{both},{one}");
        check(MANY.read(&twice), Err(CursorFault::Twice(3)), &twice);
        let small = CursorStore { lanes: 4, ..MANY };
        check(small.read(&one), Ok(places(&[(3, 9)])), &one);
        check(small.read(&other), Err(CursorFault::Malformed), &other);
        let foreign = CursorStore { id: 8, ..MANY };
        check(foreign.read(&one), Err(CursorFault::Foreign), &one);
        let many = |count| (0..count).map(|lane| (lane, 1)).collect::<Vec<_>>();
        let max = u16::try_from(LANES_MAX).unwrap();
        let (all, more) = (places(&many(max)), places(&many(max + 1)));
        check(MANY.read(&MANY.write(&all)), Ok(all), "as many as may be");
        check(
            MANY.read(&MANY.write(&more)),
            Err(CursorFault::TooMany),
            "one more",
        );
        let nothing = MANY.write(&LanePlaces::new());
        for wrong in [&SOLE.write(&places(&[(0, 5)])), &nothing, &format!("{one},")] {
            check(MANY.read(wrong), Err(CursorFault::Malformed), wrong);
        }
    }

    #[test]
    fn places_in_the_list_of_users_are_no_places_in_the_stream() {
        let user = UserId::new(b"alice").unwrap();
        let of_alice = user.partition(MANY.lanes);
        for place in [
            UsersPlace {
                lanes: vec![of_alice, PartitionId(4_095)],
                user: Some(user),
            },
            UsersPlace {
                lanes: vec![PartitionId(0), PartitionId(1)],
                user: None,
            },
        ] {
            let word = MANY.write_users(&place);
            check(MANY.read_users(&word), Ok(place), &word);
            check(MANY.read(&word), Err(CursorFault::OtherList), &word);
        }
        let stream = MANY.write_one(PartitionId(1), Position(1));
        check(MANY.read_users(&stream), Err(CursorFault::OtherList), &stream);
        let stranger = MANY.write_users(&UsersPlace {
            lanes: vec![PartitionId(of_alice.0 + 1)],
            user: Some(user),
        });
        for wrong in ["", "alice", &stranger] {
            check(MANY.read_users(wrong), Err(CursorFault::Malformed), wrong);
        }
    }
}
