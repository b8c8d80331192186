//! What changes a study from outside, as data: `--set`, `--profile`, `--only`.

use std::path::PathBuf;

use indexmap::IndexMap;

use crate::resolve::{AxisId, ParamId};
use crate::syntax::ast::{Expr, Ident};
use xpipe_base::diag::Span;

/// What the command line changes in a study.
#[derive(Debug, Default)]
pub struct Overrides {
    /// `--set name=value`, parsed.
    pub set: Vec<(Ident, Expr)>,
    /// `--profile name`.
    pub profile: Option<String>,
    /// `--only axis=label,label`.
    pub only: Vec<(String, Vec<String>)>,
    /// `--max-cells`. Default: [`super::MOST_CELLS`].
    pub max_cells: Option<u64>,
    /// The folder that relative paths in `--set` start from.
    pub folder: PathBuf,
}

/// What overrides the value of a param.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SetBy {
    Profile,
    CommandLine,
}

/// A value that a param is given from outside.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting<'a> {
    pub expr: &'a Expr,
    pub by: SetBy,
    /// The name as it is written there.
    pub at: Span,
}

/// The labels of an axis that are kept.
#[derive(Clone, Copy, Debug)]
pub(super) enum Only<'a> {
    /// By a profile: a list of labels, and where its axis is written.
    Profile(&'a Expr, Span),
    /// By `--only`, with the declaration of the axis.
    CommandLine(&'a [String], Span),
}

impl Only<'_> {
    /// The place that diagnostics point at.
    pub(super) fn at(&self) -> Span {
        match self {
            Self::Profile(_, at) | Self::CommandLine(_, at) => *at,
        }
    }
}

/// The overrides of one expansion: those of the command line, and what they mean for the study.
pub(super) struct AppliedOverrides<'a> {
    pub given: &'a Overrides,
    pub settings: IndexMap<ParamId, Setting<'a>>,
    pub only: IndexMap<AxisId, Only<'a>>,
}

impl<'a> AppliedOverrides<'a> {
    pub(super) fn new(given: &'a Overrides) -> Self {
        Self { given, settings: IndexMap::new(), only: IndexMap::new() }
    }
}
