//! Signatures: what an operation or constructor takes, what it gives, and how it runs.
//!
//! One file an operation in `ops/` builds one of these and the registry lists it; the checker, the planner, the
//! engine and `describe` read it. An argument that is not in the signature does not exist.

use indexmap::IndexMap;

use super::Type;
use xpipe_base::task::{AskedFn, Demands, MemoryFn, ReadyFn, RunFn, WorkFn};
use xpipe_base::value::{Name, Record, Value};

/// What a signature is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Makes an artifact: a stage, or an anonymous stage inside an argument.
    Stage,
    /// Makes a value: `objective.bce()`, `pairs(32)`, `ndcg(10)`.
    Constructor,
}

/// One argument.
#[derive(Clone, Debug)]
pub struct Param {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub ty: Type,
    /// What it means, with unit and range.
    pub doc: &'static str,
    /// The value when it is not given. `None`: it must be given, unless it is derived.
    pub default: Option<Value>,
    /// The sibling argument it is taken from when it is not given: the corpus of a re-ranking is the corpus of its
    /// run. Looked up through artifacts, calls and records by this argument's own name; then `default` applies.
    /// `a | b` is the first of several siblings that is given; `a.b` is looked up in the argument `b` of what `a` is.
    pub derived_from: Option<&'static str>,
    /// Left out of recipes while it has its default, so that an argument that is added to an operation changes no key
    /// of a study that does not give it.
    pub added: bool,
}

/// A domain check over the arguments of one cell, after defaults. An issue whose code is
/// [`xpipe_base::diag::Code::NotImplemented`] is no mistake: `run` names it before it starts anything.
pub type CheckFn = fn(&Record, &dyn Facts) -> Vec<Issue>;

/// The names of the numbers that an operation publishes, told from its arguments.
pub type PublishesFn = fn(&Record) -> Vec<String>;

/// Something a domain check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// The code.
    pub code: xpipe_base::diag::Code,
    /// The argument to point at.
    pub argument: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to type.
    pub help: Option<String>,
}

/// What a domain check may ask about arguments that are other actions' results.
pub trait Facts {
    /// The argument `name` of the action, call or record in `value`, found as [`Param::derived_from`] does.
    fn find(&self, value: &Value, name: &str) -> Option<Value>;
    /// The operation that makes this value, when an action does.
    fn op(&self, value: &Value) -> Option<&'static str>;
    /// The type of what makes this value gives, when an action does.
    fn gives(&self, value: &Value) -> Option<Type> {
        let _ = value;
        None
    }
    /// The architecture of the checkpoint in `value`, or of the one that a model was trained from.
    fn architecture(&self, value: &Value) -> Option<String> {
        let _ = value;
        None
    }
}

/// An operation or constructor.
#[derive(Clone, Debug)]
pub struct Op {
    /// Full name: `train.cross_encoder`.
    pub name: &'static str,
    /// Raised by hand when the output for the same arguments changes. Part of the key.
    pub version: u32,
    /// One or more sentences for people.
    pub doc: &'static str,
    /// Stage or constructor.
    pub kind: Kind,
    /// Arguments in positional order.
    pub params: Vec<Param>,
    /// What it gives.
    pub returns: Type,
    /// Whether it draws at random: then `seed` must be given.
    pub random: bool,
    /// Whether it runs in a worker process of its own.
    pub heavy: bool,
    /// The implementation; `None` when this build or version has none.
    pub run: Option<RunFn>,
    /// Domain checks.
    pub check: Option<CheckFn>,
    /// The numbers it publishes: the members of its result.
    pub publishes: Option<PublishesFn>,
    /// What it reads of `with { … }`, beside what the engine does: `batch`, `micro_batch`, `checkpoint`.
    pub wishes: &'static [&'static str],
    /// How it tells the memory and the work that it will need.
    pub demands: Option<Demands>,
    /// Whether it can start on this machine, asked before a run starts anything.
    pub ready: Option<ReadyFn>,
    /// A call for its page, where the arguments that must be given make none that `check` accepts.
    pub example: Option<&'static str>,
}

impl Op {
    fn new(kind: Kind, name: &'static str, version: u32, returns: &str, doc: &'static str) -> Self {
        let returns =
            Type::parse(returns).unwrap_or_else(|| panic!("BUG: {name} returns unknown type {returns}"));
        Self {
            name,
            version,
            doc,
            kind,
            params: Vec::new(),
            returns,
            random: false,
            heavy: false,
            run: None,
            check: None,
            example: None,
            publishes: None,
            wishes: &[],
            demands: None,
            ready: None,
        }
    }

    /// An operation that makes an artifact.
    #[must_use]
    pub fn stage(name: &'static str, version: u32, returns: &str, doc: &'static str) -> Self {
        Self::new(Kind::Stage, name, version, returns, doc)
    }

    /// A constructor of a value. Its version is that of the operations that read it.
    #[must_use]
    pub fn constructor(name: &'static str, returns: &str, doc: &'static str) -> Self {
        Self::new(Kind::Constructor, name, 0, returns, doc)
    }

    fn push(mut self, name: &'static str, ty: &str, default: Option<Value>, doc: &'static str) -> Self {
        let ty =
            Type::parse(ty).unwrap_or_else(|| panic!("BUG: {}: {name} has unknown type {ty}", self.name));
        self.params.push(Param { name, ty, doc, default, derived_from: None, added: false });
        self
    }

    /// An argument that must be given.
    #[must_use]
    pub fn needs(self, name: &'static str, ty: &str, doc: &'static str) -> Self {
        self.push(name, ty, None, doc)
    }

    /// An argument with a default, which enters the key.
    #[must_use]
    pub fn takes(self, name: &'static str, ty: &str, default: Value, doc: &'static str) -> Self {
        self.push(name, ty, Some(default), doc)
    }

    /// An argument that may be absent ([`Value::Null`]).
    #[must_use]
    pub fn optional(self, name: &'static str, ty: &str, doc: &'static str) -> Self {
        self.push(name, ty, Some(Value::Null), doc)
    }

    /// An argument that the operation did not have from the beginning: it is left out of the recipe, and of
    /// [`xpipe_base::task::Job`], while it has its default.
    #[must_use]
    pub fn added(self, name: &'static str, ty: &str, default: Value, doc: &'static str) -> Self {
        let mut op = self.push(name, ty, Some(default), doc);
        if let Some(p) = op.params.last_mut() {
            p.added = true;
        }
        op
    }

    /// An argument taken from a sibling when not given, and then from the default, if there is one.
    #[must_use]
    pub fn derived(
        self,
        name: &'static str,
        ty: &str,
        from: &'static str,
        default: Option<Value>,
        doc: &'static str,
    ) -> Self {
        let mut op = self.push(name, ty, default, doc);
        if let Some(p) = op.params.last_mut() {
            p.derived_from = Some(from);
        }
        op
    }

    /// The last argument is taken from a sibling when not given, before its default applies.
    #[must_use]
    pub fn taken_from(mut self, from: &'static str) -> Self {
        if let Some(p) = self.params.last_mut() {
            p.derived_from = Some(from);
        }
        self
    }

    /// Marks it as drawing at random: adds the argument `seed`, which must be given.
    #[must_use]
    pub fn random(mut self) -> Self {
        self.random = true;
        self.needs("seed", "Int", "Seed of every random draw of this operation.")
    }

    /// The call on its page.
    #[must_use]
    pub fn example(mut self, call: &'static str) -> Self {
        self.example = Some(call);
        self
    }

    /// Marks it as running in a worker process.
    #[must_use]
    pub fn heavy(mut self) -> Self {
        self.heavy = true;
        self
    }

    /// Sets the implementation.
    #[must_use]
    pub fn runs(mut self, run: RunFn) -> Self {
        self.run = Some(run);
        self
    }

    /// Sets the domain checks.
    #[must_use]
    pub fn checks(mut self, check: CheckFn) -> Self {
        self.check = Some(check);
        self
    }

    /// Names what it reads of `with { … }`.
    #[must_use]
    pub fn wishes(mut self, fields: &'static [&'static str]) -> Self {
        self.wishes = fields;
        self
    }

    /// Sets how it tells what it will need.
    #[must_use]
    pub fn demands(mut self, memory: MemoryFn, work: WorkFn) -> Self {
        self.demands = Some(Demands { memory, work, asked: None });
        self
    }

    /// Sets how it tells what it will need, and what it will ask a language model.
    #[must_use]
    pub fn asks(mut self, memory: MemoryFn, work: WorkFn, asked: AskedFn) -> Self {
        self.demands = Some(Demands { memory, work, asked: Some(asked) });
        self
    }

    /// Sets how it tells whether it can start on this machine.
    #[must_use]
    pub fn ready(mut self, ready: ReadyFn) -> Self {
        self.ready = Some(ready);
        self
    }

    /// Sets the names of the numbers it publishes.
    #[must_use]
    pub fn publishes(mut self, names: PublishesFn) -> Self {
        self.publishes = Some(names);
        self
    }

    /// The arguments of one call as recipes have them, from values in the order of the signature.
    pub fn record(&self, names: &[Name], values: impl IntoIterator<Item = Value>) -> Record {
        let all = self.params.iter().zip(names).zip(values);
        let kept = all.filter(|((p, _), v)| !(p.added && p.default.as_ref() == Some(v)));
        Record::new(kept.map(|((_, name), v)| (name.clone(), v)))
    }

    /// The argument of a name.
    pub fn param(&self, name: &str) -> Option<&Param> {
        self.params.iter().find(|p| p.name == name)
    }
}

/// All operations and constructors, by name.
#[derive(Debug, Default)]
pub struct Registry {
    ops: IndexMap<&'static str, Op>,
}

impl Registry {
    /// A registry of the operations given.
    ///
    /// # Panics
    /// When two have one name, which is a defect of xpipe.
    pub fn new(ops: impl IntoIterator<Item = Op>) -> Self {
        let mut registry = Self::default();
        for op in ops {
            let name = op.name;
            assert!(registry.ops.insert(name, op).is_none(), "BUG: operation {name} is registered twice");
        }
        registry
    }

    /// The operation of a name.
    pub fn get(&self, name: &str) -> Option<&Op> {
        self.ops.get(name)
    }

    /// All, in registration order.
    pub fn iter(&self) -> impl Iterator<Item = &Op> {
        self.ops.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_added_argument_is_part_of_a_recipe_only_when_it_is_given() {
        let op = Op::stage("t", 1, "Run", "Test.")
            .optional("old", "String", "There from the beginning.")
            .added("new", "String", Value::Null, "Came later.")
            .added("wide", "Int", Value::Int(3), "Came later.");
        let names: Vec<Name> = op.params.iter().map(|p| Name::from(p.name)).collect();
        let record = |values: [Value; 3]| op.record(&names, values);
        let before = Record::of([("old", Value::Null)]);
        assert_eq!(record([Value::Null, Value::Null, Value::Int(3)]), before);
        let given = record([Value::Null, Value::str("x"), Value::Int(4)]);
        assert_eq!(given, before.with("new", Value::str("x")).with("wide", Value::Int(4)));
    }
}
