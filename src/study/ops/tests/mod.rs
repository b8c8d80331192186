//! Tests of several operations together.

mod end_to_end;
mod forms;
mod new_operation;
mod quickstart_model;
