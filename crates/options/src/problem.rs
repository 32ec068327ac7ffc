use std::fmt;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::Location;

/// Something wrong with a configuration: what, where, and what to do.
#[derive(Clone, Debug)]
pub struct Problem {
    /// What is wrong, in a sentence without a full stop.
    pub title: String,
    /// Where, when it is about a place in a file.
    pub at: Option<Location>,
    /// What was found or expected at that place.
    pub label: String,
    /// What to do.
    pub help: Option<String>,
    /// A warning does not stop anything from starting.
    pub warning: bool,
}

impl Problem {
    pub fn new(title: impl Into<String>) -> Problem {
        Problem { title: title.into(), at: None, label: String::new(), help: None, warning: false }
    }

    pub fn warning(title: impl Into<String>) -> Problem {
        Problem { warning: true, ..Problem::new(title) }
    }

    /// Points at a place and says there what was expected.
    pub fn at(mut self, at: &Location, label: impl Into<String>) -> Problem {
        self.at = Some(at.clone());
        self.label = label.into();
        self
    }

    pub fn help(mut self, help: impl Into<String>) -> Problem {
        self.help = Some(help.into());
        self
    }
}

/// The problem on one line, for logs: `file:line:column: title: label (help)`.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(at) = &self.at {
            write!(f, "{at}: ")?;
        }
        write!(f, "{}", self.title)?;
        if !self.label.is_empty() {
            write!(f, ": {}", self.label)?;
        }
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Problem {}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    Plain,
    Coloured,
}

/// The problems as a person reads them: the line of the file with the place marked below it.
pub fn render(problems: &[Problem], style: Style) -> String {
    let renderer = match style {
        Style::Plain => Renderer::plain(),
        Style::Coloured => Renderer::styled(),
    };
    let mut out = String::new();
    for problem in problems {
        let level = if problem.warning { Level::WARNING } else { Level::ERROR };
        let title = level.primary_title(problem.title.as_str());
        let mut group = match &problem.at {
            Some(at) => {
                let path = at.source.path().display().to_string();
                let annotation = AnnotationKind::Primary.span(at.span.clone()).label(problem.label.as_str());
                title.element(Snippet::source(at.source.text()).path(path).annotation(annotation))
            }
            None => Group::with_title(title),
        };
        if let Some(help) = &problem.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        out.push_str(&renderer.render(&[group]));
        out.push_str("\n\n");
    }
    out
}
