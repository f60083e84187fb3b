//! The live view: draws figures on the screen, and ends by `q`, Escape, Ctrl-C or a signal. Reads the metrics between two
//! drawings.

use std::process::ExitCode;
use std::time::Duration;

use ratatui::Frame;
use ratatui::crossterm::event::{Event, KeyCode, KeyModifiers};
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Row, Table, Wrap};

use super::super::outcome::ended_by;
use super::super::termination::Termination;
use super::reading::{Reading, TopSource};
use super::screen::{self, Screen};
use super::shown::{ShownFigures, width};

/// How long a key or a signal may wait to be noticed.
const KEY_POLL: Duration = Duration::from_millis(50);

/// What a key asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Quit,
    Up,
    Down,
}

/// What is shown besides the figures.
#[derive(Debug, Default)]
struct State {
    /// The first row that is shown below that of all.
    first: usize,
    /// Why there are no newer figures.
    trouble: Option<String>,
}

impl State {
    fn take(&mut self, wish: Wish, rows: usize) {
        match wish {
            Wish::Up => self.first = self.first.saturating_sub(1),
            Wish::Down => self.first = (self.first + 1).min(rows.saturating_sub(1)),
            Wish::Quit => {}
        }
    }
}

/// Draws until the person has seen enough, or a signal ends it. A gateway that is gone is waited for.
pub(super) async fn live(
    source: &mut TopSource<'_>,
    first: Reading,
    interval: Duration,
) -> anyhow::Result<ExitCode> {
    let mut ending = Termination::listen(screen::cook)?;
    let mut screen = Screen::take()?;
    let (mut before, mut now, mut state) = (first.clone(), first, State::default());
    loop {
        let figures = now.since(&before);
        if let Some(outcome) = show(&mut screen, &ending, &figures, &mut state, interval)? {
            return Ok(outcome);
        }
        let reading = tokio::select! {
            reading = source.read() => reading,
            signal = ending.asked() => return Ok(ended_by(signal)),
        };
        match reading {
            Ok(reading) => {
                before = std::mem::replace(&mut now, reading);
                state.trouble = None;
            }
            Err(error) => state.trouble = Some(format!("{error:#}")),
        }
    }
}

/// Shows these figures for so long. Gives how it is to end, if it is.
fn show(
    screen: &mut Screen,
    ending: &Termination,
    figures: &ShownFigures,
    state: &mut State,
    interval: Duration,
) -> anyhow::Result<Option<ExitCode>> {
    screen.terminal.draw(|frame| draw(frame, figures, state))?;
    let mut waited = Duration::ZERO;
    while waited < interval {
        // Nothing else runs on this thread meanwhile.
        match screen
            .event(KEY_POLL.min(interval))?
            .and_then(|event| wished(&event))
        {
            Some(Wish::Quit) => return Ok(Some(ExitCode::SUCCESS)),
            Some(wish) => {
                state.take(wish, figures.rows.len());
                screen.terminal.draw(|frame| draw(frame, figures, state))?;
            }
            None => waited += KEY_POLL,
        }
        if let Some(signal) = ending.came() {
            return Ok(Some(ended_by(signal)));
        }
    }
    Ok(None)
}

fn wished(event: &Event) -> Option<Wish> {
    let key = event.as_key_event()?;
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    wish(key.code, control)
}

fn wish(code: KeyCode, control: bool) -> Option<Wish> {
    if code == KeyCode::Char('q') || code == KeyCode::Esc || (control && code == KeyCode::Char('c')) {
        Some(Wish::Quit)
    } else if code == KeyCode::Up {
        Some(Wish::Up)
    } else if code == KeyCode::Down {
        Some(Wish::Down)
    } else {
        None
    }
}

fn draw(frame: &mut Frame<'_>, figures: &ShownFigures, state: &State) {
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let mut lines = vec![Line::styled(title(state), bold)];
    lines.extend(
        figures.lines.iter().map(|(title, text)| {
            Line::from(vec![Span::styled(format!("{title:<12} "), bold), Span::raw(text)])
        }),
    );
    // Words are not split: a line may take one row more than its length says.
    let columns = usize::from(frame.area().width).saturating_sub(8).max(1);
    let height: usize = lines
        .iter()
        .map(|line| line.width().div_ceil(columns).max(1))
        .sum();
    let height = u16::try_from(height).unwrap_or(u16::MAX);
    let figures_text = Paragraph::new(lines).wrap(Wrap { trim: false });
    let [above, below] =
        Layout::vertical([Constraint::Length(height), Constraint::Min(3)]).areas(frame.area());
    frame.render_widget(figures_text, above);
    let (all, each) = figures.rows.split_at(1);
    let shown = all.iter().chain(each.iter().skip(state.first));
    let columns = figures.columns.iter().copied();
    let table = Table::new(
        shown.map(|row| Row::new(row.clone())),
        columns
            .clone()
            .map(|column| Constraint::Length(u16::try_from(width(column)).unwrap_or(u16::MAX))),
    );
    frame.render_widget(table.header(Row::new(columns).style(bold)), below);
}

fn title(state: &State) -> String {
    match &state.trouble {
        None => "holdfast top: q ends, up and down move the rows".to_owned(),
        Some(trouble) => format!("holdfast top: NO NEW FIGURES: {trouble}"),
    }
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::cli::top::figures::Figures;
    use crate::cli::top::tests::reading;

    fn drawn(state: &State) -> String {
        let (before, now) = (reading(0, 100, [0; 3]), reading(1_000, 150, [2, 4, 4]));
        let figures = Figures::between(&before, &now).shown();
        let mut terminal = Terminal::new(TestBackend::new(130, 30)).unwrap();
        terminal.draw(|frame| draw(frame, &figures, state)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn everything_is_on_the_screen() {
        let screen = drawn(&State::default());
        for part in [
            "q ends",
            "connections  12 (logged in: mobile 7",
            "sessions     50.0 heartbeats/s",
            "turn p50",
            "all",
        ] {
            assert!(screen.contains(part), "{part} is missing in\n{screen}");
        }
        let row = |line: &&str| {
            ["\"all ", "\"0 ", "\"1 "]
                .iter()
                .any(|head| line.starts_with(head))
        };
        let rows = |screen: &str| screen.lines().filter(row).count();
        assert_eq!(rows(&screen), 3, "{screen}");
        let scrolled = drawn(&State {
            first: 1,
            trouble: None,
        });
        assert_eq!(rows(&scrolled), 2, "{scrolled}");
    }

    #[test]
    fn a_gateway_that_is_gone_is_told() {
        let trouble = Some("is the gateway running?".to_owned());
        assert!(drawn(&State { first: 0, trouble }).contains("NO NEW FIGURES: is the gateway"));
    }

    #[test]
    fn keys_end_and_move() {
        assert_eq!(wish(KeyCode::Char('q'), false), Some(Wish::Quit));
        assert_eq!(wish(KeyCode::Char('c'), true), Some(Wish::Quit));
        assert_eq!(wish(KeyCode::Char('c'), false), None);
        let mut state = State::default();
        (0..9).for_each(|_| state.take(Wish::Down, 3));
        assert_eq!(state.first, 2);
        (0..9).for_each(|_| state.take(Wish::Up, 3));
        assert_eq!(state.first, 0);
    }
}
