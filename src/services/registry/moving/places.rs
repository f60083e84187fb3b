//! A number for each place of a lane that is kept: 4 bytes each, since there may be tens of millions. Reads nothing.

use crate::services::registry::archive::Position;
use crate::services::registry::moving::fault::MoveError;

/// Numbers by place. Those of places that have none are 0.
#[derive(Debug)]
pub(super) struct PlaceTable {
    base: Position,
    numbers: Vec<u32>,
}

impl PlaceTable {
    /// Of the places behind this one.
    pub(super) fn behind(base: Position) -> Self {
        Self {
            base,
            numbers: Vec::new(),
        }
    }

    /// Gives a place its number. Places come in their order.
    pub(super) fn push(&mut self, place: Position, number: u64) -> Result<(), MoveError> {
        let at = place.0.checked_sub(self.base.0 + 1);
        let at = usize::try_from(at.expect("it is behind the base")).map_err(|_| MoveError::TooMany)?;
        self.numbers.resize(at, 0);
        self.numbers
            .push(u32::try_from(number).map_err(|_| MoveError::TooMany)?);
        Ok(())
    }

    /// The number of a place.
    pub(super) fn get(&self, place: Position) -> Option<u64> {
        let at = usize::try_from(place.0.checked_sub(self.base.0 + 1)?).ok()?;
        let number = *self.numbers.get(at)?;
        (number != 0).then_some(u64::from(number))
    }

    /// The place that another has now; 0, as of what is not there, if it has none.
    pub(super) fn now(&self, place: Position) -> Position {
        Position(self.get(place).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_have_numbers_and_gaps_have_none() {
        let mut table = PlaceTable::behind(Position(10));
        for (place, number) in [(11, 7), (14, 9)] {
            table.push(Position(place), number).unwrap();
        }
        let numbers = [0, 10, 11, 12, 13, 14, 15].map(|place| table.get(Position(place)));
        assert_eq!(numbers, [None, None, Some(7), None, None, Some(9), None]);
        assert_eq!(table.now(Position(3)), Position(0));
        assert!(table.push(Position(15), 1 << 32).is_err());
    }
}
