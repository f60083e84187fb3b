//! What the documents promise of the real gateway: the metrics that they name, and the configuration that they give.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::gateway;
use crate::support::certificate::TestCertificate;
use crate::support::command::run;
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
    let certificate = TestCertificate::new(&["gateway.example"]);
    let gateway = gateway(&[("terminals.tls.certificates", &certificate.setting())]);
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
        // Those of a node of a cluster: see the test `nodes`.
        .filter(|(_, name)| !name.starts_with("holdfast_cluster_") && !name.starts_with("holdfast_shared_"))
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

/// The only block of TOML of a page.
fn toml_of(page: &str) -> &str {
    let mut blocks = page
        .split("```toml\n")
        .skip(1)
        .map(|rest| rest.split_once("```").unwrap().0);
    let block = blocks.next().unwrap();
    assert_eq!(blocks.next(), None, "there is one");
    block
}

#[test]
fn the_gateway_takes_the_configuration_of_the_first_page() {
    let folder = TempDir::new().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("README.md")).unwrap();
    let mut text = toml_of(&page).to_owned();
    for name in ["usersig-key", "callback-token"] {
        let secret = folder.path().join(name);
        std::fs::write(&secret, "a-secret-in-one-line\n").unwrap();
        let told = format!("/etc/holdfast/{name}");
        assert!(text.contains(&told), "{told} is named");
        text = text.replace(&told, secret.to_str().unwrap());
    }
    let file = folder.path().join("holdfast.toml");
    std::fs::write(&file, &text).unwrap();
    let arguments = ["--config", file.to_str().unwrap(), "config"];
    let said = run(env!("CARGO_BIN_EXE_holdfast"), &arguments, b"");
    assert_eq!((said.code, said.errors.as_str()), (Some(0), ""), "{text}");
    for line in ["policy = \"dual\"", "sdk_app_id = 1400000002"] {
        assert!(said.out.contains(line), "{line} counts: {}", said.out);
    }
}
