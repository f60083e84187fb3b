//! Settings that are lists of tables: what is wrong with a list, field by field, and what an entry says. Knows no setting.

use toml::{Table, Value};

use super::kind::EntryKind;
use super::problem::Problem;
use super::variables::nearest;

/// Everything that is wrong with a list of tables, with the place of each problem: `key[2].name`, counted from 1.
pub(super) fn problems(key: &str, of: &EntryKind, list: &Value) -> Vec<Problem> {
    let list = list.as_array().expect("whoever asks has seen that it is a list");
    let of_entry = |(index, entry): (usize, &Value)| {
        let place = place(key, index);
        let what = format!("a table with {}", names(of));
        match entry.as_table() {
            Some(entry) => of_table(&place, of, entry),
            None => vec![Problem::new(place, entry.to_string(), format!("it takes {what}"))],
        }
    };
    list.iter().enumerate().flat_map(of_entry).collect()
}

/// What an entry is called.
pub(super) fn place(key: &str, index: usize) -> String {
    format!("{key}[{}]", index + 1)
}

/// What an entry says of a field, or else the field's default.
pub(super) fn said(of: &EntryKind, entry: &Value, name: &str) -> Value {
    let field = of.fields.iter().find(|field| field.name == name);
    let default = || field.and_then(|field| field.default).map(str::parse);
    match (entry.get(name), default()) {
        (Some(said), _) => said.clone(),
        (None, default) => default.expect("it has to be said").expect("a default is TOML"),
    }
}

fn of_table(place: &str, of: &EntryKind, entry: &Table) -> Vec<Problem> {
    let unknown = entry
        .keys()
        .filter(|name| of.fields.iter().all(|field| field.name != **name));
    let unknown = unknown.map(|name| {
        let known = of.fields.iter().map(|field| field.name.to_owned());
        let meant = nearest(name, known).expect("an entry has fields");
        let remedy = format!("did you mean {meant}? An entry has {}", names(of));
        Problem::new(format!("{place}.{name}"), "a setting that does not exist", remedy)
    });
    let wrong = of
        .fields
        .iter()
        .filter(|field| !field.takes(entry.get(field.name)));
    let wrong = wrong.map(|field| {
        let found = entry
            .get(field.name)
            .map_or("nothing".to_owned(), ToString::to_string);
        let remedy = format!("it takes {}", field.kind.bounds());
        Problem::new(format!("{place}.{}", field.name), found, remedy)
    });
    unknown.chain(wrong).collect()
}

fn names(of: &EntryKind) -> String {
    let names: Vec<_> = of.fields.iter().map(|field| field.name).collect();
    names.join(", ")
}
