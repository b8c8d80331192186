//! The operations and constructors of a build.

use indexmap::IndexMap;

use super::{Op, Type};

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

    /// The operations that import the files of data sets, in registration order.
    pub fn imports(&self) -> impl Iterator<Item = &Op> {
        self.iter().filter(|op| op.imports.is_some())
    }

    /// The operation that imports files as this type.
    pub fn importer(&self, ty: &Type) -> Option<&Op> {
        self.imports().find(|op| op.returns == *ty)
    }

    /// All, in registration order.
    pub fn iter(&self) -> impl Iterator<Item = &Op> {
        self.ops.values()
    }
}
