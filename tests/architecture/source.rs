//! Rust source as the house rules look at it: the code without its comments and texts, and the paths that it
//! names. Reads just enough of the language for that; it never judges.

/// One source file.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// From the package's folder, with `/`.
    pub(crate) path: String,
    /// As it stands in the file.
    pub(crate) text: String,
    /// The text with comments, strings and characters blanked out, line by line as long as before.
    pub(crate) code: String,
}

impl Source {
    /// A file with this text.
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            code: blank(text),
        }
    }

    /// Whether `code` names this word, on a line of its own counting from 1.
    pub(crate) fn lines_with_word(&self, word: &str) -> Vec<usize> {
        let has = |line: &str| words(line).any(|found| found == word);
        let lines = self.code.lines().zip(1..);
        lines
            .filter(|(line, _)| has(line))
            .map(|(_, number)| number)
            .collect()
    }

    /// Every path that the code names, from its crate on, with the line it begins in: imports are taken apart, and
    /// `self` and `super` replaced.
    pub(crate) fn paths(&self) -> Vec<(String, usize)> {
        let module = module_of(&self.path);
        let mut found = Vec::new();
        let tokens = tokens(&self.code);
        let mut place = 0;
        while place < tokens.len() {
            let before = |count| {
                place
                    .checked_sub(count)
                    .map_or("", |before: usize| tokens[before].0.as_str())
            };
            let says_who_sees = before(1) == "in" && before(2) == "(" && before(3) == "pub";
            let starts_path = is_word(&tokens[place].0) && before(1) != "::" && !says_who_sees;
            if starts_path {
                let line = tokens[place].1;
                let mut leaves = Vec::new();
                let end = take_tree(&tokens, place, "", &mut leaves);
                found.extend(leaves.iter().map(|path| (absolute(path, &module), line)));
                place = end.max(place + 1);
            } else {
                place += 1;
            }
        }
        found
    }
}

type Token = (String, usize);

/// Reads `a::b::{c, d::*}` from `place` on into `leaves`; gives the place behind it.
fn take_tree(tokens: &[Token], mut place: usize, prefix: &str, leaves: &mut Vec<String>) -> usize {
    let mut path = prefix.to_owned();
    loop {
        match tokens.get(place).map(|token| token.0.as_str()) {
            Some("{") if path.ends_with("::") => return take_group(tokens, place + 1, &path, leaves),
            Some(word) if is_word(word) || (word == "*" && path.ends_with("::")) => path.push_str(word),
            Some(_) | None => break,
        }
        place += 1;
        if tokens.get(place).is_none_or(|token| token.0 != "::") {
            break;
        }
        path.push_str("::");
        place += 1;
    }
    leaves.push(path);
    place
}

fn take_group(tokens: &[Token], mut place: usize, prefix: &str, leaves: &mut Vec<String>) -> usize {
    while let Some((token, _)) = tokens.get(place) {
        match token.as_str() {
            "}" => return place + 1,
            word if is_word(word) && word != "as" => place = take_tree(tokens, place, prefix, leaves),
            _ => place += 1,
        }
    }
    place
}

fn absolute(path: &str, module: &[String]) -> String {
    let mut module = module.to_vec();
    let mut rest = path;
    let mut relative = false;
    loop {
        if let Some(after) = rest.strip_prefix("super::") {
            module.pop();
            (rest, relative) = (after, true);
        } else if let Some(after) = rest.strip_prefix("self::") {
            (rest, relative) = (after, true);
        } else if let Some(after) = rest.strip_prefix("holdfast::") {
            return format!("crate::{after}");
        } else {
            break;
        }
    }
    if !relative {
        return rest.to_owned();
    }
    let parts = std::iter::once("crate").chain(module.iter().map(String::as_str));
    parts.chain(std::iter::once(rest)).collect::<Vec<_>>().join("::")
}

/// `src/protocol/native/frame.rs` is `protocol::native::frame`.
pub(crate) fn module_of(path: &str) -> Vec<String> {
    let path = path.strip_prefix("src/").unwrap_or(path);
    let path = path.strip_suffix(".rs").unwrap_or(path);
    let parts = path
        .split('/')
        .filter(|part| !["mod", "lib", "main"].contains(part));
    parts.map(str::to_owned).collect()
}

fn is_word(token: &str) -> bool {
    token.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
}

/// The words of a line of code.
pub(crate) fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|character: char| !character.is_ascii_alphanumeric() && character != '_')
        .filter(|word| !word.is_empty())
}

fn tokens(code: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    for (line, number) in code.lines().zip(1..) {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let in_word = |character: char| character.is_ascii_alphanumeric() || character == '_';
            let length = if in_word(first) {
                rest.find(|character| !in_word(character)).unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            tokens.push((rest[..length].to_owned(), number));
            rest = rest[length..].trim_start();
        }
    }
    tokens
}

/// Replaces comments and the insides of texts by blanks; line breaks stay.
fn blank(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = comment(rest).or_else(|| quoted(rest, &out));
        match length {
            Some(length) => {
                let blanked = rest[..length].chars().map(|c| if c == '\n' { '\n' } else { ' ' });
                out.extend(blanked);
                rest = &rest[length..];
            }
            None => {
                out.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    out
}

fn comment(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if !rest.starts_with("/*") {
        return None;
    }
    let mut depth = 0_usize;
    let mut place = 0;
    while place < rest.len() {
        if rest[place..].starts_with("/*") {
            depth += 1;
            place += 2;
        } else if rest[place..].starts_with("*/") {
            depth -= 1;
            place += 2;
            if depth == 0 {
                return Some(place);
            }
        } else {
            place += rest[place..].chars().next().map_or(1, char::len_utf8);
        }
    }
    Some(rest.len())
}

/// The length of a string or a character that `rest` begins with.
fn quoted(rest: &str, before: &str) -> Option<usize> {
    let in_word = before.ends_with(|last: char| last.is_ascii_alphanumeric() || last == '_');
    if let Some(raw) = rest
        .strip_prefix('r')
        .filter(|_| !in_word || before.ends_with('b'))
    {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let body = &raw[hashes + 1..];
            let length = body.find(&end).map_or(body.len(), |at| at + end.len());
            return Some(1 + hashes + 1 + length);
        }
    }
    match rest.chars().next()? {
        '"' => Some(1 + closing(&rest[1..], '"')),
        '\'' => character(rest),
        _ => None,
    }
}

/// `'a'` and `'\n'`, not the lifetime `'a`.
fn character(rest: &str) -> Option<usize> {
    let inside = &rest[1..];
    if inside.starts_with('\\') {
        return Some(1 + closing(inside, '\''));
    }
    let length = inside.chars().next()?.len_utf8();
    inside[length..].starts_with('\'').then_some(1 + length + 1)
}

/// How much there is up to and with the quote that is not escaped.
fn closing(body: &str, quote: char) -> usize {
    let mut escaped = false;
    for (place, found) in body.char_indices() {
        if escaped {
            escaped = false;
        } else if found == '\\' {
            escaped = true;
        } else if found == quote {
            return place + 1;
        }
    }
    body.len()
}
