//! The diagnostics of loading.

use std::path::Path;

use super::study::{Module, Study};
use super::world::STD;
use crate::syntax::ast::Ident;
use crate::syntax::source::reading_help;
use xpipe_base::diag::suggest::did_you_mean;
use xpipe_base::diag::{Code, Diagnostic, FileId, Span};

const EDITION_LABEL: &str = "the edition applies to the whole file";

pub(super) fn edition_twice(at: Span) -> Diagnostic {
    Diagnostic::error(Code::Edition, "the edition is stated twice", at, EDITION_LABEL)
        .help("remove one of the two lines")
}

pub(super) fn edition_late(at: Span) -> Diagnostic {
    Diagnostic::error(Code::Edition, "the edition stands after other items", at, EDITION_LABEL)
        .help("move the line to the top of the file")
}

pub(super) fn unknown_edition(at: Span) -> Diagnostic {
    let message = "this edition of the language is not known";
    Diagnostic::error(Code::Edition, message, at, "not an edition of this program")
        .help("write `edition 2026`")
}

pub(super) fn no_edition(file: FileId) -> Diagnostic {
    let at = Span { file, start: 0, end: 0 };
    Diagnostic::error(Code::Edition, "the file does not state its edition", at, "here")
        .help("write `edition 2026` as the first line")
}

pub(super) fn requires(name: &str, operator: &str, version: &str, at: Span) -> Diagnostic {
    let message = format!("this study needs {name} {operator} {version}");
    Diagnostic::error(Code::Requires, message, at, format!("this is xpipe {}", Study::VERSION))
        .help("install a version that fits, or change the line")
}

pub(super) fn declared_twice(ident: &Ident, first: Span) -> Diagnostic {
    let message = format!("`{}` is declared twice", ident.name);
    Diagnostic::error(Code::DeclaredTwice, message, ident.span, "declared again here")
        .related(first, "first declared here")
        .help("rename one of them")
}

pub(super) fn unnamed_file(at: Span) -> Diagnostic {
    Diagnostic::error(Code::Module, "a file that is used needs a name", at, "used without a name")
        .help("write `use \"./file.xpipe\" as name`, or list names in `{ }`")
}

pub(super) fn not_in_module(ident: &Ident, module: &Module) -> Diagnostic {
    let known: Vec<&str> = module.names.keys().map(|n| &**n).collect();
    let help = did_you_mean(&ident.name, known.iter().copied())
        .unwrap_or_else(|| format!("it has {}", known.join(", ")));
    let message = format!("the module `{}` has no `{}`", module.name, ident.name);
    Diagnostic::error(Code::UnknownMember, message, ident.span, "not declared there").help(help)
}

pub(super) fn unknown_module(wanted: &str, at: Span) -> Diagnostic {
    let names: Vec<String> = STD.iter().map(|(n, _)| format!("std.{n}")).collect();
    let help = did_you_mean(wanted, names.iter().map(String::as_str))
        .unwrap_or_else(|| format!("modules are {}", names.join(", ")));
    Diagnostic::error(Code::Module, format!("there is no module `{wanted}`"), at, "not found").help(help)
}

pub(super) fn circle_of_files(path: &str, at: Span) -> Diagnostic {
    let label = format!("{path} is being read already");
    Diagnostic::error(Code::Cycle, "these files use each other in a circle", at, label)
        .help("move what both need into a third file")
}

pub(super) fn files_too_deep(most: usize, at: Span) -> Diagnostic {
    let message = format!("files use each other more than {most} deep");
    Diagnostic::error(Code::SyntaxDeep, message, at, "used here")
        .help("let one file use the others, side by side")
}

pub(super) fn unreadable_file(path: &Path, error: &std::io::Error, at: Span) -> Diagnostic {
    let message = format!("cannot read {}: {error}", path.display());
    Diagnostic::error(Code::Module, message, at, "used here")
        .help(reading_help(error, "paths are relative to the file that writes them"))
}
