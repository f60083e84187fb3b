//! The manual pages: one for holdfast, one for each of its commands, made from the same table of arguments as `--help`, and
//! one for its configuration file. Writes files only where `--to` says so.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Command;
use clap::builder::{Resettable, StyledStr};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::settings::{self, MANUAL, SOURCE};
use crate::cli::outcome::CommandFault;

/// A name that differs from a page's in more letters is no slip of it.
const SLIPS_MAX: usize = 2;

type Sections = &'static [(&'static str, &'static str)];

/// What holdfast's own page says beyond its arguments. A tab stands between a term and its meaning.
const OF_HOLDFAST: Sections = &[
    (
        "EXIT STATUS",
        "\
0\tSuccess.
1\tAnything else went wrong.
2\tWrong arguments, a wrong configuration, or a script with a line that is no command.
3\tThe gateway refused it.
4\tThere is no gateway at that address.
5\tThe link was lost, or a request had no answer.
6\tA store is damaged, or something of it was lost.
128 + n\tSignal n ended the command.",
    ),
    (
        "ENVIRONMENT",
        "\
HOLDFAST_CONFIG\tThe configuration file, if there is no --config.
HOLDFAST_SECTION_NAME\tOne setting, such as HOLDFAST_SHARDS_COUNT for shards.count. It counts instead of the file's, and --set instead of it.
HOLDFAST_USERSIG\tThe UserSig of holdfast connect, if there is no --usersig.",
    ),
    (
        "SIGNALS",
        "\
SIGHUP\tThe gateway reads its configuration again, and takes all of it or nothing.
SIGTERM, SIGINT\tThe gateway stops cleanly, within node.stop_deadline_s seconds.",
    ),
    (
        "FILES",
        "\
A configuration file may be anywhere: --config names it. holdfast.toml(5) explains every setting. The unit of holdfast print \
unit reads /etc/holdfast/holdfast.toml.

Records are kept in the folder that registry.path names: holdfast-data in the working directory, if it is not set.",
    ),
    ("SEE ALSO", "holdfast.toml(5)"),
];

/// Which pages, and where to.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ManArguments {
    /// The command whose page is printed, as `callbacks list`, or holdfast.toml; holdfast itself if not given.
    #[arg(conflicts_with = "to")]
    command: Vec<String>,
    /// Writes all pages into this folder, as holdfast.1 and holdfast-connect.1, and prints their paths.
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
}

/// Where the manual has a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ManSection {
    Commands,
    Files,
}

impl ManSection {
    fn number(self) -> u8 {
        match self {
            Self::Commands => 1,
            Self::Files => 5,
        }
    }
}

/// One page.
struct ManPage {
    /// As `holdfast-callbacks-list`.
    name: String,
    section: ManSection,
    text: String,
}

/// The page that was asked for, or the paths of all that were written.
pub(super) fn man(arguments: &ManArguments, holdfast: Command) -> anyhow::Result<String> {
    let pages = pages(holdfast);
    match &arguments.to {
        Some(folder) => write_all(&pages, folder),
        None => Ok(find(pages, &arguments.command)?.text),
    }
}

fn find(mut pages: Vec<ManPage>, command: &[String]) -> Result<ManPage, CommandFault> {
    let typed = command.join("-");
    let name = match typed.strip_prefix("holdfast") {
        Some(_) => typed,
        None if typed.is_empty() => "holdfast".to_owned(),
        None => format!("holdfast-{typed}"),
    };
    if let Some(found) = pages.iter().position(|page| page.name == name) {
        return Ok(pages.swap_remove(found));
    }
    Err(CommandFault::Usage(format!(
        "there is no page {name}; {}",
        meant(&name, &pages)
    )))
}

/// What may be meant by a name that no page has.
fn meant(name: &str, pages: &[ManPage]) -> String {
    let slips = |page: &&ManPage| strsim::damerau_levenshtein(&page.name, name);
    let nearest = pages
        .iter()
        .min_by_key(slips)
        .filter(|page| slips(page) <= SLIPS_MAX);
    nearest.map_or("`holdfast --help` lists the commands".to_owned(), |page| {
        format!("did you mean {}?", page.name)
    })
}

fn write_all(pages: &[ManPage], folder: &Path) -> anyhow::Result<String> {
    let told = |path: &Path| format!("{} cannot be written", path.display());
    fs::create_dir_all(folder).with_context(|| told(folder))?;
    let mut paths = String::new();
    for page in pages {
        let path = folder.join(format!("{}.{}", page.name, page.section.number()));
        fs::write(&path, &page.text).with_context(|| told(&path))?;
        paths.push_str(&format!("{}\n", path.display()));
    }
    Ok(paths)
}

/// All pages, holdfast's own first.
fn pages(holdfast: Command) -> Vec<ManPage> {
    let mut holdfast = holdfast.disable_help_subcommand(true);
    holdfast.build();
    let mut pages = Vec::new();
    add_pages(&holdfast, &[], &mut pages);
    pages.push(ManPage {
        name: "holdfast.toml".to_owned(),
        section: ManSection::Files,
        text: in_ascii(&settings::page()),
    });
    pages
}

/// Adds the page of a command that these commands lead to, and those of its own commands.
fn add_pages(command: &Command, above: &[String], pages: &mut Vec<ManPage>) {
    let name = command.get_display_name().unwrap_or(command.get_name());
    pages.push(ManPage {
        name: name.to_owned(),
        section: ManSection::Commands,
        text: in_ascii(&page(name, above, command.clone())),
    });
    let above = [above, &[format!("{name}(1)")]].concat();
    for inner in command.get_subcommands() {
        add_pages(inner, &above, pages);
    }
}

/// A page as every roff reads it, whatever characters it takes its input for.
fn in_ascii(text: &str) -> String {
    let escaped = |character: char| match character.is_ascii() {
        true => character.to_string(),
        false => format!("\\[u{:04X}]", u32::from(character)),
    };
    text.chars().map(escaped).collect()
}

fn page(name: &str, above: &[String], command: Command) -> String {
    let notes = command.get_after_help().map(ToString::to_string);
    let man = Man::new(in_sentences(command))
        .title(name.to_uppercase())
        .source(SOURCE)
        .manual(MANUAL);
    let mut text = Vec::new();
    man.render(&mut text).expect("a vector takes every text");
    let mut more = Roff::new();
    section(&mut more, "NOTES", notes.as_deref().unwrap_or_default());
    if above.is_empty() {
        for (title, text) in OF_HOLDFAST {
            section(&mut more, title, text);
        }
    }
    section(&mut more, "SEE ALSO", &above.join(", "));
    String::from_utf8(text).expect("a page is text") + &more.to_roff()
}

/// The command with its usage in one line, as `--help` has it, and with the full stops that help goes without.
fn in_sentences(mut command: Command) -> Command {
    let usage = command.render_usage().to_string();
    let usage = usage.strip_prefix("Usage: ").unwrap_or(&usage).to_owned();
    let about = command.get_long_about().or(command.get_about()).map(sentence);
    // Headings are in capitals here.
    let heading = match command.get_subcommand_help_heading() {
        Some(_) => "NAMES",
        None => "COMMANDS",
    };
    command
        .override_usage(usage)
        .long_about(Resettable::from(about))
        .subcommand_help_heading(heading)
        // It would be a section of the title EXTRA.
        .after_help(Resettable::Reset)
        .mut_args(|argument| {
            let help = argument.get_help().map(sentence);
            argument.help(Resettable::from(help)).long_help(Resettable::Reset)
        })
}

fn sentence(text: &StyledStr) -> StyledStr {
    format!("{}.", text.to_string().trim_end_matches('.')).into()
}

/// A section of paragraphs, if there are any. A line of a paragraph with a tab in it is a term and what it means.
fn section(page: &mut Roff, title: &str, text: &str) {
    if text.is_empty() {
        return;
    }
    page.control("SH", [title]);
    for line in text.lines() {
        match line.split_once('\t') {
            Some((term, meaning)) => {
                page.control("TP", []).text([bold(term)]).text([roman(meaning)]);
            }
            None if line.is_empty() => {
                page.control("PP", []);
            }
            None => {
                page.text([roman(line)]);
            }
        }
    }
}
