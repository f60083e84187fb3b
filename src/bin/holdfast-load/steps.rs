//! Numbers of terminals that grow, as they are typed: `500,2000,8000`. It knows nothing of what is measured at each.

use std::ops::RangeInclusive;
use std::str::FromStr;

/// The same as of terminals that only beat.
const BOUNDS: RangeInclusive<u32> = 10..=10_000_000;

/// At least one number of connections, ascending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Steps(Vec<u32>);

impl Steps {
    /// All of them, the smallest first.
    pub(crate) fn all(&self) -> &[u32] {
        &self.0
    }

    pub(crate) fn largest(&self) -> u32 {
        self.0.last().copied().expect("there is at least one")
    }
}

impl FromStr for Steps {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Err("name at least one number of connections".to_owned());
        }
        let mut steps: Vec<u32> = Vec::new();
        for word in text.split(',') {
            let word = word.trim();
            let step = word.parse().ok().filter(|step| BOUNDS.contains(step));
            let (least, most) = (BOUNDS.start(), BOUNDS.end());
            let step = step.ok_or_else(|| format!("`{word}` is not a number from {least} to {most}"))?;
            if let Some(last) = steps.last().filter(|last| **last >= step) {
                return Err(format!("steps ascend: {step} does not come after {last}"));
            }
            steps.push(step);
        }
        Ok(Self(steps))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&[u32], &str>) {
        let steps = text.parse::<Steps>();
        let seen = steps.as_ref().map(Steps::all).map_err(String::as_str);
        assert_eq!(seen, expected, "{text}");
    }

    #[test]
    fn steps_ascend_within_bounds() {
        check("10", Ok(&[10]));
        check("500, 2000,8000", Ok(&[500, 2_000, 8_000]));
        check("10000000", Ok(&[10_000_000]));
        check("", Err("name at least one number of connections"));
        check("500,", Err("`` is not a number from 10 to 10000000"));
        check("9", Err("`9` is not a number from 10 to 10000000"));
        check("10000001", Err("`10000001` is not a number from 10 to 10000000"));
        check("10k", Err("`10k` is not a number from 10 to 10000000"));
        check("500,500", Err("steps ascend: 500 does not come after 500"));
        check("500,2000,900", Err("steps ascend: 900 does not come after 2000"));
    }

    #[test]
    fn the_largest_is_the_last() {
        assert_eq!("20,30,40".parse::<Steps>().unwrap().largest(), 40);
    }
}
