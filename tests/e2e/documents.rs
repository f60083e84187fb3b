//! What the documents promise of a running gateway: the metrics that they name.

use std::path::{Path, PathBuf};

use crate::gateway;
use crate::support::exposition;
use crate::support::http::Http;

/// Names of metrics in a text. One that ends in `_` is the beginning of others.
fn metrics_in(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|character: char| !character.is_ascii_lowercase() && character != '_');
    words.filter(|word| word.starts_with("holdfast_") && !word.ends_with('_'))
}

/// The pages that somebody reads who watches a gateway.
fn pages() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = ["", "src", "proto", "benches"].map(|folder| std::fs::read_dir(root.join(folder)).unwrap());
    let paths = folders.into_iter().flatten().map(|entry| entry.unwrap().path());
    let pages = paths.filter(|path| path.extension().is_some_and(|end| end == "md"));
    pages
        .map(|path| (path.clone(), std::fs::read_to_string(path).unwrap()))
        .collect()
}

#[test]
fn every_metric_that_documents_name_is_there() {
    let gateway = gateway(&[]);
    let (status, text) = Http::default().get(gateway.admin, "/metrics");
    assert_eq!(status, 200);
    let families = exposition::read(&text).unwrap();
    let pages = pages();
    let named: Vec<(&Path, &str)> = pages
        .iter()
        .flat_map(|(path, text)| metrics_in(text).map(|name| (path.as_path(), name)))
        .collect();
    assert!(named.len() > 20, "the pages were read");
    let unknown: Vec<_> = named
        .iter()
        .filter(|(_, name)| !families.contains_key(*name))
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}
