//! What a current figure is: the folder that it stands in, its place in that folder's data, and its aim. The table of all
//! is `aims`. It judges a value, and never measures one.

use serde_json::Value;

use super::render::median;

/// A folder of results: one command, and its figures.
#[derive(Debug)]
pub(crate) struct ResultsFolder {
    /// Without a date: the history of figures is in the repository.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// What makes it. With other arguments the figures are others.
    pub(crate) command: &'static str,
    pub(crate) figures: &'static [Figure],
}

/// A value that the index has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figure {
    pub(crate) what: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) place: ValuePath,
    /// The words in which a bench claims it.
    pub(crate) claim: Option<&'static str>,
    pub(crate) aim: Option<Aim>,
}

/// The name of a text in an entry, and the text.
type Text = (&'static str, &'static str);

/// Where a value stands in the data: in the first entry of a list that has these texts and this field, whose value is a
/// number, or one number for each round.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ValuePath {
    pub(crate) list: &'static str,
    pub(crate) texts: [Option<Text>; 2],
    pub(crate) field: &'static str,
    /// The field of the same entry that the number of each round is divided by.
    pub(crate) by: Option<&'static str>,
}

/// What a value is to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Aim {
    pub(crate) bound: Bound,
    /// Where it comes from.
    pub(crate) reason: &'static str,
    /// How a value that misses it is to be read, if the folder says it.
    pub(crate) missed: Option<&'static str>,
}

/// On which side of a limit a value is to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Bound {
    /// No more.
    AtMost(f64),
    /// No less.
    AtLeast(f64),
}

/// What became of an aim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AimVerdict {
    /// The value is on the right side.
    Met,
    /// It is not, or there is none.
    Missed,
    /// There is none.
    NoAim,
}

impl Figure {
    /// The same with an aim.
    pub(super) const fn aims(self, bound: Bound, reason: &'static str) -> Self {
        let missed = None;
        Self {
            aim: Some(Aim {
                bound,
                reason,
                missed,
            }),
            ..self
        }
    }

    /// The same, claimed by its bench in these words.
    pub(super) const fn claimed(self, claim: &'static str) -> Self {
        Self {
            claim: Some(claim),
            ..self
        }
    }

    /// The same with a sentence for a value that misses it.
    pub(super) const fn if_missed(mut self, missed: &'static str) -> Self {
        if let Some(aim) = &mut self.aim {
            aim.missed = Some(missed);
        }
        self
    }

    /// What became of the aim with this value.
    pub(crate) fn verdict(&self, value: Option<f64>) -> AimVerdict {
        match (self.aim, value) {
            (None, _) => AimVerdict::NoAim,
            (Some(aim), Some(value)) if aim.bound.holds(value) => AimVerdict::Met,
            (Some(_), _) => AimVerdict::Missed,
        }
    }
}

impl ValuePath {
    /// The value there, and its JSON pointer; of several rounds the median.
    pub(crate) fn find(&self, data: &Value) -> Option<(String, f64)> {
        let entries = data[self.list].as_array()?;
        let fits = |entry: &Value| {
            let texts = self
                .texts
                .iter()
                .flatten()
                .all(|(name, text)| entry[*name] == *text);
            texts && !entry[self.field].is_null()
        };
        let number = entries.iter().position(fits)?;
        let pointer = format!("/{}/{number}/{}", self.list, self.field);
        let value = &entries[number][self.field];
        let mut rounds = numbers(value);
        if let Some(by) = self.by {
            let divisors = numbers(&entries[number][by]);
            rounds = rounds
                .iter()
                .zip(divisors)
                .map(|(value, by)| value / by)
                .collect();
        }
        Some((pointer, median(&rounds)?))
    }
}

/// One number, or that of each round.
fn numbers(value: &Value) -> Vec<f64> {
    let rounds = value
        .as_array()
        .map_or(std::slice::from_ref(value), Vec::as_slice);
    rounds.iter().filter_map(Value::as_f64).collect()
}

impl Bound {
    pub(crate) fn holds(self, value: f64) -> bool {
        match self {
            Self::AtMost(limit) => value <= limit,
            Self::AtLeast(limit) => value >= limit,
        }
    }

    /// Its words, and its limit.
    pub(crate) fn parts(self) -> (&'static str, f64) {
        match self {
            Self::AtMost(limit) => ("at most", limit),
            Self::AtLeast(limit) => ("at least", limit),
        }
    }
}

/// A figure of `holdfast-load`, which its data has under this name.
pub(super) const fn load(what: &'static str, unit: &'static str, name: &'static str) -> Figure {
    let place = ValuePath {
        list: "figures",
        texts: [Some(("name", name)), None],
        field: "rounds",
        by: None,
    };
    without_aim(what, unit, place)
}

/// What a bench claims, in these words.
pub(super) const fn claim(what: &'static str, unit: &'static str, claim: &'static str) -> Figure {
    let place = ValuePath {
        list: "data",
        texts: [Some(("claim", claim)), None],
        field: "figure",
        by: None,
    };
    without_aim(what, unit, place).claimed(claim)
}

/// A raw figure of a bench.
pub(super) const fn raw(
    what: &'static str,
    unit: &'static str,
    texts: [Option<Text>; 2],
    field: &'static str,
) -> Figure {
    let (list, by) = ("data", None);
    let place = ValuePath {
        list,
        texts,
        field,
        by,
    };
    without_aim(what, unit, place)
}

const fn without_aim(what: &'static str, unit: &'static str, place: ValuePath) -> Figure {
    Figure {
        what,
        unit,
        place,
        claim: None,
        aim: None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_is_found_by_the_texts_of_its_entry() {
        let data = json!({ "data": [
            { "arrangement": "loopback", "us": [3.0, 1.0, 2.0] },
            { "arrangement": "apart" },
            { "arrangement": "apart", "us": 7.5 },
        ]});
        let find = |text, field| raw("", "", [text, None], field).place.find(&data);
        assert_eq!(
            find(Some(("arrangement", "loopback")), "us"),
            Some(("/data/0/us".to_owned(), 2.0))
        );
        assert_eq!(
            find(Some(("arrangement", "apart")), "us"),
            Some(("/data/2/us".to_owned(), 7.5))
        );
        assert_eq!(data.pointer("/data/2/us").unwrap(), 7.5);
        assert_eq!(find(Some(("arrangement", "elsewhere")), "us"), None);
        assert_eq!(find(None, "ms"), None);
    }

    #[test]
    fn a_ratio_is_the_median_of_the_ratios_of_each_round() {
        let data = json!({ "data": [{ "ours_us": [2.0, 9.0, 8.0], "epoll_us": [1.0, 3.0, 8.0] }] });
        let mut figure = raw("", "", [None, None], "ours_us");
        figure.place.by = Some("epoll_us");
        assert_eq!(
            figure.place.find(&data),
            Some(("/data/0/ours_us".to_owned(), 2.0))
        );
        figure.place.by = Some("nobody_us");
        assert_eq!(figure.place.find(&data), None);
    }

    #[test]
    fn an_aim_holds_up_to_its_limit_and_is_missed_without_a_value() {
        let figure = |bound| raw("", "", [None, None], "").aims(bound, "");
        let most = figure(Bound::AtMost(2.0));
        let least = figure(Bound::AtLeast(2.0));
        for (value, at_most, at_least) in [
            (1.9, AimVerdict::Met, AimVerdict::Missed),
            (2.0, AimVerdict::Met, AimVerdict::Met),
            (2.1, AimVerdict::Missed, AimVerdict::Met),
        ] {
            assert_eq!(most.verdict(Some(value)), at_most, "{value}");
            assert_eq!(least.verdict(Some(value)), at_least, "{value}");
        }
        assert_eq!(most.verdict(None), AimVerdict::Missed);
        assert_eq!(raw("", "", [None, None], "").verdict(None), AimVerdict::NoAim);
    }
}
