//! Name resolution across files: which files a study consists of and what each declares.
//!
//! [`load`] reads the root file and the modules that it uses into a [`Study`]. Must not know: types, values.

mod errors;
pub mod modules;
mod study;
pub mod world;

pub use modules::load;
pub use study::{
    AxisId, DatasetId, Declaration, DefId, ItemIndex, LetId, Module, ModuleId, ParamId, StageId, Study,
};
pub use world::{Disk, World};
