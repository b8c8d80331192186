//! The expander: state of one expansion, and the walk over stages, tables and claims.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use indexmap::IndexMap;

use super::axes::AxisState;
pub(super) use super::conform::an;
use super::left::Left;
use super::{Action, Cell, Cut, Graph, Row};
use crate::resolve::{AxisId, DatasetId, LetId, ModuleId, Named, ParamId, StageId, Study, World};
use crate::syntax::ast::{self, Expr, ItemKind};
use crate::types::{Registry, Type};
use xpipe_base::diag::{Code, Diagnostic, Diagnostics, Span};
use xpipe_base::value::canonical::{Hashing, describe};
use xpipe_base::value::{ActionId, Name, Record, Value};

/// What the command line changes in a study.
#[derive(Debug, Default)]
pub struct Overrides {
    /// `--set name=value`, parsed.
    pub set: Vec<(ast::Ident, Expr)>,
    /// `--profile name`.
    pub profile: Option<String>,
    /// `--only axis=label,label`.
    pub only: Vec<(String, Vec<String>)>,
    /// `--max-cells`; without it [`super::MOST_CELLS`].
    pub max_cells: Option<u64>,
    /// The folder that relative paths in `--set` start from.
    pub folder: std::path::PathBuf,
}

/// The most that is told about one place and code.
const MOST_REASONS: usize = 8;

/// Why there is no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Something is wrong and was reported.
    Reported,
    /// There is no such cell.
    Cut(Cut),
}

pub(super) type Eval<T = Value> = Result<T, Stop>;

/// A name of a `def`: an argument, or a stage or let inside it.
#[derive(Clone, Debug)]
pub(super) enum Local<'a> {
    Value(Value),
    /// A stage, with the row and the policy of the stage that calls the def.
    Stage(&'a ast::Stage, Rc<(Rc<str>, Record)>),
    Let(&'a ast::Let),
}

/// Where an expression is evaluated.
#[derive(Clone, Debug)]
pub(super) struct Env<'a> {
    pub module: ModuleId,
    /// Axes bound, with the place of the label.
    pub bound: Vec<(AxisId, usize)>,
    pub locals: Rc<Vec<(Name, Local<'a>)>>,
    /// The row that anonymous stages and stages of defs are listed under.
    pub row: Rc<str>,
    /// The axes of that row that count for its cells.
    pub row_axes: Rc<[AxisId]>,
    /// The policy of the enclosing stage.
    pub policy: Record,
    /// The call of the study itself that led here, inside a def.
    pub called: Option<xpipe_base::diag::Span>,
}

impl Env<'_> {
    pub(super) fn at(&self, axis: AxisId) -> Option<usize> {
        self.bound.iter().rev().find(|(a, _)| *a == axis).map(|(_, i)| *i)
    }

    pub(super) fn bind(&self, axis: AxisId, label: usize) -> Self {
        let mut env = self.clone();
        env.bound.retain(|(a, _)| *a != axis);
        env.bound.push((axis, label));
        env
    }
}

/// An item being evaluated, for cycles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Item {
    Axis(AxisId),
    Let(LetId),
    Param(ParamId),
    Dataset(DatasetId),
    Stage(StageId),
    Def(crate::resolve::DefId),
}

/// Memoised value of one argument at the labels of the axes it depends on.
#[derive(Debug, Default)]
pub(super) struct ArgMemo {
    pub axes: Vec<AxisId>,
    pub known: HashMap<u64, Eval<(Value, u128)>>,
}

/// Names and defaults of an operation's arguments, in the order of the signature.
#[derive(Debug)]
pub(super) struct Signature {
    pub names: Vec<Name>,
    pub defaults: Vec<Option<(Value, u128)>>,
}

/// State of a stage of a module.
#[derive(Debug, Default)]
pub(super) struct StageState {
    pub cells: HashMap<u64, Eval>,
    pub memos: Vec<ArgMemo>,
    /// The `with` block, when no axis changes it.
    pub policy: Option<Eval<Record>>,
    pub ready: bool,
}

type IssueKey = (Code, Span, String, Option<String>);

pub(super) struct Expander<'a> {
    pub study: &'a Study,
    pub registry: &'a Registry,
    pub world: &'a dyn World,
    pub sink: &'a mut Diagnostics,
    pub overrides: &'a Overrides,
    pub axes: Vec<Option<AxisState>>,
    pub params: Vec<Option<Eval>>,
    pub lets: HashMap<(LetId, u64), Eval>,
    pub datasets: Vec<Option<Eval>>,
    pub stages: Vec<StageState>,
    pub actions: Vec<Action>,
    pub interned: HashMap<u128, ActionId>,
    pub rows: IndexMap<String, Row>,
    pub row_cells: HashMap<(usize, u128), ()>,
    pub stack: Vec<(Item, Span)>,
    pub issues: IndexMap<IssueKey, Vec<String>>,
    pub unknown: IndexMap<(ModuleId, Name), ()>,
    /// The argument being evaluated, which anonymous stages are named after.
    pub argument: Option<&'a str>,
    /// The axis that each list of labels was first used with.
    pub lists: HashMap<LetId, AxisId>,
    /// Places of labels that are spelled otherwise than their axis has them.
    pub label_places: HashMap<(AxisId, Name), Option<usize>>,
    /// Axes of the sweeps seen so far.
    pub sweeps: HashMap<*const ast::Sweep, Option<Rc<[AxisId]>>>,
    /// What is the same for every call of an operation.
    pub signatures: HashMap<&'static str, Rc<Signature>>,
    /// Expressions whose type was found wrong from the text alone.
    pub wrong_in_text: BTreeSet<Span>,
    /// Where the anonymous stages of each name are written.
    pub anonymous: HashMap<String, Vec<Span>>,
    pub csv: Vec<super::csv::CsvTable>,
    pub csv_known: HashMap<Span, usize>,
    /// Role and name of the collection whose qrels an action imports.
    pub roles: IndexMap<ActionId, (String, String, Span)>,
    /// What params are given from outside.
    pub settings: IndexMap<ParamId, super::overrides::Setting<'a>>,
    /// What `only` keeps of axes.
    pub only: IndexMap<AxisId, super::overrides::Only<'a>>,
    /// Who reads what, followed when something is set from outside.
    pub reach: super::reach::Reach,
    /// What is of test collections, and what looks at it.
    pub seal: super::sealed::Seal,
    /// What a reader of the results has to know.
    pub notes: Vec<String>,
    /// What is chosen by results, each once.
    pub choices: IndexMap<(String, u128), super::Choice>,
    /// Cells counted so far, and cells that reductions look at.
    pub cells: u64,
    pub reduced: u64,
}

/// The state before anything is evaluated.
pub(super) fn expander<'a>(
    study: &'a Study,
    registry: &'a Registry,
    world: &'a dyn World,
    overrides: &'a Overrides,
    sink: &'a mut Diagnostics,
) -> Expander<'a> {
    Expander {
        study,
        registry,
        world,
        sink,
        overrides,
        axes: (0..study.axes.len()).map(|_| None).collect(),
        params: vec![None; study.params.len()],
        lets: HashMap::new(),
        datasets: vec![None; study.datasets.len()],
        stages: (0..study.stages.len()).map(|_| StageState::default()).collect(),
        actions: Vec::new(),
        interned: HashMap::new(),
        rows: IndexMap::new(),
        row_cells: HashMap::new(),
        stack: Vec::new(),
        issues: IndexMap::new(),
        unknown: IndexMap::new(),
        argument: None,
        lists: HashMap::new(),
        label_places: HashMap::new(),
        sweeps: HashMap::new(),
        signatures: HashMap::new(),
        wrong_in_text: BTreeSet::new(),
        anonymous: HashMap::new(),
        csv: Vec::new(),
        csv_known: HashMap::new(),
        roles: IndexMap::new(),
        settings: IndexMap::new(),
        only: IndexMap::new(),
        reach: super::reach::Reach::default(),
        seal: super::sealed::Seal::default(),
        notes: Vec::new(),
        choices: IndexMap::new(),
        cells: 0,
        reduced: 0,
    }
}

/// Expands a study. Problems go to the sink; what is sound is in the graph.
pub fn expand(
    study: &Study,
    registry: &Registry,
    world: &dyn World,
    overrides: &Overrides,
    sink: &mut Diagnostics,
) -> Graph {
    super::bounds::on_a_large_stack(|| expand_here(study, registry, world, overrides, sink))
}

fn expand_here(
    study: &Study,
    registry: &Registry,
    world: &dyn World,
    overrides: &Overrides,
    sink: &mut Diagnostics,
) -> Graph {
    let mut e = expander(study, registry, world, overrides, sink);
    let advisory = e.apply_overrides();
    e.static_names();
    e.all_axes();
    let mut graph = Graph { advisory_claims: advisory, ..Graph::default() };
    e.root(&mut graph);
    e.sealed_tests();
    e.flush_issues();
    e.other_profiles();
    e.unread_overrides();
    graph.rows = std::mem::take(&mut e.rows).into_values().filter(|r| !r.cells.is_empty()).collect();
    graph.actions = std::mem::take(&mut e.actions);
    graph.notes = std::mem::take(&mut e.notes);
    graph.choices = std::mem::take(&mut e.choices).into_values().collect();
    graph
}

impl<'a> Expander<'a> {
    pub(super) fn error(&mut self, d: Diagnostic) -> Stop {
        if !self.study.is_unread(d.primary.span) {
            self.sink.push(d);
        }
        Stop::Reported
    }

    pub(super) fn type_of(&self, value: &Value) -> Type {
        let op_type = |v: &Value| self.made_type(v);
        super::conform::type_of(value, &op_type)
    }

    /// The type of a call, artifact or input.
    pub(super) fn made_type(&self, value: &Value) -> Type {
        match value {
            Value::Artifact(id) => {
                let action = &self.actions[id.0 as usize];
                super::datasets::result_type(self.registry, action)
            }
            Value::Call(c) => match &*c.name {
                "label" | "csv" => Type::Any,
                name => self.registry.get(name).map_or(Type::Any, |op| op.returns.clone()),
            },
            Value::Input(i) => match &**i {
                xpipe_base::value::Input::Model { .. } => Type::Backbone,
                xpipe_base::value::Input::File(_) | xpipe_base::value::Input::Remote { .. } => Type::Path,
            },
            _ => Type::Any,
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "callers hand over what they have just evaluated")]
    pub(super) fn conform(&mut self, value: Value, wanted: &Type, span: Span, what: &str) -> Eval {
        let result = {
            let op_type = |v: &Value| self.made_type(v);
            super::conform::conform(value.clone(), wanted, &op_type)
        };
        result.map_err(|found| {
            if self.is_wrong_in_text(span) {
                return Stop::Reported;
            }
            let shown = super::conform::show(&value);
            let label = if shown.len() <= 40 && !matches!(value, Value::Artifact(_) | Value::Pending(_)) {
                format!("`{shown}` is {}", an(&found))
            } else {
                format!("this is {}", an(&found))
            };
            let code = match (&found, wanted) {
                (Type::Percent | Type::Duration | Type::Bytes | Type::Budget, _) => Code::Unit,
                (Type::Int | Type::Float, Type::Bytes | Type::Duration | Type::Percent | Type::Budget) => {
                    Code::Unit
                }
                _ => Code::Mismatch,
            };
            let help = super::domain::conversion_help(&value, &found, wanted);
            self.error(
                Diagnostic::error(code, format!("{what} must be {}", an(wanted)), span, label)
                    .maybe_help(help),
            )
        })
    }

    /// A short digest of a value for merging equal recipes.
    pub(super) fn fingerprint(value: &Value) -> u128 {
        let mut hashing = Hashing::new("xpipe symbolic value v1");
        describe(value, &mut hashing);
        let d = hashing.finish();
        u128::from_le_bytes(d.0[..16].try_into().unwrap_or_default())
    }

    /// Enters an action unless an equal one is there.
    pub(super) fn intern(&mut self, key: u128, make: impl FnOnce(&Self) -> Action) -> (ActionId, bool) {
        if let Some(id) = self.interned.get(&key) {
            return (*id, false);
        }
        let action = make(self);
        let id = ActionId(self.actions.len() as u32);
        self.actions.push(action);
        self.interned.insert(key, id);
        (id, true)
    }

    /// Lists an action as a cell of a row; the same cell twice is one.
    pub(super) fn list(&mut self, name: &str, axes: &[AxisId], env: &Env<'_>, action: ActionId, named: bool) {
        let labels: Vec<Name> =
            axes.iter().filter_map(|a| env.at(*a).and_then(|i| self.axis_label(*a, i))).collect();
        let index = match self.rows.get_index_of(name) {
            Some(i) => i,
            None => {
                let axes = axes.iter().map(|a| self.study.axis(*a).0.name.clone()).collect();
                let row = Row { name: name.to_owned(), axes, cells: Vec::new(), named, docs: Vec::new() };
                self.rows.insert_full(name.to_owned(), row).0
            }
        };
        if !named {
            let text = labels.join("\u{1f}");
            let print = u128::from_le_bytes(
                xpipe_base::value::Digest::of(format!("{text}\u{1e}{}", action.0).as_bytes()).0[..16]
                    .try_into()
                    .unwrap_or_default(),
            );
            if self.row_cells.insert((index, print), ()).is_some() {
                return;
            }
        }
        self.rows[index].cells.push(Cell { labels, action });
    }

    /// Runs `f` with an item on the stack; a second entry is a cycle.
    pub(super) fn enter<T>(
        &mut self,
        item: Item,
        span: Span,
        f: impl FnOnce(&mut Self) -> Eval<T>,
    ) -> Eval<T> {
        if let Some(first) = self.stack.iter().position(|(i, _)| *i == item) {
            let names: Vec<String> = self.stack[first..].iter().map(|(i, _)| self.item_name(*i)).collect();
            let path = format!("{} -> {}", names.join(" -> "), names.first().cloned().unwrap_or_default());
            let mut d = Diagnostic::error(
                Code::Cycle,
                format!("these need each other: {path}"),
                span,
                format!("needs `{}`", self.item_name(item)),
            )
            .help("break the circle: one of them must not use the next");
            for (i, at) in &self.stack[first + 1..] {
                d = d.related(*at, format!("needs `{}`", self.item_name(*i)));
            }
            return Err(self.error(d));
        }
        if let Some(stop) = self.chain_too_long(item, span) {
            return Err(stop);
        }
        self.stack.push((item, span));
        let argument = self.argument.take();
        let result = f(self);
        self.argument = argument;
        self.stack.pop();
        result
    }

    /// Runs `f` inside an argument, or a let of a def, of this name.
    pub(super) fn within<T>(&mut self, name: &'a str, f: impl FnOnce(&mut Self) -> T) -> T {
        let outer = self.argument.replace(name);
        let result = f(self);
        self.argument = outer;
        result
    }

    pub(super) fn item_name(&self, item: Item) -> String {
        match item {
            Item::Axis(id) => self.study.axis(id).0.name.to_string(),
            Item::Let(id) => self.study.let_(id).name.name.to_string(),
            Item::Param(id) => match &self.study.item(self.study.params[id.0]).kind {
                ItemKind::Param { name, .. } => name.name.to_string(),
                _ => String::new(),
            },
            Item::Dataset(id) => self.dataset_name(id),
            Item::Stage(id) => self.study.stage_name(id),
            Item::Def(id) => self.study.def(id).name.name.to_string(),
        }
    }

    /// Notes a domain issue of one cell; one diagnostic a cause lists the labels.
    pub(super) fn issue(
        &mut self,
        code: Code,
        span: Span,
        message: String,
        help: Option<String>,
        cell: String,
    ) {
        self.issues.entry((code, span, message, help)).or_default().push(cell);
    }

    fn flush_issues(&mut self) {
        // An argument that varies over an axis may be wrong for a reason of its own in each of its cells. A long axis
        // of them is told by its first.
        let mut reasons: BTreeMap<(Code, Span), usize> = BTreeMap::new();
        for ((code, span, message, help), mut cells) in std::mem::take(&mut self.issues) {
            let told = reasons.entry((code, span)).or_default();
            *told += 1;
            if *told > MOST_REASONS || self.study.is_unread(span) || self.study.is_in_broken_item(span) {
                continue;
            }
            cells.dedup();
            let shown: Vec<&str> = cells.iter().take(4).map(String::as_str).collect();
            let more = cells.len().saturating_sub(shown.len());
            let label = if more > 0 {
                format!("in {} and {more} more", shown.join(", "))
            } else {
                format!("in {}", shown.join(", "))
            };
            self.sink.push_beside(Diagnostic::error(code, message, span, label).maybe_help(help));
        }
    }

    fn root(&mut self, graph: &mut Graph) {
        let study = self.study;
        let Some(root) = study.modules.first() else { return };
        for item in &root.ast.items {
            let asked = matches!(
                item.kind,
                ItemKind::Study { .. }
                    | ItemKind::Stage(_)
                    | ItemKind::Table { .. }
                    | ItemKind::Claim { .. }
                    | ItemKind::Report { .. }
            );
            self.reach.asked = asked;
            match &item.kind {
                ItemKind::Study { fields, .. } => graph.study = self.study_fields(fields),
                ItemKind::Stage(_) | ItemKind::Let(_) | ItemKind::Dataset { .. } | ItemKind::Param { .. } => {
                    let name = match &item.kind {
                        ItemKind::Stage(s) => &s.name,
                        ItemKind::Let(l) => &l.name,
                        ItemKind::Dataset { name, .. } | ItemKind::Param { name, .. } => name,
                        _ => continue,
                    };
                    // A second declaration of a name was reported; the first counts.
                    match root.names.get(&name.name) {
                        Some((named, span)) if *span == name.span => self.root_item(*named, name.span, item),
                        _ => {}
                    }
                }
                ItemKind::Table { .. } | ItemKind::Claim { .. } => {
                    self.output(item, graph);
                }
                ItemKind::Report { name, fields, .. } => {
                    self.report(name, fields, item.span, graph);
                }
                ItemKind::Edition { .. }
                | ItemKind::Requires { .. }
                | ItemKind::Use(_)
                | ItemKind::Axis { .. }
                | ItemKind::Def(_)
                | ItemKind::Profile { .. } => {}
            }
        }
    }

    fn root_item(&mut self, named: Named, span: Span, item: &'a ast::Item) {
        match named {
            Named::Stage(id) => {
                self.reads(Item::Stage(id));
                self.all_cells(id, span);
                let name = self.study.stage_name(id);
                if let Some(row) = self.rows.get_mut(&name) {
                    row.docs.clone_from(&item.docs);
                }
            }
            Named::Dataset(id) => {
                let _ = self.dataset(id, span);
            }
            Named::Param(id) => {
                let _ = self.param(id, span);
            }
            Named::Let(id) => self.check_let(id, span),
            Named::Axis(_) | Named::Def(_) | Named::Module(_) | Named::Output(..) | Named::Broken => {}
        }
    }

    /// Evaluates every cell of a stage, in axis order.
    pub(super) fn all_cells(&mut self, id: StageId, span: Span) {
        let module = self.study.stages[id.0].module;
        let stage = self.study.stage(id);
        let Some(axes) = self.sweep_axes(stage.sweep.as_ref(), module) else { return };
        if !self.countable("stage", &stage.name, &axes) {
            return;
        }
        let name = self.study.stage_name(id);
        if !self.rows.contains_key(&name) {
            // The row's place is the stage's, before the rows of what is inside it.
            let labels = axes.iter().map(|a| self.study.axis(*a).0.name.clone()).collect();
            let row =
                Row { name: name.clone(), axes: labels, cells: Vec::new(), named: true, docs: Vec::new() };
            self.rows.insert(name.clone(), row);
        }
        let mut listed = Vec::new();
        let mut left = Left::default();
        self.each_point(&axes, &mut |e, point| {
            let env = e.env_at(module, &axes, point);
            let cell = e.stage_cell(id, &env, span);
            left.count(&cell);
            if let Ok(Value::Artifact(action)) = cell {
                let labels =
                    axes.iter().zip(point).filter_map(|(a, i)| e.axis_label(*a, *i)).collect::<Vec<_>>();
                listed.push(Cell { labels, action });
            }
        });
        self.nothing_left(&left, "stage", &stage.name);
        if let Some(row) = self.rows.get_mut(&name) {
            row.cells = listed;
        }
    }

    pub(super) fn env_at(&self, module: ModuleId, axes: &[AxisId], point: &[usize]) -> Env<'a> {
        Env {
            module,
            bound: axes.iter().copied().zip(point.iter().copied()).collect(),
            locals: Rc::new(Vec::new()),
            row: Rc::from(""),
            row_axes: Rc::from(axes),
            policy: Record::default(),
            called: None,
        }
    }

    /// Calls `f` at every point of some axes (labels kept by `only`), the last axis fastest.
    pub(super) fn each_point(&mut self, axes: &[AxisId], f: &mut dyn FnMut(&mut Self, &[usize])) {
        let labels: Vec<Vec<usize>> = axes.iter().map(|a| self.kept_labels(*a)).collect();
        if labels.iter().any(Vec::is_empty) {
            return;
        }
        let mut at = vec![0usize; axes.len()];
        let mut point = vec![0usize; axes.len()];
        loop {
            for (p, (l, i)) in point.iter_mut().zip(labels.iter().zip(&at)) {
                *p = l[*i];
            }
            f(self, &point);
            let mut k = axes.len();
            loop {
                if k == 0 {
                    return;
                }
                k -= 1;
                at[k] += 1;
                if at[k] < labels[k].len() {
                    break;
                }
                at[k] = 0;
            }
        }
    }
}
