//! The stable codes of diagnostics. Each has a page beside this file that `xpipe explain CODE` prints; a new one is
//! a page and a line below.

macro_rules! codes {
    ($($variant:ident = $code:literal, $page:literal;)*) => {
        /// A stable diagnostic code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "each code has a page")]
        pub enum Code { $($variant,)* }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];

            /// The code as users see it.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $code,)* }
            }

            /// The page: what it means, a wrong and a right example.
            pub fn page(self) -> &'static str {
                match self { $(Code::$variant => include_str!($page),)* }
            }
        }
    };
}

codes! {
    Edition = "resolve::edition", "resolve__edition.md";
    Requires = "resolve::requires", "resolve__requires.md";
    DeclaredTwice = "resolve::declared_twice", "resolve__declared_twice.md";
    UnknownName = "resolve::unknown_name", "resolve__unknown_name.md";
    Module = "resolve::module", "resolve__module.md";
    Cycle = "resolve::cycle", "resolve__cycle.md";
    UnknownLabel = "resolve::unknown_label", "resolve__unknown_label.md";
    UnknownParam = "resolve::unknown_param", "resolve__unknown_param.md";
    UnusedOverride = "resolve::unused_override", "resolve__unused_override.md";
    ParamMissing = "resolve::param_missing", "resolve__param_missing.md";
    UnknownMember = "resolve::unknown_member", "resolve__unknown_member.md";
    NotAnAxis = "resolve::not_an_axis", "resolve__not_an_axis.md";
    MissingFile = "resolve::missing_file", "resolve__missing_file.md";
    Table = "resolve::table", "resolve__table.md";
    Mismatch = "types::mismatch", "types__mismatch.md";
    Unit = "types::unit", "types__unit.md";
    FreeAxis = "types::free_axis", "types__free_axis.md";
    UnknownType = "types::unknown_type", "types__unknown_type.md";
    DuplicateLabel = "types::duplicate_label", "types__duplicate_label.md";
    EmptyAxis = "types::empty_axis", "types__empty_axis.md";
    MatchMissing = "types::match_missing", "types__match_missing.md";
    MatchTwice = "types::match_twice", "types__match_twice.md";
    PendingShape = "types::pending_shape", "types__pending_shape.md";
    CutCell = "types::cut_cell", "types__cut_cell.md";
    TooManyCells = "types::too_many_cells", "types__too_many_cells.md";
    TooLarge = "types::too_large", "types__too_large.md";
    NoCells = "types::no_cells", "types__no_cells.md";
    MissingArgument = "op::missing_argument", "op__missing_argument.md";
    UnknownArgument = "op::unknown_argument", "op__unknown_argument.md";
    UnknownOp = "op::unknown_operation", "op__unknown_operation.md";
    NotAnOperation = "op::not_an_operation", "op__not_an_operation.md";
    Unseeded = "op::unseeded", "op__unseeded.md";
    RolesOverlap = "op::roles_overlap", "op__roles_overlap.md";
    SealedTest = "op::sealed_test", "op__sealed_test.md";
    InputTooLong = "op::input_too_long", "op__input_too_long.md";
    NotImplemented = "op::not_implemented", "op__not_implemented.md";
    Syntax = "syntax::unexpected", "syntax__unexpected.md";
    OpNeedsTeacher = "op::needs_teacher", "op__needs_teacher.md";
    OpShapeFit = "op::shape_fit", "op__shape_fit.md";
    OpTooManyNegatives = "op::too_many_negatives", "op__too_many_negatives.md";
    OpPercentOfSteps = "op::percent_of_steps", "op__percent_of_steps.md";
    OpOneOf = "op::one_of", "op__one_of.md";
    OpNeedsCount = "op::needs_count", "op__needs_count.md";
    CutoffTooDeep = "op::cutoff_too_deep", "op__cutoff_too_deep.md";
    OutOfRange = "op::out_of_range", "op__out_of_range.md";
    SyntaxCall = "syntax::not_a_call", "syntax__not_a_call.md";
    SyntaxDeep = "syntax::too_deep", "syntax__too_deep.md";
    SyntaxDoc = "syntax::dangling_doc", "syntax__dangling_doc.md";
    SyntaxForeign = "syntax::foreign", "syntax__foreign.md";
    SyntaxItem = "syntax::not_an_item", "syntax__not_an_item.md";
    SyntaxNumber = "syntax::number", "syntax__number.md";
    SyntaxString = "syntax::string", "syntax__string.md";
    SyntaxUnclosed = "syntax::unclosed", "syntax__unclosed.md";
    SyntaxUnopened = "syntax::unopened", "syntax__unopened.md";
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
