//! Names: which files a study is made of, what each declares, and what a path means.

pub mod modules;
pub mod world;

pub use modules::{AxisId, DatasetId, DefId, LetId, ModuleId, Named, ParamId, StageId, Study, load};
pub use world::{Disk, World};
