//! Names: which files a study is made of, what each declares, and what a path means.

pub mod modules;
pub mod world;

pub use modules::{load, AxisId, DatasetId, DefId, LetId, ModuleId, Named, ParamId, StageId, Study};
pub use world::{Disk, World};
