//! The rules of the documents: how long the first page and each line may be, and that every link leads somewhere. Each rule
//! is a pure function over one text; whether something is there is asked of the caller. Knows no commands.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Bytes of README.md: what somebody reads before trying it.
const FIRST_PAGE_BYTES_MAX: usize = 9_216;

/// Characters of a line, tables included: what fits beside code.
const LINE_CHARACTERS_MAX: usize = 140;

/// Where documents are, besides the first page.
const FOLDERS: &[&str] = &["src", "tests", "benches", "proto", "bench-results"];

/// One page of Markdown.
pub(super) struct Document {
    /// From the package's root, with `/`.
    pub(super) path: String,
    pub(super) text: String,
}

impl Document {
    pub(super) fn new(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    /// Its lines with their numbers, and for those in a block of code the block's language. Fences are no lines.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &str, Option<&str>)> {
        let mut block = None;
        let numbered = (1..).zip(self.text.lines());
        numbered.filter_map(
            move |(number, line)| match line.trim_start().strip_prefix("```") {
                None => Some((number, line, block)),
                Some(language) => {
                    block = if block.is_some() { None } else { Some(language) };
                    None
                }
            },
        )
    }

    /// Its lines outside of blocks of code.
    fn prose(&self) -> impl Iterator<Item = (usize, &str)> {
        let outside = |(number, line, block): (_, _, Option<&str>)| block.is_none().then_some((number, line));
        self.lines().filter_map(outside)
    }

    /// The anchors of its headings, as forges make them.
    fn anchors(&self) -> Vec<String> {
        let mut seen: HashMap<String, usize> = HashMap::new();
        let headings = self.prose().filter(|(_, line)| line.starts_with('#'));
        let mut number = |anchor: String| {
            let times = seen.entry(anchor.clone()).or_default();
            *times += 1;
            match *times - 1 {
                0 => anchor,
                again => format!("{anchor}-{again}"),
            }
        };
        headings.map(|(_, line)| number(anchor_of(line))).collect()
    }
}

fn anchor_of(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = |character: &char| character.is_alphanumeric() || " -_".contains(*character);
    text.chars().filter(kept).collect::<String>().replace(' ', "-")
}

/// The spans of code in a line, without their marks.
pub(super) fn code_spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// The first page is one that is read.
fn first_page_size(document: &Document) -> Option<String> {
    let bytes = document.text.len();
    let too_long = document.path == "README.md" && bytes > FIRST_PAGE_BYTES_MAX;
    too_long.then(|| format!("1: {bytes} bytes are more than {FIRST_PAGE_BYTES_MAX}"))
}

/// Rows of tables cannot be wrapped. A page of results has a name of a figure in each, and a link to it.
fn long_lines(document: &Document) -> Vec<String> {
    let may_be_long = |line: &str| document.path.starts_with("bench-results/") && line.starts_with("| ");
    let lines = (1..).zip(document.text.lines());
    let lengths = lines
        .filter(|(_, line)| !may_be_long(line))
        .map(|(number, line)| (number, line.chars().count()));
    let long = lengths.filter(|(_, length)| *length > LINE_CHARACTERS_MAX);
    long.map(|(line, length)| format!("{line}: {length} characters are more than {LINE_CHARACTERS_MAX}"))
        .collect()
}

/// Where the links of a page lead, with their lines.
fn links(document: &Document) -> impl Iterator<Item = (usize, String)> {
    document.prose().flat_map(|(number, line)| {
        let without_code: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        let ends = without_code
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split_once(')'));
        // A link may have a title behind its target.
        let targets = ends.map(|(target, _)| target.split_once(" \"").map_or(target, |(target, _)| target));
        let targets: Vec<_> = targets.map(|target| (number, target.to_owned())).collect();
        targets
    })
}

/// A path from the root, for one that is written in the file at `from`; `None` if it leaves the package.
fn resolved(from: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    if !target.is_empty() {
        parts.pop();
    }
    for part in target.split('/').filter(|part| !part.is_empty() && *part != ".") {
        match part {
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Links within the package that lead nowhere. `exists` says whether a path is there.
fn broken_links(document: &Document, all: &[Document], exists: impl Fn(&str) -> bool) -> Vec<String> {
    let leads = |target: &str| {
        let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
        let Some(path) = resolved(&document.path, path) else {
            return false;
        };
        let page = all.iter().find(|page| page.path == path);
        let has_anchor = |page: &Document| page.anchors().iter().any(|known| known == anchor);
        exists(&path) && (anchor.is_empty() || page.is_some_and(has_anchor))
    };
    let outside = |target: &str| target.contains("://") || target.starts_with("mailto:");
    let broken = links(document).filter(|(_, target)| !outside(target) && !leads(target));
    broken
        .map(|(line, target)| format!("{line}: `{target}` leads nowhere"))
        .collect()
}

/// The sections that alerts send their readers to, as in `See "Damage"`, and that the page does not have.
fn missing_sections(alerts: &str, page: &Document) -> Vec<String> {
    let words: Vec<&str> = alerts.split_whitespace().collect();
    let flat = words.join(" ");
    let sections = flat
        .split("See \"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next());
    let is_missing = |section: &&str| !page.anchors().contains(&anchor_of(section));
    sections.filter(is_missing).map(str::to_owned).collect()
}

fn collect(folder: &Path, root: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("a folder of the package can be read").path();
        // Pages of others.
        if path.ends_with("node_modules") {
            continue;
        }
        if path.is_dir() {
            collect(&path, root, found);
        } else if path.extension().is_some_and(|end| end == "md") {
            found.push(path.strip_prefix(root).expect("it is below").to_owned());
        }
    }
}

/// All pages of the package.
pub(super) fn documents() -> Vec<Document> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = vec![PathBuf::from("README.md")];
    for folder in FOLDERS {
        collect(&root.join(folder), root, &mut paths);
    }
    paths.sort();
    let read = |path: &PathBuf| {
        let text = fs::read_to_string(root.join(path)).expect("a page is text");
        Document::new(&path.to_string_lossy(), &text)
    };
    paths.iter().map(read).collect()
}

#[test]
fn documents_are_short_and_their_links_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let all = documents();
    assert!(all.len() > 5, "the pages were found");
    let mut faults = Vec::new();
    for document in &all {
        let broken = broken_links(document, &all, |path| root.join(path).exists());
        let of_page = first_page_size(document)
            .into_iter()
            .chain(long_lines(document))
            .chain(broken);
        faults.extend(of_page.map(|fault| format!("{}:{fault}", document.path)));
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn alerts_send_their_readers_to_sections_that_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let alerts = fs::read_to_string(root.join("src/package/alerts.yaml")).expect("the alerts are there");
    assert!(alerts.matches("See").count() > 5, "alerts name sections");
    let all = documents();
    let page = all.iter().find(|page| page.path == "src/OPERATING.md");
    let missing = missing_sections(&alerts, page.expect("the page is there"));
    assert!(missing.is_empty(), "no section is called {missing:?}");
}

#[cfg(test)]
mod bites {
    use super::*;

    #[test]
    fn a_first_page_that_is_too_long_is_found() {
        let page = |path: &str, bytes: usize| first_page_size(&Document::new(path, &"a".repeat(bytes)));
        assert_eq!(page("README.md", FIRST_PAGE_BYTES_MAX), None);
        assert!(page("README.md", FIRST_PAGE_BYTES_MAX + 1).is_some());
        assert_eq!(page("src/README.md", FIRST_PAGE_BYTES_MAX + 1), None);
    }

    #[test]
    fn a_long_line_is_found_by_its_characters() {
        let line = |length: usize| long_lines(&Document::new("a.md", &format!("\n{}", "µ".repeat(length))));
        assert_eq!(line(LINE_CHARACTERS_MAX), [""; 0]);
        assert_eq!(
            line(LINE_CHARACTERS_MAX + 1),
            ["2: 141 characters are more than 140"]
        );
    }

    #[test]
    fn links_are_followed_to_files_and_headings() {
        let other = Document::new(
            "src/b.md",
            "# A `code` heading, twice\n## Same\n```sh\n# none\n```\n## Same\n",
        );
        let check = |text: &str, broken: usize| {
            let all = [
                Document::new("src/a.md", text),
                Document::new("src/b.md", &other.text),
            ];
            let faults = broken_links(&all[0], &all, |path| {
                ["src/a.md", "src/b.md", "proto"].contains(&path)
            });
            assert_eq!(faults.len(), broken, "{text}: {faults:?}");
        };
        check("[b](b.md) and [b](./b.md#same), [again](b.md#same-1)", 0);
        check(
            "[heading](b.md#a-code-heading-twice) [up](../proto) [far](https://example.com/x)",
            0,
        );
        check("# Here\n[own](#here)", 0);
        check("[titled](b.md \"/a/title\") [none](c.md \"a title\")", 1);
        check("[c](c.md) [none](b.md#none) [out](../../b.md)", 3);
        check("[own](#there) [too many](b.md#same-2)", 2);
        check("`[not](a-link)`\n```text\n[nor](this)\n```\n[but](this)", 1);
    }

    #[test]
    fn a_section_that_is_not_there_is_found() {
        let page = Document::new("a.md", "# A\n## Start, stop\n");
        let check = |alerts: &str, expected: &[&str]| assert_eq!(missing_sections(alerts, &page), expected);
        check("x. See \"Start,\n  stop\". See \"A\".", &[]);
        check("See \"Stop\".", &["Stop"]);
    }
}
